// @ts-check
// The figures that nodes tell of themselves, collected: an hour of each, and all of them together.
//
// A load balancer may let another node answer each time; so each that ever answered is known by its name. One that has not
// been heard for a while is not counted any more. Leaves to others: how it looks.

import { exchange } from './net.js';

/** @typedef {Record<string, any> & {at: string}} Sample as the server tells */
/** @typedef {{name: string, said: Record<string, any>, samples: Sample[], heardAt: number}} Node */

/** As the server keeps them. */
const SAMPLES_MAX = 720;
/** Silent for longer, a node is gone, or out of reach. */
export const SILENT_MS = 60_000;

/** How figures of several nodes make one; the others are added up. @type {Record<string, (values: number[]) => number>} */
const TOGETHER = {
  answer_p50_ms: most, answer_p95_ms: most, answer_p99_ms: most,
  // The catalog's, which they share.
  tasks_waiting: most, tasks_failed: most,
  disk_free_bytes: least,
  hint_interval_seconds: most, hint_quality: least,
};

/** @param {number[]} values */
function most(values) {
  return Math.max(...values);
}

/** @param {number[]} values */
function least(values) {
  return Math.min(...values);
}

export class Figures {
  /** @type {Map<string, Node>} */
  #nodes = new Map();
  /** Of the newest answer: what the server's clock is ahead of ours. */
  #aheadMs = 0;

  /** Those that were heard lately, by name. */
  get nodes() {
    const now = Date.now();
    return [...this.#nodes.values()].filter(({ heardAt }) => now - heardAt < SILENT_MS).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Milliseconds between two samples. */
  get everyMs() {
    return 1000 * (this.nodes[0]?.said.sample_seconds ?? 5);
  }

  /** The time on the server. */
  now() {
    return Date.now() + this.#aheadMs;
  }

  /** Asks whichever node answers what is new. */
  async look() {
    const known = this.nodes;
    const query = new URLSearchParams();
    if (known.length) {
      // Of whom most is missing: what another tells twice is known by its time.
      query.set('since', known.map(({ samples }) => samples.at(-1)?.at ?? '1970-01-01T00:00:00Z').reduce((a, b) => (Date.parse(a) < Date.parse(b) ? a : b)));
      query.set('nodes', known.map(({ name }) => name).join(','));
    }
    const { said: { samples, ...said }, headers } = await exchange('GET', `/api/v1/figures${known.length ? `?${query}` : ''}`);
    const date = Date.parse(headers.get('date') ?? '');
    // The header knows whole seconds only.
    if (Number.isFinite(date) && Math.abs(date - Date.now()) > 2000) this.#aheadMs = date - Date.now();
    const before = this.#nodes.get(said.node)?.samples ?? [];
    const newest = before.at(-1)?.at;
    const fresh = samples.filter((/** @type {Sample} */ { at }) => newest === undefined || Date.parse(at) > Date.parse(newest));
    this.#nodes.set(said.node, { name: said.node, said, samples: before.concat(fresh).slice(-SAMPLES_MAX), heardAt: Date.now() });
  }

  /**
   * The samples of one node; without a name, of all together, at the times of the one that was heard last.
   * @param {string} name
   * @returns {Sample[]}
   */
  samples(name) {
    const of = this.nodes.filter((node) => name === '' || node.name === name);
    if (of.length < 2) return of[0]?.samples ?? [];
    const [first, ...others] = [...of].sort((a, b) => b.heardAt - a.heardAt);
    const near = others.map(({ samples }) => byTime(samples, this.everyMs));
    return first.samples.map((sample) => {
      const turn = Math.round(Date.parse(sample.at) / this.everyMs);
      return together([sample, ...near.flatMap((samples) => samples.get(turn) ?? samples.get(turn - 1) ?? [])]);
    });
  }
}

/**
 * @param {Sample[]} samples
 * @param {number} everyMs
 */
function byTime(samples, everyMs) {
  return new Map(samples.map((sample) => [Math.round(Date.parse(sample.at) / everyMs), sample]));
}

/** @param {Sample[]} samples @returns {Sample} */
function together(samples) {
  /** @type {Sample} */
  const made = { at: samples[0].at };
  for (const name of Object.keys(samples[0])) {
    if (name === 'at') continue;
    const values = samples.map((sample) => sample[name]).filter((value) => value !== null);
    made[name] = values.length === 0 ? null : (TOGETHER[name] ?? ((all) => all.reduce((a, b) => a + b, 0)))(values);
  }
  return made;
}
