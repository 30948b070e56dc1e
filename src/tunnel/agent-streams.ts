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
import type { Policy } from '#model/policy.ts';
import { dialTcp } from '#net/dial.ts';
import { AnswerCode } from '#wire/preface.ts';
import type { Preface } from '#wire/preface.ts';
import type { Budget } from './budget.ts';
import { acceptStream, answerOfFault, parseTarget } from './open.ts';
import { relayStreams } from './relay.ts';

export interface AgentStreamsOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  readonly budget: Budget;
  policy(): Policy;
}

/** The addresses that may be dialled, in the resolver's order. Faults `forbidden` (with the line to add), `unreachable`. */
async function judge(policy: Policy, host: string, port: number): Promise<string[]> {
  const addresses = isIP(host) === 0 ? await resolve(host) : [host];
  const allowed = addresses.filter((address) => mayReach(policy, 'tcp', host, address, port));
  if (allowed.length > 0) return allowed;
  throw new Fault('forbidden', `the agent's local policy does not allow tcp to ${host} port ${port}`, {
    remedy: `to allow it, add this line to the agent's policy file: ${lineToReach('tcp', addresses[0]!, port)}`,
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

async function dial(preface: Preface, options: AgentStreamsOptions, signal: AbortSignal): Promise<Duplex> {
  const { host, port } = parseTarget(preface.target);
  const addresses = await judge(options.policy(), host, port);
  const timeoutMs = Math.min(preface.deadlineMs ?? options.limits.deviceDialTimeoutMs, options.limits.deviceDialTimeoutMs);
  let last: unknown;
  for (const address of addresses) {
    try {
      return await dialTcp({ kind: 'tcp', host: address, port }, { client: preface.client ?? '', timeoutMs, signal });
    } catch (thrown) {
      last = thrown;
      if (isFault(thrown, 'closed')) break;
    }
  }
  throw last;
}

/** Serves one stream until it is over. Never rejects. */
export async function serveAgentStream(stream: Duplex, options: AgentStreamsOptions): Promise<void> {
  const { clock, limits, log } = options;
  let preface: Preface | undefined;
  let isRefused = false;
  try {
    const offered = await acceptStream(stream, { clock, limits });
    preface = offered.preface;
    if (preface.kind !== 'tcp') {
      return offered.refuse({ code: AnswerCode.unsupported, text: preface.kind === 'service' ? `this agent offers no service "${preface.target.slice(0, 40)}"` : `this agent forwards no ${preface.kind}` });
    }
    if (!options.budget.mayOpen) return offered.refuse({ code: AnswerCode.busy, text: 'the agent has no memory left for another stream' });
    const given = new AbortController();
    const onClose = () => given.abort();
    stream.once('close', onClose);
    let socket: Duplex;
    try {
      socket = await dial(preface, options, given.signal);
    } catch (thrown) {
      offered.refuse(answerOfFault(toFault(thrown)));
      isRefused = true;
      throw thrown;
    } finally {
      stream.off('close', onClose);
    }
    offered.accept();
    log.debug('stream.opened', { target: preface.target, client: preface.client, visit: preface.visit });
    const { bytesForth, bytesBack } = await relayStreams(stream, socket);
    log.debug('stream.closed', { target: preface.target, visit: preface.visit, bytesIn: bytesForth, bytesOut: bytesBack });
  } catch (thrown) {
    const fields = { target: printable(preface?.target ?? ''), client: printable(preface?.client ?? ''), visit: preface?.visit, why: reasonOf(thrown) };
    if (isFault(thrown)) log.info('stream.refused', { ...fields, code: thrown.code });
    else log.error('stream.failed', fields);
    if (!isFault(thrown) && !isRefused) stream.destroy();
  }
}
