// @ts-check
// Moments and spans of time, as the reader writes them.

import { el } from './dom.js';
import { locale } from './messages.js';

/** @param {number} at */
export function clock(at) {
  return new Date(at).toLocaleTimeString(locale(), { hour: '2-digit', minute: '2-digit', second: '2-digit' });
}

/**
 * "1:05" of the way.
 * @param {number} ms
 */
export function since(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** @param {string | number} at */
export function dateAndTime(at) {
  return new Date(at).toLocaleString(locale(), { dateStyle: 'medium', timeStyle: 'short' });
}

/**
 * A moment that the server told, which is UTC also where it does not say so; null where there is none.
 * @param {string | null | undefined} text
 */
export function moment(text) {
  if (!text) return null;
  const when = new Date(/(?:Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`);
  return Number.isNaN(when.getTime()) ? text : el('time', { datetime: when.toISOString() }, dateAndTime(when.getTime()));
}
