// Writes H.323 for tests: a PER encoder of its own, so that the reader is not proved by its own mistakes. tshark judges both
// (test/peers/h323-vectors.test.ts).

/** Bits, written from the left. */
export class PerWriter {
  readonly #bits: number[] = [];

  bits(value: number, count: number): this {
    for (let i = count - 1; i >= 0; i--) this.#bits.push((value >>> i) & 1);
    return this;
  }

  flags(...set: readonly unknown[]): this {
    for (const each of set) this.#bits.push(each ? 1 : 0);
    return this;
  }

  align(): this {
    while (this.#bits.length % 8 !== 0) this.#bits.push(0);
    return this;
  }

  octets(bytes: Uint8Array): this {
    this.align();
    for (const byte of bytes) this.bits(byte, 8);
    return this;
  }

  u8(value: number): this {
    return this.align().bits(value, 8);
  }

  u16(value: number): this {
    return this.align().bits(value, 16);
  }

  length(value: number): this {
    return value < 0x80 ? this.u8(value) : this.u16(0x8000 | value);
  }

  open(bytes: Uint8Array): this {
    return this.length(bytes.length).octets(bytes);
  }

  list<T>(all: readonly T[], write: (to: PerWriter, one: T) => void): this {
    this.length(all.length);
    for (const one of all) write(this, one);
    return this;
  }

  /** `undefined` stands for an addition that is absent. */
  additions(all: readonly (Uint8Array | undefined)[]): this {
    this.bits(0, 1).bits(all.length - 1, 6).flags(...all.map((each) => each !== undefined));
    for (const each of all) if (each !== undefined) this.open(each);
    return this;
  }

  /** X.691 §11.1: an encoding that is put into another one has at least an octet. */
  done(): Buffer {
    this.align();
    const bytes = Buffer.alloc(Math.max(1, this.#bits.length / 8));
    this.#bits.forEach((bit, at) => {
      if (bit === 1) bytes[at >> 3] = bytes[at >> 3]! | (0x80 >> (at & 7));
    });
    return bytes;
  }
}

export const protocol7 = Buffer.from('0008914a0007', 'hex');
const ucs2 = (text: string) => Buffer.from(text, 'utf16le').swap16();
const guid = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');

export type Alias = { digits: string } | { h323: string } | { url: string } | { email: string } | { transport: Address } | { party: string };
export type Address = { ip4: string } | { ip6: Buffer } | { route: string[] } | { ipx: true } | { netbios: true } | { nsap: number } | { nonStandard: NonStandard };
export type NonStandard = { object: Buffer; data: Buffer } | { manufacturer: number; data: Buffer };

function nonStandard(to: PerWriter, value: NonStandard): void {
  to.flags(0);
  if ('object' in value) to.bits(0, 1).open(value.object);
  else h221(to.bits(1, 1), value.manufacturer);
  to.open(value.data);
}

function h221(to: PerWriter, manufacturer: number): void {
  to.flags(0).u8(181).u8(0).u16(manufacturer);
}

const ip4 = (text: string) => Buffer.from(text.split('.').map(Number));

function address(to: PerWriter, value: Address): void {
  to.flags(0);
  if ('ip4' in value) to.bits(0, 3).octets(ip4(value.ip4)).u16(1719);
  else if ('route' in value) to.bits(1, 3).flags(0).octets(ip4('192.0.2.1')).u16(1720).list(value.route, (each, hop) => each.octets(ip4(hop))).flags(0).bits(1, 1);
  else if ('ipx' in value) to.bits(2, 3).octets(Buffer.alloc(6, 0x11)).octets(Buffer.alloc(4, 0x22)).octets(Buffer.alloc(2, 0x33));
  else if ('ip6' in value) to.bits(3, 3).flags(0).octets(value.ip6).u16(1720);
  else if ('netbios' in value) to.bits(4, 3).octets(Buffer.alloc(16, 0x41));
  else if ('nsap' in value) to.bits(5, 3).bits(value.nsap - 1, 5).octets(Buffer.alloc(value.nsap, 0x55));
  else nonStandard(to.bits(6, 3), value.nonStandard);
}

export function alias(to: PerWriter, value: Alias): void {
  if ('digits' in value) {
    to.flags(0).bits(0, 1).bits(value.digits.length - 1, 7).align();
    for (const digit of value.digits) to.bits('#*,0123456789'.indexOf(digit), 4);
  } else if ('h323' in value) to.flags(0).bits(1, 1).u8(value.h323.length - 1).octets(ucs2(value.h323));
  else {
    const inner = new PerWriter();
    let index: number;
    if ('url' in value || 'email' in value) {
      const text = 'url' in value ? value.url : value.email;
      inner.u16(text.length - 1).octets(Buffer.from(text, 'latin1'));
      index = 'url' in value ? 0 : 2;
    } else if ('transport' in value) {
      address(inner, value.transport);
      index = 1;
    } else {
      // partyNumber: e164Number of unknown type
      inner.flags(0).bits(0, 3).flags(0).bits(0, 3).bits(value.party.length - 1, 7).align();
      for (const digit of value.party) inner.bits('#*,0123456789'.indexOf(digit), 4);
      index = 3;
    }
    to.flags(1).bits(0, 1).bits(index, 6).open(inner.done());
  }
}

export interface EndpointType {
  readonly nonStandard?: NonStandard;
  readonly vendor?: { product?: string; version?: string; enterprise?: true };
  readonly gatekeeper?: true;
  /** How many of the protocols of a gateway. */
  readonly gateway?: { protocols?: number; nonStandard?: NonStandard };
  readonly mcu?: true;
  readonly terminal?: true;
  readonly isSet?: true;
}

function vendor(to: PerWriter, value: NonNullable<EndpointType['vendor']>): void {
  to.flags(value.enterprise, value.product !== undefined, value.version !== undefined);
  h221(to, 18);
  for (const text of [value.product, value.version]) if (text !== undefined) to.u8(text.length - 1).octets(Buffer.from(text));
  if (value.enterprise) to.additions([new PerWriter().open(Buffer.from('2b0601', 'hex')).done()]);
}

function endpoint(to: PerWriter, value: EndpointType): void {
  to.flags(value.isSet, value.nonStandard, value.vendor, value.gatekeeper, value.gateway, value.mcu, value.terminal);
  if (value.nonStandard) nonStandard(to, value.nonStandard);
  if (value.vendor) vendor(to, value.vendor);
  if (value.gatekeeper) to.flags(0, 0);
  if (value.gateway) {
    const { protocols, nonStandard: own } = value.gateway;
    to.flags(0, protocols !== undefined, own);
    if (protocols !== undefined) {
      to.list(Array.from({ length: protocols }), (each) => {
        // voice, with the addition supportedPrefixes of one prefix
        const prefixes = new PerWriter().list([{ digits: '49' }], (one, prefix) => alias(one.flags(0, 0), prefix)).done();
        each.flags(0).bits(7, 4).flags(1, 0).additions([undefined, prefixes]);
      });
    }
    if (own) nonStandard(to, own);
  }
  if (value.mcu) to.flags(0, 0);
  if (value.terminal) to.flags(0, 0);
  to.flags(0, 0);
  if (value.isSet) to.additions([new PerWriter().octets(Buffer.alloc(4)).done()]);
}

const services = (to: PerWriter): void => void to.flags(0, 1, 0, 1, 0, 1, 0, 1).flags(0, 1, 0);

export interface Grq {
  readonly seq?: number;
  readonly nonStandard?: NonStandard;
  readonly ras?: Address;
  readonly endpoint?: EndpointType;
  readonly gatekeeper?: string;
  readonly services?: true;
  readonly aliases?: readonly Alias[];
  /** Additions: an empty list of tokens, and supportsAltGK. */
  readonly isExtended?: true;
}

export function grq(parts: Grq): Buffer {
  const to = new PerWriter().flags(0).bits(0, 5);
  to.flags(parts.isExtended, parts.nonStandard, parts.gatekeeper !== undefined, parts.services, parts.aliases);
  to.u16((parts.seq ?? 1) - 1).open(protocol7);
  if (parts.nonStandard) nonStandard(to, parts.nonStandard);
  address(to, parts.ras ?? { ip4: '192.0.2.10' });
  endpoint(to, parts.endpoint ?? { terminal: true });
  if (parts.gatekeeper !== undefined) to.bits(parts.gatekeeper.length - 1, 7).octets(ucs2(parts.gatekeeper));
  if (parts.services) services(to);
  if (parts.aliases) to.list(parts.aliases, alias);
  if (parts.isExtended) to.additions([undefined, Buffer.from([0]), undefined, undefined, undefined, undefined, undefined, Buffer.from([0])]);
  return to.done();
}

export interface Rrq {
  readonly seq?: number;
  readonly nonStandard?: NonStandard;
  readonly isDiscovered?: true;
  readonly signal?: readonly Address[];
  readonly ras?: readonly Address[];
  readonly endpoint?: EndpointType;
  readonly aliases?: readonly Alias[];
  readonly gatekeeper?: string;
  readonly vendor?: NonNullable<EndpointType['vendor']>;
  /** Additions: timeToLive of 300 s, and keepAlive. */
  readonly isExtended?: true;
}

export function rrq(parts: Rrq): Buffer {
  const to = new PerWriter().flags(0).bits(3, 5);
  to.flags(parts.isExtended, parts.nonStandard, parts.aliases, parts.gatekeeper !== undefined);
  to.u16((parts.seq ?? 1) - 1).open(protocol7);
  if (parts.nonStandard) nonStandard(to, parts.nonStandard);
  to.flags(parts.isDiscovered);
  to.list(parts.signal ?? [{ ip4: '192.0.2.10' }], address);
  to.list(parts.ras ?? [{ ip4: '192.0.2.10' }], address);
  endpoint(to, parts.endpoint ?? { terminal: true });
  if (parts.aliases) to.list(parts.aliases, alias);
  if (parts.gatekeeper !== undefined) to.bits(parts.gatekeeper.length - 1, 7).octets(ucs2(parts.gatekeeper));
  vendor(to, parts.vendor ?? {});
  if (parts.isExtended) to.additions([undefined, new PerWriter().bits(1, 2).u16(299).done(), undefined, undefined, undefined, Buffer.from([0x80])]);
  return to.done();
}

/** Unregistration of an endpoint: RAS that is neither GRQ nor RRQ. */
export const urq = (): Buffer => new PerWriter().flags(0).bits(6, 5).flags(0, 0, 0, 0).u16(6).list([{ ip4: '192.0.2.10' }], address).done();

const additionTunnelling = Buffer.from([0x80]);

/** One generic parameter of id 1 with raw content. */
function generic(id: number, contents: readonly Buffer[]): Buffer {
  const to = new PerWriter().flags(0, contents.length > 0).flags(0).bits(0, 2).flags(0).u16(id);
  if (contents.length > 0) to.u16(contents.length - 1);
  for (const content of contents) to.flags(0, 1).flags(0).bits(0, 2).flags(0).u16(1).flags(0).bits(0, 4).open(content);
  return to.done();
}

/** Generic data with one parameter of every kind of content, some nested: nothing of it is RAS. */
export function oddGeneric(): Buffer {
  const id = (to: PerWriter, number: number) => to.flags(0).bits(0, 2).flags(0).u16(number);
  const contents: ((to: PerWriter) => void)[] = [
    (to) => to.bits(1, 4).open(Buffer.from('text')),
    (to) => to.bits(2, 4).length(2).octets(ucs2('ab')),
    (to) => to.bits(3, 4).flags(1),
    (to) => to.bits(4, 4).u8(7),
    (to) => to.bits(5, 4).u16(700),
    (to) => to.bits(6, 4).bits(2, 2).octets(Buffer.from([1, 2, 3])),
    (to) => id(to.bits(7, 4), 17),
    (to) => alias(to.bits(8, 4), { h323: 'nobody@elsewhere.example' }),
    (to) => address(to.bits(9, 4), { ip6: Buffer.alloc(16, 0x20) }),
    (to) => id(to.bits(10, 4).u16(0).flags(0, 1), 1).flags(0).bits(4, 4).u8(1),
    (to) => id(to.bits(11, 4).bits(0, 4).flags(0, 0), 5),
    // identifiers by object and by number beyond the range
    (to) => to.bits(7, 4).flags(0).bits(1, 2).open(protocol7),
    (to) => to.bits(7, 4).flags(0).bits(2, 2).octets(guid),
  ];
  const to = id(new PerWriter().flags(0, 1), 24).u16(contents.length);
  for (const write of contents) write(id(to.flags(0, 1), 3).flags(0));
  id(to.flags(0, 0), 9);
  return to.done();
}

export interface Message {
  readonly reference?: number;
  /** Elements between head and User-User. */
  readonly elements?: Buffer;
  readonly behind?: Buffer;
}

export function q931(type: number, userInformation: Buffer | null, parts: Message = {}): Buffer {
  const head = Buffer.from([8, 2, (parts.reference ?? 0) >> 8, (parts.reference ?? 0) & 0xff, type]);
  const userUser = userInformation && Buffer.concat([Buffer.from([0x7e, (userInformation.length + 1) >> 8, (userInformation.length + 1) & 0xff, 5]), userInformation]);
  return tpkt(Buffer.concat([head, parts.elements ?? Buffer.alloc(0), userUser ?? Buffer.alloc(0), parts.behind ?? Buffer.alloc(0)]));
}

export function tpkt(message: Buffer): Buffer {
  const length = message.length + 4;
  return Buffer.concat([Buffer.from([3, 0, length >> 8, length & 0xff]), message]);
}

/** Generic data one after the other. A list's entries are not aligned, but each of ours ends with octets. */
const genericList = (all: readonly Buffer[]): Buffer => Buffer.concat([Buffer.from([all.length]), ...all]);

/** H323-UserInformation with body `empty` and these generic data. */
export function emptyBody(all: readonly Buffer[], own?: NonStandard): Buffer {
  const to = new PerWriter().flags(0, 0).flags(1, own).flags(1).bits(0, 1).bits(1, 6).open(Buffer.from([0]));
  if (own) nonStandard(to, own);
  return to.additions([undefined, additionTunnelling, undefined, undefined, undefined, undefined, undefined, undefined, genericList(all)]).done();
}

/** RAS messages in one FACILITY, each a parameter of one generic data. */
export const facility = (ras: readonly Buffer[], parts: Message & { readonly own?: NonStandard; readonly before?: readonly Buffer[] } = {}): Buffer =>
  q931(0x62, emptyBody([...(parts.before ?? []), generic(17, ras)], parts.own), parts);

export interface Setup {
  readonly h245?: Address;
  readonly source?: readonly Alias[];
  readonly endpoint?: EndpointType;
  readonly destination?: readonly Alias[];
  readonly signal?: Address;
  readonly extra?: readonly Alias[];
  readonly extraCrv?: readonly number[];
  readonly services?: true;
  /** The addition callIdentifier. */
  readonly isExtended?: true;
  readonly generic?: readonly Buffer[];
}

export function setup(parts: Setup): Buffer {
  const to = new PerWriter().flags(0, 0).flags(parts.generic, 0).flags(0).bits(0, 3);
  to.flags(parts.isExtended, parts.h245, parts.source, parts.destination, parts.signal, parts.extra, parts.extraCrv, parts.services).open(protocol7);
  if (parts.h245) address(to, parts.h245);
  if (parts.source) to.list(parts.source, alias);
  endpoint(to, parts.endpoint ?? { terminal: true });
  if (parts.destination) to.list(parts.destination, alias);
  if (parts.signal) address(to, parts.signal);
  if (parts.extra) to.list(parts.extra, alias);
  if (parts.extraCrv) to.list(parts.extraCrv, (each, crv) => each.u16(crv));
  to.flags(0).octets(guid).flags(0).bits(0, 2);
  if (parts.services) services(to);
  to.flags(0).bits(0, 2);
  if (parts.isExtended) to.additions([undefined, undefined, Buffer.concat([Buffer.from([0]), guid])]);
  if (parts.generic) to.additions([undefined, additionTunnelling, undefined, undefined, undefined, undefined, undefined, undefined, genericList(parts.generic)]);
  return to.done();
}

/** The other bodies of the root, by name, with generic data behind each. */
export function otherBody(name: 'proceeding' | 'connect' | 'alerting' | 'information' | 'release' | 'facility', all: readonly Buffer[]): Buffer {
  const to = new PerWriter().flags(0, 0).flags(1, 0).flags(0);
  const full: EndpointType = { vendor: { product: 'phone' }, gateway: { protocols: 1 } };
  if (name === 'proceeding' || name === 'alerting') {
    to.bits(name === 'proceeding' ? 1 : 3, 3).flags(1, 1).open(protocol7);
    endpoint(to, full);
    address(to, { ip4: '192.0.2.9' });
    to.additions([Buffer.concat([Buffer.from([0]), guid])]);
  } else if (name === 'connect') {
    to.bits(2, 3).flags(0, 1).open(protocol7);
    address(to, { ip4: '192.0.2.9' });
    endpoint(to, full);
    to.octets(guid);
  } else if (name === 'information') to.bits(4, 3).flags(0).open(protocol7);
  else if (name === 'release') to.bits(5, 3).flags(0, 1).open(protocol7).flags(0).bits(3, 4);
  else {
    to.bits(6, 3).flags(0, 1, 1, 1).open(protocol7);
    address(to, { ip4: '192.0.2.9' });
    to.list([{ h323: 'nobody@elsewhere.example' }], alias).octets(guid).flags(1).bits(0, 1).bits(5, 6).open(Buffer.from([0]));
  }
  return to.additions([undefined, additionTunnelling, undefined, undefined, undefined, undefined, undefined, undefined, genericList(all)]).done();
}

export const rasData = (ras: readonly Buffer[]): Buffer => generic(17, ras);
