// Check-ins with one destination (docs/wire/device.md §5): what this device is, and what its server wants of it: time, zone, list of
// fingerprints, how often to call, which records are urgent.
import type { Clock } from '#base/clock.ts';
import { isFault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { printable } from '#base/log.ts';
import { compilePattern } from '#model/pattern.ts';
import type { Pattern } from '#model/pattern.ts';
import { parsePins } from '#wire/device.ts';
import { buildBackoff, random01, restUntilWoken } from './backoff.ts';
import type { FieldClock } from './clock.ts';
import type { Answered, OpenDestination } from './destination.ts';
import { isConnectFault } from './device-http.ts';
import type { AskedSettings } from './destination-state.ts';

export interface ContactBuffer {
  readonly feed: string;
  readonly epoch: string;
  readonly next: number;
  position(destination: string): number;
  stats(): { readonly lost: number };
}

export interface ContactFacts {
  /** Of the program. */
  readonly version: string;
  readonly platform: string;
  readonly name: string;
  /** IANA name of the machine's zone, if it has one. */
  readonly zone: string | null;
}

export interface ContactOptions {
  readonly destination: OpenDestination;
  readonly buffers: readonly ContactBuffer[];
  readonly facts: ContactFacts;
  readonly clock: Clock;
  readonly fieldClock: FieldClock;
  uptimeMs(): number;
  readonly random: Random;
  readonly log: Log;
  /** Sets the system clock; false: the owner's policy names no command for it. Rejects when that fails. */
  readonly setSystemClock?: ((nowMs: number) => Promise<boolean>) | undefined;
}

export interface Contact {
  /** Until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** Checks in soon: an answer said `work=1`, or something is urgent while the first one still waits its turn. */
  soon(): void;
  /**
   * The server was heard, so that its time is known if it can be. Until then nothing is taken out of the buffers: records are dated when they are,
   * and a whole region that gets its power back does not push at once.
   */
  readonly heard: Promise<void>;
  /** The most to hold data before a push, as the server says; milliseconds. */
  holdMs(): number;
  isUrgent(record: Uint8Array): boolean;
}

/** A machine that runs longer did not just get its power back. */
const bootMs = 10 * 60_000;
const holdStandardMs = 1_000;
/** A clock that is less off is left alone. */
const clockOffMs = 1_000;
const soonMs = 1_000;
/** A server that is there, but answers no check-in: data goes without the time. */
const unheardMax = 4;
/** Confirming a list, or work, again and again would be a server's mistake. */
const soonEveryMs = 30_000;

const wholeOf = (text: string | undefined, max: number): number | null => (text !== undefined && /^\d{1,9}$/.test(text) ? Math.min(Number(text), max) : null);

function patternOf(text: string | null, log: Log, destination: string): Pattern | null {
  if (text === null || text === '') return null;
  try {
    return compilePattern(text);
  } catch (thrown) {
    log.warn('check-in.pattern-refused', { destination, why: printable(reasonOf(thrown)) });
    return null;
  }
}

function askedBy(values: ReadonlyMap<string, string>, before: AskedSettings): AskedSettings {
  const text = (key: string, was: string | null) => values.get(key)?.slice(0, 1_000) ?? was;
  return {
    pollSeconds: wholeOf(values.get('poll'), limits.checkInEveryMs / 1000) ?? before.pollSeconds,
    jitterSeconds: wholeOf(values.get('jitter'), limits.checkInJitterMaxMs / 1000) ?? before.jitterSeconds,
    pushSeconds: wholeOf(values.get('push'), limits.pushHoldMaxMs / 1000) ?? before.pushSeconds,
    prio: text('prio', before.prio),
    zone: text('zone', before.zone),
    zoneNext: text('zone-next', before.zoneNext),
  };
}

/** Lines of a check-in at `base`. Values have no control characters; a name may have spaces. */
export function describeDevice({ destination, buffers, facts, fieldClock, uptimeMs }: Pick<ContactOptions, 'destination' | 'buffers' | 'facts' | 'fieldClock' | 'uptimeMs'>, why: string, base: string): string {
  const server = destination.homes.includes(base) ? null : base;
  const lines: [string, string][] = [
    ['why', why],
    ['fw', facts.version],
    ['hw', facts.platform],
    ['up', String(Math.floor(uptimeMs() / 1000))],
    ['clock', (fieldClock.nowMs() / 1000).toFixed(3)],
    ...(facts.zone === null ? [] : [['tz', facts.zone] as [string, string]]),
    ['name', facts.name],
    ...(destination.state.pins.length === 0 ? [] : [['pins', destination.state.pins.join(',')] as [string, string]]),
  ];
  for (const buffer of buffers.slice(0, limits.feedsPerDestinationMax)) {
    const at = buffer.position(destination.name);
    const holder = destination.state.holders[buffer.feed];
    // Elsewhere, what was delivered here would look like lost.
    if (at > 0 && (holder?.epoch === buffer.epoch ? holder.base : null) !== server) continue;
    lines.push([`feed.${buffer.feed}`, `${buffer.epoch}:${at}:${Math.max(0, buffer.next - at)}:${buffer.stats().lost}`]);
  }
  // eslint-disable-next-line no-control-regex
  return lines.map(([key, value]) => `${key}=${value.replace(/[\x00-\x1f\x7f]+/g, ' ')}\n`).join('');
}

export function buildContact(options: ContactOptions): Contact {
  const { destination, clock, fieldClock, random, log } = options;
  const backoff = buildBackoff(clock, random);
  let prio = patternOf(destination.state.asked.prio, log, destination.name);
  let wake = () => {};
  let wakeFirst = () => {};
  let isWanted = false;
  let lastSoonMs = Number.NEGATIVE_INFINITY;
  const heard = Promise.withResolvers<void>();
  let unheard = 0;
  const notHeard = () => {
    unheard += 1;
    if (unheard >= unheardMax) heard.resolve();
  };

  const setClock = async () => {
    const ahead = fieldClock.systemAheadMs();
    if (options.setSystemClock === undefined || ahead === null || Math.abs(ahead) <= Math.max(clockOffMs, fieldClock.errorMs() ?? 0)) return;
    try {
      if (await options.setSystemClock(fieldClock.nowMs())) log.info('clock.set', { aheadSeconds: Math.round(ahead / 1000) });
    } catch (thrown) {
      log.warn('clock.not-set', { why: printable(reasonOf(thrown)) });
    }
  };

  const takeOver = async (answered: Answered) => {
    const { values } = answered;
    const before = destination.state.asked;
    const asked = askedBy(values, before);
    if (JSON.stringify(asked) !== JSON.stringify(before)) {
      if (asked.prio !== before.prio) prio = patternOf(asked.prio, log, destination.name);
      await destination.keep({ asked });
      log.info('check-in.settings', { destination: destination.name, poll: asked.pollSeconds, jitter: asked.jitterSeconds, push: asked.pushSeconds, prio: asked.prio === null ? null : printable(asked.prio), zone: asked.zone === null ? null : printable(asked.zone) });
    }
    // Over a link the gateway is known by its CA's key, and no list is kept.
    const pins = destination.isLink ? undefined : values.get('pins');
    // The server switches only when every device has said that it has the new list.
    if (pins !== undefined && (await destination.takePins(parsePins(pins), answered))) contact.soon();
    if (values.get('work') === '1') contact.soon();
    await setClock();
  };

  const checkIn = async (why: string, signal: AbortSignal): Promise<void> => {
    const { home, redirect } = destination.now();
    const suffix = `/check-in/${encodeURIComponent(destination.serial)}`;
    const base = redirect ?? home;
    const answered = await destination.ask(base, { method: 'POST', suffix, fields: { 'Content-Type': 'text/plain' }, body: Buffer.from(describeDevice(options, why, base)) }, signal);
    const { status, values } = answered;
    log.debug('check-in.answered', { destination: destination.name, status, believed: answered.isBelieved });
    if (status === 503 || status === 429) notHeard();
    else if (status !== 307 && status !== 308) heard.resolve();
    if (status === 307 || status === 308) {
      const to = destination.redirect(answered, suffix);
      if (to === null) backoff.failed(answered.retryAfter);
      else isWanted = true;
      return;
    }
    if (status !== 200) {
      backoff.failed(answered.retryAfter);
      log.info('check-in.refused', { destination: destination.name, status, error: printable(values.get('error') ?? '', 40), why: printable(values.get('why') ?? '') });
      return;
    }
    backoff.worked();
    if (!answered.isBelieved) return log.debug('check-in.not-believed', { destination: destination.name });
    await takeOver(answered);
    // A hint before a body is sent: feeds of which nothing is anywhere yet go there at once, others when their server has sealed them.
    if (values.has('base')) destination.redirect(answered, suffix);
  };

  const restMs = (): number => {
    const now = clock.monoMs();
    if (backoff.notBeforeMs() > now) return backoff.notBeforeMs() - now;
    if (isWanted) return Math.max(soonMs, lastSoonMs + soonEveryMs - now);
    const everyMs = Math.max(limits.checkInEveryMinMs, (destination.state.asked.pollSeconds ?? limits.checkInEveryMs / 1000) * 1000);
    // Never later than asked; earlier by up to a tenth, so that a fleet that was started together spreads.
    return everyMs * (0.9 + 0.1 * random01(random));
  };

  const contact: Contact = {
    async run(signal) {
      const isBoot = options.uptimeMs() < bootMs;
      let why = isBoot ? 'boot' : 'start';
      // Power comes back to a whole region at once.
      await restUntilWoken(clock, isBoot ? random01(random) * (destination.state.asked.jitterSeconds ?? 0) * 1000 : 0, signal, (run) => (wakeFirst = run));
      wakeFirst = () => {};
      while (!signal.aborted) {
        if (isWanted) lastSoonMs = clock.monoMs();
        isWanted = false;
        try {
          await checkIn(why, signal);
          if (backoff.notBeforeMs() === 0) why = 'daily';
        } catch (thrown) {
          if (signal.aborted) return;
          if (!isFault(thrown)) log.error('check-in.mistake', { destination: destination.name, why: reasonOf(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
          else log.debug('check-in.failed', { destination: destination.name, why: printable(reasonOf(thrown)) });
          destination.trouble(thrown);
          // Where nobody answers, a push would not get through either.
          if (!isConnectFault(thrown)) notHeard();
          backoff.failed();
        }
        await restUntilWoken(clock, restMs(), signal, (run) => (wake = run));
        wake = () => {};
        if (isWanted) why = 'work';
      }
    },
    soon() {
      isWanted = true;
      wakeFirst();
      clock.after(restMs(), () => isWanted && wake());
    },
    heard: heard.promise,
    holdMs: () => (destination.state.asked.pushSeconds === null ? holdStandardMs : destination.state.asked.pushSeconds * 1000),
    // As much of it as the gateway looks at: a pattern of its, held against whole records, could take seconds each.
    isUrgent: (record) => prio?.test(record.subarray(0, limits.alertLookedBytesMax)) ?? false,
  };
  return contact;
}
