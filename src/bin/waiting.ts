// `postern waiting`: serials that nobody knows, and that ask to be devices.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatBytes, printJson, printTable } from './output.ts';

export const usage = `Usage: postern waiting [--search TEXT]

Devices that push or check in with a serial that is not known here: where from, what they say they are, whether they
brought the key that they want to be known by, and what is in quarantine. postern approve and postern refuse decide.

      --search TEXT   only those with it in serial, name, address or product
      --limit N       at most so many (1000)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { search: { type: 'string' }, limit: { type: 'string' } }, { min: 0, max: 0 });
  using client = await openGateway(io, values);
  const { search } = values;
  const rows = await collect(parseCount(values.limit, 'limit', 1_000), (query) => client.call('listWaitingDevices', { query: { ...query, ...(search === undefined ? {} : { search }) }, signal: io.signal }));
  if (values.json) printJson(io, rows);
  else {
    const now = Date.now();
    printTable(
      io,
      ['SERIAL', 'NAME', 'FROM', 'FIRST SEEN', 'SEEN', 'KEY', 'DATA', 'PRODUCT'],
      rows.map((row) => [row.serial, row.name, row.from, formatAgo(row.firstSeenAt, now), formatAgo(row.lastSeenAt, now), row.hasKey ? 'its own' : null, row.bytes === 0 ? null : formatBytes(row.bytes), row.product]),
      'No device waits.',
    );
  }
  return exitCodes.ok;
}
