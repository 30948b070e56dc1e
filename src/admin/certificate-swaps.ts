// What puts a certificate in place or another in its stead: uploads, answers to requests, the private CA, and back again. Each can be tried first: a dry
// run says what the new one is worth, what changes, and who trusts what it was.
import type { SwapView, VerdictView } from '#api/certificate-shapes.ts';
import { Fault, isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { emptyCertificate, refuseNames, type CertificateMaterial } from '#model/certificate-changes.ts';
import { factsOf, readChain } from '#model/certificate-facts.ts';
import { swapImpact, type SwapImpact } from '#model/certificate-impact.ts';
import { makeKey, readPrivateKey } from '#model/certificate-key.ts';
import { readUpload } from '#model/certificate-upload.ts';
import { judgeUpload, questionOf, type JudgedUpload } from '#model/certificate-verdict.ts';
import { readCertificate } from '#model/fingerprint.ts';
import type { Certificate } from '#model/rows.ts';
import { encodeRequest } from '#wire/pkcs10.ts';
import { actorOfAsked, mustMay, type Acts, type Anyone } from './asked.ts';
import { detailOf, listCertificates, usesNow } from './certificate-views.ts';
import { findRow, namesOfList } from './certificates.ts';
import { defaultCustomer, type Room } from './room.ts';

type Names = 'uploadCertificate' | 'replaceCertificate' | 'goBackCertificate' | 'requestCertificate' | 'requestCertificateAgain' | 'issueCertificate' | 'issueCertificateAgain';

interface Files {
  readonly pem: string;
  readonly files: readonly string[];
  readonly passphrase: string | null;
}

const mayChange = (asked: Anyone) => mustMay(asked, 'administer', 'gateway', 'change certificates');
const noImpact: SwapImpact = { changes: [], trusts: [], omitted: 0 };

async function judge(room: Room, { pem, files, passphrase }: Files, replaces: Certificate | null): Promise<JudgedUpload> {
  const buffers = [...(pem.trim() === '' ? [] : [Buffer.from(pem)]), ...files.map((each) => Buffer.from(each, 'base64'))];
  if (buffers.length === 0) throw new Fault('bad-input', 'there is nothing to upload', { remedy: 'give the certificate, its chain and its key as text (pem) or as files' });
  const upload = await readUpload(buffers, passphrase);
  return judgeUpload(
    questionOf({
      upload, replaces, caPem: room.certificates.caPem, certificates: room.tables.certificates.values(), roots: [...room.certificates.roots(), readCertificate(room.certificates.caPem)],
      wantedNames: usesNow(room).served.map((each) => each.host).slice(0, limits.certificateNamesMax), now: room.clock.nowMs(),
    }),
  );
}

function impactOf(room: Room, before: Certificate, afterChainPem: string): SwapImpact {
  const { tables, control, certificates } = room;
  return swapImpact({
    before, afterChainPem, config: control.snapshot().config, caPem: certificates.caPem, served: usesNow(room).served, devices: tables.devices.values(),
    deliveries: Array.from(tables.deliveries.values()).flatMap(({ certificateId, agentId, asName }) => (certificateId === before.id ? [{ agent: tables.agents.get(agentId)?.name ?? agentId, asName }] : [])),
    agents: Array.from(tables.agents.values(), ({ id, name }) => ({ name, policy: tables.agentNotes.get(id)?.policy ?? null })),
  });
}

/** Errors of a real upload, in one refusal. */
function materialOf({ material, verdicts }: JudgedUpload): CertificateMaterial {
  if (material) return material;
  const errors = verdicts.filter((each) => each.severity === 'error');
  const remedy = errors[0]?.remedy;
  throw new Fault('bad-input', errors[0]?.text ?? 'this cannot be put in place', { ...(remedy ? { remedy } : {}), detail: { problems: errors.map(({ text }) => ({ path: 'files', message: text })) } });
}

/** What was shown has to be what is swapped, and whoever relies on it must have been looked at. Fault `conflict`. */
function mustBeAcknowledged({ trusts }: SwapImpact, before: Certificate, { acknowledged, against }: { readonly acknowledged: boolean; readonly against: string | null }): void {
  if (against !== null && against !== before.certificateFingerprint) throw new Fault('conflict', `certificate ${before.name} was swapped by somebody else meanwhile`, { remedy: 'look at the dry run again' });
  const first = trusts.find((each) => each.severity === 'change');
  if (!first || acknowledged) return;
  const count = trusts.filter((each) => each.severity === 'change').length;
  throw new Fault('conflict', `${count === 1 ? 'something relies' : `${count} things rely`} on the certificate in use: ${first.text}`, { remedy: 'look at the dry run, then repeat it with "acknowledged"' });
}

/** How many devices would be shut out. `after` null: nothing changes. */
function losingOf({ pins }: Room, before: Certificate | null, after: Certificate | null): number {
  return after === null ? 0 : pins.lostByRow(before, after).length;
}

/** A row as this leaf would make it. */
function withLeaf(before: Certificate, chainPem: string): Certificate {
  return { ...before, ...factsOf(readChain(chainPem)[0]!), state: 'ready' };
}

function viewSwap(room: Room, asked: Anyone, given: { readonly dryRun: boolean; readonly losing: number; readonly verdicts?: readonly VerdictView[]; readonly impact: SwapImpact; readonly row: Certificate | null }): SwapView {
  const { dryRun, verdicts = [], impact, row, losing } = given;
  return {
    dryRun, verdicts: verdicts.map((each) => ({ ...each })), changes: impact.changes.map((each) => ({ ...each })), trusts: impact.trusts.map((each) => ({ ...each, because: [...each.because] })), trustsMore: impact.omitted, losing,
    certificate: row && listCertificates(room, asked).find(row.id).view(),
  };
}

export function buildSwapActs(room: Room): Acts<Names> {
  const { changes } = room.certificates;
  const newOne = (name: string) => ({ name, customerId: defaultCustomer(room).id });
  const detail = (asked: Anyone, { id }: Certificate) => detailOf(listCertificates(room, asked).find(id));
  const refuseTaken = (name: string) => {
    if (room.tables.certificateByName(name)) throw new Fault('conflict', `another certificate has the name ${name} already`, { remedy: 'choose another name, or replace that one' });
  };
  return {
    async uploadCertificate(asked) {
      mayChange(asked);
      refuseTaken(asked.body.name);
      const judged = await judge(room, asked.body, null);
      const dryRun = asked.query.dryRun === 'true';
      const row = dryRun ? null : await changes.upload({ ...newOne(asked.body.name), material: materialOf(judged), enabled: asked.body.enabled }, actorOfAsked(asked), asked.body.losing);
      const losing = row === null && judged.material && asked.body.enabled ? losingOf(room, null, withLeaf({ ...emptyCertificate, ...newOne(asked.body.name), id: '', source: 'uploaded', createdAt: room.clock.nowMs() }, judged.material.chainPem)) : 0;
      return viewSwap(room, asked, { dryRun, losing, verdicts: judged.verdicts, impact: noImpact, row });
    },
    async replaceCertificate(asked) {
      mayChange(asked);
      const before = findRow(room, asked, asked.params.certificate);
      const judged = await judge(room, asked.body, before);
      const impact = judged.material ? impactOf(room, before, judged.material.chainPem) : noImpact;
      const dryRun = asked.query.dryRun === 'true';
      if (!dryRun) {
        const material = materialOf(judged);
        mustBeAcknowledged(impact, before, asked.body);
        await changes.replace(before.id, material, actorOfAsked(asked), asked.body.losing);
      }
      const losing = losingOf(room, before, dryRun && judged.material ? withLeaf(before, judged.material.chainPem) : null);
      return viewSwap(room, asked, { dryRun, losing, verdicts: judged.verdicts, impact, row: before });
    },
    async goBackCertificate(asked) {
      mayChange(asked);
      const before = findRow(room, asked, asked.params.certificate);
      if (before.previousChainPem === null) throw new Fault('conflict', `certificate ${before.name} has nothing to go back to`);
      const impact = impactOf(room, before, before.previousChainPem);
      const dryRun = asked.query.dryRun === 'true';
      if (!dryRun) {
        mustBeAcknowledged(impact, before, asked.body);
        await changes.goBack(before.id, actorOfAsked(asked), asked.body.losing);
      }
      const losing = losingOf(room, before, dryRun ? withLeaf(before, before.previousChainPem) : null);
      return viewSwap(room, asked, { dryRun, losing, impact, row: before });
    },
    async requestCertificate(asked) {
      mayChange(asked);
      const { name, subject, keyKind, names } = asked.body;
      return detail(asked, await changes.request({ ...newOne(name), subject, keyKind, names: namesOfList(names) }, actorOfAsked(asked)));
    },
    async requestCertificateAgain(asked) {
      mayChange(asked);
      const { subject, keyKind, names } = asked.body;
      return detail(asked, await changes.requestAgain(findRow(room, asked, asked.params.certificate).id, { subject, keyKind, names: namesOfList(names) }, actorOfAsked(asked)));
    },
    async issueCertificate(asked) {
      mayChange(asked);
      const { name, kind, commonName, keyKind } = asked.body;
      const names = namesOfList(asked.body.names);
      if (kind === 'server') return detail(asked, await changes.issue({ ...newOne(name), keyKind, names }, actorOfAsked(asked), asked.body.losing));
      refuseTaken(name);
      if (!commonName) throw new Fault('bad-input', "a client's certificate needs a common name", { remedy: 'it is what servers recognise it by' });
      const key = await makeKey(keyKind);
      const { pem } = await room.certificates.signRequest({ csrPem: encodeRequest(key.pem, { subject: { commonName }, ...names }), kind, names });
      return detail(asked, await changes.upload({ ...newOne(name), material: { chainPem: pem, keyPem: key.pem } }, actorOfAsked(asked)));
    },
    async issueCertificateAgain(asked) {
      mayChange(asked);
      const before = findRow(room, asked, asked.params.certificate);
      if (before.source !== 'private-ca') throw new Fault('conflict', `${before.name} is not of the private CA`);
      const { keyKind } = asked.body;
      const names = asked.body.names.length === 0 ? before.names : namesOfList(asked.body.names);
      refuseNames(names);
      const dryRun = asked.query.dryRun === 'true';
      // Devices that pin keep their key, unless somebody says how many of them may be lost.
      const kept = asked.body.losing === null ? await changes.renewalKey(before.id, names).catch((thrown: unknown) => (dryRun && isFault(thrown, 'conflict') ? null : Promise.reject(thrown))) : null;
      // What is tried has a key that nobody will see again: its values are left out.
      const key = kept === null ? await makeKey(dryRun ? 'ec-p256' : keyKind) : readPrivateKey(kept);
      const { pem, fingerprint } = await room.certificates.issueLeaf(names, key.spki);
      const impact = impactOf(room, before, pem);
      if (dryRun) return viewSwap(room, asked, { dryRun, losing: losingOf(room, before, withLeaf(before, pem)), impact: withoutValues(impact, [fingerprint, key.fingerprint, Buffer.from(key.fingerprint, 'hex').toString('base64')], before.keyKind, keyKind), row: before });
      mustBeAcknowledged(impact, before, asked.body);
      await changes.replace(before.id, { chainPem: pem, keyPem: key.pem }, actorOfAsked(asked), asked.body.losing);
      return viewSwap(room, asked, { dryRun, losing: 0, impact, row: before });
    },
  };
}

const later = '(said once it is issued)';

function withoutValues({ changes, trusts, omitted }: SwapImpact, values: readonly string[], before: string, keyKind: string): SwapImpact {
  const clean = (text: string) => values.reduce((sum, value) => sum.replaceAll(value, later), text);
  const kind = before === keyKind ? [] : [{ what: 'key kind', before, after: keyKind } as const];
  return {
    changes: [...changes.flatMap((each) => (each.what === 'key kind' ? [] : [{ ...each, after: each.after && clean(each.after) }])), ...kind],
    trusts: trusts.map((each) => ({ ...each, remedy: clean(each.remedy) })),
    omitted,
  };
}
