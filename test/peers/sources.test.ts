// Sources of records against programs of others: socat's pairs of terminals for serial ports, util-linux's logger for syslog, logrotate for
// files.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { openFile } from '#field/sources/file.ts';
import { openSerial } from '#field/sources/serial.ts';
import { openSyslog } from '#field/sources/syslog.ts';
import type { Framing, SerialSettings } from '#field/source-settings.ts';
import { findPeers } from '../kit/peers.ts';
import { ListStore, sourceDeps, until } from '../kit/record-store.ts';

const run = promisify(execFile);
const serialPeers = findPeers(['socat', 'stty']);
const loggerPeer = findPeers(['logger']);
const logrotatePeer = findPeers(['logrotate']);
const lines: Framing = { kind: 'lines', end: 'any', keepEmpty: false };

async function pair(here: string, there: string): Promise<ChildProcess> {
  const socat = spawn(serialPeers.path('socat'), [`PTY,link=${here},raw,echo=0`, `PTY,link=${there},raw,echo=0`], { stdio: 'ignore' });
  await until('both ends are there', () => existsSync(here) && existsSync(there));
  return socat;
}

async function end(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill();
  await gone;
}

async function say(port: string, ...pieces: string[]): Promise<void> {
  const file = await open(port, 'r+');
  for (const piece of pieces) {
    await file.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await file.close();
}

test('a serial port is set up and read, and opened again when its adapter is back', { skip: serialPeers.skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-serial-'));
  const [here, there] = [join(folder, 'here'), join(folder, 'there')];
  const store = new ListStore();
  const settings: SerialSettings = { kind: 'serial', device: here, speed: 19_200, bits: 8, parity: 'none', stop: 2, flow: 'xon-xoff' };
  const source = openSerial(settings, lines, sourceDeps({ cdr: store }, { factor: 20 }));
  await until('it says that nothing is there', () => source.status().lastError !== null);
  assert.match(source.status().lastError!.why, /cannot be opened/);
  let socat = await pair(here, there);
  try {
    await until('it is open', () => source.status().connected === 1);
    const { stdout } = await run(serialPeers.path('stty'), ['-F', here, '-a']);
    for (const setting of ['speed 19200 baud', 'cs8', ' cstopb', '-parenb', ' ixon', ' ixoff', '-icanon', '-echo ', '-icrnl']) assert.ok(stdout.includes(setting), `${setting} in ${stdout}`);
    await say(there, 'N 001 00 DN1234\r\n', 'E 002 ', '00 T001\r\nhal');
    await until('two records', () => store.records.length === 2);
    await end(socat);
    await until('the half, and that it has gone', () => store.records.length === 3 && source.status().connected === 0);
    socat = await pair(here, there);
    await until('it is open again', () => source.status().connected === 1);
    await say(there, 'back\r\n');
    await until('four records', () => store.records.length === 4);
    assert.deepEqual(store.records, ['N 001 00 DN1234', 'E 002 00 T001', 'hal', 'back']);
  } finally {
    await source.close();
    await end(socat);
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a setting that the port does not know is told, and what is no port is not read', { skip: serialPeers.skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-serial-'));
  const device = join(folder, 'file');
  writeFileSync(device, 'not a port\n');
  const store = new ListStore();
  const source = openSerial({ kind: 'serial', device, speed: 9_600, bits: 8, parity: 'none', stop: 1, flow: 'none' }, lines, sourceDeps({ cdr: store }));
  await until('it is told', () => source.status().lastError !== null);
  await source.close();
  assert.match(source.status().lastError!.why, /is no serial port/);
  assert.deepEqual(store.records, []);
  rmSync(folder, { recursive: true });
});

test('what logger sends: datagrams and both ways over TCP, RFC 3164 and 5424', { skip: loggerPeer.skip }, async () => {
  const store = new ListStore();
  const source = await openSyslog({ kind: 'syslog', listen: { host: '127.0.0.1', port: 0 }, transport: 'both', from: ['127.0.0.0/8'], clientsMax: 4, sourceAddress: false }, sourceDeps({ cdr: store }));
  const [, udp, tcp] = /udp .*:(\d+), tcp .*:(\d+)/.exec(source.status().what)!;
  const log = (...options: string[]) => run(loggerPeer.path('logger'), ['--server', '127.0.0.1', '--priority', 'local0.info', '--tag', 'pbx', ...options]);
  try {
    await log('--udp', '--port', udp!, '--rfc3164', 'old, a datagram');
    await log('--udp', '--port', udp!, '--rfc5424', 'new, a datagram');
    await log('--tcp', '--port', tcp!, '--rfc3164', 'old, by lines');
    await log('--tcp', '--port', tcp!, '--rfc5424', '--octet-count', 'new, counted');
    await until('four messages', () => store.records.length === 4);
  } finally {
    await source.close();
  }
  assert.deepEqual(store.records.map((record) => / (?:pbx|-).*?((?:old|new), .*)$/.exec(record)?.[1]).sort(), ['new, a datagram', 'new, counted', 'old, a datagram', 'old, by lines']);
  for (const record of store.records) assert.match(record, /^<134>/);
  assert.equal(source.status().lastError, null);
});

for (const way of ['create', 'copytruncate'] as const) {
  test(`logrotate with ${way}: every line once, in order`, { skip: logrotatePeer.skip }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-logrotate-'));
    const path = join(folder, 'app.log');
    const settings = join(folder, 'logrotate.conf');
    writeFileSync(settings, `${path} {\n  rotate 20\n  size 1\n  ${way}\n  missingok\n}\n`, { mode: 0o600 });
    const store = new ListStore();
    const written: string[] = [];
    const write = (count: number) => {
      for (let more = 0; more < count; more++) {
        written.push(`line ${written.length} ${'.'.repeat(written.length % 50)}`);
        appendFileSync(path, `${written.at(-1)}\n`);
      }
    };
    write(10);
    const start = () => openFile({ kind: 'file', path, from: 'start' }, lines, sourceDeps({ cdr: store }, { factor: 10 }));
    let source = await start();
    try {
      await until('the first lines', () => store.records.length === 10);
      for (let round = 0; round < 8; round++) {
        write(100);
        // Every other time nobody looks while it happens.
        const isAway = round % 2 === 1;
        if (isAway) await source.close();
        await run(logrotatePeer.path('logrotate'), ['--force', '--state', join(folder, 'state'), settings]);
        write(50);
        if (isAway) source = await start();
        const count = written.length;
        await until(`${count} lines`, () => store.records.length >= count);
      }
    } finally {
      await source.close();
      rmSync(folder, { recursive: true, force: true });
    }
    assert.deepEqual(store.records, written);
  });
}
