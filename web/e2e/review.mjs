// The researcher's page in a real Chromium: a session with photos of every kind and gaps for every reason; looked
// through by mouse and keyboard, compared, filtered, linked, deleted, exported; every view photographed, and judged by axe.
//
//   BASE_URL=… ADMIN_COOKIE=… ADMIN_USERNAME=… ADMIN_PASSWORD=… USER_ID=… USERNAME=… PASSWORD=… node review.mjs [CASE…]
//
// SCREENSHOTS is a folder for the pictures, where wanted. PAGES is a folder that the pages are read from instead of from
// the server, for who works on them.

import { readFile } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeFilm } from './film.mjs';
import { BASE_URL, asking, browser, lookAs, newSession, pageOf, pause, picture, run, same, signIn, storedOf, sure, until } from './house.mjs';

const { ADMIN_COOKIE, ADMIN_USERNAME, ADMIN_PASSWORD, USER_ID, USERNAME, PASSWORD } = process.env;
const admin = asking(ADMIN_COOKIE);
const look = lookAs('review-');
const film = join(tmpdir(), `filmgate-review-${process.pid}.y4m`);
const INTERVAL = { recording_mode: 'INTERVAL', interval_seconds: 1 };

/**
 * Stores frames as the camera client would: a figure before a wall, moving; drawn by the browser.
 * `frames`: second, question, and how the picture is.
 */
async function filmed(house, sessionId, frames, start) {
  const page = await house.context.newPage();
  // A page of the server's own: it may fetch.
  await page.goto(new URL('/', BASE_URL).href);
  await page.evaluate(
    async ({ frames, sessionId, start }) => {
      const canvas = new OffscreenCanvas(640, 400);
      const pen = canvas.getContext('2d');
      const draw = (step, { blurred, dark }) => {
        pen.filter = blurred ? 'blur(9px)' : 'none';
        const wall = pen.createLinearGradient(0, 0, 640, 400);
        wall.addColorStop(0, '#d9cdb8');
        wall.addColorStop(1, '#8fa3a0');
        pen.fillStyle = wall;
        pen.fillRect(-40, -40, 720, 480);
        pen.fillStyle = '#5d6f63';
        for (let book = 0; book < 14; book++) pen.fillRect(20 + book * 17, 40 + ((book * 37) % 30), 12, 110 - ((book * 37) % 30));
        const x = 330 + 60 * Math.sin(step / 2.3);
        const y = 190 + 12 * Math.cos(step / 1.7);
        pen.fillStyle = ['#31566b', '#7a3f45', '#3f5a3a'][Math.floor(step / 14) % 3];
        pen.beginPath();
        pen.ellipse(x, y + 220, 150, 130, 0, 0, 7);
        pen.fill();
        pen.fillStyle = '#c99774';
        pen.beginPath();
        pen.ellipse(x, y, 62, 80, Math.sin(step / 3) / 8, 0, 7);
        pen.fill();
        pen.fillStyle = '#3a2a22';
        pen.beginPath();
        pen.ellipse(x, y - 48, 68, 44, 0, 3.1, 6.3);
        pen.fill();
        for (const side of [-1, 1]) {
          pen.beginPath();
          pen.arc(x + side * 24 + 4 * Math.sin(step), y - 6, 6, 0, 7);
          pen.fill();
        }
        pen.lineWidth = 5;
        pen.strokeStyle = '#7a3f35';
        pen.beginPath();
        pen.arc(x, y + 22, 22, 0.4, 2.7);
        pen.stroke();
        if (dark) {
          pen.filter = 'none';
          pen.fillStyle = 'rgb(4 6 12 / 88%)';
          pen.fillRect(0, 0, 640, 400);
        }
        return canvas.convertToBlob({ type: 'image/jpeg', quality: 0.82 });
      };
      for (let at = 0; at < frames.length; at += 8) {
        const form = new FormData();
        form.append('session_id', sessionId);
        for (const [index, frame] of frames.slice(at, at + 8).entries()) {
          const due = new Date(start + frame.second * 1000).toISOString();
          const { trigger = 'INTERVAL', question, gaps, assessment = {} } = frame;
          const timing = { run: 'a', sequence: at + index, ...(trigger === 'INTERVAL' ? { due_at: due, interval_ms: 1000 } : {}) };
          form.append(`metadata_${index}`, JSON.stringify({ trigger, captured_at: due, timing, question, gaps, ...assessment }));
          form.append(`capture_${index}`, await draw(frame.step ?? frame.second, frame), 'a.jpg');
        }
        const answer = await fetch('/assessment/camera/upload', { method: 'POST', body: form });
        if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
      }
    },
    { frames, sessionId, start },
  );
  await page.close();
}

const second = (start, n) => new Date(start + n * 1000).toISOString();

/** Forty-eight seconds: four questions and two messages, three gaps that are told of and one that is not. */
function aSession(start) {
  const gap = (reason, from, to, more = {}) => ({ reason, from: second(start, from), to: second(start, to), missed: to - from + 1, ...more });
  const frames = [];
  const put = (from, to, question, more = {}) => {
    for (let at = from; at <= to; at++) frames.push({ second: at, question, assessment: { phq_response_id: 4711 }, ...more });
  };
  put(0, 6, 'phq9-1');
  put(7, 12, 'phq9-2');
  put(16, 19, 'phq9-2');
  frames.at(-4).gaps = [gap('hidden', 13, 15, { question: 'phq9-2' })];
  put(20, 25, 'phq9-3', { dark: true });
  put(26, 27, 'phq9-4', { blurred: true });
  put(28, 29, 'phq9-4', { step: 3 });
  // 30 and 31: nobody says.
  put(32, 33, 'phq9-4');
  put(36, 41, 'talk-0', { assessment: {} });
  frames.at(-6).gaps = [gap('thinned', 34, 34, { question: 'phq9-4' }), gap('refused', 35, 35, { question: 'phq9-4', code: 'overloaded' })];
  put(46, 48, 'talk-1', { assessment: {} });
  frames.at(-3).gaps = [gap('not_running', 42, 45, { question: 'talk-0' })];
  return frames;
}

const texts = (page, selector) => page.locator(selector).evaluateAll((all) => all.map((one) => one.textContent.trim()));

const cases = {
  async 'a session as film: under its questions, with its gaps, by mouse and keyboard'() {
    const { id } = await newSession(admin, Number(USER_ID), INTERVAL);
    const participant = await browser();
    const house = await browser({ acceptDownloads: true });
    const complaints = [];
    try {
      await signIn(participant.context, { username: USERNAME, password: PASSWORD });
      const start = Date.now() - 60_000;
      await filmed(participant, id, aSession(start), start);
      await until('everything processed', async () => (await storedOf(admin, id)).every(({ processing }) => processing.state === 'SUCCESS'));

      // Nobody but an administrator sees anything, and hears no more than that.
      const outside = await pageOf(participant);
      await outside.goto(new URL(`/review?session=${id}`, BASE_URL).href);
      await outside.locator('#trouble').waitFor();
      const absent = await outside.locator('#trouble-text').textContent();
      await outside.goto(new URL('/review?session=018f0000-0000-7000-8000-000000000000', BASE_URL).href);
      await outside.locator('#trouble').waitFor();
      same(await outside.locator('#trouble-text').textContent(), absent, 'a session that is not there');

      await signIn(house.context, { username: ADMIN_USERNAME, password: ADMIN_PASSWORD });
      const page = await pageOf(house, complaints);
      await page.goto(new URL('/', BASE_URL).href);
      await page.locator(`#admin-rows a[href$="${id}"]`).click();
      await page.locator('#review').waitFor();
      same(await page.evaluate(() => document.activeElement.id), 'title', 'where the keyboard is');

      const heads = (await texts(page, '.group h2')).map((head) => head.slice(0, 12));
      same(heads, ['1. Little in', '2. Feeling d', '3. Trouble f', '4. Feeling t', 'Message 1', 'Message 2'], 'the groups');
      same(await page.locator('.group').evaluateAll((all) => all.map((one) => one.querySelectorAll('.shot').length)), [7, 10, 6, 6, 6, 3], 'photos of each');
      const pieces = await page.locator('.gap-piece').evaluateAll((all) => all.map((one) => [...one.querySelectorAll('strong, span:not(.muted)')].map((part) => part.textContent).join(' ')));
      same(pieces, ['Missing: 3 page hidden', 'Missing: 2 reason unknown', 'Missing: 1 thinned by the server', 'Missing: 1 refused by the server (overloaded)', 'Missing: 4 page not open'], 'the gaps');
      // Each gap stands where it was: before the frame that told of it.
      same(await page.locator('.gap-piece').first().evaluate((gap) => [...gap.parentElement.children].indexOf(gap)), 6, 'the place of the first gap');
      same(await page.locator('#share-words').textContent(), '38 of 49 expected frames are here', 'the balance');
      same(await page.locator('.ribbon .gap').count(), 5, 'gaps on the time line');
      await look(page, 'session');

      // By keyboard: into the reel, along it, enlarge, compare, close.
      await page.locator('.shot').first().focus();
      await page.keyboard.press('ArrowRight');
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowUp');
      const here = await page.evaluate(() => document.activeElement.dataset.photo);
      const stored = await storedOf(admin, id);
      same(here, stored[1].id, 'the frame that the arrows lead to');
      await page.keyboard.press('Enter');
      await page.locator('#viewer[open]').waitFor();
      await page.keyboard.press('ArrowRight');
      same(await page.locator('#viewer-place').textContent(), '3 of 38', 'the place of the photo');
      await page.keyboard.press('c');
      same(await page.locator('#viewer-pictures figure').count(), 3, 'photos side by side');
      await page.waitForFunction(() => [...document.querySelectorAll('#viewer-pictures img')].every((one) => one.complete && one.naturalWidth > 0));
      await look(page, 'compare', { whole: false });
      await page.keyboard.press('c');
      await look(page, 'large', { whole: false });
      await page.keyboard.press('Escape');
      // A dialog tells of its end only after it has given the keyboard back to where it came from.
      await until('the keyboard is where the eye was', () => page.evaluate((id) => document.activeElement.dataset.photo === id, stored[2].id));

      // Filters: each finds what was made to be found.
      const found = {};
      for (const filter of ['blurred', 'dark', 'same', 'unlinked', 'gap']) {
        await page.locator(`[data-filter="${filter}"]`).click();
        found[filter] = await page.locator(filter === 'gap' ? '.gap-piece' : '.shot').count();
        if (filter === 'dark') await picture(page, 'review-filtered');
        await page.locator(`[data-filter="${filter}"]`).click();
      }
      same([found.blurred, found.dark, found.unlinked, found.gap], [2, 6, 9, 5], `the filters ${JSON.stringify(found)}`);
      sure(found.same >= 1, 'a near-duplicate');
      await page.locator('#group').selectOption('assessment');
      same(await texts(page, '.group h2'), ['Questionnaire (PHQ) 4711', 'No assessment'], 'by assessment');
      await page.locator('#group').selectOption('minute');
      sure((await page.locator('.group').count()) >= 1, 'by minute');
      await page.locator('#group').selectOption('question');

      // Another language changes words, and nothing else.
      await page.locator('[data-language="id"]').click();
      await until('Indonesian', async () => (await page.locator('#share-words').textContent()).includes('dari 49'));
      await picture(page, 'review-indonesian');
      await page.locator('[data-language="en"]').click();
      await until('English', async () => (await page.locator('#share-words').textContent()).includes('of 49'));

      // Choose a message's frames, link them.
      await page.locator('.group').nth(4).locator('.shot').first().focus();
      await page.keyboard.press('x');
      for (let step = 0; step < 5; step++) await page.keyboard.press('Shift+ArrowRight');
      same(await page.locator('#chosen-count').textContent(), '6 chosen', 'chosen');
      await look(page, 'chosen', { whole: false });
      await page.locator('#chosen-link').click();
      await page.locator('input[value="llm"]').check();
      await page.locator('#link-id').fill('talk-17');
      await look(page, 'link', { whole: false });
      await page.locator('#link-go').click();
      await page.locator('#chosen').waitFor({ state: 'hidden' });
      await until('the link to show', async () => (await page.locator('[data-filter="unlinked"] .count').textContent()) === '3');
      const linked = (await storedOf(admin, id)).filter(({ assessment_id }) => assessment_id === 'talk-17');
      same(linked.map(({ assessment_type, metadata }) => `${assessment_type} ${metadata.question}`), Array(6).fill('LLM talk-0'), 'linked');

      // Delete two; they are a gap with a reason.
      await page.locator('.shot').nth(1).focus();
      await page.keyboard.press('x');
      await page.keyboard.press('Shift+ArrowRight');
      await page.locator('#chosen-delete').click();
      await look(page, 'delete', { whole: false });
      same(await page.evaluate(() => document.activeElement.id), 'remove-cancel', 'nothing is deleted by a careless Enter');
      await page.locator('#remove-go').click();
      await page.locator('#remove').waitFor({ state: 'hidden' });
      await until('two fewer', async () => (await page.locator('.shot').count()) === 36);
      same((await storedOf(admin, id)).length, 36, 'stored');

      // Exported as a download that the browser writes to the disk by itself.
      await page.locator('#export summary').click();
      await pause(150);
      await picture(page, 'review-export');
      const [download] = await Promise.all([page.waitForEvent('download'), page.locator('#export-plain').click()]);
      const archive = await readFile(await download.path());
      same(download.suggestedFilename(), `filmgate-${id}.zip`, 'the name of the archive');
      sure(archive.subarray(0, 4).equals(Buffer.from('PK\x03\x04')) && archive.includes('gaps.csv'), 'the archive');
      sure(complaints.length === 0, `the browser complained: ${complaints}`);
      return `38 photos, 5 gaps of 4 reasons and one unknown; near-duplicates ${found.same}; archive ${archive.length} bytes`;
    } finally {
      await participant.close();
      await house.close();
    }
  },

  async 'the real client: every second of a camera that stopped and a page that was closed is accounted for'() {
    const { id } = await newSession(admin, Number(USER_ID), INTERVAL);
    const house = await browser({ film });
    try {
      await signIn(house.context, { username: USERNAME, password: PASSWORD });
      const open = async () => {
        const page = await house.context.newPage();
        await page.goto(new URL('/', BASE_URL).href);
        await page.evaluate(
          async ({ id, owner }) => {
            const { Recorder } = await import('/client/filmgate.js');
            const video = document.createElement('video');
            window.recorder = new Recorder({ sessionId: id, owner, video });
            await window.recorder.start();
          },
          { id, owner: USER_ID },
        );
        return page;
      };
      let page = await open();
      await pause(3500);
      await page.evaluate(() => window.recorder.stop());
      await pause(3000);
      await page.evaluate(() => window.recorder.start());
      await pause(2500);
      await page.close();
      await pause(3500);
      page = await open();
      await pause(2500);
      await page.evaluate(() => window.recorder.stop({ final: true }));
      await until('everything stored', () => page.evaluate(async () => (await (await import('/client/filmgate.js')).countWaiting('')) === 0));
      const found = await admin('GET', `/api/v1/sessions/${id}/gaps`);
      const stored = await storedOf(admin, id);
      same(found.received, stored.length, 'received');
      same(Object.keys(found.reasons), ['not_running', 'paused'], `reasons ${JSON.stringify(found)}`);
      sure(found.reasons.paused >= 2 && found.reasons.paused <= 4 && found.reasons.not_running >= 2 && found.reasons.not_running <= 6, JSON.stringify(found.reasons));
      const lasted = Math.round((Date.parse(found.last_at) - Date.parse(found.first_at)) / 1000) + 1;
      sure(Math.abs(found.expected - lasted) <= 2, `${found.expected} expected in ${lasted} seconds`);
      return `${found.received} of ${found.expected} in ${lasted} s; missing ${JSON.stringify(found.reasons)}`;
    } finally {
      await house.close();
    }
  },
};

for (const [name, value] of Object.entries({ BASE_URL, ADMIN_COOKIE, ADMIN_USERNAME, ADMIN_PASSWORD, USER_ID, USERNAME, PASSWORD })) {
  if (!value) throw new Error(`${name} is not set`);
}
await makeFilm(film, 40, 2);
process.on('exit', () => rmSync(film, { force: true }));
await run(cases);
