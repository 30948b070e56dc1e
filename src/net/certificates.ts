// What the gateway shows in TLS handshakes: the private CA, leaves for its names that renew themselves, and the keys of session
// tickets. Where the key material is kept is the caller's: it hands in two functions.
import { createHash, createPrivateKey } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import type { Clock } from '#base/clock.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import type { SecretFiles } from '#base/secret-files.ts';
import { issueAgentCertificate, issueServerLeaf, makeCa } from '#model/certificate.ts';
import type { Ca, IssuedCertificate, LeafNames } from '#model/certificate.ts';
import { judgeAgentCertificate, keyFingerprintOf, readCertificate } from '#model/fingerprint.ts';
import type { AgentProof } from '#model/fingerprint.ts';
import { makeKeyPair, privateKeyPemOf, readKeyPair } from '#model/key-pair.ts';

export interface CertificatesOptions {
  readonly files: SecretFiles;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** The gateway's domains, the primary one first. Asked again at each handshake and each hour. */
  domains(): readonly string[];
  /** Whether something of ours answers to this host name; asked where no wildcard covers it, before a leaf is made for it. */
  isKnown(serverName: string): boolean;
  /** Addresses of this machine; default: those of its interfaces. */
  addresses?(): readonly string[];
}

export interface LeafFacts {
  /** The domain or name it was made for; the first domain for the leaf of everything else. */
  readonly name: string;
  readonly names: readonly string[];
  readonly notAfter: number;
}

export interface Certificates {
  readonly ca: { readonly pem: string; readonly keyFingerprint: string; readonly notAfter: number };
  /** What people, programs and devices see under this name (canonical, as the ClientHello reader gives it). A promise only at a name's first use. */
  contextFor(serverName: string | null): SecureContext | Promise<SecureContext>;
  /**
   * What the link endpoint shows: always the private CA's leaf. For a TLSSocket with `requestCert: true`,
   * `rejectUnauthorized: false` and ALPN `postern-link/1`; who the peer is, `verifyAgentCertificate` says.
   */
  linkContext(): SecureContext;
  /** Faults: `bad-input` (the request). */
  issueAgentCertificate(csrPem: string, agentId: Id): Promise<IssuedCertificate>;
  /** What was shown and proven in a handshake. Fault `unauthenticated` (returned): not an agent's certificate of ours. */
  verifyAgentCertificate(certificate: X509Certificate): AgentProof | Fault;
  leaves(): LeafFacts[];
  /** Renews what is due or no longer fits names and addresses. Runs each hour by itself. */
  refresh(): Promise<void>;
  [Symbol.dispose](): void;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const renewBeforeMs = 30 * dayMs;
const ticketKeysMs = dayMs;
const leavesMax = 1_000;
const addressesMax = 64;

/**
 * Mozilla's intermediate set: AEAD with ephemeral keys only. AES-128 first, because most of our peers have AES in hardware and links
 * are many.
 */
const ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

interface Leaf {
  readonly names: LeafNames;
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly notAfter: number;
  context: SecureContext;
}

/** The leaf of everything that has none of its own. A host name is never empty. */
const defaultLeaf = '';

/** Faults: `internal` when the kept CA cannot be used; whatever `files` throws. */
export async function buildCertificates(options: CertificatesOptions): Promise<Certificates> {
  const { files, clock, log, random } = options;
  const ca = await readOrMakeCa(options);
  const authority = readCertificate(ca.certificatePem);
  let ticketKeys = await readOrMakeTicketKeys(files, clock.nowMs(), random);
  const shelf = buildShelf(options, ca, () => ticketKeys.bytes);
  let linkLeaf = await shelf.provide(defaultLeaf);
  let link = contextOf(linkLeaf, ca.certificatePem, ticketKeys.bytes, true);
  await shelf.refresh();

  const refresh = async () => {
    const age = clock.nowMs() - ticketKeys.madeAt;
    const isTurned = age >= ticketKeysMs || age < 0;
    if (isTurned) {
      ticketKeys = await makeTicketKeys(files, clock.nowMs(), random);
      shelf.renewContexts();
    }
    await shelf.refresh();
    const leaf = await shelf.provide(defaultLeaf);
    if (isTurned || leaf !== linkLeaf) link = contextOf(leaf, ca.certificatePem, ticketKeys.bytes, true);
    linkLeaf = leaf;
  };
  const hourly = clock.every(hourMs, () => void refresh().catch((error: unknown) => log.error('certificate.refresh-failed', { why: reasonOf(error) })));

  return {
    ca: { pem: ca.certificatePem, keyFingerprint: keyFingerprintOf(authority), notAfter: authority.validToDate.getTime() },
    contextFor(serverName) {
      const key = leafKeyOf(options, serverName);
      return shelf.leaves.get(key)?.context ?? shelf.provide(key).then((leaf) => leaf.context);
    },
    linkContext: () => link,
    issueAgentCertificate: (csrPem, agentId) => issueAgentCertificate({ ca, csrPem, agentId, now: clock.nowMs(), random }),
    verifyAgentCertificate: (certificate) => judgeAgentCertificate(certificate, authority, clock.nowMs()),
    leaves: () => [...shelf.leaves].map(([key, leaf]) => ({ name: key || leaf.names.dns[0]!, names: [...leaf.names.dns, ...leaf.names.ip], notAfter: leaf.notAfter })),
    refresh,
    [Symbol.dispose]: () => hourly.cancel(),
  };
}

/** The CA's certificate stands behind the leaf: agents and the command line pin its key and find it nowhere else. */
function contextOf(leaf: Pick<Leaf, 'certificatePem' | 'keyPem'>, caPem: string, ticketKeys: Buffer, forLinks: boolean): SecureContext {
  return createSecureContext({
    key: leaf.keyPem,
    cert: leaf.certificatePem + caPem,
    ...(forLinks ? { ca: caPem } : {}),
    minVersion: 'TLSv1.2',
    ciphers,
    honorCipherOrder: true,
    // A ticket of one kind of endpoint must not be good at the other: only one of them asks who the client is.
    sessionIdContext: forLinks ? 'postern-link' : 'postern',
    sessionTimeout: ticketKeysMs / 1000,
    ticketKeys,
  });
}

/** Which leaf answers to a name. Certificates that a person supplies would be looked for here, before ours. */
function leafKeyOf(options: CertificatesOptions, serverName: string | null): string {
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

function namesOf(options: CertificatesOptions, key: string): LeafNames {
  const domains = options.domains();
  if (key !== defaultLeaf) return { dns: domains.includes(key) ? [key, `*.${key}`] : [key], ip: [] };
  const dns = [...domains, 'localhost'].flatMap((domain) => [domain, domain.includes('.') ? `*.${domain}` : `link.${domain}`]);
  const ip = ['127.0.0.1', '::1', ...(options.addresses ?? ownAddresses)()].slice(0, addressesMax);
  return { dns: [...new Set(dns)], ip: [...new Set(ip)] };
}

interface Shelf {
  readonly leaves: ReadonlyMap<string, Leaf>;
  /** The leaf that fits now: from the shelf, from its file, or made. */
  provide(key: string): Promise<Leaf>;
  refresh(): Promise<void>;
  renewContexts(): void;
}

function buildShelf(options: CertificatesOptions, ca: Ca, ticketKeys: () => Buffer): Shelf {
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
      one = readOrIssueLeaf(options, ca, key)
        .then((material) => {
          const leaf = { ...material, context: contextOf(material, ca.certificatePem, ticketKeys(), false) };
          put(key, leaf);
          return leaf;
        })
        .finally(() => coming.delete(key));
      coming.set(key, one);
    }
    return one;
  };

  return {
    leaves,
    provide,
    async refresh() {
      for (const key of leaves.keys()) if (leafKeyOf(options, key || null) !== key) leaves.delete(key);
      const domains = options.domains().filter((domain) => domain.includes('.'));
      for (const key of new Set([...leaves.keys(), ...domains])) await provide(key);
    },
    renewContexts() {
      for (const leaf of leaves.values()) leaf.context = contextOf(leaf, ca.certificatePem, ticketKeys(), false);
    },
  };
}

/** A name takes up to 253 characters; file names that long are not everyone's. */
function leafFileOf(key: string): string {
  if (key === defaultLeaf) return 'leaf.pem';
  return `leaf.${key.length <= 80 ? key : createHash('sha256').update(key).digest('hex')}.pem`;
}

/** From its file when that still fits. */
async function readOrIssueLeaf(options: CertificatesOptions, ca: Ca, key: string): Promise<Omit<Leaf, 'context'>> {
  const { files, clock, log, random } = options;
  const names = namesOf(options, key);
  const file = leafFileOf(key);
  const kept = await files.read(file);
  const usable = kept === null ? null : usableLeaf(kept.toString(), names, readCertificate(ca.certificatePem), clock.nowMs());
  if (usable) return usable;
  const keys = await makeKeyPair();
  const made = await issueServerLeaf({ ca, names, publicKey: keys.publicKey, now: clock.nowMs(), random });
  const leaf = { names, certificatePem: made.pem, keyPem: await privateKeyPemOf(keys), notAfter: made.notAfter };
  log.info('certificate.issued', { for: key || names.dns[0], notAfter: new Date(made.notAfter).toISOString() });
  // A full disk must not take TLS down: the leaf is made again at the next start.
  await files.write(file, Buffer.from(leaf.certificatePem + leaf.keyPem)).catch((error: unknown) => log.warn('certificate.not-kept', { file, why: reasonOf(error) }));
  return leaf;
}

async function readOrMakeCa(options: CertificatesOptions): Promise<Ca> {
  const { files, clock, log, random } = options;
  const kept = (await files.read('ca.pem'))?.toString() ?? null;
  if (kept !== null) {
    try {
      const certificate = readCertificate(kept);
      const signingKey = (await readKeyPair(kept)).privateKey;
      if (!certificate.checkPrivateKey(createPrivateKey(kept))) throw new Fault('bad-input', 'certificate and key do not belong together');
      return { certificatePem: certificatePartOf(kept), signingKey };
    } catch (cause) {
      throw new Fault('internal', `the private CA (ca.pem in the data folder) cannot be used: ${reasonOf(cause)}`, {
        remedy: 'Restore the file from a backup. Moved away, a new CA is made at the next start, and every agent has to join again.',
        cause,
      });
    }
  }
  const keys = await makeKeyPair();
  const made = await makeCa({ name: `Postern CA of ${options.domains()[0] ?? 'localhost'}`, keys, now: clock.nowMs(), random });
  await files.write('ca.pem', Buffer.from(made.pem + (await privateKeyPemOf(keys))));
  log.info('ca.made', { keyFingerprint: made.keyFingerprint, notAfter: new Date(made.notAfter).toISOString() });
  return { certificatePem: made.pem, signingKey: keys.privateKey };
}

function certificatePartOf(pem: string): string {
  const found = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(pem);
  if (!found) throw new Fault('bad-input', 'there is no certificate in it');
  return `${found[0]}\n`;
}

/** A kept leaf, when it is still what would be made now. */
function usableLeaf(pem: string, names: LeafNames, authority: X509Certificate, now: number): Omit<Leaf, 'context'> | null {
  try {
    const certificate = readCertificate(pem);
    const key = createPrivateKey(pem);
    const notAfter = certificate.validToDate.getTime();
    const isOurs = certificate.checkIssued(authority) && certificate.verify(authority.publicKey) && certificate.checkPrivateKey(key);
    const isTimely = now >= certificate.validFromDate.getTime() && notAfter - now > renewBeforeMs;
    if (!isOurs || !isTimely || !sameNames(namesIn(certificate), names)) return null;
    return { names, certificatePem: certificatePartOf(pem), keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(), notAfter };
  } catch {
    return null; // damaged: made anew
  }
}

/** Of a certificate that we made: no name in it needs quoting. */
function namesIn(certificate: X509Certificate): LeafNames {
  const parts = (certificate.subjectAltName ?? '').split(', ');
  const of = (kind: string) => parts.filter((part) => part.startsWith(kind)).map((part) => part.slice(kind.length));
  return { dns: of('DNS:'), ip: of('IP Address:') };
}

/** Address literals are compared by the value they name: certificates spell IPv6 in their own way. */
function sameNames(a: LeafNames, b: LeafNames): boolean {
  const canonical = (names: LeafNames) => [...names.dns, ...names.ip.map((address) => (address.includes(':') ? new URL(`http://[${address}]`).hostname : address))].sort().join(' ');
  return canonical(a) === canonical(b);
}

function ownAddresses(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  // A link-local address is good on one wire only, and nobody types it with its zone.
  return addresses.filter((each) => !each.internal && !each.address.startsWith('fe80:')).map((each) => each.address);
}

interface TicketKeys {
  readonly bytes: Buffer;
  readonly madeAt: number;
}

const ticketKeyBytes = 48;

async function makeTicketKeys(files: SecretFiles, now: number, random: Random): Promise<TicketKeys> {
  const keys = { bytes: random(ticketKeyBytes), madeAt: now };
  await files.write('ticket-keys.json', Buffer.from(`${JSON.stringify({ madeAt: now, keys: keys.bytes.toString('base64') })}\n`));
  return keys;
}

/** Kept over a restart, so that thousands of agents that come back resume instead of making full handshakes. */
async function readOrMakeTicketKeys(files: SecretFiles, now: number, random: Random): Promise<TicketKeys> {
  const text = await files.read('ticket-keys.json');
  try {
    const kept: { madeAt?: unknown; keys?: unknown } = JSON.parse(text?.toString() ?? '{}');
    const bytes = Buffer.from(String(kept.keys ?? ''), 'base64');
    if (typeof kept.madeAt === 'number' && bytes.length === ticketKeyBytes && now >= kept.madeAt && now - kept.madeAt < ticketKeysMs) return { bytes, madeAt: kept.madeAt };
  } catch {
    // Damaged: tickets given out before are worth nothing, which costs one full handshake each.
  }
  return makeTicketKeys(files, now, random);
}
