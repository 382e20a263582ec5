// @ts-check
// A session and its camera settings in words. No state.

import { intervalMs, isWanted, sizeOf } from '/client/filmgate.js';
import { el } from './dom.js';
import { shortId } from './ids.js';
import { say } from './messages.js';

/** @typedef {import('/client/filmgate.js').CameraSettings} CameraSettings */
/** @typedef {import('/client/filmgate.js').Trigger} Trigger */
/**
 * @typedef {object} Session
 * @property {string} id
 * @property {CameraSettings | null} camera_settings
 * @property {string | null} [ended_at]
 */

/**
 * The trigger under which a photo from a file passes the session's gate.
 * @param {Session} session
 * @returns {Trigger}
 */
export function wantedFromFile(session) {
  /** @type {Trigger[]} */
  const triggers = ['MANUAL', 'INTERVAL', 'BUTTON_CLICK', 'MESSAGE_SEND', 'QUESTION_START'];
  return triggers.find((trigger) => isWanted(session.camera_settings, trigger)) ?? 'MANUAL';
}

/**
 * "a photo every second · 1280 × 720"
 * @param {Session} session
 * @returns {string}
 */
export function describe(session) {
  if (session.ended_at) return say('session.ended');
  const settings = session.camera_settings?.is_active === false ? null : session.camera_settings;
  const every = intervalMs(settings);
  const { width, height } = sizeOf(session.camera_settings?.resolution);
  let words = say(settings?.recording_mode === 'EVENT_DRIVEN' ? 'session.events' : 'session.manual');
  if (every !== null) words = every === 1000 ? say('session.everySecond') : say('session.everySeconds', { n: every / 1000 });
  return `${words} · ${width}\u00a0×\u00a0${height}`;
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
