// What an agent does with a stream that the gateway opened: judge it by the local policy, dial, relay.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf, toFault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { Log } from '#base/log.ts';
import { lineToReach, mayReach } from '#model/policy.ts';
import type { Policy, Transport } from '#model/policy.ts';
import { dialTcp } from '#net/dial.ts';
import { relayFlows } from '#net/flow.ts';
import { dialUdp } from '#net/udp.ts';
import { AnswerCode } from '#wire/preface.ts';
import type { Preface } from '#wire/preface.ts';
import type { ServeInstall } from './agent-install.ts';
import type { Budget } from './budget.ts';
import { acceptStream, answerOfFault, parseTarget } from './open.ts';
import type { Offered } from './open.ts';
import { relayStreams } from './relay.ts';
import { StreamFlow } from './stream-flow.ts';
import type { FlowTally } from './stream-flow.ts';
import type { MuxStream } from './stream.ts';

export interface AgentStreamsOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  readonly budget: Budget;
  /** Of the process. */
  readonly flows: FlowTally;
  policy(): Policy;
  /** The service `install`; without it the agent offers none. */
  readonly install?: ServeInstall | undefined;
  /** The service `doors`; likewise. */
  readonly doors?: ((stream: Duplex) => Promise<void>) | undefined;
  /** The service `probe`; likewise. */
  readonly probe?: ((stream: Duplex) => Promise<void>) | undefined;
}

/** The addresses that may be dialled, in the resolver's order. Faults `forbidden` (with the line to add), `unreachable`. */
async function judge(policy: Policy, transport: Transport, host: string, port: number): Promise<string[]> {
  const addresses = isIP(host) === 0 ? await resolve(host) : [host];
  const allowed = addresses.filter((address) => mayReach(policy, transport, host, address, port));
  if (allowed.length > 0) return allowed;
  throw new Fault('forbidden', `the agent's local policy does not allow ${transport} to ${host} port ${port}`, {
    remedy: `to allow it, add this line to the agent's policy file: ${lineToReach(transport, addresses[0]!, port)}`,
    detail: { answer: AnswerCode.policy },
  });
}

async function resolve(host: string): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch (cause) {
    throw new Fault('unreachable', `the agent cannot find an address for ${host}`, { cause });
  }
}

/** At the first address that takes it. */
async function dialAny<Reached>(addresses: readonly string[], dial: (address: string) => Promise<Reached>): Promise<Reached> {
  let last: unknown;
  for (const address of addresses) {
    try {
      return await dial(address);
    } catch (thrown) {
      last = thrown;
      if (isFault(thrown, 'closed')) break;
    }
  }
  throw last;
}

/** What is reached, relayed once the stream was accepted; resolves with what passed, for the log. */
type Reached = () => Promise<{ readonly bytesIn: number; readonly bytesOut: number }>;

async function reachTcp(stream: MuxStream, preface: Preface, options: AgentStreamsOptions, signal: AbortSignal): Promise<Reached> {
  const { host, port } = parseTarget(preface.target);
  const addresses = await judge(options.policy(), 'tcp', host, port);
  const timeoutMs = Math.min(preface.deadlineMs ?? options.limits.deviceDialTimeoutMs, options.limits.deviceDialTimeoutMs);
  const socket = await dialAny(addresses, (address) => dialTcp({ kind: 'tcp', host: address, port }, { client: preface.client ?? '', timeoutMs, signal }));
  return async () => {
    const { bytesForth, bytesBack } = await relayStreams(stream, socket);
    return { bytesIn: bytesForth, bytesOut: bytesBack };
  };
}

async function reachUdp(stream: MuxStream, preface: Preface, options: AgentStreamsOptions): Promise<Reached> {
  const { clock, limits, log, budget, flows } = options;
  const { host, port } = parseTarget(preface.target);
  const addresses = await judge(options.policy(), 'udp', host, port);
  if (flows.open >= limits.flowsMax) throw new Fault('too-many', `the agent has ${limits.flowsMax} flows open already`);
  const far = await dialAny(addresses, (address) => dialUdp({ host: address, port }, limits));
  return async () => {
    const near = new StreamFlow(stream, { clock, limits, budget, tally: flows });
    // The other end opened it and comes first when nothing moves any more.
    const end = await relayFlows(near, far, { clock, idleMs: limits.flowIdleFarMs });
    const dropped = near.counts.dropped + far.counts.dropped;
    log.debug('flow.closed', { target: preface.target, visit: preface.visit, why: printable(end.why), sent: far.counts.sent, received: far.counts.received, dropped });
    return { bytesIn: far.counts.sentBytes, bytesOut: far.counts.receivedBytes };
  };
}

/** Dials while the opener still wants it. */
async function reach(stream: MuxStream, { preface }: Offered, options: AgentStreamsOptions): Promise<Reached> {
  const given = new AbortController();
  const onClose = () => given.abort();
  stream.once('close', onClose);
  try {
    return preface.kind === 'udp' ? await reachUdp(stream, preface, options) : await reachTcp(stream, preface, options, given.signal);
  } finally {
    stream.off('close', onClose);
  }
}

function serviceOf(options: AgentStreamsOptions, name: string): ((stream: Duplex) => Promise<void>) | undefined {
  if (name === 'install') return options.install;
  if (name === 'doors') return options.doors;
  if (name === 'probe') return options.probe;
  return undefined;
}

/** Serves one stream until it is over. Never rejects. */
export async function serveAgentStream(stream: MuxStream, options: AgentStreamsOptions): Promise<void> {
  const { clock, limits, log } = options;
  let preface: Preface | undefined;
  let isRefused = false;
  try {
    const offered = await acceptStream(stream, { clock, limits });
    preface = offered.preface;
    const service = preface.kind === 'service' ? serviceOf(options, preface.target) : undefined;
    if (preface.kind === 'service' && !service) return offered.refuse({ code: AnswerCode.unsupported, text: `this agent offers no service "${preface.target.slice(0, 40)}"` });
    if (!options.budget.mayOpen) return offered.refuse({ code: AnswerCode.busy, text: 'the agent has no memory left for another stream' });
    if (service) {
      offered.accept();
      return await service(stream);
    }
    let relay: Reached;
    try {
      relay = await reach(stream, offered, options);
    } catch (thrown) {
      offered.refuse(answerOfFault(toFault(thrown)));
      isRefused = true;
      throw thrown;
    }
    offered.accept();
    log.debug('stream.opened', { kind: preface.kind, target: preface.target, client: preface.client, visit: preface.visit });
    const { bytesIn, bytesOut } = await relay();
    log.debug('stream.closed', { target: preface.target, visit: preface.visit, bytesIn, bytesOut });
  } catch (thrown) {
    const fields = { target: printable(preface?.target ?? ''), client: printable(preface?.client ?? ''), visit: preface?.visit, why: reasonOf(thrown) };
    if (isFault(thrown)) log.info('stream.refused', { ...fields, code: thrown.code });
    else log.error('stream.failed', fields);
    if (!isFault(thrown) && !isRefused) stream.destroy();
  }
}
