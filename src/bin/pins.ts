// `postern pins`: the keys by which devices know this gateway, and changing one without losing a device.
import type { Client } from '#api/client.ts';
import { Fault } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { isInteractive } from './certificate-files.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printLine, printTable } from './output.ts';
import { ask } from './trust.ts';

export const usage = `Usage: postern pins
       postern pins devices [PIN] [--state STATE]
       postern pins prepare [CERTIFICATE]
       postern pins switch CERTIFICATE [--force]
       postern pins drop CERTIFICATE

A device that pins talks only to a server whose key is on its list. The list comes with the answers to its check-ins;
which keys it has, it says at the next one. So the next key is prepared, waited for, and only then shown:
prepare makes it (without a CERTIFICATE for everything that devices see), switch shows it, and is refused while an
active device has not confirmed it. Every other change of a shown key is refused in the same way.

CERTIFICATE is a name or id as postern certificates has it, or leaf… as postern pins lists it. STATE is confirmed,
missing, other (it pins keys that are not ours), silent (not seen for too long) or none (it pins nothing).

      --force         switch although devices are lost: says which, and wants their number typed
      --losing N      the same without a terminal: exactly so many
${commonUsage}`;

const states = ['confirmed', 'missing', 'other', 'silent', 'none'] as const;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { state: { type: 'string' }, force: { type: 'boolean' }, losing: { type: 'string' } }, { min: 0, max: 2 });
  const [act = 'list', what] = positionals;
  const { signal } = io;
  using client = await openGateway(io, values);
  const named = (): string => {
    if (what === undefined) throw usageFault(`pins ${act} which certificate?`);
    return what;
  };
  switch (act) {
    case 'list':
      await list(io, client, values.json === true);
      return exitCodes.ok;
    case 'devices': {
      const state = values.state === undefined ? undefined : states.find((each) => each === values.state);
      if (values.state !== undefined && state === undefined) throw usageFault(`--state is one of ${states.join(', ')}`);
      const rows = await collect(100_000, (query) => client.call('listPinDevices', { query: { ...query, ...(what === undefined ? {} : { pin: what }), ...(state === undefined ? {} : { state }) }, signal }));
      const now = Date.now();
      if (values.json) printJson(io, rows);
      else printTable(io, ['LABEL', 'SERIAL', 'STATE', 'SEEN', 'PINS'], rows.map((row) => [row.label, row.serial, row.state, formatAgo(row.lastSeenAt, now), row.pins.join(' ')]), 'No such device.');
      return exitCodes.ok;
    }
    case 'prepare': {
      const { items } = await client.call('preparePin', { body: { certificate: what ?? null }, signal });
      if (values.json) printJson(io, items);
      for (const each of values.json ? [] : items) {
        printLine(io, `${printable(each.name)}: ${each.pin} is announced from now on. When devices have it: postern pins switch ${each.certificate}`);
        if (each.request !== null) printLine(io, `Have this request signed, and switch with: postern certificate answer ${printable(each.name)} FILE\n${each.request}`);
      }
      return exitCodes.ok;
    }
    case 'switch':
      // Awaited: the client closes when this function ends.
      return await switchTo(io, client, named(), values);
    case 'drop':
      await client.call('dropPin', { body: { certificate: named() }, signal });
      if (values.json) printJson(io, { dropped: what });
      else printLine(io, 'Given up. Devices drop it from their lists when they check in.');
      return exitCodes.ok;
    default:
      throw usageFault(`there is no "pins ${act}"`);
  }
}

async function list(io: CommandIo, client: Client, isJson: boolean): Promise<void> {
  const view = await client.call('listPins', { signal: io.signal });
  if (isJson) return printJson(io, view);
  printTable(
    io,
    ['PIN', 'STATE', 'CERTIFICATE', 'NAMES', 'CONFIRMED', 'MISSING'],
    view.items.map((each) => [each.pin, each.state, each.certificate.startsWith('leaf') ? each.certificate : each.name, each.hosts.map((host) => host ?? '(none)').join(' '), String(each.confirmed), String(each.missing)]),
    'Devices see no key here.',
  );
  printLine(io, `\n${view.pinning} devices pin and were seen within ${view.activeDays} days; ${view.silent} that pin were not, and are not waited for; ${view.notPinning} check in and pin nothing.`);
}

async function switchTo(io: CommandIo, client: Client, certificate: string, values: { readonly force?: boolean | undefined; readonly losing?: string | undefined; readonly json?: boolean | undefined }): Promise<number> {
  const { signal } = io;
  let losing = values.losing === undefined ? null : parseCount(values.losing, 'losing', 0);
  if (values.force && losing === null) {
    const { lost, devices, name } = await client.call('switchPin', { body: { certificate, dryRun: true }, signal });
    if (lost > 0) {
      const now = Date.now();
      io.stderr.write(`These do not have the new key of ${printable(name)}, and are shut out for good:\n`);
      for (const each of devices) io.stderr.write(`  ${printable(each.name)}${each.serial === null ? '' : ` (${printable(each.serial)})`}, seen ${formatAgo(each.lastSeenAt, now)}\n`);
      if (lost > devices.length) io.stderr.write(`  and ${lost - devices.length} more\n`);
      if (!isInteractive(io)) throw usageFault(`--force asks for the number of devices; without a terminal give --losing ${lost}`);
      if ((await ask(io, `Type how many devices may be lost, or nothing: `)).trim() !== String(lost)) throw new Fault('closed', 'nothing was switched');
      losing = lost;
    }
  }
  const done = await client.call('switchPin', { body: { certificate, losing }, signal });
  if (values.json) printJson(io, done);
  else printLine(io, `${printable(done.name)} shows ${done.pin} from now on.${done.lost === 0 ? '' : ` Lost: ${done.lost}.`}`);
  return exitCodes.ok;
}
