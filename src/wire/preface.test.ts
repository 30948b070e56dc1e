import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '#base/fault.ts';
import type { FaultCode } from '#base/fault.ts';
import { seeded } from '../../test/sim/line.ts';
import { encodePreface, encodePrefaceAnswer, parsePreface, parsePrefaceAnswer } from './preface.ts';

const full = { kind: 'tcp', target: '[2001:db8::1]:443', client: '198.51.100.7', visit: '0192', deadlineMs: 5_000 } as const;

const carried = {
  kind: 'service', target: 'door', from: { address: '192.0.2.9', port: 49_152 }, at: { address: '2001:db8::5', port: 8443 }, mac: '02:00:5e:10:00:01', door: '0192f0c1',
} as const;

/** A preface of raw fields. */
function raw(...fields: [type: number, value: string | Buffer][]): Buffer {
  const body = Buffer.concat(
    fields.map(([type, value]) => {
      const bytes = Buffer.from(value as string);
      return Buffer.concat([Buffer.from([type, bytes.length >> 8, bytes.length & 255]), bytes]);
    }),
  );
  return Buffer.concat([Buffer.from([0x50, 1, body.length >> 8, body.length & 255]), body]);
}

test('the bytes of the specification', () => {
  assert.equal(encodePreface({ kind: 'tcp', target: 'a:1' }).toString('hex'), '5001000c010003746370020003613a31');
  assert.equal(encodePrefaceAnswer({ code: 2, text: 'no' }).toString('hex'), '700200026e6f');
});

test('round trip at every split point, with data behind', () => {
  const bytes = Buffer.concat([encodePreface(full), Buffer.from('data')]);
  for (let cut = 0; cut < bytes.length - 4; cut++) assert.equal(parsePreface(bytes.subarray(0, cut), 4096), undefined);
  assert.deepEqual(parsePreface(bytes, 4096), { preface: full, bytes: bytes.length - 4 });
  const answer = encodePrefaceAnswer({ code: 1, text: 'add: reach tcp 192.0.2.1 80' });
  for (let cut = 0; cut < answer.length; cut++) assert.equal(parsePrefaceAnswer(answer.subarray(0, cut)), undefined);
  assert.deepEqual(parsePrefaceAnswer(answer), { answer: { code: 1, text: 'add: reach tcp 192.0.2.1 80' }, bytes: answer.length });
});

test('where a carried connection comes from, at every split point', () => {
  const bytes = encodePreface(carried);
  for (let cut = 0; cut < bytes.length; cut++) assert.equal(parsePreface(bytes.subarray(0, cut), 4096), undefined);
  assert.deepEqual(parsePreface(bytes, 4096), { preface: carried, bytes: bytes.length });
  const six = { ...carried, from: { address: '2001:db8::9', port: 1 }, at: { address: '192.0.2.1', port: 65_535 } };
  assert.deepEqual(parsePreface(encodePreface(six), 4096)?.preface, six);
  const { mac: _, ...without } = carried;
  assert.deepEqual(parsePreface(encodePreface(without), 4096)?.preface, without);
  const kind: [number, string][] = [[1, 'service'], [2, 'door']];
  assert.deepEqual(parsePreface(raw(...kind, [6, '[::ffff:192.0.2.9]:7']), 4096)?.preface.from, { address: '192.0.2.9', port: 7 });
  for (const place of ['printer.example.test:80', '192.0.2.9', '192.0.2.9:0', '192.0.2.9:65536', '192.0.2.999:80', '2001:db8::9:80', '[2001:db8::9]', '[192.0.2.9:80', '[fe80::1%eth0]:80', ':80', '']) {
    for (const type of [6, 7]) assert.throws(() => parsePreface(raw(...kind, [type, place]), 4096), (e) => e instanceof Fault && e.code === 'bad-input', place);
  }
  for (const mac of [Buffer.alloc(5), Buffer.alloc(7), Buffer.alloc(0)]) assert.throws(() => parsePreface(raw(...kind, [8, mac]), 4096), (e) => e instanceof Fault && e.code === 'bad-input');
  assert.throws(() => parsePreface(raw(...kind, [9, 'a\rb']), 4096), (e) => e instanceof Fault && e.code === 'bad-input');
});

test('fields below 128 may be unknown, others not', () => {
  const known: [number, string][] = [[1, 'tcp'], [2, 'a:1']];
  assert.equal(parsePreface(raw([77, 'later'], ...known), 4096)?.preface.target, 'a:1');
  assert.throws(() => parsePreface(raw(...known, [128, 'must']), 4096), (e) => e instanceof Fault && e.code === 'unsupported');
});

test('what is refused, and as what', () => {
  const bad: [string, Buffer, FaultCode][] = [
    ['another magic', Buffer.from('GET /'), 'bad-input'],
    ['another version', Buffer.from([0x50, 2, 0, 0]), 'unsupported'],
    ['endless', Buffer.from([0x50, 1, 0x10, 1]), 'bad-input'],
    ['an unknown kind', raw([1, 'sctp'], [2, 'a:1']), 'unsupported'],
    ['no kind', raw([2, 'a:1']), 'bad-input'],
    ['no target', raw([1, 'tcp']), 'bad-input'],
    ['an empty target', raw([1, 'tcp'], [2, '']), 'bad-input'],
    ['kind twice', raw([1, 'tcp'], [1, 'udp'], [2, 'a:1']), 'bad-input'],
    ['target twice', raw([1, 'tcp'], [2, 'b:1'], [2, 'a:1']), 'bad-input'],
    ['not UTF-8', raw([1, 'tcp'], [2, Buffer.from([0xc3, 0x28])]), 'bad-input'],
    ['a control character', raw([1, 'tcp'], [2, 'a\n:1']), 'bad-input'],
    ['a short deadline', raw([1, 'tcp'], [2, 'a:1'], [5, 'x']), 'bad-input'],
    ['a field cut short', Buffer.from([0x50, 1, 0, 2, 1, 0]), 'bad-input'],
    ['a field beyond the end', Buffer.from([0x50, 1, 0, 4, 1, 0, 9, 65]), 'bad-input'],
  ];
  for (const [name, bytes, code] of bad) assert.throws(() => parsePreface(bytes, 4096), (e) => e instanceof Fault && e.code === code, name);
});

test('an answer that is none', () => {
  assert.throws(() => parsePrefaceAnswer(Buffer.from('HTTP/1.1')), (e) => e instanceof Fault && e.code === 'protocol');
  assert.throws(() => parsePrefaceAnswer(Buffer.from([0x70, 0, 0xff, 0xff])), (e) => e instanceof Fault && e.code === 'protocol');
});

test('a long text is cut at a character', () => {
  const { answer } = parsePrefaceAnswer(encodePrefaceAnswer({ code: 9, text: 'ä'.repeat(600) }))!;
  assert.equal(answer.text, 'ä'.repeat(512));
});

test('any bytes: a Fault, a preface or more needed', () => {
  const random = seeded(9);
  for (let round = 0; round < 5_000; round++) {
    const bytes = encodePreface(round % 2 === 0 ? full : carried);
    for (let i = 0; i < 3; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    try {
      parsePreface(bytes.subarray(0, Math.floor(random() * bytes.length) + 1), 4096);
    } catch (error) {
      assert.ok(error instanceof Fault);
    }
  }
});
