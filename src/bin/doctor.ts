// `postern doctor`: the gateway's checks, and what to do about each finding. Exits with 1 when one failed.
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';

export const usage = `Usage: postern doctor [OPTIONS]

Checks names, ports, certificates, clock, store, disk, links and devices that push, and says what to do. Exit code 1: a check failed.

      --quiet         only what is not in order
${commonUsage}`;

const marks = { ok: 'ok     ', warning: 'warning', failure: 'FAILED ', skipped: 'skipped' } as const;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { quiet: { type: 'boolean' } }, { min: 0, max: 0 });
  using client = await openGateway(io, values);
  const report = await client.call('runDoctor', { signal: io.signal });
  const failed = report.findings.filter((finding) => finding.status === 'failure');
  if (values.json) printJson(io, report);
  else {
    for (const finding of report.findings) {
      if (values.quiet && finding.status === 'ok') continue;
      printLine(io, `${marks[finding.status]}  ${finding.title}: ${printable(finding.verdict, 500)}`);
      if (finding.status === 'ok' || finding.status === 'skipped') continue;
      for (const line of finding.evidence) printLine(io, `           ${printable(line, 500)}`);
      if (finding.remedy !== null) printLine(io, `         > ${printable(finding.remedy, 500)}`);
    }
  }
  return failed.length === 0 ? exitCodes.ok : exitCodes.failed;
}
