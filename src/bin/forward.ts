// `postern forward`: a port of this machine, on loopback alone, leads to a port of a device.
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { realClock, realRandom } from '#app/real.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import { connectCaller } from '#tunnel/caller.ts';
import type { Caller } from '#tunnel/caller.ts';
import { relayStreams } from '#tunnel/relay.ts';
import { parsePort } from './connect.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { readProfile } from './profile.ts';

export const usage = `Usage: postern forward DEVICE PORT[:LOCAL]

Listens on 127.0.0.1 and joins every connection to a TCP port of a device, until it is stopped. Prints the address.
LOCAL is the port to listen on (default: any free one).
`;

async function listen(port: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE' ? new Fault('conflict', `port ${port} is in use on this machine`, { remedy: 'Name another: PORT:LOCAL' }) : error);
    });
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}

export async function run(args: string[], io: CommandIo): Promise<number> {
  const [device, ports, ...rest] = args;
  if (device === undefined || ports === undefined || rest.length > 0) throw usageFault('forward takes a device and PORT or PORT:LOCAL');
  const [far = '', near, ...more] = ports.split(':');
  if (more.length > 0) throw usageFault(`"${ports}" is not PORT or PORT:LOCAL`);
  const port = parsePort(far);
  const { address, token, caPem } = await readProfile(io.env);
  const connect = () => connectCaller({ address, token, ca: caPem, clock: realClock, random: realRandom, signal: io.signal });
  // One session for all connections; dialled again by the next connection when it broke.
  let caller: Promise<Caller> | undefined;
  const session = () => {
    if (caller === undefined) {
      const mine = connect();
      caller = mine;
      const forget = () => {
        if (caller === mine) caller = undefined;
      };
      mine.then(({ closed }) => closed.then(forget), forget);
    }
    return caller;
  };
  await session(); // a wrong token or address is told before anything listens
  const server = await listen(near === undefined ? 0 : parsePort(near));
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    session()
      .then((open) => open.openDevice(device, port, io.signal))
      .then((stream) => relayStreams(socket, stream))
      .catch((thrown: unknown) => {
        socket.resetAndDestroy();
        io.stderr.write(`postern forward: ${reasonOf(thrown)}\n`);
        if (!isFault(thrown)) throw thrown;
      });
  });
  io.stdout.write(`127.0.0.1:${(server.address() as AddressInfo).port}\n`);
  await new Promise<void>((resolve) => {
    if (io.signal.aborted) resolve();
    else io.signal.addEventListener('abort', () => resolve());
  });
  server.close();
  for (const socket of sockets) socket.destroy();
  await caller?.then((open) => open.close(), () => {});
  return exitCodes.ok;
}
