// Secrets of ACME in the data folder: keys of accounts with authorities, TSIG keys of DNS servers. Shown is what is not secret; every change has an audit line.
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { buildInTurn } from '#base/in-turn.ts';
import type { SecretFiles } from '#base/secret-files.ts';
import { canonicalKeyName, parseDirectory, parseDnsKey, type DnsKey } from '#model/acme.ts';
import { readChain } from '#model/certificate-facts.ts';
import { makeKey } from '#model/certificate-key.ts';
import type { Operations } from '#model/operations.ts';
import type { Actor } from '#model/rows.ts';
import type { AcmeSession, ExternalAccount, SessionOptions } from '#net/acme.ts';

export interface AccountOrder {
  /** An https address, or a name of `knownDirectories`. */
  readonly directory: string;
  /** A mail address for the authority's warnings; null: none. */
  readonly contact: string | null;
  /** The person has read the authority's terms. */
  readonly termsAgreed: boolean;
  readonly externalAccount?: ExternalAccount | null;
  /** Root of a private ACME server's own certificate, PEM. Absent or null: the one that is kept, else the system's. */
  readonly rootPem?: string | null;
}

export interface AccountView {
  readonly directoryUrl: string;
  readonly contact: string | null;
  readonly accountUrl: string;
  readonly registeredAt: number;
  /** Of the authority's customer, when it has such accounts. */
  readonly externalKeyId: string | null;
  readonly hasOwnRoot: boolean;
}

export interface DnsKeyView {
  readonly name: string;
  readonly algorithm: string;
  readonly setAt: number;
}

interface KeptAccount extends Omit<AccountView, 'hasOwnRoot'> {
  readonly keyPem: string;
  readonly rootPem: string | null;
  readonly termsAgreed: boolean;
}

const byGateway: Actor = { kind: 'gateway', id: null, name: 'postern', from: '' };

type KeptDnsKey = DnsKey & { readonly setAt: number };

const accountsFile = 'acme-accounts.json';
const dnsKeysFile = 'acme-dns-keys.json';
const accountsMax = 20;
const dnsKeysMax = 100;

export interface AccountsOptions {
  readonly files: SecretFiles;
  readonly operations: Pick<Operations, 'addAudit'>;
  readonly customerId: Id;
  readonly nowMs: () => number;
  open(options: Pick<SessionOptions, 'directoryUrl' | 'accountKeyPem' | 'accountUrl' | 'externalAccount' | 'rootPem'> & { signal: AbortSignal }): Promise<AcmeSession>;
}

export interface Accounts {
  list(): AccountView[];
  has(directoryUrl: string): boolean;
  /** The root given for a private ACME server; null: none, or no account. */
  rootOf(directory: string): string | null;
  /** Registers, or changes what is registered. Faults: `bad-input` (terms not agreed to, contact, root), and what the authority says. */
  set(order: AccountOrder, actor: Actor, signal: AbortSignal): Promise<AccountView>;
  /** Forgets the key; the authority is not told. */
  remove(directory: string, actor: Actor): Promise<void>;
  /** For an order. Fault `conflict`: there is no account. */
  session(directoryUrl: string, signal: AbortSignal): Promise<AcmeSession>;
  /** After the authority has forgotten the account. Rejects where it wants what was not kept (an external account's key), or terms that are new. */
  registerAgain(directoryUrl: string, signal: AbortSignal): Promise<AcmeSession>;
  dnsKeys(): DnsKeyView[];
  setDnsKey(given: { readonly name: string; readonly algorithm: string; readonly secret: string }, actor: Actor): Promise<DnsKeyView>;
  removeDnsKey(name: string, actor: Actor): Promise<void>;
  /** Fault `conflict`: it was not set. */
  dnsKey(name: string): DnsKey;
}

async function readList<Item>(files: SecretFiles, name: string): Promise<Item[]> {
  const bytes = await files.read(name);
  if (!bytes) return [];
  try {
    const read: unknown = JSON.parse(bytes.toString());
    if (Array.isArray(read)) return read as Item[];
    throw new TypeError('not a list');
  } catch {
    // What is in it is not shown: it holds keys.
    throw new Fault('internal', `the file ${name} in the data folder cannot be read`, { remedy: 'Restore it from a backup, or remove it and set accounts and keys again.' });
  }
}

export async function openAccounts(options: AccountsOptions): Promise<Accounts> {
  const { files, nowMs } = options;
  let accounts = await readList<KeptAccount>(files, accountsFile);
  let dnsKeys = await readList<KeptDnsKey>(files, dnsKeysFile);
  const find = (directoryUrl: string) => accounts.find((each) => each.directoryUrl === directoryUrl);
  const viewOf = ({ directoryUrl, contact, accountUrl, registeredAt, externalKeyId, rootPem }: KeptAccount): AccountView => ({ directoryUrl, contact, accountUrl, registeredAt, externalKeyId, hasOwnRoot: rootPem !== null });
  const dnsKeyViewOf = ({ name, algorithm, setAt }: KeptDnsKey): DnsKeyView => ({ name, algorithm, setAt });
  const audit = (what: string, subjectKind: string, subjectName: string, actor: Actor, detail: Readonly<Record<string, string | boolean | null>>) =>
    options.operations.addAudit([{ at: nowMs(), customerId: options.customerId, actor, what, subjectKind, subjectId: null, subjectName, detail }]);
  const inTurn = buildInTurn(100);
  const keepAccounts = (without: string, put: readonly KeptAccount[]) =>
    inTurn(async () => {
      const next = [...accounts.filter((each) => each.directoryUrl !== without), ...put];
      await files.write(accountsFile, Buffer.from(JSON.stringify(next)));
      accounts = next;
    });
  const keepDnsKeys = (without: string, put: readonly KeptDnsKey[]) =>
    inTurn(async () => {
      const next = [...dnsKeys.filter(({ name }) => name !== without), ...put];
      await files.write(dnsKeysFile, Buffer.from(JSON.stringify(next)));
      dnsKeys = next;
    });

  const set: Accounts['set'] = async (order, actor, signal) => {
    const directoryUrl = parseDirectory(order.directory);
    const { contact, externalAccount = null } = order;
    if (contact !== null && !/^[^\s@<>,;:?&%]+@[^\s@<>,;:?&%]+$/.test(contact)) throw new Fault('bad-input', `"${contact.slice(0, 100)}" is not a mail address`);
    if (externalAccount && !/^[A-Za-z0-9_+/=-]{8,500}$/.test(externalAccount.hmacKey)) throw new Fault('bad-input', 'the HMAC key of the external account is not base64url');
    const before = find(directoryUrl);
    const rootPem = order.rootPem ?? before?.rootPem ?? null;
    if (rootPem !== null) readChain(rootPem);
    if (!before && accounts.length >= accountsMax) throw new Fault('too-many', `there are ${accountsMax} accounts already`);
    // The key stays: an authority that knows it finds the account again.
    const keyPem = before?.keyPem ?? (await makeKey('ec-p256')).pem;
    const session = await options.open({ directoryUrl, accountKeyPem: keyPem, accountUrl: null, externalAccount, rootPem, signal });
    const terms = await session.termsUrl();
    if (terms !== null && !order.termsAgreed) throw new Fault('bad-input', `${session.authority} wants its terms agreed to: ${terms}`, { remedy: 'Read them, then order with termsAgreed.' });
    const accountUrl = await session.register({ contact, termsAgreed: order.termsAgreed });
    const kept: KeptAccount = { directoryUrl, contact, accountUrl, registeredAt: before?.registeredAt ?? nowMs(), externalKeyId: externalAccount?.keyId ?? before?.externalKeyId ?? null, keyPem, rootPem, termsAgreed: order.termsAgreed };
    await keepAccounts(directoryUrl, [kept]);
    await audit(before ? 'acme.account-changed' : 'acme.account-registered', 'acme-account', directoryUrl, actor, { contact, accountUrl, externalKeyId: kept.externalKeyId, hasOwnRoot: rootPem !== null });
    return viewOf(kept);
  };

  return {
    set,
    list: () => accounts.map(viewOf),
    has: (directoryUrl) => find(directoryUrl) !== undefined,
    rootOf: (directory) => find(parseDirectory(directory))?.rootPem ?? null,
    async remove(directory, actor) {
      const directoryUrl = parseDirectory(directory);
      if (!find(directoryUrl)) throw new Fault('not-found', `there is no account with ${directoryUrl}`);
      await keepAccounts(directoryUrl, []);
      await audit('acme.account-removed', 'acme-account', directoryUrl, actor, {});
    },
    async session(directoryUrl, signal) {
      const account = find(directoryUrl);
      if (!account) throw new Fault('conflict', `there is no account with ${new URL(directoryUrl).host}`, { remedy: 'Register one: contact, terms, and what the authority wants beyond that.' });
      return options.open({ directoryUrl, accountKeyPem: account.keyPem, accountUrl: account.accountUrl, externalAccount: null, rootPem: account.rootPem, signal });
    },
    async registerAgain(directoryUrl, signal) {
      const account = find(directoryUrl);
      if (!account) throw new Fault('conflict', `there is no account with ${new URL(directoryUrl).host}`);
      const session = await options.open({ directoryUrl, accountKeyPem: account.keyPem, accountUrl: null, externalAccount: null, rootPem: account.rootPem, signal });
      const accountUrl = await session.register({ contact: account.contact, termsAgreed: account.termsAgreed });
      await keepAccounts(directoryUrl, [{ ...account, accountUrl }]);
      await audit('acme.account-registered', 'acme-account', directoryUrl, byGateway, { contact: account.contact, accountUrl, again: true });
      return session;
    },
    dnsKeys: () => dnsKeys.map(dnsKeyViewOf),
    async setDnsKey(given, actor) {
      const key = { ...parseDnsKey(given), setAt: nowMs() };
      if (!dnsKeys.some(({ name }) => name === key.name) && dnsKeys.length >= dnsKeysMax) throw new Fault('too-many', `there are ${dnsKeysMax} DNS keys already`);
      await keepDnsKeys(key.name, [key]);
      await audit('acme.dns-key-set', 'dns-key', key.name, actor, { algorithm: key.algorithm });
      return dnsKeyViewOf(key);
    },
    async removeDnsKey(text, actor) {
      const name = canonicalKeyName(text);
      if (!dnsKeys.some((each) => each.name === name)) throw new Fault('not-found', `there is no DNS key "${name}"`);
      await keepDnsKeys(name, []);
      await audit('acme.dns-key-removed', 'dns-key', name, actor, {});
    },
    dnsKey(name) {
      const key = dnsKeys.find((each) => each.name === name);
      if (!key) throw new Fault('conflict', `the DNS key "${name}" has no secret here`, { remedy: 'Set it: name, algorithm and secret as the DNS server has them.' });
      return key;
    },
  };
}
