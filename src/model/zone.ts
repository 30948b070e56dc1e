// Time zones for devices: the rule of an IANA zone as a POSIX TZ string, and its next transitions. The rule is found by looking at
// what the runtime's own zone data (Intl) says about the coming years, and given only if it says the same.

export interface ZoneTransition {
  /** Seconds since 1970 UTC. */
  readonly at: number;
  /** Seconds east of UTC from then on. */
  readonly offset: number;
}

export interface ZoneRules {
  /** As IANA has it: `Europe/London`. */
  readonly name: string;
  /** POSIX.1-2024 §8.3 `TZ`: `GMT0BST,M3.5.0/1,M10.5.0`; of a zone without such a rule its offset alone: `<+01>-1`. */
  readonly posix: string;
  /** false: `posix` holds only until the first of `next`. */
  readonly hasRule: boolean;
  /** Seconds east of UTC now. */
  readonly offset: number;
  /** At most four, the soonest first. */
  readonly next: readonly ZoneTransition[];
}

const daySeconds = 86_400;
/** A zone's rule must hold for so long; what is later than that, no zone data knows. */
const lookAheadSeconds = 12 * 366 * daySeconds;
/** Shorter than what any zone puts between two transitions (Morocco: about 30 days). */
const stepSeconds = 7 * daySeconds;
const keepSeconds = 30 * daySeconds;
const nextMax = 4;
const cacheMax = 1_000;

interface Zone {
  readonly name: string;
  readonly from: number;
  readonly offset: number;
  readonly transitions: readonly ZoneTransition[];
  readonly posix: string | null;
}

const cache = new Map<string, Zone>();

/** null: there is no such zone. Names are compared without regard to letter case, as Intl does. */
export function zoneRules(name: string, nowMs: number): ZoneRules | null {
  const now = Math.floor(nowMs / 1_000);
  const format = formatOf(name);
  if (format === null) return null;
  const canonical = format.resolvedOptions().timeZone;
  let zone = cache.get(canonical);
  if (!zone || now < zone.from || now > zone.from + keepSeconds) {
    zone = readZone(canonical, format, now);
    if (cache.size >= cacheMax) cache.delete(cache.keys().next().value!);
    cache.set(canonical, zone);
  }
  const index = zone.transitions.findIndex((each) => each.at > now);
  const first = index < 0 ? zone.transitions.length : index;
  const offset = first === 0 ? zone.offset : zone.transitions[first - 1]!.offset;
  return { name: canonical, posix: zone.posix ?? posixFixed(offset, nameAt(canonical, offset, now)), hasRule: zone.posix !== null, offset, next: zone.transitions.slice(first, first + nextMax) };
}

export const isZone = (name: string): boolean => formatOf(name) !== null;

const formats = new Map<string, Intl.DateTimeFormat>();

/** Making one costs far more than asking it. */
function formatOf(name: string): Intl.DateTimeFormat | null {
  const known = formats.get(name);
  if (known) return known;
  // An IANA name, which a POSIX string never is: `EST5EDT` and the like are both, and mean the same.
  if (!/^[A-Za-z][A-Za-z0-9._+/-]{0,63}$/.test(name)) return null;
  try {
    const made = new Intl.DateTimeFormat('en-US', { timeZone: name, calendar: 'gregory', numberingSystem: 'latn', hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' });
    if (formats.size >= cacheMax) formats.delete(formats.keys().next().value!);
    formats.set(name, made);
    return made;
  } catch {
    return null;
  }
}

function offsetAt(format: Intl.DateTimeFormat, at: number): number {
  const [month, day, year, hour, minute, second] = format.format(at * 1_000).match(/\d+/g)!.map(Number);
  return Date.UTC(year!, month! - 1, day, hour, minute, second) / 1_000 - at;
}

function readZone(name: string, format: Intl.DateTimeFormat, now: number): Zone {
  const transitions: ZoneTransition[] = [];
  const offset = offsetAt(format, now);
  let before = offset;
  for (let at = now; at < now + lookAheadSeconds; at += stepSeconds) {
    const after = offsetAt(format, at + stepSeconds);
    if (after === before) continue;
    let [low, high] = [at, at + stepSeconds];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (offsetAt(format, middle) === before) low = middle;
      else high = middle;
    }
    transitions.push({ at: high, offset: after });
    before = after;
  }
  return { name, from: now, offset, transitions, posix: findRule(name, now, offset, transitions) };
}

/** The rule that makes exactly these transitions and no other; null when there is none. */
function findRule(name: string, now: number, offset: number, transitions: readonly ZoneTransition[]): string | null {
  if (transitions.length === 0) return posixFixed(offset, nameAt(name, offset, now));
  const offsets = [...new Set([offset, ...transitions.map((each) => each.offset)])].sort((a, b) => a - b);
  if (offsets.length !== 2) return null;
  // What the law calls standard time (in Ireland it is summer's) makes no difference to the clock.
  const [standard, summer] = offsets as [number, number];
  const toSummer = findDay(transitions.filter((each) => each.offset === summer).map((each) => each.at + standard));
  const toStandard = findDay(transitions.filter((each) => each.offset === standard).map((each) => each.at + summer));
  if (!toSummer || !toStandard) return null;
  const end = now + lookAheadSeconds;
  const made: ZoneTransition[] = [];
  for (let year = new Date(now * 1_000).getUTCFullYear() - 1; year <= new Date(end * 1_000).getUTCFullYear() + 1; year++) {
    made.push({ at: dayIn(year, toSummer) - standard, offset: summer }, { at: dayIn(year, toStandard) - summer, offset: standard });
  }
  const inside = made.filter(({ at }) => at > now && at <= end).sort((a, b) => a.at - b.at);
  const found = transitions.filter(({ at }) => at <= end);
  if (inside.length !== found.length || inside.some(({ at, offset: to }, index) => at !== found[index]!.at || to !== found[index]!.offset)) return null;
  const [winterAt, summerAt] = [transitions.find((each) => each.offset === standard)!.at, transitions.find((each) => each.offset === summer)!.at];
  const [winterName, summerName] = [nameAt(name, standard, winterAt), nameAt(name, summer, summerAt)];
  const named = winterName !== summerName;
  const standardText = `${named ? winterName : digitsName(standard)}${posixOffset(standard)}`;
  const summerText = `${named ? summerName : digitsName(summer)}${summer === standard + 3_600 ? '' : posixOffset(summer)}`;
  return `${standardText}${summerText},${dayText(toSummer)},${dayText(toStandard)}`;
}

/** `Mm.w.d/time`: the w-th weekday d of month m (5: the last), and seconds from the beginning of that day. */
interface RuleDay {
  readonly month: number;
  readonly week: number;
  readonly weekday: number;
  readonly seconds: number;
}

/**
 * `locals`: the clock that people read at each transition, before it moves, as seconds. A transition may belong to a day before or after its
 * own: in Israel it is at 26:00 of a Thursday (RFC 8536 §3.3.1 has hours from −167 to 167).
 */
function findDay(locals: readonly number[]): RuleDay | null {
  if (locals.length === 0) return null;
  for (const shift of [0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6]) {
    const days = locals.map((local) => {
      const day = Math.floor(local / daySeconds) - shift;
      const date = new Date(day * daySeconds * 1_000);
      return { month: date.getUTCMonth() + 1, weekday: date.getUTCDay(), seconds: local - day * daySeconds, weeks: weeksOf(date) };
    });
    const { month, weekday, seconds } = days[0]!;
    if (days.some((day) => day.month !== month || day.weekday !== weekday || day.seconds !== seconds)) continue;
    const week = days[0]!.weeks.findLast((each) => days.every((day) => day.weeks.includes(each)));
    if (week !== undefined) return { month, weekday, seconds, week };
  }
  return null;
}

/** Which of its weekday a day is in its month, and 5 when it is the last. */
function weeksOf(date: Date): number[] {
  const day = date.getUTCDate();
  const days = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
  const week = Math.ceil(day / 7);
  return day + 7 > days && week < 5 ? [week, 5] : [week];
}

function dayIn(year: number, { month, week, weekday, seconds }: RuleDay): number {
  const first = new Date(Date.UTC(year, month - 1, 1)).getUTCDay();
  const days = new Date(Date.UTC(year, month, 0)).getUTCDate();
  let day = 1 + ((weekday - first + 7) % 7) + (week - 1) * 7;
  while (day > days) day -= 7;
  return Date.UTC(year, month - 1, day) / 1_000 + seconds;
}

function timeText(seconds: number): string {
  const size = Math.abs(seconds);
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes, rest] = [Math.floor(size / 3_600), Math.floor((size % 3_600) / 60), size % 60];
  return `${seconds < 0 ? '-' : ''}${hours}${minutes || rest ? `:${two(minutes)}` : ''}${rest ? `:${two(rest)}` : ''}`;
}

const dayText = ({ month, week, weekday, seconds }: RuleDay): string => `M${month}.${week}.${weekday}${seconds === 7_200 ? '' : `/${timeText(seconds)}`}`;

/** West of UTC is positive there. */
const posixOffset = (offset: number): string => timeText(offset === 0 ? 0 : -offset);
const posixFixed = (offset: number, name: string): string => `${name}${posixOffset(offset)}`;

function digitsName(offset: number): string {
  const size = Math.abs(offset);
  const two = (value: number) => String(value).padStart(2, '0');
  const minutes = Math.floor((size % 3_600) / 60);
  return `<${offset < 0 ? '-' : '+'}${two(Math.floor(size / 3_600))}${minutes ? two(minutes) : ''}>`;
}

/** Each kind of English has short names for its own zones only: Europe's are in British English, America's in American. */
const englishes = ['en-US', 'en-GB', 'en-AU', 'en-IN', 'en-ZA'];

/** `CET`; digits where no name is in use. */
function nameAt(zone: string, offset: number, at: number): string {
  for (const locale of englishes) {
    const text = new Intl.DateTimeFormat(locale, { timeZone: zone, timeZoneName: 'short' }).formatToParts(at * 1_000).find((part) => part.type === 'timeZoneName')?.value ?? '';
    if (/^[A-Z]{3,5}$/.test(text) && ((text !== 'GMT' && text !== 'UTC') || offset === 0)) return text;
  }
  return digitsName(offset);
}

/**
 * When it was in a zone that clocks there showed this time (as if it were UTC, milliseconds). Of an hour that comes twice the first;
 * of one that is left out, what the clock would have shown without the jump.
 */
export function localTimeMs(localMs: number, zone: string): number {
  const format = formatOf(zone);
  if (!format) return localMs;
  const local = Math.floor(localMs / 1_000);
  const candidates = [offsetAt(format, local - daySeconds), offsetAt(format, local + daySeconds)];
  const before = candidates[0]!;
  const fits = candidates.find((offset) => offsetAt(format, local - offset) === offset);
  return localMs - (fits ?? before) * 1_000;
}
