// The programs of others that the tests speak with. One that is missing is a skip that says what to install; where CI=true it is a
// failure, because there `scripts/install-peers.sh` has run.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { isCi } from './gateway.ts';

interface PeerKind {
  readonly package: string;
  /** Looked at besides PATH: system programs are not on everybody's. */
  readonly folders?: readonly string[];
}

const system = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];
const kinds = {
  sshd: { package: 'openssh-server', folders: system },
  ssh: { package: 'openssh-client' },
  scp: { package: 'openssh-client' },
  'ssh-keygen': { package: 'openssh-client' },
  nginx: { package: 'nginx-light', folders: system },
  curl: { package: 'curl' },
  openssl: { package: 'openssl' },
  go: { package: 'golang-go', folders: ['/usr/local/go/bin', '/usr/lib/go/bin'] },
} as const satisfies Record<string, PeerKind>;

export type PeerName = keyof typeof kinds;

function findProgram(name: string, folders: readonly string[]): string | undefined {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), ...folders]) {
    if (folder === '') continue;
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  return undefined;
}

/**
 * `skip` goes into a test's options: false, or why it is skipped. `path` gives absolute paths (sshd insists on one).
 * `optional` peers are skipped in CI too: those that Debian's package list does not bring.
 */
export function findPeers(names: readonly PeerName[], { optional = false } = {}): { readonly skip: string | false; path(name: PeerName): string } {
  const found = new Map(names.map((name) => [name, findProgram(name, (kinds[name] as PeerKind).folders ?? [])]));
  const missing = names.filter((name) => found.get(name) === undefined);
  const why = missing.map((name) => `${name} is not installed (apt install ${kinds[name].package})`).join(', ');
  if (missing.length > 0 && isCi && !optional) throw new Error(`CI=true, and ${why}; scripts/install-peers.sh installs the peers`);
  return {
    skip: missing.length > 0 ? why : false,
    path(name) {
      const path = found.get(name);
      if (path === undefined) throw new Error(`${name} was not asked for, or is not there`);
      return path;
    },
  };
}
