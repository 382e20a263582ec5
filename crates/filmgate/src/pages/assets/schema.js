// @ts-check
// A JSON schema drawn as nested lists of members. $ref is followed; a loop, or a depth nobody reads, is named instead.

import { el } from './dom.js';
import { limits, nameOf, typeWords } from './openapi.js';
import { prose } from './prose.js';

/** @typedef {import('./openapi.js').Description} Description */
/** @typedef {Record<string, any>} Json */

const DEEPEST = 6;

/**
 * @param {Description} api
 * @param {any} reference
 * @returns {HTMLElement}
 */
export function drawSchema(api, reference) {
  const schema = api.follow(reference);
  const says = [typeWords(api, reference), ...limits(schema)].join(' · ');
  const seen = seenWith([], reference);
  const members = inside(api, schema, 0, seen);
  // That something with members is an object goes without saying.
  const type = members && says === 'object' ? null : el('p', { class: 'type' }, says);
  return el('div', { class: 'schema' }, type, ...prose(schema.description), members);
}

/**
 * What a schema is made of, or nothing where its type says all.
 * @param {Description} api
 * @param {Json} schema
 * @param {number} depth
 * @param {string[]} seen names of the components above
 * @returns {HTMLElement | null}
 */
function inside(api, schema, depth, seen) {
  if (depth >= DEEPEST) return el('p', { class: 'muted' }, '… and deeper');
  /** @type {HTMLElement[]} */
  const rows = [];
  const required = new Set(schema.required ?? []);
  for (const [name, reference] of Object.entries(schema.properties ?? {})) {
    rows.push(member(api, name, reference, required.has(name), depth, seen));
  }
  if (schema.additionalProperties && typeof schema.additionalProperties === 'object') {
    rows.push(member(api, 'any other name', schema.additionalProperties, false, depth, seen));
  }
  for (const reference of schema.allOf ?? []) {
    // Its parts are one object: they stand side by side, without a level of their own.
    const part = looped(reference, seen) ? null : inside(api, api.follow(reference), depth, seenWith(seen, reference));
    if (part) rows.push(...Array.from(part.children).filter((child) => child instanceof HTMLElement));
  }
  const choices = [...(schema.oneOf ?? []), ...(schema.anyOf ?? [])];
  const real = choices.filter((one) => api.follow(one).type !== 'null');
  const [only] = real;
  if (real.length === 1 && rows.length === 0) return onward(api, only, depth, seen);
  for (const one of real) {
    const found = api.follow(one);
    const title = found.title ?? nameOf(one);
    rows.push(member(api, title ? `either ${title}` : 'either', one, false, depth, seen));
  }
  if (schema.items && rows.length === 0) return onward(api, schema.items, depth, seen);
  return rows.length > 0 ? el('ul', { class: 'members' }, ...rows) : null;
}

/**
 * The inside of something that takes no row of its own: an array's items, the one choice that is not null.
 * @param {Description} api
 * @param {any} reference
 * @param {number} depth
 * @param {string[]} seen
 */
function onward(api, reference, depth, seen) {
  if (looped(reference, seen)) return el('p', { class: 'muted' }, `${nameOf(reference)}, as above`);
  return inside(api, api.follow(reference), depth + 1, seenWith(seen, reference));
}

/**
 * @param {Description} api
 * @param {string} name
 * @param {any} reference
 * @param {boolean} required
 * @param {number} depth
 * @param {string[]} seen
 * @returns {HTMLLIElement}
 */
function member(api, name, reference, required, depth, seen) {
  const schema = api.follow(reference);
  const loops = looped(reference, seen);
  return el(
    'li',
    {},
    el('code', { class: 'name' }, name),
    ' ',
    el('span', { class: 'type' }, [typeWords(api, reference), ...limits(schema)].join(' · ')),
    required ? el('span', { class: 'must' }, 'required') : null,
    ...prose(schema.description),
    loops ? el('p', { class: 'muted' }, 'as above') : inside(api, schema, depth + 1, seenWith(seen, reference)),
  );
}

/**
 * @param {any} reference
 * @param {string[]} seen
 */
function looped(reference, seen) {
  return seen.includes(nameOf(reference));
}

/**
 * @param {string[]} seen
 * @param {any} reference
 */
function seenWith(seen, reference) {
  const name = nameOf(reference);
  return name ? [...seen, name] : seen;
}
