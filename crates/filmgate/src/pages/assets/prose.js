// @ts-check
// A little of Markdown, made of elements and text alone: paragraphs, lists, fenced blocks, `code` and **strong**.
// Everything else stands as it was written. There is no way from here to markup.

import { el } from './dom.js';

/**
 * @param {unknown} text
 * @returns {HTMLElement[]}
 */
export function prose(text) {
  if (typeof text !== 'string') return [];
  /** @type {HTMLElement[]} */
  const blocks = [];
  /** @type {string[]} */
  let lines = [];
  /** @type {string[] | null} */
  let fence = null;
  const flush = () => {
    if (lines.length > 0) blocks.push(block(lines));
    lines = [];
  };
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*```/.test(line)) {
      if (fence) blocks.push(el('pre', {}, el('code', {}, fence.join('\n'))));
      else flush();
      fence = fence ? null : [];
    } else if (fence) {
      fence.push(line);
    } else if (line.trim() === '') {
      flush();
    } else {
      // A list may follow its sentence without an empty line.
      const first = lines[0];
      if (isItem(line) && first !== undefined && !isItem(first)) flush();
      lines.push(line);
    }
  }
  if (fence) blocks.push(el('pre', {}, el('code', {}, fence.join('\n'))));
  flush();
  return blocks;
}

/** @param {string} line */
function isItem(line) {
  return /^\s*[-*]\s+/.test(line);
}

/**
 * @param {string[]} lines
 * @returns {HTMLElement}
 */
function block(lines) {
  const first = lines[0] ?? '';
  if (!isItem(first)) return el('p', {}, ...inline(lines.join(' ').replace(/^#{1,6}\s+/, '')));
  /** @type {string[]} */
  const items = [];
  for (const line of lines) {
    if (isItem(line)) items.push(line.replace(/^\s*[-*]\s+/, ''));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return el('ul', {}, ...items.map((item) => el('li', {}, ...inline(item))));
}

/**
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function inline(text) {
  return text
    .split(/(`[^`]+`|\*\*[^*]+\*\*)/)
    .filter((part) => part !== '')
    .map((part) => {
      if (part.startsWith('`') && part.endsWith('`') && part.length > 2) return el('code', {}, part.slice(1, -1));
      if (part.startsWith('**') && part.endsWith('**') && part.length > 4) return el('strong', {}, part.slice(2, -2));
      return part;
    });
}
