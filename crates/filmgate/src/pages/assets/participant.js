// @ts-check
// What a participant sees: their session, the camera with its start and stop, the status, the film.
//
// Owns the phase of the recording and the clock that takes photos. Leaves the camera to camera.js, the sending to
// uploads.js, the stored photos to filmstrip.js. `render` writes the whole view from what is known, at any time.

import { Camera, CameraError, cameraAbsent, sizeOf } from './camera.js';
import { byId, el, write } from './dom.js';
import { Filmstrip } from './filmstrip.js';
import { language, locale, say } from './messages.js';
import { Refusal, ask } from './net.js';
import { describe, intervalMs, sessionChoice, triggersOf, wantedFromFile } from './session.js';
import { Uploads } from './uploads.js';

/** @typedef {import('./session.js').Session} Session */
/** @typedef {import('./camera.js').NoCamera} NoCamera */
/** @typedef {import('./messages.js').MessageKey} MessageKey */
/** @typedef {'idle' | 'starting' | 'recording'} Phase */

/** So many refusals in a row, and the camera goes off: nobody is photographed for nothing. */
const REFUSALS_TO_STOP = 5;

const at = {
  desk: byId('desk', HTMLDivElement),
  none: byId('no-session', HTMLDivElement),
  noneText: byId('no-session-text', HTMLParagraphElement),
  sessions: byId('sessions', HTMLFieldSetElement),
  list: byId('session-list', HTMLDivElement),
  stage: byId('stage', HTMLDivElement),
  badge: byId('badge', HTMLParagraphElement),
  curtain: byId('curtain', HTMLDivElement),
  hint: byId('curtain-hint', HTMLParagraphElement),
  start: byId('start', HTMLButtonElement),
  again: byId('start-again', HTMLButtonElement),
  absent: byId('absent', HTMLDivElement),
  absentText: byId('absent-text', HTMLParagraphElement),
  file: byId('file', HTMLInputElement),
  controls: byId('controls', HTMLDivElement),
  triggers: byId('triggers', HTMLDivElement),
  stop: byId('stop', HTMLButtonElement),
  status: byId('status', HTMLParagraphElement),
  skippedBox: byId('tally-skipped-box', HTMLDivElement),
  reasonsBox: byId('reasons-box', HTMLDivElement),
  reasons: byId('reasons', HTMLUListElement),
};

export class Participant {
  /** @type {Session[]} */
  #sessions = [];
  /** @type {Session | null} */
  #chosen = null;
  /** @type {Phase} */
  #phase = 'idle';
  /** @type {NoCamera | null} */
  #absent = cameraAbsent();
  /** Why the list of sessions is not there. @type {Refusal | null} */
  #unlisted = null;
  /** The server refused so often that the camera was stopped. */
  #stopped = false;
  /** How many were sent when the film was last asked for. */
  #stored = 0;
  #here = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #clock;
  #camera = new Camera(byId('preview', HTMLVideoElement));
  #strip;
  #uploads;
  #onSignedOut;

  /** @param {{onSignedOut: () => void}} listeners */
  constructor({ onSignedOut }) {
    this.#onSignedOut = onSignedOut;
    this.#strip = new Filmstrip({ onSignedOut: () => this.#signedOut() });
    this.#uploads = new Uploads({ onChange: () => this.#moved(), onSignedOut: () => this.#signedOut() });
    at.start.addEventListener('click', () => this.#start());
    at.again.addEventListener('click', () => this.#start());
    at.stop.addEventListener('click', () => this.stop());
    at.file.addEventListener('change', () => this.#sendFiles());
    byId('reload-sessions', HTMLButtonElement).addEventListener('click', () => this.enter());
  }

  get waiting() {
    return this.#uploads.tally.waiting;
  }

  /** Somebody has signed in: their sessions, their photos. */
  async enter() {
    this.#uploads.resume();
    try {
      /** @type {Session[]} */
      const items = (await ask('GET', '/api/v1/my/sessions')).items;
      this.#sessions = [...items.filter((one) => !one.ended_at), ...items.filter((one) => one.ended_at)];
      this.#unlisted = null;
    } catch (problem) {
      this.#unlisted = problem instanceof Refusal ? problem : new Refusal(0, '');
      if (this.#unlisted.status === 401) return this.#signedOut();
    }
    this.#here = true;
    at.list.replaceChildren(...this.#sessions.map((one) => sessionChoice(one, () => this.#choose(one))));
    const open = this.#sessions.filter((session) => !session.ended_at);
    this.#choose(open.find((session) => session.id === this.#chosen?.id) ?? open[0] ?? null);
  }

  /** Nobody, or somebody else: camera off, nothing of theirs stays on the page. */
  leave() {
    this.stop();
    this.#here = false;
    this.#sessions = [];
    this.#chosen = null;
    this.#unlisted = null;
    this.#stopped = false;
    this.#stored = 0;
    this.#uploads.forget();
    this.#strip.show(null);
    this.render();
  }

  /** Camera off, now. What was taken is still sent. */
  stop() {
    clearTimeout(this.#clock);
    this.#camera.close();
    this.#phase = 'idle';
    // The focused button is about to go; whoever works by keyboard should not have to look for their place.
    const placeGoes = at.controls.contains(document.activeElement) || document.activeElement === at.start;
    this.render();
    if (placeGoes) (this.#absent ? at.again : at.start).focus();
  }

  #signedOut() {
    this.stop();
    this.#onSignedOut();
  }

  /** @param {Session | null} session */
  #choose(session) {
    this.#chosen = session;
    this.#strip.show(session?.id ?? null);
    for (const radio of at.list.querySelectorAll('input')) radio.checked = radio.value === session?.id;
    this.render();
  }

  async #start() {
    if (!this.#chosen || this.#phase !== 'idle') return;
    this.#phase = 'starting';
    this.#absent = null;
    this.#stopped = false;
    this.#uploads.forgiveRefusals();
    this.render();
    try {
      await this.#camera.open(this.#chosen.camera_settings?.resolution, () => this.#lost());
    } catch (problem) {
      this.#absent = problem instanceof CameraError ? problem.reason : 'unknown';
      return this.stop();
    }
    // Signed out while the browser was still asking.
    if (this.#phase !== 'starting') return this.#camera.close();
    this.#phase = 'recording';
    this.render();
    at.stop.focus();
    const every = intervalMs(this.#chosen);
    if (every !== null) this.#tick(performance.now(), every);
  }

  /**
   * Takes a photo and sets the clock for the next, on a grid from the start so that the seconds do not drift. After a
   * sleep it goes on from now, and does not make up for what was missed.
   * @param {number} due
   * @param {number} every milliseconds
   */
  #tick(due, every) {
    if (this.#phase !== 'recording') return;
    this.#take('INTERVAL');
    const now = performance.now();
    const next = due + every > now ? due + every : now + every;
    this.#clock = setTimeout(() => this.#tick(next, every), next - now);
  }

  /** @param {string} trigger */
  async #take(trigger) {
    const session = this.#chosen;
    if (!session || !this.#camera.isOpen || this.#uploads.full) return this.render();
    try {
      const { blob, capturedAt, timing } = await this.#camera.take();
      const metadata = { trigger, captured_at: capturedAt, timing };
      this.#uploads.add({ sessionId: session.id, blob, filename: 'capture_0.jpg', metadata });
    } catch {
      this.#uploads.failed(say('status.broken'));
    }
  }

  /** Photos from a file. They carry a trigger that the session's settings let through, and say where they are from. */
  #sendFiles() {
    const session = this.#chosen;
    for (const file of session ? (at.file.files ?? []) : []) {
      const metadata = {
        trigger: wantedFromFile(session),
        captured_at: new Date(file.lastModified).toISOString(),
        timing: {},
        source: 'file',
      };
      this.#uploads.add({ sessionId: session?.id ?? '', blob: file, filename: file.name, metadata });
    }
    at.file.value = '';
  }

  #lost() {
    this.#absent = 'lost';
    this.stop();
  }

  /** The queue moved: look at what is stored now, and whether there is any use in going on. */
  #moved() {
    const { sent } = this.#uploads.tally;
    if (sent > this.#stored) this.#strip.refreshSoon();
    this.#stored = sent;
    if (this.#phase === 'recording' && this.#uploads.refusedInARow >= REFUSALS_TO_STOP) {
      this.#stopped = true;
      this.stop();
    }
    this.render();
  }

  render() {
    at.none.hidden = !this.#here || this.#chosen !== null;
    at.desk.hidden = this.#chosen === null;
    const problem = this.#unlisted;
    if (problem) write(at.noneText, problem.words || say(problem.status ? 'error.load' : 'error.unreachable'));
    else write(at.noneText, say(this.#sessions.length ? 'session.allEnded' : 'session.none'));
    this.#strip.render();
    if (!this.#chosen) return;

    const recording = this.#phase === 'recording';
    const size = sizeOf(this.#chosen.camera_settings?.resolution);
    at.stage.dataset.phase = this.#absent && this.#phase === 'idle' ? 'absent' : this.#phase;
    at.stage.style.aspectRatio = this.#absent ? '' : `${size.width} / ${size.height}`;
    at.sessions.disabled = this.#phase !== 'idle';
    at.curtain.hidden = recording || (this.#absent !== null && this.#phase === 'idle');
    at.absent.hidden = this.#absent === null || this.#phase !== 'idle';
    if (this.#absent) write(at.absentText, say(`absent.${this.#absent}`));
    // A page that is not secure stays so; the others may come right by trying again.
    at.again.hidden = this.#absent === 'insecure' || this.#absent === 'unsupported';
    at.start.setAttribute('aria-disabled', String(this.#phase === 'starting'));
    write(at.start, say(this.#phase === 'starting' ? 'camera.starting' : 'camera.start'));
    write(at.hint, this.#phase === 'starting' ? say('camera.allow') : describe(this.#chosen));
    write(at.badge, recording ? say(this.#uploads.full ? 'camera.paused' : 'camera.recording') : '');
    at.controls.hidden = !recording;
    this.#renderTriggers();
    for (const label of at.list.querySelectorAll('label')) {
      const session = this.#sessions.find((one) => one.id === label.dataset.session);
      const line = label.querySelector('.about');
      if (session && line) write(line, describe(session));
    }
    this.#renderStatus();
  }

  #renderTriggers() {
    const wanted = this.#chosen ? triggersOf(this.#chosen) : [];
    const kept = `${this.#chosen?.id} ${language()}`;
    if (at.triggers.dataset.kept === kept) return;
    at.triggers.dataset.kept = kept;
    at.triggers.replaceChildren(
      ...wanted.map(({ trigger, on }) => {
        const words = say(trigger === 'MANUAL' ? 'camera.take' : `trigger.${trigger}`);
        const title = on ? null : say('trigger.off', { trigger: words });
        const button = el('button', { type: 'button', disabled: !on, title, 'data-trigger': trigger }, words);
        button.addEventListener('click', () => this.#take(trigger));
        return button;
      }),
    );
  }

  #renderStatus() {
    const { sent, waiting, skipped, refused, reasons, trouble } = this.#uploads.tally;
    const counts = { sent, waiting, skipped, refused };
    for (const [name, n] of Object.entries(counts)) {
      const place = byId(`tally-${name}`, HTMLElement);
      write(place, n.toLocaleString(locale()));
      place.parentElement?.classList.toggle('some', n > 0);
    }
    at.skippedBox.hidden = skipped === 0;
    at.reasonsBox.hidden = reasons.length === 0;
    const lines = reasons.map(([words, n]) => `${n.toLocaleString(locale())} × ${words}`);
    if (lines.join('\n') !== at.reasons.dataset.kept) {
      at.reasons.dataset.kept = lines.join('\n');
      at.reasons.replaceChildren(...lines.map((line) => el('li', {}, line)));
    }
    let words = say(`status.${this.#phase}`);
    let kind = this.#phase === 'recording' ? 'good' : 'calm';
    if (this.#phase === 'idle' && waiting > 0) words = say('status.sending');
    if (this.#stopped) [words, kind] = [say('status.stopped'), 'bad'];
    if (trouble?.kind === 'offline') [words, kind] = [say('status.offline'), 'warn'];
    if (trouble?.kind === 'busy') {
      const time = new Date(trouble.until).toLocaleTimeString(locale());
      [words, kind] = [`${trouble.words} ${say('status.busy', { time })}`, 'warn'];
    }
    if (this.#uploads.full) [words, kind] = [say('status.full'), 'warn'];
    write(at.status, words);
    at.status.dataset.kind = kind;
  }
}
