import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { chainLine, emptyAuditHead, verifyLine } from './audit.ts';
import type { AuditEntry, AuditLine } from './rows.ts';

const entry = (change: Partial<AuditEntry> = {}): AuditEntry => ({
  at: 1_700_000_000_000,
  customerId: '0190a000-0000-7000-8000-000000000001',
  actor: { kind: 'person', id: '0190a000-0000-7000-8000-000000000002', name: 'anna', from: '192.0.2.7' },
  what: 'device.locked',
  subjectKind: 'device',
  subjectId: '0190a000-0000-7000-8000-000000000003',
  subjectName: 'Press 4',
  detail: { why: 'repair', before: false, after: true, bytes: 12, port: null },
  ...change,
});

/** As it comes back from a store that keeps the detail as JSON text. */
const readBack = (line: AuditLine): AuditLine => ({ ...line, detail: JSON.parse(JSON.stringify(line.detail)) as AuditLine['detail'] });

test('a hash is the SHA-256 of the documented text', () => {
  const line = chainLine(emptyAuditHead, entry());
  const text =
    `{"seq":1,"previousHash":"${'0'.repeat(64)}","at":1700000000000,"customerId":"0190a000-0000-7000-8000-000000000001","actorKind":"person",` +
    '"actorId":"0190a000-0000-7000-8000-000000000002","actorName":"anna","actorFrom":"192.0.2.7","what":"device.locked","subjectKind":"device",' +
    '"subjectId":"0190a000-0000-7000-8000-000000000003","subjectName":"Press 4","detail":{"after":true,"before":false,"bytes":12,"port":null,"why":"repair"}}';
  assert.equal(line.seq, 1);
  assert.equal(line.hash, createHash('sha256').update(text).digest('hex'));
});

test('lines follow one another; the order of keys in a detail does not matter', () => {
  const first = chainLine(emptyAuditHead, entry());
  const second = chainLine(first, entry({ what: 'device.unlocked', detail: { b: 1, a: 2, 10: 3, 9: 4 } }));
  assert.equal(second.previousHash, first.hash);
  assert.equal(verifyLine(emptyAuditHead, first), null);
  assert.equal(verifyLine(first, second), null);
  assert.equal(verifyLine(first, { ...second, detail: { a: 2, b: 1, 9: 4, 10: 3 } }), null);
});

test('every field is under the hash', () => {
  const first = chainLine(emptyAuditHead, entry());
  const line = chainLine(first, entry());
  const changes: Partial<AuditLine>[] = [
    { at: line.at + 1 },
    { customerId: '0190a000-0000-7000-8000-000000000009' },
    { actor: { ...line.actor, kind: 'token' } },
    { actor: { ...line.actor, id: null } },
    { actor: { ...line.actor, name: 'bert' } },
    { actor: { ...line.actor, from: '192.0.2.8' } },
    { what: 'device.unlocked' },
    { subjectKind: 'agent' },
    { subjectId: null },
    { subjectName: 'Press 5' },
    { detail: { ...line.detail, why: 'other' } },
    { detail: {} },
    { hash: first.hash },
  ];
  for (const change of changes) assert.match(verifyLine(first, { ...line, ...change }) ?? 'nothing found', /^line 2 was changed/, JSON.stringify(change));
  assert.match(verifyLine(first, { ...line, previousHash: '1'.repeat(64) }) ?? '', /does not continue line 1/);
  assert.match(verifyLine(first, { ...line, seq: 3 }) ?? '', /line 2 is missing/);
  assert.match(verifyLine(emptyAuditHead, line) ?? '', /line 1 is missing/);
});

test('a value cannot be moved from one field to its neighbour', () => {
  const line = chainLine(emptyAuditHead, entry({ subjectKind: 'a","subjectId":"b', subjectId: 'c' }));
  assert.notEqual(verifyLine(emptyAuditHead, { ...line, subjectKind: 'a', subjectId: 'b","subjectId":"c' }), null);
  const text = chainLine(emptyAuditHead, entry({ detail: { n: '1' } }));
  assert.notEqual(verifyLine(emptyAuditHead, { ...text, detail: { n: 1 } }), null);
});

test('what text and JSON cannot carry is made storable before it is hashed', () => {
  const odd = entry({ subjectName: 'half \ud83d pair', what: 'a\u0000b', detail: { ['k\udc00']: 'v\ud800', inf: Number.POSITIVE_INFINITY, nan: Number.NaN, minus: -0, ['__proto__']: 'own' } });
  const line = chainLine(emptyAuditHead, odd);
  const bytes = Buffer.from(line.subjectName, 'utf8').toString('utf8');
  assert.equal(bytes, line.subjectName);
  assert.equal(line.detail['inf'], null);
  assert.ok(Object.hasOwn(line.detail, '__proto__'));
  assert.equal(verifyLine(emptyAuditHead, readBack(line)), null);
});
