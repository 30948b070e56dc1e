// `postern device-key`: what a device that pushes proves itself by.
import { readFile } from 'node:fs/promises';
import { Fault, reasonOf } from '#base/fault.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern device-key DEVICE
       postern device-key DEVICE --new
       postern device-key DEVICE --certificate FILE|SHA256
       postern device-key DEVICE --remove ID

Keys and client certificates that a device is known by. A new key is shown this once; the one before counts until the
new one was used, so nothing stops while it is brought to the device.

      --new                make a key
      --certificate WHAT   take a client certificate: a PEM file, or the SHA-256 of its public key
      --remove ID          worth nothing at once
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { new: { type: 'boolean' }, certificate: { type: 'string' }, remove: { type: 'string' } }, { min: 1, max: 1 });
  if ([values.new, values.certificate, values.remove].filter((each) => each !== undefined).length > 1) throw usageFault('--new, --certificate and --remove do not go together');
  const params = { device: positionals[0]! };
  const { signal } = io;
  const certificate = values.certificate === undefined ? undefined : await readCertificate(values.certificate);
  using client = await openGateway(io, values);
  if (values.remove !== undefined) {
    await client.call('removeDeviceKey', { params: { ...params, id: values.remove }, signal });
    if (values.json) printJson(io, { removed: values.remove });
    else printLine(io, 'Removed.');
    return exitCodes.ok;
  }
  if (values.new || certificate !== undefined) {
    const made = await client.call('makeDeviceKey', { params, body: certificate === undefined ? {} : { certificate }, signal });
    if (values.json) printJson(io, made);
    else printLine(io, made.secret === null ? 'Taken. It counts from its first use; the certificate before counts until then.' : made.secret);
    if (made.secret !== null && !values.json) io.stderr.write('Shown this once. The key before counts until this one was used.\n');
    return exitCodes.ok;
  }
  const { items } = await client.call('listDeviceKeys', { params, signal });
  if (values.json) printJson(io, items);
  else {
    const now = Date.now();
    printTable(io, ['ID', 'KIND', 'STATE', 'SHA-256', 'MADE', 'USED'], items.map((each) => [each.id, each.kind, each.state, each.digest, formatAgo(each.createdAt, now), each.usedAt === null ? 'never' : formatAgo(each.usedAt, now)]), 'The device has no key. Make one with: postern device-key DEVICE --new');
  }
  return exitCodes.ok;
}

/** A fingerprint stands for itself; anything else is a file. */
async function readCertificate(given: string): Promise<string> {
  if (/^(sha256\/\/[A-Za-z0-9+/]{43}=|[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31})$/.test(given)) return given;
  try {
    return await readFile(given, 'utf8');
  } catch (thrown) {
    throw new Fault('not-found', `${given} cannot be read: ${reasonOf(thrown)}`, { remedy: 'Give a PEM file, or the SHA-256 of the public key.' });
  }
}
