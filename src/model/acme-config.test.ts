import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstConfig, parseConfig } from './config.ts';
import { compile } from './snapshot.ts';

const plain = firstConfig({ domain: 'gw.example.test', httpPort: 80, httpsPort: 443 });

function problemsOf(acme: unknown): string[] {
  const parsed = parseConfig({ ...plain, acme });
  const compiled = 'config' in parsed ? compile(parsed.config, 1) : parsed;
  return 'problems' in compiled ? compiled.problems.map(({ path, message }) => `${path}: ${message}`) : [];
}

test('a configuration without a word of ACME stays one', () => {
  const parsed = parseConfig(plain);
  assert.ok('config' in parsed && parsed.config.acme === undefined && 'snapshot' in compile(parsed.config, 1));
});

test('ACME in the configuration: what holds together, and what does not', () => {
  assert.deepEqual(problemsOf({}), []);
  assert.deepEqual(problemsOf({ contact: 'admin@example.test', termsAgreed: true, onDemand: true, challenge: 'dns-01', dns: { way: 'rfc2136', keyName: 'acme-key' } }), []);
  assert.match(problemsOf({ onDemand: true })[0]!, /^acme\.termsAgreed: read the terms/);
  assert.match(problemsOf({ directory: 'ftp://ca.example.test' })[0]!, /^acme\.directory: /);
  assert.match(problemsOf({ challenge: 'dns-01' })[0]!, /^acme\.dns: dns-01 needs to know how records are made/);
  assert.match(problemsOf({ challenge: 'dns-01', dns: { way: 'rfc2136', keyName: 'acme-key', secret: 'x' } })[0]!, /^acme\.dns: dns: "secret" means nothing/);
  assert.match(problemsOf({ challenge: 'mail-01' })[0]!, /^acme\.challenge/);
  assert.match(problemsOf({ contact: 'nobody' })[0]!, /^acme\.contact: is not a mail address/);
  assert.match(problemsOf({ key: 'x' })[0]!, /^acme/);
});
