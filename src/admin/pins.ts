// Keys that devices see: what is announced to them, who has confirmed it, and the next one: made ahead, shown when everybody has it, given up.
import type { PinDeviceView, PinsView } from '#api/identity-shapes.ts';
import { Fault } from '#base/fault.ts';
import { asRenewed } from '#model/certificate-changes.ts';
import { readChain } from '#model/certificate-facts.ts';
import { keyKinds } from '#model/certificate-key.ts';
import { hasPin, pinnerOf, type AnnouncedKey, type Pinner } from '#model/pins.ts';
import type { Certificate, Device } from '#model/rows.ts';
import { parsePin, pinOfFingerprint } from '#wire/device.ts';
import { actorOfAsked, auditOf, mustMay, type Acts, type Anyone, type Asked } from './asked.ts';
import { findRow, subjectFieldsOf } from './certificates.ts';
import { byName, keepSorted, pageOf } from './pages.ts';
import { defaultCustomer, type Room } from './room.ts';

type Names = 'listPins' | 'listPinDevices' | 'preparePin' | 'switchPin' | 'dropPin';
type State = PinDeviceView['state'];

const lostShownMax = 100;

interface SwitchPlan {
  readonly name: string;
  /** Of the key that is to be shown. */
  readonly fingerprint: string;
  readonly lost: readonly Pinner[];
  run(): Promise<unknown>;
}

const mayChange = (asked: Anyone) => mustMay(asked, 'administer', 'gateway', 'change which keys devices see');
const isLeaf = (face: string) => face === 'leaf' || face.startsWith('leaf:');
const dayMs = 24 * 3_600_000;

function readPin(text: string): string {
  const pin = parsePin(text);
  if (pin !== null) return Buffer.from(pin.slice('sha256//'.length), 'base64').toString('hex');
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  throw new Fault('bad-input', 'this is no pin', { remedy: 'sha256//… as postern pins shows it, or 64 hex digits' });
}

/** How a device stands to a key; null: to any of those shown now. */
function stateOf(pinner: Pinner | null, present: readonly AnnouncedKey[], fingerprint: string | null): State {
  if (!pinner) return 'none';
  if (!pinner.isActive) return 'silent';
  const knowsUs = present.some((key) => hasPin(pinner, key.fingerprint));
  if (fingerprint === null ? knowsUs : hasPin(pinner, fingerprint)) return 'confirmed';
  return knowsUs ? 'missing' : 'other';
}

function listPins({ tables, pins }: Room): PinsView {
  const announced = pins.announced();
  const present = announced.filter((key) => key.state === 'present');
  const pinners = pins.pinners();
  const active = pinners.filter((pinner) => pinner.isActive);
  const items = announced.map(({ fingerprint, state, hosts, face, name }) => {
    const states = active.map((pinner) => stateOf(pinner, present, fingerprint));
    const count = (wanted: State) => states.filter((each) => each === wanted).length;
    return { pin: pinOfFingerprint(fingerprint), hex: fingerprint, state, hosts: [...hosts], certificate: face, name, confirmed: count('confirmed'), missing: count('missing') };
  });
  let checkingIn = 0;
  for (const note of tables.deviceNotes.values()) if (note.lastCheckInAt !== null && tables.devices.get(note.deviceId)) checkingIn += 1;
  return { items, pinning: active.length, silent: pinners.length - active.length, notPinning: Math.max(0, checkingIn - pinners.length), activeDays: pins.settings().activeMs / dayMs };
}

export function buildPinActs(room: Room): Acts<Names> {
  const { tables, pins, certificates, clock, operations } = room;
  const { changes } = certificates;
  const order = { keyOf: byName };
  const devices = keepSorted(tables.devices, order);

  const leafOf = (face: string): AnnouncedKey => {
    const found = pins.announced().find((key) => key.face === face && key.state === 'present');
    if (!found) throw new Fault('not-found', `the private CA shows devices nothing called "${face.slice(0, 100)}"`, { remedy: 'postern pins lists what there is' });
    return found;
  };
  const noteLeaf = async (asked: Anyone, what: string, face: string, fingerprint: string, lost = 0) => {
    await operations.addAudit([auditOf(room, asked, what, { customerId: defaultCustomer(room).id, kind: 'certificate', id: null, name: leafOf(face).name }, { keyFingerprint: fingerprint, lost })]);
  };

  const prepareRow = async (asked: Anyone, row: Certificate) => {
    const answer = (one: Certificate) => ({ certificate: one.id, name: one.name, pin: pinOfFingerprint(one.csrKeyFingerprint!), request: one.source === 'uploaded' || one.source === 'request' ? one.csrPem : null });
    if (row.csrKeyFingerprint !== null) return answer(row);
    const names = row.acme?.names ?? row.names;
    const keyKind = keyKinds.find((each) => each === (row.acme?.keyKind ?? row.keyKind)) ?? 'ec-p256';
    const subject = row.source === 'uploaded' || row.source === 'request' ? subjectFieldsOf(row.chainPem === null ? null : readChain(row.chainPem)[0]!, names) : { commonName: null };
    return answer(await changes.requestAgain(row.id, { keyKind, names, subject }, actorOfAsked(asked)));
  };
  const prepareLeaf = async (asked: Anyone, face: string) => {
    const { name } = leafOf(face);
    const { next } = await certificates.nextLeafKey(face, 'prepare');
    await noteLeaf(asked, 'pin.prepared', face, next!);
    return { certificate: face, name, pin: pinOfFingerprint(next!), request: null };
  };

  /** What a switch would do, and whom it would shut out. */
  const planLeaf = (asked: Asked<'switchPin'>, face: string): SwitchPlan => {
    const { name } = leafOf(face);
    const next = pins.nextOfLeaf(face);
    if (next === null) throw nothingPrepared(name);
    const lost = pins.lostByLeaf(face, next);
    const run = async () => {
      await noteLeaf(asked, 'pin.switched', face, next, lost.length);
      await certificates.nextLeafKey(face, 'switch');
    };
    return { name, fingerprint: next, lost, run };
  };
  const planRow = (asked: Asked<'switchPin'>, row: Certificate): SwitchPlan => {
    const actor = actorOfAsked(asked);
    const { name } = row;
    if (row.state === 'ready' && !row.enabled) {
      const run = () => changes.change(row.id, { enabled: true }, actor, asked.body.losing);
      return { name, fingerprint: row.keyFingerprint!, lost: pins.lostByRow(row, { ...row, enabled: true }), run };
    }
    const fingerprint = row.csrKeyFingerprint;
    if (fingerprint === null) throw nothingPrepared(name);
    if (row.source !== 'private-ca' && row.source !== 'acme') throw new Fault('conflict', `the authority's answer to the request of ${name} is what switches it`, { remedy: `postern certificate answer ${name} FILE` });
    const names = row.acme?.names ?? row.names;
    const lost = pins.lostByRow(row, asRenewed(row, names, fingerprint, clock.nowMs()));
    const run = async () => {
      if (lost.length > 0) changes.allowLoss(fingerprint, lost.length);
      if (row.source === 'private-ca') await changes.issueAgain(row.id, { keyKind: 'ec-p256', names }, actor);
      else if (room.acme) await room.acme.renew(row.id);
      else throw new Fault('unsupported', 'ACME cannot be used here');
    };
    return { name, fingerprint, lost, run };
  };
  const switchTo = async (asked: Asked<'switchPin'>, { name, fingerprint, lost, run }: SwitchPlan) => {
    const { dryRun, losing } = asked.body;
    if (!dryRun) {
      pins.refuseLoss(lost, losing);
      await run();
    }
    return { name, pin: pinOfFingerprint(fingerprint), lost: lost.length, devices: lost.slice(0, lostShownMax).flatMap(({ deviceId }) => viewDevice(deviceId, 'missing')) };
  };
  const viewDevice = (deviceId: string, state: State): PinDeviceView[] => {
    const device = tables.devices.get(deviceId);
    const note = tables.deviceNotes.get(deviceId);
    return device ? [{ id: device.id, name: device.name, label: device.label, serial: device.serial, state, pins: [...(note?.pins ?? [])], lastSeenAt: note?.lastSeenAt ?? null }] : [];
  };

  return {
    listPins(asked) {
      mustMay(asked, 'see', 'gateway', 'see which keys devices pin');
      return listPins(room);
    },
    listPinDevices(asked) {
      mustMay(asked, 'see', 'gateway', 'see which keys devices pin');
      const fingerprint = asked.query.pin === undefined ? null : readPin(asked.query.pin);
      const present = pins.announced().filter((key) => key.state === 'present');
      /** null: it never checked in. */
      const state = ({ id }: Device): State | null => {
        const note = tables.deviceNotes.get(id);
        return !note || note.lastCheckInAt === null ? null : stateOf(pinnerOf(note, clock.nowMs(), pins.settings().activeMs), present, fingerprint);
      };
      const wanted = (device: Device) => (asked.query.state === undefined ? state(device) !== null : state(device) === asked.query.state);
      return pageOf(devices(), order, asked.query, wanted, (device) => viewDevice(device.id, state(device)!)[0]!);
    },
    async preparePin(asked) {
      mayChange(asked);
      const { certificate } = asked.body;
      const faces = certificate === null ? [...new Set(pins.announced().flatMap((key) => (key.state === 'present' && !key.face.startsWith('leaf-') ? [key.face] : [])))] : [certificate];
      const items = [];
      for (const face of faces) items.push(isLeaf(face) ? await prepareLeaf(asked, face) : await prepareRow(asked, findRow(room, asked, face)));
      return { items };
    },
    switchPin(asked) {
      mayChange(asked);
      const { certificate } = asked.body;
      // A row's change takes its turn itself, and ACME its time.
      return isLeaf(certificate) ? room.inTurn(() => switchTo(asked, planLeaf(asked, certificate))) : switchTo(asked, planRow(asked, findRow(room, asked, certificate)));
    },
    async dropPin(asked) {
      mayChange(asked);
      const { certificate } = asked.body;
      if (!isLeaf(certificate)) {
        await changes.dropRequest(findRow(room, asked, certificate).id, actorOfAsked(asked));
        return {};
      }
      const next = pins.nextOfLeaf(certificate);
      if (next === null) throw nothingPrepared(leafOf(certificate).name);
      await noteLeaf(asked, 'pin.dropped', certificate, next);
      await certificates.nextLeafKey(certificate, 'drop');
      return {};
    },
  };
}

const nothingPrepared = (name: string) => new Fault('conflict', `no key was prepared for ${name}`, { remedy: 'postern pins prepare makes one; devices hear of it when they check in' });
