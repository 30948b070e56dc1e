// The command line's end of users' streams: one session with the gateway, a stream for each connection to a device.
// Started by OpenSSH for every connection, so it loads what it needs and no more.
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault } from '#base/fault.ts';
import type { FaultCode } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import type { Flow } from '#net/flow.ts';
import { parseGatewayAddress } from '#wire/join-token.ts';
import { buildBudget } from './budget.ts';
import { streamProtocol } from './greeting.ts';
import { openStream } from './open.ts';
import { MuxSession } from './session.ts';
import type { MuxStream } from './stream.ts';
import { upgrade } from './upgrade.ts';

export interface CallerOptions {
  /** `https://gw.example.test:8443`, or http on this machine. */
  readonly address: string;
  readonly token: string;
  /** PEM of the CA to trust; without it the system's. */
  readonly ca?: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal?: AbortSignal;
}

export interface Caller {
  /** Faults `forbidden`, `not-found`, `offline`, `unreachable`, `timeout`, `busy`, `closed`. */
  openDevice(device: string, port: number, signal?: AbortSignal): Promise<Duplex>;
  /** Faults as of `openDevice`, and `unsupported`, `too-many`. */
  openFlow(device: string, port: number, signal?: AbortSignal): Promise<Flow>;
  readonly closed: Promise<{ readonly why: string }>;
  close(): void;
}

const dialTimeoutMs = 10_000;
const codes: Readonly<Record<number, FaultCode>> = { 401: 'unauthenticated', 403: 'forbidden', 404: 'unsupported', 421: 'unsupported', 426: 'unsupported', 429: 'too-many', 503: 'busy' };

async function dial(options: CallerOptions): Promise<Duplex> {
  const { host, port, isSecure } = parseGatewayAddress(options.address);
  const tls = isSecure ? await import('node:tls') : undefined;
  const isName = !/^[\d.]+$|:/.test(host);
  return await new Promise((resolve, reject) => {
    const socket =
      tls === undefined
        ? connectTcp({ host, port, noDelay: true })
        : tls.connect({ host, port, ...(isName ? { servername: host } : {}), ALPNProtocols: ['http/1.1'], ...(options.ca === undefined ? {} : { ca: options.ca }) });
    const settle = () => {
      clearTimeout(timer);
      socket.off('error', onError);
      options.signal?.removeEventListener('abort', onAbort);
    };
    const fail = (fault: Fault) => {
      settle();
      socket.on('error', () => {});
      socket.destroy();
      reject(fault);
    };
    const timer = setTimeout(() => fail(new Fault('timeout', `${options.address} did not answer within ${dialTimeoutMs / 1000} s`)), dialTimeoutMs);
    const onAbort = () => fail(new Fault('closed', 'given up'));
    const onError = (error: NodeJS.ErrnoException) => {
      const isTrust = /^(DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CERT_|ERR_TLS_CERT)/.test(error.code ?? '');
      const remedy = isTrust ? { remedy: 'Run `postern login` again: it keeps the certificate to trust.' } : {};
      fail(new Fault(isTrust ? 'unauthenticated' : 'unreachable', `${options.address}: ${error.message}`, { cause: error, ...remedy }));
    };
    socket.on('error', onError);
    options.signal?.addEventListener('abort', onAbort);
    if (options.signal?.aborted) return onAbort();
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      settle();
      socket.on('error', () => {}); // what breaks before the session listens must not end the process
      resolve(socket);
    });
  });
}

/** Faults `unreachable`, `timeout`, `unauthenticated`, `forbidden`, `unsupported`, `too-many`, `busy`, `protocol`, `closed`. */
export async function connectCaller(options: CallerOptions): Promise<Caller> {
  const { clock, random } = options;
  const socket = await dial(options);
  const { host, port, isSecure } = parseGatewayAddress(options.address);
  const authority = host.includes(':') ? `[${host}]` : host;
  const upgraded = await upgrade(socket, {
    host: port === (isSecure ? 443 : 80) ? authority : `${authority}:${port}`,
    path: '/stream',
    protocol: streamProtocol,
    fields: [['Authorization', `Bearer ${options.token}`]],
    random,
    clock,
    timeoutMs: dialTimeoutMs,
  });
  if (!upgraded.ok) {
    const { detail, remedy } = upgraded.problem;
    const code = codes[upgraded.head.status] ?? 'protocol';
    const hint = typeof remedy === 'string' ? remedy : code === 'unauthenticated' ? 'Run `postern login`.' : undefined;
    throw new Fault(code, typeof detail === 'string' ? detail : `the gateway answered ${upgraded.head.status}`, hint === undefined ? {} : { remedy: hint });
  }
  const budget = buildBudget(limits.memoryBudgetBytes, () => {});
  const session = new MuxSession({
    socket,
    leftover: upgraded.leftover,
    role: 'client',
    isSecure,
    clock,
    limits,
    random,
    budget,
    onStream: (stream) => stream.destroy(), // a gateway opens nothing towards a caller
  });
  const open = async (kind: 'tcp' | 'udp', device: string, devicePort: number, signal: AbortSignal | undefined): Promise<MuxStream> => {
    try {
      return await openStream(session, { kind, target: `${device}/${devicePort}` }, { clock, timeoutMs: limits.deviceDialTimeoutMs + dialTimeoutMs, signal });
    } catch (thrown) {
      if (isFault(thrown)) throw new Fault(thrown.code, `${device} ${kind === 'udp' ? 'UDP ' : ''}port ${devicePort}: ${thrown.message}`, { cause: thrown });
      throw thrown;
    }
  };
  return {
    closed: session.closed,
    close: () => session.close('done'),
    openDevice: (device, devicePort, signal) => open('tcp', device, devicePort, signal),
    async openFlow(device, devicePort, signal) {
      const stream = await open('udp', device, devicePort, signal);
      // ssh's ProxyCommand needs none of it.
      const { StreamFlow } = await import('./stream-flow.ts');
      return new StreamFlow(stream, { clock, limits, budget });
    },
  };
}
