// The server's live hints: how far apart it wants interval frames, and how good. They come with every answer to an
// upload, and count until the next answer says otherwise, or until they are old.
//
//   Filmgate-Interval-Ms: 4000     interval frames no closer than this; event frames are not thinned
//   Filmgate-Quality: 0.5          JPEG quality of frames to come, of any trigger
//
// An answer without them says that there is no wish: the client goes back to the session's settings.

export const INTERVAL_HEADER = 'Filmgate-Interval-Ms';
export const QUALITY_HEADER = 'Filmgate-Quality';
/** Of a request: the trigger, so that a server can shed load before it reads the form. */
export const TRIGGER_HEADER = 'Filmgate-Trigger';

const INTERVAL_MAX_MS = 60_000;
const QUALITY_MIN = 0.3;
/** A server that answers no more has no wishes either. */
const HINT_LIVES_MS = 60_000;

export interface Hints {
  interval_ms: number | null;
  quality: number | null;
  /** When they came, by the page's clock. */
  at: number;
}

export const NO_HINTS: Hints = { interval_ms: null, quality: null, at: 0 };

export function readHints(headers: { get(name: string): string | null }, at: number): Hints {
  const number = (name: string) => {
    const text = headers.get(name)?.trim();
    return text && /^\d+(\.\d+)?$/.test(text) ? Number(text) : null;
  };
  const interval = number(INTERVAL_HEADER);
  const quality = number(QUALITY_HEADER);
  return {
    interval_ms: interval === null ? null : Math.min(interval, INTERVAL_MAX_MS),
    quality: quality === null ? null : Math.max(QUALITY_MIN, Math.min(1, quality)),
    at,
  };
}

/** Never closer together than the session's settings say. */
export function pacedInterval(settingsMs: number, hints: Hints, now: number): number {
  return now - hints.at > HINT_LIVES_MS ? settingsMs : Math.max(settingsMs, hints.interval_ms ?? 0);
}

/** Never better than the page asked for. */
export function pacedQuality(wanted: number, hints: Hints, now: number): number {
  return now - hints.at > HINT_LIVES_MS ? wanted : Math.min(wanted, hints.quality ?? 1);
}
