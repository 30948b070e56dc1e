// Leaves of the private CA for the gateway's own names: made when first needed, kept in files, renewed by themselves.
import { createHash, createPrivateKey } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { canonicalAddress } from '#base/cidr.ts';
import { reasonOf } from '#base/fault.ts';
import { issueServerLeaf } from '#model/certificate.ts';
import type { Ca, LeafNames } from '#model/certificate.ts';
import { makeKey } from '#model/certificate-key.ts';
import type { KeyKind } from '#model/certificate-key.ts';
import { namesOfCertificate } from '#model/certificate-names.ts';
import { readCertificate } from '#model/fingerprint.ts';
import { newIdentity, type Identity } from './contexts.ts';
import { certificatePartOf, type CaOptions } from './private-ca.ts';

export interface LeavesOptions extends CaOptions {
  /** The gateway's domains, the primary one first. Asked again at each handshake and each hour. */
  domains(): readonly string[];
  /** Whether something of ours answers to this host name; asked where no wildcard covers it, before a leaf is made for it. */
  isKnown(serverName: string): boolean;
  /** Addresses of this machine; default: those of its interfaces. */
  addresses?(): readonly string[];
}

export interface Leaf {
  readonly names: LeafNames;
  readonly certificatePem: string;
  readonly notAfter: number;
  /** With the CA's certificate behind the leaf: agents and the command line pin its key and find it nowhere else. */
  readonly identity: Identity;
}

export interface Leaves {
  readonly all: ReadonlyMap<string, Leaf>;
  /** The leaf that fits now: from memory, from its file, or made. */
  provide(key: string): Promise<Leaf>;
  refresh(): Promise<void>;
}

const renewBeforeMs = 30 * 24 * 3_600_000;
const leavesMax = 1_000;
const addressesMax = 64;

/** The leaf of everything that has none of its own. A host name is never empty. */
export const defaultLeaf = '';

/** Which leaf answers to a name. */
export function leafKeyOf(options: LeavesOptions, serverName: string | null): string {
  if (serverName === null) return defaultLeaf;
  let under: string | null = null;
  for (const domain of options.domains()) {
    if (serverName === domain) return domain.includes('.') ? domain : defaultLeaf;
    if (serverName.endsWith(`.${domain}`) && domain.length > (under?.length ?? 0)) under = domain;
  }
  const isOneBelow = under !== null && !serverName.slice(0, -under.length - 1).includes('.');
  if (under !== null && isOneBelow && under.includes('.')) return under;
  // No wildcard covers it: TLS libraries refuse `*.localhost`, a wildcard is good for one label, and the host of a route may
  // stand under any domain. Such a name has a leaf of its own, once it is known.
  return options.isKnown(serverName) ? serverName : defaultLeaf;
}

function namesOf(options: LeavesOptions, key: string): LeafNames {
  const domains = options.domains();
  if (key !== defaultLeaf) return { dns: domains.includes(key) ? [key, `*.${key}`] : [key], ip: [] };
  const dns = [...domains, 'localhost'].flatMap((domain) => [domain, domain.includes('.') ? `*.${domain}` : `link.${domain}`]);
  const ip = ['127.0.0.1', '::1', ...(options.addresses ?? ownAddresses)()].slice(0, addressesMax);
  return { dns: [...new Set(dns)], ip: [...new Set(ip)] };
}

/** `keyKind`: those of RSA are for clients that know no other; they are made only for names that such a client asks for. */
export function buildLeaves(options: LeavesOptions, ca: Ca, keyKind: Extract<KeyKind, 'ec-p256' | 'rsa-2048'>): Leaves {
  const leaves = new Map<string, Leaf>();
  const coming = new Map<string, Promise<Leaf>>();
  const isFitting = (leaf: Leaf, key: string) => leaf.notAfter - options.clock.nowMs() > renewBeforeMs && sameNames(leaf.names, namesOf(options, key));

  const put = (key: string, leaf: Leaf) => {
    leaves.delete(key);
    leaves.set(key, leaf);
    if (leaves.size <= leavesMax) return;
    const domains = options.domains();
    // The oldest of the names goes; the default and the domains stay.
    for (const old of leaves.keys()) {
      if (old === defaultLeaf || domains.includes(old)) continue;
      leaves.delete(old);
      return;
    }
  };

  const provide = (key: string): Promise<Leaf> => {
    const standing = leaves.get(key);
    if (standing && isFitting(standing, key)) return Promise.resolve(standing);
    let one = coming.get(key);
    if (!one) {
      one = readOrIssueLeaf(options, ca, key, keyKind)
        .then(({ keyPem, ...material }) => {
          const leaf = { ...material, identity: newIdentity(material.certificatePem + ca.certificatePem, keyPem) };
          put(key, leaf);
          return leaf;
        })
        .finally(() => coming.delete(key));
      coming.set(key, one);
    }
    return one;
  };

  return {
    all: leaves,
    provide,
    async refresh() {
      for (const key of leaves.keys()) if (leafKeyOf(options, key || null) !== key) leaves.delete(key);
      const domains = keyKind === 'ec-p256' ? options.domains().filter((domain) => domain.includes('.')) : [];
      for (const key of new Set([...leaves.keys(), ...domains])) await provide(key);
    },
  };
}

/** A name takes up to 253 characters; file names that long are not everyone's. */
function leafFileOf(key: string, keyKind: KeyKind): string {
  const stem = keyKind === 'ec-p256' ? 'leaf' : 'leaf-rsa';
  if (key === defaultLeaf) return `${stem}.pem`;
  return `${stem}.${key.length <= 80 ? key : createHash('sha256').update(key).digest('hex')}.pem`;
}

type LeafMaterial = Omit<Leaf, 'identity'> & { readonly keyPem: string };

/** From its file when that still fits. */
async function readOrIssueLeaf(options: LeavesOptions, ca: Ca, key: string, keyKind: KeyKind): Promise<LeafMaterial> {
  const { files, clock, log, random } = options;
  const names = namesOf(options, key);
  const file = leafFileOf(key, keyKind);
  const kept = await files.read(file);
  const usable = kept === null ? null : usableLeaf(kept.toString(), names, readCertificate(ca.certificatePem), clock.nowMs());
  if (usable) return usable;
  const made = await makeKey(keyKind);
  const issued = await issueServerLeaf({ ca, names, publicKey: made.spki, now: clock.nowMs(), random });
  const leaf = { names, certificatePem: issued.pem, keyPem: made.pem, notAfter: issued.notAfter };
  log.info('certificate.issued', { for: key || names.dns[0], notAfter: new Date(issued.notAfter).toISOString() });
  // A full disk must not take TLS down: the leaf is made again at the next start.
  await files.write(file, Buffer.from(leaf.certificatePem + leaf.keyPem)).catch((error: unknown) => log.warn('certificate.not-kept', { file, why: reasonOf(error) }));
  return leaf;
}

/** A kept leaf, when it is still what would be made now. */
function usableLeaf(pem: string, names: LeafNames, authority: X509Certificate, now: number): LeafMaterial | null {
  try {
    const certificate = readCertificate(pem);
    const key = createPrivateKey(pem);
    const notAfter = certificate.validToDate.getTime();
    const isOurs = certificate.checkIssued(authority) && certificate.verify(authority.publicKey) && certificate.checkPrivateKey(key);
    const isTimely = now >= certificate.validFromDate.getTime() && notAfter - now > renewBeforeMs;
    if (!isOurs || !isTimely || !sameNames(namesOfCertificate(certificate), names)) return null;
    return { names, certificatePem: certificatePartOf(pem), keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(), notAfter };
  } catch {
    return null; // damaged: made anew
  }
}

/** Address literals are compared by the value they name. */
function sameNames(a: LeafNames, b: LeafNames): boolean {
  const canonical = (names: LeafNames) => [...names.dns, ...names.ip.map((address) => canonicalAddress(address) ?? address)].sort().join(' ');
  return canonical(a) === canonical(b);
}

function ownAddresses(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  // A link-local address is good on one wire only, and nobody types it with its zone.
  return addresses.filter((each) => !each.internal && !each.address.startsWith('fe80:')).map((each) => each.address);
}
