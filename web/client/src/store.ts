// What waits in the browser: frames without a receipt, gaps that no frame has carried yet, and a few notes.
//
// Promises: a frame that `add` has resolved for survives a reload, a crash of the tab and of the browser, where there is
// IndexedDB. Where there is none (`kept` says "memory") it lives as long as the page, and the status says so.

import type { Trigger } from './settings.js';

/** A frame that waits for its receipt. */
export interface Waiting {
  seq: number;
  /** The idempotency key. */
  key: string;
  /** Whose it is, as the page names its people; '' where it does not. */
  owner: string;
  session: string;
  trigger: Trigger;
  /** Events go before the clock's frames: 0 before 1. */
  rank: 0 | 1;
  blob: Blob | ArrayBuffer;
  sha256: string | null;
  metadata: string;
  filename: string;
  taken_at: number;
  tries: number;
  /** Why it is set aside; absent while it is to be sent. */
  aside?: { code: string; words: string } | undefined;
}

export type NewFrame = Omit<Waiting, 'seq' | 'tries' | 'rank'>;

/** Frames that the settings expected and that were not taken, or were refused for good. */
export interface Gap {
  reason: GapReason;
  /** When the first of them was due, ISO 8601. */
  from: string;
  /** When the last of them was due. */
  to: string;
  /** How many. */
  missed: number;
  run?: string | undefined;
  question?: string | undefined;
  trigger?: Trigger | undefined;
  /** The server's code, of `refused`. */
  code?: string | undefined;
}

export type GapReason =
  | 'hidden'
  | 'asleep'
  | 'thinned'
  | 'refused'
  | 'not_wanted'
  | 'camera_ended'
  | 'camera_muted'
  | 'encode_failed'
  | 'slow'
  | 'queue_full'
  | 'paused'
  | 'not_running'
  | 'expired';

export interface KeptGap extends Gap {
  id: number;
  session: string;
  /** The frame that brings it to the server; '' while none does. */
  carrier: string;
}

/** Which frames: of a session, of an owner, of a carrier. */
export interface Store {
  readonly kept: 'indexeddb' | 'memory';
  /** Keeps the frame, and notes that it carries these gaps, both or neither. */
  add(frame: NewFrame, gaps: number[]): Promise<Waiting>;
  /** What to send next, in order. */
  next(owner: string, limit: number, busy: ReadonlySet<number>): Promise<Waiting[]>;
  update(frame: Waiting): Promise<void>;
  /** The frame is settled; with it go the gaps that it carried, unless they are to find another carrier. */
  settle(frame: Waiting, gaps: 'arrived' | 'keep'): Promise<void>;
  count(owner: string): Promise<{ waiting: number; aside: number }>;
  /** What was set aside is to be tried again. */
  reconsider(owner: string): Promise<void>;
  /** Takes frames away unsent, with their sessions' gaps; which: null is every one. Says how many frames. */
  purge(which: { session?: string; before?: number } | null): Promise<Waiting[]>;
  putGap(gap: Omit<KeptGap, 'id'> & { id?: number }): Promise<number>;
  openGaps(session: string, limit: number): Promise<KeptGap[]>;
  get<T>(name: string): Promise<T | undefined>;
  set(name: string, value: unknown): Promise<void>;
}

const NAME = 'filmgate-camera';

/** IndexedDB, or memory where the browser has none for this page. */
export async function openStore(name = NAME): Promise<Store> {
  try {
    return new IndexedStore(await open(name));
  } catch {
    return new MemoryStore();
  }
}

function open(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(name, 1);
    asked.onupgradeneeded = () => {
      const db = asked.result;
      const frames = db.createObjectStore('frames', { keyPath: 'seq', autoIncrement: true });
      frames.createIndex('order', ['rank', 'seq']);
      frames.createIndex('session', 'session');
      const gaps = db.createObjectStore('gaps', { keyPath: 'id', autoIncrement: true });
      gaps.createIndex('session', 'session');
      db.createObjectStore('notes');
    };
    asked.onsuccess = () => {
      // A later version in another tab may take over; this one then works on in its own transactions' errors.
      asked.result.onversionchange = () => asked.result.close();
      resolve(asked.result);
    };
    asked.onerror = () => reject(asked.error);
    asked.onblocked = () => reject(new Error('blocked'));
  });
}

function got<T>(asked: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

const rankOf = (trigger: Trigger): 0 | 1 => (trigger === 'INTERVAL' ? 1 : 0);

class IndexedStore implements Store {
  readonly kept = 'indexeddb';
  #db: IDBDatabase;

  constructor(db: IDBDatabase) {
    this.#db = db;
  }

  /** Runs within one transaction, and resolves once it is on the disk. */
  async #within<T>(names: string[], mode: IDBTransactionMode, work: (tx: IDBTransaction) => Promise<T>): Promise<T> {
    const tx = this.#db.transaction(names, mode, { durability: mode === 'readwrite' ? 'strict' : 'default' });
    const done = new Promise<void>((resolve, reject) => {
      tx.oncomplete = () => resolve();
      tx.onabort = tx.onerror = () => reject(tx.error ?? new Error('the browser keeps nothing'));
    });
    const [value] = await Promise.all([work(tx), done]);
    return value;
  }

  async add(frame: NewFrame, gaps: number[]): Promise<Waiting> {
    const whole = { ...frame, rank: rankOf(frame.trigger), tries: 0 };
    return this.#within(['frames', 'gaps'], 'readwrite', async (tx) => {
      const seq = Number(await got(tx.objectStore('frames').add(whole)));
      const store = tx.objectStore('gaps');
      for (const id of gaps) {
        const gap = (await got(store.get(id))) as KeptGap | undefined;
        if (gap) await got(store.put({ ...gap, carrier: frame.key }));
      }
      return { ...whole, seq };
    });
  }

  next(owner: string, limit: number, busy: ReadonlySet<number>): Promise<Waiting[]> {
    return this.#within(['frames'], 'readonly', (tx) => {
      const found: Waiting[] = [];
      const asked = tx.objectStore('frames').index('order').openCursor();
      return new Promise((resolve, reject) => {
        asked.onerror = () => reject(asked.error);
        asked.onsuccess = () => {
          const cursor = asked.result;
          if (!cursor || found.length >= limit) return resolve(found);
          const frame = cursor.value as Waiting;
          if (!frame.aside && mine(frame, owner) && !busy.has(frame.seq)) found.push(frame);
          cursor.continue();
        };
      });
    });
  }

  async update(frame: Waiting): Promise<void> {
    await this.#within(['frames'], 'readwrite', async (tx) => {
      // Purged meanwhile, it must not come back.
      const store = tx.objectStore('frames');
      if ((await got(store.getKey(frame.seq))) !== undefined) await got(store.put(frame));
    });
  }

  async settle(frame: Waiting, gaps: 'arrived' | 'keep'): Promise<void> {
    await this.#within(['frames', 'gaps'], 'readwrite', async (tx) => {
      tx.objectStore('frames').delete(frame.seq);
      const store = tx.objectStore('gaps');
      const all = (await got(store.index('session').getAll(frame.session))) as KeptGap[];
      for (const gap of all.filter(({ carrier }) => carrier === frame.key)) {
        if (gaps === 'arrived') store.delete(gap.id);
        else store.put({ ...gap, carrier: '' });
      }
    });
  }

  async count(owner: string): Promise<{ waiting: number; aside: number }> {
    const all = await this.#all();
    const ours = all.filter((frame) => mine(frame, owner));
    const aside = ours.filter((frame) => frame.aside).length;
    return { waiting: ours.length - aside, aside };
  }

  #all(): Promise<Waiting[]> {
    return this.#within(['frames'], 'readonly', (tx) => got(tx.objectStore('frames').getAll()) as Promise<Waiting[]>);
  }

  async reconsider(owner: string): Promise<void> {
    await this.#within(['frames'], 'readwrite', async (tx) => {
      const store = tx.objectStore('frames');
      for (const frame of (await got(store.getAll())) as Waiting[]) {
        if (frame.aside && mine(frame, owner)) store.put({ ...frame, aside: undefined, tries: 0 });
      }
    });
  }

  purge(which: { session?: string; before?: number } | null): Promise<Waiting[]> {
    return this.#within(['frames', 'gaps', 'notes'], 'readwrite', async (tx) => {
      const frames = tx.objectStore('frames');
      const gone = ((await got(frames.getAll())) as Waiting[]).filter((frame) => chosen(frame, which));
      for (const { seq } of gone) frames.delete(seq);
      if (which === null) {
        tx.objectStore('gaps').clear();
        tx.objectStore('notes').clear();
      } else if (which.session !== undefined) {
        const gaps = tx.objectStore('gaps');
        for (const id of await got(gaps.index('session').getAllKeys(which.session))) gaps.delete(id);
      }
      return gone;
    });
  }

  putGap(gap: Omit<KeptGap, 'id'> & { id?: number }): Promise<number> {
    return this.#within(['gaps'], 'readwrite', async (tx) => Number(await got(tx.objectStore('gaps').put(gap))));
  }

  openGaps(session: string, limit: number): Promise<KeptGap[]> {
    return this.#within(['gaps'], 'readonly', async (tx) => {
      const all = (await got(tx.objectStore('gaps').index('session').getAll(session))) as KeptGap[];
      return all.filter(({ carrier }) => carrier === '').slice(0, limit);
    });
  }

  get<T>(name: string): Promise<T | undefined> {
    return this.#within(['notes'], 'readonly', (tx) => got(tx.objectStore('notes').get(name)) as Promise<T | undefined>);
  }

  async set(name: string, value: unknown): Promise<void> {
    await this.#within(['notes'], 'readwrite', (tx) => got(tx.objectStore('notes').put(value, name)));
  }
}

function mine(frame: Waiting, owner: string): boolean {
  return frame.owner === '' || frame.owner === owner;
}

function chosen(frame: Waiting, which: { session?: string; before?: number } | null): boolean {
  if (which === null) return true;
  if (which.session !== undefined && frame.session !== which.session) return false;
  return which.before === undefined || frame.taken_at < which.before;
}

/** The same in memory, for browsers that keep nothing for this page. */
export class MemoryStore implements Store {
  readonly kept = 'memory';
  #seq = 1;
  #frames = new Map<number, Waiting>();
  #gaps = new Map<number, KeptGap>();
  #notes = new Map<string, unknown>();

  async add(frame: NewFrame, gaps: number[]): Promise<Waiting> {
    const whole: Waiting = { ...frame, rank: rankOf(frame.trigger), tries: 0, seq: this.#seq++ };
    this.#frames.set(whole.seq, whole);
    for (const id of gaps) {
      const gap = this.#gaps.get(id);
      if (gap) this.#gaps.set(id, { ...gap, carrier: frame.key });
    }
    return whole;
  }

  async next(owner: string, limit: number, busy: ReadonlySet<number>): Promise<Waiting[]> {
    const ready = [...this.#frames.values()].filter((one) => !one.aside && mine(one, owner) && !busy.has(one.seq));
    return ready.sort((a, b) => a.rank - b.rank || a.seq - b.seq).slice(0, limit);
  }

  async update(frame: Waiting): Promise<void> {
    if (this.#frames.has(frame.seq)) this.#frames.set(frame.seq, frame);
  }

  async settle(frame: Waiting, gaps: 'arrived' | 'keep'): Promise<void> {
    this.#frames.delete(frame.seq);
    for (const [id, gap] of this.#gaps) {
      if (gap.carrier !== frame.key) continue;
      if (gaps === 'arrived') this.#gaps.delete(id);
      else this.#gaps.set(id, { ...gap, carrier: '' });
    }
  }

  async count(owner: string): Promise<{ waiting: number; aside: number }> {
    const ours = [...this.#frames.values()].filter((frame) => mine(frame, owner));
    const aside = ours.filter((frame) => frame.aside).length;
    return { waiting: ours.length - aside, aside };
  }

  async reconsider(owner: string): Promise<void> {
    for (const frame of this.#frames.values()) {
      if (frame.aside && mine(frame, owner)) this.#frames.set(frame.seq, { ...frame, aside: undefined, tries: 0 });
    }
  }

  async purge(which: { session?: string; before?: number } | null): Promise<Waiting[]> {
    const gone = [...this.#frames.values()].filter((frame) => chosen(frame, which));
    for (const { seq } of gone) this.#frames.delete(seq);
    if (which === null) this.#notes.clear();
    for (const [id, gap] of this.#gaps) {
      if (which === null || (which.session !== undefined && gap.session === which.session)) this.#gaps.delete(id);
    }
    return gone;
  }

  async putGap(gap: Omit<KeptGap, 'id'> & { id?: number }): Promise<number> {
    const id = gap.id ?? this.#seq++;
    this.#gaps.set(id, { ...gap, id });
    return id;
  }

  async openGaps(session: string, limit: number): Promise<KeptGap[]> {
    return [...this.#gaps.values()].filter((gap) => gap.session === session && gap.carrier === '').slice(0, limit);
  }

  async get<T>(name: string): Promise<T | undefined> {
    return this.#notes.get(name) as T | undefined;
  }

  async set(name: string, value: unknown): Promise<void> {
    this.#notes.set(name, value);
  }
}
