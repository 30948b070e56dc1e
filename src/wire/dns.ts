// DNS messages (RFC 1035), as much of them as finding a zone, changing it (RFC 2136) and looking at what it says takes. Readers answer null for what
// is not whole or not well-formed and never throw.

export const dnsTypes = { A: 1, NS: 2, CNAME: 5, SOA: 6, TXT: 16, AAAA: 28, TSIG: 250, ANY: 255, CAA: 257 } as const;
export const dnsClasses = { IN: 1, NONE: 254, ANY: 255 } as const;

/** RFC 1035 §4.1.1, RFC 2136 §2.2, RFC 8945 §3. */
export const rcodeNames: Readonly<Record<number, string>> = {
  0: 'NOERROR', 1: 'FORMERR', 2: 'SERVFAIL', 3: 'NXDOMAIN', 4: 'NOTIMP', 5: 'REFUSED', 6: 'YXDOMAIN', 7: 'YXRRSET', 8: 'NXRRSET', 9: 'NOTAUTH', 10: 'NOTZONE',
  16: 'BADSIG', 17: 'BADKEY', 18: 'BADTIME', 22: 'BADTRUNC',
};
export const rcodeName = (code: number): string => rcodeNames[code] ?? `RCODE ${code}`;

const opcodeUpdate = 5;
const headerBytes = 12;
/** RFC 1035 §2.3.4. */
const labelBytesMax = 63;
const nameBytesMax = 255;
/** More than any answer that we look at has. */
const recordsMax = 200;

export interface DnsQuestion {
  /** Canonical: lower case, without the dot at the end; '' is the root. */
  readonly name: string;
  readonly type: number;
  readonly cls: number;
}

export interface DnsRecord extends DnsQuestion {
  /** Seconds. */
  readonly ttl: number;
  readonly data: Buffer;
  /** Where `data` begins in its message: names in it may point backwards. */
  readonly dataAt: number;
}

export interface DnsMessage {
  readonly id: number;
  readonly isAnswer: boolean;
  readonly opcode: number;
  /** AA: of whom is responsible for the name. */
  readonly authoritative: boolean;
  /** TC: ask again over TCP. */
  readonly truncated: boolean;
  readonly rcode: number;
  readonly questions: readonly DnsQuestion[];
  readonly answers: readonly DnsRecord[];
  readonly authority: readonly DnsRecord[];
  readonly additional: readonly DnsRecord[];
  /** Where the last record of the additional section begins; 0 without one. TSIG signs what is before it. */
  readonly lastRecordAt: number;
}

/** A host name or a name with underscores; `*` may be the first label. null: it does not fit into DNS. */
export function encodeDnsName(name: string): Buffer | null {
  const text = name.replace(/\.$/, '').toLowerCase();
  if (text === '') return Buffer.from([0]);
  const labels = text.split('.').map((label) => Buffer.from(label, 'latin1'));
  // Beyond printable ASCII nothing is written, nor what readers escape with a backslash: it would not come back as it was asked.
  if (!/^[!-[\]-~]+$/.test(text) || labels.some((label) => label.length === 0 || label.length > labelBytesMax)) return null;
  const bytes = Buffer.concat([...labels.flatMap((label) => [Buffer.from([label.length]), label]), Buffer.from([0])]);
  return bytes.length > nameBytesMax ? null : bytes;
}

const printableByte = (byte: number): boolean => byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c;

/** The name at `at` and where it ends there. Pointers (RFC 1035 §4.1.4) lead backwards only, so no loop can be made of them. */
export function dnsNameAt(message: Buffer, at: number): { readonly name: string; readonly end: number } | null {
  const labels: string[] = [];
  let bytes = 1;
  let end = -1;
  let here = at;
  let before = at;
  for (;;) {
    const length = message[here];
    if (length === undefined) return null;
    if ((length & 0xc0) === 0xc0) {
      const low = message[here + 1];
      if (low === undefined) return null;
      if (end < 0) end = here + 2;
      here = ((length & 0x3f) << 8) | low;
      if (here >= before) return null;
      before = here;
      continue;
    }
    if (length > labelBytesMax) return null;
    if (length === 0) return { name: labels.join('.'), end: end < 0 ? here + 1 : end };
    bytes += length + 1;
    if (bytes > nameBytesMax || here + 1 + length > message.length) return null;
    let label = '';
    for (const byte of message.subarray(here + 1, here + 1 + length)) label += printableByte(byte) ? String.fromCharCode(byte).toLowerCase() : `\\${String(byte).padStart(3, '0')}`;
    labels.push(label);
    here += 1 + length;
  }
}

function recordAt(message: Buffer, at: number): { readonly record: DnsRecord; readonly end: number } | null {
  const owner = dnsNameAt(message, at);
  if (!owner || owner.end + 10 > message.length) return null;
  const dataAt = owner.end + 10;
  const end = dataAt + message.readUInt16BE(owner.end + 8);
  if (end > message.length) return null;
  const record = { name: owner.name, type: message.readUInt16BE(owner.end), cls: message.readUInt16BE(owner.end + 2), ttl: message.readUInt32BE(owner.end + 4), data: message.subarray(dataAt, end), dataAt };
  return { record, end };
}

/** A whole message with nothing behind it; null otherwise. */
export function parseDnsMessage(message: Buffer): DnsMessage | null {
  if (message.length < headerBytes) return null;
  const counts = [4, 6, 8, 10].map((at) => message.readUInt16BE(at));
  if (counts.reduce((sum, each) => sum + each, 0) > recordsMax) return null;
  let at = headerBytes;
  const questions: DnsQuestion[] = [];
  for (let i = 0; i < counts[0]!; i++) {
    const asked = dnsNameAt(message, at);
    if (!asked || asked.end + 4 > message.length) return null;
    questions.push({ name: asked.name, type: message.readUInt16BE(asked.end), cls: message.readUInt16BE(asked.end + 2) });
    at = asked.end + 4;
  }
  const sections: DnsRecord[][] = [];
  let lastRecordAt = 0;
  for (const count of counts.slice(1)) {
    const records: DnsRecord[] = [];
    for (let i = 0; i < count; i++) {
      const found = recordAt(message, at);
      if (!found) return null;
      if (sections.length === 2) lastRecordAt = at;
      records.push(found.record);
      at = found.end;
    }
    sections.push(records);
  }
  if (at !== message.length) return null;
  const flags = message.readUInt16BE(2);
  return {
    id: message.readUInt16BE(0), isAnswer: (flags & 0x8000) !== 0, opcode: (flags >> 11) & 15, authoritative: (flags & 0x0400) !== 0, truncated: (flags & 0x0200) !== 0, rcode: flags & 15,
    questions, answers: sections[0]!, authority: sections[1]!, additional: sections[2]!, lastRecordAt,
  };
}

function header(id: number, flags: number, counts: readonly [number, number, number, number]): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt16BE(flags, 2);
  counts.forEach((each, i) => bytes.writeUInt16BE(each, 4 + 2 * i));
  return bytes;
}

const uint16 = (...values: readonly number[]): Buffer => Buffer.from(values.flatMap((value) => [value >> 8, value & 255]));

/** null: the name does not fit into DNS. `recursive`: asked of a resolver rather than of whom is responsible. */
export function encodeDnsQuery(id: number, question: { readonly name: string; readonly type: number }, recursive: boolean): Buffer | null {
  const name = encodeDnsName(question.name);
  return name && Buffer.concat([header(id, recursive ? 0x0100 : 0, [1, 0, 0, 0]), name, uint16(question.type, dnsClasses.IN)]);
}

/** One change of a TXT record in a zone (RFC 2136 §2.5.1 add, §2.5.4 delete this one). */
export interface TxtChange {
  readonly do: 'add' | 'remove';
  readonly name: string;
  readonly text: string;
  /** Seconds. */
  readonly ttl: number;
}

/** RFC 2136 §2. null: a name does not fit into DNS, or a text is longer than 255 bytes. */
export function encodeDnsUpdate(id: number, zone: string, changes: readonly TxtChange[]): Buffer | null {
  const zoneName = encodeDnsName(zone);
  if (!zoneName) return null;
  const records: Buffer[] = [];
  for (const { do: what, name, text, ttl } of changes) {
    const owner = encodeDnsName(name);
    const bytes = Buffer.from(text, 'latin1');
    if (!owner || bytes.length > 255) return null;
    const head = Buffer.alloc(10);
    head.writeUInt16BE(dnsTypes.TXT, 0);
    head.writeUInt16BE(what === 'add' ? dnsClasses.IN : dnsClasses.NONE, 2);
    head.writeUInt32BE(what === 'add' ? ttl : 0, 4);
    head.writeUInt16BE(bytes.length + 1, 8);
    records.push(owner, head, Buffer.from([bytes.length]), bytes);
  }
  return Buffer.concat([header(id, opcodeUpdate << 11, [1, 0, changes.length, 0]), zoneName, uint16(dnsTypes.SOA, dnsClasses.IN), ...records]);
}

/** The strings of a TXT record as one (RFC 1035 §3.3.14); null: they do not fill it. */
export function textOf(data: Buffer): string | null {
  let text = '';
  for (let at = 0; at < data.length; ) {
    const end = at + 1 + data[at]!;
    if (end > data.length) return null;
    text += data.toString('latin1', at + 1, end);
    at = end;
  }
  return text;
}

export interface CaaRecord {
  readonly critical: boolean;
  /** `issue`, `issuewild`, `iodef`; lower case. */
  readonly tag: string;
  readonly value: string;
}

/** RFC 8659 §4.1. */
export function caaOf(data: Buffer): CaaRecord | null {
  const length = data[1];
  if (length === undefined || length === 0 || 2 + length > data.length) return null;
  const tag = data.toString('latin1', 2, 2 + length).toLowerCase();
  return /^[a-z0-9]+$/.test(tag) ? { critical: (data[0]! & 0x80) !== 0, tag, value: data.toString('latin1', 2 + length) } : null;
}

/** Of an A or AAAA record. */
export function addressOf({ type, data }: Pick<DnsRecord, 'type' | 'data'>): string | null {
  if (type === dnsTypes.A && data.length === 4) return data.join('.');
  if (type !== dnsTypes.AAAA || data.length !== 16) return null;
  return Array.from({ length: 8 }, (_, i) => data.readUInt16BE(2 * i).toString(16)).join(':');
}

/** The name that a CNAME or NS record holds, or the primary server of an SOA; null: it does not end where it should. */
export function targetOf(message: Buffer, record: DnsRecord): string | null {
  const found = dnsNameAt(message, record.dataAt);
  const end = record.dataAt + record.data.length;
  if (!found || (record.type === dnsTypes.SOA ? found.end > end : found.end !== end)) return null;
  return found.name;
}

/** Messages out of a TCP stream (RFC 1035 §4.2.2: two bytes of length before each); null while the first is not whole. */
export function dnsFrameAt(stream: Buffer): { readonly message: Buffer; readonly end: number } | null {
  if (stream.length < 2) return null;
  const end = 2 + stream.readUInt16BE(0);
  return stream.length < end ? null : { message: stream.subarray(2, end), end };
}

export const encodeDnsFrame = (message: Buffer): Buffer => Buffer.concat([uint16(message.length), message]);
