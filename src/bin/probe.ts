// `postern probe`: asks a device what it is, now, through the agent of its site.
import type { ProfileView } from '#api/probe-shapes.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { printable } from '#base/log.ts';
import { printJson } from './output.ts';
import { printExplained, printProfile } from './probe-show.ts';

export const usage = `Usage: postern probe DEVICE [--explain]

Asks DEVICE (label, id or customer/name) what it is: by SNMP, IPP, its web page and its certificate, through the agent of its site. Where it
does not answer, it says which question failed, at which address, through which agent, and when it last did. postern profile shows what is known.

      --explain       every question and its answer, and why this driver was chosen
${commonUsage}`;

const waitMs = 1_000;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { explain: { type: 'boolean' } }, { min: 1, max: 1 });
  const device = positionals[0]!;
  using client = await openGateway(io, values);
  const explain = values.explain === true;
  let shown = false;
  const show = ({ run: now, device: name }: ProfileView) => {
    if (!io.isTerminal || !now) return;
    shown = true;
    const what = now.state === 'waiting' ? 'waits for its turn' : `${now.answered} of ${now.asked} answers${now.last === null ? '' : `, ${now.last}`}`;
    io.stderr.write(`\r\u001b[K${printable(`asking ${name}: ${what}`, Math.max(20, io.columns - 2))}`);
  };
  // Short waits, so that somebody who looks sees how far it is; who comes back joins the same probe.
  let view = await client.call('probeDevice', { params: { device }, body: { waitMs: 0, explain }, signal: io.signal });
  while (view.run) {
    show(view);
    view = await client.call('probeDevice', { params: { device }, body: { waitMs, explain }, signal: io.signal });
  }
  if (shown) io.stderr.write('\r\u001b[K');
  if (values.json) printJson(io, view);
  else {
    printProfile(io, view, Date.now());
    if (explain) printExplained(io, view);
  }
  return view.profile !== null && view.readAt === view.triedAt ? exitCodes.ok : exitCodes.failed;
}
