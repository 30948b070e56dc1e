// One probe: asks a device by SNMP, IPP, HTTP and its certificate through the agent of its site, and makes a profile of it. Questions go one after the other, because a
// printer's network card has little memory; what fails is told by its question, and the rest is asked all the same.
import { limits } from '#base/limits.ts';
import { encodeGetPrinterAttributes, ippStatus, parseIpp, printerAttributesOf, type IppAttributes } from '#wire/ipp.ts';
import type { Profile, ProbeFailure } from '../place-rows.ts';
import type { Asking, DeviceCertificate, HttpAnswer, Reached, SnmpMeans, SnmpValue } from './asking.ts';
import { buildProfile, modelQuestions, placed, serialQuestions, type Built } from './build.ts';
import { chooseDriver, type ChosenDriver } from './choose.ts';
import { bareDriver, type Driver, type LoadedDriver } from './driver.ts';
import { hrDevicePrinter, oids, roots } from './oids.ts';
import { cleanSerial, extract, textOf } from './texts.ts';
import { failureOf, failureOfThrown, nothingAnswered } from './why.ts';

export interface ProbeOptions {
  /** identity: who it is; full: also supplies, trays, counters, status, its web page and certificate. */
  readonly depth: 'identity' | 'full';
  readonly nowMs: number;
  /** The agent's name, for failures. */
  readonly agent: string;
  readonly snmpPort?: number;
  readonly ippPort?: number;
}

/** A question and what came of it, in the order in which they were asked: what `postern probe --explain` prints. */
export interface AskedQuestion {
  readonly question: string;
  /** null: it has no answer. */
  readonly value: string | null;
  /** `noSuchInstance`, a fault's message; null: it was answered. */
  readonly why: string | null;
}

export interface Probed extends Built {
  readonly chosen: ChosenDriver | null;
  /** The MAC that the agent sees at that address; null: not seen. */
  readonly mac: string | null;
  /** What was not answered, and why, though the device as such did. */
  readonly gaps: readonly ProbeFailure[];
  /** The agent's own address; null: not known. */
  readonly from: string | null;
  /** Datagrams by SNMP. */
  readonly requests: number;
  readonly asked: readonly AskedQuestion[];
}

export interface NotProbed {
  readonly failure: ProbeFailure;
  readonly mac: string | null;
  readonly requests: number;
  readonly asked: readonly AskedQuestion[];
}

type Asker = Pick<Asking, 'reach' | 'get' | 'walk' | 'ipp' | 'http' | 'mac'>;

interface Run {
  readonly asking: Asker;
  readonly address: string;
  readonly options: ProbeOptions;
  readonly values: Map<string, SnmpValue>;
  readonly walks: Map<string, readonly SnmpValue[]>;
  readonly protocols: Set<string>;
  readonly gaps: ProbeFailure[];
  readonly asked: AskedQuestion[];
  requests: number;
  from: string | null;
}

const oidsPerGet = 24;
const whole: ReadonlySet<string> = new Set([roots.prtMarkerSupplies, roots.prtInput]);
const askedMax = 600;
const ippPaths = ['/ipp/print', '/ipp/printer', '/ipp', '/'];
const ippIdentity = ['printer-device-id', 'printer-make-and-model', 'printer-uuid', 'printer-location', 'printer-firmware-string-version', 'color-supported'];
const ippLevels = [
  'printer-state', 'printer-state-reasons', 'printer-up-time', 'printer-supply', 'printer-supply-description', 'printer-input-tray', 'marker-names', 'marker-types', 'marker-colors', 'marker-levels',
  'sides-supported', 'document-format-supported', 'printer-impressions-completed',
];

/** Rejects only for mistakes of ours; what the device or the agent did not answer is in the outcome: `'profile' in outcome` tells which. */
export async function probeDevice(asking: Asker, address: string, drivers: readonly LoadedDriver[], options: ProbeOptions): Promise<Probed | NotProbed> {
  const run: Run = { asking, address, options, values: new Map(), walks: new Map(), protocols: new Set(), gaps: [], asked: [], requests: 0, from: null };
  const full = options.depth === 'full';
  const snmp = await openSnmp(run);
  const printer = snmp === null ? await findPrinter(run) : null;
  let chosen = chooseDriver(drivers, factsOf(run, printer !== null, null));
  // IPP early where SNMP is silent or tells too little to choose by; else as the second witness.
  let ipp: IppAttributes | ProbeFailure | undefined;
  if (snmp !== null || chosen === null || chosen.by === 'fallback') {
    ipp = await askIpp(run);
    const attributes = ipp !== undefined && isAnswer(ipp) ? ipp : null;
    chosen = chooseDriver(drivers, factsOf(run, printer !== null || attributes !== null, attributes));
  }
  const driver = chosen?.driver ?? bareDriver;
  if (snmp === null) await askByDriver(run, driver, printer);
  if (ipp === undefined && (full || !hasSerial(run, driver, printer))) ipp = await askIpp(run);
  const web = full ? await askWeb(run) : { http: null, https: null };
  const mac = await attempt(run, 'mac', () => asking.mac({ address }));
  const neighbour = isFailure(mac) ? null : mac.mac;
  const attributes = ipp !== undefined && isAnswer(ipp) ? ipp : null;
  const ends = { mac: neighbour, requests: run.requests, asked: run.asked };
  if (snmp !== null && attributes === null) return { failure: nothingAnswered(snmp, ipp !== undefined && !isAnswer(ipp) ? ipp : null, aliveBy(web)), ...ends };
  if (snmp !== null) run.gaps.unshift(snmp);
  const built = buildProfile({ address, nowMs: options.nowMs, driver, printer, values: run.values, walks: run.walks, protocols: protocolsOf(run.protocols), ipp: attributes, ...web, neighbour });
  if (snmp === null) noteGaps(run, chosen, built.profile, printer);
  for (const { question, message } of built.remarks) run.gaps.push({ code: 'differs', question, address, agent: options.agent, from: run.from, message, remedy: 'Look at the device: is it the one that is meant, and is it alone at its address?' });
  return { ...built, ...ends, chosen, gaps: run.gaps, from: run.from };
}

/** The OIDs that a driver asks beside the walked tables, `{printer}` filled in. */
export function questionsOf(driver: Driver, printer: number | null, depth: ProbeOptions['depth']): readonly string[] {
  const identity = [...serialQuestions(driver), ...modelQuestions(driver), ...driver.firmware].map(({ oid }) => oid);
  const more = [oids.ppmPrinterIEEE1284DeviceId, ...(depth === 'full' ? [oids.hrPrinterStatus, oids.hrPrinterDetectedErrorState, oids.prtMarkerLifeCount, ...[...driver.counters.values()].flat().map(({ oid }) => oid)] : [])];
  return [...new Set([...identity, ...more].map((oid) => placed(oid, printer)))];
}

const isFailure = (value: object): value is ProbeFailure => 'remedy' in value && 'question' in value && 'agent' in value;
const isAnswer = (value: IppAttributes | ProbeFailure): value is IppAttributes => !isFailure(value);

/** What it rejected with, as a failure of this question. */
async function attempt<Answer extends object>(run: Run, question: string, ask: () => Promise<Answer>): Promise<Answer | ProbeFailure> {
  try {
    return await ask();
  } catch (thrown) {
    const failure = failureOfThrown(thrown, { question, address: run.address, agent: run.options.agent });
    tell(run, question, null, failure.message);
    return failure;
  }
}

function tell(run: Run, question: string, value: string | null, why: string | null): void {
  if (run.asked.length < askedMax) run.asked.push({ question, value, why });
}

function remember(run: Run, answer: SnmpMeans & { readonly values: readonly SnmpValue[] }): void {
  run.requests += answer.requests;
  run.from = answer.from ?? run.from;
  run.protocols.add(`snmp-${answer.version}`);
  for (const value of answer.values) tell(run, `snmp ${value.oid}`, value.type === 'missing' ? null : textOf(value) ?? '', value.type === 'missing' ? value.why : null);
}

/** Reaches it and asks who it is; null: it answered. */
async function openSnmp(run: Run): Promise<ProbeFailure | null> {
  const { address, asking, options } = run;
  const question = `snmp ${oids.sysObjectId}`;
  const port = options.snmpPort === undefined ? {} : { port: options.snmpPort };
  const reached = await attempt<Reached>(run, 'snmp', () => asking.reach({ address, ...port }));
  if (isFailure(reached)) return reached;
  run.requests += reached.requests;
  run.from = reached.from;
  if (reached.version === null) {
    const failure = reached.fault === null
      ? { code: 'silent', question, address, agent: options.agent, from: reached.from, message: `nobody answers SNMP at ${address}`, remedy: 'Is SNMP switched on in the device, and may the agent reach it?' }
      : failureOf(reached.fault, { question, address, agent: options.agent });
    tell(run, 'snmp', null, failure.message);
    return failure;
  }
  const first = [oids.sysDescr, oids.sysObjectId, oids.sysUpTime, oids.sysName, oids.sysLocation, ...[oids.hrDeviceDescr, oids.prtGeneralSerialNumber, oids.prtGeneralPrinterName].map((oid) => placed(oid, 1))];
  return getAll(run, first);
}

/** null: all was answered, if only by "no such object". What was asked before is not asked again. */
async function getAll(run: Run, wanted: readonly string[]): Promise<ProbeFailure | null> {
  const missing = [...new Set(wanted)].filter((oid) => !run.values.has(oid));
  const port = run.options.snmpPort === undefined ? {} : { port: run.options.snmpPort };
  for (let at = 0; at < missing.length; at += oidsPerGet) {
    const some = missing.slice(at, at + oidsPerGet);
    const got = await attempt(run, `snmp ${some[0]}`, () => run.asking.get({ address: run.address, oids: some, ...port }));
    if (isFailure(got)) return got;
    remember(run, got);
    // Answers are by place; an agent that changes OIDs changes nothing here.
    for (const [index, oid] of some.entries()) if (got.values[index] !== undefined) run.values.set(oid, got.values[index]);
  }
  return null;
}

async function walkAll(run: Run, root: string, valuesMax: number): Promise<ProbeFailure | null> {
  const port = run.options.snmpPort === undefined ? {} : { port: run.options.snmpPort };
  const values: SnmpValue[] = [];
  run.walks.set(root, values);
  for (let after: string | null | undefined; after !== null && values.length < valuesMax; ) {
    const from: { after?: string } = after === undefined ? {} : { after };
    const walked = await attempt(run, `snmp ${root}`, () => run.asking.walk({ address: run.address, root, max: valuesMax - values.length, ...from, ...port }));
    if (isFailure(walked)) return walked;
    remember(run, walked);
    values.push(...walked.values);
    // A walk that gives nothing and says that there is more would go on for ever.
    after = walked.values.length === 0 ? null : walked.next;
  }
  return null;
}

/** The printer among its parts; null: it has none. Many small devices answer the printer's tables and leave the list of parts empty. */
async function findPrinter(run: Run): Promise<number | null> {
  const failed = await walkAll(run, roots.hrDeviceType, limits.probeRowsMax);
  if (failed !== null) run.gaps.push(failed);
  const printer = (run.walks.get(roots.hrDeviceType) ?? []).find((value) => value.type === 'oid' && value.value === hrDevicePrinter);
  if (printer !== undefined) {
    const index = Number(printer.oid.slice(roots.hrDeviceType.length + 1));
    if (Number.isSafeInteger(index) && index > 0) return index;
  }
  // Blank is an answer, too: the table is there.
  const answered = [oids.prtGeneralSerialNumber, oids.prtGeneralPrinterName].some((oid) => (run.values.get(placed(oid, 1))?.type ?? 'missing') !== 'missing');
  return answered ? 1 : null;
}

/** The driver's questions, then the tables. Two failures in a row: it has enough. */
async function askByDriver(run: Run, driver: Driver, printer: number | null): Promise<void> {
  const tables: string[] = [roots.ifPhysAddress, roots.ipAdEntIfIndex];
  if (run.options.depth === 'full' && printer !== null) tables.push(roots.prtMarkerSupplies, roots.prtMarkerColorantValue, roots.prtInput, roots.prtMediaPathType, roots.prtInterpreterLangFamily);
  const failed = await getAll(run, [oids.hrDeviceDescr, ...questionsOf(driver, printer, run.options.depth)].map((oid) => placed(oid, printer)));
  if (failed !== null) run.gaps.push(failed);
  let failures = failed === null ? 0 : 1;
  for (const root of tables) {
    // Column after column: what is cut off is the levels.
    const gap = await walkAll(run, root, whole.has(root) ? limits.probeTableValuesMax : limits.probeRowsMax);
    failures = gap === null ? 0 : failures + 1;
    if (gap !== null) run.gaps.push(gap);
    if (failures >= 2) return;
  }
}

function factsOf(run: Run, printer: boolean, ipp: IppAttributes | null) {
  const said = [oids.sysDescr, oids.hrDeviceDescr, oids.ppmPrinterIEEE1284DeviceId].map((oid) => textOf(run.values.get(placed(oid, 1))));
  const byIpp = ['printer-make-and-model', 'printer-device-id'].map((name) => (ipp !== null && Object.hasOwn(ipp, name) ? String(ipp[name]![0]) : null));
  return { sysObjectId: textOf(run.values.get(oids.sysObjectId)), descriptions: [...said, ...byIpp].filter((text) => text !== null), printer };
}

const hasSerial = (run: Run, driver: Driver, printer: number | null): boolean =>
  serialQuestions(driver).some(({ oid, pattern }) => cleanSerial(extract(run.values.get(placed(oid, printer)), pattern), driver.ignore.serials) !== null);

/** Get-Printer-Attributes at the paths that printers have, with TLS where they want it. */
async function askIpp(run: Run): Promise<IppAttributes | ProbeFailure> {
  const { address, options, asking } = run;
  const attributes = options.depth === 'full' ? [...ippIdentity, ...ippLevels] : ippIdentity;
  const port = options.ippPort === undefined ? {} : { port: options.ippPort };
  const host = address.includes(':') ? `[${address}]` : address;
  let tls = false;
  let version: readonly [number, number] = [1, 1];
  let last: ProbeFailure | null = null;
  const failed = (message: string): ProbeFailure => ({ code: 'partial', question: 'ipp', address, agent: options.agent, from: run.from, message, remedy: 'Is IPP switched on in the device?' });
  // Each step costs a request: four paths, once more with TLS, once more in another version.
  for (let step = 0, path = 0; step < ippPaths.length + 2 && path < ippPaths.length; step++) {
    const uri = `${tls ? 'ipps' : 'ipp'}://${host}${ippPaths[path]}`;
    const question = `ipp ${uri}`;
    const answer = await attempt(run, question, () => asking.ipp({ address, ...port, tls, path: ippPaths[path]!, body: encodeGetPrinterAttributes({ requestId: step + 1, uri, attributes, version }) }));
    if (isFailure(answer)) {
      // A printer that takes nothing but TLS on this port ends the connection, or answers with an alert.
      if (tls || (answer.code !== 'closed' && answer.code !== 'damaged')) return answer;
      tls = true;
      continue;
    }
    run.from = answer.from ?? run.from;
    if (!tls && (answer.status === 426 || (answer.location ?? '').startsWith('https:'))) {
      tls = true;
      continue;
    }
    if (answer.status !== 200) {
      last = failed(`IPP at ${address}: HTTP status ${answer.status} at ${ippPaths[path]}`);
      path += 1;
      continue;
    }
    const read = await attempt(run, question, async () => parseIpp(answer.body));
    if (isFailure(read)) return read;
    if (read.status === ippStatus.versionNotSupported && version[0] === 1) version = [2, 0];
    else if (read.status < 0x100) {
      run.protocols.add(tls ? 'ipps' : 'ipp');
      const found = printerAttributesOf(read);
      for (const [name, values] of Object.entries(found)) tell(run, `ipp ${name}`, values.join(', ').slice(0, 255), null);
      return found;
    } else {
      last = failed(`IPP at ${address}: status 0x${read.status.toString(16).padStart(4, '0')} at ${ippPaths[path]}`);
      path += 1;
    }
  }
  const failure = last ?? failed(`IPP at ${address} answers, and not to Get-Printer-Attributes`);
  tell(run, 'ipp', null, failure.message);
  return failure;
}

interface Web {
  readonly http: HttpAnswer | null;
  readonly https: HttpAnswer | null;
}

async function askWeb(run: Run): Promise<Web> {
  const ask = async (tls: boolean) => {
    const question = tls ? 'https' : 'http';
    const answer = await attempt(run, question, () => run.asking.http({ address: run.address, tls }));
    if (isFailure(answer)) return null;
    run.protocols.add(question);
    run.from = answer.from ?? run.from;
    tell(run, question, `${answer.status}${answer.server === null ? '' : `, Server ${answer.server}`}${answer.title === null ? '' : `, title ${answer.title}`}${subjectOf(answer.certificate)}`.slice(0, 255), null);
    return answer;
  };
  return { http: await ask(false), https: await ask(true) };
}

const subjectOf = (certificate: DeviceCertificate | null): string => (certificate === null ? '' : `, certificate of ${certificate.subject}`);

function aliveBy({ http, https }: Web): string | null {
  const answer = http ?? https;
  return answer === null ? null : `its web page answers${answer.server === null ? '' : ` (Server: ${answer.server.slice(0, 80)})`}`;
}

const protocolOrder = ['snmp-v1', 'snmp-v2c', 'snmp-v3', 'ipp', 'ipps', 'http', 'https'];
const protocolsOf = (found: ReadonlySet<string>): readonly string[] => protocolOrder.filter((name) => found.has(name));

/** What other products call "driver not found": which question was not answered, so that somebody can see to it. */
function noteGaps(run: Run, chosen: ChosenDriver | null, profile: Profile, printer: number | null): void {
  const { address, from, options } = run;
  const common = { address, agent: options.agent, from };
  const sysObjectId = textOf(run.values.get(oids.sysObjectId));
  if (chosen === null || chosen.by === 'fallback') {
    run.gaps.push({
      ...common, code: 'unknown-device', question: `snmp ${oids.sysObjectId}`,
      message: `no driver knows ${sysObjectId === null ? 'a device without a sysObjectID' : `sysObjectID ${sysObjectId}`} that says of itself "${(textOf(run.values.get(oids.sysDescr)) ?? '').slice(0, 120)}"; it was asked what the standard tables have`,
      remedy: 'Where serial number or model are missing, add a driver: docs/operate/drivers.md.',
    });
  }
  if (profile.serial !== null) return;
  const questions = serialQuestions(chosen?.driver ?? bareDriver).map(({ oid }) => placed(oid, printer));
  run.gaps.push({
    ...common, code: 'partial', question: `snmp ${questions[0]}`,
    message: `it answers, and has no serial number where it was looked for: ${questions.map((oid) => `${oid} (${whyOf(run.values.get(oid))})`).join(', ')}`,
    remedy: 'Look for the serial number with `snmpwalk`, and name its OID in a driver: docs/operate/drivers.md.',
  });
}

function whyOf(value: SnmpValue | undefined): string {
  if (value === undefined) return 'not asked';
  return value.type === 'missing' ? value.why : `"${(textOf(value) ?? '').slice(0, 40)}"`;
}
