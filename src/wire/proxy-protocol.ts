// The PROXY protocol, versions 1 and 2: the client's address before the first byte of a connection (proxy-protocol.txt of HAProxy, 2026-04).
// Called only where a header is required: whether one is there is never guessed (§2). What is taken and sent: docs/wire/proxy-protocol.md.
import { formatAddress, parseAddress, type Address } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { crc32c } from './crc32c.ts';
import { malformed, more, no, type Unsettled } from './sniff.ts';

export interface Endpoint {
  /** IPv4 or IPv6 literal in canonical form; mapped ones are IPv4. */
  readonly address: string;
  readonly port: number;
}

export interface ProxyHeader {
  readonly kind: 'proxy';
  readonly version: 1 | 2;
  /** The sender opened the connection for itself; nothing else in the header counts. */
  readonly local: boolean;
  /** Null where the header names no IP address: the peer's own counts. */
  readonly source: Endpoint | null;
  readonly destination: Endpoint | null;
  /** It speaks of one UDP datagram, the one that it stands in. */
  readonly datagram: boolean;
  /** Lower case, without a trailing dot; not checked to be a host name. */
  readonly authority: string | null;
  /** One char a byte (latin1). */
  readonly alpn: string | null;
  readonly uniqueId: Buffer | null;
  /** Null unless the client used TLS. */
  readonly tls: ProxiedTls | null;
  /** Fields of the application's own range (E0 to EF). */
  readonly custom: number;
  /** Length of the header; what the client sent begins there. */
  readonly bytes: number;
}

export interface ProxiedTls {
  /** The client showed a certificate and the sender's check passed. Without it commonName and clientCertificate prove nothing. */
  readonly verified: boolean;
  readonly version: string | null;
  /** CN of the client certificate's subject. */
  readonly commonName: string | null;
  readonly cipher: string | null;
  readonly signatureAlgorithm: string | null;
  readonly keyAlgorithm: string | null;
  readonly group: string | null;
  /** DER. */
  readonly clientCertificate: Buffer | null;
}

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const lineStart = Buffer.from('PROXY ', 'latin1');
const lineBytesMax = 107; // §2.1
const fixedBytes = 16; // §2.2
const uniqueIdBytesMax = 128; // §2.2.5
const textBytesMax = 255;

/** Length of the address block by family and transport; the seven pairs that §2.2 expects. */
const addressBytes: ReadonlyMap<number, number> = new Map([[0x00, 0], [0x11, 12], [0x12, 12], [0x21, 36], [0x22, 36], [0x31, 216], [0x32, 216]]);

const field = { alpn: 0x01, authority: 0x02, crc32c: 0x03, noop: 0x04, uniqueId: 0x05, ssl: 0x20 } as const;
const sslField = { version: 0x21, commonName: 0x22, cipher: 0x23, signatureAlgorithm: 0x24, keyAlgorithm: 0x25, group: 0x26, clientCertificate: 0x28 } as const;
const usedTls = 0x01;
const certificateInConnection = 0x02;
const certificateInSession = 0x04;

const nothing = { local: false, source: null, destination: null, datagram: false, authority: null, alpn: null, uniqueId: null, tls: null, custom: 0 } as const;

/** Ends the reading from any depth; never leaves this file. */
function wrong(why: string): never {
  throw new Fault('protocol', why);
}

/** Reads the header at the beginning of `bytes`. Never throws, keeps nothing, consumes nothing; a second header behind it is not read. */
export function readProxyHeader(bytes: Buffer): Unsettled | ProxyHeader {
  if (bytes.length === 0) return more;
  const start = bytes[0] === lineStart[0] ? lineStart : signature;
  const begun = Math.min(bytes.length, start.length);
  if (bytes.compare(start, 0, begun, 0, begun) !== 0) return no;
  if (begun < start.length) return more;
  try {
    return start === lineStart ? readLine(bytes) : readBinary(bytes);
  } catch (thrown) {
    if (thrown instanceof Fault) return malformed(thrown.message);
    throw thrown;
  }
}

/** §2.1. */
function readLine(bytes: Buffer): Unsettled | ProxyHeader {
  const line = bytes.toString('latin1', 0, Math.min(bytes.length, lineBytesMax));
  const end = line.search(/[\r\n]/);
  if (end < 0 && line.length < lineBytesMax) return more;
  if (line[end] === '\n') wrong('PROXY line with a line feed alone');
  if (end < 0 || end === lineBytesMax - 1) wrong(`PROXY line of more than ${lineBytesMax} bytes`);
  if (line.length === end + 1) return more;
  if (line[end + 1] !== '\n') wrong('PROXY line with a carriage return alone');
  const header = { ...nothing, kind: 'proxy', version: 1, bytes: end + 2 } as const;
  const [, family, ...words] = line.slice(0, end).split(' ');
  if (family === 'UNKNOWN') return header; // whatever follows is to be ignored
  if (family !== 'TCP4' && family !== 'TCP6') wrong('PROXY line of another protocol than TCP4, TCP6 and UNKNOWN');
  if (words.length !== 4) wrong('PROXY line without exactly two addresses and two ports');
  const [source, destination, sourcePort, destinationPort] = words as [string, string, string, string];
  return {
    ...header,
    source: { address: lineAddress(source, family), port: linePort(sourcePort) },
    destination: { address: lineAddress(destination, family), port: linePort(destinationPort) },
  };
}

function lineAddress(text: string, family: 'TCP4' | 'TCP6'): string {
  const address = parseAddress(text);
  // Not by the family of the result: in a TCP6 line a mapped address is IPv4.
  if (!address || text.includes(':') !== (family === 'TCP6')) wrong(`PROXY line with another address than its ${family}`);
  return formatAddress(address);
}

function linePort(text: string): number {
  if (!/^(0|[1-9]\d{0,4})$/.test(text) || Number(text) > 65_535) wrong('PROXY line with a port that is none');
  return Number(text);
}

/** §2.2. What a byte forbids is said as soon as it is there. */
function readBinary(bytes: Buffer): Unsettled | ProxyHeader {
  const command = bytes[12];
  if (command === undefined) return more;
  if (command >> 4 !== 2) wrong(`PROXY header of version ${command >> 4}`);
  if (command > 0x21) wrong(`PROXY header with the command ${command & 15}`);
  const family = bytes[13];
  if (family === undefined) return more;
  const isLocal = command === 0x20;
  const addresses = addressBytes.get(family);
  if (addresses === undefined && !isLocal) wrong(`PROXY header with the family and transport 0x${family.toString(16).padStart(2, '0')}`);
  if (bytes.length < fixedBytes) return more;
  const end = fixedBytes + bytes.readUInt16BE(14);
  if (end > limits.proxyHeaderBytesMax) wrong(`PROXY header of ${end} bytes, more than ${limits.proxyHeaderBytesMax}`);
  if (!isLocal && end < fixedBytes + addresses!) wrong('PROXY header too short for its addresses');
  if (bytes.length < end) return more;
  const header = { ...nothing, kind: 'proxy', version: 2, bytes: end } as const;
  if (isLocal) return { ...header, local: true };
  return { ...header, ...readEndpoints(bytes, family), datagram: (family & 15) === 2, ...readFields(bytes.subarray(0, end), fixedBytes + addresses!) };
}

function readEndpoints(bytes: Buffer, family: number): { source: Endpoint | null; destination: Endpoint | null } {
  const size = family >> 4 === 1 ? 4 : family >> 4 === 2 ? 16 : 0;
  if (size === 0) return { source: null, destination: null };
  const endpoint = (index: 0 | 1): Endpoint => {
    const at = fixedBytes + index * size;
    return { address: addressOf(bytes.subarray(at, at + size)), port: bytes.readUInt16BE(fixedBytes + 2 * size + 2 * index) };
  };
  return { source: endpoint(0), destination: endpoint(1) };
}

function addressOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  const value = BigInt(`0x${bytes.toString('hex')}`);
  return value >> 32n === 0xffffn ? bytes.subarray(12).join('.') : formatAddress({ family: 6, value });
}

/** §2.2: type, two bytes of length, value; `isRepeated` says which types may come twice. */
function* fieldsOf(bytes: Buffer, from: number, isRepeated: (type: number) => boolean): Generator<{ type: number; value: Buffer; at: number }> {
  const seen = new Set<number>();
  for (let at = from; at < bytes.length; ) {
    if (at + 3 > bytes.length) wrong('PROXY header with a field that is cut short');
    const type = bytes[at]!;
    const end = at + 3 + bytes.readUInt16BE(at + 1);
    if (end > bytes.length) wrong('PROXY header with a field that is cut short');
    // Of two names, two readers may take different ones.
    if (seen.has(type) && !isRepeated(type)) wrong(`PROXY header with two fields of type 0x${type.toString(16).padStart(2, '0')}`);
    seen.add(type);
    yield { type, value: bytes.subarray(at + 3, end), at: at + 3 };
    at = end;
  }
}

const isCustom = (type: number): boolean => type >= 0xe0 && type <= 0xef;
const knownTypes: ReadonlySet<number> = new Set([...Object.values(field), 0x30]);
const mayRepeat = (type: number): boolean => type === field.noop || !knownTypes.has(type);

/** `header` is the whole header: the checksum is over all of it. */
function readFields(header: Buffer, from: number): Pick<ProxyHeader, 'authority' | 'alpn' | 'uniqueId' | 'tls' | 'custom'> {
  const read: { authority: string | null; alpn: string | null; uniqueId: Buffer | null; tls: ProxiedTls | null; custom: number } = { authority: null, alpn: null, uniqueId: null, tls: null, custom: 0 };
  for (const { type, value, at } of fieldsOf(header, from, mayRepeat)) {
    if (type === field.alpn) {
      if (value.length === 0 || value.length > textBytesMax) wrong(`PROXY header with a protocol name of ${value.length} bytes`);
      read.alpn = value.toString('latin1');
    } else if (type === field.authority) read.authority = textOf(value, 'authority').replace(/\.$/, '').toLowerCase() || null;
    else if (type === field.crc32c) checkSum(header, value, at);
    else if (type === field.uniqueId) {
      if (value.length > uniqueIdBytesMax) wrong(`PROXY header with a unique id of ${value.length} bytes, more than ${uniqueIdBytesMax}`);
      read.uniqueId = Buffer.from(value);
    } else if (type === field.ssl) read.tls = readTls(value);
    else if (isCustom(type)) read.custom += 1;
  }
  return read;
}

/** UTF-8 without control characters, which would forge lines in whatever it is written to. */
function textOf(value: Buffer, what: string): string {
  const text = value.toString('utf8');
  if (value.length > textBytesMax) wrong(`PROXY header with an ${what} of ${value.length} bytes`);
  if (/[\0-\x1f\x7f-\x9f\ufffd]/.test(text)) wrong(`PROXY header with an ${what} that is not plain text`);
  return text;
}

/** §2.2.3. */
function checkSum(header: Buffer, value: Buffer, at: number): void {
  if (value.length !== 4) wrong(`PROXY header with a checksum of ${value.length} bytes`);
  const before = crc32c(Buffer.alloc(4), crc32c(header.subarray(0, at)));
  if (crc32c(header.subarray(at + 4), before) !== value.readUInt32BE(0)) wrong('PROXY header with a wrong checksum');
}

/** §2.2.6. */
function readTls(value: Buffer): ProxiedTls | null {
  if (value.length < 5) wrong('PROXY header with a TLS field that is cut short');
  const client = value[0]!;
  const parts = new Map<number, Buffer>();
  for (const part of fieldsOf(value, 5, () => false)) parts.set(part.type, part.value);
  const text = (type: number): string | null => {
    const part = parts.get(type);
    return part ? textOf(part, 'entry about TLS') : null;
  };
  const certificate = parts.get(sslField.clientCertificate);
  const tls: ProxiedTls = {
    // HAProxy 2.6 writes 0 as the result where the client showed no certificate at all.
    verified: (client & (certificateInConnection | certificateInSession)) !== 0 && value.readUInt32BE(1) === 0,
    version: text(sslField.version),
    commonName: text(sslField.commonName),
    cipher: text(sslField.cipher),
    signatureAlgorithm: text(sslField.signatureAlgorithm),
    keyAlgorithm: text(sslField.keyAlgorithm),
    group: text(sslField.group),
    clientCertificate: certificate ? Buffer.from(certificate) : null,
  };
  return (client & usedTls) === 0 ? null : tls;
}

export interface ProxyHeaderToSend {
  readonly version: 1 | 2;
  /** Literals as sockets give them, mapped ones and zones included. Either one null: neither addresses nor fields are sent. */
  readonly source: Endpoint | null;
  readonly destination: Endpoint | null;
  /** Version 2 alone. */
  readonly datagram?: boolean;
  /** The following are left out in version 1, which has no place for them. */
  readonly tls?: {
    /** As OpenSSL names it: `TLSv1.3`. */
    readonly version: string;
    readonly cipher: string;
    /** CN of the client certificate's subject; null without certificate or CN. */
    readonly commonName: string | null;
    readonly verified: boolean;
    /** The certificate was shown when the session began, not in this connection. */
    readonly resumed?: boolean;
    /** DER. */
    readonly certificate?: Buffer;
  };
  /** At most 128 bytes. */
  readonly uniqueId?: Buffer;
  readonly authority?: string;
  /** One char a byte. */
  readonly alpn?: string;
  readonly crc32c?: boolean;
}

/** The whole header, to be written at once before anything of the client. Throws a Fault when it cannot be said. */
export function encodeProxyHeader(header: ProxyHeaderToSend): Buffer {
  const { source, destination } = header;
  const ends = source && destination ? [toSend(source), toSend(destination)] as const : null;
  if (header.version === 1) {
    if (header.datagram) throw new Fault('unsupported', 'PROXY version 1 cannot speak of datagrams', { remedy: 'Use version 2 for this upstream.' });
    return Buffer.from(encodeLine(ends), 'latin1');
  }
  // PROXY with the family "unspecified" would say the same and could carry fields; HAProxy 2.6 closes such connections.
  if (!ends) return Buffer.concat([signature, Buffer.from([0x20, 0x00, 0, 0])]);
  const isIpv4 = ends.every(({ address }) => address.family === 4);
  const addresses = ends.map(({ address }) => bytesOf(address, isIpv4 ? 4 : 16));
  const body = Buffer.concat([...addresses, ...ends.map(({ port }) => uint16(port)), ...encodeFields(header)]);
  const family = ((isIpv4 ? 1 : 2) << 4) | (header.datagram ? 2 : 1);
  const whole = Buffer.concat([signature, Buffer.from([0x21, family]), uint16(body.length), body]);
  if (whole.length > limits.proxyHeaderBytesMax) {
    throw new Fault('too-large', `a PROXY header of ${whole.length} bytes, more than ${limits.proxyHeaderBytesMax}`, { remedy: 'Leave the client certificate out of it.' });
  }
  // The checksum is the last field, written as zeros so far (§2.2.3).
  if (header.crc32c) whole.writeUInt32BE(crc32c(whole), whole.length - 4);
  return whole;
}

interface SentEnd {
  readonly address: Address;
  readonly port: number;
}

function toSend({ address: text, port }: Endpoint): SentEnd {
  const zone = text.indexOf('%'); // sockets give link-local addresses with one
  const address = parseAddress(zone < 0 ? text : text.slice(0, zone));
  if (!address) throw new Fault('bad-input', 'a PROXY header needs an IP address', { detail: { address: text } });
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Fault('bad-input', 'a PROXY header needs a port of 0 to 65535', { detail: { port } });
  return { address, port };
}

/** A mapped address is written in hexadecimal groups: §2.1 knows no dots in an IPv6 address. */
function encodeLine(ends: readonly [SentEnd, SentEnd] | null): string {
  if (!ends) return 'PROXY UNKNOWN\r\n';
  const isIpv4 = ends.every(({ address }) => address.family === 4);
  const [source, destination] = ends.map(({ address }) => formatAddress(isIpv4 ? address : { family: 6, value: widened(address) }));
  return `PROXY ${isIpv4 ? 'TCP4' : 'TCP6'} ${source} ${destination} ${ends[0].port} ${ends[1].port}\r\n`;
}

const widened = ({ family, value }: Address): bigint => (family === 6 ? value : (0xffffn << 32n) | value);

function bytesOf(address: Address, size: 4 | 16): Buffer {
  const value = size === 4 ? address.value : widened(address);
  return Buffer.from(value.toString(16).padStart(2 * size, '0'), 'hex');
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function fieldOf(type: number, value: Buffer): Buffer {
  if (value.length > 0xffff) throw new Fault('too-large', 'a field of a PROXY header has at most 65535 bytes');
  return Buffer.concat([Buffer.from([type]), uint16(value.length), value]);
}

function encodeFields({ alpn, authority, uniqueId, tls, crc32c: isSummed }: ProxyHeaderToSend): Buffer[] {
  if (uniqueId && uniqueId.length > uniqueIdBytesMax) throw new Fault('bad-input', `a unique id in a PROXY header has at most ${uniqueIdBytesMax} bytes`);
  const fields: Buffer[] = [];
  if (alpn !== undefined) fields.push(fieldOf(field.alpn, Buffer.from(alpn, 'latin1')));
  if (authority !== undefined) fields.push(fieldOf(field.authority, Buffer.from(authority)));
  if (uniqueId) fields.push(fieldOf(field.uniqueId, uniqueId));
  if (tls) fields.push(encodeTls(tls));
  if (isSummed) fields.push(fieldOf(field.crc32c, Buffer.alloc(4)));
  return fields;
}

function encodeTls(tls: NonNullable<ProxyHeaderToSend['tls']>): Buffer {
  const hasCertificate = tls.verified || tls.commonName !== null || tls.certificate !== undefined;
  const client = usedTls | (hasCertificate ? certificateInSession | (tls.resumed ? 0 : certificateInConnection) : 0);
  const text = (type: number, value: string) => fieldOf(type, Buffer.from(value));
  const parts = [text(sslField.version, tls.version), text(sslField.cipher, tls.cipher)];
  if (tls.commonName !== null) parts.push(text(sslField.commonName, tls.commonName));
  if (tls.certificate) parts.push(fieldOf(sslField.clientCertificate, tls.certificate));
  return fieldOf(field.ssl, Buffer.concat([Buffer.from([client, 0, 0, 0, tls.verified ? 0 : 1]), ...parts]));
}
