// `postern deliver`: hands a certificate to the agent beside an application server, now and after each renewal.
import type { Client } from '#api/client.ts';
import type { Answer } from '#api/contract.ts';
import { Fault } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import { collect, commonUsage, openGateway, parseCommand } from './arguments.ts';
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

type Agent = Answer<'listAgents'>['items'][number];

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

async function findAgent(client: Client, wanted: string, signal: AbortSignal): Promise<Agent> {
  const all = await collect(10_000, (query) => client.call('listAgents', { query, signal }));
  const named = all.filter((each) => each.state !== 'revoked' && (each.id === wanted || each.name === wanted || each.devices.some((device) => device.label === wanted)));
  const found = named.find((each) => each.id === wanted) ?? named[0];
  if (!found) throw new Fault('not-found', `there is no agent "${wanted}", and no device of that label`);
  if (named.length > 1 && found.id !== wanted) throw new Fault('conflict', `"${wanted}" is more than one agent`, { remedy: `Name it by its id: ${named.slice(0, 5).map((each) => each.id).join(', ')}` });
  return found;
}
