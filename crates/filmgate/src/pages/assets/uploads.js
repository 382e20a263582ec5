// @ts-check
// The way of a photo from this page to the server.
//
// Owns the queue of photos that wait. Promises: at most IN_AIR uploads at once; a photo leaves the queue only when the
// server has it, or has refused it in words that are shown; a retry carries the same Idempotency-Key, so an answer lost
// on the way stores nothing twice; a wait the server asks for is kept. Leaves to others: taking photos, showing counts.

import { jsonOf, newKey, retryAfterMs, wordsOf } from './net.js';

export const IN_AIR = 4;
/** More than this is not held in memory: the camera pauses, visibly, until some are sent. */
export const WAITING_LIMIT = 600;
const UPLOAD_TIMEOUT_MS = 120_000;
const LONGEST_BACKOFF_MS = 30_000;
/** The server failed on this very photo, again and again: after so many tries its words are shown instead. */
const TRIES = 8;

/**
 * @typedef {object} Photo
 * @property {string} sessionId
 * @property {Blob} blob
 * @property {string} filename
 * @property {Record<string, unknown>} metadata trigger, captured_at, timing
 *
 * @typedef {Photo & {key: string, tries: number}} Waiting
 *
 * @typedef {{kind: 'offline' | 'busy', words: string, until: number}} Trouble
 *
 * @typedef {object} Tally
 * @property {number} sent
 * @property {number} waiting in the queue and in the air
 * @property {number} skipped
 * @property {number} refused
 * @property {[string, number][]} reasons why photos were refused or skipped, with how many
 * @property {Trouble | null} trouble why nothing moves just now
 */

export class Uploads {
  /** @type {Waiting[]} */
  #queue = [];
  #air = 0;
  #sent = 0;
  #skipped = 0;
  #refused = 0;
  #refusedInARow = 0;
  /** @type {Map<string, number>} */
  #reasons = new Map();
  /** @type {Trouble | null} */
  #trouble = null;
  #strikes = 0;
  #held = false;
  /** Grows when the queue is forgotten: an answer to an older photo then counts for nobody. */
  #age = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #onChange;
  #onSignedOut;

  /** @param {{onChange: () => void, onSignedOut: () => void}} listeners */
  constructor({ onChange, onSignedOut }) {
    this.#onChange = onChange;
    this.#onSignedOut = onSignedOut;
    window.addEventListener('online', () => this.#hurry());
  }

  /** @returns {Tally} */
  get tally() {
    return {
      sent: this.#sent,
      waiting: this.#queue.length + this.#air,
      skipped: this.#skipped,
      refused: this.#refused,
      reasons: [...this.#reasons],
      trouble: this.#trouble,
    };
  }

  /** Refusals since the last photo that was stored: whoever takes photos should stop when there are several. */
  get refusedInARow() {
    return this.#refusedInARow;
  }

  /** The camera starts again: let the server refuse anew before it is stopped anew. */
  forgiveRefusals() {
    this.#refusedInARow = 0;
  }

  get full() {
    return this.#queue.length + this.#air >= WAITING_LIMIT;
  }

  /** @param {Photo} photo */
  add(photo) {
    this.#queue.push({ ...photo, key: newKey(), tries: 0 });
    this.#pump();
    this.#onChange();
  }

  /** A photo that never came to be; counted, so that it is not lost in silence. @param {string} words */
  failed(words) {
    this.#refused += 1;
    this.#because(words);
    this.#onChange();
  }

  /** Signed in again as the same person: what waited goes on. */
  resume() {
    this.#held = false;
    this.#hurry();
  }

  /** Somebody else sits here now, or nobody: what waited is not theirs to send. */
  forget() {
    this.#age += 1;
    this.#queue = [];
    this.#sent = this.#skipped = this.#refused = this.#refusedInARow = this.#strikes = 0;
    this.#reasons.clear();
    this.#trouble = null;
    this.#held = false;
    clearTimeout(this.#timer);
    this.#onChange();
  }

  /** The network is back. A wait that the server itself asked for is still kept. */
  #hurry() {
    if (this.#trouble?.kind === 'offline') this.#trouble.until = 0;
    this.#pump();
  }

  /** An answer came: the way is open, unless another answer just asked for a wait. */
  #recovered() {
    if (this.#trouble?.kind === 'busy' && this.#trouble.until > Date.now()) return;
    this.#trouble = null;
    this.#strikes = 0;
  }

  #pump() {
    if (this.#held) return;
    const wait = (this.#trouble?.until ?? 0) - Date.now();
    if (wait > 0) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#pump(), Math.min(wait, 0x7fffffff));
      return;
    }
    // While in trouble one photo at a time asks whether it is over.
    const limit = this.#trouble ? 1 : IN_AIR;
    while (this.#air < limit) {
      const next = this.#queue.shift();
      if (!next) return;
      this.#send(next);
    }
  }

  /** @param {Waiting} photo */
  async #send(photo) {
    const age = this.#age;
    this.#air += 1;
    let answer = null;
    let said = null;
    try {
      answer = await fetch('/assessment/camera/upload', {
        method: 'POST',
        headers: { accept: 'application/json', 'Idempotency-Key': photo.key },
        body: formOf(photo),
        signal: AbortSignal.timeout(UPLOAD_TIMEOUT_MS),
      });
      said = await jsonOf(answer);
    } catch {
      answer = null;
    }
    this.#air -= 1;
    if (age === this.#age) this.#judge(photo, answer, said);
    this.#pump();
    this.#onChange();
  }

  /**
   * @param {Waiting} photo
   * @param {Response | null} answer
   * @param {any} said
   */
  #judge(photo, answer, said) {
    if (answer === null) return this.#again(photo, 'offline', '', null);
    const words = wordsOf(said) || `${answer.status} ${answer.statusText}`.trim();
    if (answer.ok) {
      // A 2xx that is not ours (a café's sign-in page, say) stored nothing.
      if (said?.status !== 'OLKORECT') return this.#again(photo, 'offline', '', null);
      this.#recovered();
      this.#refusedInARow = 0;
      this.#sent += (said.captures ?? said.task_ids ?? []).length;
      for (const skipped of said.skipped ?? []) {
        this.#skipped += 1;
        this.#because(String(skipped.reason ?? skipped.trigger ?? ''));
      }
      return;
    }
    switch (answer.status) {
      case 401:
        this.#queue.unshift(photo);
        if (!this.#held) {
          this.#held = true;
          this.#onSignedOut();
        }
        return;
      case 429:
      case 503:
      case 507:
        return this.#again(photo, 'busy', words, retryAfterMs(answer));
      // 409: the same key is still being worked on. The others: the server stumbled, perhaps not again.
      case 408:
      case 409:
      case 425:
      case 500:
      case 502:
      case 504:
        photo.tries += 1;
        if (photo.tries < TRIES) return this.#again(photo, 'busy', words, retryAfterMs(answer));
    }
    this.#recovered();
    this.#refused += 1;
    this.#refusedInARow += 1;
    this.#because(words);
  }

  /**
   * @param {Waiting} photo
   * @param {Trouble['kind']} kind
   * @param {string} words
   * @param {number | null} asked milliseconds the server asked for
   */
  #again(photo, kind, words, asked) {
    // To the back: a photo that breaks its connection each time must not stand before the others.
    this.#queue.push(photo);
    const now = Date.now();
    // Four in the air fall together and are one strike.
    if (!this.#trouble || this.#trouble.until <= now) this.#strikes += 1;
    const backoff = Math.min(1000 * 2 ** (this.#strikes - 1), LONGEST_BACKOFF_MS);
    const wait = asked ?? backoff * (0.75 + Math.random() / 2);
    this.#trouble = { kind, words, until: Math.max(this.#trouble?.until ?? 0, now + wait) };
  }

  /** @param {string} words */
  #because(words) {
    this.#reasons.set(words, (this.#reasons.get(words) ?? 0) + 1);
  }
}

/**
 * One photo as the upload contract wants it.
 * @param {Photo} photo
 * @returns {FormData}
 */
function formOf(photo) {
  const form = new FormData();
  form.append('session_id', photo.sessionId);
  form.append('metadata_0', JSON.stringify(photo.metadata));
  form.append('capture_0', photo.blob, photo.filename);
  return form;
}
