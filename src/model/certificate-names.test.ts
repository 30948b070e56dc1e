import assert from 'node:assert/strict';
import type { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { certificateRow } from '../../test/kit/certificate-rows.ts';
import { certificateFor, coverageOf, namesOfCertificate } from './certificate-names.ts';

const now = Date.UTC(2026, 5, 1);
const day = 24 * 3_600_000;

test('a wildcard stands for one whole label, never for two, none or an address', () => {
  const names = { dns: ['gw.example.test', '*.gw.example.test', '*.0.2.7'], ip: ['192.0.2.7', '2001:db8::7'] };
  const cases: [string, 'exact' | 'wildcard' | null][] = [
    ['gw.example.test', 'exact'], ['192.0.2.7', 'exact'], ['2001:db8::7', 'exact'],
    ['a.gw.example.test', 'wildcard'], ['a.b.gw.example.test', null], ['.gw.example.test', null], ['*.other.example.test', null],
    ['example.test', null], ['agw.example.test', null], ['1.0.2.7', null], ['', null],
  ];
  for (const [name, coverage] of cases) assert.equal(coverageOf(names, name), coverage, name);
});

test('names as Node writes them, quoted ones too', () => {
  const of = (subjectAltName: string | undefined) => namesOfCertificate({ subjectAltName } as unknown as X509Certificate);
  assert.deepEqual(of('DNS:GW.example.test., DNS:*.gw.example.test, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7, email:x@example.test'), {
    dns: ['gw.example.test', '*.gw.example.test'],
    ip: ['192.0.2.7', '2001:db8::7'],
  });
  assert.deepEqual(of('DNS:"evil.example.test, DNS:gw.example.test"'), { dns: ['evil.example.test, dns:gw.example.test'], ip: [] });
  assert.deepEqual(of('URI:"http://a.example.test/, DNS:gw.example.test", DNS:b.example.test'), { dns: ['b.example.test'], ip: [] });
  assert.deepEqual(of('DNS:"\\u"'), { dns: [], ip: [] });
  assert.deepEqual(of(undefined), { dns: [], ip: [] });
});

test('exact before wildcard, then valid now, then longest, then older; never one that is off or waiting', () => {
  const exact = { dns: ['a.example.test'], ip: [] };
  const wide = { dns: ['*.example.test'], ip: [] };
  const row = (name: string, names: typeof exact, notAfter: number, more = {}) => certificateRow({ name, names, notAfter, notBefore: now - day, ...more });
  const pick = (...rows: ReturnType<typeof certificateRow>[]) => {
    const forward = certificateFor(rows, 'a.example.test', now)?.name ?? null;
    assert.equal(certificateFor(rows.toReversed(), 'a.example.test', now)?.name ?? null, forward, 'the order of rows decides nothing');
    return forward;
  };
  assert.equal(pick(row('wide', wide, now + 90 * day), row('exact', exact, now + 5 * day)), 'exact');
  assert.equal(pick(row('wide', wide, now + 90 * day), row('expired', exact, now - 1)), 'expired');
  assert.equal(pick(row('expired', exact, now - 1), row('valid', exact, now + 1)), 'valid');
  assert.equal(pick(row('future', exact, now + 90 * day, { notBefore: now + day }), row('valid', exact, now + day)), 'valid');
  assert.equal(pick(row('long', exact, now + 9 * day), row('short', exact, now + 8 * day)), 'long');
  assert.equal(pick(row('newer', exact, now + day, { createdAt: 2 }), row('older', exact, now + day, { createdAt: 1 })), 'older');
  assert.equal(pick(row('off', exact, now + 9 * day, { enabled: false }), row('waiting', exact, now + 9 * day, { state: 'waiting' })), null);
  assert.equal(pick(), null);
});
