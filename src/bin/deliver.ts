// `postern deliver`: hands a certificate to the agent beside an application server, now and after each renewal.
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { findAgent } from './find-agent.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';

export const usage = `Usage: postern deliver CERTIFICATE AGENT [--as NAME]

Hands a certificate of the gateway, with its key, to an agent that runs beside an application server: now, and again
after each renewal. Which files it becomes there, and which command is run then, is said by a line of the agent's own
policy: install certificate NAME cert=/PATH key=/PATH run=COMMAND. Without that line nothing is installed.

CERTIFICATE is a name or an id; AGENT an id, an agent's name, or a device of it by its label.

      --as NAME       as the agent's policy calls it (default: the certificate's name)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { as: { type: 'string' } }, { min: 2, max: 2 });
  const [certificate, wanted] = positionals as [string, string];
  using client = await openGateway(io, values);
  const agent = await findAgent(client, wanted, io.signal);
  const made = await client.call('addDelivery', { params: { certificate }, body: { agentId: agent.id, ...(values.as === undefined ? {} : { as: values.as }) }, signal: io.signal });
  if (values.json) printJson(io, made);
  else printLine(io, `${printable(made.certificate)} goes to ${printable(made.agent)} as ${made.as}${made.waitsFor === null ? '' : `; it waits for ${made.waitsFor}`}. postern deliveries shows what becomes of it.`);
  return exitCodes.ok;
}
