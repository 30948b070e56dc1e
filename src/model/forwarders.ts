// Who says for whom it comes without being trusted to (HP-4): in memory alone, for the journal, for doctor and for the way that a device took. What they say is
// believed nowhere.
import { canonicalAddress, networkOf } from '#base/cidr.ts';
import { printable } from '#base/log.ts';
import type { Judgement } from './doctor.ts';
import type { Journal } from './live.ts';
import { networkOfOne } from './places.ts';

export interface Forwarder {
  /** The peer of its connections. */
  readonly address: string;
  /** For whom it said last that it comes; printable. */
  readonly claims: string;
  readonly firstAt: number;
  readonly lastAt: number;
}

export interface ForwarderLimits {
  readonly forwardersMax: number;
  readonly forwarderMs: number;
  readonly originWindowMs: number;
}

export interface Forwarders {
  /** Once for each connection. Raises `proxy.untrusted`, once in a window for an address. */
  note(address: string, claims: string, nowMs: number): void;
  /** null: it has said nothing lately. */
  claimsOf(address: string, nowMs: number): string | null;
  /** The latest first. */
  list(nowMs: number): readonly Forwarder[];
}

/** The remedy for people: what to write, whole. */
export const trustLine = (address: string): string => `{ "from": "${networkOfOne(address)}" }`;

/** For whom a request says that it comes: of X-Forwarded-For the last entry, of Forwarded (RFC 7239) the last `for`. null: it says nothing. */
export function claimOf(forwardedFor: string | undefined, forwarded: string | undefined): string | null {
  if (forwardedFor === undefined && forwarded === undefined) return null;
  const text = forwardedFor === undefined ? (/.*\bfor=("[^"]*"|[^;,\s]*)/i.exec(forwarded!.slice(-1_000))?.[1] ?? '') : (forwardedFor.slice(-200).split(',').at(-1) ?? '');
  const bare = text.trim().replace(/^"|"$/g, '');
  const address = canonicalAddress(bare.replace(/^\[([^\]]*)\].*$/, '$1')) ?? canonicalAddress(bare.replace(/:\d{1,5}$/, ''));
  return address ?? (bare === '' ? 'nobody' : printable(bare, 60));
}

export function buildForwarders({ journal, limits }: { readonly journal: Pick<Journal, 'note'>; readonly limits: ForwarderLimits }): Forwarders {
  /** By what counts as one place, so that nobody fills the journal from one IPv6 network; the least lately seen first. */
  const seen = new Map<string, Forwarder & { readonly saidAt: number }>();
  const standing = (address: string, nowMs: number) => {
    const found = seen.get(networkOf(address));
    return found !== undefined && nowMs - found.lastAt <= limits.forwarderMs ? found : undefined;
  };
  return {
    note(address, claims, nowMs) {
      const before = standing(address, nowMs);
      const says = before === undefined || nowMs - before.saidAt >= limits.originWindowMs;
      seen.delete(networkOf(address));
      if (seen.size >= limits.forwardersMax) seen.delete(seen.keys().next().value!);
      seen.set(networkOf(address), { address, claims, firstAt: before?.firstAt ?? nowMs, lastAt: nowMs, saidAt: says ? nowMs : before.saidAt });
      if (says) journal.note('proxy.untrusted', { from: address, claims, remedy: `if it is a proxy of yours, add ${trustLine(address)} to trustedProxies` });
    },
    claimsOf(address, nowMs) {
      const found = standing(address, nowMs);
      return found?.address === address ? found.claims : null;
    },
    list(nowMs) {
      for (const [place, each] of seen) {
        if (nowMs - each.lastAt <= limits.forwarderMs) break;
        seen.delete(place);
      }
      return Array.from(seen.values(), ({ address, claims, firstAt, lastAt }) => ({ address, claims, firstAt, lastAt })).reverse();
    },
  };
}

const shownMax = 10;

/** Those who are not trusted now. `isNear`: private, or of a site; whoever scans the internet says such things, too, and is no proxy of anybody here. */
export function judgeForwarders(all: readonly Forwarder[], isNear: (address: string) => boolean): Judgement {
  if (all.length === 0) return { status: 'ok', verdict: 'nobody says for whom they come without being trusted to' };
  const list = all.filter(({ address }) => isNear(address));
  if (list.length === 0) return { status: 'ok', verdict: `${all.length === 1 ? 'one address' : `${all.length} addresses`} from outside of all sites said for whom they come, and were not believed: postern journal --event proxy.untrusted` };
  const evidence = list.slice(0, shownMax).map(({ address, claims, lastAt }) => `${address} said that it comes for ${claims}, last ${new Date(lastAt).toISOString()}`);
  if (list.length > shownMax) evidence.push(`and ${list.length - shownMax} more`);
  const lines = list.slice(0, 4).map(({ address }) => trustLine(address)).join(', ');
  return {
    status: 'warning', evidence,
    verdict: `HP-4: ${list.length === 1 ? 'an unknown proxy says' : `${list.length} unknown proxies say`} for whom ${list.length === 1 ? 'it comes' : 'they come'}, and ${list.length === 1 ? 'is' : 'are'} not believed`,
    remedy: `Those that are proxies of yours: add to "trustedProxies" of the configuration: ${lines}. Others may say what they like: it is dropped.`,
  };
}
