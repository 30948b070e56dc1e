// Where a site's resolvers lead the name of an application, judged (HP-6 … HP-9 of docs/operate/addresses-gone-wrong.md). Pure.
import { isPrivate } from '#base/cidr.ts';
import type { FindingStatus } from './doctor.ts';
import { type DnsSnippet, insideOf, rebindSnippets, splitSnippets } from './dns-snippets.ts';
import type { MisRoute } from './mis-route.ts';

/** What one resolver answers to one question: NOERROR without addresses, NXDOMAIN, another error; or why there is no answer. */
export type RecordsSeen = { readonly rcode: string; readonly addresses: readonly string[] } | { readonly fault: string };

export interface ResolverSeen {
  /** Its address. */
  readonly resolver: string;
  /** The agent that asked it. */
  readonly askedBy: string;
  readonly a: RecordsSeen;
  readonly aaaa: RecordsSeen;
}

export interface NameSeenInside {
  readonly name: string;
  /** Of the site's resolvers. */
  readonly resolvers: readonly ResolverSeen[];
  /** What the gateway's own resolver says: the view from outside. */
  readonly outside: Pick<ResolverSeen, 'a' | 'aaaa'>;
  /** Where the name is to lead inside that LAN; empty: it has no way in of its own. */
  readonly inside: readonly string[];
}

/** What is wrong, and then what it rests on is in `evidenceOfName`; or that all is well, without a code. */
export type NameVerdict = Omit<MisRoute, 'code'> & { readonly code: MisRoute['code'] | null };

const addressesOf = (seen: RecordsSeen): readonly string[] => ('fault' in seen ? [] : seen.addresses);
const isEmpty = (seen: RecordsSeen): boolean => !('fault' in seen) && seen.addresses.length === 0 && (seen.rcode === 'NOERROR' || seen.rcode === 'NXDOMAIN');
const list = (names: readonly string[]): string => [...new Set(names)].join(', ');
const none: readonly DnsSnippet[] = [];
const verdictOf = (code: NameVerdict['code'], status: FindingStatus, verdict: string, remedy: string | null, snippets: readonly DnsSnippet[] = none): NameVerdict => ({ code, status, verdict, remedy, snippets });

/** The gravest first; one at least. */
export function judgeName(seen: NameSeenInside): NameVerdict[] {
  const { name, resolvers, inside } = seen;
  const answered = resolvers.filter(({ a }) => !('fault' in a));
  if (answered.length === 0) {
    const [first] = resolvers;
    const why = first === undefined ? 'no resolver of the site is known' : `none of the site's resolvers could be asked for ${name}${'fault' in first.a ? `: ${first.a.fault}` : ''}`;
    return [verdictOf(null, 'skipped', why, first === undefined ? 'Name one with --resolver ADDRESS.' : null)];
  }
  const stripping = answered.filter((each) => isEmpty(each.a) && isEmpty(each.aaaa));
  const found = [judgeRebind(seen, stripping) ?? judgeSame(seen, answered.filter((each) => !isEmpty(each.a) || !isEmpty(each.aaaa)), stripping), judgeQuadA(seen, answered)].filter((each) => each !== null);
  if (found.length > 0) return found;
  const all = list(answered.flatMap((each) => [...addressesOf(each.a), ...addressesOf(each.aaaa)]));
  return [verdictOf(null, 'ok', `each of the site's resolvers that was asked leads ${name} to ${all}${inside.length > 0 ? ', inside' : ''}`, null)];
}

/** HP-7: public DNS gives private addresses, and a resolver suppresses them. */
function judgeRebind({ name, outside }: NameSeenInside, stripping: readonly ResolverSeen[]): NameVerdict | null {
  const given = [...addressesOf(outside.a), ...addressesOf(outside.aaaa)];
  if (stripping.length === 0 || given.length === 0 || !given.every(isPrivate)) return null;
  const who = list(stripping.map((each) => each.resolver));
  return verdictOf('HP-7', 'failure', `rebind protection on ${who} takes the private ${given.length === 1 ? 'address' : 'addresses'} ${list(given)} of ${name} out of answers`, `allow it there for ${name}, or write the record into ${who} itself`, rebindSnippets(name));
}

/** HP-8, HP-6: they disagree, or agree on what does not lead inside. */
function judgeSame({ name, inside }: NameSeenInside, answering: readonly ResolverSeen[], empty: readonly ResolverSeen[]): NameVerdict | null {
  if (answering.length === 0) return verdictOf(null, 'failure', `${name} has no address for the site's resolvers`, `see that the name is published, or write it into the site's resolver${inside.length > 0 ? '; the lines are below' : ''}`, splitSnippets(insideOf(name, inside)));
  const isRight = (each: ResolverSeen) => (inside.length === 0 ? agreesWith(answering[0]!, each) : [...addressesOf(each.a), ...addressesOf(each.aaaa)].some((address) => inside.includes(address)));
  const wrong = [...answering.filter((each) => !isRight(each)), ...empty];
  const right = answering.filter(isRight);
  if (right.length > 0 && wrong.length > 0) {
    const [theirs, ours] = [list(wrong.map((each) => each.resolver)), list(right.map((each) => each.resolver))];
    return verdictOf('HP-8', 'failure', `the site's resolvers disagree on ${name}: ${theirs} ${wrong.length === 1 ? 'goes' : 'go'} past the split DNS of ${ours}, and devices ask whichever they like`, `take ${theirs} out of what DHCP gives to devices, and out of their own settings`);
  }
  if (wrong.length === 0) return null;
  const given = [...new Set(wrong.flatMap((each) => [...addressesOf(each.a), ...addressesOf(each.aaaa)]))];
  const what = given.every((each) => !isPrivate(each)) ? 'the public address' : 'another address';
  return verdictOf('HP-6', 'warning', `${list(wrong.map((each) => each.resolver))} answers ${what} ${given.join(', ')} for ${name}, and the way in is ${inside.join(' or ')}`, `write a record for ${name} into that resolver; its lines are below`, splitSnippets(insideOf(name, inside)));
}

const agreesWith = (a: ResolverSeen, b: ResolverSeen): boolean => {
  const mine = new Set([...addressesOf(a.a), ...addressesOf(a.aaaa)]);
  return [...addressesOf(b.a), ...addressesOf(b.aaaa)].some((address) => mine.has(address));
};

/** HP-9: A leads inside, AAAA out. */
function judgeQuadA({ name, inside }: NameSeenInside, answered: readonly ResolverSeen[]): NameVerdict | null {
  const leadsInside = (address: string) => (inside.length === 0 ? isPrivate(address) : inside.includes(address));
  const escaping = answered.filter(({ a, aaaa }) => addressesOf(a).length > 0 && addressesOf(a).every(leadsInside) && addressesOf(aaaa).some((address) => !leadsInside(address)));
  if (escaping.length === 0) return null;
  const given = list(escaping.flatMap(({ aaaa }) => addressesOf(aaaa).filter((address) => !leadsInside(address))));
  return verdictOf('HP-9', 'warning', `the IPv6 path escapes: ${list(escaping.map((each) => each.resolver))} leads ${name} inside by its A record, and to ${given} by AAAA`, 'let the resolver answer AAAA with an address inside, or with nothing: devices with IPv6 take AAAA first', splitSnippets(insideOf(name, inside.length > 0 ? inside : escaping.flatMap(({ a }) => addressesOf(a)))));
}

const told = (seen: RecordsSeen): string => ('fault' in seen ? seen.fault : seen.addresses.length > 0 ? seen.addresses.join(', ') : seen.rcode === 'NOERROR' ? 'nothing' : seen.rcode);

export function evidenceOfName({ name, resolvers, outside, inside }: NameSeenInside): string[] {
  return [
    ...resolvers.map(({ resolver, askedBy, a, aaaa }) => `${resolver}, asked by ${askedBy}: A ${told(a)}; AAAA ${told(aaaa)}`),
    `the gateway's own resolver for ${name}: A ${told(outside.a)}; AAAA ${told(outside.aaaa)}`,
    inside.length > 0 ? `the way in at that site: ${inside.join(', ')}` : 'that site has no door for it, and the gateway does not stand in its LAN',
  ];
}
