// The recorder: camera, clock, events, queue and gap log of one assessment session, put together.
//
// Owns the phase of the recording and the clock. Promises: every frame that the settings expect while it records is
// either kept (`queued`), or is a gap with a reason; after `stop`, `withdraw` or a refusal of the whole session the
// camera is free; no call waits for an upload. Leaves to others: encoding (encoder.ts), keeping (store.ts), sending
// (sender.ts).

import { Camera, CameraError, type NoCamera } from './camera.js';
import { newKey, sha256Hex, storable } from './digest.js';
import { Encoder } from './encoder.js';
import { GapLog, type Missed } from './gaps.js';
import { NO_HINTS, pacedInterval, pacedQuality } from './hints.js';
import { Sender, type Outcome, type Trouble } from './sender.js';
import { fetchSettings, intervalMs, isWanted, readSettings, readTrigger, sizeOf } from './settings.js';
import type { CameraSettings, Trigger } from './settings.js';
import { openStore, type Gap, type Store } from './store.js';

export const VERSION = '0.1.0';
export const BASE = '/assessment/camera';

export interface RecorderOptions {
  /** The assessment session, as the server knows it. */
  sessionId: string;
  /** Object, JSON text or the server's answer; left out: asked of the server at `start`. */
  settings?: CameraSettings | string | null;
  /** Whose frames these are, by any name that tells people of one browser apart. Only theirs are sent while they are signed in. */
  owner?: string;
  /** Where the camera is shown; left out: nowhere. */
  video?: HTMLVideoElement | null;
  /** Where the camera routes are. */
  base?: string;
  /** JPEG quality, 0 to 1. */
  quality?: number;
  /** What happens while the page is hidden: `pause` (default) takes no frames and notes a gap, `record` goes on. */
  whileHidden?: 'pause' | 'record';
  /** More frames than this are not kept; those of events may exceed it by a tenth. */
  framesMax?: number;
  /** The encoder's worker, where a bundler has renamed this module: the address of an unchanged filmgate.js. */
  workerUrl?: string | URL;
  /** What each frame is tagged with from the beginning; see `tag`. */
  tags?: Tags;
}

/** What a frame belongs to. Other members are kept by the server too. */
export interface Tags {
  /** The question or message on the page, by any name of yours. */
  question?: string | null;
  phq_response_id?: string | number | null;
  llm_conversation_id?: string | number | null;
  [other: string]: unknown;
}

export type Phase = 'off' | 'starting' | 'recording' | 'interrupted';

/** Why nothing is recorded. */
export type StopReason = NoCamera | 'stopped' | 'withdrawn' | 'refused';

export interface RecorderState {
  phase: Phase;
  reason: StopReason | null;
  /** The page is hidden, and frames are not taken meanwhile. */
  hidden: boolean;
  /** Frames without a receipt, of this browser and owner. */
  waiting: number;
  /** Of those, set aside: the server will not have them as things are. */
  aside: number;
  stored: number;
  skipped: number;
  refused: number;
  /** Frames expected and not taken, of this run. */
  missed: number;
  /** The server's last words of refusal, and its code. */
  words: string;
  code: string;
  trouble: Trouble | null;
  /** The server asked for fewer frames, or lower quality. */
  thinned: boolean;
  interval_ms: number | null;
  quality: number;
  /** `memory`: this browser keeps nothing over a reload. */
  kept: 'indexeddb' | 'memory';
  /** Whether frames are compared with the server's receipt by checksum. */
  compared: boolean;
}

export interface RecorderEvents {
  state: RecorderState;
  /** A frame was taken. */
  frame: { key: string; trigger: Trigger; captured_at: string; bytes: number; width: number; height: number; where: string; grab_ms: number; encode_ms: number };
  /** It is kept in the browser, and will be sent. */
  queued: { key: string; trigger: Trigger };
  stored: Outcome;
  skipped: Outcome;
  refused: Outcome;
  gap: Gap;
}

/** What is noted at each turn of the clock, so that a page that died is a gap with a beginning. */
interface Run {
  run: string;
  due: number;
  interval_ms: number;
  question?: string | undefined;
  /** Absent: the page is gone without a word. */
  ended?: 'paused';
}

const AT_WORK_MAX = 2;

export class Recorder extends EventTarget {
  readonly sessionId: string;
  readonly base: string;
  /** Resolves once the queue is open; frames of earlier pages are sent from then on. */
  readonly ready: Promise<void>;
  settings: CameraSettings | null;
  #options: RecorderOptions;
  #camera: Camera;
  #encoder: Encoder;
  #store: Store | null = null;
  #sender: Sender | null = null;
  #gaps: GapLog | null = null;
  #tags: Tags;
  #taggedAt = performance.now();
  #run = newKey();
  #sequence = 0;
  #startedAt = 0;
  #phase: Phase = 'off';
  #reason: StopReason | null = null;
  #clock: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #lastTaken = -Infinity;
  #atWork = 0;
  #wasHidden = false;
  #counts = { waiting: 0, aside: 0, stored: 0, skipped: 0, refused: 0, missed: 0 };
  #words = '';
  #code = '';
  #compared = Boolean(globalThis.crypto?.subtle);
  #tallying = false;
  #tallyAgain = false;
  #unlisten = () => {};

  constructor(options: RecorderOptions) {
    super();
    if (!options.sessionId) throw new TypeError('a recorder needs a sessionId');
    this.#options = options;
    this.sessionId = options.sessionId;
    this.base = options.base ?? BASE;
    this.settings = options.settings === undefined ? null : readSettings(options.settings);
    this.#tags = { ...options.tags };
    this.#camera = new Camera(options.video ?? null);
    this.#encoder = new Encoder(options.workerUrl ?? null);
    document.addEventListener('visibilitychange', this.#onVisibility);
    this.ready = this.#open();
  }

  async #open(): Promise<void> {
    this.#store = await openStore();
    this.#sender = await senderOf(this.#store, this.base, this.#options.owner ?? '');
    this.#gaps = new GapLog(this.#store, this.sessionId, this.#run);
    this.#unlisten = this.#sender.listen({ onOutcome: (outcome) => this.#onOutcome(outcome), onState: () => this.#changed() });
    this.#changed();
  }

  get state(): RecorderState {
    const hints = this.#sender?.hints ?? NO_HINTS;
    const base = intervalMs(this.settings);
    const wanted = this.#options.quality ?? 0.8;
    const now = Date.now();
    const interval_ms = base === null ? null : pacedInterval(base, hints, now);
    const quality = pacedQuality(wanted, hints, now);
    return {
      phase: this.#phase,
      reason: this.#reason,
      hidden: this.#phase === 'recording' && this.#pausesHidden(),
      ...this.#counts,
      words: this.#words,
      code: this.#code,
      trouble: this.#sender?.trouble ?? null,
      thinned: interval_ms !== base || quality < wanted,
      interval_ms,
      quality,
      kept: this.#store?.kept ?? 'indexeddb',
      compared: this.#compared,
    };
  }

  /** The camera's own stream, for a page that shows it itself. */
  get stream(): MediaStream | null {
    return this.#camera.stream;
  }

  /** Opens the camera and begins. Rejects with a `CameraError` that says why there is none. */
  async start(): Promise<void> {
    if (this.#phase === 'starting' || this.#phase === 'recording') return;
    const attempt = ++this.#attempt;
    this.#phase = 'starting';
    this.#reason = null;
    this.#words = this.#code = '';
    this.#changed();
    try {
      await this.ready;
      if (this.#options.settings === undefined) this.settings = await fetchSettings(this.base, this.sessionId);
      if (attempt !== this.#attempt) return;
      this.#encoder.warm();
      await this.#camera.open(this.settings, () => this.#onEnded());
    } catch (error) {
      if (attempt === this.#attempt) this.#halt(error instanceof CameraError ? error.reason : 'unknown');
      throw error;
    }
    // Stopped while the browser was still asking.
    if (attempt !== this.#attempt) {
      if (this.state.phase === 'off') this.#camera.close();
      return;
    }
    this.#phase = 'recording';
    this.#startedAt = performance.now();
    this.#lastTaken = -Infinity;
    await this.#noteAbsence();
    if (attempt !== this.#attempt) return;
    this.#changed();
    if (intervalMs(this.settings) !== null) this.#tick(performance.now());
  }

  /** Camera off, now. What was taken is still sent. `final`: nothing more is expected of this session. */
  async stop({ final = false }: { final?: boolean } = {}): Promise<void> {
    this.#halt('stopped');
    await this.#noteEnd(final);
  }

  /** Consent is withdrawn: camera off, and what has not been sent yet is deleted, unless `purge` is false. Says how many frames. */
  async withdraw({ purge = true }: { purge?: boolean } = {}): Promise<number> {
    this.#halt('withdrawn');
    await this.ready;
    await this.#noteEnd(true);
    const gone = purge ? await this.#sender!.purge(this.sessionId) : 0;
    Object.assign(this.#counts, await this.#store!.count(this.#sender!.owner).catch(() => ({})));
    this.#changed();
    return gone;
  }

  /** Signed in again: what waited for that is sent. With another `owner` from now on, only theirs is. */
  resume(owner?: string): void {
    void this.ready.then(() => {
      if (owner !== undefined && owner !== this.#sender!.owner) this.#sender!.owner = owner;
      else this.#sender!.resume();
    });
  }

  /** Frees everything; frames that wait are sent by the next page. */
  close(): void {
    this.#halt(this.#reason ?? 'stopped');
    this.#encoder.close();
    this.#unlisten();
    document.removeEventListener('visibilitychange', this.#onVisibility);
  }

  /** What frames belong to from now on. Members that are not named stay as they are; null takes one away. */
  tag(tags: Tags): void {
    if (tags.question !== undefined && tags.question !== this.#tags.question) this.#taggedAt = performance.now();
    this.#tags = { ...this.#tags, ...tags };
  }

  /** An answer was chosen. */
  onButtonClick(timing?: object | null): Promise<string | null> {
    return this.capture('BUTTON_CLICK', timing);
  }

  /** A message was sent. */
  onMessageSend(timing?: object | null): Promise<string | null> {
    return this.capture('MESSAGE_SEND', timing);
  }

  /** A question appeared; its name, if given, tags the frames from now on. */
  onQuestionStart(question?: string | null, timing?: object | null): Promise<string | null> {
    if (question) this.tag({ question });
    return this.capture('QUESTION_START', timing);
  }

  /** Takes a frame, if the settings want one of this trigger. Resolves with its key once it is kept, else with null. */
  async capture(trigger: Trigger | string = 'MANUAL', timing?: object | null): Promise<string | null> {
    const why = readTrigger(trigger);
    if (!isWanted(this.settings, why)) return null;
    const now = Date.now();
    if (this.#phase === 'interrupted') this.#missed({ reason: 'camera_ended', from: now, trigger: why });
    if (this.#phase !== 'recording') return null;
    return this.#take(why, now, timing ?? null);
  }

  /** Keeps a photo from elsewhere (a file, say) as if it had been taken now. */
  async keep(blob: Blob, { trigger = 'MANUAL', capturedAt = new Date(), filename = 'capture_0.jpg', extra = {} }: { trigger?: Trigger | string; capturedAt?: Date; filename?: string; extra?: object } = {}): Promise<string> {
    await this.ready;
    const sha256 = await sha256Hex(await blob.arrayBuffer());
    const metadata = { trigger, captured_at: capturedAt.toISOString(), ...this.#tags, ...extra, client: CLIENT };
    return this.#enqueue(readTrigger(trigger), blob, sha256, metadata, filename, capturedAt.getTime());
  }

  /** Resolves once nothing of this browser waits any more, or after so long; says whether. */
  async drained(patience_ms = 30_000): Promise<boolean> {
    await this.ready;
    const end = Date.now() + patience_ms;
    for (;;) {
      const { waiting } = await this.#store!.count(this.#sender!.owner);
      if (waiting === 0) return true;
      if (Date.now() >= end) return false;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
  }

  /** Gaps that no frame has carried to the server yet. */
  async gaps(): Promise<Gap[]> {
    await this.ready;
    await this.#gaps!.settled();
    return this.#store!.openGaps(this.sessionId, 1000);
  }

  override addEventListener<K extends keyof RecorderEvents>(type: K, listener: ((event: CustomEvent<RecorderEvents[K]>) => void) | EventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  override addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  override addEventListener(type: string, listener: any, options?: boolean | AddEventListenerOptions): void {
    super.addEventListener(type, listener, options);
  }

  // --- the clock ---------------------------------------------------------------------------------------------------

  /** On a grid from the start, so that the seconds do not drift; turns that came too late are gaps, and not made up for. */
  #tick(due: number): void {
    const every = intervalMs(this.settings);
    if (every === null || (this.#phase !== 'recording' && this.#phase !== 'interrupted')) return;
    const late = Math.floor((performance.now() - due) / every);
    if (late > 0) {
      // The page was not asked for so long: hidden and put to sleep, or the whole machine was.
      this.#missed({ reason: this.#wasHidden ? 'hidden' : 'asleep', from: wall(due), to: wall(due + (late - 1) * every), missed: late });
      due += late * every;
    }
    this.#wasHidden = document.visibilityState === 'hidden';
    this.#turn(due, every);
    const next = due + every;
    this.#clock = setTimeout(() => this.#tick(next), Math.max(0, next - performance.now()));
  }

  #turn(due: number, every: number): void {
    const at = wall(due);
    void this.#noteRun(at, every);
    const reason = this.#whyNot(due, every);
    if (reason) this.#missed({ reason, from: at });
    else {
      this.#lastTaken = due;
      void this.#take('INTERVAL', at, null);
    }
  }

  #whyNot(due: number, every: number): Missed['reason'] | null {
    if (this.#phase === 'interrupted') return 'camera_ended';
    if (this.#pausesHidden()) return 'hidden';
    const paced = pacedInterval(every, this.#sender!.hints, Date.now());
    // Half a turn of grace: on a grid of seconds 2.5 s means every third turn, and 2 s every second one.
    if (due - this.#lastTaken < paced - every / 2) return 'thinned';
    return null;
  }

  #pausesHidden(): boolean {
    return document.visibilityState === 'hidden' && this.#options.whileHidden !== 'record';
  }

  async #take(trigger: Trigger, due: number, pageTiming: object | null): Promise<string | null> {
    const missed = (reason: Missed['reason']) => {
      this.#missed({ reason, from: due, trigger: trigger === 'INTERVAL' ? undefined : trigger });
      return null;
    };
    const most = (this.#options.framesMax ?? 2000) * (trigger === 'INTERVAL' ? 1 : 1.1);
    if (this.#counts.waiting + this.#counts.aside >= most) return missed('queue_full');
    if (!this.#camera.shows) return missed(this.#camera.track?.muted ? 'camera_muted' : 'encode_failed');
    if (trigger === 'INTERVAL' && this.#atWork >= AT_WORK_MAX) return missed('slow');
    this.#atWork += 1;
    const taken = new Date();
    const attempt = this.#attempt;
    // As they are now: by the time the picture is encoded the page may have gone on.
    const tags = { ...this.#tags };
    const elapsed_ms = Math.round(performance.now() - this.#startedAt);
    const question_ms = Math.round(performance.now() - this.#taggedAt);
    const { width, height } = sizeOf(this.settings?.resolution);
    const quality = pacedQuality(this.#options.quality ?? 0.8, this.#sender!.hints, Date.now());
    try {
      const made = await this.#encoder.encode(this.#camera.video, this.#camera.track, Math.max(width, height), quality);
      // Withdrawn while it was being encoded: it never was.
      if (attempt !== this.#attempt && this.#reason === 'withdrawn') return null;
      const timing = {
        ...pageTiming,
        run: this.#run,
        sequence: this.#sequence++,
        ...(trigger === 'INTERVAL' ? { due_at: new Date(due).toISOString(), interval_ms: intervalMs(this.settings) } : {}),
        elapsed_ms,
        question_ms,
        grab_ms: made.grab_ms,
        encode_ms: made.encode_ms,
        offline: navigator.onLine === false || this.#sender!.trouble?.kind === 'offline',
      };
      const captured_at = taken.toISOString();
      const picture = { width: made.width, height: made.height, quality };
      const metadata = { trigger, captured_at, timing, ...tags, picture, client: CLIENT };
      const key = await this.#enqueue(trigger, made.blob, made.sha256, metadata, 'capture_0.jpg', taken.getTime());
      const { grab_ms, encode_ms, where } = made;
      this.#emit('frame', { key, trigger, captured_at, bytes: made.blob.size, width: made.width, height: made.height, where, grab_ms, encode_ms });
      this.#emit('queued', { key, trigger });
      return key;
    } catch (error) {
      const full = error instanceof DOMException && error.name === 'QuotaExceededError';
      return missed(full ? 'queue_full' : 'encode_failed');
    } finally {
      this.#atWork -= 1;
    }
  }

  async #enqueue(trigger: Trigger, blob: Blob, sha256: string | null, metadata: object, filename: string, taken_at: number): Promise<string> {
    const { ids, gaps } = await this.#gaps!.take();
    const key = newKey();
    const text = JSON.stringify({ ...metadata, ...(gaps.length ? { gaps } : {}) }, (_, value: unknown) =>
      typeof value === 'string' ? storable(value) : value,
    );
    const frame = { key, owner: this.#sender!.owner, session: this.sessionId, trigger, blob, sha256, metadata: text, filename, taken_at };
    await this.#store!.add(frame, ids);
    this.#compared &&= sha256 !== null;
    this.#sender!.wake();
    this.#changed();
    return key;
  }

  // --- what goes wrong, and what is noted ---------------------------------------------------------------------------

  #missed(missed: Missed): void {
    const question = this.#tags.question ?? undefined;
    this.#counts.missed += missed.missed ?? 1;
    const gap = this.#gaps!.note({ question: question === undefined ? undefined : storable(String(question)), ...missed });
    this.#emit('gap', gap);
    this.#changed();
  }

  /** How far the clock came: whoever opens the session next knows from when on nobody was here. */
  async #noteRun(due: number, interval_ms: number): Promise<void> {
    const note: Run = { run: this.#run, due, interval_ms, question: this.#tags.question ?? undefined };
    await this.#store!.set(`run ${this.sessionId}`, note).catch(() => {});
  }

  async #noteEnd(final: boolean): Promise<void> {
    if (!this.#store) return;
    const name = `run ${this.sessionId}`;
    const run = await this.#store.get<Run>(name).catch(() => undefined);
    if (run) await this.#store.set(name, final ? undefined : { ...run, ended: 'paused' }).catch(() => {});
  }

  /** Between the last turn of the run before and now nobody took frames: a gap, if a frame was due in between. */
  async #noteAbsence(): Promise<void> {
    const before = await this.#store!.get<Run>(`run ${this.sessionId}`).catch(() => undefined);
    if (!before) return;
    const missed = Math.floor((wall(performance.now()) - before.due) / before.interval_ms);
    if (missed < 1) return;
    const from = before.due + before.interval_ms;
    // The page itself was here all along, and its camera was not.
    const reason = before.ended ?? (before.run === this.#run ? 'camera_ended' : 'not_running');
    this.#missed({ reason, from, to: before.due + missed * before.interval_ms, missed, question: before.question });
    this.#gaps!.close();
  }

  #onEnded(): void {
    if (this.#phase !== 'recording') return;
    this.#phase = 'interrupted';
    this.#reason = 'ended';
    this.#changed();
  }

  #onVisibility = (): void => {
    this.#wasHidden ||= document.visibilityState === 'hidden';
    this.#changed();
  };

  #onOutcome(outcome: Outcome): void {
    if (outcome.session === this.sessionId) {
      const gone = { from: outcome.taken_at, trigger: outcome.trigger === 'INTERVAL' ? undefined : (outcome.trigger as Trigger) };
      switch (outcome.kind) {
        case 'stored':
          this.#counts.stored += 1;
          this.#emit('stored', outcome);
          break;
        case 'skipped':
          this.#counts.skipped += 1;
          this.#missed({ reason: 'not_wanted', ...gone });
          this.#emit('skipped', outcome);
          break;
        case 'refused':
          this.#counts.refused += 1;
          this.#said(outcome);
          this.#missed({ reason: outcome.code === 'expired' ? 'expired' : 'refused', code: outcome.code, ...gone });
          this.#emit('refused', outcome);
          // Nobody is photographed for nothing.
          if (outcome.stop) this.#halt('refused');
          break;
        case 'aside':
          this.#said(outcome);
          this.#emit('refused', outcome);
          if (outcome.code === 'session_not_found') this.#halt('refused');
      }
    }
    this.#changed();
  }

  #said({ words, code }: Outcome): void {
    this.#words = words ?? '';
    this.#code = code ?? '';
  }

  #halt(reason: StopReason): void {
    this.#attempt += 1;
    clearTimeout(this.#clock);
    this.#camera.close();
    this.#phase = 'off';
    this.#reason = reason;
    this.#changed();
  }

  /** Counts again, once however often it is asked meanwhile, and tells. */
  #changed(): void {
    if (this.#tallying) {
      this.#tallyAgain = true;
      return;
    }
    this.#tallying = true;
    void (async () => {
      do {
        this.#tallyAgain = false;
        if (this.#store && this.#sender) {
          const counts = await this.#store.count(this.#sender.owner).catch(() => null);
          if (counts) Object.assign(this.#counts, counts);
        }
        this.#emit('state', this.state);
        await new Promise((resolve) => setTimeout(resolve, 50));
      } while (this.#tallyAgain);
      this.#tallying = false;
    })();
  }

  #emit<K extends keyof RecorderEvents>(kind: K, detail: RecorderEvents[K]): void {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

const CLIENT = `filmgate-client/${VERSION}`;

/** Of `performance.now()`, the time on the wall. */
function wall(monotonic: number): number {
  return Math.round(Date.now() - (performance.now() - monotonic));
}

const senders = new Map<string, Promise<Sender>>();

/** One sender for a page, however many recorders. */
function senderOf(store: Store, base: string, owner: string): Promise<Sender> {
  let sender = senders.get(base);
  if (!sender) senders.set(base, (sender = Promise.resolve(new Sender(store, base, owner))));
  return sender.then((found) => {
    if (owner !== '' && found.owner !== owner) found.owner = owner;
    return found;
  });
}

/** Sends what waits of this owner, on a page without a camera. */
export async function sendWaiting({ owner = '', base = BASE }: { owner?: string; base?: string } = {}): Promise<Sender> {
  return senderOf(await openStore(), base, owner);
}

/** Deletes from this browser whatever frames wait in it, of a session or of all. Says how many. */
export async function purgeWaiting({ sessionId, base = BASE }: { sessionId?: string; base?: string } = {}): Promise<number> {
  const sender = senders.get(base);
  if (sender) return (await sender).purge(sessionId ?? null);
  return (await (await openStore()).purge(sessionId === undefined ? null : { session: sessionId })).length;
}

/** How many frames wait in this browser. */
export async function countWaiting(owner = ''): Promise<number> {
  const { waiting, aside } = await (await openStore()).count(owner);
  return waiting + aside;
}
