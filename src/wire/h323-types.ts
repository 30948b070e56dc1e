// The types of H.225.0 (12/2009) that stand before what we look for: read where they matter, else passed over. Named as in the standard.
// Additions of a SEQUENCE and alternatives that were added to a CHOICE are passed over by their own lengths.
import { perReader, readAdditions, readBit, readBits, readBmp, readChoice, readCounted, readHead, readIa5, readLength, readList, readNibbles, readOctets, readOpen, readOptionals, readWithin, skipAdditions, skipNullChoice, wrong } from './per.ts';
import type { PerReader } from './per.ts';

export interface H323Alias {
  readonly kind: 'h323-id' | 'digits' | 'url' | 'email';
  readonly value: string;
}

const digitAlphabet = '#*,0123456789';
const nestedMax = 4;

export const skipObjectIdentifier = (from: PerReader): void => void readOpen(from);

function skipH221(from: PerReader): void {
  const head = readHead(from, 0);
  readOctets(from, 1);
  readOctets(from, 1);
  readOctets(from, 2);
  skipAdditions(from, head);
}

export function skipNonStandard(from: PerReader): void {
  const chosen = readChoice(from, 2);
  if ('root' in chosen) {
    if (chosen.root === 0) skipObjectIdentifier(from);
    else skipH221(from);
  }
  readOpen(from);
}

/** A SEQUENCE with nothing in its root but nonStandardData. */
function skipNonStandardOnly(from: PerReader): void {
  const head = readHead(from, 1);
  if (head.has[0]) skipNonStandard(from);
  skipAdditions(from, head);
}

/** The port of an address is its last two octets. */
export function skipTransportAddress(from: PerReader): void {
  const chosen = readChoice(from, 7);
  if (!('root' in chosen)) return;
  switch (chosen.root) {
    case 0: // ipAddress
      readOctets(from, 6);
      return;
    case 1: {
      // ipSourceRoute: octet strings of four are aligned, its choice has two roots
      const head = readHead(from, 0);
      readOctets(from, 6);
      readList(from, (each) => readOctets(each, 4));
      skipNullChoice(from, 2);
      skipAdditions(from, head);
      return;
    }
    case 2: // ipxAddress: six, four, and two; the last is too short to be aligned by itself, but stands aligned already
      readOctets(from, 12);
      return;
    case 3: {
      // ip6Address
      const head = readHead(from, 0);
      readOctets(from, 18);
      skipAdditions(from, head);
      return;
    }
    case 4: // netBios
      readOctets(from, 16);
      return;
    case 5: // nsap (1..20)
      readOctets(from, readWithin(from, 20) + 1);
      return;
    default:
      skipNonStandard(from);
  }
}

export function skipVendor(from: PerReader): void {
  const head = readHead(from, 2);
  skipH221(from);
  for (const isThere of head.has) if (isThere) readOctets(from, readWithin(from, 256) + 1);
  skipAdditions(from, head);
}

function skipGateway(from: PerReader): void {
  const head = readHead(from, 2);
  // SupportedProtocols has nine roots: the first is nonStandardData, the others have nothing else in their roots
  if (head.has[0]) {
    readList(from, (each) => {
      const chosen = readChoice(each, 9);
      if (!('root' in chosen)) return;
      if (chosen.root === 0) skipNonStandard(each);
      else skipNonStandardOnly(each);
    });
  }
  if (head.has[1]) skipNonStandard(from);
  skipAdditions(from, head);
}

export function skipEndpointType(from: PerReader): void {
  const head = readHead(from, 6);
  const [hasNonStandard, hasVendor, hasGatekeeper, hasGateway, hasMcu, hasTerminal] = head.has;
  if (hasNonStandard) skipNonStandard(from);
  if (hasVendor) skipVendor(from);
  if (hasGatekeeper) skipNonStandardOnly(from);
  if (hasGateway) skipGateway(from);
  if (hasMcu) skipNonStandardOnly(from);
  if (hasTerminal) skipNonStandardOnly(from);
  readBits(from, 2); // mc, undefinedNode
  skipAdditions(from, head);
}

export function skipQseriesOptions(from: PerReader): void {
  const head = readHead(from, 0);
  readBits(from, 7);
  const details = readHead(from, 0);
  readBits(from, 2);
  skipAdditions(from, details);
  skipAdditions(from, head);
}

/** gatekeeperIdentifier and endpointIdentifier alike: BMPString (1..128). */
export const readIdentifier = (from: PerReader): string => readBmp(from, readWithin(from, 128) + 1);

/** Null for the kinds that name nobody in a way that a route could mean. */
function readAlias(from: PerReader): H323Alias | null {
  const chosen = readChoice(from, 2);
  if ('root' in chosen) {
    if (chosen.root === 0) return { kind: 'digits', value: readNibbles(from, readWithin(from, 128) + 1, digitAlphabet) };
    return { kind: 'h323-id', value: readBmp(from, readWithin(from, 256) + 1) };
  }
  if (chosen.addition !== 0 && chosen.addition !== 2) return null;
  const inner = perReader(chosen.open, 'an alias');
  return { kind: chosen.addition === 0 ? 'url' : 'email', value: readIa5(inner, readWithin(inner, 512) + 1) };
}

export const readAliases = (from: PerReader): H323Alias[] => readList(from, readAlias).filter((alias) => alias !== null);

/** Its number where it is a standard one, else null. */
function readGenericId(from: PerReader): number | null {
  const chosen = readChoice(from, 3);
  if (!('root' in chosen)) return null;
  if (chosen.root === 1) skipObjectIdentifier(from);
  else if (chosen.root === 2) readOctets(from, 16);
  else if (readBit(from)) skipLargeNumber(from);
  else return readWithin(from, 16_384);
  return null;
}

/** A number beyond 16383, as two's complement. A small one in this form would be a second spelling, by which RAS could hide from us. */
function skipLargeNumber(from: PerReader): void {
  const octets = readOpen(from);
  if (octets.length === 0 || octets.length > 6) wrong(`a number of ${octets.length} octets in ${from.what}`);
  const value = octets.readIntBE(0, octets.length);
  if (value >= 0 && value < 16_384) wrong(`a small number spelled as a large one in ${from.what}`);
}

interface GenericParameter {
  readonly id: number | null;
  /** Content of kind raw; null for other kinds and none. */
  readonly raw: Buffer | null;
}

export interface GenericData {
  /** The number of a standard identifier, else null. */
  readonly id: number | null;
  readonly parameters: readonly GenericParameter[];
}

function readContent(from: PerReader, depth: number): Buffer | null {
  const chosen = readChoice(from, 12);
  if (!('root' in chosen)) return null;
  switch (chosen.root) {
    case 0: // raw
      return readOpen(from);
    case 1: // text
      readOpen(from);
      return null;
    case 2: // unicode
      readOctets(from, readLength(from) * 2);
      return null;
    case 3: // bool
      readBit(from);
      return null;
    case 4: // number8
      readOctets(from, 1);
      return null;
    case 5: // number16
      readOctets(from, 2);
      return null;
    case 6: // number32: how many octets, in two bits, then those
      readOctets(from, readBits(from, 2) + 1);
      return null;
    case 7: // id
      readGenericId(from);
      return null;
    case 8: // alias
      readAlias(from);
      return null;
    case 9: // transport
      skipTransportAddress(from);
      return null;
    case 10: // compound (1..512)
      readCounted(from, readWithin(from, 512) + 1, (each) => readParameter(each, depth + 1));
      return null;
    default: // nested (1..16)
      readCounted(from, readWithin(from, 16) + 1, (each) => readGenericData(each, depth + 1));
      return null;
  }
}

function readParameter(from: PerReader, depth: number): GenericParameter {
  if (depth > nestedMax) wrong(`genericData is nested deeper than ${nestedMax}`);
  const head = readHead(from, 1);
  const id = readGenericId(from);
  const raw = head.has[0] ? readContent(from, depth) : null;
  skipAdditions(from, head);
  return { id, raw };
}

export function readGenericData(from: PerReader, depth = 0): GenericData {
  if (depth > nestedMax) wrong(`genericData is nested deeper than ${nestedMax}`);
  const head = readHead(from, 1);
  const id = readGenericId(from);
  const parameters = head.has[0] ? readCounted(from, readWithin(from, 512) + 1, (each) => readParameter(each, depth)) : [];
  skipAdditions(from, head);
  return { id, parameters };
}

export interface SetupBody {
  readonly sourceAliases: readonly H323Alias[];
  readonly aliases: readonly H323Alias[];
  /** The addition callIdentifier as it was encoded, to be repeated in an answer. */
  readonly callIdentifier: Buffer | null;
}

export function readSetup(from: PerReader): SetupBody {
  const head = readHead(from, 7);
  const [hasH245, hasSource, hasDestination, hasSignal, hasExtra, hasExtraCrv, hasServices] = head.has;
  skipObjectIdentifier(from);
  if (hasH245) skipTransportAddress(from);
  const sourceAliases = hasSource ? readAliases(from) : [];
  skipEndpointType(from);
  const aliases = hasDestination ? readAliases(from) : [];
  if (hasSignal) skipTransportAddress(from);
  if (hasExtra) readAliases(from);
  if (hasExtraCrv) readList(from, (each) => readOctets(each, 2));
  readBit(from); // activeMC
  readOctets(from, 16); // conferenceID
  skipNullChoice(from, 3); // conferenceGoal
  if (hasServices) skipQseriesOptions(from);
  skipNullChoice(from, 4); // callType
  const additions = head.isExtended ? readAdditions(from) : [];
  return { sourceAliases, aliases, callIdentifier: additions[2] ?? null };
}

/** Bodies of the root besides setup, in their order from 1 on: passed over, so that what stands behind them is found. */
export function skipBody(from: PerReader, root: number): void {
  if (root === 1 || root === 3) skipProceeding(from);
  else if (root === 2) skipConnect(from);
  else if (root === 4) skipInformation(from);
  else if (root === 5) skipRelease(from);
  else skipFacility(from);
}

/** CallProceeding-UUIE and Alerting-UUIE. */
function skipProceeding(from: PerReader): void {
  const head = readHead(from, 1);
  skipObjectIdentifier(from);
  skipEndpointType(from);
  if (head.has[0]) skipTransportAddress(from);
  skipAdditions(from, head);
}

function skipConnect(from: PerReader): void {
  const head = readHead(from, 1);
  skipObjectIdentifier(from);
  if (head.has[0]) skipTransportAddress(from);
  skipEndpointType(from);
  readOctets(from, 16);
  skipAdditions(from, head);
}

function skipInformation(from: PerReader): void {
  const head = readHead(from, 0);
  skipObjectIdentifier(from);
  skipAdditions(from, head);
}

function skipRelease(from: PerReader): void {
  const head = readHead(from, 1);
  skipObjectIdentifier(from);
  if (head.has[0]) skipNullChoice(from, 12);
  skipAdditions(from, head);
}

function skipFacility(from: PerReader): void {
  const head = readHead(from, 3);
  skipObjectIdentifier(from);
  if (head.has[0]) skipTransportAddress(from);
  if (head.has[1]) readAliases(from);
  if (head.has[2]) readOctets(from, 16);
  skipNullChoice(from, 4);
  skipAdditions(from, head);
}

export type RasRequest = {
  readonly ras: 'gatekeeper-request' | 'registration';
  readonly requestSeqNum: number;
  readonly gatekeeperId: string | null;
  readonly aliases: readonly H323Alias[];
};

/** Null for every message of RAS but GRQ and RRQ. */
export function readRas(from: PerReader): RasRequest | null {
  const chosen = readChoice(from, 25);
  if (!('root' in chosen)) return null;
  if (chosen.root === 0) return readGatekeeperRequest(from);
  if (chosen.root === 3) return readRegistrationRequest(from);
  return null;
}

/** 1..65535, written as one less. */
const readSeqNum = (from: PerReader): number => readWithin(from, 65_535) + 1;

function readGatekeeperRequest(from: PerReader): RasRequest {
  const head = readHead(from, 4);
  const [hasNonStandard, hasGatekeeper, hasServices, hasAliases] = head.has;
  const requestSeqNum = readSeqNum(from);
  skipObjectIdentifier(from);
  if (hasNonStandard) skipNonStandard(from);
  skipTransportAddress(from);
  skipEndpointType(from);
  const gatekeeperId = hasGatekeeper ? readIdentifier(from) : null;
  if (hasServices) skipQseriesOptions(from);
  const aliases = hasAliases ? readAliases(from) : [];
  skipAdditions(from, head);
  return { ras: 'gatekeeper-request', requestSeqNum, gatekeeperId, aliases };
}

function readRegistrationRequest(from: PerReader): RasRequest {
  const head = readHead(from, 3);
  const [hasNonStandard, hasAliases, hasGatekeeper] = head.has;
  const requestSeqNum = readSeqNum(from);
  skipObjectIdentifier(from);
  if (hasNonStandard) skipNonStandard(from);
  readOptionals(from, 1); // discoveryComplete
  readList(from, skipTransportAddress);
  readList(from, skipTransportAddress);
  skipEndpointType(from);
  const aliases = hasAliases ? readAliases(from) : [];
  const gatekeeperId = hasGatekeeper ? readIdentifier(from) : null;
  skipVendor(from);
  skipAdditions(from, head);
  return { ras: 'registration', requestSeqNum, gatekeeperId, aliases };
}
