// `postern connect DEVICE PORT`: standard input and output become a connection to a port of a device. Made to be OpenSSH's
// ProxyCommand, so that it loads nothing it can do without.
import { realClock, realRandom } from '#app/real.ts';
import { connectCaller } from '#tunnel/caller.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { readProfile } from './profile.ts';

export const usage = `Usage: postern connect DEVICE PORT

Joins standard input and output to a TCP port of a device, through the gateway of your profile (postern login).
In ~/.ssh/config:

  Host *.postern
    ProxyCommand postern connect $(basename %h .postern) %p
`;

export function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535) throw usageFault(`"${text}" is not a port`);
  return port;
}

export async function run(args: string[], io: CommandIo): Promise<number> {
  const [device, portText, ...rest] = args;
  if (device === undefined || portText === undefined || rest.length > 0) throw usageFault('connect takes a device and a port');
  const port = parsePort(portText);
  const { address, token, caPem } = await readProfile(io.env);
  const caller = await connectCaller({ address, token, ca: caPem, clock: realClock, random: realRandom, signal: io.signal });
  try {
    const stream = await caller.openDevice(device, port, io.signal);
    let broken: Error | undefined;
    await new Promise<void>((resolve) => {
      stream.on('error', (error: Error) => (broken = error));
      stream.on('close', resolve);
      // A device that has said its last word ends the command even while standard input stays open, as ssh's does.
      stream.on('end', () => {
        if (!stream.writableEnded) resolve();
      });
      io.signal.addEventListener('abort', () => stream.destroy());
      io.stdout.on('error', () => stream.destroy());
      io.stdin.on('error', () => stream.destroy());
      stream.pipe(io.stdout, { end: false });
      io.stdin.pipe(stream);
    });
    if (broken !== undefined && !io.signal.aborted) {
      io.stderr.write(`postern connect: ${broken.message}\n`);
      return exitCodes.failed;
    }
    await new Promise<void>((resolve) => void io.stdout.write('', () => resolve()));
    return exitCodes.ok;
  } finally {
    caller.close();
  }
}
