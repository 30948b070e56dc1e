// `postern device-url`: addresses of applications that say which device opens them.
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern device-url DEVICE
       postern device-url DEVICE APPLICATION [--host NAME] [--note TEXT]
       postern device-url DEVICE --remove ID

A URL of an application for one device alone, to be set on its panel: whoever opens it is that device, wherever it comes
from. It is shown this once. Settings that are copied from device to device must not carry it along.

      --host NAME    where the application takes several names
      --note TEXT    to know it by; the application's name without it
      --remove ID    worth nothing at once
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { host: { type: 'string' }, note: { type: 'string' }, remove: { type: 'string' } }, { min: 1, max: 2 });
  const [device, application] = [positionals[0]!, positionals[1]];
  if (values.remove !== undefined && application !== undefined) throw usageFault('--remove takes the id of a URL, and no application');
  if (application === undefined && (values.host !== undefined || values.note !== undefined)) throw usageFault('the application is missing');
  const { signal } = io;
  using client = await openGateway(io, values);
  if (values.remove !== undefined) {
    await client.call('removeDeviceUrl', { params: { device, id: values.remove }, signal });
    if (values.json) printJson(io, { removed: values.remove });
    else printLine(io, 'Withdrawn.');
    return exitCodes.ok;
  }
  if (application !== undefined) {
    const made = await client.call('makeDeviceUrl', { params: { device }, body: { application, ...(values.host === undefined ? {} : { host: values.host }), ...(values.note === undefined ? {} : { note: values.note }) }, signal });
    if (values.json) printJson(io, made);
    else {
      printLine(io, made.address);
      io.stderr.write('Shown this once. Set it as the address of the application on the device.\n');
    }
    return exitCodes.ok;
  }
  const { items } = await client.call('listDeviceUrls', { params: { device }, signal });
  if (values.json) printJson(io, items);
  else {
    const now = Date.now();
    printTable(io, ['ID', 'NOTE', 'MADE', 'USED'], items.map((each) => [each.id, each.note, formatAgo(each.createdAt, now), each.usedAt === null ? 'never' : formatAgo(each.usedAt, now)]), 'The device has no URL of its own. Make one with: postern device-url DEVICE APPLICATION');
  }
  return exitCodes.ok;
}
