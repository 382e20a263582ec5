// @ts-check
// A list that the server gives a page at a time, as a table: its columns, what can be done with each item, and "show more".
//
// Promises: the keyboard stays where it was when the list is drawn anew. Leaves to others: what the columns say.

import { byId, el, write } from './dom.js';
import { locale, say } from './messages.js';
import { ask } from './net.js';
import { troubleWords } from './trouble.js';

/** @typedef {Record<string, any>} Item */
/** @typedef {import('./messages.js').MessageKey} MessageKey */
/** @typedef {Node | string | number | null | undefined} Said */
/**
 * @typedef {object} Column
 * @property {MessageKey} title
 * @property {(item: Item) => Said} of
 * @property {'number' | 'words'} [kind]
 * @property {MessageKey} [none] what an empty cell says; the column stands also where all its cells are empty
 */
/**
 * @typedef {object} Action
 * @property {MessageKey} name
 * @property {(item: Item) => void | Promise<void>} act
 * @property {boolean} [danger]
 */

export class Listing {
  #prefix;
  #path;
  #columns;
  #actions;
  #more;
  #problem;
  /** @type {Item[]} */
  #items = [];
  /** @type {string | null} */
  #cursor = null;
  /** How often it was begun anew: what an earlier beginning is answered is of no use. */
  #turn = 0;
  #isRead = false;
  /** @type {unknown} */
  #trouble = null;

  /**
   * Of the elements `PREFIX-table`, `-columns`, `-rows`, `-more`, `-none` and `-problem`.
   * @param {string} prefix
   * @param {object} how
   * @param {() => string} how.path with a query, perhaps empty, to which a cursor is added
   * @param {Column[]} how.columns the first names the item
   * @param {(item: Item) => Action[]} [how.actions]
   */
  constructor(prefix, { path, columns, actions }) {
    this.#prefix = prefix;
    this.#path = path;
    this.#columns = columns;
    this.#actions = actions;
    this.#more = byId(`${prefix}-more`, HTMLButtonElement);
    this.#problem = byId(`${prefix}-problem`, HTMLParagraphElement);
    this.#more.addEventListener('click', () => this.#load(false));
  }

  get items() {
    return this.#items;
  }

  get isRead() {
    return this.#isRead;
  }

  /** From the first page. */
  async begin() {
    await this.#load(true);
  }

  forget() {
    this.#turn += 1;
    this.#items = [];
    this.#cursor = null;
    this.#isRead = false;
    this.render();
  }

  /** What the server says of an item now. @param {Item} item */
  replace(item) {
    this.#items = this.#items.map((known) => (known.id === item.id ? { ...known, ...item } : known));
    this.render();
  }

  /** @param {boolean} anew */
  async #load(anew) {
    if (anew) this.#turn += 1;
    const turn = this.#turn;
    this.#more.disabled = true;
    try {
      const path = this.#path();
      const cursor = anew || this.#cursor === null ? '' : `${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(this.#cursor)}`;
      const said = await ask('GET', path + cursor);
      if (turn !== this.#turn) return;
      this.#items = anew ? said.items : this.#items.concat(said.items);
      this.#cursor = said.next_cursor ?? null;
      this.#isRead = true;
      this.#trouble = null;
    } catch (problem) {
      if (turn !== this.#turn) return;
      this.#trouble = problem;
    } finally {
      this.#more.disabled = false;
    }
    this.render();
  }

  render() {
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.stays : undefined;
    write(this.#problem, this.#trouble === null ? '' : troubleWords(this.#trouble));
    byId(`${this.#prefix}-none`, HTMLParagraphElement).hidden = !this.#isRead || this.#items.length > 0;
    byId(`${this.#prefix}-table`, HTMLDivElement).hidden = this.#items.length === 0;
    this.#more.hidden = this.#cursor === null;
    // A column that no item fills would only take room, except where it says something by being empty.
    const columns = this.#columns.filter(({ of, none }) => none || this.#items.some((item) => present(of(item))));
    const heads = columns.map(({ title, kind }) => el('th', { scope: 'col', role: 'columnheader', class: kind }, say(title)));
    if (this.#actions) heads.push(el('th', { scope: 'col', role: 'columnheader' }, el('span', { class: 'quiet-title' }, say('list.actions'))));
    byId(`${this.#prefix}-columns`, HTMLTableRowElement).replaceChildren(...heads);
    const rows = this.#items.map((item) => el('tr', { role: 'row', 'data-item': item.id }, ...columns.map((column, index) => cell(column, item, index === 0)), this.#buttons(item)));
    byId(`${this.#prefix}-rows`, HTMLTableSectionElement).replaceChildren(...rows);
    if (focused) this.#focus(focused);
  }

  /** @param {Item} item */
  #buttons(item) {
    if (!this.#actions) return null;
    const buttons = this.#actions(item).map(({ name, act, danger }) => {
      const button = el('button', { type: 'button', class: danger ? 'small danger' : 'small', 'data-stays': `${item.id} ${name}` }, say(name));
      // Of many buttons with the same words, each says whose it is.
      button.setAttribute('aria-label', `${say(name)} ${cellText(this.#columns[0].of(item))}`);
      button.addEventListener('click', async () => {
        button.disabled = true;
        try {
          await act(item);
          this.#trouble = null;
        } catch (problem) {
          this.#trouble = problem;
        }
        button.disabled = false;
        this.render();
        this.#focus(`${item.id} ${name}`);
      });
      return button;
    });
    return el('td', { role: 'cell', class: 'actions' }, el('div', { class: 'row' }, ...buttons));
  }

  /** What was focused, or what stands in its place. @param {string} stays */
  #focus(stays) {
    const place = byId(`${this.#prefix}-table`, HTMLDivElement);
    const row = [...place.querySelectorAll('tr')].find(({ dataset }) => dataset.item === stays.split(' ')[0]);
    const buttons = [...(row?.querySelectorAll('button') ?? [])];
    const next = buttons.find(({ dataset }) => dataset.stays === stays) ?? buttons[0];
    if (next) next.focus();
    else if (!place.hidden) place.focus();
  }
}

/**
 * @param {Column} column
 * @param {Item} item
 * @param {boolean} isName
 */
function cell({ title, of, kind, none }, item, isName) {
  const value = of(item);
  const attributes = { 'data-title': say(title), class: present(value) ? kind : 'muted' };
  const said = !present(value) ? say(none ?? 'list.nothing') : typeof value === 'number' ? value.toLocaleString(locale()) : value;
  const content = said instanceof Node ? said : String(said);
  return isName ? el('th', { ...attributes, scope: 'row', role: 'rowheader' }, content) : el('td', { ...attributes, role: 'cell' }, content);
}

/** @param {Said} value */
function present(value) {
  return value !== null && value !== undefined && value !== '';
}

/** @param {Said} value */
function cellText(value) {
  return value instanceof Node ? value.textContent ?? '' : String(value ?? '');
}
