// Operations about files of devices: their rows, and uploads that are not finished. The bytes are the fleet room's business.
import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Id } from '#base/ids.ts';
import { Fault } from '#base/fault.ts';
import type { AddedFile, DeviceFile, FileBounds, FileQuery, Upload } from '#model/files.ts';
import type { AuditEntry } from '#model/rows.ts';
import { codec, type Schema } from './schema.ts';
import { appendAudit, mustTouch, type Unit } from './unit.ts';

const files = codec<DeviceFile>(['id', 'customerId', 'deviceId', 'name', 'bytes', 'sha256', 'type', 'from', 'createdAt', 'replacedAt'], {});
const uploads = codec<Upload>(['id', 'customerId', 'deviceId', 'name', 'type', 'from', 'sha256', 'length', 'received', 'createdAt', 'expiresAt', 'completedAt'], {});
const rowsMax = 1_000;
/** How many old versions one new file may push out. */
const makeRoomMax = 1_000;

interface Use {
  readonly files: number;
  readonly bytes: number;
}

async function useOf(db: Kysely<Schema>, customerId: Id, deviceId?: Id): Promise<Use> {
  let rows = db.selectFrom('deviceFile').select((select) => [select.fn.countAll<number>().as('files'), sql<number>`coalesce(sum(bytes), 0)`.as('bytes')]).where('customerId', '=', customerId);
  if (deviceId !== undefined) rows = rows.where('deviceId', '=', deviceId);
  const { files, bytes } = await rows.executeTakeFirstOrThrow();
  return { files: Number(files), bytes: Number(bytes) };
}

/** Versions that were replaced go before a device is refused; the newest of each name never does. */
async function makeRoom(unit: Unit, file: DeviceFile, bounds: FileBounds): Promise<string[]> {
  const freed: string[] = [];
  const own = await useOf(unit.db, file.customerId, file.deviceId);
  const all = await useOf(unit.db, file.customerId);
  let count = own.files + 1 - bounds.filesPerDeviceMax;
  let bytes = Math.max(own.bytes + file.bytes - bounds.bytesPerDeviceMax, all.bytes + file.bytes - bounds.bytesPerCustomerMax);
  if (count <= 0 && bytes <= 0) return freed;
  const old = await unit.db.selectFrom('deviceFile').select(['id', 'bytes', 'sha256']).where('deviceId', '=', file.deviceId).where('replacedAt', 'is not', null).orderBy('replacedAt').orderBy('id').limit(makeRoomMax).execute();
  for (const each of old) {
    if (count <= 0 && bytes <= 0) break;
    await unit.db.deleteFrom('deviceFile').where('id', '=', each.id).execute();
    freed.push(each.sha256);
    count -= 1;
    bytes -= each.bytes;
  }
  if (count > 0) throw new Fault('too-many', `a device keeps at most ${bounds.filesPerDeviceMax} files here`, { remedy: 'remove files of it: postern files remove', detail: { full: true } });
  if (bytes > 0) throw new Fault('too-many', 'the room for files of this device, or of its customer, is used up', { remedy: 'remove files: postern files remove', detail: { full: true } });
  return freed;
}

/** Of these, those that no row names any more. */
async function unnamed(db: Kysely<Schema>, digests: readonly string[]): Promise<string[]> {
  if (digests.length === 0) return [];
  const named = await db.selectFrom('deviceFile').select('sha256').distinct().where('sha256', 'in', digests).execute();
  const still = new Set(named.map((row) => row.sha256));
  return [...new Set(digests)].filter((digest) => !still.has(digest));
}

export const fileWrites = {
  async addFile(unit: Unit, file: DeviceFile, bounds: FileBounds, uploadId: string | null): Promise<AddedFile> {
    if (uploadId !== null) {
      const found = await unit.db.selectFrom('upload').select('completedAt').where('id', '=', uploadId).executeTakeFirst();
      if (found?.completedAt !== null) throw new Fault('gone', 'this upload was completed or cancelled meanwhile');
      await unit.db.updateTable('upload').set({ completedAt: file.createdAt, received: file.bytes, length: file.bytes }).where('id', '=', uploadId).execute();
    }
    const known = await unit.db.selectFrom('deviceFile').selectAll().where('deviceId', '=', file.deviceId).where('name', '=', file.name).where('replacedAt', 'is', null).executeTakeFirst();
    if (known?.sha256 === file.sha256) return { kind: 'repeat', file: files.load(known), unnamed: [] };
    if (!(await unit.db.selectFrom('device').select('id').where('id', '=', file.deviceId).executeTakeFirst())) throw new Fault('gone', 'this device was removed meanwhile');
    // Before room is made: what is replaced now may have to go now.
    if (known) await unit.db.updateTable('deviceFile').set({ replacedAt: file.createdAt }).where('id', '=', known.id).execute();
    const freed = await makeRoom(unit, file, bounds);
    await unit.db.insertInto('deviceFile').values(files.store(file)).execute();
    return { kind: known ? 'replaced' : 'stored', file, unnamed: await unnamed(unit.db, freed) };
  },

  async removeFile(unit: Unit, id: Id, audit: AuditEntry): Promise<string[]> {
    const row = await unit.db.selectFrom('deviceFile').select('sha256').where('id', '=', id).executeTakeFirst();
    mustTouch(await unit.db.deleteFrom('deviceFile').where('id', '=', id).executeTakeFirst(), `file ${id}`);
    await appendAudit(unit, audit);
    return unnamed(unit.db, [row!.sha256]);
  },

  async dropFiles(unit: Unit, { before, bytesMax }: { readonly before?: number; readonly bytesMax?: number }, limit: number): Promise<{ dropped: number; bytes: number; unnamed: string[] }> {
    let over = 0;
    if (bytesMax !== undefined) {
      const { bytes } = await unit.db.selectFrom('deviceFile').select(sql<number>`coalesce(sum(bytes), 0)`.as('bytes')).executeTakeFirstOrThrow();
      over = Number(bytes) - bytesMax;
    }
    const oldest = await unit.db.selectFrom('deviceFile').select(['id', 'bytes', 'sha256', 'createdAt']).orderBy('createdAt').orderBy('id').limit(Math.min(limit, rowsMax)).execute();
    const gone: typeof oldest = [];
    for (const row of oldest) {
      if (over <= 0 && (before === undefined || row.createdAt >= before)) break;
      gone.push(row);
      over -= row.bytes;
    }
    if (gone.length === 0) return { dropped: 0, bytes: 0, unnamed: [] };
    await unit.db.deleteFrom('deviceFile').where('id', 'in', gone.map((row) => row.id)).execute();
    return { dropped: gone.length, bytes: gone.reduce((sum, row) => sum + row.bytes, 0), unnamed: await unnamed(unit.db, gone.map((row) => row.sha256)) };
  },

  async addUpload(unit: Unit, upload: Upload, uploadsPerDeviceMax: number): Promise<string[]> {
    const open = await unit.db.selectFrom('upload').select(['id', 'name']).where('deviceId', '=', upload.deviceId).where('completedAt', 'is', null).execute();
    // Whoever begins again has given up what came before: its address was lost, perhaps.
    const dropped = open.filter((row) => row.name === upload.name).map((row) => row.id);
    if (open.length - dropped.length >= uploadsPerDeviceMax) throw new Fault('too-many', `this device has ${open.length} uploads that are not finished`, { remedy: 'finish or cancel one (DELETE), or wait until they expire' });
    if (dropped.length > 0) await unit.db.deleteFrom('upload').where('id', 'in', dropped).execute();
    await unit.db.insertInto('upload').values(uploads.store(upload)).execute();
    return dropped;
  },

  /** `received` never becomes less. Fault `gone` when it was completed or removed meanwhile. */
  async noteUpload(unit: Unit, id: string, received: number, length: number | null): Promise<void> {
    const changed = await unit.db.updateTable('upload').set({ received, ...(length === null ? {} : { length }) }).where('id', '=', id).where('completedAt', 'is', null).where('received', '<=', received).executeTakeFirst();
    if (changed.numUpdatedRows === 0n) throw new Fault('gone', 'this upload was completed or cancelled meanwhile');
  },

  async removeUpload(unit: Unit, id: string): Promise<void> {
    await unit.db.deleteFrom('upload').where('id', '=', id).execute();
  },

  /** Resolves the ids of those that are gone. */
  async dropUploads(unit: Unit, before: number): Promise<string[]> {
    const old = await unit.db.selectFrom('upload').select('id').where('expiresAt', '<=', before).limit(rowsMax).execute();
    if (old.length > 0) await unit.db.deleteFrom('upload').where('id', 'in', old.map((row) => row.id)).execute();
    return old.map((row) => row.id);
  },
};

export const fileReads = {
  async newestFile(db: Kysely<Schema>, deviceId: Id, name: string): Promise<DeviceFile | null> {
    const row = await db.selectFrom('deviceFile').selectAll().where('deviceId', '=', deviceId).where('name', '=', name).where('replacedAt', 'is', null).executeTakeFirst();
    return row ? files.load(row) : null;
  },

  async readFile(db: Kysely<Schema>, id: Id): Promise<DeviceFile | null> {
    const row = await db.selectFrom('deviceFile').selectAll().where('id', '=', id).executeTakeFirst();
    return row ? files.load(row) : null;
  },

  async listFiles(db: Kysely<Schema>, query: FileQuery): Promise<DeviceFile[]> {
    let rows = db.selectFrom('deviceFile').selectAll().orderBy('id', 'desc').limit(Math.max(0, Math.min(query.limit, rowsMax)));
    if (query.beforeId !== undefined) rows = rows.where('id', '<', query.beforeId);
    if (query.deviceId !== undefined) rows = rows.where('deviceId', '=', query.deviceId);
    if (query.name !== undefined) rows = rows.where('name', '=', query.name);
    if (query.newest) rows = rows.where('replacedAt', 'is', null);
    return (await rows.execute()).map((row) => files.load(row));
  },

  async unnamedDigests(db: Kysely<Schema>, digests: readonly string[]): Promise<string[]> {
    return unnamed(db, digests);
  },

  async readUpload(db: Kysely<Schema>, id: string): Promise<Upload | null> {
    const row = await db.selectFrom('upload').selectAll().where('id', '=', id).executeTakeFirst();
    return row ? uploads.load(row) : null;
  },

  /** Ids of those that are not finished. */
  async openUploads(db: Kysely<Schema>): Promise<string[]> {
    return (await db.selectFrom('upload').select('id').where('completedAt', 'is', null).execute()).map((row) => row.id);
  },
};
