// The verdicts on a proof.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressSeen, judgeConnection, judgeProof, type ProofFound } from './proof.ts';

const found: ProofFound = { tell: 'headers', told: '192.0.2.50', other: '198.51.100.7', local: '203.0.113.1', nonce: 'n0nce', path: '/.postern-prove?postern-prove=n0nce', answer: { status: 204, seen: '192.0.2.50' }, cut: false };
const judge = (change: Partial<ProofFound>) => judgeProof({ ...found, ...change });
const saw = (seen: string | null, status = 204) => ({ answer: { status, seen } });

test('equal, whatever the status', () => {
  assert.equal(judge({}).verdict, 'equal');
  assert.equal(judge(saw('192.0.2.50', 404)).verdict, 'equal');
  assert.equal(judge(saw('192.0.2.50', 400)).verdict, 'equal');
});

test('different, and why', () => {
  const gateways = judge(saw('203.0.113.1'));
  assert.equal(gateways.verdict, 'different');
  assert.equal(gateways.cause, 'HP-3');
  assert.match(gateways.remedy, /X-Forwarded-For from 203\.0\.113\.1.*snippet/);
  assert.match(judge({ ...saw('203.0.113.1'), tell: 'virtual' }).remedy, /doctor/);
  assert.match(judge(saw('198.51.100.7')).text, /other address/);
  assert.equal(judge(saw('172.17.0.1')).cause, 'HP-5');
  assert.equal(judge(saw('172.31.0.1')).cause, 'HP-3');
  assert.equal(judge({ ...saw('192.168.9.9'), tell: 'virtual' }).cause, 'HP-12');
  assert.match(judge(saw('203.0.113.99')).remedy, /--gateway 203\.0\.113\.99/);
});

test('a server that does not tell: the line to look for', () => {
  const verdict = judge(saw(null, 200));
  assert.equal(verdict.verdict, 'untold');
  assert.match(verdict.remedy, /n0nce.*GET \/\.postern-prove\?postern-prove=n0nce.*192\.0\.2\.50/);
});

test('a server that does not take it', () => {
  assert.match(judge({ tell: 'proxy-v2', ...saw(null, 400) }).text, /does not expect a PROXY header of version 2/);
  assert.match(judge({ tell: 'proxy-v1', answer: null, cut: true }).text, /without an answer.*version 1/);
  assert.match(judge({ answer: null, cut: true }).remedy, /expects a PROXY header/);
  assert.match(judge({ answer: null, cut: false }).text, /in time/);
  assert.match(judge({ tell: 'virtual', answer: null, cut: false }).remedy, /route back/);
});

test('ports that speak something else', () => {
  assert.equal(judgeConnection({ tell: 'proxy-v1', told: '192.0.2.50', cut: false }).verdict, 'taken');
  assert.equal(judgeConnection({ tell: 'proxy-v1', told: '192.0.2.50', cut: true }).cause, 'HP-3');
  assert.equal(judgeConnection({ tell: 'virtual', told: '192.0.2.50', cut: true }).cause, null);
});

test('what servers write as an address', () => {
  assert.equal(addressSeen(' 192.0.2.50 '), '192.0.2.50');
  assert.equal(addressSeen('192.0.2.50:4711'), '192.0.2.50');
  assert.equal(addressSeen('[2001:DB8::1]:4711'), '2001:db8::1');
  assert.equal(addressSeen('2001:db8:0:0:0:0:0:1'), '2001:db8::1');
  assert.equal(addressSeen('::ffff:192.0.2.50'), '192.0.2.50');
  for (const none of [undefined, '', 'unknown', '-', '<b>', '192.0.2.50, 192.0.2.51', '[x]']) assert.equal(addressSeen(none), null, String(none));
});
