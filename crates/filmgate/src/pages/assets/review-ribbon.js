// @ts-check
// The whole session on one line: what arrived, what is missing and why, and where the reader is.
//
// A picture beside the words: all that it shows stands in the list below it too, which is what the keyboard goes through.

import { shape } from './dom.js';
import { say } from './messages.js';
import { questionWords, reasonClass, reasonWords } from './review-words.js';
import { since } from './times.js';

/** @typedef {import('./review-session.js').Session} Session */

const WIDTH = 1000;
const HEIGHT = 56;
const BINS = 250;

/** The session's first and last moment. @param {Session} session */
export function ends({ moments }) {
  const from = moments[0]?.at ?? 0;
  const to = moments.reduce((last, moment) => Math.max(last, moment.is === 'gap' ? moment.to : moment.at), from);
  return { from, to: Math.max(to, from + 1000) };
}

/**
 * Draws it; `goTo` hears of a click, by time.
 * @param {HTMLElement} place
 * @param {Session} session
 * @param {(at: number) => void} goTo
 */
export function drawRibbon(place, session, goTo) {
  const { from, to } = ends(session);
  const x = (/** @type {number} */ at) => ((at - from) / (to - from)) * WIDTH;
  const { expected, received, missed } = session.balance;
  const svg = shape('svg', {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: 'none',
    role: 'img',
    'aria-label': say('review.ribbon', { expected, received, missed, time: since(to - from) }),
  });

  // Questions, in turn lighter and darker.
  let begun = from;
  let turn = 0;
  const photos = session.photos;
  photos.forEach((photo, index) => {
    const next = photos[index + 1];
    if (next && next.question === photo.question) return;
    const until = next ? next.at : to;
    if (turn++ % 2 === 0) svg.append(shape('rect', { class: 'band', x: x(begun), y: 0, width: Math.max(0, x(until) - x(begun)), height: HEIGHT }, questionWords(photo.question)));
    begun = until;
  });

  // How many arrived, the fuller the higher.
  const bins = new Array(BINS).fill(0);
  for (const { at } of photos) bins[Math.min(BINS - 1, Math.floor((x(at) / WIDTH) * BINS))] += 1;
  const most = Math.max(1, ...bins);
  const few = photos.length < BINS;
  if (few) {
    for (const { at } of photos) svg.append(shape('rect', { class: 'here', x: Math.min(WIDTH - 3, x(at)), y: 14, width: 3, height: HEIGHT - 14 }));
  } else {
    bins.forEach((count, bin) => {
      const height = (count / most) * (HEIGHT - 14);
      if (count) svg.append(shape('rect', { class: 'here', x: (bin / BINS) * WIDTH, y: HEIGHT - height, width: WIDTH / BINS - 0.6, height }));
    });
  }
  for (const photo of photos) {
    if (photo.trigger !== 'INTERVAL') svg.append(shape('rect', { class: 'event', x: Math.min(WIDTH - 3, x(photo.at)), y: 0, width: 3, height: 9 }));
  }

  const turnMs = (session.settings?.interval_seconds ?? 1) * 1000;
  for (const moment of session.moments) {
    if (moment.is !== 'gap') continue;
    const begins = x(moment.at - turnMs / 2);
    const width = Math.max(3, x(moment.to + turnMs / 2) - begins);
    const title = `${say('review.missing', { n: moment.missed })}: ${reasonWords(moment.reason)}`;
    svg.append(shape('rect', { class: `gap ${reasonClass(moment.reason)}`, x: Math.max(0, begins), y: moment.trigger ? 0 : 14, width, height: moment.trigger ? 9 : HEIGHT - 14 }, title));
  }
  const window_ = shape('rect', { class: 'window', x: 0, y: 0.5, width: 0, height: HEIGHT - 1, rx: 3 });
  svg.append(window_);
  svg.addEventListener('click', (event) => {
    const box = svg.getBoundingClientRect();
    goTo(from + ((event.clientX - box.left) / box.width) * (to - from));
  });
  place.replaceChildren(svg);

  return {
    /**
     * Marks what the reader has before them.
     * @param {number} first
     * @param {number} last
     */
    mark(first, last) {
      window_.setAttribute('x', String(Math.max(0, x(first) - 2)));
      window_.setAttribute('width', String(Math.max(6, x(last) - x(first) + 4)));
    },
  };
}
