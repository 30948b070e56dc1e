// What a command may touch of the process it runs in, so that tests can run one without starting a process.
import { Fault, isFault } from '#base/fault.ts';

export interface CommandIo {
  readonly stdin: NodeJS.ReadableStream;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP: end in order. The second one ends the process. */
  readonly signal: AbortSignal;
  /** stdout is a terminal: progress and tables may be drawn for a person. */
  readonly isTerminal: boolean;
  /** Width to fit human output into. */
  readonly columns: number;
}

/** One command, one file. `run` resolves the exit code; a Fault it throws is printed and becomes one (`exitCodeOf`). */
export interface Command {
  readonly usage: string;
  run(args: string[], io: CommandIo): Promise<number>;
}

export const exitCodes = { ok: 0, failed: 1, usage: 2, notReachable: 3, refused: 4 } as const;

/** The command line itself is wrong; the dispatcher prints the message and where to read more, and exits with 2. */
export function usageFault(message: string): Fault {
  return new Fault('bad-input', message, { detail: { usage: true } });
}

export function exitCodeOf(thrown: unknown): number {
  if (!isFault(thrown)) return exitCodes.failed;
  if (thrown.code === 'bad-input' && thrown.detail['usage'] === true) return exitCodes.usage;
  if (thrown.code === 'unreachable' || thrown.code === 'timeout' || thrown.code === 'offline') return exitCodes.notReachable;
  if (thrown.code === 'unauthenticated' || thrown.code === 'forbidden') return exitCodes.refused;
  return exitCodes.failed;
}

/** The home of what a person keeps for the command line, by the XDG base directory rules. */
export function configFolder(env: CommandIo['env']): string {
  const base = env['XDG_CONFIG_HOME'] || (env['HOME'] ? `${env['HOME']}/.config` : '');
  if (!base) throw new Fault('bad-input', 'there is no place for the profile: neither HOME nor XDG_CONFIG_HOME is set');
  return `${base}/postern`;
}
