// The examples believe what the gateway signs, and nothing else.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { buildAssertions, makeAssertionKey, readAssertionKey, secretAssertionKey, type AssertionFacts } from '#model/device-assertion.ts';

const here = import.meta.dirname;
const issuer = 'https://gw.example.test';
const facts: AssertionFacts = { route: 'scan', state: 'verified', by: 'certificate', device: { id: 'd1', name: 'Kopierer Süd', serial: 'ABC123' }, customer: 'acme', site: 'Office', address: '192.0.2.50', virtualAddress: null };
const minute = 60_000;

interface Case {
  readonly name: string;
  readonly header: string;
  readonly why: RegExp | null;
}

const broken = (text: string): string => text.replace(/\.([^.])/, (_, sign: string) => `.${sign === 'e' ? 'f' : 'e'}`);

function casesOf(key: Parameters<ReturnType<typeof buildAssertions>['assertionFor']>[0], stranger: typeof key, strangersWhy: RegExp): Case[] {
  const now = Date.now();
  const sign = (by: typeof key, change: Partial<AssertionFacts> = {}, atMs = now, from = issuer) => buildAssertions(() => from).assertionFor(by, { ...facts, ...change }, atMs);
  const [, claims, signature] = sign(key).split('.');
  const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'postern-identity+jwt', kid: key.kid })).toString('base64url');
  return [
    { name: 'good', header: sign(key), why: null },
    { name: 'empty', header: '', why: /no statement/ },
    { name: 'changed', header: broken(sign(key)), why: /signature/ },
    { name: 'alg none', header: `${none}.${claims}.${signature}`, why: /not a statement/ },
    { name: 'of a stranger', header: sign(stranger), why: strangersWhy },
    { name: 'for another route', header: sign(key, { route: 'print' }), why: /another application/ },
    { name: 'of another gateway', header: sign(key, {}, now, 'https://other.example.test'), why: /another gateway/ },
    { name: 'old', header: sign(key, {}, now - 10 * minute), why: /too old/ },
    { name: 'of tomorrow', header: sign(key, {}, now + 10 * minute), why: /future/ },
  ];
}

function check(command: string, args: readonly string[], cases: readonly Case[]): void {
  for (const { name, header, why } of cases) {
    const ran = spawnSync(command, args, { input: `${header}\n`, encoding: 'utf8' });
    if (why === null) {
      assert.equal(ran.status, 0, `${name}: ${ran.stderr}`);
      assert.equal((JSON.parse(ran.stdout) as { name: string }).name, 'Kopierer Süd');
    } else {
      assert.equal(ran.status, 1, `${name}: ${ran.stdout}${ran.stderr}`);
      assert.match(ran.stderr, why, name);
    }
  }
}

test('Node and the published key', () => {
  const dir = mkdtempSync(join(tmpdir(), 'postern-verify-'));
  try {
    const key = readAssertionKey(makeAssertionKey());
    writeFileSync(join(dir, 'keys.json'), key.jwks);
    const secret = secretAssertionKey(key.kid, Buffer.from(key.jwks));
    check(process.execPath, [join(here, 'verify.mjs'), join(dir, 'keys.json'), issuer, 'scan'], [
      ...casesOf(key, readAssertionKey(makeAssertionKey()), /not among the published/),
      // The public key taken for a secret: the classic confusion of the two algorithms.
      { name: 'HS256 with the public key', header: buildAssertions(() => issuer).assertionFor(secret, facts, Date.now()), why: /not a statement/ },
    ]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('Python and a shared secret', { skip: spawnSync('python3', ['--version']).status === 0 ? false : 'python3 is not installed' }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'postern-verify-'));
  try {
    const secret = '0123456789abcdef0123456789abcdef0123';
    writeFileSync(join(dir, 'secret'), `${secret}\n`);
    check('python3', [join(here, 'verify.py'), join(dir, 'secret'), issuer, 'scan'], casesOf(secretAssertionKey('scan-key', Buffer.from(secret)), secretAssertionKey('scan-key', Buffer.from(`${secret}4`)), /signature/));
  } finally {
    rmSync(dir, { recursive: true });
  }
});
