// @ts-check
// A small plot of lines over time: drawn as SVG, with its values in words beside it and for who does not see it.
//
// Promises: a gap where nothing was measured, a line from zero up, the same width of time whatever there is. Leaves to
// others: which figures, and the table that has them all.

import { el, shape, write } from './dom.js';
import { say } from './messages.js';
import { clock } from './times.js';

/** @typedef {{words: string, of: (sample: import('./operate-figures.js').Sample) => number | null}} Line */
/** @typedef {{at: number, values: (number | null)[]}} Point */

const WIDTH = 320;
const HEIGHT = 96;
/** Room for half a line's width. */
const TOP = 3;

export class Plot {
  /** The element to put into the page. */
  element;
  #title = el('h3', { class: 'label' });
  #now = el('p', { class: 'plot-now' });
  #most = el('span', { class: 'plot-most' });
  #place = el('div', { class: 'plot-place' });
  #axis = [el('span'), el('span'), el('span')];
  #listener;
  /** @type {Point[]} */
  #points = [];
  /** @type {SVGLineElement | null} */
  #cursor = null;
  #from = 0;
  #to = 1;
  /** @type {string[]} */
  #words = [];
  /** @type {(value: number) => string} */
  #format = String;

  /** @param {(at: number | null) => void} listener hears which moment is pointed at */
  constructor(listener) {
    this.#listener = listener;
    const axis = el('p', { class: 'axis', 'aria-hidden': 'true' }, ...this.#axis);
    this.element = el('section', { class: 'plot card' }, el('header', {}, this.#title, this.#now), el('div', { class: 'plot-frame' }, this.#most, this.#place), axis);
    this.#place.addEventListener('pointermove', (event) => {
      const box = this.#place.getBoundingClientRect();
      this.#listener(this.#from + ((event.clientX - box.left) / box.width) * (this.#to - this.#from));
    });
    this.#place.addEventListener('pointerleave', () => this.#listener(null));
  }

  /**
   * @param {object} what
   * @param {string} what.title
   * @param {string[]} what.words what each line is called
   * @param {Point[]} what.points
   * @param {number} what.from
   * @param {number} what.to
   * @param {number} what.gapMs longer without a point, and the line breaks
   * @param {number} [what.least] that the scale reaches in any case
   * @param {(value: number) => string} what.format
   */
  draw({ title, words, points, from, to, gapMs, least = 1, format }) {
    [this.#points, this.#from, this.#to, this.#words, this.#format] = [points, from, to, words, format];
    const most = roundUp(Math.max(least, ...points.flatMap(({ values }) => values.map((value) => value ?? 0))));
    const x = (/** @type {number} */ at) => Number((((at - from) / (to - from)) * WIDTH).toFixed(2));
    const y = (/** @type {number} */ value) => Number((HEIGHT - 1 - (value / most) * (HEIGHT - 1 - TOP)).toFixed(2));
    write(this.#title, title);
    write(this.#most, format(most));
    [from, (from + to) / 2, to].forEach((at, index) => write(this.#axis[index], clock(at).replace(/(\d\d[:.]\d\d)[:.]\d\d/, '$1')));
    const svg = shape('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': this.#heard(title) });
    for (const share of [0.5, 1]) svg.append(shape('line', { class: 'rule', x1: 0, x2: WIDTH, y1: y(most * share), y2: y(most * share) }));
    svg.append(shape('line', { class: 'rule floor', x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 }));
    words.forEach((_, line) => {
      const pieces = piecesOf(points, line, gapMs);
      const path = (/** @type {[number, number][]} */ piece) => piece.map(([at, value], index) => `${index ? 'L' : 'M'}${x(at)} ${y(value)}`).join('');
      if (words.length === 1) {
        const area = pieces.filter((piece) => piece.length > 1).map((piece) => `${path(piece)}L${x(piece[piece.length - 1][0])} ${HEIGHT}L${x(piece[0][0])} ${HEIGHT}Z`);
        svg.append(shape('path', { class: 'area', d: area.join('') }));
      }
      // A piece of one point is a dot.
      svg.append(shape('path', { class: `line line-${line + 1}`, d: pieces.map((piece) => path(piece) + (piece.length === 1 ? 'h0.01' : '')).join('') }));
    });
    this.#cursor = shape('line', { class: 'cursor', x1: 0, x2: 0, y1: 0, y2: HEIGHT, visibility: 'hidden' });
    svg.append(this.#cursor);
    this.#place.replaceChildren(svg);
    this.point(null);
  }

  /** Says the values of that moment; null: of the newest. @param {number | null} at */
  point(at) {
    const near = at === null ? this.#points.at(-1) : this.#points.reduce((/** @type {Point | undefined} */ best, one) => (!best || Math.abs(one.at - at) < Math.abs(best.at - at) ? one : best), undefined);
    this.#now.replaceChildren(...this.#words.map((words, line) => {
      const value = near?.values[line] ?? null;
      const said = el('strong', {}, value === null ? '–' : this.#format(value));
      if (this.#words.length === 1) return said;
      return el('span', {}, el('span', { class: `swatch swatch-${line + 1}`, 'aria-hidden': 'true' }), `${words} `, said);
    }));
    if (at !== null && near) this.#now.append(el('span', { class: 'muted small' }, clock(near.at)));
    if (!this.#cursor) return;
    const x = near && at !== null ? String(((near.at - this.#from) / (this.#to - this.#from)) * WIDTH) : '0';
    this.#cursor.setAttribute('x1', x);
    this.#cursor.setAttribute('x2', x);
    this.#cursor.setAttribute('visibility', at !== null && near ? 'visible' : 'hidden');
  }

  /** The plot in a sentence. @param {string} title */
  #heard(title) {
    if (this.#points.length === 0) return say('plot.nothing', { title });
    const lines = this.#words.map((words, line) => {
      const values = this.#points.flatMap(({ values: all }) => all[line] ?? []);
      if (values.length === 0) return say('plot.none', { name: words });
      const [last, least, most] = [values[values.length - 1], Math.min(...values), Math.max(...values)].map(this.#format);
      return say('plot.line', { name: words, last, least, most });
    });
    return `${title}, ${clock(this.#points[0].at)} – ${clock(this.#points[this.#points.length - 1].at)}. ${lines.join(' ')}`;
  }
}

/**
 * The line in pieces, broken where nothing was measured.
 * @param {Point[]} points
 * @param {number} line
 * @param {number} gapMs
 */
function piecesOf(points, line, gapMs) {
  /** @type {[number, number][][]} */
  const pieces = [];
  let before = -Infinity;
  for (const { at, values } of points) {
    const value = values[line];
    if (value === null || value === undefined) continue;
    if (at - before > gapMs) pieces.push([]);
    pieces[pieces.length - 1].push([at, value]);
    before = at;
  }
  return pieces;
}

/** The next of 1, 2, 5, 10, 20 and so on. @param {number} value */
function roundUp(value) {
  const whole = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * whole).find((step) => step >= value * 0.999) ?? value;
}
