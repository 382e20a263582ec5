// The way of a frame from this browser to the server.
//
// Owns the sending for a whole origin: of all its pages one sends, the one that holds a lock; the others keep frames and
// hear what became of them. Promises: a frame leaves the queue only with the server's receipt or its final no; every
// try carries the same idempotency key and the same form; what the server asks to wait is waited; a frame of somebody
// else than who is signed in is not sent. Leaves to others: taking frames, showing counts.

import { backoffMs, judge, TRIES_MAX, type Answer, type Verdict } from './answers.js';
import { newKey } from './digest.js';
import { NO_HINTS, readHints, TRIGGER_HEADER, type Hints } from './hints.js';
import type { Store, Waiting } from './store.js';

/** Why nothing moves just now. */
export type Trouble = { kind: 'offline' | 'busy' | 'signed-out'; words: string; until: number };

/** What became of a frame. */
export interface Outcome {
  kind: 'stored' | 'skipped' | 'refused' | 'aside' | 'purged';
  key: string;
  session: string;
  trigger: string;
  taken_at: number;
  captureId?: string | null;
  filename?: string | null;
  /** The receipt's checksum was compared and is ours; null: it could not be compared. */
  verified?: boolean | null;
  code?: string;
  words?: string;
  /** Every other frame of the session would hear the same. */
  stop?: boolean;
}

const IN_AIR = 3;
const UPLOAD_TIMEOUT_MS = 120_000;
/** A page that shows nobody signed in looks again now and then: they may have signed in by another page. */
const SIGNED_OUT_LOOK_MS = 30_000;
const LEASE_MS = 15_000;
const POLL_MS = 5000;
/** Longer than this nothing is kept in a browser that never finds its server again. */
export const KEEP_MS = 7 * 24 * 3600 * 1000;

type Note =
  | { kind: 'added' }
  | { kind: 'resume' }
  | { kind: 'abort'; session: string | null }
  | { kind: 'outcome'; outcome: Outcome }
  | { kind: 'state'; trouble: Trouble | null; hints: Hints };

export interface SenderListener {
  onOutcome(outcome: Outcome): void;
  onState(): void;
}

export class Sender {
  readonly base: string;
  trouble: Trouble | null = null;
  hints: Hints = NO_HINTS;
  #store: Store;
  #owner: string;
  #listeners = new Set<SenderListener>();
  #channel: BroadcastChannel | null = null;
  #leads = false;
  #closed = false;
  #busy = new Map<number, AbortController>();
  #strikes = 0;
  #pumping = false;
  #again = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #letGo: (() => void) | null = null;
  #tab = newKey();

  constructor(store: Store, base: string, owner: string) {
    this.#store = store;
    this.base = base;
    this.#owner = owner;
    if (typeof BroadcastChannel === 'function') {
      this.#channel = new BroadcastChannel(`filmgate-camera ${base}`);
      this.#channel.onmessage = (event: MessageEvent<Note>) => this.#heard(event.data);
    }
    addEventListener('online', this.#hurry);
    addEventListener('focus', this.#look);
    void this.#expire();
    void this.#lead();
  }

  get leads(): boolean {
    return this.#leads;
  }

  get inAir(): number {
    return this.#busy.size;
  }

  get owner(): string {
    return this.#owner;
  }

  /** Somebody signed in: only their frames are sent, and those without a name. */
  set owner(owner: string) {
    if (owner === this.#owner) return;
    this.#owner = owner;
    this.resume();
  }

  listen(listener: SenderListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A frame was kept. */
  wake(): void {
    if (this.#leads) void this.#pump();
    else this.#tell({ kind: 'added' });
  }

  /** Signed in (again): what waited for that goes on, also what was set aside. */
  resume(): void {
    this.#tell({ kind: 'resume' });
    void this.#resume();
  }

  /** Takes frames back that nobody may have any more; what is on its way is broken off. */
  async purge(session: string | null): Promise<number> {
    this.#tell({ kind: 'abort', session });
    const gone = await this.#store.purge(session === null ? null : { session });
    this.#abort(new Set(gone.map(({ seq }) => seq)));
    for (const frame of gone) this.#outcome(frame, { kind: 'purged' });
    return gone.length;
  }

  close(): void {
    this.#closed = true;
    this.#leads = false;
    clearTimeout(this.#timer);
    this.#letGo?.();
    this.#abort(null);
    this.#channel?.close();
    this.#channel = null;
    removeEventListener('online', this.#hurry);
    removeEventListener('focus', this.#look);
  }

  #hurry = (): void => {
    // A wait that the server itself asked for is still kept.
    if (this.trouble?.kind === 'offline') this.trouble.until = 0;
    this.wake();
  };

  #look = (): void => {
    if (this.trouble?.kind === 'signed-out') this.trouble.until = 0;
    this.wake();
  };

  async #resume(): Promise<void> {
    if (!this.#leads) return;
    if (this.trouble?.kind === 'signed-out') this.#setTrouble(null);
    await this.#store.reconsider(this.#owner).catch(() => {});
    void this.#pump();
  }

  /** Of several pages one sends. A browser without locks agrees by a lease, where two at once would do no harm. */
  async #lead(): Promise<void> {
    const started = async () => {
      this.#leads = true;
      await this.#store.reconsider(this.#owner).catch(() => {});
      void this.#pump();
    };
    if (this.#store.kept === 'memory') return started();
    if (navigator.locks) {
      await navigator.locks
        .request(`filmgate-camera ${this.base}`, async () => {
          if (this.#closed) return;
          await started();
          await new Promise<void>((resolve) => (this.#letGo = resolve));
          this.#leads = false;
        })
        .catch(() => (this.#closed ? undefined : started()));
      return;
    }
    const name = `lease ${this.base}`;
    for (;;) {
      if (this.#closed) return;
      const lease = await this.#store.get<{ tab: string; until: number }>(name).catch(() => undefined);
      if (!lease || lease.tab === this.#tab || lease.until < Date.now()) {
        await this.#store.set(name, { tab: this.#tab, until: Date.now() + LEASE_MS }).catch(() => {});
        if (!this.#leads) await started();
        else void this.#pump();
      } else this.#leads = false;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async #expire(): Promise<void> {
    const gone = await this.#store.purge({ before: Date.now() - KEEP_MS }).catch(() => []);
    for (const frame of gone) this.#outcome(frame, { kind: 'refused', code: 'expired', words: '' });
  }

  async #pump(): Promise<void> {
    if (!this.#leads || this.#closed) return;
    // One at a time decides what is sent next: two would pick the same frame.
    if (this.#pumping) {
      this.#again = true;
      return;
    }
    this.#pumping = true;
    try {
      do {
        this.#again = false;
        const wait = (this.trouble?.until ?? 0) - Date.now();
        if (wait > 0) {
          clearTimeout(this.#timer);
          this.#timer = setTimeout(() => void this.#pump(), Math.min(wait + 5, 0x7fffffff));
          return;
        }
        // While in trouble one frame at a time asks whether it is over.
        const room = (this.trouble ? 1 : IN_AIR) - this.#busy.size;
        if (room <= 0) return;
        const taken = new Set(this.#busy.keys());
        for (const frame of await this.#store.next(this.#owner, room, taken)) void this.#send(frame);
      } while (this.#again);
    } catch {
      // The browser's store failed us; what is in it stays, and the next frame or page asks again.
    } finally {
      this.#pumping = false;
    }
  }

  async #send(frame: Waiting): Promise<void> {
    const abort = new AbortController();
    this.#busy.set(frame.seq, abort);
    this.#changed();
    const timer = setTimeout(() => abort.abort(), UPLOAD_TIMEOUT_MS);
    let answer: Answer | null = null;
    try {
      const response = await fetch(`${this.base}/upload`, {
        method: 'POST',
        headers: {
          accept: 'application/json',
          'Idempotency-Key': frame.key,
          // The receipt is to name the checksum, also where the server answers with tasks by default.
          Prefer: 'wait=30',
          [TRIGGER_HEADER]: frame.trigger,
        },
        body: formOf(frame),
        signal: abort.signal,
      });
      const { status, redirected, headers } = response;
      const body: unknown = await response.json().catch(() => null);
      answer = { status, redirected, headers, body };
      this.hints = readHints(headers, Date.now());
    } catch {
      answer = null;
    }
    clearTimeout(timer);
    // Purged while it was on its way: nobody waits for what becomes of it.
    if (!this.#busy.has(frame.seq)) return;
    try {
      await this.#settle(frame, judge(answer, frame.sha256, Date.now()));
    } catch {
      // Not settled in the store: the frame is sent again, and the server knows its key.
    }
    this.#busy.delete(frame.seq);
    this.#changed();
    void this.#pump();
  }

  async #settle(frame: Waiting, verdict: Verdict): Promise<void> {
    switch (verdict.kind) {
      case 'stored':
        this.#recovered();
        if (verdict.verified === false) return this.#another(frame, 'the receipt names another checksum');
        await this.#store.settle(frame, 'arrived');
        return this.#outcome(frame, verdict);
      case 'skipped':
        this.#recovered();
        await this.#store.settle(frame, 'keep');
        return this.#outcome(frame, verdict);
      case 'new-key':
        return this.#another(frame, verdict.words);
      case 'sign-in':
        return this.#setTrouble({ kind: 'signed-out', words: '', until: Date.now() + SIGNED_OUT_LOOK_MS });
      case 'again': {
        const tries = frame.tries + (verdict.counts ? 1 : 0);
        if (tries >= TRIES_MAX) return this.#aside(frame, 'too_many_tries', verdict.words);
        if (tries !== frame.tries) await this.#store.update({ ...frame, tries });
        // Several in the air fall together and are one strike.
        if (!this.trouble || this.trouble.until <= Date.now()) this.#strikes += 1;
        const wait = verdict.wait_ms ?? backoffMs(this.#strikes, Math.random());
        const until = Math.max(this.trouble?.until ?? 0, Date.now() + wait);
        return this.#setTrouble({ kind: verdict.trouble, words: verdict.words, until });
      }
      case 'aside':
        this.#recovered();
        return this.#aside(frame, verdict.code, verdict.words);
      case 'refused':
        this.#recovered();
        await this.#store.settle(frame, 'keep');
        return this.#outcome(frame, verdict);
    }
  }

  /** Under another key; three times, then it is set aside. What the server has of it is not ours. */
  async #another(frame: Waiting, words: string): Promise<void> {
    const tries = frame.tries + 3;
    if (tries > TRIES_MAX) return this.#aside(frame, 'checksum_differs', words);
    await this.#store.update({ ...frame, key: newKey(), tries });
  }

  async #aside(frame: Waiting, code: string, words: string): Promise<void> {
    await this.#store.update({ ...frame, aside: { code, words } });
    this.#outcome(frame, { kind: 'aside', code, words });
  }

  #recovered(): void {
    // Unless another answer just asked for a wait.
    if (this.trouble?.kind === 'busy' && this.trouble.until > Date.now()) return;
    this.#strikes = 0;
    this.#setTrouble(null);
  }

  #setTrouble(trouble: Trouble | null): void {
    this.trouble = trouble;
    this.#changed();
  }

  #abort(which: Set<number> | null): void {
    for (const [seq, abort] of this.#busy) {
      if (which && !which.has(seq)) continue;
      this.#busy.delete(seq);
      abort.abort();
    }
  }

  #outcome(frame: Waiting, about: Pick<Outcome, 'kind'> & Partial<Outcome>): void {
    const { key, session, trigger, taken_at } = frame;
    const { kind, captureId, filename, verified, code, words, stop } = about;
    const outcome: Outcome = { kind, key, session, trigger, taken_at };
    Object.assign(outcome, JSON.parse(JSON.stringify({ captureId, filename, verified, code, words, stop })));
    this.#tell({ kind: 'outcome', outcome });
    for (const listener of this.#listeners) listener.onOutcome(outcome);
  }

  #changed(): void {
    this.#tell({ kind: 'state', trouble: this.trouble, hints: this.hints });
    for (const listener of this.#listeners) listener.onState();
  }

  #tell(note: Note): void {
    try {
      this.#channel?.postMessage(note);
    } catch {
      // Closed with the page.
    }
  }

  #heard(note: Note): void {
    switch (note.kind) {
      case 'added':
        if (this.#leads) void this.#pump();
        return;
      case 'resume':
        void this.#resume();
        return;
      case 'abort':
        // Looks for what is no longer in the store once the purge is through.
        if (this.#leads) setTimeout(() => void this.#dropPurged(), 100);
        return;
      case 'outcome':
        for (const listener of this.#listeners) listener.onOutcome(note.outcome);
        return;
      case 'state':
        if (this.#leads) return;
        this.trouble = note.trouble;
        this.hints = note.hints;
        for (const listener of this.#listeners) listener.onState();
    }
  }

  async #dropPurged(): Promise<void> {
    const left = await this.#store.next(this.#owner, Infinity, new Set()).catch(() => null);
    if (!left) return;
    const known = new Set(left.map(({ seq }) => seq));
    this.#abort(new Set([...this.#busy.keys()].filter((seq) => !known.has(seq))));
  }
}

/** One frame as the upload contract wants it. The same frame makes the same form, however often. */
function formOf(frame: Waiting): FormData {
  const blob = frame.blob instanceof Blob ? frame.blob : new Blob([frame.blob], { type: 'image/jpeg' });
  const form = new FormData();
  form.append('session_id', frame.session);
  form.append('metadata_0', frame.metadata);
  form.append('capture_0', blob, frame.filename);
  return form;
}
