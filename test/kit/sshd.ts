// A real sshd for tests: a configuration, a host key and one allowed client key of its own; serves the user who runs the tests.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, type Processes } from './processes.ts';

export interface Sshd {
  readonly port: number;
  readonly keyFile: string;
  /** Knows the host key by the name that was given. */
  readonly knownHosts: string;
}

/** `programs`: absolute paths, sshd insists on one. */
export async function startSshd(processes: Processes, programs: { readonly sshd: string; readonly keygen: string }, name: string): Promise<Sshd> {
  const folder = join(processes.folder, 'sshd');
  mkdirSync(folder, { mode: 0o700 });
  // The packaged server's start script makes this; without it sshd does not start as root.
  if (process.getuid?.() === 0 && !existsSync('/run/sshd')) mkdirSync('/run/sshd', { mode: 0o755 });
  const keyFile = join(folder, 'client');
  for (const file of [keyFile, join(folder, 'host')]) {
    const made = await processes.run(programs.keygen, ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
    assert.equal(made.code, 0, made.stderr);
  }
  const port = await freePort();
  const config = join(folder, 'sshd_config');
  writeFileSync(join(folder, 'authorized'), readFileSync(`${keyFile}.pub`));
  writeFileSync(
    config,
    `Port ${port}
ListenAddress 127.0.0.1
HostKey ${join(folder, 'host')}
PidFile none
AuthorizedKeysFile ${join(folder, 'authorized')}
# The folder stands under one that everybody may write to.
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
`,
  );
  const sshd = processes.start(programs.sshd, ['-D', '-e', '-f', config]);
  await sshd.says(/Server listening on 127\.0\.0\.1 port/);
  const knownHosts = join(folder, 'known_hosts');
  const [type, key] = readFileSync(join(folder, 'host.pub'), 'utf8').split(' ');
  writeFileSync(knownHosts, `${name} ${type} ${key}\n`);
  return { port, keyFile, knownHosts };
}
