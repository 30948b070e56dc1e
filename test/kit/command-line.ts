// The command line in this process, against the data folder of a gateway that runs: what it printed and how it ended.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import type { CommandIo } from '#bin/io.ts';
import { dispatch } from '#bin/postern.ts';

export interface CommandLine {
  run(...args: string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }>;
  /** One that has to succeed; what it printed. */
  operate(...args: string[]): Promise<string>;
}

/** Both are asked at each command: they come to be in a test's `before`. */
export function openCommandLine(dataDir: () => string, home: () => string): CommandLine {
  const run: CommandLine['run'] = async (...args) => {
    const text = { out: '', err: '' };
    const stream = (which: 'out' | 'err') => new PassThrough().on('data', (piece: Buffer) => void (text[which] += piece.toString()));
    const io: CommandIo = { stdin: new PassThrough().end(), stdout: stream('out'), stderr: stream('err'), env: { HOME: home() }, signal: new AbortController().signal, isTerminal: false, columns: 200 };
    const code = await dispatch([...args, '--data', dataDir()], io);
    await new Promise((next) => setImmediate(next));
    return { code, ...text };
  };
  return {
    run,
    async operate(...args) {
      const ran = await run(...args);
      assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
      return ran.out;
    },
  };
}
