// @ts-check
// The tasks: which, by state and kind; run again, called off, dead letters run again together; each followed while it is open.

import { byId, el } from './dom.js';
import { fillIn } from './forms.js';
import { idWord, sessionLink, shortId } from './ids.js';
import { Listing } from './listing.js';
import { say } from './messages.js';
import { ask } from './net.js';
import { moment } from './times.js';

/** @typedef {import('./listing.js').Item} Item */
/** @typedef {import('./messages.js').MessageKey} MessageKey */

/** So many ids fit the address of one stream. */
const FOLLOWED_MAX = 50;
const OPEN = ['PENDING', 'STARTED', 'RETRY'];

const state = byId('tasks-state', HTMLSelectElement);
const kind = byId('tasks-kind', HTMLSelectElement);
/** @type {EventSource | null} */
let stream = null;
/** @type {(words: string) => void} */
let tell = () => {};

const tasks = new Listing('tasks', {
  path: () => {
    const query = new URLSearchParams({ limit: '50' });
    if (state.value) query.set('state', state.value);
    if (kind.value) query.set('kind', kind.value);
    return `/api/v1/tasks?${query}`;
  },
  columns: [
    { title: 'tasks.task', of: ({ id }) => idWord(id) },
    { title: 'tasks.kind', of: (task) => kindWords(task), kind: 'words' },
    { title: 'tasks.state', of: (task) => el('span', { class: `badge state-${task.state}` }, say(/** @type {MessageKey} */ (`tasks.state.${task.state}`))) },
    { title: 'tasks.attempts', of: ({ attempts }) => attempts, kind: 'number' },
    { title: 'tasks.created', of: ({ created_at }) => moment(created_at) },
    { title: 'tasks.session', of: ({ session_id }) => (session_id ? sessionLink(session_id) : null) },
    { title: 'tasks.error', of: ({ error }) => (error ? el('span', { lang: 'en' }, error) : null), kind: 'words' },
  ],
  actions: (task) => {
    if (task.kind === 'sweep') return [];
    if (task.state === 'FAILURE' || task.state === 'REVOKED') return [{ name: 'tasks.retry', act: retry }];
    return OPEN.includes(task.state) ? [{ name: 'tasks.revoke', act: revoke, danger: true }] : [];
  },
});

/** @param {Item} task */
function kindWords({ kind: what, sink, event }) {
  const words = say(/** @type {MessageKey} */ (`tasks.kind.${what}`));
  return sink ? `${words}: ${event ?? '–'} → ${sink}` : words;
}

/** @param {Item} task */
async function retry(task) {
  tasks.replace(await ask('POST', `/api/v1/tasks/${task.id}/retry`));
  tell(say('tasks.retried', { id: shortId(task.id) }));
  follow();
}

/** @param {Item} task */
async function revoke(task) {
  const revoked = await fillIn({
    title: say('tasks.revoke.title', { id: shortId(task.id) }),
    text: say('tasks.revoke.text'),
    go: 'tasks.revoke.go',
    danger: true,
    send: () => ask('POST', `/api/v1/tasks/${task.id}/revoke`),
  });
  if (!revoked) return;
  tasks.replace(revoked);
  tell(say('tasks.revoked', { id: shortId(task.id) }));
}

async function retryAll() {
  const query = kind.value ? `?kind=${kind.value}` : '';
  const done = await fillIn({
    title: say('tasks.retryAll.title'),
    text: say(kind.value ? 'tasks.retryAll.kind' : 'tasks.retryAll.text', { kind: kind.selectedOptions[0]?.textContent ?? '' }),
    go: 'tasks.retryAll.go',
    send: async () => {
      const sum = { retried: 0, refused: 0 };
      for (let more = true; more; ) {
        const said = await ask('POST', `/api/v1/tasks/retry${query}`);
        sum.retried += said.retried;
        // Those that cannot be run again stay, and come again each time.
        sum.refused = said.refused;
        more = said.more && said.retried > 0;
      }
      return sum;
    },
  });
  if (!done) return;
  tell(say(done.refused ? 'tasks.retryAll.some' : 'tasks.retryAll.done', done));
  await begin();
}

/** Hears of the open ones that are listed until they have ended. */
function follow() {
  stream?.close();
  stream = null;
  const open = tasks.items.filter((task) => OPEN.includes(task.state)).slice(0, FOLLOWED_MAX);
  byId('tasks-live', HTMLElement).hidden = open.length === 0;
  if (open.length === 0) return;
  const here = new EventSource(`/api/v1/tasks/events?task_id=${open.map(({ id }) => id).join(',')}`);
  stream = here;
  here.addEventListener('task', (event) => {
    const said = JSON.parse(event.data);
    const known = tasks.items.find(({ id }) => id === said.task_id);
    if (!known || (known.state === said.state && known.attempts === said.attempts && known.error === said.error)) return;
    tasks.replace({ id: said.task_id, state: said.state, attempts: said.attempts, error: said.error });
  });
  here.addEventListener('done', () => {
    here.close();
    byId('tasks-live', HTMLElement).hidden = true;
  });
}

async function begin() {
  await tasks.begin();
  follow();
}

/** @param {(words: string) => void} telling hears what was done, for a person */
export function showTasks(telling) {
  tell = telling;
  begin();
}

export function hideTasks() {
  stream?.close();
  stream = null;
}

export function sayTasks() {
  tasks.render();
}

state.addEventListener('change', begin);
kind.addEventListener('change', begin);
byId('tasks-again', HTMLButtonElement).addEventListener('click', begin);
byId('tasks-more', HTMLButtonElement).addEventListener('click', hideTasks);
byId('tasks-retry-all', HTMLButtonElement).addEventListener('click', retryAll);
