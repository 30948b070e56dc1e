// The owner's file: what is right is understood, and whatever is wrong is named with its place.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { parseListenAddress } from './source-address.ts';
import { parseFeedsSettings } from './settings.ts';

const good = {
  serial: 'SN123',
  destinations: [{ name: 'home', base: 'https://gw.example.test:8443/' }],
  feeds: [{ name: 'cdr', source: { kind: 'tcp-listen', listen: '0.0.0.0:5025' }, destinations: ['home'] }],
};

function problemsOf(change: Record<string, unknown>): string {
  try {
    parseFeedsSettings(JSON.stringify({ ...good, ...change }), '/etc/postern/feeds.json');
  } catch (thrown) {
    assert.ok(isFault(thrown, 'bad-input'), String(thrown));
    return thrown.message;
  }
  return '';
}
const feed = (change: Record<string, unknown>) => problemsOf({ feeds: [{ ...good.feeds[0], ...change }] });
const source = (change: Record<string, unknown>) => feed({ source: change });

test('what is not said has its default; paths are relative to the file', () => {
  const { destinations, feeds } = parseFeedsSettings(JSON.stringify(good), '/etc/postern/feeds.json');
  assert.deepEqual(destinations, [{ name: 'home', kind: 'http', customer: 'default', serial: 'SN123', bases: ['https://gw.example.test:8443/v1/default'], identity: 'certificate', keyFile: null, pins: [], caFile: null, proxy: null }]);
  assert.deepEqual(feeds[0]!.source, { kind: 'tcp-listen', listen: { host: '0.0.0.0', port: 5025 }, from: [], clientsMax: 16, silenceMs: 0, sourceAddress: false });
  assert.deepEqual(feeds[0]!.framing, { kind: 'lines', end: 'any', keepEmpty: false });
  assert.equal(feeds[0]!.buffer.bytesMax, 256 * 1024 * 1024);
  const keyed = parseFeedsSettings(JSON.stringify({ ...good, customer: 'acme', destinations: [{ name: 'home', base: ['http://192.0.2.1', 'https://gw.example.test/v1/other/'], keyFile: 'device.key', caFile: '/etc/ca.pem' }] }), '/etc/postern/feeds.json');
  assert.deepEqual(keyed.destinations[0], { name: 'home', kind: 'http', customer: 'acme', serial: 'SN123', bases: ['http://192.0.2.1/v1/acme', 'https://gw.example.test/v1/other'], identity: 'sign', keyFile: '/etc/postern/device.key', pins: [], caFile: '/etc/ca.pem', proxy: null });
});

test('the example of the documentation is understood', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/operate/feeds.md'), 'utf8');
  const examples = [...page.matchAll(/^```json feeds\n([\s\S]*?)^```$/gm)].map(([, text]) => text!);
  assert.ok(examples.length > 0);
  const kinds = examples.flatMap((text) => parseFeedsSettings(text, '/etc/postern/feeds.json').feeds.map((one) => one.source?.kind));
  for (const kind of ['tcp-listen', 'tcp-connect', 'serial', 'file', 'syslog', 'http-poll'] as const) assert.ok(kinds.includes(kind), kind);
});

test('every problem is named with its place, all of them at once', () => {
  assert.match(problemsOf({ feds: [] }), /\n {2}feds: is not known here; known are customer, destinations, feeds, serial/);
  const many = feed({ name: 'CDR', source: { kind: 'serial', device: 'COM1', speed: 9601, bits: 9 }, destinations: ['away'], urgent: ['(a'] });
  for (const place of ['feeds[0].name: "CDR" is not', 'feeds[0].source.device: "COM1" is not', 'feeds[0].source.speed: 9601 is not known', 'feeds[0].source.bits: 9', 'feeds[0].urgent[0]: ', 'feeds[0].destinations[0]: there is no destination "away"']) {
    assert.ok(many.includes(`\n  ${place}`), `${place} in ${many}`);
  }
  assert.match(problemsOf({ serial: 'x'.repeat(129) }), /serial: is longer than 128 bytes/);
  assert.match(problemsOf({ serial: undefined }), /destinations\[0\]\.serial: is missing/);
  assert.match(problemsOf({ destinations: [{ name: 'home', base: 'gw.example.test' }] }), /destinations\[0\]\.base\[0\]/);
  assert.match(problemsOf({ destinations: [{ name: 'home', base: 'http://gw.example.test', keyFile: 'k', identity: 'key' }] }), /identity: "key" would be read by everybody/);
  assert.match(problemsOf({ destinations: [{ name: 'home', base: 'https://gw.example.test', identity: 'sign' }] }), /keyFile: is missing/);
  assert.match(problemsOf({ destinations: [{ name: 'home', base: 'https://gw.example.test', pins: ['sha256//short'] }] }), /pins\[0\]/);
  assert.match(problemsOf({ destinations: [{ name: 'home', base: 'https://gw.example.test', proxy: { url: 'http://me:secret@192.0.2.8:3128' } }] }), /proxy\.url/);
  assert.match(problemsOf({ destinations: [good.destinations[0], good.destinations[0]] }), /destinations\[1\]\.name: "home" is there already/);
});

test('what does not go together is refused', () => {
  assert.match(source({ kind: 'tcp-listen', listen: '5025' }), /source\.listen: "5025" is not an address and a port/);
  assert.match(source({ kind: 'tcp-listen', listen: '0.0.0.0:1', from: ['192.0.2.1/24'] }), /source\.from\[0\]/);
  assert.match(source({ kind: 'file', path: 'relative.log' }), /source\.path/);
  assert.match(source({ kind: 'file', path: '/var/*/app.log' }), /source\.path/);
  assert.match(source({ kind: 'http-poll', url: 'https://me:secret@192.0.2.9/' }), /source\.url: has a name or password in it/);
  assert.match(source({ kind: 'modem' }), /source\.kind: "modem" is not known; one of "tcp-listen"/);
  assert.match(feed({ framing: 'idle:5' }), /framing: "idle:5" is not known/);
  assert.match(feed({ framing: 'fixed:80', lineEnd: 'cr' }), /framing: is not "lines"/);
  assert.match(feed({ source: { kind: 'file', path: '/var/log/a' }, framing: 'idle:500' }), /framing: a file has no pauses/);
  assert.match(feed({ source: { kind: 'syslog', listen: '0.0.0.0:514' }, framing: 'lines' }), /framing: syslog gives whole records/);
  assert.match(feed({ source: { kind: 'syslog', listen: '0.0.0.0:514' }, format: 'raw' }), /format: syslog gives records, not bytes/);
  assert.match(feed({ format: 'raw' }), /clientsMax: has to be 1/);
  assert.match(feed({ source: undefined }), /feeds\[0\]\.source: is missing, and no split rule/);
  assert.match(feed({ split: [{ pattern: 'x', feed: 'none' }] }), /split\[0\]\.feed: there is no feed "none"/);
  assert.match(feed({ split: [{ pattern: 'x', feed: 'cdr' }] }), /"cdr" has a source of its own/);
  assert.match(feed({ buffer: { megabytesMax: 1, segmentKilobytes: 1024 } }), /buffer\.segmentKilobytes: two segments/);
});

test('what is no JSON says where, and comments keep the places', () => {
  const placeOf = (text: string) => {
    try {
      parseFeedsSettings(text, 'feeds.json');
    } catch (thrown) {
      assert.ok(isFault(thrown, 'bad-input'), String(thrown));
      return /is no JSON: line (\d+), column (\d+)/.exec(thrown.message)?.slice(1).join(':');
    }
    return undefined;
  };
  assert.equal(placeOf('{\n  // a comment with "quotes" {\n  "feeds": [,]\n}'), '3:13');
  for (const [text, place] of [['', '1:1'], ['{"a":1,}', '1:8'], ['{"a" 1}', '1:6'], ['[1 2]', '1:4'], ['{"a":[1}', '1:8'], ['{"a":1', '1:7'], ['{"a":"pass\nword"}', '1:6'], ['{"a":tru}', '1:6'], ['{} x', '1:4'], ['{a:1}', '1:2'], ['{"a":1}}', '1:8'], ['[01]', '1:2']] as const) assert.equal(placeOf(text), place, text);
  assert.equal(parseFeedsSettings(`// here it begins\n${JSON.stringify(good, null, 1)}\n  // and ends\n`, 'feeds.json').feeds.length, 1);
});

test('no mangled file does anything but say so, seed 5', () => {
  const text = JSON.stringify(good);
  let seed = 5;
  const next = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  for (let run = 0; run < 2_000; run++) {
    const bytes = Buffer.from(text);
    for (let flips = 1 + next(3); flips > 0; flips--) bytes[next(bytes.length)] = 32 + next(95);
    try {
      parseFeedsSettings(bytes.subarray(0, next(4) === 0 ? next(bytes.length) : bytes.length).toString(), 'feeds.json');
    } catch (thrown) {
      assert.ok(isFault(thrown, 'bad-input'), String(thrown));
    }
  }
});

test('addresses with ports', () => {
  assert.deepEqual(parseListenAddress('[2001:db8::7]:2300'), { host: '2001:db8::7', port: 2300 });
  assert.deepEqual(parseListenAddress('pbx.example.test:23'), { host: 'pbx.example.test', port: 23 });
  for (const text of ['', ':1', '192.0.2.1', '192.0.2.256:1', '192.0.2.1:65536', '2001:db8::7:2300', '[192.0.2.1]:1', 'a b:1', 'host:-1']) assert.equal(parseListenAddress(text), null, text);
});
