// The first message of an H.323 connection as a stranger reads it: which gatekeeper is asked for, who asks, who is called. Registrations come
// as RAS inside a FACILITY (H.460.17), calls without a registration as a SETUP. What is read and what is refused: docs/wire/h323.md.
import { Fault } from '#base/fault.ts';
import { lookAtTpkt, messageFacility, messageNationalEscape, messageSetup, parseQ931, tpktEmptyBytes } from './h323-q931.ts';
import { readGenericData, readRas, readSetup, skipBody, skipNonStandard } from './h323-types.ts';
import type { GenericData, H323Alias, RasRequest, SetupBody } from './h323-types.ts';
import { perReader, readAdditions, readChoice, readHead, readList, wrong } from './per.ts';
import { malformed, more, no } from './sniff.ts';
import type { Unsettled } from './sniff.ts';

export interface H323Facts {
  readonly kind: 'h323';
  readonly message: 'gatekeeper-request' | 'registration' | 'other-ras' | 'setup' | 'facility' | 'other';
  /** As it was written; null when none was sent. */
  readonly gatekeeperId: string | null;
  /** Of the endpoint in GRQ and RRQ, of whom is called in SETUP; else empty. */
  readonly aliases: readonly H323Alias[];
  /** Of whom calls, in SETUP; else empty. */
  readonly sourceAliases: readonly H323Alias[];
  readonly calledNumber: string | null;
  /** The routing key, in lower case: the gatekeeper identifier if that looks like a name, else the domain of the first alias that has one. */
  readonly domain: string | null;
  /** The first h323-ID of who asks: what is compared with a client certificate. */
  readonly user: string | null;
  /** Where this message ends, keep-alives before it included. */
  readonly pduBytes: number;
  /** What a refusal has to repeat (h323-refusal.ts). */
  readonly answerTo: H323AnswerTo;
}

export interface H323AnswerTo {
  readonly callReference: number;
  readonly requests: readonly { readonly ras: RasRequest['ras']; readonly requestSeqNum: number }[];
  /** CallIdentifier in aligned PER. */
  readonly callIdentifier: Buffer | null;
}

const keepAlivesMax = 8;
const rasPerFacilityMax = 16;
/** H.460.17: RAS in genericData of the standard identifier 17, parameter 1. */
const genericRas = 17;
const parameterRas = 1;
const additionGenericData = 8;

/** Looks at the first bytes of a connection. Never throws, keeps nothing; until the message is whole a call costs next to nothing. */
export function sniffH323(bytes: Buffer): Unsettled | H323Facts {
  try {
    let isSignalling = false;
    let at = 0;
    for (let packets = 0; packets <= keepAlivesMax; packets++) {
      const start = lookAtTpkt(bytes, at);
      // Once a message was Q.931, what is not cannot be something else.
      if (start.kind === 'no') return isSignalling ? malformed('bytes behind a message that are no TPKT with Q.931') : no;
      if (start.kind === 'more') return more;
      const end = at + start.length;
      if (start.kind === 'signalling') {
        isSignalling = true;
        if (bytes.length < end) return more;
        const facts = parseH323(bytes.subarray(at + tpktEmptyBytes, end), end);
        if (facts !== null) return facts;
      }
      at = end;
    }
    return malformed(`more than ${keepAlivesMax} keep-alives before the first message`);
  } catch (thrown) {
    if (thrown instanceof Fault) return malformed(thrown.message);
    throw thrown;
  }
}

/** What one TPKT holds; null for a keep-alive. Throws a Fault of code `protocol` where it cannot be read. */
export function parseH323(message: Buffer, pduBytes: number): H323Facts | null {
  const q931 = parseQ931(message);
  if (q931.messageType === messageNationalEscape) return null;
  const isFacility = q931.messageType === messageFacility;
  const isSetup = q931.messageType === messageSetup;
  const { setup, ras } = q931.userUser === null ? { setup: null, ras: [] } : readUserInformation(q931.userUser);
  if (isSetup !== (setup !== null)) wrong(isSetup ? 'a SETUP without its body' : 'the body of a SETUP in another message');
  if (ras.length > 0 && !isFacility) wrong('RAS outside a FACILITY');
  const asked = chooseRequest(ras);
  const requester = setup === null ? (asked?.aliases ?? []) : setup.sourceAliases;
  const aliases = setup?.aliases ?? asked?.aliases ?? [];
  const gatekeeperId = asked?.gatekeeperId ?? null;
  const kindOfMessage = asked?.ras ?? (ras.length > 0 ? 'other-ras' : isSetup ? 'setup' : isFacility ? 'facility' : 'other');
  return {
    kind: 'h323',
    message: kindOfMessage,
    gatekeeperId,
    aliases,
    sourceAliases: setup?.sourceAliases ?? [],
    calledNumber: isSetup ? (q931.calledNumber ?? aliases.find((alias) => alias.kind === 'digits')?.value ?? null) : null,
    domain: domainOf(gatekeeperId, aliases),
    user: userOf(requester),
    pduBytes,
    answerTo: {
      callReference: q931.callReference,
      requests: ras.filter((each) => each !== null).map(({ ras: kind, requestSeqNum }) => ({ ras: kind, requestSeqNum })),
      callIdentifier: setup?.callIdentifier ?? null,
    },
  };
}

/** The first GRQ or RRQ; others beside it have to ask for the same, because one upstream gets them all. */
function chooseRequest(ras: readonly (RasRequest | null)[]): RasRequest | null {
  const requests = ras.filter((each) => each !== null);
  const first = requests[0];
  if (first === undefined) return null;
  for (const other of requests) {
    if (domainOf(other.gatekeeperId, other.aliases) !== domainOf(first.gatekeeperId, first.aliases)) wrong('two requests in one FACILITY ask for different domains');
    if (userOf(other.aliases) !== userOf(first.aliases) || other.aliases.some((alias) => alias.kind !== 'digits' && !first.aliases.some((each) => each.value === alias.value))) wrong('two requests in one FACILITY name different users');
  }
  return first;
}

/** H323-UserInformation up to the end of its H323-UU-PDU. `ras`: one entry a message, null for those that are neither GRQ nor RRQ. */
function readUserInformation(bytes: Buffer): { setup: SetupBody | null; ras: (RasRequest | null)[] } {
  const from = perReader(bytes, 'the User-User element');
  readHead(from, 1); // user-data comes behind
  const pdu = readHead(from, 1);
  const body = readChoice(from, 7);
  const setup = 'root' in body && body.root === 0 ? readSetup(from) : null;
  if ('root' in body && body.root !== 0) skipBody(from, body.root);
  if (pdu.has[0]) skipNonStandard(from);
  const generic = pdu.isExtended ? readAdditions(from)[additionGenericData] : null;
  return { setup, ras: generic ? readTunnelledRas(readList(perReader(generic, 'genericData'), readGenericData)) : [] };
}

function readTunnelledRas(all: readonly GenericData[]): (RasRequest | null)[] {
  const ras: (RasRequest | null)[] = [];
  for (const data of all) {
    if (data.id !== genericRas) continue;
    for (const { id, raw } of data.parameters) {
      if (id !== parameterRas) continue;
      if (raw === null) wrong('RAS that is no octet string');
      if (ras.length === rasPerFacilityMax) wrong(`more than ${rasPerFacilityMax} RAS messages in one FACILITY`);
      ras.push(readRas(perReader(raw, 'RAS')));
    }
  }
  return ras;
}

const userOf = (aliases: readonly H323Alias[]): string | null => aliases.find((alias) => alias.kind === 'h323-id')?.value ?? null;

function domainOf(gatekeeperId: string | null, aliases: readonly H323Alias[]): string | null {
  const named = gatekeeperId === null ? null : nameOf(gatekeeperId);
  if (named !== null) return named;
  for (const alias of aliases) {
    const address = alias.kind === 'url' ? addressOf(alias.value) : alias.value;
    if (alias.kind !== 'digits' && address.includes('@')) return nameOf(address.slice(address.lastIndexOf('@') + 1));
  }
  return null;
}

/** What stands in a URL between its scheme and its port, path or parameters. */
const addressOf = (url: string): string =>
  url
    .replace(/^[A-Za-z][A-Za-z0-9+.-]*:(\/\/)?/, '')
    .replace(/[;?/].*$/s, '')
    .replace(/:\d{1,5}$/, '');

/** One spelling, as for a server name of TLS; underscores are in use as gatekeeper identifiers. */
function nameOf(text: string): string | null {
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase();
  return name.length <= 128 && /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(name) ? name : null;
}
