import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { buildQuota, parseQuota, registeredDomainOf, type QuotaLine } from './acme-quota.ts';

const hourMs = 3_600_000;
const weekMs = 7 * 24 * hourMs;
const now = Date.UTC(2026, 5, 1);
const directoryUrl = 'https://ca.example.test/dir';
const order = (...dns: string[]) => ({ directoryUrl, names: { dns, ip: [] } });
const line = (what: QuotaLine['what'], names: string[], at = now): QuotaLine => ({ at, what, directoryUrl, names });

test('the same names, again and again', () => {
  const quota = buildQuota([]);
  for (let i = 0; i < limits.acmeEqualPerWeekMax; i++) {
    assert.equal(quota.refuse(order('a.example.test', 'b.example.test'), now), null);
    quota.note(line('issued', ['b.example.test', 'a.example.test'], now + i * 60_000));
  }
  const refusal = quota.refuse(order('a.example.test', 'b.example.test'), now + 5 * hourMs)!;
  assert.match(refusal.message, /given a certificate 4 times this week; the next one may be in 7 days/);
  assert.equal(refusal.detail['retryAfterMs'], weekMs - 5 * hourMs);
  assert.equal(quota.refuse(order('a.example.test'), now + 5 * hourMs), null, 'other names');
  assert.equal(quota.refuse({ ...order('a.example.test', 'b.example.test'), directoryUrl: 'https://other.example.test' }, now + 5 * hourMs), null, 'another authority');
  assert.equal(quota.refuse(order('a.example.test', 'b.example.test'), now + weekMs), null, 'the first has fallen out');
});

test('names of one domain, failed checks of one name, orders in all', () => {
  const domain = buildQuota(Array.from({ length: limits.acmeDomainPerWeekMax }, (_, i) => line('issued', [`d${i}.example.test`])));
  assert.match(domain.refuse(order('new.example.test'), now)!.message, /40 certificates were given for names of example\.test/);
  assert.equal(domain.refuse(order('new.example.org'), now), null);
  const failures = buildQuota(Array.from({ length: limits.acmeFailuresPerHourMax }, () => line('failed', ['a.example.test'])));
  assert.match(failures.refuse(order('b.example.test', 'a.example.test'), now)!.message, /the check of a\.example\.test failed 4 times/);
  assert.equal(failures.refuse(order('b.example.test'), now), null);
  assert.equal(failures.refuse(order('a.example.test'), now + hourMs), null);
  const orders = buildQuota(Array.from({ length: limits.acmeOrdersPer3HoursMax }, () => line('ordered', ['x.example.test'])));
  assert.match(orders.refuse(order('y.example.test'), now)!.message, /200 orders/);
});

test('below what Let\'s Encrypt publishes', () => {
  assert.ok(limits.acmeDomainPerWeekMax < 50 && limits.acmeEqualPerWeekMax < 5 && limits.acmeFailuresPerHourMax < 5 && limits.acmeOrdersPer3HoursMax < 300);
});

test('what counts as one domain', () => {
  assert.deepEqual(['example.test', 'a.b.example.test', '*.example.test', 'a.example.co.uk', 'example.co.uk', 'a.example.de'].map(registeredDomainOf), ['example.test', 'example.test', 'example.test', 'example.co.uk', 'example.co.uk', 'example.de']);
});

test('kept over a start; what is broken counts as nothing, what is from the future as well', () => {
  const quota = buildQuota([line('issued', ['old.example.test'], now - weekMs), line('issued', ['a.example.test']), line('issued', ['later.example.test'], now + 30 * weekMs)]);
  const kept = Buffer.from(JSON.stringify(quota.lines(now)));
  assert.deepEqual(parseQuota(kept), [line('issued', ['a.example.test'])]);
  for (let cut = 0; cut < kept.length; cut++) assert.deepEqual(parseQuota(kept.subarray(0, cut)), []);
  assert.deepEqual(parseQuota(Buffer.from('{"a":1}')), []);
  assert.deepEqual(parseQuota(Buffer.from('[null,1,{"at":1},{"at":1,"what":"issued","directoryUrl":"x","names":[1]}]')), []);
  assert.deepEqual(parseQuota(null), []);
});
