// @ts-check
// What the researcher's page says of photos, gaps and questions.

import { say } from './messages.js';
import { clock } from './times.js';

/** @typedef {import('./messages.js').MessageKey} MessageKey */
/** @typedef {import('./review-session.js').Photo} Photo */
/** @typedef {import('./review-session.js').Gap} Gap */

const REASONS = [
  'hidden', 'asleep', 'thinned', 'refused', 'not_wanted', 'camera_ended', 'camera_muted', 'queue_full', 'encode_failed',
  'slow', 'paused', 'not_running', 'expired', 'deleted', 'unknown',
];

/** Which of the colours; reasons that the next version of a client makes up have the last. @param {string} reason */
export function reasonClass(reason) {
  return `reason-${REASONS.includes(reason) ? reason : 'unknown'}`;
}

/** @param {string} reason */
export function reasonWords(reason) {
  return REASONS.includes(reason) ? say(/** @type {MessageKey} */ (`reason.${reason}`)) : reason;
}

/** @param {string} trigger */
export function triggerWords(trigger) {
  const known = ['INTERVAL', 'BUTTON_CLICK', 'MESSAGE_SEND', 'QUESTION_START', 'MANUAL'];
  return known.includes(trigger) ? say(/** @type {MessageKey} */ (`trigger.${trigger}`)) : trigger;
}

/**
 * A question as its page names it: those of the demo's page have words of their own.
 * @param {string | null} question
 */
export function questionWords(question) {
  if (question === null) return say('review.noQuestion');
  const [, phq] = /^phq9-([1-9])$/.exec(question) ?? [];
  if (phq) return `${phq}. ${say(/** @type {MessageKey} */ (`phq.${phq}`))}`;
  const [, said] = /^talk-(\d+)$/.exec(question) ?? [];
  return said ? say('review.message', { n: Number(said) + 1 }) : question;
}

/** @param {string} assessment */
export function assessmentWords(assessment) {
  if (assessment === '') return say('review.noAssessment');
  const [, kind, id] = /^(PHQ|LLM|GENERAL) (.*)$/s.exec(assessment) ?? [];
  if (kind === 'PHQ') return `${say('review.phq9')} ${id}`;
  return kind === 'LLM' ? `${say('review.conversation')} ${id}` : assessment;
}

/** @param {Photo} photo */
export function signWords(photo) {
  const signs = /** @type {const} */ (['problem', 'blurred', 'dark', 'same']);
  return signs.filter((sign) => photo.signs.has(sign)).map((sign) => say(`review.sign.${sign}`));
}

/** The photo in a sentence, for who does not see it. @param {Photo} photo */
export function photoWords(photo) {
  return [say('strip.photo', { time: clock(photo.at), trigger: triggerWords(photo.trigger) }), ...signWords(photo)].join(', ');
}

/** @param {Gap} gap */
export function gapWords({ missed, reason, at, to, trigger, code }) {
  const when = to - at >= 1000 ? `${clock(at)} – ${clock(to)}` : clock(at);
  const why = code ? `${reasonWords(reason)} (${code})` : reasonWords(reason);
  return { count: say('review.missing', { n: missed }), why, when: trigger ? `${when}, ${triggerWords(trigger)}` : when };
}
