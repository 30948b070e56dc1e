// What people, ACME and the clock do to certificates: key file first, then row and audit line in one transaction, then the table.
import type { Clock } from '#base/clock.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { InTurn } from '#base/in-turn.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { SecretFiles } from '#base/secret-files.ts';
import { encodeRequest } from '#wire/pkcs10.ts';
import type { IssuedCertificate } from './certificate.ts';
import { factsOf, lineOf, pemOf, readChain } from './certificate-facts.ts';
import { keyFileOf, makeKey, readPrivateKey, type KeyKind, type MadeKey } from './certificate-key.ts';
import { nameRefusal } from './certificate-names.ts';
import type { Operations } from './operations.ts';
import type { PinWatch } from './pin-watch.ts';
import type { AcmeSettings, Actor, AuditEntry, Certificate, CertificateNames } from './rows.ts';
import type { Tables } from './tables.ts';

/** What a request asks to be named. Fields that are empty are left out. */
export interface SubjectFields {
  readonly commonName: string | null;
  readonly organization?: string;
  readonly organizationalUnit?: string;
  readonly locality?: string;
  readonly state?: string;
  /** Two letters. */
  readonly country?: string;
}

/** A chain and, unless we hold it, its key: both as PEM, read and judged before (`judgeUpload`). */
export interface CertificateMaterial {
  /** Leaf first, in order. */
  readonly chainPem: string;
  /** Not encrypted. Null: that of the request whose answer this is, or the one in use. */
  readonly keyPem: string | null;
}

export interface NewCertificate {
  readonly name: string;
  readonly customerId: Id;
}

export interface Wish {
  readonly keyKind: KeyKind;
  readonly names: CertificateNames;
}

/**
 * Every change: Fault `not-found` (no such certificate), `conflict` (the name is taken; the key that fits is missing; devices that pin would be shut out, and
 * `losing` is not their number), `bad-input`, `too-many`, `busy`. Resolves when the change is durable and new handshakes show it; standing connections stay.
 */
export interface CertificateChanges {
  /** One's own, put in place. */
  upload(order: NewCertificate & { readonly material: CertificateMaterial; /** false: announced to devices, not shown yet. Default: true. */ readonly enabled?: boolean }, actor: Actor, losing?: number | null): Promise<Certificate>;
  /** Makes a key and a request (`csrPem` of the row). State waiting, until `replace` brings the answer. */
  request(order: NewCertificate & Wish & { readonly subject: SubjectFields }, actor: Actor): Promise<Certificate>;
  /** A new key and request for one that there is; what is in use stays until the answer comes. */
  requestAgain(id: Id, order: Wish & { readonly subject: SubjectFields }, actor: Actor): Promise<Certificate>;
  /** By the private CA, at once. */
  issue(order: NewCertificate & Wish, actor: Actor, losing?: number | null): Promise<Certificate>;
  /** The same with other names or another kind of key; a new key, unless devices pin the one in use (`renewalKey`). Fault `conflict`: it is not of the private CA. */
  issueAgain(id: Id, order: Wish, actor: Actor): Promise<Certificate>;
  /** One that ACME will bring: waiting, until `replace`. */
  order(order: NewCertificate & { readonly acme: AcmeSettings }, actor: Actor): Promise<Certificate>;
  /** The answer to a request, a renewal, or another chain. Takes effect at once; what was in use is kept once, as the previous. Clears `lastError`. */
  replace(id: Id, material: CertificateMaterial, actor: Actor, losing?: number | null): Promise<Certificate>;
  /** Swaps what is in use with the previous. Fault `conflict`: there is none. */
  goBack(id: Id, actor: Actor, losing?: number | null): Promise<Certificate>;
  change(id: Id, change: { readonly name?: string; readonly enabled?: boolean; readonly acme?: AcmeSettings }, actor: Actor, losing?: number | null): Promise<Certificate>;
  /** With its keys. */
  remove(id: Id, actor: Actor, losing?: number | null): Promise<void>;
  /** The request that waits beside the certificate in use goes, with its key. Fault `conflict`: there is none, or nothing else. */
  dropRequest(id: Id, actor: Actor): Promise<Certificate>;
  /**
   * The key (PKCS#8) that the next certificate for these names should have, so that no device that pins is shut out: the one that was prepared (its request waits)
   * once devices have confirmed it, else the one in use. null: any; none pins. Fault `conflict`: only a key that they have not confirmed would do.
   */
  renewalKey(id: Id, names: CertificateNames): Promise<string | null>;
  /** Whoever may lose so many devices by the prepared key says so ahead: ACME brings its certificate later. Until the process ends, for that key. */
  allowLoss(keyFingerprint: string, losing: number): void;
  /** A renewal was tried and failed. `why` is for people and never holds a secret. */
  failed(id: Id, why: string): Promise<void>;
  /** The key in use, PKCS#8, for those who may export it; null: there is none. */
  keyPemOf(id: Id): Promise<string | null>;
  /** Those of the private CA that end within 30 days, anew, each day or oftener; resolves how many. What fails is noted at its certificate. */
  renewPrivate(): Promise<number>;
}

export interface CertificateChangesOptions {
  readonly tables: Pick<Tables, 'certificates' | 'certificateByName'>;
  readonly operations: Pick<Operations, 'addCertificate' | 'changeCertificate' | 'removeCertificate' | 'noteCertificateAttempt'>;
  readonly files: SecretFiles;
  readonly inTurn: InTurn;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
  readonly newId: () => Id;
  /** By the private CA, for a public key (SPKI DER). */
  issueLeaf(names: CertificateNames, spki: Buffer): Promise<IssuedCertificate>;
  /** Resolves once handshakes show what the table says. */
  applied(): Promise<void>;
  /** Devices that pin keys; without it nobody does. */
  readonly pins?: Pick<PinWatch, 'lostByRow' | 'refuseLoss' | 'isPinned'>;
}

const renewBeforeMs = 30 * 24 * 3_600_000;
const whyCharsMax = 500;
const nameForm = /^[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?$/i;
const gateway: Actor = { kind: 'gateway', id: null, name: 'postern', from: '' };

export function buildCertificateChanges(options: CertificateChangesOptions): CertificateChanges {
  const edits = buildEdits(options);
  const { add, edit, find } = edits;
  const replaced = (row: Certificate, material: CertificateMaterial) => replacedBy(row, material, options.clock.nowMs());

  const { renewalKey } = buildRenewalKeys(options, edits);

  const issueFor = async ({ keyKind, names }: Wish): Promise<CertificateMaterial & { keyPem: string }> => {
    refuseNames(names);
    const key = await makeKey(keyKind);
    return { chainPem: (await options.issueLeaf(names, key.spki)).pem, keyPem: key.pem };
  };

  const issueAgain: CertificateChanges['issueAgain'] = async (id, order, actor) => {
    if (find(id).source !== 'private-ca') throw new Fault('conflict', 'this certificate is not of the private CA');
    const keyPem = await renewalKey(id, order.names);
    const material = keyPem === null ? await issueFor(order) : { chainPem: (await options.issueLeaf(order.names, readPrivateKey(keyPem).spki)).pem, keyPem };
    return edit(id, 'certificate.renewed', actor, (row) => replaced(row, material));
  };

  return {
    issueAgain,
    renewalKey,
    allowLoss: edits.allowLoss,
    failed: edits.failed,
    remove: edits.remove,
    upload: async (order, actor, losing) => {
      const { chainPem, facts, key } = readOwn(order.material);
      return add(order, { ...facts, chainPem, source: 'uploaded', state: 'ready', enabled: order.enabled ?? true }, key, actor, losing);
    },
    request: async (order, actor) => {
      const made = await makeRequest(order);
      return add(order, { source: 'request', keyKind: order.keyKind, names: order.names, subject: made.subject, csrPem: made.csrPem, csrKeyFingerprint: made.key.fingerprint }, made.key, actor);
    },
    requestAgain: async (id, order, actor) => {
      find(id);
      const made = await makeRequest(order);
      const asked = { keyKind: order.keyKind, names: order.names, subject: made.subject };
      return edit(id, 'certificate.requested', actor, (row) => ({ row: { ...row, csrPem: made.csrPem, csrKeyFingerprint: made.key.fingerprint, ...(row.state === 'waiting' ? asked : {}) }, key: made.key }));
    },
    issue: async (order, actor, losing) => {
      const { chainPem, facts, key } = readOwn(await issueFor(order));
      return add(order, { ...facts, chainPem, source: 'private-ca', state: 'ready' }, key, actor, losing);
    },
    order: async (order, actor) => {
      refuseNames(order.acme.names);
      return add(order, { source: 'acme', keyKind: order.acme.keyKind, names: order.acme.names, acme: order.acme }, null, actor);
    },
    replace: (id, material, actor, losing) => edit(id, 'certificate.replaced', actor, (row) => replaced(row, material), losing),
    dropRequest: (id, actor) =>
      edit(id, 'certificate.request-dropped', actor, (row) => {
        if (row.csrPem === null || row.state === 'waiting') throw new Fault('conflict', `no request waits beside certificate ${row.name}`);
        return { row: { ...row, csrPem: null, csrKeyFingerprint: null }, key: null };
      }),
    goBack: (id, actor, losing) =>
      edit(id, 'certificate.went-back', actor, (row) => {
        if (row.previousChainPem === null) throw new Fault('conflict', `certificate ${row.name} has nothing to go back to`);
        const { chainPem, facts } = readMaterial(row.previousChainPem);
        return { row: { ...row, ...facts, chainPem, previousChainPem: row.chainPem, previousKeyFingerprint: row.keyFingerprint, renewedAt: options.clock.nowMs() }, key: null };
      }, losing),
    change: async (id, { name, enabled, acme }, actor, losing) => {
      if (name !== undefined) refuseName(name);
      if (acme) refuseNames(acme.names);
      return edit(id, 'certificate.changed', actor, (row) => {
        if (acme && row.source !== 'acme') throw new Fault('conflict', 'this certificate does not come by ACME');
        const asked = acme && row.state === 'waiting' ? { names: acme.names, keyKind: acme.keyKind } : {};
        return { row: { ...row, ...asked, ...(name === undefined ? {} : { name }), ...(enabled === undefined ? {} : { enabled }), ...(acme ? { acme } : {}) }, key: null };
      }, losing);
    },
    async keyPemOf(id) {
      const { keyFingerprint } = find(id);
      return keyFingerprint === null ? null : ((await options.files.read(keyFileOf(id, keyFingerprint)))?.toString() ?? null);
    },
    renewPrivate: () => renewDue(options, issueAgain, edits.failed),
  };
}

async function renewDue({ tables, clock, log }: CertificateChangesOptions, issueAgain: CertificateChanges['issueAgain'], failed: CertificateChanges['failed']): Promise<number> {
  const due = Array.from(tables.certificates.values()).filter((row) => row.source === 'private-ca' && (row.notAfter ?? Infinity) - clock.nowMs() < renewBeforeMs);
  let renewed = 0;
  for (const { id, names, keyKind } of due) {
    try {
      await issueAgain(id, { names, keyKind: keyKind as KeyKind }, gateway);
      renewed += 1;
    } catch (thrown) {
      await failed(id, reasonOf(thrown)).catch((error: unknown) => log.error('certificate.not-noted', { why: reasonOf(error) }));
    }
  }
  return renewed;
}

/** A row as it is to be, and the key that it names and that is not on the disk yet. */
interface Edited {
  readonly row: Certificate;
  readonly key: MadeKey | null;
}

/** One change at a time reads the row, writes key and row, and publishes; keys are made before, because an RSA key takes its time. */
function buildEdits(options: CertificateChangesOptions) {
  const { tables, operations, inTurn, clock } = options;
  const keys = buildKeyFiles(options);

  const find = (id: Id): Certificate => {
    const row = tables.certificates.get(id);
    if (!row) throw new Fault('not-found', `certificate ${id} does not exist, or not any more`);
    return row;
  };

  /** By key: so many devices may be lost for it. */
  const allowed = new Map<string, number>();
  /** The one place that everything goes through by which another key may come to be shown. */
  const mustKeepDevices = (before: Certificate | null, after: Certificate | null, losing: number | null = null) => {
    if (!options.pins) return;
    const lost = options.pins.lostByRow(before, after);
    if (losing === null && lost.length <= (allowed.get(after?.keyFingerprint ?? '') ?? 0)) return;
    options.pins.refuseLoss(lost, losing);
  };

  /** `before` null: it is new. Nothing stays of what could not be committed. */
  const commit = async ({ row, key }: Edited, before: Certificate | null, write: () => Promise<void>): Promise<Certificate> => {
    if (key) await keys.write(row.id, key);
    try {
      await write();
    } catch (thrown) {
      await keys.drop(row, before);
      throw thrown;
    }
    tables.certificates.publish({ put: [row] });
    await options.applied();
    if (before) await keys.drop(before, row);
    return row;
  };

  return {
    find,
    mustKeepDevices,
    allowLoss: (keyFingerprint: string, losing: number) => void allowed.set(keyFingerprint, losing),
    async add(order: NewCertificate, made: Partial<Certificate> & Pick<Certificate, 'source'>, key: MadeKey | null, actor: Actor, losing?: number | null): Promise<Certificate> {
      refuseName(order.name);
      return inTurn(async () => {
        if (tables.certificateByName(order.name)) throw new Fault('conflict', `another certificate has the name ${order.name} already`, { remedy: 'choose another one' });
        if (tables.certificates.size >= limits.certificatesMax) throw new Fault('too-many', `there are ${limits.certificatesMax} certificates already`, { remedy: 'Remove those that nobody needs.' });
        const row: Certificate = { ...emptyCertificate, ...made, id: options.newId(), customerId: order.customerId, name: order.name, createdAt: clock.nowMs() };
        mustKeepDevices(null, row, losing);
        return commit({ row, key }, null, () => operations.addCertificate(row, auditOf(row, 'certificate.added', actor, clock.nowMs())));
      });
    },
    edit: (id: Id, what: string, actor: Actor, next: (row: Certificate) => Edited, losing?: number | null): Promise<Certificate> =>
      inTurn(async () => {
        const before = find(id);
        const edited = next(before);
        mustKeepDevices(before, edited.row, losing);
        return commit(edited, before, () => operations.changeCertificate(edited.row, auditOf(edited.row, what, actor, clock.nowMs())));
      }),
    remove: (id: Id, actor: Actor, losing?: number | null): Promise<void> =>
      inTurn(async () => {
        const row = find(id);
        mustKeepDevices(row, null, losing);
        await operations.removeCertificate(id, auditOf(row, 'certificate.removed', actor, clock.nowMs()));
        tables.certificates.publish({ removed: [id] });
        await options.applied();
        await keys.drop(row, null);
      }),
    failed: (id: Id, why: string): Promise<void> =>
      inTurn(async () => {
        const row = tables.certificates.get(id);
        if (!row) return;
        const noted = { id, lastTriedAt: clock.nowMs(), lastError: why.slice(0, whyCharsMax) };
        await operations.noteCertificateAttempt(noted);
        tables.certificates.publish({ put: [{ ...row, ...noted }] });
        options.log.warn('certificate.renewal-failed', { certificate: row.name, why: noted.lastError });
      }),
  };
}

/** A row as its renewal would make it, for looking ahead: valid for longer than what is there. */
export function asRenewed(row: Certificate, names: CertificateNames, keyFingerprint: string, now: number): Certificate {
  return { ...row, names, keyFingerprint, state: 'ready', notBefore: now, notAfter: Math.max(row.notAfter ?? 0, now + 397 * 24 * 3_600_000) };
}

/** Which key the next certificate of a row should have. */
function buildRenewalKeys({ files, pins, clock }: CertificateChangesOptions, { find, mustKeepDevices }: Pick<ReturnType<typeof buildEdits>, 'find' | 'mustKeepDevices'>) {
  const read = async (id: Id, fingerprint: string) => (await files.read(keyFileOf(id, fingerprint)))?.toString() ?? null;
  return {
    async renewalKey(id: Id, names: CertificateNames): Promise<string | null> {
      const row = find(id);
      if (!pins) return null;
      const withKey = (keyFingerprint: string): Certificate => asRenewed(row, names, keyFingerprint, clock.nowMs());
      if (row.csrKeyFingerprint !== null) {
        try {
          mustKeepDevices(row, withKey(row.csrKeyFingerprint));
          const prepared = await read(id, row.csrKeyFingerprint);
          if (prepared !== null) return prepared;
        } catch (thrown) {
          if (row.keyFingerprint === null) throw thrown;
        }
      }
      if (row.keyFingerprint !== null && pins.isPinned(row.keyFingerprint)) return read(id, row.keyFingerprint);
      mustKeepDevices(row, withKey(''));
      return null;
    },
  };
}

function replacedBy(before: Certificate, material: CertificateMaterial, now: number): Edited {
  const { chainPem, facts } = readMaterial(material.chainPem);
  const key = material.keyPem === null ? null : readPrivateKey(material.keyPem);
  const held = key?.fingerprint ?? [before.csrKeyFingerprint, before.keyFingerprint, before.previousKeyFingerprint].find((each) => each === facts.keyFingerprint);
  if (held === undefined) throw new Fault('conflict', `the key of this certificate is not here: it answers neither the request of ${before.name} nor has it the key in use`, { remedy: 'Upload the key with it.' });
  if (held !== facts.keyFingerprint) throw new Fault('bad-input', 'key and certificate do not belong together');
  const isAnswer = before.csrKeyFingerprint === facts.keyFingerprint;
  const isSame = before.certificateFingerprint === facts.certificateFingerprint;
  const row: Certificate = {
    ...before, ...facts, chainPem, state: 'ready',
    ...(isAnswer ? { csrPem: null, csrKeyFingerprint: null } : {}),
    // The same leaf with a better chain is no renewal to go back from.
    ...(isSame ? {} : { previousChainPem: before.chainPem, previousKeyFingerprint: before.keyFingerprint }),
    renewedAt: now, lastTriedAt: now, lastError: null,
  };
  return { row, key };
}

/** What a new row is before anything is known of it. */
export const emptyCertificate: Omit<Certificate, 'id' | 'customerId' | 'name' | 'source' | 'createdAt'> = {
  state: 'waiting', enabled: true, names: { dns: [], ip: [] }, keyKind: 'ec-p256', keyFingerprint: null, chainPem: null, certificateFingerprint: null, subject: '', issuer: null,
  notBefore: null, notAfter: null, csrPem: null, csrKeyFingerprint: null, previousChainPem: null, previousKeyFingerprint: null, acme: null, renewedAt: null, lastTriedAt: null, lastError: null,
};

function readMaterial(pem: string) {
  const chain = readChain(pem);
  return { chainPem: pemOf(chain), facts: factsOf(chain[0]!) };
}

/** A chain together with its key. */
function readOwn({ chainPem, keyPem }: CertificateMaterial) {
  if (keyPem === null) throw new Fault('bad-input', 'the private key of the certificate is missing');
  const key = readPrivateKey(keyPem);
  const read = readMaterial(chainPem);
  if (key.fingerprint !== read.facts.keyFingerprint) throw new Fault('bad-input', 'key and certificate do not belong together');
  return { ...read, key };
}

function refuseName(name: string): void {
  if (!nameForm.test(name)) throw new Fault('bad-input', `"${name.slice(0, 100)}" is no name for a certificate`, { remedy: 'Use 1–100 letters, digits, dots, hyphens and underscores.' });
}

/** Faults: `bad-input` (none, or a name that nobody should have), `too-many`. */
export function refuseNames({ dns, ip }: CertificateNames): void {
  const all = [...dns, ...ip];
  if (all.length === 0) throw new Fault('bad-input', 'a certificate needs at least one name or address');
  if (all.length > limits.certificateNamesMax) throw new Fault('too-many', `a certificate takes at most ${limits.certificateNamesMax} names`);
  const refusal = all.map(nameRefusal).find((each) => each !== null);
  if (refusal) throw new Fault('bad-input', refusal);
}

async function makeRequest({ keyKind, subject, names }: Wish & { subject: SubjectFields }): Promise<{ key: MadeKey; csrPem: string; subject: string }> {
  // A request for a client's certificate has a subject and perhaps no name.
  if (!subject.commonName || names.dns.length + names.ip.length > 0) refuseNames(names);
  const key = await makeKey(keyKind);
  const line = lineOf([['C', subject.country], ['ST', subject.state], ['L', subject.locality], ['O', subject.organization], ['OU', subject.organizationalUnit], ['CN', subject.commonName]].flatMap(([field, text]) => (text ? [`${field}=${text}`] : [])).join('\n'));
  return { key, csrPem: encodeRequest(key.pem, { subject, ...names }), subject: line };
}

function auditOf(row: Certificate, what: string, actor: Actor, at: number): AuditEntry {
  const { source, state, enabled, keyKind, subject, issuer, notAfter, certificateFingerprint, keyFingerprint } = row;
  const names = [...row.names.dns, ...row.names.ip].join(' ').slice(0, whyCharsMax);
  return { at, customerId: row.customerId, actor, what, subjectKind: 'certificate', subjectId: row.id, subjectName: row.name, detail: { source, state, enabled, names, keyKind, subject, issuer, notAfter, certificateFingerprint, keyFingerprint } };
}

/** Key files that a row names. */
const keysOf = (row: Certificate | null): string[] => (row ? [row.keyFingerprint, row.csrKeyFingerprint, row.previousKeyFingerprint].filter((each) => each !== null).map((each) => keyFileOf(row.id, each)) : []);

function buildKeyFiles({ files, log }: Pick<CertificateChangesOptions, 'files' | 'log'>) {
  return {
    write: (id: Id, key: MadeKey) => files.write(keyFileOf(id, key.fingerprint), Buffer.from(key.pem)),
    /** Removes the keys that `before` names and `after` does not. One that stays is a file too many, no failure. */
    async drop(before: Certificate, after: Certificate | null): Promise<void> {
      const kept = new Set(keysOf(after));
      for (const file of new Set(keysOf(before))) {
        if (!kept.has(file)) await files.remove(file).catch((error: unknown) => log.warn('certificate.key-not-removed', { file, why: reasonOf(error) }));
      }
    },
  };
}
