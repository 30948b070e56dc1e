// A serial port: set up by stty (coreutils, or busybox), read through the runtime's own terminal stream, which waits in epoll and keeps no
// thread of the pool busy. An adapter that is unplugged ends the stream; it is opened again when it is back.
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isatty, ReadStream } from 'node:tty';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { Framing, SerialSettings } from '../source-settings.ts';
import { keepTrying, newTally } from './source.ts';
import type { Source, SourceDeps } from './source.ts';
import { takeStream } from './stream.ts';

/** What stty is told. `raw` first: it sets eight bits and no parity itself. `clocal`: most adapters have no carrier line. */
export function sttyArguments({ device, speed, bits, parity, stop, flow }: SerialSettings): readonly string[] {
  return [
    '-F', device, 'raw', '-echo', '-echoe', '-echok', '-echoctl', '-echoke', 'min', '1', 'time', '0', 'cread', 'clocal', '-hupcl',
    String(speed), `cs${bits}`, stop === 2 ? 'cstopb' : '-cstopb',
    ...(parity === 'none' ? ['-parenb', '-inpck'] : ['parenb', 'inpck', parity === 'odd' ? 'parodd' : '-parodd']),
    flow === 'rts-cts' ? 'crtscts' : '-crtscts',
    ...(flow === 'xon-xoff' ? ['ixon', 'ixoff'] : ['-ixon', '-ixoff']),
  ];
}

function setUp(settings: SerialSettings, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile('stty', sttyArguments(settings), { timeout: limits.feedDialTimeoutMs, signal, env: { ...process.env, LC_ALL: 'C' } }, (error, _, told) => {
      if (error === null) resolve();
      else if ((error as NodeJS.ErrnoException).code === 'ENOENT') reject(new Fault('unsupported', 'there is no program stty, which sets up serial ports', { remedy: 'Install coreutils.' }));
      else reject(new Fault('bad-input', `${settings.device} cannot be set to ${settings.speed} ${settings.bits}${settings.parity[0]!.toUpperCase()}${settings.stop}: ${told.trim() || error.message}`));
    });
  });
}

export function openSerial(settings: SerialSettings, framing: Framing, deps: SourceDeps): Source {
  const { device } = settings;
  const tally = newTally(deps);
  const end = new AbortController();
  const done = keepTrying(deps, tally, end.signal, async (worked) => {
    // O_NONBLOCK: without it, open waits for a carrier that nobody may ever raise.
    const file = await open(device, constants.O_RDONLY | constants.O_NOCTTY | constants.O_NONBLOCK).catch((thrown: NodeJS.ErrnoException) => {
      throw new Fault('not-found', `${device} cannot be opened: ${thrown.message}`, { remedy: thrown.code === 'EACCES' ? 'Put the agent\'s user into the group dialout.' : 'Is the adapter plugged in?' });
    });
    // The settings are made while it is open, because some drivers forget them at the last close.
    let stream: ReadStream;
    try {
      if (!isatty(file.fd)) throw new Fault('bad-input', `${device} is no serial port`);
      await setUp(settings, end.signal);
      stream = new ReadStream(file.fd);
    } catch (thrown) {
      await file.close();
      throw thrown;
    }
    worked();
    tally.connected = 1;
    try {
      await takeStream(stream, { framing, silenceMs: 0, signal: end.signal, isUnstoppable: settings.flow === 'none' }, deps, tally);
    } finally {
      tally.connected = 0;
      stream.destroy();
      await file.close().catch(() => {});
    }
    if (!end.signal.aborted) throw new Fault('closed', `${device} has gone`);
  });
  return {
    status: () => tally.status(`serial ${device} ${settings.speed} ${settings.bits}${settings.parity[0]!.toUpperCase()}${settings.stop}`),
    async close() {
      end.abort();
      deps.intake.release();
      await done;
    },
  };
}
