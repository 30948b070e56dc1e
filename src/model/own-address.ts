// A device's own address, as others in its network know it.
import { canonicalAddress } from '#base/cidr.ts';

/**
 * Of the host in its row, as its agent dials it. Null where that says nothing to anybody else: a name that only the site resolves, or the agent's own
 * machine. Servers give 127.0.0.1 rights that no device may have.
 */
export function ownAddressOf(host: string): string | null {
  const address = canonicalAddress(host);
  return address === '127.0.0.1' || address === '::1' ? null : address;
}
