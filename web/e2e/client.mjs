// The camera client in a real Chromium, with a film of numbered pictures as its camera, against a running server.
//
//   BASE_URL=… ADMIN_COOKIE=… USER_ID=… USERNAME=… PASSWORD=… node client.mjs [CASE…]
//
// OFFLINE_S is how long the network is cut (30).

import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeFilm, readNumber } from './film.mjs';
import { BASE_URL, accountOf, asking, browser, newSession, pause, run, same, signIn, storedOf, sure, until } from './house.mjs';

const { ADMIN_COOKIE, USER_ID, USERNAME, PASSWORD, OFFLINE_S = '30' } = process.env;
const offline_s = Number(OFFLINE_S);
const admin = asking(ADMIN_COOKIE);
const FILM_FPS = 2;
const FILM_FRAMES = 2 * 120;
const film = join(tmpdir(), `filmgate-film-${process.pid}.y4m`);
const EVERY_SECOND = { recording_mode: 'INTERVAL', interval_seconds: 1 };
const EVENTS = { recording_mode: 'EVENT_DRIVEN', capture_on_button_click: true, capture_on_message_send: false, capture_on_question_start: true };

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'";

/** Pages of ours on the server's own origin, under its own strict policy. */
async function serve(context, pages) {
  await context.route(new URL('/e2e/**', BASE_URL).href, (route) => {
    const name = new URL(route.request().url()).pathname.split('/').pop();
    const body = pages[name];
    if (body === undefined) return route.fulfill({ status: 404, body: '' });
    const contentType = name.endsWith('.js') ? 'text/javascript' : 'text/html';
    return route.fulfill({ body, contentType, headers: { 'content-security-policy': POLICY } });
  });
}

const RECORDER_PAGE = {
  'page.html': `<!doctype html><html lang="en"><title>e2e</title><script type="module" src="page.js"></script>
    <filmgate-status></filmgate-status></html>`,
  'page.js': `
    import * as filmgate from '/client/filmgate.js';
    const session = new URLSearchParams(location.search).get('session');
    const recorder = new filmgate.Recorder({ sessionId: session, owner: 'me' });
    document.querySelector('filmgate-status').recorder = recorder;
    window.seen = { frame: [], stored: [], refused: [], gap: [], skipped: [], tasks: [] };
    new PerformanceObserver((list) => seen.tasks.push(...list.getEntries().map(({ startTime, duration }) => ({ at: startTime, ms: duration })))).observe({ type: 'longtask', buffered: true });
    for (const kind of ['frame', 'stored', 'refused', 'gap', 'skipped']) recorder.addEventListener(kind, ({ detail }) => {
      seen[kind].push(detail);
      if (kind === 'frame') window.taken?.(detail.captured_at);
    });
    window.filmgate = filmgate;
    window.recorder = recorder;`,
};

/** A browser at the page, its camera not yet on; `taken` fills with when each frame was taken, over reloads and crashes. */
async function at(settings, pages = RECORDER_PAGE) {
  const session = await newSession(admin, Number(USER_ID), settings);
  const house = await browser({ film });
  const taken = [];
  await house.context.exposeFunction('taken', (captured_at) => void taken.push(captured_at));
  await serve(house.context, pages);
  await signIn(house.context, { username: USERNAME, password: PASSWORD });
  const complaints = [];
  const open = async () => {
    const page = await house.context.newPage();
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    await page.goto(new URL(`/e2e/page.html?session=${session.id}`, BASE_URL).href);
    await page.waitForFunction(() => window.recorder || window.CameraManager);
    return page;
  };
  return { ...house, session, taken, open, complaints };
}

const start = (page) => page.evaluate(() => recorder.start());
const stop = (page) => page.evaluate(() => recorder.stop());
/** Between two turns of the clock: what is done then happens to a frame wholly or not at all. */
const betweenTurns = (page) =>
  page.evaluate(() => new Promise((resolve) => recorder.addEventListener('frame', () => setTimeout(resolve, 400), { once: true })));
const drained = (page) => page.evaluate(() => recorder.drained(60_000));

/** The numbers of the photos as they are stored, in the order in which they were taken. */
async function numbersOf(context, captures) {
  const page = await context.newPage();
  const numbers = [];
  for (const capture of captures) {
    const photo = await context.request.get(new URL(`/assessment/camera/file/${capture.filename}`, BASE_URL).href);
    sure(photo.ok(), `a stored photo answered ${photo.status()}`);
    numbers.push(await readNumber(page, await photo.body()));
  }
  await page.close();
  return numbers;
}

/** Each photo is one of the film, none twice, and they follow each other as seconds do. */
function inOrder(numbers, captures) {
  sure(!numbers.includes(null), `a photo is none of the film: ${numbers}`);
  // Opened anew, the film begins anew.
  const named = numbers.map((number, i) => `${captures[i].metadata.timing.run} ${number}`);
  sure(new Set(named).size === named.length, `a picture twice: ${numbers}`);
  for (let i = 1; i < numbers.length; i++) {
    const pictures = (numbers[i] - numbers[i - 1] + FILM_FRAMES) % FILM_FRAMES;
    const seconds = (Date.parse(captures[i].captured_at) - Date.parse(captures[i - 1].captured_at)) / 1000;
    if (captures[i].metadata.timing.run !== captures[i - 1].metadata.timing.run) continue;
    sure(Math.abs(pictures / FILM_FPS - seconds) <= 1.5, `picture ${numbers[i - 1]} then ${numbers[i]} within ${seconds} s`);
  }
}

const cases = {
  async 'every frame that was taken is stored once: network cut, reload, dead tab'() {
    const house = await at(EVERY_SECOND);
    try {
      let page = await house.open();
      await start(page);
      await pause(3000);

      await house.context.setOffline(true);
      const before = house.taken.length;
      await pause(offline_s * 1000);
      const inTheCut = house.taken.length - before;
      sure(inTheCut >= offline_s - 2, `only ${inTheCut} frames while the network was cut`);
      const said = await page.locator('filmgate-status').evaluate((status) => status.shadowRoot.textContent);
      sure(/Offline/.test(said) && /waiting/.test(said), `the status says: ${said}`);
      // Reloaded in the moment in which the queue begins to move again.
      await betweenTurns(page);
      await house.context.setOffline(false);
      await page.reload();
      await page.waitForFunction(() => window.recorder);
      await start(page);
      await pause(2500);

      await house.context.setOffline(true);
      await pause(2500);
      const waiting = await page.evaluate(() => recorder.state.waiting);
      sure(waiting >= 1, 'nothing waited when the tab died');
      await betweenTurns(page);
      const diedAt = Date.now();
      const crash = await house.context.newCDPSession(page);
      await Promise.race([crash.send('Page.crash').catch(() => {}), page.waitForEvent('crash')]);
      await page.close();
      await house.context.setOffline(false);
      await pause(3000);
      page = await house.open();
      await start(page);
      const backAt = Date.now();
      await pause(2500);
      await stop(page);
      sure(await drained(page), 'the queue did not empty');

      const captures = await storedOf(admin, house.session.id);
      const stored = captures.map(({ captured_at }) => captured_at);
      same(house.taken.filter((one) => !stored.includes(one)), [], 'taken and not stored');
      same(stored, [...house.taken].sort(), 'stored against taken');
      const numbers = await numbersOf(house.context, captures);
      inOrder(numbers, captures);
      // The gap of the dead tab went with the next frame.
      const gaps = captures.flatMap(({ metadata }) => metadata.gaps ?? []);
      const dead = gaps.filter(({ reason }) => reason === 'not_running').at(-1);
      sure(dead, `no gap for the dead tab: ${JSON.stringify(gaps)}`);
      sure(Math.abs(Date.parse(dead.from) - diedAt) < 1700 && Math.abs(Date.parse(dead.to) - backAt) < 1700, `the gap ${JSON.stringify(dead)}, dead from ${new Date(diedAt).toISOString()} to ${new Date(backAt).toISOString()}`);
      // And no second is without a photo or a gap, nor has both: the page was away in these and in no others.
      const reasons = new Set(accountOf(captures).map(({ reason }) => reason));
      reasons.delete(null);
      same([...reasons], ['not_running'], 'reasons');
      return `${captures.length} frames taken and stored, ${inTheCut} of them in a cut of ${offline_s} s; pictures ${numbers.join(' ')}; the dead tab is a gap of ${dead.missed} frames`;
    } finally {
      await house.close();
    }
  },

  async 'a receipt that was lost on its way stores nothing twice'() {
    const house = await at(EVENTS);
    try {
      const page = await house.open();
      // The server stores the first, and the page never hears of it.
      let lost = 0;
      const keys = new Set();
      await house.context.route('**/assessment/camera/upload', async (route) => {
        const headers = route.request().headers();
        keys.add(headers['idempotency-key']);
        sure(headers['filmgate-trigger'] === 'BUTTON_CLICK', `Filmgate-Trigger: ${headers['filmgate-trigger']}`);
        if (lost++ > 0) return route.continue();
        await route.fetch();
        return route.abort('connectionreset');
      });
      await start(page);
      sure((await page.evaluate(() => recorder.onMessageSend())) === null, 'a trigger that the settings do not want was taken');
      await page.evaluate(() => recorder.onButtonClick({ start: 1, end: 2, duration: 1 }));
      sure(await drained(page), 'the queue did not empty');
      const captures = await storedOf(admin, house.session.id);
      same([captures.length, keys.size, lost >= 2], [1, 1, true], 'captures, keys, sent again');
      same([captures[0].metadata.timing.start, captures[0].metadata.timing.end], [1, 2], 'the page’s own timing');
      const [receipt] = await page.evaluate(() => seen.stored);
      same([receipt.verified, receipt.captureId], [true, captures[0].id], 'the receipt');
      return `sent ${lost} times, stored once, checksum compared`;
    } finally {
      await house.close();
    }
  },

  async 'Retry-After is kept, hints are followed and forgotten, event frames are not thinned'() {
    const house = await at(EVERY_SECOND);
    try {
      const page = await house.open();
      let mode = 'hint';
      const asked = [];
      await house.context.route('**/assessment/camera/upload', async (route) => {
        asked.push(Date.now());
        if (mode === 'busy') return route.fulfill({ status: 503, headers: { 'retry-after': '3' }, json: { status: 'SNAFU', error: 'full', code: 'overloaded' } });
        const response = await route.fetch();
        const hint = mode === 'hint' ? { 'filmgate-interval-ms': '3000', 'filmgate-quality': '0.4' } : {};
        return route.fulfill({ response, headers: { ...response.headers(), ...hint } });
      });
      await start(page);
      await pause(6500);
      const thinned = await page.evaluate(() => ({ state: recorder.state, gaps: seen.gap.filter(({ reason }) => reason === 'thinned'), frames: seen.frame.length }));
      same([thinned.state.interval_ms, thinned.state.quality, thinned.state.thinned], [3000, 0.4, true], 'state under the hint');
      sure(thinned.frames >= 2 && thinned.frames <= 4 && thinned.gaps.length >= 2, JSON.stringify(thinned));
      mode = 'calm';
      await pause(4500);
      const calm = await page.evaluate(() => recorder.state);
      same([calm.interval_ms, calm.thinned], [1000, false], 'state without a hint');
      mode = 'busy';
      await until('the server asks to wait', () => page.evaluate(() => recorder.state.trouble?.kind === 'busy'));
      await pause(200);
      const held = asked.length;
      const from = asked.at(-1);
      mode = 'calm';
      await until('asked again', () => asked.length > held);
      const waited = asked[held] - from;
      sure(waited >= 2900, `asked again after ${waited} ms`);
      await stop(page);
      sure(await drained(page), 'the queue did not empty');
      const captures = await storedOf(admin, house.session.id);
      same(captures.map(({ captured_at }) => captured_at), [...house.taken].sort(), 'stored against taken');
      const carried = captures.flatMap(({ metadata }) => metadata.gaps ?? []).filter(({ reason }) => reason === 'thinned');
      const missed = carried.reduce((sum, gap) => sum + gap.missed, 0);
      const qualities = captures.map(({ metadata }) => metadata.picture.quality);
      sure(qualities.includes(0.4) && qualities.includes(0.8), `qualities ${qualities}`);
      return `${missed} thinned frames named to the server, waited ${waited} ms for a Retry-After of 3 s`;
    } finally {
      await house.close();
    }
  },

  async 'what is refused is told, signed out waits, withdrawn is deleted'() {
    const house = await at(EVENTS);
    try {
      const page = await house.open();
      await start(page);
      let answer = { status: 401, json: { status: 'SNAFU', error: 'Authentication required' } };
      await house.context.route('**/assessment/camera/upload', (route) => (answer ? route.fulfill(answer) : route.continue()));
      await page.evaluate(() => recorder.onButtonClick());
      await until('signed out', () => page.evaluate(() => recorder.state.trouble?.kind === 'signed-out'));
      same(await page.evaluate(() => [recorder.state.phase, recorder.state.waiting]), ['recording', 1], 'signed out');
      answer = null;
      await page.evaluate(() => recorder.resume());
      sure(await drained(page), 'signed in again, the queue did not empty');

      answer = { status: 422, json: { status: 'SNAFU', error: 'no photo', code: 'image_malformed' } };
      await page.evaluate(() => recorder.onButtonClick());
      await until('refused', () => page.evaluate(() => seen.refused.length === 1));
      same(await page.evaluate(() => [recorder.state.waiting, recorder.state.code, seen.gap.at(-1).reason, seen.gap.at(-1).code]), [0, 'image_malformed', 'refused', 'image_malformed'], 'refused');
      answer = null;
      await page.evaluate(() => recorder.onButtonClick());
      sure(await drained(page), 'the queue did not empty');
      const carried = (await storedOf(admin, house.session.id)).flatMap(({ metadata }) => metadata.gaps ?? []);
      same(carried.map(({ reason, code, missed }) => [reason, code, missed]), [['refused', 'image_malformed', 1]], 'the refusal, named to the server');

      answer = { status: 403, json: { status: 'SNAFU', error: 'Session not found or access denied' } };
      await page.evaluate(() => recorder.onButtonClick());
      await until('set aside', () => page.evaluate(() => recorder.state.aside === 1));
      same(await page.evaluate(() => [recorder.state.phase, recorder.state.reason, recorder.stream]), ['off', 'refused', null], 'after a 403');
      answer = { status: 503, json: {} };
      await start(page);
      await page.evaluate(() => recorder.onButtonClick());
      const gone = await page.evaluate(() => recorder.withdraw());
      same(await page.evaluate(() => [recorder.state.waiting, recorder.state.aside, recorder.state.reason, recorder.stream]), [0, 0, 'withdrawn', null], 'withdrawn');
      answer = null;
      const left = await page.evaluate(async () => {
        const db = await new Promise((resolve) => (indexedDB.open('filmgate-camera').onsuccess = ({ target }) => resolve(target.result)));
        return new Promise((resolve) => (db.transaction('frames').objectStore('frames').count().onsuccess = ({ target }) => resolve(target.result)));
      });
      same([gone, left, (await storedOf(admin, house.session.id)).length], [2, 0, 2], 'deleted from the browser, left there, stored');
      return `${gone} unsent frames deleted on withdrawal`;
    } finally {
      await house.close();
    }
  },

  async 'of several tabs one sends, and another takes over'() {
    const house = await at(EVENTS);
    try {
      const first = await house.open();
      await start(first);
      const second = await house.open();
      await start(second);
      let from = [];
      await house.context.route('**/assessment/camera/upload', (route) => {
        from.push(route.request().frame().page() === first ? 'first' : 'second');
        return route.continue();
      });
      await second.evaluate(() => recorder.onButtonClick());
      await until('heard in the other tab', () => second.evaluate(() => seen.stored.length === 1));
      same(from, ['first'], 'who sent');
      await first.close();
      await second.evaluate(() => recorder.onButtonClick());
      await until('the other tab took over', () => second.evaluate(() => seen.stored.length === 2));
      same(from, ['first', 'second'], 'who sent');
      return '';
    } finally {
      await house.close();
    }
  },

  async 'frames withheld in four ways are named, exactly those, and why'() {
    const house = await at(EVERY_SECOND);
    try {
      const page = await house.open();
      let how = null;
      await house.context.route('**/assessment/camera/upload', async (route) => {
        if (how === 'refused') return route.fulfill({ status: 422, json: { status: 'SNAFU', error: 'no photo', code: 'image_malformed' } });
        const response = await route.fetch();
        return route.fulfill({ response, headers: { ...response.headers(), ...(how === 'thinned' ? { 'filmgate-interval-ms': '3000' } : {}) } });
      });
      const when = {};
      const withhold = async (reason, ms, begin, end = async () => {}) => {
        await betweenTurns(page);
        how = reason;
        const from = Date.now();
        await begin?.();
        await pause(ms);
        await end();
        how = null;
        when[reason] = [from, Date.now()];
        await pause(2000);
      };
      const hide = (state) =>
        page.evaluate((value) => {
          Object.defineProperty(document, 'visibilityState', { value, configurable: true });
          document.dispatchEvent(new Event('visibilitychange'));
        }, state);
      await start(page);
      await withhold('hidden', 3000, () => hide('hidden'), () => hide('visible'));
      await withhold('refused', 2000);
      await withhold('camera_ended', 2500, () =>
        page.evaluate(() => {
          const [track] = recorder.stream.getVideoTracks();
          track.stop();
          track.dispatchEvent(new Event('ended'));
        }), async () => {
          same(await page.evaluate(() => recorder.state.phase), 'interrupted', 'phase');
          await start(page);
        });
      await withhold('thinned', 6000);
      await pause(2500);
      await stop(page);
      sure(await drained(page), 'the queue did not empty');
      const captures = await storedOf(admin, house.session.id);
      const account = accountOf(captures);
      const told = {};
      for (const { at, reason } of account.filter(({ reason }) => reason)) {
        told[reason] = (told[reason] ?? 0) + 1;
        sure(when[reason], `nobody withheld a frame as ${reason}`);
        const [from, to] = when[reason];
        // The wish for fewer frames is known with the first answer that carries it, and gone with the first that does not.
        const late = reason === 'thinned' ? 3500 : 700;
        sure(at > from - 300 && at < to + late, `${reason} at ${new Date(at).toISOString()}, withheld ${when[reason].map((ms) => new Date(ms).toISOString())}`);
      }
      same(Object.keys(told), ['hidden', 'refused', 'camera_ended', 'thinned'], 'reasons');
      same([told.hidden, told.refused, told.camera_ended >= 2 && told.camera_ended <= 3, told.thinned >= 3], [3, 2, true, true], JSON.stringify(told));
      same(account.length - captures.length, told.hidden + told.refused + told.camera_ended + told.thinned, 'seconds without a photo');
      return `${captures.length} photos in ${account.length} seconds, and ${JSON.stringify(told)}`;
    } finally {
      await house.close();
    }
  },

  async 'capture and upload leave the main thread free'() {
    const house = await at(EVERY_SECOND);
    try {
      const page = await house.open();
      await start(page);
      await pause(2000);
      // A machine that is busy with other things makes any task long, now and then; a client that holds up the page does so in
      // every round.
      let told = '';
      for (let round = 1; round <= 3; round++) {
        await page.evaluate(() => (seen.tasks.length = 0));
        const from = await page.evaluate(() => seen.frame.length);
        await pause(12_000);
        const { tasks, frames } = await page.evaluate((from) => ({ tasks: seen.tasks, frames: seen.frame.slice(from) }), from);
        same([...new Set(frames.map((frame) => frame.where))], ['worker'], 'where frames are encoded');
        same([...new Set(frames.map(({ width, height }) => `${width}x${height}`))], ['1280x720'], 'size');
        const longest = Math.max(0, ...tasks.map(({ ms }) => ms));
        const encode = frames.map((frame) => frame.encode_ms).sort((a, b) => a - b);
        const grab = Math.max(...frames.map((frame) => frame.grab_ms));
        told = `${frames.length} frames of 1280x720, ${tasks.length} tasks over 50 ms (longest ${Math.round(longest)} ms); grabbed in at most ${grab} ms, encoded beside the page in ${encode[encode.length >> 1]} ms (median); round ${round}`;
        if (tasks.length === 0) break;
        sure(round < 3, told);
      }
      await stop(page);
      return told;
    } finally {
      await house.close();
    }
  },

  async 'a page written for the original app works unchanged'() {
    // As the app's pages do it: a classic script, settings as a JSON object in the page, one manager for each assessment.
    const pages = (session) => ({
      'page.html': `<!doctype html><html lang="en"><title>PHQ</title>
        <script type="application/json" id="settings">${JSON.stringify(session.settings)}</script>
        <script src="/client/camera-manager.js"></script><script src="page.js"></script><body></body></html>`,
      'page.js': `
        const sessionId = new URLSearchParams(location.search).get('session');
        const cameraSettings = JSON.parse(document.getElementById('settings').textContent);
        window.phq = async () => {
          const manager = new CameraManager(sessionId, 'phq', cameraSettings, 4711);
          await manager.initialize();
          const results = [];
          for (let question = 0; question < 3; question++) results.push(await manager.onQuestionStart({ start: question, end: question, duration: 0 }));
          results.push(await manager.onMessageSend({ start: 9, end: 9, duration: 0 }));
          await manager.onButtonClick();
          const status = manager.getCameraStatus();
          await manager.cleanup();
          return { results, status, video: document.querySelector('video') };
        };
        // And what a page sends by itself.
        window.single = async () => {
          const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 64 });
          canvas.getContext('2d').fillRect(0, 0, 32, 32);
          const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.8));
          const form = new FormData();
          form.append('image', blob, 'capture.jpg');
          form.append('trigger', 'button_click');
          form.append('timing', JSON.stringify({ start: 1, end: 2, duration: 1 }));
          return (await fetch('/assessment/camera/upload-single/' + sessionId, { method: 'POST', body: form })).json();
        };`,
    });
    let served = {};
    const house = await at(EVENTS, new Proxy({}, { get: (_, name) => served[name] }));
    served = pages(house.session);
    try {
      const page = await house.open();
      const { results, status, video } = await page.evaluate(() => phq());
      same(results.map((result) => result?.success ?? null), [true, true, true, null], 'what the calls resolve with');
      same([status.isInitialized, status.sessionId, status.assessmentId, video], [true, house.session.id, 4711, null], 'status');
      const single = await page.evaluate(() => single());
      same([single.status, typeof single.data.capture_id], ['OLKORECT', 'string'], 'upload-single');
      const captures = await until('all stored', async () => {
        const found = await storedOf(admin, house.session.id);
        return found.length === 5 && found;
      });
      const taken = captures.filter(({ metadata }) => metadata.client);
      same(taken.map((one) => [one.capture_trigger, one.assessment_type]).sort(), [['BUTTON_CLICK', 'PHQ'], ['QUESTION_START', 'PHQ'], ['QUESTION_START', 'PHQ'], ['QUESTION_START', 'PHQ']], 'stored');
      sure(house.complaints.length === 0, `the browser complained: ${house.complaints}`);
      return 'three questions, a button, a message that is not wanted, and upload-single beside them';
    } finally {
      await house.close();
    }
  },
};

for (const [name, value] of Object.entries({ BASE_URL, ADMIN_COOKIE, USER_ID, USERNAME, PASSWORD })) {
  if (!value) throw new Error(`${name} is not set`);
}
await makeFilm(film, FILM_FRAMES, FILM_FPS);
process.on('exit', () => rmSync(film, { force: true }));
await run(cases, { alone: ['capture and upload leave the main thread free'] });
