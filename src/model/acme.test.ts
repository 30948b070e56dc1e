import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { certificateRow } from '../../test/kit/certificate-rows.ts';
import { backOffMs, checkOrder, differsFromOrder, dueAt, namesOf, parseDirectory, parseDnsKey, parseDnsWay, renewalAt } from './acme.ts';
import type { AcmeSettings } from './rows.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const update = { way: 'rfc2136', server: '192.0.2.53', keyName: 'Acme-Key.' };
const acme: AcmeSettings = { directoryUrl: 'https://ca.example.test/dir', names: { dns: ['a.example.test'], ip: [] }, keyKind: 'ec-p256', challenge: 'http-01', dns: null };
const refusedWith = (pattern: RegExp, remedy = /(?:)/) => (thrown: unknown) => isFault(thrown, 'bad-input') && pattern.test(thrown.message) && remedy.test(thrown.remedy ?? '');

test('settings for DNS: canonical, complete, and without secrets', () => {
  assert.deepEqual(parseDnsWay(update), { way: 'rfc2136', server: '192.0.2.53', zone: null, keyName: 'acme-key', transport: 'udp', resolver: null, check: [] });
  assert.deepEqual(parseDnsWay({ ...update, zone: 'Example.TEST.', transport: 'tcp', check: '192.0.2.1, 192.0.2.2:5353' }), { way: 'rfc2136', server: '192.0.2.53', zone: 'example.test', keyName: 'acme-key', transport: 'tcp', resolver: null, check: ['192.0.2.1', '192.0.2.2:5353'] });
  assert.deepEqual(parseDnsWay({ way: 'command', command: 'records.sh' }), { way: 'command', command: 'records.sh', resolver: null, check: [] });
  assert.throws(() => parseDnsWay(null), refusedWith(/"dns" is missing/));
  assert.throws(() => parseDnsWay({ way: 'magic' }), refusedWith(/not "magic"/));
  assert.throws(() => parseDnsWay({ ...update, secret: 'aGVsbG8gaGVsbG8gaGVsbG8=' }), (thrown) => refusedWith(/"secret" means nothing/, /kept apart/)(thrown) && !String((thrown as Error).message).includes('aGVsbG8'));
  assert.throws(() => parseDnsWay({ way: 'rfc2136' }), refusedWith(/no name of a TSIG key/));
  assert.throws(() => parseDnsWay({ ...update, transport: 'sctp' }), refusedWith(/udp or tcp/));
  for (const command of ['../records', '/bin/sh', 'a b', '.hidden', '', 'a;b']) assert.throws(() => parseDnsWay({ way: 'command', command }), refusedWith(/without a path/), command);
});

test('TSIG keys: algorithm and length, and the secret in no message', () => {
  const secret = Buffer.alloc(32, 1).toString('base64');
  assert.deepEqual(parseDnsKey({ name: 'Acme.', algorithm: 'HMAC-SHA256', secret: ` ${secret}\n` }), { name: 'acme', algorithm: 'hmac-sha256', secret });
  assert.throws(() => parseDnsKey({ name: 'acme', algorithm: 'hmac-md5', secret }), refusedWith(/one of hmac-sha256/));
  for (const bad of ['not base64 at all!', Buffer.alloc(15).toString('base64')]) assert.throws(() => parseDnsKey({ name: 'acme', algorithm: 'hmac-sha256', secret: bad }), (thrown) => refusedWith(/at least 16 bytes/, /tsig-keygen/)(thrown) && !(thrown as Error).message.includes(bad));
});

test('directories: by name, by https address, and nothing else', () => {
  assert.equal(parseDirectory('lets-encrypt-staging'), 'https://acme-staging-v02.api.letsencrypt.org/directory');
  assert.equal(parseDirectory('https://ca.example.test/dir'), 'https://ca.example.test/dir');
  for (const bad of ['http://ca.example.test/dir', 'https://user:secret@ca.example.test/dir', 'letsencrypt', '']) assert.throws(() => parseDirectory(bad), refusedWith(/ACME directory/), bad);
});

test('which names can be had in which way', () => {
  const order = (names: string[], challenge: AcmeSettings['challenge'], dns: AcmeSettings['dns'] = null) => () => checkOrder({ names: namesOf(names), challenge, dns });
  order(['a.example.test', '192.0.2.1', '2001:db8::1'], 'http-01')();
  order(['*.example.test', 'example.test'], 'dns-01', update)();
  assert.throws(order(['a.example.test', '*.example.test'], 'http-01'), refusedWith(/\*\.example\.test can only be had by dns-01/, /Choose dns-01/));
  assert.throws(order(['*.example.test'], 'tls-alpn-01'), refusedWith(/only be had by dns-01/));
  assert.throws(order(['192.0.2.1'], 'dns-01', update), refusedWith(/is an address/));
  assert.throws(order(['printer'], 'http-01'), refusedWith(/without a dot/, /private CA/));
  assert.throws(order([], 'http-01'), refusedWith(/at least one name/));
  assert.throws(order(['a.example.test'], 'dns-01'), refusedWith(/"dns" is missing/));
  assert.throws(order(['a_b..example.test'], 'http-01'), refusedWith(/not a host name/));
  assert.deepEqual(namesOf(['B.Example.Test.', 'b.example.test', '2001:DB8:0::1']), { dns: ['b.example.test'], ip: ['2001:db8::1'] });
});

test('renewal: shortly before two thirds of the life, spread, and always the same for one certificate', () => {
  const row = { notBefore: 0, notAfter: 90 * dayMs, certificateFingerprint: 'ffffff00' };
  assert.equal(renewalAt(row), 57 * dayMs);
  assert.equal(renewalAt({ ...row, certificateFingerprint: '000000ff' }), 58.5 * dayMs);
  // Of one that lives six days as well as of one of ninety.
  assert.equal(renewalAt({ ...row, notAfter: 6 * dayMs, certificateFingerprint: '00' }), 3.9 * dayMs);
});

test('when an order is due: at once, at its time, or after a growing wait', () => {
  const ready = certificateRow({ source: 'acme', acme, keyKind: 'ec-p256', names: acme.names, notBefore: 0, notAfter: 90 * dayMs, certificateFingerprint: '0'.repeat(64) });
  assert.equal(dueAt(ready, undefined), 58.5 * dayMs);
  assert.equal(dueAt({ ...ready, state: 'waiting', createdAt: 5 }, undefined), 5);
  const failed = { ...ready, lastError: 'no', lastTriedAt: 61 * dayMs };
  const tries = (failures: number, notBefore = 0) => ({ failures, notBefore, fraction: 0.5 });
  assert.deepEqual([1, 2, 3, 6, 50].map((n) => (dueAt(failed, tries(n)) - 61 * dayMs) / hourMs), [1, 2, 4, 24, 24]);
  assert.equal(dueAt(failed, undefined), 61 * dayMs + hourMs, 'a process that has just started');
  assert.equal(dueAt(failed, tries(1, 70 * dayMs)), 70 * dayMs, 'the authority asked to wait');
  assert.deepEqual([0, 1].map((fraction) => Math.round(backOffMs(1, fraction) / 60_000)), [54, 66]);
});

test('an order that asks for more than there is, and names that the authority added', () => {
  const row = certificateRow({ source: 'acme', acme, keyKind: 'ec-p256', names: acme.names });
  assert.equal(differsFromOrder(row), false);
  assert.equal(differsFromOrder({ ...row, names: { dns: ['a.example.test', 'www.a.example.test'], ip: [] } }), false);
  assert.equal(differsFromOrder({ ...row, names: { dns: ['b.example.test'], ip: [] } }), true);
  assert.equal(differsFromOrder({ ...row, keyKind: 'rsa-2048' }), true);
});
