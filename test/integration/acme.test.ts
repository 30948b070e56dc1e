// Authorities that misbehave, are busy or want to be left alone: what becomes of orders.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { realClock } from '#app/real.ts';
import type { Clock } from '#base/clock.ts';
import { isFault, type Fault } from '#base/fault.ts';
import type { Actor } from '#model/rows.ts';
import { startAuthority, type Authority } from '../kit/acme-authority.ts';
import { startGateway, until, type TestGateway } from '../kit/gateway.ts';

const owner: Actor = { kind: 'operator', id: null, name: 'test', from: '' };
const settings = { timeout: 60_000 };
const urn = (type: string) => `urn:ietf:params:acme:error:${type}`;
const hourMs = 3_600_000;

const orderAt = (gateway: TestGateway, { directory, rootPem }: Authority, name = 'front') =>
  gateway.acme.order({ name, names: [`${name}.example.test`], challenge: 'http-01', keyKind: 'ec-p256', directory, rootPem, contact: null, termsAgreed: false }, owner);
const ended = (gateway: TestGateway, id: string) => until('the order to end', () => { const at = gateway.acme.progressOf(id); return at?.state === 'done' || at?.state === 'failed' ? at : null; });

test('an authority that stumbles on the way: bad nonces, a moment of 503, a certificate that takes its time', settings, async () => {
  await using authority = await startAuthority();
  const waits: number[] = [];
  const after: Clock['after'] = (delayMs, run) => {
    waits.push(delayMs);
    return realClock.after(delayMs === 37_000 ? 1 : delayMs, run);
  };
  await using gateway = await startGateway({ domain: 'gw.example.test', clock: { ...realClock, after } });
  const badNonce = { status: 400, body: { type: urn('badNonce'), detail: 'use another' } };
  authority.next('newOrder', badNonce, badNonce);
  authority.next('order', { status: 503 }, { status: 503, headers: { 'retry-after': '37' } });
  authority.next('finalize', { status: 200, headers: { 'retry-after': '37' }, body: { status: 'processing' } });
  const { id } = await orderAt(gateway, authority);
  const at = await ended(gateway, id);
  assert.equal(at.state, 'done', at.why ?? '');
  assert.equal(authority.asked.filter((place) => place === 'newOrder').length, 3);
  assert.equal(waits.filter((each) => each === 37_000).length, 2, 'as long as it asked');
  assert.equal(gateway.tables.certificates.get(id)!.state, 'ready');
});

test('a limit of the authority: told, waited for, and nothing asked meanwhile, not even by hand', settings, async () => {
  await using authority = await startAuthority();
  await using gateway = await startGateway({ domain: 'gw.example.test' });
  authority.next('newOrder', { status: 429, headers: { 'retry-after': '18000' }, body: { type: urn('rateLimited'), detail: 'too many certificates (5) already issued for this exact set of domains' } });
  const { id } = await orderAt(gateway, authority);
  const at = await ended(gateway, id);
  assert.match(at.why!, /has a limit that is reached, for front\.example\.test\. It said: too many certificates \(5\).*; it asks to wait 5 hours/);
  assert.ok(at.nextTryAt! > Date.now() + 4.9 * hourMs && at.nextTryAt! < Date.now() + 5.1 * hourMs, new Date(at.nextTryAt!).toISOString());
  const { length } = authority.asked;
  await assert.rejects(gateway.acme.renew(id), (thrown: Fault) => isFault(thrown, 'too-many') && /asked to wait until/.test(thrown.message));
  assert.equal(authority.asked.length, length);
});

test('a refusal with parts names each, and stands at the certificate', settings, async () => {
  await using authority = await startAuthority();
  await using gateway = await startGateway({ domain: 'gw.example.test' });
  const part = (value: string, type: string, detail: string) => ({ type: urn(type), detail, identifier: { type: 'dns', value } });
  authority.next('newOrder', { status: 403, body: { type: urn('compound'), detail: 'Cannot issue', subproblems: [part('a.example.test', 'rejectedIdentifier', 'on a list'), part('b.example.test', 'caa', 'other.test only')] } });
  const { id } = await orderAt(gateway, authority);
  await ended(gateway, id);
  assert.match(gateway.tables.certificates.get(id)!.lastError!, /\[a\.example\.test: gives no certificates for this name \(on a list\); b\.example\.test: may not give .*\(other\.test only\)\]/);
});

test('what is no certificate, or is one for another key, is not put in place', settings, async () => {
  await using authority = await startAuthority();
  await using gateway = await startGateway({ domain: 'gw.example.test' });
  authority.next('certificate', { status: 200, body: 'nothing of the kind' });
  const { id } = await orderAt(gateway, authority);
  assert.match((await ended(gateway, id)).why!, /no certificate in PEM/);
  authority.next('certificate', { status: 200, headers: { 'content-type': 'application/pem-certificate-chain' }, body: authority.rootPem });
  await assert.rejects(gateway.acme.renew(id), (thrown: Fault) => /do not belong together/.test(thrown.message));
  assert.equal(gateway.tables.certificates.get(id)!.state, 'waiting');
  await gateway.acme.renew(id);
  assert.equal(gateway.tables.certificates.get(id)!.state, 'ready');
});

test('an address is ordered by the profile that is for addresses, where there is one; a name is not', settings, async () => {
  await using authority = await startAuthority();
  await using gateway = await startGateway({ domain: 'gw.example.test' });
  await ended(gateway, (await orderAt(gateway, authority)).id);
  const { id } = await gateway.acme.order({ name: 'address', names: ['192.0.2.7'], challenge: 'http-01', keyKind: 'ec-p256', directory: authority.directory, contact: null, termsAgreed: false }, owner);
  assert.equal((await ended(gateway, id)).state, 'done');
  assert.deepEqual(authority.orders, [{ identifiers: [{ type: 'dns', value: 'front.example.test' }] }, { identifiers: [{ type: 'ip', value: '192.0.2.7' }], profile: 'shortlived' }]);
});

test('a gateway that is closed in the middle of an order ends it, and has not failed', settings, async () => {
  await using authority = await startAuthority();
  const gateway = await startGateway({ domain: 'gw.example.test' });
  authority.next('order', ...Array.from({ length: 50 }, () => ({ status: 200, headers: { 'retry-after': '30' }, body: { status: 'pending' } })));
  const { id } = await orderAt(gateway, authority);
  await until('the order to wait', () => authority.asked.includes('order'));
  await gateway.close();
  assert.equal(gateway.tables.certificates.get(id)!.lastError, null);
});
