// The parts of net-snmp 3.29 that field/snmp.ts uses; the package brings no types.
declare module 'net-snmp' {
  import type { EventEmitter } from 'node:events';

  export interface Varbind {
    /** Dotted text. */
    oid: string;
    /** A number of `ObjectType`. */
    type: number;
    /** Integers as numbers, octets, opaque and Counter64 as Buffer, OIDs and addresses as text, null and the exceptions as null. */
    value: unknown;
  }

  /** What it asks of a socket; `send` waits for nothing but its callback before its timer starts. */
  export interface SocketLike extends EventEmitter {
    ref(): unknown;
    unref(): unknown;
    send(bytes: Buffer, offset: number, length: number, port: number, address: string, done: (error: Error | null, bytes?: number) => void): void;
    bind(...args: unknown[]): unknown;
    close(): unknown;
  }

  export interface SessionOptions {
    port?: number;
    version?: number;
    /** Repeats after the first try. */
    retries?: number;
    timeout?: number;
    transport?: 'udp4' | 'udp6';
    context?: string;
    dgramModule?: { createSocket(type: string): SocketLike };
  }

  export interface User {
    name: string;
    level: number;
    authProtocol?: number;
    authKey?: string;
    privProtocol?: number;
    privKey?: string;
  }

  export interface Session extends EventEmitter {
    get(oids: readonly string[], done: (error: Error | null, varbinds?: Varbind[]) => void): this;
    getNext(oids: readonly string[], done: (error: Error | null, varbinds?: Varbind[]) => void): this;
    getBulk(oids: readonly string[], nonRepeaters: number, maxRepetitions: number, done: (error: Error | null, varbinds?: (Varbind | Varbind[])[]) => void): this;
    close(): this;
  }

  const snmp: {
    createSession(target: string, community: string, options: SessionOptions): Session;
    createV3Session(target: string, user: User, options: SessionOptions): Session;
    /** Localized keys by password and engine, for ever. */
    readonly Authentication: { authToKeyCache: Record<string, Buffer> };
    readonly Version1: number;
    readonly Version2c: number;
    readonly SecurityLevel: { readonly noAuthNoPriv: number; readonly authNoPriv: number; readonly authPriv: number };
    readonly AuthProtocols: Readonly<Record<'md5' | 'sha' | 'sha224' | 'sha256' | 'sha384' | 'sha512', number>>;
    readonly PrivProtocols: Readonly<Record<'des' | 'aes' | 'aes256b' | 'aes256r', number>>;
    /** Numbers by name, and names by number. */
    readonly ErrorStatus: Readonly<Record<string, number | string>>;
    readonly ObjectType: Readonly<Record<string, number | string>>;
  };
  export default snmp;
}
