// @ts-check
// A participant's assessment: consent, questionnaire, conversation, done, with the camera beside it.
//
// Owns the steps and the recorder. Leaves the camera, the queue and the sending to /client/filmgate.js, what is
// remembered to journey.js, the stored photos to filmstrip.js. Nothing here waits for an upload. `render` writes the
// whole view from what is known, at any time.

import { CameraError, Recorder, countWaiting, sendWaiting } from '/client/filmgate.js';
import { byId, el, write } from './dom.js';
import { Filmstrip } from './filmstrip.js';
import { RESUME_MS, forgetAll, fresh, keep, recall } from './journey.js';
import { language, say } from './messages.js';
import { Refusal, ask } from './net.js';
import { describe, sessionChoice, wantedFromFile } from './session.js';
import { troubleWords } from './trouble.js';

/** @typedef {import('./session.js').Session} Session */
/** @typedef {import('./journey.js').Journey} Journey */
/** @typedef {import('./journey.js').Step} Step */
/** @typedef {import('./messages.js').MessageKey} MessageKey */
/** @typedef {Exclude<import('/client/filmgate.js').NoCamera, 'ended'> | 'lost'} Absent */

const QUESTIONS = 9;
/** The guide's sentences; the last one asks nothing. */
const LINES = 5;
/** A reply at once reads like a machine. */
const REPLY_MS = 700;

const at = {
  none: byId('no-session', HTMLDivElement),
  noneText: byId('no-session-text', HTMLParagraphElement),
  flow: byId('flow', HTMLDivElement),
  steps: byId('steps', HTMLOListElement),
  sessions: byId('sessions', HTMLFieldSetElement),
  list: byId('session-list', HTMLDivElement),
  photos: byId('consent-photos', HTMLLIElement),
  agree: byId('agree', HTMLInputElement),
  consentProblem: byId('consent-problem', HTMLParagraphElement),
  begin: byId('begin', HTMLButtonElement),
  count: byId('phq-count', HTMLParagraphElement),
  progress: byId('phq-progress', HTMLProgressElement),
  asked: byId('phq-title', HTMLHeadingElement),
  answers: byId('phq-answers', HTMLDivElement),
  care: byId('phq-care', HTMLParagraphElement),
  phqProblem: byId('phq-problem', HTMLParagraphElement),
  next: byId('phq-next', HTMLButtonElement),
  back: byId('phq-back', HTMLButtonElement),
  log: byId('talk-log', HTMLDivElement),
  talkForm: byId('talk-form', HTMLFormElement),
  text: byId('talk-text', HTMLTextAreaElement),
  doneTitle: byId('done-title', HTMLHeadingElement),
  doneText: byId('done-text', HTMLParagraphElement),
  doneSending: byId('done-sending', HTMLParagraphElement),
  camera: byId('camera', HTMLElement),
  stage: byId('stage', HTMLDivElement),
  off: byId('stage-off', HTMLParagraphElement),
  about: byId('about', HTMLParagraphElement),
  absent: byId('absent', HTMLDivElement),
  absentText: byId('absent-text', HTMLParagraphElement),
  file: byId('file', HTMLInputElement),
  start: byId('start', HTMLButtonElement),
  stop: byId('stop', HTMLButtonElement),
  withdraw: byId('withdraw', HTMLButtonElement),
  away: byId('consent-away', HTMLDialogElement),
  awayText: byId('withdraw-text', HTMLParagraphElement),
  film: byId('film', HTMLDetailsElement),
  status: /** @type {import('/client/filmgate.js').FilmgateStatus} */ (byId('status', HTMLElement)),
};

export class Participant {
  #owner = '';
  /** @type {Session[]} */
  #sessions = [];
  /** @type {Session | null} */
  #chosen = null;
  /** @type {Refusal | null} */
  #unlisted = null;
  #here = false;
  /** @type {Journey} */
  #journey = fresh();
  /** They were here before, and are asked whether to go on. */
  #returned = false;
  /** So many unsent photos went with their consent; null: they have not withdrawn it. @type {number | null} */
  #withdrawn = null;
  /** @type {Recorder | null} */
  #recorder = null;
  /** @type {Absent | null} */
  #absent = null;
  #problem = /** @type {MessageKey | null} */ (null);
  #strip;
  #onSignedOut;

  /** @param {{onSignedOut: () => void}} listeners */
  constructor({ onSignedOut }) {
    this.#onSignedOut = onSignedOut;
    this.#strip = new Filmstrip({ onSignedOut: () => this.#signedOut() });
    byId('reload-sessions', HTMLButtonElement).addEventListener('click', () => this.enter(this.#owner));
    byId('consent-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#begin();
    });
    byId('without', HTMLButtonElement).addEventListener('click', () => this.#to('phq'));
    byId('back-go', HTMLButtonElement).addEventListener('click', () => this.#goOn(true));
    byId('back-without', HTMLButtonElement).addEventListener('click', () => this.#goOn(false));
    byId('phq-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#nextQuestion();
    });
    at.back.addEventListener('click', () => this.#ask(this.#journey.question - 1));
    at.talkForm.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    at.text.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    byId('talk-finish', HTMLButtonElement).addEventListener('click', () => this.#finish());
    byId('done-again', HTMLButtonElement).addEventListener('click', () => this.#anew());
    at.start.addEventListener('click', () => this.#start());
    at.stop.addEventListener('click', () => this.#stop());
    at.withdraw.addEventListener('click', () => this.#withdraw());
    at.file.addEventListener('change', () => this.#keepFiles());
  }

  /** Photos of this person that wait in this browser. */
  waiting() {
    return countWaiting(this.#owner);
  }

  /**
   * Somebody has signed in: their sessions, their photos.
   * @param {string} owner
   */
  async enter(owner) {
    this.#owner = owner;
    // What an earlier page of theirs left is sent, whether or not they begin again.
    sendWaiting({ owner }).then((sender) => sender.resume(), () => {});
    try {
      /** @type {Session[]} */
      const items = (await ask('GET', '/api/v1/my/sessions')).items;
      this.#sessions = [...items.filter((one) => !one.ended_at), ...items.filter((one) => one.ended_at)];
      this.#unlisted = null;
    } catch (problem) {
      this.#unlisted = problem instanceof Refusal ? problem : new Refusal(0, '');
      if (this.#unlisted.status === 401) return this.#signedOut();
    }
    this.#here = true;
    at.list.replaceChildren(...this.#sessions.map((one) => sessionChoice(one, () => this.#choose(one))));
    const open = this.#sessions.filter((session) => !session.ended_at);
    const begun = open.find((one) => recall(owner, one.id)?.agreed || recall(owner, one.id)?.step === 'phq');
    this.#choose(open.find((one) => one.id === this.#chosen?.id) ?? begun ?? open[0] ?? null);
  }

  /** Camera off; what was taken is still sent. */
  pause() {
    this.#recorder?.close();
    this.#recorder = null;
  }

  /** Nobody, or somebody else: camera off, nothing of theirs stays on the page. */
  leave() {
    this.pause();
    forgetAll();
    this.#here = false;
    this.#sessions = [];
    this.#chosen = null;
    this.#withdrawn = null;
    this.#journey = fresh();
    this.#strip.show(null);
    this.render();
  }

  #signedOut() {
    this.pause();
    this.#onSignedOut();
  }

  /** @param {Session | null} session */
  #choose(session) {
    this.pause();
    this.#chosen = session;
    this.#absent = null;
    this.#withdrawn = null;
    this.#strip.show(session?.id ?? null);
    for (const radio of at.list.querySelectorAll('input')) radio.checked = radio.value === session?.id;
    const kept = session ? recall(this.#owner, session.id) : null;
    this.#journey = kept && kept.step !== 'done' ? kept : fresh();
    this.#returned = false;
    if (session && this.#journey.step !== 'consent') {
      // Away for a moment, a reload say, the camera comes on again as they left it. After longer they are asked.
      const soon = kept !== null && Date.now() - kept.at < RESUME_MS;
      if (soon && this.#journey.camera) this.#start();
      else if (this.#journey.camera) this.#returned = true;
      this.#tag();
    }
    this.render();
  }

  /** The recorder of the chosen session. */
  #recording() {
    if (this.#recorder || !this.#chosen) return this.#recorder;
    const recorder = new Recorder({
      sessionId: this.#chosen.id,
      settings: this.#chosen.camera_settings,
      owner: this.#owner,
      video: byId('preview', HTMLVideoElement),
    });
    recorder.addEventListener('state', () => {
      // Whoever reads the page while nobody is signed in must not be photographed.
      if (recorder.state.trouble?.kind === 'signed-out' && this.#recorder === recorder) this.#signedOut();
      this.render();
    });
    recorder.addEventListener('stored', () => this.#strip.refreshSoon());
    this.#recorder = recorder;
    at.status.recorder = recorder;
    this.#tag();
    return recorder;
  }

  async #start() {
    const recorder = this.#recording();
    if (!recorder) return;
    this.#absent = null;
    this.#journey.camera = true;
    this.#keep();
    try {
      const started = recorder.start();
      this.render();
      await started;
    } catch (problem) {
      const reason = problem instanceof CameraError ? problem.reason : 'unknown';
      this.#absent = reason === 'ended' ? 'lost' : reason;
    }
    this.render();
  }

  #stop() {
    this.#recorder?.stop();
    this.#journey.camera = false;
    this.#keep();
    this.render();
    // The focused button has gone; whoever works by keyboard should not have to look for their place.
    at.start.focus();
  }

  #withdraw() {
    const waiting = this.#recorder?.state.waiting ?? 0;
    write(at.awayText, say('withdraw.text', { n: waiting }));
    at.away.returnValue = 'stay';
    at.away.showModal();
    at.away.addEventListener(
      'close',
      async () => {
        if (at.away.returnValue !== 'go' || !this.#recorder) return;
        this.#withdrawn = await this.#recorder.withdraw();
        forgetAll();
        this.#journey = { ...fresh(), step: 'done' };
        this.#show('done');
      },
      { once: true },
    );
  }

  // --- the steps -----------------------------------------------------------------------------------------------------

  #begin() {
    this.#problem = at.agree.checked ? null : 'consent.agree.first';
    if (this.#problem) {
      this.render();
      return at.agree.focus();
    }
    this.#journey.agreed = true;
    this.#start();
    this.#to('phq');
  }

  /** @param {boolean} camera */
  #goOn(camera) {
    this.#returned = false;
    this.#journey.camera = camera;
    if (camera) this.#start();
    this.#show(this.#journey.step);
  }

  /** @param {Step} step */
  #to(step) {
    this.#journey.step = step;
    this.#problem = null;
    if (step === 'phq') this.#ask(this.#journey.question);
    else this.#show(step);
  }

  /** @param {Step} step */
  #show(step) {
    this.#journey.step = step;
    this.#keep();
    this.render();
    byId(`${step === 'phq' ? 'phq' : step}-title`, HTMLHeadingElement).focus();
    window.scrollTo({ top: 0 });
  }

  /** @param {number} question */
  #ask(question) {
    this.#journey.question = Math.max(0, Math.min(QUESTIONS - 1, question));
    this.#problem = null;
    this.#tag();
    this.#recorder?.onQuestionStart();
    this.#show('phq');
  }

  /** @param {number} answer */
  #answer(answer) {
    this.#journey.answers[this.#journey.question] = answer;
    this.#problem = null;
    this.#recorder?.onButtonClick();
    this.#keep();
    this.render();
  }

  #nextQuestion() {
    const { question, answers } = this.#journey;
    if (answers[question] === null) {
      this.#problem = 'phq.choose';
      this.render();
      return at.answers.querySelector('input')?.focus();
    }
    if (question + 1 < QUESTIONS) return this.#ask(question + 1);
    this.#to('talk');
    this.#tag();
  }

  #send() {
    const text = at.text.value.trim();
    if (!text) return at.text.focus();
    at.text.value = '';
    this.#journey.lines.push({ who: 'you', text });
    this.#recorder?.onMessageSend();
    this.#keep();
    this.render();
    const said = this.#journey.lines.filter(({ who }) => who === 'guide').length;
    if (said >= LINES) return;
    const journey = this.#journey;
    setTimeout(() => {
      if (this.#journey !== journey || journey.step !== 'talk') return;
      journey.lines.push({ who: 'guide', text: String(said) });
      this.#tag();
      this.#keep();
      this.render();
    }, REPLY_MS);
  }

  #finish() {
    this.#recorder?.stop({ final: true });
    forgetAll();
    this.#journey = { ...fresh(), step: 'done' };
    at.film.open = true;
    this.render();
    at.doneTitle.focus();
  }

  #anew() {
    this.pause();
    this.#withdrawn = null;
    this.#journey = fresh();
    at.agree.checked = false;
    at.film.open = false;
    this.#show('consent');
  }

  /** What the photos belong to from now on. */
  #tag() {
    const { step, question, lines, phqId, talkId } = this.#journey;
    if (step === 'talk') {
      const said = lines.filter(({ who }) => who === 'guide').length;
      this.#recorder?.tag({ question: `talk-${said}`, phq_response_id: null, llm_conversation_id: talkId });
    } else {
      this.#recorder?.tag({ question: `phq9-${question + 1}`, phq_response_id: phqId, llm_conversation_id: null });
    }
  }

  #keep() {
    if (this.#chosen && this.#journey.step !== 'done') keep(this.#owner, this.#chosen.id, this.#journey);
  }

  /** Photos from a file. They carry a trigger that the session's settings let through, and say where they are from. */
  #keepFiles() {
    const session = this.#chosen;
    const recorder = this.#recording();
    if (!session || !recorder) return;
    for (const file of at.file.files ?? []) {
      const capturedAt = new Date(file.lastModified);
      recorder.keep(file, { trigger: wantedFromFile(session), capturedAt, filename: file.name, extra: { source: 'file' } });
    }
    at.file.value = '';
  }

  // --- the view ------------------------------------------------------------------------------------------------------

  render() {
    at.none.hidden = !this.#here || this.#chosen !== null;
    at.flow.hidden = this.#chosen === null;
    const problem = this.#unlisted;
    if (problem) write(at.noneText, troubleWords(problem));
    else write(at.noneText, say(this.#sessions.length ? 'session.allEnded' : 'session.none'));
    this.#strip.render();
    if (!this.#chosen) return;

    const { step } = this.#journey;
    const shown = this.#returned ? 'back' : step;
    for (const name of ['consent', 'back', 'phq', 'talk', 'done']) byId(`step-${name}`, HTMLElement).hidden = name !== shown;
    const steps = [...at.steps.children];
    const now = steps.findIndex((one) => one instanceof HTMLElement && one.dataset.step === step);
    steps.forEach((one, index) => {
      one.classList.toggle('past', index < now);
      if (index === now) one.setAttribute('aria-current', 'step');
      else one.removeAttribute('aria-current');
    });
    this.#renderConsent();
    if (step === 'phq') this.#renderQuestion();
    if (step === 'talk') this.#renderTalk();
    if (step === 'done') this.#renderDone();
    this.#renderCamera();
  }

  #renderConsent() {
    const session = this.#chosen;
    if (!session) return;
    at.sessions.hidden = this.#sessions.length < 2;
    for (const label of at.list.querySelectorAll('label')) {
      const one = this.#sessions.find(({ id }) => id === label.dataset.session);
      const line = label.querySelector('.about');
      if (one && line) write(line, describe(one));
    }
    write(at.photos, say('consent.what.photos', { how: lower(describe(session)) }));
    write(at.consentProblem, this.#problem === 'consent.agree.first' ? say(this.#problem) : '');
  }

  #renderQuestion() {
    const { question, answers } = this.#journey;
    const n = question + 1;
    write(at.count, say('phq.question', { n, of: QUESTIONS }));
    at.progress.value = answers.filter((one) => one !== null).length;
    write(at.asked, say(/** @type {MessageKey} */ (`phq.${n}`)));
    at.back.disabled = question === 0;
    write(at.next, say(n === QUESTIONS ? 'phq.finish' : 'phq.next'));
    write(at.phqProblem, this.#problem === 'phq.choose' ? say(this.#problem) : '');
    at.care.hidden = question !== QUESTIONS - 1 || !answers[question];
    const kept = `${question} ${language()}`;
    if (at.answers.dataset.kept !== kept) {
      at.answers.dataset.kept = kept;
      at.answers.replaceChildren(
        ...[0, 1, 2, 3].map((value) => {
          const radio = el('input', { type: 'radio', name: `phq-${n}`, value });
          radio.addEventListener('change', () => this.#answer(value));
          return el('label', { class: 'answer' }, radio, el('span', {}, say(/** @type {MessageKey} */ (`phq.a${value}`))));
        }),
      );
    }
    for (const radio of at.answers.querySelectorAll('input')) radio.checked = answers[question] === Number(radio.value);
  }

  #renderTalk() {
    const { lines } = this.#journey;
    if (at.log.dataset.language !== language()) {
      at.log.dataset.language = language();
      at.log.replaceChildren();
    }
    // Only what is new goes in: the log reads aloud what is added to it.
    for (const { who, text } of lines.slice(at.log.children.length)) {
      const words = who === 'guide' ? say(/** @type {MessageKey} */ (`talk.${text}`)) : text;
      const name = el('span', { class: 'name' }, say(`talk.${who}`));
      at.log.append(el('div', { class: `line ${who}` }, name, el('p', {}, words)));
      at.log.scrollTop = at.log.scrollHeight;
    }
    while (at.log.children.length > lines.length) at.log.lastChild?.remove();
  }

  #renderDone() {
    const gone = this.#withdrawn;
    write(at.doneTitle, say(gone === null ? 'done.title' : 'withdrawn.title'));
    write(at.doneText, gone === null ? say('done.text') : say('withdrawn.text', { n: gone }));
    write(at.doneSending, gone === null && (this.#recorder?.state.waiting ?? 0) > 0 ? say('done.sending') : '');
  }

  #renderCamera() {
    const { step, agreed } = this.#journey;
    const state = this.#recorder?.state ?? null;
    const on = state?.phase === 'recording' || state?.phase === 'starting' || state?.phase === 'interrupted';
    at.camera.hidden = (step === 'consent' || step === 'done') && !on;
    at.stage.dataset.phase = state?.phase ?? 'off';
    at.off.hidden = state?.phase === 'recording';
    at.status.hidden = state === null || this.#absent !== null;
    at.status.lang = language();
    if (state === null && at.status.recorder) at.status.recorder = null;
    const answering = (step === 'phq' || step === 'talk') && !this.#returned;
    write(at.about, !answering ? '' : on && this.#chosen ? describe(this.#chosen) : state === null ? say('camera.none') : '');
    at.absent.hidden = this.#absent === null || !answering;
    if (this.#absent) write(at.absentText, say(`absent.${this.#absent}`));
    at.stop.hidden = !on;
    at.start.hidden = on || !answering || !agreed;
    at.withdraw.hidden = !agreed || !answering;
  }
}

/** @param {string} words */
function lower(words) {
  return words.charAt(0).toLowerCase() + words.slice(1);
}
