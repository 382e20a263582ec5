// @ts-check
// Where a participant is in their assessment, kept in this browser so that a reload or a dead tab loses no answer.
//
// Promises: it is kept for one person and session, and gone once they finish, withdraw or sign out.

/** @typedef {'consent' | 'phq' | 'talk' | 'done'} Step */
/**
 * @typedef {object} Journey
 * @property {Step} step
 * @property {boolean} agreed to photos
 * @property {boolean} camera it is to be on: only then may it come on by itself again
 * @property {number} question 0 to 8
 * @property {(number | null)[]} answers
 * @property {{who: 'you' | 'guide', text: string}[]} lines `guide` names its sentence by number
 * @property {string} phqId what the photos of the questionnaire belong to
 * @property {string} talkId and those of the conversation
 * @property {number} at when it was kept last
 */

const PREFIX = 'filmgate.journey.';
/** Longer away than this, and the camera waits to be asked. */
export const RESUME_MS = 30 * 60 * 1000;

/** @returns {Journey} */
export function fresh() {
  const key = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;
  return {
    step: 'consent',
    agreed: false,
    camera: false,
    question: 0,
    answers: Array(9).fill(null),
    lines: [{ who: 'guide', text: '0' }],
    phqId: key(),
    talkId: key(),
    at: Date.now(),
  };
}

/**
 * @param {string} owner
 * @param {string} session
 * @returns {Journey | null}
 */
export function recall(owner, session) {
  try {
    const kept = JSON.parse(localStorage.getItem(`${PREFIX}${owner}.${session}`) ?? 'null');
    return kept && Array.isArray(kept.answers) && Array.isArray(kept.lines) ? { ...fresh(), ...kept } : null;
  } catch {
    return null; // Storage is switched off, or holds something else.
  }
}

/**
 * @param {string} owner
 * @param {string} session
 * @param {Journey} journey
 */
export function keep(owner, session, journey) {
  journey.at = Date.now();
  try {
    localStorage.setItem(`${PREFIX}${owner}.${session}`, JSON.stringify(journey));
  } catch {
    // It lasts as long as this page.
  }
}

/** Nothing of anybody's answers stays here. */
export function forgetAll() {
  try {
    for (const name of Object.keys(localStorage)) if (name.startsWith(PREFIX)) localStorage.removeItem(name);
  } catch {
    // Nothing was kept.
  }
}
