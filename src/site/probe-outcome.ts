// What a probe's answer means for the device that was asked: is it the one that its row says, has it moved, is somebody else at its address? Pure.
import type { DeviceProfile, EvidenceKind, ProbeFailure, Profile } from '#model/place-rows.ts';
import type { ProbeExplained } from '#model/probe-control.ts';
import type { Agent, Device } from '#model/rows.ts';

/** What was found out, before it is judged. */
export interface Probed {
  /** null: nothing that a profile could be made of. */
  readonly profile: Profile | null;
  /** Beside a profile: what of it could not be had. */
  readonly failure: ProbeFailure | null;
  readonly mac: string | null;
  /** Absent where nothing was asked. */
  readonly explained?: ProbeExplained;
}

/** A fact for a device's evidence. */
export interface EvidenceSeen {
  readonly device: Device;
  readonly kind: EvidenceKind;
  readonly value: string;
  /** For people. */
  readonly how: string;
}

export interface ProbeEvent {
  readonly event: 'device.serial-differs' | 'device.moved' | 'device.mac-changed' | 'address.taken' | 'probe.failed' | 'probe.works';
  readonly fields: Readonly<Record<string, string | number | boolean | null>>;
}

export interface Judged {
  readonly row: DeviceProfile;
  readonly events: readonly ProbeEvent[];
  readonly evidence: readonly EvidenceSeen[];
  /** Whose readings are kept; null: it was another device's, or nobody's. */
  readonly readings: Profile | null;
}

export interface Judging {
  readonly device: Device;
  readonly agent: Agent | undefined;
  readonly address: string;
  readonly before: DeviceProfile | undefined;
  readonly nowMs: number;
  /** Of the device's customer. */
  readonly deviceBySerial: (serial: string) => Device | undefined;
  /** A device of the site whose last profile has it. */
  readonly deviceByMac: (mac: string) => Device | undefined;
}

/** Makers pad with blanks, and people write what they read on a label. */
const bare = (serial: string): string => serial.trim().toUpperCase();
export const isSameSerial = (a: string, b: string): boolean => bare(a) === bare(b);

export const blankProfile = (device: Device, nowMs: number): DeviceProfile => ({
  deviceId: device.id, customerId: device.customerId, profile: null, readAt: null, address: null, agentId: null, trust: 'unread', mac: null, triedAt: nowMs, failure: null,
});

/** The last try had a profile. */
export const hasSucceeded = (row: DeviceProfile): boolean => row.profile !== null && row.readAt === row.triedAt;

/** The question that told the serial: `snmp 1.3.6…`, `ipp printer-device-id`. */
function questionOfSerial({ serial, evidence }: Profile): string | null {
  if (serial === null) return null;
  const named = evidence.filter(({ value }) => value.includes(serial));
  return (named.find(({ question }) => question.startsWith('snmp')) ?? named.find(({ question }) => question.startsWith('ipp')) ?? named[0])?.question ?? null;
}

const versionOf = ({ protocols }: Profile): string => (['snmp-v3', 'snmp-v2c', 'snmp-v1'].find((name) => protocols.includes(name)) ?? 'snmp').replace('snmp-', 'SNMP').replace(/^snmp$/, 'SNMP');

function evidenceOf({ device, agent, address }: Judging, profile: Profile, mac: string | null): EvidenceSeen[] {
  const name = agent?.name ?? '?';
  // Most are called "agent of …" when they join.
  const by = name.startsWith('agent ') ? name : `agent ${name}`;
  const seen: EvidenceSeen[] = [];
  if (profile.serial !== null) {
    const isIpp = questionOfSerial(profile)?.startsWith('ipp') === true;
    seen.push({ device, kind: isIpp ? 'serial-ipp' : 'serial-snmp', value: profile.serial, how: `${by} read it at ${address} by ${isIpp ? 'IPP' : versionOf(profile)}` });
    seen.push({ device, kind: 'address', value: address, how: `${by} read its serial there` });
  }
  if (mac !== null) seen.push({ device, kind: 'mac', value: mac, how: `${by} saw it at ${address}` });
  return seen;
}

/** Somebody else answers at the device's address. */
function takenBy(judging: Judging, expected: string, found: { readonly serial: string | null; readonly mac: string | null }, profile: Profile | null, question: string): Judged {
  const { device, agent, address, before, nowMs } = judging;
  const owner = found.serial === null ? (found.mac === null ? undefined : judging.deviceByMac(found.mac)) : judging.deviceBySerial(found.serial);
  const other = owner?.id === device.id ? undefined : owner;
  const what = found.serial === null ? `the MAC ${found.mac}` : `the serial ${found.serial}`;
  const failure: ProbeFailure = {
    code: 'different', question, address, agent: agent?.name ?? '', from: null, found,
    message: `at ${address} is ${what}${profile?.model ? ` (${profile.model})` : ''}${other ? `, which is ${other.name}` : ''}; expected was ${expected}`,
    remedy: other
      ? `The address has moved (DHCP): give ${other.name} the address ${address}, and ${device.name} the one that it has now. Reservations in the DHCP server keep it so.`
      : `If the device was replaced, change its serial: postern device set ${device.label} --serial SERIAL; else give it the address that it has now.`,
  };
  const isNews = before?.failure?.code !== 'different' || before.failure.message !== failure.message;
  const common = { device: device.id, name: device.name, address };
  const events: ProbeEvent[] = [];
  if (isNews && found.serial !== null) events.push({ event: 'device.serial-differs', fields: { ...common, expected: expected.replace(/^the serial /, ''), read: found.serial, agent: agent?.name ?? null } });
  if (isNews) events.push({ event: 'address.taken', fields: { ...common, serial: found.serial, mac: found.mac, by: other?.id ?? null, byName: other?.name ?? null } });
  if (isNews && other && other.host !== address) events.push({ event: 'device.moved', fields: { device: other.id, name: other.name, from: other.host, to: address, by: found.serial === null ? 'mac' : 'serial' } });
  return { row: { ...(before ?? blankProfile(device, nowMs)), trust: 'different', triedAt: nowMs, failure }, events, evidence: [], readings: null };
}

function failed({ device, before, nowMs }: Judging, now: ProbeFailure): Judged {
  // Whoever was found there and says nothing now has not made room for the device: a stranger must not become it by switching SNMP off.
  const stranger = before?.trust === 'different' && before.failure?.address === now.address ? before.failure.found : undefined;
  const failure = stranger === undefined || now.found !== undefined ? now : { ...now, found: stranger };
  const isNews = before === undefined || hasSucceeded(before) || before.failure?.code !== failure.code;
  const events: ProbeEvent[] = isNews ? [{ event: 'probe.failed', fields: { device: device.id, name: device.name, address: failure.address, agent: failure.agent, code: failure.code, question: failure.question, why: failure.message } }] : [];
  return { row: { ...(before ?? blankProfile(device, nowMs)), triedAt: nowMs, failure }, events, evidence: [], readings: null };
}

export function judgeProbe(probed: Probed, judging: Judging): Judged {
  const { device, agent, address, before, nowMs } = judging;
  const { profile, mac, failure } = probed;
  const knownSerial = device.serial ?? before?.profile?.serial ?? null;
  const isSamePlace = before?.address === address;
  const knownMac = isSamePlace ? (before.mac ?? null) : null;
  const serial = profile?.serial ?? null;
  if (profile !== null && serial !== null && knownSerial !== null && !isSameSerial(serial, knownSerial)) {
    return takenBy(judging, `the serial ${knownSerial}`, { serial, mac }, profile, questionOfSerial(profile) ?? 'serial');
  }
  // It does not say who it is, and it is another network card than the one that a serial was read from.
  if (serial === null && mac !== null && knownMac !== null && mac !== knownMac && (before?.profile?.serial ?? null) !== null) {
    return takenBy(judging, `the MAC ${knownMac}`, { serial: null, mac }, profile, 'mac');
  }
  if (profile === null) {
    return failed(judging, failure ?? { code: 'internal', question: '', address, agent: agent?.name ?? '', from: null, message: 'the probe ended without an answer', remedy: '' });
  }
  if (serial === null && before?.trust === 'verified' && isSamePlace) {
    // What was known stays, and grows old: a serial that could not be read this once is no other serial.
    const partial: ProbeFailure = failure ?? { code: 'partial', question: 'serial', address, agent: agent?.name ?? '', from: null, message: `the device at ${address} did not say its serial this time`, remedy: 'Ask again; if it stays so, look whether the credentials may read everything.' };
    return { ...failed(judging, partial), readings: profile };
  }
  const row: DeviceProfile = {
    deviceId: device.id, customerId: device.customerId, readAt: nowMs, address, agentId: agent?.id ?? null, mac: mac ?? (serial !== null ? knownMac : null), triedAt: nowMs, failure,
    // As the row writes it, so that nobody has to compare them again.
    profile: serial !== null && device.serial !== null ? { ...profile, serial: device.serial } : profile,
    trust: serial !== null && device.serial !== null ? 'verified' : 'unread',
  };
  const events: ProbeEvent[] = [];
  if (before?.failure && !hasSucceeded(before)) events.push({ event: 'probe.works', fields: { device: device.id, name: device.name, address, agent: agent?.name ?? null, before: before.failure.code } });
  if (mac !== null && knownMac !== null && mac !== knownMac) events.push({ event: 'device.mac-changed', fields: { device: device.id, name: device.name, address, before: knownMac, mac } });
  const twin = mac === null || mac === before?.mac ? undefined : judging.deviceByMac(mac);
  if (twin && twin.id !== device.id && twin.host !== address) events.push({ event: 'device.moved', fields: { device: twin.id, name: twin.name, from: twin.host, to: address, by: 'mac' } });
  return { row, events, evidence: evidenceOf(judging, profile, row.mac), readings: profile };
}
