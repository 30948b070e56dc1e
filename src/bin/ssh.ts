// `postern ssh`: OpenSSH to a device through the gateway, with everything that the person's own ssh can do.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { Fault } from '#base/fault.ts';
import { usageFault } from './io.ts';
import type { CommandIo } from './io.ts';

export const usage = `Usage: postern ssh [OPTIONS OF SSH] [USER@]DEVICE [ARGUMENTS OF SSH]

Runs OpenSSH through the gateway of your profile (postern login). Host keys are remembered under the device's name.
scp and sftp work the same way: scp -o ProxyCommand="postern connect %h %p" FILE DEVICE:
`;

/** ssh's options that take a value (ssh.1): the word behind them is not the device. */
const withValue = new Set('BbcDEeFIiJLlmOoPpQRSWw');

/** Where among the arguments the destination is; -1 without one. */
export function findDestination(args: readonly string[]): number {
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!;
    if (word === '--') return i + 1 < args.length ? i + 1 : -1;
    if (!word.startsWith('-') || word === '-') return i;
    for (let at = 1; at < word.length; at++) {
      if (!withValue.has(word[at]!)) continue;
      if (at === word.length - 1) i += 1;
      break;
    }
  }
  return -1;
}

const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;

/** The arguments for OpenSSH. The device's name goes through a shell and through ssh's percent tokens. Fault `bad-input`. */
export function sshArguments(args: readonly string[], self: readonly string[]): string[] {
  const at = findDestination(args);
  if (at < 0) throw usageFault('the device is missing');
  const destination = args[at]!;
  const user = destination.lastIndexOf('@');
  const device = destination.slice(user + 1);
  if (!/^[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$/.test(device)) throw usageFault(`"${device}" is not the name of a device`);
  // ssh takes no slash in a host name; the device is named in the command, the alias is for known_hosts.
  const host = device.replaceAll('/', '.');
  const command = [...self, 'connect', device].map((word) => quoted(word).replaceAll('%', '%%')).join(' ');
  const options = ['-o', `ProxyCommand=${command} %p`, '-o', `HostKeyAlias=${host}`, '-o', 'CheckHostIP=no'];
  return [...options, ...args.slice(0, at), `${destination.slice(0, user + 1)}${host}`, ...args.slice(at + 1)];
}

export async function run(args: string[], io: CommandIo): Promise<number> {
  const entry = process.argv[1];
  const self = [process.execPath, ...process.execArgv, ...(entry === undefined ? [] : [resolve(entry)])];
  const child = spawn('ssh', sshArguments(args, self), { stdio: 'inherit', env: { ...io.env } });
  return await new Promise((done, fail) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      fail(error.code === 'ENOENT' ? new Fault('not-found', 'ssh is not installed here', { remedy: 'Install OpenSSH: apt install openssh-client' }) : error);
    });
    child.on('exit', (code, signal) => done(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}
