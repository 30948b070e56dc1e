// A device that is asked by a whole gateway through a real agent: snmpd says that it is a printer, and the command line is all that people touch.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ProfileView } from '#api/probe-shapes.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort, openProcesses, postern, startServe, type Processes, type Started } from '#kit/processes.ts';

const peers = findPeers(['snmpd']);
const community = 'only-this-site-7';

async function startPrinter(processes: Processes, port: number, serial: string): Promise<Started> {
  const folder = join(processes.folder, `printer-${serial}`);
  const state = join(folder, 'state');
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const config = join(folder, 'snmpd.conf');
  const printer = readFileSync(join(import.meta.dirname, '../corpus/printers/ricoh.conf'), 'utf8');
  // What the standard has for it is a row of X; the maker's own place has it.
  const own = `override .1.3.6.1.4.1.367.3.2.1.2.1.4.0 octet_str "${serial}"\n`;
  writeFileSync(config, `agentAddress udp:127.0.0.1:${port}\nrocommunity ${community} 127.0.0.1\n${printer.replace(/^override \S*367\.3\.2\.1\.2\.1\.4\.0 .*$/m, '')}\n${own}`);
  const running = processes.start(peers.path('snmpd'), ['-f', '-Lo', '-C', '-c', config, '-I', '-smux'], { env: { SNMP_PERSISTENT_DIR: state } });
  await running.says(/NET-SNMP version/);
  return running;
}

function* filesBelow(folder: string): Generator<string> {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

test('postern probe, profile, drivers and probe-credentials', { skip: peers.skip, timeout: 240_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const port = await freePort();
  let printer = await startPrinter(processes, port, 'E174M500011');
  const device = await gateway.addDevice({ name: 'mfp', ports: [{ number: port, kind: 'udp', name: 'SNMP' }] });
  const { env } = gateway;
  const run = (args: string[], input?: string) => processes.run(postern, args, { env, ...(input !== undefined && { input }) });
  const json = async <Answer>(args: string[]): Promise<Answer> => JSON.parse((await run([...args, '--json'])).stdout) as Answer;
  const agent = device.agentId;

  await t.test('without credentials: which question failed, where, through whom, and what to do', async () => {
    const failed = await run(['probe', 'mfp']);
    assert.equal(failed.code, 1, failed.stderr);
    assert.match(failed.stdout, /^failed +credentials/m);
    assert.match(failed.stdout, /^address +127\.0\.0\.1$/m);
    assert.match(failed.stdout, /^last good +never$/m);
    const { failure, run: still, profile } = await json<ProfileView>(['profile', 'mfp']);
    assert.deepEqual([failure?.code, failure?.from, still, profile], ['credentials', '127.0.0.1', null, null]);
  });

  await t.test('credentials go through the gateway to the agent', async () => {
    assert.match((await run(['probe-credentials', 'list', '--agent', agent])).stdout, /No credentials are set/);
    const set = await run(['probe-credentials', 'set', 'site', '--network', '127.0.0.0/8', '--agent', agent], `${community}\n`);
    assert.equal(set.code, 0, set.stderr);
    assert.match((await run(['probe-credentials', 'list', '--agent', agent])).stdout, /site +v2c/);
    const audit = await run(['audit', '--json']);
    assert.match(audit.stdout, /agent\.probe-credentials-set/);
    assert.equal((await run(['probe-credentials', 'remove', 'other', '--agent', agent])).code, 1);
  });

  await t.test('what it is: model, serial, supplies, and why', async () => {
    const shown = await run(['probe', 'mfp', '--explain']);
    assert.equal(shown.code, 0, shown.stderr + shown.stdout);
    assert.match(shown.stdout, /^model +Ricoh .*C3004ex$/m);
    assert.match(shown.stdout, /^serial +E174M500011$/m);
    assert.match(shown.stdout, /^driver +ricoh$/m);
    assert.match(shown.stdout, /\[#+ *\] \d+ %/);
    assert.match(shown.stdout, /Driver ricoh, chosen by /);
    assert.match(shown.stdout, /^snmp 1\.3\.6\.1\.2\.1\.1\.2\.0 +1\.3\.6\.1\.4\.1\.367\.1\.1$/m);
    assert.match(shown.stdout, /take-serial/);
    assert.equal((await run(['profile', 'mfp', 'take-serial'])).code, 0);
    const { trust, offeredSerial, profile } = await json<ProfileView>(['profile', 'mfp']);
    assert.deepEqual([trust, offeredSerial, profile?.functions.scan], ['verified', null, true]);
    assert.match((await run(['profile'])).stdout, /^mfp +Ricoh .*E174M500011 +verified/m);
    const series = (await json<{ series: string }[]>(['profile', 'mfp', 'series'])).map((each) => each.series);
    assert.ok(series.includes('counter pages') && series.some((name) => name.startsWith('supply ')), series.join(', '));
    assert.match((await run(['profile', 'mfp', 'series', 'counter pages'])).stdout, / 120377 /);
  });

  await t.test('another device at its address is noticed, and silence keeps what was known', async () => {
    await printer.stop();
    printer = await startPrinter(processes, port, 'E174M500099');
    const other = await run(['probe', 'mfp']);
    assert.match(other.stdout, /^identity +another device answers at its address$/m);
    assert.match(other.stdout, /the serial E174M500099/);
    assert.match((await run(['journal'])).stdout, /device\.serial-differs/);
    await printer.stop();
    const off = await run(['probe', 'mfp']);
    assert.equal(off.code, 1);
    assert.match(off.stdout, /^failed +off/m);
    assert.match(off.stdout, /^serial +E174M500011$/m);
  });

  await t.test("a driver of one's own goes before the shipped one, until it is removed", async () => {
    const file = join(processes.folder, 'ricoh.json');
    const shipped = JSON.parse(readFileSync(join(import.meta.dirname, '../../drivers/ricoh.json'), 'utf8')) as Record<string, unknown>;
    writeFileSync(file, JSON.stringify({ ...shipped, note: 'ours' }));
    const added = await run(['drivers', 'add', file]);
    assert.equal(added.code, 0, added.stderr);
    const states = async () => (await run(['drivers'])).stdout.split('\n').filter((line) => line.startsWith('ricoh ')).map((line) => line.trim().split(/ {2,}/).slice(2, 4));
    assert.deepEqual(await states(), [['yours', 'used'], ['shipped', 'replaced by yours']]);
    writeFileSync(file, JSON.stringify({ ...shipped, serial: ['x'] }));
    const wrong = await run(['drivers', 'add', file]);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /serial\[0\]/);
    assert.equal((await run(['drivers', 'remove', 'ricoh'])).code, 0);
    assert.deepEqual(await states(), [['shipped', 'used']]);
    assert.equal((await run(['drivers', 'remove', 'ricoh'])).code, 1);
  });

  await t.test('the community is nowhere at the gateway', async () => {
    for (const file of filesBelow(gateway.dataDir)) assert.ok(!readFileSync(file).includes(community), file);
    for (const file of filesBelow(device.stateDir)) assert.ok(!readFileSync(file).includes(community), `${file}: it is sealed there`);
    assert.ok(!gateway.process.stdout.includes(community) && !gateway.process.stderr.includes(community));
  });
});
