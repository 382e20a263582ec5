// What a session's camera settings mean: which frames are wanted, how often, at which size. No state, no I/O but
// `fetchSettings`.

/** Why a frame was taken, as the upload contract names it. */
export type Trigger = 'INTERVAL' | 'BUTTON_CLICK' | 'MESSAGE_SEND' | 'QUESTION_START' | 'MANUAL';

/** A session's camera settings, as the server and the app's model have them. All members may be missing. */
export interface CameraSettings {
  setting_name?: string | null;
  recording_mode?: 'INTERVAL' | 'EVENT_DRIVEN' | string | null;
  interval_seconds?: number | null;
  /** `"1280x720"` */
  resolution?: string | null;
  capture_on_button_click?: boolean | null;
  capture_on_message_send?: boolean | null;
  capture_on_question_start?: boolean | null;
  is_active?: boolean | null;
  /** No member of the app's model: which camera of a phone, `user` (default) or `environment`. */
  facing?: 'user' | 'environment' | null;
}

const TRIGGERS: readonly Trigger[] = ['INTERVAL', 'BUTTON_CLICK', 'MESSAGE_SEND', 'QUESTION_START', 'MANUAL'];

/** Settings given as an object, as JSON text, or as the server's answer that wraps them; `null`: there are none. */
export function readSettings(given: unknown): CameraSettings | null {
  let value: unknown = given;
  if (typeof value === 'string') {
    try {
      value = JSON.parse(value);
    } catch {
      throw new TypeError('the camera settings are no JSON');
    }
  }
  const wrapped = value as { data?: { settings?: unknown }; settings?: unknown } | null | undefined;
  if (wrapped?.data?.settings !== undefined) value = wrapped.data.settings;
  else if (wrapped?.settings !== undefined) value = wrapped.settings;
  if (value === null || value === undefined) return null;
  if (typeof value !== 'object' || Array.isArray(value)) throw new TypeError('the camera settings are no object');
  return value as CameraSettings;
}

/** Asks the server for a session's settings. */
export async function fetchSettings(base: string, sessionId: string): Promise<CameraSettings | null> {
  const answer = await fetch(`${base}/settings/${encodeURIComponent(sessionId)}`, {
    headers: { accept: 'application/json' },
    cache: 'no-store',
  });
  const said: unknown = await answer.json().catch(() => null);
  if (!answer.ok) {
    const words = (said as { error?: unknown } | null)?.error;
    throw new Error(typeof words === 'string' ? words : `the camera settings were answered with ${answer.status}`);
  }
  return readSettings(said);
}

/** A trigger in either case, as pages send them; anything else is `MANUAL`. */
export function readTrigger(given: string): Trigger {
  const upper = given.toUpperCase() as Trigger;
  return TRIGGERS.includes(upper) ? upper : 'MANUAL';
}

/** Settings that gate: inactive ones are as good as none, and let every trigger through. */
function gating(settings: CameraSettings | null): CameraSettings | null {
  return settings === null || settings.is_active === false ? null : settings;
}

/** Whether the session wants a frame of this trigger; the server asks itself the same. */
export function isWanted(settings: CameraSettings | null, trigger: Trigger): boolean {
  const gate = gating(settings);
  if (gate === null || !gate.recording_mode) return true;
  if (gate.recording_mode === 'INTERVAL') return trigger === 'INTERVAL';
  switch (trigger) {
    case 'BUTTON_CLICK':
      return gate.capture_on_button_click === true;
    case 'MESSAGE_SEND':
      return gate.capture_on_message_send === true;
    case 'QUESTION_START':
      return gate.capture_on_question_start === true;
    default:
      return false;
  }
}

/** Milliseconds from frame to frame; `null`: no frame is taken by the clock. */
export function intervalMs(settings: CameraSettings | null): number | null {
  const gate = gating(settings);
  if (gate?.recording_mode !== 'INTERVAL') return null;
  const seconds = Number(gate.interval_seconds ?? 1);
  return Math.max(1, Number.isFinite(seconds) ? seconds : 1) * 1000;
}

/** `"1280x720"` in numbers; anything else is 1280x720. */
export function sizeOf(resolution: string | null | undefined): { width: number; height: number } {
  const [, width, height] = /^\s*(\d{2,5})\s*[x×]\s*(\d{2,5})\s*$/i.exec(resolution ?? '') ?? [];
  return width && height ? { width: Number(width), height: Number(height) } : { width: 1280, height: 720 };
}
