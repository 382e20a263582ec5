// From what the camera shows to a JPEG with its checksum, off the page's main thread where the browser can.
//
// Owns the worker. Promises: at most one conversion waits on another; a worker that fails or falls silent is replaced
// by the page's own canvas for good, so that a strict policy or an old browser costs smoothness and no frame.
// The worker is this very module, loaded a second time (see `runWorker`): a strict policy forbids blob: workers, and
// one file is easier to serve than two.

import { sha256Hex } from './digest.js';

/** A frame as a file. */
export interface Encoded {
  blob: Blob;
  width: number;
  height: number;
  /** Hex; `null` where the page may not compute it. */
  sha256: string | null;
  where: 'worker' | 'page';
  grab_ms: number;
  encode_ms: number;
}

interface Job {
  id: number;
  picture: ImageBitmap | VideoFrame;
  width: number;
  height: number;
  quality: number;
}
type Reply = { id: number; blob: Blob; sha256: string | null } | { id: number; error: string };

const WORKER_NAME = 'filmgate-encoder';
const WORKER_PATIENCE_MS = 10_000;

/** Where this module lies; a bundler's output is somebody else's program, and no worker of ours. */
function ownUrl(): string | null {
  const url: string | undefined = import.meta.url;
  return url && /\/filmgate\.js$/.test(new URL(url).pathname) ? url : null;
}

export class Encoder {
  #worker: Worker | null = null;
  #useWorker: boolean;
  #url: string | URL | null;
  #nextId = 1;
  #waiting = new Map<number, { resolve: (reply: Reply) => void; timer: ReturnType<typeof setTimeout> }>();
  #canvas: HTMLCanvasElement | null = null;

  constructor(workerUrl?: string | URL | null) {
    this.#url = workerUrl ?? ownUrl();
    this.#useWorker = this.#url !== null && typeof Worker === 'function' && typeof OffscreenCanvas === 'function';
  }

  /** Starts what encoding needs, so that the first frame does not wait for it. */
  warm(): void {
    if (this.#useWorker) this.#start();
  }

  /** What the video shows now, no larger than asked for. */
  async encode(
    video: HTMLVideoElement,
    track: MediaStreamTrack | null,
    longSide: number,
    quality: number,
  ): Promise<Encoded> {
    const { videoWidth, videoHeight } = video;
    if (!videoWidth || !videoHeight) throw new Error('the camera shows no picture');
    // A phone held upright turns the picture: compare the long sides.
    const scale = Math.min(1, longSide / Math.max(videoWidth, videoHeight));
    const width = Math.max(1, Math.round(videoWidth * scale));
    const height = Math.max(1, Math.round(videoHeight * scale));
    const began = performance.now();
    if (this.#useWorker) {
      const picture = await grab(video, track);
      const grabbed = performance.now();
      const reply = picture && (await this.#ask({ id: this.#nextId++, picture, width, height, quality }));
      if (reply && 'blob' in reply) {
        const { blob, sha256 } = reply;
        const encode_ms = Math.round(performance.now() - grabbed);
        return { blob, sha256, width, height, where: 'worker', grab_ms: Math.round(grabbed - began), encode_ms };
      }
      this.#giveUp();
    }
    return this.#onPage(video, width, height, quality);
  }

  close(): void {
    this.#worker?.terminate();
    this.#worker = null;
    for (const [id, { resolve, timer }] of this.#waiting) {
      clearTimeout(timer);
      resolve({ id, error: 'closed' });
    }
    this.#waiting.clear();
  }

  #giveUp(): void {
    this.#useWorker = false;
    this.close();
  }

  #start(): Worker | null {
    if (this.#worker || !this.#url) return this.#worker;
    try {
      const worker = new Worker(this.#url, { type: 'module', name: WORKER_NAME });
      worker.addEventListener('message', (event: MessageEvent<Reply>) => {
        const asked = this.#waiting.get(event.data.id);
        if (!asked) return;
        this.#waiting.delete(event.data.id);
        clearTimeout(asked.timer);
        asked.resolve(event.data);
      });
      worker.addEventListener('error', () => this.#giveUp());
      this.#worker = worker;
    } catch {
      this.#useWorker = false; // Another origin's script, or a policy.
    }
    return this.#worker;
  }

  #ask(job: Job): Promise<Reply | null> {
    const worker = this.#start();
    if (!worker) {
      job.picture.close();
      return Promise.resolve(null);
    }
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(job.id);
        resolve(null);
      }, WORKER_PATIENCE_MS);
      this.#waiting.set(job.id, { resolve, timer });
      worker.postMessage(job, [job.picture]);
    });
  }

  async #onPage(video: HTMLVideoElement, width: number, height: number, quality: number): Promise<Encoded> {
    const began = performance.now();
    const canvas = (this.#canvas ??= document.createElement('canvas'));
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext('2d', { alpha: false });
    if (!context) throw new Error('the browser gives no canvas');
    context.drawImage(video, 0, 0, width, height);
    const grabbed = performance.now();
    const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/jpeg', quality));
    if (!blob) throw new Error('the browser made no JPEG');
    const sha256 = await sha256Hex(await blob.arrayBuffer());
    const encode_ms = Math.round(performance.now() - grabbed);
    return { blob, sha256, width, height, where: 'page', grab_ms: Math.round(grabbed - began), encode_ms };
  }
}

/** The picture that the camera shows, ready to be handed to the worker; `null`: only the page's canvas can take it. */
async function grab(video: HTMLVideoElement, track: MediaStreamTrack | null): Promise<ImageBitmap | VideoFrame | null> {
  // A hidden page draws no video, and what its element holds may be old; the track itself goes on.
  if (document.visibilityState === 'hidden' && track && typeof ImageCapture === 'function') {
    try {
      return await new ImageCapture(track).grabFrame();
    } catch {
      // Between two frames, or muted: what the element holds will do.
    }
  }
  try {
    // Shares the camera's own buffer: nothing is copied on the main thread.
    if (typeof VideoFrame === 'function') return new VideoFrame(video);
  } catch {
    // Not from a camera's video, says this browser.
  }
  try {
    return await createImageBitmap(video);
  } catch {
    return null;
  }
}

/** Whether this code was loaded as the encoder's worker. */
export function isWorker(): boolean {
  return typeof document === 'undefined' && (globalThis as { name?: unknown }).name === WORKER_NAME;
}

/** The worker's side. */
export function runWorker(): void {
  const scope = globalThis as unknown as {
    addEventListener(kind: 'message', listener: (event: MessageEvent<Job>) => void): void;
    postMessage(reply: Reply): void;
  };
  let canvas: OffscreenCanvas | null = null;
  scope.addEventListener('message', async ({ data: { id, picture, width, height, quality } }) => {
    try {
      canvas ??= new OffscreenCanvas(width, height);
      if (canvas.width !== width) canvas.width = width;
      if (canvas.height !== height) canvas.height = height;
      const context = canvas.getContext('2d', { alpha: false });
      if (!context) throw new Error('no canvas');
      context.drawImage(picture, 0, 0, width, height);
      // At once: a camera has few buffers, and stands still when they are all held.
      picture.close();
      const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality });
      if (blob.type !== 'image/jpeg') throw new Error('no JPEG');
      scope.postMessage({ id, blob, sha256: await sha256Hex(await blob.arrayBuffer()) });
    } catch (error) {
      picture.close();
      scope.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
}

declare class ImageCapture {
  constructor(track: MediaStreamTrack);
  grabFrame(): Promise<ImageBitmap>;
}
