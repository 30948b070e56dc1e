// Certificates that agents put in place beside application servers: who gets which, and what became of it.
import type { DeliveryView } from '#api/delivery-shapes.ts';
import { Fault } from '#base/fault.ts';
import { shownState, wantedDigest } from '#model/deliveries.ts';
import type { Delivery } from '#model/rows.ts';
import { actorOfAsked, mustMay, type Acts, type Anyone } from './asked.ts';
import { findRow } from './certificates.ts';
import { byId, keepSorted, pageOf } from './pages.ts';
import type { Room } from './room.ts';

type Names = 'listDeliveries' | 'listCertificateDeliveries' | 'addDelivery' | 'removeDelivery' | 'retryDelivery';

export function buildDeliveryActs(room: Room): Acts<Names> {
  const { tables, deliveries } = room;
  const order = { keyOf: byId };
  const rows = keepSorted(tables.deliveries, order);
  const maySee = (asked: Anyone) => mustMay(asked, 'see', 'gateway', 'see where certificates are put in place');
  const mayChange = (asked: Anyone) => mustMay(asked, 'administer', 'gateway', 'hand certificates to agents');
  /** Of the certificate that the path names. */
  const find = (asked: Anyone & { readonly params: { readonly certificate: string; readonly id: string } }): Delivery => {
    const row = tables.deliveries.get(asked.params.id);
    if (!row || findRow(room, asked, asked.params.certificate).id !== row.certificateId) throw new Fault('not-found', 'this certificate has no such delivery, or not any more');
    return row;
  };
  return {
    listDeliveries(asked) {
      maySee(asked);
      const { agentId } = asked.query;
      return pageOf(rows(), order, asked.query, (row) => agentId === undefined || row.agentId === agentId, (row) => viewDelivery(room, row));
    },
    listCertificateDeliveries(asked) {
      maySee(asked);
      const { id } = findRow(room, asked, asked.params.certificate);
      return pageOf(rows(), order, asked.query, (row) => row.certificateId === id, (row) => viewDelivery(room, row));
    },
    async addDelivery(asked) {
      mayChange(asked);
      const { id, name } = findRow(room, asked, asked.params.certificate);
      const { agentId, as = name } = asked.body;
      return viewDelivery(room, await deliveries.add({ certificateId: id, agentId, asName: as }, actorOfAsked(asked)));
    },
    async removeDelivery(asked) {
      mayChange(asked);
      await deliveries.remove(find(asked).id, actorOfAsked(asked));
      return {};
    },
    async retryDelivery(asked) {
      mayChange(asked);
      return viewDelivery(room, await deliveries.retry(find(asked).id, actorOfAsked(asked)));
    },
  };
}

function viewDelivery({ tables, live, deliveries }: Room, row: Delivery): DeliveryView {
  const certificate = tables.certificates.get(row.certificateId);
  const agent = tables.agents.get(row.agentId);
  const online = live.linkOf(row.agentId) !== undefined;
  const state = shownState(row, certificate);
  const isWaiting = certificate !== undefined && wantedDigest(certificate) === null;
  const waitsFor = isWaiting ? 'the certificate itself, which is not there yet' : state !== 'delivered' && !online ? 'the agent, which is offline' : null;
  const { id, certificateId, agentId, why, exitCode, output, digest, deliveredAt, triedAt, createdAt } = row;
  return {
    id, certificateId, agentId, online, state, waitsFor, why, exitCode, output, digest, deliveredAt, triedAt, createdAt,
    certificate: certificate?.name ?? '',
    agent: agent?.name ?? '',
    as: row.asName,
    nextTryAt: deliveries.nextTryAt(id),
  };
}
