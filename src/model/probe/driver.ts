// Drivers: what must be known of a vendor's devices to ask and to understand them, as data (docs/operate/drivers.md). Shipped ones are the files in
// `drivers/`, an owner's stand in the data folder; both are read here, and everything that is wrong in one is named with its path.
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { compilePattern, type Pattern } from '../pattern.ts';
import type { SupplyReading } from '../place-rows.ts';

/** An OID to ask; with a pattern, its first group (or one named `value`) is what counts. `{printer}` stands for the printer's index in the device. */
export interface Question {
  readonly oid: string;
  readonly pattern: Pattern | null;
}

export type FunctionName = 'print' | 'copy' | 'scan' | 'fax';
export const functionNames: readonly FunctionName[] = ['print', 'copy', 'scan', 'fax'];
export type SupplyState = SupplyReading['state'];

export interface SupplyQuirks {
  /** Colours by colorant index from 1, for devices that leave their colorant table empty. */
  readonly colorants: readonly string[];
  /** What levels below zero mean to this vendor, where it is not what RFC 3805 says. */
  readonly levels: ReadonlyMap<number, SupplyState>;
  /** What the level of a waste container counts: what still fits (RFC 3805), what is in it, or nothing that can be believed. */
  readonly waste: 'remaining' | 'filled' | 'unknown';
}

export interface Driver {
  readonly key: string;
  /** null: a driver of last resort. */
  readonly vendor: string | null;
  /** Other ways in which it writes its name; cut off models. */
  readonly names: readonly string[];
  readonly note: string;
  /** Takes what no other driver takes: printers, or everything. */
  readonly fallback: 'printer' | 'device' | null;
  readonly enterpriseIds: readonly number[];
  /** Prefixes. */
  readonly sysObjectIds: readonly string[];
  readonly descriptions: readonly Pattern[];
  readonly serial: readonly Question[];
  readonly model: readonly Question[];
  readonly firmware: readonly Question[];
  /** By name, `pages`, `scans` …; the first OID that has a number counts. */
  readonly counters: ReadonlyMap<string, readonly Question[]>;
  readonly functions: Readonly<Record<FunctionName, boolean | Pattern | null>>;
  readonly supplies: SupplyQuirks;
  /** User-Agent of the device's own programs. */
  readonly clients: readonly Pattern[];
  readonly ignore: { readonly serials: readonly Pattern[]; readonly supplies: readonly Pattern[] };
}

export interface DriverProblem {
  /** `serial[1].oid`; empty: the file as a whole. */
  readonly path: string;
  readonly message: string;
}

export interface DriverFile {
  readonly file: string;
  readonly text: string;
  /** The owner's, not one that was shipped. */
  readonly own: boolean;
}

export interface LoadedDriver {
  readonly driver: Driver;
  readonly own: boolean;
  readonly file: string;
}

/** What is known without any driver: the standard tables. */
export const bareDriver: Driver = {
  key: 'none', vendor: null, names: [], note: '', fallback: 'device', enterpriseIds: [], sysObjectIds: [], descriptions: [], serial: [], model: [], firmware: [], counters: new Map(),
  functions: { print: null, copy: null, scan: null, fax: null }, supplies: { colorants: [], levels: new Map(), waste: 'remaining' }, clients: [], ignore: { serials: [], supplies: [] },
};

const fieldNames = ['key', 'vendor', 'names', 'note', 'fallback', 'enterpriseIds', 'sysObjectIds', 'descriptions', 'serial', 'model', 'firmware', 'counters', 'functions', 'supplies', 'clients', 'ignore'];
const listMax = 64;
const problemsMax = 50;
const textMax = 200;
const states: readonly SupplyState[] = ['ok', 'low', 'empty', 'some', 'unknown'];

/** Reads one driver. Nothing is thrown: what is wrong comes with its path, at most 50 of it. */
export function parseDriver(text: string): { readonly driver: Driver } | { readonly problems: readonly DriverProblem[] } {
  if (text.length > limits.driverBytesMax) return { problems: [{ path: '', message: `has more than ${limits.driverBytesMax} characters` }] };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    return { problems: [{ path: '', message: `is no JSON: ${thrown instanceof Error ? thrown.message.slice(0, textMax) : 'it cannot be read'}` }] };
  }
  const problems: DriverProblem[] = [];
  const driver = readDriver(value, (path, message) => {
    if (problems.length < problemsMax) problems.push({ path, message });
  });
  return problems.length === 0 && driver !== null ? { driver } : { problems };
}

/** All drivers of a gateway. An owner's driver replaces a shipped one with its key; a file that cannot be read is left out and said. */
export function gatherDrivers(files: readonly DriverFile[]): { readonly drivers: readonly LoadedDriver[]; readonly problems: readonly (DriverProblem & { readonly file: string })[] } {
  const found = new Map<string, LoadedDriver>();
  const problems: (DriverProblem & { file: string })[] = [];
  // Shipped ones first, so that an owner's comes later and stays.
  for (const { file, text, own } of [...files].sort((a, b) => Number(a.own) - Number(b.own) || (a.file < b.file ? -1 : 1))) {
    const parsed = parseDriver(text);
    if ('problems' in parsed) {
      problems.push(...parsed.problems.map((problem) => ({ ...problem, file })));
      continue;
    }
    const before = found.get(parsed.driver.key);
    if (before !== undefined && before.own === own) problems.push({ file, path: 'key', message: `"${parsed.driver.key}" is already the driver in ${before.file}` });
    else if (before === undefined && found.size >= limits.driversMax) problems.push({ file, path: '', message: `is one more than ${limits.driversMax} drivers` });
    else found.set(parsed.driver.key, { driver: parsed.driver, own, file });
  }
  return { drivers: [...found.values()], problems };
}

type Report = (path: string, message: string) => void;
type Fields = Readonly<Partial<Record<string, unknown>>>;

function readDriver(value: unknown, report: Report): Driver | null {
  const fields = readFields(value, '', fieldNames, report);
  if (fields === null) return null;
  const key = readText(fields['key'], 'key', report);
  if (key !== null && (key.length > 64 || !/^[a-z0-9]+(?:-[a-z0-9]+)*$/.test(key))) report('key', 'has at most 64 small letters, digits and single hyphens, like `hp` or `acme-labels`');
  const fallback = fields['fallback'] ?? null;
  if (fallback !== null && fallback !== 'printer' && fallback !== 'device') report('fallback', 'is `printer`, `device` or left out');
  const vendor = fields['vendor'] === undefined ? null : readText(fields['vendor'], 'vendor', report);
  if (vendor === null && fallback === null && fields['vendor'] === undefined) report('vendor', 'is missing');
  const enterpriseIds = readList(fields['enterpriseIds'], 'enterpriseIds', report, (item, path) => {
    if (typeof item === 'number' && Number.isInteger(item) && item >= 0 && item <= 0xffff_ffff) return item;
    report(path, 'is a number that IANA gave to a vendor');
    return null;
  });
  const sysObjectIds = readList(fields['sysObjectIds'], 'sysObjectIds', report, (item, path) => readOid(item, path, report));
  const descriptions = readPatterns(fields['descriptions'], 'descriptions', report);
  if (fallback === null && enterpriseIds.length + sysObjectIds.length + descriptions.length === 0) report('', 'names no device: one of enterpriseIds, sysObjectIds and descriptions is needed');
  const ignore = readFields(fields['ignore'] ?? {}, 'ignore', ['serials', 'supplies'], report) ?? {};
  return {
    key: key ?? '',
    vendor,
    names: readList(fields['names'], 'names', report, (item, path) => readText(item, path, report)),
    note: fields['note'] === undefined ? '' : readText(fields['note'], 'note', report, 2_000) ?? '',
    fallback: fallback === 'printer' || fallback === 'device' ? fallback : null,
    enterpriseIds,
    sysObjectIds,
    descriptions,
    serial: readQuestions(fields['serial'], 'serial', report),
    model: readQuestions(fields['model'], 'model', report),
    firmware: readQuestions(fields['firmware'], 'firmware', report),
    counters: readCounters(fields['counters'], report),
    functions: readFunctions(fields['functions'], report),
    supplies: readQuirks(fields['supplies'], report),
    clients: readPatterns(fields['clients'], 'clients', report),
    ignore: { serials: readPatterns(ignore['serials'], 'ignore.serials', report), supplies: readPatterns(ignore['supplies'], 'ignore.supplies', report) },
  };
}

/** An object with these fields and no others; null: absent or none. */
function readFields(value: unknown, path: string, names: readonly string[] | null, report: Report): Fields | null {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    report(path, 'is an object, { … }');
    return null;
  }
  const entries = Object.entries(value);
  if (entries.length > listMax) {
    report(path, `has more than ${listMax} fields`);
    return null;
  }
  if (names !== null) for (const [name] of entries) if (!names.includes(name)) report(path === '' ? name.slice(0, textMax) : `${path}.${name.slice(0, textMax)}`, `is unknown here; known: ${names.join(', ')}`);
  return Object.fromEntries(entries);
}

function readText(value: unknown, path: string, report: Report, max = textMax): string | null {
  if (typeof value === 'string' && value.trim() !== '' && value.length <= max && !/\p{Cc}/u.test(value)) return value;
  report(path, value === undefined ? 'is missing' : `is a text of 1 to ${max} characters in one line`);
  return null;
}

function readList<Item>(value: unknown, path: string, report: Report, read: (item: unknown, path: string) => Item | null): readonly Item[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > listMax) {
    report(path, `is a list of at most ${listMax}, [ … ]`);
    return [];
  }
  return value.map((item, index) => read(item, `${path}[${index}]`)).filter((item) => item !== null);
}

function readPattern(value: unknown, path: string, report: Report): Pattern | null {
  const text = readText(value, path, report);
  if (text === null) return null;
  try {
    return compilePattern(text);
  } catch (thrown) {
    report(path, thrown instanceof Fault ? thrown.message : 'is no pattern');
    return null;
  }
}

const readPatterns = (value: unknown, path: string, report: Report) => readList(value, path, report, (item, at) => readPattern(item, at, report));

function readOid(value: unknown, path: string, report: Report): string | null {
  if (typeof value === 'string' && value.length <= textMax && /^[0-2](?:\.(?:0|[1-9]\d{0,9}))+$/.test(value)) return value;
  report(path, 'is an OID in numbers without a dot before them, like 1.3.6.1.2.1.43.5.1.1.17.1');
  return null;
}

/** Checked as if the printer's index were 1. */
const readAskedOid = (value: unknown, path: string, report: Report): string | null =>
  readOid(typeof value === 'string' ? value.replaceAll('{printer}', '1') : value, path, report) === null ? null : String(value);

function readQuestion(value: unknown, path: string, report: Report): Question | null {
  const fields = typeof value === 'string' ? { oid: value } : readFields(value, path, ['oid', 'pattern'], report);
  if (fields === null) return null;
  const oid = readAskedOid(fields['oid'], typeof value === 'string' ? path : `${path}.oid`, report);
  const pattern = fields['pattern'] === undefined ? null : readPattern(fields['pattern'], `${path}.pattern`, report);
  return oid === null ? null : { oid, pattern };
}

function readQuestions(value: unknown, path: string, report: Report): readonly Question[] {
  return readList(Array.isArray(value) || value === undefined ? value : [value], path, report, (item, at) => readQuestion(item, at, report));
}

function readCounters(value: unknown, report: Report): ReadonlyMap<string, readonly Question[]> {
  const fields = readFields(value ?? {}, 'counters', null, report) ?? {};
  const out = new Map<string, readonly Question[]>();
  for (const [name, questions] of Object.entries(fields)) {
    if (/^[a-z][a-z0-9-]{0,39}$/.test(name)) out.set(name, readQuestions(questions, `counters.${name}`, report));
    else report(`counters.${name.slice(0, textMax)}`, 'is a name of small letters, digits and hyphens');
  }
  return out;
}

function readFunctions(value: unknown, report: Report): Driver['functions'] {
  const fields = readFields(value ?? {}, 'functions', functionNames, report) ?? {};
  const read = (name: FunctionName) => {
    const given = fields[name];
    if (given === undefined || typeof given === 'boolean') return given ?? null;
    return readPattern(given, `functions.${name}`, report);
  };
  return { print: read('print'), copy: read('copy'), scan: read('scan'), fax: read('fax') };
}

function readQuirks(value: unknown, report: Report): SupplyQuirks {
  const fields = readFields(value ?? {}, 'supplies', ['colorants', 'levels', 'waste'], report) ?? {};
  const levels = new Map<number, SupplyState>();
  for (const [level, meaning] of Object.entries(readFields(fields['levels'] ?? {}, 'supplies.levels', null, report) ?? {})) {
    const state = states.find((each) => each === meaning);
    if (/^-[1-9]\d{0,3}$/.test(level) && state !== undefined) levels.set(Number(level), state);
    else report(`supplies.levels.${level.slice(0, textMax)}`, `a number below zero is one of ${states.join(', ')}`);
  }
  const waste = fields['waste'] ?? 'remaining';
  if (waste !== 'remaining' && waste !== 'filled' && waste !== 'unknown') report('supplies.waste', 'is `remaining` (what still fits, RFC 3805), `filled` (what is in it) or `unknown`');
  return {
    colorants: readList(fields['colorants'], 'supplies.colorants', report, (item, path) => readText(item, path, report)),
    levels,
    waste: waste === 'filled' || waste === 'unknown' ? waste : 'remaining',
  };
}
