// A profile out of answers: pure, so that it can be built again from what was kept. Where several say the same, the driver's question comes before the standard's,
// SNMP before IPP; what differs is said.
import { limits } from '#base/limits.ts';
import type { IppAttributes } from '#wire/ipp.ts';
import type { Profile, ProbeEvidence } from '../place-rows.ts';
import type { HttpAnswer, SnmpValue } from './asking.ts';
import { enterpriseOf } from './choose.ts';
import type { Driver, Question } from './driver.ts';
import { inferFunctions } from './functions.ts';
import { languageOf, oids, printerErrors, printerStatus, roots } from './oids.ts';
import { ippSupplyRows, ippTrayRows, numbersOf, readSupplies, readTrays, supplyRow, textsOf, trayRow, type SupplyRow } from './supplies.ts';
import { cleanModel, cleanSerial, cleanText, extract, macOf, numberOf, parseDeviceId, sameSerial, textOf, tidy, type DeviceId } from './texts.ts';

/** Everything that was answered at one address. */
export interface Found {
  readonly address: string;
  readonly nowMs: number;
  readonly driver: Driver;
  /** The printer's index in hrDeviceTable; null: it is none. */
  readonly printer: number | null;
  /** By OID. */
  readonly values: ReadonlyMap<string, SnmpValue>;
  /** By root, in the device's order. */
  readonly walks: ReadonlyMap<string, readonly SnmpValue[]>;
  readonly protocols: readonly string[];
  readonly ipp: IppAttributes | null;
  readonly http: HttpAnswer | null;
  readonly https: HttpAnswer | null;
  /** The MAC that the site's agent sees at the address. */
  readonly neighbour: string | null;
}

export interface Built {
  readonly profile: Profile;
  /** What each witness said; null: nothing. */
  readonly serials: { readonly snmp: string | null; readonly ipp: string | null };
  /** Witnesses that do not agree. */
  readonly remarks: readonly Remark[];
}

export interface Remark {
  /** Of the witness that is not believed. */
  readonly question: string;
  /** For people. */
  readonly message: string;
}

const standardSerial: readonly Question[] = [oids.prtGeneralSerialNumber, oids.entPhysicalSerialNum].map((oid) => ({ oid, pattern: null }));
const standardModel: readonly Question[] = [oids.hrDeviceDescr, oids.entPhysicalModelName, oids.ppmPrinterName].map((oid) => ({ oid, pattern: null }));

/** The driver's own first, then the standard's. */
export const serialQuestions = (driver: Driver): readonly Question[] => [...driver.serial, ...standardSerial];
export const modelQuestions = (driver: Driver): readonly Question[] => [...driver.model, ...standardModel];

/** The OID itself, with the printer's index where it belongs. */
export const placed = (oid: string, printer: number | null): string => oid.replaceAll('{printer}', String(printer ?? 1));

export function buildProfile(found: Found): Built {
  const { driver, values } = found;
  const evidence: ProbeEvidence[] = [];
  const remarks: Remark[] = [];
  const note = (question: string, value: string | null) => {
    if (value !== null && evidence.length < limits.probeEvidenceMax) evidence.push({ question, value, at: found.nowMs });
    return value;
  };
  const first = (questions: readonly Question[], clean: Clean) => firstAnswer(found, questions, clean, note);
  const text = (oid: string) => textOf(values.get(placed(oid, found.printer)));
  const ippText = (name: string) => (found.ipp === null ? null : cleanText(textsOf(found.ipp, name)[0] ?? null));

  const sysDescr = note(`snmp ${oids.sysDescr}`, cleanText(text(oids.sysDescr)));
  const sysObjectId = note(`snmp ${oids.sysObjectId}`, text(oids.sysObjectId));
  const snmpId = parseDeviceId(rawText(values.get(oids.ppmPrinterIEEE1284DeviceId)));
  const ippId = parseDeviceId(found.ipp === null ? null : textsOf(found.ipp, 'printer-device-id')[0] ?? null);
  if (snmpId.size > 0) note(`snmp ${oids.ppmPrinterIEEE1284DeviceId}`, shown(snmpId));
  if (ippId.size > 0) note('ipp printer-device-id', shown(ippId));
  const makeAndModel = note('ipp printer-make-and-model', ippText('printer-make-and-model'));

  const clean = (serial: string | null) => cleanSerial(serial, driver.ignore.serials);
  const serialSnmp = first(serialQuestions(driver), clean) ?? note(`snmp ${oids.ppmPrinterIEEE1284DeviceId} SN`, clean(snmpId.get('SN') ?? null));
  const serialIpp = note('ipp printer-device-id SN', clean(ippId.get('SN') ?? null));
  if (serialSnmp !== null && serialIpp !== null && !sameSerial(serialSnmp, serialIpp)) remarks.push({ question: 'ipp printer-device-id SN', message: `SNMP says that its serial number is ${serialSnmp}, IPP says ${serialIpp}` });

  const maker = snmpId.get('MFG') ?? ippId.get('MFG') ?? null;
  const vendor = driver.vendor ?? maker;
  const makers = [...(vendor === null ? [] : [vendor]), ...driver.names, ...(maker === null ? [] : [maker])];
  const model = first(modelQuestions(driver), (each) => cleanModel(each, makers)) ?? cleanModel(snmpId.get('MDL') ?? null, makers) ?? cleanModel(makeAndModel, makers) ?? cleanModel(ippId.get('MDL') ?? null, makers);

  const firmware = first(driver.firmware, cleanText) ?? note('ipp printer-firmware-string-version', ippText('printer-firmware-string-version'));
  const network = readNetwork(found, remarks);
  const colours = colorantsOf(found);
  const { supplies, trays } = readLevels(found, colours);
  const state = readState(found);
  if (found.http !== null) {
    note('http Server', tidy(found.http.server));
    note('http title', tidy(found.http.title));
  }
  if (found.https?.certificate) note('tls subject', tidy(found.https.certificate.subject));

  const profile: Profile = {
    vendor,
    enterpriseId: enterpriseOf(sysObjectId),
    model,
    serial: serialSnmp ?? serialIpp,
    macs: network.macs,
    addresses: network.addresses,
    firmware,
    hostNames: [cleanText(text(oids.sysName))].filter((name) => name !== null && /^[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?$/.test(name)) as string[],
    location: cleanText(text(oids.sysLocation)) ?? ippText('printer-location'),
    functions: inferFunctions({ driver, printer: found.printer !== null || found.ipp !== null, texts: [sysDescr, text(oids.hrDeviceDescr), model, makeAndModel], ids: [snmpId, ippId] }),
    colour: colourOf(found, colours, supplies),
    duplex: duplexOf(found),
    languages: languagesOf(found),
    protocols: found.protocols,
    supplies,
    trays,
    counters: readCounters(found, note),
    ...state,
    upSeconds: upSecondsOf(found),
    driver: driver.key,
    confidence: 0,
    evidence,
  };
  return { profile: { ...profile, confidence: confidenceOf(profile, found, serialSnmp, serialIpp) }, serials: { snmp: serialSnmp, ipp: serialIpp }, remarks };
}

type Clean = (text: string | null) => string | null;

/** Of questions in their order, what is usable. */
function firstAnswer(found: Found, questions: readonly Question[], clean: Clean, note: (question: string, value: string) => unknown): string | null {
  for (const { oid, pattern } of questions) {
    const asked = placed(oid, found.printer);
    const value = clean(extract(found.values.get(asked), pattern));
    if (value === null) continue;
    note(`snmp ${asked}`, value);
    return value;
  }
  return null;
}

/** Device ids are told with their line ends, which part their fields. */
const rawText = (value: SnmpValue | undefined): string | null => (value?.type === 'octets' ? value.text ?? Buffer.from(value.value, 'base64').toString('latin1') : null);
const shown = (id: DeviceId): string => [...id].map(([key, value]) => `${key}:${value}`).join(';').slice(0, 255);

/** The rows of a walked table below `root`, by what stands behind it in the OID. */
function rowsOf(found: Found, root: string): readonly { readonly index: string; readonly value: SnmpValue }[] {
  return (found.walks.get(root) ?? []).filter(({ oid }) => oid.startsWith(`${root}.`)).map((value) => ({ index: value.oid.slice(root.length + 1), value }));
}

/** A table of RFC 3805, `column.printer.row`: those rows of our printer if it has any, else all. */
function tableOf(found: Found, root: string): ReadonlyMap<string, ReadonlyMap<number, SnmpValue>> {
  const rows = new Map<string, Map<number, SnmpValue>>();
  for (const { index, value } of rowsOf(found, root)) {
    const [column, ...rest] = index.split('.');
    const row = rest.join('.');
    const cells = rows.get(row) ?? new Map<number, SnmpValue>();
    cells.set(Number(column), value);
    rows.set(row, cells);
  }
  const ours = [...rows].filter(([row]) => row.startsWith(`${found.printer ?? 1}.`));
  return ours.length > 0 ? new Map(ours) : rows;
}

/** Colour by `printer.index`. */
const colorantsOf = (found: Found): ReadonlyMap<string, string> =>
  new Map(rowsOf(found, roots.prtMarkerColorantValue).map(({ index, value }) => [index, textOf(value)] as const).filter((row): row is readonly [string, string] => row[1] !== null));

function readLevels(found: Found, colours: ReadonlyMap<string, string>): { readonly supplies: Profile['supplies']; readonly trays: Profile['trays'] } {
  const supplies: SupplyRow[] = [...tableOf(found, roots.prtMarkerSupplies)].map(([row, cells]) => {
    const column = (number: number) => numberOf(cells.get(number));
    return supplyRow(column, textOf(cells.get(6)), colours.get(`${row.split('.')[0]}.${column(3)}`) ?? null);
  });
  const trays = [...tableOf(found, roots.prtInput)].map(([, cells]) => trayRow((number) => numberOf(cells.get(number)), textOf(cells.get(13)) ?? textOf(cells.get(18))));
  const { ipp, driver } = found;
  return {
    supplies: readSupplies(supplies.length > 0 || ipp === null ? supplies : ippSupplyRows(ipp), driver),
    trays: readTrays(trays.length > 0 || ipp === null ? trays : ippTrayRows(ipp), driver),
  };
}

/** The card that owns the address comes first: with Ethernet and Wi-Fi there are two. */
function readNetwork(found: Found, remarks: Remark[]): { readonly macs: readonly string[]; readonly addresses: readonly string[] } {
  const cards = rowsOf(found, roots.ifPhysAddress).map(({ index, value }) => ({ index, mac: macOf(value) }));
  const addresses = rowsOf(found, roots.ipAdEntIfIndex).map(({ index, value }) => ({ address: index, card: String(numberOf(value)) }));
  const owner = addresses.find(({ address }) => address === found.address)?.card;
  const own = cards.find(({ index, mac }) => index === owner && mac !== null)?.mac ?? null;
  const said = cards.map(({ mac }) => mac).filter((mac) => mac !== null);
  const { neighbour } = found;
  if (neighbour !== null && said.length > 0 && !said.includes(neighbour)) {
    remarks.push({ question: 'mac', message: `its own table has the MAC addresses ${said.slice(0, 4).join(', ')}; the site's agent sees ${neighbour} at ${found.address}: a router between them, or another device at that address` });
  }
  // Where it does not say which card has the address, the one that the agent sees does.
  const macs = [own, neighbour !== null && (said.length === 0 || said.includes(neighbour)) ? neighbour : null, ...said].filter((mac) => mac !== null);
  const others = addresses.map(({ address }) => address).filter((address) => !address.startsWith('127.') && address !== '0.0.0.0');
  return { macs: [...new Set(macs)].slice(0, 16), addresses: [...new Set([found.address, ...others])].slice(0, 16) };
}

const ippStates: ReadonlyMap<number, string> = new Map([[3, 'idle'], [4, 'printing'], [5, 'other']]);
/** printer-state-reasons without their severity (RFC 8011 §5.4.12). */
const ippReasons: Readonly<Record<string, string>> = {
  'media-low': 'low-paper', 'media-empty': 'no-paper', 'media-needed': 'input-tray-empty', 'media-jam': 'jammed', 'toner-low': 'low-toner', 'toner-empty': 'no-toner', 'marker-supply-low': 'low-toner',
  'marker-supply-empty': 'no-toner', 'door-open': 'door-open', 'cover-open': 'door-open', 'input-tray-missing': 'input-tray-missing', 'output-tray-missing': 'output-tray-missing',
  'output-area-almost-full': 'output-near-full', 'output-area-full': 'output-full',
};

function readState(found: Found): { readonly status: string | null; readonly errors: readonly string[] } {
  const status = printerStatus.get(numberOf(found.values.get(placed(oids.hrPrinterStatus, found.printer))) ?? 0) ?? null;
  const bits = found.values.get(placed(oids.hrPrinterDetectedErrorState, found.printer));
  if (status === null && bits?.type !== 'octets' && found.ipp !== null) {
    const reasons = textsOf(found.ipp, 'printer-state-reasons').map((reason) => reason.replace(/-(?:error|warning|report)$/, ''));
    return { status: ippStates.get(numbersOf(found.ipp, 'printer-state')[0] ?? 0) ?? null, errors: [...new Set(reasons.map((reason) => (Object.hasOwn(ippReasons, reason) ? ippReasons[reason]! : null)).filter((each) => each !== null))] };
  }
  // Whoever is idle or prints is neither offline nor broken; several makers set these bits all the same.
  const working = status === 'idle' || status === 'printing' || status === 'warmup';
  return { status, errors: errorBits(bits).filter((error) => !working || (error !== 'offline' && error !== 'service-requested')) };
}

function errorBits(value: SnmpValue | undefined): readonly string[] {
  if (value?.type !== 'octets') return [];
  const bytes = Buffer.from(value.value, 'base64');
  return printerErrors.filter((_, bit) => ((bytes[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0);
}

function readCounters(found: Found, note: (question: string, value: string) => unknown): Readonly<Record<string, number>> {
  const wanted = new Map(found.driver.counters);
  wanted.set('pages', [...(wanted.get('pages') ?? []), { oid: oids.prtMarkerLifeCount, pattern: null }]);
  const out: [string, number][] = [];
  for (const [name, questions] of wanted) {
    for (const { oid, pattern } of questions) {
      const asked = placed(oid, found.printer);
      const value = found.values.get(asked);
      const number = pattern === null ? numberOf(value) : wholeOf(extract(value, pattern));
      if (number === null || number < 0) continue;
      out.push([name, number]);
      note(`snmp ${asked}`, String(number));
      break;
    }
  }
  const impressions = found.ipp === null ? undefined : numbersOf(found.ipp, 'printer-impressions-completed')[0];
  if (impressions !== undefined && impressions >= 0 && !out.some(([name]) => name === 'pages')) out.push(['pages', impressions]);
  return Object.fromEntries(out.sort(([a], [b]) => (a < b ? -1 : 1)));
}

const wholeOf = (text: string | null): number | null => (text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null);

function colourOf(found: Found, colorants: ReadonlyMap<string, string>, supplies: Profile['supplies']): boolean | null {
  const seen = new Set([...[...colorants.values()].map((colour) => colour.toLowerCase()), ...supplies.map(({ colour }) => colour ?? '')]);
  if (['cyan', 'magenta', 'yellow'].some((colour) => seen.has(colour))) return true;
  const told = found.ipp === null || !Object.hasOwn(found.ipp, 'color-supported') ? undefined : found.ipp['color-supported']![0];
  if (typeof told === 'boolean') return told;
  return seen.has('black') ? false : null;
}

function duplexOf(found: Found): boolean | null {
  const kinds = rowsOf(found, roots.prtMediaPathType).map(({ value }) => numberOf(value));
  if (kinds.includes(3) || kinds.includes(4)) return true;
  const sides = found.ipp === null ? [] : textsOf(found.ipp, 'sides-supported');
  if (sides.length > 0) return sides.some((side) => side.startsWith('two-sided'));
  return kinds.length > 0 && kinds.every((kind) => kind === 5) ? false : null;
}

const formatLanguages: Readonly<Record<string, string>> = {
  'application/pdf': 'pdf', 'application/postscript': 'ps', 'application/vnd.hp-pcl': 'pcl', 'application/vnd.hp-pclxl': 'pclxl', 'image/urf': 'apple-raster', 'image/pwg-raster': 'pwg-raster', 'image/jpeg': 'jpeg',
  'image/tiff': 'tiff', 'application/openxps': 'openxps', 'application/vnd.ms-xpsdocument': 'xps',
};

function languagesOf(found: Found): readonly string[] {
  const told = rowsOf(found, roots.prtInterpreterLangFamily).map(({ value }) => languageOf(numberOf(value) ?? 0)).filter((language) => language !== null);
  if (told.length > 0 || found.ipp === null) return [...new Set(told)];
  const formats = textsOf(found.ipp, 'document-format-supported').map((format) => format.toLowerCase());
  return [...new Set(formats.map((format) => (Object.hasOwn(formatLanguages, format) ? formatLanguages[format]! : null)).filter((language) => language !== null))];
}

function upSecondsOf(found: Found): number | null {
  const ticks = numberOf(found.values.get(oids.sysUpTime));
  if (ticks !== null) return Math.floor(ticks / 100);
  return found.ipp === null ? null : numbersOf(found.ipp, 'printer-up-time')[0] ?? null;
}

/** A serial is worth most, then what a second witness says as well; 1 needs all of it. */
function confidenceOf(profile: Profile, found: Found, snmp: string | null, ipp: string | null): number {
  let points = 0;
  if (snmp !== null) points += 30;
  else if (ipp !== null) points += 20;
  if (snmp !== null && ipp !== null) points += sameSerial(snmp, ipp) ? 15 : -15;
  else if (profile.serial !== null && namesItself(found, profile.serial)) points += 15;
  if (profile.model !== null) points += 15;
  if (profile.vendor !== null && found.driver.fallback === null) points += 15;
  if (profile.macs.length > 0) points += 10;
  if (found.neighbour !== null && profile.macs.includes(found.neighbour) && rowsOf(found, roots.ifPhysAddress).length > 0) points += 10;
  if (profile.supplies.length > 0 || Object.keys(profile.counters).length > 0) points += 5;
  return Math.max(0, points) / 100;
}

/** The serial stands in its certificate or on its page, as many makers write it there. */
function namesItself(found: Found, serial: string): boolean {
  const certificate = found.https?.certificate ?? null;
  const said = [certificate?.subject, ...(certificate?.names ?? []), found.http?.title, found.https?.title].filter((text) => typeof text === 'string');
  return said.some((text) => text.toUpperCase().includes(serial.toUpperCase()));
}
