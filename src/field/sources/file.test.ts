// Files that are written, renamed, copied and truncated by others, while we read, stop, and crash: every line once.
import assert from 'node:assert/strict';
import { appendFileSync, copyFileSync, mkdtempSync, renameSync, rmSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { compilePattern } from '#model/pattern.ts';
import { ListStore, sourceDeps, until } from '../../../test/kit/record-store.ts';
import type { FeedSettings } from '../settings.ts';
import type { Framing } from '../source-settings.ts';
import { openFile } from './file.ts';
import { isRotatedName } from './folder.ts';
import type { Source } from './source.ts';

const lines: Framing = { kind: 'lines', end: 'any', keepEmpty: false };

interface Bench {
  readonly folder: string;
  readonly log: string;
  readonly store: ListStore;
  start(options?: { readonly path?: string; readonly from?: 'start' | 'end'; readonly framing?: Framing; readonly feed?: Partial<FeedSettings>; readonly stores?: Readonly<Record<string, ListStore>> }): Promise<Source>;
  [Symbol.asyncDispose](): Promise<void>;
}

function openBench(): Bench {
  const folder = mkdtempSync(join(tmpdir(), 'postern-file-'));
  const log = join(folder, 'app.log');
  const store = new ListStore();
  const sources: Source[] = [];
  return {
    folder,
    log,
    store,
    async start({ path = log, from = 'start', framing = lines, feed = {}, stores = {} } = {}) {
      const source = await openFile({ kind: 'file', path, from }, framing, sourceDeps({ cdr: store, ...stores }, { feed: { framing, ...feed }, factor: 25 }));
      sources.push(source);
      return source;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(sources.map((source) => source.close()));
      rmSync(folder, { recursive: true });
    },
  };
}

const numbered = (first: number, count: number) => Array.from({ length: count }, (_, index) => `line ${first + index} ${'.'.repeat((first + index) % 40)}`);
const text = (list: readonly string[]) => list.map((line) => `${line}\n`).join('');

test('lines as they come; half a line waits for its end', async () => {
  await using bench = openBench();
  writeFileSync(bench.log, 'one\ntwo\nhal');
  const source = await bench.start();
  await until('two lines', () => bench.store.records.length === 2);
  appendFileSync(bench.log, 'f\r\nfour\n');
  await until('four lines', () => bench.store.records.length === 4);
  appendFileSync(bench.log, 'fi');
  await source.close();
  appendFileSync(bench.log, 've\n');
  const again = await bench.start();
  await until('five lines', () => bench.store.records.length === 5);
  await again.close();
  assert.deepEqual(bench.store.records, ['one', 'two', 'half', 'four', 'five']);
  assert.equal(again.status().records, 1);
});

test('a file that is renamed is read to its end, also what comes late, before the new one', async () => {
  await using bench = openBench();
  const all = numbered(0, 60);
  writeFileSync(bench.log, text(all.slice(0, 20)));
  const source = await bench.start();
  await until('20 lines', () => bench.store.records.length === 20);
  appendFileSync(bench.log, text(all.slice(20, 30)));
  renameSync(bench.log, `${bench.log}.1`);
  appendFileSync(`${bench.log}.1`, text(all.slice(30, 40)));
  writeFileSync(bench.log, text(all.slice(40, 50)));
  await until('50 lines', () => bench.store.records.length === 50);
  assert.deepEqual(bench.store.records, all.slice(0, 50));
  appendFileSync(`${bench.log}.1`, text(all.slice(50)));
  await until('60 lines', () => bench.store.records.length === 60);
  await source.close();
  assert.deepEqual(bench.store.records, all);
});

test('renamed, renamed again and deleted while nobody looked: what is still there is read, each line once', async () => {
  await using bench = openBench();
  const all = numbered(0, 80);
  writeFileSync(`${bench.log}.7`, 'older than this source\n');
  await new Promise((resolve) => setTimeout(resolve, 30));
  writeFileSync(bench.log, text(all.slice(0, 20)));
  const before = await bench.start();
  await until('20 lines', () => bench.store.records.length === 20);
  await before.close();
  appendFileSync(bench.log, text(all.slice(20, 40)));
  renameSync(bench.log, `${bench.log}.1`);
  writeFileSync(bench.log, text(all.slice(40, 60)));
  renameSync(`${bench.log}.1`, `${bench.log}.2`);
  renameSync(bench.log, `${bench.log}.1`);
  writeFileSync(bench.log, text(all.slice(60)));
  const source = await bench.start();
  await until('80 lines', () => bench.store.records.length === 80);
  await source.close();
  assert.deepEqual(bench.store.records, all);
  const again = await bench.start();
  await until('all files looked at', () => again.status().connected > 0);
  await again.close();
  assert.deepEqual(bench.store.records, all);
});

for (const isRunning of [true, false]) {
  test(`copied and truncated, ${isRunning ? 'while it is read' : 'while nobody looked'}: the rest comes out of the copy`, async () => {
    await using bench = openBench();
    const all = numbered(0, 400);
    writeFileSync(bench.log, text(all.slice(0, 100)));
    let source = await bench.start();
    await until('100 lines', () => bench.store.records.length === 100);
    if (!isRunning) await source.close();
    // The copy gets lines that nobody has read, and the new beginning is longer than the old file was.
    appendFileSync(bench.log, text(all.slice(100, 150)));
    copyFileSync(bench.log, `${bench.log}.1`);
    truncateSync(bench.log);
    appendFileSync(bench.log, text(all.slice(150, 350)));
    if (!isRunning) source = await bench.start();
    await until('350 lines', () => bench.store.records.length === 350);
    renameSync(`${bench.log}.1`, `${bench.log}.2`);
    copyFileSync(bench.log, `${bench.log}.1`);
    truncateSync(bench.log);
    appendFileSync(bench.log, text(all.slice(350)));
    await until('400 lines', () => bench.store.records.length === 400);
    await source.close();
    assert.deepEqual(bench.store.records, all);
  });
}

test('emptied when it was left, then filled, copied over an older copy and truncated while nobody looked: the copy is read', async () => {
  await using bench = openBench();
  const all = numbered(0, 200);
  writeFileSync(`${bench.log}.2`, 'older than this source\n');
  writeFileSync(bench.log, text(all.slice(0, 50)));
  let source = await bench.start();
  await until('50 lines', () => bench.store.records.length === 50);
  copyFileSync(bench.log, `${bench.log}.1`);
  truncateSync(bench.log);
  const { dev, ino } = statSync(bench.log);
  await until('it begins anew', () => bench.store.checkpoints().get(`cdr/${dev}:${ino}`)?.includes('"turn":2') === true);
  await source.close();
  appendFileSync(bench.log, text(all.slice(50, 150)));
  // Into the file that is there: its number is that of the copy that was read.
  copyFileSync(bench.log, `${bench.log}.1`);
  truncateSync(bench.log);
  source = await bench.start();
  await until('150 lines', () => bench.store.records.length === 150);
  appendFileSync(bench.log, text(all.slice(150)));
  await until('200 lines', () => bench.store.records.length === 200);
  await source.close();
  assert.deepEqual(bench.store.records, all);
});

test('a copy that is made before the file is truncated, seen between the two: each line once', async () => {
  await using bench = openBench();
  const all = numbered(0, 90);
  writeFileSync(bench.log, '');
  let source = await bench.start();
  await until('it has begun', () => bench.store.checkpoints().has('cdr/begun'));
  await source.close();
  writeFileSync(bench.log, text(all.slice(0, 60)));
  copyFileSync(bench.log, `${bench.log}.1`);
  source = await bench.start();
  await until('60 lines', () => bench.store.records.length >= 60);
  // Some looks at the folder.
  await new Promise((resolve) => setTimeout(resolve, 300));
  truncateSync(bench.log);
  appendFileSync(bench.log, text(all.slice(60)));
  await until('90 lines', () => bench.store.records.length >= 90);
  await source.close();
  assert.deepEqual(bench.store.records, all);
});

test('the first line is half read when the file is copied and truncated: it is not cut where its reading stopped', async () => {
  await using bench = openBench();
  writeFileSync(bench.log, 'the first half, ');
  const source = await bench.start();
  await until('it was read', () => source.status().bytes === 16);
  appendFileSync(bench.log, 'the other half\nand another\n');
  copyFileSync(bench.log, `${bench.log}.1`);
  truncateSync(bench.log);
  appendFileSync(bench.log, 'a new one\n');
  await until('three lines', () => bench.store.records.length >= 3);
  await source.close();
  const again = await bench.start();
  await until('it looks', () => again.status().connected > 0);
  await again.close();
  assert.deepEqual(bench.store.records, ['the first half, the other half', 'and another', 'a new one']);
});

test('a clock that was a day ahead when the file was left: a copy that was made since is read', async () => {
  await using bench = openBench();
  const all = numbered(0, 40);
  writeFileSync(bench.log, '');
  const deps = sourceDeps({ cdr: bench.store }, { feed: { framing: lines }, factor: 25 });
  const ahead = await openFile({ kind: 'file', path: bench.log, from: 'start' }, lines, { ...deps, clock: { ...deps.clock, nowMs: () => Date.now() + 86_400_000 } });
  await until('it has begun', () => bench.store.checkpoints().has('cdr/begun'));
  await ahead.close();
  writeFileSync(bench.log, text(all));
  copyFileSync(bench.log, `${bench.log}.1`);
  truncateSync(bench.log);
  const source = await bench.start();
  await until('40 lines', () => bench.store.records.length >= 40);
  await source.close();
  assert.deepEqual(bench.store.records, all);
});

test('all files have other numbers after a restart, as when a disk was replaced: nothing is read again', async () => {
  await using bench = openBench();
  const all = numbered(0, 150);
  writeFileSync(bench.log, text(all.slice(0, 50)));
  let source = await bench.start();
  await until('50 lines', () => bench.store.records.length === 50);
  copyFileSync(bench.log, `${bench.log}.1`);
  truncateSync(bench.log);
  appendFileSync(bench.log, text(all.slice(50, 100)));
  await until('100 lines', () => bench.store.records.length === 100);
  await source.close();
  const paths = [bench.log, `${bench.log}.1`];
  for (const path of paths) copyFileSync(path, `${path}.moved`);
  for (const path of paths) renameSync(`${path}.moved`, path);
  source = await bench.start();
  await until('it looks', () => source.status().connected > 0);
  appendFileSync(bench.log, text(all.slice(100)));
  await until('150 lines', () => bench.store.records.length >= 150);
  await source.close();
  assert.deepEqual(bench.store.records, all);
});

test('the same line all day, renamed twice while nobody looked: as many as there were', async () => {
  await using bench = openBench();
  const line = 'nothing to report\n';
  writeFileSync(bench.log, line.repeat(100));
  let source = await bench.start();
  await until('100 lines', () => bench.store.records.length === 100);
  await source.close();
  renameSync(bench.log, `${bench.log}.2`);
  writeFileSync(bench.log, line.repeat(120));
  renameSync(bench.log, `${bench.log}.1`);
  await new Promise((resolve) => setTimeout(resolve, 30));
  writeFileSync(bench.log, line.repeat(150));
  source = await bench.start();
  await until('370 lines', () => bench.store.records.length >= 370);
  await source.close();
  assert.equal(bench.store.records.length, 370);
});

test('files that begin with the same titles are told apart; one without a name of the pattern is left alone', async () => {
  await using bench = openBench();
  const path = join(bench.folder, 'cdr-*.csv');
  writeFileSync(join(bench.folder, 'cdr-1.csv'), 'from,to,seconds\n');
  writeFileSync(join(bench.folder, 'other.csv'), 'not asked for\n');
  const source = await bench.start({ path });
  await until('one line', () => bench.store.records.length === 1);
  writeFileSync(join(bench.folder, 'cdr-2.csv'), 'from,to,seconds\n20,911,7\n');
  await until('three lines', () => bench.store.records.length === 3);
  appendFileSync(join(bench.folder, 'cdr-1.csv'), '30,40,50\n');
  await until('four lines', () => bench.store.records.length === 4);
  await source.close();
  assert.deepEqual(bench.store.records, ['from,to,seconds', 'from,to,seconds', '20,911,7', '30,40,50']);
});

test('a pattern that finds the copies, too: a copy is not read again', async () => {
  await using bench = openBench();
  const all = numbered(0, 60);
  writeFileSync(bench.log, text(all.slice(0, 40)));
  const path = `${bench.log}*`;
  let source = await bench.start({ path });
  await until('40 lines', () => bench.store.records.length === 40);
  copyFileSync(bench.log, `${bench.log}.1`);
  // It is seen once before the file is truncated.
  await new Promise((resolve) => setTimeout(resolve, 200));
  truncateSync(bench.log);
  appendFileSync(bench.log, text(all.slice(40)));
  await until('60 lines', () => bench.store.records.length === 60);
  await source.close();
  source = await bench.start({ path });
  await until('it looks', () => source.status().connected > 0);
  await source.close();
  assert.deepEqual(bench.store.records, all);
});

test('from the end: what was there is left out at the very first start alone', async () => {
  await using bench = openBench();
  writeFileSync(bench.log, 'old\n');
  const source = await bench.start({ from: 'end' });
  await until('it reads', () => source.status().connected === 1);
  await source.close();
  appendFileSync(bench.log, 'new\n');
  renameSync(bench.log, `${bench.log}.1`);
  writeFileSync(bench.log, 'newer\n');
  const again = await bench.start({ from: 'end' });
  await until('two lines', () => bench.store.records.length === 2);
  await again.close();
  assert.deepEqual(bench.store.records, ['new', 'newer']);
});

test('one file for two feeds: each line once in the one that its rule names, after a crash as well', async () => {
  await using bench = openBench();
  const alarms = new ListStore();
  const feed = { split: [{ pattern: compilePattern('ALARM'), feed: 'alarms' }] };
  const stores = { alarms };
  const both = () => bench.store.records.length + alarms.records.length;
  const all = Array.from({ length: 300 }, (_, index) => `${index % 7 === 0 ? 'ALARM' : 'call'} ${index}`);
  writeFileSync(bench.log, text(all.slice(0, 100)));
  let source = await bench.start({ feed, stores });
  await until('100 lines', () => both() === 100);
  await bench.store.flush();
  await alarms.flush();
  appendFileSync(bench.log, text(all.slice(100, 200)));
  await until('200 lines', () => both() === 200);
  await source.close();
  // One of them keeps much, the other little.
  bench.store.crash((unflushed) => Math.floor(unflushed / 3));
  alarms.crash((unflushed) => Math.min(unflushed, 12));
  appendFileSync(bench.log, text(all.slice(200)));
  source = await bench.start({ feed, stores });
  await until('300 lines', () => both() >= 300);
  await source.close();
  assert.deepEqual(bench.store.records, all.filter((line) => line.startsWith('call')));
  assert.deepEqual(alarms.records, all.filter((line) => line.startsWith('ALARM')));
});

test('plain bytes: the file as it is, across a crash', async () => {
  await using bench = openBench();
  const feed = { format: 'raw' };
  const framing: Framing = { kind: 'none' };
  const bytes = Array.from({ length: 50_000 }, (_, index) => String.fromCharCode(32 + ((index * 7) % 90))).join('');
  writeFileSync(bench.log, bytes.slice(0, 20_000));
  const source = await bench.start({ framing, feed });
  await until('20000 bytes', () => bench.store.records.join('').length === 20_000);
  await bench.store.flush();
  appendFileSync(bench.log, bytes.slice(20_000, 30_000));
  await until('30000 bytes', () => bench.store.records.join('').length === 30_000);
  await source.close();
  bench.store.crash(() => 0);
  appendFileSync(bench.log, bytes.slice(30_000));
  const again = await bench.start({ framing, feed });
  await until('50000 bytes', () => bench.store.records.join('').length >= 50_000);
  await again.close();
  assert.equal(bench.store.records.join(''), bytes);
});

test('a file that is deleted unread is told of, and the source lives on', async () => {
  await using bench = openBench();
  writeFileSync(bench.log, 'one\n');
  const source = await bench.start({ path: join(bench.folder, 'none', '*.log') });
  await source.close();
  const other = await bench.start();
  await until('one line', () => bench.store.records.length === 1);
  unlinkSync(bench.log);
  writeFileSync(bench.log, 'two\n');
  await until('two lines', () => bench.store.records.length === 2);
  await other.close();
  assert.deepEqual(bench.store.records, ['one', 'two']);
});

test('a disk that takes nothing makes the file wait, and does not keep the source from being closed', async () => {
  await using bench = openBench();
  const line = 'x'.repeat(9_999);
  writeFileSync(bench.log, `${line}\n`.repeat(1_000));
  bench.store.isBroken = true;
  let source = await bench.start();
  await until('it waits', () => bench.store.refusals > 2);
  assert.ok(bench.store.records.length < 250, `${bench.store.records.length} lines were taken`);
  await source.close();
  bench.store.crash(() => 0);
  bench.store.isBroken = false;
  source = await bench.start();
  await until('all lines', () => bench.store.records.length >= 1_000);
  await source.close();
  assert.equal(bench.store.records.length, 1_000);
});

test('names that rotation makes', () => {
  for (const name of ['app.log.1', 'app.log.10', 'app.log-20261120', 'app-20261120.log', 'app.3.log', 'app.log.2026-11-20T10:00', 'app.log-20261120-1795159800']) assert.ok(isRotatedName(name, 'app.log'), name);
  for (const name of ['app.log', 'app.log.bak', 'app.log.1.gz', 'app.log1', 'application.log.1', 'app.log.', 'app.log.old', 'xapp.log.1']) assert.ok(!isRotatedName(name, 'app.log'), name);
});

// POSTERN_FILE_SEED=N repeats a run, POSTERN_FILE_RUNS=N makes more.
const firstSeed = Number(process.env['POSTERN_FILE_SEED'] ?? 1);
const seeds = Number(process.env['POSTERN_FILE_RUNS'] ?? (process.env['POSTERN_FILE_SEED'] === undefined ? 8 : 1));
for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
  test(`written, rotated both ways, stopped and crashed at random, seed ${seed}: every line once`, async () => {
    await using bench = openBench();
    let state = seed * 7_919;
    const next = (below: number) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % below;
    };
    const isCopied = seed % 2 === 0;
    const written: string[] = [];
    let half = '';
    let source: Source | null;
    const write = (count: number) => {
      const fresh = Array.from({ length: count }, () => {
        const line = `${seed} ${written.length} ${'x'.repeat(next(300))}`;
        written.push(line);
        return line;
      });
      const whole = half + text(fresh);
      // Cut anywhere: the rest comes with the next write, in the same file.
      const cut = next(3) === 0 ? whole.length - next(Math.min(whole.length, 60) + 1) : whole.length;
      appendFileSync(bench.log, whole.slice(0, cut));
      half = whole.slice(cut);
    };
    const rotate = () => {
      appendFileSync(bench.log, half);
      half = '';
      for (let number = 6; number >= 1; number--) {
        try {
          renameSync(`${bench.log}.${number}`, `${bench.log}.${number + 1}`);
        } catch {
          // not there yet
        }
      }
      if (isCopied) {
        copyFileSync(bench.log, `${bench.log}.1`);
        truncateSync(bench.log);
      } else {
        renameSync(bench.log, `${bench.log}.1`);
        writeFileSync(bench.log, '');
      }
    };
    write(3);
    source = await bench.start();
    await until('the first look', () => bench.store.checkpoints().has('cdr/begun'));
    await bench.store.flush();
    for (let step = 0; step < 60; step++) {
      const kind = next(10);
      if (kind < 5) write(1 + next(40));
      else if (kind === 5) rotate();
      else if (kind === 6 && source === null) source = await bench.start();
      else if (kind === 7 && source !== null) {
        await source.close();
        source = null;
      } else if (kind === 8 && source !== null) {
        await source.close();
        source = null;
        bench.store.crash((unflushed) => next(unflushed + 1));
      } else if (kind === 9) await bench.store.flush();
      await new Promise((resolve) => setTimeout(resolve, next(30)));
      // What is rotated away as often as its names last is gone; the source has to have a look before.
      if (kind === 5) {
        source ??= await bench.start();
        const count = written.length;
        await until(`${count} lines`, () => bench.store.records.length >= count);
      }
    }
    appendFileSync(bench.log, half);
    source ??= await bench.start();
    await until(`${written.length} lines`, () => bench.store.records.length >= written.length);
    await source.close();
    assert.deepEqual(bench.store.records.toSorted(), written.toSorted());
  });
}
