// `postern explain`: which rule decides about a request. With a file it needs no gateway.
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { readConfigFile } from './apply.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';

export const usage = `Usage: postern explain URL [--from IP] [--method METHOD] [--file CONFIG]

Which rule decides what happens to a request, step by step. Exit code 4: it would be refused.

      --from IP       where it comes from; default this machine
      --method METHOD default GET
      --file CONFIG   judge by this file; no gateway is asked
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { from: { type: 'string' }, method: { type: 'string' }, file: { type: 'string' } }, { min: 1, max: 1 });
  const question: Question = { url: positionals[0]!, ...(values.from === undefined ? {} : { from: values.from }), ...(values.method === undefined ? {} : { method: values.method.toUpperCase() }) };
  const told = values.file === undefined ? await askGateway(io, values, question) : (await import('#model/explain.ts')).explain(await readConfigFile(io, values.file), question);
  if (values.json) printJson(io, told);
  else for (const line of [...told.lines, `=> ${told.verdict}, by ${told.rule}`]) printLine(io, printable(line, 1_000));
  return told.verdict === 'refuse' ? exitCodes.refused : exitCodes.ok;
}

interface Question {
  readonly url: string;
  readonly from?: string;
  readonly method?: string;
}

async function askGateway(io: CommandIo, values: { readonly data?: string | undefined }, question: Question) {
  using client = await openGateway(io, values);
  return await client.call('explain', { body: question, signal: io.signal });
}
