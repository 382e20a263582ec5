// @ts-check
// A form in a dialog, and a question before what cannot be undone, which is a form without fields.
//
// Promises: it stays open until the server has taken it; what is wrong stands at its field, in words, and is read out; the
// keyboard goes to the first field that is wrong, and back to where it was. Leaves to others: what the fields mean.

import { byId, el, write } from './dom.js';
import { say } from './messages.js';
import { Refusal } from './net.js';
import { troubleWords } from './trouble.js';

/** @typedef {import('./messages.js').MessageKey} MessageKey */
/** @typedef {string | boolean} Value */
/** @typedef {Record<string, Value>} Values by the name of the field; text is trimmed, but for passwords */
/**
 * @typedef {object} Field
 * @property {string} name as the server calls it: its words about a field name it, with an underscore or a space
 * @property {MessageKey} label
 * @property {'text' | 'number' | 'password' | 'datetime-local' | 'checkbox' | 'select'} kind
 * @property {Value} [value]
 * @property {MessageKey} [hint]
 * @property {{value: string, words: string}[]} [options] of a select
 * @property {(value: string, values: Values) => MessageKey | null} [check]
 * @property {(values: Values) => boolean} [isAsked] whether it plays a part just now
 */
/**
 * @typedef {object} Form
 * @property {string} title
 * @property {string} [text]
 * @property {Field[]} [fields]
 * @property {MessageKey} go
 * @property {boolean} [danger]
 * @property {(values: Values) => Promise<any>} send
 */

const dialog = byId('form', HTMLDialogElement);
const form = byId('form-form', HTMLFormElement);
const place = byId('form-fields', HTMLDivElement);
const problem = byId('form-problem', HTMLParagraphElement);
const go = byId('form-go', HTMLButtonElement);
const cancel = byId('form-cancel', HTMLButtonElement);

/** @type {{asked: Form, inputs: Map<string, HTMLInputElement | HTMLSelectElement>, answer: any} | null} */
let open = null;

/**
 * Shows it, and waits.
 * @param {Form} asked
 * @returns {Promise<any>} what `send` gave; null where nobody sent it
 */
export function fillIn(asked) {
  const inputs = new Map();
  open = { asked, inputs, answer: null };
  write(byId('form-title', HTMLHeadingElement), asked.title);
  write(byId('form-text', HTMLParagraphElement), asked.text ?? '');
  write(go, say(asked.go));
  // What cannot be undone is not done by a careless Enter.
  go.className = asked.danger ? 'danger' : 'primary';
  place.replaceChildren(...(asked.fields ?? []).map((field) => {
    const { box, input } = draw(field);
    inputs.set(field.name, input);
    return box;
  }));
  clear();
  showAsked();
  dialog.showModal();
  const first = inputs.values().next().value;
  if (asked.danger || !first) cancel.focus();
  else first.focus();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      const answer = open?.answer ?? null;
      open = null;
      // A password must not wait here for the next one.
      place.replaceChildren();
      resolve(answer);
    }, { once: true });
  });
}

/** @param {Field} field */
function draw({ name, label, kind, value, hint, options }) {
  const id = `field-${name}`;
  const about = [hint ? `${id}-hint` : '', `${id}-problem`].join(' ').trim();
  const input = kind === 'select'
    ? el('select', { id, 'aria-describedby': about }, ...(options ?? []).map((option) => el('option', { value: option.value, selected: option.value === value }, option.words)))
    : el('input', { id, 'aria-describedby': about, ...attributes(kind) });
  if (input instanceof HTMLInputElement) {
    if (kind === 'checkbox') input.checked = value === true;
    else input.value = String(value ?? '');
  }
  input.addEventListener('input', () => {
    mark(input, '');
    showAsked();
  });
  const words = el('label', { for: id }, say(label));
  const more = [hint ? el('p', { id: `${id}-hint`, class: 'muted small' }, say(hint)) : null, el('p', { id: `${id}-problem`, class: 'problem small' })];
  const parts = kind === 'checkbox' ? [el('div', { class: 'tick' }, input, words), ...more] : [words, input, ...more];
  return { box: el('div', { class: 'field' }, ...parts), input };
}

/** @param {Field['kind']} kind */
function attributes(kind) {
  if (kind === 'password') return { type: 'password', autocomplete: 'new-password' };
  // A number is text to us, or the browser would hide from us what is wrong with it.
  if (kind === 'number') return { inputmode: 'numeric', autocomplete: 'off' };
  if (kind === 'text') return { autocomplete: 'off', spellcheck: 'false' };
  return { type: kind };
}

/** @returns {Values} */
function values() {
  /** @type {Values} */
  const found = {};
  for (const { name, kind } of open?.asked.fields ?? []) {
    const input = open?.inputs.get(name);
    if (!input) continue;
    if (input instanceof HTMLInputElement && kind === 'checkbox') found[name] = input.checked;
    else found[name] = kind === 'password' ? input.value : input.value.trim();
  }
  return found;
}

function showAsked() {
  const now = values();
  for (const { name, isAsked } of open?.asked.fields ?? []) {
    const box = open?.inputs.get(name)?.closest('.field');
    if (isAsked && box instanceof HTMLElement) box.hidden = !isAsked(now);
  }
}

/**
 * @param {HTMLElement} input
 * @param {string} words
 */
function mark(input, words) {
  if (words) input.setAttribute('aria-invalid', 'true');
  else input.removeAttribute('aria-invalid');
  write(byId(`${input.id}-problem`, HTMLParagraphElement), words);
}

function clear() {
  problem.textContent = '';
  for (const input of open?.inputs.values() ?? []) mark(input, '');
}

/** Marks what is wrong; whether nothing is. @param {Values} now */
function check(now) {
  /** @type {HTMLElement | null} */
  let first = null;
  for (const { name, check: rule, isAsked } of open?.asked.fields ?? []) {
    const input = open?.inputs.get(name);
    const wrong = !input || (isAsked && !isAsked(now)) ? null : rule?.(String(now[name]), now);
    if (!wrong || !input) continue;
    mark(input, say(wrong));
    first ??= input;
  }
  first?.focus();
  return first === null;
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  if (!open || go.disabled) return;
  clear();
  const now = values();
  if (!check(now)) return;
  const here = open;
  go.disabled = true;
  try {
    here.answer = (await here.asked.send(now)) ?? true;
    dialog.close();
  } catch (found) {
    const words = troubleWords(found);
    const named = [...here.inputs].find(([name]) => found instanceof Refusal && new RegExp(`\\b${name.replace('_', '[_ ]')}\\b`).test(found.words));
    if (named && !named[1].closest('[hidden]')) {
      mark(named[1], words);
      named[1].focus();
    } else {
      write(problem, words);
    }
  }
  go.disabled = false;
});
cancel.addEventListener('click', () => dialog.close());
