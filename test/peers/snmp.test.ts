// Net-SNMP at both ends: snmpd behind an agent, its tools through `postern forward DEVICE PORT/udp`.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AuditLineView, DeviceView, VisitView } from '#api/shapes.ts';
import { until } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort, openProcesses, postern, startServe, type Page, type Processes, type Started } from '#kit/processes.ts';

const peers = findPeers(['snmpd', 'snmpget', 'snmpwalk', 'snmpbulkget', 'snmpbulkwalk']);
const location = 'Rack 7, second floor';
/** netSnmpPlaypenOIDs: for whoever wants to try something. */
const playpen = '.1.3.6.1.4.1.8072.9999.9999.7';
/** As many as snmpd gives in one answer. */
const rows = 100;
const valueOf = (i: number) => `${String(i).padStart(4, '0')} ${'v'.repeat(195)}`;

interface Snmpd {
  readonly port: number;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** snmpd with a configuration and a folder of its own, for 127.0.0.1 alone; serves a table of long values. */
function prepareSnmpd(processes: Processes, port: number): Snmpd {
  const folder = join(processes.folder, 'snmpd');
  // Not the folder of the configuration: snmpd writes a snmpd.conf of its own there when it ends.
  const state = join(folder, 'state');
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const config = join(folder, 'snmpd.conf');
  const table = Array.from({ length: rows }, (_, i) => `override ${playpen}.${i + 1} octet_str "${valueOf(i)}"\n`).join('');
  writeFileSync(config, `agentAddress udp:127.0.0.1:${port}\nrocommunity public 127.0.0.1\nsysLocation ${location}\n${table}`);
  let running: Started | undefined;
  return {
    port,
    async start() {
      running = processes.start(peers.path('snmpd'), ['-f', '-Lo', '-C', '-c', config, '-I', '-smux'], { env: { SNMP_PERSISTENT_DIR: state } });
      await running.says(/NET-SNMP version/);
    },
    async stop() {
      await running?.stop();
    },
  };
}

test('a device\'s snmpd through postern forward', { skip: peers.skip, timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const [port, tcpPort, unlisted] = [await freePort(), await freePort(), await freePort()];
  const snmpd = prepareSnmpd(processes, port);
  await snmpd.start();
  const device = await gateway.addDevice({ name: 'meter', ports: [{ number: port, kind: 'udp', name: 'SNMP' }, { number: tcpPort, kind: 'tcp' }] });
  const { env } = gateway;
  const command = (name: 'snmpget' | 'snmpwalk' | 'snmpbulkget' | 'snmpbulkwalk', at: number, ...args: string[]) => {
    const options = args.filter((each) => each.startsWith('-'));
    const names = args.filter((each) => !each.startsWith('-'));
    return processes.run(peers.path(name), ['-v2c', '-c', 'public', '-On', '-t', '5', '-r', '1', ...options, `udp:127.0.0.1:${at}`, ...names], { env: { MIBS: '' } });
  };
  const local = await freePort();
  const forward = processes.start(postern, ['forward', 'meter', `${port}/udp:${local}`], { env });
  await forward.says(new RegExp(`^127\\.0\\.0\\.1:${local}/udp$`, 'm'));

  await t.test('snmpget', async () => {
    const got = await command('snmpget', local, '.1.3.6.1.2.1.1.6.0');
    assert.equal(got.code, 0, got.stderr);
    assert.equal(got.stdout, `.1.3.6.1.2.1.1.6.0 = STRING: "${location}"\n`);
  });

  await t.test('snmpwalk, a question for each value, says what it says without us', async () => {
    const [direct, walked] = [await command('snmpwalk', port, playpen), await command('snmpwalk', local, playpen)];
    assert.equal(walked.code, 0, walked.stderr);
    assert.equal(walked.stdout, direct.stdout);
    assert.equal(walked.stdout.match(/STRING: "\d{4} v+"/g)?.length, rows);
  });

  await t.test('answers longer than a packet and longer than a frame', async () => {
    const [direct, walked] = [await command('snmpbulkwalk', port, '-Cr100', playpen), await command('snmpbulkwalk', local, '-Cr100', playpen)];
    assert.equal(walked.code, 0, walked.stderr);
    assert.equal(walked.stdout, direct.stdout);
    const one = await command('snmpbulkget', local, '-Cn0', `-Cr${rows}`, playpen);
    assert.equal(one.code, 0, one.stderr);
    assert.ok(one.stdout.length > 20_000, `${one.stdout.length} characters in one answer`);
    assert.ok(one.stdout.includes(valueOf(rows - 1)));
  });

  await t.test('many at once', async () => {
    const all = await Promise.all(Array.from({ length: 12 }, (_, i) => command('snmpget', local, `${playpen}.${i + 1}`)));
    for (const [i, got] of all.entries()) assert.equal(got.stdout, `${playpen}.${i + 1} = STRING: "${valueOf(i)}"\n`, got.stderr);
  });

  await t.test('snmpd stops: postern forward says so; it starts again, and the next question is answered', async () => {
    await snmpd.stop();
    const failed = await command('snmpget', local, '-r0', '-t1', '.1.3.6.1.2.1.1.6.0');
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /Timeout: No Response/);
    await forward.says(new RegExp(`meter UDP port ${port}: nobody listens on UDP port ${port} of 127\\.0\\.0\\.1`));
    await snmpd.start();
    const got = await command('snmpget', local, '.1.3.6.1.2.1.1.6.0');
    assert.equal(got.code, 0, got.stderr);
  });

  await t.test('refusals say what to do', async () => {
    const tried = async (ports: string) => {
      const started = processes.start(postern, ['forward', 'meter', ports], { env });
      const [, at] = await started.says(/^127\.0\.0\.1:(\d+)/m);
      if (ports.includes('/udp')) await command('snmpget', Number(at), '-r0', '-t1', '.1.3.6.1.2.1.1.6.0');
      else await processes.run(process.execPath, ['-e', `require('node:net').connect(${at}, '127.0.0.1').on('error', () => {}).on('close', () => {})`]);
      return started;
    };
    await (await tried(`${unlisted}/udp`)).says(new RegExp(`port ${unlisted} is not among the ports of meter`));
    await (await tried(`${tcpPort}/udp`)).says(new RegExp(`port ${tcpPort} of meter is listed as tcp, not as udp; Ask for it without /udp`));
    await (await tried(String(port))).says(new RegExp(`port ${port} of meter is listed as udp; Use: postern forward DEVICE ${port}/udp`));
    const view = (await gateway.ask<Page<DeviceView>>('GET', '/devices')).items[0]!;
    await gateway.ask('PATCH', `/devices/${view.id}`, { ports: [...view.ports.map(({ number, name, kind }) => ({ number, name, kind })), { number: tcpPort, name: '', kind: 'udp' }] });
    await (await tried(`${tcpPort}/udp`)).says(new RegExp(`add this line to the agent's policy file: reach udp 127\\.0\\.0\\.1 ${tcpPort}$`, 'm'));
    const usage = await processes.run(postern, ['forward', 'meter', `${port}/sctp`], { env });
    assert.equal(usage.code, 2);
    assert.match(usage.stderr, /PORT\/udp:LOCAL/);
  });

  await t.test('each flow is a visit: live, in the audit with its bytes, and cut by a lock', async () => {
    const live = async () => (await gateway.ask<Page<VisitView>>('GET', '/visits?limit=200')).items.filter((each) => each.live && each.kind === 'udp');
    assert.ok((await live()).length > 0, 'flows of a moment ago are still open');
    await gateway.ask('POST', `/devices/${device.id}/lock`);
    await until('every flow to be over', async () => (await live()).length === 0);
    await forward.says(/UDP port \d+: .*locked/);
    const refused = await command('snmpget', local, '-r0', '-t1', '.1.3.6.1.2.1.1.6.0');
    assert.equal(refused.code, 1);
    await gateway.ask('POST', `/devices/${device.id}/unlock`);
    await until('the next question to be answered', async () => (await command('snmpget', local, '.1.3.6.1.2.1.1.6.0')).code === 0);
    const closed = await until('the visits in the audit', async () => {
      const { items } = await gateway.ask<Page<AuditLineView>>('GET', '/audit?limit=200');
      const lines = items.filter((line) => line.what === 'visit.closed' && line.detail['kind'] === 'udp');
      return lines.length >= 15 ? lines : null;
    });
    assert.ok(closed.some((line) => Number(line.detail['bytesOut']) > 20_000 && Number(line.detail['bytesIn']) > 0), 'bytes are counted');
    assert.ok(closed.some((line) => /nobody listens/.test(String(line.detail['why']))), 'and why one ended');
  });

  await t.test('metrics', async () => {
    const metrics = await fetch(`http://127.0.0.1:${gateway.httpPort}/metrics`);
    const text = await metrics.text();
    for (const direction of ['in', 'out']) assert.ok(Number(new RegExp(`^postern_flow_datagrams_total\\{direction="${direction}"\\} (\\d+)$`, 'm').exec(text)?.[1]) > rows, direction);
    assert.match(text, /^postern_flows \d+$/m);
    assert.match(text, /^postern_flow_datagrams_dropped_total \d+$/m);
  });

  assert.equal((await forward.stop('SIGINT')).code, 0, forward.stderr);
  assert.ok((await device.view()).online);
});
