// Filmgate's camera client, whole. The same module is the encoder's worker when it is loaded as one.

import { isWorker, runWorker } from './encoder.js';
import { defineStatus } from './status.js';

export { CameraError, cameraAbsent, type NoCamera } from './camera.js';
export { CameraManager, type CaptureResult, type CompatCapture } from './compat.js';
export { INTERVAL_HEADER, QUALITY_HEADER, TRIGGER_HEADER } from './hints.js';
export { countWaiting, purgeWaiting, Recorder, sendWaiting, VERSION } from './recorder.js';
export type { Phase, RecorderEvents, RecorderOptions, RecorderState, StopReason, Tags } from './recorder.js';
export type { Outcome, Sender, Trouble } from './sender.js';
export { fetchSettings, intervalMs, isWanted, readSettings, sizeOf, type CameraSettings, type Trigger } from './settings.js';
export { FilmgateStatus, statusOf, type StatusKind } from './status.js';
export type { Gap, GapReason } from './store.js';

if (isWorker()) runWorker();
else defineStatus();
