// A program of the operator that makes and removes DNS records: `PROGRAM add|remove NAME VALUE`. Without a shell, with an environment of ours, for a bounded time
// and output. It has to lie in a folder that only the operator of this machine can write to: an API call must not be able to name any program of the system.
import { spawn } from 'node:child_process';
import { lstat, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Fault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';

export interface HookOrder {
  /** Folder of the programs. */
  readonly folder: string;
  /** The file's name, without a path. */
  readonly command: string;
  readonly do: 'add' | 'remove';
  readonly name: string;
  readonly value: string;
  readonly signal: AbortSignal;
}

/** Faults: `not-found`, `forbidden` (others could have written it), `timeout`, `closed` (called off), `internal` (it failed; what it said is in the message). */
export async function runHook(order: HookOrder): Promise<void> {
  const path = await checkProgram(join(order.folder, order.command));
  const what = `${order.command} ${order.do} ${order.name}`;
  await new Promise<void>((resolve, reject) => {
    const child = spawn(path, [order.do, order.name, order.value], {
      cwd: order.folder,
      // Tokens and addresses of the gateway's own environment are no business of the program's.
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', HOME: order.folder },
      stdio: ['ignore', 'pipe', 'pipe'],
      // Its children end with it: a group of their own.
      detached: true,
      shell: false,
    });
    let said = '';
    let ending: Fault | null = null;
    const kill = (fault: Fault) => {
      ending ??= fault;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // it has ended meanwhile
      }
    };
    const timer = setTimeout(() => kill(new Fault('timeout', `the command ${what} did not end within ${limits.acmeCommandTimeoutMs / 1000} s`)), limits.acmeCommandTimeoutMs);
    const onAbort = () => kill(new Fault('closed', 'it was called off'));
    order.signal.addEventListener('abort', onAbort);
    if (order.signal.aborted) onAbort();
    const hear = (piece: Buffer) => {
      said += piece.toString('latin1');
      if (said.length > limits.acmeCommandOutputBytesMax) kill(new Fault('too-large', `the command ${what} says more than ${limits.acmeCommandOutputBytesMax} bytes`));
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    const settle = (end: () => void) => {
      clearTimeout(timer);
      order.signal.removeEventListener('abort', onAbort);
      end();
    };
    child.once('error', (error) => settle(() => reject(new Fault('internal', `the command ${order.command} cannot be started: ${reasonOf(error)}`))));
    child.once('close', (code, signal) => {
      settle(() => {
        if (ending) reject(ending);
        else if (code === 0) resolve();
        else reject(new Fault('internal', `the command ${what} failed (${signal ?? `exit code ${code}`})${said.trim() === '' ? '' : `: ${printable(said.trim().split('\n').slice(-3).join(' | '), 300)}`}`));
      });
    });
  });
}

async function checkProgram(path: string): Promise<string> {
  const refuse = (why: string): never => {
    throw new Fault('forbidden', `the command ${path} is not run: ${why}`, { remedy: 'It and its folder belong to root or to the user of the gateway, and nobody else may write to them.' });
  };
  for (const each of [dirname(path), path]) {
    const found = await lstat(each).catch(() => null);
    if (!found) throw new Fault('not-found', `there is no command ${path}`, { remedy: `Put the program there and make it executable; it is called with "add NAME VALUE" and "remove NAME VALUE".` });
    if (found.isSymbolicLink()) refuse(`${each} is a symbolic link`);
    if (found.uid !== 0 && found.uid !== process.getuid?.()) refuse(`${each} belongs to another user`);
    if ((found.mode & 0o022) !== 0) refuse(`others may write to ${each}`);
    if (each === path && !(found.isFile() && (found.mode & 0o111) !== 0)) refuse('it is not an executable file');
  }
  return realpath(path);
}
