import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { inspect } from 'node:util';
import { limits } from '#base/limits.ts';
import { defaultSet, openCredentials, openProbeCredentials, parseCredentials, sealCredentials, setsFor, shownOf } from './probe-credentials.ts';

const random = randomBytes;
const office = { name: 'office', networks: ['192.0.2.0/24'], version: 'v3', user: 'postern', authProtocol: 'sha256', authKey: 'correct horse', privProtocol: 'aes', privKey: 'battery staple' };
const public7 = { name: 'public7', networks: [], version: 'v2c', community: 'site-7-community' };

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'postern-credentials-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('sets as they are sent; what is wrong is said without the secret', () => {
  const set = parseCredentials(office);
  assert.deepEqual([set.auth?.protocol, set.auth?.key.reveal(), set.priv?.key.reveal(), set.community], ['sha256', 'correct horse', 'battery staple', null]);
  assert.deepEqual(shownOf(set), { name: 'office', networks: ['192.0.2.0/24'], version: 'v3', user: 'postern', context: null, authProtocol: 'sha256', privProtocol: 'aes' });
  for (const shown of [JSON.stringify(set), inspect(set, { depth: 9 }), JSON.stringify(shownOf(parseCredentials(public7)))]) assert.doesNotMatch(shown, /horse|staple|community"?: "s/);
  assert.equal(parseCredentials({ name: 'plain', version: 'v3', user: 'u' }).auth, null);
  for (const [bent, why] of [
    [{ ...office, name: 'default' }, /name/],
    [{ ...office, name: 'Ä' }, /name/],
    [{ ...office, version: 'v4' }, /version/],
    [{ ...office, networks: ['192.0.2.0/40'] }, /networks/],
    [{ ...office, networks: 'all' }, /networks/],
    [{ ...office, authKey: 'short' }, /8 to 128/],
    [{ ...office, authKey: undefined }, /8 to 128/],
    [{ ...office, authProtocol: 'sha3' }, /authentication is one of/],
    [{ ...office, authProtocol: undefined, authKey: undefined }, /privacy needs authentication/],
    [{ ...office, privKey: 'x'.repeat(129) }, /8 to 128/],
    [{ ...office, community: 'secret-community' }, /v3 has no community/],
    [{ ...office, user: '' }, /user/],
    [{ ...public7, community: '' }, /community/],
    [{ ...public7, authKey: 'correct horse' }, /are for v3/],
    [null, /object/],
  ] as const) {
    assert.throws(() => parseCredentials(bent), (thrown: Error) => why.test(thrown.message) && !/horse|staple|secret-community/.test(inspect(thrown, { depth: 9 })), `${why}`);
  }
});

test('which sets are used where: narrow before wide, in the order of setting, the default alone', () => {
  const of = (name: string, ...networks: string[]) => parseCredentials({ ...public7, name, networks });
  const sets = [of('everywhere'), of('wide', '192.0.0.0/16', '2001:db8::/32'), of('narrow', '198.51.100.0/24', '192.0.2.0/28'), of('wide2', '192.0.0.0/16')];
  const names = (address: string) => setsFor(sets, address).map(({ name }) => name);
  assert.deepEqual(names('192.0.2.5'), ['narrow', 'wide', 'wide2', 'everywhere']);
  assert.deepEqual(names('::ffff:192.0.2.5'), ['narrow', 'wide', 'wide2', 'everywhere']);
  assert.deepEqual(names('192.0.2.50'), ['wide', 'wide2', 'everywhere']);
  assert.deepEqual(names('2001:db8::5'), ['wide', 'everywhere']);
  assert.deepEqual(names('203.0.113.1'), ['everywhere']);
  assert.deepEqual(setsFor([], '203.0.113.1'), [defaultSet]);
  assert.deepEqual(setsFor([of('narrow', '192.0.2.0/28')], '203.0.113.1'), [], 'where sets are there, public is not tried');
});

test('sealed: nothing readable, and any change of any byte is noticed', () => {
  const key = random(32);
  const sets = [parseCredentials(office), parseCredentials(public7)];
  const sealed = sealCredentials(sets, key, random);
  assert.doesNotMatch(sealed.toString('latin1'), /horse|staple|site-7|office|192\.0/);
  assert.deepEqual(openCredentials(sealed, key)?.map((each) => [shownOf(each), each.auth?.key.reveal(), each.community?.reveal()]), sets.map((each) => [shownOf(each), each.auth?.key.reveal(), each.community?.reveal()]));
  assert.notDeepEqual(sealCredentials(sets, key, random), sealed);
  assert.equal(openCredentials(sealed, random(32)), null);
  assert.equal(openCredentials(sealed, key.subarray(1)), null);
  for (let at = 0; at < sealed.length; at++) {
    const bent = Buffer.from(sealed);
    bent[at]! ^= 1 + (at % 255);
    assert.equal(openCredentials(bent, key), null, `byte ${at}`);
    assert.equal(openCredentials(sealed.subarray(0, at), key), null, `cut at ${at}`);
  }
});

test('kept: for the owner alone, replaced by name, all or nothing', async (t) => {
  const folder = join(folderFor(t), 'state');
  const kept = openProbeCredentials({ folder, random });
  assert.deepEqual(await kept.list(), []);
  await kept.change({ put: [parseCredentials(office), parseCredentials(public7)], remove: [] });
  assert.deepEqual((await kept.list()).map(({ name }) => name), ['office', 'public7']);
  for (const name of readdirSync(folder)) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
  assert.deepEqual(readdirSync(folder).sort(), ['probe-credentials.key', 'probe-credentials.sealed']);
  for (const name of readdirSync(folder)) assert.doesNotMatch(readFileSync(join(folder, name), 'latin1'), /horse|site-7/);

  await kept.change({ put: [parseCredentials({ ...office, user: 'other' })], remove: ['public7', 'not there'] });
  assert.deepEqual((await kept.list()).map(({ name, user }) => [name, user]), [['office', 'other']]);
  const many = Array.from({ length: limits.probeCredentialsMax }, (_, i) => parseCredentials({ ...public7, name: `n${i}` }));
  await assert.rejects(kept.change({ put: many, remove: [] }), /at most/);
  assert.deepEqual((await kept.list()).map(({ name }) => name), ['office']);
  await Promise.all([kept.change({ put: [parseCredentials({ ...public7, name: 'a' })], remove: [] }), kept.change({ put: [parseCredentials({ ...public7, name: 'b' })], remove: [] })]);
  assert.deepEqual((await kept.list()).map(({ name }) => name), ['office', 'a', 'b']);
});

test('what another process sets is seen; a file without its key says what to do', async (t) => {
  const folder = folderFor(t);
  const [agent, command] = [openProbeCredentials({ folder, random }), openProbeCredentials({ folder, random })];
  assert.deepEqual(await agent.list(), []);
  await command.change({ put: [parseCredentials(office)], remove: [] });
  assert.equal((await agent.list()).length, 1);
  await command.change({ put: [parseCredentials(public7)], remove: ['office'] });
  assert.deepEqual((await agent.list()).map(({ name }) => name), ['public7']);
  await command.change({ put: [], remove: ['public7'] });
  assert.deepEqual(await agent.list(), []);
  await command.change({ put: [parseCredentials(office)], remove: [] });
  writeFileSync(join(folder, 'probe-credentials.key'), random(32));
  await assert.rejects(openProbeCredentials({ folder, random }).list(), { code: 'internal', remedy: /set the credentials again/ });
});
