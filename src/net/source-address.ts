// From which of this machine's addresses something out there sees us.
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { plainAddress } from './conn.ts';

export interface Towards {
  /** Ours: what the system chooses for connections there. */
  readonly source: string;
  /** The address that the name has, the first of several. */
  readonly target: string;
}

/** Null when the name has no address, or no way leads there. Nothing is sent: a UDP socket that is connected knows its own address. */
export async function sourceTowards(host: string, port: number): Promise<Towards | null> {
  const target = isIP(host) === 0 ? await lookup(host).then((found) => found.address, () => null) : host;
  if (target === null) return null;
  return new Promise((resolve) => {
    const socket = createSocket(isIP(target) === 6 ? 'udp6' : 'udp4');
    const settle = (towards: Towards | null) => {
      socket.off('error', onError);
      socket.on('error', () => {});
      socket.close();
      resolve(towards);
    };
    const onError = () => settle(null);
    socket.once('error', onError);
    socket.connect(port, target, () => settle({ source: plainAddress(socket.address().address), target: plainAddress(target) }));
  });
}
