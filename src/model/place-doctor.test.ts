import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MisRoute } from './mis-route.ts';
import { judgeDoors, judgePolicies, judgeProfiles, judgeVirtual, judgeWays, type DoorSeen, type PolicySeen, type ProfileSeen, type VirtualSeen } from './place-doctor.ts';

const door: DoorSeen = { name: '192.0.2.9:80', agent: 'lan1', listener: 'http', bound: true, why: null, remedy: null, accepted: 3 };
const policy: PolicySeen = { device: 'Press', what: 'SNMP (udp 161)', agent: 'lan1', state: 'allowed', told: 'allowed' };
const virtual: VirtualSeen = { device: 'Press', address: '203.0.113.5', isMissing: false, applications: ['scan'], failed: [], open: 2 };
const failure = { code: 'silent', message: 'nothing came back', remedy: 'look at it' };
const profile: ProfileSeen = { device: 'Press', readAt: 900, failure: null };
const hairpin: MisRoute = { code: 'HP-1', status: 'failure', verdict: 'hairpin', remedy: 'split DNS', snippets: [{ kind: 'unbound', title: 'Unbound', lines: ['x'], note: '' }] };
const fine: MisRoute = { code: 'HP-10', status: 'ok', verdict: 'as it is', remedy: null, snippets: [] };
const many: MisRoute = { code: 'HP-12', status: 'warning', verdict: 'several', remedy: 'a door', snippets: [] };

test('doors', () => {
  assert.equal(judgeDoors([]).status, 'ok');
  assert.equal(judgeDoors([door]).status, 'ok');
  const shut = judgeDoors([door, { ...door, bound: false, why: 'the policy has no line for it', remedy: 'add: listen tcp 192.0.2.9 80' }]);
  assert.deepEqual([shut.status, shut.verdict, shut.remedy], ['failure', '1 of 2 doors is shut', 'add: listen tcp 192.0.2.9 80']);
  assert.match(shut.evidence!.join('\n'), /shut: the policy has no line/);
});

test('policies: a gap before what could not be asked, before what is allowed', () => {
  assert.equal(judgePolicies([]).status, 'skipped');
  assert.equal(judgePolicies([policy]).status, 'ok');
  const unknown: PolicySeen = { ...policy, state: 'unknown', told: 'offline' };
  assert.equal(judgePolicies([policy, unknown]).status, 'warning');
  const gap = judgePolicies([policy, unknown, { ...policy, state: 'refused', told: 'reach udp 192.0.2.50 161' }]);
  assert.equal(gap.status, 'failure');
  assert.match(gap.remedy!, /add to its policy file: reach udp 192\.0\.2\.50 161$/);
});

test('virtual addresses', () => {
  assert.equal(judgeVirtual([{ ...virtual, address: null }]).status, 'ok');
  assert.equal(judgeVirtual([virtual]).status, 'ok');
  assert.match(judgeVirtual([{ ...virtual, address: null, isMissing: true }]).verdict, /1 device should have a virtual address and has none/);
  assert.match(judgeVirtual([{ ...virtual, failed: ['1 of 2 not open: EACCES'] }]).evidence!.join(), /EACCES/);
});

test('profiles: failed before never asked before old; partial is no failure', () => {
  assert.equal(judgeProfiles([], 100, 1_000).status, 'skipped');
  assert.equal(judgeProfiles([profile], 100, 1_000).status, 'ok');
  assert.equal(judgeProfiles([{ ...profile, failure: { ...failure, code: 'partial' } }], 100, 1_000).status, 'ok');
  assert.match(judgeProfiles([profile], 99, 1_000).verdict, /1 device was not probed lately/);
  assert.match(judgeProfiles([profile, { ...profile, readAt: null }], 100, 1_000).evidence!.join(), /never asked/);
  const failed = judgeProfiles([profile, { ...profile, failure }], 100, 1_000);
  assert.deepEqual([failed.verdict, failed.remedy], ['the last probe of 1 device failed', 'look at it']);
});

test('ways: the gravest is the finding, with its lines', () => {
  const line = 'Press';
  assert.equal(judgeWays([]).status, 'skipped');
  assert.equal(judgeWays([{ line, judged: fine, state: 'verified' }]).code, 'HP-10');
  const worst = judgeWays([{ line, judged: fine, state: 'verified' }, { line, judged: many, state: 'ambiguous' }, { line, judged: hairpin, state: 'ambiguous' }]);
  assert.deepEqual([worst.code, worst.status, worst.snippets!.length, worst.evidence!.length], ['HP-1', 'failure', 1, 3]);
  assert.match(judgeWays([{ line, judged: null, state: 'unknown' }]).verdict, /1 connection came from where nobody can tell/);
  assert.equal(judgeWays([{ line, judged: null, state: 'address-only' }]).status, 'ok');
  assert.equal(judgeWays(Array.from({ length: 30 }, () => ({ line, judged: null, state: 'unknown' }))).evidence!.length, 13);
});
