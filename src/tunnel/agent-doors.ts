// The agent's service `doors` (docs/wire/tunnel.md §6): listens in its LAN where the gateway asks and the local policy allows, and carries what it accepts over the link.
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import { buildInTurn } from '#base/in-turn.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { lineToListen, mayListen } from '#model/policy.ts';
import type { Policy } from '#model/policy.ts';
import { plainAddress } from '#net/conn.ts';
import { openListener } from '#net/listener.ts';
import type { Listener } from '#net/listener.ts';
import { parseDoorList } from '#wire/doors.ts';
import type { DoorPlace, DoorSaid } from '#wire/doors.ts';
import { buildMessageParser } from '#wire/message.ts';
import type { Message } from '#wire/message.ts';
import type { Preface } from '#wire/preface.ts';
import type { MacOf } from './neighbours.ts';
import { relayStreams } from './relay.ts';
import { writeMessage } from './service-messages.ts';

export interface AgentDoorsOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  policy(): Policy;
  watchPolicy(onChange: () => void): () => void;
  readonly macOf: MacOf;
  /** A stream of the gateway's service `door`. Fault `offline` at once while no link stands. */
  openDoor(fields: Pick<Preface, 'from' | 'at' | 'mac' | 'door'>, signal: AbortSignal): Promise<Duplex>;
}

/** What became of connections at all doors since the start. */
export interface DoorCounts {
  open: number;
  accepted: number;
  /** Closed at once, by reason. */
  readonly refused: { offline: number; full: number; gateway: number };
}

export interface AgentDoors {
  /** Serves one stream of the service once it was accepted. Never rejects. */
  serve(stream: Duplex): Promise<void>;
  readonly counts: Readonly<DoorCounts>;
  /** Ports and connections. */
  close(): Promise<void>;
}

interface Door {
  place: DoorPlace;
  listener: Listener | null;
  /** null: bound. */
  fault: Fault | null;
  delayMs: number;
  retry: Timer | null;
  readonly conns: Set<Socket>;
  readonly perAddress: Map<string, number>;
  isClosed: boolean;
}

const keyOf = ({ address, port }: DoorPlace) => `${address} ${port}`;

/** Said by the system, in words that help whoever reads them at the gateway. */
function faultOf(thrown: unknown, { address, port }: DoorPlace): Fault {
  const cause = (isFault(thrown) ? thrown.cause : thrown) as NodeJS.ErrnoException | undefined;
  if (cause?.code === 'EADDRNOTAVAIL') return new Fault('unreachable', `no interface of the agent's machine has the address ${address}`, { remedy: '`ip -br address` on that machine lists what it has; it is tried again until the address is there.' });
  if (isFault(thrown, 'forbidden')) return new Fault('forbidden', `the agent's user may not open port ${port}`, { remedy: `Ports below 1024 need CAP_NET_BIND_SERVICE: \`postern agent --print-unit\` prints a systemd unit that grants it. Or choose a port from 1024 on.` });
  return isFault(thrown) ? thrown : new Fault('internal', reasonOf(thrown));
}

const saidOf = ({ place: { id }, fault }: Door): DoorSaid => (fault === null ? { id, bound: true } : { id, bound: false, why: fault.message, remedy: fault.remedy ?? '' });

export function buildAgentDoors(options: AgentDoorsOptions): AgentDoors {
  const { clock, limits, log } = options;
  const doors = new Map<string, Door>();
  const conns = new Set<Socket>();
  const counts: DoorCounts = { open: 0, accepted: 0, refused: { offline: 0, full: 0, gateway: 0 } };
  const inTurn = buildInTurn(2 * limits.doorsPerAgentMax);
  /** The newest stream counts. */
  let current: Duplex | null = null;
  let grace: Timer | null = null;
  let isClosed = false;

  const tell = (door: Door) => {
    if (current !== null && !current.destroyed) writeMessage(current, { do: 'state', doors: [saidOf(door)] }, limits);
  };

  let toldAtMs = Number.NEGATIVE_INFINITY;
  const refuse = (socket: Socket, why: keyof DoorCounts['refused'], text: string) => {
    counts.refused[why] += 1;
    if (!socket.destroyed) socket.resetAndDestroy();
    if (clock.monoMs() - toldAtMs < limits.doorRefusedNoteMs) return;
    toldAtMs = clock.monoMs();
    log.warn('door.refused', { why: text, ...counts.refused });
  };

  const carry = async (door: Door, socket: Socket, from: string) => {
    const given = new AbortController();
    const onClose = () => given.abort();
    socket.once('close', onClose);
    let stream: Duplex;
    try {
      const mac = await options.macOf(from);
      if (socket.destroyed) return;
      const at = { address: plainAddress(socket.localAddress).replace(/%.*$/, ''), port: socket.localPort ?? door.place.port };
      stream = await options.openDoor({ from: { address: from, port: socket.remotePort ?? 0 }, at, door: door.place.id, ...(mac !== null && { mac }) }, given.signal);
    } catch (thrown) {
      if (socket.destroyed) return;
      return refuse(socket, isFault(thrown, 'offline') ? 'offline' : 'gateway', reasonOf(thrown));
    } finally {
      socket.off('close', onClose);
    }
    if (socket.destroyed) return void stream.destroy();
    await relayStreams(stream, socket);
  };

  const accept = (door: Door, socket: Socket, peer: string) => {
    socket.on('error', () => {}); // `close` follows
    const from = peer.replace(/%.*$/, '');
    const mine = door.perAddress.get(from) ?? 0;
    if (counts.open >= limits.doorConnsPerAgentMax || door.conns.size >= limits.doorConnsMax || mine >= limits.doorConnsPerAddressMax) {
      return refuse(socket, 'full', `${mine} connections of ${from} and ${counts.open} in all are open`);
    }
    if (socket.remotePort === undefined || door.isClosed) return void socket.destroy();
    counts.open += 1;
    counts.accepted += 1;
    conns.add(socket);
    door.conns.add(socket);
    door.perAddress.set(from, mine + 1);
    socket.once('close', () => {
      counts.open -= 1;
      conns.delete(socket);
      door.conns.delete(socket);
      const left = door.perAddress.get(from)! - 1;
      if (left === 0) door.perAddress.delete(from);
      else door.perAddress.set(from, left);
    });
    carry(door, socket, from).catch((thrown: unknown) => {
      log.error('door.failed', { door: door.place.id, why: reasonOf(thrown) });
      socket.destroy();
    });
  };

  const shut = (door: Door) => {
    door.retry?.cancel();
    door.retry = null;
    // Those that it took go on.
    void door.listener?.close();
    door.listener = null;
  };

  const open = async (door: Door): Promise<void> => {
    const { place } = door;
    door.retry?.cancel();
    door.retry = null;
    if (!mayListen(options.policy(), 'tcp', place.address, place.port)) {
      shut(door);
      door.fault = new Fault('forbidden', `the agent's local policy does not allow to listen at ${place.address} port ${place.port}`, { remedy: `to allow it, add this line to the agent's policy file: ${lineToListen('tcp', place.address, place.port)}` });
      return;
    }
    if (door.listener !== null) return;
    try {
      const listener = await openListener({
        name: place.id, address: place.address, port: place.port,
        onSocket: (socket, from) => accept(door, socket, from),
        onError: (error) => log.warn('door.failed', { address: place.address, port: place.port, why: error.message }),
      });
      if (door.isClosed) return void listener.close();
      door.listener = listener;
      door.fault = null;
      door.delayMs = 0;
      log.info('door.opened', { address: place.address, port: place.port });
    } catch (thrown) {
      door.fault = faultOf(thrown, place);
      door.delayMs = Math.min(door.delayMs === 0 ? limits.doorBindRetryFirstMs : door.delayMs * 2, limits.doorBindRetryMaxMs);
      if (!door.isClosed) door.retry = clock.after(door.delayMs, () => void inTurn(() => look(door)).catch(() => {}));
    }
  };

  /** Once more, and tells when it is otherwise than before. */
  const look = async (door: Door): Promise<void> => {
    if (door.isClosed) return;
    const before = JSON.stringify(saidOf(door));
    await open(door);
    if (JSON.stringify(saidOf(door)) !== before) tell(door);
  };

  const apply = async (list: readonly DoorPlace[]): Promise<DoorSaid[]> => {
    const wanted = new Map(list.map((place) => [keyOf(place), place]));
    for (const [key, door] of doors) {
      if (wanted.has(key)) continue;
      doors.delete(key);
      door.isClosed = true;
      shut(door);
      log.info('door.closed', { address: door.place.address, port: door.place.port });
    }
    const opened = Array.from(wanted, ([key, place]) => {
      const known = doors.get(key);
      if (known) known.place = place;
      const door: Door = known ?? { place, listener: null, fault: null, delayMs: 0, retry: null, conns: new Set(), perAddress: new Map(), isClosed: false };
      doors.set(key, door);
      return door;
    });
    await Promise.all(opened.map((door) => open(door)));
    return opened.map(saidOf);
  };

  const answer = async (stream: Duplex, { id, do: what, doors: list }: Message): Promise<void> => {
    if (typeof id !== 'number' && typeof id !== 'string') return;
    try {
      if (what !== 'listen') throw new Fault('unsupported', 'this agent does not know what this asks');
      const places = parseDoorList(list, limits);
      // Asked by a stream that an other one has taken the place of: it has no say any more.
      const said = await inTurn(() => (current === stream && !isClosed ? apply(places) : Promise.resolve([])));
      if (!stream.destroyed) writeMessage(stream, { id, ok: { doors: said } }, limits);
    } catch (thrown) {
      if (!isFault(thrown)) throw thrown;
      if (!stream.destroyed) writeMessage(stream, { id, fault: { code: thrown.code, message: thrown.message } }, limits);
    }
  };

  const unwatch = options.watchPolicy(() => {
    const lookAtAll = async () => {
      for (const door of doors.values()) await look(door);
    };
    void inTurn(lookAtAll).catch(() => {});
  });

  const close = async () => {
    isClosed = true;
    unwatch();
    grace?.cancel();
    current?.destroy();
    await inTurn(() => apply([])).catch(() => {});
    for (const socket of conns) socket.destroy();
  };

  return {
    counts,
    close,
    serve(stream) {
      if (isClosed) return Promise.resolve(void stream.destroy());
      current?.destroy();
      current = stream;
      grace?.cancel();
      grace = null;
      return new Promise((resolve) => {
        const broken = (thrown: unknown) => {
          log.warn('doors.broken', { why: reasonOf(thrown) });
          stream.destroy();
        };
        const parser = buildMessageParser(limits.messageBytesMax, (message) => void answer(stream, message).catch(broken));
        stream.on('data', (chunk: Buffer) => {
          try {
            parser.push(chunk);
          } catch (thrown) {
            broken(thrown);
          }
        });
        stream.once('end', () => stream.end());
        stream.once('close', () => {
          if (current === stream) {
            current = null;
            if (!isClosed) grace = clock.after(limits.doorGraceMs, () => void inTurn(() => (current === null ? apply([]) : Promise.resolve([]))).catch(() => {}));
          }
          resolve();
        });
        stream.resume();
      });
    },
  };
}
