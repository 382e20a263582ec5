// The operator's page in a real Chromium: uploads that rise on the plots, cameras that are asked for less and no more, tasks
// and dead letters, sessions, settings with a mistake at its field, users and tokens; every view photographed and judged by axe.
//
//   BASE_URL=… ADMIN_COOKIE=… ADMIN_USERNAME=… ADMIN_PASSWORD=… USER_ID=… USERNAME=… PASSWORD=… node operate.mjs [CASE…]
//
// The server takes one upload at a time (ingest.uploads_in_flight_max = 1, and of one user) and has hints.enabled: one that is held in the
// midst is pressure then. It tells a webhook of stored photos, and nobody listens there. SCREENSHOTS and PAGES as in
// review.mjs.

import http from 'node:http';
import { BASE_URL, PATIENCE_MS, asking, browser, lookAs, newSession, pageOf, pause, picture, run, same, signIn, storedOf, sure, until } from './house.mjs';

const { ADMIN_COOKIE, ADMIN_USERNAME, ADMIN_PASSWORD, USER_ID, USERNAME, PASSWORD } = process.env;
const admin = asking(ADMIN_COOKIE);
const look = lookAs('operate-');
const INTERVAL = { recording_mode: 'INTERVAL', interval_seconds: 1 };
/** Between two samples, and what a busy machine adds. */
const SAMPLED_MS = PATIENCE_MS + 30_000;

/** Photos that the browser draws, as bytes. */
async function drawn(house, count) {
  const page = await house.context.newPage();
  await page.goto(new URL('/', BASE_URL).href);
  const photos = await page.evaluate(async (many) => {
    const made = [];
    for (let step = 0; step < many; step++) {
      const canvas = new OffscreenCanvas(320, 240);
      const pen = canvas.getContext('2d');
      pen.fillStyle = '#d9cdb8';
      pen.fillRect(0, 0, 320, 240);
      pen.fillStyle = '#31566b';
      pen.fillRect(20 + step * 7, 40, 90, 160);
      const bytes = await (await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.8 })).arrayBuffer();
      made.push([...new Uint8Array(bytes)]);
    }
    return made;
  }, count);
  await page.close();
  return photos.map((photo) => Buffer.from(photo));
}

/** Whole in its structure, and nonsense within: what cannot be decoded becomes a dead letter. */
function undecodable(jpeg) {
  const bytes = Buffer.from(jpeg);
  const scan = bytes.indexOf(Buffer.from([0xff, 0xda]));
  for (let at = scan + 20; at < bytes.length - 2; at++) bytes[at] = at % 3 === 0 ? 0x55 : 0xaa;
  return bytes;
}

/** Uploads are the participant's: the administrator holds the server's one place. */
let uploader = null;
async function upload(sessionId, photo) {
  uploader ??= (await fetch(new URL('/api/v1/sign-in', BASE_URL), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: USERNAME, password: PASSWORD }),
  })).headers.get('set-cookie').split(';')[0];
  const form = new FormData();
  form.append('session_id', sessionId);
  form.append('metadata_0', JSON.stringify({ trigger: 'INTERVAL' }));
  form.append('capture_0', new Blob([photo], { type: 'image/jpeg' }), 'a.jpg');
  return fetch(new URL('/assessment/camera/upload', BASE_URL), { method: 'POST', headers: { cookie: uploader }, body: form });
}

/** An upload of which only the beginning comes. */
async function held() {
  const request = http.request(new URL('/assessment/camera/upload', BASE_URL), {
    method: 'POST',
    headers: { cookie: ADMIN_COOKIE, 'content-type': 'multipart/form-data; boundary=b', 'content-length': 100_000 },
  });
  request.on('error', () => {});
  request.write('--b\r\nContent-Disposition: form-data; name="nothing"\r\n\r\n');
  await until('the upload to be held', async () => (await (await fetch(new URL('/metrics', BASE_URL))).text()).includes('filmgate_uploads_in_flight 1'));
  return request;
}

async function operating(house, hash = '', complaints = []) {
  await signIn(house.context, { username: ADMIN_USERNAME, password: ADMIN_PASSWORD });
  const page = await pageOf(house, complaints);
  await page.goto(new URL(`/operate${hash}`, BASE_URL).href);
  await page.locator('#operate').waitFor();
  return page;
}

/** Goes to a view as people do, and waits until its heading is there. */
async function view(page, name) {
  await page.locator(`#views a[href="#${name}"]`).click();
  await page.locator(`#view-${name}`).waitFor();
  same(await page.evaluate(() => document.activeElement.id), `${name}-title`, 'where the keyboard is');
}

/** The row that holds these words. */
const row = (page, list, words) => page.locator(`#${list}-rows tr`, { hasText: words });

/** What a plot says to who does not see it. */
const heard = (page, title) => page.locator('.plot', { has: page.getByRole('heading', { name: title, exact: true }) }).locator('svg').getAttribute('aria-label');

/** The most that a line of a plot reached, by its words. */
function most(words, line) {
  const [, found] = new RegExp(`${line}: now [^,]*, between .* and ([\\d.,]+)`).exec(words) ?? [];
  return found === undefined ? 0 : Number(found.replaceAll(',', ''));
}

const said = (page) => page.locator('#told').textContent();

const cases = {
  async 'uploads rise on the plots, cameras are asked for less and then no more, and the doctor speaks'() {
    const { id } = await newSession(admin, Number(USER_ID), INTERVAL);
    const house = await browser();
    const complaints = [];
    try {
      const photos = await drawn(house, 12);
      const page = await operating(house, '', complaints);
      await until('ready', async () => (await page.locator('#state-words').textContent()) === 'Ready for uploads');
      same(await page.locator('#hints-words').textContent(), 'Nothing: frames come as the settings say.', 'what is asked of cameras');
      const before = most(await heard(page, 'Uploads'), 'Photos stored');
      for (const photo of photos) same((await upload(id, photo)).status, 200, 'an upload');
      await until('the plot to rise', async () => most(await heard(page, 'Uploads'), 'Photos stored') > before, SAMPLED_MS);
      sure(most(await heard(page, 'Time to the answer'), '99 %') > 0, 'times of answers');
      await until('the doctor', async () => (await page.locator('#doctor .finding').count()) > 3);
      const words = await page.locator('#doctor').textContent();
      sure(words.includes('uploads are answered only when they survive a power cut') && words.includes('an fsync takes'), `the doctor's words: ${words}`);

      // Pressed: one upload holds the only place, and others are refused.
      const request = await held();
      const end = Date.now() + SAMPLED_MS;
      let hinted = null;
      while (!(await page.locator('#hints[data-state="warn"]').isVisible()) || most(await heard(page, 'Frames thinned to one each'), 'Frames thinned to one each') <= 1) {
        sure(Date.now() < end, `frames are not thinned: ${await page.locator('#hints').textContent()}, ${await heard(page, 'Frames thinned to one each')}`);
        const answer = await upload(id, photos[0]);
        same(answer.status, 503, 'an upload under pressure');
        hinted = answer.headers.get('filmgate-interval-ms') ?? hinted;
        await pause(400);
      }
      sure(Number(hinted) > 1000, `the header that cameras follow: ${hinted}`);
      sure(/thinned to one each [\d.]+ s/.test(await page.locator('#hints-words').textContent()), await page.locator('#hints-words').textContent());
      await until('that it is not ready', async () => (await page.locator('#state').getAttribute('data-state')) === 'bad');
      sure((await page.locator('#refused').textContent()).includes('overloaded'), 'why uploads were refused');
      await look(page, 'overview-pressed');
      request.destroy();
      await until('recovery', async () => (await page.locator('#hints').getAttribute('data-state')) === 'good' && (await page.locator('#state').getAttribute('data-state')) === 'good', SAMPLED_MS);
      for (const photo of photos) await upload(id, photo);
      await until('the interval to be none again', async () => /now as set/.test(await heard(page, 'Frames thinned to one each')), SAMPLED_MS);

      await page.locator('.figures summary').click();
      sure((await page.locator('#figures-rows tr').count()) > 1, 'the figures as a table');
      await look(page, 'overview');
      await page.locator('.plot-place').first().hover();
      await page.locator('#range').selectOption('5');
      await page.locator('[data-language="id"]').click();
      await until('Indonesian', async () => (await page.locator('#state-words').textContent()) === 'Siap menerima unggahan');
      await picture(page, 'operate-overview-indonesian');
      await page.locator('[data-language="en"]').click();
      sure(complaints.every((one) => /status of 503/.test(one)), `the browser complained: ${complaints}`);
      return `a frame each ${(Number(hinted) / 1000).toFixed(1)} s was asked for, and then none`;
    } finally {
      await house.close();
    }
  },

  async 'several nodes, as a load balancer lets one or the other answer, are shown each and together'() {
    const house = await browser();
    try {
      await signIn(house.context, { username: ADMIN_USERNAME, password: ADMIN_PASSWORD });
      const page = await pageOf(house);
      let turn = 0;
      await page.route('**/api/v1/figures*', async (route) => {
        const answer = await route.fetch({ url: new URL('/api/v1/figures', BASE_URL).href });
        const json = await answer.json();
        json.node = turn++ % 2 ? 'photos-1/1b0c3f2e' : 'photos-2/77aa90d1';
        await route.fulfill({ response: answer, json });
      });
      await page.goto(new URL('/operate', BASE_URL).href);
      await page.locator('#nodes').waitFor({ timeout: SAMPLED_MS });
      same(await page.locator('#nodes-rows th').allTextContents(), ['photos-1/1b0c3f2e', 'photos-2/77aa90d1'], 'the nodes');
      await page.locator('#node').selectOption('photos-1/1b0c3f2e');
      await page.locator('#node').selectOption('');
      await page.waitForFunction(() => document.querySelectorAll('#doctor .finding').length > 3);
      await look(page, 'nodes');
      return '';
    } finally {
      await house.close();
    }
  },

  async 'tasks are listed and followed; a dead letter is run again; one is called off'() {
    const { id } = await newSession(admin, Number(USER_ID), INTERVAL);
    const house = await browser();
    try {
      const [photo] = await drawn(house, 1);
      same((await upload(id, undecodable(photo))).status, 200, 'an upload');
      await until('a dead letter', async () => (await admin('GET', `/api/v1/tasks?kind=process&session_id=${id}`)).items[0]?.state === 'FAILURE');
      const [{ id: taskId, error }] = (await admin('GET', `/api/v1/tasks?kind=process&session_id=${id}`)).items;
      const page = await operating(house, '#tasks');
      await page.locator('#tasks-state').selectOption('FAILURE');
      const dead = row(page, 'tasks', taskId.slice(-8));
      await dead.waitFor();
      sure((await dead.textContent()).includes(error), `why it was given up: ${error}`);
      await look(page, 'tasks-dead');

      // Again: it is in line, runs, and is given up once more; the page hears of it.
      await dead.locator('button', { hasText: 'Run again' }).click();
      await until('it is said', async () => (await said(page)).includes(`${taskId.slice(-8)} is in line again`));
      await until('given up again, followed', async () => (await dead.textContent()).includes('Given up'));
      same((await admin('GET', `/api/v1/tasks/${taskId}`)).state, 'FAILURE', 'given up again');

      await page.locator('#tasks-retry-all').click();
      await look(page, 'tasks-question');
      await page.locator('#form-go').click();
      await until('all again', async () => /In line again: \d/.test(await said(page)));
      await until('given up again', async () => (await admin('GET', `/api/v1/tasks/${taskId}`)).state === 'FAILURE');

      // The webhook's receiver is away: its deliveries wait to be tried again, and one of them is called off.
      await page.locator('#tasks-state').selectOption('RETRY');
      await page.locator('#tasks-kind').selectOption('deliver');
      const delivery = (await until('a delivery to wait', async () => (await admin('GET', `/api/v1/tasks?session_id=${id}&kind=deliver`)).items.filter(({ state }) => state === 'RETRY')[0]));
      await page.locator('#tasks-again').click();
      const waits = row(page, 'tasks', delivery.id.slice(-8));
      await waits.locator('button', { hasText: 'Call off' }).click();
      await page.locator('#form[open]').waitFor();
      await look(page, 'tasks-revoke');
      await page.locator('#form-go').click();
      await waits.filter({ hasText: 'Called off' }).waitFor();
      same((await admin('GET', `/api/v1/tasks/${delivery.id}`)).state, 'REVOKED', 'called off');
      sure(await waits.locator('button', { hasText: 'Run again' }).evaluate((button) => button === document.activeElement), 'the keyboard stays in the row');
      await page.locator('#tasks-kind').selectOption('');
      await page.locator('#tasks-state').selectOption('');
      await page.locator('#tasks-rows tr').nth(2).waitFor();
      await look(page, 'tasks');
      return `given up because: ${error}`;
    } finally {
      await house.close();
    }
  },

  async 'sessions are registered, given other settings, ended; a mistake in settings stands at its field'() {
    const house = await browser();
    try {
      const page = await operating(house, '#settings');
      await page.locator('#settings-rows tr').first().waitFor();
      await page.locator('#settings-new').click();
      const name = `Every third second ${Date.now() % 100_000}`;
      await page.locator('#field-setting_name').fill(name);
      await page.locator('#field-interval_seconds').fill('0');
      await page.locator('#field-resolution').fill('big');
      await page.locator('#form-go').click();
      same(await page.locator('#field-interval_seconds-problem').textContent(), 'This is a whole number from 1 to 86400, which is a day.', 'at the interval');
      sure((await page.locator('#field-resolution-problem').textContent()).startsWith('This is width'), 'at the resolution');
      same(await page.evaluate(() => [document.activeElement.id, document.activeElement.getAttribute('aria-invalid')]), ['field-interval_seconds', 'true'], 'where the keyboard is');
      await look(page, 'settings-mistake');
      await page.locator('#field-interval_seconds').fill('3');
      await page.locator('#field-resolution').fill('1280x720');
      await page.keyboard.press('Enter');
      await row(page, 'settings', name).waitFor();
      same(await said(page), `“${name}” is made.`, 'what is said');
      const made = (await admin('GET', '/api/v1/camera-settings?limit=1')).items[0];
      same([made.setting_name, made.interval_seconds, made.recording_mode], [name, 3, 'INTERVAL'], 'made');

      // What only the server knows stands at the field too: the name is taken.
      await page.locator('#settings-new').click();
      await page.locator('#field-setting_name').fill(name);
      await page.locator('#form-go').click();
      await until('the server to refuse the name', async () => (await page.locator('#form .problem').allTextContents()).join('').length > 0);
      const refused = (await page.locator('#form .problem').allTextContents()).join('');
      await page.locator('#form-cancel').click();

      await row(page, 'settings', name).locator('button', { hasText: 'Edit' }).click();
      await page.locator('#field-recording_mode').selectOption('EVENT_DRIVEN');
      await page.locator('#field-interval_seconds').waitFor({ state: 'hidden' });
      await page.locator('#field-capture_on_message_send').check();
      await page.locator('#form-go').click();
      await row(page, 'settings', name).filter({ hasText: 'Message sent' }).waitFor();
      await look(page, 'settings');

      // Two editors: the second one hears of the first.
      await row(page, 'settings', name).locator('button', { hasText: 'Edit' }).click();
      await page.locator('#form[open]').waitFor();
      await admin('PATCH', `/api/v1/camera-settings/${made.id}`, { resolution: '640x480' });
      await page.locator('#form-go').click();
      await until('the other edit to be told of', async () => (await page.locator('#form-problem').textContent()).includes('changed in the meantime'));
      await page.locator('#form-cancel').click();

      await view(page, 'sessions');
      await page.locator('#sessions-rows tr').first().waitFor();
      await page.locator('#sessions-new').click();
      await page.locator('#field-user_id').fill('somebody');
      await page.locator('#form-go').click();
      sure((await page.locator('#field-user_id-problem').textContent()).startsWith('This is a whole number'), 'at the user');
      await page.locator('#field-user_id').fill(USER_ID);
      await page.locator('#field-camera_settings_id').selectOption({ label: name });
      await page.locator('#form-go').click();
      await until('registered', async () => (await said(page)).endsWith('is registered.'));
      const session = (await admin('GET', '/api/v1/sessions?limit=1')).items[0];
      same(session.camera_settings_id, made.id, 'its settings');
      const here = row(page, 'sessions', session.id.slice(-8));
      await here.locator('button', { hasText: 'Settings' }).click();
      await page.locator('#field-camera_settings_id').selectOption('');
      await look(page, 'session-form');
      await page.locator('#form-go').click();
      await here.filter({ hasText: 'Without camera settings' }).waitFor();
      await look(page, 'sessions');
      await here.locator('button', { hasText: 'End' }).click();
      await page.locator('#form[open]').waitFor();
      same(await page.evaluate(() => document.activeElement.id), 'form-cancel', 'nothing is ended by a careless Enter');
      await page.locator('#form-go').click();
      await until('ended', async () => (await admin('GET', `/api/v1/sessions/${session.id}`)).ended_at !== null);
      await until('no more to do', async () => (await here.locator('button').count()) === 0);

      // Of one user alone; and of nobody.
      await page.locator('#sessions-user').fill('999999');
      await page.keyboard.press('Enter');
      await page.locator('#sessions-none').waitFor();
      await picture(page, 'operate-sessions-none');
      return `a name that is taken: “${refused}”`;
    } finally {
      await house.close();
    }
  },

  async 'users and tokens are made, switched off and revoked; a secret is shown once'() {
    const house = await browser();
    const stranger = await browser();
    try {
      const page = await operating(house, '#users');
      await page.locator('#users-rows tr').first().waitFor();
      await page.locator('#users-new').click();
      const name = `ward-${Date.now() % 1_000_000}`;
      await page.locator('#field-username').fill(name);
      await page.locator('#field-password').fill('x');
      await page.locator('#form-go').click();
      await until('the password to be refused', async () => (await page.locator('#field-password-problem').textContent()).includes('a password has'));
      await look(page, 'user-form');
      await page.locator('#field-password').fill('correct horse battery');
      await page.locator('#form-go').click();
      await row(page, 'users', name).waitFor();
      const number = (await admin('GET', '/api/v1/users?limit=200')).items.find(({ username }) => username === name).id;
      const signingIn = () => stranger.context.request.post(new URL('/api/v1/sign-in', BASE_URL).href, { data: { username: name, password: 'correct horse battery' } });
      same((await signingIn()).status(), 200, 'signing in');
      await row(page, 'users', name).locator('button', { hasText: 'Sign out' }).click();
      await page.locator('#form-go').click();
      await until('signed out', async () => (await said(page)).includes('sign-ins ended: 1'));
      await look(page, 'users');
      await row(page, 'users', name).locator('button', { hasText: 'Switch off' }).click();
      await page.locator('#form-go').click();
      await row(page, 'users', name).filter({ hasText: 'switched off' }).waitFor();
      same((await signingIn()).status(), 401, 'signing in once switched off');
      await row(page, 'users', name).locator('button', { hasText: 'Switch on' }).click();
      await until('on again', async () => (await said(page)).includes('may sign in again'));
      await row(page, 'users', name).locator('button', { hasText: 'Edit' }).click();
      await page.locator('#field-role').selectOption('admin');
      await page.locator('#form-go').click();
      await row(page, 'users', name).filter({ hasText: 'Administrator' }).waitFor();

      await view(page, 'tokens');
      await page.locator('#tokens-new').click();
      await page.locator('#field-name').fill('The ward’s program');
      await page.locator('#field-user_id').fill(String(number));
      await page.locator('#field-expires_at').fill('2020-01-01T00:00');
      await page.locator('#form-go').click();
      same(await page.locator('#field-expires_at-problem').textContent(), 'This is over already.', 'at the end');
      await page.locator('#field-expires_at').fill('');
      await page.locator('#form-go').click();
      await page.locator('#secret[open]').waitFor();
      const secret = await page.locator('#secret-text').inputValue();
      const asked = () => fetch(new URL('/api/v1/users', BASE_URL), { headers: { authorization: `Bearer ${secret}` } });
      same((await asked()).status, 200, 'the token');
      await page.locator('#secret-text').evaluate((field) => (field.value = 'fgt_0000000000000000000000000000000000000000000000000000000000000000'));
      await look(page, 'token-secret');
      await page.locator('#secret-close').click();
      same(await page.locator('#secret-text').inputValue(), '', 'the secret is gone');
      sure(!(await page.content()).includes(secret), 'the secret is nowhere in the page');
      await look(page, 'tokens');
      await row(page, 'tokens', 'The ward’s program').first().locator('button', { hasText: 'Revoke' }).click();
      await page.locator('#form-go').click();
      await until('revoked', async () => (await said(page)).includes('is revoked'));
      same((await asked()).status, 401, 'the token once revoked');

      // By keyboard alone: from view to view, into a form and out of it.
      await page.locator('#views a').first().focus();
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await page.locator('#view-tasks').waitFor();
      return '';
    } finally {
      await house.close();
      await stranger.close();
    }
  },

  async 'who is no administrator sees nothing, and who is nobody comes to the home page'() {
    const house = await browser();
    const nobody = await browser();
    try {
      await signIn(house.context, { username: USERNAME, password: PASSWORD });
      const page = await pageOf(house);
      await page.goto(new URL('/operate', BASE_URL).href);
      await page.locator('#trouble').waitFor();
      sure(await page.locator('#operate').isHidden(), 'nothing is shown');
      await look(page, 'absent');
      const outside = await pageOf(nobody);
      await outside.goto(new URL('/operate', BASE_URL).href);
      await outside.locator('#sign-in').waitFor();
      same(new URL(outside.url()).pathname, '/', 'where nobody ends');
      // And the way there, for who may.
      await outside.locator('#username').fill(ADMIN_USERNAME);
      await outside.locator('#password').fill(ADMIN_PASSWORD);
      await outside.locator('#sign-in-submit').click();
      await outside.locator('a[href="/operate"]').click();
      await outside.locator('#view-overview').waitFor();
      return '';
    } finally {
      await house.close();
      await nobody.close();
    }
  },
};

for (const [name, value] of Object.entries({ BASE_URL, ADMIN_COOKIE, ADMIN_USERNAME, ADMIN_PASSWORD, USER_ID, USERNAME, PASSWORD })) {
  if (!value) throw new Error(`${name} is not set`);
}
// The first holds the server's only place for a while.
await run(cases, { alone: [Object.keys(cases)[0]], together: 2 });
