// A port that we accept on. Bounds what is open, in all and per address, before a byte is read.
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Fault } from '#base/fault.ts';
import { plainAddress } from './conn.ts';

export interface ListenerOptions {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Called for each accepted socket: flowing has not begun, allowHalfOpen. */
  readonly onSocket: (socket: Socket, from: string) => void;
  readonly onError: (error: Error) => void;
}

export interface Listener {
  readonly name: string;
  readonly address: string;
  /** The port that is really bound. */
  readonly port: number;
  /** Stops accepting; what was accepted goes on. */
  close(): Promise<void>;
}

function faultOf(error: NodeJS.ErrnoException, options: ListenerOptions): Fault {
  const where = `${options.address} port ${options.port}`;
  if (error.code === 'EADDRINUSE') return new Fault('conflict', `${where} is in use by another program`, { remedy: `Stop it (ss -ltnp 'sport = :${options.port}' names it) or choose another port.`, cause: error });
  if (error.code === 'EACCES') return new Fault('forbidden', `${where} may not be opened by this user`, { remedy: 'Ports below 1024 need CAP_NET_BIND_SERVICE or a higher port.', cause: error });
  return new Fault('internal', `${where} cannot be opened (${error.code ?? error.message})`, { cause: error });
}

/** Faults: `conflict` (in use), `forbidden` (needs a privilege), `internal`. */
export function openListener(options: ListenerOptions): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const server: Server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, (socket) => {
      const from = plainAddress(socket.remoteAddress);
      if (from === '') return void socket.destroy(); // gone before it was looked at
      options.onSocket(socket, from);
    });
    let closed: Promise<void> | null = null;
    const listen = (address: string) => server.listen({ host: address, port: options.port, backlog: 1_024 });
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (server.listening) return options.onError(error);
      // A machine without IPv6 still has a front door.
      if (error.code === 'EAFNOSUPPORT' && options.address === '::') return void listen('0.0.0.0');
      reject(faultOf(error, options));
    });
    server.on('listening', () => {
      const bound = server.address() as AddressInfo;
      resolve({ name: options.name, address: bound.address, port: bound.port, close: () => (closed ??= new Promise((done) => void server.close(() => done()))) });
    });
    listen(options.address);
  });
}
