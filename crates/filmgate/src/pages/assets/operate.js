// @ts-check
// The operator's page: which of its views is shown, by the address's hash, and in which language.

import { byId, write } from './dom.js';
import { offerLanguages, say } from './messages.js';
import { Refusal, ask } from './net.js';
import { hideOverview, sayOverview, showOverview } from './operate-overview.js';
import { sayPeople, showTokens, showUsers } from './operate-people.js';
import { saySessions, showSessions, showSettings } from './operate-sessions.js';
import { hideTasks, sayTasks, showTasks } from './operate-tasks.js';
import { troubleWords } from './trouble.js';

/** @typedef {keyof typeof VIEWS} View */

const told = byId('told', HTMLParagraphElement);
/** Says what was done, beside the list and to who does not see it. @param {string} words */
const tell = (words) => write(told, words);

const VIEWS = {
  overview: { show: () => showOverview(load), hide: hideOverview },
  tasks: { show: () => showTasks(tell), hide: hideTasks },
  sessions: { show: () => showSessions(tell), hide: () => {} },
  settings: { show: () => showSettings(tell), hide: () => {} },
  users: { show: () => showUsers(tell), hide: () => {} },
  tokens: { show: () => showTokens(tell), hide: () => {} },
};
const names = /** @type {View[]} */ (Object.keys(VIEWS));

/** @type {View | null} */
let shown = null;
/** @type {Refusal | null} */
let trouble = null;

/** @returns {View} */
function asked() {
  return names.find((name) => `#${name}` === location.hash) ?? 'overview';
}

/** @param {{focus: boolean}} how */
function show({ focus }) {
  const next = asked();
  if (shown && shown !== next) VIEWS[shown].hide();
  shown = next;
  tell('');
  for (const name of names) byId(`view-${name}`, HTMLElement).hidden = name !== next;
  for (const link of byId('views', HTMLElement).querySelectorAll('a')) {
    if (link.hash !== `#${next}`) {
      link.removeAttribute('aria-current');
      continue;
    }
    link.setAttribute('aria-current', 'page');
    // On a phone there is more to the side than fits.
    link.scrollIntoView({ block: 'nearest', inline: 'center' });
  }
  title();
  VIEWS[next].show();
  if (focus) byId(`view-${next}`, HTMLElement).querySelector('h1')?.focus();
}

function title() {
  document.title = `${say(/** @type {const} */ (`operate.${asked()}`))} · Filmgate`;
}

/** Only who is an administrator sees more than that there is nothing to see. */
async function load() {
  trouble = null;
  try {
    const { user } = await ask('GET', '/api/v1/sign-in');
    if (user.role !== 'admin') trouble = new Refusal(403, '');
  } catch (problem) {
    trouble = problem instanceof Refusal ? problem : new Refusal(0, '');
    // The home page is where people sign in.
    if (trouble.status === 401) return location.assign('/');
  }
  byId('trouble', HTMLElement).hidden = trouble === null;
  byId('operate', HTMLElement).hidden = trouble !== null;
  sayTrouble();
  if (trouble) {
    if (shown) VIEWS[shown].hide();
  } else {
    show({ focus: true });
  }
}

function sayTrouble() {
  if (trouble) write(byId('trouble-text', HTMLParagraphElement), trouble.status === 403 ? say('operate.absent') : troubleWords(trouble));
}

addEventListener('hashchange', () => {
  if (!trouble) show({ focus: true });
});
byId('again', HTMLButtonElement).addEventListener('click', load);
offerLanguages(() => {
  title();
  tell('');
  sayTrouble();
  if (!shown) return;
  sayOverview();
  sayTasks();
  saySessions();
  sayPeople();
});
load();
