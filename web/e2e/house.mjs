// What the browser tests share: a browser with the film as its camera, people signed in, and questions to the server.

import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const { CHROMIUM = '/usr/bin/chromium', PAGES } = process.env;
export const BASE_URL = process.env.BASE_URL ?? '';
export const SCREENSHOTS = process.env.SCREENSHOTS ?? '';

export const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 60_000);

/** A browser with a profile of its own. `film`: what its camera plays. */
export async function browser({ film, ...options } = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'filmgate-e2e-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    locale: 'en-GB',
    viewport: { width: 1280, height: 860 },
    ignoreHTTPSErrors: true,
    args: [
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      ...(film ? [`--use-file-for-fake-video-capture=${film}`] : []),
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    ],
    ...options,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  return {
    context,
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

/** Asks the server with somebody's cookie, outside the browser. */
export function asking(cookie) {
  return async (method, path, body) => {
    const answer = await fetch(new URL(path, BASE_URL), {
      method,
      headers: { cookie, accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${await answer.text()}`);
    return answer.status === 204 ? null : answer.json();
  };
}

/** Signs in for the whole browser. */
export async function signIn(context, { username, password }) {
  const answer = await context.request.post(new URL('/api/v1/sign-in', BASE_URL).href, { data: { username, password } });
  if (!answer.ok()) throw new Error(`signing in answered ${answer.status()}`);
}

/** A new session of that user, under settings of its own. */
export async function newSession(admin, userId, settings) {
  const name = `e2e ${Date.now()}-${Math.random().toString(36).slice(2)}`;
  const made = await admin('POST', '/api/v1/camera-settings', { setting_name: name, resolution: '1280x720', ...settings });
  const session = await admin('POST', '/api/v1/sessions', { user_id: userId, camera_settings_id: made.id });
  return { id: session.id, settings: made };
}

/** Every capture of the session, with what the client said of it, oldest first. */
export async function storedOf(admin, sessionId) {
  const items = [];
  let cursor = '';
  do {
    const page = await admin('GET', `/api/v1/captures?session_id=${sessionId}&limit=100${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    items.push(...page.items);
    cursor = page.next_cursor ?? '';
  } while (cursor);
  return items.sort((a, b) => (a.captured_at < b.captured_at ? -1 : 1));
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(what, question, patience = PATIENCE_MS) {
  const end = Date.now() + patience;
  for (;;) {
    const answer = await question();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within ${patience / 1000} s`);
    await pause(200);
  }
}

export function same(found, expected, what) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}:\n  found    ${a}\n  expected ${b}`);
}

export function sure(holds, what) {
  if (!holds) throw new Error(what);
}

export async function picture(page, name) {
  if (!SCREENSHOTS) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** Read where it is wanted: not every script has it at hand. */
let axeSource;
const VIEWS = [
  { name: 'desktop-light', viewport: { width: 1280, height: 860 }, colorScheme: 'light' },
  { name: 'desktop-dark', viewport: { width: 1280, height: 860 }, colorScheme: 'dark' },
  { name: 'phone-light', viewport: { width: 390, height: 844 }, colorScheme: 'light' },
  { name: 'phone-dark', viewport: { width: 390, height: 844 }, colorScheme: 'dark' },
];

/** What axe finds serious, or worse. */
export async function axe(page, where) {
  axeSource ??= readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  // By the debugger, and not by a script in the page: its policy rightly forbids that.
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  sure(serious.length === 0, `${where}: ${JSON.stringify(serious.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => [html, failureSummary])]), null, 1)}`);
}

/**
 * The view as it is, at each width and in each light: pictures of it, whose names begin so, axe's judgement, and nothing
 * wider than the page.
 */
export const lookAs = (prefix) => async (page, name, { whole = true } = {}) => {
  for (const view of VIEWS) {
    await page.setViewportSize(view.viewport);
    await page.emulateMedia({ colorScheme: view.colorScheme });
    await pause(300);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    sure(over <= 0, `${name} is ${over} pixels too wide at ${view.name}`);
    if (whole) {
      // Pictures far down are loaded once they are near.
      await page.evaluate(() => document.querySelectorAll('img[loading=lazy]').forEach((one) => (one.loading = 'eager')));
      await page.waitForFunction(() => [...document.querySelectorAll('#reel img')].every((one) => one.complete));
    }
    await picture(page, `${prefix}${name}-${view.name}`);
    await axe(page, `${name} at ${view.name}`);
  }
  await page.setViewportSize(VIEWS[0].viewport);
  await page.emulateMedia({ colorScheme: 'light' });
};

/** A page of this browser's that complains nowhere; its files come from PAGES where that is set. */
export async function pageOf(house, complaints = []) {
  const page = await house.context.newPage();
  if (PAGES) {
    const kinds = { js: 'text/javascript', css: 'text/css', json: 'application/json', html: 'text/html' };
    await page.route(/\/(pages\/.*|client\/.*|review\?.*|operate)?$/, async (route) => {
      const name = new URL(route.request().url()).pathname.slice(1).replace(/^(review|operate)$/, '$1.html').replace(/^$/, 'index.html').replace(/^pages\//, '');
      const answer = await route.fetch().catch(() => null);
      const headers = { ...answer?.headers(), 'content-type': kinds[name.split('.').pop()] ?? 'image/svg+xml' };
      delete headers['content-length'];
      await route.fulfill({ status: 200, headers, body: await readFile(join(PAGES, name)) });
    });
  }
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    // A page asks who is signed in, and thumbnails are asked for before they are there.
    if (message.type() === 'error' && !/status of 40[134]/.test(message.text())) complaints.push(message.text());
  });
  return page;
}

/**
 * Every second of a recording, as the stored frames and the gaps that they carried account for it: in order, each with the
 * reason why there is no photo, or null. Throws where a second is missing or is there twice.
 */
export function accountOf(captures, interval_ms = 1000) {
  const turns = [];
  for (const { captured_at, metadata } of captures) {
    if (metadata.trigger === 'INTERVAL') turns.push({ at: Date.parse(metadata.timing.due_at ?? captured_at), reason: null });
    for (const { reason, from, to, missed, trigger } of metadata.gaps ?? []) {
      if (trigger) continue;
      const [first, last] = [Date.parse(from), Date.parse(to)];
      for (let i = 0; i < missed; i++) turns.push({ at: missed === 1 ? first : first + ((last - first) * i) / (missed - 1), reason });
    }
  }
  turns.sort((a, b) => a.at - b.at);
  const said = () => turns.map(({ at, reason }) => `${new Date(at).toISOString().slice(17, 23)} ${reason ?? 'photo'}`).join(', ');
  for (let i = 1; i < turns.length; i++) {
    const apart = turns[i].at - turns[i - 1].at;
    // A page that was opened anew counts from when it was opened.
    sure(apart > interval_ms * 0.02 && apart < interval_ms * 2, `${apart} ms between two turns of the clock: ${said()}`);
  }
  return turns;
}

/** Runs the cases, a few at once, those of `alone` first and by themselves; says each, and ends the process. */
export async function run(cases, { alone = [], together = 3, only = process.argv.slice(2) } = {}) {
  let failed = 0;
  const chosen = Object.keys(cases).filter((name) => only.length === 0 || only.some((one) => name.includes(one)));
  const one = async (name) => {
    const began = Date.now();
    try {
      const said = await cases[name]();
      console.log(`ok      ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)${said ? `: ${said}` : ''}`);
    } catch (error) {
      failed += 1;
      console.error(`FAILED  ${name}: ${error.stack ?? error}`);
    }
  };
  for (const name of chosen.filter((name) => alone.includes(name))) await one(name);
  const rest = chosen.filter((name) => !alone.includes(name));
  await Promise.all(
    Array.from({ length: together }, async () => {
      for (let name; (name = rest.shift()); ) await one(name);
    }),
  );
  process.exit(failed === 0 ? 0 : 1);
}
