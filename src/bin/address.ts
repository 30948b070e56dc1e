// `postern address`: the virtual address of one device.
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printFacts, printJson, printLine } from './output.ts';

export const usage = `Usage: postern address DEVICE
       postern address DEVICE set ADDRESS|auto
       postern address DEVICE release

Shows, sets or takes back the address at which servers see a device and call it back. An address that is set stays with
its device; \`auto\` is the pool's choice. What is released rests for 30 days before another device gets it.
DEVICE is an id, a label or CUSTOMER/NAME.
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, {}, { min: 1, max: 3 });
  const [device, act, address] = positionals as [string, string?, string?];
  if (act !== undefined && act !== 'set' && act !== 'release') throw usageFault(`"${act}" is neither set nor release`);
  if (act === 'set' && address === undefined) throw usageFault('name the address, or auto');
  if (act === 'release' && address !== undefined) throw usageFault('release takes no address');
  using client = await openGateway(io, values);
  const { signal } = io;
  const params = { device };
  if (act === 'release') {
    await client.call('releaseVirtualAddress', { params, signal });
    if (values.json) printJson(io, {});
    else printLine(io, 'Released.');
    return exitCodes.ok;
  }
  const view = act === 'set' ? await client.call('setVirtualAddress', { params, body: { address: address === 'auto' ? null : address! }, signal }) : await client.call('getVirtualAddress', { params, signal });
  if (values.json) printJson(io, view);
  else {
    printFacts(io, [
      ['Device', printable(view.name)],
      ['Address', view.pinned ? `${view.address} (pinned)` : view.address],
      ['State', view.why === null ? view.state : `${view.state}: ${printable(view.why, 300)}`],
      ['Ports', `${view.ports.open} of ${view.ports.wanted} open`],
      ['Applications', view.applications.join(', ') || 'none calls it back'],
      ['Calls', `${view.calls}, ${view.running} now, ${view.refused} refused${view.lastCallAt === null ? '' : `, the last ${formatAgo(view.lastCallAt, Date.now())}`}`],
    ]);
  }
  return exitCodes.ok;
}
