// The gateway's end of users' streams: `postern ssh`, `connect` and `forward` (docs/wire/tunnel.md §7). One session for each
// process of a caller, its rights judged at every stream's opening.
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf, toFault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { Log } from '#base/log.ts';
import type { Journal } from '#model/live.ts';
import type { Visitor } from '#model/visitor.ts';
import type { DialBy } from '#net/dial.ts';
import { relayFlows } from '#net/flow.ts';
import type { Flow } from '#net/flow.ts';
import type { TakenOver, Takeover } from '#net/takeover.ts';
import type { RequestHead } from '#wire/http1.ts';
import { AnswerCode } from '#wire/preface.ts';
import type { Preface } from '#wire/preface.ts';
import { checkUpgradeRequest, CloseCode, encodeUpgradeAnswer } from '#wire/websocket.ts';
import type { Budget } from './budget.ts';
import { streamProtocol } from './greeting.ts';
import { acceptStream, answerOfFault } from './open.ts';
import { refuseHandshake } from './refusal.ts';
import { relayStreams } from './relay.ts';
import { MuxSession } from './session.ts';
import { buildDropNote, newFlowTally, StreamFlow } from './stream-flow.ts';
import type { DropNote, FlowTally } from './stream-flow.ts';
import type { MuxStream } from './stream.ts';

export interface CallersOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Limits;
  readonly random: Random;
  readonly newId: () => Id;
  readonly budget: Budget;
  /** Who asks. Faults `unauthenticated`, `forbidden`, `too-many`. */
  authenticate(head: RequestHead, from: string): Visitor | Fault;
  /** Judges the right and dials; `device` as the person wrote it. Faults become answers. */
  open(visitor: Visitor, device: string, port: number, by: DialBy): Promise<Duplex>;
  openFlow(visitor: Visitor, device: string, port: number, by: DialBy): Promise<Flow>;
}

export interface Callers {
  /** `GET /stream` */
  readonly takeover: Takeover;
  /** Ends the sessions, and with them the streams, of the visitors that match. Returns how many. */
  closeWhere(matches: (visitor: Visitor) => boolean, why: string): number;
  readonly sessions: number;
  /** Flows of callers: open now, and what passed since the start; `sent` is towards callers. */
  readonly flows: Readonly<FlowTally>;
  close(): void;
}

interface Caller {
  readonly visitor: Visitor;
  readonly from: string;
  readonly session: MuxSession;
  readonly budget: Budget;
  /** Open or being opened. */
  flows: number;
  readonly flowDrops: DropNote;
}

/** `device/port`, the device as a person writes it: id, label, or customer/name. Fault `bad-input`. */
export function parseDeviceTarget(target: string): { device: string; port: number } {
  const slash = target.lastIndexOf('/');
  const port = Number(target.slice(slash + 1));
  if (slash < 1 || !/^\d{1,5}$/.test(target.slice(slash + 1)) || port < 1 || port > 65_535) throw new Fault('bad-input', `"${target.slice(0, 80)}" is not device/port`);
  return { device: target.slice(0, slash), port };
}

export function buildCallers(options: CallersOptions): Callers {
  const { clock, log, journal, limits, budget } = options;
  const callers = new Set<Caller>();
  const flows = newFlowTally();
  let isClosed = false;

  /** A person's sessions have one together, or more sessions were more memory. */
  const shareOf = (personId: Id): Budget => {
    for (const caller of callers) if (caller.visitor.person.id === personId) return caller.budget;
    return budget.share();
  };

  /** Judged, dialled, and what relays it once the stream was accepted. */
  const reach = async (caller: Caller, stream: MuxStream, preface: Preface): Promise<() => Promise<unknown>> => {
    const given = new AbortController();
    const onClose = () => given.abort();
    stream.once('close', onClose);
    try {
      const { device, port } = parseDeviceTarget(preface.target);
      const timeoutMs = Math.min(preface.deadlineMs ?? limits.deviceDialTimeoutMs, limits.deviceDialTimeoutMs);
      const by = { client: caller.from, timeoutMs, signal: given.signal };
      if (preface.kind === 'tcp') {
        const far = await options.open(caller.visitor, device, port, by);
        return () => relayStreams(stream, far);
      }
      if (caller.flows >= limits.flowsPerLinkMax) throw new Fault('too-many', `you have ${limits.flowsPerLinkMax} flows open already`);
      if (stream.destroyed) throw new Fault('closed', 'the caller has gone');
      caller.flows += 1;
      stream.once('close', () => (caller.flows -= 1));
      const far = await options.openFlow(caller.visitor, device, port, by);
      return () => {
        const near = new StreamFlow(stream, { clock, limits, budget: caller.budget, tally: flows, onDropped: caller.flowDrops.add });
        return relayFlows(near, far, { clock, idleMs: limits.flowIdleFarMs });
      };
    } finally {
      stream.off('close', onClose);
    }
  };

  const serve = async (caller: Caller, stream: MuxStream): Promise<void> => {
    let target = '';
    let isRefused = false;
    try {
      const offered = await acceptStream(stream, { clock, limits });
      target = offered.preface.target;
      if (offered.preface.kind === 'service') return offered.refuse({ code: AnswerCode.unsupported, text: 'callers are offered no services' });
      if (!caller.budget.mayOpen) return offered.refuse({ code: AnswerCode.busy, text: budget.mayOpen ? 'your streams that nobody reads hold all the memory that one person may take' : 'the gateway has no memory left for another stream' });
      let relay: () => Promise<unknown>;
      try {
        relay = await reach(caller, stream, offered.preface);
      } catch (thrown) {
        const fault = toFault(thrown);
        offered.refuse(fault.code === 'internal' ? { code: AnswerCode.internal, text: 'the gateway failed' } : answerOfFault(fault));
        isRefused = true;
        throw thrown;
      }
      offered.accept();
      await relay();
    } catch (thrown) {
      journal.note('stream.refused', { person: caller.visitor.person.login, from: caller.from, target: printable(target), why: printable(reasonOf(thrown)) });
      if (!isFault(thrown)) {
        log.error('stream.failed', { target: printable(target), why: reasonOf(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
        if (!isRefused) stream.destroy();
      }
    }
  };

  const refuse = (taken: TakenOver, fault: Fault) => {
    journal.note('caller.refused', { why: fault.code, message: printable(fault.message), from: taken.from, conn: taken.connId });
    refuseHandshake(taken.socket, clock, fault);
  };

  const takeover: Takeover = (taken) => {
    let key: string;
    let visitor: Visitor;
    try {
      if (isClosed) return refuse(taken, new Fault('busy', 'the gateway is going down'));
      key = checkUpgradeRequest(taken.head, streamProtocol);
      const judged = options.authenticate(taken.head, taken.from);
      if (isFault(judged)) return refuse(taken, judged);
      visitor = judged;
    } catch (thrown) {
      const fault = toFault(thrown);
      if (fault.code === 'internal') log.error('caller.failed', { conn: taken.connId, why: reasonOf(thrown) });
      return refuse(taken, fault.code === 'internal' ? new Fault('internal', 'the gateway failed') : fault);
    }
    taken.socket.write(encodeUpgradeAnswer(key, streamProtocol, []));
    const share = shareOf(visitor.person.id);
    const session = new MuxSession({
      socket: taken.socket,
      leftover: taken.leftover,
      role: 'server',
      isSecure: taken.secure,
      clock,
      limits,
      random: options.random,
      budget: share,
      onStream: (stream) => void serve(caller, stream),
    });
    const flowDrops = buildDropNote(clock, limits.flowDropNoteMs, (datagrams) => journal.note('flow.dropped', { person: visitor.person.login, from: taken.from, datagrams }));
    const caller: Caller = { visitor, from: taken.from, session, budget: share, flows: 0, flowDrops };
    callers.add(caller);
    void session.closed.then((end) => {
      callers.delete(caller);
      flowDrops.flush();
      log.debug('caller.closed', { person: visitor.person.login, from: taken.from, why: printable(end.why) });
    });
  };

  return {
    takeover,
    flows,
    closeWhere(matches, why) {
      let closed = 0;
      for (const { visitor, session } of callers) {
        if (!matches(visitor)) continue;
        session.close(why, CloseCode.refused);
        closed += 1;
      }
      return closed;
    },
    get sessions() {
      return callers.size;
    },
    close() {
      isClosed = true;
      for (const { session } of callers) session.close('the gateway is going down', CloseCode.goingAway);
    },
  };
}
