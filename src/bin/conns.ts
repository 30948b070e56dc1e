// `postern conns`: connections of clients, whatever they speak.
import { commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatBytes, formatLength, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern conns [--listener NAME] [--protocol PROTOCOL] [--search TEXT] [--limit N]

Connections of clients that stand now, the newest first. postern close ends one.

      --listener NAME      only those that came in there
      --protocol PROTOCOL  http, h2, tls, ldap, sip, h323, ssh, rdp or tcp
      --search TEXT        only those with it in address, name or route
      --limit N            the newest N, 500 at most (100)
${commonUsage}`;

const limitMax = 500;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { listener: { type: 'string' }, protocol: { type: 'string' }, search: { type: 'string' }, limit: { type: 'string' } }, { min: 0, max: 0 });
  const limit = parseCount(values.limit, 'limit', 100);
  if (limit > limitMax) throw usageFault(`--limit takes ${limitMax} at most`);
  using client = await openGateway(io, values);
  const { listener, protocol, search } = values;
  const { items, matching, open, now } = await client.call('listConns', {
    query: { limit, ...(listener === undefined ? {} : { listener }), ...(protocol === undefined ? {} : { protocol }), ...(search === undefined ? {} : { search }) },
    signal: io.signal,
  });
  if (values.json) printJson(io, items);
  else {
    printTable(
      io,
      ['ID', 'FROM', 'LISTENER', 'PROTOCOL', 'TLS', 'ROUTE', 'FOR', 'IN', 'OUT', 'NAME'],
      items.map((conn) => [conn.id, conn.from, conn.listener, conn.protocol, conn.tls, conn.route, formatLength(now - conn.since), formatBytes(conn.bytesIn), formatBytes(conn.bytesOut), conn.name]),
      open === 0 ? 'No connections.' : `None of ${open} connections fits.`,
    );
    if (matching > items.length) printLine(io, `${matching - items.length} more fit.`);
  }
  return exitCodes.ok;
}
