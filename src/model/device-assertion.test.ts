// Statements of devices' identities: signed as RFC 7515 says, made once a minute, never shared between two devices.
import assert from 'node:assert/strict';
import { createHmac, createPublicKey, verify } from 'node:crypto';
import { test } from 'node:test';
import { buildAssertions, claimsIn, makeAssertionKey, readAssertionKey, secretAssertionKey, type AssertionFacts, type AssertionKey } from './device-assertion.ts';

const facts: AssertionFacts = {
  route: 'scan', state: 'verified', by: 'serial-snmp', device: { id: 'd1', name: 'Kopierer Süd', serial: 'ABC123' }, customer: 'acme', site: 'Office', address: '192.0.2.50', virtualAddress: '198.51.100.7',
};
const at = Date.UTC(2026, 10, 20, 12, 0, 30);
const partsOf = (text: string) => {
  const [head, claims, signature] = text.split('.');
  return { head: JSON.parse(Buffer.from(head!, 'base64url').toString()) as unknown, claims: JSON.parse(Buffer.from(claims!, 'base64url').toString()) as Record<string, unknown>, input: `${head}.${claims}`, signature: Buffer.from(signature!, 'base64url') };
};

test('EdDSA: whoever has read the published key can check it', () => {
  const key = readAssertionKey(makeAssertionKey());
  const text = buildAssertions(() => 'https://gw.example.test').assertionFor(key, facts, at);
  assert.match(text, /^[\w-]+\.[\w-]+\.[\w-]+$/);
  const { head, claims, input, signature } = partsOf(text);
  assert.deepEqual(head, { alg: 'EdDSA', typ: 'postern-identity+jwt', kid: key.kid });
  const iat = Date.UTC(2026, 10, 20, 12, 0) / 1000;
  assert.deepEqual(claims, {
    iss: 'https://gw.example.test', aud: 'scan', iat, exp: iat + 300, sub: 'd1', name: 'Kopierer Süd', serial: 'ABC123', customer: 'acme', site: 'Office', address: '192.0.2.50', vaddr: '198.51.100.7', state: 'verified', by: 'serial-snmp',
  });
  const { keys } = JSON.parse(key.jwks) as { keys: { kid: string; x: string; d?: string }[] };
  assert.equal(keys.length, 1);
  assert.equal(keys[0]!.kid, key.kid);
  assert.equal(keys[0]!.d, undefined, 'the private part is not published');
  const published = createPublicKey({ key: keys[0]!, format: 'jwk' });
  assert.ok(verify(null, Buffer.from(input), published, signature));
  assert.ok(!verify(null, Buffer.from(input.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))), published, signature));
  assert.deepEqual(claimsIn(text), claims);
});

test('the kid is the thumbprint of RFC 7638, by the example of RFC 8037 A.3', () => {
  const pem = `-----BEGIN PRIVATE KEY-----\n${Buffer.from(`302e020100300506032b657004220420${Buffer.from('nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A', 'base64url').toString('hex')}`, 'hex').toString('base64')}\n-----END PRIVATE KEY-----\n`;
  const key = readAssertionKey(Buffer.from(pem));
  assert.equal(key.kid, 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
  assert.equal((JSON.parse(key.jwks) as { keys: { x: string }[] }).keys[0]!.x, '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo');
  // RFC 8037 A.4
  assert.equal(key.sign('eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc').toString('base64url'), 'hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg');
});

test('HS256: whoever has the secret can check it; short secrets are refused', () => {
  const secret = Buffer.from('0123456789abcdef0123456789abcdef');
  const { head, input, signature } = partsOf(buildAssertions(() => 'https://gw.example.test').assertionFor(secretAssertionKey('scan-key', secret), facts, at));
  assert.deepEqual(head, { alg: 'HS256', typ: 'postern-identity+jwt', kid: 'scan-key' });
  assert.deepEqual(signature, createHmac('sha256', secret).update(input).digest());
  assert.throws(() => secretAssertionKey('scan-key', secret.subarray(1)), { code: 'bad-input', message: /31 bytes/ });
});

test('what is not known is not said', () => {
  const { claims } = partsOf(buildAssertions(() => 'i').assertionFor(readAssertionKey(makeAssertionKey()), { ...facts, state: 'unknown', by: null, device: null, customer: null, site: null, address: null, virtualAddress: null }, at));
  assert.deepEqual(Object.keys(claims), ['iss', 'aud', 'iat', 'exp', 'state']);
});

/** Counts what it signs. */
function countingKey(): AssertionKey & { count: number } {
  const key = { alg: 'HS256' as const, kid: 'k', count: 0, sign: () => ((key.count += 1), Buffer.from([key.count])) };
  return key;
}

test('one signature a minute for the same facts, another for any other', () => {
  const key = countingKey();
  const assertions = buildAssertions(() => 'i');
  const first = assertions.assertionFor(key, facts, at);
  assert.equal(assertions.assertionFor(key, { ...facts, device: { ...facts.device! } }, at + 29_999), first);
  assert.equal(key.count, 1);
  assert.notEqual(assertions.assertionFor(key, facts, at + 30_000), first);
  assert.equal(key.count, 2);
  const others: AssertionFacts[] = [
    { ...facts, route: 'print' }, { ...facts, state: 'address-only' }, { ...facts, by: null }, { ...facts, device: null }, { ...facts, device: { ...facts.device!, id: 'd2' } }, { ...facts, device: { ...facts.device!, name: 'x' } },
    { ...facts, device: { ...facts.device!, serial: null } }, { ...facts, device: { ...facts.device!, serial: '' } }, { ...facts, customer: null }, { ...facts, site: null }, { ...facts, address: '192.0.2.51' }, { ...facts, address: null }, { ...facts, virtualAddress: null },
  ];
  const texts = others.map((each) => assertions.assertionFor(key, each, at + 30_000));
  assert.equal(key.count, 2 + others.length);
  assert.equal(new Set(texts.map((text) => text.split('.')[1])).size, others.length);
});

test('a clock that is set back, a replaced secret and too many devices all sign anew', () => {
  const key = countingKey();
  const assertions = buildAssertions(() => 'i', 2);
  assertions.assertionFor(key, facts, at);
  assertions.assertionFor(key, facts, at - 3_600_000);
  assert.equal(key.count, 2);
  const replaced = countingKey();
  assertions.assertionFor(replaced, facts, at - 3_600_000);
  assert.equal(replaced.count, 1);
  for (let i = 0; i < 10; i++) assertions.assertionFor(key, { ...facts, address: `192.0.2.${i}` }, at);
  assert.equal(key.count, 12);
  assertions.assertionFor(key, { ...facts, address: '192.0.2.9' }, at);
  assert.equal(key.count, 12);
});

test('a file that holds no key says what to do', () => {
  assert.throws(() => readAssertionKey(Buffer.from('nothing')), { code: 'bad-input', remedy: /remove it/ });
});

test('claims of anything else are none', () => {
  for (const text of ['', 'a.b', 'a.b.c', 'a.W10.c', 'a.bnVsbA.c', '.e30.c', 'a.e30.c.d', 'a.e30 .c']) assert.equal(claimsIn(text), null, text);
  assert.deepEqual(claimsIn('a.e30.c'), {});
});

test('whatever is cut off or flipped, claims are read or not, and nothing is thrown (seed 5)', () => {
  const text = buildAssertions(() => 'i').assertionFor(countingKey(), facts, at);
  for (let i = 0; i < text.length; i++) claimsIn(text.slice(0, i));
  let state = 5;
  const next = (below: number) => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
  for (let i = 0; i < 2_000; i++) {
    const bytes = Buffer.from(text, 'latin1');
    bytes[next(bytes.length)]! ^= 1 << next(8);
    const claims = claimsIn(bytes.toString('latin1'));
    assert.ok(claims === null || typeof claims === 'object');
  }
});
