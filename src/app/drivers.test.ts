// Drivers on disk: those that come with the gateway, the owner's, and what is wrong with one.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { isFault, type FaultCode } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { type Drivers, openDrivers, shippedDrivers } from './drivers.ts';

const driver = (key: string, more: object = {}) => JSON.stringify({ key, vendor: `Vendor ${key}`, sysObjectIds: ['1.3.6.1.4.1.32473.1'], ...more });
const rejects = (promise: Promise<unknown>, code: FaultCode, why = /./) => assert.rejects(promise, (thrown) => isFault(thrown, code) && why.test(thrown.message));

suite('drivers', () => {
  let root: string;
  let shippedDir: string;
  let ownDir: string;
  const open = (more: Partial<Parameters<typeof openDrivers>[0]> = {}) => openDrivers({ shippedDir, ownDir, limits, log: silentLog, ...more });
  const states = (drivers: Drivers) => drivers.list().map(({ key, own, replaced, problem }) => [key, own ? 'own' : 'shipped', replaced ? 'replaced' : problem === null ? 'used' : 'wrong'].join(' '));
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'postern-drivers-'));
    [shippedDir, ownDir] = [join(root, 'shipped'), join(root, 'data', 'drivers')];
    await mkdir(shippedDir);
    await writeFile(join(shippedDir, 'a.json'), driver('a'));
    await writeFile(join(shippedDir, 'b.json'), driver('b'));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  test("the owner's goes before the shipped one of its key, across a restart, until it is removed", async () => {
    const drivers = await open();
    assert.deepEqual(states(drivers), ['a shipped used', 'b shipped used']);
    const made = await drivers.put('a', driver('a', { vendor: 'Mine' }));
    assert.deepEqual([made.own, made.name, made.prefixes], [true, 'Mine', ['1.3.6.1.4.1.32473.1']]);
    await drivers.put('c', driver('c'));
    const expected = ['a own used', 'a shipped replaced', 'b shipped used', 'c own used'];
    assert.deepEqual(states(drivers), expected);
    assert.deepEqual(states(await open()), expected);
    assert.equal(drivers.all().find((each) => each.driver.key === 'a')?.driver.vendor, 'Mine');
    await drivers.remove('a');
    await rejects(drivers.remove('a'), 'not-found');
    await rejects(drivers.remove('b'), 'not-found', /of your own/);
    assert.deepEqual(states(drivers), ['a shipped used', 'b shipped used', 'c own used']);
    assert.deepEqual(await readdir(ownDir), ['c.json']);
  });

  test('what is none is not taken, and no name leaves the folder', async () => {
    const drivers = await open({ limits: { ...limits, driversMax: 3 } });
    await rejects(drivers.put('a', '{'), 'bad-input', /no JSON/);
    await rejects(drivers.put('a', driver('a', { serial: ['not an oid'] })), 'bad-input', /serial\[0\]/);
    await rejects(drivers.put('b', driver('a')), 'bad-input', /key is a/);
    await rejects(drivers.put('../a', driver('../a')), 'bad-input');
    assert.deepEqual(await readdir(root), ['shipped']);
    for (const key of ['x', 'y', 'z']) await drivers.put(key, driver(key)).catch(() => {});
    await rejects(drivers.put('w', driver('w')), 'too-many');
  });

  test('a file that somebody put there by hand: used, or said what is wrong with it', async () => {
    await mkdir(ownDir, { recursive: true });
    await writeFile(join(ownDir, 'by-hand.json'), driver('a', { vendor: 'By hand' }));
    await writeFile(join(ownDir, 'broken.json'), '{"key": 5}');
    await writeFile(join(ownDir, 'notes.txt'), 'nothing');
    const drivers = await open();
    assert.deepEqual(states(drivers), ['a own used', 'a shipped replaced', 'b shipped used', 'broken own wrong']);
    assert.match(drivers.list().at(-1)!.problem!, /key/);
    // Through the API there is one of a key.
    await drivers.put('a', driver('a', { vendor: 'Mine' }));
    assert.deepEqual((await readdir(ownDir)).sort(), ['a.json', 'broken.json', 'notes.txt']);
    assert.match(await readFile(join(ownDir, 'a.json'), 'utf8'), /Mine/);
    await drivers.remove('broken');
    assert.deepEqual(states(drivers), ['a own used', 'a shipped replaced', 'b shipped used']);
  });

  test('all that come with the gateway can be used', async () => {
    const drivers = await open({ shippedDir: shippedDrivers });
    assert.ok(drivers.list().length > 5);
    for (const each of drivers.list()) assert.equal(each.problem, null, each.key);
  });
});
