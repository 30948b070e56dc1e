// `postern doctor`: the gateway's checks, a site's or a device's, and what to do about each finding. Exits with 1 when one failed.
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';

export const usage = `Usage: postern doctor [OPTIONS]
       postern doctor --site SITE | --device DEVICE [--resolver IP]… [--dns KIND] [OPTIONS]

Checks names, ports, certificates, clock, store, disk, links and devices that push, and says what to do. For a site or a
device it looks why devices do not arrive at applications as themselves: what the site's resolvers answer, how devices
came, doors, local policies, virtual addresses, profiles. Codes HP-1 … HP-12 are on the page "Addresses that go wrong".
Exit code 1: a check failed.

      --site SITE      by id, name or CUSTOMER/NAME
      --device DEVICE  by id, label or CUSTOMER/NAME
      --resolver IP    a resolver that devices there use, beside those of the agents and the routers; may be repeated
      --dns KIND       the lines for this resolver: dnsmasq, unbound, bind, windows, pihole, adguard, opnsense, mikrotik,
                       openwrt, fritzbox; or all
      --quiet          only what is not in order
${commonUsage}`;

const marks = { ok: 'ok     ', warning: 'warning', failure: 'FAILED ', skipped: 'skipped' } as const;
const kinds = ['dnsmasq', 'unbound', 'bind', 'windows', 'pihole', 'adguard', 'opnsense', 'mikrotik', 'openwrt', 'fritzbox', 'all'] as const;
type Kind = (typeof kinds)[number];

interface Shown {
  readonly title: string;
  readonly status: keyof typeof marks;
  readonly verdict: string;
  readonly evidence: readonly string[];
  readonly remedy: string | null;
  readonly code?: string | null;
  readonly ranOn?: string;
  readonly snippets?: readonly { readonly kind: Kind; readonly title: string; readonly lines: readonly string[]; readonly note: string }[];
}

function printSnippets(io: CommandIo, snippets: NonNullable<Shown['snippets']>, kind: Kind | undefined): void {
  if (snippets.length === 0) return;
  if (kind === undefined) return printLine(io, `           lines to write: --dns ${[...new Set(snippets.map((each) => each.kind))].join(', ')} or all`);
  for (const { title, lines, note } of snippets.filter((each) => kind === 'all' || each.kind === kind)) {
    printLine(io, `         # ${title}`);
    for (const line of lines) printLine(io, `           ${line}`);
    if (note !== '') printLine(io, `         # ${note}`);
  }
}

function printFinding(io: CommandIo, finding: Shown, kind: Kind | undefined): void {
  const { code = null, ranOn, snippets = [] } = finding;
  printLine(io, `${marks[finding.status]}  ${finding.title}: ${code === null ? '' : `${code}, `}${printable(finding.verdict, 500)}`);
  if (finding.status === 'ok' || finding.status === 'skipped') return;
  for (const line of finding.evidence) printLine(io, `           ${printable(line, 500)}`);
  if (ranOn !== undefined && ranOn !== 'gateway') printLine(io, `           asked by ${printable(ranOn, 200)}`);
  if (finding.remedy !== null) printLine(io, `         > ${printable(finding.remedy, 500)}`);
  printSnippets(io, snippets, kind);
}

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { quiet: { type: 'boolean' }, site: { type: 'string' }, device: { type: 'string' }, resolver: { type: 'string', multiple: true }, dns: { type: 'string' } }, { min: 0, max: 0 });
  const { site, device, resolver: resolvers = [] } = values;
  const kind = kinds.find((each) => each === values.dns);
  if (site !== undefined && device !== undefined) throw usageFault('--site and --device: give one');
  if (site === undefined && device === undefined && (resolvers.length > 0 || values.dns !== undefined)) throw usageFault('--resolver and --dns go with --site or --device');
  if (values.dns !== undefined && kind === undefined) throw usageFault(`--dns takes ${kinds.join(', ')}`);
  using client = await openGateway(io, values);
  const { signal } = io;
  const report: { readonly at: number; readonly findings: readonly Shown[] } =
    site !== undefined
      ? await client.call('doctorSite', { params: { site }, body: { resolvers }, signal })
      : device !== undefined
        ? await client.call('doctorDevice', { params: { device }, body: { resolvers }, signal })
        : await client.call('runDoctor', { signal });
  if (values.json) printJson(io, report);
  else for (const finding of report.findings) if (!values.quiet || finding.status !== 'ok') printFinding(io, finding, kind);
  return report.findings.some((finding) => finding.status === 'failure') ? exitCodes.failed : exitCodes.ok;
}
