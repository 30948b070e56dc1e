// The act `check-in` (docs/wire/device.md §5): what a device says of itself is noted, what it should know is told. And the act `action`,
// whose place is kept.
import { Fault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { Config } from '#model/config.ts';
import type { IntakeOperations } from '#model/intake.ts';
import type { Journal } from '#model/live.ts';
import { matchesGlob } from '#model/pattern.ts';
import type { FeedEpoch } from '#model/rows.ts';
import { zoneRules } from '#model/zone.ts';
import { parseCheckIn, parsePins, parseSaidFeed, type SaidFeed } from '#wire/device.ts';
import type { DeviceNotes } from './device-notes.ts';
import { callerId, type Act, type Caller, type DeviceAnswer, type DeviceRequest } from './requests.ts';

/** Where a device is to bring its data, if not here. */
export interface Elsewhere {
  readonly base: string;
  readonly ttlSeconds: number;
}

export interface CheckInDeps {
  readonly operations: Pick<IntakeOperations, 'epochsOfDevice'>;
  readonly notes: DeviceNotes;
  readonly nowMs: () => number;
  readonly random: Random;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Limits;
  readonly settings: () => Pick<Config, 'checkIn' | 'feeds'>;
  /** The whole list that the device should have, `sha256//…` each; empty: nothing is said of it. */
  readonly pinsFor: (request: DeviceRequest, caller: Caller) => readonly string[];
  readonly elsewhereFor: (request: DeviceRequest, caller: Caller) => Promise<Elsewhere | null>;
}

/** As config.ts has them, for a configuration without the section. */
const usual = { pollSeconds: 86_400, jitterSeconds: 600, pushSeconds: 300 };
const waitingPollSeconds = 600;
const prioCharsMax = 1_000;

/** Lines that have a column of their own, or none: what is left are facts. */
const noFacts: ReadonlySet<string> = new Set(['fw', 'hw', 'up', 'clock', 'tz', 'pins']);

export function buildCheckIn(deps: CheckInDeps): Act {
  const { limits } = deps;
  let underWay = 0;
  return async (request, caller) => {
    if (request.rest.length > 0) throw new Fault('not-found', 'the path is check-in/SERIAL');
    if (!['POST', 'PUT', 'GET', 'HEAD'].includes(request.method)) throw new Fault('unsupported', 'check-in takes POST, or GET with the lines as a query');
    const settings = { ...usual, ...deps.settings().checkIn };
    // First: whoever brings his lines slowly must take nobody's place.
    const said = await readSaid(request, limits);
    if (underWay >= limits.checkInsAtOnceMax) {
      // After a power cut all of a place come at once: each gets its own moment.
      const retry = 1 + (deps.random(4).readUInt32BE(0) % (settings.jitterSeconds + 1));
      return { status: 503, values: { error: 'busy', why: 'very many devices check in at this moment', retry } };
    }
    underWay += 1;
    try {
      return await checkIn(deps, request, caller, said, settings);
    } finally {
      underWay -= 1;
    }
  };
}

async function checkIn(deps: CheckInDeps, request: DeviceRequest, caller: Caller, said: ReadonlyMap<string, string>, settings: typeof usual & { readonly zone?: string | undefined }): Promise<DeviceAnswer> {
  const before = deps.notes.get(callerId(caller));
  const feeds = saidFeeds(said, deps.limits.checkInFeedsMax);
  const zone = [said.get('tz'), before?.zone, settings.zone].map((name) => (name ? zoneRules(name, deps.nowMs()) : null)).find((rules) => rules !== null) ?? null;
  // What it says of its fingerprints decides already where it may be sent.
  note(deps, request, caller, said);
  // Whether a key of ours may change depends on it: a device that pins from now on must not be forgotten by a crash.
  const pinsSaid = said.get('pins');
  if (pinsSaid !== undefined && parsePins(pinsSaid).join() !== (before?.pins ?? []).join()) await deps.notes.flush();
  // First: what it brought here is sealed by it, and that is where it stands then.
  const elsewhere = caller.kind === 'device' ? await deps.elsewhereFor(request, caller) : null;
  const rows = feeds.length === 0 ? [] : await deps.operations.epochsOfDevice(callerId(caller));
  const known = new Map(rows.map((row) => [`${row.feed} ${row.epoch}`, row]));
  noteEvents(deps, request, caller, feeds, known, before?.facts ?? {}, elsewhere);
  const values: Record<string, string | number | boolean> = {
    ...(caller.kind === 'waiting' ? { waiting: true } : {}),
    poll: caller.kind === 'waiting' ? Math.min(waitingPollSeconds, settings.pollSeconds) : settings.pollSeconds,
    jitter: settings.jitterSeconds,
    push: settings.pushSeconds,
  };
  const prio = prioOf(deps.settings().feeds ?? [], request, feeds);
  if (prio !== null) values['prio'] = prio;
  if (zone !== null) {
    values['zone'] = zone.posix;
    if (zone.next.length > 0) values['zone-next'] = zone.next.map(({ at, offset }) => `${at}:${offset}`).join(',');
  }
  for (const { name, epoch, next } of feeds) {
    const row = known.get(`${name} ${epoch}`);
    // What is at another server is for that one to say: a smaller number from here would have it brought twice.
    const isElsewhere = row ? row.sealedAt !== null && next > row.next : elsewhere !== null;
    if (!isElsewhere) values[`next.${name}`] = row?.next ?? 0;
  }
  const pins = deps.pinsFor(request, caller);
  if (pins.length > 0) values['pins'] = pins.join(',');
  if (elsewhere !== null) Object.assign(values, { base: elsewhere.base, ttl: elsewhere.ttlSeconds });
  return { status: 200, values };
}

/** From the body, or from the query of a client too small to send one. */
async function readSaid(request: DeviceRequest, limits: Limits): Promise<ReadonlyMap<string, string>> {
  if (request.method === 'POST' || request.method === 'PUT') {
    const { bytes } = await request.body(limits.checkInBytesMax);
    return parseCheckIn(bytes.toString('utf8'), limits.checkInPairsMax);
  }
  const said = new Map<string, string>();
  for (const [key, value] of request.query) {
    if (said.size >= limits.checkInPairsMax) break;
    // eslint-disable-next-line no-control-regex
    const text = value.replace(/[\x00-\x1f\x7f]+/g, ' ').trim().slice(0, 1_000);
    // Base64 has plus signs, which a query takes for spaces unless they are encoded.
    if (/^[a-z][a-z0-9._-]{0,63}$/.test(key) && !said.has(key)) said.set(key, key === 'pins' ? text.replaceAll(' ', '+') : text);
  }
  return said;
}

function saidFeeds(said: ReadonlyMap<string, string>, feedsMax: number): SaidFeed[] {
  const feeds: SaidFeed[] = [];
  for (const [key, value] of said) {
    if (feeds.length >= feedsMax) break;
    const feed = key.startsWith('feed.') ? parseSaidFeed(key.slice('feed.'.length), value) : null;
    if (feed !== null) feeds.push(feed);
  }
  return feeds;
}

/** A decimal number as devices write clocks; null: none. */
function numberOf(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,12}(\.\d{1,9})?$/.test(text) ? Number(text) : null;
}

function note(deps: CheckInDeps, request: DeviceRequest, caller: Caller, said: ReadonlyMap<string, string>): void {
  const now = deps.nowMs();
  const clock = numberOf(said.get('clock'));
  const up = numberOf(said.get('up'));
  const zone = said.get('tz');
  const pins = said.get('pins');
  const facts: Record<string, string> = {};
  for (const [key, value] of said) if (!noFacts.has(key)) facts[key] = value.slice(0, deps.limits.checkInFactCharsMax);
  const text = (key: string) => said.get(key)?.slice(0, deps.limits.checkInFactCharsMax) ?? null;
  deps.notes.note(callerId(caller), request.customer.id, {
    lastSeenAt: now, lastCheckInAt: now, from: request.from, facts,
    // What it does not say stays as it was said last.
    ...(said.has('fw') ? { fw: text('fw') } : {}),
    ...(said.has('hw') ? { hw: text('hw') } : {}),
    ...(up === null ? {} : { up: Math.floor(up) }),
    ...(clock === null ? {} : { clockSkewMs: Math.round(clock * 1_000 - now) }),
    ...(zone === undefined || zoneRules(zone, now) === null ? {} : { zone }),
    ...(pins === undefined ? {} : { pins: parsePins(pins) }),
  });
}

/** What somebody should know of: the gateway has less than it acknowledged, or the device lost data before it could deliver it. */
function noteEvents(deps: CheckInDeps, request: DeviceRequest, caller: Caller, feeds: readonly SaidFeed[], known: ReadonlyMap<string, FeedEpoch>, before: Readonly<Record<string, string>>, elsewhere: Elsewhere | null): void {
  // A stranger's word is nobody's news, and would fill the journal.
  if (caller.kind === 'waiting') return;
  let told = 0;
  const tell = (event: 'feed.behind' | 'check-in.lost', about: Readonly<Record<string, unknown>>) => {
    told += 1;
    if (told <= deps.limits.checkInEventsMax) deps.journal.note(event, { ...names, ...about });
  };
  const names = { customer: request.customer.key, serial: printable(request.serial, 128), from: request.from, device: caller.device.name };
  for (const { name, epoch, next, lost } of feeds) {
    const row = known.get(`${name} ${epoch}`);
    // An epoch that is not known may be at the server where the device is sent; a sealed one went on there.
    const isOurs = row ? row.sealedAt === null : elsewhere === null;
    if (isOurs && next > Math.max(row?.next ?? 0, row?.claimed ?? 0)) tell('feed.behind', { feed: name, epoch, next: row?.next ?? 0, claimed: next, why: 'the device says that more was confirmed: was the store restored from an older backup?' });
    const earlier = before[`feed.${name}`];
    const last = earlier === undefined ? null : parseSaidFeed(name, earlier);
    const lostBefore = last?.epoch === epoch ? last.lost : 0;
    if (lost > lostBefore) tell('check-in.lost', { feed: name, epoch, bytes: lost - lostBefore, inAll: lost, why: 'the device lost these bytes before it could deliver them' });
  }
}

/** One pattern out of those of the rules that hold for the device: of the feeds that it named, else of any that it may have. */
function prioOf(rules: NonNullable<Config['feeds']>, request: DeviceRequest, feeds: readonly SaidFeed[]): string | null {
  const mine = rules.filter((rule) => (rule.customer === undefined || rule.customer === request.customer.key) && (rule.devices === undefined || matchesGlob(rule.devices, request.serial)));
  const chosen = feeds.length === 0 ? mine : feeds.map(({ name }) => mine.find((rule) => matchesGlob(rule.feeds, name)));
  const patterns = [...new Set(chosen.map((rule) => rule?.prio).filter((prio) => prio !== undefined))];
  if (patterns.length <= 1) return patterns[0] ?? null;
  let joined = '';
  for (const each of patterns) {
    const next = joined === '' ? `(?:${each})` : `${joined}|(?:${each})`;
    if (next.length <= prioCharsMax) joined = next;
  }
  return joined === '' ? null : joined;
}

/** None is ever sent, so none can be reported on. */
export function buildAction(): Act {
  return async (request) => {
    if (request.rest.length !== 1) throw new Fault('not-found', 'the path is action/SERIAL/ID');
    return { status: 410, values: { error: 'gone', why: 'there is no such action, or not any more' } };
  };
}
