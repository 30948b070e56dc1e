// The gateway itself: status, doctor, explain; and the names of customers and sites.
import type { CustomerView } from '#api/shapes.ts';
import { mayDo, subjectOfScope, type Subject } from '#model/rights.ts';
import type { Id } from '#base/ids.ts';
import type { Customer, Right } from '#model/rows.ts';
import { mustMay, type Acts, type Anyone } from './asked.ts';
import { byName, pageOf, sorted } from './pages.ts';
import { countPlaces } from './places.ts';
import type { Room } from './room.ts';

type Names = 'explain' | 'getStatus' | 'runDoctor';

export function buildGatewayActs(room: Room): Acts<Names> {
  return {
    async explain(asked) {
      mustMay(asked, 'administer', 'gateway', 'ask about routes');
      return await room.explain(asked.body);
    },
    async getStatus(asked) {
      mustMay(asked, 'see', 'gateway', "see the gateway's status");
      return await room.status();
    },
    async runDoctor(asked) {
      mustMay(asked, 'administer', 'gateway', 'run the checks');
      return { at: room.clock.nowMs(), findings: [...(await room.runDoctor())] };
    },
  };
}

export function viewCustomer({ tables }: Pick<Room, 'tables'>, { id, key, name, createdAt }: Customer): CustomerView {
  const suspension = tables.suspensions.get(id);
  return { id, key, name, createdAt, suspended: suspension ? { since: suspension.since, why: suspension.why } : null };
}

/** Customers and sites of which one sees anything: through a right on them, above them, or on a thing in them. */
export function buildPlaceActs(room: Room): Acts<'listCustomers' | 'listSites'> {
  const { tables } = room;
  const order = { keyOf: byName };
  const reachedBy = (rights: readonly Right[]) => {
    const reached = new Set<Id>();
    for (const right of rights) {
      const subject = subjectOfScope(tables, right);
      if (!subject || subject === 'gateway') continue;
      reached.add(subject.customerId);
      if (subject.siteId !== undefined) reached.add(subject.siteId);
    }
    return reached;
  };
  /** Seen by a right on it, or because something in it is; with a token that has rights of its own by both its and its person's. */
  const seenBy = (asked: Anyone) => {
    const both = [asked.rights.rights, asked.rights.tokenRights ?? asked.rights.rights].map((rights) => ({ rights, reached: reachedBy(rights) }));
    return (id: Id, subject: Subject) => both.every(({ rights, reached }) => reached.has(id) || mayDo(rights, null, 'see', subject));
  };
  return {
    listCustomers(asked) {
      const seen = seenBy(asked);
      return pageOf(sorted(tables.customers.values(), order), order, asked.query, (row) => seen(row.id, { customerId: row.id }), (row) => viewCustomer(room, row));
    },
    listSites(asked) {
      const seen = seenBy(asked);
      const placeOf = countPlaces(room);
      return pageOf(sorted(tables.sites.values(), order), order, asked.query, (row) => seen(row.id, { customerId: row.customerId, siteId: row.id }), (site) => ({ ...site, place: placeOf(asked, site) }));
    },
  };
}
