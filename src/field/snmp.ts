// Questions by SNMP v1, v2c and v3: the one file that knows net-snmp. It is given a socket of ours, so that every datagram, repeats included, waits for its turn, and
// so that what a device sends is looked at before the library sees it.
import { EventEmitter } from 'node:events';
import snmp from 'net-snmp';
import type { Session, SocketLike, Varbind } from 'net-snmp';
import type { Fault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { Secret } from '#base/secret.ts';
import type { AuthProtocol, PrivProtocol, ProbeFaultCode, SnmpValue } from '#model/probe/asking.ts';
import { securityOf } from '#wire/snmp-discovery.ts';
import type { ProbeSocket } from './probe-socket.ts';

export type SnmpIdentity =
  | { readonly version: 'v1' | 'v2c'; readonly community: Secret }
  | {
      readonly version: 'v3';
      readonly user: string;
      readonly context: string | null;
      readonly auth: { readonly protocol: AuthProtocol; readonly key: Secret } | null;
      readonly priv: { readonly protocol: PrivProtocol; readonly key: Secret } | null;
    };

/**
 * `values`: an answer. `status`: an error status by its name in RFC 3416. `refused`: a report, or an answer that proves nothing. `silent`: also after the repeat.
 */
export type SnmpAnswer =
  | { readonly kind: 'values'; readonly values: readonly SnmpValue[] }
  | { readonly kind: 'status'; readonly status: string }
  | { readonly kind: 'refused'; readonly code: ProbeFaultCode }
  | { readonly kind: 'silent' };

export interface SnmpSession {
  /** Rejects with the socket's Fault alone. */
  get(oids: readonly string[]): Promise<SnmpAnswer>;
  next(oid: string): Promise<SnmpAnswer>;
  /** Not with v1. */
  bulk(oid: string, count: number): Promise<SnmpAnswer>;
  /** The socket stays open. */
  close(): void;
}

/** The library keeps the key of every (password, engine) it has met, and engines' ids come from the network. */
const keysKeptMax = 500;

function boundKeys(): void {
  const keys = snmp.Authentication;
  if (Object.keys(keys.authToKeyCache).length >= keysKeptMax) keys.authToKeyCache = {};
}

/** What the library takes for a socket of its own. */
class PacedSocket extends EventEmitter implements SocketLike {
  readonly #socket: ProbeSocket;
  readonly #mute: () => void;
  #isClosed = false;
  constructor(socket: ProbeSocket, mayPass: (datagram: Buffer) => boolean, onFailed: (fault: Fault) => void, onDamaged: () => void, onThrown: () => void) {
    super();
    this.#socket = socket;
    this.#mute = socket.listen({
      onDatagram: (datagram) => {
        if (!mayPass(datagram)) return onDamaged();
        try {
          this.emit('message', datagram);
        } catch {
          // A message that says it is encrypted or signed, to a session without keys, throws inside of the library, which has then forgotten the question.
          onThrown();
        }
      },
      onFailed,
    });
  }
  send(bytes: Buffer, offset: number, length: number, _port: number, _address: string, done: (error: Error | null, bytes?: number) => void): void {
    // A repeat's timer may outlive the session.
    if (this.#isClosed) return;
    this.#socket.send(bytes.subarray(offset, offset + length)).then(
      () => !this.#isClosed && done(null, length),
      () => {}, // told by onFailed
    );
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  bind(): this {
    return this;
  }
  close(): void {
    this.#isClosed = true;
    this.#mute();
    this.emit('close');
  }
}

export function openSnmpSession(socket: ProbeSocket, identity: SnmpIdentity, limits: Limits): SnmpSession {
  boundKeys();
  let failure: Fault | null = null;
  let wasDamaged = false;
  const waiting = new Set<(fault: Fault) => void>();
  const onFailed = (fault: Fault) => {
    failure = fault;
    for (const reject of waiting) reject(fault);
  };
  const onDamaged = () => {
    wasDamaged = true;
  };
  let answerNow: ((answer: SnmpAnswer) => void) | null = null;
  const onThrown = () => answerNow?.({ kind: 'refused', code: 'damaged' });
  const createSocket = () => new PacedSocket(socket, (datagram) => mayPass(identity, datagram), onFailed, onDamaged, onThrown);
  const session = openSession(identity, { port: 1, retries: 1, timeout: limits.probeQuestionTimeoutMs, dgramModule: { createSocket } });
  session.on('error', onDamaged);

  const ask = (send: (done: (error: Error | null, varbinds?: readonly (Varbind | readonly Varbind[])[]) => void) => void): Promise<SnmpAnswer> => {
    if (failure !== null) return Promise.reject(failure);
    return new Promise((resolve, reject) => {
      wasDamaged = false;
      waiting.add(reject);
      // One question at a time.
      answerNow = resolve;
      // May be called twice, when an answer crosses the repeat.
      send((error, varbinds) => {
        waiting.delete(reject);
        resolve(error === null ? answerOf(varbinds ?? [], limits) : refusalOf(error, wasDamaged));
      });
    });
  };
  return {
    get: (oids) => ask((done) => session.get(oids, done)),
    next: (oid) => ask((done) => session.getNext([oid], done)),
    bulk: (oid, count) => ask((done) => session.getBulk([oid], 0, count, done)),
    close: () => void session.close(),
  };
}

function openSession(identity: SnmpIdentity, options: NonNullable<Parameters<typeof snmp.createSession>[2]>): Session {
  // The socket is connected: target and port go nowhere.
  if (identity.version !== 'v3') return snmp.createSession('', identity.community.reveal(), { ...options, version: identity.version === 'v1' ? snmp.Version1 : snmp.Version2c });
  const { user: name, context, auth, priv } = identity;
  const level = auth === null ? snmp.SecurityLevel.noAuthNoPriv : priv === null ? snmp.SecurityLevel.authNoPriv : snmp.SecurityLevel.authPriv;
  const user = {
    name,
    level,
    ...(auth === null ? {} : { authProtocol: snmp.AuthProtocols[auth.protocol], authKey: auth.key.reveal() }),
    ...(auth === null || priv === null ? {} : { privProtocol: snmp.PrivProtocols[priv.protocol], privKey: priv.key.reveal() }),
  };
  return snmp.createV3Session('', user, { ...options, ...(context === null ? {} : { context }) });
}

/**
 * The library takes an answer in the clear to a question that was signed and encrypted; RFC 3412 §7.2 step 13 wants the level of the question. Reports cannot be
 * signed before the engine is known (RFC 3414 §3.2 step 3), and say nothing but that something was refused.
 */
function mayPass(identity: SnmpIdentity, datagram: Buffer): boolean {
  if (identity.version !== 'v3') return true;
  const security = securityOf(datagram);
  if (security === null) return false;
  if (security.isReport) return true;
  return security.isSigned === (identity.auth !== null) && security.isEncrypted === (identity.priv !== null);
}

/** RFC 3416 §3 by the library's names. */
const statuses: Readonly<Record<string, string>> = {
  TooBig: 'tooBig', NoSuchName: 'noSuchName', BadValue: 'badValue', ReadOnly: 'readOnly', GeneralError: 'genErr', NoAccess: 'noAccess', WrongType: 'wrongType',
  ResourceUnavailable: 'resourceUnavailable', AuthorizationError: 'authorizationError',
};

const reports: readonly (readonly [begin: string, code: ProbeFaultCode])[] = [
  ['Unknown User Name', 'unknown-user'],
  ['Wrong Digest', 'wrong-key'],
  ['Unsupported Security Level', 'security-level'],
  ['Decryption Error', 'wrong-privacy'],
  ['Not In Time Window', 'not-in-time'],
  ['Failed to decrypt', 'wrong-privacy'],
  ['Authentication digest', 'wrong-key'],
];

function refusalOf(error: Error, wasDamaged: boolean): SnmpAnswer {
  if (error.name === 'RequestTimedOutError') return wasDamaged ? { kind: 'refused', code: 'damaged' } : { kind: 'silent' };
  if (error.name === 'RequestFailedError' && 'status' in error) {
    const name = snmp.ErrorStatus[String(error.status)];
    return { kind: 'status', status: (typeof name === 'string' && statuses[name]) || 'genErr' };
  }
  return { kind: 'refused', code: reports.find(([begin]) => error.message.startsWith(begin))?.[1] ?? 'damaged' };
}

function answerOf(varbinds: readonly (Varbind | readonly Varbind[])[], limits: Limits): SnmpAnswer {
  return { kind: 'values', values: varbinds.flat().map((each) => valueOf(each as Varbind, limits)) };
}

const numbers: Readonly<Record<string, 'integer' | 'counter' | 'gauge' | 'ticks'>> = { Integer: 'integer', Counter: 'counter', Gauge: 'gauge', TimeTicks: 'ticks' };
const exceptions: Readonly<Record<string, string>> = { NoSuchObject: 'noSuchObject', NoSuchInstance: 'noSuchInstance', EndOfMibView: 'endOfMibView' };

/** What has a type that nobody uses, or a value that is none, is missing. */
export function valueOf({ oid, type, value }: Varbind, limits: Pick<Limits, 'probeValueBytesMax'>): SnmpValue {
  const name = String(snmp.ObjectType[String(type)]);
  const number = numbers[name];
  if (number !== undefined && typeof value === 'number' && Number.isFinite(value)) return { oid, type: number, value };
  if (name === 'Counter64' && Buffer.isBuffer(value)) return { oid, type: 'counter64', value: BigInt(`0x${value.toString('hex') || '0'}`).toString() };
  if ((name === 'OctetString' || name === 'Opaque') && Buffer.isBuffer(value)) return { oid, type: name === 'Opaque' ? 'opaque' : 'octets', ...octetsOf(value, limits.probeValueBytesMax) };
  if (name === 'OID' && typeof value === 'string') return { oid, type: 'oid', value };
  if (name === 'IpAddress' && typeof value === 'string') return { oid, type: 'address', value };
  return { oid, type: 'missing', value: null, why: exceptions[name] ?? (name === 'Null' ? 'noSuchInstance' : 'wrongType') };
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function octetsOf(value: Buffer, bytesMax: number): { readonly value: string; readonly text?: string; readonly cut?: true } {
  const kept = value.subarray(0, bytesMax);
  const text = textOf(kept);
  return { value: kept.toString('base64'), ...(text === null ? {} : { text }), ...(kept.length < value.length ? { cut: true } : {}) };
}

/** null: not for reading. Some devices end texts with zeros, as their C does. */
function textOf(bytes: Buffer): string | null {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  if (end === 0 && bytes.length > 0) return null;
  try {
    const text = utf8.decode(bytes.subarray(0, end));
    // eslint-disable-next-line no-control-regex
    return /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}
