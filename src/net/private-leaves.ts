// Leaves of the private CA for the gateway's own names: made when first needed, kept in files, renewed by themselves.
import { createHash, createPrivateKey } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { canonicalAddress } from '#base/cidr.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import { issueServerLeaf } from '#model/certificate.ts';
import type { Ca, LeafNames } from '#model/certificate.ts';
import { makeKey, readPrivateKey } from '#model/certificate-key.ts';
import type { KeyKind, MadeKey } from '#model/certificate-key.ts';
import { namesOfCertificate } from '#model/certificate-names.ts';
import { keyFingerprintOf, readCertificate } from '#model/fingerprint.ts';
import { newIdentity, type Identity } from './contexts.ts';
import { certificatePartOf, type CaOptions } from './private-ca.ts';

export interface LeavesOptions extends CaOptions {
  /** The gateway's domains, the primary one first. Asked again at each handshake and each hour. */
  domains(): readonly string[];
  /** Whether something of ours answers to this host name; asked where no wildcard covers it, before a leaf is made for it. */
  isKnown(serverName: string): boolean;
  /** Addresses of this machine; default: those of its interfaces. */
  addresses?(): readonly string[];
  /** Whether somebody pins this key (SHA-256 of its SPKI, hex): a renewal keeps it then. Default: nobody does. */
  isPinned?(keyFingerprint: string): boolean;
}

export interface Leaf {
  readonly names: LeafNames;
  readonly certificatePem: string;
  readonly notAfter: number;
  /** SHA-256 of the SPKI, hex. */
  readonly keyFingerprint: string;
  /** Of the key that was prepared to follow; null: none was. */
  readonly nextFingerprint: string | null;
  /** With the CA's certificate behind the leaf: agents and the command line pin its key and find it nowhere else. */
  readonly identity: Identity;
}

export interface Leaves {
  readonly all: ReadonlyMap<string, Leaf>;
  /** The leaf that fits now: from memory, from its file, or made. */
  provide(key: string): Promise<Leaf>;
  refresh(): Promise<void>;
  /** Makes the key that will follow, if there is none; durable when it resolves. */
  prepare(key: string): Promise<Leaf>;
  /** A leaf with the prepared key, shown from now on. Fault `conflict`: none was prepared. */
  switchKey(key: string): Promise<Leaf>;
  /** The prepared key goes. */
  dropNext(key: string): Promise<Leaf>;
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

  const take = (key: string, material: Promise<LeafMaterial>): Promise<Leaf> => {
    const one = material
      .then(({ keyPem, ...rest }) => {
        const leaf = { ...rest, identity: newIdentity(rest.certificatePem + ca.certificatePem, keyPem) };
        put(key, leaf);
        return leaf;
      })
      .finally(() => coming.get(key) === one && coming.delete(key));
    coming.set(key, one);
    return one;
  };
  const provide = (key: string): Promise<Leaf> => {
    const standing = leaves.get(key);
    if (standing && isFitting(standing, key)) return Promise.resolve(standing);
    return coming.get(key) ?? take(key, readOrIssueLeaf(options, ca, key, keyKind));
  };
  const { files } = options;
  const withNext = (key: string, leaf: Leaf, nextFingerprint: string | null): Leaf => {
    const changed = { ...leaf, nextFingerprint };
    leaves.set(key, changed);
    return changed;
  };

  return {
    all: leaves,
    provide,
    async prepare(key) {
      const leaf = await provide(key);
      if (leaf.nextFingerprint !== null) return leaf;
      const made = await makeKey(keyKind);
      await files.write(nextFileOf(key, keyKind), Buffer.from(made.pem));
      return withNext(key, await provide(key), made.fingerprint);
    },
    async switchKey(key) {
      const next = await readNext(options, key, keyKind, (await provide(key)).keyFingerprint);
      if (next === null) throw new Fault('conflict', 'no key was prepared for this', { remedy: 'postern pins prepare' });
      // Written first, and only then shown: a key that is lost at the next start must not have been shown.
      const leaf = await take(key, issueLeaf(options, ca, key, keyKind, next).then(async (made) => (await writeLeaf(options, key, keyKind, made), made)));
      await files.remove(nextFileOf(key, keyKind));
      return withNext(key, leaf, null);
    },
    async dropNext(key) {
      await files.remove(nextFileOf(key, keyKind));
      return withNext(key, await provide(key), null);
    },
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

const nextFileOf = (key: string, keyKind: KeyKind): string => leafFileOf(key, keyKind).replace(/^leaf/, 'next-leaf');

/** null: there is none, it cannot be read, or it is the one in use already (a crash came between). */
async function readNext({ files, log }: LeavesOptions, key: string, keyKind: KeyKind, used: string): Promise<MadeKey | null> {
  const file = nextFileOf(key, keyKind);
  const kept = await files.read(file);
  if (kept === null) return null;
  try {
    const next = readPrivateKey(kept.toString());
    return next.fingerprint === used ? null : next;
  } catch (thrown) {
    log.error('certificate.unusable', { certificate: file, why: reasonOf(thrown) });
    return null;
  }
}

/** `given` null: with a new key. */
async function issueLeaf(options: LeavesOptions, ca: Ca, key: string, keyKind: KeyKind, given: MadeKey | null): Promise<LeafMaterial> {
  const { clock, log, random } = options;
  const names = namesOf(options, key);
  const made = given ?? (await makeKey(keyKind));
  const issued = await issueServerLeaf({ ca, names, publicKey: made.spki, now: clock.nowMs(), random });
  log.info('certificate.issued', { for: key || names.dns[0], notAfter: new Date(issued.notAfter).toISOString() });
  return { names, certificatePem: issued.pem, keyPem: made.pem, notAfter: issued.notAfter, keyFingerprint: made.fingerprint, nextFingerprint: null };
}

const writeLeaf = ({ files }: LeavesOptions, key: string, keyKind: KeyKind, leaf: LeafMaterial): Promise<void> => files.write(leafFileOf(key, keyKind), Buffer.from(leaf.certificatePem + leaf.keyPem));

/** From its file when that still fits. */
async function readOrIssueLeaf(options: LeavesOptions, ca: Ca, key: string, keyKind: KeyKind): Promise<LeafMaterial> {
  const { files, clock, log } = options;
  const kept = (await files.read(leafFileOf(key, keyKind)))?.toString() ?? null;
  const usable = kept === null ? null : usableLeaf(kept, namesOf(options, key), readCertificate(ca.certificatePem), clock.nowMs());
  const leaf = usable ?? (await issueLeaf(options, ca, key, keyKind, kept === null ? null : pinnedKeyOf(options, kept)));
  if (!usable) {
    // A full disk must not take TLS down: the leaf is made again at the next start.
    await writeLeaf(options, key, keyKind, leaf).catch((error: unknown) => log.warn('certificate.not-kept', { file: leafFileOf(key, keyKind), why: reasonOf(error) }));
  }
  return { ...leaf, nextFingerprint: (await readNext(options, key, keyKind, leaf.keyFingerprint))?.fingerprint ?? null };
}

/** The key of a leaf that has run out or lacks a name, when somebody pins it. */
function pinnedKeyOf({ isPinned }: LeavesOptions, pem: string): MadeKey | null {
  try {
    const key = readPrivateKey(pem);
    return isPinned?.(key.fingerprint) ? key : null;
  } catch {
    return null;
  }
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
    return { names, certificatePem: certificatePartOf(pem), keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(), notAfter, keyFingerprint: keyFingerprintOf(certificate), nextFingerprint: null };
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
