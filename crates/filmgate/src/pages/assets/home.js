// @ts-check
// The home page: who is signed in, which of its views they see, and in which language.

import { forgetAdmin, showAdmin } from './admin.js';
import { byId, write } from './dom.js';
import { offerLanguages, say } from './messages.js';
import { Refusal, ask } from './net.js';
import { Participant } from './participant.js';

/** @typedef {{id: number | string, username: string, role: string}} User */
/** @typedef {'sign-in' | 'participant' | 'admin' | 'unreachable'} View */

const SIGN_IN = '/api/v1/sign-in';
const TITLES = /** @type {const} */ ({
  'sign-in': 'title.signIn',
  participant: 'title.session',
  admin: 'title.admin',
  unreachable: 'title.signIn',
});

const form = byId('sign-in-form', HTMLFormElement);
const username = byId('username', HTMLInputElement);
const password = byId('password', HTMLInputElement);
const submit = byId('sign-in-submit', HTMLButtonElement);
const error = byId('sign-in-error', HTMLParagraphElement);
const notice = byId('sign-in-notice', HTMLParagraphElement);
const leave = byId('leave', HTMLDialogElement);

const participant = new Participant({ onSignedOut: expired });
/** @type {User | null} */
let user = null;
/** The one who was signed in before: only their photos may still wait here. @type {User | null} */
let before = null;
/** @type {View} */
let view = 'sign-in';
/** Says again, in the language spoken now, what the views above do not say by themselves. */
let sayNotice = () => {};
let sayError = () => {};

/**
 * @param {View} next
 * @param {{focus?: boolean}} [options]
 */
function show(next, { focus = true } = {}) {
  view = next;
  for (const name of /** @type {View[]} */ (Object.keys(TITLES))) byId(name, HTMLElement).hidden = name !== next;
  byId('who', HTMLDivElement).hidden = user === null;
  write(byId('who-name', HTMLSpanElement), user?.username ?? '');
  document.title = say(TITLES[next]);
  if (!focus) return;
  if (next === 'sign-in') (username.value ? password : username).focus();
  else byId(next, HTMLElement).querySelector('h1')?.focus();
}

/** @param {User} found */
function welcome(found) {
  // Of a page just loaded nobody was here before: what this browser remembers may be theirs.
  const other = before !== null && String(before.id) !== String(found.id);
  user = found;
  before = found;
  notice.hidden = true;
  sayNotice = () => {};
  if (found.role === 'admin') {
    participant.leave();
    show('admin');
    showAdmin();
  } else {
    if (other) participant.leave();
    forgetAdmin();
    show('participant');
    participant.enter(String(found.id));
  }
}

/** The server no longer knows who this is. What waits, waits; it goes on when the same person signs in again. */
async function expired() {
  if (user === null) return;
  user = null;
  const n = await participant.waiting();
  sayNotice = () => {
    write(notice, n > 0 ? say('signIn.again', { n, username: before?.username ?? '' }) : say('signIn.expired'));
  };
  sayNotice();
  notice.hidden = false;
  show('sign-in');
}

async function lookWhoIsHere() {
  try {
    welcome((await ask('GET', SIGN_IN)).user);
  } catch (problem) {
    if (problem instanceof Refusal && problem.status === 401) show('sign-in');
    else show('unreachable');
  }
}

async function signIn() {
  error.textContent = '';
  sayError = () => {};
  submit.disabled = true;
  submit.textContent = say('signIn.busy');
  try {
    const { user: found } = await ask('POST', SIGN_IN, { username: username.value, password: password.value });
    form.reset();
    welcome(found);
  } catch (problem) {
    const refusal = problem instanceof Refusal ? problem : null;
    sayError = () => {
      if (refusal?.status === 0) write(error, say('error.unreachable'));
      else write(error, refusal?.words || say('signIn.failed'));
    };
    sayError();
    password.select();
    password.focus();
  } finally {
    submit.disabled = false;
    submit.textContent = say('signIn.submit');
  }
}

async function signOut() {
  participant.pause();
  const waiting = await participant.waiting();
  if (waiting > 0 && !(await mayGo(waiting))) return participant.render();
  try {
    await ask('DELETE', SIGN_IN);
  } catch (problem) {
    // Not reached: still signed in, and it must not look otherwise.
    if (!(problem instanceof Refusal) || problem.status !== 401) return show('unreachable');
  }
  participant.leave();
  forgetAdmin();
  user = null;
  before = null;
  show('sign-in');
}

/**
 * @param {number} n photos that stay behind
 * @returns {Promise<boolean>}
 */
function mayGo(n) {
  write(byId('leave-text', HTMLParagraphElement), say('leave.text', { n }));
  leave.returnValue = 'stay';
  leave.showModal();
  return new Promise((resolve) => {
    leave.addEventListener('close', () => resolve(leave.returnValue === 'go'), { once: true });
  });
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  signIn();
});
byId('sign-out', HTMLButtonElement).addEventListener('click', signOut);
byId('retry', HTMLButtonElement).addEventListener('click', lookWhoIsHere);

offerLanguages(() => {
  document.title = say(TITLES[view]);
  sayNotice();
  sayError();
  participant.render();
  if (user?.role === 'admin') showAdmin();
});
lookWhoIsHere();
