// `postern files`: what devices brought as files; list, fetch, remove.
import { createHash } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Client } from '#api/client.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import { collect, commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatBytes, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern files [--device DEVICE] [--name NAME] [--all]
       postern files get ID [FILE]
       postern files remove ID

Files that devices brought. get writes to FILE, - for standard output; without it, to the file's own name in this folder.

      --device DEVICE   only those of one device: label, id or customer/name
      --name NAME       only those of this name
      --all             older versions, too
      --force           replace FILE if it is there
${commonUsage}`;

const options = { device: { type: 'string' }, name: { type: 'string' }, all: { type: 'boolean' }, force: { type: 'boolean' } } as const;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, options, { min: 0, max: 3 });
  const [what, id, file, ...more] = positionals;
  using client = await openGateway(io, values);
  if (what === undefined) return list(client, io, values);
  if (id === undefined || more.length > 0) throw usageFault(`postern files ${what} needs the id of a file`);
  if (what === 'get') return get(client, io, id, file, values);
  if (what !== 'remove' || file !== undefined) throw usageFault(`there is no "postern files ${what}" like this`);
  await client.call('removeFile', { params: { id }, signal: io.signal });
  if (values.json) printJson(io, { removed: id });
  else printLine(io, 'Removed.');
  return exitCodes.ok;
}

interface ListValues {
  readonly device?: string | undefined;
  readonly name?: string | undefined;
  readonly all?: boolean | undefined;
  readonly json?: boolean | undefined;
}

async function list(client: Client, io: CommandIo, { device, name, all, json }: ListValues): Promise<number> {
  const found = await collect(10_000, (query) =>
    client.call('listFiles', { query: { ...query, versions: all ? 'all' : 'newest', ...(device === undefined ? {} : { device }), ...(name === undefined ? {} : { name }) }, signal: io.signal }),
  );
  const now = Date.now();
  if (json) printJson(io, found);
  else {
    printTable(
      io,
      ['ID', 'DEVICE', 'CAME', 'SIZE', ...(all ? ['VERSION'] : []), 'NAME'],
      found.map((each) => [each.id, each.device, formatAgo(each.createdAt, now), formatBytes(each.bytes), ...(all ? [each.replacedAt === null ? 'newest' : `replaced ${formatAgo(each.replacedAt, now)}`] : []), each.name]),
      'No device has brought a file. One does it with: curl -T FILE …/v1/CUSTOMER/file/SERIAL/NAME',
    );
  }
  return exitCodes.ok;
}

/** What a device calls its file must not lead out of this folder, or hide in it. */
const localName = (name: string): string => {
  // eslint-disable-next-line no-control-regex
  const safe = name.replace(/[/\\:\x00-\x1f\x7f]/g, '_').replace(/^[.-]+/, '_');
  return safe === '' ? 'file' : safe;
};

async function get(client: Client, io: CommandIo, id: string, file: string | undefined, { force, json }: { readonly force?: boolean | undefined; readonly json?: boolean | undefined }): Promise<number> {
  const view = await client.call('getFile', { params: { id }, signal: io.signal });
  const hash = createHash('sha256');
  const pieces = async function* () {
    for await (const piece of await client.download('downloadFile', io.signal, { id })) {
      hash.update(piece);
      yield piece;
    }
    if (hash.digest('hex') !== view.sha256) throw new Fault('protocol', 'what came is not what the gateway says that it has', { remedy: 'fetch it again' });
  };
  if (file === '-') {
    for await (const piece of pieces()) if (!io.stdout.write(piece)) await new Promise((go) => io.stdout.once('drain', go));
    return exitCodes.ok;
  }
  const path = resolve(file ?? localName(view.name));
  if (!force && (await stat(path).catch(() => null))) throw new Fault('conflict', `${path} is there already`, { remedy: 'Take another name, or --force.' });
  const part = `${path}.part`;
  try {
    const output = await open(part, 'w', 0o600);
    try {
      for await (const piece of pieces()) await output.writeFile(piece);
      await output.sync();
    } finally {
      await output.close();
    }
    await rename(part, path);
  } catch (thrown) {
    await rm(part, { force: true });
    if (thrown instanceof Fault) throw thrown;
    throw new Fault('bad-input', `${path} cannot be written: ${reasonOf(thrown)}`, { cause: thrown });
  }
  if (json) printJson(io, { ...view, file: path });
  else printLine(io, `${path}: ${formatBytes(view.bytes)}, as its digest says.`);
  return exitCodes.ok;
}
