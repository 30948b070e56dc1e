import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { startSampleDevice } from './device.ts';

async function withDevice(use: (base: string, port: number) => Promise<void>): Promise<void> {
  const device = await startSampleDevice();
  try {
    await use(`http://127.0.0.1:${device.port}`, device.port);
  } finally {
    await device.close();
  }
}

test('the page shows what arrived, escaped, and loads nothing from elsewhere', () =>
  withDevice(async (base) => {
    const answer = await fetch(base, { headers: { 'X-Forwarded-For': '192.0.2.9', 'X-Odd': '<b>"&', Cookie: 'secret=1' } });
    const html = await answer.text();
    assert.match(html, /class="gateway"><th scope="row">X-Forwarded-For<\/th><td>192\.0\.2\.9</i);
    assert.ok(html.includes('&#60;b&#62;&#34;&#38;') && !html.includes('secret=1') && !html.includes('{{'));
    assert.match(answer.headers.get('content-security-policy') ?? '', /default-src 'self'/);
    for (const [, path = ''] of html.matchAll(/(?:src|href)="([^"]+)"/g)) {
      assert.match(path, /^\/[a-z]/);
      assert.equal((await fetch(base + path, { method: 'HEAD' })).status, 200, path);
    }
  }));

test('the form posts, redirects to where it was asked, and shows', () =>
  withDevice(async (base) => {
    const post = (body: string) => fetch(`${base}/settings`, { method: 'POST', redirect: 'manual', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body });
    const answer = await post('name=Third+%3Cfloor%3E&tray=A5');
    assert.equal(answer.status, 303);
    assert.equal(answer.headers.get('location'), `${base}/?saved`);
    assert.equal(answer.headers.get('set-cookie'), 'tray=A5; Path=/');
    const html = await (await fetch(`${base}/?saved`)).text();
    assert.ok(html.includes('Third &#60;floor&#62;') && html.includes('role="status"') && html.includes('<option selected>A5'));
    assert.equal((await post('name=&tray=A5')).status, 400);
    assert.equal((await post(`name=${'x'.repeat(5_000)}&tray=A5`)).status, 400);
    assert.equal((await fetch(`${base}/settings`)).status, 404);
    assert.equal((await fetch(base, { method: 'DELETE' })).status, 405);
  }));

test('the download has a length, a digest and ranges', () =>
  withDevice(async (base) => {
    const whole = await fetch(`${base}/journal.csv`);
    const bytes = Buffer.from(await whole.arrayBuffer());
    assert.equal(Number(whole.headers.get('content-length')), bytes.length);
    assert.equal(whole.headers.get('repr-digest'), `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`);
    const part = async (range: string, more: Record<string, string> = {}) => {
      const answer = await fetch(`${base}/journal.csv`, { headers: new Headers([['Range', range], ...Object.entries(more)]) });
      return [answer.status, answer.headers.get('content-range'), Buffer.from(await answer.arrayBuffer())] as const;
    };
    const size = bytes.length;
    assert.deepEqual(await part('bytes=10-19'), [206, `bytes 10-19/${size}`, bytes.subarray(10, 20)]);
    assert.deepEqual(await part(`bytes=${size - 3}-`), [206, `bytes ${size - 3}-${size - 1}/${size}`, bytes.subarray(-3)]);
    assert.deepEqual(await part('bytes=-5'), [206, `bytes ${size - 5}-${size - 1}/${size}`, bytes.subarray(-5)]);
    assert.deepEqual((await part(`bytes=${size}-`)).slice(0, 2), [416, `bytes */${size}`]);
    assert.equal((await part('bytes=0-1,3-4'))[0], 200);
    assert.equal((await part('bytes=5-4'))[0], 200);
    assert.equal((await part('bytes=0-1', { 'If-Range': '"other"' }))[0], 200);
  }));

test('readings arrive by themselves', () =>
  withDevice(async (base) => {
    const answer = await fetch(`${base}/events`);
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('event: reading')) text += (await reader.read()).value ?? assert.fail('ended');
    const history: unknown[] = JSON.parse(/event: history\ndata: (.*)/.exec(text)![1]!);
    assert.equal(history.length, 90);
    await reader.cancel();
  }));

test('the echo gives messages back, in pieces or whole, and closes', () =>
  withDevice(async (_, port) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/echo`);
    socket.binaryType = 'arraybuffer';
    await once(socket, 'open');
    for (const message of ['hello', 'ä'.repeat(40_000), Buffer.alloc(70_000, 7)]) {
      const echoed = once(socket, 'message') as Promise<[MessageEvent]>;
      socket.send(message);
      const { data } = (await echoed)[0];
      assert.deepEqual(typeof data === 'string' ? data : Buffer.from(data), message);
    }
    const closed = once(socket, 'close') as Promise<[CloseEvent]>;
    socket.close(1000, 'done');
    assert.equal((await closed)[0].code, 1000);
    const plain = connect(port, '127.0.0.1');
    plain.end('GET /other HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    assert.match(String((await once(plain, 'data'))[0]), /^HTTP\/1\.1 400 /);
  }));

test('closing ends what is open', async () => {
  const device = await startSampleDevice();
  const events = await fetch(`http://127.0.0.1:${device.port}/events`);
  const socket = new WebSocket(`ws://127.0.0.1:${device.port}/echo`);
  await once(socket, 'open');
  const ended = once(socket, 'close');
  await device.close();
  await ended;
  await assert.rejects(events.text());
});
