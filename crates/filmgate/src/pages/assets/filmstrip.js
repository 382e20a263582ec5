// @ts-check
// The last photos that the server has stored for a session, newest first: the proof that they arrived.

import { byId, el, write } from './dom.js';
import { locale, say } from './messages.js';
import { Refusal, ask } from './net.js';

const SHOWN = 12;
/** While photos come every second the list is asked for no oftener than this. */
const REFRESH_MS = 2000;
/** A photo fresh from the camera may not be ready to show yet. */
const PICTURE_RETRY_MS = [1500, 3000, 6000, 12_000];

/**
 * @typedef {object} Capture
 * @property {string} id
 * @property {string} url
 * @property {string} timestamp UTC without an offset, as the upload contract has it
 * @property {string} capture_trigger
 */

export class Filmstrip {
  #list = byId('strip', HTMLUListElement);
  #total = byId('strip-total', HTMLSpanElement);
  #empty = byId('strip-empty', HTMLParagraphElement);
  /** @type {string | null} */
  #sessionId = null;
  /** @type {Capture[]} */
  #captures = [];
  /** @type {number | null} */
  #stored = null;
  #stale = false;
  /** @type {Map<string, HTMLLIElement>} */
  #frames = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #askedAt = -Infinity;
  #onSignedOut;

  /** @param {{onSignedOut: () => void}} listeners */
  constructor({ onSignedOut }) {
    this.#onSignedOut = onSignedOut;
  }

  /** @param {string | null} sessionId */
  show(sessionId) {
    if (sessionId !== this.#sessionId) {
      this.#captures = [];
      this.#stored = null;
    }
    this.#sessionId = sessionId;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.render();
    if (sessionId) this.#refresh();
  }

  refreshSoon() {
    if (this.#timer !== undefined || this.#sessionId === null) return;
    const wait = Math.max(0, this.#askedAt + REFRESH_MS - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#refresh();
    }, wait);
  }

  async #refresh() {
    const sessionId = this.#sessionId;
    if (sessionId === null) return;
    this.#askedAt = performance.now();
    try {
      const said = await ask('GET', `/assessment/camera/session/${encodeURIComponent(sessionId)}`);
      if (sessionId !== this.#sessionId) return;
      /** @type {Capture[]} */
      const captures = said.captures ?? [];
      this.#captures = captures.slice(-SHOWN).reverse();
      this.#stored = said.total_captures ?? captures.length;
      this.#stale = false;
    } catch (problem) {
      if (sessionId !== this.#sessionId) return;
      if (problem instanceof Refusal && problem.status === 401) return this.#onSignedOut();
      // What is shown stays; the next photo that is stored asks again.
      this.#stale = true;
    }
    this.render();
  }

  render() {
    const known = this.#stored !== null;
    this.#empty.hidden = !known || this.#captures.length > 0;
    const parts = [];
    if (this.#stored) parts.push(say('strip.total', { n: this.#stored }));
    if (this.#captures.length > 1) parts.push(say('strip.newest'));
    if (this.#stale) parts.push(say('strip.stale'));
    write(this.#total, parts.join(' · '));

    const wanted = new Set(this.#captures.map(({ id }) => id));
    for (const [id, frame] of this.#frames) {
      if (wanted.has(id)) continue;
      frame.remove();
      this.#frames.delete(id);
    }
    // New frames go in beside the old ones, which are not moved: focus stays where it is, no picture loads twice.
    let place = this.#list.firstElementChild;
    for (const capture of this.#captures) {
      const frame = this.#frames.get(capture.id) ?? frameOf(capture);
      this.#frames.set(capture.id, frame);
      label(frame, capture);
      if (frame === place) place = place.nextElementSibling;
      else this.#list.insertBefore(frame, place);
    }
  }
}

/**
 * @param {Capture} capture
 * @returns {HTMLLIElement}
 */
function frameOf(capture) {
  const picture = el('img', { width: 160, height: 90, decoding: 'async', 'data-capture': capture.id });
  let tries = 0;
  picture.addEventListener('error', () => {
    const wait = PICTURE_RETRY_MS[tries++];
    if (wait !== undefined) setTimeout(() => (picture.src = capture.url), wait);
  });
  picture.addEventListener('load', () => picture.classList.add('here'));
  picture.src = capture.url;
  const link = el('a', { href: capture.url, target: '_blank', rel: 'noopener' }, picture);
  return el('li', {}, link, el('span', { class: 'when', 'aria-hidden': 'true' }));
}

/**
 * @param {HTMLLIElement} frame
 * @param {Capture} capture
 */
function label(frame, capture) {
  const utc = /(?:Z|[+-]\d\d:?\d\d)$/i.test(capture.timestamp) ? capture.timestamp : `${capture.timestamp}Z`;
  const when = new Date(utc);
  const time = Number.isNaN(when.getTime()) ? capture.timestamp : when.toLocaleTimeString(locale());
  const picture = frame.querySelector('img');
  const words = say('strip.photo', { time, trigger: triggerWords(capture.capture_trigger) });
  if (picture && picture.alt !== words) picture.alt = words;
  const line = frame.querySelector('.when');
  if (line) write(line, time);
}

/** @param {string} trigger */
function triggerWords(trigger) {
  switch (trigger.toUpperCase()) {
    case 'INTERVAL':
      return say('trigger.INTERVAL');
    case 'BUTTON_CLICK':
      return say('trigger.BUTTON_CLICK');
    case 'MESSAGE_SEND':
      return say('trigger.MESSAGE_SEND');
    case 'QUESTION_START':
      return say('trigger.QUESTION_START');
    case 'MANUAL':
      return say('trigger.MANUAL');
    default:
      return trigger;
  }
}
