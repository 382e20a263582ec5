// For pages that load the camera as a classic script: `<script src="/client/camera-manager.js">` and nothing else.

import { CameraManager } from './compat.js';
import { isWorker } from './encoder.js';
import { defineStatus } from './status.js';

if (!isWorker()) {
  defineStatus();
  Object.assign(globalThis, { CameraManager });
}
