// Certificates that people configure or order, as handshakes need them: rows from the table, keys from their files, both of one moment.
import type { Clock } from '#base/clock.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import type { SecretFiles } from '#base/secret-files.ts';
import { readChain } from '#model/certificate-facts.ts';
import { keyFileOf, readPrivateKey } from '#model/certificate-key.ts';
import { certificateFor } from '#model/certificate-names.ts';
import type { Certificate } from '#model/rows.ts';
import type { Table } from '#model/table.ts';
import { newIdentity, type Identity } from './contexts.ts';

export interface OwnCertificatesOptions {
  readonly table: Table<Certificate>;
  readonly files: Pick<SecretFiles, 'read'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
  /** Behind the leaf of a row whose source is the private CA, as behind the CA's other leaves. */
  readonly caPem: string;
}

/** What a row was when its key was read. `identity` null: the key is missing or another's. */
interface Loaded {
  readonly chainPem: string;
  readonly keyFingerprint: string;
  readonly identity: Identity | null;
}

export interface OwnCertificates {
  /** The certificate that answers to a name, and with `alsoRsa` the best one with an RSA key beside it. Empty: the private CA answers. A promise only right after a change. */
  identitiesFor(serverName: string, alsoRsa: boolean): readonly Identity[] | Promise<readonly Identity[]>;
  /** As last read; null: there is none of that name, it waits, or its key is missing. */
  identityOf(name: string): Identity | null;
  isUsable(row: Certificate): boolean;
  settled(): Promise<void>;
  [Symbol.dispose](): void;
}

/** For how long an answer to a name holds while no certificate changes: one may end meanwhile. */
const answeredMs = 60_000;
const answersMax = 10_000;

/** Resolves when every key has been read. */
export async function buildOwnCertificates(options: OwnCertificatesOptions): Promise<OwnCertificates> {
  const { table, clock } = options;
  const loaded = new Map<Id, Loaded>();
  const loading = new Map<Id, Promise<unknown>>();
  const answers = new Map<string, { readonly rows: readonly Certificate[]; readonly until: number }>();
  let unusable = 0;

  const isCurrent = (row: Certificate): boolean => {
    const one = loaded.get(row.id);
    return one !== undefined && one.chainPem === row.chainPem && one.keyFingerprint === row.keyFingerprint;
  };
  const isBroken = (row: Certificate) => isCurrent(row) && loaded.get(row.id)!.identity === null;

  const load = (id: Id): Promise<unknown> => {
    // In turn for each certificate: the last change is the one that stays.
    const turn = (loading.get(id) ?? Promise.resolve()).then(async () => {
      const row = table.get(id);
      if (!row || row.chainPem === null || row.keyFingerprint === null) {
        loaded.delete(id);
        return;
      }
      if (isCurrent(row)) return;
      const identity = await readIdentity(options, row);
      loaded.set(id, { chainPem: row.chainPem, keyFingerprint: row.keyFingerprint, identity });
      if (identity === null) unusable += 1;
      answers.clear();
    });
    loading.set(id, turn);
    return turn.finally(() => loading.get(id) === turn && loading.delete(id));
  };

  const rowsFor = (serverName: string, alsoRsa: boolean): readonly Certificate[] => {
    const now = clock.nowMs();
    const key = alsoRsa ? `${serverName} rsa` : serverName;
    const known = answers.get(key);
    if (known && now < known.until && now >= known.until - answeredMs) return known.rows;
    const candidates = unusable === 0 ? table.values() : Array.from(table.values()).filter((row) => !isBroken(row));
    const best = certificateFor(candidates, serverName, now);
    const rsa = alsoRsa && best && !best.keyKind.startsWith('rsa') ? certificateFor(Array.from(table.values()).filter((row) => row.keyKind.startsWith('rsa') && !isBroken(row)), serverName, now) : null;
    const rows = [best, rsa].filter((row) => row !== null);
    if (answers.size >= answersMax) answers.clear();
    answers.set(key, { rows, until: now + answeredMs });
    return rows;
  };

  const stop = table.watch((delta) => {
    answers.clear();
    for (const id of delta.removed) loaded.delete(id);
    for (const row of delta.put) if (!isCurrent(row)) void load(row.id);
  });
  await Promise.all(Array.from(table.values(), (row) => load(row.id)));

  const identitiesFor: OwnCertificates['identitiesFor'] = (serverName, alsoRsa) => {
    const rows = rowsFor(serverName, alsoRsa);
    const missing = rows.filter((row) => !isCurrent(row));
    if (missing.length > 0) return Promise.all(missing.map((row) => load(row.id))).then(() => identitiesFor(serverName, alsoRsa));
    return rows.flatMap((row) => loaded.get(row.id)!.identity ?? []);
  };

  return {
    identitiesFor,
    identityOf(name) {
      for (const row of table.values()) if (row.name === name) return loaded.get(row.id)?.identity ?? null;
      return null;
    },
    isUsable: (row) => row.state === 'ready' && isCurrent(row) && !isBroken(row),
    async settled() {
      while (loading.size > 0) await Promise.all(loading.values());
    },
    [Symbol.dispose]: () => stop(),
  };
}

async function readIdentity({ files, log, caPem }: OwnCertificatesOptions, row: Certificate): Promise<Identity | null> {
  try {
    const bytes = await files.read(keyFileOf(row.id, row.keyFingerprint!));
    if (!bytes) throw new Fault('not-found', 'its key is not in the data folder');
    const key = readPrivateKey(bytes.toString());
    if (key.fingerprint !== row.keyFingerprint) throw new Fault('bad-input', "the file holds another certificate's key");
    readChain(row.chainPem!);
    return newIdentity(row.chainPem! + (row.source === 'private-ca' ? caPem : ''), key.pem);
  } catch (thrown) {
    log.error('certificate.unusable', { certificate: row.name, why: reasonOf(thrown) });
    return null;
  }
}
