// What was seen at each address lately, in memory alone: who proved itself there, what kinds of programs come from there; and the list of devices
// that could not go on, each under a site code. A code is a name for an entry that administrators see: knowing one gives no right to anything.
import { canonicalAddress, networkOf } from '#base/cidr.ts';
import type { Id, Random } from '#base/ids.ts';
import { printable } from '#base/log.ts';
import { type Asked, type Identity, type IdentityBy, type IdentityState, originKeyOf, type StrongSeen } from './identity.ts';
import type { Journal } from './live.ts';

/** A device that an application refused, for an administrator to assign. */
export interface Unassigned {
  /** Six digits. */
  readonly code: string;
  /** The route's name. */
  readonly application: string;
  readonly address: string;
  readonly siteId: Id | null;
  readonly customerId: Id | null;
  readonly viaAgentId: Id | null;
  readonly mac: string | null;
  /** Printable. */
  readonly userAgent: string | null;
  readonly claimedSerial: string | null;
  readonly state: IdentityState;
  /** null where it is ambiguous or unknown. */
  readonly deviceId: Id | null;
  /** Devices that it may be. */
  readonly conflict: readonly Id[];
  readonly why: string;
  readonly firstAt: number;
  readonly lastAt: number;
  /** How often it asked. */
  readonly count: number;
}

/** How a device, or one that may have been it, was judged last. */
export interface LatestIdentity {
  readonly state: IdentityState;
  readonly by: IdentityBy | null;
  readonly why: string;
  readonly at: number;
  readonly address: string;
  readonly siteId: Id | null;
  readonly mac: string | null;
  readonly application: string;
}

export interface Refused {
  readonly asked: Asked;
  readonly identity: Identity;
  readonly application: string;
  /** The customer where the site does not say it: whose application it is. */
  readonly customerId: Id | null;
  readonly userAgent: string | null;
  /** Why it may not go on, where its identity is not the reason: `it is no job source of scans`. */
  readonly why: string | null;
}

export interface OriginLimits {
  readonly originsMax: number;
  readonly originMarksMax: number;
  readonly originWindowMs: number;
  readonly siteCodeMs: number;
  readonly siteCodesMax: number;
  readonly siteCodesPerAddressMax: number;
}

export interface OriginsOptions {
  readonly random: Random;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: OriginLimits;
}

export interface Origins {
  /** What a judged request showed; raises identity.ambiguous and identity.moved, each once in a window for an origin. */
  observe(asked: Asked, identity: Identity, application: string, nowMs: number): void;
  strongAt(originKey: string, nowMs: number): readonly StrongSeen[];
  shapesAt(originKey: string, nowMs: number): readonly string[];
  /** The code for a device that may not go on: the same one as long as it goes on asking. Raises source.unassigned. */
  refuse(refused: Refused, nowMs: number): string;
  /** Since the process began; undefined: it did not come, or long ago. */
  latestOf(deviceId: Id): LatestIdentity | undefined;
  /** Those that asked within the last ten minutes, the latest first. */
  unassigned(nowMs: number): readonly Unassigned[];
  byCode(code: string, nowMs: number): Unassigned | undefined;
  /** It was assigned: the entry goes, and those of the same origin and kind of program for other applications stay. */
  settle(code: string): void;
  /** What was seen at an address is forgotten: an administrator has said who is there. */
  forget(originKey: string): void;
  /** What the device proved itself by was withdrawn: where it did so counts no more. */
  forgetDevice(deviceId: Id): void;
  /** Entries that had to go before their time. */
  readonly dropped: number;
}

interface Seen {
  /** By shape, when last. */
  readonly shapes: Map<string, number>;
  /** By device. */
  readonly strong: Map<Id, { lastAt: number; readonly shapes: Map<string, number> }>;
  /** The answers of `shapesAt` and `strongAt`, good until then or until something new is seen. */
  shapeList: readonly string[] | null;
  strongList: readonly StrongSeen[] | null;
  listsUntil: number;
  lastAt: number;
}

const conflictsRemembered = 8;
const noShapes: readonly string[] = [];
const noStrong: readonly StrongSeen[] = [];

/** Notes when it was seen last; the one that was seen least lately goes when there are too many. True: it is new. */
function touch(marks: Map<string, number>, mark: string, nowMs: number, marksMax: number): boolean {
  const isNew = !marks.has(mark);
  if (isNew && marks.size >= marksMax) {
    let oldest: string | undefined;
    for (const [each, at] of marks) if (oldest === undefined || at < marks.get(oldest)!) oldest = each;
    marks.delete(oldest!);
  }
  marks.set(mark, nowMs);
  return isNew;
}

function buildMarks({ originsMax, originMarksMax, originWindowMs }: OriginLimits) {
  const seen = new Map<string, Seen>();
  /** Addresses of nobody: there are as many as somebody likes, and they must not push off those where devices are. */
  const strangers = new Map<string, Seen>();
  const standing = (key: string, nowMs: number): Seen | undefined => {
    const found = seen.get(key) ?? strangers.get(key);
    if (found === undefined || nowMs - found.lastAt <= originWindowMs) return found;
    seen.delete(key);
    strangers.delete(key);
    return undefined;
  };
  // A map keeps the order of insertion: the one that is known longest goes.
  const put = (into: Map<string, Seen>, key: string, found: Seen) => {
    if (into.size >= originsMax) into.delete(into.keys().next().value!);
    into.set(key, found);
  };
  const build = (found: Seen, nowMs: number): void => {
    let oldest = nowMs;
    const lives = (at: number) => {
      if (nowMs - at > originWindowMs) return false;
      if (at < oldest) oldest = at;
      return true;
    };
    for (const [shape, at] of found.shapes) if (!lives(at)) found.shapes.delete(shape);
    for (const [deviceId, { lastAt, shapes }] of found.strong) {
      if (!lives(lastAt)) found.strong.delete(deviceId);
      else for (const [shape, at] of shapes) if (!lives(at)) shapes.delete(shape);
    }
    found.shapeList = found.shapes.size === 0 ? noShapes : [...found.shapes.keys()];
    found.strongList = found.strong.size === 0 ? noStrong : Array.from(found.strong, ([deviceId, { shapes }]) => ({ deviceId, shapes: [...shapes.keys()] }));
    found.listsUntil = oldest + originWindowMs;
  };
  const listed = (key: string, nowMs: number): Seen | undefined => {
    const found = standing(key, nowMs);
    if (found !== undefined && (found.shapeList === null || nowMs > found.listsUntil)) build(found, nowMs);
    return found;
  };
  return {
    note(key: string, deviceId: Id | null, shape: string | null, isStranger: boolean, nowMs: number): void {
      if (deviceId === null && shape === null) return;
      let found = standing(key, nowMs);
      if (found === undefined) {
        found = { shapes: new Map(), strong: new Map(), shapeList: null, strongList: null, listsUntil: 0, lastAt: nowMs };
        put(isStranger ? strangers : seen, key, found);
      } else if (!isStranger && strangers.delete(key)) put(seen, key, found);
      found.lastAt = nowMs;
      if (deviceId === null) {
        if (touch(found.shapes, shape!, nowMs, originMarksMax)) found.shapeList = null;
        return;
      }
      let strong = found.strong.get(deviceId);
      if (strong === undefined) {
        if (found.strong.size >= originMarksMax) found.strong.delete(found.strong.keys().next().value!);
        found.strong.set(deviceId, (strong = { lastAt: nowMs, shapes: new Map() }));
        found.shapeList = null;
      }
      strong.lastAt = nowMs;
      if (shape !== null && touch(strong.shapes, shape, nowMs, originMarksMax)) found.shapeList = null;
    },
    shapesAt: (key: string, nowMs: number): readonly string[] => listed(key, nowMs)?.shapeList ?? noShapes,
    strongAt: (key: string, nowMs: number): readonly StrongSeen[] => listed(key, nowMs)?.strongList ?? noStrong,
    forget: (key: string) => void (seen.delete(key) || strangers.delete(key)),
    forgetDevice(deviceId: Id): void {
      for (const found of seen.values()) if (found.strong.delete(deviceId)) found.shapeList = null;
    },
  };
}

/** Once in a window: lines of the journal that a panel would otherwise write with each of its requests. */
function buildOnce({ originsMax, originWindowMs }: OriginLimits) {
  const said = new Map<string, number>();
  return (key: string, nowMs: number): boolean => {
    const before = said.get(key);
    if (before !== undefined && nowMs - before < originWindowMs) return false;
    said.delete(key);
    if (said.size >= originsMax) said.delete(said.keys().next().value!);
    said.set(key, nowMs);
    return true;
  };
}

function buildCodes({ random, limits }: OriginsOptions) {
  const { siteCodeMs, siteCodesMax, siteCodesPerAddressMax } = limits;
  /** The least recently asked first. */
  const byKey = new Map<string, Unassigned>();
  const keyOfCode = new Map<string, string>();
  /** Of each entry, so that a full list is not parsed anew for the next one. */
  const networkOfKey = new Map<string, string>();
  let dropped = 0;
  const remove = (key: string) => {
    const entry = byKey.get(key);
    if (entry === undefined) return;
    byKey.delete(key);
    networkOfKey.delete(key);
    keyOfCode.delete(entry.code);
  };
  const sweep = (nowMs: number) => {
    for (const [key, entry] of byKey) {
      if (nowMs - entry.lastAt <= siteCodeMs) return;
      remove(key);
    }
  };
  const freeCode = (): string => {
    for (;;) {
      // 4,294 × 10⁶ is the last multiple of a million below 2³²: no code is likelier than another.
      const drawn = random(4).readUInt32BE(0);
      const code = String(drawn % 1_000_000).padStart(6, '0');
      if (drawn < 4_294_000_000 && !keyOfCode.has(code)) return code;
    }
  };
  /**
   * One address must not push everybody else off the list; of IPv6 a client has a whole network of them. Nor must one site, whose agent may
   * name any address: a list that is full takes room from whoever has more than a quarter of it.
   */
  const makeRoom = (address: string, siteId: Id | null) => {
    let [mine, ofSite] = [0, 0];
    let [oldest, oldestOfSite]: (string | undefined)[] = [];
    const network = networkOf(address);
    for (const [key, entry] of byKey) {
      if (entry.siteId !== siteId) continue;
      oldestOfSite ??= key;
      ofSite += 1;
      if (networkOfKey.get(key) !== network) continue;
      oldest ??= key;
      mine += 1;
    }
    const crowded = mine >= siteCodesPerAddressMax ? oldest : byKey.size < siteCodesMax ? undefined : ofSite > siteCodesMax / 4 ? oldestOfSite : byKey.keys().next().value;
    if (crowded === undefined) return;
    remove(crowded);
    dropped += 1;
  };
  return {
    refuse({ asked: { origin, marks }, identity, application, customerId, userAgent, why }: Refused, nowMs: number): Unassigned {
      sweep(nowMs);
      const key = `${originKeyOf(origin)} ${marks.shape ?? '-'} ${application}`;
      const before = byKey.get(key);
      if (before === undefined) makeRoom(origin.address, origin.siteId);
      const entry: Unassigned = {
        code: before?.code ?? freeCode(), application, address: origin.address, siteId: origin.siteId, customerId: origin.customerId ?? customerId, viaAgentId: origin.viaAgentId, mac: origin.mac,
        userAgent: userAgent === null ? null : printable(userAgent, 200), claimedSerial: marks.claimedSerial, state: identity.state, deviceId: identity.device?.id ?? null, conflict: identity.conflict,
        why: why ?? identity.why, firstAt: before?.firstAt ?? nowMs, lastAt: nowMs, count: (before?.count ?? 0) + 1,
      };
      byKey.delete(key);
      byKey.set(key, entry);
      if (before === undefined) networkOfKey.set(key, networkOf(entry.address));
      keyOfCode.set(entry.code, key);
      return entry;
    },
    all(nowMs: number): readonly Unassigned[] {
      sweep(nowMs);
      return [...byKey.values()].reverse();
    },
    byCode(code: string, nowMs: number): Unassigned | undefined {
      sweep(nowMs);
      const key = keyOfCode.get(code);
      return key === undefined ? undefined : byKey.get(key);
    },
    settle(code: string): void {
      const key = keyOfCode.get(code);
      if (key !== undefined) remove(key);
    },
    dropped: () => dropped,
  };
}

/** A device that proved itself at another address of its LAN than its row has. */
function movedFrom({ origin }: Asked, { device, state, by }: Identity): string | null {
  if (state !== 'verified' || device === null || (by !== 'certificate' && by !== 'token') || origin.siteId !== device.siteId) return null;
  const expected = canonicalAddress(device.host);
  // Its own machine's agent dials 127.0.0.1.
  return expected === null || expected === origin.address || expected === '127.0.0.1' || expected === '::1' ? null : expected;
}

export function buildOrigins(options: OriginsOptions): Origins {
  const marks = buildMarks(options.limits);
  const codes = buildCodes(options);
  const isFirst = buildOnce(options.limits);
  const { journal } = options;
  const latest = new Map<Id, LatestIdentity>();
  const remember = (deviceId: Id, { origin }: Asked, { state, by, why }: Identity, application: string, at: number) => {
    if (!latest.delete(deviceId) && latest.size >= options.limits.originsMax) latest.delete(latest.keys().next().value!);
    latest.set(deviceId, { state, by, why, at, address: origin.address, siteId: origin.siteId, mac: origin.mac, application });
  };
  const note = (event: 'identity.ambiguous' | 'identity.moved' | 'source.unassigned', { origin }: Asked, subject: string, nowMs: number, fields: Record<string, string | null>) => {
    if (isFirst(`${event} ${originKeyOf(origin)} ${subject}`, nowMs)) journal.note(event, { from: origin.address, siteId: origin.siteId, mac: origin.mac, ...fields });
  };
  return {
    observe(asked, identity, application, nowMs) {
      const isStrong = identity.state === 'verified' && (identity.by === 'certificate' || identity.by === 'token');
      marks.note(originKeyOf(asked.origin), isStrong ? identity.device!.id : null, asked.marks.shape, identity.state === 'unknown', nowMs);
      if (identity.device !== null) remember(identity.device.id, asked, identity, application, nowMs);
      else for (let i = 0; i < identity.conflict.length && i < conflictsRemembered; i++) remember(identity.conflict[i]!, asked, identity, application, nowMs);
      if (identity.state === 'ambiguous') note('identity.ambiguous', asked, '', nowMs, { application, why: identity.why, devices: identity.conflict.slice(0, 8).join(' ') });
      const expected = movedFrom(asked, identity);
      if (expected !== null) note('identity.moved', asked, identity.device!.id, nowMs, { device: identity.device!.label, deviceId: identity.device!.id, expected, by: identity.by });
    },
    latestOf: (deviceId) => latest.get(deviceId),
    strongAt: marks.strongAt,
    shapesAt: marks.shapesAt,
    refuse(refused, nowMs) {
      const entry = codes.refuse(refused, nowMs);
      note('source.unassigned', refused.asked, refused.application, nowMs, { application: entry.application, code: entry.code, deviceId: entry.deviceId, why: entry.why });
      return entry.code;
    },
    unassigned: codes.all,
    byCode: codes.byCode,
    settle: codes.settle,
    forget: marks.forget,
    forgetDevice: marks.forgetDevice,
    get dropped() {
      return codes.dropped();
    },
  };
}

