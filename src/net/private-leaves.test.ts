import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { silentLog } from '#base/log.ts';
import { keyFingerprintOf } from '#model/fingerprint.ts';
import { handClock, handshake, memoryFiles } from '../../test/kit/tls-rooms.ts';
import { buildCertificates, type CertificatesOptions } from './certificates.ts';

const dayMs = 24 * 3_600_000;
const domain = 'gw.example.test';

async function setUp(more: Partial<CertificatesOptions> & { files?: ReturnType<typeof memoryFiles>; clock?: ReturnType<typeof handClock> } = {}) {
  const files = more.files ?? memoryFiles();
  const clock = more.clock ?? handClock();
  const certificates = await buildCertificates({ log: silentLog, random: randomBytes, domains: () => [domain], isKnown: () => true, addresses: () => [], ...more, files, clock });
  /** What a client sees. */
  const shown = async (servername: string | null) => keyFingerprintOf(Buffer.from((await handshake(await certificates.contextFor(servername), { ...(servername === null ? {} : { servername }), rejectUnauthorized: false })).shown.raw));
  return { certificates, files, clock, shown };
}

test('a leaf that somebody pins keeps its key when it is renewed; others get a new one', async () => {
  const pinned = new Set<string>();
  const { certificates, clock, shown } = await setUp({ isPinned: (fingerprint) => pinned.has(fingerprint) });
  const [named, plain] = [certificates.leafOf(domain, 'usual')!, certificates.leafOf(null, 'usual')!];
  assert.deepEqual([named.id, plain.id, named.next, plain.next], [`leaf:${domain}`, 'leaf', null, null]);
  assert.deepEqual([await shown(domain), await shown(null)], [named.fingerprint, plain.fingerprint]);
  pinned.add(named.fingerprint);
  const before = certificates.leaves().map((leaf) => leaf.notAfter);
  clock.move(380 * dayMs);
  await certificates.refresh();
  assert.ok(certificates.leaves().every((leaf, i) => leaf.notAfter > before[i]!), 'both were renewed');
  assert.equal(await shown(domain), named.fingerprint);
  assert.notEqual(await shown(null), plain.fingerprint);
  assert.equal(await shown(null), certificates.leafOf(null, 'usual')!.fingerprint);
  certificates[Symbol.dispose]();
});

test('a key is made ahead, outlives a restart, and is shown from the switch on', async () => {
  const first = await setUp();
  const { files, clock } = first;
  const before = first.certificates.leafOf(domain, 'usual')!;
  await assert.rejects(first.certificates.nextLeafKey(before.id, 'switch'), (thrown) => isFault(thrown, 'conflict'));
  await assert.rejects(first.certificates.nextLeafKey('leaf:nobody.example.test', 'prepare'), (thrown) => isFault(thrown, 'not-found'));
  await assert.rejects(first.certificates.nextLeafKey('front', 'prepare'), (thrown) => isFault(thrown, 'not-found'));
  const { next } = await first.certificates.nextLeafKey(before.id, 'prepare');
  assert.equal((await first.certificates.nextLeafKey(before.id, 'prepare')).next, next, 'one at a time');
  assert.equal(await first.shown(domain), before.fingerprint);
  first.certificates[Symbol.dispose]();

  const second = await setUp({ files, clock });
  assert.deepEqual(second.certificates.leafOf(domain, 'usual'), { ...before, next });
  clock.move(380 * dayMs);
  await second.certificates.refresh();
  assert.equal(second.certificates.leafOf(domain, 'usual')!.next, next, 'a renewal meanwhile leaves it where it is');
  const switched = await second.certificates.nextLeafKey(before.id, 'switch');
  assert.deepEqual([switched.fingerprint, switched.next], [next, null]);
  assert.equal(await second.shown(domain), next);
  second.certificates[Symbol.dispose]();

  const third = await setUp({ files, clock });
  assert.deepEqual(third.certificates.leafOf(domain, 'usual'), switched);
  assert.equal(await third.shown(domain), next);
  await third.certificates.nextLeafKey(before.id, 'prepare');
  assert.equal((await third.certificates.nextLeafKey(before.id, 'drop')).next, null);
  await assert.rejects(third.certificates.nextLeafKey(before.id, 'switch'), (thrown) => isFault(thrown, 'conflict'));
  third.certificates[Symbol.dispose]();
});

test('the link endpoint follows the switch of the leaf that it shows', async () => {
  const { certificates, shown } = await setUp();
  await certificates.nextLeafKey('leaf', 'prepare');
  const { fingerprint } = await certificates.nextLeafKey('leaf', 'switch');
  assert.equal(await shown(null), fingerprint);
  const link = await handshake(certificates.linkContext(), { rejectUnauthorized: false });
  assert.equal(keyFingerprintOf(Buffer.from(link.shown.raw)), fingerprint);
  certificates[Symbol.dispose]();
});

test('a switch that cannot be written changes nothing; one that crashed behind its writing is over', async () => {
  const files = memoryFiles();
  const { certificates, clock, shown } = await setUp({ files });
  const before = await certificates.nextLeafKey('leaf', 'prepare');
  const failing = { ...files, write: () => Promise.reject(new Error('disk full')) };
  const broken = await setUp({ files: failing, clock });
  await assert.rejects(broken.certificates.nextLeafKey('leaf', 'switch'), /disk full/);
  assert.deepEqual(broken.certificates.leafOf(null, 'usual'), before);
  const crashing = { ...files, remove: () => Promise.reject(new Error('killed')) };
  const crashed = await setUp({ files: crashing, clock });
  await assert.rejects(crashed.certificates.nextLeafKey('leaf', 'switch'), /killed/);
  const after = await setUp({ files, clock });
  assert.deepEqual(after.certificates.leafOf(null, 'usual'), { ...before, fingerprint: before.next, next: null });
  assert.equal(await shown(null), before.fingerprint, 'the process that did not switch shows what it showed');
  for (const each of [certificates, broken.certificates, crashed.certificates, after.certificates]) each[Symbol.dispose]();
});
