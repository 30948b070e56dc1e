// Exactly once from a file into the device's buffers, with the real disk: the file is written and rotated while the process that follows it
// is killed again and again.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, copyFileSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLog } from '#base/log.ts';
import { openFeedBuffer } from '#field/buffer.ts';
import { fastClock } from '../kit/record-store.ts';

const program = join(import.meta.dirname, '..', 'kit', 'tail-process.ts');

async function start(state: string, path: string): Promise<ChildProcess> {
  const child = fork(program, [state, path], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve());
    child.once('exit', (code) => reject(new Error(`it ended with ${code}`)));
  });
  return child;
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => void child.once('exit', () => resolve()));
}

/** Bytes that the buffers have. */
function bytesIn(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('message', (message) => resolve((message as [string, number][]).reduce((sum, [, next]) => sum + next, 0)));
    child.send('status');
  });
}

async function recordsOf(state: string, feed: string): Promise<string[]> {
  const settings = { bytesMax: 1 << 28, ageMaxMs: null, segmentBytes: 1 << 20, keptTailBytes: 0 };
  await using buffer = await openFeedBuffer({ dir: join(state, 'feeds'), feed, format: 'stamped', settings, destinations: ['home'], bootId: 'test', uptimeMs: () => 1, clock: fastClock(1), random: (bytes) => randomBytes(bytes), log: silentLog });
  const records: string[] = [];
  let held = Buffer.alloc(0);
  for (let at = 0; at < buffer.next; ) {
    const { bytes, gap } = await buffer.read(at, 65_536);
    assert.equal(gap, null);
    at += bytes!.length;
    held = Buffer.concat([held, bytes!]);
    while (held.length >= 4 && held.length >= 4 + held.readUInt32BE()) {
      const end = 4 + held.readUInt32BE();
      records.push(held.toString('latin1', 12, end));
      held = held.subarray(end);
    }
  }
  return records;
}

for (const way of ['renamed', 'copied and truncated'] as const) {
  test(`a file is written and ${way} while its follower is killed 12 times: every line once`, { timeout: 120_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-tail-'));
    const path = join(folder, 'app.log');
    const state = join(folder, 'state');
    const written: string[] = [];
    let half = '';
    let seed = way.length;
    const next = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    const write = (count: number, isWhole = false) => {
      const fresh = Array.from({ length: count }, () => {
        const line = `${written.length} ${next(9) === 0 ? 'ALARM' : 'call'} ${'.'.repeat(next(250))}`;
        written.push(line);
        return `${line}\n`;
      });
      const whole = half + fresh.join('');
      const cut = isWhole ? whole.length : whole.length - next(Math.min(whole.length, 40) + 1);
      appendFileSync(path, whole.slice(0, cut));
      half = whole.slice(cut);
    };
    const rotate = () => {
      write(0, true);
      if (way === 'renamed') {
        renameSync(path, `${path}.${String(next(1_000_000_000)).padStart(9, '0')}`);
        writeFileSync(path, '');
      } else {
        copyFileSync(path, `${path}.${String(next(1_000_000_000)).padStart(9, '0')}`);
        truncateSync(path);
      }
    };
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    try {
      write(50);
      let child = await start(state, path);
      while ((await bytesIn(child)) === 0) await pause(20);
      for (let kill = 0; kill < 12; kill++) {
        for (let step = next(6); step >= 0; step--) {
          write(1 + next(400));
          if (next(5) === 0) rotate();
          await pause(next(60));
        }
        const gone = ended(child);
        child.kill('SIGKILL');
        await gone;
        if (next(3) === 0) {
          write(next(100));
          rotate();
          write(next(100));
        }
        child = await start(state, path);
      }
      write(0, true);
      const bytes = written.reduce((sum, line) => sum + 12 + line.length, 0);
      for (let tries = 0; (await bytesIn(child)) < bytes && tries < 400; tries++) await pause(50);
      // Whatever would come twice comes now.
      await pause(600);
      const gone = ended(child);
      child.send('end');
      await gone;
      const calls = await recordsOf(state, 'calls');
      const alarms = await recordsOf(state, 'alarms');
      const isAlarm = (line: string) => line.includes('ALARM');
      const byNumber = (lines: readonly string[]) => lines.toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
      assert.deepEqual(byNumber(calls), written.filter((line) => !isAlarm(line)));
      assert.deepEqual(byNumber(alarms), written.filter(isAlarm));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
