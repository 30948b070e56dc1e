// Opens the store: one database, a file in the data folder or on a PostgreSQL server; one thread that writes it and one that reads it.
import { mkdir, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import { buildIds, type Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { type AuditHead, emptyAuditHead } from '#model/audit.ts';
import type { AuditVerdict } from '#model/keeping.ts';
import type { Operations } from '#model/operations.ts';
import type { Customer, Site } from '#model/rows.ts';
import { parsePostgres, type StoreLocation } from './location.ts';
import { makePrivateFile, syncFolder } from './private-file.ts';
import type { ReaderData, Reads } from './reader.ts';
import { type PackedOutcomes, packPushes, unpackOutcomes } from './intake-pack.ts';
import type { AuditWalk } from './reads.ts';
import { openThread, type Thread } from './thread.ts';
import type { WriterData, WriterReady, Writes } from './writer.ts';

export interface StoreOptions {
  /** Must belong to this process alone: see openDataFolder. */
  readonly dataDir: string;
  /** `postgres://…`; without it the database is a file of the data folder. May hold a password. */
  readonly store?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Closed visits beyond this are dropped, oldest first. */
  readonly visitsKeptMax?: number;
  /** Calls under way for each thread; more are refused. */
  readonly queueMax?: number;
}

/** How often what has expired is cleared away. */
const dropExpiredEveryMs = 24 * 3_600_000;

/** An operation as the main thread calls it: without its first argument, which only its thread has. */
type Remote<Operation> = Operation extends (first: never, ...args: infer Args) => infer Result ? (...args: Args) => Result : never;

/** Fault `unsupported` when a newer Postern wrote the data, `busy` or `internal` when the file cannot be used. */
export async function openStore(options: StoreOptions): Promise<Operations> {
  const { clock, log, queueMax = limits.storeQueueMax } = options;
  const store = await locate(options);
  const writerData: WriterData = { store, nowMs: clock.nowMs(), visitsKeptMax: options.visitsKeptMax ?? limits.visitsKeptMax };
  const readerData: ReaderData = { store };
  const common = { callsMax: queueMax, log };
  const opening = [
    openThread({ ...common, name: 'writing', url: new URL('./writer.ts', import.meta.url), data: writerData }),
    openThread({ ...common, name: 'reading', url: new URL('./reader.ts', import.meta.url), data: readerData }),
  ] as const;
  try {
    const [writer, reader] = await Promise.all(opening);
    await makeDefaults(writer, options);
    await writer.call('dropExpired', [clock.nowMs()]);
    // So that the files' names, too, survive a power cut.
    await syncFolder(options.dataDir);
    return begin(options, store, writer, reader);
  } catch (thrown) {
    for (const thread of await Promise.allSettled(opening)) if (thread.status === 'fulfilled') await thread.value.close();
    throw thrown;
  }
}

async function locate({ dataDir, store, random }: StoreOptions): Promise<StoreLocation> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  // On the server's list of connections this says who it is; the random part tells a later process from an earlier one.
  if (store !== undefined) return parsePostgres(store, `postern-${random(4).toString('hex')} process ${process.pid} on ${hostname().replace(/[^\x20-\x7e]/g, '?').slice(0, 24)}`);
  const file = join(dataDir, 'postern.db');
  // SQLite gives its other files the mode that this one has.
  await makePrivateFile(file);
  return { kind: 'sqlite', file };
}

function begin({ clock, log }: StoreOptions, store: StoreLocation, writer: Thread, reader: Thread): Operations {
  const ready = writer.ready as WriterReady;
  if (ready.auditBroken !== null) log.error('audit.broken', { why: ready.auditBroken, remedy: 'run `postern audit verify`' });
  log.info('store.opened', { ...(store.kind === 'sqlite' && { file: store.file }), database: ready.describes, schema: ready.schema, auditSeq: ready.auditSeq });
  const cleaning = clock.every(dropExpiredEveryMs, () => {
    writer.call('dropExpired', [clock.nowMs()]).catch((thrown: unknown) => log.warn('store.cleaning-failed', { reason: reasonOf(thrown) }));
  });
  return operationsOn({ writer, reader, store, clock, beforeClose: () => cleaning.cancel() });
}

async function makeDefaults(writer: Thread, { clock, random }: StoreOptions): Promise<void> {
  const nextId = buildIds(() => clock.nowMs(), random);
  const customer: Customer = { id: nextId(), key: 'default', name: 'Default', createdAt: clock.nowMs() };
  const site: Site = { id: nextId(), customerId: customer.id, name: 'main', createdAt: clock.nowMs() };
  await writer.call('makeDefaults', [customer, site]);
}

interface Parts {
  readonly writer: Thread;
  readonly reader: Thread;
  readonly store: StoreLocation;
  readonly clock: Clock;
  readonly beforeClose: () => void;
}

function operationsOn({ writer, reader, store, clock, beforeClose }: Parts): Operations {
  const write = <Name extends keyof Writes>(name: Name) => ((...args: readonly unknown[]) => writer.call(name, args)) as unknown as Remote<Writes[Name]>;
  const read = <Name extends keyof Reads>(name: Name) => ((...args: readonly unknown[]) => reader.call(name, args)) as unknown as Remote<Reads[Name]>;
  const auditHead = write('auditHead');
  return {
    loadEverything: read('loadEverything'),
    latestRevision: read('latestRevision'),
    readRevision: read('readRevision'),
    addRevision: write('addRevision'),
    confirmRevision: write('confirmRevision'),
    listRevisions: read('listRevisions'),
    addPerson: write('addPerson'),
    addOwner: write('addOwner'),
    changePerson: write('changePerson'),
    removePerson: write('removePerson'),
    setRights: write('setRights'),
    addInvite: write('addInvite'),
    removeInvite: write('removeInvite'),
    addSignIn: write('addSignIn'),
    removeSignIns: write('removeSignIns'),
    addToken: write('addToken'),
    removeToken: write('removeToken'),
    addJoinToken: write('addJoinToken'),
    removeJoinToken: write('removeJoinToken'),
    join: write('join'),
    addAgentCertificate: write('addAgentCertificate'),
    changeAgent: write('changeAgent'),
    addDevice: write('addDevice'),
    changeDevice: write('changeDevice'),
    removeDevice: write('removeDevice'),
    changeDeviceKeys: write('changeDeviceKeys'),
    addWaitingDevice: write('addWaitingDevice'),
    noteWaitingDevice: write('noteWaitingDevice'),
    approveWaitingDevices: write('approveWaitingDevices'),
    refuseWaitingDevices: write('refuseWaitingDevices'),
    addDevices: write('addDevices'),
    addCertificate: write('addCertificate'),
    changeCertificate: write('changeCertificate'),
    removeCertificate: write('removeCertificate'),
    noteCertificateAttempt: write('noteCertificateAttempt'),
    addDelivery: write('addDelivery'),
    changeDelivery: write('changeDelivery'),
    removeDelivery: write('removeDelivery'),
    async intake(pushes) {
      const { packed, transfer } = packPushes(pushes);
      return unpackOutcomes((await writer.call('intake', [packed], transfer)) as PackedOutcomes);
    },
    intakeKeyed: write('intakeKeyed'),
    sealEpochs: write('sealEpochs'),
    settleAlerts: write('settleAlerts'),
    noteDevices: write('noteDevices'),
    removeFeed: write('removeFeed'),
    findEpoch: read('findEpoch'),
    epochsOfDevice: read('epochsOfDevice'),
    listFeeds: read('listFeeds'),
    findFeed: read('findFeed'),
    readEpoch: read('readEpoch'),
    readChunks: read('readChunks'),
    searchRecords: read('searchRecords'),
    listGaps: read('listGaps'),
    listTroubled: read('listTroubled'),
    dueAlerts: read('dueAlerts'),
    listAlerts: read('listAlerts'),
    dropAudit: write('dropAudit'),
    dropVisits: write('dropVisits'),
    dropChunks: write('dropChunks'),
    dropGaps: write('dropGaps'),
    dropAlerts: write('dropAlerts'),
    dropIntakeKeys: write('dropIntakeKeys'),
    noteNumbers: write('noteNumbers'),
    readNumbers: read('readNumbers'),
    keptFigures: read('keptFigures'),
    auditBeyond: read('auditBeyond'),
    planDrop: read('planDrop'),
    storeRoom: () => read('storeRoom')(store.kind),
    keptEpochs: read('keptEpochs'),
    addFile: write('addFile'),
    removeFile: write('removeFile'),
    dropFiles: write('dropFiles'),
    addUpload: write('addUpload'),
    noteUpload: write('noteUpload'),
    removeUpload: write('removeUpload'),
    dropUploads: write('dropUploads'),
    newestFile: read('newestFile'),
    readFile: read('readFile'),
    listFiles: read('listFiles'),
    unnamedDigests: read('unnamedDigests'),
    readUpload: read('readUpload'),
    openUploads: read('openUploads'),
    setDeviceTags: write('setDeviceTags'),
    suspendCustomer: write('suspendCustomer'),
    resumeCustomer: write('resumeCustomer'),
    noteLeases: write('noteLeases'),
    changeVirtualAddresses: write('changeVirtualAddresses'),
    addSite: write('addSite'),
    changeSite: write('changeSite'),
    removeSite: write('removeSite'),
    moveToSite: write('moveToSite'),
    addDoor: write('addDoor'),
    changeDoor: write('changeDoor'),
    removeDoor: write('removeDoor'),
    addDeviceToken: write('addDeviceToken'),
    removeDeviceToken: write('removeDeviceToken'),
    noteEvidence: write('noteEvidence'),
    changeJobSources: write('changeJobSources'),
    moveSinkPosition: write('moveSinkPosition'),
    replaySink: write('replaySink'),
    sinkWork: read('sinkWork'),
    sinkBacklog: read('sinkBacklog'),
    noteProbe: write('noteProbe'),
    seriesOf: read('seriesOf'),
    readSamples: read('readSamples'),
    dropSamples: write('dropSamples'),
    openVisit: write('openVisit'),
    closeVisits: write('closeVisits'),
    closeLeftOpenVisits: write('closeLeftOpenVisits'),
    listVisits: read('listVisits'),
    addAudit: write('addAudit'),
    listAudit: read('listAudit'),
    auditHead,
    verifyAudit: () => verifyAudit(read('walkAudit'), auditHead, read('auditAnchor')),
    note: write('note'),
    async check() {
      const timed = writer.call('check', [clock.nowMs()]) as Promise<{ fsyncMs: number; store: string }>;
      const [written, { serverBytes, ...inspected }] = await Promise.all([timed, read('inspect')(store.kind)]);
      return { ...written, ...inspected, fileBytes: serverBytes ?? (store.kind === 'sqlite' ? await bytesOf(store.file) : 0) };
    },
    async close() {
      beforeClose();
      // The reader first: the writer's last checkpoint then has the file to itself.
      try {
        await reader.close();
      } finally {
        await writer.close();
      }
    },
  };
}

async function bytesOf(file: string): Promise<number> {
  const sizes = await Promise.all([file, `${file}-wal`].map((path) => stat(path).then((found) => found.size, () => 0)));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Retention may cut the beginning off while the chain is walked: then it is walked once more, from where it begins now. */
async function verifyAudit(walk: (from: AuditHead) => Promise<AuditWalk>, headNow: () => Promise<AuditHead>, anchorNow: () => Promise<AuditHead | null>): Promise<AuditVerdict> {
  for (;;) {
    const anchor = await anchorNow();
    const verdict = await verifyFrom(anchor ?? emptyAuditHead, walk, headNow);
    if (verdict.brokenAt !== null && (await anchorNow())?.seq !== anchor?.seq) continue;
    return anchor ? { ...verdict, droppedThrough: anchor.seq } : verdict;
  }
}

/** A line's own hash cannot tell that lines are missing at the end, or that all were rewritten: the writer's memory can. */
async function verifyFrom(start: AuditHead, walk: (from: AuditHead) => Promise<AuditWalk>, headNow: () => Promise<AuditHead>): Promise<AuditVerdict> {
  let lines = 0;
  let reached = start;
  let expected: AuditHead | undefined;
  for (;;) {
    const page = await walk(reached);
    lines += page.lines;
    reached = page.reached;
    if (page.brokenAt !== null) return { lines, brokenAt: page.brokenAt, why: page.why };
    if (!page.atEnd) continue;
    const head: AuditHead = expected ?? (await headNow());
    if (head.seq === reached.seq) {
      if (head.hash === reached.hash) return { lines, brokenAt: null, why: null };
      return { lines, brokenAt: head.seq, why: `line ${head.seq}, the last, is not the one that was written` };
    }
    if (head.seq < reached.seq) {
      // Lines that were written since `expected` was asked for are no surprise; without having asked, they are.
      if (expected) return { lines, brokenAt: null, why: null };
      return { lines, brokenAt: head.seq + 1, why: `line ${head.seq + 1} was not written by this gateway` };
    }
    if (expected) return { lines, brokenAt: reached.seq + 1, why: `the audit ends at line ${reached.seq}, but line ${head.seq} had been written` };
    expected = head;
  }
}
