// Listens at virtual addresses, so that an application's server can call devices back where it saw them: a TCP listener or UDP socket for
// each address and port (Node tells no UDP socket at which address a datagram came in), and what comes is carried to the device.
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Journal } from '#model/live.ts';
import type { DialBy } from './dial.ts';
import { openFlowListener } from './flow-listener.ts';
import { relayFlows, type Flow } from './flow.ts';
import { openListener } from './listener.ts';
import { relay } from './relay.ts';
import type { Sweep } from './sweep.ts';

/** A port of a virtual address. */
export interface CallbackDoor {
  readonly deviceId: Id;
  readonly address: string;
  readonly transport: 'tcp' | 'udp';
  readonly port: number;
  /** The device's port. */
  readonly to: number;
}

export interface VirtualAddressesOptions {
  readonly clock: Clock;
  readonly sweep: Sweep;
  readonly limits: Limits;
  readonly journal: Pick<Journal, 'note'>;
  /** Why whoever calls from there may not; null: he may. */
  judge(from: string, door: CallbackDoor): string | null;
  dialTcp(door: CallbackDoor, by: DialBy): Promise<Duplex>;
  dialFlow(door: CallbackDoor, by: DialBy): Promise<Flow>;
  /** Of the pool; what a missing route is said of. */
  networkOf(address: string): string;
}

/** Ports that cannot be opened, those with the same cause together. */
export interface FailedDoors {
  readonly transport: 'tcp' | 'udp';
  readonly port: number;
  readonly network: string;
  /** As the system says it: EADDRNOTAVAIL (no local route), EACCES (a privilege), EADDRINUSE, EMFILE … */
  readonly code: string;
  readonly count: number;
  /** One of the addresses. */
  readonly address: string;
  readonly since: number;
}

export interface DeviceDoors {
  readonly wanted: number;
  readonly open: number;
  /** Why the others are not open; null: they are, or wait for their turn. */
  readonly why: string | null;
  /** Calls carried since the start, and running now. */
  readonly calls: number;
  readonly running: number;
  readonly refused: number;
  readonly lastCallAt: number | null;
}

export interface VirtualAddresses {
  /** What is to be open for a device from now on; none: nothing, and what runs is cut for this reason. */
  set(deviceId: Id, doors: readonly CallbackDoor[], why: string): void;
  /** Ends what runs to a device; it goes on listening. */
  cut(deviceId: Id, why: string): void;
  /** Who may call has changed: calls of those who may not any more end. */
  judgeAgain(): void;
  /** Tries at once what could not be opened. */
  retry(): void;
  readonly counts: { readonly wanted: number; readonly open: number; readonly beyond: number; readonly running: number };
  failed(): readonly FailedDoors[];
  doorsOf(deviceId: Id): DeviceDoors;
  /** Devices of which a port is beyond the limit of sockets. */
  beyond(): ReadonlySet<Id>;
  close(why: string): Promise<void>;
}

type DoorState = { readonly is: 'waiting' | 'opening' | 'open' | 'beyond' } | { readonly is: 'failed'; readonly code: string; readonly since: number };

interface Door {
  wanted: CallbackDoor;
  state: DoorState;
  close: (() => Promise<void>) | null;
}

interface Call {
  readonly from: string;
  readonly door: CallbackDoor;
  readonly cut: (why: string) => void;
}

interface Caller {
  readonly keys: Set<string>;
  readonly running: Set<Call>;
  calls: number;
  refused: number;
  lastCallAt: number | null;
}

const keyOf = ({ transport, address, port }: CallbackDoor) => `${transport} ${address} ${port}`;
const codeOf = (thrown: unknown): string => {
  const cause = isFault(thrown) ? thrown.cause : thrown;
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : 'failed';
};

/** For people. */
export function whyNotOpen({ code, network, transport, port }: Pick<FailedDoors, 'code' | 'network' | 'transport' | 'port'>): string {
  if (code === 'EADDRNOTAVAIL') return `${network} does not lead to this machine: its local route is missing`;
  if (code === 'EACCES') return `${transport} port ${port} may not be opened by this user`;
  if (code === 'EADDRINUSE') return `another program has ${transport} port ${port}`;
  if (code === 'EMFILE' || code === 'ENFILE') return 'the system gives this process no more sockets';
  return `${transport} port ${port} cannot be opened (${code})`;
}

export function buildVirtualAddresses(options: VirtualAddressesOptions): VirtualAddresses {
  const { clock, limits, journal } = options;
  const doors = new Map<string, Door>();
  const devices = new Map<Id, Caller>();
  const queue = new Set<string>();
  const beyond = new Set<string>();
  const failed = new Set<string>();
  /** One for each cause: by it the others go. */
  const tried = new Set<string>();
  const noted = new Map<string, number>();
  const carried = new Set<Promise<void>>();
  let sockets = 0;
  let open = 0;
  let running = 0;
  let isClosed = false;
  let opening: Timer | null = null;

  const callerOf = (deviceId: Id): Caller => {
    const known = devices.get(deviceId);
    if (known) return known;
    const made: Caller = { keys: new Set(), running: new Set(), calls: 0, refused: 0, lastCallAt: null };
    devices.set(deviceId, made);
    return made;
  };
  /** Whoever scans or polls writes no line for each try. */
  const note = (event: 'callback.refused' | 'callback.failed', from: string, { deviceId, address, transport, port }: CallbackDoor, why: string) => {
    const key = `${event} ${from} ${event === 'callback.failed' ? deviceId : ''} ${why}`;
    const now = clock.monoMs();
    if (now - (noted.get(key) ?? Number.NEGATIVE_INFINITY) < limits.callbackNoteMs) return;
    noted.delete(key);
    if (noted.size >= limits.callbackNotesMax) noted.delete(noted.keys().next().value!);
    noted.set(key, now);
    journal.note(event, { device: deviceId, address, transport, port, from, why });
  };

  /** Why this call is not carried; null: it is. */
  const refusalOf = (from: string, door: CallbackDoor, caller: Caller): string | null =>
    options.judge(from, door) ?? (caller.running.size >= limits.callbacksPerDeviceMax ? 'too many calls to this device at once' : running >= limits.callbacksAtOnceMax ? 'too many calls to devices at once' : null);
  const begin = (caller: Caller, call: Call) => {
    caller.running.add(call);
    caller.calls += 1;
    caller.lastCallAt = clock.nowMs();
    running += 1;
    return () => {
      caller.running.delete(call);
      running -= 1;
    };
  };

  const takeTcp = async (key: string, socket: Socket, from: string): Promise<void> => {
    socket.on('error', () => {});
    const door = doors.get(key)?.wanted;
    if (!door) return void socket.resetAndDestroy();
    const caller = callerOf(door.deviceId);
    const refusal = refusalOf(from, door, caller);
    if (refusal !== null) {
      caller.refused += 1;
      note('callback.refused', from, door, refusal);
      return void socket.resetAndDestroy();
    }
    const left = new AbortController();
    let cutWhy: string | null = null;
    let far: Duplex | null = null;
    const cut = (why: string) => {
      cutWhy = why;
      left.abort();
      socket.resetAndDestroy();
      far?.destroy();
    };
    const done = begin(caller, { from, door, cut });
    socket.once('close', () => left.abort());
    const bytes = { in: 0, out: 0 };
    try {
      far = await options.dialTcp(door, { client: from, timeoutMs: limits.deviceDialTimeoutMs, signal: left.signal });
      const { why } = await relay(socket, far, {
        sweep: options.sweep, idleMs: limits.callbackIdleMs,
        onBytes(fromCaller, fromDevice) {
          bytes.in += fromCaller;
          bytes.out += fromDevice;
        },
      });
      journal.note('callback.ended', { device: door.deviceId, address: door.address, transport: 'tcp', port: door.port, from, bytesIn: bytes.in, bytesOut: bytes.out, why: cutWhy ?? why });
    } catch (thrown) {
      if (!left.signal.aborted) note('callback.failed', from, door, reasonOf(thrown));
      socket.resetAndDestroy();
      far?.destroy();
    } finally {
      done();
    }
  };

  const takeFlow = async (key: string, flow: Flow, from: string): Promise<void> => {
    const door = doors.get(key)?.wanted;
    if (!door) return flow.close('nobody is called there any more');
    const caller = callerOf(door.deviceId);
    const refusal = refusalOf(from, door, caller);
    if (refusal !== null) {
      caller.refused += 1;
      note('callback.refused', from, door, refusal);
      // With a Fault its source rests for a moment: a flood costs a look into a map each.
      return flow.close(new Fault('forbidden', refusal));
    }
    const left = new AbortController();
    const done = begin(caller, { from, door, cut: (why) => flow.close(new Fault('closed', why)) });
    flow.onClosed(() => left.abort());
    try {
      const far = await options.dialFlow(door, { client: from, timeoutMs: limits.deviceDialTimeoutMs, signal: left.signal });
      const end = await relayFlows(flow, far, { clock, idleMs: limits.flowIdleMs });
      if (end.fault !== undefined && !isFault(end.fault, 'closed')) note('callback.failed', from, door, end.why);
    } catch (thrown) {
      if (!left.signal.aborted) note('callback.failed', from, door, reasonOf(thrown));
      flow.close(isFault(thrown) ? thrown : new Fault('internal', reasonOf(thrown)));
    } finally {
      done();
    }
  };

  /** Never rejects. Its end is waited for when everything is closed. */
  const carry = (work: Promise<void>) => {
    carried.add(work);
    void work.finally(() => carried.delete(work));
  };
  const openDoor = async (key: string, { address, port, transport }: CallbackDoor): Promise<() => Promise<void>> => {
    if (transport === 'udp') {
      const listener = await openFlowListener({ address, port, clock, limits, onFlow: (flow, from) => carry(takeFlow(key, flow, from.address)) });
      return () => listener.close('the address is not listened at any more');
    }
    const listener = await openListener({ name: key, address, port, onSocket: (socket, from) => carry(takeTcp(key, socket, from)), onError: () => {} });
    return () => listener.close();
  };

  const start = async (key: string): Promise<void> => {
    const door = doors.get(key);
    if (!door || door.state.is === 'open' || door.state.is === 'opening') return;
    const was = door.state;
    failed.delete(key);
    if (sockets >= limits.callbackSocketsMax) {
      door.state = { is: 'beyond' };
      beyond.add(key);
      return;
    }
    sockets += 1;
    door.state = { is: 'opening' };
    try {
      const close = await openDoor(key, door.wanted);
      if (doors.get(key) !== door || isClosed) {
        sockets -= 1;
        return await close();
      }
      door.close = close;
      door.state = { is: 'open' };
      open += 1;
      // What stood in its way stands in nobody's now: the others of the same cause follow.
      if (was.is === 'failed' && tried.delete(key)) for (const other of sameCause(was.code, door.wanted)) wait(other);
    } catch (thrown) {
      sockets -= 1;
      if (doors.get(key) !== door) return;
      const code = codeOf(thrown);
      door.state = { is: 'failed', code, since: was.is === 'failed' && was.code === code ? was.since : clock.nowMs() };
      failed.add(key);
    }
  };

  const step = async (): Promise<void> => {
    const some = [...queue].slice(0, limits.callbackOpensAtOnce);
    for (const key of some) queue.delete(key);
    await Promise.all(some.map(start));
    opening = null;
    if (queue.size > 0) schedule();
  };
  const schedule = () => {
    if (isClosed) return;
    opening ??= clock.after(limits.callbackOpenEveryMs, () => void step());
  };
  const wait = (key: string) => {
    queue.add(key);
    schedule();
  };

  /** A missing route is one for its network, a missing privilege one for its port, want of sockets one for all; anything else is each door's own. */
  const causeOf = (code: string, { transport, port, address }: CallbackDoor): string => {
    if (code === 'EADDRNOTAVAIL') return `${code} ${options.networkOf(address)}`;
    if (code === 'EACCES') return `${code} ${transport} ${port}`;
    if (code === 'EMFILE' || code === 'ENFILE') return code;
    return `${code} ${transport} ${address} ${port}`;
  };
  const sameCause = (code: string, door: CallbackDoor): string[] => {
    const cause = causeOf(code, door);
    return [...failed].filter((key) => {
      const other = doors.get(key);
      return other?.state.is === 'failed' && other.state.code === code && causeOf(code, other.wanted) === cause;
    });
  };
  const retry = () => {
    const causes = new Set<string>();
    tried.clear();
    for (const key of failed) {
      const door = doors.get(key);
      if (door?.state.is !== 'failed') continue;
      const cause = causeOf(door.state.code, door.wanted);
      if (causes.has(cause)) continue;
      causes.add(cause);
      tried.add(key);
      wait(key);
    }
    const room = limits.callbackSocketsMax - sockets;
    for (const key of [...beyond].slice(0, Math.max(0, room))) {
      beyond.delete(key);
      wait(key);
    }
  };
  const retrying = clock.every(limits.callbackRetryMs, retry);

  const drop = (key: string): Promise<void> | null => {
    const door = doors.get(key);
    doors.delete(key);
    queue.delete(key);
    beyond.delete(key);
    failed.delete(key);
    tried.delete(key);
    if (!door?.close) return null;
    sockets -= 1;
    open -= 1;
    return door.close();
  };
  const cut = (deviceId: Id, why: string) => {
    for (const call of devices.get(deviceId)?.running ?? []) call.cut(why);
  };

  return {
    set(deviceId, wanted, why) {
      const caller = callerOf(deviceId);
      const next = new Map(wanted.map((door) => [keyOf(door), door]));
      for (const key of caller.keys) {
        if (next.has(key)) continue;
        caller.keys.delete(key);
        void drop(key);
      }
      for (const [key, door] of next) {
        const standing = doors.get(key);
        // Two devices with one address: the first keeps it.
        if (standing && standing.wanted.deviceId !== deviceId) continue;
        caller.keys.add(key);
        if (standing) standing.wanted = door;
        else {
          doors.set(key, { wanted: door, state: { is: 'waiting' }, close: null });
          wait(key);
        }
      }
      if (wanted.length > 0) return;
      cut(deviceId, why);
      devices.delete(deviceId);
    },
    cut,
    judgeAgain() {
      for (const { running: calls } of devices.values()) {
        for (const call of calls) {
          const why = options.judge(call.from, call.door);
          if (why !== null) call.cut(why);
        }
      }
    },
    retry,
    get counts() {
      return { wanted: doors.size, open, beyond: beyond.size, running };
    },
    failed() {
      const groups = new Map<string, FailedDoors>();
      for (const key of failed) {
        const door = doors.get(key);
        if (door?.state.is !== 'failed') continue;
        const { transport, port, address } = door.wanted;
        const { code, since } = door.state;
        const network = options.networkOf(address);
        const group = `${code} ${transport} ${port} ${network}`;
        const known = groups.get(group);
        groups.set(group, { transport, port, network, code, count: (known?.count ?? 0) + 1, address: known?.address ?? address, since: Math.min(since, known?.since ?? since) });
      }
      return [...groups.values()].sort((a, b) => a.port - b.port || (a.transport < b.transport ? -1 : 1));
    },
    doorsOf(deviceId) {
      const caller = devices.get(deviceId);
      const states = [...(caller?.keys ?? [])].map((key) => doors.get(key)!);
      const bad = states.find(({ state }) => state.is === 'failed' || state.is === 'beyond');
      const why = !bad ? null : bad.state.is === 'failed' ? whyNotOpen({ ...bad.wanted, code: bad.state.code, network: options.networkOf(bad.wanted.address) }) : `the gateway listens at ${limits.callbackSocketsMax} ports of virtual addresses already`;
      return { wanted: states.length, open: states.filter(({ state }) => state.is === 'open').length, why, calls: caller?.calls ?? 0, running: caller?.running.size ?? 0, refused: caller?.refused ?? 0, lastCallAt: caller?.lastCallAt ?? null };
    },
    beyond: () => new Set([...beyond].flatMap((key) => doors.get(key)?.wanted.deviceId ?? [])),
    async close(why) {
      isClosed = true;
      retrying.cancel();
      opening?.cancel();
      for (const deviceId of devices.keys()) cut(deviceId, why);
      await Promise.all([...doors.keys()].map(drop));
      await Promise.all(carried);
    },
  };
}
