// Our agent's delivery through rules that change under it, a server that dies and comes back, and a loop: the union of what all gateways have is what it had.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { openFieldRoom } from '../kit/field-room.ts';
import { startGateway, temporaryFolder, until, type TestGateway } from '../kit/gateway.ts';
import { memoryBuffer } from '../kit/memory-buffer.ts';
import { knowDevice, storedRanges } from '../kit/raw-device.ts';

const key = 'pdk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG';
const baseOf = (gateway: TestGateway) => `http://127.0.0.1:${gateway.ports.http}/v1`;
const server = (name: string, base: string) => ({ name, base, pins: [], weight: 1, drain: 'no' });
const rule = (servers: readonly string[], more: object = {}) => ({ name: 'all', strategy: 'first', servers, ttlSeconds: 30, status: 307, ...more });

async function configure(gateway: TestGateway, sections: object): Promise<void> {
  const { token } = await gateway.owner();
  const { json } = await gateway.api('GET', '/config', { token });
  const done = await gateway.api('PUT', '/config', { token, headers: { 'if-match': `"${json['revision'] as number}"` }, body: { ...(json['config'] as object), ...sections } });
  assert.equal(done.status, 200, done.text);
}

/** What several gateways have of an epoch, each byte at one of them. */
function together(gateways: readonly { readonly dataDir: string }[], epoch: string): Buffer {
  const ranges = gateways.flatMap((gateway, at) => storedRanges(gateway, 'SN1', epoch).ranges.map((range) => ({ ...range, at }))).sort((a, b) => a.from - b.from);
  let reached = 0;
  for (const { from, bytes, at } of ranges) {
    assert.equal(from, reached, `${from < reached ? 'twice' : 'missing'}: ${reached} to ${from}, before gateway ${at}`);
    reached += bytes.length;
  }
  return Buffer.concat(ranges.map(({ bytes }) => bytes));
}

test('rules that change again and again while data comes', async () => {
  await using a = await startGateway();
  await using b = await startGateway();
  await using c = await startGateway();
  for (const each of [a, b, c]) knowDevice(each, 'SN1', key);
  await using room = openFieldRoom({ factor: 40 });
  const destination = await room.destination({ bases: [`${baseOf(a)}/default`], serial: 'SN1', identity: 'sign' }, { keyText: key });
  const buffer = memoryBuffer('cdr', ['main']);
  const sent: Buffer[] = [];
  room.deliver(destination, [buffer]);
  const servers = [server('b', baseOf(b)), server('c', baseOf(c))];
  const rules = [rule(['b']), rule(['b', 'here'], { strategy: 'round-robin' }), rule(['c']), null, rule(['b', 'c', 'here'], { strategy: 'least-loaded' }), rule(['c', 'b'])];
  for (const [step, each] of rules.entries()) {
    await configure(a, { servers, redirects: each === null ? [] : [each] });
    sent.push(randomBytes(60_000 + step * 1_000));
    buffer.append(sent.at(-1)!);
    await until(`step ${step}`, () => buffer.position('main') === buffer.next);
    const over = room.clock.monoMs() + 31_000;
    await until('the lease to end', () => room.clock.monoMs() > over);
  }
  assert.ok(together([a, b, c], buffer.epoch).equals(Buffer.concat(sent)));
  assert.deepEqual(buffer.restarts, [], 'it never had to begin anew');
  assert.ok([b, c].every((each) => storedRanges(each, 'SN1', buffer.epoch).ranges.length > 0));
});

test('the server dies while it holds the lease: home at once, and there again when it is back', async () => {
  using folder = temporaryFolder();
  const dataDir = `${folder.path}/b`;
  let b = await startGateway({ dataDir });
  const port = b.ports.http;
  await using a = await startGateway({ config: { servers: [server('b', baseOf(b))], redirects: [rule(['b'], { ttlSeconds: 3_600 })] } });
  for (const each of [a, b]) knowDevice(each, 'SN1', key);
  await using room = openFieldRoom({ factor: 40 });
  const destination = await room.destination({ bases: [`${baseOf(a)}/default`], serial: 'SN1', identity: 'sign' }, { keyText: key });
  const buffer = memoryBuffer('cdr', ['main']);
  const sent: Buffer[] = [];
  const bring = async (what: string) => {
    sent.push(randomBytes(40_000));
    buffer.append(sent.at(-1)!);
    await until(what, () => buffer.position('main') === buffer.next);
  };
  room.deliver(destination, [buffer]);
  try {
    await bring('the first at b');
    assert.equal(storedRanges(a, 'SN1', buffer.epoch).ranges.length, 0);
    await b.close();
    await bring('the second at home');
    assert.ok(storedRanges(a, 'SN1', buffer.epoch).ranges.length > 0);
    assert.equal(a.tables.leases.size, 0, 'its lease at the dead server is over');
    b = await startGateway({ dataDir, httpPort: port });
    knowDevice(b, 'SN1', key);
    await configure(a, { servers: [server('again', baseOf(b))], redirects: [rule(['again'])] });
    await bring('the third');
    assert.ok(together([a, b], buffer.epoch).equals(Buffer.concat(sent)));
  } finally {
    await b.close();
  }
});

test('two gateways that send to each other take the data all the same', async () => {
  await using a = await startGateway();
  await using b = await startGateway();
  for (const each of [a, b]) knowDevice(each, 'SN1', key);
  await configure(a, { servers: [server('b', baseOf(b))], redirects: [rule(['b'])] });
  await configure(b, { servers: [server('a', baseOf(a))], redirects: [rule(['a'])] });
  await using room = openFieldRoom({ factor: 40 });
  const destination = await room.destination({ bases: [`${baseOf(a)}/default`], serial: 'SN1', identity: 'sign' }, { keyText: key });
  const buffer = memoryBuffer('cdr', ['main']);
  const data = randomBytes(700_000);
  buffer.append(data);
  room.deliver(destination, [buffer]);
  await until('all of it', () => buffer.position('main') === buffer.next);
  assert.ok(together([a, b], buffer.epoch).equals(data));
});
