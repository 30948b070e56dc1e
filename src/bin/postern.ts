// The command line: finds the one file of the command and runs it. Nothing else is loaded, because `postern connect`
// is started by ssh for every connection.
import { enableCompileCache } from 'node:module';
import { exitCodeOf, exitCodes } from './io.ts';
import type { Command, CommandIo } from './io.ts';

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

const groups: readonly (readonly [string, Readonly<Record<string, Entry>>])[] = [
  [
    'Run',
    {
      serve: { summary: 'run a gateway', load: () => import('./serve.ts') },
      agent: { summary: 'run the agent of a device or site', load: () => import('./agent.ts') },
      backup: { summary: 'everything of a running gateway into one file', load: () => import('./backup.ts') },
      restore: { summary: 'a data folder out of a backup (offline)', load: () => import('./restore.ts') },
      join: { summary: 'join this machine to a gateway with a one-time token', load: () => import('./join.ts') },
      'probe-credentials': { summary: "what this machine's agent asks devices with by SNMP", load: () => import('./probe-credentials.ts') },
    },
  ],
  [
    'Reach a device',
    {
      ssh: { summary: 'ssh to a device through the gateway', load: () => import('./ssh.ts') },
      connect: { summary: 'standard input and output to a port of a device (ProxyCommand)', load: () => import('./connect.ts') },
      forward: { summary: 'a local port for a port of a device', load: () => import('./forward.ts') },
    },
  ],
  [
    'Look and change',
    {
      login: { summary: 'sign in to a gateway', load: () => import('./login.ts') },
      logout: { summary: 'sign out and forget the profile', load: () => import('./logout.ts') },
      status: { summary: 'what the gateway is doing', load: () => import('./status.ts') },
      doctor: { summary: 'what is wrong, and what to do about it', load: () => import('./doctor.ts') },
      devices: { summary: 'list devices; take them with their keys to another gateway', load: () => import('./devices.ts') },
      device: { summary: 'show, change, lock, unlock, relabel or remove a device', load: () => import('./device.ts') },
      sites: { summary: 'sites and their networks: list, show, add, change, remove; move agents and devices', load: () => import('./sites.ts') },
      doors: { summary: "ports in sites' LANs that lead to the gateway: list, open, close", load: () => import('./doors.ts') },
      addresses: { summary: 'virtual addresses of devices, and whether their network leads here', load: () => import('./addresses.ts') },
      address: { summary: "a device's virtual address: show, set, release", load: () => import('./address.ts') },
      identity: { summary: 'who a device is to applications, and what that rests on', load: () => import('./identity.ts') },
      'device-url': { summary: "a device's own URL of an application: make, list, withdraw", load: () => import('./device-url.ts') },
      sources: { summary: 'which devices may use which applications: list, add, remove, import, export', load: () => import('./sources.ts') },
      unassigned: { summary: 'devices that an application refused, by the code on their panel', load: () => import('./unassigned.ts') },
      probe: { summary: 'ask a device what it is, now', load: () => import('./probe.ts') },
      profile: { summary: 'what devices said that they are; supplies and counters over time', load: () => import('./device-profile.ts') },
      drivers: { summary: 'how devices of a vendor are asked and understood; add your own', load: () => import('./drivers.ts') },
      tags: { summary: 'words on a device that rules can go by', load: () => import('./tags.ts') },
      redirects: { summary: 'which devices are sent to which servers', load: () => import('./redirects.ts') },
      redirect: { summary: 'where a device would be sent, and why', load: () => import('./redirect.ts') },
      server: { summary: 'let a server that devices are sent to run empty', load: () => import('./server.ts') },
      customer: { summary: 'list customers; suspend or resume an account', load: () => import('./customer.ts') },
      'device-key': { summary: 'what a device that pushes proves itself by', load: () => import('./device-key.ts') },
      waiting: { summary: 'devices that push and are not known yet', load: () => import('./waiting.ts') },
      approve: { summary: 'make devices of those that wait', load: () => import('./approve.ts') },
      refuse: { summary: 'turn away what waits', load: () => import('./refuse.ts') },
      'join-token': { summary: 'a one-time token that joins a new device', load: () => import('./join-token.ts') },
      people: { summary: 'list people', load: () => import('./people.ts') },
      invite: { summary: 'a one-time address for a further person', load: () => import('./invite.ts') },
      token: { summary: 'list, make or revoke access tokens', load: () => import('./token.ts') },
      files: { summary: 'files that devices brought: list, fetch, remove', load: () => import('./files.ts') },
      feeds: { summary: 'feeds of devices: what came, how fast, what is missing', load: () => import('./feeds.ts') },
      feed: { summary: 'show a feed with its epochs and gaps, or remove it', load: () => import('./feed.ts') },
      records: { summary: 'records of a feed: read, search, follow, save', load: () => import('./records.ts') },
      sinks: { summary: 'where records go from here, and how far they are', load: () => import('./sinks.ts') },
      replay: { summary: 'deliver a feed to a sink once more', load: () => import('./replay.ts') },
      alerts: { summary: 'records that a pattern found, and who was told', load: () => import('./alerts.ts') },
      secret: { summary: 'set or remove what sinks and alerts prove themselves by', load: () => import('./secret.ts') },
      visits: { summary: 'list visits, or close one', load: () => import('./visits.ts') },
      sessions: { summary: 'sessions of devices with applications: list, end, verify again', load: () => import('./sessions.ts') },
      listeners: { summary: 'ports that the gateway accepts on, and how they fare', load: () => import('./listeners.ts') },
      conns: { summary: 'connections of clients', load: () => import('./conns.ts') },
      close: { summary: 'end a connection', load: () => import('./close.ts') },
      'legacy-clients': { summary: 'who still needs old TLS', load: () => import('./legacy-clients.ts') },
      keeping: { summary: 'what is kept, how much of it and for how long; the disk', load: () => import('./keeping.ts') },
      audit: { summary: 'what people did; verify the chain', load: () => import('./audit.ts') },
      journal: { summary: 'what traffic did', load: () => import('./journal.ts') },
    },
  ],
  [
    'Configure',
    {
      apply: { summary: 'make a file the configuration', load: () => import('./apply.ts') },
      confirm: { summary: 'keep the configuration that was applied for the time being', load: () => import('./confirm.ts') },
      history: { summary: 'the revisions of the configuration: when, who, what', load: () => import('./history.ts') },
      diff: { summary: 'what differs between two revisions', load: () => import('./diff.ts') },
      rollback: { summary: 'bring an earlier revision back', load: () => import('./rollback.ts') },
      export: { summary: 'the configuration as a file', load: () => import('./export.ts') },
      routes: { summary: 'what leads where, and in which order it is looked at', load: () => import('./routes.ts') },
      explain: { summary: 'which rule decides about a request or connection, and why', load: () => import('./explain.ts') },
      snippet: { summary: "configuration for an application's server, so that it hears of devices' addresses", load: () => import('./snippet.ts') },
      prove: { summary: "whether an application's server sees a device's address", load: () => import('./prove.ts') },
      certificates: { summary: 'list certificates: names, days left, who uses them', load: () => import('./certificates.ts') },
      certificate: { summary: 'put in place, ask for, issue, order, sign or download a certificate', load: () => import('./certificate.ts') },
      pins: { summary: 'keys that devices know the gateway by: who has confirmed which; prepare and switch', load: () => import('./pins.ts') },
      deliver: { summary: 'hand a certificate to the agent beside an application server', load: () => import('./deliver.ts') },
      deliveries: { summary: 'certificates that agents put in place, and what became of it', load: () => import('./deliveries.ts') },
      ca: { summary: 'the certificate of the private CA', load: () => import('./ca.ts') },
      'setup-address': { summary: 'the one-time address of the first sign-in (offline)', load: () => import('./setup-address.ts') },
    },
  ],
];

const commands = new Map(groups.flatMap(([, entries]) => Object.entries(entries)));

function overview(): string {
  const width = Math.max(...[...commands.keys()].map((name) => name.length));
  const lines = ['Usage: postern COMMAND [ARGUMENTS]', ''];
  for (const [title, entries] of groups) {
    lines.push(`${title}:`);
    for (const [name, entry] of Object.entries(entries)) lines.push(`  ${name.padEnd(width)}  ${entry.summary}`);
    lines.push('');
  }
  lines.push("'postern COMMAND --help' says more about one. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not reachable, 4 refused.");
  return `${lines.join('\n')}\n`;
}

/** Edits between two short words (Levenshtein, with neighbours swapped as one edit). */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      let least = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

export function nearest(word: string, words: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const other of words) {
    const d = other.startsWith(word) && word.length >= 3 ? 1 : distance(word.slice(0, 24), other);
    if (d < bestDistance) [best, bestDistance] = [other, d];
  }
  return best;
}

function complain(io: CommandIo, name: string, thrown: unknown): number {
  const code = exitCodeOf(thrown);
  // Ended by Ctrl-C: the shell knows; what was aborted is no news.
  if (io.signal.aborted) return 130;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const remedy = 'remedy' in error && typeof error.remedy === 'string' ? `\n${error.remedy}` : '';
  io.stderr.write(`postern ${name}: ${error.message}${remedy}\n`);
  if (code === exitCodes.usage) io.stderr.write(`See 'postern ${name} --help'.\n`);
  else if (error.name !== 'Fault') io.stderr.write(`${error.stack ?? ''}\n`);
  return code;
}

/** Runs one command line and resolves its exit code. Never throws. */
export async function dispatch(argv: readonly string[], io: CommandIo): Promise<number> {
  const [first, ...rest] = argv;
  if (first === undefined) {
    io.stderr.write(overview());
    return exitCodes.usage;
  }
  if (first === '--version' || first === '-V' || first === 'version') {
    const { version } = await import('#base/about.ts');
    io.stdout.write(`postern ${version}\n`);
    return exitCodes.ok;
  }
  const isHelp = first === '--help' || first === '-h' || first === 'help';
  const name = isHelp ? rest[0] : first;
  if (name === undefined) {
    io.stdout.write(overview());
    return exitCodes.ok;
  }
  const entry = commands.get(name);
  if (!entry) {
    const close = nearest(name, commands.keys());
    io.stderr.write(`postern: there is no command '${name}'${close ? `; did you mean '${close}'?` : ''}\nSee 'postern --help'.\n`);
    return exitCodes.usage;
  }
  try {
    const command = await entry.load();
    const before = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest;
    // Only before `--`, and only as the first words: `postern ssh DEVICE ls --help` is for the device.
    if (isHelp || before[0] === '--help' || before[0] === '-h' || (before.length === 2 && (before[1] === '--help' || before[1] === '-h'))) {
      io.stdout.write(command.usage.endsWith('\n') ? command.usage : `${command.usage}\n`);
      return exitCodes.ok;
    }
    return await command.run(rest, io);
  } catch (thrown) {
    return complain(io, name, thrown);
  }
}

/** What others depend on goes on when whoever read its words has gone. */
const standing: ReadonlySet<string | undefined> = new Set(['serve', 'agent', 'join']);

function quietOnBrokenPipe(stream: NodeJS.WriteStream, command: string | undefined): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (standing.has(command)) return;
    // The reader (`head`, a closed terminal) has gone; nobody is left to tell.
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
}

async function main(): Promise<void> {
  enableCompileCache();
  quietOnBrokenPipe(process.stdout, process.argv[2]);
  quietOnBrokenPipe(process.stderr, process.argv[2]);
  const ending = new AbortController();
  let stdinUsed = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (ending.signal.aborted) process.exit(130);
      ending.abort(signal);
    });
  }
  const code = await dispatch(process.argv.slice(2), {
    get stdin() {
      stdinUsed = true;
      return process.stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signal: ending.signal,
    isTerminal: process.stdout.isTTY === true,
    columns: process.stdout.columns ?? 100,
  });
  process.exitCode = code;
  if (stdinUsed) {
    process.stdin.pause();
    if ('unref' in process.stdin) process.stdin.unref(); // a file has none
  }
  // A command that is done ends by itself; should something be left open, it does not keep the shell waiting.
  setTimeout(() => process.exit(code), 1_000).unref();
}

if (import.meta.main) await main();
