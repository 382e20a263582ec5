/*! Filmgate's camera client 0.1.0. Made from web/client by `node build.mjs`; not to be edited. */
"use strict";
var filmgateScriptUrl = document.currentScript ? new URL("filmgate.js", document.currentScript.src).href : "";
"use strict";
(() => {
  // src/settings.ts
  var TRIGGERS = ["INTERVAL", "BUTTON_CLICK", "MESSAGE_SEND", "QUESTION_START", "MANUAL"];
  function readSettings(given) {
    let value = given;
    if (typeof value === "string") {
      try {
        value = JSON.parse(value);
      } catch {
        throw new TypeError("the camera settings are no JSON");
      }
    }
    const wrapped = value;
    if (wrapped?.data?.settings !== void 0) value = wrapped.data.settings;
    else if (wrapped?.settings !== void 0) value = wrapped.settings;
    if (value === null || value === void 0) return null;
    if (typeof value !== "object" || Array.isArray(value)) throw new TypeError("the camera settings are no object");
    return value;
  }
  async function fetchSettings(base, sessionId) {
    const answer = await fetch(`${base}/settings/${encodeURIComponent(sessionId)}`, {
      headers: { accept: "application/json" },
      cache: "no-store"
    });
    const said = await answer.json().catch(() => null);
    if (!answer.ok) {
      const words = said?.error;
      throw new Error(typeof words === "string" ? words : `the camera settings were answered with ${answer.status}`);
    }
    return readSettings(said);
  }
  function readTrigger(given) {
    const upper = given.toUpperCase();
    return TRIGGERS.includes(upper) ? upper : "MANUAL";
  }
  function gating(settings) {
    return settings === null || settings.is_active === false ? null : settings;
  }
  function isWanted(settings, trigger) {
    const gate = gating(settings);
    if (gate === null || !gate.recording_mode) return true;
    if (gate.recording_mode === "INTERVAL") return trigger === "INTERVAL";
    switch (trigger) {
      case "BUTTON_CLICK":
        return gate.capture_on_button_click === true;
      case "MESSAGE_SEND":
        return gate.capture_on_message_send === true;
      case "QUESTION_START":
        return gate.capture_on_question_start === true;
      default:
        return false;
    }
  }
  function intervalMs(settings) {
    const gate = gating(settings);
    if (gate?.recording_mode !== "INTERVAL") return null;
    const seconds = Number(gate.interval_seconds ?? 1);
    return Math.max(1, Number.isFinite(seconds) ? seconds : 1) * 1e3;
  }
  function sizeOf(resolution) {
    const [, width, height] = /^\s*(\d{2,5})\s*[x×]\s*(\d{2,5})\s*$/i.exec(resolution ?? "") ?? [];
    return width && height ? { width: Number(width), height: Number(height) } : { width: 1280, height: 720 };
  }

  // src/camera.ts
  var CameraError = class extends Error {
    reason;
    constructor(reason, cause) {
      super(`no camera: ${reason}`, { cause });
      this.name = "CameraError";
      this.reason = reason;
    }
  };
  function cameraAbsent() {
    if (!globalThis.isSecureContext) return "insecure";
    return typeof navigator.mediaDevices?.getUserMedia === "function" ? null : "unsupported";
  }
  function reasonOf(error) {
    switch (error instanceof Error ? error.name : "") {
      case "NotAllowedError":
      case "SecurityError":
        return "denied";
      case "NotFoundError":
      case "OverconstrainedError":
        return "none";
      case "NotReadableError":
      case "AbortError":
        return "busy";
      default:
        return "unknown";
    }
  }
  var Camera = class {
    video;
    #own;
    #stream = null;
    #wake = null;
    /** With a `video` of the page the camera is shown there; without one, nowhere. */
    constructor(video) {
      this.#own = !video;
      this.video = video ?? document.createElement("video");
      this.video.muted = true;
      this.video.playsInline = true;
    }
    get stream() {
      return this.#stream;
    }
    get track() {
      return this.#stream?.getVideoTracks()[0] ?? null;
    }
    /** Whether a frame can be had just now. A camera that its own switch has turned off is open and mute. */
    get shows() {
      const track = this.track;
      return track !== null && track.readyState === "live" && !track.muted && this.video.videoWidth > 0;
    }
    /** Opens the camera at the size of the settings, or the nearest it has. `onEnded`: it went away by itself. */
    async open(settings, onEnded) {
      const absent = cameraAbsent();
      if (absent) throw new CameraError(absent);
      this.close();
      const { width, height } = sizeOf(settings?.resolution);
      let stream;
      try {
        stream = await navigator.mediaDevices.getUserMedia({
          audio: false,
          video: { width: { ideal: width }, height: { ideal: height }, facingMode: settings?.facing ?? "user" }
        });
      } catch (error) {
        throw new CameraError(reasonOf(error), error);
      }
      this.#stream = stream;
      for (const track of stream.getVideoTracks()) {
        track.addEventListener("ended", () => this.#stream === stream && onEnded());
      }
      try {
        if (this.#own) this.video.disablePictureInPicture = true;
        this.video.srcObject = stream;
        await this.video.play();
      } catch (error) {
        if (this.#stream !== stream) throw new CameraError("ended", error);
        this.close();
        throw new CameraError("unknown", error);
      }
      void this.#stayAwake();
    }
    /** Frees the camera; its light goes out. */
    close() {
      for (const track of this.#stream?.getTracks() ?? []) track.stop();
      this.#stream = null;
      this.video.srcObject = null;
      this.#wake?.release().catch(() => {
      });
      this.#wake = null;
    }
    /** A phone that falls asleep stops its camera. Where it cannot be asked to stay awake, nothing is lost but that. */
    async #stayAwake() {
      try {
        const lock = await navigator.wakeLock?.request("screen");
        if (lock && this.#stream) this.#wake = lock;
        else await lock?.release();
      } catch {
      }
    }
  };

  // src/digest.ts
  async function sha256Hex(bytes) {
    const subtle = globalThis.crypto?.subtle;
    if (!subtle) return null;
    const digest = new Uint8Array(await subtle.digest("SHA-256", bytes));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  function newKey() {
    if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = bytes[6] & 15 | 64;
    bytes[8] = bytes[8] & 63 | 128;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  }
  var LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;
  function storable(text2) {
    return text2.replace(/\0/g, "").replace(LONE_SURROGATE, "�");
  }

  // src/encoder.ts
  var WORKER_NAME = "filmgate-encoder";
  var WORKER_PATIENCE_MS = 1e4;
  function ownUrl() {
    const url = filmgateScriptUrl;
    return url && /\/filmgate\.js$/.test(new URL(url).pathname) ? url : null;
  }
  var Encoder = class {
    #worker = null;
    #useWorker;
    #url;
    #nextId = 1;
    #waiting = /* @__PURE__ */ new Map();
    #canvas = null;
    constructor(workerUrl) {
      this.#url = workerUrl ?? ownUrl();
      this.#useWorker = this.#url !== null && typeof Worker === "function" && typeof OffscreenCanvas === "function";
    }
    /** Starts what encoding needs, so that the first frame does not wait for it. */
    warm() {
      if (this.#useWorker) this.#start();
    }
    /** What the video shows now, no larger than asked for. */
    async encode(video, track, longSide, quality) {
      const { videoWidth, videoHeight } = video;
      if (!videoWidth || !videoHeight) throw new Error("the camera shows no picture");
      const scale = Math.min(1, longSide / Math.max(videoWidth, videoHeight));
      const width = Math.max(1, Math.round(videoWidth * scale));
      const height = Math.max(1, Math.round(videoHeight * scale));
      const began = performance.now();
      if (this.#useWorker) {
        const picture = await grab(video, track);
        const grabbed = performance.now();
        const reply = picture && await this.#ask({ id: this.#nextId++, picture, width, height, quality });
        if (reply && "blob" in reply) {
          const { blob, sha256 } = reply;
          const encode_ms = Math.round(performance.now() - grabbed);
          return { blob, sha256, width, height, where: "worker", grab_ms: Math.round(grabbed - began), encode_ms };
        }
        this.#giveUp();
      }
      return this.#onPage(video, width, height, quality);
    }
    close() {
      this.#worker?.terminate();
      this.#worker = null;
      for (const [id2, { resolve, timer }] of this.#waiting) {
        clearTimeout(timer);
        resolve({ id: id2, error: "closed" });
      }
      this.#waiting.clear();
    }
    #giveUp() {
      this.#useWorker = false;
      this.close();
    }
    #start() {
      if (this.#worker || !this.#url) return this.#worker;
      try {
        const worker = new Worker(this.#url, { type: "module", name: WORKER_NAME });
        worker.addEventListener("message", (event) => {
          const asked = this.#waiting.get(event.data.id);
          if (!asked) return;
          this.#waiting.delete(event.data.id);
          clearTimeout(asked.timer);
          asked.resolve(event.data);
        });
        worker.addEventListener("error", () => this.#giveUp());
        this.#worker = worker;
      } catch {
        this.#useWorker = false;
      }
      return this.#worker;
    }
    #ask(job) {
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
    async #onPage(video, width, height, quality) {
      const began = performance.now();
      const canvas = this.#canvas ??= document.createElement("canvas");
      canvas.width = width;
      canvas.height = height;
      const context = canvas.getContext("2d", { alpha: false });
      if (!context) throw new Error("the browser gives no canvas");
      context.drawImage(video, 0, 0, width, height);
      const grabbed = performance.now();
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
      if (!blob) throw new Error("the browser made no JPEG");
      const sha256 = await sha256Hex(await blob.arrayBuffer());
      const encode_ms = Math.round(performance.now() - grabbed);
      return { blob, sha256, width, height, where: "page", grab_ms: Math.round(grabbed - began), encode_ms };
    }
  };
  async function grab(video, track) {
    if (document.visibilityState === "hidden" && track && typeof ImageCapture === "function") {
      try {
        return await new ImageCapture(track).grabFrame();
      } catch {
      }
    }
    try {
      if (typeof VideoFrame === "function") return new VideoFrame(video);
    } catch {
    }
    try {
      return await createImageBitmap(video);
    } catch {
      return null;
    }
  }
  function isWorker() {
    return typeof document === "undefined" && globalThis.name === WORKER_NAME;
  }

  // src/gaps.ts
  var GAPS_A_FRAME = 40;
  var GapLog = class {
    #store;
    #session;
    #run;
    #open = null;
    #work = Promise.resolve();
    constructor(store, session, run) {
      this.#store = store;
      this.#session = session;
      this.#run = run;
    }
    /** Notes missed frames; says the gap as it is now. */
    note(missed) {
      const { reason, from, question, trigger, code } = missed;
      const to = missed.to ?? from;
      const n = missed.missed ?? 1;
      const last = this.#open;
      if (last && !last.carrier && last.reason === reason && last.question === question && last.trigger === trigger && last.code === code) {
        last.to = new Date(to).toISOString();
        last.missed += n;
      } else {
        this.#open = {
          session: this.#session,
          carrier: "",
          run: this.#run,
          reason,
          from: new Date(from).toISOString(),
          to: new Date(to).toISOString(),
          missed: n,
          question,
          trigger,
          code
        };
      }
      const gap = this.#open;
      this.#then(async () => {
        gap.id = await this.#store.putGap({ ...gap });
      });
      return publicGap(gap);
    }
    /** A frame was taken: what is missed from here on is another gap. */
    close() {
      this.#open = null;
    }
    /** Gaps that no frame carries yet, to be written into the metadata of the next. */
    async take() {
      this.close();
      await this.settled();
      const open2 = await this.#store.openGaps(this.#session, GAPS_A_FRAME);
      return { ids: open2.map(({ id: id2 }) => id2), gaps: open2.map(publicGap) };
    }
    settled() {
      return this.#work;
    }
    #then(work) {
      this.#work = this.#work.then(work).catch(() => {
      });
    }
  };
  function publicGap({ reason, from, to, missed, run, question, trigger, code }) {
    return JSON.parse(JSON.stringify({ reason, from, to, missed, run, question, trigger, code }));
  }

  // src/hints.ts
  var INTERVAL_HEADER = "Filmgate-Interval-Ms";
  var QUALITY_HEADER = "Filmgate-Quality";
  var TRIGGER_HEADER = "Filmgate-Trigger";
  var INTERVAL_MAX_MS = 6e4;
  var QUALITY_MIN = 0.3;
  var HINT_LIVES_MS = 6e4;
  var NO_HINTS = { interval_ms: null, quality: null, at: 0 };
  function readHints(headers, at) {
    const number = (name) => {
      const text2 = headers.get(name)?.trim();
      return text2 && /^\d+(\.\d+)?$/.test(text2) ? Number(text2) : null;
    };
    const interval = number(INTERVAL_HEADER);
    const quality = number(QUALITY_HEADER);
    return {
      interval_ms: interval === null ? null : Math.min(interval, INTERVAL_MAX_MS),
      quality: quality === null ? null : Math.max(QUALITY_MIN, Math.min(1, quality)),
      at
    };
  }
  function pacedInterval(settingsMs, hints, now) {
    return now - hints.at > HINT_LIVES_MS ? settingsMs : Math.max(settingsMs, hints.interval_ms ?? 0);
  }
  function pacedQuality(wanted, hints, now) {
    return now - hints.at > HINT_LIVES_MS ? wanted : Math.min(wanted, hints.quality ?? 1);
  }

  // src/answers.ts
  var AGAIN = /* @__PURE__ */ new Set([404, 405, 408, 421, 425, 429]);
  var TRIES_MAX = 8;
  function judge(answer, sha256, now) {
    if (answer === null) return { kind: "again", trouble: "offline", words: "", wait_ms: null, counts: false };
    const { status, body } = answer;
    const ours = body !== null && typeof body === "object";
    const code = ours && typeof body.code === "string" ? body.code : "";
    const words = ours && typeof body.error === "string" && body.error || `status ${status}`;
    const wait_ms = retryAfterMs(answer.headers.get("retry-after"), now);
    if (answer.redirected && !ours) return { kind: "sign-in" };
    if (status >= 200 && status < 300) {
      if (!ours || body.status !== "OLKORECT") return { kind: "again", trouble: "offline", words: "", wait_ms, counts: false };
      const stored = Array.isArray(body.captures) ? body.captures[0] : void 0;
      if (stored) {
        const theirs = typeof stored.sha256 === "string" ? stored.sha256.toLowerCase() : null;
        const verified = theirs === null || sha256 === null ? null : theirs === sha256;
        return { kind: "stored", captureId: text(stored.id), filename: text(stored.filename), verified };
      }
      if (Array.isArray(body.task_ids) && body.task_ids.length > 0) {
        return { kind: "stored", captureId: null, filename: null, verified: null };
      }
      return { kind: "skipped", words: text(body.skipped?.[0]?.reason) ?? "" };
    }
    if (status === 401) return { kind: "sign-in" };
    if (status === 403) return { kind: "aside", code: code || "session_not_found", words, status };
    if (status === 409 && code === "idempotency_key_in_progress") {
      return { kind: "again", trouble: "busy", words, wait_ms: wait_ms ?? 1e3, counts: false };
    }
    if (status === 422 && code === "idempotency_key_reused") return { kind: "new-key", words };
    if (code === "body_incomplete") return { kind: "again", trouble: "offline", words, wait_ms, counts: true };
    if (status >= 500 || AGAIN.has(status)) {
      const counts = status === 500 || status === 404 || status === 405 || status === 408;
      return { kind: "again", trouble: "busy", words, wait_ms, counts };
    }
    const stop = code === "session_ended" || code === "no_camera_settings";
    return { kind: "refused", code: code || `status_${status}`, words, status, stop };
  }
  function text(value) {
    return typeof value === "string" ? value : null;
  }
  function retryAfterMs(value, now) {
    if (value === null) return null;
    const ms = /^\s*\d+\s*$/.test(value) ? Number(value) * 1e3 : Date.parse(value) - now;
    return Number.isFinite(ms) ? Math.max(0, ms) : null;
  }
  function backoffMs(strikes, random) {
    const longest = Math.min(1e3 * 2 ** Math.max(0, strikes - 1), 3e4);
    return Math.round(longest * (0.5 + random / 2));
  }

  // src/sender.ts
  var IN_AIR = 3;
  var UPLOAD_TIMEOUT_MS = 12e4;
  var SIGNED_OUT_LOOK_MS = 3e4;
  var LEASE_MS = 15e3;
  var POLL_MS = 5e3;
  var KEEP_MS = 7 * 24 * 3600 * 1e3;
  var Sender = class {
    base;
    trouble = null;
    hints = NO_HINTS;
    #store;
    #owner;
    #listeners = /* @__PURE__ */ new Set();
    #channel = null;
    #leads = false;
    #closed = false;
    #busy = /* @__PURE__ */ new Map();
    #strikes = 0;
    #pumping = false;
    #again = false;
    #timer;
    #letGo = null;
    #tab = newKey();
    constructor(store, base, owner) {
      this.#store = store;
      this.base = base;
      this.#owner = owner;
      if (typeof BroadcastChannel === "function") {
        this.#channel = new BroadcastChannel(`filmgate-camera ${base}`);
        this.#channel.onmessage = (event) => this.#heard(event.data);
      }
      addEventListener("online", this.#hurry);
      addEventListener("focus", this.#look);
      void this.#expire();
      void this.#lead();
    }
    get leads() {
      return this.#leads;
    }
    get inAir() {
      return this.#busy.size;
    }
    get owner() {
      return this.#owner;
    }
    /** Somebody signed in: only their frames are sent, and those without a name. */
    set owner(owner) {
      if (owner === this.#owner) return;
      this.#owner = owner;
      this.resume();
    }
    listen(listener) {
      this.#listeners.add(listener);
      return () => this.#listeners.delete(listener);
    }
    /** A frame was kept. */
    wake() {
      if (this.#leads) void this.#pump();
      else this.#tell({ kind: "added" });
    }
    /** Signed in (again): what waited for that goes on, also what was set aside. */
    resume() {
      this.#tell({ kind: "resume" });
      void this.#resume();
    }
    /** Takes frames back that nobody may have any more; what is on its way is broken off. */
    async purge(session) {
      this.#tell({ kind: "abort", session });
      const gone = await this.#store.purge(session === null ? null : { session });
      this.#abort(new Set(gone.map(({ seq }) => seq)));
      for (const frame of gone) this.#outcome(frame, { kind: "purged" });
      return gone.length;
    }
    close() {
      this.#closed = true;
      this.#leads = false;
      clearTimeout(this.#timer);
      this.#letGo?.();
      this.#abort(null);
      this.#channel?.close();
      this.#channel = null;
      removeEventListener("online", this.#hurry);
      removeEventListener("focus", this.#look);
    }
    #hurry = () => {
      if (this.trouble?.kind === "offline") this.trouble.until = 0;
      this.wake();
    };
    #look = () => {
      if (this.trouble?.kind === "signed-out") this.trouble.until = 0;
      this.wake();
    };
    async #resume() {
      if (!this.#leads) return;
      if (this.trouble?.kind === "signed-out") this.#setTrouble(null);
      await this.#store.reconsider(this.#owner).catch(() => {
      });
      void this.#pump();
    }
    /** Of several pages one sends. A browser without locks agrees by a lease, where two at once would do no harm. */
    async #lead() {
      const started = async () => {
        this.#leads = true;
        await this.#store.reconsider(this.#owner).catch(() => {
        });
        void this.#pump();
      };
      if (this.#store.kept === "memory") return started();
      if (navigator.locks) {
        await navigator.locks.request(`filmgate-camera ${this.base}`, async () => {
          if (this.#closed) return;
          await started();
          await new Promise((resolve) => this.#letGo = resolve);
          this.#leads = false;
        }).catch(() => this.#closed ? void 0 : started());
        return;
      }
      const name = `lease ${this.base}`;
      for (; ; ) {
        if (this.#closed) return;
        const lease = await this.#store.get(name).catch(() => void 0);
        if (!lease || lease.tab === this.#tab || lease.until < Date.now()) {
          await this.#store.set(name, { tab: this.#tab, until: Date.now() + LEASE_MS }).catch(() => {
          });
          if (!this.#leads) await started();
          else void this.#pump();
        } else this.#leads = false;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
    async #expire() {
      const gone = await this.#store.purge({ before: Date.now() - KEEP_MS }).catch(() => []);
      for (const frame of gone) this.#outcome(frame, { kind: "refused", code: "expired", words: "" });
    }
    async #pump() {
      if (!this.#leads || this.#closed) return;
      if (this.#pumping) {
        this.#again = true;
        return;
      }
      this.#pumping = true;
      try {
        do {
          this.#again = false;
          const wait = (this.trouble?.until ?? 0) - Date.now();
          if (wait > 0) {
            clearTimeout(this.#timer);
            this.#timer = setTimeout(() => void this.#pump(), Math.min(wait + 5, 2147483647));
            return;
          }
          const room = (this.trouble ? 1 : IN_AIR) - this.#busy.size;
          if (room <= 0) return;
          const taken = new Set(this.#busy.keys());
          for (const frame of await this.#store.next(this.#owner, room, taken)) void this.#send(frame);
        } while (this.#again);
      } catch {
      } finally {
        this.#pumping = false;
      }
    }
    async #send(frame) {
      const abort = new AbortController();
      this.#busy.set(frame.seq, abort);
      this.#changed();
      const timer = setTimeout(() => abort.abort(), UPLOAD_TIMEOUT_MS);
      let answer = null;
      try {
        const response = await fetch(`${this.base}/upload`, {
          method: "POST",
          headers: {
            accept: "application/json",
            "Idempotency-Key": frame.key,
            // The receipt is to name the checksum, also where the server answers with tasks by default.
            Prefer: "wait=30",
            [TRIGGER_HEADER]: frame.trigger
          },
          body: formOf(frame),
          signal: abort.signal
        });
        const { status, redirected, headers } = response;
        const body = await response.json().catch(() => null);
        answer = { status, redirected, headers, body };
        this.hints = readHints(headers, Date.now());
      } catch {
        answer = null;
      }
      clearTimeout(timer);
      if (!this.#busy.has(frame.seq)) return;
      try {
        await this.#settle(frame, judge(answer, frame.sha256, Date.now()));
      } catch {
      }
      this.#busy.delete(frame.seq);
      this.#changed();
      void this.#pump();
    }
    async #settle(frame, verdict) {
      switch (verdict.kind) {
        case "stored":
          this.#recovered();
          if (verdict.verified === false) return this.#another(frame, "the receipt names another checksum");
          await this.#store.settle(frame, "arrived");
          return this.#outcome(frame, verdict);
        case "skipped":
          this.#recovered();
          await this.#store.settle(frame, "keep");
          return this.#outcome(frame, verdict);
        case "new-key":
          return this.#another(frame, verdict.words);
        case "sign-in":
          return this.#setTrouble({ kind: "signed-out", words: "", until: Date.now() + SIGNED_OUT_LOOK_MS });
        case "again": {
          const tries = frame.tries + (verdict.counts ? 1 : 0);
          if (tries >= TRIES_MAX) return this.#aside(frame, "too_many_tries", verdict.words);
          if (tries !== frame.tries) await this.#store.update({ ...frame, tries });
          if (!this.trouble || this.trouble.until <= Date.now()) this.#strikes += 1;
          const wait = verdict.wait_ms ?? backoffMs(this.#strikes, Math.random());
          const until = Math.max(this.trouble?.until ?? 0, Date.now() + wait);
          return this.#setTrouble({ kind: verdict.trouble, words: verdict.words, until });
        }
        case "aside":
          this.#recovered();
          return this.#aside(frame, verdict.code, verdict.words);
        case "refused":
          this.#recovered();
          await this.#store.settle(frame, "keep");
          return this.#outcome(frame, verdict);
      }
    }
    /** Under another key; three times, then it is set aside. What the server has of it is not ours. */
    async #another(frame, words) {
      const tries = frame.tries + 3;
      if (tries > TRIES_MAX) return this.#aside(frame, "checksum_differs", words);
      await this.#store.update({ ...frame, key: newKey(), tries });
    }
    async #aside(frame, code, words) {
      await this.#store.update({ ...frame, aside: { code, words } });
      this.#outcome(frame, { kind: "aside", code, words });
    }
    #recovered() {
      if (this.trouble?.kind === "busy" && this.trouble.until > Date.now()) return;
      this.#strikes = 0;
      this.#setTrouble(null);
    }
    #setTrouble(trouble) {
      this.trouble = trouble;
      this.#changed();
    }
    #abort(which) {
      for (const [seq, abort] of this.#busy) {
        if (which && !which.has(seq)) continue;
        this.#busy.delete(seq);
        abort.abort();
      }
    }
    #outcome(frame, about) {
      const { key, session, trigger, taken_at } = frame;
      const { kind, captureId, filename, verified, code, words, stop } = about;
      const outcome = { kind, key, session, trigger, taken_at };
      Object.assign(outcome, JSON.parse(JSON.stringify({ captureId, filename, verified, code, words, stop })));
      this.#tell({ kind: "outcome", outcome });
      for (const listener of this.#listeners) listener.onOutcome(outcome);
    }
    #changed() {
      this.#tell({ kind: "state", trouble: this.trouble, hints: this.hints });
      for (const listener of this.#listeners) listener.onState();
    }
    #tell(note) {
      try {
        this.#channel?.postMessage(note);
      } catch {
      }
    }
    #heard(note) {
      switch (note.kind) {
        case "added":
          if (this.#leads) void this.#pump();
          return;
        case "resume":
          void this.#resume();
          return;
        case "abort":
          if (this.#leads) setTimeout(() => void this.#dropPurged(), 100);
          return;
        case "outcome":
          for (const listener of this.#listeners) listener.onOutcome(note.outcome);
          return;
        case "state":
          if (this.#leads) return;
          this.trouble = note.trouble;
          this.hints = note.hints;
          for (const listener of this.#listeners) listener.onState();
      }
    }
    async #dropPurged() {
      const left = await this.#store.next(this.#owner, Infinity, /* @__PURE__ */ new Set()).catch(() => null);
      if (!left) return;
      const known = new Set(left.map(({ seq }) => seq));
      this.#abort(new Set([...this.#busy.keys()].filter((seq) => !known.has(seq))));
    }
  };
  function formOf(frame) {
    const blob = frame.blob instanceof Blob ? frame.blob : new Blob([frame.blob], { type: "image/jpeg" });
    const form = new FormData();
    form.append("session_id", frame.session);
    form.append("metadata_0", frame.metadata);
    form.append("capture_0", blob, frame.filename);
    return form;
  }

  // src/store.ts
  var NAME = "filmgate-camera";
  async function openStore(name = NAME) {
    try {
      return new IndexedStore(await open(name));
    } catch {
      return new MemoryStore();
    }
  }
  function open(name) {
    return new Promise((resolve, reject) => {
      const asked = indexedDB.open(name, 1);
      asked.onupgradeneeded = () => {
        const db = asked.result;
        const frames = db.createObjectStore("frames", { keyPath: "seq", autoIncrement: true });
        frames.createIndex("order", ["rank", "seq"]);
        frames.createIndex("session", "session");
        const gaps = db.createObjectStore("gaps", { keyPath: "id", autoIncrement: true });
        gaps.createIndex("session", "session");
        db.createObjectStore("notes");
      };
      asked.onsuccess = () => {
        asked.result.onversionchange = () => asked.result.close();
        resolve(asked.result);
      };
      asked.onerror = () => reject(asked.error);
      asked.onblocked = () => reject(new Error("blocked"));
    });
  }
  function got(asked) {
    return new Promise((resolve, reject) => {
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    });
  }
  var rankOf = (trigger) => trigger === "INTERVAL" ? 1 : 0;
  var IndexedStore = class {
    kept = "indexeddb";
    #db;
    constructor(db) {
      this.#db = db;
    }
    /** Runs within one transaction, and resolves once it is on the disk. */
    async #within(names, mode, work) {
      const tx = this.#db.transaction(names, mode, { durability: mode === "readwrite" ? "strict" : "default" });
      const done = new Promise((resolve, reject) => {
        tx.oncomplete = () => resolve();
        tx.onabort = tx.onerror = () => reject(tx.error ?? new Error("the browser keeps nothing"));
      });
      const [value] = await Promise.all([work(tx), done]);
      return value;
    }
    async add(frame, gaps) {
      const whole = { ...frame, rank: rankOf(frame.trigger), tries: 0 };
      return this.#within(["frames", "gaps"], "readwrite", async (tx) => {
        const seq = Number(await got(tx.objectStore("frames").add(whole)));
        const store = tx.objectStore("gaps");
        for (const id2 of gaps) {
          const gap = await got(store.get(id2));
          if (gap) await got(store.put({ ...gap, carrier: frame.key }));
        }
        return { ...whole, seq };
      });
    }
    next(owner, limit, busy) {
      return this.#within(["frames"], "readonly", (tx) => {
        const found = [];
        const asked = tx.objectStore("frames").index("order").openCursor();
        return new Promise((resolve, reject) => {
          asked.onerror = () => reject(asked.error);
          asked.onsuccess = () => {
            const cursor = asked.result;
            if (!cursor || found.length >= limit) return resolve(found);
            const frame = cursor.value;
            if (!frame.aside && mine(frame, owner) && !busy.has(frame.seq)) found.push(frame);
            cursor.continue();
          };
        });
      });
    }
    async update(frame) {
      await this.#within(["frames"], "readwrite", async (tx) => {
        const store = tx.objectStore("frames");
        if (await got(store.getKey(frame.seq)) !== void 0) await got(store.put(frame));
      });
    }
    async settle(frame, gaps) {
      await this.#within(["frames", "gaps"], "readwrite", async (tx) => {
        tx.objectStore("frames").delete(frame.seq);
        const store = tx.objectStore("gaps");
        const all = await got(store.index("session").getAll(frame.session));
        for (const gap of all.filter(({ carrier }) => carrier === frame.key)) {
          if (gaps === "arrived") store.delete(gap.id);
          else store.put({ ...gap, carrier: "" });
        }
      });
    }
    async count(owner) {
      const all = await this.#all();
      const ours = all.filter((frame) => mine(frame, owner));
      const aside = ours.filter((frame) => frame.aside).length;
      return { waiting: ours.length - aside, aside };
    }
    #all() {
      return this.#within(["frames"], "readonly", (tx) => got(tx.objectStore("frames").getAll()));
    }
    async reconsider(owner) {
      await this.#within(["frames"], "readwrite", async (tx) => {
        const store = tx.objectStore("frames");
        for (const frame of await got(store.getAll())) {
          if (frame.aside && mine(frame, owner)) store.put({ ...frame, aside: void 0, tries: 0 });
        }
      });
    }
    purge(which) {
      return this.#within(["frames", "gaps", "notes"], "readwrite", async (tx) => {
        const frames = tx.objectStore("frames");
        const gone = (await got(frames.getAll())).filter((frame) => chosen(frame, which));
        for (const { seq } of gone) frames.delete(seq);
        if (which === null) {
          tx.objectStore("gaps").clear();
          tx.objectStore("notes").clear();
        } else if (which.session !== void 0) {
          const gaps = tx.objectStore("gaps");
          for (const id2 of await got(gaps.index("session").getAllKeys(which.session))) gaps.delete(id2);
        }
        return gone;
      });
    }
    putGap(gap) {
      return this.#within(["gaps"], "readwrite", async (tx) => Number(await got(tx.objectStore("gaps").put(gap))));
    }
    openGaps(session, limit) {
      return this.#within(["gaps"], "readonly", async (tx) => {
        const all = await got(tx.objectStore("gaps").index("session").getAll(session));
        return all.filter(({ carrier }) => carrier === "").slice(0, limit);
      });
    }
    get(name) {
      return this.#within(["notes"], "readonly", (tx) => got(tx.objectStore("notes").get(name)));
    }
    async set(name, value) {
      await this.#within(["notes"], "readwrite", (tx) => got(tx.objectStore("notes").put(value, name)));
    }
  };
  function mine(frame, owner) {
    return frame.owner === "" || frame.owner === owner;
  }
  function chosen(frame, which) {
    if (which === null) return true;
    if (which.session !== void 0 && frame.session !== which.session) return false;
    return which.before === void 0 || frame.taken_at < which.before;
  }
  var MemoryStore = class {
    kept = "memory";
    #seq = 1;
    #frames = /* @__PURE__ */ new Map();
    #gaps = /* @__PURE__ */ new Map();
    #notes = /* @__PURE__ */ new Map();
    async add(frame, gaps) {
      const whole = { ...frame, rank: rankOf(frame.trigger), tries: 0, seq: this.#seq++ };
      this.#frames.set(whole.seq, whole);
      for (const id2 of gaps) {
        const gap = this.#gaps.get(id2);
        if (gap) this.#gaps.set(id2, { ...gap, carrier: frame.key });
      }
      return whole;
    }
    async next(owner, limit, busy) {
      const ready = [...this.#frames.values()].filter((one) => !one.aside && mine(one, owner) && !busy.has(one.seq));
      return ready.sort((a, b) => a.rank - b.rank || a.seq - b.seq).slice(0, limit);
    }
    async update(frame) {
      if (this.#frames.has(frame.seq)) this.#frames.set(frame.seq, frame);
    }
    async settle(frame, gaps) {
      this.#frames.delete(frame.seq);
      for (const [id2, gap] of this.#gaps) {
        if (gap.carrier !== frame.key) continue;
        if (gaps === "arrived") this.#gaps.delete(id2);
        else this.#gaps.set(id2, { ...gap, carrier: "" });
      }
    }
    async count(owner) {
      const ours = [...this.#frames.values()].filter((frame) => mine(frame, owner));
      const aside = ours.filter((frame) => frame.aside).length;
      return { waiting: ours.length - aside, aside };
    }
    async reconsider(owner) {
      for (const frame of this.#frames.values()) {
        if (frame.aside && mine(frame, owner)) this.#frames.set(frame.seq, { ...frame, aside: void 0, tries: 0 });
      }
    }
    async purge(which) {
      const gone = [...this.#frames.values()].filter((frame) => chosen(frame, which));
      for (const { seq } of gone) this.#frames.delete(seq);
      if (which === null) this.#notes.clear();
      for (const [id2, gap] of this.#gaps) {
        if (which === null || which.session !== void 0 && gap.session === which.session) this.#gaps.delete(id2);
      }
      return gone;
    }
    async putGap(gap) {
      const id2 = gap.id ?? this.#seq++;
      this.#gaps.set(id2, { ...gap, id: id2 });
      return id2;
    }
    async openGaps(session, limit) {
      return [...this.#gaps.values()].filter((gap) => gap.session === session && gap.carrier === "").slice(0, limit);
    }
    async get(name) {
      return this.#notes.get(name);
    }
    async set(name, value) {
      this.#notes.set(name, value);
    }
  };

  // src/recorder.ts
  var VERSION = "0.1.0";
  var BASE = "/assessment/camera";
  var AT_WORK_MAX = 2;
  var Recorder = class extends EventTarget {
    sessionId;
    base;
    /** Resolves once the queue is open; frames of earlier pages are sent from then on. */
    ready;
    settings;
    #options;
    #camera;
    #encoder;
    #store = null;
    #sender = null;
    #gaps = null;
    #tags;
    #taggedAt = performance.now();
    #run = newKey();
    #sequence = 0;
    #startedAt = 0;
    #phase = "off";
    #reason = null;
    #clock;
    #attempt = 0;
    #lastTaken = -Infinity;
    #atWork = 0;
    #wasHidden = false;
    #counts = { waiting: 0, aside: 0, stored: 0, skipped: 0, refused: 0, missed: 0 };
    #words = "";
    #code = "";
    #compared = Boolean(globalThis.crypto?.subtle);
    #tallying = false;
    #tallyAgain = false;
    #unlisten = () => {
    };
    constructor(options) {
      super();
      if (!options.sessionId) throw new TypeError("a recorder needs a sessionId");
      this.#options = options;
      this.sessionId = options.sessionId;
      this.base = options.base ?? BASE;
      this.settings = options.settings === void 0 ? null : readSettings(options.settings);
      this.#tags = { ...options.tags };
      this.#camera = new Camera(options.video ?? null);
      this.#encoder = new Encoder(options.workerUrl ?? null);
      document.addEventListener("visibilitychange", this.#onVisibility);
      this.ready = this.#open();
    }
    async #open() {
      this.#store = await openStore();
      this.#sender = await senderOf(this.#store, this.base, this.#options.owner ?? "");
      this.#gaps = new GapLog(this.#store, this.sessionId, this.#run);
      this.#unlisten = this.#sender.listen({ onOutcome: (outcome) => this.#onOutcome(outcome), onState: () => this.#changed() });
      this.#changed();
    }
    get state() {
      const hints = this.#sender?.hints ?? NO_HINTS;
      const base = intervalMs(this.settings);
      const wanted = this.#options.quality ?? 0.8;
      const now = Date.now();
      const interval_ms = base === null ? null : pacedInterval(base, hints, now);
      const quality = pacedQuality(wanted, hints, now);
      return {
        phase: this.#phase,
        reason: this.#reason,
        hidden: this.#phase === "recording" && this.#pausesHidden(),
        ...this.#counts,
        words: this.#words,
        code: this.#code,
        trouble: this.#sender?.trouble ?? null,
        thinned: interval_ms !== base || quality < wanted,
        interval_ms,
        quality,
        kept: this.#store?.kept ?? "indexeddb",
        compared: this.#compared
      };
    }
    /** The camera's own stream, for a page that shows it itself. */
    get stream() {
      return this.#camera.stream;
    }
    /** Opens the camera and begins. Rejects with a `CameraError` that says why there is none. */
    async start() {
      if (this.#phase === "starting" || this.#phase === "recording") return;
      const attempt = ++this.#attempt;
      this.#phase = "starting";
      this.#reason = null;
      this.#words = this.#code = "";
      this.#changed();
      try {
        await this.ready;
        if (this.#options.settings === void 0) this.settings = await fetchSettings(this.base, this.sessionId);
        if (attempt !== this.#attempt) return;
        this.#encoder.warm();
        await this.#camera.open(this.settings, () => this.#onEnded());
      } catch (error) {
        if (attempt === this.#attempt) this.#halt(error instanceof CameraError ? error.reason : "unknown");
        throw error;
      }
      if (attempt !== this.#attempt) {
        if (this.state.phase === "off") this.#camera.close();
        return;
      }
      this.#phase = "recording";
      this.#startedAt = performance.now();
      this.#lastTaken = -Infinity;
      await this.#noteAbsence();
      if (attempt !== this.#attempt) return;
      this.#changed();
      if (intervalMs(this.settings) !== null) this.#tick(performance.now());
    }
    /** Camera off, now. What was taken is still sent. `final`: nothing more is expected of this session. */
    async stop({ final = false } = {}) {
      this.#halt("stopped");
      await this.#noteEnd(final);
    }
    /** Consent is withdrawn: camera off, and what has not been sent yet is deleted, unless `purge` is false. Says how many frames. */
    async withdraw({ purge = true } = {}) {
      this.#halt("withdrawn");
      await this.ready;
      await this.#noteEnd(true);
      const gone = purge ? await this.#sender.purge(this.sessionId) : 0;
      Object.assign(this.#counts, await this.#store.count(this.#sender.owner).catch(() => ({})));
      this.#changed();
      return gone;
    }
    /** Signed in again: what waited for that is sent. With another `owner` from now on, only theirs is. */
    resume(owner) {
      void this.ready.then(() => {
        if (owner !== void 0 && owner !== this.#sender.owner) this.#sender.owner = owner;
        else this.#sender.resume();
      });
    }
    /** Frees everything; frames that wait are sent by the next page. */
    close() {
      this.#halt(this.#reason ?? "stopped");
      this.#encoder.close();
      this.#unlisten();
      document.removeEventListener("visibilitychange", this.#onVisibility);
    }
    /** What frames belong to from now on. Members that are not named stay as they are; null takes one away. */
    tag(tags) {
      if (tags.question !== void 0 && tags.question !== this.#tags.question) this.#taggedAt = performance.now();
      this.#tags = { ...this.#tags, ...tags };
    }
    /** An answer was chosen. */
    onButtonClick(timing) {
      return this.capture("BUTTON_CLICK", timing);
    }
    /** A message was sent. */
    onMessageSend(timing) {
      return this.capture("MESSAGE_SEND", timing);
    }
    /** A question appeared; its name, if given, tags the frames from now on. */
    onQuestionStart(question, timing) {
      if (question) this.tag({ question });
      return this.capture("QUESTION_START", timing);
    }
    /** Takes a frame, if the settings want one of this trigger. Resolves with its key once it is kept, else with null. */
    async capture(trigger = "MANUAL", timing) {
      const why = readTrigger(trigger);
      if (!isWanted(this.settings, why)) return null;
      const now = Date.now();
      if (this.#phase === "interrupted") this.#missed({ reason: "camera_ended", from: now, trigger: why });
      if (this.#phase !== "recording") return null;
      return this.#take(why, now, timing ?? null);
    }
    /** Keeps a photo from elsewhere (a file, say) as if it had been taken now. */
    async keep(blob, { trigger = "MANUAL", capturedAt = /* @__PURE__ */ new Date(), filename = "capture_0.jpg", extra = {} } = {}) {
      await this.ready;
      const sha256 = await sha256Hex(await blob.arrayBuffer());
      const metadata = { trigger, captured_at: capturedAt.toISOString(), ...this.#tags, ...extra, client: CLIENT };
      return this.#enqueue(readTrigger(trigger), blob, sha256, metadata, filename, capturedAt.getTime());
    }
    /** Resolves once nothing of this browser waits any more, or after so long; says whether. */
    async drained(patience_ms = 3e4) {
      await this.ready;
      const end = Date.now() + patience_ms;
      for (; ; ) {
        const { waiting } = await this.#store.count(this.#sender.owner);
        if (waiting === 0) return true;
        if (Date.now() >= end) return false;
        await new Promise((resolve) => setTimeout(resolve, 150));
      }
    }
    /** Gaps that no frame has carried to the server yet. */
    async gaps() {
      await this.ready;
      await this.#gaps.settled();
      return this.#store.openGaps(this.sessionId, 1e3);
    }
    addEventListener(type, listener, options) {
      super.addEventListener(type, listener, options);
    }
    // --- the clock ---------------------------------------------------------------------------------------------------
    /** On a grid from the start, so that the seconds do not drift; turns that came too late are gaps, and not made up for. */
    #tick(due) {
      const every = intervalMs(this.settings);
      if (every === null || this.#phase !== "recording" && this.#phase !== "interrupted") return;
      const late = Math.floor((performance.now() - due) / every);
      if (late > 0) {
        this.#missed({ reason: this.#wasHidden ? "hidden" : "asleep", from: wall(due), to: wall(due + (late - 1) * every), missed: late });
        due += late * every;
      }
      this.#wasHidden = document.visibilityState === "hidden";
      this.#turn(due, every);
      const next = due + every;
      this.#clock = setTimeout(() => this.#tick(next), Math.max(0, next - performance.now()));
    }
    #turn(due, every) {
      const at = wall(due);
      void this.#noteRun(at, every);
      const reason = this.#whyNot(due, every);
      if (reason) this.#missed({ reason, from: at });
      else {
        this.#lastTaken = due;
        void this.#take("INTERVAL", at, null);
      }
    }
    #whyNot(due, every) {
      if (this.#phase === "interrupted") return "camera_ended";
      if (this.#pausesHidden()) return "hidden";
      const paced = pacedInterval(every, this.#sender.hints, Date.now());
      if (due - this.#lastTaken < paced - every / 2) return "thinned";
      return null;
    }
    #pausesHidden() {
      return document.visibilityState === "hidden" && this.#options.whileHidden !== "record";
    }
    async #take(trigger, due, pageTiming) {
      const missed = (reason) => {
        this.#missed({ reason, from: due, trigger: trigger === "INTERVAL" ? void 0 : trigger });
        return null;
      };
      const most = (this.#options.framesMax ?? 2e3) * (trigger === "INTERVAL" ? 1 : 1.1);
      if (this.#counts.waiting + this.#counts.aside >= most) return missed("queue_full");
      if (!this.#camera.shows) return missed(this.#camera.track?.muted ? "camera_muted" : "encode_failed");
      if (trigger === "INTERVAL" && this.#atWork >= AT_WORK_MAX) return missed("slow");
      this.#atWork += 1;
      const taken = /* @__PURE__ */ new Date();
      const attempt = this.#attempt;
      const tags = { ...this.#tags };
      const elapsed_ms = Math.round(performance.now() - this.#startedAt);
      const question_ms = Math.round(performance.now() - this.#taggedAt);
      const { width, height } = sizeOf(this.settings?.resolution);
      const quality = pacedQuality(this.#options.quality ?? 0.8, this.#sender.hints, Date.now());
      try {
        const made = await this.#encoder.encode(this.#camera.video, this.#camera.track, Math.max(width, height), quality);
        if (attempt !== this.#attempt && this.#reason === "withdrawn") return null;
        const timing = {
          ...pageTiming,
          run: this.#run,
          sequence: this.#sequence++,
          ...trigger === "INTERVAL" ? { due_at: new Date(due).toISOString(), interval_ms: intervalMs(this.settings) } : {},
          elapsed_ms,
          question_ms,
          grab_ms: made.grab_ms,
          encode_ms: made.encode_ms,
          offline: navigator.onLine === false || this.#sender.trouble?.kind === "offline"
        };
        const captured_at = taken.toISOString();
        const picture = { width: made.width, height: made.height, quality };
        const metadata = { trigger, captured_at, timing, ...tags, picture, client: CLIENT };
        const key = await this.#enqueue(trigger, made.blob, made.sha256, metadata, "capture_0.jpg", taken.getTime());
        const { grab_ms, encode_ms, where } = made;
        this.#emit("frame", { key, trigger, captured_at, bytes: made.blob.size, width: made.width, height: made.height, where, grab_ms, encode_ms });
        this.#emit("queued", { key, trigger });
        return key;
      } catch (error) {
        const full = error instanceof DOMException && error.name === "QuotaExceededError";
        return missed(full ? "queue_full" : "encode_failed");
      } finally {
        this.#atWork -= 1;
      }
    }
    async #enqueue(trigger, blob, sha256, metadata, filename, taken_at) {
      const { ids, gaps } = await this.#gaps.take();
      const key = newKey();
      const text2 = JSON.stringify(
        { ...metadata, ...gaps.length ? { gaps } : {} },
        (_, value) => typeof value === "string" ? storable(value) : value
      );
      const frame = { key, owner: this.#sender.owner, session: this.sessionId, trigger, blob, sha256, metadata: text2, filename, taken_at };
      await this.#store.add(frame, ids);
      this.#compared &&= sha256 !== null;
      this.#sender.wake();
      this.#changed();
      return key;
    }
    // --- what goes wrong, and what is noted ---------------------------------------------------------------------------
    #missed(missed) {
      const question = this.#tags.question ?? void 0;
      this.#counts.missed += missed.missed ?? 1;
      const gap = this.#gaps.note({ question: question === void 0 ? void 0 : storable(String(question)), ...missed });
      this.#emit("gap", gap);
      this.#changed();
    }
    /** How far the clock came: whoever opens the session next knows from when on nobody was here. */
    async #noteRun(due, interval_ms) {
      const note = { run: this.#run, due, interval_ms, question: this.#tags.question ?? void 0 };
      await this.#store.set(`run ${this.sessionId}`, note).catch(() => {
      });
    }
    async #noteEnd(final) {
      if (!this.#store) return;
      const name = `run ${this.sessionId}`;
      const run = await this.#store.get(name).catch(() => void 0);
      if (run) await this.#store.set(name, final ? void 0 : { ...run, ended: "paused" }).catch(() => {
      });
    }
    /** Between the last turn of the run before and now nobody took frames: a gap, if a frame was due in between. */
    async #noteAbsence() {
      const before = await this.#store.get(`run ${this.sessionId}`).catch(() => void 0);
      if (!before) return;
      const missed = Math.floor((wall(performance.now()) - before.due) / before.interval_ms);
      if (missed < 1) return;
      const from = before.due + before.interval_ms;
      const reason = before.ended ?? (before.run === this.#run ? "camera_ended" : "not_running");
      this.#missed({ reason, from, to: before.due + missed * before.interval_ms, missed, question: before.question });
      this.#gaps.close();
    }
    #onEnded() {
      if (this.#phase !== "recording") return;
      this.#phase = "interrupted";
      this.#reason = "ended";
      this.#changed();
    }
    #onVisibility = () => {
      this.#wasHidden ||= document.visibilityState === "hidden";
      this.#changed();
    };
    #onOutcome(outcome) {
      if (outcome.session === this.sessionId) {
        const gone = { from: outcome.taken_at, trigger: outcome.trigger === "INTERVAL" ? void 0 : outcome.trigger };
        switch (outcome.kind) {
          case "stored":
            this.#counts.stored += 1;
            this.#emit("stored", outcome);
            break;
          case "skipped":
            this.#counts.skipped += 1;
            this.#missed({ reason: "not_wanted", ...gone });
            this.#emit("skipped", outcome);
            break;
          case "refused":
            this.#counts.refused += 1;
            this.#said(outcome);
            this.#missed({ reason: outcome.code === "expired" ? "expired" : "refused", code: outcome.code, ...gone });
            this.#emit("refused", outcome);
            if (outcome.stop) this.#halt("refused");
            break;
          case "aside":
            this.#said(outcome);
            this.#emit("refused", outcome);
            if (outcome.code === "session_not_found") this.#halt("refused");
        }
      }
      this.#changed();
    }
    #said({ words, code }) {
      this.#words = words ?? "";
      this.#code = code ?? "";
    }
    #halt(reason) {
      this.#attempt += 1;
      clearTimeout(this.#clock);
      this.#camera.close();
      this.#phase = "off";
      this.#reason = reason;
      this.#changed();
    }
    /** Counts again, once however often it is asked meanwhile, and tells. */
    #changed() {
      if (this.#tallying) {
        this.#tallyAgain = true;
        return;
      }
      this.#tallying = true;
      void (async () => {
        do {
          this.#tallyAgain = false;
          if (this.#store && this.#sender) {
            const counts = await this.#store.count(this.#sender.owner).catch(() => null);
            if (counts) Object.assign(this.#counts, counts);
          }
          this.#emit("state", this.state);
          await new Promise((resolve) => setTimeout(resolve, 50));
        } while (this.#tallyAgain);
        this.#tallying = false;
      })();
    }
    #emit(kind, detail) {
      this.dispatchEvent(new CustomEvent(kind, { detail }));
    }
  };
  var CLIENT = `filmgate-client/${VERSION}`;
  function wall(monotonic) {
    return Math.round(Date.now() - (performance.now() - monotonic));
  }
  var senders = /* @__PURE__ */ new Map();
  function senderOf(store, base, owner) {
    let sender = senders.get(base);
    if (!sender) senders.set(base, sender = Promise.resolve(new Sender(store, base, owner)));
    return sender.then((found) => {
      if (owner !== "" && found.owner !== owner) found.owner = owner;
      return found;
    });
  }

  // src/compat.ts
  var CameraManager = class {
    sessionId;
    assessmentType;
    assessmentId;
    cameraSettings;
    captures = [];
    videoElement = null;
    stream = null;
    isInitialized = false;
    currentResponseId = null;
    /** The recorder below, for pages that want its events. */
    recorder = null;
    constructor(sessionId, assessmentType, cameraSettings, assessmentId = null) {
      this.sessionId = String(sessionId);
      this.assessmentType = assessmentType;
      this.cameraSettings = readSettings(cameraSettings) ?? {};
      this.assessmentId = assessmentId;
      this.captureImage = this.captureImage.bind(this);
      this.cleanup = this.cleanup.bind(this);
      this.uploadBatch = this.uploadBatch.bind(this);
    }
    /** Opens the camera; rejects where there is none. */
    async initialize() {
      this.videoElement = document.createElement("video");
      this.videoElement.hidden = true;
      document.body.appendChild(this.videoElement);
      const settings = this.cameraSettings.recording_mode ? this.cameraSettings : { ...this.cameraSettings, recording_mode: null };
      const recorder = new Recorder({
        sessionId: this.sessionId,
        settings,
        video: this.videoElement,
        // As the app's pages do: they go on while the participant looks at another tab.
        whileHidden: "record"
      });
      recorder.addEventListener("stored", ({ detail }) => {
        const { captureId, filename, trigger, taken_at } = detail;
        this.captures.push({
          capture_id: captureId ?? null,
          filename: filename ?? null,
          trigger: trigger.toLowerCase(),
          timestamp: new Date(taken_at).toISOString()
        });
      });
      this.recorder = recorder;
      this.#tag();
      try {
        await recorder.start();
      } catch (error) {
        await this.cleanup();
        const reason = error instanceof CameraError ? ` (${error.reason})` : "";
        throw new Error(`Camera access is required for assessment${reason}`, { cause: error });
      }
      this.stream = recorder.stream;
      this.isInitialized = true;
    }
    #tag() {
      const id2 = this.currentResponseId ?? this.assessmentId;
      const type = this.assessmentType?.toLowerCase();
      this.recorder?.tag({
        phq_response_id: type === "phq" ? id2 : null,
        llm_conversation_id: type === "llm" ? id2 : null,
        assessment_type: this.assessmentType
      });
    }
    shouldCapture(trigger) {
      const mode = this.cameraSettings.recording_mode;
      return Boolean(mode) && isWanted(this.cameraSettings, trigger.toUpperCase());
    }
    /** Takes a frame whose trigger the settings want; resolves once it is kept. */
    async captureImage(trigger = "manual", timing = null) {
      if (!this.isInitialized || !this.recorder) throw new Error("Camera not initialized");
      const key = await this.recorder.capture(trigger, timing);
      if (key === null) return null;
      return { success: true, message: "The frame is kept, and sent in the background", key, trigger };
    }
    async onButtonClick(timing = null) {
      return this.#onEvent("button_click", timing);
    }
    async onMessageSend(timing = null) {
      return this.#onEvent("message_send", timing);
    }
    async onQuestionStart(timing = null) {
      return this.#onEvent("question_start", timing);
    }
    async #onEvent(trigger, timing) {
      if (this.cameraSettings.recording_mode !== "EVENT_DRIVEN" || !this.shouldCapture(trigger)) return null;
      return this.captureImage(trigger, timing);
    }
    /** The recorder's clock runs by itself from `initialize` on; these are here because pages call them. */
    setupCaptureMode() {
    }
    startIntervalCapture() {
    }
    stopIntervalCapture() {
      void this.recorder?.stop();
    }
    setCurrentResponseId(responseId) {
      this.currentResponseId = responseId;
      this.#tag();
    }
    setConversationId(conversationId) {
      this.assessmentId = conversationId;
      this.#tag();
    }
    /** Waits a little for what is still on its way, and links it, where frames were taken before the id was known. */
    async uploadBatch(responseIds = null) {
      await this.recorder?.drained(1e4);
      if (this.captures.length === 0) return void 0;
      const capture_ids = this.captures.map(({ capture_id }) => capture_id).filter((id2) => id2 !== null);
      const record = responseIds?.[0];
      if (record !== void 0 && capture_ids.length > 0) {
        const answer = await fetch(`/assessment/camera/link/${encodeURIComponent(this.sessionId)}`, {
          method: "POST",
          headers: { "content-type": "application/json", accept: "application/json" },
          body: JSON.stringify({ capture_ids, assessment_record_id: record, assessment_type: this.assessmentType })
        });
        const said = await answer.json().catch(() => null);
        if (said?.status !== "OLKORECT") throw new Error(said?.error ?? "Failed to link captures");
      }
      const processed_count = this.captures.length;
      this.captures = [];
      return { status: "OLKORECT", processed_count };
    }
    /** Frees the camera. What waits is still sent, by this page or the next. */
    async cleanup() {
      await this.recorder?.stop();
      this.videoElement?.remove();
      this.videoElement = null;
      this.stream = null;
      this.isInitialized = false;
    }
    getCameraStatus() {
      const { isInitialized, currentResponseId, assessmentId, sessionId, assessmentType, cameraSettings } = this;
      return { isInitialized, currentResponseId, assessmentId, sessionId, assessmentType, cameraSettings };
    }
    getCaptureStats() {
      const { isInitialized, currentResponseId, cameraSettings } = this;
      return { queueLength: this.recorder?.state.waiting ?? 0, isInitialized, currentResponseId, cameraSettings };
    }
  };

  // src/messages.ts
  var en = {
    label: "Camera",
    off: "The camera is off.",
    starting: "Waiting for the camera…",
    recording: "Recording",
    hidden: "Recording is paused while this page is hidden.",
    thinned: "Recording. The server is busy and asked for fewer photos.",
    offline: "Recording. Offline: photos wait in this browser.",
    offline_off: "Offline. Photos wait in this browser and are sent when the connection is back.",
    busy: "The server asks to wait. Photos wait in this browser.",
    sending: "The camera is off. The last photos are being sent.",
    signed_out: "You are signed out. Photos wait in this browser until you sign in again.",
    interrupted: "The camera went away. Check its cable or its switch, then start again.",
    refused: "The camera was stopped, because the server refuses the photos.",
    withdrawn: "The camera is off. You have withdrawn your consent.",
    insecure: "Browsers give the camera only to pages that came over HTTPS.",
    unsupported: "This browser does not offer its camera to pages.",
    denied: "The camera is not allowed for this page.",
    none: "No camera was found.",
    busy_camera: "The camera is in use by another program.",
    unknown: "The camera could not be started.",
    waiting: "{n} waiting",
    aside: "{n} set aside",
    memory: "This browser keeps nothing: photos that wait are lost when the page is closed."
  };
  var id = {
    label: "Kamera",
    off: "Kamera mati.",
    starting: "Menunggu kamera…",
    recording: "Merekam",
    hidden: "Perekaman dijeda selama halaman ini tersembunyi.",
    thinned: "Merekam. Server sedang sibuk dan meminta lebih sedikit foto.",
    offline: "Merekam. Luring: foto menunggu di peramban ini.",
    offline_off: "Luring. Foto menunggu di peramban ini dan dikirim saat koneksi kembali.",
    busy: "Server meminta menunggu. Foto menunggu di peramban ini.",
    sending: "Kamera mati. Foto terakhir sedang dikirim.",
    signed_out: "Anda telah keluar. Foto menunggu di peramban ini sampai Anda masuk lagi.",
    interrupted: "Kamera terputus. Periksa kabel atau tombolnya, lalu mulai lagi.",
    refused: "Kamera dimatikan karena server menolak foto.",
    withdrawn: "Kamera mati. Anda telah menarik persetujuan.",
    insecure: "Peramban hanya memberikan kamera kepada halaman yang dibuka lewat HTTPS.",
    unsupported: "Peramban ini tidak memberikan kamera kepada halaman.",
    denied: "Kamera belum diizinkan untuk halaman ini.",
    none: "Kamera tidak ditemukan.",
    busy_camera: "Kamera sedang dipakai program lain.",
    unknown: "Kamera tidak dapat dinyalakan.",
    waiting: "{n} menunggu",
    aside: "{n} disisihkan",
    memory: "Peramban ini tidak menyimpan apa pun: foto yang menunggu hilang saat halaman ditutup."
  };
  var BOOKS = { en, id };
  function say(language, key, n) {
    return BOOKS[language][key].replace("{n}", n === void 0 ? "{n}" : n.toLocaleString(language));
  }
  function languageOf(lang) {
    return lang?.toLowerCase().startsWith("id") ? "id" : "en";
  }

  // src/status.ts
  function statusOf(state) {
    const { phase, reason, trouble } = state;
    const recording = phase === "recording";
    if (reason === "refused") return { key: "refused", kind: "bad" };
    if (trouble?.kind === "signed-out" && state.waiting > 0) return { key: "signed_out", kind: "warn" };
    if (phase === "starting") return { key: "starting", kind: "calm" };
    if (phase === "interrupted") return { key: "interrupted", kind: "bad" };
    if (recording && state.hidden) return { key: "hidden", kind: "warn" };
    if (trouble?.kind === "offline") return { key: recording ? "offline" : "offline_off", kind: "warn" };
    if (trouble?.kind === "busy") return { key: "busy", kind: "warn" };
    if (recording) return state.thinned ? { key: "thinned", kind: "good" } : { key: "recording", kind: "good" };
    switch (reason) {
      case "withdrawn":
      case "insecure":
      case "unsupported":
      case "denied":
      case "none":
      case "unknown":
        return { key: reason, kind: reason === "withdrawn" ? "calm" : "bad" };
      case "busy":
        return { key: "busy_camera", kind: "bad" };
      default:
        return { key: state.waiting > 0 ? "sending" : "off", kind: "calm" };
    }
  }
  var STYLE = `
:host { display: inline-flex; flex-wrap: wrap; align-items: baseline; gap: .25em .75em; font: inherit;
  color: var(--filmgate-ink, light-dark(#1d1f1e, #e9ebe8)); }
:host([hidden]) { display: none; }
p { margin: 0; }
.says { display: inline-flex; gap: .55em; align-items: baseline; }
.says::before { content: ""; flex: none; width: .62em; height: .62em; border-radius: 50%;
  background: var(--filmgate-calm, light-dark(#85877f, #77807b)); }
.says[data-kind=good]::before { background: var(--filmgate-good, light-dark(#0b6b63, #66cdbd)); }
.says[data-kind=warn] { color: var(--filmgate-warn, light-dark(#8a4b00, #f0b866)); }
.says[data-kind=bad] { color: var(--filmgate-bad, light-dark(#a3232b, #ff9b9b)); }
.says[data-kind=warn]::before, .says[data-kind=bad]::before { background: currentColor; }
.count, .words { color: var(--filmgate-soft, light-dark(#5b605d, #a5aca8)); font-size: .9em; font-variant-numeric: tabular-nums; }
:empty { display: none; }
@media (prefers-reduced-motion: no-preference) {
  .says[data-kind=good]::before { animation: breathe 2.4s ease-in-out infinite; }
  @keyframes breathe { 50% { opacity: .35; } }
}`;
  var Base = typeof HTMLElement === "undefined" ? class {
  } : HTMLElement;
  var FilmgateStatus = class extends Base {
    #recorder = null;
    #says;
    #count;
    #words;
    #draw = () => this.render();
    constructor() {
      super();
      const root = this.attachShadow({ mode: "open" });
      try {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(STYLE);
        root.adoptedStyleSheets = [sheet];
      } catch {
      }
      const line = (name) => {
        const made = document.createElement("p");
        made.className = name;
        root.append(made);
        return made;
      };
      this.#says = line("says");
      this.#says.setAttribute("role", "status");
      this.#says.setAttribute("aria-live", "polite");
      this.#count = line("count");
      this.#words = line("words");
    }
    static get observedAttributes() {
      return ["lang"];
    }
    get recorder() {
      return this.#recorder;
    }
    /** The recorder that is told of. */
    set recorder(recorder) {
      this.#recorder?.removeEventListener("state", this.#draw);
      this.#recorder = recorder;
      recorder?.addEventListener("state", this.#draw);
      this.render();
    }
    attributeChangedCallback() {
      this.render();
    }
    render() {
      const state = this.#recorder?.state;
      const language = languageOf(this.closest("[lang]")?.getAttribute("lang") ?? document.documentElement.lang);
      const { key, kind } = state ? statusOf(state) : { key: "off", kind: "calm" };
      this.#says.dataset.kind = kind;
      write(this.#says, say(language, key));
      const counts = [];
      if (state && state.waiting > 0) counts.push(say(language, "waiting", state.waiting));
      if (state && state.aside > 0) counts.push(say(language, "aside", state.aside));
      write(this.#count, counts.join(" · "));
      const words = [];
      if (state?.words) words.push(state.words);
      if (state?.trouble?.kind === "busy" && state.trouble.words) words.push(state.trouble.words);
      if (state?.kept === "memory") words.push(say(language, "memory"));
      write(this.#words, words.join(" "));
    }
  };
  function write(element, text2) {
    if (element.textContent !== text2) element.textContent = text2;
  }
  function defineStatus() {
    if (typeof customElements !== "undefined" && !customElements.get("filmgate-status")) {
      customElements.define("filmgate-status", FilmgateStatus);
    }
  }

  // src/classic.ts
  if (!isWorker()) {
    defineStatus();
    Object.assign(globalThis, { CameraManager });
  }
})();
