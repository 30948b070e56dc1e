// The gateway itself: configuration, status, doctor, explain; and the names of customers and sites.
import { Fault, isFault } from '#base/fault.ts';
import { subjectOfScope } from '#model/rights.ts';
import type { Id } from '#base/ids.ts';
import { actorOfAsked, may, mustMay, type Acts, type Anyone, type Asked } from './asked.ts';
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
          throw new Fault('bad-input', `the configuration does not compile: ${result.problems.length} problems`, { remedy: 'mend each and send it again; nothing was changed', detail: { problems: result.problems } });
        }
        asked.reply.etag = `"${result.revision}"`;
        return { revision: result.revision, dryRun };
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
  const reached = (asked: Anyone) => {
    const customers = new Set<Id>();
    const sites = new Set<Id>();
    for (const right of asked.rights.rights) {
      const subject = subjectOfScope(tables, right);
      if (!subject || subject === 'gateway') continue;
      customers.add(subject.customerId);
      if (subject.siteId !== undefined) sites.add(subject.siteId);
    }
    return { customers, sites };
  };
  return {
    listCustomers(asked) {
      const { customers } = reached(asked);
      return pageOf(sorted(tables.customers.values(), order), order, asked.query, (row) => customers.has(row.id) || may(asked, 'see', { customerId: row.id }), ({ id, key, name, createdAt }) => ({ id, key, name, createdAt }));
    },
    listSites(asked) {
      const { sites } = reached(asked);
      return pageOf(sorted(tables.sites.values(), order), order, asked.query, (row) => sites.has(row.id) || may(asked, 'see', { customerId: row.customerId, siteId: row.id }), ({ id, customerId, name, createdAt }) => ({ id, customerId, name, createdAt }));
    },
  };
}
