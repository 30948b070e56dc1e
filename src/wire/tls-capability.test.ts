import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { capabilityOf, type Capability } from './tls-capability.ts';
import { sniffClientHello, type ClientHello } from './tls.ts';

const text = readFileSync(new URL('../../test/corpus/tls.md', import.meta.url), 'utf8');

function recorded(title: string): ClientHello {
  const section = text.split(/^## /m).find((part) => part.startsWith(`${title}\n`));
  const hello = sniffClientHello(Buffer.from(/```hex\n(.*?)```/s.exec(section!)![1]!.replace(/\s/g, ''), 'hex'));
  assert.equal(hello.kind, 'hello');
  return hello as ClientHello;
}

const modern: Capability = { tls13: true, tls12: true, modernCiphers: true, bestVersion: 0x0304, isFallback: false, needsLegacy: false };

test('recorded clients', () => {
  const expected: Record<string, Capability> = {
    Chromium: modern,
    'curl with OpenSSL': modern,
    'Wget with GnuTLS': modern,
    'OpenSSL 3.0 s_client, TLS 1.2 only, name in mixed case': { ...modern, tls13: false, bestVersion: 0x0303 },
    'OpenSSL 3.0 s_client, TLS 1.0': { tls13: false, tls12: false, modernCiphers: false, bestVersion: 0x0301, isFallback: false, needsLegacy: true },
    'OpenSSL 3.0 s_client, TLS 1.0, one suite, no name': { tls13: false, tls12: false, modernCiphers: false, bestVersion: 0x0301, isFallback: false, needsLegacy: true },
    'OpenSSL 3.0 s_client, TLS 1.2 without ECDHE': { tls13: false, tls12: true, modernCiphers: false, bestVersion: 0x0303, isFallback: false, needsLegacy: true },
    'OpenSSL 3.0 s_client that fell back to TLS 1.1': { tls13: false, tls12: false, modernCiphers: false, bestVersion: 0x0302, isFallback: true, needsLegacy: false },
  };
  for (const [title, capability] of Object.entries(expected)) assert.deepEqual(capabilityOf(recorded(title)), capability, title);
});

test('a version counts with a suite for it, a suite with a version and a group for it', () => {
  const groups = (...list: number[]) => Buffer.concat([Buffer.from([0, 2 * list.length]), ...list.map((group) => Buffer.from([group >> 8, group & 0xff]))]);
  const of = (versions: number[], suites: string, supported?: Buffer) =>
    capabilityOf({ kind: 'hello', serverName: null, alpn: [], versions, suites: Buffer.from(suites, 'hex'), extensions: new Map(supported ? [[10, supported]] : []) });
  const cases: [Capability, Partial<Capability>][] = [
    [of([0x0304, 0x0303], 'c02f'), { tls13: false, tls12: true, modernCiphers: true, bestVersion: 0x0304, needsLegacy: false }],
    [of([0x0304, 0x0303], '1301'), { tls13: true, tls12: false, needsLegacy: false }],
    [of([0x0303], '1301c013'), { tls13: false, tls12: true, modernCiphers: true, needsLegacy: true }],
    [of([0x0302], 'c02f'), { tls12: false, modernCiphers: true, needsLegacy: true }],
    [of([0x0303], 'c013009c'), { tls12: true, modernCiphers: false, needsLegacy: true }],
    [of([0x0303], '00ff5600'), { tls12: false, isFallback: true, needsLegacy: false }],
    [of([0x0303], 'c02f', groups(0x0018)), { needsLegacy: false }],
    [of([0x0303], 'c02f', groups(0x1a1a, 0x0009)), { needsLegacy: true }],
    [of([0x0304], '1301', groups(0x001d)), { needsLegacy: false }],
    [of([0x7f1c], '1301'), { tls13: false, bestVersion: null, needsLegacy: true }],
  ];
  for (const [index, [capability, expected]] of cases.entries()) {
    for (const [name, value] of Object.entries(expected)) assert.equal(capability[name as keyof Capability], value, `case ${index}, ${name}`);
  }
});
