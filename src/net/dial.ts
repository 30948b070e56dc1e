// Reaching a target: one function type, several implementations (direct here, through the hub in tunnel).
import { connect, isIP, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Target } from '#model/target.ts';
import { connectTapped } from './tapped-reads.ts';

/** For whom we dial. */
export interface DialBy {
  /** Address of the client, for the far end's log. */
  readonly client: string;
  readonly visitId?: Id;
  readonly timeoutMs: number;
  /** Aborted: the dial is given up and what it opened is closed. */
  readonly signal?: AbortSignal;
  /** Of this machine, or routed to it as a whole network: what the connection comes from. Dials through a link do without. */
  readonly localAddress?: string;
}

/** What the system's refusal of a local address means; null: it is about something else. */
export function localAddressFault(error: NodeJS.ErrnoException, localAddress: string | undefined): Fault | null {
  if (localAddress === undefined || error.code !== 'EADDRNOTAVAIL') return null;
  return new Fault('unreachable', `${localAddress} does not belong to this machine: nothing can be sent from it`, {
    remedy: 'The network of the address pool needs a local route here; postern doctor prints the command.', detail: { localAddress }, cause: error,
  });
}

/** One family for both ends; a name gives only addresses of the local one's. */
function familyFor(host: string, localAddress: string): 4 | 6 {
  const family = isIP(localAddress);
  const other = isIP(host);
  if (family === 0) throw new Fault('bad-input', `"${localAddress}" is not an address`);
  if (other !== 0 && other !== family) throw new Fault('unreachable', `${host} cannot be reached from ${localAddress}: one is IPv4 and the other IPv6`, { remedy: 'Give the address pool a network of the same kind as the server.' });
  return family as 4 | 6;
}

/**
 * Opens a byte stream to the target. The stream has `allowHalfOpen` semantics: each direction ends by itself.
 * Faults: `unreachable`, `timeout`, `offline`, `forbidden` (the agent's local policy), `busy`, `closed` (aborted).
 */
export type Dial<Kind extends Target['kind']> = (target: Extract<Target, { kind: Kind }>, by: DialBy) => Promise<Duplex>;

/** Direct TCP. */
export const dialTcp: Dial<'tcp'> = (target, by) => openTcp(target, by, (place) => connect(place));

/** Direct TCP whose bytes can be tapped (tapped-reads.ts): for a reader that takes most of them in the call. */
export const dialTappedTcp: Dial<'tcp'> = (target, by) => openTcp(target, by, connectTapped);

const openTcp = (target: Extract<Target, { kind: 'tcp' }>, by: DialBy, open: (place: TcpNetConnectOpts) => Socket): Promise<Duplex> =>
  new Promise((resolve, reject) => {
    const where = target.host.includes(':') ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`;
    if (by.signal?.aborted) return reject(new Fault('closed', `dialling ${where} was given up`));
    const { localAddress } = by;
    const local = localAddress === undefined ? {} : { localAddress, family: familyFor(target.host, localAddress) };
    const socket = open({ host: target.host, port: target.port, allowHalfOpen: true, noDelay: true, ...local });
    const settle = () => {
      clearTimeout(timer);
      socket.off('connect', onConnect);
      socket.off('error', onError);
      by.signal?.removeEventListener('abort', onAbort);
    };
    const fail = (fault: Fault) => {
      settle();
      socket.on('error', () => {}); // a late error of a socket that is already given up
      socket.destroy();
      reject(fault);
    };
    const timer = setTimeout(() => fail(new Fault('timeout', `${where} did not answer within ${by.timeoutMs / 1000} s`)), by.timeoutMs);
    const onAbort = () => fail(new Fault('closed', `dialling ${where} was given up`));
    const onConnect = () => {
      settle();
      resolve(socket);
    };
    const onError = (error: NodeJS.ErrnoException) => {
      const local = localAddressFault(error, localAddress);
      if (local) return fail(local);
      const why = error.code === 'ECONNREFUSED' ? 'refused the connection' : error.code === 'ENOTFOUND' ? 'has no address' : `cannot be reached (${error.code ?? error.message})`;
      fail(new Fault('unreachable', `${where} ${why}`, { cause: error }));
    };
    socket.once('connect', onConnect);
    socket.once('error', onError);
    by.signal?.addEventListener('abort', onAbort);
  });
