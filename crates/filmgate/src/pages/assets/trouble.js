// @ts-check
// What a person reads of what went wrong: the server's own words, or ours where it had none.

import { say } from './messages.js';
import { Refusal } from './net.js';

/** @param {unknown} problem */
export function troubleWords(problem) {
  const refusal = problem instanceof Refusal ? problem : new Refusal(0, '');
  return refusal.words || say(refusal.status ? 'error.load' : 'error.unreachable');
}
