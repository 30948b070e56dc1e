// The printers of test/corpus/printers as Debian's snmpd plays them, asked by a real agent's service `probe`: the same profile as from memory.
// snmpd takes `override` for every cell, and walks visit them. Its own modules are left out (-I with a list), because hrDeviceTable and the interfaces
// of the machine would stand between the printer's.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { realClock } from '#app/real.ts';
import { limits } from '#base/limits.ts';
import { findPeers } from '#kit/peers.ts';
import { expectedProfile, printerAddress, printerConf, printerNames, shippedDrivers } from '#kit/printer-answers.ts';
import { startProbing } from '#kit/probing.ts';
import { freePort, openProcesses, type Processes } from '#kit/processes.ts';
import type { Asking, CredentialsSent } from '#model/probe/asking.ts';
import { probeDevice, type Probed } from '#model/probe/probe.ts';
import { askOver } from '#tunnel/gateway-probe.ts';

const peers = findPeers(['snmpd']);
const drivers = shippedDrivers();
const address = '127.0.0.1';
const authKey = 'correct horse';
const privKey = 'battery staple';
/** What serves overrides, communities and users, and nothing of the machine. */
const modules = 'override,vacm_conf,vacm_context,vacm_vars,usmConf,usmUser,usmStats,snmpEngine,snmpMPDStats';

/** snmpd as this printer; resolves when it listens. */
async function startPrinter(processes: Processes, name: string, port: number): Promise<void> {
  const folder = join(processes.folder, name);
  // Not the folder of the configuration: snmpd writes a snmpd.conf of its own there when it ends.
  const state = join(folder, 'state');
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const access = `agentAddress udp:${address}:${port}\nrocommunity public ${address}\ncreateUser full SHA-256 "${authKey}" AES "${privKey}"\nrouser full priv\n`;
  writeFileSync(join(folder, 'snmpd.conf'), access + printerConf(name));
  const running = processes.start(peers.path('snmpd'), ['-f', '-Lo', '-C', '-c', join(folder, 'snmpd.conf'), '-I', modules], { env: { SNMP_PERSISTENT_DIR: state, MIBS: '' } });
  await running.says(/NET-SNMP version/);
}

/** The corpus knows the printer by an address of documentation; snmpd listens on loopback. */
function elsewhere(asking: Asking): Pick<Asking, 'reach' | 'get' | 'walk' | 'ipp' | 'http' | 'mac'> {
  const moved = <Asked extends { readonly address: string }>(asked: Asked): Asked => ({ ...asked, address: asked.address === printerAddress ? address : asked.address });
  return {
    reach: (asked) => asking.reach(moved(asked)),
    get: (asked) => asking.get(moved(asked)),
    walk: (asked) => asking.walk(moved(asked)),
    ipp: (asked) => asking.ipp(moved(asked)),
    http: (asked) => asking.http(moved(asked)),
    mac: (asked) => asking.mac(moved(asked)),
  };
}

test('eight vendors\' printers, played by snmpd', { skip: peers.skip, timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const ports = new Map<string, number>();
  for (const name of printerNames) {
    ports.set(name, await freePort());
    await startPrinter(processes, name, ports.get(name)!);
  }
  const [near, far] = duplexPair();
  const served = startProbing({ stateDir: join(processes.folder, 'agent'), policy: `reach udp ${address} 1-65535\n` })(far);
  const asking = askOver(near, { clock: realClock, limits });
  await asking.pace({ perSecond: 200, atOnce: 8 });
  const probe = async (name: string): Promise<Probed> => {
    const outcome = await probeDevice(elsewhere(asking), printerAddress, drivers, { depth: 'full', nowMs: 1_700_000_000_000, agent: 'lan1', snmpPort: ports.get(name)! });
    assert.ok('profile' in outcome, JSON.stringify(outcome));
    return outcome;
  };

  for (const name of printerNames) {
    await t.test(name, async () => {
      const outcome = await probe(name);
      assert.deepEqual(JSON.parse(JSON.stringify(outcome.profile)), expectedProfile(name));
      assert.deepEqual(outcome.gaps, []);
      assert.ok(outcome.requests <= 60, `${outcome.requests} datagrams`);
    });
  }

  const others: readonly [string, CredentialsSent][] = [
    ['snmp-v1', { name: 'old', networks: [], version: 'v1', community: 'public' }],
    ['snmp-v3', { name: 'full', networks: [], version: 'v3', user: 'full', authProtocol: 'sha256', authKey, privProtocol: 'aes', privKey }],
  ];
  for (const [version, credentials] of others) {
    await t.test(`the same by ${version}`, async () => {
      await asking.setCredentials({ put: [credentials], remove: (await asking.info()).credentials.map(({ name }) => name) });
      for (const name of ['hp', 'ricoh', 'brother']) {
        const { profile } = await probe(name);
        assert.deepEqual(JSON.parse(JSON.stringify(profile)), { ...(expectedProfile(name) as object), protocols: [version] });
      }
    });
  }

  await t.test('wrong credentials and a closed port are told apart', async () => {
    await asking.setCredentials({ put: [{ name: 'wrong', networks: [], version: 'v3', user: 'nobody', authProtocol: 'sha256', authKey }], remove: (await asking.info()).credentials.map(({ name }) => name) });
    const why = async (snmpPort: number) => {
      const outcome = await probeDevice(elsewhere(asking), printerAddress, drivers, { depth: 'full', nowMs: 0, agent: 'lan1', snmpPort });
      assert.ok('failure' in outcome, JSON.stringify(outcome));
      return outcome.failure;
    };
    const unknown = await why(ports.get('hp')!);
    assert.deepEqual([unknown.code, unknown.agent, unknown.from, unknown.question], ['credentials', 'lan1', address, 'snmp 1.3.6.1.2.1.1.2.0']);
    assert.equal((await why(await freePort())).code, 'off');
  });

  asking.close();
  await served;
});
