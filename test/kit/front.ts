// What tests of the front door share: clients that speak in bytes, the journal as it is read, samples of the corpus.
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { startTcp, until, type TestGateway } from './gateway.ts';

export interface Wire<Kind extends Duplex = Socket> {
  readonly socket: Kind;
  readonly bytes: Buffer;
  /** What came, one char a byte. */
  readonly text: string;
  /** The other side sent its end. */
  readonly ended: boolean;
  readonly closed: boolean;
  /** Waits for an answer like this. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  /** Waits for the end of both directions, or a reset. */
  gone(): Promise<void>;
}

function watch<Kind extends Duplex>(socket: Kind): Wire<Kind> {
  const pieces: Buffer[] = [];
  let [ended, closed] = [false, false];
  socket.on('data', (piece: Buffer) => void pieces.push(piece));
  socket.on('end', () => void (ended = true));
  socket.on('close', () => void (closed = true));
  const wire: Wire<Kind> = {
    socket,
    get bytes() {
      return Buffer.concat(pieces);
    },
    get text() {
      return wire.bytes.toString('latin1');
    },
    get ended() {
      return ended;
    },
    get closed() {
      return closed;
    },
    says: (pattern) => until(`an answer like ${pattern}`, () => pattern.exec(wire.text)),
    async gone() {
      await until('the end of a connection', () => closed || ended);
      socket.destroy();
    },
  };
  return wire;
}

export interface WireOptions {
  /** 127.0.0.x: clients of different addresses on one machine. */
  readonly from?: string;
  readonly allowHalfOpen?: boolean;
}

export function openWire(port: number, { from = '127.0.0.1', allowHalfOpen = false }: WireOptions = {}): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, localAddress: from, allowHalfOpen, noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject).on('error', () => {});
      resolve(watch(socket));
    });
  });
}

/** TLS to 127.0.0.1; whose certificate it is, is the test's to ask for with `ca`. */
export function openTlsWire(port: number, options: ConnectionOptions): Promise<Wire<TLSSocket>> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, ...options });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      socket.off('error', reject).on('error', () => {});
      resolve(watch(socket));
    });
  });
}

/** TLS for programs that have none, or have no word for SNI: what is said to its port in clear goes on in TLS, both ends ending by themselves. */
export function startTlsFront(port: number, options: ConnectionOptions): ReturnType<typeof startTcp> {
  return startTcp((socket) => {
    const tls = connectTls({ host: '127.0.0.1', port, ...options, allowHalfOpen: true } as ConnectionOptions);
    tls.on('error', () => socket.destroy());
    tls.on('close', () => socket.destroy());
    socket.on('close', () => tls.destroy());
    socket.pipe(tls).pipe(socket);
  });
}

export type JournalLine = Readonly<Record<string, unknown>> & { readonly event: string };

/** The newest lines first. */
export async function readJournal(gateway: Pick<TestGateway, 'owner' | 'api'>): Promise<JournalLine[]> {
  const { token } = await gateway.owner();
  const answer = await gateway.api('GET', '/journal?limit=200', { token });
  return (answer.json['items'] as { event: string; fields: Record<string, unknown> }[]).map((line) => ({ ...line.fields, event: line.event }));
}

/** Waits for a line that has these fields. */
export function journalSays(gateway: Pick<TestGateway, 'owner' | 'api'>, fields: Readonly<Record<string, unknown>>): Promise<JournalLine> {
  const entries = Object.entries(fields);
  const fits = (line: JournalLine) => entries.every(([name, value]) => (value instanceof RegExp ? value.test(String(line[name])) : line[name] === value));
  return until(`a line of the journal like ${JSON.stringify(fields, (_, value: unknown) => (value instanceof RegExp ? String(value) : value))}`, async () => (await readJournal(gateway)).find(fits));
}

export interface HexSample {
  readonly title: string;
  readonly bytes: Buffer;
  /** What the corpus says of it. */
  readonly expected: Readonly<Record<string, unknown>> | null;
}

/** Samples of test/corpus that are written in hex. */
export function readHexCorpus(name: 'ldap' | 'h323' | 'rdp' | 'ssh' | 'tls'): HexSample[] {
  const text = readFileSync(new URL(`../corpus/${name}.md`, import.meta.url), 'utf8');
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => ({
      title: section.slice(0, section.indexOf('\n')),
      bytes: Buffer.from(/```hex\n([\s\S]*?)```/.exec(section)![1]!.replace(/\s/g, ''), 'hex'),
      expected: JSON.parse(/```json\n([\s\S]*?)```/.exec(section)![1]!) as HexSample['expected'],
    }));
}
