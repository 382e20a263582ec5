"use strict";

/**
 * The app's camera: a frame every `interval_seconds`, or at the events its settings name, sent as one form each. A
 * frame whose upload fails is gone.
 */
class CameraManager {
  constructor(sessionId, assessmentType, cameraSettings, assessmentId) {
    this.sessionId = sessionId;
    this.assessmentType = assessmentType;
    this.settings = typeof cameraSettings === "string" ? JSON.parse(cameraSettings) : cameraSettings;
    this.assessmentId = assessmentId;
    this.captureIds = [];
    this.video = document.createElement("video");
    this.canvas = document.createElement("canvas");
    this.timer = null;
  }

  /** Opens the camera. Says whether it could. */
  async initialize() {
    if (!this.settings) return this.show("No camera settings.");
    const [width, height] = this.settings.resolution.split("x").map(Number);
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { width, height } });
    } catch (error) {
      return this.show(`No camera: ${error.message}`);
    }
    this.video.srcObject = this.stream;
    this.video.muted = true;
    await this.video.play();
    this.canvas.width = this.video.videoWidth;
    this.canvas.height = this.video.videoHeight;
    if (this.settings.recording_mode === "INTERVAL") {
      this.timer = setInterval(() => this.capture("INTERVAL"), this.settings.interval_seconds * 1000);
    }
    this.show("The camera is on.");
    return true;
  }

  onQuestionStart() {
    if (this.settings?.capture_on_question_start) this.capture("QUESTION_START");
  }

  onButtonClick() {
    if (this.settings?.capture_on_button_click) this.capture("BUTTON_CLICK");
  }

  onMessageSend() {
    if (this.settings?.capture_on_message_send) this.capture("MESSAGE_SEND");
  }

  async capture(trigger) {
    if (!this.stream) return;
    this.canvas.getContext("2d").drawImage(this.video, 0, 0);
    const blob = await new Promise((resolve) => this.canvas.toBlob(resolve, "image/jpeg", 0.8));
    const form = new FormData();
    form.append("image", blob, "capture.jpg");
    form.append("trigger", trigger);
    form.append("timing", JSON.stringify({ taken_at: new Date().toISOString(), assessment_type: this.assessmentType }));
    try {
      const response = await fetch(`/assessment/camera/upload-single/${this.sessionId}`, { method: "POST", body: form });
      const answer = await response.json();
      if (answer.status !== "OLKORECT") throw new Error(answer.error);
      this.captureIds.push(answer.data.capture_id);
      this.show(`${this.captureIds.length} photos taken.`);
    } catch (error) {
      this.show(`A photo was lost: ${error.message}`);
    }
  }

  /** Stops, and says which assessment the photos belong to. */
  async finish() {
    clearInterval(this.timer);
    this.stream?.getTracks().forEach((track) => track.stop());
    if (this.captureIds.length === 0) return;
    await fetch(`/assessment/camera/link/${this.sessionId}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        capture_ids: this.captureIds,
        assessment_record_id: this.assessmentId,
        assessment_type: this.assessmentType.toLowerCase(),
      }),
    });
  }

  show(text) {
    const status = document.getElementById("camera-status");
    if (status) status.textContent = text;
    return false;
  }
}
