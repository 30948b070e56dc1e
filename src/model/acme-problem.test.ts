import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultOfProblem, parseProblem, retryAfterOf } from './acme-problem.ts';

const context = { authority: 'ca.example.test', name: 'a.example.test', retryAfterMs: null };
const urn = (type: string) => `urn:ietf:params:acme:error:${type}`;

test('what it said, of which name, and what to do', () => {
  const fault = faultOfProblem(parseProblem({ type: urn('unauthorized'), detail: 'Invalid response from http://a.example.test/.well-known/acme-challenge/x: 404', status: 403 })!, context);
  assert.equal(fault.code, 'forbidden');
  assert.equal(fault.message, 'ca.example.test did not find the proof that the name is ours, for a.example.test. It said: Invalid response from http://a.example.test/.well-known/acme-challenge/x: 404');
  assert.match(fault.remedy!, /IPv6 too/);
  assert.deepEqual(fault.detail['identifiers'], ['a.example.test']);
});

test('a compound one names each part', () => {
  const problem = parseProblem({
    type: urn('compound'), detail: 'Errors during validation', status: 400,
    subproblems: [{ type: urn('caa'), detail: 'CAA record for b.example.test prevents issuance', identifier: { type: 'dns', value: 'b.example.test' } }, { type: urn('dns'), detail: 'NXDOMAIN', identifier: { type: 'dns', value: 'c.example.test' } }],
  })!;
  const fault = faultOfProblem(problem, { ...context, name: null });
  assert.match(fault.message, /found several things wrong\. It said: Errors during validation \[b\.example\.test: may not give certificates for this name: its CAA records.* \(CAA record for b\.example\.test prevents issuance\); c\.example\.test: could not look the name up in DNS \(NXDOMAIN\)\]$/);
  assert.match(fault.remedy!, /Add a CAA record/);
  assert.deepEqual(fault.detail['identifiers'], ['b.example.test', 'c.example.test']);
});

test('a limit says how long to wait, whatever its type', () => {
  for (const document of [{ type: urn('rateLimited'), detail: 'too many certificates' }, { type: 'about:blank', detail: 'slow down', status: 429 }]) {
    const fault = faultOfProblem(parseProblem(document)!, { ...context, retryAfterMs: 7_200_000 });
    assert.equal(fault.code, 'too-many');
    assert.match(fault.message, /; it asks to wait 2 hours$/);
    assert.equal(fault.detail['retryAfterMs'], 7_200_000);
  }
});

test('whatever comes as a document, nothing of it breaks a line or runs on for ever', () => {
  for (const none of [null, 'text', 42, [], {}, { status: 400 }]) assert.equal(parseProblem(none), null);
  const fault = faultOfProblem(parseProblem({ type: 'x'.repeat(10_000), detail: `a\nb\x1b[31m${'c'.repeat(10_000)}`, identifier: 'nobody', subproblems: Array.from({ length: 1_000 }, () => ({ type: urn('dns'), detail: 'd'.repeat(1_000), subproblems: [{ type: 'deep' }] })) })!, context);
  assert.ok(fault.message.length < 2_000, `${fault.message.length} characters`);
  assert.doesNotMatch(fault.message, /[\n\x1b]/);
  assert.match(fault.message, /and 95 more/);
  assert.equal(faultOfProblem(parseProblem({ type: 'about:blank', detail: 'oops', status: 503 })!, context).code, 'busy');
  assert.equal(faultOfProblem(parseProblem({ type: 'urn:other', detail: 'oops', status: 418 })!, context).code, 'protocol');
});

test('Retry-After: seconds, dates, nonsense, and never more than a week', () => {
  const now = Date.UTC(2026, 0, 1);
  assert.deepEqual([undefined, '120', 'Thu, 01 Jan 2026 00:01:00 GMT', 'Wed, 31 Dec 2025 00:00:00 GMT', 'soon', '999999999', '-5'].map((each) => retryAfterOf(each, now)), [null, 120_000, 60_000, 0, null, 7 * 86_400_000, retryAfterOf('-5', now)]);
});
