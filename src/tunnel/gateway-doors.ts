// The gateway's side of doors (docs/wire/tunnel.md §6): each linked agent is told where to listen, and what it accepts there goes to the front door.
import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { Log } from '#base/log.ts';
import type { Journal } from '#model/live.ts';
import type { SiteDoor } from '#model/place-rows.ts';
import type { Table } from '#model/table.ts';
import type { RawStream, Via } from '#net/conn.ts';
import { parseDoorStates } from '#wire/doors.ts';
import type { DoorSaid } from '#wire/doors.ts';
import { buildMessageParser } from '#wire/message.ts';
import type { Message } from '#wire/message.ts';
import type { Preface } from '#wire/preface.ts';
import { DoorStream } from './door-stream.ts';
import type { Hub } from './hub.ts';
import { writeMessage } from './service-messages.ts';

export interface GatewayDoorsOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly doors: Table<SiteDoor>;
  readonly hub: Pick<Hub, 'openService' | 'linkOf' | 'watch'>;
  /** Whether there is a listener of that name. */
  hasListener(name: string): boolean;
  /** To the front door. */
  accept(stream: RawStream, from: string, listener: { readonly name: string }, via: Via): void;
}

/** How a door is. */
export interface DoorState {
  readonly bound: boolean;
  /** Why not; null: it is, or nothing is known yet. */
  readonly why: string | null;
  readonly remedy: string | null;
  /** Since when it is so. */
  readonly since: number;
  /** Connections now, since the process began, and refused by the gateway. */
  readonly open: number;
  readonly accepted: number;
  readonly refused: number;
}

export interface GatewayDoors {
  /** What the hub asks about a connection that the agent accepted. */
  judge(agentId: Id, preface: Preface): Fault | ((stream: Duplex) => void);
  /** undefined: there is no such door. */
  stateOf(doorId: Id): DoorState | undefined;
  /** Called when the state of a door has changed; not for each connection. */
  watch(onChange: () => void): () => void;
  /** Of all doors. */
  counts(): { readonly doors: number; readonly bound: number; readonly open: number; readonly accepted: number; readonly refused: number };
  close(): void;
}

interface Entry {
  door: SiteDoor;
  bound: boolean;
  why: string | null;
  remedy: string | null;
  since: number;
  accepted: number;
  refused: number;
  readonly streams: Set<DoorStream>;
}

/** What is kept for one agent that has doors. */
interface Keeper {
  readonly agentId: Id;
  readonly entries: Map<Id, Entry>;
  stream: Duplex | null;
  /** The link that the stream is in, or is being opened in. */
  linkId: Id | null;
  /** The link whose agent knows no doors: it will not learn it while that stands. */
  unsupportedIn: Id | null;
  isOpening: boolean;
  sent: string;
  nextId: number;
  awaited: Timer | null;
  retry: Timer | null;
  delayMs: number;
}

const placeText = ({ address, port }: { readonly address: string; readonly port: number }) => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);

export function buildGatewayDoors(options: GatewayDoorsOptions): GatewayDoors {
  const { clock, limits, log, journal, hub } = options;
  const keepers = new Map<Id, Keeper>();
  const entryOf = new Map<Id, Entry>();
  const watchers = new Set<() => void>();
  const closed = { accepted: 0, refused: 0 };
  let isClosed = false;

  const changed = () => {
    for (const watcher of watchers) watcher();
  };
  const setState = (entry: Entry, bound: boolean, why: string | null, remedy: string | null) => {
    if (entry.bound === bound && entry.why === why && entry.remedy === remedy) return;
    if (entry.bound !== bound) {
      entry.since = clock.nowMs();
      journal.note(bound ? 'door.opened' : 'door.closed', { door: entry.door.id, agent: entry.door.agentId, at: placeText(entry.door), listener: entry.door.listener, ...(why !== null && { why }) });
    }
    Object.assign(entry, { bound, why, remedy });
    changed();
  };
  const setAll = (keeper: Keeper, why: string, remedy: string) => {
    for (const entry of keeper.entries.values()) setState(entry, false, why, remedy);
  };

  const say = (keeper: Keeper, states: readonly DoorSaid[]) => {
    for (const said of states) {
      const entry = keeper.entries.get(said.id);
      if (!entry) continue;
      if (said.bound) setState(entry, true, null, null);
      else setState(entry, false, printable(said.why, 300), printable(said.remedy, 300));
    }
  };

  const onMessage = (keeper: Keeper, message: Message) => {
    const { ok, fault } = message;
    if (message['do'] === 'state') return say(keeper, parseDoorStates(message['doors'], limits));
    if (message['id'] !== keeper.nextId) return; // to a list that another has replaced
    keeper.awaited?.cancel();
    keeper.awaited = null;
    if (typeof ok === 'object' && ok !== null) {
      keeper.delayMs = 0;
      return say(keeper, parseDoorStates((ok as Message)['doors'], limits));
    }
    const why = typeof fault === 'object' && fault !== null ? (fault as Message)['message'] : undefined;
    setAll(keeper, `the agent refused the list of doors: ${printable(typeof why === 'string' ? why : 'it does not say why', 300)}`, '');
  };

  const leave = (keeper: Keeper) => {
    keeper.awaited?.cancel();
    keeper.awaited = null;
    keeper.stream = null;
    keeper.sent = '';
  };

  const send = (keeper: Keeper) => {
    const { stream } = keeper;
    if (stream === null) return;
    const doors = Array.from(keeper.entries.values(), ({ door: { id, address, port } }) => ({ id, address, port }));
    const text = JSON.stringify(doors);
    if (text === keeper.sent) return;
    keeper.sent = text;
    keeper.nextId += 1;
    writeMessage(stream, { id: keeper.nextId, do: 'listen', doors }, limits);
    keeper.awaited?.cancel();
    keeper.awaited = clock.after(limits.doorAnswerTimeoutMs, () => stream.destroy(new Fault('timeout', 'the agent does not answer')));
  };

  const listen = (keeper: Keeper, stream: Duplex) => {
    const parser = buildMessageParser(limits.messageBytesMax, (message) => onMessage(keeper, message));
    stream.on('data', (chunk: Buffer) => {
      if (keeper.stream !== stream) return;
      try {
        parser.push(chunk);
      } catch (thrown) {
        if (!isFault(thrown)) throw thrown;
        log.warn('doors.broken', { agent: keeper.agentId, why: thrown.message });
        stream.destroy(thrown);
      }
    });
    stream.on('error', () => {}); // `close` follows
    stream.once('end', () => stream.destroy());
    stream.once('close', () => {
      if (keeper.stream !== stream) return;
      leave(keeper);
      setAll(keeper, 'the agent has no link', 'See that the machine at the site has power and network and that its agent runs.');
      again(keeper);
    });
    stream.resume();
  };

  const again = (keeper: Keeper) => {
    if (isClosed || keeper.retry !== null) return;
    keeper.delayMs = Math.min(keeper.delayMs === 0 ? limits.doorBindRetryFirstMs : keeper.delayMs * 2, limits.doorBindRetryMaxMs);
    keeper.retry = clock.after(keeper.delayMs, () => {
      keeper.retry = null;
      keep(keeper);
    });
  };

  const open = async (keeper: Keeper, linkId: Id) => {
    keeper.isOpening = true;
    keeper.linkId = linkId;
    try {
      const stream = await hub.openService(keeper.agentId, 'doors', { timeoutMs: limits.doorOpenTimeoutMs, standing: true });
      if (isClosed || keeper.entries.size === 0) return void stream.destroy();
      keeper.stream = stream;
      listen(keeper, stream);
      send(keeper);
    } catch (thrown) {
      if (!isFault(thrown, 'offline')) log.info('doors.not-opened', { agent: keeper.agentId, why: reasonOf(thrown) });
      if (isFault(thrown, 'unsupported')) {
        keeper.unsupportedIn = linkId;
        return setAll(keeper, 'the agent offers no doors', 'Install a newer one there.');
      }
      setAll(keeper, printable(reasonOf(thrown), 300), (isFault(thrown) && thrown.remedy) || '');
      again(keeper);
    } finally {
      keeper.isOpening = false;
    }
  };

  /** Brings what the agent listens at in line with the rows, as far as its link goes. */
  const keep = (keeper: Keeper) => {
    if (isClosed) return;
    const linkId = hub.linkOf(keeper.agentId)?.id ?? null;
    if (keeper.stream !== null && keeper.linkId !== linkId && linkId !== null) {
      // The link that it is in finishes its streams; this one is no longer of use.
      const { stream } = keeper;
      leave(keeper);
      stream.destroy();
    }
    if (keeper.entries.size === 0) {
      keepers.delete(keeper.agentId);
      keeper.retry?.cancel();
      const { stream } = keeper;
      if (stream === null) return;
      send(keeper);
      leave(keeper);
      // The agent reads the empty list first, and answers FIN with FIN.
      stream.end();
      const timer = clock.after(limits.refusedStreamMs, () => stream.destroy());
      stream.once('close', () => timer.cancel());
      return;
    }
    if (keeper.stream !== null) return send(keeper);
    if (linkId === null) return setAll(keeper, 'the agent has no link', 'See that the machine at the site has power and network and that its agent runs.');
    if (keeper.isOpening || keeper.unsupportedIn === linkId || (keeper.retry !== null && keeper.linkId === linkId)) return;
    keeper.retry?.cancel();
    keeper.retry = null;
    void open(keeper, linkId);
  };

  const put = (door: SiteDoor) => {
    const known = entryOf.get(door.id);
    if (known && known.door.agentId !== door.agentId) drop(door.id, 'the door was moved to another agent');
    const entry = entryOf.get(door.id);
    if (entry) {
      if (entry.door.address !== door.address || entry.door.port !== door.port) setState(entry, false, null, null);
      entry.door = door;
    } else {
      const fresh: Entry = { door, bound: false, why: null, remedy: null, since: clock.nowMs(), accepted: 0, refused: 0, streams: new Set() };
      entryOf.set(door.id, fresh);
      const keeper = keepers.get(door.agentId) ?? { agentId: door.agentId, entries: new Map<Id, Entry>(), stream: null, linkId: null, unsupportedIn: null, isOpening: false, sent: '', nextId: 0, awaited: null, retry: null, delayMs: 0 };
      keepers.set(door.agentId, keeper);
      keeper.entries.set(door.id, fresh);
    }
  };

  /** Revoking cuts: what came through a door that is gone ends. */
  const drop = (doorId: Id, why: string) => {
    const entry = entryOf.get(doorId);
    if (!entry) return;
    entryOf.delete(doorId);
    keepers.get(entry.door.agentId)?.entries.delete(doorId);
    closed.accepted += entry.accepted;
    closed.refused += entry.refused;
    if (entry.bound) journal.note('door.closed', { door: doorId, agent: entry.door.agentId, at: placeText(entry.door), listener: entry.door.listener, why });
    for (const stream of entry.streams) stream.destroy();
  };

  const lookAtAll = () => {
    for (const keeper of keepers.values()) keep(keeper);
  };

  for (const door of options.doors.values()) put(door);
  const unwatchRows = options.doors.watch((delta) => {
    for (const id of delta.removed) drop(id, 'the door was removed');
    for (const door of delta.put) put(door);
    changed();
    lookAtAll();
  });
  const unwatchHub = hub.watch(lookAtAll);
  lookAtAll();

  const take = (entry: Entry, from: NonNullable<Preface['from']>, at: NonNullable<Preface['at']>, mac: string | null) => (stream: Duplex) => {
    const { door } = entry;
    const carried = new DoorStream(stream, { clock, lingerMs: limits.refusedStreamMs, from, at });
    entry.accepted += 1;
    entry.streams.add(carried);
    carried.once('close', () => entry.streams.delete(carried));
    options.accept(carried, from.address, { name: door.listener }, { agentId: door.agentId, siteId: door.siteId, mac });
  };

  return {
    judge(agentId, { door: doorId, from, at, mac }) {
      const entry = doorId === undefined ? undefined : entryOf.get(doorId);
      if (!entry || entry.door.agentId !== agentId) return new Fault('forbidden', 'this agent has no such door');
      const refuse = (fault: Fault) => {
        entry.refused += 1;
        return fault;
      };
      if (!from || !at) return refuse(new Fault('bad-input', 'the preface does not say where the connection comes from'));
      if (isClosed) return refuse(new Fault('busy', 'the gateway is going down'));
      if (!options.hasListener(entry.door.listener)) return refuse(new Fault('internal', `the gateway has no listener "${entry.door.listener}" any more`));
      if (entry.streams.size >= limits.doorConnsMax) return refuse(new Fault('busy', `${limits.doorConnsMax} connections of this door are open already`));
      return take(entry, from, at, mac ?? null);
    },
    stateOf(doorId) {
      const entry = entryOf.get(doorId);
      return entry && { bound: entry.bound, why: entry.why, remedy: entry.remedy, since: entry.since, open: entry.streams.size, accepted: entry.accepted, refused: entry.refused };
    },
    watch(onChange) {
      watchers.add(onChange);
      return () => void watchers.delete(onChange);
    },
    counts() {
      const sum = { doors: entryOf.size, bound: 0, open: 0, ...closed };
      for (const { bound, streams, accepted, refused } of entryOf.values()) {
        if (bound) sum.bound += 1;
        sum.open += streams.size;
        sum.accepted += accepted;
        sum.refused += refused;
      }
      return sum;
    },
    close() {
      isClosed = true;
      unwatchRows();
      unwatchHub();
      for (const keeper of keepers.values()) {
        keeper.retry?.cancel();
        keeper.awaited?.cancel();
        keeper.stream?.destroy();
      }
      for (const { streams } of entryOf.values()) for (const stream of streams) stream.destroy();
    },
  };
}
