// `postern secret`: what sinks and alerts prove themselves by. Never on the command line, where others read it.
import { text as readAll } from 'node:stream/consumers';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern secret list
       postern secret set NAME < FILE
       postern secret remove NAME

Secrets that sinks and alerts of the configuration name: passwords, tokens, keys that requests are signed with. set reads it from
standard input, without the line's end. Nothing shows it again.
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, {}, { min: 1, max: 2 });
  const [act, name] = positionals;
  if (act !== 'list' && act !== 'set' && act !== 'remove') throw usageFault(`there is no "secret ${act}"`);
  if ((act === 'list') !== (name === undefined)) throw usageFault(act === 'list' ? 'list takes no name' : 'the secret\'s name is missing');
  using client = await openGateway(io, values);
  if (name === undefined) {
    const { items, missing } = await client.call('listSecrets', { signal: io.signal });
    if (values.json) {
      printJson(io, { items, missing });
      return exitCodes.ok;
    }
    const now = Date.now();
    printTable(io, ['SECRET', 'SET', 'USED BY'], items.map((each) => [each.name, formatAgo(each.setAt, now), each.usedBy.join(', ')]), 'No secret is set.');
    for (const line of missing) printLine(io, line);
    return exitCodes.ok;
  }
  if (act === 'set') {
    if (io.isTerminal && 'isTTY' in io.stdin && io.stdin.isTTY === true) io.stderr.write('The secret, then Ctrl-D on a line of its own:\n');
    const value = (await readAll(io.stdin)).replace(/\r?\n$/, '');
    if (value === '') throw usageFault('standard input has no secret');
    await client.call('setSecret', { params: { name }, body: { value }, signal: io.signal });
  } else await client.call('removeSecret', { params: { name }, signal: io.signal });
  if (values.json) printJson(io, {});
  else printLine(io, act === 'set' ? `The secret ${name} is set.` : `The secret ${name} is removed.`);
  return exitCodes.ok;
}
