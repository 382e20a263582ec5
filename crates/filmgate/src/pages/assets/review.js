// @ts-check
// The researcher's page: one session as film, with what is missing; to look through, compare, link, delete and export.

import { byId, el, write } from './dom.js';
import { locale, offerLanguages, say } from './messages.js';
import { Refusal, ask } from './net.js';
import { Reel, drawNothing, drawRail, groupsOf } from './review-reel.js';
import { drawRibbon, ends } from './review-ribbon.js';
import { readSession } from './review-session.js';
import { Viewer } from './review-viewer.js';
import { reasonClass, reasonWords } from './review-words.js';
import { clock, dateAndTime, since } from './times.js';
import { troubleWords } from './trouble.js';

/** @typedef {import('./review-session.js').Session} Session */
/** @typedef {import('./review-session.js').Sign} Sign */
/** @typedef {Sign | 'event' | 'gap'} Filter */

const FILTERS = /** @type {const} */ (['blurred', 'dark', 'same', 'problem', 'unlinked', 'event', 'gap']);
/** Requests to delete that are under way at once. */
const AT_ONCE = 4;

const sessionId = new URLSearchParams(location.search).get('session') ?? '';
const reelPlace = byId('reel', HTMLDivElement);
const group = byId('group', HTMLSelectElement);
/** @type {Session | null} */
let session = null;
/** @type {Set<Filter>} */
const filters = new Set();
/** @type {Set<string>} */
const chosen = new Set();
/** @type {{mark: (first: number, last: number) => void} | null} */
let ribbon = null;
/** @type {Refusal | null} */
let trouble = null;

const viewer = new Viewer(chosen, { choose: toggle, remove: askToRemove, closed: (id) => reel.focus(id) });
const reel = new Reel(reelPlace, chosen, { open: (photo) => viewer.open(photo, reel.shown), choose: renderChosen });

/** @param {'trouble' | 'loading' | 'review'} view */
function show(view) {
  for (const name of ['trouble', 'loading', 'review']) byId(name, HTMLElement).hidden = name !== view;
}

async function load() {
  trouble = null;
  if (!session) show('loading');
  const bar = byId('loading-bar', HTMLProgressElement);
  try {
    session = await readSession(sessionId, (done, of) => {
      bar.max = Math.max(1, of);
      bar.value = done;
    });
  } catch (problem) {
    trouble = problem instanceof Refusal ? problem : new Refusal(0, '');
    // The home page is where people sign in.
    if (trouble.status === 401) return location.assign('/');
    renderTrouble();
    return show('trouble');
  }
  for (const id of chosen) if (!session.photos.some((photo) => photo.id === id)) chosen.delete(id);
  const isFirst = byId('review', HTMLElement).hidden;
  show('review');
  render();
  if (isFirst) byId('title', HTMLHeadingElement).focus();
}

function renderTrouble() {
  if (!trouble) return;
  const words = trouble.status === 404 || trouble.status === 403 ? say('review.absent') : troubleWords(trouble);
  write(byId('trouble-text', HTMLParagraphElement), words);
}

function render() {
  renderTrouble();
  document.title = `${say('review.title')} · Filmgate`;
  if (!session) return;
  const { said, settings } = session;
  const short = said.id.slice(-8);
  write(byId('title', HTMLHeadingElement), say('review.session', { id: short }));
  const how = !settings ? say('session.noSettings') : settings.recording_mode === 'EVENT_DRIVEN' ? say('session.events')
    : settings.interval_seconds === 1 ? say('session.everySecond') : say('session.everySeconds', { n: settings.interval_seconds });
  const { from, to } = ends(session);
  const parts = [say('review.user', { id: String(said.user_id) }), dateAndTime(session.moments.length ? from : said.created_at), since(to - from), how];
  write(byId('about', HTMLParagraphElement), parts.join(' · '));
  const exported = `/api/v1/sessions/${encodeURIComponent(said.id)}/export`;
  byId('export-plain', HTMLAnchorElement).href = exported;
  byId('export-pseudonyms', HTMLAnchorElement).href = `${exported}?pseudonyms=true`;
  renderBalance(session);
  renderFilters(session);
  renderReel();
  renderChosen();
  viewer.renew(reel.shown);
}

/** @param {Session} found */
function renderBalance(found) {
  const { expected, received, missed, reasons, events_received, events_missed } = found.balance;
  const percent = new Intl.NumberFormat(locale(), { style: 'percent', maximumFractionDigits: 1 });
  // Not "100 %" while one is missing.
  const share = expected ? Math.min(received / expected, missed ? 0.999 : 1) : 1;
  write(byId('share', HTMLElement), expected ? percent.format(share) : String(found.photos.length));
  const words = expected ? [say('review.arrived', { received, expected })] : [say('review.photosStored')];
  if (events_received + events_missed > 0 && expected) words.push(say('review.events', { n: events_received }));
  write(byId('share-words', HTMLSpanElement), words.join(' · '));
  ribbon = drawRibbon(byId('ribbon', HTMLDivElement), found, (at) => reel.goTo(at));
  const { from, to } = ends(found);
  const axis = /** @type {const} */ ([['axis-from', from], ['axis-middle', (from + to) / 2], ['axis-to', to]]);
  for (const [id, at] of axis) write(byId(id, HTMLSpanElement), found.moments.length ? clock(at) : '');
  const chips = Object.entries(reasons).sort(([, a], [, b]) => b - a).map(([reason, n]) =>
    el('li', { class: reasonClass(reason) }, el('span', { class: 'swatch', 'aria-hidden': 'true' }), `${reasonWords(reason)} `, el('strong', {}, n.toLocaleString(locale()))));
  byId('reasons', HTMLUListElement).replaceChildren(...(chips.length ? chips : [el('li', { class: 'complete' }, say('review.complete'))]));
  byId('ribbon', HTMLDivElement).hidden = found.moments.length === 0;
}

/**
 * @param {Filter} filter
 * @param {import('./review-session.js').Moment} moment
 */
function fits(filter, moment) {
  if (moment.is === 'gap') return filter === 'gap';
  return filter === 'event' ? moment.trigger !== 'INTERVAL' : filter !== 'gap' && moment.signs.has(filter);
}

/** @param {Session} found */
function renderFilters(found) {
  const counts = FILTERS.map((filter) => found.moments.filter((moment) => fits(filter, moment)).length);
  const chips = FILTERS.map((filter, index) => {
    const chip = el('button', { type: 'button', class: 'chip', 'data-filter': filter, title: say(`review.filter.${filter}.more`) }, say(`review.filter.${filter}`), ' ', el('span', { class: 'count' }, counts[index].toLocaleString(locale())));
    chip.setAttribute('aria-pressed', String(filters.has(filter)));
    chip.disabled = counts[index] === 0 && !filters.has(filter);
    return chip;
  });
  const place = byId('filters', HTMLDivElement);
  const focused = document.activeElement?.getAttribute('data-filter');
  place.replaceChildren(...chips);
  chips.find((chip) => focused && chip.dataset.filter === focused)?.focus();
}

function renderReel() {
  if (!session) return;
  const moments = filters.size ? session.moments.filter((moment) => [...filters].some((filter) => fits(filter, moment))) : session.moments;
  const groups = groupsOf(moments, /** @type {import('./review-reel.js').Grouping} */ (group.value));
  reel.show(groups, ends(session).from);
  drawRail(byId('rail', HTMLElement), groups);
  byId('rail', HTMLElement).hidden = groups.length < 2;
  if (groups.length === 0) drawNothing(reelPlace, say(filters.size ? 'review.none.filtered' : 'review.none'));
  const words = filters.size ? [say('review.shown', { n: reel.shown.length, of: session.photos.length })] : [say('review.photos', { n: session.photos.length })];
  if (session.isCut) words.push(say('review.cut', { n: session.photos.length, of: session.said.total_captures }));
  write(byId('shown', HTMLParagraphElement), words.join(' · '));
  markView();
}

function renderChosen() {
  byId('chosen', HTMLElement).hidden = chosen.size === 0;
  write(byId('chosen-count', HTMLElement), say('review.chosen', { n: chosen.size }));
  document.body.classList.toggle('is-choosing', chosen.size > 0);
}

/** @param {string} id */
function toggle(id) {
  if (!chosen.delete(id)) chosen.add(id);
  reel.mark();
  renderChosen();
}

let marking = false;
function markView() {
  if (marking) return;
  marking = true;
  requestAnimationFrame(() => {
    marking = false;
    const seen = reel.inView();
    if (seen) ribbon?.mark(...seen);
  });
}

// --- linking -----------------------------------------------------------------------------------------------------------

const link = byId('link', HTMLDialogElement);
const linkForm = byId('link-form', HTMLFormElement);
const linkId = byId('link-id', HTMLInputElement);
const linkProblem = byId('link-problem', HTMLParagraphElement);

byId('chosen-link', HTMLButtonElement).addEventListener('click', () => {
  write(byId('link-text', HTMLParagraphElement), say('review.link.text', { n: chosen.size }));
  linkProblem.textContent = '';
  link.showModal();
  linkId.focus();
});
byId('link-cancel', HTMLButtonElement).addEventListener('click', () => link.close());
linkForm.addEventListener('submit', async (event) => {
  event.preventDefault();
  const id = linkId.value.trim();
  if (!id) return;
  const kind = new FormData(linkForm).get('kind');
  try {
    const { data } = await ask('POST', `/assessment/camera/link/${encodeURIComponent(sessionId)}`, {
      capture_ids: [...chosen],
      // The app's ids are numbers, or text.
      assessment_record_id: /^\d{1,15}$/.test(id) ? Number(id) : id,
      assessment_type: kind,
    });
    if (data.captures_already_linked > 0) {
      write(linkProblem, say('review.link.already', { n: data.captures_already_linked, done: data.captures_updated }));
    } else {
      link.close();
    }
    chosen.clear();
    await load();
  } catch (problem) {
    write(linkProblem, troubleWords(problem));
  }
});

// --- deleting ----------------------------------------------------------------------------------------------------------

const remove = byId('remove', HTMLDialogElement);
const removeBar = byId('remove-bar', HTMLProgressElement);
const removeGo = byId('remove-go', HTMLButtonElement);
const removeProblem = byId('remove-problem', HTMLParagraphElement);
/** @type {string[]} */
let doomed = [];

/** @param {string[]} ids */
function askToRemove(ids) {
  doomed = ids;
  write(byId('remove-text', HTMLParagraphElement), say('review.delete.text', { n: ids.length }));
  removeProblem.textContent = '';
  removeBar.hidden = true;
  remove.showModal();
  byId('remove-cancel', HTMLButtonElement).focus();
}

byId('chosen-delete', HTMLButtonElement).addEventListener('click', () => askToRemove([...chosen]));
byId('remove-cancel', HTMLButtonElement).addEventListener('click', () => remove.close());
byId('remove-form', HTMLFormElement).addEventListener('submit', async (event) => {
  event.preventDefault();
  removeGo.disabled = true;
  removeBar.hidden = false;
  removeBar.max = doomed.length;
  removeBar.value = 0;
  const left = [...doomed];
  /** @type {unknown} */
  let problem = null;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let id = left.shift(); id !== undefined && problem === null; id = left.shift()) {
      try {
        await ask('DELETE', `/api/v1/captures/${id}`);
      } catch (found) {
        // Gone already is as good.
        if (!(found instanceof Refusal && found.status === 404)) problem = found;
      }
      chosen.delete(id);
      removeBar.value += 1;
    }
  }));
  removeGo.disabled = false;
  if (problem) write(removeProblem, troubleWords(problem));
  else remove.close();
  await load();
});

// --- the rest ----------------------------------------------------------------------------------------------------------

byId('chosen-none', HTMLButtonElement).addEventListener('click', () => {
  chosen.clear();
  reel.mark();
  renderChosen();
});
byId('again', HTMLButtonElement).addEventListener('click', load);
group.addEventListener('change', renderReel);
byId('filters', HTMLDivElement).addEventListener('click', (event) => {
  const chip = event.target instanceof Element ? event.target.closest('[data-filter]') : null;
  const filter = /** @type {Filter | null} */ (chip?.getAttribute('data-filter'));
  if (!chip || !filter) return;
  if (!filters.delete(filter)) filters.add(filter);
  chip.setAttribute('aria-pressed', String(filters.has(filter)));
  renderReel();
});
const menu = byId('export', HTMLDetailsElement);
document.addEventListener('click', (event) => {
  if (menu.open && event.target instanceof Node && !byId('export-plain', HTMLAnchorElement).parentElement?.contains(event.target) && !menu.querySelector('summary')?.contains(event.target)) menu.open = false;
});
for (const item of menu.querySelectorAll('a')) item.addEventListener('click', () => (menu.open = false));
menu.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  menu.open = false;
  menu.querySelector('summary')?.focus();
});
addEventListener('scroll', markView, { passive: true });
addEventListener('resize', markView, { passive: true });

offerLanguages(() => {
  render();
  viewer.render();
});
load();
