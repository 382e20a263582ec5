// What needs no browser: the table of answers, hints, settings, the gap log over the store in memory.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffMs, judge, retryAfterMs } from '../src/answers.ts';
import { sha256Hex, storable } from '../src/digest.ts';
import { GapLog } from '../src/gaps.ts';
import { pacedInterval, pacedQuality, readHints } from '../src/hints.ts';
import { intervalMs, isWanted, readSettings, readTrigger, sizeOf } from '../src/settings.ts';
import { MemoryStore } from '../src/store.ts';

const headers = (given = {}) => ({ get: (name) => given[name.toLowerCase()] ?? null });
const answer = (status, body = null, more = {}) => ({ status, redirected: false, headers: headers(), body, ...more });
const snafu = (code, error = 'no') => ({ status: 'SNAFU', error, ...(code ? { code } : {}) });
const SHA = 'ab'.repeat(32);
const stored = (sha256) => ({ status: 'OLKORECT', captures: [{ id: 'c', filename: 'c.jpg', sha256 }] });

test('each answer has its verdict', () => {
  const cases = [
    [null, 'again offline'],
    [answer(200, stored(SHA)), 'stored true'],
    [answer(200, stored(SHA.toUpperCase())), 'stored true'],
    [answer(200, stored('cd'.repeat(32))), 'stored false'],
    [answer(200, stored(undefined)), 'stored null'],
    [answer(202, { status: 'OLKORECT', task_ids: ['t'] }), 'stored null'],
    [answer(200, { status: 'OLKORECT', captures: [], skipped: [{ reason: 'why' }] }), 'skipped'],
    [answer(200, null), 'again offline'],
    [answer(200, { hello: 'café' }), 'again offline'],
    [answer(200, null, { redirected: true }), 'sign-in'],
    [answer(401, snafu()), 'sign-in'],
    [answer(403, snafu()), 'aside session_not_found'],
    [answer(403, snafu('cross_site')), 'aside cross_site'],
    [answer(400, snafu('body_incomplete')), 'again offline'],
    [answer(400, snafu('malformed_form')), 'refused malformed_form'],
    [answer(404), 'again busy'],
    [answer(408, snafu('body_timeout')), 'again busy'],
    [answer(409, snafu('idempotency_key_in_progress')), 'again busy'],
    [answer(409, snafu('session_ended')), 'refused session_ended stop'],
    [answer(409, snafu('trigger_not_allowed')), 'refused trigger_not_allowed'],
    [answer(413), 'refused status_413'],
    [answer(415, snafu('image_type_unsupported')), 'refused image_type_unsupported'],
    [answer(422, snafu('image_truncated')), 'refused image_truncated'],
    [answer(422, snafu('idempotency_key_reused')), 'new-key'],
    [answer(429, snafu('too_many_uploads')), 'again busy'],
    [answer(500, snafu()), 'again busy'],
    [answer(502), 'again busy'],
    [answer(503, snafu('overloaded')), 'again busy'],
    [answer(507, snafu('disk_full')), 'again busy'],
  ];
  for (const [given, expected] of cases) {
    const { kind, trouble, code, verified, stop } = judge(given, SHA, 0);
    const said = [kind, trouble, code, verified, stop ? 'stop' : undefined].filter((word) => word !== undefined).map(String).join(' ');
    assert.equal(said, expected, JSON.stringify(given));
  }
  assert.equal(judge(answer(200, stored(SHA)), null, 0).verified, null, 'nothing of ours to compare');
});

test('waits: the server’s, or longer and longer', () => {
  assert.equal(retryAfterMs('7', 0), 7000);
  assert.equal(retryAfterMs('Thu, 01 Jan 1970 00:00:09 GMT', 4000), 5000);
  assert.equal(retryAfterMs('soon', 0), null);
  assert.equal(judge(answer(503, null, { headers: headers({ 'retry-after': '3' }) }), SHA, 0).wait_ms, 3000);
  assert.deepEqual([1, 2, 3, 6, 60].map((strikes) => backoffMs(strikes, 1)), [1000, 2000, 4000, 30_000, 30_000]);
  assert.equal(backoffMs(3, 0), 2000);
});

test('hints lengthen and lower, never the other way, and grow old', () => {
  const hints = readHints(headers({ 'filmgate-interval-ms': '4000', 'filmgate-quality': '0.5' }), 1000);
  assert.equal(pacedInterval(1000, hints, 2000), 4000);
  assert.equal(pacedInterval(10_000, hints, 2000), 10_000);
  assert.equal(pacedQuality(0.8, hints, 2000), 0.5);
  assert.equal(pacedQuality(0.4, hints, 2000), 0.4);
  assert.equal(pacedInterval(1000, hints, 62_000), 1000);
  assert.equal(pacedQuality(0.8, hints, 62_000), 0.8);
  for (const nonsense of ['', '-1', 'NaN', '1e9', 'x']) assert.equal(readHints(headers({ 'filmgate-interval-ms': nonsense }), 0).interval_ms, null);
  assert.equal(readHints(headers({ 'filmgate-interval-ms': '999999999' }), 0).interval_ms, 60_000);
  assert.equal(readHints(headers({ 'filmgate-quality': '0' }), 0).quality, 0.3);
});

test('settings gate as the contract says', () => {
  const events = { recording_mode: 'EVENT_DRIVEN', capture_on_button_click: true, capture_on_question_start: true };
  const wanted = (settings) => ['INTERVAL', 'BUTTON_CLICK', 'MESSAGE_SEND', 'QUESTION_START', 'MANUAL'].filter((trigger) => isWanted(settings, trigger));
  assert.equal(wanted(null).length, 5);
  assert.equal(wanted({ ...events, is_active: false }).length, 5);
  assert.deepEqual(wanted({ recording_mode: 'INTERVAL' }), ['INTERVAL']);
  assert.deepEqual(wanted(events), ['BUTTON_CLICK', 'QUESTION_START']);
  assert.equal(intervalMs({ recording_mode: 'INTERVAL', interval_seconds: 0 }), 1000);
  assert.equal(intervalMs({ recording_mode: 'INTERVAL', interval_seconds: 5 }), 5000);
  assert.equal(intervalMs(events), null);
  assert.deepEqual(readSettings('{"data":{"settings":{"resolution":"640x480"}}}'), { resolution: '640x480' });
  assert.equal(readSettings({ data: { settings: null } }), null);
  assert.throws(() => readSettings('{'), TypeError);
  assert.deepEqual(sizeOf('640 × 480'), { width: 640, height: 480 });
  assert.deepEqual(sizeOf('huge'), { width: 1280, height: 720 });
  assert.equal(readTrigger('button_click'), 'BUTTON_CLICK');
  assert.equal(readTrigger('whatever'), 'MANUAL');
});

test('gaps that follow one another are one, and travel until a stored frame has brought them', async () => {
  const store = new MemoryStore();
  const log = new GapLog(store, 's', 'run');
  for (const from of [1000, 2000, 3000]) log.note({ reason: 'hidden', from });
  log.note({ reason: 'thinned', from: 4000 });
  let { ids, gaps } = await log.take();
  assert.deepEqual(gaps.map(({ reason, missed }) => [reason, missed]), [['hidden', 3], ['thinned', 1]]);
  assert.equal(gaps[0].to, new Date(3000).toISOString());
  const frame = { key: 'k', owner: '', session: 's', trigger: 'INTERVAL', blob: new Blob([]), sha256: null, metadata: '{}', filename: 'f', taken_at: 0 };
  const kept = await store.add(frame, ids);
  assert.equal((await log.take()).gaps.length, 0, 'on their way');
  await store.settle(kept, 'keep');
  ({ ids, gaps } = await log.take());
  assert.equal(gaps.length, 2, 'their frame was refused: they need another');
  await store.settle(await store.add({ ...frame, key: 'l' }, ids), 'arrived');
  assert.equal((await log.take()).gaps.length, 0);
});

test('events go first, what is somebody else’s stays', async () => {
  const store = new MemoryStore();
  const frame = { owner: '', session: 's', blob: new Blob([]), sha256: null, metadata: '{}', filename: 'f', taken_at: 0 };
  await store.add({ ...frame, key: 'a', trigger: 'INTERVAL' }, []);
  await store.add({ ...frame, key: 'b', trigger: 'BUTTON_CLICK' }, []);
  await store.add({ ...frame, key: 'c', trigger: 'BUTTON_CLICK', owner: 'her' }, []);
  assert.deepEqual((await store.next('me', 9, new Set())).map(({ key }) => key), ['b', 'a']);
  assert.deepEqual((await store.next('her', 9, new Set())).map(({ key }) => key), ['b', 'c', 'a']);
  assert.deepEqual(await store.count('me'), { waiting: 2, aside: 0 });
});

test('texts and checksums', async () => {
  assert.equal(storable('a\0b\uD800c😀'), 'ab\uFFFDc😀');
  assert.equal(await sha256Hex(new TextEncoder().encode('abc').buffer), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});
