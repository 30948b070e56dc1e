// The oracle of exactly once, bounded: real gateways, agents and shell clients, killed at every named point (test/oracle). `npm run oracle` goes on for hours.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { runFaults } from '../oracle/faults.ts';
import type { Run } from '../oracle/lives.ts';
import { runRedirected } from '../oracle/redirected.ts';
import { showReport, type Report } from '../oracle/report.ts';
import { runRestored } from '../oracle/restored.ts';
import { oraclePeers, withRun } from '../oracle/run.ts';
import { startPostgres, withoutPostgres } from '../kit/postgres.ts';

const seed = process.env['POSTERN_ORACLE_SEED'] ?? '1';

suite('exactly once', { skip: oraclePeers.skip }, () => {
  const prove = async (t: { readonly signal: AbortSignal; diagnostic(text: string): void }, name: string, work: (run: Run) => Promise<Report>) => {
    const told: string[] = [];
    const report = await withRun(name, { seed, signal: t.signal, say: (text) => void told.push(text) }, work);
    const shown = showReport(report);
    t.diagnostic(shown);
    assert.deepEqual(report.misses, [], `${shown}\n${told.slice(-60).join('\n')}`);
  };

  test('at every named point, on SQLite', { timeout: 280_000 }, (t) => prove(t, 'faults', (run) => runFaults(run, { seed, postgres: null, forMs: 0, long: false })));

  test('at every named point, on PostgreSQL', { skip: withoutPostgres, timeout: 280_000 }, async (t) => {
    await using postgres = await startPostgres();
    await prove(t, 'faults', (run) => runFaults(run, { seed, postgres, forMs: 0, long: false }));
  });

  test('a server that is restored from a copy is reported, and made good', { timeout: 200_000 }, (t) => prove(t, 'restored', (run) => runRestored(run, { seed, postgres: null, from: 'copy', keeps: 'enough' })));

  test('a server that is restored from a backup is reported, and what is lost lies in a gap', { timeout: 200_000 }, (t) => prove(t, 'restored', (run) => runRestored(run, { seed, postgres: null, from: 'backup', keeps: 'little' })));

  test('redirected there and back in the middle of batches', { timeout: 280_000 }, (t) => prove(t, 'redirects', (run) => runRedirected(run, { seed, postgres: null, rounds: 4 })));
});
