// <filmgate-status>: what the camera does, in one line. Dark and light, English and Indonesian, by the page's own.
//
// A screen reader hears the sentence when it changes, and not each photo: the count stands outside the live region.

import { languageOf, say, type StatusKey } from './messages.js';
import type { Recorder, RecorderState } from './recorder.js';

export type StatusKind = 'calm' | 'good' | 'warn' | 'bad';

/** Which sentence a state is told by, and in which tone. */
export function statusOf(state: RecorderState): { key: StatusKey; kind: StatusKind } {
  const { phase, reason, trouble } = state;
  const recording = phase === 'recording';
  if (reason === 'refused') return { key: 'refused', kind: 'bad' };
  if (trouble?.kind === 'signed-out' && state.waiting > 0) return { key: 'signed_out', kind: 'warn' };
  if (phase === 'starting') return { key: 'starting', kind: 'calm' };
  if (phase === 'interrupted') return { key: 'interrupted', kind: 'bad' };
  if (recording && state.hidden) return { key: 'hidden', kind: 'warn' };
  if (trouble?.kind === 'offline') return { key: recording ? 'offline' : 'offline_off', kind: 'warn' };
  if (trouble?.kind === 'busy') return { key: 'busy', kind: 'warn' };
  if (recording) return state.thinned ? { key: 'thinned', kind: 'good' } : { key: 'recording', kind: 'good' };
  switch (reason) {
    case 'withdrawn':
    case 'insecure':
    case 'unsupported':
    case 'denied':
    case 'none':
    case 'unknown':
      return { key: reason, kind: reason === 'withdrawn' ? 'calm' : 'bad' };
    case 'busy':
      return { key: 'busy_camera', kind: 'bad' };
    default:
      return { key: state.waiting > 0 ? 'sending' : 'off', kind: 'calm' };
  }
}

const STYLE = `
:host { display: inline-flex; flex-wrap: wrap; align-items: baseline; gap: .25em .75em; font: inherit;
  color: var(--filmgate-ink, light-dark(#1d1f1e, #e9ebe8)); }
:host([hidden]) { display: none; }
p { margin: 0; }
.says { display: inline-flex; gap: .55em; align-items: baseline; }
.says::before { content: ""; flex: none; width: .62em; height: .62em; border-radius: 50%;
  background: var(--filmgate-calm, light-dark(#85877f, #77807b)); }
.says[data-kind=good]::before { background: var(--filmgate-good, light-dark(#0b6b63, #66cdbd)); }
.says[data-kind=warn] { color: var(--filmgate-warn, light-dark(#8a4b00, #f0b866)); }
.says[data-kind=bad] { color: var(--filmgate-bad, light-dark(#a3232b, #ff9b9b)); }
.says[data-kind=warn]::before, .says[data-kind=bad]::before { background: currentColor; }
.count, .words { color: var(--filmgate-soft, light-dark(#5b605d, #a5aca8)); font-size: .9em; font-variant-numeric: tabular-nums; }
:empty { display: none; }
@media (prefers-reduced-motion: no-preference) {
  .says[data-kind=good]::before { animation: breathe 2.4s ease-in-out infinite; }
  @keyframes breathe { 50% { opacity: .35; } }
}`;

/** In a worker there are no elements, and this module is loaded there too. */
const Base = (typeof HTMLElement === 'undefined' ? class {} : HTMLElement) as typeof HTMLElement;

export class FilmgateStatus extends Base {
  #recorder: Recorder | null = null;
  #says: HTMLElement;
  #count: HTMLElement;
  #words: HTMLElement;
  #draw = () => this.render();

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open' });
    // An inline style is what a strict policy forbids; a sheet made by script is not one.
    try {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
      root.adoptedStyleSheets = [sheet];
    } catch {
      // An old browser shows it plainly.
    }
    const line = (name: string) => {
      const made = document.createElement('p');
      made.className = name;
      root.append(made);
      return made;
    };
    this.#says = line('says');
    this.#says.setAttribute('role', 'status');
    this.#says.setAttribute('aria-live', 'polite');
    this.#count = line('count');
    this.#words = line('words');
  }

  static get observedAttributes(): string[] {
    return ['lang'];
  }

  get recorder(): Recorder | null {
    return this.#recorder;
  }

  /** The recorder that is told of. */
  set recorder(recorder: Recorder | null) {
    this.#recorder?.removeEventListener('state', this.#draw);
    this.#recorder = recorder;
    recorder?.addEventListener('state', this.#draw);
    this.render();
  }

  attributeChangedCallback(): void {
    this.render();
  }

  render(): void {
    const state = this.#recorder?.state;
    const language = languageOf(this.closest('[lang]')?.getAttribute('lang') ?? document.documentElement.lang);
    const { key, kind } = state ? statusOf(state) : ({ key: 'off', kind: 'calm' } as const);
    this.#says.dataset.kind = kind;
    write(this.#says, say(language, key));
    const counts = [];
    if (state && state.waiting > 0) counts.push(say(language, 'waiting', state.waiting));
    if (state && state.aside > 0) counts.push(say(language, 'aside', state.aside));
    write(this.#count, counts.join(' · '));
    const words = [];
    if (state?.words) words.push(state.words);
    if (state?.trouble?.kind === 'busy' && state.trouble.words) words.push(state.trouble.words);
    if (state?.kept === 'memory') words.push(say(language, 'memory'));
    write(this.#words, words.join(' '));
  }
}

function write(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes the element known to the page. */
export function defineStatus(): void {
  if (typeof customElements !== 'undefined' && !customElements.get('filmgate-status')) {
    customElements.define('filmgate-status', FilmgateStatus);
  }
}
