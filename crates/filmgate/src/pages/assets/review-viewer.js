// @ts-check
// One photo large, with what is known of it; beside its neighbours where they are to be compared.

import { byId, el, write } from './dom.js';
import { locale, say } from './messages.js';
import { assessmentWords, photoWords, questionWords, signWords, triggerWords } from './review-words.js';
import { clock } from './times.js';

/** @typedef {import('./review-session.js').Photo} Photo */

const dialog = byId('viewer', HTMLDialogElement);
const pictures = byId('viewer-pictures', HTMLDivElement);
const compare = byId('viewer-compare', HTMLButtonElement);
const choose = byId('viewer-choose', HTMLButtonElement);
const title = byId('viewer-title', HTMLHeadingElement);

export class Viewer {
  /** @type {Photo[]} */
  #photos = [];
  #at = 0;
  #comparing = false;
  #chosen;
  #listeners;

  /**
   * @param {Set<string>} chosen
   * @param {{choose: (id: string) => void, remove: (ids: string[]) => void, closed: (id: string) => void}} listeners
   */
  constructor(chosen, listeners) {
    this.#chosen = chosen;
    this.#listeners = listeners;
    byId('viewer-before', HTMLButtonElement).addEventListener('click', () => this.#go(-1));
    byId('viewer-after', HTMLButtonElement).addEventListener('click', () => this.#go(1));
    byId('viewer-close', HTMLButtonElement).addEventListener('click', () => dialog.close());
    byId('viewer-delete', HTMLButtonElement).addEventListener('click', () => listeners.remove([this.#photos[this.#at].id]));
    compare.addEventListener('click', () => this.#compare());
    choose.addEventListener('click', () => this.#choose());
    dialog.addEventListener('close', () => {
      pictures.replaceChildren();
      const photo = this.#photos[this.#at];
      if (photo) listeners.closed(photo.id);
    });
    dialog.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /**
   * @param {Photo} photo
   * @param {Photo[]} photos those that it stands among
   */
  open(photo, photos) {
    this.#photos = photos;
    this.#at = Math.max(0, photos.indexOf(photo));
    if (!dialog.open) dialog.showModal();
    this.render();
    title.focus();
  }

  /** Other photos, after some were deleted. @param {Photo[]} photos */
  renew(photos) {
    if (!dialog.open) return;
    const gone = this.#photos[this.#at]?.id;
    this.#photos = photos;
    const still = photos.findIndex(({ id }) => id === gone);
    this.#at = still >= 0 ? still : Math.min(this.#at, photos.length - 1);
    if (photos.length === 0) dialog.close();
    else this.render();
  }

  /** @param {number} way */
  #go(way) {
    const next = this.#at + way;
    if (next < 0 || next >= this.#photos.length) return;
    this.#at = next;
    this.render();
  }

  #compare() {
    this.#comparing = !this.#comparing;
    this.render();
  }

  #choose() {
    this.#listeners.choose(this.#photos[this.#at].id);
    this.render();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = /** @type {Record<string, () => void>} */ ({
      ArrowLeft: () => this.#go(-1),
      ArrowRight: () => this.#go(1),
      Home: () => this.#go(-this.#at),
      End: () => this.#go(this.#photos.length - 1 - this.#at),
      c: () => this.#compare(),
      x: () => this.#choose(),
      Delete: () => this.#listeners.remove([this.#photos[this.#at].id]),
    });
    const what = keys[event.key];
    if (!what) return;
    event.preventDefault();
    what();
  }

  render() {
    const photo = this.#photos[this.#at];
    if (!dialog.open || !photo) return;
    const number = new Intl.NumberFormat(locale());
    write(title, `${clock(photo.at)} · ${questionWords(photo.question)}`);
    write(byId('viewer-place', HTMLSpanElement), say('review.place', { n: this.#at + 1, of: this.#photos.length }));
    byId('viewer-before', HTMLButtonElement).disabled = this.#at === 0;
    byId('viewer-after', HTMLButtonElement).disabled = this.#at === this.#photos.length - 1;
    compare.setAttribute('aria-pressed', String(this.#comparing));
    choose.setAttribute('aria-pressed', String(this.#chosen.has(photo.id)));
    dialog.classList.toggle('comparing', this.#comparing);
    const side = this.#comparing ? [this.#photos[this.#at - 1], photo, this.#photos[this.#at + 1]] : [photo];
    pictures.replaceChildren(...side.map((one) => figure(one, photo)));
    const { said } = photo;
    const { processing } = said;
    byId('viewer-original', HTMLAnchorElement).href = `${photo.url}?size=original`;
    const facts = [
      [say('review.fact.trigger'), triggerWords(photo.trigger)],
      [say('review.fact.assessment'), assessmentWords(photo.assessment)],
      [say('review.fact.signs'), signWords(photo).join(', ') || say('review.sign.none')],
      [say('review.fact.sharpness'), processing.sharpness === null ? '–' : number.format(Math.round(processing.sharpness))],
      [say('review.fact.brightness'), processing.brightness === null ? '–' : new Intl.NumberFormat(locale(), { style: 'percent' }).format(processing.brightness)],
      [say('review.fact.size'), `${said.width_px} × ${said.height_px}, ${number.format(Math.ceil(said.file_size_bytes / 1000))} kB`],
      [say('review.fact.received'), clock(Date.parse(`${said.timestamp}Z`))],
      [say('review.fact.sha256'), said.sha256],
    ];
    if (processing.error) facts.unshift([say('review.sign.problem'), processing.error]);
    byId('viewer-facts', HTMLDListElement).replaceChildren(...facts.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))));
  }
}

/**
 * @param {Photo | undefined} photo
 * @param {Photo} middle
 */
function figure(photo, middle) {
  if (!photo) return el('figure', { class: 'absent-neighbour' }, el('p', { class: 'muted' }, say('review.noNeighbour')));
  const is = photo === middle;
  const picture = photo.said.processing.is_quarantined
    ? el('p', { class: 'muted' }, photo.said.processing.error ?? say('review.sign.problem'))
    : el('img', { src: `${photo.url}?size=preview`, alt: photoWords(photo), width: photo.said.processing.width_px ?? photo.said.width_px, height: photo.said.processing.height_px ?? photo.said.height_px });
  if (picture instanceof HTMLImageElement) {
    // Before it is processed there is the photo itself.
    picture.addEventListener('error', () => (picture.src = photo.url), { once: true });
  }
  const apart = is ? clock(photo.at) : `${clock(photo.at)} (${photo.at < middle.at ? '−' : '+'}${(Math.abs(photo.at - middle.at) / 1000).toLocaleString(locale(), { maximumFractionDigits: 1 })} s)`;
  return el('figure', { class: is ? 'is-middle' : null }, picture, el('figcaption', { class: 'small' }, apart));
}
