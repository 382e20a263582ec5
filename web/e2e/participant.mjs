// The participant's page in a real Chromium: signs in, consents, answers PHQ-9 at one frame a second, talks, finishes;
// with every view photographed, and looked at by axe.
//
//   BASE_URL=… ADMIN_COOKIE=… ADMIN_USERNAME=… ADMIN_PASSWORD=… USER_ID=… USERNAME=… PASSWORD=… node participant.mjs [CASE…]
//
// SCREENSHOTS is a folder for the pictures, where wanted.

import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeFilm, readNumber } from './film.mjs';
import { BASE_URL, SCREENSHOTS, asking, axe, browser, lookAs, newSession, pause, picture, run, same, storedOf, sure, until } from './house.mjs';

const { ADMIN_COOKIE, ADMIN_USERNAME, ADMIN_PASSWORD, USER_ID, USERNAME, PASSWORD } = process.env;
const admin = asking(ADMIN_COOKIE);
const look = lookAs('');
const film = join(tmpdir(), `filmgate-participant-${process.pid}.y4m`);
const FRAMES = 180;

/** In the page: from when on it showed what, by its own clock. This process hears of it late where the machine is busy. */
function noteQuestions() {
  const shown = (globalThis.shownAt = {});
  new MutationObserver(() => {
    if (document.querySelector('#step-phq').checkVisibility()) shown[/\d/.exec(document.querySelector('#phq-count').textContent)] ??= Date.now();
    if (document.querySelector('#step-talk').checkVisibility()) shown.talk ??= Date.now();
  }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
}

async function arrive(house, complaints = []) {
  const page = await house.context.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    const known = message.text().includes('status of 401') || /ERR_(INTERNET_DISCONNECTED|FAILED)/.test(message.text());
    if (message.type() === 'error' && !known) complaints.push(message.text());
  });
  await page.goto(new URL('/', BASE_URL).href);
  await pause(300);
  sure(complaints.length === 0, `the browser complained: ${complaints}`);
  return page;
}

async function signIn(page, username = USERNAME, password = PASSWORD) {
  await page.locator('#username').fill(username);
  await page.locator('#password').fill(password);
  await page.locator('#sign-in-submit').click();
}

/** The newest session is the one that the page chooses. */
const session = (settings) => newSession(admin, Number(USER_ID), settings);

const cases = {
  async 'a participant consents, answers, talks and finishes; each photo stands under its question'() {
    const { id } = await session({ recording_mode: 'INTERVAL', interval_seconds: 1 });
    const house = await browser({ film });
    const complaints = [];
    try {
      const page = await arrive(house, complaints);
      await page.locator('#sign-in').waitFor();
      if (SCREENSHOTS) await look(page, 'sign-in');
      await signIn(page);
      await page.locator('#step-consent').waitFor();
      await page.locator(`input[value="${id}"]`).check();
      await look(page, 'consent');
      await page.locator('#begin').click();
      sure(/tick the box/.test(await page.locator('#consent-problem').textContent()), 'no consent is no consent');
      same(await page.locator('#preview').evaluate((video) => video.srcObject), null, 'the camera before consent');

      await page.evaluate(noteQuestions);
      // By keyboard from here on.
      await page.locator('#agree').focus();
      await page.keyboard.press('Space');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await page.locator('#stage[data-phase="recording"]').waitFor();
      for (let question = 1; question <= 9; question++) {
        await until('the question', async () => (await page.locator('#phq-count').textContent()).includes(`Question ${question} `));
        same(await page.evaluate(() => document.activeElement.id), 'phq-title', 'where the keyboard is');
        await pause(2000);
        if (question === 2) await look(page, 'question');
        if (question === 5) {
          // Another language in the middle changes words, and nothing else.
          await page.locator('[data-language="id"]').click();
          await until('Indonesian', async () => (await page.locator('#phq-count').textContent()).startsWith('Pertanyaan 5'));
          await picture(page, 'question-indonesian');
          await page.locator('[data-language="en"]').click();
          await page.locator('#phq-title').focus();
        }
        await page.keyboard.press('Tab');
        await page.keyboard.press('Space');
        if (question === 9) {
          await page.keyboard.press('ArrowDown');
          await page.locator('#phq-care').waitFor();
        }
        await page.keyboard.press('Enter');
      }
      await page.locator('#step-talk').waitFor();
      for (const words of ['Good, thank you.', 'Work, mostly.']) {
        await page.locator('#talk-text').fill(words);
        await page.keyboard.press('Enter');
        await pause(1400);
      }
      same(await page.locator('#talk-log .line').count(), 5, 'lines of the conversation');
      await look(page, 'conversation');
      await page.locator('#talk-finish').click();
      await page.locator('#step-done').waitFor();
      same(await page.locator('#preview').evaluate((video) => video.srcObject), null, 'the camera afterwards');
      const total = await until('everything stored', async () => {
        const waiting = await page.evaluate(async () => (await import('/client/filmgate.js')).countWaiting(''));
        return waiting === 0 && (await storedOf(admin, id)).length;
      });
      await until('the filmstrip shows them', () =>
        page.locator('#strip img').evaluateAll((all) => all.length > 0 && all.every((one) => one.complete && one.naturalWidth > 0)));
      await look(page, 'done');

      const captures = await storedOf(admin, id);
      const reader = await house.context.newPage();
      const numbers = [];
      for (const { filename } of captures) {
        const photo = await house.context.request.get(new URL(`/assessment/camera/file/${filename}`, BASE_URL).href);
        numbers.push(await readNumber(reader, await photo.body()));
      }
      sure(!numbers.includes(null) && new Set(numbers).size === numbers.length, `pictures ${numbers}`);
      // The clock's own account: sequence numbers without a hole, and each photo under the question that the page showed then.
      const shown = await page.evaluate(() => globalThis.shownAt);
      same(Object.keys(shown), ['1', '2', '3', '4', '5', '6', '7', '8', '9', 'talk'], 'what the page showed');
      same(captures.map(({ metadata }) => metadata.timing.sequence), captures.map((_, index) => index), 'sequence');
      const questions = new Map();
      for (const { captured_at, metadata, assessment_type } of captures) {
        questions.set(metadata.question, (questions.get(metadata.question) ?? 0) + 1);
        const place = /^phq9-(\d)$/.exec(metadata.question);
        same(assessment_type, place ? 'PHQ' : 'LLM', metadata.question);
        if (!place) continue;
        const [from, to] = [shown[place[1]], shown[Number(place[1]) + 1] ?? shown.talk];
        const when = Date.parse(captured_at);
        // A question's first photo is taken in the turn of the page that shows it, which may last.
        sure(when > from - 200 && when < to + 5, `a photo of ${captured_at} under ${metadata.question}, shown from ${from} to ${to}`);
      }
      for (let question = 1; question <= 9; question++) sure(questions.get(`phq9-${question}`) > 0, `no photo of question ${question}`);
      same(Object.keys(await page.evaluate(() => ({ ...localStorage }))).filter((name) => name.includes('journey')), [], 'answers left in the browser');
      sure(complaints.length === 0, `the browser complained: ${complaints}`);
      return `${total} photos, pictures ${numbers[0]} to ${numbers.at(-1)} each once; ${[...questions].map(([name, n]) => `${name} ${n}`).join(', ')}`;
    } finally {
      await house.close();
    }
  },

  async 'a reload and a dead tab lose no answer, and the camera comes on again'() {
    const { id } = await session({ recording_mode: 'EVENT_DRIVEN', capture_on_button_click: true, capture_on_message_send: true, capture_on_question_start: true });
    const house = await browser({ film });
    try {
      let page = await arrive(house);
      await signIn(page);
      await page.locator(`input[value="${id}"]`).check();
      await page.locator('#agree').check();
      await page.locator('#begin').click();
      await page.locator('#stage[data-phase="recording"]').waitFor();
      await page.locator('.answer').nth(1).click();
      await page.locator('#phq-next').click();
      await page.locator('.answer').nth(2).click();
      await page.reload();
      await page.locator('#stage[data-phase="recording"]').waitFor().catch(async (error) => {
        await picture(page, 'failed-reload');
        throw error;
      });
      sure((await page.locator('#phq-count').textContent()).includes('Question 2'), 'the question after a reload');
      sure(await page.locator('.answer input').nth(2).isChecked(), 'the answer after a reload');
      // Offline, stopped, and then withdrawn: what waits is deleted.
      await house.context.setOffline(true);
      await page.locator('.answer').nth(3).click();
      await until('a photo waits', () => page.locator('#status').evaluate((status) => /waiting/.test(status.shadowRoot.textContent)));
      if (SCREENSHOTS) await look(page, 'offline');
      await page.locator('#stop').click();
      same(await page.evaluate(() => [document.activeElement.id, document.getElementById('preview').srcObject]), ['start', null], 'stopped');
      await page.close();
      page = await (async () => {
        await house.context.setOffline(false);
        await house.context.route('**/assessment/camera/upload', (route) => route.abort());
        return arrive(house);
      })();
      await page.locator('#step-phq').waitFor();
      same(await page.locator('#preview').evaluate((video) => video.srcObject), null, 'stopped stays stopped');
      await page.locator('#start').click();
      await page.locator('#stage[data-phase="recording"]').waitFor();
      await page.locator('#phq-next').click();
      await page.locator('#withdraw').click();
      if (SCREENSHOTS) await picture(page, 'withdraw');
      await axe(page, 'withdraw');
      await page.locator('#consent-away button[value="go"]').click();
      await page.locator('#step-done').waitFor();
      sure(/withdrawn/.test(await page.locator('#done-title').textContent()), 'withdrawn');
      same(await page.evaluate(async () => (await import('/client/filmgate.js')).countWaiting('')), 0, 'left in the browser');
      await house.context.unroute('**/assessment/camera/upload');
      const before = (await storedOf(admin, id)).length;
      await pause(2000);
      same((await storedOf(admin, id)).length, before, 'nothing comes after the withdrawal');
      return `${before} photos stored before`;
    } finally {
      await house.close();
    }
  },

  async 'without a camera the reason is said, and the assessment goes on'() {
    const { id } = await session({ recording_mode: 'INTERVAL', interval_seconds: 1 });
    const house = await browser({ film });
    try {
      await house.context.addInitScript(() => {
        navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
      });
      const page = await arrive(house);
      await signIn(page);
      await page.locator(`input[value="${id}"]`).check();
      await page.locator('#agree').check();
      await page.locator('#begin').click();
      await page.locator('#absent').waitFor();
      sure(/not allowed/.test(await page.locator('#absent-text').textContent()), 'the reason');
      await look(page, 'refused-camera');
      await page.locator('.answer').first().click();
      await page.locator('#phq-next').click();
      sure((await page.locator('#phq-count').textContent()).includes('Question 2'), 'on without a camera');
      return '';
    } finally {
      await house.close();
    }
  },

  async 'the other pages, photographed and looked at by axe'() {
    const house = await browser({ film });
    try {
      const page = await arrive(house);
      await page.locator('#sign-in').waitFor();
      await axe(page, 'sign-in');
      await signIn(page, ADMIN_USERNAME, ADMIN_PASSWORD);
      await page.locator('#admin-table').waitFor();
      await look(page, 'administrator');
      await page.goto(new URL('/api/v1/docs', BASE_URL).href);
      await page.waitForLoadState('networkidle');
      if (SCREENSHOTS) await picture(page, 'api');
      return '';
    } finally {
      await house.close();
    }
  },
};

for (const [name, value] of Object.entries({ BASE_URL, ADMIN_COOKIE, ADMIN_USERNAME, ADMIN_PASSWORD, USER_ID, USERNAME, PASSWORD })) {
  if (!value) throw new Error(`${name} is not set`);
}
await makeFilm(film, FRAMES, 2);
process.on('exit', () => rmSync(film, { force: true }));
await run(cases, { together: 2 });
