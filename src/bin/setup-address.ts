// `postern setup-address`: the one-time address of the first sign-in once more, from the data folder. Asks nobody: who can read the
// folder is the operator.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault, reasonOf } from '#base/fault.ts';
import { parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';

export const usage = `Usage: postern setup-address [--data DIR]

Prints the address where the first person is made. It is good once; afterwards people are invited.

      --data DIR      the gateway's data folder; default POSTERN_DATA or ./data
`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, {}, { min: 0, max: 0 });
  const folder = values.data ?? (io.env['POSTERN_DATA'] || 'data');
  const code = (await readIfThere(join(folder, 'setup-code')))?.trim();
  if (!code) {
    const isData = (await readIfThere(join(folder, 'ca.pem'))) !== null;
    throw new Fault('gone', isData ? 'the setup address has been used: there is somebody already' : `${folder} is not the data folder of a gateway that has been started`, {
      remedy: isData ? 'Invite people with: postern invite NAME' : 'Name it with --data DIR.',
    });
  }
  const operator = await readIfThere(join(folder, 'operator.json'));
  if (operator === null) throw new Fault('unreachable', 'the gateway is not running', { remedy: 'Start it: it prints the setup address.' });
  // `console` is what others call the gateway by; `address` is good on this machine only.
  const { address, console }: { address: string; console?: string } = JSON.parse(operator);
  io.stdout.write(`${console ?? address}/setup#${code}\n`);
  return exitCodes.ok;
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Fault('forbidden', `${path} cannot be read: ${reasonOf(cause)}`, { remedy: 'Run this as the user that the gateway runs as.', cause });
  }
}
