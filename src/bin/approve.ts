// `postern approve`: serials that wait become devices, with the data that they brought.
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';
import { chooseWaiting, inParts } from './waiting-choice.ts';

export const usage = `Usage: postern approve SERIAL… [--name NAME] [--site SITE] [--new-key]
       postern approve --all

Makes devices of what waits; their data in quarantine becomes theirs. A device that brought no key is given one, which
is shown this once: put it into the device. postern waiting lists what waits.

      --name NAME     of one device (default: the name that it says, or its serial)
      --site SITE     an id (default: the customer's first site)
      --new-key       also make a key for one that brought its own; it replaces that once it is used
      --no-key        make none
      --all           everything that waits and that you may approve
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const options = { name: { type: 'string' }, site: { type: 'string' }, 'new-key': { type: 'boolean' }, 'no-key': { type: 'boolean' }, all: { type: 'boolean' } } as const;
  const { values, positionals } = parseCommand(args, options, { min: 0, max: 10_000 });
  if ((positionals.length === 0) === (values.all !== true)) throw usageFault('name serials, or --all');
  if (values.name !== undefined && positionals.length !== 1) throw usageFault('--name is for one device');
  if (values['new-key'] && values['no-key']) throw usageFault('--new-key and --no-key do not go together');
  const body = { ...(values.site === undefined ? {} : { siteId: values.site }), ...(values['new-key'] ? { newKey: true } : values['no-key'] ? { newKey: false } : {}) };
  using client = await openGateway(io, values);
  const { signal } = io;
  const chosen = await chooseWaiting(client, positionals, values.all === true, signal);
  const done: { serial: string; label: string; key: string | null }[] = [];
  const failed: { serial: string; why: string }[] = [];
  if (values.name !== undefined) {
    const { device, key } = await client.call('approveWaitingDevice', { params: { id: chosen[0]!.id }, body: { ...body, name: values.name }, signal });
    done.push({ serial: device.serial ?? '', label: device.label, key });
  } else {
    for (const part of inParts(chosen, limits.devicesPerImportMax)) {
      const { items } = await client.call('approveWaitingDevices', { body: { ...body, ids: part.map((row) => row.id) }, signal });
      for (const { id, device, key, why } of items) {
        const { serial } = part.find((row) => row.id === id)!;
        if (device) done.push({ serial, label: device.label, key });
        else failed.push({ serial, why: why ?? '' });
      }
    }
  }
  if (values.json) printJson(io, { approved: done, failed });
  else {
    for (const { serial, label, key } of done) printLine(io, `${printable(serial)} is the device ${label}.${key === null ? '' : ` Its key, shown this once: ${key}`}`);
    if (chosen.length === 0) printLine(io, 'No device waits.');
  }
  if (failed.length > 0) throw new Fault('conflict', `${failed.length} of ${chosen.length} not approved: ${failed.slice(0, 5).map((each) => `${printable(each.serial)} (${each.why})`).join('; ')}`);
  return exitCodes.ok;
}
