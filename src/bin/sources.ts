// `postern sources`: which devices may use which applications.
import { printable } from '#base/log.ts';
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { readInput } from './certificate-files.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern sources [--application ROUTE] [--search TEXT] [--limit N]
       postern sources add APPLICATION DEVICE [--as ADDRESS] [--note TEXT]
       postern sources add APPLICATION --serial SERIAL | --site ID --address ADDRESS …
       postern sources remove ID
       postern sources conflicts
       postern sources export [--customer ID]
       postern sources import FILE|- [--replace] [--dry-run] [--customer ID]

Job sources: a row lets a device use an application, and may say as which address it appears there. Files are CSV with the
columns application, serial, device, site, address, as, note; with a mistake in any line nothing is changed.

      --application ROUTE  only those of that application
      --search TEXT        in device, note, address
      --limit N            at most N (500)
      --as ADDRESS         as which it appears, instead of the route's choice
      --note TEXT          to know it by
      --serial SERIAL      the device that has it, also one that is added later
      --site ID            with --address: whatever device is known there
      --address ADDRESS    in the site's LAN
      --customer ID        whose; the first without it
      --replace            rows that the file does not have go
      --dry-run            only say what would change
${commonUsage}`;

const options = {
  application: { type: 'string' }, search: { type: 'string' }, limit: { type: 'string' }, as: { type: 'string' }, note: { type: 'string' }, serial: { type: 'string' }, site: { type: 'string' }, address: { type: 'string' },
  customer: { type: 'string' }, replace: { type: 'boolean' }, 'dry-run': { type: 'boolean' },
} as const;
const acts = { add: [1, 2], remove: [1, 1], conflicts: [0, 0], export: [0, 0], import: [1, 1] } as const;

const parse = (args: string[]) => parseCommand(args, options, { min: 0, max: 3 });
type Values = ReturnType<typeof parse>['values'];
type Client = Awaited<ReturnType<typeof openGateway>>;

const given = <Name extends string>(name: Name, value: string | undefined) => (value === undefined ? {} : ({ [name]: value } as { [Key in Name]: string }));

async function add(client: Client, io: CommandIo, values: Values, application: string, device: string | undefined): Promise<number> {
  const body = { application, ...given('device', device), ...given('serial', values.serial), ...given('siteId', values.site), ...given('address', values.address), ...given('as', values.as), ...given('note', values.note), ...given('customerId', values.customer) };
  const made = await client.call('addJobSource', { body, signal: io.signal });
  if (values.json) printJson(io, made);
  else {
    printLine(io, `${made.source.id}${made.source.device === null ? '' : `  ${made.source.device.name}`}${made.source.appears === null ? '' : ` appears as ${made.source.appears}`}`);
    for (const each of made.conflicts) printLine(io, `${each.message}. ${each.remedy}`);
  }
  return exitCodes.ok;
}

async function takeFile(client: Client, io: CommandIo, values: Values, file: string): Promise<number> {
  const text = (await readInput(io, file)).toString('utf8');
  const told = await client.call('importJobSources', { body: { text, replace: values.replace ?? false, dryRun: values['dry-run'] ?? false, ...given('customerId', values.customer) }, signal: io.signal });
  if (values.json) printJson(io, told);
  else {
    for (const { line, message } of told.problems) printLine(io, `line ${line}: ${printable(message, 300)}`);
    for (const [sign, rows] of [['+', told.added], ['~', told.changed], ['-', told.removed]] as const) for (const row of rows) printLine(io, printable(`${sign} ${row.application}: ${row.who}${row.as === null ? '' : ` as ${row.as}`}${row.note === '' ? '' : ` (${row.note})`}`, 300));
    const counts = `${told.added.length} added, ${told.changed.length} changed, ${told.removed.length} removed, ${told.same} as they were`;
    printLine(io, told.problems.length > 0 ? 'Nothing is changed.' : told.done ? `${counts}.` : `It would be: ${counts}.`);
    for (const each of told.conflicts) printLine(io, `${each.application}: ${each.message}. ${each.remedy}`);
  }
  return told.problems.length > 0 ? exitCodes.failed : exitCodes.ok;
}

async function list(client: Client, io: CommandIo, values: Values): Promise<number> {
  const query = { ...given('application', values.application), ...given('search', values.search), ...given('customerId', values.customer) };
  const items = await collect(parseCount(values.limit, 'limit', 500), (page) => client.call('listJobSources', { query: { ...page, ...query }, signal: io.signal }));
  if (values.json) {
    printJson(io, items);
    return exitCodes.ok;
  }
  const whoOf = (each: (typeof items)[number]) => each.device?.label ?? (each.serial === null ? (each.address === null ? each.deviceId : `${each.address} at ${each.siteName ?? each.siteId}`) : `serial ${each.serial}`);
  printTable(io, ['APPLICATION', 'DEVICE', 'BY', 'APPEARS AS', 'NOTE', 'ID'], items.map((each) => [each.application, whoOf(each), each.serial !== null ? 'serial' : each.address !== null ? 'address' : 'device', each.appears, each.note, each.id]), 'There are no job sources: devices are let into no application that wants them.');
  return exitCodes.ok;
}

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parse(args);
  const [act, ...rest] = positionals;
  if (act !== undefined) {
    const words = Object.hasOwn(acts, act) ? acts[act as keyof typeof acts] : undefined;
    if (!words) throw usageFault(`there is no "sources ${act}"`);
    if (rest.length < words[0] || rest.length > words[1]) throw usageFault(rest.length < words[0] ? 'something is missing' : `"${rest.at(-1)}" is one word too many`);
  }
  const { signal } = io;
  using client = await openGateway(io, values);
  switch (act) {
    case 'add':
      return await add(client, io, values, rest[0]!, rest[1]);
    case 'import':
      return await takeFile(client, io, values, rest[0]!);
    case 'remove': {
      await client.call('removeJobSource', { params: { id: rest[0]! }, signal });
      if (values.json) printJson(io, { removed: rest[0]! });
      else printLine(io, 'Removed.');
      return exitCodes.ok;
    }
    case 'export': {
      const { text, sources } = await client.call('exportJobSources', { query: given('customerId', values.customer), signal });
      if (values.json) printJson(io, { text, sources });
      else io.stdout.write(text);
      return exitCodes.ok;
    }
    case 'conflicts': {
      const { items } = await client.call('listJobSourceConflicts', { signal });
      if (values.json) printJson(io, items);
      else printTable(io, ['APPLICATION', 'WHAT', 'ROWS', 'REMEDY'], items.map((each) => [each.application, each.message, each.sourceIds.join(' '), each.remedy]), 'Nothing contradicts.');
      return exitCodes.ok;
    }
    default:
      return await list(client, io, values);
  }
}
