// A flow over a UDP socket of its own. The socket is connected, so that answers from elsewhere are not taken and the network's
// "nobody listens there" (ICMP port unreachable) reaches us.
import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { Fault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { datagramBytesMax } from '#wire/datagrams.ts';
import { localAddressFault, type DialBy } from './dial.ts';
import { endOf, newFlowState } from './flow.ts';
import type { Flow } from './flow.ts';

export interface UdpTarget {
  /** An address, no name. */
  readonly host: string;
  readonly port: number;
}

/** The datagram is lost and the flow goes on: it was too long for the path, or the system has no room just now. */
const passing: ReadonlySet<string | undefined> = new Set(['EMSGSIZE', 'ENOBUFS', 'EAGAIN', 'ENOMEM', 'EINTR']);

/** Nothing is sent: that somebody listens is not known before the first answer. Fault `unreachable`. */
export function dialUdp(target: UdpTarget, limits: Pick<Limits, 'flowQueueBytesMax'>, { localAddress }: Pick<DialBy, 'localAddress'> = {}): Promise<Flow> {
  const family = isIP(target.host);
  const where = `${family === 6 ? `[${target.host}]` : target.host}:${target.port}`;
  if (family === 0) return Promise.reject(new Fault('bad-input', `"${target.host}" is not an address`));
  const socket = createSocket({ type: family === 6 ? 'udp6' : 'udp4' });
  const state = newFlowState();
  const { counts } = state;

  const faultOf = (error: NodeJS.ErrnoException): Fault => {
    const why = error.code === 'ECONNREFUSED' ? `nobody listens on UDP port ${target.port} of ${target.host}` : `${where} cannot be reached over UDP (${error.code ?? error.message})`;
    return new Fault('unreachable', why, { cause: error });
  };
  const close = (why: string | Fault) => {
    if (state.end(endOf(why))) socket.close();
  };
  const dropped = () => {
    counts.dropped += 1;
    return false;
  };
  const flow: Flow = {
    counts,
    get isClosed() {
      return state.isClosed;
    },
    send(datagram) {
      if (state.isClosed || datagram.length > datagramBytesMax || socket.getSendQueueSize() + datagram.length > limits.flowQueueBytesMax) return dropped();
      counts.sent += 1;
      counts.sentBytes += datagram.length;
      socket.send(datagram, (error: NodeJS.ErrnoException | null) => {
        if (error === null || state.isClosed) return;
        counts.sent -= 1;
        counts.sentBytes -= datagram.length;
        dropped();
        if (!passing.has(error.code)) close(faultOf(error));
      });
      return true;
    },
    onDatagram(take) {
      socket.on('message', (datagram) => {
        if (state.isClosed) return;
        counts.received += 1;
        counts.receivedBytes += datagram.length;
        take(datagram);
      });
    },
    onClosed: state.onClosed,
    close,
  };
  return new Promise((resolve, reject) => {
    let isConnected = false;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (isConnected) close(faultOf(error));
    });
    if (localAddress !== undefined) {
      socket.once('error', (error: NodeJS.ErrnoException) => {
        if (isConnected) return;
        socket.close();
        reject(localAddressFault(error, localAddress) ?? faultOf(error));
      });
      socket.bind({ address: localAddress, port: 0, exclusive: true });
    }
    // Node's types know this callback without the error that it is given.
    socket.connect(target.port, target.host, ((error?: NodeJS.ErrnoException) => {
      if (error) {
        socket.close();
        return reject(faultOf(error));
      }
      isConnected = true;
      resolve(flow);
    }) as () => void);
  });
}
