// A feed's buffer on the real disk, whose process is killed at any moment: what was flushed is there, once, in order.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { silentLog } from '#base/log.ts';
import { openFeedBuffer } from './buffer.ts';

const root = await mkdtemp(join(tmpdir(), 'postern-buffer-'));
const children: ChildProcess[] = [];
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});
const project = resolve(import.meta.dirname, '..', '..');

const still = { nowMs: () => 0, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
const settings = { bytesMax: 64 * 1024 * 1024, ageMaxMs: null, segmentBytes: 32 * 1024, keptTailBytes: 64 * 1024 * 1024 };
const openIn = (dir: string) => openFeedBuffer({ dir, feed: 'cdr', format: 'lines', settings, destinations: ['home'], bootId: 'boot', uptimeMs: () => 0, clock: still, random: randomBytes, log: silentLog });

/** Appends lines `LIFE NUMBER`, and says each number that is flushed. */
const program = (dir: string, life: number) => `
  import { randomBytes } from 'node:crypto';
  import { writeSync } from 'node:fs';
  import { silentLog } from '#base/log.ts';
  import { openFeedBuffer } from '#field/buffer.ts';
  const still = { nowMs: () => 0, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
  const buffer = await openFeedBuffer({ dir: ${JSON.stringify(dir)}, feed: 'cdr', format: 'lines', settings: ${JSON.stringify(settings)}, destinations: ['home'], bootId: 'boot', uptimeMs: () => 0, clock: still, random: randomBytes, log: silentLog });
  for (let number = 0; ; ) {
    for (let more = 1 + number % 40; more > 0; more--) buffer.appendBytes(Buffer.from('${life} ' + number++ + ' ' + 'x'.repeat(number % 300) + '\\n'));
    await buffer.flush();
    await buffer.setPosition('home', Math.min(buffer.next, number));
    writeSync(1, (number - 1) + '\\n');
  }
`;

async function live(dir: string, life: number, flushes: number): Promise<number> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '-e', program(dir, life)], { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  let flushed = -1;
  let lines = 0;
  for await (const line of createInterface(child.stdout!)) {
    flushed = Number(line);
    if (++lines === 1) await assert.rejects(openIn(dir), (thrown) => isFault(thrown, 'conflict'), 'two processes have it');
    if (lines === flushes) child.kill('SIGKILL');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  assert.equal(child.signalCode, 'SIGKILL');
  return flushed;
}

test('kill -9 in the middle of writing, six times', async () => {
  const flushed: number[] = [];
  for (let life = 0; life < 6; life++) flushed.push(await live(root, life, 1 + life * 7));
  const buffer = await openIn(root);
  const pieces: Buffer[] = [];
  for (let offset = 0; offset < buffer.next; ) {
    const { bytes, gap } = await buffer.read(offset, 100_000);
    assert.equal(gap, null);
    pieces.push(bytes!);
    offset += bytes!.length;
  }
  await buffer.close();
  const lines = Buffer.concat(pieces).toString().split('\n');
  assert.equal(lines.pop(), '', 'whole lines');
  const numbers = new Map<string, number>();
  for (const line of lines) {
    const [life, number] = line.split(' ') as [string, string];
    assert.equal(Number(number), (numbers.get(life) ?? -1) + 1, 'each once, in order');
    numbers.set(life, Number(number));
  }
  for (const [life, number] of flushed.entries()) assert.ok((numbers.get(String(life)) ?? -1) >= number, `life ${life}: ${number} flushed, ${numbers.get(String(life))} there`);
});
