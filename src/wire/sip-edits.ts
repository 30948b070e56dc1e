// What a proxy changes in a SIP head (RFC 3261 §16): pure edits from fields to fields, and the head written anew.
import { createHmac } from 'node:crypto';
import { withoutBlanks } from '#base/blanks.ts';
import { canonicalAddress } from '#base/cidr.ts';
import { dialogParam, sipField, type SipField, type SipRequest, type SipResponse } from './sip.ts';
import { canonicalSipHost, parseNameAddr, parseParams, splitOutside, type SipUri } from './sip-uri.ts';

/** Where one side of us is reached. */
export interface SipPlace {
  /** Name or address; IPv6 with or without brackets. */
  readonly host: string;
  readonly port: number;
  readonly transport: 'tcp' | 'tls';
}

/** Where a message came from, by its connection. */
export interface SipSource {
  readonly address: string;
  readonly port: number;
}

export interface Via {
  /** `SIP/2.0/TCP`, as written without blanks. */
  readonly protocol: string;
  /** Host and port as written, without blanks. */
  readonly sentBy: string;
  readonly params: ReadonlyMap<string, string>;
}

const magicCookie = 'z9hG4bK';

/** `host:port` with brackets where they belong. */
export function sentByOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`;
}

/** One Via value (RFC 3261 §20.42; blanks around `/` and `:` are legal). */
export function parseVia(text: string): Via | null {
  const match = /^(SIP)[ \t]*\/[ \t]*(2\.0)[ \t]*\/[ \t]*([\w!%*+`'~.-]+)[ \t]+(\[[0-9a-f:.]+\]|[\w.-]+)(?:[ \t]*:[ \t]*(\d{1,5}))?[ \t]*(;.*)?$/i.exec(text);
  const params = match && parseParams(match[6] ?? '');
  if (!params) return null;
  return { protocol: `${match[1]!.toUpperCase()}/${match[2]}/${match[3]}`, sentBy: match[5] === undefined ? match[4]! : `${match[4]}:${match[5]}`, params };
}

function encodeVia({ protocol, sentBy, params }: Via): string {
  return `${protocol} ${sentBy}${encodeParams(params)}`;
}

const encodeParams = (params: ReadonlyMap<string, string>): string => [...params].map(([name, value]) => (value === '' ? `;${name}` : `;${name}=${value}`)).join('');

/** The values of a list field's first line; [] without one or when it cannot be cut. */
function firstLineValues(fields: readonly SipField[], name: string): readonly string[] {
  const value = sipField(fields, name);
  return value === undefined ? [] : (splitOutside(value, ',') ?? []);
}

export function topVia(fields: readonly SipField[]): Via | null {
  return parseVia(firstLineValues(fields, 'via')[0] ?? '');
}

/** With other values in the first line of that name; without the line when there are none. */
function withFirstLine(fields: readonly SipField[], name: string, values: readonly string[]): SipField[] {
  const at = fields.findIndex((field) => field.name === name);
  return fields.flatMap((field, i) => (i !== at ? [field] : values.length === 0 ? [] : [{ ...field, value: values.join(', ') }]));
}

/** `name` once and with this value; at its place, or at the end. */
export function withField(fields: readonly SipField[], shown: string, value: string): SipField[] {
  const name = shown.toLowerCase();
  const at = fields.findIndex((field) => field.name === name);
  if (at < 0) return [...fields, { name, shown, value }];
  return fields.flatMap((field, i) => (i === at ? [{ ...field, value }] : field.name === name ? [] : [field]));
}

/** Notes in the top Via whence a request came (RFC 3261 §18.2.1, RFC 3581 §4); what its sender wrote there itself goes. Null: no readable Via. */
export function noteSource(fields: readonly SipField[], source: SipSource): SipField[] | null {
  const values = firstLineValues(fields, 'via');
  const via = parseVia(values[0] ?? '');
  if (!via) return null;
  const address = canonicalAddress(source.address) ?? source.address;
  const params = new Map(via.params);
  params.delete('received');
  const asked = params.has('rport');
  if (asked) params.set('rport', String(source.port));
  const host = canonicalSipHost(via.sentBy.replace(/:\d+$/, ''))?.replace(/^\[|\]$/g, '');
  if (asked || host !== address) params.set('received', address);
  return withFirstLine(fields, 'via', [encodeVia({ ...via, params }), ...values.slice(1)]);
}

/**
 * The branch that goes with a message whose top Via is `below` (RFC 3261 §16.11): the same for INVITE, its CANCEL and the ACK of its refusal, and
 * to be found again from the answer, where `below` comes after our own Via. `key` makes it ours: nobody else can compute it.
 */
export function branchFor(key: string, below: Via, fields: readonly SipField[]): string {
  const branch = below.params.get('branch') ?? '';
  const parts = [below.sentBy.toLowerCase()];
  if (branch.startsWith(magicCookie) && branch.length > magicCookie.length) parts.push(branch);
  else parts.push('2543', sipField(fields, 'call-id') ?? '', /^\d*/.exec(sipField(fields, 'cseq') ?? '')![0].replace(/^0+/, ''), parseNameAddr(sipField(fields, 'from') ?? '')?.params.get('tag') ?? '');
  return magicCookie + createHmac('sha256', key).update(parts.join('\n'), 'latin1').digest('hex').slice(0, 32);
}

/** Our Via on top of a request (RFC 3261 §16.6 step 8). Null: no readable Via to put it on. */
export function addOurVia(fields: readonly SipField[], place: SipPlace, key: string): SipField[] | null {
  const below = topVia(fields);
  return below && [{ name: 'via', shown: 'Via', value: `SIP/2.0/${place.transport.toUpperCase()} ${sentByOf(place)};branch=${branchFor(key, below, fields)}` }, ...fields];
}

/** An answer without our Via, if that is what is on top of it and belongs to the one below; else null. */
export function takeOurVia(fields: readonly SipField[], place: SipPlace, key: string): SipField[] | null {
  const via = topVia(fields);
  if (!via || via.sentBy.toLowerCase() !== sentByOf(place).toLowerCase()) return null;
  const rest = withFirstLine(fields, 'via', firstLineValues(fields, 'via').slice(1));
  const below = topVia(rest);
  return below && via.params.get('branch')?.toLowerCase() === branchFor(key, below, fields).toLowerCase() ? rest : null;
}

/** Route values at the top that name us go (RFC 3261 §16.4). */
export function popRoutes(fields: readonly SipField[], isUs: (uri: SipUri) => boolean): readonly SipField[] {
  for (;;) {
    const [first, ...others] = firstLineValues(fields, 'route');
    const uri = first === undefined ? null : parseNameAddr(first)?.uri;
    if (!uri || !isUs(uri)) return fields;
    fields = withFirstLine(fields, 'route', others);
  }
}

/** The URI under which one side of us is found again. `secure`: the request is for `sips:`. */
export function ourUri({ host, port, transport }: SipPlace, secure: boolean, params = ''): string {
  const sips = secure && transport === 'tls';
  return `<${sips ? 'sips' : 'sip'}:${sentByOf({ host, port })}${sips ? '' : `;transport=${transport}`};lr${params}>`;
}

/** Lines of one name before all others of that name, or behind Via. */
function withNewLines(fields: readonly SipField[], shown: string, values: readonly string[]): SipField[] {
  const name = shown.toLowerCase();
  const first = fields.findIndex((field) => field.name === name);
  const at = first < 0 ? fields.findLastIndex((field) => field.name === 'via') + 1 : first;
  return [...fields.slice(0, at), ...values.map((value) => ({ name, shown, value })), ...fields.slice(at)];
}

/** The first of `uris` on top (RFC 3261 §16.6 step 4). */
export function addRecordRoute(fields: readonly SipField[], uris: readonly string[]): SipField[] {
  return withNewLines(fields, 'Record-Route', uris);
}

/** RFC 3327 §5.1. */
export function addPath(fields: readonly SipField[], uri: string): SipField[] {
  return withNewLines(fields, 'Path', [uri]);
}

/**
 * At the border of a trust domain (RFC 3325 §5, §7): who a caller is said to be is believed from the upstream alone, and told to clients only when the
 * caller did not ask for privacy.
 */
export function withoutIdentity(fields: readonly SipField[], to: 'client' | 'upstream'): readonly SipField[] {
  const isPrivate = fields.some((field) => field.name === 'privacy' && field.value.toLowerCase().split(';').some((part) => withoutBlanks(part) === 'id'));
  return to === 'upstream' || isPrivate ? fields.filter((field) => field.name !== 'p-asserted-identity') : fields;
}

/** All values of a field of tokens, in lower case. */
export function sipTokens(fields: readonly SipField[], name: string): readonly string[] {
  return fields.filter((field) => field.name === name).flatMap((field) => field.value.toLowerCase().split(',').map(withoutBlanks)).filter((token) => token !== '');
}

/** Parameter for our Record-Route: the domain a dialog was admitted for, with its proof. */
export function dialogClaim(key: Buffer, domain: string, callId: string): string {
  return `;${dialogParam}=${domain}~${dialogProof(key, domain, callId)}`;
}

/** Whether a Route's claim (`dialogClaim`) is ours and of this dialog. */
export function isOurClaim(key: Buffer, claim: string, domain: string, callId: string): boolean {
  return claim.toLowerCase() === `${domain}~${dialogProof(key, domain, callId)}`;
}

function dialogProof(key: Buffer, domain: string, callId: string): string {
  return createHmac('sha256', key).update(`${domain}\n${callId}`, 'latin1').digest('hex').slice(0, 32);
}

/** A message as it goes on: one line a field, Content-Length of this body. */
export function encodeSip(message: SipRequest | SipResponse, fields: readonly SipField[], body: Buffer): Buffer {
  const start = message.kind === 'request' ? `${message.method} ${message.uri} SIP/2.0` : `SIP/2.0 ${message.status} ${message.reason}`;
  const head = [start, ...withField(fields, 'Content-Length', String(body.length)).map((field) => `${field.shown}: ${field.value}`)].join('\r\n');
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), body]);
}
