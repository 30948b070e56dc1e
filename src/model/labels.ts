// Names in DNS and in URLs: a device's label, a customer's key, and how a person's word for a device is found.
import { Fault } from '#base/fault.ts';
import { isId } from '#base/ids.ts';
import type { Device } from './rows.ts';
import type { Tables } from './tables.ts';

const labelCharsMax = 50; // with `--65535` behind it still a DNS label of at most 63 (RFC 1035 §2.3.4)
const customerKeyCharsMax = 32;
const reservedLabels: ReadonlySet<string> = new Set(['link', 'www', 'api', 'console', 'gateway']);
/** First parts of paths on the gateway's own host: `/<customer>/controller/v1/…` stands beside them. */
const reservedKeys: ReadonlySet<string> = new Set(['setup', 'api', 'link', 'stream', 'v1', 'ca', 'metrics', 'assets', 'console']);
const hyphenated = /^[a-z0-9]+(-[a-z0-9]+)*$/;

/** Why a text is no label; null when it is one. Whether it is free is another question. */
export function checkLabel(text: string): string | null {
  if (text.length > labelCharsMax) return `a label has at most ${labelCharsMax} characters`;
  if (!hyphenated.test(text)) return 'a label is a-z, 0-9 and single hyphens between them';
  if (reservedLabels.has(text)) return `"${text}" is a name of the gateway's own`;
  return null;
}

export function checkCustomerKey(text: string): string | null {
  if (text.length > customerKeyCharsMax) return `a customer's key has at most ${customerKeyCharsMax} characters`;
  if (!hyphenated.test(text)) return "a customer's key is a-z, 0-9 and single hyphens between them";
  if (reservedKeys.has(text)) return `"${text}" is a path of the gateway's own`;
  return null;
}

// Letters that decompose to nothing useful; the rest loses its marks by NFKD.
const spelled: Readonly<Record<string, string>> = { ä: 'ae', ö: 'oe', ü: 'ue', ß: 'ss', æ: 'ae', ø: 'oe', å: 'a', ł: 'l', đ: 'd', þ: 'th' };

/** A free label made from a name: `Printer 1, 2nd floor` → `printer-1-2nd-floor`, when taken with `-2` behind it. */
export function makeLabel(name: string, taken: (label: string) => boolean): string {
  const plain = name
    .toLowerCase()
    .replace(/[äöüßæøåłđþ]/g, (letter) => spelled[letter]!)
    .normalize('NFKD')
    .replace(/\p{Mark}/gu, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  const stem = plain || 'device';
  for (let n = 1; ; n++) {
    const tail = n === 1 ? '' : `-${n}`;
    const label = stem.slice(0, labelCharsMax - tail.length).replace(/-$/, '') + tail;
    if (checkLabel(label) === null && !taken(label)) return label;
  }
}

/** Taken by a device, or redirecting to one still. `exceptDeviceId`: its own former labels are free for itself. */
export function labelTaken(tables: Tables, label: string, nowMs: number, exceptDeviceId?: string): boolean {
  const device = tables.deviceByLabel(label);
  if (device) return device.id !== exceptDeviceId;
  const old = tables.oldLabel(label);
  return old !== undefined && old.until > nowMs && old.deviceId !== exceptDeviceId;
}

export interface DeviceHost {
  readonly label: string;
  /** null: the device's first port that a browser opens. */
  readonly port: number | null;
}

/** The first part of a device's host: `printer1` or `printer1--8080`. Upper case is taken as lower. Undefined: it is none. */
export function parseDeviceHost(text: string): DeviceHost | undefined {
  const match = /^([a-z0-9]+(?:-[a-z0-9]+)*)(?:--([1-9]\d{0,4}))?$/.exec(text.toLowerCase());
  if (!match) return undefined;
  const label = match[1]!;
  const port = match[2] === undefined ? null : Number(match[2]);
  if (checkLabel(label) !== null || (port !== null && port > 65_535)) return undefined;
  return { label, port };
}

/** The port that an address without `--port` means: the first that a browser opens. */
export function mainPort(device: Pick<Device, 'ports'>): number | null {
  return device.ports.find((port) => port.kind === 'http' || port.kind === 'https')?.number ?? null;
}

/**
 * By id, label (with `nowMs` also a former one that still redirects then) or `customer/name`; names are compared without case.
 * Undefined: none. Fault `conflict`: several devices have that name. With `sees`, only those count that the asker may see, and the
 * fault names them; a device that may not be seen is still returned when no other has the name, for the caller to judge.
 */
export function findDevice(tables: Tables, text: string, nowMs = Infinity, sees?: (device: Device) => boolean): Device | undefined {
  if (isId(text)) return tables.devices.get(text);
  const slash = text.indexOf('/');
  if (slash < 0) {
    const label = text.toLowerCase();
    const device = tables.deviceByLabel(label);
    if (device) return device;
    const old = tables.oldLabel(label);
    return old && old.until > nowMs ? tables.devices.get(old.deviceId) : undefined;
  }
  const key = text.slice(0, slash).toLowerCase();
  const name = text.slice(slash + 1).toLowerCase();
  const found: Device[] = [];
  for (const device of tables.devices.values()) {
    if (device.name.toLowerCase() === name && tables.customers.get(device.customerId)?.key === key) found.push(device);
  }
  const seen = sees === undefined ? found : found.filter(sees);
  if (seen.length > 1) {
    const labels = sees === undefined ? '' : `: ${seen.slice(0, 5).map((device) => device.label).join(', ')}`;
    throw new Fault('conflict', `${seen.length} devices are called "${text}"`, { remedy: `name one by its id or label${labels}` });
  }
  return seen[0] ?? found[0];
}
