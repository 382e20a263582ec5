// `CameraManager`, as the existing app's pages know it: same constructor, same methods, same refusals. Below it is the
// recorder, so that a page which changes one script line, or none, loses no frame any more.
//
// What differs: a call resolves once the frame is kept in the browser, and waits for no upload; a frame that cannot be
// sent now is sent later. `captures` fills as receipts come.

import { CameraError } from './camera.js';
import { Recorder } from './recorder.js';
import { isWanted, readSettings, type CameraSettings, type Trigger } from './settings.js';

export interface CompatCapture {
  capture_id: string | null;
  filename: string | null;
  trigger: string;
  timestamp: string;
}

export interface CaptureResult {
  success: true;
  message: string;
  /** The frame's idempotency key. */
  key: string;
  trigger: string;
}

export class CameraManager {
  sessionId: string;
  assessmentType: string;
  assessmentId: string | number | null;
  cameraSettings: CameraSettings;
  captures: CompatCapture[] = [];
  videoElement: HTMLVideoElement | null = null;
  stream: MediaStream | null = null;
  isInitialized = false;
  currentResponseId: string | number | null = null;
  /** The recorder below, for pages that want its events. */
  recorder: Recorder | null = null;

  constructor(sessionId: string | number, assessmentType: string, cameraSettings: CameraSettings | string | null, assessmentId: string | number | null = null) {
    this.sessionId = String(sessionId);
    this.assessmentType = assessmentType;
    this.cameraSettings = readSettings(cameraSettings) ?? {};
    this.assessmentId = assessmentId;
    // Pages hand these on as they are.
    this.captureImage = this.captureImage.bind(this);
    this.cleanup = this.cleanup.bind(this);
    this.uploadBatch = this.uploadBatch.bind(this);
  }

  /** Opens the camera; rejects where there is none. */
  async initialize(): Promise<void> {
    this.videoElement = document.createElement('video');
    this.videoElement.hidden = true;
    document.body.appendChild(this.videoElement);
    // Without a mode the app's class opens the camera and takes nothing by itself.
    const settings = this.cameraSettings.recording_mode ? this.cameraSettings : { ...this.cameraSettings, recording_mode: null };
    const recorder = new Recorder({
      sessionId: this.sessionId,
      settings,
      video: this.videoElement,
      // As the app's pages do: they go on while the participant looks at another tab.
      whileHidden: 'record',
    });
    recorder.addEventListener('stored', ({ detail }) => {
      const { captureId, filename, trigger, taken_at } = detail;
      this.captures.push({
        capture_id: captureId ?? null,
        filename: filename ?? null,
        trigger: trigger.toLowerCase(),
        timestamp: new Date(taken_at).toISOString(),
      });
    });
    this.recorder = recorder;
    this.#tag();
    try {
      await recorder.start();
    } catch (error) {
      await this.cleanup();
      const reason = error instanceof CameraError ? ` (${error.reason})` : '';
      throw new Error(`Camera access is required for assessment${reason}`, { cause: error });
    }
    this.stream = recorder.stream;
    this.isInitialized = true;
  }

  #tag(): void {
    const id = this.currentResponseId ?? this.assessmentId;
    const type = this.assessmentType?.toLowerCase();
    this.recorder?.tag({
      phq_response_id: type === 'phq' ? id : null,
      llm_conversation_id: type === 'llm' ? id : null,
      assessment_type: this.assessmentType,
    });
  }

  shouldCapture(trigger: string): boolean {
    const mode = this.cameraSettings.recording_mode;
    return Boolean(mode) && isWanted(this.cameraSettings, trigger.toUpperCase() as Trigger);
  }

  /** Takes a frame whose trigger the settings want; resolves once it is kept. */
  async captureImage(trigger = 'manual', timing: object | null = null): Promise<CaptureResult | null> {
    if (!this.isInitialized || !this.recorder) throw new Error('Camera not initialized');
    const key = await this.recorder.capture(trigger, timing);
    if (key === null) return null;
    return { success: true, message: 'The frame is kept, and sent in the background', key, trigger };
  }

  async onButtonClick(timing: object | null = null): Promise<CaptureResult | null> {
    return this.#onEvent('button_click', timing);
  }

  async onMessageSend(timing: object | null = null): Promise<CaptureResult | null> {
    return this.#onEvent('message_send', timing);
  }

  async onQuestionStart(timing: object | null = null): Promise<CaptureResult | null> {
    return this.#onEvent('question_start', timing);
  }

  async #onEvent(trigger: string, timing: object | null): Promise<CaptureResult | null> {
    if (this.cameraSettings.recording_mode !== 'EVENT_DRIVEN' || !this.shouldCapture(trigger)) return null;
    return this.captureImage(trigger, timing);
  }

  /** The recorder's clock runs by itself from `initialize` on; these are here because pages call them. */
  setupCaptureMode(): void {}
  startIntervalCapture(): void {}
  stopIntervalCapture(): void {
    void this.recorder?.stop();
  }

  setCurrentResponseId(responseId: string | number | null): void {
    this.currentResponseId = responseId;
    this.#tag();
  }

  setConversationId(conversationId: string | number | null): void {
    this.assessmentId = conversationId;
    this.#tag();
  }

  /** Waits a little for what is still on its way, and links it, where frames were taken before the id was known. */
  async uploadBatch(responseIds: (string | number)[] | null = null): Promise<{ status: 'OLKORECT'; processed_count: number } | undefined> {
    await this.recorder?.drained(10_000);
    if (this.captures.length === 0) return undefined;
    const capture_ids = this.captures.map(({ capture_id }) => capture_id).filter((id) => id !== null);
    const record = responseIds?.[0];
    if (record !== undefined && capture_ids.length > 0) {
      const answer = await fetch(`/assessment/camera/link/${encodeURIComponent(this.sessionId)}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        body: JSON.stringify({ capture_ids, assessment_record_id: record, assessment_type: this.assessmentType }),
      });
      const said = (await answer.json().catch(() => null)) as { status?: string; error?: string } | null;
      if (said?.status !== 'OLKORECT') throw new Error(said?.error ?? 'Failed to link captures');
    }
    const processed_count = this.captures.length;
    this.captures = [];
    return { status: 'OLKORECT', processed_count };
  }

  /** Frees the camera. What waits is still sent, by this page or the next. */
  async cleanup(): Promise<void> {
    await this.recorder?.stop();
    this.videoElement?.remove();
    this.videoElement = null;
    this.stream = null;
    this.isInitialized = false;
  }

  getCameraStatus(): object {
    const { isInitialized, currentResponseId, assessmentId, sessionId, assessmentType, cameraSettings } = this;
    return { isInitialized, currentResponseId, assessmentId, sessionId, assessmentType, cameraSettings };
  }

  getCaptureStats(): object {
    const { isInitialized, currentResponseId, cameraSettings } = this;
    return { queueLength: this.recorder?.state.waiting ?? 0, isInitialized, currentResponseId, cameraSettings };
  }
}
