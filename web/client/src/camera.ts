// The camera: opened as the settings say, shown where wanted, and freed. Knows nothing of sessions, frames or uploads.

import type { CameraSettings } from './settings.js';
import { sizeOf } from './settings.js';

/**
 * Why there is no camera.
 * - `insecure`: the page did not come over HTTPS (or from localhost), and the browser keeps the camera from it
 * - `unsupported`: the browser offers its camera to no page
 * - `denied`: the participant or a policy refused
 * - `none`: no camera is there
 * - `busy`: another program has it
 * - `ended`: it went away by itself
 * - `unknown`: anything else
 */
export type NoCamera = 'insecure' | 'unsupported' | 'denied' | 'none' | 'busy' | 'ended' | 'unknown';

/** The camera could not be had; `reason` says why. */
export class CameraError extends Error {
  readonly reason: NoCamera;
  constructor(reason: NoCamera, cause?: unknown) {
    super(`no camera: ${reason}`, { cause });
    this.name = 'CameraError';
    this.reason = reason;
  }
}

/** What can be said without asking for the camera. */
export function cameraAbsent(): NoCamera | null {
  if (!globalThis.isSecureContext) return 'insecure';
  return typeof navigator.mediaDevices?.getUserMedia === 'function' ? null : 'unsupported';
}

function reasonOf(error: unknown): NoCamera {
  switch (error instanceof Error ? error.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'none';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    default:
      return 'unknown';
  }
}

export class Camera {
  readonly video: HTMLVideoElement;
  #own: boolean;
  #stream: MediaStream | null = null;
  #wake: { release(): Promise<void> } | null = null;

  /** With a `video` of the page the camera is shown there; without one, nowhere. */
  constructor(video?: HTMLVideoElement | null) {
    this.#own = !video;
    this.video = video ?? document.createElement('video');
    this.video.muted = true;
    this.video.playsInline = true;
  }

  get stream(): MediaStream | null {
    return this.#stream;
  }

  get track(): MediaStreamTrack | null {
    return this.#stream?.getVideoTracks()[0] ?? null;
  }

  /** Whether a frame can be had just now. A camera that its own switch has turned off is open and mute. */
  get shows(): boolean {
    const track = this.track;
    return track !== null && track.readyState === 'live' && !track.muted && this.video.videoWidth > 0;
  }

  /** Opens the camera at the size of the settings, or the nearest it has. `onEnded`: it went away by itself. */
  async open(settings: CameraSettings | null, onEnded: () => void): Promise<void> {
    const absent = cameraAbsent();
    if (absent) throw new CameraError(absent);
    this.close();
    const { width, height } = sizeOf(settings?.resolution);
    let stream: MediaStream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { width: { ideal: width }, height: { ideal: height }, facingMode: settings?.facing ?? 'user' },
      });
    } catch (error) {
      throw new CameraError(reasonOf(error), error);
    }
    this.#stream = stream;
    for (const track of stream.getVideoTracks()) {
      // `stop()` of ours tells nobody; only the browser's own end does.
      track.addEventListener('ended', () => this.#stream === stream && onEnded());
    }
    try {
      // Outside the document a video plays in some browsers only if it asks for nothing to be shown.
      if (this.#own) this.video.disablePictureInPicture = true;
      this.video.srcObject = stream;
      await this.video.play();
    } catch (error) {
      if (this.#stream !== stream) throw new CameraError('ended', error);
      this.close();
      throw new CameraError('unknown', error);
    }
    void this.#stayAwake();
  }

  /** Frees the camera; its light goes out. */
  close(): void {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.video.srcObject = null;
    this.#wake?.release().catch(() => {});
    this.#wake = null;
  }

  /** A phone that falls asleep stops its camera. Where it cannot be asked to stay awake, nothing is lost but that. */
  async #stayAwake(): Promise<void> {
    try {
      const lock = await navigator.wakeLock?.request('screen');
      if (lock && this.#stream) this.#wake = lock;
      else await lock?.release();
    } catch {
      // Refused on low battery, or by policy.
    }
  }
}
