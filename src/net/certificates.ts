// What the gateway shows in TLS handshakes: certificates that people put in place, and where none covers a name the private CA's leaves, which
// renew themselves. Where the key material is kept is the caller's: it hands in functions.
import type { X509Certificate } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { issueAgentCertificate, issueServerLeaf, signRequest } from '#model/certificate.ts';
import type { IssuedCertificate } from '#model/certificate.ts';
import { daysLeftOf } from '#model/certificate-alarms.ts';
import type { KeyKind } from '#model/certificate-key.ts';
import { fingerprintOf, judgeAgentCertificate, keyFingerprintOf, readCertificate } from '#model/fingerprint.ts';
import type { AgentProof } from '#model/fingerprint.ts';
import type { LeafKey } from '#model/pins.ts';
import type { Certificate, CertificateNames } from '#model/rows.ts';
import { buildTable, type Table } from '#model/table.ts';
import { buildContexts, linkContextOf, usualUse, type ContextUse } from './contexts.ts';
import { buildOwnCertificates, type OwnCertificates } from './own-certificates.ts';
import { readOrMakeCa } from './private-ca.ts';
import { buildLeaves, defaultLeaf, leafKeyOf, type Leaf, type Leaves, type LeavesOptions } from './private-leaves.ts';
import { makeTicketKeys, readOrMakeTicketKeys, ticketKeysMs } from './ticket-keys.ts';

export type { ContextUse };

export interface CertificatesOptions extends LeavesOptions {
  /** What people configured or ordered; their keys are in `files`. */
  readonly own?: Table<Certificate>;
}

export interface LeafFacts {
  /** The domain or name it was made for; the first domain for the leaf of everything else. */
  readonly name: string;
  readonly names: readonly string[];
  readonly notAfter: number;
}

/** One line of the list of certificates. */
export interface CertificateDescription {
  /** null: a leaf that the private CA makes by itself. */
  readonly row: Certificate | null;
  readonly name: string;
  readonly names: CertificateNames;
  /** How many days are left, rounded down; null while there is no certificate. */
  readonly daysLeft: number | null;
  readonly notAfter: number | null;
  /** Of the certificate; SHA-256, hex. */
  readonly fingerprint: string | null;
  /** Of the public key (SPKI), as devices and HTTP clients pin it. */
  readonly keyPin: { readonly hex: string; readonly base64: string } | null;
  /** false: its key is missing or another's, and it is not shown. */
  readonly isUsable: boolean;
  readonly keyKind: string;
  /** Leaf first, without the root; null while there is no certificate. */
  readonly chainPem: string | null;
}

export interface SigningOrder {
  readonly csrPem: string;
  readonly kind: 'server' | 'client';
  /** Instead of the request's. */
  readonly names?: CertificateNames;
  readonly days?: number;
}

export interface Certificates {
  readonly ca: { readonly pem: string; readonly keyFingerprint: string; readonly notAfter: number };
  /**
   * What people, programs and devices see under this name (canonical, as the ClientHello reader gives it): a certificate that covers it (`certificateFor`), else
   * the private CA's leaf. null: the private CA's default leaf; whoever wants clients that name nothing to see another asks with that name.
   * Default use: intermediate, no client certificate. A promise only at a name's first use and right after a change.
   */
  contextFor(serverName: string | null, use?: ContextUse): SecureContext | Promise<SecureContext>;
  /**
   * What the link endpoint shows: always the private CA's leaf. For a TLSSocket with `requestCert: true`,
   * `rejectUnauthorized: false` and ALPN `postern-link/1`; who the peer is, `verifyAgentCertificate` says.
   */
  linkContext(): SecureContext;
  /** Chain and key that the gateway presents as a client. null: there is none of that name, it waits for its certificate, or its key is missing. */
  identityOf(certificateName: string): { readonly certPem: string; readonly keyPem: string } | null;
  /** Faults: `bad-input` (the request). */
  issueAgentCertificate(csrPem: string, agentId: Id): Promise<IssuedCertificate>;
  /** By the private CA, for a public key (SPKI DER). Faults: `bad-input`, `internal` (the CA has expired). */
  issueLeaf(names: CertificateNames, spki: Buffer): Promise<IssuedCertificate>;
  /** A request that somebody brings, signed by the private CA. Faults as above. */
  signRequest(order: SigningOrder): Promise<IssuedCertificate>;
  /** What was shown and proven in a handshake. Fault `unauthenticated` (returned): not an agent's certificate of ours. */
  verifyAgentCertificate(certificate: X509Certificate): AgentProof | Fault;
  leaves(): LeafFacts[];
  /** The private CA's leaf that answers to a name where no certificate does; null: there is none (yet). */
  leafOf(host: string | null, kind: 'usual' | 'rsa'): LeafKey | null;
  /** Its next key, by its `id`: made ahead (resolves its fingerprint), shown, or taken away. Faults: `not-found`, `conflict` (none was made). */
  nextLeafKey(id: string, what: 'prepare' | 'switch' | 'drop'): Promise<LeafKey>;
  describe(): CertificateDescription[];
  /** Resolves once handshakes show what the table says. */
  settled(): Promise<void>;
  /** Renews what is due or no longer fits names and addresses. Runs each hour by itself. */
  refresh(): Promise<void>;
  [Symbol.dispose](): void;
}

const hourMs = 3_600_000;
const contextsMax = 2_000;

/** Faults: `internal` when the kept CA cannot be used; whatever `files` throws. */
export async function buildCertificates(options: CertificatesOptions): Promise<Certificates> {
  const { files, clock, log, random } = options;
  const ca = await readOrMakeCa(options);
  const authority = readCertificate(ca.certificatePem);
  let ticketKeys = await readOrMakeTicketKeys(files, clock.nowMs(), random);
  const contexts = buildContexts(() => ticketKeys.bytes, contextsMax);
  const table = options.own ?? buildTable<Certificate>({ name: 'certificates', kind: 'kept', keyOf: (row) => row.id });
  const own = await buildOwnCertificates({ table, files, clock, log, caPem: ca.certificatePem });
  const leaves = buildLeaves(options, ca, 'ec-p256');
  const rsaLeaves = buildLeaves(options, ca, 'rsa-2048');
  let linkLeaf = await leaves.provide(defaultLeaf);
  let link = linkContextOf(linkLeaf.identity, ca.certificatePem, ticketKeys.bytes);
  await leaves.refresh();

  const refresh = async () => {
    const age = clock.nowMs() - ticketKeys.madeAt;
    const isTurned = age >= ticketKeysMs || age < 0;
    if (isTurned) {
      ticketKeys = await makeTicketKeys(files, clock.nowMs(), random);
      contexts.clear();
    }
    await leaves.refresh();
    await rsaLeaves.refresh();
    const leaf = await leaves.provide(defaultLeaf);
    if (isTurned || leaf !== linkLeaf) link = linkContextOf(leaf.identity, ca.certificatePem, ticketKeys.bytes);
    linkLeaf = leaf;
  };
  const hourly = clock.every(hourMs, () => void refresh().catch((error: unknown) => log.error('certificate.refresh-failed', { why: reasonOf(error) })));

  const leafContext = (serverName: string | null, use: ContextUse): SecureContext | Promise<SecureContext> => {
    const key = leafKeyOf(options, serverName);
    // A client of the nineties knows RSA alone.
    const wanted = use.level === 'legacy' ? [leaves, rsaLeaves] : [leaves];
    const ready = wanted.flatMap((each) => each.all.get(key)?.identity ?? []);
    if (ready.length === wanted.length) return contexts.of(ready, use);
    return Promise.all(wanted.map((each) => each.provide(key))).then((made) => contexts.of(made.map((leaf) => leaf.identity), use));
  };

  return {
    ca: { pem: ca.certificatePem, keyFingerprint: keyFingerprintOf(authority), notAfter: authority.validToDate.getTime() },
    contextFor(serverName, use = usualUse) {
      if (serverName === null || table.size === 0) return leafContext(serverName, use);
      const shown = own.identitiesFor(serverName, use.level === 'legacy');
      if ('then' in shown) return shown.then((identities) => (identities.length > 0 ? contexts.of(identities, use) : leafContext(serverName, use)));
      return shown.length > 0 ? contexts.of(shown, use) : leafContext(serverName, use);
    },
    linkContext: () => link,
    identityOf: (name) => own.identityOf(name),
    issueAgentCertificate: (csrPem, agentId) => issueAgentCertificate({ ca, csrPem, agentId, now: clock.nowMs(), random }),
    issueLeaf: (names, publicKey) => issueServerLeaf({ ca, names, publicKey, now: clock.nowMs(), random }),
    signRequest: (order) => signRequest({ ca, ...order, now: clock.nowMs(), random }),
    verifyAgentCertificate: (certificate) => judgeAgentCertificate(certificate, authority, clock.nowMs()),
    leafOf(host, kind) {
      const key = leafKeyOf(options, host);
      const leaf = (kind === 'rsa' ? rsaLeaves : leaves).all.get(key);
      return leaf ? leafKeyView(key, leaf, kind) : null;
    },
    async nextLeafKey(id, what) {
      const key = id === leafId ? defaultLeaf : id.startsWith(`${leafId}:`) ? id.slice(leafId.length + 1) : null;
      if (key === null || !leaves.all.has(key)) throw new Fault('not-found', `the private CA shows nothing called "${id.slice(0, 100)}"`);
      const leaf = await (what === 'prepare' ? leaves.prepare(key) : what === 'switch' ? leaves.switchKey(key) : leaves.dropNext(key));
      // What the link endpoint shows is one of them.
      if (what === 'switch') await refresh();
      return leafKeyView(key, leaf, 'usual');
    },
    leaves: () => [...leaves.all].map(([key, leaf]) => ({ name: key || leaf.names.dns[0]!, names: [...leaf.names.dns, ...leaf.names.ip], notAfter: leaf.notAfter })),
    describe: () => [...describeOwn(table, own, clock.nowMs()), ...describeLeaves(leaves, 'ec-p256', clock.nowMs()), ...describeLeaves(rsaLeaves, 'rsa-2048', clock.nowMs())],
    settled: () => own.settled(),
    refresh,
    [Symbol.dispose]() {
      hourly.cancel();
      own[Symbol.dispose]();
    },
  };
}

/** Leaves as pins name them: `leaf`, shown without a server name, and `leaf:NAME`. */
const leafId = 'leaf';

function leafKeyView(key: string, { keyFingerprint, nextFingerprint }: Leaf, kind: 'usual' | 'rsa'): LeafKey {
  const stem = kind === 'rsa' ? `${leafId}-rsa` : leafId;
  return { id: key === defaultLeaf ? stem : `${stem}:${key}`, name: key === defaultLeaf ? 'private CA (no server name)' : `private CA (${key})`, fingerprint: keyFingerprint, next: nextFingerprint };
}

const pinOf = (hex: string) => ({ hex, base64: Buffer.from(hex, 'hex').toString('base64') });

function describeOwn(table: Table<Certificate>, own: OwnCertificates, now: number): CertificateDescription[] {
  return Array.from(table.values(), (row) => ({
    row,
    name: row.name,
    names: row.names,
    daysLeft: row.notAfter === null ? null : daysLeftOf(row.notAfter, now),
    notAfter: row.notAfter,
    fingerprint: row.certificateFingerprint,
    keyPin: row.keyFingerprint === null ? null : pinOf(row.keyFingerprint),
    isUsable: own.isUsable(row),
    keyKind: row.keyKind,
    chainPem: row.chainPem,
  }));
}

function describeLeaves(leaves: Leaves, keyKind: KeyKind, now: number): CertificateDescription[] {
  return Array.from(leaves.all, ([key, leaf]) => ({
    row: null,
    name: key || leaf.names.dns[0]!,
    names: leaf.names,
    daysLeft: daysLeftOf(leaf.notAfter, now),
    notAfter: leaf.notAfter,
    fingerprint: fingerprintOf(leaf.certificatePem),
    keyPin: pinOf(keyFingerprintOf(leaf.certificatePem)),
    isUsable: true,
    keyKind,
    chainPem: leaf.certificatePem,
  }));
}
