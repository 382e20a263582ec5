// @ts-check
// The sessions and the camera settings: registered, changed, ended; checked here as the app's own model checks.

import { byId } from './dom.js';
import { fillIn } from './forms.js';
import { sessionLink, shortId } from './ids.js';
import { Listing } from './listing.js';
import { say } from './messages.js';
import { ask, exchange } from './net.js';
import { moment } from './times.js';
import { troubleWords } from './trouble.js';

/** @typedef {import('./listing.js').Item} Item */
/** @typedef {import('./forms.js').Field} Field */
/** @typedef {import('./forms.js').Values} Values */

const SETTINGS = '/api/v1/camera-settings';
/** Settings to choose from in a list; who has more names them by the API. */
const CHOICES_MAX = 200;

const ofUser = byId('sessions-user', HTMLInputElement);
/** Names of settings by their ids. @type {Map<string, string>} */
const names = new Map();
/** @type {(words: string) => void} */
let tell = () => {};

const sessions = new Listing('sessions', {
  path: () => `/api/v1/sessions?limit=50${ofUser.value.trim() ? `&user_id=${encodeURIComponent(ofUser.value.trim())}` : ''}`,
  columns: [
    { title: 'admin.session', of: ({ id }) => sessionLink(id) },
    { title: 'admin.user', of: ({ user_id }) => String(user_id) },
    { title: 'admin.photos', of: ({ total_captures }) => total_captures, kind: 'number' },
    { title: 'admin.settings', of: ({ camera_settings_id: id }) => (id ? names.get(id) ?? shortId(id) : null), none: 'session.noSettings' },
    { title: 'admin.opened', of: ({ created_at }) => moment(created_at) },
    { title: 'admin.ended', of: ({ ended_at }) => moment(ended_at), none: 'admin.open' },
  ],
  actions: (session) => (session.ended_at ? [] : [{ name: 'sessions.change', act: changeSession }, { name: 'sessions.end', act: endSession, danger: true }]),
});

const settings = new Listing('settings', {
  path: () => `${SETTINGS}?limit=50`,
  columns: [
    { title: 'settings.name', of: ({ setting_name }) => setting_name },
    { title: 'settings.when', of: whenWords, kind: 'words' },
    { title: 'settings.resolution', of: ({ resolution }) => resolution.replace('x', ' × ') },
    { title: 'settings.use', of: ({ is_active, is_default }) => [!is_active && say('settings.inactive'), is_default && say('settings.default')].filter(Boolean).join(', '), none: 'settings.active' },
  ],
  actions: () => [{ name: 'settings.edit', act: editSettings }],
});

/** @param {Item} one */
function whenWords(one) {
  if (one.recording_mode === 'INTERVAL') return one.interval_seconds === 1 ? say('session.everySecond') : say('session.everySeconds', { n: one.interval_seconds });
  const events = [one.capture_on_button_click && say('trigger.BUTTON_CLICK'), one.capture_on_message_send && say('trigger.MESSAGE_SEND'), one.capture_on_question_start && say('trigger.QUESTION_START')];
  return events.filter(Boolean).join(', ') || say('settings.never');
}

/** @returns {Promise<Item[]>} */
async function readNames() {
  const { items } = await ask('GET', `${SETTINGS}?limit=${CHOICES_MAX}`);
  names.clear();
  for (const { id, setting_name } of items) names.set(id, setting_name);
  return items;
}

/**
 * @param {Item[]} items
 * @param {string | null} chosen
 * @returns {Field}
 */
function choiceOf(items, chosen) {
  const options = items.filter(({ id, is_active }) => is_active || id === chosen).map(({ id, setting_name }) => ({ value: id, words: setting_name }));
  return { name: 'camera_settings_id', label: 'sessions.settings', kind: 'select', value: chosen ?? '', options: [{ value: '', words: say('session.noSettings') }, ...options] };
}

async function newSession() {
  const items = await readNames();
  const made = await fillIn({
    title: say('sessions.new'),
    go: 'sessions.new.go',
    fields: [
      { name: 'user_id', label: 'sessions.user', kind: 'number', hint: 'sessions.user.hint', value: ofUser.value.trim(), check: (value) => (/^-?\d{1,18}$/.test(value) ? null : 'sessions.user.wrong') },
      choiceOf(items, items.find(({ is_default }) => is_default)?.id ?? null),
    ],
    send: ({ user_id, camera_settings_id }) => ask('POST', '/api/v1/sessions', { user_id: Number(user_id), camera_settings_id: camera_settings_id || null }),
  });
  if (!made) return;
  tell(say('sessions.made', { id: shortId(made.id) }));
  await sessions.begin();
}

/** @param {Item} session */
async function changeSession(session) {
  const changed = await fillIn({
    title: say('sessions.change.title', { id: shortId(session.id) }),
    text: say('sessions.change.text'),
    go: 'form.save',
    fields: [choiceOf(await readNames(), session.camera_settings_id)],
    send: ({ camera_settings_id }) => ask('PATCH', `/api/v1/sessions/${session.id}`, { camera_settings_id: camera_settings_id || null }),
  });
  if (!changed) return;
  sessions.replace(changed);
  tell(say('sessions.changed', { id: shortId(session.id) }));
}

/** @param {Item} session */
async function endSession(session) {
  const ended = await fillIn({
    title: say('sessions.end.title', { id: shortId(session.id) }),
    text: say('sessions.end.text'),
    go: 'sessions.end.go',
    danger: true,
    send: () => ask('POST', `/api/v1/sessions/${session.id}/end`),
  });
  if (!ended) return;
  sessions.replace(ended);
  tell(say('sessions.ended', { id: shortId(session.id) }));
}

/** @param {Values} values */
const isInterval = (values) => values.recording_mode === 'INTERVAL';
/** @param {Values} values */
const isOfEvents = (values) => !isInterval(values);

/**
 * The fields of settings, with the rules of the app's model; the server has the last word.
 * @param {Item} now
 * @returns {Field[]}
 */
function fieldsOf(now) {
  return [
    { name: 'setting_name', label: 'settings.name', kind: 'text', value: now.setting_name, check: (value) => (value.length >= 1 && [...value].length <= 100 ? null : 'settings.name.wrong') },
    { name: 'recording_mode', label: 'settings.when', kind: 'select', value: now.recording_mode, options: [{ value: 'INTERVAL', words: say('settings.mode.interval') }, { value: 'EVENT_DRIVEN', words: say('settings.mode.events') }] },
    { name: 'interval_seconds', label: 'settings.interval', kind: 'number', value: String(now.interval_seconds ?? ''), isAsked: isInterval, check: (value) => (/^\d{1,5}$/.test(value) && Number(value) >= 1 && Number(value) <= 86_400 ? null : 'settings.interval.wrong') },
    { name: 'capture_on_button_click', label: 'settings.onClick', kind: 'checkbox', value: now.capture_on_button_click, isAsked: isOfEvents },
    { name: 'capture_on_message_send', label: 'settings.onMessage', kind: 'checkbox', value: now.capture_on_message_send, isAsked: isOfEvents },
    { name: 'capture_on_question_start', label: 'settings.onQuestion', kind: 'checkbox', value: now.capture_on_question_start, isAsked: isOfEvents },
    { name: 'resolution', label: 'settings.resolution', kind: 'text', value: now.resolution, hint: 'settings.resolution.hint', check: (value) => (/^[1-9]\d{1,4}x[1-9]\d{1,4}$/.test(value) ? null : 'settings.resolution.wrong') },
    { name: 'is_active', label: 'settings.isActive', kind: 'checkbox', value: now.is_active, hint: 'settings.isActive.hint' },
    { name: 'is_default', label: 'settings.isDefault', kind: 'checkbox', value: now.is_default, hint: 'settings.isDefault.hint' },
  ];
}

/** @param {Values} values */
function bodyOf({ interval_seconds, ...values }) {
  return values.recording_mode === 'INTERVAL' ? { ...values, interval_seconds: Number(interval_seconds) } : values;
}

async function newSettings() {
  const made = await fillIn({
    title: say('settings.new'),
    go: 'settings.new.go',
    fields: fieldsOf({ recording_mode: 'INTERVAL', interval_seconds: 1, resolution: '1280x720', is_active: true }),
    send: (values) => ask('POST', SETTINGS, bodyOf(values)),
  });
  if (!made) return;
  tell(say('settings.made', { name: made.setting_name }));
  await settings.begin();
}

/** @param {Item} one */
async function editSettings(one) {
  // Read anew, with what names their state: two editors must not undo each other's change unseen.
  const { said, headers } = await exchange('GET', `${SETTINGS}/${one.id}`);
  const changed = await fillIn({
    title: say('settings.edit.title', { name: said.setting_name }),
    text: say('settings.edit.text'),
    go: 'form.save',
    fields: fieldsOf(said),
    send: async (values) => (await exchange('PATCH', `${SETTINGS}/${one.id}`, bodyOf(values), { 'if-match': headers.get('etag') ?? '*' })).said,
  });
  if (!changed) return;
  tell(say('settings.changed', { name: changed.setting_name }));
  // There is one default: it may have been another's.
  await settings.begin();
}

/** @param {(words: string) => void} telling */
export async function showSessions(telling) {
  tell = telling;
  // The list says the rest where the names cannot be read.
  await readNames().catch(() => {});
  sessions.begin();
}

/** @param {(words: string) => void} telling */
export function showSettings(telling) {
  tell = telling;
  settings.begin();
}

export function saySessions() {
  sessions.render();
  settings.render();
}

byId('sessions-filter', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  const isRight = /^(-?\d+)?$/.test(ofUser.value.trim());
  tell(isRight ? '' : say('sessions.user.wrong'));
  if (isRight) sessions.begin();
});
byId('sessions-new', HTMLButtonElement).addEventListener('click', () => newSession().catch((problem) => tell(troubleWords(problem))));
byId('settings-new', HTMLButtonElement).addEventListener('click', newSettings);
