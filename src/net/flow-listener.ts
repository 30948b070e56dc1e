// A UDP port whose every source is a flow of its own: the twin of a TCP listener. Bounded: when there are too many, the flow
// that has been silent longest makes room, as in a NAT's table.
import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { datagramBytesMax } from '#wire/datagrams.ts';
import { endOf, newFlowState } from './flow.ts';
import type { Flow, FlowState } from './flow.ts';

export interface FlowListenerOptions {
  /** An address of this machine, and a port or 0 for any. */
  readonly address: string;
  readonly port: number;
  readonly clock: Clock;
  readonly limits: Pick<Limits, 'flowsPerListenerMax' | 'flowEarlyDatagramsMax' | 'flowQueueBytesMax' | 'flowRestMs'>;
  /** A source that has no flow sent something; it is given to the flow's `onDatagram`. */
  onFlow(flow: Flow, from: { readonly address: string; readonly port: number }): void;
}

export interface FlowListener {
  readonly port: number;
  readonly flows: number;
  close(why: string): Promise<void>;
}

interface Source {
  readonly flow: Flow;
  readonly state: FlowState;
  take: ((datagram: Buffer) => void) | undefined;
  /** What came before somebody took it; the oldest go first. */
  readonly early: Buffer[];
  lastMs: number;
}

/** Faults `conflict` (the port is in use), `forbidden` (not for this user), `unreachable` (no address of this machine). */
export async function openFlowListener(options: FlowListenerOptions): Promise<FlowListener> {
  const { clock, limits } = options;
  const family = isIP(options.address) === 6 ? 6 : 4;
  // Answers go to addresses that came in: nothing is looked up.
  const socket = createSocket({ type: family === 6 ? 'udp6' : 'udp4', lookup: (host, _options, callback) => callback(null, host, family) });
  const sources = new Map<string, Source>();
  /** A source whose flow failed: its next tries are dropped for a moment, or each would open another flow that fails. */
  const resting = new Map<string, number>();

  const add = (key: string, address: string, port: number): Source => {
    const state = newFlowState();
    const { counts } = state;
    const source: Source = {
      state,
      take: undefined,
      early: [],
      lastMs: clock.monoMs(),
      flow: {
        counts,
        get isClosed() {
          return state.isClosed;
        },
        send(datagram) {
          if (state.isClosed || datagram.length > datagramBytesMax || socket.getSendQueueSize() + datagram.length > limits.flowQueueBytesMax) {
            counts.dropped += 1;
            return false;
          }
          counts.sent += 1;
          counts.sentBytes += datagram.length;
          source.lastMs = clock.monoMs();
          socket.send(datagram, port, address, (error: Error | null) => {
            if (error === null) return;
            counts.sent -= 1;
            counts.sentBytes -= datagram.length;
            counts.dropped += 1;
          });
          return true;
        },
        onDatagram(take) {
          source.take = take;
          for (const datagram of source.early.splice(0)) if (!state.isClosed) take(datagram);
        },
        onClosed: state.onClosed,
        close(why) {
          const end = endOf(why);
          if (!state.end(end)) return;
          source.early.length = 0;
          sources.delete(key);
          if (end.fault === undefined) return;
          if (resting.size >= limits.flowsPerListenerMax) resting.delete(resting.keys().next().value!);
          resting.set(key, clock.monoMs() + limits.flowRestMs);
        },
      },
    };
    return source;
  };

  const makeRoom = () => {
    let silent: Source | undefined;
    for (const source of sources.values()) if (silent === undefined || source.lastMs < silent.lastMs) silent = source;
    silent?.flow.close('another one took its place');
  };

  socket.on('message', (datagram, from) => {
    const key = `${from.address} ${from.port}`;
    const now = clock.monoMs();
    let source = sources.get(key);
    if (source === undefined) {
      const restUntil = resting.get(key);
      if (restUntil !== undefined && now < restUntil) return;
      resting.delete(key);
      if (sources.size >= limits.flowsPerListenerMax) makeRoom();
      source = add(key, from.address, from.port);
      sources.set(key, source);
      options.onFlow(source.flow, from);
      if (source.state.isClosed) return;
    }
    source.lastMs = now;
    source.state.counts.received += 1;
    source.state.counts.receivedBytes += datagram.length;
    if (source.take !== undefined) return source.take(datagram);
    source.early.push(datagram);
    if (source.early.length > limits.flowEarlyDatagramsMax) {
      source.early.shift();
      source.state.counts.dropped += 1;
    }
  });

  await new Promise<void>((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) => {
      socket.close();
      const where = `UDP port ${options.port} of ${options.address}`;
      if (error.code === 'EADDRINUSE') reject(new Fault('conflict', `${where} is in use on this machine`, { cause: error }));
      else if (error.code === 'EACCES') reject(new Fault('forbidden', `${where} cannot be opened by this user`, { cause: error }));
      else if (error.code === 'EADDRNOTAVAIL') reject(new Fault('unreachable', `${options.address} does not belong to this machine`, { cause: error }));
      else reject(error);
    };
    socket.once('error', onError);
    socket.bind({ port: options.port, address: options.address, exclusive: true }, () => {
      socket.off('error', onError);
      // What the network says about an answer that nobody takes any more: the source's own business.
      socket.on('error', () => {});
      resolve();
    });
  });
  return {
    port: socket.address().port,
    get flows() {
      return sources.size;
    },
    async close(why) {
      for (const source of Array.from(sources.values())) source.flow.close(why);
      await new Promise<void>((resolve) => void socket.close(() => resolve()));
    },
  };
}
