// The public client against the example server (`cargo build -p sent-core --example live`), whose path is $SENT_LIVE.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const server = process.env.SENT_LIVE;
let url;
let http;
let live;

before(async () => {
  assert.ok(server, 'set SENT_LIVE to the example server');
  live = spawn(server, { stdio: ['ignore', 'pipe', 'inherit'] });
  [url] = await once(createInterface({ input: live.stdout }), 'line');
  http = url.replace('ws:', 'http:').replace('/connection/websocket', '');
});
after(() => live?.kill());

const say = async (channel, data) => {
  const response = await fetch(`${http}/publish/${channel}`, { method: 'POST', body: JSON.stringify(data) });
  assert.equal(response.status, 200);
};

// A running client.mjs: `until` reads its events up to one that fits.
const start = (t, ...args) => {
  const program = fileURLToPath(new URL('client.mjs', import.meta.url));
  const child = spawn(process.execPath, [program, url, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    ended: once(child, 'exit'),
    tell: (line) => child.stdin.write(`${line}\n`),
    async until(event, fits = () => true) {
      for (;;) {
        const { value, done } = await lines.next();
        assert.ok(!done, `the client ended before ${event}`);
        const found = JSON.parse(value);
        if (found.event === event && fits(found)) return found;
      }
    },
  };
};

const header = ['--header', 'Authorization: Bearer secret'];

test('connects, hears, recovers after a cut', { timeout: 20_000 }, async (t) => {
  const client = start(t, ...header, 'home');
  const { client: id } = await client.until('connected');
  assert.match(id, /^[0-9a-f-]{36}$/);
  const first = await client.until('subscribed');
  assert.deepEqual([first.wasRecovering, first.recoverable, first.offset], [false, true, 0]);

  await say('home', { n: 1 });
  await say('elsewhere', { n: -1 });
  assert.deepEqual((await client.until('publication')).data, { n: 1 });

  client.tell('cut');
  await client.until('connecting');
  await say('home', { n: 2 });
  await say('home', { text: 'ü\n"quoted"' });
  client.tell('resume');
  const again = await client.until('subscribed');
  assert.deepEqual([again.wasRecovering, again.recovered, again.epoch], [true, true, first.epoch]);
  assert.deepEqual((await client.until('publication')).data, { n: 2 });
  const third = await client.until('publication');
  assert.deepEqual([third.offset, third.data], [3, { text: 'ü\n"quoted"' }]);

  client.tell('history home 2');
  const { publications, offset } = await client.until('answer', ({ to }) => to === 'history');
  assert.deepEqual([offset, publications.map((p) => p.offset)], [3, [3, 2]]);

  client.tell('publish home');
  assert.equal((await client.until('answer', ({ to }) => to === 'publish')).error, 103);
  client.tell('presence home');
  assert.equal((await client.until('answer', ({ to }) => to === 'presence')).error, 108);

  client.tell('unsubscribe home');
  await client.until('unsubscribed');
  await say('home', { n: 4 });
  client.tell('subscribe home');
  await client.until('subscribed');
  client.tell('exit');
  await client.until('disconnected');
  assert.deepEqual(await client.ended, [0, null]);
});

test('what is too old to recover is told', { timeout: 20_000 }, async (t) => {
  const client = start(t, ...header, 'busy');
  await client.until('subscribed');
  client.tell('cut');
  await client.until('connecting');
  for (let n = 0; n < 300; n += 1) await say('busy', n);
  client.tell('resume');
  const again = await client.until('subscribed');
  assert.deepEqual([again.wasRecovering, again.recovered, again.offset], [true, false, 300]);
});

test('a token is as good as a session', { timeout: 20_000 }, async (t) => {
  const client = start(t, '--token', 'secret', 'home');
  await client.until('subscribed');
  const stranger = start(t, '--token', 'wrong', 'home');
  assert.deepEqual(await stranger.until('disconnected'), { event: 'disconnected', code: 3500, reason: 'invalid token' });
});

test('the server says whether to come back', { timeout: 20_000 }, async (t) => {
  const client = start(t, ...header, 'home');
  await client.until('subscribed');
  await fetch(`${http}/close/3005`, { method: 'POST' });
  assert.equal((await client.until('connecting', ({ code }) => code !== 0)).code, 3005);
  await client.until('subscribed', ({ recovered }) => recovered);
  await fetch(`${http}/close/3503`, { method: 'POST' });
  assert.equal((await client.until('disconnected')).code, 3503);
});

test('pings are answered', { timeout: 90_000 }, async (t) => {
  const client = start(t, ...header, 'home');
  await client.until('subscribed');
  client.tell('rest');
  await client.until('answer', ({ to }) => to === 'rest');
  await say('home', { after: 'rest' });
  assert.deepEqual((await client.until('publication')).data, { after: 'rest' });
});
