// Drives the home page as a participant would, with Chromium's fake camera, against a running server.
//
//   BASE_URL=http://localhost:8080 USERNAME=… PASSWORD=… node home.mjs
//
// CHROMIUM is the browser (default /usr/bin/chromium), SCREENSHOTS a folder for pictures, where wanted.
// Ends with 0 if two photos were taken, stored and shown, and the browser had nothing to complain of; else with 1.

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const { BASE_URL, USERNAME, PASSWORD, SCREENSHOTS, CHROMIUM = '/usr/bin/chromium' } = process.env;
const WANTED_CAPTURES = 2;
const PATIENCE_MS = 30_000;

/** What the browser complained of. */
const complaints = [];
let step = 'reading the environment';

/** Asking who is signed in is answered 401 when nobody is, and the browser logs every 401. That one is expected. */
const expected = (message) =>
  message.text().includes('status of 401') && new URL(message.location().url).pathname === '/api/v1/sign-in';

async function picture(page, name) {
  if (SCREENSHOTS) await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

async function drive(page) {
  step = 'opening the page';
  const answer = await page.goto(new URL('/', BASE_URL).href);
  if (!answer.ok()) throw new Error(`the home page answered ${answer.status()}`);
  if (!answer.headers()['content-security-policy']) throw new Error('the home page carries no Content-Security-Policy');
  await page.locator('#sign-in').waitFor();
  await picture(page, 'home-sign-in');

  step = 'signing in';
  await page.locator('#username').fill(USERNAME);
  await page.locator('#password').fill(PASSWORD);
  await page.locator('#sign-in-submit').click();
  const refused = page.locator('#sign-in-error');
  await page.locator('#participant:visible, #sign-in-error:visible, #admin:visible').first().waitFor();
  if (await refused.isVisible()) throw new Error(`the server refused: ${await refused.textContent()}`);
  if (await page.locator('#admin').isVisible()) throw new Error(`${USERNAME} is an administrator, not a participant`);

  step = 'finding a session of the participant';
  const begin = page.locator('#begin');
  const none = page.locator('#no-session');
  await page.locator('#begin:visible, #no-session:visible').first().waitFor();
  if (await none.isVisible()) throw new Error((await none.textContent()).trim());
  await picture(page, 'home-session');

  step = 'giving consent and starting the camera';
  const sessionId = await page.locator('#session-list input:checked').inputValue();
  const storedBefore = (await stored(page, sessionId)).map(({ id }) => id);
  await page.locator('#agree').check();
  await begin.click();
  const absent = page.locator('#absent');
  await page.locator('#stage[data-phase="recording"], #absent:visible').first().waitFor();
  if (await absent.isVisible()) throw new Error((await absent.textContent()).trim());

  step = `waiting for ${WANTED_CAPTURES} captures to be stored`;
  await page.locator('#film summary').click();
  const fresh = await until(page, async () => {
    // A session that is driven by events takes a photo at each answer.
    await page.locator('.answer').nth(Date.now() % 4).click();
    const now = await stored(page, sessionId);
    const found = now.filter(({ id }) => !storedBefore.includes(id));
    return found.length >= WANTED_CAPTURES ? found : null;
  });

  step = 'waiting for the filmstrip to show them';
  await until(page, async () => {
    const shown = await page.locator('#strip img').evaluateAll((pictures) =>
      pictures.filter((picture) => picture.complete && picture.naturalWidth > 0).map((picture) => picture.dataset.capture),
    );
    // Photos go on being taken: the first ones may have left the strip again.
    const newest = (await stored(page, sessionId)).map(({ id }) => id).filter((id) => !storedBefore.includes(id));
    return newest.filter((id) => shown.includes(id)).length >= WANTED_CAPTURES;
  });
  await picture(page, 'home-recording');

  step = 'stopping the camera';
  await page.locator('#stop').click();
  await page.locator('#start').waitFor();
  const live = await page.locator('#preview').evaluate((video) => video.srcObject !== null);
  if (live) throw new Error('the camera was not freed');
  await until(page, async () => !/waiting|aside|refuses/.test(await says(page)));

  step = 'signing out';
  await page.locator('#sign-out').click();
  await page.locator('#sign-in').waitFor();
  return fresh.length;
}

/** The captures of the session, as the server lists them to this participant. */
async function stored(page, sessionId) {
  const answer = await page.request.get(new URL(`/assessment/camera/session/${sessionId}`, BASE_URL).href);
  if (!answer.ok()) throw new Error(`listing the captures answered ${answer.status()}: ${await answer.text()}`);
  return (await answer.json()).captures;
}

/** Asks again until there is an answer, or patience ends. */
async function until(page, question) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await question();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`not within ${PATIENCE_MS / 1000} s; the page says: ${await says(page)}`);
    await page.waitForTimeout(500);
  }
}

async function says(page) {
  const text = await page.locator('#status').evaluate((status) => status.shadowRoot.textContent);
  return text.replace(/\s+/g, ' ').trim();
}

async function main() {
  for (const name of ['BASE_URL', 'USERNAME', 'PASSWORD']) {
    if (!process.env[name]) throw new Error(`${name} is not set`);
  }
  if (SCREENSHOTS) await mkdir(SCREENSHOTS, { recursive: true });
  step = 'starting the browser';
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
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    ],
  });
  try {
    const page = context.pages()[0] ?? (await context.newPage());
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('console', (message) => {
      if (message.type() === 'error' && !expected(message)) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    const count = await drive(page).catch(async (error) => {
      await picture(page, 'home-failed').catch(() => {});
      throw error;
    });
    step = 'reading the browser’s console';
    if (complaints.length > 0) throw new Error(`the browser complained:\n  ${complaints.join('\n  ')}`);
    console.log(`home: ${count} captures taken by the page, stored, and shown; no console errors`);
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
}

main().catch((error) => {
  console.error(`home: failed while ${step}: ${error.message}`);
  for (const complaint of complaints) console.error(`  console: ${complaint}`);
  process.exit(1);
});
