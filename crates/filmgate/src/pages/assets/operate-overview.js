// @ts-check
// The overview: whether the server is ready, what it asks of cameras, how it does over the last hour, and the doctor's words.

import { byId, el, write } from './dom.js';
import { locale, say } from './messages.js';
import { Refusal, ask } from './net.js';
import { Figures } from './operate-figures.js';
import { Plot } from './operate-plot.js';
import { clock, dateAndTime, since } from './times.js';
import { troubleWords } from './trouble.js';

/** @typedef {import('./messages.js').MessageKey} MessageKey */
/** @typedef {import('./operate-figures.js').Sample} Sample */
/** @typedef {import('./operate-figures.js').Node} Node */

const number = (/** @type {number} */ value) => value.toLocaleString(locale(), { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
const perSecond = (/** @type {number} */ value) => `${number(value)}/s`;
const took = (/** @type {number} */ ms) => (ms < 1000 ? `${number(ms)} ms` : `${number(ms / 1000)} s`);
// Nothing is asked: frames come as the settings say.
const apart = (/** @type {number} */ seconds) => (seconds === 0 ? say('operate.hints.asSet') : `${number(seconds)} s`);
const share = (/** @type {number} */ part) => (part === 1 ? say('operate.hints.asSet') : part.toLocaleString(locale(), { style: 'percent', maximumFractionDigits: 0 }));
const size = (/** @type {number} */ bytes) => {
  const unit = [['TB', 1e12], ['GB', 1e9], ['MB', 1e6], ['kB', 1e3]].find(([, one]) => bytes >= Number(one)) ?? ['B', 1];
  return `${number(bytes / Number(unit[1]))} ${unit[0]}`;
};

/** @typedef {{title: MessageKey, lines: [MessageKey, string][], format: (value: number) => string, least?: number}} Shown */
/** @type {Shown[]} */
const PLOTS = [
  { title: 'plot.uploads', lines: [['plot.uploads', 'uploads_per_second'], ['plot.photos', 'captures_per_second']], format: perSecond },
  { title: 'plot.refused', lines: [['plot.refused.all', 'refused_per_second'], ['plot.refused.interval', 'interval_frames_refused_per_second']], format: perSecond },
  { title: 'plot.answer', lines: [['plot.p50', 'answer_p50_ms'], ['plot.p95', 'answer_p95_ms'], ['plot.p99', 'answer_p99_ms']], format: took, least: 10 },
  { title: 'plot.inFlight', lines: [['plot.inFlight', 'uploads_in_flight']], format: number, least: 5 },
  { title: 'plot.queue', lines: [['plot.queue.disk', 'disk_queue'], ['plot.queue.catalog', 'catalog_write_queue']], format: number, least: 5 },
  { title: 'plot.tasks', lines: [['plot.tasks.waiting', 'tasks_waiting'], ['plot.tasks.failed', 'tasks_failed']], format: number, least: 5 },
  { title: 'plot.disk', lines: [['plot.disk', 'disk_free_bytes']], format: size },
  { title: 'plot.interval', lines: [['plot.interval', 'hint_interval_seconds']], format: apart, least: 2 },
  { title: 'plot.quality', lines: [['plot.quality', 'hint_quality']], format: share },
];
/** Less is not drawn across the whole width. */
const SPAN_MIN_MS = 120_000;
/** Rows of the table under the plots. */
const ROWS = 12;

const figures = new Figures();
const range = byId('range', HTMLSelectElement);
const which = byId('node', HTMLSelectElement);
const plots = PLOTS.map(() => new Plot((at) => plots.forEach((plot) => plot.point(at))));
byId('plots', HTMLDivElement).append(...plots.map(({ element }) => element));

/** @type {unknown} */
let trouble = null;
let heardAt = 0;
let isShown = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waiting;
/** @type {Record<string, any> | null} */
let examination = null;
/** @type {unknown} */
let unexamined = null;
/** @type {() => void} */
let signedOut = () => {};

/** Begins to look, and goes on as long as it is shown. @param {() => void} onSignedOut */
export function showOverview(onSignedOut) {
  signedOut = onSignedOut;
  isShown = true;
  render();
  look();
  if (!examination) examine();
}

export function hideOverview() {
  isShown = false;
  clearTimeout(waiting);
}

async function look() {
  clearTimeout(waiting);
  try {
    await figures.look();
    trouble = null;
    heardAt = Date.now();
  } catch (problem) {
    if (problem instanceof Refusal && (problem.status === 401 || problem.status === 403)) return signedOut();
    trouble = problem;
  }
  render();
  clearTimeout(waiting);
  // Nobody sees it, so nobody asks.
  if (isShown && !document.hidden) waiting = setTimeout(look, figures.everyMs);
}

/** Everything anew, in the language spoken now. */
export function sayOverview() {
  render();
  renderExamination();
}

function render() {
  const nodes = figures.nodes;
  write(byId('overview-problem', HTMLParagraphElement), trouble === null ? '' : `${troubleWords(trouble)} ${heardAt ? say('operate.asOf', { time: clock(heardAt) }) : ''}`);
  renderChoice(nodes);
  renderState(nodes);
  renderPlots();
  renderNodes(nodes);
  renderRefused(nodes);
}

/** @param {Node[]} nodes */
function renderChoice(nodes) {
  const chosen = which.value;
  const options = [el('option', { value: '' }, say('operate.nodes.all')), ...nodes.map(({ name }) => el('option', { value: name }, name))];
  if (options.map(({ value }) => value).join() !== [...which.options].map(({ value }) => value).join()) which.replaceChildren(...options);
  else which.options[0].textContent = say('operate.nodes.all');
  which.value = nodes.some(({ name }) => name === chosen) ? chosen : '';
  byId('node-choice', HTMLLabelElement).hidden = nodes.length < 2;
}

/** @param {Node[]} nodes */
function renderState(nodes) {
  const unready = nodes.filter(({ said }) => !said.ready);
  const state = byId('state', HTMLElement);
  state.dataset.state = nodes.length === 0 ? 'unknown' : unready.length ? 'bad' : 'good';
  write(byId('state-words', HTMLElement), say(nodes.length === 0 ? 'operate.state.unknown' : unready.length ? 'operate.state.bad' : 'operate.state.good'));
  const problems = unready.flatMap(({ name, said }) => said.problems.map((/** @type {string} */ words) => (nodes.length > 1 ? `${name}: ${words}` : words)));
  const list = byId('state-problems', HTMLUListElement);
  // Said once, and not again with every look.
  if (list.textContent !== problems.join('')) list.replaceChildren(...problems.map((words) => el('li', { lang: 'en' }, words)));
  const about = nodes.map(({ name, said }) => `${name} · ${say('operate.version', { version: said.version })}${said.began_at ? ` · ${say('operate.began', { time: dateAndTime(said.began_at) })}` : ''}`);
  write(byId('state-about', HTMLParagraphElement), about.join(' — '));

  const asked = nodes.map(({ said }) => said.hints);
  const intervals = asked.flatMap(({ interval_ms }) => interval_ms ?? []);
  const qualities = asked.flatMap(({ quality_percent }) => quality_percent ?? []);
  const words = [];
  if (intervals.length) words.push(say('operate.hints.interval', { seconds: number(Math.max(...intervals) / 1000) }));
  if (qualities.length) words.push(say('operate.hints.quality', { percent: Math.min(...qualities) }));
  const off = asked.length > 0 && asked.every(({ enabled }) => !enabled);
  const hints = byId('hints', HTMLElement);
  hints.dataset.state = words.length ? 'warn' : 'good';
  write(byId('hints-words', HTMLElement), words.join(' ') || say(off ? 'operate.hints.off' : 'operate.hints.none'));
}

function renderPlots() {
  const samples = figures.samples(which.value);
  const to = figures.now();
  // A server that began lately has not much to show: its minutes fill the width all the same.
  const began = Math.min(Date.parse(samples[0]?.at ?? '') || to, to - SPAN_MIN_MS);
  const from = Math.max(to - Number(range.value) * 60_000, began);
  const within = samples.filter(({ at }) => Date.parse(at) >= from);
  PLOTS.forEach(({ title, lines, format, least }, index) => {
    const points = within.map((sample) => ({ at: Date.parse(sample.at), values: lines.map(([, name]) => sample[name]) }));
    plots[index].draw({ title: say(title), words: lines.map(([words]) => say(words)), points, from, to, gapMs: 3 * figures.everyMs, least, format });
  });
  const columns = PLOTS.flatMap(({ title, lines, format }) => lines.map(([words, name]) => ({ words: lines.length > 1 && words !== title ? `${say(title)}: ${say(words)}` : say(words), name, format })));
  byId('figures-columns', HTMLTableRowElement).replaceChildren(el('th', { scope: 'col' }, say('operate.time')), ...columns.map(({ words }) => el('th', { scope: 'col', class: 'number' }, words)));
  byId('figures-rows', HTMLTableSectionElement).replaceChildren(...within.slice(-ROWS).reverse().map((sample) => el('tr', {},
    el('th', { scope: 'row' }, clock(Date.parse(sample.at))),
    ...columns.map(({ name, format }) => el('td', { class: 'number' }, sample[name] === null ? '–' : format(sample[name]))))));
}

/** @param {Node[]} nodes */
function renderNodes(nodes) {
  byId('nodes', HTMLElement).hidden = nodes.length < 2;
  byId('nodes-rows', HTMLTableSectionElement).replaceChildren(...nodes.map(({ name, said, samples, heardAt: at }) => {
    const last = samples.at(-1);
    const cell = (/** @type {string} */ figure, /** @type {(value: number) => string} */ format) => el('td', { class: 'number' }, last?.[figure] === null || last === undefined ? '–' : format(last[figure]));
    return el('tr', {}, el('th', { scope: 'row' }, name), el('td', {}, say(said.ready ? 'operate.node.ready' : 'operate.node.unready')),
      cell('uploads_per_second', perSecond), cell('uploads_in_flight', number), cell('refused_per_second', perSecond),
      cell('answer_p99_ms', took), cell('disk_free_bytes', size), el('td', { class: 'number' }, say('operate.ago', { time: since(Date.now() - at) })));
  }));
}

/** @param {Node[]} nodes */
function renderRefused(nodes) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { said } of nodes) for (const { code, count } of said.refused) counts.set(code, (counts.get(code) ?? 0) + count);
  const items = [...counts].sort(([, a], [, b]) => b - a).slice(0, 12);
  byId('refused-none', HTMLParagraphElement).hidden = items.length > 0;
  byId('refused', HTMLUListElement).replaceChildren(...items.map(([code, count]) => el('li', {}, el('code', {}, code), ' ', el('strong', {}, count.toLocaleString(locale())))));
}

async function examine() {
  const button = byId('examine', HTMLButtonElement);
  button.disabled = true;
  write(byId('doctor-about', HTMLParagraphElement), say('operate.doctor.busy'));
  try {
    examination = await ask('GET', '/api/v1/doctor');
    unexamined = null;
  } catch (problem) {
    unexamined = problem;
  }
  button.disabled = false;
  renderExamination();
}

function renderExamination() {
  write(byId('doctor-problem', HTMLParagraphElement), unexamined === null ? '' : troubleWords(unexamined));
  if (!examination) return;
  write(byId('doctor-about', HTMLParagraphElement), say('operate.doctor.about', { node: examination.node, time: clock(Date.parse(examination.examined_at)) }));
  // What hurts comes first.
  const order = ['bad', 'warning', 'good'];
  const findings = [...examination.findings].sort((a, b) => order.indexOf(a.level) - order.indexOf(b.level));
  byId('doctor', HTMLUListElement).replaceChildren(...findings.map(({ level, what }) => el('li', { class: `finding ${level}` },
    el('span', { class: 'badge' }, say(/** @type {MessageKey} */ (`operate.doctor.${level}`))), el('span', { lang: 'en' }, what))));
}

range.addEventListener('change', renderPlots);
which.addEventListener('change', renderPlots);
byId('examine', HTMLButtonElement).addEventListener('click', examine);
document.addEventListener('visibilitychange', () => {
  if (isShown && !document.hidden) look();
});
