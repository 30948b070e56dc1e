// Where records go from here, over the API: sinks, replay, alerts, secrets.
import type { AlertView } from '#api/sink-shapes.ts';
import { Fault } from '#base/fault.ts';
import type { FeedAlert, FeedEpoch, Feed } from '#model/rows.ts';
import type { SecretControl, SinkControl } from '#model/sinks.ts';
import { auditOf, may, mustMay, type Acts, type Anyone, type Asked } from './asked.ts';
import { subjectOfFeed } from './feeds.ts';
import { parseCursor, writeCursor } from './pages.ts';
import { defaultCustomer, type Room } from './room.ts';

type Names = 'listSinks' | 'replaySink' | 'retrySink' | 'listAlerts' | 'listSecrets' | 'setSecret' | 'removeSecret';

const sinksOf = ({ sinks }: Room): SinkControl => {
  if (!sinks) throw new Fault('unsupported', 'there are no sinks here');
  return sinks;
};
const secretsOf = ({ secrets }: Room): SecretControl => {
  if (!secrets) throw new Fault('unsupported', 'there are no secrets here');
  return secrets;
};

export function buildSinkActs(room: Room): Acts<Names> {
  const mayChange = (asked: Anyone, what: string) => mustMay(asked, 'administer', 'gateway', what);
  const subject = (kind: string, name: string) => ({ customerId: defaultCustomer(room).id, kind, id: null, name });
  return {
    async listSinks(asked) {
      mustMay(asked, 'see', 'gateway', 'see where records go');
      return { items: [...(await sinksOf(room).status())] };
    },
    async replaySink(asked) {
      mayChange(asked, 'have a feed delivered once more');
      const { feedId, epoch = null, offset } = asked.body;
      const sink = asked.params.name;
      const found = await sinksOf(room).replay({ sink, feedId, epoch, off: offset }, (which, off) => auditOf(room, asked, 'sink.replayed', subject('sink', sink), { feedId, epoch: which, offset: off }));
      return { epoch: found.epoch, offset: found.off };
    },
    async retrySink(asked) {
      mayChange(asked, 'try a sink again');
      const sink = asked.params.name;
      await sinksOf(room).retry(sink);
      await room.operations.addAudit([auditOf(room, asked, 'sink.retried', subject('sink', sink))]);
      return {};
    },
    listAlerts: (asked) => listAlerts(room, asked),
    async listSecrets(asked) {
      mayChange(asked, 'see which secrets are set');
      const secrets = secretsOf(room);
      return { items: (await secrets.list()).map(({ usedBy, ...rest }) => ({ ...rest, usedBy: [...usedBy] })), missing: [...secrets.missing()] };
    },
    async setSecret(asked) {
      mayChange(asked, 'set a secret');
      const name = asked.params.name;
      await secretsOf(room).set(name, asked.body.value);
      await room.operations.addAudit([auditOf(room, asked, 'secret.set', subject('secret', name))]);
      return {};
    },
    async removeSecret(asked) {
      mayChange(asked, 'remove a secret');
      const name = asked.params.name;
      await secretsOf(room).remove(name);
      await room.operations.addAudit([auditOf(room, asked, 'secret.removed', subject('secret', name))]);
      return {};
    },
  };
}

async function listAlerts(room: Room, asked: Asked<'listAlerts'>): Promise<{ items: AlertView[]; next: string | null }> {
  const { cursor, limit, customerId } = asked.query;
  const epochs = new Map<number, (FeedEpoch & { readonly feed: Feed }) | null>();
  const items: AlertView[] = [];
  let beforeId = cursor === undefined ? undefined : parseCursor(cursor);
  for (;;) {
    const rows = await room.operations.listAlerts({ limit: limit + 1, ...(customerId === undefined ? {} : { customerId }), ...(beforeId === undefined ? {} : { beforeId }) });
    for (const row of rows) {
      if (!epochs.has(row.epoch)) epochs.set(row.epoch, await room.operations.readEpoch(row.epoch));
      const epoch = epochs.get(row.epoch);
      if (epoch && may(asked, 'see', subjectOfFeed(room, epoch.feed))) {
        if (items.length === limit) return { items, next: writeCursor(beforeId!) };
        items.push(viewAlert(room, row, epoch));
      }
      beforeId = row.id;
    }
    if (rows.length <= limit) return { items, next: null };
  }
}

function viewAlert({ tables }: Room, { id, rule, off, record, at, dueAt, tries, doneAt, why, customerId }: FeedAlert, { epoch, feed }: FeedEpoch & { readonly feed: Feed }): AlertView {
  const state = doneAt === null ? 'waiting' : why === null ? 'done' : 'failed';
  return { id, alert: rule, customer: tables.customers.get(customerId)?.key ?? '', serial: feed.serial, feed: feed.name, epoch, off, record, at, state, tries, dueAt: doneAt === null ? dueAt : null, doneAt, why };
}
