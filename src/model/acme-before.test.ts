import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeAddresses, judgeAnswers, judgeAuthority, judgeCaa, type CaaSeen } from './acme-before.ts';

const minuteMs = 60_000;

test('the authority and the clock', () => {
  const judge = (aheadMs: number | null, error: string | null = null) => judgeAuthority({ authority: 'ca.example.test', aheadMs, error });
  assert.deepEqual([null, 0, -4 * minuteMs, 5 * minuteMs, -90 * minuteMs].map((ahead) => judge(ahead).status), ['ok', 'ok', 'ok', 'warning', 'failure']);
  assert.match(judge(-90 * minuteMs).verdict, /wrong by 90 minutes/);
  assert.equal(judge(null, 'ca.example.test cannot be reached').status, 'failure');
});

test('addresses: none, inside only, some inside, and where it does not matter', () => {
  const seen = (...addresses: string[]) => [{ name: 'a.example.test', addresses, error: null }];
  const status = (addresses: string[], challenge: 'http-01' | 'dns-01' = 'http-01', isPrivate = false) => judgeAddresses(seen(...addresses), challenge, isPrivate).status;
  assert.equal(status(['198.51.100.7']), 'ok');
  assert.equal(status([]), 'failure');
  assert.equal(status(['192.168.1.7', 'fd00::7']), 'failure');
  assert.equal(status(['198.51.100.7', 'fe80::7']), 'warning');
  assert.equal(status(['10.0.0.7'], 'http-01', true), 'ok', 'an authority of the site sees what is inside');
  assert.equal(status([], 'dns-01'), 'ok');
  assert.match(judgeAddresses([{ name: 'a.example.test', addresses: [], error: 'SERVFAIL' }], 'http-01', false).verdict, /cannot be looked up: SERVFAIL/);
});

test('who answers when we look ourselves', () => {
  const seen = (found: 'ours' | 'other' | 'silent') => ({ name: 'a.example.test', address: '198.51.100.7', found, detail: 'status 404' });
  assert.deepEqual([judgeAnswers([seen('ours')], 'http-01', 80), judgeAnswers([seen('ours'), seen('silent')], 'http-01', 80), judgeAnswers([seen('silent'), seen('other')], 'tls-alpn-01', 443), judgeAnswers([], 'http-01', 80)].map(({ status }) => status), ['ok', 'warning', 'failure', 'skipped']);
  assert.match(judgeAnswers([seen('other')], 'http-01', 80).remedy!, /\/\.well-known\/acme-challenge\//);
  assert.match(judgeAnswers([seen('other')], 'tls-alpn-01', 443).remedy!, /acme-tls\/1/);
});

test('CAA: issue, issuewild, critical, and authorities that do not say who they are', () => {
  const seen = (name: string, ...records: [tag: string, value: string, critical?: boolean][]): CaaSeen => ({ name, at: 'example.test', records: records.map(([tag, value, critical = false]) => ({ tag, value, critical })), error: null });
  const status = (one: CaaSeen, identities: string[] | null = ['ca.example.test']) => judgeCaa([one], identities).status;
  assert.equal(status(seen('a.example.test')), 'ok');
  assert.equal(status(seen('a.example.test', ['issue', 'ca.example.test; validationmethods=dns-01'])), 'ok');
  assert.equal(status(seen('a.example.test', ['issue', 'other.example.test'])), 'failure');
  assert.equal(status(seen('a.example.test', ['issue', ';'])), 'failure', 'nobody at all');
  assert.equal(status(seen('a.example.test', ['iodef', 'mailto:admin@example.test'])), 'ok');
  assert.equal(status(seen('*.example.test', ['issue', 'ca.example.test'], ['issuewild', 'other.example.test'])), 'failure');
  assert.equal(status(seen('*.example.test', ['issue', 'ca.example.test'])), 'ok', 'without issuewild, issue counts');
  assert.equal(status(seen('a.example.test', ['issuewild', 'other.example.test'])), 'ok', 'issuewild is for wildcards');
  assert.equal(status(seen('a.example.test', ['tbs', 'unknown', true])), 'failure');
  assert.equal(status(seen('a.example.test', ['issue', 'other.example.test']), null), 'warning');
  assert.match(judgeCaa([seen('a.example.test', ['issue', 'other.example.test'])], ['ca.example.test']).remedy!, /example\.test CAA 0 issue "ca\.example\.test"/);
  assert.equal(judgeCaa([{ name: 'a.example.test', records: [], at: '', error: 'SERVFAIL' }], null).status, 'failure');
});
