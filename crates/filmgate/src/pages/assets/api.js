// @ts-check
// The API's documentation, drawn from /api/v1/openapi.json, so that it says what the server does and nothing else.

import { curlOf } from './curl.js';
import { byId, el, write } from './dom.js';
import { Refusal, ask } from './net.js';
import { Description } from './openapi.js';
import { inline, prose } from './prose.js';
import { drawSchema } from './schema.js';

/** @typedef {import('./openapi.js').Operation} Operation */
/** @typedef {import('./openapi.js').Group} Group */
/** @typedef {Record<string, any>} Json */

/**
 * An operation as it stands on the page.
 * @typedef {{operation: Operation, details: HTMLDetailsElement, link: HTMLLIElement, words: string}} Entry
 */

const search = byId('search', HTMLInputElement);
/** @type {Entry[]} */
const entries = [];

/**
 * @param {Description} api
 * @param {Operation} operation
 * @returns {Entry}
 */
function entryOf(api, operation) {
  const { id, method, path, summary, raw } = operation;
  const details = el(
    'details',
    { id, class: 'operation card' },
    el(
      'summary',
      {},
      el('span', { class: `method ${method.toLowerCase()}` }, method),
      el('code', { class: 'path' }, ...breakable(path)),
      el('span', { class: 'summary' }, ...inline(summary)),
    ),
  );
  // Drawn when first opened: a page of a hundred operations opens at once.
  details.addEventListener('toggle', () => {
    if (details.open && details.childElementCount === 1) details.append(bodyOf(api, operation));
  });
  const link = el('li', {}, el('a', { href: `#${id}` }, el('span', { class: 'method' }, method), ...breakable(path)));
  const words = [id, method, path, summary, raw.description, ...(raw.tags ?? [])].join(' ').toLowerCase();
  return { operation, details, link, words };
}

/**
 * A long path breaks after its slashes.
 * @param {string} path
 * @returns {(Node | string)[]}
 */
function breakable(path) {
  return path.split(/(?<=\/)/).flatMap((part, index) => (index > 0 ? [el('wbr'), part] : [part]));
}

/**
 * @param {Description} api
 * @param {Operation} operation
 * @returns {HTMLElement}
 */
function bodyOf(api, operation) {
  const { id, raw, parameters } = operation;
  const body = el('div', { class: 'body' }, el('div', { class: 'prose' }, ...prose(raw.description)));
  if (raw.deprecated) body.append(el('p', { class: 'notice' }, 'Deprecated: do not build anything new on this.'));
  if (parameters.length > 0) body.append(section('Parameters', el('ul', { class: 'members' }, ...parameters.map((one) => parameter(api, one)))));
  const request = api.follow(raw.requestBody);
  if (request.content) {
    const title = request.required === false ? 'Request body (optional)' : 'Request body';
    body.append(section(title, ...prose(request.description), ...contents(api, request.content)));
  }
  const answers = Object.entries(raw.responses ?? {}).map(([status, answer]) => response(api, status, api.follow(answer)));
  body.append(section('Responses', ...answers));
  body.append(section('From a shell', command(curlOf(api, operation, location.origin))));
  body.append(el('p', { class: 'permalink muted' }, el('a', { href: `#${id}` }, `#${id}`)));
  return body;
}

/**
 * @param {string} title
 * @param {...Node} children
 */
function section(title, ...children) {
  return el('section', {}, el('h4', { class: 'label' }, title), ...children);
}

/**
 * @param {Description} api
 * @param {Json} one
 */
function parameter(api, one) {
  const drawn = drawSchema(api, one.schema ?? {});
  return el(
    'li',
    {},
    el('code', { class: 'name' }, one.name),
    ' ',
    el('span', { class: 'type' }, `in ${one.in}`),
    one.required ? el('span', { class: 'must' }, 'required') : null,
    ...prose(one.description),
    drawn,
  );
}

/**
 * @param {Description} api
 * @param {Json} content
 * @returns {HTMLElement[]}
 */
function contents(api, content) {
  return Object.entries(content).map(([type, media]) =>
    el('div', { class: 'content' }, el('p', {}, el('code', {}, type)), media.schema ? drawSchema(api, media.schema) : null),
  );
}

/**
 * @param {Description} api
 * @param {string} status
 * @param {Json} answer
 */
function response(api, status, answer) {
  const headers = Object.entries(answer.headers ?? {}).map(([name, reference]) => {
    const header = api.follow(reference);
    return el('li', {}, el('code', { class: 'name' }, name), ' ', el('span', { class: 'type' }, 'header'), ...prose(header.description));
  });
  const code = el('span', { class: `code ${/^2/.test(status) ? 'good' : ''}` }, status);
  const words = el('span', {}, ...inline(String(answer.description ?? '').replace(/\s+/g, ' ')));
  const inside = [headers.length > 0 ? el('ul', { class: 'members' }, ...headers) : null, ...contents(api, answer.content ?? {})];
  if (inside.every((part) => part === null)) return el('p', { class: 'response' }, code, words);
  return el('details', { class: 'response' }, el('summary', {}, code, words), ...inside);
}

/** @param {string} line */
function command(line) {
  const code = el('code', {}, line);
  const button = el('button', { type: 'button', class: 'copy' }, 'Copy');
  button.addEventListener('click', async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(line);
    } catch {
      // Without HTTPS there is no clipboard: the line is selected, ready for Ctrl+C.
      getSelection()?.selectAllChildren(code);
      done = false;
    }
    write(button, done ? 'Copied' : 'Selected');
    write(byId('copied', HTMLParagraphElement), done ? 'Copied.' : 'Selected; copy it with the keyboard.');
    setTimeout(() => {
      write(button, 'Copy');
      write(byId('copied', HTMLParagraphElement), '');
    }, 2000);
  });
  return el('div', { class: 'command' }, el('pre', { tabindex: '0', role: 'group', 'aria-label': 'curl command' }, code), button);
}

/**
 * @param {Description} api
 * @param {Group} group
 */
function drawGroup(api, group) {
  const here = group.operations.map((operation) => entryOf(api, operation));
  entries.push(...here);
  const block = el('section', { class: 'group' }, el('h2', {}, group.name), el('div', { class: 'prose' }, ...prose(group.description)));
  block.append(...here.map(({ details }) => details));
  byId('groups', HTMLDivElement).append(block);
  const list = el('div', { class: 'index-group' }, el('h2', { class: 'label' }, group.name), el('ul', {}, ...here.map(({ link }) => link)));
  byId('index', HTMLDivElement).append(list);
}

/** Shows the operations in which every word of the search occurs. */
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const { details, link, words: text } of entries) {
    const hit = words.every((word) => text.includes(word));
    details.hidden = !hit;
    link.hidden = !hit;
    if (hit) found += 1;
  }
  for (const block of document.querySelectorAll('.group, .index-group')) {
    if (block instanceof HTMLElement) block.hidden = !block.querySelector('.operation:not([hidden]), li:not([hidden])');
  }
  write(byId('found', HTMLParagraphElement), words.length === 0 ? `${entries.length} operations` : `${found} of ${entries.length} operations`);
}

/** Opens the operation that the address names, and goes there. */
function goToHash() {
  const id = decodeURIComponent(location.hash.slice(1));
  const entry = entries.find(({ operation }) => operation.id === id);
  if (!entry) return;
  if (entry.details.hidden) {
    search.value = '';
    filter();
  }
  entry.details.open = true;
  entry.details.scrollIntoView({ block: 'start' });
  entry.details.querySelector('summary')?.focus({ preventScroll: true });
}

/** @param {boolean} open */
function setAll(open) {
  for (const { details } of entries) if (!details.hidden) details.open = open;
}

async function draw() {
  let root;
  try {
    root = await ask('GET', '/api/v1/openapi.json');
  } catch (error) {
    const words = error instanceof Refusal ? error.words : '';
    write(byId('problem', HTMLParagraphElement), `The description of the API could not be loaded. ${words}`.trim());
    return;
  }
  const api = new Description(root ?? {});
  write(byId('title', HTMLHeadingElement), root?.info?.title ?? 'API');
  write(byId('version', HTMLParagraphElement), root?.info?.version ? `Version ${root.info.version}` : '');
  byId('about', HTMLDivElement).append(...prose(root?.info?.description));
  for (const group of api.groups()) drawGroup(api, group);
  filter();
  goToHash();
}

search.addEventListener('input', filter);
window.addEventListener('hashchange', goToHash);
// A link to where one already is changes no hash, but should still open what was closed.
byId('index', HTMLDivElement).addEventListener('click', () => setTimeout(goToHash));
window.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
  event.preventDefault();
  search.focus();
});
byId('open-all', HTMLButtonElement).addEventListener('click', () => setAll(true));
byId('close-all', HTMLButtonElement).addEventListener('click', () => setAll(false));

draw();
