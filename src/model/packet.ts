// What the readers of first packets found, in the words that routes are chosen by.
import type { FirstPacket } from '#wire/first-packet.ts';
import type { LdapFacts } from '#wire/ldap.ts';
import type { SipAsked } from '#wire/sip.ts';
import type { PacketFacts } from './decide-connection.ts';

const some = (...values: readonly (string | null)[]): string[] => values.filter((value) => value !== null && value !== '') as string[];

/** For a first packet that names nobody, or that nobody looked at. */
export const namelessPacket = (protocol: PacketFacts['protocol']): PacketFacts => ({ protocol, host: null, users: [], claims: [] });

/** Whom a request is for is not who sends it; but who registers says whose registration it is in To (RFC 3261 §10.2), and may be nobody else in From. */
export const sipPacketFacts = (asked: SipAsked, method: string): PacketFacts => ({ protocol: 'sip', host: asked.domain, users: some(asked.user, asked.fromUser), claims: some(method === 'REGISTER' ? asked.user : null, asked.fromUser) });

/** The name beside a SASL mechanism is nobody's proof: servers ignore it and go by the credentials (RFC 4511 §4.2). */
export const ldapPacketFacts = ({ domain, user, sasl }: Pick<LdapFacts, 'domain' | 'user' | 'sasl'>): PacketFacts => ({ protocol: 'ldap', host: domain, users: some(user), claims: sasl === null ? some(user) : [] });

/** Null for HTTP and TLS, which are not relayed by their first packet. */
export function packetFactsOf(first: FirstPacket): PacketFacts | null {
  switch (first.kind) {
    case 'hello':
    case 'http':
      return null;
    case 'ldap':
      return ldapPacketFacts(first);
    case 'sip':
      return sipPacketFacts(first, first.method);
    case 'h323': {
      const aliases = first.aliases.map((alias) => alias.value);
      // Every name counts: a gatekeeper may take whichever it likes. A number beside a name is the gatekeeper's to judge, alone it is the name.
      const own = first.message === 'setup' ? first.sourceAliases : first.aliases;
      const names = own.filter((alias) => alias.kind !== 'digits');
      return { protocol: 'h323', host: first.domain, users: some(...aliases, first.calledNumber), claims: (names.length > 0 ? names : own).map((alias) => alias.value) };
    }
    case 'rdp':
      return { protocol: 'rdp', host: null, users: some(first.user), claims: [] };
    case 'ssh':
      return namelessPacket('ssh');
  }
}
