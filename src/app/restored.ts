// A data folder that was restored from a backup says so once in the audit, and to everybody who asks how things are until somebody has
// taken note: what happened after the backup is not known here, and devices will notice.
import type { Clock } from '#base/clock.ts';
import type { Id } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import type { RestoredNote } from '#model/keeping.ts';
import type { Journal } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import type { Actor } from '#model/rows.ts';
import { restoredName, type DataFolder } from '#store/data-folder.ts';

export interface RestoredOptions {
  readonly folder: Pick<DataFolder, 'read' | 'write' | 'remove'>;
  readonly operations: Pick<Operations, 'addAudit'>;
  readonly journal: Pick<Journal, 'note'>;
  readonly customerId: Id;
  readonly clock: Clock;
  readonly log: Log;
}

export interface RestoredState {
  note(): RestoredNote | null;
  acknowledge(actor: Actor, customerId: Id): Promise<void>;
}

const gateway: Actor = { kind: 'gateway', id: null, name: 'postern', from: '' };

function parseNote(bytes: Buffer | null): RestoredNote | null {
  if (!bytes) return null;
  try {
    const { backupAt, version, restoredAt, notedAt }: Record<string, unknown> = JSON.parse(bytes.toString());
    if (typeof backupAt === 'number' && typeof version === 'string' && typeof restoredAt === 'number') return { backupAt, version, restoredAt, notedAt: typeof notedAt === 'number' ? notedAt : null };
  } catch {
    // A note that nobody can read is none.
  }
  return null;
}

export async function readRestored(options: RestoredOptions): Promise<RestoredState> {
  const { folder, operations, journal, clock, log } = options;
  const entry = (who: { readonly what: string; readonly actor: Actor; readonly customerId: Id }, { backupAt, restoredAt, version }: RestoredNote) => ({
    ...who, at: clock.nowMs(), subjectKind: 'gateway', subjectId: null, subjectName: 'gateway',
    detail: { backupAt: new Date(backupAt).toISOString(), restoredAt: new Date(restoredAt).toISOString(), version },
  });
  let note = parseNote(await folder.read(restoredName));
  if (note && note.notedAt === null) {
    const said = entry({ what: 'store.restored', actor: gateway, customerId: options.customerId }, note);
    await operations.addAudit([said]);
    journal.note('store.restored', said.detail);
    log.warn('store.restored', said.detail);
    note = { ...note, notedAt: clock.nowMs() };
    await folder.write(restoredName, Buffer.from(`${JSON.stringify(note)}\n`));
  }
  return {
    note: () => note,
    async acknowledge(actor, customerId) {
      if (!note) return;
      await operations.addAudit([entry({ what: 'store.restore-acknowledged', actor, customerId }, note)]);
      await folder.remove(restoredName);
      note = null;
    },
  };
}
