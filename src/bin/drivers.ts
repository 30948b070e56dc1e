// `postern drivers`: how devices of each vendor are asked and understood; adding drivers of one's own.
import { readFile } from 'node:fs/promises';
import { Fault, reasonOf } from '#base/fault.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern drivers
       postern drivers add FILE
       postern drivers remove KEY

Drivers by which devices are asked what they are. add takes a JSON file of your own (its "key" names it); it goes before one of the same key that
comes with the gateway, and remove brings that one back.
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, {}, { min: 0, max: 2 });
  const [act, what] = positionals;
  if (act !== undefined && act !== 'add' && act !== 'remove') throw usageFault(`there is no "drivers ${act}"`);
  if (act !== undefined && what === undefined) throw usageFault(act === 'add' ? 'the file is missing' : 'the key is missing');
  const driver = act === 'add' ? await readDriver(what!) : null;
  using client = await openGateway(io, values);
  const { signal } = io;
  if (driver !== null) {
    const made = await client.call('putDriver', { params: { key: String(driver['key'] ?? '') || 'none' }, body: { driver }, signal });
    if (values.json) printJson(io, made);
    else printLine(io, made.problem === null ? `The driver ${made.key} is used from the next probe on.` : `The driver ${made.key} is there and cannot be used: ${made.problem}`);
    return exitCodes.ok;
  }
  if (act === 'remove') {
    await client.call('removeDriver', { params: { key: what! }, signal });
    if (values.json) printJson(io, {});
    else printLine(io, `The driver ${what} of your own is removed.`);
    return exitCodes.ok;
  }
  const { items } = await client.call('listDrivers', { signal });
  if (values.json) printJson(io, items);
  else printTable(io, ['KEY', 'VENDOR', 'WHOSE', 'STATE', 'SYSOBJECTID'], items.map((each) => [each.key, each.name, each.own ? 'yours' : 'shipped', each.problem ?? (each.replaced ? 'replaced by yours' : 'used'), each.prefixes.join(', ')]), 'There are no drivers.');
  return exitCodes.ok;
}

async function readDriver(file: string): Promise<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (thrown) {
    throw new Fault('bad-input', `${file} cannot be read as JSON: ${reasonOf(thrown)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Fault('bad-input', `${file} is no JSON object`);
  return value as Record<string, unknown>;
}
