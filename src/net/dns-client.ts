// Asking DNS servers, one question at a time, over UDP and where that does not do over TCP. Nothing is kept: what is looked for has just been changed.
import { createSocket } from 'node:dgram';
import { getServers } from 'node:dns';
import { connect } from 'node:net';
import { canonicalAddress } from '#base/cidr.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import { addressOf, dnsFrameAt, dnsTypes, encodeDnsFrame, encodeDnsQuery, parseDnsMessage, rcodeName, targetOf, type DnsMessage } from '#wire/dns.ts';

export interface DnsServer {
  /** An address literal. */
  readonly address: string;
  readonly port: number;
}

export interface DnsAnswer {
  readonly message: DnsMessage;
  readonly bytes: Buffer;
}

export type Transport = 'udp' | 'tcp';

/** `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:53`. null: not an address. */
export function parseDnsServer(text: string): DnsServer | null {
  const match = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text) ?? /^([0-9.]+)(?::(\d{1,5}))?$/.exec(text);
  const address = canonicalAddress(match?.[1] ?? text);
  const port = match?.[2] === undefined ? 53 : Number(match[2]);
  return address === null || port < 1 || port > 65_535 ? null : { address, port };
}

export const nameOfServer = ({ address, port }: DnsServer): string => `${address.includes(':') ? `[${address}]` : address}${port === 53 ? '' : `:${port}`}`;

/** Those of this machine's configuration. */
export const systemResolvers = (): DnsServer[] => getServers().flatMap((text) => parseDnsServer(text) ?? []);

/** Waits until the next datagram, or connection, may go out; throws when it may not. */
export type BeforeAsking = (transport: Transport) => Promise<void>;

/** One message there and one back; the answer has the id and, unless it is an error, the question of `message`. Faults: `timeout`, `unreachable`, `protocol`. */
export async function exchangeDns(server: DnsServer, message: Buffer, transport: Transport, signal?: AbortSignal, before?: BeforeAsking): Promise<DnsAnswer> {
  if (transport === 'udp' && message.length <= limits.dnsDatagramBytesMax) {
    for (let round = 1; ; round++) {
      await before?.('udp');
      try {
        const answer = await overUdp(server, message, signal);
        if (!answer.message.truncated) return answer;
        break;
      } catch (thrown) {
        // A lost datagram is no reason to give up. An update that comes twice changes nothing the second time.
        if (signal?.aborted || round >= limits.dnsTriesMax || !(thrown instanceof Fault && thrown.code === 'timeout')) throw thrown;
      }
    }
  }
  await before?.('tcp');
  return overTcp(server, message, signal);
}

/** The answer when `bytes` is one to `asked`; null otherwise: somebody else's, or a guess. */
function answerTo(asked: Buffer, bytes: Buffer): DnsAnswer | null {
  const message = parseDnsMessage(bytes);
  const question = parseDnsMessage(asked)?.questions[0];
  if (!message || !message.isAnswer || message.id !== asked.readUInt16BE(0)) return null;
  const [echoed] = message.questions;
  // RFC 2136 §3.8 lets a server leave the zone section out of its answer.
  if (!echoed ? message.rcode === 0 && message.opcode === 0 : echoed.name !== question?.name || echoed.type !== question.type) return null;
  return { message, bytes };
}

function overUdp(server: DnsServer, message: Buffer, signal?: AbortSignal): Promise<DnsAnswer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(server.address.includes(':') ? 'udp6' : 'udp4');
    const finish = (end: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.removeAllListeners();
      socket.on('error', () => {});
      socket.close();
      end();
    };
    const fail = (fault: Fault) => finish(() => reject(fault));
    const timer = setTimeout(() => fail(new Fault('timeout', `the DNS server ${nameOfServer(server)} did not answer`)), limits.dnsTimeoutMs);
    const onAbort = () => fail(new Fault('closed', 'it was called off'));
    signal?.addEventListener('abort', onAbort);
    socket.on('error', (error) => fail(new Fault('unreachable', `the DNS server ${nameOfServer(server)} cannot be reached: ${reasonOf(error)}`)));
    socket.on('message', (bytes) => {
      const answer = answerTo(message, bytes);
      if (answer) finish(() => resolve(answer));
    });
    // Connected: the system drops what comes from anybody else, and tells of a port that is closed.
    socket.connect(server.port, server.address, () => socket.send(message));
    if (signal?.aborted) onAbort();
  });
}

function overTcp(server: DnsServer, message: Buffer, signal?: AbortSignal): Promise<DnsAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server.address, port: server.port });
    let got = Buffer.alloc(0);
    const finish = (end: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.destroy();
      end();
    };
    const fail = (fault: Fault) => finish(() => reject(fault));
    const timer = setTimeout(() => fail(new Fault('timeout', `the DNS server ${nameOfServer(server)} did not answer over TCP`)), limits.dnsTimeoutMs);
    const onAbort = () => fail(new Fault('closed', 'it was called off'));
    signal?.addEventListener('abort', onAbort);
    socket.on('error', (error) => fail(new Fault('unreachable', `the DNS server ${nameOfServer(server)} cannot be reached over TCP: ${reasonOf(error)}`)));
    socket.on('end', () => fail(new Fault('closed', `the DNS server ${nameOfServer(server)} ended the connection without an answer`)));
    socket.on('data', (piece: Buffer) => {
      got = Buffer.concat([got, piece]);
      const frame = dnsFrameAt(got);
      if (!frame) return;
      const answer = answerTo(message, frame.message);
      if (answer) finish(() => resolve(answer));
      else fail(new Fault('protocol', `what the DNS server ${nameOfServer(server)} said is no answer to the question`));
    });
    socket.write(encodeDnsFrame(message));
    if (signal?.aborted) onAbort();
  });
}

export interface Question {
  readonly name: string;
  readonly type: number;
}

/** Asks a server. Fault `bad-input`: the name does not fit into DNS; and those of `exchangeDns`. */
export async function askServer(server: DnsServer, question: Question, options: { readonly recursive: boolean; readonly random: Random; readonly signal?: AbortSignal; readonly before?: BeforeAsking }): Promise<DnsAnswer> {
  const query = encodeDnsQuery(options.random(2).readUInt16BE(0), question, options.recursive);
  if (!query) throw new Fault('bad-input', `"${question.name}" does not fit into DNS`);
  return exchangeDns(server, query, 'udp', options.signal, options.before);
}

export interface Resolver {
  /** By the first resolver that answers; NXDOMAIN is an answer. Faults as above, and `protocol` for an error of the server. */
  ask(question: Question): Promise<DnsAnswer>;
  /** IPv4 and IPv6; empty: none, or the name does not exist. */
  addressesOf(name: string): Promise<string[]>;
  /** Where CNAMEs lead from a name; the name itself without any. */
  follow(name: string): Promise<string>;
}

export function buildResolver(options: { readonly servers: () => readonly DnsServer[]; readonly random: Random; readonly signal?: AbortSignal }): Resolver {
  const ask = async (question: Question): Promise<DnsAnswer> => {
    let last: Fault | null = null;
    for (const server of options.servers().slice(0, limits.dnsServersMax)) {
      try {
        const answer = await askServer(server, question, { ...options, recursive: true });
        const { rcode } = answer.message;
        if (rcode === 0 || rcode === 3) return answer;
        last = new Fault('protocol', `the DNS server ${nameOfServer(server)} answers ${rcodeName(rcode)} for ${question.name}`);
      } catch (thrown) {
        if (!(thrown instanceof Fault) || thrown.code === 'bad-input') throw thrown;
        last = thrown;
      }
    }
    throw last ?? new Fault('unreachable', 'this machine has no DNS server to ask', { remedy: 'Name one in /etc/resolv.conf, or as "resolver" in the DNS settings.' });
  };
  return {
    ask,
    async addressesOf(name) {
      if (canonicalAddress(name) !== null) return [canonicalAddress(name)!];
      const both = await Promise.all([dnsTypes.A, dnsTypes.AAAA].map((type) => ask({ name, type })));
      return [...new Set(both.flatMap(({ message }) => message.answers.flatMap((record) => canonicalAddress(addressOf(record) ?? '') ?? [])))];
    },
    async follow(name) {
      let here = name.toLowerCase().replace(/\.$/, '');
      for (let hop = 0; ; hop++) {
        const { message, bytes } = await ask({ name: here, type: dnsTypes.CNAME });
        const next = message.answers.find((record) => record.type === dnsTypes.CNAME && record.name === here);
        const target = next && targetOf(bytes, next);
        if (!target) return here;
        if (hop >= limits.dnsCnamesMax) throw new Fault('protocol', `the CNAMEs that begin at ${name} do not come to an end`, { remedy: 'Let them lead straight to the name that the updates may change.' });
        here = target;
      }
    },
  };
}
