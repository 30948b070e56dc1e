// The run of lost servers: a gateway whose store becomes an older one, out of a backup or a copy of its folder. That has to be reported; then what devices still
// have is brought again, and the rest lies in a gap that is told.
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '../kit/postgres.ts';
import { postern, type Page } from '../kit/processes.ts';
import { Line } from './line.ts';
import { addPushDevice, openAgent, openGateway, raise, runShell, type Gateway, type Run } from './lives.ts';
import { compareRecords, RecordFile } from './records.ts';
import { missesOf, type Report } from './report.ts';
import { countBytes, joinStored, readStored, type Joined, type StoredRecord } from './stored.ts';

export interface RestoredOptions {
  readonly seed: string;
  readonly postgres: PostgresServer | null;
  /** How the older state comes: a copy of the folder of a gateway that was killed (SQLite alone), or `postern backup` and `postern restore`. */
  readonly from: 'copy' | 'backup';
  /** What the agent keeps of what it delivered: enough to make it good, or next to nothing. */
  readonly keeps: 'enough' | 'little';
}

const settleMaxMs = 90_000;

async function must(run: Run, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<void> {
  const { code, stderr } = await run.processes.run(postern, args, { env });
  if (code !== 0) throw new Error(`postern ${args.join(' ')}: ${stderr}`);
}

/** Takes the older state, and gives back how to bring it in place of the newer. */
async function takeOlder(run: Run, gateway: Gateway, { from, postgres }: RestoredOptions): Promise<() => Promise<void>> {
  const { dataDir, served } = gateway;
  if (from === 'copy') {
    const copy = join(run.processes.folder, 'older');
    await gateway.lives.kill();
    cpSync(dataDir, copy, { recursive: true });
    await gateway.lives.startPlain();
    return async () => {
      rmSync(dataDir, { recursive: true });
      cpSync(copy, dataDir, { recursive: true });
    };
  }
  const file = join(run.processes.folder, 'older.backup');
  await must(run, ['backup', file], served.env);
  return () => must(run, ['restore', file, '--data', dataDir, '--force', ...(postgres === null || !('address' in gateway.place) ? [] : ['--store', gateway.place.address])]);
}

const untilSo = async (run: Run, what: string, isSo: () => Promise<boolean>): Promise<string[]> => {
  const over = performance.now() + settleMaxMs;
  while (!(await isSo())) {
    if (performance.now() > over || run.ended.aborted) return [`${what}: not within ${settleMaxMs / 1_000} s`];
    await sleep(150);
  }
  return [];
};

/** Each missing record was stored somewhere before; it has to touch a gap that is reported there. */
function unreported(missing: readonly number[], before: readonly StoredRecord[], now: Joined): number[] {
  const places = new Map(before.map((record) => [Number.parseInt(record.text, 10), record]));
  return missing.filter((number) => {
    const place = places.get(number);
    return place === undefined || !now.gaps.some(({ from, to, reason }) => from < place.to && to > place.from && reason.includes('server-lost'));
  });
}

export async function runRestored(run: Run, options: RestoredOptions): Promise<Report> {
  const { seed, postgres, from, keeps } = options;
  const began = performance.now();
  const lines: Line[] = [];
  const gateway = await openGateway(run, 'gateway', { lines, ...(postgres === null ? {} : { store: await postgres.makeDatabase() }) });
  lines.push(await Line.open(gateway.served.httpPort, run.dice.fork('line')));
  run.processes.defer(() => lines[0]![Symbol.asyncDispose]());
  const base = `http://127.0.0.1:${lines[0]!.port}/v1/default`;
  const key = (await addPushDevice(gateway.served, 'SN1', true))!;
  await addPushDevice(gateway.served, 'SN2', false);
  const file = new RecordFile(join(run.processes.folder, 'calls.log'), 'cdr', seed, run.dice.fork('file'));
  const shellFile = new RecordFile(join(run.processes.folder, 'shell.log'), 'shell', seed, run.dice.fork('shell file'));
  run.processes.defer(() => [file, shellFile].forEach((each) => each.close()));
  const agent = openAgent(run, 'agent', { serial: 'SN1', key, base, file: file.path, lines, buffer: { segmentKilobytes: 64, keptKilobytes: keeps === 'enough' ? 8_192 : 0 } });
  await agent.startPlain();
  const misses: string[] = [];
  const stored = async (serial: string) => joinStored([await readStored(gateway.place, serial, 'cdr')]);
  const bring = async (what: string, count: number) => {
    file.append(count);
    // Each of its batches costs a dozen processes.
    shellFile.append(Math.ceil(count / 8));
    for (const each of [file, shellFile]) each.finish();
    const shell = await runShell(run, { serial: 'SN2', base, file: shellFile.path }, settleMaxMs);
    if (shell.code !== 0) misses.push(`examples/push.sh ended with ${shell.code}: ${shell.stderr}`);
    misses.push(...(await untilSo(run, what, async () => (await countBytes(gateway.place, 'SN2', 'cdr')) === shellFile.bytes && (await stored('SN1')).records.some(({ text }) => text.startsWith(`${file.made} `)))));
  };
  await bring('the first records', 800);
  const restore = await takeOlder(run, gateway, options);
  await bring('records that the older state will lack', 2_500);
  const before = await stored('SN1');
  await gateway.lives.kill();
  await restore();
  await gateway.lives.startPlain();
  if (run.dice.chance(0.5)) {
    // It has to know from its disk what it delivered.
    await agent.kill();
    await agent.startPlain();
  }
  lines[0]!.cutAll();
  lines[0]!.calm();
  await bring('records after the older state came back', 600);
  const now = await stored('SN1');
  const shellNow = await stored('SN2');
  const events = async (event: string) => (await gateway.served.ask<Page<{ fields: Record<string, unknown> }>>('GET', `/journal?event=${event}&limit=50`)).items.length;
  for (const event of ['feed.behind', ...(keeps === 'enough' ? ['feed.made-good'] : ['feed.lost'])]) {
    misses.push(...(await untilSo(run, `the journal has ${event}`, async () => (await events(event)) > 0)));
    raise(run.hits, `reported: ${event}`);
  }
  await agent.stop();
  await gateway.lives.stop();
  const compared = [compareRecords(seed, 'cdr', file.made, now.records), compareRecords(seed, 'shell', shellFile.made, shellNow.records)] as const;
  const unsaid = new Set(unreported(compared[0].missing, before.records, now));
  if (keeps === 'enough' && compared[0].missing.length > 0) misses.push(`${compared[0].missing.length} records are missing that the device still had`);
  if (keeps === 'little' && compared[0].missing.length === 0) misses.push('nothing was lost: this run shows nothing');
  misses.push(...now.faults, ...shellNow.faults, ...missesOf(compared[0], (number) => !unsaid.has(number)), ...missesOf(compared[1]));
  return {
    name: `restored from a ${from}, the agent keeps ${keeps}`, seed, store: postgres === null ? 'sqlite' : 'postgres', seconds: Math.round((performance.now() - began) / 1_000), compared, misses,
    gaps: [...now.gaps, ...shellNow.gaps], twice: 0, repeats: now.repeats + shellNow.repeats, epochs: now.epochs + shellNow.epochs, hits: run.hits, busyHits: run.busyHits, lines: lines.map(({ counts }) => counts),
    lives: { gateway: gateway.lives.lives, agent: agent.lives },
  };
}
