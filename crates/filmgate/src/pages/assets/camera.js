// @ts-check
// The camera: opened, shown, asked for a JPEG, and freed. Knows nothing of sessions or uploads.

const JPEG_QUALITY = 0.8;

/**
 * Why there is no camera. Each has its own sentence, and its own advice, in messages.js.
 * @typedef {'insecure' | 'unsupported' | 'denied' | 'none' | 'busy' | 'lost' | 'unknown'} NoCamera
 *
 * @typedef {object} Frame
 * @property {Blob} blob
 * @property {string} capturedAt ISO 8601, this computer's clock
 * @property {Record<string, number>} timing
 */

export class CameraError extends Error {
  /** @param {NoCamera} reason */
  constructor(reason) {
    super(`no camera: ${reason}`);
    this.reason = reason;
  }
}

/**
 * What can be said without asking for the camera. Browsers hide it from pages that did not come over HTTPS.
 * @returns {NoCamera | null}
 */
export function cameraAbsent() {
  if (!window.isSecureContext) return 'insecure';
  return typeof navigator.mediaDevices?.getUserMedia === 'function' ? null : 'unsupported';
}

/**
 * @param {unknown} error
 * @returns {NoCamera}
 */
function reasonOf(error) {
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

/**
 * "1280x720" in numbers; anything else is 1280x720.
 * @param {string | null | undefined} resolution
 * @returns {{width: number, height: number}}
 */
export function sizeOf(resolution) {
  const [width, height] = (/^(\d{2,5})\s*[x×]\s*(\d{2,5})$/i.exec(resolution ?? '') ?? []).slice(1).map(Number);
  return width && height ? { width, height } : { width: 1280, height: 720 };
}

export class Camera {
  #video;
  #canvas = document.createElement('canvas');
  /** @type {MediaStream | null} */
  #stream = null;
  #size = sizeOf(null);
  #openedAt = 0;
  #sequence = 0;
  /** @type {WakeLockSentinel | null} */
  #awake = null;

  /** @param {HTMLVideoElement} video shows the live preview */
  constructor(video) {
    this.#video = video;
  }

  get isOpen() {
    return this.#stream !== null;
  }

  /**
   * Opens the camera at that size or the nearest it has.
   * @param {string | null | undefined} resolution
   * @param {() => void} onLost called if the camera goes away by itself
   */
  async open(resolution, onLost) {
    const absent = cameraAbsent();
    if (absent) throw new CameraError(absent);
    this.#size = sizeOf(resolution);
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { width: { ideal: this.#size.width }, height: { ideal: this.#size.height }, facingMode: 'user' },
      });
      this.#stream = stream;
      this.#video.srcObject = stream;
      await this.#video.play();
    } catch (error) {
      this.close();
      throw new CameraError(reasonOf(error));
    }
    for (const track of stream.getVideoTracks()) {
      track.addEventListener('ended', () => this.#stream === stream && onLost());
    }
    this.#openedAt = performance.now();
    this.#sequence = 0;
    this.#stayAwake();
  }

  /** Frees the camera; its light goes out. */
  close() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
    this.#awake?.release().catch(() => {});
    this.#awake = null;
  }

  /**
   * What the camera shows now, as a JPEG no larger than was asked for.
   * @returns {Promise<Frame>}
   */
  async take() {
    const began = performance.now();
    const capturedAt = new Date().toISOString();
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth || !videoHeight) throw new Error('the camera shows no picture');
    // A phone held upright turns the picture: compare the long sides.
    const wanted = Math.max(this.#size.width, this.#size.height);
    const scale = Math.min(1, wanted / Math.max(videoWidth, videoHeight));
    this.#canvas.width = Math.round(videoWidth * scale);
    this.#canvas.height = Math.round(videoHeight * scale);
    const context = this.#canvas.getContext('2d', { alpha: false });
    if (!context) throw new Error('the browser gives no canvas');
    context.drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
    const sequence = this.#sequence++;
    const blob = await new Promise((resolve) => this.#canvas.toBlob(resolve, 'image/jpeg', JPEG_QUALITY));
    if (!(blob instanceof Blob)) throw new Error('the browser made no JPEG');
    const timing = {
      sequence,
      elapsed_ms: Math.round(began - this.#openedAt),
      encode_ms: Math.round(performance.now() - began),
    };
    return { blob, capturedAt, timing };
  }

  /** A phone that falls asleep stops its camera. Where it cannot be asked to stay awake, nothing is lost but that. */
  async #stayAwake() {
    try {
      const lock = await navigator.wakeLock?.request('screen');
      if (lock && this.#stream) this.#awake = lock;
      else await lock?.release();
    } catch {
      // Refused on low battery, or by policy.
    }
  }
}
