// @ts-check
// What a session's camera settings mean for the page: how often, which triggers, in which words. No state.

import { sizeOf } from './camera.js';
import { el } from './dom.js';
import { say } from './messages.js';

/**
 * @typedef {object} CameraSettings
 * @property {string} [setting_name]
 * @property {'INTERVAL' | 'EVENT_DRIVEN' | string} [recording_mode]
 * @property {number | null} [interval_seconds]
 * @property {string | null} [resolution]
 * @property {boolean} [is_active]
 * @property {boolean} [capture_on_button_click]
 * @property {boolean} [capture_on_message_send]
 * @property {boolean} [capture_on_question_start]
 *
 * @typedef {object} Session
 * @property {string} id
 * @property {CameraSettings | null} camera_settings
 * @property {string | null} [ended_at]
 *
 * @typedef {'BUTTON_CLICK' | 'MESSAGE_SEND' | 'QUESTION_START' | 'MANUAL'} EventTrigger
 */

/**
 * The settings that gate: inactive ones are as good as none, and let every trigger through.
 * @param {Session | null} session
 * @returns {CameraSettings | null}
 */
function gating(session) {
  const settings = session?.camera_settings ?? null;
  return settings?.is_active === false ? null : settings;
}

/**
 * Milliseconds from photo to photo, or null where photos are not taken by the clock.
 * @param {Session} session
 * @returns {number | null}
 */
export function intervalMs(session) {
  const settings = gating(session);
  return settings?.recording_mode === 'INTERVAL' ? Math.max(1, settings.interval_seconds ?? 1) * 1000 : null;
}

/**
 * The buttons that take a photo in this session, and whether the session wants each.
 * @param {Session} session
 * @returns {{trigger: EventTrigger, on: boolean}[]}
 */
export function triggersOf(session) {
  const settings = gating(session);
  if (settings?.recording_mode === 'INTERVAL') return [];
  if (settings?.recording_mode !== 'EVENT_DRIVEN') return [{ trigger: 'MANUAL', on: true }];
  return [
    { trigger: 'BUTTON_CLICK', on: settings.capture_on_button_click !== false },
    { trigger: 'MESSAGE_SEND', on: settings.capture_on_message_send !== false },
    { trigger: 'QUESTION_START', on: settings.capture_on_question_start !== false },
  ];
}

/**
 * The trigger under which a photo from a file passes the session's gate.
 * @param {Session | null} session
 * @returns {string}
 */
export function wantedFromFile(session) {
  if (!session) return 'MANUAL';
  if (intervalMs(session) !== null) return 'INTERVAL';
  return triggersOf(session).find(({ on }) => on)?.trigger ?? 'MANUAL';
}

/**
 * "a photo every second · 1280 × 720"
 * @param {Session} session
 * @returns {string}
 */
export function describe(session) {
  if (session.ended_at) return say('session.ended');
  const every = intervalMs(session);
  const { width, height } = sizeOf(session.camera_settings?.resolution);
  let words = say(gating(session)?.recording_mode === 'EVENT_DRIVEN' ? 'session.events' : 'session.manual');
  if (every !== null) words = every === 1000 ? say('session.everySecond') : say('session.everySeconds', { n: every / 1000 });
  return `${words} · ${width}\u00a0×\u00a0${height}`;
}

/**
 * The end of an id: a UUIDv7 begins with the time, so that sessions opened together begin alike.
 * @param {string} id
 */
export function shortId(id) {
  return id.length > 8 ? `…${id.slice(-8)}` : id;
}

/**
 * One session to choose.
 * @param {Session} session
 * @param {() => void} onChoose
 * @returns {HTMLLabelElement}
 */
export function sessionChoice(session, onChoose) {
  const radio = el('input', { type: 'radio', name: 'session', value: session.id, disabled: Boolean(session.ended_at) });
  radio.addEventListener('change', onChoose);
  const name = session.camera_settings?.setting_name ?? say('session.noSettings');
  return el(
    'label',
    { class: 'session', 'data-session': session.id },
    radio,
    el('span', { class: 'name' }, name),
    el('span', { class: 'about' }, describe(session)),
    el('span', { class: 'id', title: session.id }, shortId(session.id)),
  );
}
