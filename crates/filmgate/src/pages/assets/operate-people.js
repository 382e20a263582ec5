// @ts-check
// Users and tokens: made, changed, switched off, revoked. A token's secret is shown once.

import { byId, write } from './dom.js';
import { fillIn } from './forms.js';
import { Listing } from './listing.js';
import { say } from './messages.js';
import { ask } from './net.js';
import { moment } from './times.js';

/** @typedef {import('./listing.js').Item} Item */
/** @typedef {import('./messages.js').MessageKey} MessageKey */

const secret = byId('secret', HTMLDialogElement);
const secretText = byId('secret-text', HTMLInputElement);
const copied = byId('secret-copied', HTMLParagraphElement);
/** @type {(words: string) => void} */
let tell = () => {};

const users = new Listing('users', {
  path: () => '/api/v1/users?limit=50',
  columns: [
    { title: 'users.name', of: ({ username }) => username },
    { title: 'users.number', of: ({ id }) => String(id) },
    { title: 'users.role', of: ({ role }) => say(/** @type {MessageKey} */ (`users.role.${role}`)) },
    { title: 'users.state', of: ({ is_active }) => say(is_active ? 'users.active' : 'users.inactive') },
    { title: 'users.created', of: ({ created_at }) => moment(created_at) },
  ],
  actions: (user) => [
    { name: 'users.edit', act: editUser },
    { name: 'users.signOut', act: signOutUser },
    user.is_active ? { name: 'users.deactivate', act: deactivate, danger: true } : { name: 'users.activate', act: activate },
  ],
});

const tokens = new Listing('tokens', {
  path: () => '/api/v1/tokens?limit=50',
  columns: [
    { title: 'tokens.name', of: ({ name }) => name },
    { title: 'tokens.scope', of: ({ scope, user_id }) => (scope === 'user' ? say('tokens.scope.user', { id: String(user_id) }) : say('tokens.scope.service')) },
    { title: 'tokens.created', of: ({ created_at }) => moment(created_at) },
    { title: 'tokens.expires', of: ({ expires_at }) => moment(expires_at), none: 'tokens.never' },
    { title: 'tokens.revoked', of: ({ revoked_at }) => moment(revoked_at), none: 'list.nothing' },
  ],
  actions: (token) => (token.revoked_at ? [] : [{ name: 'tokens.revoke', act: revokeToken, danger: true }]),
});

/** @param {string} value */
const checkPassword = (value) => {
  const bytes = new TextEncoder().encode(value).length;
  return bytes >= 1 && bytes <= 1024 ? null : 'users.password.wrong';
};

/** @param {string} value @returns {import('./forms.js').Field} */
const roleField = (value) => ({
  name: 'role',
  label: 'users.role',
  kind: 'select',
  value,
  options: [{ value: 'participant', words: say('users.role.participant') }, { value: 'admin', words: say('users.role.admin') }],
});

async function newUser() {
  const made = await fillIn({
    title: say('users.new'),
    go: 'users.new.go',
    fields: [
      { name: 'username', label: 'users.name', kind: 'text', check: (value) => (value.length >= 1 && [...value].length <= 100 ? null : 'users.name.wrong') },
      { name: 'password', label: 'users.password', kind: 'password', hint: 'users.password.hint', check: checkPassword },
      roleField('participant'),
    ],
    send: (values) => ask('POST', '/api/v1/users', values),
  });
  if (!made) return;
  tell(say('users.made', { name: made.username }));
  await users.begin();
}

/** @param {Item} user */
async function editUser(user) {
  const changed = await fillIn({
    title: say('users.edit.title', { name: user.username }),
    text: say('users.edit.text'),
    go: 'form.save',
    fields: [
      roleField(user.role),
      { name: 'password', label: 'users.password.new', kind: 'password', hint: 'users.password.keep', check: (value) => (value === '' ? null : checkPassword(value)) },
    ],
    send: ({ role, password }) => ask('PATCH', `/api/v1/users/${user.id}`, {
      // Said again, a role would end the user's sign-ins as a new one does.
      ...(role === user.role ? {} : { role }),
      ...(password ? { password } : {}),
    }),
  });
  if (!changed) return;
  users.replace(changed);
  tell(say('users.changed', { name: user.username }));
}

/** @param {Item} user */
async function deactivate(user) {
  const changed = await fillIn({
    title: say('users.deactivate.title', { name: user.username }),
    text: say('users.deactivate.text'),
    go: 'users.deactivate',
    danger: true,
    send: () => ask('PATCH', `/api/v1/users/${user.id}`, { is_active: false }),
  });
  if (!changed) return;
  users.replace(changed);
  tell(say('users.deactivated', { name: user.username }));
}

/** @param {Item} user */
async function activate(user) {
  users.replace(await ask('PATCH', `/api/v1/users/${user.id}`, { is_active: true }));
  tell(say('users.activated', { name: user.username }));
}

/** @param {Item} user */
async function signOutUser(user) {
  const done = await fillIn({
    title: say('users.signOut.title', { name: user.username }),
    text: say('users.signOut.text'),
    go: 'users.signOut',
    danger: true,
    send: () => ask('DELETE', `/api/v1/users/${user.id}/sign-ins`),
  });
  if (done) tell(say('users.signedOut', { name: user.username, n: done.ended }));
}

async function newToken() {
  const made = await fillIn({
    title: say('tokens.new'),
    text: say('tokens.new.text'),
    go: 'tokens.new.go',
    fields: [
      { name: 'name', label: 'tokens.name', kind: 'text', check: (value) => (value.length >= 1 && [...value].length <= 100 ? null : 'tokens.name.wrong') },
      { name: 'user_id', label: 'tokens.user', kind: 'number', hint: 'tokens.user.hint', check: (value) => (/^(-?\d{1,18})?$/.test(value) ? null : 'sessions.user.wrong') },
      { name: 'expires_at', label: 'tokens.expires', kind: 'datetime-local', hint: 'tokens.expires.hint', check: (value) => (value === '' || Date.parse(value) > Date.now() ? null : 'tokens.expires.wrong') },
    ],
    send: ({ name, user_id, expires_at }) => ask('POST', '/api/v1/tokens', {
      name,
      ...(user_id ? { user_id: Number(user_id) } : {}),
      ...(expires_at ? { expires_at: new Date(String(expires_at)).toISOString() } : {}),
    }),
  });
  if (!made) return;
  secretText.value = made.secret;
  copied.textContent = '';
  write(byId('secret-title', HTMLHeadingElement), say('tokens.secret.title', { name: made.name }));
  secret.showModal();
  secretText.select();
  await tokens.begin();
}

/** @param {Item} token */
async function revokeToken(token) {
  const revoked = await fillIn({
    title: say('tokens.revoke.title', { name: token.name }),
    text: say('tokens.revoke.text'),
    go: 'tokens.revoke.go',
    danger: true,
    send: () => ask('DELETE', `/api/v1/tokens/${token.id}`),
  });
  if (!revoked) return;
  tokens.replace(revoked);
  tell(say('tokens.revoked.done', { name: token.name }));
}

/** @param {(words: string) => void} telling */
export function showUsers(telling) {
  tell = telling;
  users.begin();
}

/** @param {(words: string) => void} telling */
export function showTokens(telling) {
  tell = telling;
  tokens.begin();
}

export function sayPeople() {
  users.render();
  tokens.render();
}

byId('users-new', HTMLButtonElement).addEventListener('click', newUser);
byId('tokens-new', HTMLButtonElement).addEventListener('click', newToken);
byId('secret-copy', HTMLButtonElement).addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(secretText.value);
    write(copied, say('tokens.copied'));
  } catch {
    // Not over plain HTTP: it is selected, for the keyboard.
    secretText.select();
    write(copied, say('tokens.copyByHand'));
  }
});
byId('secret-close', HTMLButtonElement).addEventListener('click', () => secret.close());
// It is shown once: nor may it wait in the page.
secret.addEventListener('close', () => (secretText.value = ''));
