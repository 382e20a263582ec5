// @ts-check
// Ids for people: their end, and where they lead.

import { el } from './dom.js';

/**
 * The end of an id: a UUIDv7 begins with the time, so that sessions opened together begin alike.
 * @param {string} id
 */
export function shortId(id) {
  return id.length > 8 ? `…${id.slice(-8)}` : id;
}

/** @param {string} id */
export function idWord(id) {
  return el('span', { class: 'id', title: id }, shortId(id));
}

/** A session by its id, which leads to its film. @param {string} id */
export function sessionLink(id) {
  return el('a', { href: `/review?session=${encodeURIComponent(id)}`, class: 'id', title: id }, shortId(id));
}
