// `postern redirect SERIAL`: where a device would be sent, and why; nothing changes.
import type { Answer } from '#api/contract.ts';
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatLength, printFacts, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern redirect SERIAL [OPTIONS]

Where would this device go, and why? Each rule with the first condition that fails, its lease, what it brought here and
where that was sealed. Nothing changes by asking.

      --customer KEY  its customer (default: the first)
      --from ADDRESS  the address that it comes from
      --host NAME     the name that it dials
      --path PATH     what it asks for, behind the customer (default: push/SERIAL)
      --by PROOF      what it proves itself by: key, sign, certificate, agent or nothing (sign)
      --plain         over plain http
      --hops N        how often it was sent on already (0)
${commonUsage}`;

type Preview = Answer<'previewRedirect'>;

const proofs = ['key', 'sign', 'certificate', 'agent', 'nothing'] as const;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const text = { type: 'string' } as const;
  const options = { customer: text, from: text, host: text, path: text, by: text, plain: { type: 'boolean' }, hops: text } as const;
  const { values, positionals } = parseCommand(args, options, { min: 1, max: 1 });
  const { customer, from = '', host = '', path = '' } = values;
  const by = proofs.find((each) => each === (values.by ?? 'sign'));
  if (by === undefined) throw usageFault('--by is key, sign, certificate, agent or nothing');
  const hops = parseCount(values.hops, 'hops', 0, 0);
  using client = await openGateway(io, values);
  const body = { serial: positionals[0]!, from, host, path, hops, by, secure: values.plain !== true, ...(customer === undefined ? {} : { customer }) };
  const preview = await client.call('previewRedirect', { body, signal: io.signal });
  if (values.json) printJson(io, preview);
  else show(io, positionals[0]!, preview);
  return exitCodes.ok;
}

function show(io: CommandIo, serial: string, { known, device, decision, rules, lease, failed, epochs }: Preview): void {
  const now = Date.now();
  const outcome = decision.kind === 'send' ? `goes to ${decision.server} at ${decision.base} for ${decision.ttlSeconds} s` : 'is answered here';
  printLine(io, `${printable(serial)} ${outcome}: ${printable(decision.text, 500)}`);
  printLine(io);
  printFacts(io, [
    ['device', known ? `${device!.name} (${device!.label})` : 'not known here: it would have to be approved first'],
    ['tags', device?.tags.join(', ')],
    ['lease', lease === null ? 'none' : `${lease.server}, by rule ${lease.rule}, since ${formatAgo(lease.givenAt, now)}, for another ${formatLength(lease.until - now)}`],
    ...failed.map(({ server, until }) => ['failed at', `${server}: not sent there for another ${formatLength(until - now)}`] as const),
  ]);
  printLine(io);
  printTable(io, ['RULE', '', 'WHY'], rules.map(({ rule, state, why }) => [rule, state === 'taken' ? 'decides' : state === 'behind' ? 'comes later' : 'does not match', why]), 'There are no rules: every device stays here.');
  if (epochs.length === 0) return;
  printLine(io);
  const sealed = (at: number | null, to: string | null) => (at === null ? null : `${formatAgo(at, now)}, went to ${to ?? 'nobody knows where'}`);
  printTable(io, ['FEED', 'EPOCH', 'HERE', 'SEALED'], epochs.map(({ feed, epoch, start, next, sealedAt, sealedTo }) => [feed, epoch, `${start}–${next}`, sealed(sealedAt, sealedTo)]), '');
}
