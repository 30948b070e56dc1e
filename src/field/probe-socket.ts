// One connected UDP socket for what one request asks of one device. Connected, so that answers from elsewhere are not taken, and so that the system hands on what the
// network says: a port nobody listens on (ICMP port unreachable, RFC 1122 §4.1.3.3) is "SNMP off", which an unconnected socket cannot tell from silence.
import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import type { Fault } from '#base/fault.ts';
import type { ProbePace } from './probe-pace.ts';
import { probeFault } from './probe-texts.ts';
import type { Place } from './probe-texts.ts';

export interface ProbeListener {
  onDatagram(datagram: Buffer): void;
  /** Once: nothing more will come. */
  onFailed(fault: Fault): void;
}

export interface ProbeSocket {
  /** The agent's own address. */
  readonly from: string;
  /** Datagrams that were sent. */
  readonly sent: number;
  /** Sends at its turn. Rejects with why the socket failed. */
  send(datagram: Buffer): Promise<void>;
  /** Hears what comes from now on; returns what ends that. */
  listen(listener: ProbeListener): () => void;
  /** Fails what waits, for good. */
  fail(fault: Fault): void;
  close(): void;
}

const offCodes: ReadonlySet<string | undefined> = new Set(['ECONNREFUSED']);
/** EACCES and EPERM: a firewall of the agent's own machine. */
const unreachableCodes: ReadonlySet<string | undefined> = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN', 'EADDRNOTAVAIL', 'EACCES', 'EPERM', 'EINVAL']);

/** Nothing is sent yet. Fault `unreachable` (probe): the system knows no way there. `signal` fails it with its reason. */
export async function openProbeSocket(place: Place, pace: Pick<ProbePace, 'take'>, signal: AbortSignal): Promise<ProbeSocket> {
  const socket = createSocket(isIP(place.address) === 6 ? 'udp6' : 'udp4');
  const listeners = new Set<ProbeListener>();
  let failure: Fault | null = null;
  let from: string | null = null;
  let sent = 0;
  let isClosed = false;

  const fail = (fault: Fault) => {
    if (failure !== null) return;
    failure = fault;
    for (const listener of listeners) listener.onFailed(fault);
  };
  const onError = (error: NodeJS.ErrnoException) => {
    if (offCodes.has(error.code)) fail(probeFault('off', place, { from }));
    else if (unreachableCodes.has(error.code)) fail(probeFault('unreachable', place, { from }));
    // Anything else loses a datagram, which is repeated.
  };
  const onAbort = () => fail(signal.reason as Fault);
  const close = () => {
    if (isClosed) return;
    isClosed = true;
    signal.removeEventListener('abort', onAbort);
    fail(probeFault('closed', place, { from }));
    socket.close();
  };
  socket.on('error', onError);
  socket.on('message', (datagram) => {
    for (const listener of listeners) listener.onDatagram(datagram);
  });
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      // Node's types know this callback without the error that it is given.
      socket.connect(place.port, place.address, ((error?: Error) => (error ? reject(error) : resolve())) as () => void);
    });
    from = socket.address().address;
  } catch {
    const why: Fault = signal.aborted ? (signal.reason as Fault) : probeFault('unreachable', place);
    fail(why);
    close();
    throw why;
  }
  return {
    from,
    get sent() {
      return sent;
    },
    async send(datagram) {
      if (failure !== null) throw failure;
      await pace.take(signal);
      if (failure !== null) throw failure;
      sent += 1;
      await new Promise<void>((resolve) => {
        socket.send(datagram, (error: NodeJS.ErrnoException | null) => {
          if (error !== null) onError(error);
          resolve();
        });
      });
      if (failure !== null) throw failure;
    },
    listen(listener) {
      listeners.add(listener);
      if (failure !== null) listener.onFailed(failure);
      return () => void listeners.delete(listener);
    },
    fail,
    close,
  };
}
