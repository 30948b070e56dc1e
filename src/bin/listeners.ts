// `postern listeners`: the ports that the gateway accepts on, and how they fare.
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern listeners [OPTIONS]

Ports that the gateway accepts on: what may come, connections open, accepted and refused since the start. One that
could not be opened says why.
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, {}, { min: 0, max: 0 });
  using client = await openGateway(io, values);
  const { items } = await client.call('listListeners', { signal: io.signal });
  if (values.json) {
    printJson(io, items);
    return exitCodes.ok;
  }
  printTable(
    io,
    ['NAME', 'ADDRESS', 'PORT', 'STATE', 'TLS', 'OPEN', 'ACCEPTED', 'REFUSED', 'TAKES'],
    items.map((each) => [
      each.name, each.bound?.address ?? each.address, each.bound?.port ?? each.port, each.bound ? 'open' : 'not open', each.tls, each.open, each.accepted, each.refused,
      [each.serverFirst ? 'whatever the server speaks' : each.protocols.join(', '), each.plain.length > 0 ? `without TLS ${each.plain.join(', ')}` : '', each.proxyProtocolFrom.length > 0 ? 'PROXY headers of listed senders' : ''].filter(Boolean).join('; '),
    ]),
    'No listeners.',
  );
  for (const each of items) if (each.why !== null) printLine(io, `${each.name} is not open: ${printable(each.why, 500)}`);
  return exitCodes.ok;
}
