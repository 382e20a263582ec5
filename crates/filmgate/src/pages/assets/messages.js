// @ts-check
// Which language the pages speak, and their sentences, which stand in messages/en.json and messages/id.json.

/** @typedef {keyof typeof import('./messages/en.json')} MessageKey */
/** @typedef {'en' | 'id'} Language */
/** @typedef {Record<MessageKey, string>} Book */

const KEPT_AS = 'filmgate.language';

/** @type {Language} */
let spoken = chosenBefore() ?? (navigator.language.toLowerCase().startsWith('id') ? 'id' : 'en');

/** @returns {Language | null} */
function chosenBefore() {
  try {
    const kept = localStorage.getItem(KEPT_AS);
    return kept === 'en' || kept === 'id' ? kept : null;
  } catch {
    return null; // Storage is switched off; the browser's language will do.
  }
}

export function language() {
  return spoken;
}

/** For numbers and times: the reader's own variety of the language spoken, 21:05 or 9:05 PM. */
export function locale() {
  return navigator.languages.find((one) => one.toLowerCase().startsWith(spoken)) ?? spoken;
}

/** @type {Record<string, Book>} */
const read = {};
/** @type {Book} */
let book = await bookOf(spoken);

/**
 * @param {Language} which
 * @returns {Promise<Book>}
 */
async function bookOf(which) {
  const known = read[which];
  if (known) return known;
  const answer = await fetch(`/pages/messages/${which}.json`);
  if (!answer.ok) throw new Error(`the sentences were answered with ${answer.status}`);
  return (read[which] = await answer.json());
}

/**
 * Speaks another language from now on; where its sentences cannot be had, the old one.
 * @param {Language} next
 */
async function speak(next) {
  book = await bookOf(next).catch(() => book);
  if (book !== read[next]) return;
  spoken = next;
  try {
    localStorage.setItem(KEPT_AS, next);
  } catch {
    // It lasts as long as this page.
  }
}

/**
 * The sentence, with its {places} filled.
 * @param {MessageKey} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function say(key, values = {}) {
  return (book[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return value === undefined ? whole : typeof value === 'number' ? value.toLocaleString(locale()) : value;
  });
}

/** Fills every element of the page that carries data-say or data-say-label. */
function translatePage() {
  document.documentElement.lang = spoken;
  for (const element of document.querySelectorAll('[data-say]')) {
    element.textContent = say(/** @type {MessageKey} */ (element.getAttribute('data-say')));
  }
  for (const element of document.querySelectorAll('[data-say-label]')) {
    element.setAttribute('aria-label', say(/** @type {MessageKey} */ (element.getAttribute('data-say-label'))));
  }
}

/**
 * Lets the reader choose among the languages, by the buttons that carry data-language; the page is written in the one
 * spoken now, and again in each that is chosen.
 * @param {() => void} render writes what the page does not say by data-say
 */
export function offerLanguages(render) {
  const buttons = document.querySelectorAll('[data-language]');
  const write = () => {
    translatePage();
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.getAttribute('data-language') === spoken));
    render();
  };
  for (const button of buttons) {
    button.addEventListener('click', async () => {
      await speak(button.getAttribute('data-language') === 'id' ? 'id' : 'en');
      write();
    });
  }
  write();
}
