// Composition of the agent: its state folder, its link and what it offers.
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { hostname, uptime } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { builtAtMs, version } from '#base/about.ts';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { defaultPolicyText, parsePolicy } from '#model/policy.ts';
import type { Policy } from '#model/policy.ts';
import { buildAgentDoors } from '#tunnel/agent-doors.ts';
import { buildAgentInstall } from '#tunnel/agent-install.ts';
import { serveAgentStream } from '#tunnel/agent-streams.ts';
import { buildBudget } from '#tunnel/budget.ts';
import { dialGateway } from '#tunnel/gateway-dial.ts';
import { joinGateway, renewCertificate } from '#tunnel/joining.ts';
import { keepLinked } from '#tunnel/link.ts';
import type { StandingLink } from '#tunnel/link.ts';
import { buildNeighbours } from '#tunnel/neighbours.ts';
import { newFlowTally } from '#tunnel/stream-flow.ts';
import { parseJoinToken } from '#wire/join-token.ts';
import { openTurns, policyName, readAgentState, readPolicyFile, removeTurn, writeAgentState, writeFirstPolicy } from './agent-state.ts';
import type { AgentState } from './agent-state.ts';

export interface AgentOptions {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Instead of the addresses in the state folder. */
  readonly addresses?: readonly string[];
  /** Default: `policy` in the state folder when it exists. */
  readonly policyFile?: string;
  /** Default: `feeds.json` in the state folder when it exists. */
  readonly feedsFile?: string;
  /** Called each time a link stands. */
  readonly onLinked?: (linkId: string) => void;
}

const product = `postern/${version} ${process.platform}-${process.arch}`;
const budgetBytes = 128 * 1024 * 1024;
const policyLookMs = 5_000;
const renewalLookMs = 3_600_000;
const dialTimeoutMs = 15_000;

const firstPolicy = `# What this device's owner lets the gateway reach, open and install. One rule a line; the gateway cannot change it.
#   reach tcp|udp HOST|NETWORK PORTS     e.g.  reach tcp 192.0.2.0/24 80,443,8000-8100
#                                        or    reach udp 192.0.2.0/24 161          (SNMP, for probes of devices)
#   listen tcp ADDRESS PORTS             e.g.  listen tcp 192.0.2.7 80,443     for doors: what connects there is carried to the gateway
#   install certificate NAME cert=/PATH key=/PATH run=COMMAND       and       run COMMAND = /PROGRAM ARGUMENT …
# Saved changes count within five seconds.
${defaultPolicyText}`;

export interface JoinAgentOptions {
  readonly stateDir: string;
  readonly token: string;
  /** Tried before the addresses in the token. */
  readonly address?: string;
  /** Default: this machine's host name. */
  readonly name?: string;
  /** Replaces an identity that the folder has already. */
  readonly again: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Makes the identity of an agent and keeps it. Faults: `conflict` (the folder has one), and those of `joinGateway`. */
export async function joinAgent(options: JoinAgentOptions): Promise<AgentState> {
  const token = parseJoinToken(options.token);
  if (!options.again && (await readAgentState(options.stateDir)) !== null) {
    throw new Fault('conflict', `${options.stateDir} holds the identity of an agent already`, { remedy: 'Run it with `postern agent`, replace it with --again, or name another folder with --state DIR.' });
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const addresses = options.address === undefined ? token.addresses : [options.address, ...token.addresses.filter((address) => address !== options.address)];
  const dialOptions = { timeoutMs: dialTimeoutMs, nowMs: () => options.clock.nowMs(), builtAtMs, signal: options.signal };
  const joined = await joinGateway({ ...token, addresses }, { key, name: options.name ?? hostname(), product }, dialOptions);
  const state: AgentState = { ...joined, caFingerprint: token.caFingerprint, key };
  await writeAgentState(options.stateDir, state);
  await removeTurn(options.stateDir);
  await writeFirstPolicy(options.stateDir, firstPolicy);
  return state;
}

/** The policy, looked at again as its file changes; a version that cannot be read changes nothing. */
async function keepPolicy(options: AgentOptions): Promise<{ current(): Policy; watch(onChange: () => void): () => void; stop(): void }> {
  const path = options.policyFile ?? join(options.stateDir, policyName);
  const read = async () => {
    const text = await readPolicyFile(path);
    if (text === null && options.policyFile !== undefined) throw new Fault('not-found', `there is no policy file ${path}`);
    return text ?? defaultPolicyText;
  };
  let text = await read();
  let policy = parsePolicy(text);
  const watchers = new Set<() => void>();
  const look = async () => {
    const now = await read();
    if (now === text) return;
    text = now;
    policy = parsePolicy(now);
    options.log.info('policy.changed', { file: path, rules: policy.lines.length });
    for (const watcher of watchers) watcher();
  };
  const timer = options.clock.every(policyLookMs, () => {
    look().catch((thrown: unknown) => options.log.warn('policy.unreadable', { file: path, why: reasonOf(thrown) }));
  });
  return {
    current: () => policy,
    watch(onChange) {
      watchers.add(onChange);
      return () => void watchers.delete(onChange);
    },
    stop: () => timer.cancel(),
  };
}

/** Due after two thirds of its life: 60 of 90 days. */
function isRenewalDue(certificate: string, nowMs: number): boolean {
  const { validFromDate, validToDate } = new X509Certificate(certificate);
  const from = validFromDate.getTime();
  return nowMs >= from + ((validToDate.getTime() - from) * 2) / 3;
}

/**
 * Runs until the signal aborts. Faults: `not-found` (no identity in the folder), `bad-input` (damaged state or policy, or the
 * gateway does not understand this agent).
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { stateDir, clock, log, random, signal } = options;
  const found = await readAgentState(stateDir);
  if (found === null) throw new Fault('not-found', `there is no agent in ${stateDir}`, { remedy: 'Join with `postern join TOKEN`; the console shows the line under "Add a device".' });
  let state = found;
  const policy = await keepPolicy(options);
  const turns = await openTurns(stateDir);
  const budget = buildBudget(budgetBytes, (heldBytes) => log.warn('stream.reset', { why: 'memory budget', heldBytes }));
  const flows = newFlowTally();
  const install = buildAgentInstall({ clock, limits, log, random, policy: policy.current });
  // Most agents are never asked to probe, and what SNMP needs is much.
  let probe: Promise<(stream: Duplex) => Promise<void>> | null = null;
  const serveProbe = async (stream: Duplex) => {
    probe ??= import('#field/probe.ts').then(({ buildProbe }) => buildProbe({ clock, limits, log, random, stateDir, policy: policy.current }));
    await (await probe)(stream);
  };
  const doors = buildAgentDoors({
    clock, limits, log,
    policy: policy.current,
    watchPolicy: policy.watch,
    macOf: buildNeighbours(limits),
    openDoor: (fields, given) => (standing === null ? Promise.reject(new Fault('offline', 'the link to the gateway does not stand')) : standing.openService('door', fields, given)),
  });
  const addresses = () => options.addresses ?? state.addresses;
  const dialOptions = () => ({ caFingerprint: state.caFingerprint, key: state.key, certificate: state.certificate, timeoutMs: dialTimeoutMs, nowMs: () => clock.nowMs(), builtAtMs, signal });
  // One after the other: a renewal and new addresses may come together, and two writers of one file can leave neither.
  let written: Promise<void> = Promise.resolve();
  const keep = (change: Partial<AgentState>): Promise<void> => {
    state = { ...state, ...change };
    const mine = written.then(() => writeAgentState(stateDir, state));
    written = mine.catch(() => {});
    return mine;
  };
  const renew = async (at: readonly string[]) => {
    await keep({ certificate: await renewCertificate(at, state.device?.name ?? hostname(), dialOptions()) });
    log.info('certificate.renewed', {});
  };
  const lookAtCertificate = () => {
    if (!isRenewalDue(state.certificate, clock.nowMs())) return;
    renew(addresses()).catch((thrown: unknown) => log.warn('certificate.not-renewed', { why: reasonOf(thrown), code: isFault(thrown) ? thrown.code : undefined }));
  };
  const renewal = clock.every(renewalLookMs, lookAtCertificate);
  let standing: StandingLink | null = null;
  // Where the link ends by a Fault, the feeds end with it.
  const ended = new AbortController();
  // An agent without feeds does not carry around what they need.
  const hasFeeds = options.feedsFile !== undefined || existsSync(join(stateDir, 'feeds.json'));
  const feeds = hasFeeds && (await import('./agent-feeds.ts')).keepAgentFeeds({
    stateDir, clock, log, random,
    signal: AbortSignal.any([signal, ended.signal]),
    feedsFile: options.feedsFile,
    policy: policy.current,
    certificate: () => ({ cert: state.certificate, key: state.key }),
    sharesConnection: false,
    dialLink: async () => {
      if (standing === null) throw new Fault('offline', 'the link to the gateway does not stand');
      return { stream: await standing.openService('push'), over: 'link', pin: null };
    },
  });
  // The clocks' timers keep no process alive, and between two dials there is nothing else.
  const alive = setInterval(() => {}, 2 ** 30);
  try {
    lookAtCertificate();
    await keepLinked(
      {
        clock, log, random, limits, budget, turns, product, addresses,
        slot: 0,
        instance: random(16).toString('hex'),
        can: ['tcp', 'udp', 'service'],
        dial: (address) => dialGateway(address, dialOptions()),
        renew: (address) => renew([address]),
        hello: () => ({ policy: policy.current().lines, platform: `${process.platform}-${process.arch}`, uptimeMs: Math.round(uptime() * 1000) }),
        watchHello: policy.watch,
        onStream: (stream) => void serveAgentStream(stream, { clock, limits, log, budget, flows, install, doors: (open) => doors.serve(open), probe: serveProbe, policy: policy.current }),
        onAddresses: (list, working) => {
          if (options.addresses !== undefined) return;
          // What the gateway believes in may not be reachable from here: known ones stay, and one that works and still counts leads.
          const lead = list.includes(working) ? [working] : [];
          const next = [...new Set([...lead, ...list, working, ...state.addresses])].slice(0, 16);
          if (next.join(' ') !== state.addresses.join(' ')) void keep({ addresses: next }).catch((thrown: unknown) => log.warn('addresses.not-kept', { why: reasonOf(thrown) }));
        },
        onLinked: (linkId) => options.onLinked?.(linkId),
        onStanding: (link) => {
          standing = link;
          void link.closed.then(() => {
            if (standing === link) standing = null;
          });
        },
      },
      signal,
    );
  } finally {
    ended.abort();
    // What was read is durable before we are gone.
    await feeds;
    await doors.close();
    clearInterval(alive);
    renewal.cancel();
    policy.stop();
  }
}
