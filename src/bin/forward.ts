// `postern forward`: a port of this machine, on loopback alone, leads to a port of a device.
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { realClock, realRandom } from '#app/real.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { Flow } from '#net/flow.ts';
import { connectCaller } from '#tunnel/caller.ts';
import type { Caller } from '#tunnel/caller.ts';
import { relayStreams } from '#tunnel/relay.ts';
import { parsePort } from './connect.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { readProfile } from './profile.ts';

export const usage = `Usage: postern forward DEVICE PORT[/udp][:LOCAL]

Listens on 127.0.0.1 and joins every connection to a port of a device, until it is stopped. Prints the address.
LOCAL is the port to listen on (default: any free one). With /udp, every local source of datagrams is one flow, which ends after a
minute without any.
`;

/** `161/udp:1161` → 161 there, over UDP, 1161 here. */
export function parseForward(text: string): { readonly port: number; readonly isUdp: boolean; readonly local: number } {
  const match = /^(\d+)(?:\/(tcp|udp))?(?::(\d+))?$/.exec(text);
  if (!match) throw usageFault(`"${text}" is not PORT, PORT:LOCAL, PORT/udp or PORT/udp:LOCAL`);
  return { port: parsePort(match[1]!), isUdp: match[2] === 'udp', local: match[3] === undefined ? 0 : parsePort(match[3]) };
}

/** Until the command is stopped. */
const stopped = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve());
  });

type Session = () => Promise<Caller>;

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

function complain(io: CommandIo, thrown: unknown): void {
  io.stderr.write(`postern forward: ${reasonOf(thrown)}\n`);
  if (!isFault(thrown)) throw thrown;
}

async function forwardTcp(device: string, port: number, local: number, session: Session, io: CommandIo): Promise<void> {
  const server = await listen(local);
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
        complain(io, thrown);
      });
  });
  io.stdout.write(`127.0.0.1:${(server.address() as AddressInfo).port}\n`);
  await stopped(io.signal);
  server.close();
  for (const socket of sockets) socket.destroy();
}

async function forwardUdp(device: string, port: number, local: number, session: Session, io: CommandIo): Promise<void> {
  const [{ openFlowListener }, { relayFlows }] = await Promise.all([import('#net/flow-listener.ts'), import('#net/flow.ts')]);
  const carry = async (near: Flow) => {
    try {
      const far = await (await session()).openFlow(device, port, io.signal);
      const end = await relayFlows(near, far, { clock: realClock, idleMs: limits.flowIdleMs });
      // A client over UDP hears nothing of it and waits: here is the one place that can tell.
      if (end.fault !== undefined && !io.signal.aborted) io.stderr.write(`postern forward: ${device} UDP port ${port}: ${end.why}\n`);
    } catch (thrown) {
      near.close(isFault(thrown) ? thrown : new Fault('internal', reasonOf(thrown)));
      if (!io.signal.aborted) complain(io, thrown);
    }
  };
  const listener = await openFlowListener({ address: '127.0.0.1', port: local, clock: realClock, limits, onFlow: (flow) => void carry(flow) });
  io.stdout.write(`127.0.0.1:${listener.port}/udp\n`);
  await stopped(io.signal);
  await listener.close('stopped');
}

export async function run(args: string[], io: CommandIo): Promise<number> {
  const [device, ports, ...rest] = args;
  if (device === undefined || ports === undefined || rest.length > 0) throw usageFault('forward takes a device and PORT[/udp][:LOCAL]');
  const { port, isUdp, local } = parseForward(ports);
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
  await (isUdp ? forwardUdp : forwardTcp)(device, port, local, session, io);
  await caller?.then((open) => open.close(), () => {});
  return exitCodes.ok;
}
