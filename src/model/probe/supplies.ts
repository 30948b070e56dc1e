// Supplies and trays as people understand them, from the tables of RFC 3805 or from IPP (PWG 5100.9, 5100.13), with the oddities of both: levels below zero, containers
// that fill, percents in disguise, colours that only the colorant table tells.
import { limits } from '#base/limits.ts';
import type { IppAttributes } from '#wire/ipp.ts';
import type { SupplyReading } from '../place-rows.ts';
import type { Driver, SupplyQuirks, SupplyState } from './driver.ts';
import { inputType, supplyType, units } from './oids.ts';
import { tidy } from './texts.ts';

/** One row as it was read; null: that column is empty. */
export interface SupplyRow {
  readonly name: string | null;
  readonly type: string;
  /** By the colorant table or an attribute; null: not told. */
  readonly colour: string | null;
  readonly colorantIndex: number | null;
  /** consumed, filled; null: not told. */
  readonly fills: boolean | null;
  readonly unit: string | null;
  readonly max: number | null;
  readonly level: number | null;
  /** What the level of something that fills counts, where that is known better than from the driver. */
  readonly waste?: SupplyQuirks['waste'];
}

/** A device's own counting is sometimes a little above what it says is full. */
const aboveFull = 1.1;
const lowPercent = 10;
const colourNames = ['black', 'cyan', 'magenta', 'yellow', 'red', 'green', 'blue', 'orange', 'violet', 'white', 'gray', 'grey', 'clear'];
const noColours = new Set(['none', 'unknown', 'other', 'n/a', '']);
/** Only what carries colour has one in its name: "Black Stapler" is no black supply. */
const coloured = new Set(['toner', 'ink', 'opc', 'developer', 'solid-wax', 'ink-ribbon', 'unknown', 'other', 'matte-toner', 'matte-ink']);

export function readSupplies(rows: readonly SupplyRow[], driver: Driver): SupplyReading[] {
  const wanted = rows.filter((row) => row.name === null || !driver.ignore.supplies.some((pattern) => pattern.test(row.name!))).slice(0, limits.probeSuppliesMax);
  const readings = wanted.map((row) => {
    const colour = colourOf(row, driver.supplies);
    const fills = row.fills === true || row.type.startsWith('waste-');
    // Waste that is said to be consumed contradicts itself: which way it counts nobody knows.
    const waste = fills && row.fills === false ? 'unknown' : row.waste ?? driver.supplies.waste;
    return reading(row, colour, fills, waste, driver.supplies, nameOf(row, colour));
  });
  return withKeys(readings, (each) => (each.colour === null ? each.type : `${each.type}-${each.colour}`));
}

export function readTrays(rows: readonly SupplyRow[], driver: Driver): SupplyReading[] {
  const readings = rows.slice(0, limits.probeSuppliesMax).map((row, index) => reading(row, null, false, 'unknown', driver.supplies, row.name ?? `Tray ${index + 1}`));
  return withKeys(readings, (each) => each.type);
}

type Unkeyed = Omit<SupplyReading, 'key'>;

function reading(row: SupplyRow, colour: string | null, fills: boolean, waste: SupplyQuirks['waste'], quirks: SupplyQuirks, name: string): Unkeyed {
  const { level, unit } = row;
  const max = row.max !== null && row.max > 0 ? row.max : null;
  const share = shareOf(level, max, unit);
  const percent = share === null ? null : !fills ? share : waste === 'unknown' ? null : waste === 'filled' ? share : 100 - share;
  return { name, type: row.type, colour, percent, state: stateOf(level, percent, fills, quirks), level: level !== null && level >= 0 ? level : null, max, unit, fills };
}

/** level as a part of max, 0 … 100; null where either is not told or they do not fit together. */
function shareOf(level: number | null, max: number | null, unit: string | null): number | null {
  if (level === null || level < 0) return null;
  // Without a capacity, percent speaks for itself (RFC 3805 prtMarkerSuppliesSupplyUnit 19).
  const whole = max ?? (unit === 'percent' ? 100 : null);
  if (whole === null || level > whole * aboveFull) return null;
  return Math.min(100, Math.round((100 * level) / whole));
}

/** For what fills, `low` is nearly full and `empty` is full: a person has to do something. */
function stateOf(level: number | null, percent: number | null, fills: boolean, quirks: SupplyQuirks): SupplyState {
  // -3: some is left (RFC 3805). Of waste it would be room that is left, and no two vendors mean the same by it.
  if (level !== null && level < 0) return fills ? 'unknown' : quirks.levels.get(level) ?? (level === -3 ? 'some' : 'unknown');
  if (percent === null) {
    if (fills || level === null) return 'unknown';
    // In a unit without a capacity: none is none.
    return level === 0 ? 'empty' : 'some';
  }
  const left = fills ? 100 - percent : percent;
  return left === 0 ? 'empty' : left <= lowPercent ? 'low' : 'ok';
}

function colourOf(row: SupplyRow, quirks: SupplyQuirks): string | null {
  const told = (row.colour ?? '').trim().toLowerCase();
  if (!noColours.has(told) && told.length <= 40) return told.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '') || null;
  if (!coloured.has(row.type)) return null;
  const named = colourIn(row.name);
  if (named !== null) return named;
  // Index 0 is "no colorant" (RFC 3805); which colour 1 is, is the vendor's choice.
  return row.colour === null && row.colorantIndex !== null && row.colorantIndex > 0 ? quirks.colorants[row.colorantIndex - 1] ?? null : null;
}

function colourIn(name: string | null): string | null {
  const words = (name ?? '').toLowerCase().split(/[^a-z]+/);
  const found = colourNames.filter((each) => words.includes(each));
  // "Cyan/Magenta/Yellow" is no colour but three.
  return found.length === 1 ? found[0]! : null;
}

function nameOf(row: SupplyRow, colour: string | null): string {
  // A cartridge's own serial number behind its name would make a new name of each.
  const told = tidy(row.name?.replace(/[;,\s]+S\/?N\b.*$/i, ''));
  if (told !== null) return told;
  const words = row.type.replaceAll('-', ' ');
  return colour === null ? words : `${colour} ${words}`;
}

/** Series are kept by key: what it is, and a number where there are several, in the device's order. */
function withKeys(readings: readonly Unkeyed[], keyOf: (each: Unkeyed) => string): SupplyReading[] {
  const counts = new Map<string, number>();
  return readings.map((each) => {
    const base = keyOf(each);
    const count = (counts.get(base) ?? 0) + 1;
    counts.set(base, count);
    return { key: count === 1 ? base : `${base}-${count}`, ...each };
  });
}

/** A row of prtMarkerSuppliesTable by columns. */
export function supplyRow(column: (number: number) => number | null, description: string | null, colour: string | null): SupplyRow {
  const kind = column(4);
  return {
    name: description,
    type: supplyType(column(5)),
    colour,
    colorantIndex: column(3),
    fills: kind === 4 ? true : kind === 3 ? false : null,
    unit: units.get(column(7) ?? 0) ?? null,
    max: column(8),
    level: column(9),
  };
}

/** A row of prtInputTable. */
export function trayRow(column: (number: number) => number | null, name: string | null): SupplyRow {
  return { name, type: inputType(column(2)), colour: null, colorantIndex: null, fills: false, unit: units.get(column(8) ?? 0) ?? null, max: column(9), level: column(10) };
}

/** `printer-supply` has all of it; the older `marker-…` are lists side by side. */
export function ippSupplyRows(attributes: IppAttributes): SupplyRow[] {
  const supplies = textsOf(attributes, 'printer-supply');
  const descriptions = textsOf(attributes, 'printer-supply-description');
  if (supplies.length > 0) return supplies.map((text, index) => supplyOfText(text, descriptions[index] ?? null));
  const names = textsOf(attributes, 'marker-names');
  const types = textsOf(attributes, 'marker-types');
  const colours = textsOf(attributes, 'marker-colors');
  const levels = numbersOf(attributes, 'marker-levels');
  return levels.map((level, index) => ({
    name: tidy(names[index]),
    type: plainType(types[index] ?? 'unknown'),
    colour: colourOfHex(colours[index]),
    colorantIndex: null,
    fills: (types[index] ?? '').startsWith('waste-') ? true : null,
    unit: 'percent',
    max: 100,
    level,
    // How full it is, there: its marker-high-levels says from where on it is nearly full (PWG 5100.9).
    waste: 'filled' as const,
  }));
}

/** `type=toner;maxcapacity=100;level=50;class=supplyThatIsConsumed;colorantname=cyan;` */
function supplyOfText(text: string, description: string | null): SupplyRow {
  const fields = fieldsOf(text);
  const supplyClass = fields.get('class') ?? '';
  return {
    name: tidy(description ?? fields.get('description')),
    type: plainType(dashed(fields.get('type') ?? 'unknown')),
    colour: fields.get('colorantname') ?? null,
    colorantIndex: null,
    fills: /receptacle|filled/i.test(supplyClass) ? true : /consumed/i.test(supplyClass) ? false : null,
    unit: unitOfWord(fields.get('unit')),
    max: wholeNumber(fields.get('maxcapacity')),
    level: wholeNumber(fields.get('level')),
  };
}

export function ippTrayRows(attributes: IppAttributes): SupplyRow[] {
  return textsOf(attributes, 'printer-input-tray').map((text) => {
    const fields = fieldsOf(text);
    const kind = (fields.get('type') ?? '').toLowerCase();
    return {
      name: tidy(fields.get('name')),
      type: kind.includes('manual') ? 'manual' : kind.includes('roll') ? 'roll' : kind.includes('fanfold') ? 'fanfold' : 'tray',
      colour: null,
      colorantIndex: null,
      fills: false,
      unit: unitOfWord(fields.get('unit')),
      max: wholeNumber(fields.get('maxcapacity')),
      level: wholeNumber(fields.get('level')),
    };
  });
}

export const textsOf = (attributes: IppAttributes, name: string): string[] => valuesOf(attributes, name).filter((value) => typeof value === 'string');
export const numbersOf = (attributes: IppAttributes, name: string): number[] => valuesOf(attributes, name).filter((value) => typeof value === 'number');
const valuesOf = (attributes: IppAttributes, name: string) => (Object.hasOwn(attributes, name) ? attributes[name]! : []);

const fieldsOf = (text: string): ReadonlyMap<string, string> => new Map(text.slice(0, 4_096).split(/[;\r\n]+/).map((part) => {
  const at = part.indexOf('=');
  return [part.slice(0, Math.max(at, 0)).trim().toLowerCase(), part.slice(at + 1).trim()] as const;
}));
const wholeNumber = (text: string | undefined): number | null => (text !== undefined && /^-?\d{1,9}$/.test(text) ? Number(text) : null);
const dashed = (word: string): string => word.replace(/([a-z])([A-Z])/g, '$1-$2').toLowerCase();
const plainType = (word: string): string => {
  const type = word.toLowerCase().replace(/[^a-z0-9-]/g, '').slice(0, 40).replace(/-cartridge$/, '');
  return type === 'inkcartridge' ? 'ink' : type === 'tonercartridge' ? 'toner' : type === 'wastetoner' ? 'waste-toner' : type === 'wasteink' ? 'waste-ink' : type === '' ? 'unknown' : type;
};
const unitWords: Readonly<Record<string, string>> = {
  percent: 'percent', impressions: 'impressions', sheets: 'sheets', hours: 'hours', micrometers: 'micrometres', tenthsofgrams: 'tenths of grams', tenthsofmilliliters: 'tenths of millilitres', feet: 'feet', meters: 'metres', items: 'items',
};
const unitOfWord = (word: string | undefined): string | null => {
  const key = (word ?? '').toLowerCase();
  return Object.hasOwn(unitWords, key) ? unitWords[key]! : null;
};

const hexColours: Readonly<Record<string, string>> = { '#000000': 'black', '#00ffff': 'cyan', '#ff00ff': 'magenta', '#ffff00': 'yellow', '#ffffff': 'white', '#ff0000': 'red', '#00ff00': 'green', '#0000ff': 'blue', '#808080': 'gray' };
const colourOfHex = (text: string | undefined): string | null => {
  const key = (text ?? '').toLowerCase();
  return Object.hasOwn(hexColours, key) ? hexColours[key]! : null;
};
