// Printers out of files: test/corpus/printers/NAME.conf has `override` lines as snmpd.conf takes them, NAME.json the profile that must come of them. Here they answer
// from memory, as an agent's `probe` would; test/peers/printers.test.ts lets Debian's snmpd answer the same lines.
import { readdirSync, readFileSync } from 'node:fs';
import { Fault } from '#base/fault.ts';
import type { Asking, HttpAnswer, IppAnswer, ProbeFault, Reached, SnmpMeans, SnmpValue } from '#model/probe/asking.ts';
import { gatherDrivers, type LoadedDriver } from '#model/probe/driver.ts';

const folder = new URL('../corpus/printers/', import.meta.url);
/** Stands for the device's own address in the corpus. */
export const printerAddress = '192.0.2.50';

export const printerNames: readonly string[] = readdirSync(folder).filter((name) => name.endsWith('.conf')).map((name) => name.slice(0, -'.conf'.length)).sort();
export const printerConf = (name: string): string => readFileSync(new URL(`${name}.conf`, folder), 'utf8');
export const expectedProfile = (name: string): unknown => JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'));

/** The drivers that are shipped. */
export function shippedDrivers(): readonly LoadedDriver[] {
  const at = new URL('../../drivers/', import.meta.url);
  const files = readdirSync(at).filter((name) => name.endsWith('.json'));
  const { drivers, problems } = gatherDrivers(files.map((file) => ({ file, text: readFileSync(new URL(file, at), 'utf8'), own: false })));
  if (problems.length > 0) throw new Error(JSON.stringify(problems, null, 1));
  return drivers;
}

/** The lines of a device, by OID. */
export function parseOverrides(conf: string): Map<string, SnmpValue> {
  const out = new Map<string, SnmpValue>();
  for (const line of conf.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const parts = /^override \.([\d.]+) (\w+) (.+)$/.exec(line);
    if (parts === null) throw new Error(`no override line: ${line}`);
    out.set(parts[1]!, valueOf(parts[1]!, parts[2]!, parts[3]!));
  }
  return out;
}

function valueOf(oid: string, type: string, text: string): SnmpValue {
  if (type === 'integer') return { oid, type, value: Number(text) };
  if (type === 'counter') return { oid, type, value: Number(text) };
  if (type === 'uinteger') return { oid, type: 'gauge', value: Number(text) };
  if (type === 'timeticks') return { oid, type: 'ticks', value: Number(text) };
  if (type === 'object_id') return { oid, type: 'oid', value: text.replace(/^\./, '') };
  if (type !== 'octet_str') throw new Error(`no type of an override: ${type}`);
  return octets(oid, text.startsWith('0x') ? Buffer.from(text.slice(2), 'hex') : Buffer.from(text.slice(1, -1).replace(/\\(.)/g, '$1'), 'utf8'));
}

/** As agents tell them (docs/wire/probe.md §3): `text` where the bytes are printable UTF-8. */
export function octets(oid: string, bytes: Buffer): SnmpValue {
  const text = bytes.toString('utf8').replace(/\0+$/, '');
  const printable = Buffer.from(text, 'utf8').equals(bytes.subarray(0, Buffer.byteLength(text))) && !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text);
  return { oid, type: 'octets', value: bytes.toString('base64'), ...(printable ? { text } : {}) };
}

export interface PrinterSetup {
  readonly values?: ReadonlyMap<string, SnmpValue>;
  /** What SNMP is refused with. */
  readonly snmp?: ProbeFault;
  /** By path; what is missing is HTTP 404, no map at all a closed port. */
  readonly ipp?: Readonly<Record<string, Buffer | IppAnswer>>;
  /** IPP without TLS is answered 426. */
  readonly ippTlsOnly?: boolean;
  readonly http?: Partial<HttpAnswer>;
  readonly https?: Partial<HttpAnswer>;
  readonly mac?: string;
  /** Refuses this one question, `walk 1.3.6…`. */
  readonly fails?: (question: string) => ProbeFault | Fault | null;
}

export interface AnsweringPrinter extends Pick<Asking, 'reach' | 'get' | 'walk' | 'ipp' | 'http' | 'mac'> {
  /** Every question, in order: `reach`, `get OID …`, `walk ROOT`, `ipp PATH`, `http`, `https`, `mac`. */
  readonly questions: readonly string[];
}

export const probeFault = (code: ProbeFault['code'], message: string): ProbeFault => ({ code, message, remedy: 'Do something about it.', from: '192.0.2.9', tried: [] });

const rejected = (fault: ProbeFault | Fault): Fault => (fault instanceof Fault ? fault : new Fault('unreachable', fault.message, { detail: { probe: fault } }));
const means: SnmpMeans = { version: 'v2c', credentials: 'default', user: null, from: '192.0.2.9', requests: 1 };

/** A device in memory. */
export function answering(setup: PrinterSetup): AnsweringPrinter {
  const values = setup.values ?? new Map<string, SnmpValue>();
  const ordered = [...values.values()].sort((a, b) => compareOids(a.oid, b.oid));
  const questions: string[] = [];
  const ask = (question: string) => {
    questions.push(question);
    const fault = setup.fails?.(question) ?? null;
    if (fault !== null) throw rejected(fault);
  };
  const off = (what: string) => rejected(probeFault('off', `nobody listens on the port of ${what}`));
  return {
    questions,
    async reach() {
      ask('reach');
      const fault = setup.snmp ?? null;
      const answered: Reached = { snmp: 'answers', v3: { engineId: '80001f88', boots: 1, timeSeconds: 1 }, version: 'v2c', credentials: 'default', user: null, from: '192.0.2.9', requests: 2, tried: [], fault: null };
      return fault === null ? answered : { ...answered, snmp: fault.code === 'off' ? 'off' : 'silent', v3: null, version: null, credentials: null, fault };
    },
    async get({ oids }) {
      ask(`get ${oids.join(' ')}`);
      if (oids.length > 64) throw new Fault('bad-input', 'more than 64 OIDs');
      return { ...means, values: oids.map((oid) => values.get(oid) ?? { oid, type: 'missing', value: null, why: 'noSuchInstance' }) };
    },
    async walk({ root, max, after }) {
      ask(`walk ${root}`);
      const below = ordered.filter(({ oid }) => oid.startsWith(`${root}.`) && (after === undefined || compareOids(oid, after) > 0));
      // In small pieces, so that going on is exercised.
      const some = below.slice(0, Math.min(max ?? 500, 20));
      return { ...means, values: some, next: some.length < below.length ? some.at(-1)!.oid : null, loop: false };
    },
    async ipp({ path, tls }) {
      ask(`ipp${tls === true ? 's' : ''} ${path}`);
      if (setup.ipp === undefined) throw off('IPP');
      const empty = { body: Buffer.alloc(0), location: null, certificate: null, from: '192.0.2.9' };
      if (setup.ippTlsOnly === true && tls !== true) return { ...empty, status: 426 };
      const answer = setup.ipp[path];
      if (answer === undefined) return { ...empty, status: 404 };
      return Buffer.isBuffer(answer) ? { ...empty, status: 200, body: answer } : answer;
    },
    async http({ tls }) {
      ask(tls === true ? 'https' : 'http');
      const answer = tls === true ? setup.https : setup.http;
      if (answer === undefined) throw off('HTTP');
      return { status: 200, server: null, title: null, location: null, certificate: null, from: '192.0.2.9', ...answer };
    },
    async mac() {
      ask('mac');
      return { mac: setup.mac ?? null, interface: setup.mac === undefined ? null : 'eth0' };
    },
  };
}

export function compareOids(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) if (left[i] !== right[i]) return left[i]! - right[i]!;
  return left.length - right.length;
}

/** An IPP answer with these printer attributes: texts, numbers (as `enum` for printer-state), booleans, octets as Buffers. */
export function ippAnswer(attributes: Readonly<Record<string, readonly (string | number | boolean | Buffer)[]>>, status = 0): Buffer {
  const parts = [Buffer.from([1, 1, status >> 8, status & 0xff, 0, 0, 0, 1, 1]), attribute(0x47, 'attributes-charset', Buffer.from('utf-8')), attribute(0x48, 'attributes-natural-language', Buffer.from('en')), Buffer.of(4)];
  for (const [name, values] of Object.entries(attributes)) {
    for (const [index, value] of values.entries()) {
      const [tag, bytes] = encoded(name, value);
      parts.push(attribute(tag, index === 0 ? name : '', bytes));
    }
  }
  return Buffer.concat([...parts, Buffer.of(3)]);
}

function encoded(name: string, value: string | number | boolean | Buffer): [number, Buffer] {
  if (Buffer.isBuffer(value)) return [0x30, value];
  if (typeof value === 'boolean') return [0x22, Buffer.of(value ? 1 : 0)];
  if (typeof value === 'string') return [0x41, Buffer.from(value)];
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return [name === 'printer-state' ? 0x23 : 0x21, bytes];
}

function attribute(tag: number, name: string, value: Buffer): Buffer {
  const head = Buffer.alloc(3);
  head.writeUInt8(tag);
  head.writeUInt16BE(name.length, 1);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(value.length);
  return Buffer.concat([head, Buffer.from(name), length, value]);
}
