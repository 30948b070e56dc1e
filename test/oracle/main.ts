// `npm run oracle -- --hours N [--store sqlite|postgres] [--seed S]`: run after run with seeds that follow from the first, until the time is over; counts every minute, a
// table at the end, and 1 where anything was missed.
import { parseArgs } from 'node:util';
import { startPostgres, withoutPostgres, type PostgresServer } from '../kit/postgres.ts';
import { runFaults } from './faults.ts';
import type { Run } from './lives.ts';
import { runRedirected } from './redirected.ts';
import { showReport, type Report } from './report.ts';
import { runRestored } from './restored.ts';
import { oraclePeers, withRun } from './run.ts';

const usage = `Usage: npm run oracle -- --hours N [--store sqlite|postgres] [--seed S] [--only faults|restored|redirects] [--verbose]

Devices that push, gateways, and bad lines between them, killed at named points, let down by their disks, restored from older backups and
redirected to each other; then what is stored is held against what was made. Seeds of the runs are S.1, S.2 …; --only and a run's seed bring back
its plan of faults: --seed S.7 --hours 0 makes that one run of each kind.
`;

const line = (text: string): void => void process.stdout.write(`${text}\n`);

type Kind = 'faults' | 'restored' | 'redirects';

interface Plan {
  readonly kind: Kind;
  readonly run: (run: Run, seed: string) => Promise<Report>;
}

const runMs = 15 * 60_000;

function plansOf(postgres: PostgresServer | null, leftMs: () => number): Plan[] {
  const restored = (from: 'copy' | 'backup', keeps: 'enough' | 'little'): Plan => ({ kind: 'restored', run: (run, seed) => runRestored(run, { seed, postgres, from, keeps }) });
  return [
    { kind: 'faults', run: (run, seed) => runFaults(run, { seed, postgres, forMs: Math.min(runMs, leftMs()), long: leftMs() > 0, onMinute: line }) },
    restored('backup', 'enough'),
    restored('backup', 'little'),
    ...(postgres === null ? [restored('copy', 'enough'), restored('copy', 'little')] : []),
    { kind: 'redirects', run: (run, seed) => runRedirected(run, { seed, postgres, rounds: leftMs() > 0 ? 40 : 6 }) },
  ];
}

function showTable(reports: readonly Report[]): void {
  const sum = (of: (report: Report) => number) => reports.reduce((total, report) => total + of(report), 0);
  line('\nRUN  NAME                                             SEED          SECONDS      MADE   MISSING  DOUBLED  CORRUPTED  REPEATS  MISSES');
  for (const [at, report] of reports.entries()) {
    const of = (count: (each: Report['compared'][number]) => number) => report.compared.reduce((total, each) => total + count(each), 0);
    const numbers = [report.seconds, of(({ made }) => made), of(({ missing }) => missing.length), of(({ duplicated }) => duplicated.length), of(({ corrupted }) => corrupted.length), report.repeats, report.misses.length];
    line(`${String(at + 1).padStart(3)}  ${report.name.padEnd(48)} ${report.seed.padEnd(12)} ${numbers.map((number) => String(number).padStart(8)).join(' ')}`);
  }
  line(`${reports.length} runs, ${sum(({ repeats }) => repeats)} repeats answered, ${sum(({ misses }) => misses.length)} misses. Missing are those alone whose gap is reported, and what a TCP source had not flushed when it was killed.`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { hours: { type: 'string', default: '0' }, store: { type: 'string', default: 'sqlite' }, seed: { type: 'string' }, only: { type: 'string' }, verbose: { type: 'boolean', default: false } } });
  const hours = Number(values.hours);
  if (!(hours >= 0) || !['sqlite', 'postgres'].includes(values.store) || !['faults', 'restored', 'redirects', undefined].includes(values.only)) {
    process.stderr.write(usage);
    return 2;
  }
  const missing = oraclePeers.skip || (values.store === 'postgres' && withoutPostgres);
  if (missing !== false) {
    process.stderr.write(`oracle: ${missing}\n`);
    return 2;
  }
  const seed = values.seed ?? String(Date.now() % 1_000_000);
  const over = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => over.abort());
  const began = performance.now();
  const leftMs = () => Math.max(0, hours * 3_600_000 - (performance.now() - began));
  line(`oracle: seed ${seed}, ${hours} h on ${values.store}`);
  const postgres = values.store === 'postgres' ? await startPostgres() : null;
  const reports: Report[] = [];
  try {
    for (let round = 1; (round === 1 || leftMs() > 0) && !over.signal.aborted; round++) {
      const roundSeed = hours === 0 ? seed : `${seed}.${round}`;
      for (const { kind, run } of plansOf(postgres, leftMs)) {
        if ((values.only !== undefined && values.only !== kind) || over.signal.aborted) continue;
        const report = await withRun(kind, { seed: roundSeed, signal: over.signal, say: (text) => values.verbose && line(text) }, (each) => run(each, roundSeed));
        reports.push(report);
        line(showReport(report));
      }
    }
  } finally {
    await postgres?.[Symbol.asyncDispose]();
  }
  showTable(reports);
  return reports.some(({ misses }) => misses.length > 0) || over.signal.aborted ? 1 : 0;
}

process.exitCode = await main();
