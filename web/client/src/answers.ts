// What an answer to an upload means for the frame that was sent: one table, and no I/O.
//
// Promises: a frame is given up only by an answer that says that the same bytes can never be taken. Whatever may come
// right (the network, a full server, a sign-in that ended, somebody else who is signed in) keeps it.

/** What to do with the frame. */
export type Verdict =
  /** The server has it. `verified`: the receipt's checksum is ours; null: one of the two is missing. */
  | { kind: 'stored'; captureId: string | null; filename: string | null; verified: boolean | null }
  /** The session's settings do not want this trigger. */
  | { kind: 'skipped'; words: string }
  /** Send it again, the same under the same key. `counts`: it may be the frame's own fault. */
  | { kind: 'again'; trouble: 'offline' | 'busy'; words: string; wait_ms: number | null; counts: boolean }
  /** Send it again under another key: the server has other bytes than ours under this one. */
  | { kind: 'new-key'; words: string }
  /** Nobody is signed in. */
  | { kind: 'sign-in' }
  /** Keep it, and do not try again before the page is loaded anew or somebody signs in. */
  | { kind: 'aside'; code: string; words: string; status: number }
  /** Given up, in words. `stop`: so will be every other frame of this session. */
  | { kind: 'refused'; code: string; words: string; status: number; stop: boolean };

export interface Answer {
  status: number;
  redirected: boolean;
  headers: { get(name: string): string | null };
  /** The body as JSON; null: something else. */
  body: any;
}

const AGAIN = new Set([404, 405, 408, 421, 425, 429]);
/** So many answers that may be the frame's own fault, and it is set aside: others must not wait for it for ever. */
export const TRIES_MAX = 8;

/** `null`: no answer came. */
export function judge(answer: Answer | null, sha256: string | null, now: number): Verdict {
  if (answer === null) return { kind: 'again', trouble: 'offline', words: '', wait_ms: null, counts: false };
  const { status, body } = answer;
  const ours = body !== null && typeof body === 'object';
  const code = ours && typeof body.code === 'string' ? body.code : '';
  const words = (ours && typeof body.error === 'string' && body.error) || `status ${status}`;
  const wait_ms = retryAfterMs(answer.headers.get('retry-after'), now);
  // Flask's own way of saying that nobody is signed in: the login page.
  if (answer.redirected && !ours) return { kind: 'sign-in' };
  if (status >= 200 && status < 300) {
    // A 2xx that is not the server's (a café's sign-in page, say) stored nothing.
    if (!ours || body.status !== 'OLKORECT') return { kind: 'again', trouble: 'offline', words: '', wait_ms, counts: false };
    const stored = Array.isArray(body.captures) ? body.captures[0] : undefined;
    if (stored) {
      const theirs = typeof stored.sha256 === 'string' ? stored.sha256.toLowerCase() : null;
      const verified = theirs === null || sha256 === null ? null : theirs === sha256;
      return { kind: 'stored', captureId: text(stored.id), filename: text(stored.filename), verified };
    }
    if (Array.isArray(body.task_ids) && body.task_ids.length > 0) {
      return { kind: 'stored', captureId: null, filename: null, verified: null };
    }
    return { kind: 'skipped', words: text(body.skipped?.[0]?.reason) ?? '' };
  }
  if (status === 401) return { kind: 'sign-in' };
  // Absent, or somebody else's: perhaps somebody else is signed in just now.
  if (status === 403) return { kind: 'aside', code: code || 'session_not_found', words, status };
  if (status === 409 && code === 'idempotency_key_in_progress') {
    return { kind: 'again', trouble: 'busy', words, wait_ms: wait_ms ?? 1000, counts: false };
  }
  if (status === 422 && code === 'idempotency_key_reused') return { kind: 'new-key', words };
  if (code === 'body_incomplete') return { kind: 'again', trouble: 'offline', words, wait_ms, counts: true };
  if (status >= 500 || AGAIN.has(status)) {
    const counts = status === 500 || status === 404 || status === 405 || status === 408;
    return { kind: 'again', trouble: 'busy', words, wait_ms, counts };
  }
  // 400, 409, 413, 415, 422 and whatever else says no: the same bytes will hear the same.
  const stop = code === 'session_ended' || code === 'no_camera_settings';
  return { kind: 'refused', code: code || `status_${status}`, words, status, stop };
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/** `Retry-After` in milliseconds: seconds or a date (RFC 9110). */
export function retryAfterMs(value: string | null, now: number): number | null {
  if (value === null) return null;
  const ms = /^\s*\d+\s*$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}

/** How long to wait after so many failures in a row, where the server names no time. `random` is from 0 to 1. */
export function backoffMs(strikes: number, random: number): number {
  const longest = Math.min(1000 * 2 ** Math.max(0, strikes - 1), 30_000);
  return Math.round(longest * (0.5 + random / 2));
}
