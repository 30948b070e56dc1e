// A listening TCP socket that stays: opened again when its address is not there yet, clients counted and judged by their networks.
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { canonicalAddress } from '#base/cidr.ts';
import { buildNetworkSet, isInNetworks } from '#base/networks.ts';
import { limits } from '#base/limits.ts';
import { addressText } from '../source-address.ts';
import type { ListenAddress } from '../source-address.ts';
import { keepTrying } from './source.ts';
import type { SourceDeps, Tally } from './source.ts';

export interface TcpServerOptions {
  readonly listen: ListenAddress;
  /** Empty: everybody. */
  readonly from: readonly string[];
  readonly clientsMax: number;
}

export interface TcpServer {
  /** As bound, once it is. */
  address(): string;
  /** Resolves when every client has been served to its end. */
  done: Promise<void>;
}

/** Whether an address is among the networks; everybody is when there are none. */
export function buildAllowed(from: readonly string[]): (address: string) => boolean {
  const networks = buildNetworkSet(from);
  return (address) => from.length === 0 || isInNetworks(networks, address);
}

/** The first try to listen is over when this resolves. `serve` ends when the client has; what it throws is told in the status. */
export async function keepTcpServer(options: TcpServerOptions, deps: SourceDeps, tally: Tally, signal: AbortSignal, serve: (socket: Socket, address: string) => Promise<void>): Promise<TcpServer> {
  const { listen, clientsMax } = options;
  const isAllowed = buildAllowed(options.from);
  const clients = new Set<Promise<void>>();
  let bound = addressText(listen);
  const accept = (socket: Socket) => {
    const address = canonicalAddress((socket.remoteAddress ?? '').replace(/%.*$/, '')) ?? '';
    const why = address === '' ? 'left at once' : !isAllowed(address) ? 'is not among the networks of "from"' : clients.size >= clientsMax ? `is one more than clientsMax (${clientsMax})` : null;
    if (why !== null) {
      socket.on('error', () => {});
      socket.destroy();
      if (address !== '') tally.failed(`a client at ${address} was refused: it ${why}`);
      return;
    }
    socket.setKeepAlive(true, limits.keepAliveEveryMs);
    tally.connected += 1;
    tally.worked();
    const served = serve(socket, address)
      .catch((thrown: unknown) => tally.failed(thrown))
      .finally(() => {
        socket.destroy();
        tally.connected -= 1;
        clients.delete(served);
      });
    clients.add(served);
  };
  let first: () => void = () => {};
  const tried = new Promise<void>((resolve) => (first = resolve));
  const listening = keepTrying(deps, tally, signal, (worked) =>
    new Promise<void>((resolve, reject) => {
      const server = createServer(accept);
      const onAbort = () => void server.close(() => resolve());
      server.once('error', (error) => {
        signal.removeEventListener('abort', onAbort);
        server.close();
        first();
        reject(error);
      });
      server.listen({ host: listen.host, port: listen.port }, () => {
        const { address, port } = server.address() as AddressInfo;
        bound = addressText({ host: address, port });
        worked();
        first();
        if (signal.aborted) return onAbort();
        signal.addEventListener('abort', onAbort, { once: true });
      });
    }),
  );
  await tried;
  const done = listening.then(async () => {
    while (clients.size > 0) await Promise.all(clients);
  });
  return { address: () => bound, done };
}
