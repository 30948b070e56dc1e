// The agent's service `probe` against Net-SNMP's snmpd: versions, credentials that are wrong in each way, what is missing, tables.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Got, Reached, SnmpValue, Walked } from '#model/probe/asking.ts';
import { findPeers } from '#kit/peers.ts';
import { openProbeStream, startProbing } from '#kit/probing.ts';
import type { ProbeStream } from '#kit/probing.ts';
import { freePort, openProcesses, type Processes } from '#kit/processes.ts';

const peers = findPeers(['snmpd']);
const authKey = 'correct horse';
const privKey = 'battery staple';
/** netSnmpPlaypenOIDs: for whoever wants to try something. */
const playpen = '1.3.6.1.4.1.8072.9999.9999.7';
const rows = 60;
const sysDescr = '1.3.6.1.2.1.1.1.0';
const sysObjectId = '1.3.6.1.2.1.1.2.0';
const serial = '1.3.6.1.2.1.43.5.1.1.17.1';
/** ipAdEntAddr and ifHCInOctets of the loopback interface: types that snmpd does not override. */
const loopbackAddress = '1.3.6.1.2.1.4.20.1.1.127.0.0.1';
const loopbackOctets = '1.3.6.1.2.1.31.1.1.1.6.1';
const kyocera = '1.3.6.1.4.1.1347.41';

const config = (port: number) => `agentAddress udp:127.0.0.1:${port}
rocommunity site-7 127.0.0.1
createUser full SHA-256 "${authKey}" AES "${privKey}"
createUser signed SHA "${authKey}"
createUser old MD5 "${authKey}" DES "${privKey}"
createUser blind SHA "${authKey}"
rouser full priv
rouser signed auth
rouser old priv
override -rw ${sysDescr} octet_str "KYOCERA Document Solutions Printing System"
override ${sysObjectId} object_id ${kyocera}
override ${serial} octet_str "LZ1234567"
override 1.3.6.1.2.1.43.11.1.1.9.1.1 integer -3
override ${playpen}.1001.0 timeticks 4200
override ${playpen}.1003.0 uinteger 4000000000
${Array.from({ length: rows }, (_, i) => `override ${playpen}.1.${i + 1} octet_str "${String(i).padStart(3, '0')} ${'v'.repeat(190)}"\n`).join('')}`;

/** snmpd with a configuration and a folder of its own, for 127.0.0.1 alone. */
async function startSnmpd(processes: Processes, port: number): Promise<void> {
  const folder = join(processes.folder, `snmpd-${port}`);
  // Not the folder of the configuration: snmpd writes a snmpd.conf of its own there when it ends.
  const state = join(folder, 'state');
  mkdirSync(state, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, 'snmpd.conf'), config(port));
  const running = processes.start(peers.path('snmpd'), ['-f', '-Lo', '-C', '-c', join(folder, 'snmpd.conf'), '-I', '-smux'], { env: { SNMP_PERSISTENT_DIR: state } });
  await running.says(/NET-SNMP version/);
}

const address = '127.0.0.1';
const full = { name: 'full', networks: ['127.0.0.0/8'], version: 'v3', user: 'full', authProtocol: 'sha256', authKey, privProtocol: 'aes', privKey };
const site = { name: 'site', networks: [], version: 'v2c', community: 'site-7' };

/** Sets these credentials and no others. */
async function setAlone(probe: ProbeStream, ...put: Readonly<Record<string, unknown>>[]): Promise<void> {
  const { credentials } = (await probe.ask('info')) as unknown as { credentials: { name: string }[] };
  await probe.ask('set-credentials', { put, remove: credentials.map(({ name }) => name) });
}

test('the probe and snmpd', { skip: peers.skip, timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const port = await freePort();
  await startSnmpd(processes, port);
  const serve = startProbing({ stateDir: join(processes.folder, 'agent'), policy: `reach udp 127.0.0.0/8 1-65535\n`, limits: { probeQuestionTimeoutMs: 300 } });
  await using probe = openProbeStream(serve);
  await probe.ask('pace', { perSecond: 200, atOnce: 8 });
  const reach = async () => (await probe.ask('reach', { address, port })) as unknown as Reached;
  const get = async (...oids: string[]) => (await probe.ask('get', { address, port, oids })) as unknown as Got;
  const walk = async (root: string, fields = {}) => (await probe.ask('walk', { address, port, root, ...fields })) as unknown as Walked;

  await t.test('nothing is set: public does not work here, and the engine says that it is alive', async () => {
    const reached = await reach();
    assert.deepEqual([reached.snmp, reached.version, reached.credentials, reached.fault?.code], ['answers', null, null, 'credentials']);
    assert.deepEqual(reached.tried.map(({ credentials, version, outcome }) => [credentials, version, outcome]), [['default', 'v2c', 'silent'], ['default', 'v1', 'silent']]);
    assert.ok(reached.v3 && reached.v3.engineId.startsWith('80001f88') && reached.v3.boots >= 1);
    assert.equal(reached.from, address);
    assert.equal((await probe.refused('get', { address, port, oids: [sysDescr] })).code, 'credentials');
  });

  await t.test('v2c with the right community', async () => {
    await setAlone(probe, site);
    const got = await get(sysDescr, sysObjectId, serial, `${playpen}.1001.0`, `${playpen}.1003.0`, loopbackAddress, '1.3.6.1.2.1.43.11.1.1.9.1.1', '1.3.6.1.2.1.43.99.0');
    assert.deepEqual([got.version, got.credentials, got.user, got.from], ['v2c', 'site', null, address]);
    const description = 'KYOCERA Document Solutions Printing System';
    assert.deepEqual(got.values, [
      { oid: sysDescr, type: 'octets', value: Buffer.from(description).toString('base64'), text: description },
      { oid: sysObjectId, type: 'oid', value: kyocera },
      { oid: serial, type: 'octets', value: Buffer.from('LZ1234567').toString('base64'), text: 'LZ1234567' },
      { oid: `${playpen}.1001.0`, type: 'ticks', value: 4200 },
      { oid: `${playpen}.1003.0`, type: 'gauge', value: 4_000_000_000 },
      { oid: loopbackAddress, type: 'address', value: address },
      { oid: '1.3.6.1.2.1.43.11.1.1.9.1.1', type: 'integer', value: -3 },
      { oid: '1.3.6.1.2.1.43.99.0', type: 'missing', value: null, why: 'noSuchObject' },
    ] satisfies SnmpValue[]);
    assert.equal((await get(sysDescr)).requests, 1, 'what worked is tried first');
    const [octets] = (await get(loopbackOctets)).values;
    assert.ok(octets?.type === 'counter64' && /^\d+$/.test(octets.value), JSON.stringify(octets));
  });

  await t.test('v1: what is missing does not take the rest with it', async () => {
    await setAlone(probe, { ...site, version: 'v1' });
    const got = await get(serial, '1.3.6.1.2.1.43.99.0', sysObjectId);
    assert.equal(got.version, 'v1');
    assert.deepEqual(got.values.map(({ type }) => type), ['octets', 'missing', 'oid']);
    assert.deepEqual(got.values[1], { oid: '1.3.6.1.2.1.43.99.0', type: 'missing', value: null, why: 'noSuchName' });
    const { values, next } = await walk(`${playpen}.1`);
    assert.deepEqual([values.length, next], [rows, null]);
  });

  for (const [name, set] of Object.entries({
    'SHA-256 and AES': full,
    'SHA alone': { name: 'signed', networks: [], version: 'v3', user: 'signed', authProtocol: 'sha', authKey },
  })) {
    await t.test(`v3 with ${name}`, async () => {
      await setAlone(probe, set);
      const reached = await reach();
      assert.deepEqual([reached.version, reached.credentials, reached.user, reached.fault], ['v3', set.name, set.user, null]);
      const got = await get(serial, sysObjectId);
      assert.deepEqual(got.values.map(({ value }) => value), [Buffer.from('LZ1234567').toString('base64'), kyocera]);
      assert.deepEqual([got.version, got.user], ['v3', set.user]);
      assert.equal((await walk(`${playpen}.1`)).values.length, rows);
    });
  }

  for (const [name, set, code] of [
    ['an unknown user', { ...full, user: 'nobody' }, 'unknown-user'],
    ['a wrong authentication key', { ...full, authKey: 'wrong horse' }, 'wrong-key'],
    ['another authentication protocol', { ...full, authProtocol: 'sha512' }, 'wrong-key'],
    ['a wrong privacy key', { ...full, privKey: 'wrong staple' }, 'wrong-privacy'],
    ['another privacy protocol', { ...full, privProtocol: 'aes256b' }, 'wrong-privacy'],
    ['a user without privacy where it is set', { name: 'x', networks: [], version: 'v3', user: 'signed', authProtocol: 'sha', authKey, privProtocol: 'aes', privKey }, 'security-level'],
    ['a user who must encrypt and does not', { ...full, privProtocol: undefined, privKey: undefined }, 'no-access'],
    ['a user who may read nothing', { name: 'x', networks: [], version: 'v3', user: 'blind', authProtocol: 'sha', authKey }, 'no-access'],
  ] as const) {
    await t.test(`v3 with ${name}: ${code}`, async () => {
      await setAlone(probe, set);
      const reached = await reach();
      assert.deepEqual([reached.snmp, reached.version, reached.fault?.code], ['answers', null, code], JSON.stringify(reached.tried));
      const fault = await probe.refused('get', { address, port, oids: [serial] });
      assert.equal(fault.code, code);
      assert.ok(fault.message.includes(`${address}:${port}`) && fault.remedy.length > 20);
      assert.ok(!JSON.stringify([reached, fault]).includes('horse'));
    });
  }

  await t.test('several sets: the one that works is found, and of the others it is said why not', async () => {
    await setAlone(probe, { ...full, name: 'a', user: 'nobody' }, { ...full, name: 'b', authKey: 'wrong horse' }, { ...site, name: 'c', community: 'wrong' }, { ...site, name: 'd' });
    const reached = await reach();
    assert.deepEqual([reached.version, reached.credentials], ['v2c', 'd']);
    assert.deepEqual(reached.tried.map(({ credentials, outcome }) => [credentials, outcome]), [['a', 'unknown-user'], ['b', 'wrong-key'], ['c', 'silent'], ['d', 'ok']]);
    await setAlone(probe, { ...full, name: 'a', user: 'nobody' }, { ...full, name: 'b', authKey: 'wrong horse' });
    assert.equal((await reach()).fault?.code, 'wrong-key', 'the most telling of them');
  });

  await t.test('a set is used in its networks alone', async () => {
    await setAlone(probe, { ...site, networks: ['192.0.2.0/24'] });
    const reached = await reach();
    assert.deepEqual([reached.snmp, reached.tried, reached.fault?.code], ['answers', [], 'credentials']);
  });

  await t.test('walks: in pieces, of one value, of nothing', async () => {
    await setAlone(probe, site);
    const all = await walk(`${playpen}.1`);
    assert.deepEqual([all.values.length, all.next, all.loop], [rows, null, false]);
    const pieces: SnmpValue[] = [];
    for (let after: string | null | undefined; after !== null; ) {
      const piece: Walked = await walk(`${playpen}.1`, { max: 7, ...(after === undefined ? {} : { after }) });
      assert.ok(piece.values.length <= 7);
      pieces.push(...piece.values);
      after = piece.next;
    }
    assert.deepEqual(pieces, all.values);
    assert.deepEqual((await walk(sysObjectId)).values, [{ oid: sysObjectId, type: 'oid', value: kyocera }]);
    assert.deepEqual((await walk('1.3.6.1.2.1.43.98')).values, []);
  });

  await t.test('a closed port is off, at once', async () => {
    const closed = await freePort();
    const reached = (await probe.ask('reach', { address, port: closed })) as unknown as Reached;
    assert.deepEqual([reached.snmp, reached.fault?.code, reached.requests], ['off', 'off', 1]);
    assert.equal((await probe.refused('get', { address, port: closed, oids: [serial] })).code, 'off');
  });

  await t.test('a port that swallows everything is silent', async () => {
    const deaf = createSocket('udp4');
    deaf.bind(0, address);
    await once(deaf, 'listening');
    const reached = (await probe.ask('reach', { address, port: (deaf.address() as AddressInfo).port })) as unknown as Reached;
    deaf.close();
    assert.deepEqual([reached.snmp, reached.v3, reached.fault?.code], ['silent', null, 'silent']);
  });
});
