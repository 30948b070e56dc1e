// `postern deliveries`: certificates that agents put in place beside application servers, and what became of each.
import type { Client } from '#api/client.ts';
import type { Answer } from '#api/contract.ts';
import { Fault } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import { collect, commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatLength, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern deliveries [--certificate NAME]
       postern deliveries --retry ID | --remove ID

Certificates that agents put in place beside application servers: which, where, and what became of it. postern deliver
sets one up.

      --certificate NAME   only those of one certificate
      --retry ID           try it again now
      --remove ID          put it in place there no more; the files that are there stay
${commonUsage}`;

type Delivery = Answer<'listDeliveries'>['items'][number];

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { certificate: { type: 'string' }, retry: { type: 'string' }, remove: { type: 'string' } }, { min: 0, max: 0 });
  if ([values.certificate, values.retry, values.remove].filter((each) => each !== undefined).length > 1) throw usageFault('--certificate, --retry and --remove do not go together');
  using client = await openGateway(io, values);
  const { signal } = io;
  if (values.retry !== undefined || values.remove !== undefined) {
    const { id, certificateId } = await find(client, (values.retry ?? values.remove)!, signal);
    const params = { certificate: certificateId, id };
    if (values.retry !== undefined) {
      const again = await client.call('retryDelivery', { params, signal });
      if (values.json) printJson(io, again);
      else printLine(io, again.waitsFor === null ? 'It is tried now.' : `It waits for ${again.waitsFor}.`);
    } else {
      await client.call('removeDelivery', { params, signal });
      if (values.json) printJson(io, { removed: id });
      else printLine(io, 'Removed. What is in place there stays.');
    }
    return exitCodes.ok;
  }
  const { certificate } = values;
  const all = await collect(10_000, (query) => (certificate === undefined ? client.call('listDeliveries', { query, signal }) : client.call('listCertificateDeliveries', { params: { certificate }, query, signal })));
  if (values.json) printJson(io, all);
  else show(io, all);
  return exitCodes.ok;
}

async function find(client: Client, id: string, signal: AbortSignal): Promise<Delivery> {
  const found = (await collect(10_000, (query) => client.call('listDeliveries', { query, signal }))).find((each) => each.id === id);
  if (!found) throw new Fault('not-found', `there is no delivery ${id}`, { remedy: 'postern deliveries lists them.' });
  return found;
}

function show(io: CommandIo, all: readonly Delivery[]): void {
  const now = Date.now();
  printTable(
    io,
    ['ID', 'CERTIFICATE', 'AGENT', 'AS', 'STATE', 'IN PLACE SINCE', 'NEXT TRY'],
    all.map((each) => [each.id, each.certificate, each.agent, each.as, each.state, each.deliveredAt === null ? null : formatAgo(each.deliveredAt, now), each.nextTryAt === null ? null : `in ${formatLength(each.nextTryAt - now)}`]),
    'No certificate is handed to an agent. Set one up with: postern deliver CERTIFICATE AGENT',
  );
  for (const each of all) {
    const why = each.why ?? (each.waitsFor === null ? null : `it waits for ${each.waitsFor}`);
    if (each.state === 'delivered' || why === null) continue;
    printLine(io);
    printLine(io, `${printable(each.certificate)} to ${printable(each.agent)} as ${each.as}: ${printable(why, 1_200)}`);
    for (const line of each.output?.split('\n') ?? []) printLine(io, `  | ${printable(line, 400)}`);
  }
}
