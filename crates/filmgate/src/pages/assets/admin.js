// @ts-check
// What an administrator sees in this version: the sessions that are stored, twenty at a time.

import { byId, el, write } from './dom.js';
import { locale, say } from './messages.js';
import { Refusal, ask } from './net.js';
import { shortId } from './session.js';

/** @typedef {Record<string, any>} Item */
/** @typedef {import('./messages.js').MessageKey} MessageKey */

/** @type {{title: MessageKey, of: (item: Item) => unknown, kind?: 'id' | 'time' | 'number'}[]} */
const COLUMNS = [
  { title: 'admin.session', of: (item) => item.id, kind: 'id' },
  { title: 'admin.user', of: (item) => item.username ?? item.user?.username ?? item.user_id },
  { title: 'admin.photos', of: (item) => item.total_captures ?? item.captures, kind: 'number' },
  { title: 'admin.settings', of: (item) => item.camera_settings?.setting_name },
  { title: 'admin.opened', of: (item) => item.created_at ?? item.started_at, kind: 'time' },
  { title: 'admin.ended', of: (item) => item.ended_at, kind: 'time' },
];

const more = byId('admin-more', HTMLButtonElement);
const problem = byId('admin-problem', HTMLParagraphElement);
/** @type {Item[]} */
let items = [];
/** @type {string | null} */
let cursor = null;
let loading = false;

/** Asks for the first page the first time, and afterwards only writes it again in the language spoken now. */
export function showAdmin() {
  render();
  if (items.length === 0) load();
}

/** Somebody else may sit here next. */
export function forgetAdmin() {
  items = [];
  cursor = null;
  render();
}

async function load() {
  if (loading) return;
  loading = true;
  try {
    const said = await ask('GET', `/api/v1/sessions?limit=20${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
    items = items.concat(said.items);
    cursor = said.next_cursor ?? null;
    problem.textContent = '';
    byId('admin-none', HTMLParagraphElement).hidden = items.length > 0;
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal(0, '');
    write(problem, refusal.words || say(refusal.status ? 'error.load' : 'error.unreachable'));
  }
  loading = false;
  render();
}

function render() {
  byId('admin-table', HTMLDivElement).hidden = items.length === 0;
  more.hidden = cursor === null;
  // A column that no session fills would only take room, except that "ended" says something by being empty.
  const columns = COLUMNS.filter(({ title, of }) => title === 'admin.ended' || items.some((item) => present(of(item))));
  byId('admin-columns', HTMLTableRowElement).replaceChildren(
    ...columns.map(({ title, kind }) => el('th', { scope: 'col', class: kind }, say(title))),
  );
  byId('admin-rows', HTMLTableSectionElement).replaceChildren(
    ...items.map((item) => el('tr', {}, ...columns.map((column) => cell(column, item)))),
  );
}

/**
 * @param {(typeof COLUMNS)[number]} column
 * @param {Item} item
 */
function cell({ title, of, kind }, item) {
  const value = of(item);
  if (!present(value)) return el('td', { class: 'muted' }, title === 'admin.ended' ? say('admin.open') : '–');
  if (kind === 'id') {
    const way = el('a', { href: `/review?session=${encodeURIComponent(String(value))}` }, shortId(String(value)));
    return el('th', { scope: 'row', class: 'id', title: String(value) }, way);
  }
  if (kind === 'number' && typeof value === 'number') {
    return el('td', { class: 'number' }, value.toLocaleString(locale()));
  }
  if (kind === 'time') {
    const text = String(value);
    const when = new Date(/(?:Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`);
    if (!Number.isNaN(when.getTime())) {
      const words = when.toLocaleString(locale(), { dateStyle: 'medium', timeStyle: 'short' });
      return el('td', {}, el('time', { datetime: when.toISOString() }, words));
    }
  }
  return el('td', {}, String(value));
}

/** @param {unknown} value */
function present(value) {
  return value !== null && value !== undefined && typeof value !== 'object';
}

more.addEventListener('click', load);
