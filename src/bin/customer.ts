// `postern customer`: customers, and whose account is suspended.
import { printable } from '#base/log.ts';
import { collect, commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern customer list
       postern customer suspend KEY [--why TEXT]
       postern customer resume KEY

A suspended account changes nothing by itself: it is what rules of redirects can go by ("suspended": true).

      --why TEXT      shown to everybody who sees the customer
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { why: { type: 'string' } }, { min: 1, max: 2 });
  const [act, customer] = positionals as [string, string | undefined];
  if (act !== 'list' && act !== 'suspend' && act !== 'resume') throw usageFault(`there is no "customer ${act}"`);
  if ((act === 'list') !== (customer === undefined)) throw usageFault(act === 'list' ? 'list takes no customer' : 'name the customer by its key');
  if (values.why !== undefined && act !== 'suspend') throw usageFault('--why goes with suspend');
  using client = await openGateway(io, values);
  const { signal } = io;
  if (act === 'list') {
    const all = await collect(10_000, (query) => client.call('listCustomers', { query, signal }));
    const now = Date.now();
    if (values.json) printJson(io, all);
    else printTable(io, ['KEY', 'NAME', 'SUSPENDED', 'WHY'], all.map((each) => [each.key, each.name, each.suspended && formatAgo(each.suspended.since, now), each.suspended?.why]), 'No customers.');
    return exitCodes.ok;
  }
  const params = { customer: customer! };
  const done = act === 'suspend' ? await client.call('suspendCustomer', { params, body: { why: values.why ?? '' }, signal }) : await client.call('resumeCustomer', { params, signal });
  if (values.json) printJson(io, done);
  else printLine(io, done.suspended === null ? `The account of ${printable(done.name)} is resumed.` : `The account of ${printable(done.name)} is suspended; redirect rules that say "suspended" count from now on.`);
  return exitCodes.ok;
}
