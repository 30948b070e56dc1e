// `postern devices`: the list, and taking devices with their keys from one gateway to another.
import { Fault } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { askPassphrase, isInteractive, newPassphrase, readInput, readPassphrase, writeOutput } from './certificate-files.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern devices [OPTIONS]
       postern devices export --with-keys FILE [--passphrase-file FILE]
       postern devices import FILE [--passphrase-file FILE] [--site SITE]

Export and import are for a second gateway to which devices are sent: it must know them by the same keys. The file is
sealed with a passphrase. Of two keys for one device the newer one stays.

      --search TEXT   only those with it in name, label or serial
      --state STATE   online, offline or locked
      --limit N       at most so many (1000)
      --with-keys FILE          where to; devices with a serial, of customers that you administer
      --passphrase-file FILE    its first line; else asked at the terminal
      --site SITE               where new devices come to be (default: the customer's first)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { search: { type: 'string' }, state: { type: 'string' }, limit: { type: 'string' }, 'with-keys': { type: 'string' }, 'passphrase-file': { type: 'string' }, site: { type: 'string' } }, { min: 0, max: 2 });
  const [act, file] = positionals;
  if (act === 'export' && file === undefined) return exportTo(io, values);
  if (act === 'import' && file !== undefined) return importFrom(io, values, file);
  if (act !== undefined) throw usageFault(act === 'import' ? 'import needs a file' : `there is no "devices ${positionals.join(' ')}"`);
  const { state, search } = values;
  if (state !== undefined && state !== 'online' && state !== 'offline' && state !== 'locked') throw usageFault('--state is online, offline or locked');
  using client = await openGateway(io, values);
  const devices = await collect(parseCount(values.limit, 'limit', 1_000), (query) =>
    client.call('listDevices', { query: { ...query, ...(state === undefined ? {} : { state }), ...(search === undefined ? {} : { search }) }, signal: io.signal }),
  );
  if (values.json) printJson(io, devices);
  else {
    const now = Date.now();
    printTable(
      io,
      ['LABEL', 'NAME', 'STATE', 'SEEN', 'PORTS', 'ADDRESS'],
      devices.map((device) => [
        device.label,
        device.name,
        device.locked ? 'locked' : device.agentState === 'none' ? 'pushes' : device.agentState !== 'active' ? `agent ${device.agentState}` : device.online ? 'online' : 'offline',
        device.online ? 'now' : formatAgo(device.lastSeenAt, now),
        device.ports.map((port) => port.number).join(','),
        device.url,
      ]),
      'No devices. Add one with: postern join-token NAME',
    );
  }
  return exitCodes.ok;
}

interface MoveValues {
  readonly data?: string | undefined;
  readonly json?: boolean | undefined;
  readonly 'with-keys'?: string | undefined;
  readonly 'passphrase-file'?: string | undefined;
  readonly site?: string | undefined;
}

/** Each page of the gateway is sealed for itself, and a line of the file. */
const firstLine = '# postern devices 1, sealed';

async function exportTo(io: CommandIo, values: MoveValues): Promise<number> {
  const file = values['with-keys'];
  if (file === undefined) throw usageFault('where to? --with-keys FILE');
  const passphrase = await newPassphrase(io, values['passphrase-file']);
  using client = await openGateway(io, values);
  const lines = [firstLine];
  let devices = 0;
  let cursor: string | null = null;
  do {
    const page: { sealed: string; devices: number; next: string | null } = await client.call('exportDevices', { query: { limit: 500, ...(cursor === null ? {} : { cursor }) }, body: { passphrase }, signal: io.signal });
    lines.push(page.sealed);
    devices += page.devices;
    cursor = page.next;
  } while (cursor !== null);
  await writeOutput(io, file, Buffer.from(`${lines.join('\n')}\n`), true);
  if (values.json) printJson(io, { devices });
  else io.stderr.write(`${devices} devices with their keys. On the other gateway: postern devices import FILE\n`);
  return exitCodes.ok;
}

async function importFrom(io: CommandIo, values: MoveValues, file: string): Promise<number> {
  if (file === '-' && values['passphrase-file'] === '-') throw usageFault('standard input can be only one of file and passphrase');
  const [head, ...pages] = (await readInput(io, file)).toString('latin1').split(/\r?\n/).filter((line) => line !== '');
  if (head !== firstLine) throw new Fault('bad-input', `${file} is no file of postern devices export`);
  const passphrase = (await readPassphrase(io, values['passphrase-file'])) ?? (await askOnce(io));
  using client = await openGateway(io, values);
  const sum = { added: 0, changed: 0, same: 0, refused: [] as { serial: string; why: string }[] };
  for (const sealed of pages) {
    const done = await client.call('importDevices', { body: { passphrase, sealed, ...(values.site === undefined ? {} : { siteId: values.site }) }, signal: io.signal });
    for (const name of ['added', 'changed', 'same'] as const) sum[name] += done[name];
    sum.refused.push(...done.refused);
  }
  if (values.json) printJson(io, sum);
  else {
    printLine(io, `${sum.added} added, ${sum.changed} with newer keys, ${sum.same} as they were.`);
    for (const { serial, why } of sum.refused) printLine(io, `not taken: ${printable(serial)}: ${printable(why, 300)}`);
  }
  return sum.refused.length > 0 ? exitCodes.failed : exitCodes.ok;
}

async function askOnce(io: CommandIo): Promise<string> {
  if (!isInteractive(io)) throw usageFault('the file is sealed: --passphrase-file FILE');
  return askPassphrase(io, 'Passphrase of the file: ');
}
