// The device protocol's push at a whole gateway, as devices of every kind speak it (docs/wire/device.md §2).
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { parseLines } from '#wire/device.ts';
import { exchangeRaw, finishesCleanly, request, startGateway, until, type TestGateway } from '../kit/gateway.ts';

let gateway: TestGateway;
before(async () => {
  gateway = await startGateway({ config: { strangers: [{ policy: 'quarantine', quarantineBytes: 6_000_000 }, { customer: 'default', policy: 'quarantine', quarantineBytes: 6_000_000 }] } });
});
after(async () => {
  await finishesCleanly(gateway);
  await gateway.close();
});

let devices = 0;
const epoch = () => randomBytes(8).toString('hex');
interface Said {
  status: number;
  values: Record<string, string>;
  headers: Record<string, string | string[] | undefined>;
}

function newFeed(more: { feed?: string } = {}) {
  const serial = `SN${++devices}`;
  const path = `/v1/default/push/${serial}/${more.feed ?? 'cdr'}/${epoch()}`;
  const send = async (query: string, body: string | Buffer, headers: Record<string, string> = {}, method = 'POST'): Promise<Said> => {
    const answer = await request(gateway.ports.http, { method, path: `${path}${query}`, headers: { host: 'localhost', ...headers }, body });
    return { status: answer.status, values: Object.fromEntries(parseLines(answer.body.toString())), headers: answer.headers };
  };
  return { serial, path, send };
}
const shown = ({ status, values }: Said) => `${status} ${values['error'] ?? ''} next=${values['next'] ?? ''}${values['repeat'] ? ' repeat' : ''}`;

test('the page’s table, row by row', async () => {
  const { send } = newFeed();
  assert.equal(shown(await send('', '', {}, 'GET')), '200  next=0');
  const first = await send('?o=0', 'one\ntwo\n');
  assert.equal(shown(first), '200  next=8');
  assert.equal(first.values['waiting'], '1');
  assert.ok(Math.abs(Number(first.values['time']) * 1000 - Date.now()) < 5_000);
  assert.equal(shown(await send('?o=0', 'one\ntwo\n')), '200  next=8 repeat');
  assert.equal(shown(await send('?o=4', 'two\nthree\n')), '200  next=14 repeat');
  assert.equal(shown(await send('?o=0', 'ONE\n')), '409 conflict next=14');
  assert.equal(shown(await send('?o=20', 'x')), '409 gap next=14');
  assert.equal(shown(await send('?o=20', 'four\n', { 'x-postern-gap': '14-20;reason=wrap' })), '200  next=25');
  assert.equal(shown(await send('?o=25', '')), '200  next=25');
  assert.equal(shown(await send('', '', {}, 'GET')), '200  next=25');
  for (const query of ['', '?o=', '?o=-1', '?o=01', '?o=1e3', '?o=9007199254740992', '?x=1']) assert.equal((await send(query, 'x')).status, 400, query);
  assert.equal((await send('?o=25', 'x', { 'x-postern-gap': 'nonsense' })).status, 400);
  assert.equal((await send('?o=25', 'x', { 'x-postern-format': 'u8' })).status, 400);
  assert.equal((await send('?o=25', 'x', {}, 'DELETE')).status, 405);
  const big = await send('?o=25', Buffer.alloc(4 * 1024 * 1024 + 1));
  assert.deepEqual([shown(big), big.values['max']], ['413 too-large next=25', '4194304']);
  assert.equal(shown(await send('?o=25', Buffer.alloc(4 * 1024 * 1024, 10))), '200  next=4194329');
});

test('digests: of the decoded bytes, and of the body as it was sent', async () => {
  const { send } = newFeed();
  const body = Buffer.from('one\n');
  const hex = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
  const field = (bytes: Buffer) => `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;
  assert.equal(shown(await send('?o=0', body, { 'x-postern-sha256': hex(Buffer.from('two\n')) })), '422 digest next=0');
  assert.equal(shown(await send('?o=0', body, { 'content-digest': field(Buffer.from('two\n')) })), '422 digest next=0');
  assert.equal(shown(await send('?o=0', body, { 'x-postern-sha256': hex(body).toUpperCase(), 'content-digest': field(body) })), '200  next=4');
  const packed = gzipSync(Buffer.from('two\n'));
  assert.equal(shown(await send('?o=4', packed, { 'content-encoding': 'gzip', 'x-postern-sha256': hex(Buffer.from('two\n')), 'content-digest': field(packed) })), '200  next=8');
});

test('gzip, zlib and raw deflate; what is none of them, and what unpacks to too much', async () => {
  const { send } = newFeed();
  const line = 'a line that is worth packing, worth packing, worth packing\n';
  let next = 0;
  for (const [encoding, packed] of [['gzip', gzipSync(line)], ['deflate', deflateSync(line)], ['deflate', deflateRawSync(line)], ['x-gzip', gzipSync(line)], ['identity', Buffer.from(line)]] as const) {
    assert.equal(shown(await send(`?o=${next}`, packed, { 'content-encoding': encoding })), `200  next=${(next += line.length)}`, encoding);
  }
  assert.equal(shown(await send(`?o=${next}`, Buffer.from(line), { 'content-encoding': 'gzip' })), `422 encoding next=${next}`);
  assert.equal(shown(await send(`?o=${next}`, gzipSync(line).subarray(0, -5), { 'content-encoding': 'gzip' })), `422 encoding next=${next}`);
  assert.equal(shown(await send(`?o=${next}`, Buffer.from(line), { 'content-encoding': 'br' })), `422 encoding next=${next}`);
  assert.equal(shown(await send(`?o=${next}`, gzipSync(Buffer.alloc(100_000_000)), { 'content-encoding': 'gzip' })), `413 too-large next=${next}`);
});

test('HTTP/1.0 with and without keep-alive, bodies in chunks, bodies that wait to be asked for, JSON, HEAD', async () => {
  const { path } = newFeed();
  const old = await exchangeRaw(gateway.ports.http, `POST ${path}?o=0 HTTP/1.0\r\nContent-Length: 4\r\n\r\none\n`);
  assert.match(old, /^HTTP\/1\.1 200 OK\r\n[^]*Content-Length: \d+\r\nConnection: close\r\n\r\n[^]*next=4\n/);
  const kept = await exchangeRaw(gateway.ports.http, `POST ${path}?o=4 HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\ntwo\nGET ${path} HTTP/1.0\r\nHost: localhost\r\n\r\n`);
  assert.deepEqual([...kept.matchAll(/next=(\d+)/g)].map((each) => each[1]), ['8', '8']);
  const chunked = await exchangeRaw(gateway.ports.http, `POST ${path}?o=8 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nthr\r\n3\r\nee\n\r\n0\r\n\r\n`);
  assert.match(chunked, /next=14\n/);
  const asked = await exchangeRaw(gateway.ports.http, [`POST ${path}?o=14 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`, 'four\n']);
  assert.match(asked, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK[^]*next=19\n/);
  const json = await exchangeRaw(gateway.ports.http, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n\r\n`);
  assert.deepEqual({ ...(JSON.parse(json.split('\r\n\r\n')[1]!) as object), time: 0 }, { time: 0, next: 19, waiting: 1 });
  const head = await exchangeRaw(gateway.ports.http, `HEAD ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  assert.match(head, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n$/);
});

test('a request that is cut anywhere stores all of its batch or nothing', async () => {
  const { path, send } = newFeed();
  const whole = `POST ${path}?o=0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 12\r\n\r\nabcdefghijk\n`;
  for (let cut = 1; cut < whole.length; cut += 3) {
    await exchangeRaw(gateway.ports.http, whole.slice(0, cut), { end: true });
    assert.equal((await send('', '', {}, 'GET')).values['next'], '0', `cut at ${cut}`);
  }
  for (let cut = 1; cut < whole.length; cut += 40) assert.match(await exchangeRaw(gateway.ports.http, [whole.slice(0, cut), whole.slice(cut)]), /next=12\n/);
});

test('many devices at once share commits, each with its own order', async () => {
  const feeds = Array.from({ length: 40 }, () => newFeed());
  await Promise.all(
    feeds.map(async ({ send }, i) => {
      let next = 0;
      for (let batch = 0; batch < 10; batch++) {
        const bytes = `device ${i} batch ${batch}\n`;
        // Some are told to come again while very many strangers appear at once.
        const said = await until('an answer', async () => {
          const tried = await send(`?o=${next}`, bytes);
          return tried.status === 503 || tried.status === 429 ? null : tried;
        });
        assert.equal(said.status, 200, JSON.stringify(said.values));
        next = Number(said.values['next']);
      }
      assert.equal(next, Array.from({ length: 10 }, (_, batch) => `device ${i} batch ${batch}\n`).join('').length);
    }),
  );
});

test('who is not known, where strangers are refused; who shows a key on plain http', async () => {
  await using strict = await startGateway({ config: { strangers: [{ policy: 'refuse' }] } });
  const ask = async (headers: Record<string, string>, path = `/v1/default/push/SN1/cdr/${epoch()}?o=0`) => {
    const answer = await request(strict.ports.http, { method: 'POST', path, headers: { host: 'localhost', ...headers }, body: 'x' });
    return `${answer.status} ${parseLines(answer.body.toString()).get('error')}`;
  };
  assert.equal(await ask({}), '403 unknown');
  assert.equal(await ask({ 'x-postern-key': 'k' }), '403 unknown');
  assert.equal(await ask({}, `/v1/nobody/push/SN1/cdr/${epoch()}?o=0`), '404 not-found');
  assert.equal(await ask({}, '/v1/default/dance/SN1'), '404 not-found');
  assert.equal(await ask({}, '/v1/default/push/%ff/cdr/0123456789abcdef'), '400 bad-input');
  assert.equal(await ask({}, '/v1/'), '404 not-found');
  const plain = await request(gateway.ports.http, { method: 'POST', path: newFeed().path, headers: { host: 'localhost', 'x-postern-key': 'pdk_0123456789012345678901234567890123456789' }, body: 'x' });
  assert.match(plain.body.toString(), /error=plain-key/);
  await finishesCleanly(strict);
});

test('a store that is full says so, and takes the same batch later', async () => {
  const { send } = newFeed();
  assert.equal(shown(await send('?o=0', Buffer.alloc(3_000_000, 10))), '200  next=3000000');
  assert.equal(shown(await send('?o=3000000', Buffer.alloc(2_900_000, 10))), '200  next=5900000');
  const full = await send('?o=5900000', Buffer.alloc(200_000, 10));
  assert.deepEqual([shown(full), Number(full.values['retry']) > 0, full.headers['retry-after']], ['403 waiting next=5900000', true, '3600']);
  assert.equal(shown(await send('?o=5900000', 'small enough\n')), '200  next=5900013');
});

test('bodies of all devices together are bounded; what is over that is told to come again', async () => {
  await using small = await startGateway({ config: { strangers: [{ policy: 'quarantine' }] }, limits: { bodiesHeldBytesMax: 100_000 } });
  const path = (serial: string) => `/v1/default/push/${serial}/cdr/${epoch()}?o=0`;
  // Holds its part until it goes on.
  const slow = connect(small.ports.http, '127.0.0.1');
  let said = '';
  slow.on('data', (piece) => void (said += piece.toString()));
  slow.write(`POST ${path('SLOW')} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 80001\r\n\r\n${'x'.repeat(80_000)}`);
  const ask = (bytes: number) => request(small.ports.http, { method: 'POST', path: path('OTHER'), headers: { host: 'localhost' }, body: Buffer.alloc(bytes, 10) });
  const refused = await until('the slow one to be held', async () => {
    const answer = await ask(50_000);
    return answer.status === 503 ? answer : null;
  });
  assert.match(refused.body.toString(), /error=busy[^]*retry=5/);
  assert.equal((await ask(10_000)).status, 200);
  slow.write('\n');
  await until('the slow one to be answered', () => said.includes('next=80001'));
  assert.equal((await ask(50_000)).status, 200);
  slow.destroy();
  await finishesCleanly(small);
});
