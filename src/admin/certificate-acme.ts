// Certificates by ACME: orders, renewals, accounts with authorities, keys for DNS servers.
import { Fault } from '#base/fault.ts';
import { keyKinds } from '#model/certificate-key.ts';
import { actorOfAsked, auditOf, mustMay, type Acts, type Anyone } from './asked.ts';
import { detailOf, listCertificates } from './certificate-views.ts';
import { findRow } from './certificates.ts';
import type { AcmeDeps } from './deps.ts';
import { defaultCustomer, type Room } from './room.ts';

type Names = 'orderCertificate' | 'orderCertificateAgain' | 'checkCertificateOrder' | 'renewCertificate' | 'listAcmeAccounts' | 'setAcmeAccount' | 'removeAcmeAccount' | 'listDnsKeys' | 'setDnsKey' | 'removeDnsKey';

export function buildAcmeActs(room: Room): Acts<Names> {
  const { certificates } = room;
  const acmeFor = (asked: Anyone): AcmeDeps => {
    mustMay(asked, 'administer', 'gateway', 'change certificates');
    if (!room.acme) throw new Fault('unsupported', 'ACME is not in use here');
    return room.acme;
  };
  const detail = (asked: Anyone, id: string) => detailOf(listCertificates(room, asked).find(id));
  return {
    async orderCertificate(asked) {
      const row = await acmeFor(asked).order({ ...asked.body, customerId: defaultCustomer(room).id }, actorOfAsked(asked));
      return detail(asked, row.id);
    },
    async orderCertificateAgain(asked) {
      const acme = acmeFor(asked);
      const row = await acme.orderAgain(findRow(room, asked, asked.params.certificate).id, asked.body, actorOfAsked(asked));
      return detail(asked, row.id);
    },
    async checkCertificateOrder(asked) {
      return { findings: [...(await acmeFor(asked).check(asked.body))] };
    },
    async renewCertificate(asked) {
      mustMay(asked, 'administer', 'gateway', 'change certificates');
      const row = findRow(room, asked, asked.params.certificate);
      if (row.source === 'private-ca') await certificates.changes.issueAgain(row.id, { names: row.names, keyKind: keyKinds.find((each) => each === row.keyKind) ?? 'ec-p256' }, actorOfAsked(asked));
      else if (row.source === 'acme') {
        const acme = acmeFor(asked);
        await room.operations.addAudit([auditOf(room, asked, 'certificate.renewal-asked', { customerId: row.customerId, kind: 'certificate', id: row.id, name: row.name })]);
        const renewal = acme.renew(row.id);
        // How an order ends is in its progress; only what refuses it at once is the answer.
        renewal.catch(() => {});
        await Promise.race([renewal, new Promise((resolve) => setImmediate(resolve))]);
      } else throw new Fault('conflict', `${row.name} does not renew itself`, { remedy: 'make a new request for it, or upload its successor' });
      return detail(asked, row.id);
    },
    listAcmeAccounts(asked) {
      mustMay(asked, 'see', 'gateway', 'see accounts with authorities');
      return { items: room.acme?.accounts() ?? [] };
    },
    setAcmeAccount: (asked) => acmeFor(asked).setAccount(asked.body, actorOfAsked(asked)),
    async removeAcmeAccount(asked) {
      await acmeFor(asked).removeAccount(asked.body.directory, actorOfAsked(asked));
      return {};
    },
    listDnsKeys(asked) {
      mustMay(asked, 'see', 'gateway', 'see keys for DNS servers');
      return { items: room.acme?.dnsKeys() ?? [] };
    },
    setDnsKey: (asked) => acmeFor(asked).setDnsKey(asked.body, actorOfAsked(asked)),
    async removeDnsKey(asked) {
      await acmeFor(asked).removeDnsKey(asked.params.name, actorOfAsked(asked));
      return {};
    },
  };
}
