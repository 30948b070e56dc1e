// The gateway itself: configuration, status, doctor, explain; and the names of customers and sites.
import { Fault, isFault } from '#base/fault.ts';
import { mayDo, subjectOfScope, type Subject } from '#model/rights.ts';
import type { Id } from '#base/ids.ts';
import type { Right } from '#model/rows.ts';
import { actorOfAsked, mustMay, type Acts, type Anyone, type Asked } from './asked.ts';
import { byName, pageOf, sorted } from './pages.ts';
import type { Room } from './room.ts';
import { viewActor } from './views.ts';

/** `If-Match: "12"` (RFC 9110 §13.1.1): the revision that a change was made against. */
function matchedRevision(asked: Pick<Asked, 'header' | 'reply'>): number {
  const text = asked.header('if-match');
  if (text === null) {
    asked.reply.faultStatus = 428;
    throw new Fault('bad-input', 'a change of the configuration names the revision that it was made against', { remedy: 'read the configuration, and send its ETag as If-Match' });
  }
  const match = /^"?(\d{1,12})"?$/.exec(text.trim());
  if (!match) throw new Fault('bad-input', 'If-Match is not a revision of the configuration');
  return Number(match[1]);
}

type Names = 'getConfig' | 'putConfig' | 'listRevisions' | 'explain' | 'getStatus' | 'runDoctor';

export function buildGatewayActs(room: Room): Acts<Names> {
  const { control, operations } = room;
  return {
    getConfig(asked) {
      mustMay(asked, 'administer', 'gateway', 'read the configuration');
      const { revision, config } = control.config();
      asked.reply.etag = `"${revision}"`;
      return { revision, config };
    },
    async putConfig(asked) {
      mustMay(asked, 'administer', 'gateway', 'change the configuration');
      const against = matchedRevision(asked);
      const dryRun = asked.query.dryRun === 'true';
      try {
        const result = await control.change({ actor: actorOfAsked(asked), against, config: asked.body, dryRun });
        if ('problems' in result) {
          asked.reply.faultStatus = 422;
          throw new Fault('bad-input', `the configuration does not compile: ${result.problems.length === 1 ? 'one problem' : `${result.problems.length} problems`}`, { remedy: 'mend each and send it again; nothing was changed', detail: { problems: result.problems } });
        }
        asked.reply.etag = `"${result.revision}"`;
        return { revision: result.revision, dryRun, changed: result.changed };
      } catch (thrown) {
        if (isFault(thrown, 'conflict')) asked.reply.faultStatus = 412;
        throw thrown;
      }
    },
    async listRevisions(asked) {
      mustMay(asked, 'administer', 'gateway', 'read the configuration');
      const revisions = await operations.listRevisions(asked.query.limit);
      return { items: revisions.map(({ number, at, actor }) => ({ number, at, actor: viewActor(actor) })) };
    },
    async explain(asked) {
      mustMay(asked, 'administer', 'gateway', 'ask about routes');
      const { verdict, rule, lines } = await room.explain(asked.body);
      return { verdict, rule, lines: [...lines] };
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
      return pageOf(sorted(tables.customers.values(), order), order, asked.query, (row) => seen(row.id, { customerId: row.id }), ({ id, key, name, createdAt }) => ({ id, key, name, createdAt }));
    },
    listSites(asked) {
      const seen = seenBy(asked);
      return pageOf(sorted(tables.sites.values(), order), order, asked.query, (row) => seen(row.id, { customerId: row.customerId, siteId: row.id }), ({ id, customerId, name, createdAt }) => ({ id, customerId, name, createdAt }));
    },
  };
}
