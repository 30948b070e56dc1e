// The credentials that devices are asked with (docs/wire/probe.md §4): sets in the agent's state folder, sealed under a key in a file beside them. Sealed means that a copy
// of the one file, in a backup or a ticket, opens nothing; whoever may read the folder may read both.
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { networkContains, parseAddress, parseNetwork } from '#base/cidr.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { buildInTurn } from '#base/in-turn.ts';
import { limits } from '#base/limits.ts';
import { Secret } from '#base/secret.ts';
import type { AuthProtocol, CredentialsSent, CredentialsShown, PrivProtocol, SnmpVersion } from '#model/probe/asking.ts';
import { badInput } from './probe-texts.ts';

export interface CredentialSet {
  readonly name: string;
  readonly networks: readonly string[];
  readonly version: SnmpVersion;
  /** v1, v2c. */
  readonly community: Secret | null;
  /** v3, as what follows. */
  readonly user: string | null;
  readonly context: string | null;
  readonly auth: { readonly protocol: AuthProtocol; readonly key: Secret } | null;
  readonly priv: { readonly protocol: PrivProtocol; readonly key: Secret } | null;
}

export const defaultName = 'default';
/** What devices come with, and what is tried when no set is there. */
export const defaultSet: CredentialSet = { name: defaultName, networks: [], version: 'v2c', community: new Secret('public'), user: null, context: null, auth: null, priv: null };

export const authProtocols: readonly AuthProtocol[] = ['md5', 'sha', 'sha224', 'sha256', 'sha384', 'sha512'];
export const privProtocols: readonly PrivProtocol[] = ['des', 'aes', 'aes256b', 'aes256r'];
const versions: readonly SnmpVersion[] = ['v1', 'v2c', 'v3'];
/** RFC 3414 §11.2: a password of less than 8 is not taken. */
const keyBytesMin = 8;
const keyBytesMax = 128;

const isText = (value: unknown, bytesMin: number, bytesMax: number): value is string => {
  if (typeof value !== 'string') return false;
  const bytes = Buffer.byteLength(value);
  return bytes >= bytesMin && bytes <= bytesMax;
};
const absent = (value: unknown): value is undefined | null => value === undefined || value === null;

/** A set as it was sent. Fault `bad-input` (probe) that quotes nothing secret. */
export function parseCredentials(value: unknown): CredentialSet {
  if (typeof value !== 'object' || value === null) throw badInput('a set of credentials is an object');
  const given = value as Readonly<Record<string, unknown>>;
  const { name, networks = [], version, community, user, context } = given;
  if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9._-]{0,39}$/.test(name) || name === defaultName) throw badInput('the name of a set of credentials has 1 to 40 of a-z 0-9 - _ . and begins with a letter or digit; "default" is taken');
  const bad = (why: string) => badInput(`the credentials "${name}": ${why}`);
  if (!Array.isArray(networks) || networks.length > limits.probeNetworksPerCredentialsMax || !networks.every((each): each is string => typeof each === 'string' && parseNetwork(each) !== null)) {
    throw bad(`networks are at most ${limits.probeNetworksPerCredentialsMax}, as 192.0.2.0/24`);
  }
  if (!versions.includes(version as SnmpVersion)) throw bad('the version is v1, v2c or v3');
  const common = { name, networks, version: version as SnmpVersion };
  if (version !== 'v3') {
    if (['user', 'context', 'authProtocol', 'authKey', 'privProtocol', 'privKey'].some((field) => !absent(given[field]))) throw bad('users and keys are for v3');
    if (!isText(community, 1, 128)) throw bad('v1 and v2c need a community of 1 to 128 bytes');
    return { ...common, community: new Secret(community), user: null, context: null, auth: null, priv: null };
  }
  if (!absent(community)) throw bad('v3 has no community');
  if (!isText(user, 1, 32)) throw bad('v3 needs a user of 1 to 32 bytes');
  if (!absent(context) && !isText(context, 0, 64)) throw bad('a context has at most 64 bytes');
  const auth = readKey(given['authProtocol'], given['authKey'], authProtocols, bad, 'authentication');
  const priv = readKey(given['privProtocol'], given['privKey'], privProtocols, bad, 'privacy');
  if (priv !== null && auth === null) throw bad('privacy needs authentication, too');
  return { ...common, community: null, user, context: absent(context) || context === '' ? null : context, auth, priv };
}

function readKey<Protocol extends string>(protocol: unknown, key: unknown, known: readonly Protocol[], bad: (why: string) => Fault, what: string): { readonly protocol: Protocol; readonly key: Secret } | null {
  if (absent(protocol) && absent(key)) return null;
  if (!known.includes(protocol as Protocol)) throw bad(`${what} is one of ${known.join(', ')}`);
  if (!isText(key, keyBytesMin, keyBytesMax)) throw bad(`the key for ${what} has ${keyBytesMin} to ${keyBytesMax} bytes`);
  return { protocol: protocol as Protocol, key: new Secret(key) };
}

export function shownOf({ name, networks, version, user, context, auth, priv }: CredentialSet): CredentialsShown {
  return { name, networks, version, user, context, authProtocol: auth?.protocol ?? null, privProtocol: priv?.protocol ?? null };
}

/** With everything: for the sealed file alone. */
function sentOf(set: CredentialSet): CredentialsSent {
  const { name, networks, version, community, user, context, auth, priv } = set;
  return {
    name, networks, version,
    ...(community === null ? {} : { community: community.reveal() }),
    ...(user === null ? {} : { user }),
    ...(context === null ? {} : { context }),
    ...(auth === null ? {} : { authProtocol: auth.protocol, authKey: auth.key.reveal() }),
    ...(priv === null ? {} : { privProtocol: priv.protocol, privKey: priv.key.reveal() }),
  };
}

/** Those that may be used at an address: narrower networks first, then as they were set. */
export function setsFor(sets: readonly CredentialSet[], address: string): CredentialSet[] {
  if (sets.length === 0) return [defaultSet];
  const one = parseAddress(address);
  if (one === null) return [];
  const bits = one.family === 4 ? 32 : 128;
  const found: { readonly set: CredentialSet; readonly free: number }[] = [];
  for (const set of sets) {
    let free = set.networks.length === 0 ? bits + 1 : Infinity;
    for (const text of set.networks) {
      const network = parseNetwork(text);
      if (network !== null && networkContains(network, one)) free = Math.min(free, bits - network.prefix);
    }
    if (free < Infinity) found.push({ set, free });
  }
  return found.sort((a, b) => a.free - b.free).map(({ set }) => set);
}

export interface ProbeCredentials {
  /** As the file is now: `postern probe-credentials` changes it beside a running agent. Fault `internal`: damaged, or without its key. */
  list(): Promise<readonly CredentialSet[]>;
  /** All or nothing, and durable when it resolves with what is there then. Faults `bad-input`, `too-many`. */
  change(change: { readonly put: readonly CredentialSet[]; readonly remove: readonly string[] }): Promise<readonly CredentialSet[]>;
}

const sealedName = 'probe-credentials.sealed';
const keyName = 'probe-credentials.key';
const magic = Buffer.from('postern probe credentials 1\n');
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

export function sealCredentials(sets: readonly CredentialSet[], key: Uint8Array, random: Random): Buffer {
  const nonce = random(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(magic);
  const text = Buffer.from(JSON.stringify(sets.map(sentOf)));
  const sealed = Buffer.concat([magic, nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
  text.fill(0);
  return sealed;
}

/** null: damaged, or another key. */
export function openCredentials(bytes: Buffer, key: Uint8Array): CredentialSet[] | null {
  const start = magic.length + nonceBytes;
  const end = bytes.length - tagBytes;
  if (end < start || !bytes.subarray(0, magic.length).equals(magic) || key.length !== keyBytes) return null;
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(magic.length, start), { authTagLength: tagBytes });
  decipher.setAAD(magic);
  decipher.setAuthTag(bytes.subarray(end));
  try {
    const text = Buffer.concat([decipher.update(bytes.subarray(start, end)), decipher.final()]);
    const value: unknown = JSON.parse(text.toString('utf8'));
    text.fill(0);
    return Array.isArray(value) ? value.map(parseCredentials) : null;
  } catch {
    return null;
  }
}

async function readOptional(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Fault('internal', `${path} cannot be read: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

async function replaceFile(folder: string, name: string, bytes: Buffer): Promise<void> {
  const next = join(folder, `${name}.new`);
  const file = await open(next, 'w', 0o600);
  try {
    // One that a crash has left keeps the mode that it had.
    await file.chmod(0o600);
    // Root may set what an agent of another user reads.
    const { uid, gid } = await stat(folder);
    if (process.getuid?.() === 0) await file.chown(uid, gid);
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(next, join(folder, name));
  const entry = await open(folder, 'r');
  try {
    await entry.sync();
  } finally {
    await entry.close();
  }
}

export function openProbeCredentials({ folder, random }: { readonly folder: string; readonly random: Random }): ProbeCredentials {
  const path = join(folder, sealedName);
  const inTurn = buildInTurn(limits.probeCredentialsMax);
  let known: { readonly stamp: string; readonly sets: readonly CredentialSet[] } | null = null;

  const stampOf = async () => {
    const found = await stat(path, { bigint: true }).catch(() => null);
    return found === null ? '' : `${found.ino} ${found.size} ${found.mtimeNs}`;
  };
  const read = async (): Promise<readonly CredentialSet[]> => {
    const stamp = await stampOf();
    if (known?.stamp === stamp) return known.sets;
    const bytes = await readOptional(path);
    const key = bytes === null ? null : await readOptional(join(folder, keyName));
    const sets = bytes === null ? [] : key === null ? null : openCredentials(bytes, key);
    if (sets === null) throw new Fault('internal', `${path} cannot be opened with ${keyName}`, { remedy: `One of the two is missing or damaged. Remove ${path} and set the credentials again.` });
    known = { stamp, sets };
    return sets;
  };
  const write = async (sets: readonly CredentialSet[]) => {
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      let key = await readOptional(join(folder, keyName));
      if (key?.length !== keyBytes) {
        key = random(keyBytes);
        await replaceFile(folder, keyName, key);
      }
      const bytes = sealCredentials(sets, key, random);
      if (bytes.length > limits.probeCredentialsBytesMax) throw new Fault('too-large', 'these are more credentials than are kept');
      await replaceFile(folder, sealedName, bytes);
    } catch (thrown) {
      if (thrown instanceof Fault) throw thrown;
      throw new Fault('internal', `credentials cannot be kept in ${folder}: ${reasonOf(thrown)}`, { cause: thrown });
    }
    known = null;
  };
  return {
    list: read,
    change: ({ put, remove }) =>
      inTurn(async () => {
        const gone = new Set(remove);
        const sets = (await read()).filter((each) => !gone.has(each.name));
        for (const set of put) {
          const at = sets.findIndex((each) => each.name === set.name);
          if (at < 0) sets.push(set);
          else sets[at] = set;
        }
        if (sets.length > limits.probeCredentialsMax) throw badInput(`at most ${limits.probeCredentialsMax} sets of credentials are kept`);
        await write(sets);
        return sets;
      }),
  };
}
