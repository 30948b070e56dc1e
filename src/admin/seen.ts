// What runs and what happened: visits, audit, journal.
import type { VisitView } from '#api/shapes.ts';
import { Fault } from '#base/fault.ts';
import { mayAnywhere, subjectOfDevice, type Subject } from '#model/rights.ts';
import type { AuditLine, Visit } from '#model/rows.ts';
import { auditOf, may, mustMay, visitorOf, type Acts, type Anyone, type Asked } from './asked.ts';
import { byId, pageOf, sorted } from './pages.ts';
import type { Room } from './room.ts';
import { viewAuditLine, viewVisit } from './views.ts';

export const storePage = 500;
/** A person with few rights may have to be shown one line of very many: a question looks at this many and goes on with the next. */
const storePagesMax = 10;

interface Walked<Row> {
  readonly items: Row[];
  /** Where to go on; null at the end. */
  readonly next: string | null;
}

/** Reads store pages, newest first, until enough rows are found that may be seen. */
export async function walk<Row>(cursor: string | undefined, limit: number, read: (before: string | undefined) => Promise<Row[]>, cursorOf: (row: Row) => string, wanted: (row: Row) => boolean): Promise<Walked<Row>> {
  const items: Row[] = [];
  let before = cursor;
  for (let round = 0; round < storePagesMax; round++) {
    const rows = await read(before);
    for (const row of rows) {
      if (wanted(row)) items.push(row);
      before = cursorOf(row);
      if (items.length === limit) return { items, next: before };
    }
    if (rows.length < storePage) return { items, next: null };
  }
  return { items, next: before ?? null };
}

function subjectOfVisit({ tables }: Room, visit: Visit): Subject {
  const device = tables.devices.get(visit.deviceId);
  return device ? subjectOfDevice(device) : { customerId: visit.customerId };
}

function isMine({ tables }: Room, asked: Pick<Asked, 'known'>, { who }: Visit): boolean {
  const me = visitorOf(asked).person.id;
  return who.id === me || (who.kind === 'token' && who.id !== null && tables.tokens.get(who.id)?.personId === me);
}

/** One sees one's own visits, and those to what one administers. */
export function maySeeVisit(room: Room, asked: Pick<Asked, 'known' | 'rights'>, visit: Visit): boolean {
  return isMine(room, asked, visit) || may(asked, 'administer', subjectOfVisit(room, visit));
}

export function buildVisitActs(room: Room): Acts<'listVisits' | 'closeVisit'> {
  const { live, operations } = room;
  const order = { keyOf: byId, newestFirst: true };
  const view = (visit: Visit, running: boolean): VisitView => viewVisit(visit, running, running);
  return {
    async listVisits(asked) {
      const { deviceId, state, cursor, limit } = asked.query;
      const running = new Map(live.visits().map((visit) => [visit.id, visit]));
      const wanted = (visit: Visit) => (deviceId === undefined || visit.deviceId === deviceId) && maySeeVisit(room, asked, visit);
      if (state === 'live') return pageOf(sorted(running.values(), order), order, asked.query, wanted, (visit) => view(visit, true));
      const read = (before: string | undefined) => operations.listVisits({ limit: storePage, ...(deviceId === undefined ? {} : { deviceId }), ...(before === undefined ? {} : { beforeId: before }) });
      const { items, next } = await walk(cursor, limit, read, byId, wanted);
      // What runs has its figures in memory; the store learns them at the close.
      return { items: items.map((visit) => view(running.get(visit.id) ?? visit, running.has(visit.id))), next };
    },
    async closeVisit(asked) {
      const visit = live.visits().find((each) => each.id === asked.params.id);
      if (!visit || !maySeeVisit(room, asked, visit)) throw new Fault('not-found', 'there is no such visit, or not any more');
      const subject = { customerId: visit.customerId, kind: 'device', id: visit.deviceId, name: visit.deviceName };
      await operations.addAudit([auditOf(room, asked, 'visit.cut', subject, { visitId: visit.id, of: visit.who.name })]);
      if (!live.closeVisit(visit.id, `closed by ${visitorOf(asked).person.login}`)) throw new Fault('not-found', 'the visit ended by itself just now');
      return {};
    },
  };
}

/** Lines about the gateway as a whole are for who administers it; the others for who administers the thing or its customer. */
function maySeeLine(room: Room, asked: Anyone, line: AuditLine): boolean {
  if (may(asked, 'administer', 'gateway')) return true;
  if (line.subjectKind === 'gateway' || line.subjectKind === 'config' || line.subjectKind === 'conn') return false;
  const device = line.subjectKind === 'device' && line.subjectId !== null ? room.tables.devices.get(line.subjectId) : undefined;
  return may(asked, 'administer', device ? subjectOfDevice(device) : { customerId: line.customerId });
}

export function buildRecordActs(room: Room): Acts<'listAudit' | 'verifyAudit' | 'listJournal'> {
  const { operations, journal } = room;
  const seqOf = (cursor: string | undefined): number | undefined => {
    if (cursor === undefined) return undefined;
    if (!/^\d{1,15}$/.test(cursor)) throw new Fault('bad-input', 'this cursor is not one of ours', { remedy: 'start the list again without a cursor' });
    return Number(cursor);
  };
  return {
    async listAudit(asked) {
      if (!mayAnywhere(asked.rights, 'administer')) throw new Fault('forbidden', 'you may not read the audit', { remedy: 'ask somebody who administers the gateway for the right "administer" on something' });
      const { cursor, limit, what, actorId, subjectId } = asked.query;
      seqOf(cursor);
      const read = (before: string | undefined) => {
        const beforeSeq = seqOf(before);
        return operations.listAudit({ limit: storePage, ...(beforeSeq === undefined ? {} : { beforeSeq }), ...(what === undefined ? {} : { what }), ...(actorId === undefined ? {} : { actorId }), ...(subjectId === undefined ? {} : { subjectId }) });
      };
      const { items, next } = await walk(cursor, limit, read, (line) => String(line.seq), (line) => maySeeLine(room, asked, line));
      return { items: items.map(viewAuditLine), next };
    },
    async verifyAudit(asked) {
      mustMay(asked, 'administer', 'gateway', 'verify the audit');
      const verdict = await operations.verifyAudit();
      return { ...verdict, headHash: (await operations.auditHead()).hash };
    },
    listJournal(asked) {
      mustMay(asked, 'administer', 'gateway', 'read the journal');
      const { cursor, limit, event } = asked.query;
      const beforeSeq = seqOf(cursor);
      const lines = journal.lines({ limit: limit + 1, ...(event === undefined ? {} : { event }), ...(beforeSeq === undefined ? {} : { beforeSeq }) });
      const shown = lines.slice(0, limit);
      return { items: shown.map(({ seq, at, event: name, fields }) => ({ seq, at, event: name, fields: { ...fields } })), next: lines.length > limit ? String(shown.at(-1)!.seq) : null, dropped: journal.dropped };
    },
  };
}
