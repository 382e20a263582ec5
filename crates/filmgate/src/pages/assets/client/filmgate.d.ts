/*! Filmgate's camera client 0.1.0. Made from web/client by `node build.mjs`; not to be edited. */

/** In a language of the status element. */
type StatusKey = string;
/** Why a frame was taken, as the upload contract names it. */
export declare type Trigger = 'INTERVAL' | 'BUTTON_CLICK' | 'MESSAGE_SEND' | 'QUESTION_START' | 'MANUAL';
/** A session's camera settings, as the server and the app's model have them. All members may be missing. */
export declare interface CameraSettings {
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
/** Settings given as an object, as JSON text, or as the server's answer that wraps them; `null`: there are none. */
export declare function readSettings(given: unknown): CameraSettings | null;
/** Asks the server for a session's settings. */
export declare function fetchSettings(base: string, sessionId: string): Promise<CameraSettings | null>;
/** A trigger in either case, as pages send them; anything else is `MANUAL`. */
declare function readTrigger(given: string): Trigger;
/** Whether the session wants a frame of this trigger; the server asks itself the same. */
export declare function isWanted(settings: CameraSettings | null, trigger: Trigger): boolean;
/** Milliseconds from frame to frame; `null`: no frame is taken by the clock. */
export declare function intervalMs(settings: CameraSettings | null): number | null;
/** `"1280x720"` in numbers; anything else is 1280x720. */
export declare function sizeOf(resolution: string | null | undefined): {
    width: number;
    height: number;
};

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
export declare type NoCamera = 'insecure' | 'unsupported' | 'denied' | 'none' | 'busy' | 'ended' | 'unknown';
/** The camera could not be had; `reason` says why. */
export declare class CameraError extends Error {
    readonly reason: NoCamera;
    constructor(reason: NoCamera, cause?: unknown);
}
/** What can be said without asking for the camera. */
export declare function cameraAbsent(): NoCamera | null;
declare class Camera {
    #private;
    readonly video: HTMLVideoElement;
    /** With a `video` of the page the camera is shown there; without one, nowhere. */
    constructor(video?: HTMLVideoElement | null);
    get stream(): MediaStream | null;
    get track(): MediaStreamTrack | null;
    /** Whether a frame can be had just now. A camera that its own switch has turned off is open and mute. */
    get shows(): boolean;
    /** Opens the camera at the size of the settings, or the nearest it has. `onEnded`: it went away by itself. */
    open(settings: CameraSettings | null, onEnded: () => void): Promise<void>;
    /** Frees the camera; its light goes out. */
    close(): void;
}

export declare const INTERVAL_HEADER = "Filmgate-Interval-Ms";
export declare const QUALITY_HEADER = "Filmgate-Quality";
/** Of a request: the trigger, so that a server can shed load before it reads the form. */
export declare const TRIGGER_HEADER = "Filmgate-Trigger";
declare interface Hints {
    interval_ms: number | null;
    quality: number | null;
    /** When they came, by the page's clock. */
    at: number;
}
declare const NO_HINTS: Hints;
declare function readHints(headers: {
    get(name: string): string | null;
}, at: number): Hints;
/** Never closer together than the session's settings say. */
declare function pacedInterval(settingsMs: number, hints: Hints, now: number): number;
/** Never better than the page asked for. */
declare function pacedQuality(wanted: number, hints: Hints, now: number): number;

/** A frame that waits for its receipt. */
declare interface Waiting {
    seq: number;
    /** The idempotency key. */
    key: string;
    /** Whose it is, as the page names its people; '' where it does not. */
    owner: string;
    session: string;
    trigger: Trigger;
    /** Events go before the clock's frames: 0 before 1. */
    rank: 0 | 1;
    blob: Blob | ArrayBuffer;
    sha256: string | null;
    metadata: string;
    filename: string;
    taken_at: number;
    tries: number;
    /** Why it is set aside; absent while it is to be sent. */
    aside?: {
        code: string;
        words: string;
    } | undefined;
}
declare type NewFrame = Omit<Waiting, 'seq' | 'tries' | 'rank'>;
/** Frames that the settings expected and that were not taken, or were refused for good. */
export declare interface Gap {
    reason: GapReason;
    /** When the first of them was due, ISO 8601. */
    from: string;
    /** When the last of them was due. */
    to: string;
    /** How many. */
    missed: number;
    run?: string | undefined;
    question?: string | undefined;
    trigger?: Trigger | undefined;
    /** The server's code, of `refused`. */
    code?: string | undefined;
}
export declare type GapReason = 'hidden' | 'asleep' | 'thinned' | 'refused' | 'not_wanted' | 'camera_ended' | 'camera_muted' | 'encode_failed' | 'slow' | 'queue_full' | 'paused' | 'not_running' | 'expired';
declare interface KeptGap extends Gap {
    id: number;
    session: string;
    /** The frame that brings it to the server; '' while none does. */
    carrier: string;
}
/** Which frames: of a session, of an owner, of a carrier. */
declare interface Store {
    readonly kept: 'indexeddb' | 'memory';
    /** Keeps the frame, and notes that it carries these gaps, both or neither. */
    add(frame: NewFrame, gaps: number[]): Promise<Waiting>;
    /** What to send next, in order. */
    next(owner: string, limit: number, busy: ReadonlySet<number>): Promise<Waiting[]>;
    update(frame: Waiting): Promise<void>;
    /** The frame is settled; with it go the gaps that it carried, unless they are to find another carrier. */
    settle(frame: Waiting, gaps: 'arrived' | 'keep'): Promise<void>;
    count(owner: string): Promise<{
        waiting: number;
        aside: number;
    }>;
    /** What was set aside is to be tried again. */
    reconsider(owner: string): Promise<void>;
    /** Takes frames away unsent, with their sessions' gaps; which: null is every one. Says how many frames. */
    purge(which: {
        session?: string;
        before?: number;
    } | null): Promise<Waiting[]>;
    putGap(gap: Omit<KeptGap, 'id'> & {
        id?: number;
    }): Promise<number>;
    openGaps(session: string, limit: number): Promise<KeptGap[]>;
    get<T>(name: string): Promise<T | undefined>;
    set(name: string, value: unknown): Promise<void>;
}
/** IndexedDB, or memory where the browser has none for this page. */
declare function openStore(name?: string): Promise<Store>;
/** The same in memory, for browsers that keep nothing for this page. */
declare class MemoryStore implements Store {
    #private;
    readonly kept = "memory";
    add(frame: NewFrame, gaps: number[]): Promise<Waiting>;
    next(owner: string, limit: number, busy: ReadonlySet<number>): Promise<Waiting[]>;
    update(frame: Waiting): Promise<void>;
    settle(frame: Waiting, gaps: 'arrived' | 'keep'): Promise<void>;
    count(owner: string): Promise<{
        waiting: number;
        aside: number;
    }>;
    reconsider(owner: string): Promise<void>;
    purge(which: {
        session?: string;
        before?: number;
    } | null): Promise<Waiting[]>;
    putGap(gap: Omit<KeptGap, 'id'> & {
        id?: number;
    }): Promise<number>;
    openGaps(session: string, limit: number): Promise<KeptGap[]>;
    get<T>(name: string): Promise<T | undefined>;
    set(name: string, value: unknown): Promise<void>;
}

/** Why nothing moves just now. */
export declare type Trouble = {
    kind: 'offline' | 'busy' | 'signed-out';
    words: string;
    until: number;
};
/** What became of a frame. */
export declare interface Outcome {
    kind: 'stored' | 'skipped' | 'refused' | 'aside' | 'purged';
    key: string;
    session: string;
    trigger: string;
    taken_at: number;
    captureId?: string | null;
    filename?: string | null;
    /** The receipt's checksum was compared and is ours; null: it could not be compared. */
    verified?: boolean | null;
    code?: string;
    words?: string;
    /** Every other frame of the session would hear the same. */
    stop?: boolean;
}
/** Longer than this nothing is kept in a browser that never finds its server again. */
declare const KEEP_MS: number;
declare interface SenderListener {
    onOutcome(outcome: Outcome): void;
    onState(): void;
}
export declare class Sender {
    #private;
    readonly base: string;
    trouble: Trouble | null;
    hints: Hints;
    constructor(store: Store, base: string, owner: string);
    get leads(): boolean;
    get inAir(): number;
    get owner(): string;
    /** Somebody signed in: only their frames are sent, and those without a name. */
    set owner(owner: string);
    listen(listener: SenderListener): () => void;
    /** A frame was kept. */
    wake(): void;
    /** Signed in (again): what waited for that goes on, also what was set aside. */
    resume(): void;
    /** Takes frames back that nobody may have any more; what is on its way is broken off. */
    purge(session: string | null): Promise<number>;
    close(): void;
}

export declare const VERSION = "0.1.0";
declare const BASE = "/assessment/camera";
export declare interface RecorderOptions {
    /** The assessment session, as the server knows it. */
    sessionId: string;
    /** Object, JSON text or the server's answer; left out: asked of the server at `start`. */
    settings?: CameraSettings | string | null;
    /** Whose frames these are, by any name that tells people of one browser apart. Only theirs are sent while they are signed in. */
    owner?: string;
    /** Where the camera is shown; left out: nowhere. */
    video?: HTMLVideoElement | null;
    /** Where the camera routes are. */
    base?: string;
    /** JPEG quality, 0 to 1. */
    quality?: number;
    /** What happens while the page is hidden: `pause` (default) takes no frames and notes a gap, `record` goes on. */
    whileHidden?: 'pause' | 'record';
    /** More frames than this are not kept; those of events may exceed it by a tenth. */
    framesMax?: number;
    /** The encoder's worker, where a bundler has renamed this module: the address of an unchanged filmgate.js. */
    workerUrl?: string | URL;
    /** What each frame is tagged with from the beginning; see `tag`. */
    tags?: Tags;
}
/** What a frame belongs to. Other members are kept by the server too. */
export declare interface Tags {
    /** The question or message on the page, by any name of yours. */
    question?: string | null;
    phq_response_id?: string | number | null;
    llm_conversation_id?: string | number | null;
    [other: string]: unknown;
}
export declare type Phase = 'off' | 'starting' | 'recording' | 'interrupted';
/** Why nothing is recorded. */
export declare type StopReason = NoCamera | 'stopped' | 'withdrawn' | 'refused';
export declare interface RecorderState {
    phase: Phase;
    reason: StopReason | null;
    /** The page is hidden, and frames are not taken meanwhile. */
    hidden: boolean;
    /** Frames without a receipt, of this browser and owner. */
    waiting: number;
    /** Of those, set aside: the server will not have them as things are. */
    aside: number;
    stored: number;
    skipped: number;
    refused: number;
    /** Frames expected and not taken, of this run. */
    missed: number;
    /** The server's last words of refusal, and its code. */
    words: string;
    code: string;
    trouble: Trouble | null;
    /** The server asked for fewer frames, or lower quality. */
    thinned: boolean;
    interval_ms: number | null;
    quality: number;
    /** `memory`: this browser keeps nothing over a reload. */
    kept: 'indexeddb' | 'memory';
    /** Whether frames are compared with the server's receipt by checksum. */
    compared: boolean;
}
export declare interface RecorderEvents {
    state: RecorderState;
    /** A frame was taken. */
    frame: {
        key: string;
        trigger: Trigger;
        captured_at: string;
        bytes: number;
        width: number;
        height: number;
        where: string;
        grab_ms: number;
        encode_ms: number;
    };
    /** It is kept in the browser, and will be sent. */
    queued: {
        key: string;
        trigger: Trigger;
    };
    stored: Outcome;
    skipped: Outcome;
    refused: Outcome;
    gap: Gap;
}
export declare class Recorder extends EventTarget {
    #private;
    readonly sessionId: string;
    readonly base: string;
    /** Resolves once the queue is open; frames of earlier pages are sent from then on. */
    readonly ready: Promise<void>;
    settings: CameraSettings | null;
    constructor(options: RecorderOptions);
    get state(): RecorderState;
    /** The camera's own stream, for a page that shows it itself. */
    get stream(): MediaStream | null;
    /** Opens the camera and begins. Rejects with a `CameraError` that says why there is none. */
    start(): Promise<void>;
    /** Camera off, now. What was taken is still sent. `final`: nothing more is expected of this session. */
    stop({ final }?: {
        final?: boolean;
    }): Promise<void>;
    /** Consent is withdrawn: camera off, and what has not been sent yet is deleted, unless `purge` is false. Says how many frames. */
    withdraw({ purge }?: {
        purge?: boolean;
    }): Promise<number>;
    /** Signed in again: what waited for that is sent. With another `owner` from now on, only theirs is. */
    resume(owner?: string): void;
    /** Frees everything; frames that wait are sent by the next page. */
    close(): void;
    /** What frames belong to from now on. Members that are not named stay as they are; null takes one away. */
    tag(tags: Tags): void;
    /** An answer was chosen. */
    onButtonClick(timing?: object | null): Promise<string | null>;
    /** A message was sent. */
    onMessageSend(timing?: object | null): Promise<string | null>;
    /** A question appeared; its name, if given, tags the frames from now on. */
    onQuestionStart(question?: string | null, timing?: object | null): Promise<string | null>;
    /** Takes a frame, if the settings want one of this trigger. Resolves with its key once it is kept, else with null. */
    capture(trigger?: Trigger | string, timing?: object | null): Promise<string | null>;
    /** Keeps a photo from elsewhere (a file, say) as if it had been taken now. */
    keep(blob: Blob, { trigger, capturedAt, filename, extra }?: {
        trigger?: Trigger | string;
        capturedAt?: Date;
        filename?: string;
        extra?: object;
    }): Promise<string>;
    /** Resolves once nothing of this browser waits any more, or after so long; says whether. */
    drained(patience_ms?: number): Promise<boolean>;
    /** Gaps that no frame has carried to the server yet. */
    gaps(): Promise<Gap[]>;
    addEventListener<K extends keyof RecorderEvents>(type: K, listener: ((event: CustomEvent<RecorderEvents[K]>) => void) | EventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
    addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}
/** Sends what waits of this owner, on a page without a camera. */
export declare function sendWaiting({ owner, base }?: {
    owner?: string;
    base?: string;
}): Promise<Sender>;
/** Deletes from this browser whatever frames wait in it, of a session or of all. Says how many. */
export declare function purgeWaiting({ sessionId, base }?: {
    sessionId?: string;
    base?: string;
}): Promise<number>;
/** How many frames wait in this browser. */
export declare function countWaiting(owner?: string): Promise<number>;

export declare type StatusKind = 'calm' | 'good' | 'warn' | 'bad';
/** Which sentence a state is told by, and in which tone. */
export declare function statusOf(state: RecorderState): {
    key: StatusKey;
    kind: StatusKind;
};
/** In a worker there are no elements, and this module is loaded there too. */
declare const Base: typeof HTMLElement;
export declare class FilmgateStatus extends Base {
    #private;
    constructor();
    static get observedAttributes(): string[];
    get recorder(): Recorder | null;
    /** The recorder that is told of. */
    set recorder(recorder: Recorder | null);
    attributeChangedCallback(): void;
    render(): void;
}
/** Makes the element known to the page. */
declare function defineStatus(): void;

export declare interface CompatCapture {
    capture_id: string | null;
    filename: string | null;
    trigger: string;
    timestamp: string;
}
export declare interface CaptureResult {
    success: true;
    message: string;
    /** The frame's idempotency key. */
    key: string;
    trigger: string;
}
export declare class CameraManager {
    #private;
    sessionId: string;
    assessmentType: string;
    assessmentId: string | number | null;
    cameraSettings: CameraSettings;
    captures: CompatCapture[];
    videoElement: HTMLVideoElement | null;
    stream: MediaStream | null;
    isInitialized: boolean;
    currentResponseId: string | number | null;
    /** The recorder below, for pages that want its events. */
    recorder: Recorder | null;
    constructor(sessionId: string | number, assessmentType: string, cameraSettings: CameraSettings | string | null, assessmentId?: string | number | null);
    /** Opens the camera; rejects where there is none. */
    initialize(): Promise<void>;
    shouldCapture(trigger: string): boolean;
    /** Takes a frame whose trigger the settings want; resolves once it is kept. */
    captureImage(trigger?: string, timing?: object | null): Promise<CaptureResult | null>;
    onButtonClick(timing?: object | null): Promise<CaptureResult | null>;
    onMessageSend(timing?: object | null): Promise<CaptureResult | null>;
    onQuestionStart(timing?: object | null): Promise<CaptureResult | null>;
    /** The recorder's clock runs by itself from `initialize` on; these are here because pages call them. */
    setupCaptureMode(): void;
    startIntervalCapture(): void;
    stopIntervalCapture(): void;
    setCurrentResponseId(responseId: string | number | null): void;
    setConversationId(conversationId: string | number | null): void;
    /** Waits a little for what is still on its way, and links it, where frames were taken before the id was known. */
    uploadBatch(responseIds?: (string | number)[] | null): Promise<{
        status: 'OLKORECT';
        processed_count: number;
    } | undefined>;
    /** Frees the camera. What waits is still sent, by this page or the next. */
    cleanup(): Promise<void>;
    getCameraStatus(): object;
    getCaptureStats(): object;
}

export {};
