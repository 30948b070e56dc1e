// Runs a command of the local policy: no shell, an environment of our own, a bounded time, the end of what it said.
import { spawn } from 'node:child_process';
import { setImmediate } from 'node:timers/promises';
import { sleep } from '#base/clock.ts';
import type { Clock } from '#base/clock.ts';
import { printable } from '#base/log.ts';

export interface CommandOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly outputBytesMax: number;
  /** Beside PATH, LANG and HOME; nothing of the agent's own environment is passed on. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Ran {
  /** null: it was ended by a signal, took too long, or could not be started. */
  readonly exitCode: number | null;
  /** What became of it, in a few words: `exit code 1`. */
  readonly how: string;
  /** The last lines that it said, printable. */
  readonly output: string;
}

const shownLinesMax = 20;
const shownCharsMax = 4_000;
/** A daemon that it started may keep its output open for ever. */
const outputEndsMs = 500;

/** Never rejects. */
export async function runCommand([program, ...args]: readonly string[], options: CommandOptions): Promise<Ran> {
  const { clock, timeoutMs, outputBytesMax } = options;
  const child = spawn(program!, args, {
    cwd: '/',
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', HOME: '/', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: false,
    // A group of its own: what takes too long is ended with its children.
    detached: true,
  });
  let said = Buffer.alloc(0);
  const hear = (piece: Buffer) => {
    const all = Buffer.concat([said, piece]);
    said = all.subarray(Math.max(0, all.length - outputBytesMax));
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  let isLate = false;
  const timer = clock.after(timeoutMs, () => {
    isLate = true;
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // it has ended meanwhile
    }
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const ended = await new Promise<Omit<Ran, 'output'>>((resolve) => {
    child.once('error', (error) => resolve({ exitCode: null, how: `it cannot be started: ${error.message}` }));
    child.once('exit', (code, signal) => resolve({ exitCode: code, how: isLate ? `it did not end within ${timeoutMs / 1000} s` : code === null ? `ended by ${signal}` : `exit code ${code}` }));
  });
  timer.cancel();
  const wait = new AbortController();
  await Promise.race([closed, sleep(clock, outputEndsMs, wait.signal)]);
  wait.abort();
  await setImmediate();
  child.stdout.destroy();
  child.stderr.destroy();
  return { ...ended, exitCode: isLate ? null : ended.exitCode, output: lastLines(said.toString('utf8')) };
}

function lastLines(text: string): string {
  const lines = text.split('\n').map((line) => printable(line.trimEnd(), 400)).filter((line) => line !== '');
  return lines.slice(-shownLinesMax).join('\n').slice(-shownCharsMax);
}
