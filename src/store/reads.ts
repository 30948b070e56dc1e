// Reading operations: they run in the read-only thread, each in one transaction, so that all of it is of one moment.
import { type AuditHead, verifyLine } from '#model/audit.ts';
import type { AuditQuery, Everything, VisitQuery } from '#model/operations.ts';
import type { AuditLine, Revision, Visit } from '#model/rows.ts';
import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { StoreKind } from './connection.ts';
import { fileReads } from './files.ts';
import { intakeReads } from './intake-reads.ts';
import { keepingReads } from './keeping-reads.ts';
import { probeReads } from './probes.ts';
import { visitsDroppedCounter } from './records.ts';
import { sinkReads } from './sinks.ts';
import { codecs, loadAuditLine, loadDeviceNote, type Schema } from './schema.ts';

/** More than this is not answered at once, whatever the caller asks for. */
const rowsMax = 1_000;
const verifiedPerPage = 1_000;

/** How far a walk along the chain has come. */
export interface AuditWalk {
  readonly lines: number;
  readonly reached: AuditHead;
  readonly brokenAt: number | null;
  readonly why: string | null;
  readonly atEnd: boolean;
}

const bounded = (limit: number) => Math.max(0, Math.min(limit, rowsMax));

const revisionColumns = ['number', 'at', 'actor', 'summary', 'restores', 'confirmBy', 'settled'] as const;

function loadRevision({ actor, config, ...row }: Omit<Schema['revision'], 'customerId'>): Revision {
  return { ...row, actor: JSON.parse(actor) as Revision['actor'], config: JSON.parse(config) as unknown };
}

/** The server looks at its pages' checksums itself whenever it reads one, and counts; where it has none the count is null. */
async function inspectPostgres(db: Kysely<Schema>): Promise<{ integrity: string; serverBytes: number }> {
  const { rows } = await sql<{ failures: number | null; bytes: number }>`
    select (select checksum_failures from pg_stat_database where datname = current_database()) as failures, pg_database_size(current_database()) as bytes`.execute(db);
  const { failures, bytes } = rows[0]!;
  return { integrity: failures ? `the server found ${failures} pages with a wrong checksum` : 'ok', serverBytes: bytes };
}

export const reads = {
  ...intakeReads,
  ...keepingReads,
  ...fileReads,
  ...sinkReads,
  ...probeReads,

  async loadEverything(db: Kysely<Schema>): Promise<Everything> {
    const all = <Row>(table: keyof typeof codecs & keyof Schema, load: (stored: never) => Row): Promise<Row[]> =>
      db.selectFrom(table).selectAll().execute().then((rows) => rows.map((row) => load(row as never)));
    return {
      customers: await all('customer', codecs.customer.load),
      sites: await all('site', codecs.site.load),
      agents: await all('agent', codecs.agent.load),
      agentCertificates: await all('agentCertificate', codecs.agentCertificate.load),
      agentNotes: await all('agentNote', codecs.agentNote.load),
      devices: await all('device', codecs.device.load),
      oldLabels: await all('oldLabel', codecs.oldLabel.load),
      people: await all('person', codecs.person.load),
      rights: await all('accessRight', codecs.accessRight.load),
      signIns: await all('signIn', codecs.signIn.load),
      tokens: await all('token', codecs.token.load),
      joinTokens: await all('joinToken', codecs.joinToken.load),
      invites: await all('invite', codecs.invite.load),
      certificates: await all('certificate', codecs.certificate.load),
      deliveries: await all('delivery', codecs.delivery.load),
      deviceKeys: await all('deviceKey', codecs.deviceKey.load),
      waitingDevices: await all('waitingDevice', codecs.waitingDevice.load),
      deviceNotes: (await db.selectFrom('deviceNote').selectAll().execute()).map(loadDeviceNote),
      leases: await all('lease', codecs.lease.load),
      deviceTags: await all('deviceTags', codecs.deviceTags.load),
      deviceProfiles: await all('deviceProfile', codecs.deviceProfile.load),
      suspensions: await all('suspension', codecs.suspension.load),
      sitePlaces: await all('sitePlace', codecs.sitePlace.load),
      siteDoors: await all('siteDoor', codecs.siteDoor.load),
      deviceTokens: await all('deviceToken', codecs.deviceToken.load),
      evidence: await all('evidence', codecs.evidence.load),
      jobSources: await all('jobSource', codecs.jobSource.load),
      virtualAddresses: await all('virtualAddress', codecs.virtualAddress.load),
      releasedAddresses: await all('releasedAddress', codecs.releasedAddress.load),
    };
  },

  async latestRevision(db: Kysely<Schema>): Promise<Revision | null> {
    const row = await db.selectFrom('revision').select([...revisionColumns, 'config']).orderBy('number', 'desc').limit(1).executeTakeFirst();
    return row ? loadRevision(row) : null;
  },

  async readRevision(db: Kysely<Schema>, number: number): Promise<Revision | null> {
    const row = await db.selectFrom('revision').select([...revisionColumns, 'config']).where('number', '=', number).executeTakeFirst();
    return row ? loadRevision(row) : null;
  },

  /** Newest first. */
  async listRevisions(db: Kysely<Schema>, limit: number, before?: number): Promise<Omit<Revision, 'config'>[]> {
    let rows = db.selectFrom('revision').select(revisionColumns).orderBy('number', 'desc').limit(bounded(limit));
    if (before !== undefined) rows = rows.where('number', '<', before);
    return (await rows.execute()).map(({ actor, ...row }) => ({ ...row, actor: JSON.parse(actor) as Revision['actor'] }));
  },

  /** Newest first. */
  async listVisits(db: Kysely<Schema>, query: VisitQuery): Promise<Visit[]> {
    let rows = db.selectFrom('visit').selectAll().orderBy('id', 'desc').limit(bounded(query.limit));
    if (query.deviceId !== undefined) rows = rows.where('deviceId', '=', query.deviceId);
    if (query.beforeId !== undefined) rows = rows.where('id', '<', query.beforeId);
    return (await rows.execute()).map(codecs.visit.load);
  },

  /** Newest first. */
  async listAudit(db: Kysely<Schema>, query: AuditQuery): Promise<AuditLine[]> {
    let rows = db.selectFrom('audit').selectAll().orderBy('seq', 'desc').limit(bounded(query.limit));
    if (query.beforeSeq !== undefined) rows = rows.where('seq', '<', query.beforeSeq);
    if (query.what !== undefined) rows = rows.where('what', '=', query.what);
    if (query.actorId !== undefined) rows = rows.where('actorId', '=', query.actorId);
    if (query.subjectId !== undefined) rows = rows.where('subjectId', '=', query.subjectId);
    return (await rows.execute()).map(loadAuditLine);
  },

  /** One page of the walk, so that other reading takes its turn in between. Stops at the first line that does not fit. */
  async walkAudit(db: Kysely<Schema>, from: AuditHead): Promise<AuditWalk> {
    const rows = await db.selectFrom('audit').selectAll().where('seq', '>', from.seq).orderBy('seq').limit(verifiedPerPage).execute();
    let reached = from;
    for (const [lines, row] of rows.entries()) {
      const line = loadAuditLine(row);
      const why = verifyLine(reached, line);
      if (why === null) {
        reached = { seq: line.seq, hash: line.hash };
        continue;
      }
      // A gap is named by the line that is missing.
      return { lines: lines + 1, reached, brokenAt: Math.min(row.seq, reached.seq + 1), why, atEnd: true };
    }
    return { lines: rows.length, reached, brokenAt: null, why: null, atEnd: rows.length < verifiedPerPage };
  },

  /** `integrity` is `ok` or what was found first; `serverBytes` null where the file says how large it is. */
  async inspect(db: Kysely<Schema>, kind: StoreKind): Promise<{ integrity: string; visitsDropped: number; serverBytes: number | null }> {
    const dropped = await db.selectFrom('counter').select('value').where('name', '=', visitsDroppedCounter).executeTakeFirst();
    const visitsDropped = dropped?.value ?? 0;
    if (kind === 'postgres') return { ...(await inspectPostgres(db)), visitsDropped };
    const found = await sql<{ quickCheck: string }>`pragma quick_check(1)`.execute(db);
    return { integrity: found.rows[0]?.quickCheck ?? 'no answer', visitsDropped, serverBytes: null };
  },
};
