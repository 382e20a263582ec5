// @ts-check
// A session as the server knows it: its captures in the order of the page's clock, its gaps, and what is odd about a photo.
//
// Promises: one list of moments, photos and gaps together. Leaves to others: how it looks.

import { ask } from './net.js';

/** @typedef {'blurred' | 'dark' | 'same' | 'problem' | 'unlinked'} Sign */
/**
 * @typedef {object} Photo
 * @property {'photo'} is
 * @property {string} id
 * @property {string} url
 * @property {number} at milliseconds, by the page's clock where it is known
 * @property {string} trigger
 * @property {string | null} question
 * @property {string} assessment '' where it has none
 * @property {Set<Sign>} signs
 * @property {Record<string, any>} said as the server told
 */
/**
 * @typedef {object} Gap
 * @property {'gap'} is
 * @property {number} at
 * @property {number} to
 * @property {number} missed
 * @property {string} reason
 * @property {string | null} question
 * @property {string | null} trigger
 * @property {string | null} code
 */
/** @typedef {Photo | Gap} Moment */
/**
 * @typedef {object} Session
 * @property {Record<string, any>} said
 * @property {Record<string, any> | null} settings
 * @property {Record<string, any>} balance
 * @property {Photo[]} photos
 * @property {Moment[]} moments
 * @property {boolean} isCut there are more photos than are shown
 */

const PAGE = 200;
/** More photos than that and the page gets slow; the newest are shown. */
const PHOTOS_MAX = 6000;
/** A frame is blurred that is so much less sharp than the middle one of its session: cameras and rooms differ. */
const BLURRED_BELOW = 0.4;
/** Of the way from black to white. */
const DARK_BELOW = 0.18;

/**
 * Reads it all; `tell` hears how many photos there are so far, and of how many.
 * @param {string} id
 * @param {(done: number, of: number) => void} tell
 * @returns {Promise<Session>}
 */
export async function readSession(id, tell) {
  const path = `/api/v1/sessions/${encodeURIComponent(id)}`;
  const [said, balance] = await Promise.all([ask('GET', path), ask('GET', `${path}/gaps`)]);
  const settings = said.camera_settings_id ? await ask('GET', `/api/v1/camera-settings/${said.camera_settings_id}`) : null;
  /** @type {Record<string, any>[]} */
  const items = [];
  let cursor = '';
  do {
    const page = await ask('GET', `/api/v1/captures?session_id=${encodeURIComponent(said.id)}&limit=${PAGE}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    items.push(...page.items);
    cursor = page.next_cursor ?? '';
    tell(items.length, said.total_captures);
  } while (cursor && items.length < PHOTOS_MAX);
  const photos = judged(items.map(photoOf)).sort(byTime);
  /** @type {Gap[]} */
  const gaps = balance.gaps.map(gapOf);
  // Of what is not shown nothing is missing either.
  const first = cursor ? (photos[0]?.at ?? 0) : -Infinity;
  const moments = [...photos, ...gaps.filter(({ to }) => to >= first)].sort(byTime);
  return { said, settings, balance, photos, moments, isCut: cursor !== '' };
}

/**
 * @param {Moment} a
 * @param {Moment} b
 */
function byTime(a, b) {
  return a.at - b.at;
}

/**
 * A time of the server's: UTC, with or without saying so.
 * @param {unknown} said
 */
function timeOf(said) {
  if (typeof said !== 'string') return NaN;
  return Date.parse(/(?:Z|[+-]\d\d:?\d\d)$/i.test(said) ? said : `${said}Z`);
}

/**
 * @param {Record<string, any>} said
 * @returns {Photo}
 */
function photoOf(said) {
  const { metadata } = said;
  const times = [metadata?.timing?.due_at, said.captured_at, said.timestamp].map(timeOf);
  const question = metadata?.question;
  return {
    is: 'photo',
    id: said.id,
    url: said.url,
    at: times.find((time) => !Number.isNaN(time)) ?? 0,
    trigger: String(said.capture_trigger),
    question: ['string', 'number'].includes(typeof question) ? String(question) : null,
    assessment: said.assessment_id === null ? '' : `${said.assessment_type} ${said.assessment_id}`,
    signs: new Set(),
    said,
  };
}

/**
 * @param {Record<string, any>} said
 * @returns {Gap}
 */
function gapOf({ reason, from, to, missed, question, trigger, code }) {
  return { is: 'gap', at: timeOf(from), to: timeOf(to), missed, reason, question, trigger, code };
}

/**
 * Says of each photo what is odd about it.
 * @param {Photo[]} photos
 */
function judged(photos) {
  const sharpness = photos.map(({ said }) => said.processing.sharpness).filter((one) => one !== null);
  const middle = sharpness.sort((a, b) => a - b)[Math.floor(sharpness.length / 2)] ?? 0;
  for (const { said, signs, assessment } of photos) {
    const { sharpness, brightness, near_duplicate_of, state } = said.processing;
    if (brightness !== null && brightness < DARK_BELOW) signs.add('dark');
    // In the dark there are no edges to be sharp.
    else if (sharpness !== null && sharpness < middle * BLURRED_BELOW) signs.add('blurred');
    if (near_duplicate_of !== null) signs.add('same');
    if (state === 'FAILURE') signs.add('problem');
    if (assessment === '') signs.add('unlinked');
  }
  return photos;
}

/**
 * The colour of a photo before it is there, out of its ThumbHash; '' where there is none.
 * @param {string | null} placeholder
 */
export function tint(placeholder) {
  if (!placeholder) return '';
  const [a, b, c] = Array.from(atob(placeholder).slice(0, 3), (one) => one.charCodeAt(0));
  const bits = a | (b << 8) | (c << 16);
  const light = (bits & 63) / 63;
  const p = ((bits >> 6) & 63) / 31.5 - 1;
  const q = ((bits >> 12) & 63) / 31.5 - 1;
  const blue = light - (2 / 3) * p;
  const red = (3 * light - blue + q) / 2;
  const channel = (/** @type {number} */ value) => Math.round(Math.min(1, Math.max(0, value)) * 255);
  return `rgb(${channel(red)} ${channel(red - q)} ${channel(blue)})`;
}
