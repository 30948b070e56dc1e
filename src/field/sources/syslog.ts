// Syslog over UDP and TCP: messages of RFC 3164 and RFC 5424 are kept as they came, one a record.
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import { isIPv6 } from 'node:net';
import { canonicalAddress } from '#base/cidr.ts';
import { limits } from '#base/limits.ts';
import { addressText } from '../source-address.ts';
import type { SyslogSettings } from '../source-settings.ts';
import { openSyslogFramer, trimmed } from '../syslog-framer.ts';
import { keepTrying, newTally } from './source.ts';
import type { Source, SourceDeps, Tally } from './source.ts';
import { buildAllowed, keepTcpServer } from './tcp-server.ts';

/** A burst of a reboot's messages waits in the kernel while a record is on its way. */
const receiveBytes = 1024 * 1024;

interface Part {
  address(): string;
  readonly done: Promise<void>;
}

type Take = (message: Buffer, address: string) => boolean;

async function keepUdp({ listen, from }: SyslogSettings, deps: SourceDeps, tally: Tally, signal: AbortSignal, take: Take): Promise<Part> {
  const isAllowed = buildAllowed(from);
  let bound = addressText(listen);
  let first: () => void = () => {};
  const tried = new Promise<void>((resolve) => (first = resolve));
  const done = keepTrying(deps, tally, signal, (worked) =>
    new Promise<void>((resolve, reject) => {
      const socket = createSocket({ type: isIPv6(listen.host) ? 'udp6' : 'udp4', recvBufferSize: receiveBytes });
      const onAbort = () => void socket.close(() => resolve());
      socket.once('error', (error) => {
        signal.removeEventListener('abort', onAbort);
        socket.close();
        first();
        reject(error);
      });
      socket.on('message', (message, { address }) => {
        if (!isAllowed(canonicalAddress(address.replace(/%.*$/, '')) ?? '')) {
          tally.dropped += 1;
          return;
        }
        tally.bytes += message.length;
        // A datagram cannot be told to wait.
        if (deps.intake.waitingBytes() > limits.feedUnflushedDatagramBytesMax) {
          tally.dropped += 1;
          tally.failed('more came than the disk takes; messages were dropped');
        } else take(trimmed(message), address);
      });
      socket.bind({ address: listen.host, port: listen.port }, () => {
        const { address, port } = socket.address();
        bound = addressText({ host: address, port });
        worked();
        first();
        if (signal.aborted) return onAbort();
        signal.addEventListener('abort', onAbort, { once: true });
      });
    }),
  );
  await tried;
  return { address: () => `udp ${bound}`, done };
}

/** Until the connection ends. Rejects with what it failed with; whole messages were handed on. */
function takeConnection(socket: Socket, deps: SourceDeps, tally: Tally, signal: AbortSignal, take: (message: Buffer) => boolean, recordMax: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: unknown = null;
    let isReady = true;
    let isOver = false;
    const framer = openSyslogFramer((message) => {
      if (!take(message)) isReady = false;
    }, recordMax);
    const onAbort = () => void socket.destroy();
    socket.on('data', (bytes: Buffer) => {
      if (failure !== null) return;
      tally.bytes += bytes.length;
      try {
        framer.push(bytes);
      } catch (thrown) {
        failure = thrown;
        return void socket.destroy();
      }
      if (isReady) return;
      socket.pause();
      void deps.intake.ready().then(() => {
        isReady = true;
        if (!isOver) socket.resume();
      });
    });
    socket.on('error', (error) => (failure ??= error));
    socket.on('close', () => {
      isOver = true;
      signal.removeEventListener('abort', onAbort);
      if (framer.end()) tally.dropped += 1;
      if (failure === null) resolve();
      else reject(failure instanceof Error ? failure : new Error('failed'));
    });
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
}

export async function openSyslog(settings: SyslogSettings, deps: SourceDeps): Promise<Source> {
  const tally = newTally(deps);
  const end = new AbortController();
  const prefixOf = (address: string) => (settings.sourceAddress ? `${address} ` : '');
  const take: Take = (message, address) => {
    if (message.length === 0) return true;
    tally.tookRecord();
    return deps.intake.record(Buffer.concat([Buffer.from(prefixOf(address)), message]));
  };
  const parts: Part[] = [];
  if (settings.transport !== 'tcp') parts.push(await keepUdp(settings, deps, tally, end.signal, take));
  if (settings.transport !== 'udp') {
    const server = await keepTcpServer(settings, deps, tally, end.signal, (socket, address) => takeConnection(socket, deps, tally, end.signal, (message) => take(message, address), limits.feedRecordBytesMax - prefixOf(address).length));
    parts.push({ address: () => `tcp ${server.address()}`, done: server.done });
  }
  return {
    status: () => tally.status(`syslog ${parts.map((part) => part.address()).join(', ')}`),
    async close() {
      end.abort();
      deps.intake.release();
      await Promise.all(parts.map((part) => part.done));
    },
  };
}
