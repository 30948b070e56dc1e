// The gateway's table of links: judges handshakes, keeps one link per (agent, slot), opens streams to devices.
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf, toFault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { Log } from '#base/log.ts';
import { fingerprintOf } from '#model/fingerprint.ts';
import type { Journal, LiveLink } from '#model/live.ts';
import type { AgentNote } from '#model/rows.ts';
import type { DialBy } from '#net/dial.ts';
import type { Flow } from '#net/flow.ts';
import type { TakenOver, Takeover } from '#net/takeover.ts';
import type { Preface } from '#wire/preface.ts';
import { CloseCode, encodeUpgradeAnswer } from '#wire/websocket.ts';
import type { Budget } from './budget.ts';
import { sendMessage, serveGatewayControl } from './gateway-control.ts';
import { judgeTurn, linkProtocol, readGreeting, slotsMax } from './greeting.ts';
import type { Greeting, SlotMemory } from './greeting.ts';
import { encodeTarget, openStream } from './open.ts';
import { refuseHandshake } from './refusal.ts';
import type { ExtraFields } from './refusal.ts';
import { MuxSession } from './session.ts';
import type { SessionEnd } from './session.ts';
import { buildDropNote, newFlowTally, StreamFlow } from './stream-flow.ts';
import type { DropNote, FlowTally } from './stream-flow.ts';
import type { MuxStream } from './stream.ts';

export interface HubOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Limits;
  readonly random: Random;
  readonly newId: () => Id;
  readonly budget: Budget;
  /** Whose certificate this is (SHA-256 of its DER, hex). Faults: `unauthenticated` (unknown, expired), `forbidden` (locked, revoked). */
  judgeAgent(fingerprint: string): { readonly agentId: Id } | Fault;
  /** A link came, left, or its agent said hello. Fields that this process does not know are null. */
  onAgentSeen(note: AgentNote): void;
  /** What was noted about an agent before this process knew it. */
  noteOf(agentId: Id): AgentNote | undefined;
  /** Where agents dial from now on; told to each after its hello. */
  addresses?(): readonly string[];
  /** A stream on which this agent speaks the device protocol (service `push`): whose it is from now on. */
  servePush?(stream: Duplex, agentId: Id, from: string): void;
  /** A connection that this agent accepted at a door (service `door`): who takes it, or why nobody does. */
  judgeDoor?(agentId: Id, preface: Preface): Fault | ((stream: Duplex) => void);
}

export type Located = { readonly at: 'here' } | { readonly at: 'nowhere'; readonly since: number | null; readonly why: string | null };

export interface Hub {
  /** `GET /link` of the TLS link endpoint. */
  readonly takeover: Takeover;
  /**
   * A byte stream to an address as the agent sees it; half-close works each way.
   * Faults: `offline` (says since when and why), `forbidden` (the agent's local policy, with the line to add), `unreachable`,
   * `timeout`, `busy`, `too-many`, `unsupported`, `closed` (the signal aborted or the link broke), `protocol`.
   */
  dialDevice(agentId: Id | null, host: string, port: number, by: DialBy): Promise<Duplex>;
  /**
   * A flow to an address as the agent sees it. Faults as of `dialDevice`, but `unreachable` (nobody listens) ends the flow that is open;
   * `unsupported` too when the agent carries no UDP.
   */
  dialFlow(agentId: Id | null, host: string, port: number, by: DialBy): Promise<Flow>;
  /**
   * A stream to a service that the agent offers by name: `install`. Faults `offline`, `unsupported` (the agent is older, or another's), `timeout`, `busy`,
   * `too-many`, `closed`, `protocol`. `standing`: it is open as long as the link, and no drain waits for it.
   */
  openService(agentId: Id, name: string, by: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined; readonly standing?: boolean }): Promise<Duplex>;
  /** Flows through links: open now, and what passed since the start; `sent` is towards agents. */
  readonly flows: Readonly<FlowTally>;
  links(): LiveLink[];
  linkOf(agentId: Id | null): LiveLink | undefined;
  /** Locked, revoked, removed: cuts every link and stream of the agent now. False when it has none. */
  closeLink(agentId: Id, why: string): boolean;
  /** The agent was removed: its links end, and nothing about it is kept. */
  forget(agentId: Id): void;
  /** Called when a link came or went, and no more than once a second when only counters changed. */
  watch(onChange: () => void): () => void;
  locate(agentId: Id | null): Located;
  /** Tells agents to dial again, takes no new links, and resolves when the streams have ended or `drainMs` are over. */
  drain(drainMs: number): Promise<void>;
  close(): void;
}

interface Link {
  readonly id: Id;
  readonly agentId: Id;
  readonly slot: number;
  readonly from: string;
  readonly version: string;
  readonly can: readonly string[];
  readonly since: number;
  readonly session: MuxSession;
  /** Its share: a link whose streams stand still is refused new ones before others are. */
  readonly budget: Budget;
  /** Streams that the agent opened for itself and that a drain does not wait for. */
  readonly controls: Set<Duplex>;
  readonly pushes: Set<Duplex>;
  /** Streams that we opened and that stand as long as the link. */
  readonly standing: Set<Duplex>;
  policy: string | null;
  /** Open or being opened. */
  flows: number;
  readonly flowDrops: DropNote;
  /** Its agent was removed while it stood: what is noted at its end would be about nobody. */
  isForgotten: boolean;
}

const countersEveryMs = 1_000;
const drainLookMs = 50;

export function buildHub(options: HubOptions): Hub {
  const { clock, log, journal, limits, newId, budget } = options;
  /** Links that take streams, by agent, then slot. */
  const standing = new Map<Id, Map<number, Link>>();
  /** Every link that is not closed yet, those that finish their streams too. */
  const open = new Set<Link>();
  const openCounts = new Map<Id, number>();
  const memories = new Map<string, SlotMemory>();
  const left = new Map<Id, { since: number; why: string }>();
  const watchers = new Set<() => void>();
  const flows = newFlowTally();
  let isDraining = false;
  let isClosed = false;
  let lastCounters = 0;

  const changed = () => {
    for (const watcher of watchers) watcher();
  };
  const counterTimer = clock.every(countersEveryMs, () => {
    if (watchers.size === 0) return;
    let counters = 0;
    for (const { session } of open) counters += session.bytesIn + session.bytesOut + session.streams * 7 + (session.rttMs ?? 0);
    if (counters !== lastCounters) changed();
    lastCounters = counters;
  });

  const seen = (link: Link, why: string | null) =>
    options.onAgentSeen({ agentId: link.agentId, lastSeenAt: clock.nowMs(), lastLeftWhy: why, version: link.version, from: link.from, policy: link.policy });

  const refuse = (taken: TakenOver, fault: Fault, agentId: Id | null, extra: ExtraFields = []) => {
    journal.note('link.refused', { why: fault.code, message: printable(fault.message), from: taken.from, agent: agentId, conn: taken.connId });
    log.info('link.refused', { conn: taken.connId, from: taken.from, agent: agentId, code: fault.code, why: fault.message, ...fault.detail });
    refuseHandshake(taken.socket, clock, fault, extra);
  };

  const takeover: Takeover = (taken) => {
    let agentId: Id | null = null;
    try {
      if (isDraining || isClosed) return refuse(taken, new Fault('busy', 'the gateway is going down'), null, [['Retry-After', '1']]);
      if (taken.peerCertificate === null) return refuse(taken, new Fault('unauthenticated', 'a link needs a client certificate', { remedy: 'Join with `postern join TOKEN`.' }), null);
      const judged = options.judgeAgent(fingerprintOf(taken.peerCertificate));
      if (isFault(judged)) return refuse(taken, judged, null);
      agentId = judged.agentId;
      const greeting = readGreeting(taken.head);
      if (open.size >= limits.linksMax || !budget.mayOpen) return refuse(taken, new Fault('busy', 'the gateway has no room for another link'), agentId, [['Retry-After', '30']]);
      take(taken, agentId, greeting);
    } catch (thrown) {
      const fault = toFault(thrown);
      if (fault.code === 'internal') log.error('link.failed', { conn: taken.connId, why: reasonOf(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
      refuse(taken, fault.code === 'internal' ? new Fault('internal', 'the gateway failed') : fault, agentId);
    }
  };

  const take = (taken: TakenOver, agentId: Id, greeting: Greeting) => {
    const slots = standing.get(agentId) ?? new Map<number, Link>();
    const before = slots.get(greeting.slot);
    // Links that only finish their streams are in no slot any more, but hold memory and a socket each.
    if ((openCounts.get(agentId) ?? 0) - (before === undefined ? 0 : 1) >= limits.linksPerAgentMax) {
      const fault = new Fault('too-many', `the agent has ${limits.linksPerAgentMax} links open already`, { remedy: 'Links that were left with GoAway count until their streams have ended: close them.' });
      return refuse(taken, fault, agentId, [['Retry-After', '30']]);
    }
    const key = `${agentId}/${greeting.slot}`;
    const memory = memories.get(key) ?? { turn: -1, instance: greeting.instance, changes: [] };
    const verdict = judgeTurn(memory, greeting, before !== undefined, clock.monoMs(), limits.instanceChangesPerMinuteMax);
    if (!verdict.take) return refuse(taken, verdict.fault, agentId, verdict.extra);
    memories.set(key, memory);
    // Never waits for the old one to notice: a ghost must not keep an agent out.
    before?.session.close('replaced', CloseCode.replaced);
    const link = greet(taken, agentId, greeting);
    slots.set(greeting.slot, link);
    standing.set(agentId, slots);
    open.add(link);
    openCounts.set(agentId, (openCounts.get(agentId) ?? 0) + 1);
    journal.note('link.opened', { link: link.id, agent: agentId, slot: link.slot, from: link.from, version: link.version });
    log.info('link.opened', { link: link.id, agent: agentId, slot: link.slot, turn: greeting.turn, from: link.from, version: link.version });
    seen(link, null);
    void link.session.closed.then((end) => leave(link, end));
    changed();
  };

  const greet = (taken: TakenOver, agentId: Id, greeting: Greeting): Link => {
    const id = newId();
    taken.socket.write(
      encodeUpgradeAnswer(greeting.key, linkProtocol, [
        ['Postern-Link', id],
        ['Postern-Can', 'tcp, udp, service'],
        ['Postern-Time', String(clock.nowMs())],
      ]),
    );
    const share = budget.share();
    const session = new MuxSession({
      socket: taken.socket,
      leftover: taken.leftover,
      role: 'server',
      isSecure: taken.secure,
      clock,
      limits,
      random: options.random,
      budget: share,
      onStream: (stream) =>
        void serveGatewayControl(stream, {
          clock,
          limits,
          controls: link.controls,
          addresses: () => options.addresses?.() ?? [],
          ...(options.servePush ? { servePush: (open: Duplex) => options.servePush!(open, agentId, taken.from) } : {}),
          ...(options.judgeDoor ? { judgeDoor: (preface: Preface) => (budget.mayOpen && share.mayOpen ? options.judgeDoor!(agentId, preface) : new Fault('busy', 'the gateway has no memory left for another stream')) } : {}),
          pushes: link.pushes,
          onPolicy: (lines) => {
            link.policy = JSON.stringify(lines);
            seen(link, null);
            changed();
          },
          onRefused: (why) => journal.note('stream.refused', { link: id, agent: agentId, why: printable(why) }),
        }),
      onGoAway: () => unlist(link),
    });
    const flowDrops = buildDropNote(clock, limits.flowDropNoteMs, (datagrams) => journal.note('flow.dropped', { link: id, agent: agentId, datagrams }));
    const link: Link = { id, agentId, slot: greeting.slot, from: taken.from, version: greeting.version, can: greeting.can, since: clock.nowMs(), session, budget: share, controls: new Set(), pushes: new Set(), standing: new Set(), policy: null, flows: 0, flowDrops, isForgotten: false };
    return link;
  };

  /** No new streams over it. */
  const unlist = (link: Link) => {
    const slots = standing.get(link.agentId);
    if (slots?.get(link.slot) !== link) return;
    slots.delete(link.slot);
    if (slots.size === 0) standing.delete(link.agentId);
    changed();
  };

  const leave = (link: Link, end: SessionEnd) => {
    unlist(link);
    open.delete(link);
    const others = (openCounts.get(link.agentId) ?? 1) - 1;
    if (others > 0) openCounts.set(link.agentId, others);
    else openCounts.delete(link.agentId);
    const why = printable(end.why, 120);
    link.flowDrops.flush();
    journal.note('link.closed', { link: link.id, agent: link.agentId, slot: link.slot, why, code: end.code, bytesIn: link.session.bytesIn, bytesOut: link.session.bytesOut });
    log.info('link.closed', { link: link.id, agent: link.agentId, slot: link.slot, why, code: end.code });
    if (!standing.has(link.agentId) && !link.isForgotten) {
      left.set(link.agentId, { since: clock.nowMs(), why });
      seen(link, why);
    }
    changed();
  };

  const liveOf = ({ id, agentId, slot, from, version, since, can, session }: Link): LiveLink => ({
    id,
    agentId,
    slot,
    from,
    version,
    since,
    can,
    rttMs: session.rttMs,
    streams: session.streams,
    bytesIn: session.bytesIn,
    bytesOut: session.bytesOut,
  });

  const best = (agentId: Id | null): Link | undefined => {
    if (agentId === null) return undefined;
    let found: Link | undefined;
    for (const link of standing.get(agentId)?.values() ?? []) if (link.session.isOpen && (found === undefined || link.slot < found.slot)) found = link;
    return found;
  };

  const locate = (agentId: Id | null): Located => {
    if (agentId === null) return { at: 'nowhere', since: null, why: 'it has no agent' };
    if (best(agentId) !== undefined) return { at: 'here' };
    const gone = left.get(agentId);
    if (gone !== undefined) return { at: 'nowhere', ...gone };
    const note = options.noteOf(agentId);
    return { at: 'nowhere', since: note?.lastSeenAt ?? null, why: note?.lastLeftWhy ?? null };
  };

  const offline = (agentId: Id | null): Fault => {
    if (agentId === null) return new Fault('unsupported', 'the device has no agent: it brings its data by itself, and nobody can open it', { remedy: 'Join an agent for it to open it from here.' });
    const at = locate(agentId);
    const since = at.at === 'nowhere' ? at.since : null;
    const why = at.at === 'nowhere' ? at.why : null;
    const message = since === null ? 'the device has never been online' : `the device is offline since ${new Date(since).toISOString()}${why === null ? '' : `: ${why}`}`;
    return new Fault('offline', message, { remedy: 'See that the device has power and network and that its agent runs.', detail: { since, why } });
  };

  /** The link of an agent that takes another stream now. */
  const linkFor = (agentId: Id | null): Link => {
    const link = best(agentId);
    if (link === undefined) throw offline(agentId);
    if (!budget.mayOpen) throw new Fault('busy', 'the gateway has no memory left for another stream');
    if (!link.budget.mayOpen) throw new Fault('busy', 'streams of this device that nobody reads hold all the memory that one link may take');
    return link;
  };

  const openTo = (link: Link, kind: 'tcp' | 'udp', host: string, port: number, by: DialBy): Promise<MuxStream> => {
    const preface = { kind, target: encodeTarget(host, port), client: by.client, ...(by.visitId === undefined ? {} : { visit: by.visitId }) };
    return openStream(link.session, preface, { clock, timeoutMs: by.timeoutMs, signal: by.signal });
  };

  let flowsOpening = 0;
  const dialFlow = async (agentId: Id | null, host: string, port: number, by: DialBy): Promise<Flow> => {
    const link = linkFor(agentId);
    if (!link.can.includes('udp')) throw new Fault('unsupported', `the agent of this device (${link.version}) carries no UDP`, { remedy: 'Install a newer one there.' });
    if (link.flows >= limits.flowsPerLinkMax) throw new Fault('too-many', `the link of this device has ${limits.flowsPerLinkMax} flows open already`);
    if (flows.open + flowsOpening >= limits.flowsMax) throw new Fault('too-many', `the gateway has ${limits.flowsMax} flows open already`);
    link.flows += 1;
    flowsOpening += 1;
    try {
      const stream = await openTo(link, 'udp', host, port, by);
      const flow = new StreamFlow(stream, { clock, limits, budget: link.budget, tally: flows, onDropped: link.flowDrops.add });
      if (stream.closed) link.flows -= 1;
      else stream.once('close', () => (link.flows -= 1));
      return flow;
    } catch (thrown) {
      link.flows -= 1;
      throw thrown;
    } finally {
      flowsOpening -= 1;
    }
  };

  const closeLink = (agentId: Id, why: string): boolean => {
    let any = false;
    for (const link of open) {
      if (link.agentId !== agentId) continue;
      any = true;
      link.session.close(why, CloseCode.refused);
    }
    return any;
  };

  return {
    takeover,
    async dialDevice(agentId, host, port, by) {
      return await openTo(linkFor(agentId), 'tcp', host, port, by);
    },
    dialFlow,
    async openService(agentId, target, by) {
      const link = linkFor(agentId);
      if (!link.can.includes('service')) throw new Fault('unsupported', `the agent (${link.version}) offers no services`);
      const stream = await openStream(link.session, { kind: 'service', target }, { clock, timeoutMs: by.timeoutMs, signal: by.signal });
      if (by.standing && !stream.closed) {
        link.standing.add(stream);
        stream.once('close', () => link.standing.delete(stream));
      }
      return stream;
    },
    flows,
    links: () => [...open].map(liveOf),
    linkOf(agentId) {
      const link = best(agentId);
      return link === undefined ? undefined : liveOf(link);
    },
    closeLink,
    forget(agentId) {
      for (const link of open) if (link.agentId === agentId) link.isForgotten = true;
      closeLink(agentId, 'the agent was removed');
      left.delete(agentId);
      for (let slot = 0; slot < slotsMax; slot++) memories.delete(`${agentId}/${slot}`);
    },
    watch(onChange) {
      watchers.add(onChange);
      return () => void watchers.delete(onChange);
    },
    locate,
    async drain(drainMs) {
      isDraining = true;
      for (const link of open) {
        for (const control of link.controls) sendMessage(control, { do: 'drain' }, limits);
        link.session.goAway();
      }
      await new Promise<void>((resolve) => {
        const until = clock.monoMs() + drainMs;
        const look = () => {
          const isOver = clock.monoMs() >= until;
          for (const link of open) if (isOver || link.session.streams <= link.controls.size + link.standing.size) link.session.close('the gateway is going down', CloseCode.goingAway);
          if (open.size > 0 && !isOver) return;
          timer.cancel();
          resolve();
        };
        const timer = clock.every(drainLookMs, look);
      });
    },
    close() {
      isClosed = true;
      counterTimer.cancel();
      for (const link of open) link.session.close('the gateway is going down', CloseCode.goingAway);
    },
  };
}
