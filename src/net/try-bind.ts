// Whether a port of an address can be opened here: by opening it, and closing it at once.
import { createSocket } from 'node:dgram';
import { createServer, isIP } from 'node:net';

/** null: it can. Otherwise the system's code: EADDRNOTAVAIL, EACCES, EADDRINUSE … */
export function tryBind(transport: 'tcp' | 'udp', address: string, port: number): Promise<string | null> {
  const codeOf = (error: NodeJS.ErrnoException) => error.code ?? error.message;
  return new Promise((resolve) => {
    if (transport === 'udp') {
      const socket = createSocket({ type: isIP(address) === 6 ? 'udp6' : 'udp4' });
      socket.on('error', (error: NodeJS.ErrnoException) => {
        socket.close();
        resolve(codeOf(error));
      });
      socket.bind({ address, port, exclusive: true }, () => void socket.close(() => resolve(null)));
      return;
    }
    const server = createServer((open) => void open.destroy());
    server.on('error', (error: NodeJS.ErrnoException) => resolve(codeOf(error)));
    server.listen({ host: address, port, exclusive: true }, () => void server.close(() => resolve(null)));
  });
}
