// `postern status`: what the gateway is doing.
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatBytes, formatLength, formatTime, printFacts, printJson, printLine } from './output.ts';

export const usage = `Usage: postern status [OPTIONS]

What the gateway is doing: listeners, links, streams, memory.
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, {}, { min: 0, max: 0 });
  using client = await openGateway(io, values);
  const status = await client.call('getStatus', { signal: io.signal });
  if (values.json) {
    printJson(io, status);
    return exitCodes.ok;
  }
  printFacts(io, [
    ['gateway', `${client.address}, version ${status.version} on ${status.runtime}`],
    ['running', `${formatLength(status.now - status.startedAt)}, since ${formatTime(status.startedAt)}`],
    ['listening', status.listeners.map((each) => `${each.address.includes(':') ? `[${each.address}]` : each.address}:${each.port}${each.secure ? ' TLS' : ''}`).join(', ')],
    ['devices', `${status.devicesOnline} of ${status.devices} online`],
    ['links', status.links],
    ['streams', status.streams],
    ['visits', `${status.visitsLive} live`],
    ['connections', status.conns],
    ['memory', `${formatBytes(status.memory.rssBytes)}; streams hold ${formatBytes(status.memory.heldBytes)} of ${formatBytes(status.memory.budgetBytes)}`],
    ['store', formatBytes(status.storeBytes)],
    ['configuration', `revision ${status.revision}`],
    ['journal', status.journalDropped === 0 ? 'nothing dropped' : `${status.journalDropped} lines dropped, the oldest first`],
  ]);
  for (const remark of status.remarks) printLine(io, `\n${remark}`);
  return exitCodes.ok;
}
