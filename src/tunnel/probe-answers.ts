// Answers of the service `probe` (docs/wire/probe.md) from JSON to what `Asking` promises. Agents are programs of others, and what devices say passes
// through them: nothing is believed that does not have its form. Fault `protocol`.
import { canonicalAddress } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import type {
  AgentInfo, AuthProtocol, CredentialsShown, DeviceCertificate, DnsSeen, Got, HttpAnswer, IppAnswer, Neighbour, PrivProtocol, ProbeFault, ProbeFaultCode, Reached, SnmpMeans, SnmpTry, SnmpValue, SnmpVersion, Walked,
} from '#model/probe/asking.ts';
import { isProbeFaultCode } from '#model/probe/faults.ts';

type Fields = Readonly<Record<string, unknown>>;

const sentenceCharsMax = 1_000;
const textCharsMax = 400;
const octetsCharsMax = 8_192;
const bodyCharsMax = 80_000;
const valuesMax = 2_000;
const listedMax = 256;
const triedMax = 64;

const wrong = (what: string): Fault => new Fault('protocol', `the agent's answer has no ${what}, or one that is none`);

export const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

function textOf(from: Fields, name: string, charsMax = textCharsMax): string {
  const value = from[name];
  if (typeof value !== 'string') throw wrong(name);
  return printable(value, charsMax);
}

function textOrNull(from: Fields, name: string, charsMax = textCharsMax): string | null {
  return from[name] === null || from[name] === undefined ? null : textOf(from, name, charsMax);
}

function numberOf(from: Fields, name: string): number {
  const value = from[name];
  if (typeof value !== 'number' || !Number.isFinite(value)) throw wrong(name);
  return value;
}

function objectOf(from: Fields, name: string): Fields {
  const value = from[name];
  if (!isObject(value)) throw wrong(name);
  return value;
}

function listOf<Item>(from: Fields, name: string, itemsMax: number, read: (item: Fields) => Item): Item[] {
  const value = from[name];
  if (!Array.isArray(value) || value.length > itemsMax) throw wrong(name);
  return value.map((item: unknown) => {
    if (!isObject(item)) throw wrong(name);
    return read(item);
  });
}

function textsOf(from: Fields, name: string): string[] {
  const value = from[name];
  if (!Array.isArray(value) || value.length > listedMax) throw wrong(name);
  return value.map((item: unknown) => {
    if (typeof item !== 'string') throw wrong(name);
    return printable(item, textCharsMax);
  });
}

function versionOf(from: Fields): SnmpVersion {
  const { version } = from;
  if (version !== 'v1' && version !== 'v2c' && version !== 'v3') throw wrong('version');
  return version;
}

/** One that this program does not know yet is a refusal all the same. */
const codeOf = (value: unknown): ProbeFaultCode => (isProbeFaultCode(value) ? value : 'internal');

const readTry = (from: Fields): SnmpTry => ({ credentials: textOf(from, 'credentials', 40), version: versionOf(from), outcome: from['outcome'] === 'ok' ? 'ok' : codeOf(from['outcome']) });

export function readProbeFault(from: Fields): ProbeFault {
  return {
    code: codeOf(from['code']),
    message: textOrNull(from, 'message', sentenceCharsMax) ?? 'the agent does not say why',
    remedy: textOrNull(from, 'remedy', sentenceCharsMax) ?? '',
    from: textOrNull(from, 'from', 64),
    tried: from['tried'] === undefined ? [] : listOf(from, 'tried', triedMax, readTry),
  };
}

function readValue(from: Fields): SnmpValue {
  const oid = textOf(from, 'oid', 512);
  const { type } = from;
  switch (type) {
    case 'integer':
    case 'counter':
    case 'gauge':
    case 'ticks':
      return { oid, type, value: numberOf(from, 'value') };
    case 'counter64':
    case 'oid':
    case 'address':
      return { oid, type, value: textOf(from, 'value', 512) };
    case 'octets':
    case 'opaque': {
      const { value, text, cut } = from;
      if (typeof value !== 'string' || value.length > octetsCharsMax) throw wrong('value');
      if (text !== undefined && (typeof text !== 'string' || text.length > octetsCharsMax)) throw wrong('text');
      return { oid, type, value, ...(text !== undefined && { text }), ...(cut === true && { cut: true as const }) };
    }
    case 'missing':
      return { oid, type, value: null, why: textOf(from, 'why', 40) };
    default:
      throw wrong('type');
  }
}

const readMeans = (from: Fields): SnmpMeans => ({
  version: versionOf(from), credentials: textOf(from, 'credentials', 40), user: textOrNull(from, 'user', 64), from: textOrNull(from, 'from', 64), requests: numberOf(from, 'requests'),
});

export function readGot(from: Fields, asked: number): Got {
  const values = listOf(from, 'values', asked, readValue);
  if (values.length !== asked) throw wrong('value for each OID');
  return { ...readMeans(from), values };
}

export function readWalked(from: Fields): Walked {
  return { ...readMeans(from), values: listOf(from, 'values', valuesMax, readValue), next: textOrNull(from, 'next', 512), loop: from['loop'] === true };
}

export function readReached(from: Fields): Reached {
  const { snmp } = from;
  if (snmp !== 'answers' && snmp !== 'off' && snmp !== 'silent' && snmp !== 'unreachable') throw wrong('snmp');
  const engine = from['v3'] === null || from['v3'] === undefined ? null : objectOf(from, 'v3');
  return {
    snmp,
    v3: engine && { engineId: textOf(engine, 'engineId', 64), boots: numberOf(engine, 'boots'), timeSeconds: numberOf(engine, 'timeSeconds') },
    version: from['version'] === null || from['version'] === undefined ? null : versionOf(from),
    credentials: textOrNull(from, 'credentials', 40),
    user: textOrNull(from, 'user', 64),
    from: textOrNull(from, 'from', 64),
    requests: numberOf(from, 'requests'),
    tried: listOf(from, 'tried', triedMax, readTry),
    fault: from['fault'] === null || from['fault'] === undefined ? null : readProbeFault(objectOf(from, 'fault')),
  };
}

function readCertificate(from: Fields): DeviceCertificate | null {
  if (from['certificate'] === null || from['certificate'] === undefined) return null;
  const shown = objectOf(from, 'certificate');
  return {
    subject: textOf(shown, 'subject'), issuer: textOf(shown, 'issuer'), serialNumber: textOf(shown, 'serialNumber', 100), sha256: textOf(shown, 'sha256', 64),
    notBefore: textOf(shown, 'notBefore', 40), notAfter: textOf(shown, 'notAfter', 40), names: textsOf(shown, 'names'),
  };
}

export function readIpp(from: Fields): IppAnswer {
  const { body } = from;
  if (typeof body !== 'string' || body.length > bodyCharsMax) throw wrong('body');
  return { status: numberOf(from, 'status'), body: Buffer.from(body, 'base64'), location: textOrNull(from, 'location'), certificate: readCertificate(from), from: textOrNull(from, 'from', 64) };
}

export function readHttp(from: Fields): HttpAnswer {
  return { status: numberOf(from, 'status'), server: textOrNull(from, 'server'), title: textOrNull(from, 'title'), location: textOrNull(from, 'location'), certificate: readCertificate(from), from: textOrNull(from, 'from', 64) };
}

export function readNeighbour(from: Fields): Neighbour {
  const mac = textOrNull(from, 'mac', 40);
  if (mac !== null && !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) throw wrong('mac');
  return { mac, interface: textOrNull(from, 'interface', 40) };
}

export function readDns(from: Fields): DnsSeen {
  const answers = textsOf(from, 'answers').map((text) => canonicalAddress(text));
  if (answers.includes(null)) throw wrong('address in answers');
  return { resolver: textOf(from, 'resolver', 64), rcode: textOf(from, 'rcode', 20), answers: answers.filter((each) => each !== null), ms: numberOf(from, 'ms') };
}

const authProtocols: readonly string[] = ['md5', 'sha', 'sha224', 'sha256', 'sha384', 'sha512'] satisfies AuthProtocol[];
const privProtocols: readonly string[] = ['des', 'aes', 'aes256b', 'aes256r'] satisfies PrivProtocol[];

/** Field by field: whatever else the agent sends of a set does not come through. */
export function readCredentials(from: Fields): CredentialsShown[] {
  return listOf(from, 'credentials', triedMax, (shown) => {
    const [auth, priv] = [textOrNull(shown, 'authProtocol', 20), textOrNull(shown, 'privProtocol', 20)];
    return {
      name: textOf(shown, 'name', 40), networks: textsOf(shown, 'networks'), version: versionOf(shown), user: textOrNull(shown, 'user', 64), context: textOrNull(shown, 'context', 64),
      authProtocol: auth !== null && authProtocols.includes(auth) ? (auth as AuthProtocol) : null,
      privProtocol: priv !== null && privProtocols.includes(priv) ? (priv as PrivProtocol) : null,
    };
  });
}

export function readInfo(from: Fields): AgentInfo {
  return {
    addresses: listOf(from, 'addresses', listedMax, (each) => ({ interface: textOf(each, 'interface', 40), address: textOf(each, 'address', 64), network: textOf(each, 'network', 80), mac: textOf(each, 'mac', 40) })),
    gateways: listOf(from, 'gateways', listedMax, (each) => ({ interface: textOf(each, 'interface', 40), address: textOf(each, 'address', 64) })),
    resolvers: textsOf(from, 'resolvers'),
    credentials: readCredentials(from),
    defaultCredentials: from['defaultCredentials'] === true,
    perSecond: numberOf(from, 'perSecond'),
    atOnce: numberOf(from, 'atOnce'),
  };
}
