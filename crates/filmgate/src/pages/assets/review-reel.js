// @ts-check
// The reel: the session's photos as film, in groups, with a hatched piece where frames are missing.
//
// By keyboard the reel is one stop; arrows go from frame to frame, Enter enlarges, x chooses.

import { el, write } from './dom.js';
import { say } from './messages.js';
import { tint } from './review-session.js';
import { assessmentWords, gapWords, photoWords, questionWords, reasonClass, signWords, triggerWords } from './review-words.js';
import { clock, since } from './times.js';

/** @typedef {import('./review-session.js').Moment} Moment */
/** @typedef {import('./review-session.js').Photo} Photo */
/** @typedef {import('./review-session.js').Gap} Gap */
/** @typedef {'question' | 'assessment' | 'minute'} Grouping */
/** @typedef {{name: string, moments: Moment[], photos: number, missed: number}} Group */

/** A photo fresh from the camera may not be ready to show yet. */
const PICTURE_RETRY_MS = [1500, 3000, 6000];

/**
 * In the order of time: a question that is come back to is a group of its own.
 * @param {Moment[]} moments
 * @param {Grouping} by
 * @returns {Group[]}
 */
export function groupsOf(moments, by) {
  /** @type {Group[]} */
  const groups = [];
  let open = '';
  for (const moment of moments) {
    let name = open;
    if (by === 'minute') {
      name = clock(Math.floor(moment.at / 60_000) * 60_000);
    } else if (by === 'assessment') {
      // A gap belongs to what it is in the midst of.
      if (moment.is === 'photo') name = assessmentWords(moment.assessment);
    } else if (moment.is === 'photo' || moment.question !== null) {
      name = questionWords(moment.question);
    }
    let group = groups.at(-1);
    if (!group || (name !== open && (name !== '' || open !== ''))) {
      group = { name, moments: [], photos: 0, missed: 0 };
      groups.push(group);
      open = name;
    }
    group.moments.push(moment);
    if (moment.is === 'photo') group.photos += 1;
    else group.missed += moment.missed;
  }
  for (const group of groups) group.name ||= say('review.noQuestion');
  return groups;
}

export class Reel {
  #place;
  #open;
  #choose;
  /** @type {Set<string>} */
  #chosen;
  /** @type {Map<string, HTMLButtonElement>} */
  #shots = new Map();
  /** @type {Photo[]} */
  #shown = [];
  /** @type {string | null} */
  #last = null;

  /**
   * @param {HTMLElement} place
   * @param {Set<string>} chosen
   * @param {{open: (photo: Photo) => void, choose: () => void}} listeners
   */
  constructor(place, chosen, { open, choose }) {
    this.#place = place;
    this.#chosen = chosen;
    this.#open = open;
    this.#choose = choose;
    place.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** The photos that are shown, in order. */
  get shown() {
    return this.#shown;
  }

  /**
   * @param {Group[]} groups
   * @param {number} from when the session begins
   */
  show(groups, from) {
    this.#shots.clear();
    this.#shown = groups.flatMap(({ moments }) => moments.filter((moment) => moment.is === 'photo'));
    this.#place.replaceChildren(...groups.map((group, index) => this.#group(group, index, from)));
    const first = this.#shots.get(this.#last ?? '') ?? this.#shots.values().next().value;
    if (first) first.tabIndex = 0;
    this.mark();
  }

  /**
   * @param {Group} group
   * @param {number} index
   * @param {number} from
   */
  #group({ name, moments, photos, missed }, index, from) {
    const counts = [say('review.photos', { n: photos })];
    if (missed) counts.push(say('review.missing', { n: missed }));
    const head = el('h2', { id: `group-${index}`, tabindex: -1 }, name);
    const about = el('p', { class: 'muted small' }, `${clock(moments[0].at)} · ${counts.join(' · ')}`);
    const film = el('ul', { class: 'film-roll' }, ...moments.map((moment) => (moment.is === 'photo' ? this.#frame(moment, from) : gapPiece(moment))));
    return el('section', { class: 'group', 'aria-labelledby': `group-${index}` }, el('header', {}, head, about), film);
  }

  /**
   * @param {Photo} photo
   * @param {number} from
   */
  #frame(photo, from) {
    const picture = el('img', { alt: '', width: 160, height: 90, loading: 'lazy', decoding: 'async' });
    picture.style.backgroundColor = tint(photo.said.processing.placeholder);
    if (photo.said.processing.is_quarantined) {
      picture.classList.add('nothing');
    } else {
      let tries = 0;
      picture.addEventListener('error', () => {
        const wait = PICTURE_RETRY_MS[tries++];
        if (wait === undefined) picture.classList.add('nothing');
        else setTimeout(() => (picture.src = `${photo.url}?size=thumb&try=${tries}`), wait);
      });
      picture.addEventListener('load', () => picture.classList.add('here'));
      picture.src = `${photo.url}?size=thumb`;
    }
    const shot = el('button', { type: 'button', class: 'shot', tabindex: -1, 'data-photo': photo.id, 'aria-label': photoWords(photo) }, picture);
    const signs = signWords(photo);
    // Beside the button: words within it would have to stand in its label in the same order.
    const still = el('div', { class: 'still' }, shot);
    if (signs.length) still.append(el('span', { class: 'signs', 'aria-hidden': 'true' }, ...signs.map((words) => el('span', {}, words))));
    if (photo.trigger !== 'INTERVAL') still.append(el('span', { class: 'trigger', 'aria-hidden': 'true' }, triggerWords(photo.trigger)));
    shot.addEventListener('click', (event) => {
      if (event.shiftKey) this.#chooseTo(photo);
      else this.#open(photo);
    });
    shot.addEventListener('focus', () => this.#rove(photo.id));
    this.#shots.set(photo.id, shot);
    const pick = el('input', { type: 'checkbox', class: 'pick', tabindex: -1, 'aria-label': say('review.choose.one', { time: clock(photo.at) }) });
    pick.addEventListener('click', (event) => {
      if (event.shiftKey) this.#chooseTo(photo);
      else this.#toggle(photo.id);
    });
    const when = el('span', { class: 'when', title: clock(photo.at), 'aria-hidden': 'true' }, since(photo.at - from));
    return el('li', { class: 'frame' }, still, pick, when);
  }

  /** @param {string} id */
  #rove(id) {
    const before = this.#shots.get(this.#last ?? '') ?? this.#shots.values().next().value;
    if (before) before.tabIndex = -1;
    const now = this.#shots.get(id);
    if (now) now.tabIndex = 0;
    this.#last = id;
  }

  /** @param {string} id */
  #toggle(id) {
    if (!this.#chosen.delete(id)) this.#chosen.add(id);
    this.#last = id;
    this.mark();
    this.#choose();
  }

  /** From the last one that was looked at to this one. @param {Photo} photo */
  #chooseTo(photo) {
    const ids = this.#shown.map(({ id }) => id);
    const [a, b] = [ids.indexOf(this.#last ?? photo.id), ids.indexOf(photo.id)].sort((x, y) => x - y);
    for (const id of ids.slice(Math.max(0, a), b + 1)) this.#chosen.add(id);
    this.#rove(photo.id);
    this.mark();
    this.#choose();
  }

  /** Shows which are chosen. */
  mark() {
    for (const [id, shot] of this.#shots) {
      const is = this.#chosen.has(id);
      const frame = /** @type {HTMLElement} */ (shot.closest('.frame'));
      frame.classList.toggle('is-chosen', is);
      const pick = frame.querySelector('input');
      if (pick) pick.checked = is;
    }
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const shot = event.target instanceof Element ? event.target.closest('.shot') : null;
    if (!(shot instanceof HTMLElement) || event.ctrlKey || event.metaKey || event.altKey) return;
    const ids = this.#shown.map(({ id }) => id);
    const here = ids.indexOf(shot.dataset.photo ?? '');
    /** @type {Record<string, () => number>} */
    const ways = {
      ArrowRight: () => here + 1,
      ArrowLeft: () => here - 1,
      ArrowDown: () => this.#beside(here, 1),
      ArrowUp: () => this.#beside(here, -1),
      Home: () => 0,
      End: () => ids.length - 1,
    };
    const way = ways[event.key];
    if (way) {
      event.preventDefault();
      const next = Math.min(ids.length - 1, Math.max(0, way()));
      if (event.shiftKey) this.#chooseTo(this.#shown[next]);
      this.focus(ids[next]);
    } else if (event.key === 'x' || event.key === 'X') {
      this.#toggle(ids[here]);
    }
  }

  /**
   * The frame above or below, the nearest by its place.
   * @param {number} here
   * @param {1 | -1} way
   */
  #beside(here, way) {
    const boxOf = (/** @type {number} */ index) => /** @type {HTMLElement} */ (this.#shots.get(this.#shown[index].id)).getBoundingClientRect();
    const { top, left } = boxOf(here);
    let [best, row, distance] = [here, NaN, Infinity];
    for (let index = here + way; index >= 0 && index < this.#shown.length; index += way) {
      const box = boxOf(index);
      if (Math.abs(box.top - top) < 4) continue;
      if (Number.isNaN(row)) row = box.top;
      if (Math.abs(box.top - row) > 4) break;
      if (Math.abs(box.left - left) < distance) [best, distance] = [index, Math.abs(box.left - left)];
    }
    return best;
  }

  /** @param {string} id */
  focus(id) {
    const shot = this.#shots.get(id);
    if (!shot) return;
    this.#rove(id);
    shot.focus({ preventScroll: true });
    shot.scrollIntoView({ block: 'nearest' });
  }

  /** The frame nearest to this time, brought into view. @param {number} at */
  goTo(at) {
    const nearest = this.#shown.reduce((best, photo) => (best && Math.abs(best.at - at) <= Math.abs(photo.at - at) ? best : photo), /** @type {Photo | null} */ (null));
    const shot = nearest && this.#shots.get(nearest.id);
    if (!shot) return;
    this.#rove(nearest.id);
    shot.focus({ preventScroll: true });
    shot.scrollIntoView({ block: 'center' });
  }

  /** The times of the first and last frame that the reader has before them. @returns {[number, number] | null} */
  inView() {
    let [first, last] = [NaN, NaN];
    for (const photo of this.#shown) {
      const box = this.#shots.get(photo.id)?.getBoundingClientRect();
      if (!box || box.bottom < 80 || box.height === 0) continue;
      if (box.top > innerHeight) break;
      if (Number.isNaN(first)) first = photo.at;
      last = photo.at;
    }
    return Number.isNaN(first) ? null : [first, last];
  }
}

/** @param {Gap} gap */
function gapPiece(gap) {
  const { count, why, when } = gapWords(gap);
  return el('li', { class: `frame gap-piece ${reasonClass(gap.reason)}` }, el('div', {}, el('strong', {}, count), el('span', {}, why), el('span', { class: 'muted' }, when)));
}

/**
 * The groups beside the reel, each a way to it.
 * @param {HTMLElement} rail
 * @param {Group[]} groups
 */
export function drawRail(rail, groups) {
  rail.replaceChildren(
    el('ol', {}, ...groups.map(({ name, photos, missed }, index) => {
      const link = el('a', { href: `#group-${index}` }, el('span', { class: 'name' }, name), el('span', { class: 'muted small' }, missed ? `${photos} + ${missed}` : String(photos)));
      link.addEventListener('click', (event) => {
        event.preventDefault();
        const head = document.getElementById(`group-${index}`);
        head?.scrollIntoView({ block: 'start' });
        head?.focus({ preventScroll: true });
      });
      return el('li', {}, link);
    })),
  );
}

/**
 * @param {HTMLElement} place
 * @param {string} words
 */
export function drawNothing(place, words) {
  const empty = el('p', { class: 'card empty' });
  write(empty, words);
  place.replaceChildren(empty);
}
