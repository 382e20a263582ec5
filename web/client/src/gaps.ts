// The gap log: frames that were expected and not taken, each with its reason.
//
// Promises: what follows one another for one reason is one gap; a gap is kept in the browser until a stored frame has
// carried it to the server in its metadata. Leaves to others: knowing that a frame was due.

import type { Gap, GapReason, KeptGap, Store } from './store.js';
import type { Trigger } from './settings.js';

/** A frame carries no more gaps than this: its metadata has a limit. The rest goes with the next. */
export const GAPS_A_FRAME = 40;

export interface Missed {
  reason: GapReason;
  /** When the first frame was due. */
  from: number;
  /** When the last one was. */
  to?: number;
  missed?: number;
  question?: string | undefined;
  trigger?: Trigger | undefined;
  code?: string | undefined;
}

export class GapLog {
  #store: Store;
  #session: string;
  #run: string;
  #open: (Omit<KeptGap, 'id'> & { id?: number }) | null = null;
  #work: Promise<unknown> = Promise.resolve();

  constructor(store: Store, session: string, run: string) {
    this.#store = store;
    this.#session = session;
    this.#run = run;
  }

  /** Notes missed frames; says the gap as it is now. */
  note(missed: Missed): Gap {
    const { reason, from, question, trigger, code } = missed;
    const to = missed.to ?? from;
    const n = missed.missed ?? 1;
    const last = this.#open;
    if (last && !last.carrier && last.reason === reason && last.question === question && last.trigger === trigger && last.code === code) {
      last.to = new Date(to).toISOString();
      last.missed += n;
    } else {
      this.#open = {
        session: this.#session,
        carrier: '',
        run: this.#run,
        reason,
        from: new Date(from).toISOString(),
        to: new Date(to).toISOString(),
        missed: n,
        question,
        trigger,
        code,
      };
    }
    const gap = this.#open!;
    this.#then(async () => {
      gap.id = await this.#store.putGap({ ...gap });
    });
    return publicGap(gap);
  }

  /** A frame was taken: what is missed from here on is another gap. */
  close(): void {
    this.#open = null;
  }

  /** Gaps that no frame carries yet, to be written into the metadata of the next. */
  async take(): Promise<{ ids: number[]; gaps: Gap[] }> {
    this.close();
    await this.settled();
    const open = await this.#store.openGaps(this.#session, GAPS_A_FRAME);
    return { ids: open.map(({ id }) => id), gaps: open.map(publicGap) };
  }

  settled(): Promise<unknown> {
    return this.#work;
  }

  #then(work: () => Promise<void>): void {
    // A log that cannot be written loses a reason, and no frame.
    this.#work = this.#work.then(work).catch(() => {});
  }
}

/** As it travels: without what only this browser needs. */
function publicGap({ reason, from, to, missed, run, question, trigger, code }: Gap): Gap {
  return JSON.parse(JSON.stringify({ reason, from, to, missed, run, question, trigger, code }));
}
