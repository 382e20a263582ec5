// @ts-check
// How these pages speak with the server: JSON there and back, and one shape for everything that can go wrong.

/** The server said no, or (status 0) could not be asked. `words` is what it said, for people to read. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} words
   * @param {string | null} code
   */
  constructor(status, words, code = null) {
    super(words || `status ${status}`);
    this.status = status;
    this.words = words;
    this.code = code;
  }
}

/**
 * The server's own words in either of its shapes: problem+json of /api, or the upload contract's `error`.
 * @param {any} body
 * @returns {string}
 */
export function wordsOf(body) {
  if (body === null || typeof body !== 'object') return '';
  const words = body.detail ?? body.error ?? body.title ?? '';
  return typeof words === 'string' ? words : '';
}

/**
 * Milliseconds the server asks us to wait (seconds or a date, RFC 9110), or null if it does not say.
 * @param {Response} answer
 * @returns {number | null}
 */
export function retryAfterMs(answer) {
  const value = answer.headers.get('retry-after');
  if (value === null) return null;
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}

/**
 * The body as JSON, or null where it is something else.
 * @param {Response} answer
 * @returns {Promise<any>}
 */
export async function jsonOf(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Asks, and returns the body of a 2xx; everything else is a Refusal.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function ask(method, path, body) {
  return (await exchange(method, path, body)).said;
}

/**
 * The same with headers, there and back.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {Record<string, string>} [more]
 * @returns {Promise<{said: any, headers: Headers}>}
 */
export async function exchange(method, path, body, more = {}) {
  /** @type {Record<string, string>} */
  const headers = { accept: 'application/json', ...more };
  if (body !== undefined) headers['content-type'] = 'application/json';
  let answer;
  let said;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
    });
    said = await jsonOf(answer);
  } catch {
    throw new Refusal(0, '');
  }
  if (!answer.ok) throw new Refusal(answer.status, wordsOf(said), said?.code ?? null);
  return { said, headers: answer.headers };
}

/**
 * A fresh key for one upload. `randomUUID` is absent from insecure pages, where people still may send a file.
 * @returns {string}
 */
export function newKey() {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
