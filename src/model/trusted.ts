// Behind another proxy: whose forwarding headers count, and who the client is then. X-Forwarded-For is walked from the right and the first
// address that is no trusted proxy's is the client, whatever stands to the left of it (research: Traefik #8304 and its kin).
import { canonicalAddress } from '#base/cidr.ts';
import { isInNetworks } from '#base/networks.ts';
import type { TrustedProxies } from './snapshot.ts';

const entriesMax = 100;

/** May this peer say who the client is? `subject`: of its verified client certificate. */
export function isTrustedPeer(trusted: TrustedProxies, address: string, subject: string | null): boolean {
  if (!isInNetworks(trusted.all, address)) return false;
  return trusted.entries.some((entry) => (entry.subject === null || entry.subject === subject?.toLowerCase()) && isInNetworks(entry.from, address));
}

/** One entry of X-Forwarded-For: some append a port, some put IPv6 into brackets. */
function addressOf(entry: string): string | null {
  const text = entry.trim();
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::\d{1,5})?$/.exec(text);
  if (bracketed) return canonicalAddress(bracketed[1]!);
  return canonicalAddress(text) ?? canonicalAddress(text.replace(/:\d{1,5}$/, ''));
}

/**
 * The client, given the peer that is trusted and what it said. An entry that is no address ends the walk: the last one that was counts.
 * Proxies further away count by address alone, because nobody showed their certificates here.
 */
export function clientBehind(trusted: TrustedProxies, peer: string, forwardedFor: string | null): string {
  let client = peer;
  if (forwardedFor === null) return client;
  const entries = forwardedFor.split(',');
  for (let i = entries.length - 1; i >= Math.max(0, entries.length - entriesMax); i--) {
    const address = addressOf(entries[i]!);
    if (address === null) return client;
    client = address;
    if (!isInNetworks(trusted.all, address)) return client;
  }
  return client;
}
