// One destination: which of its servers is spoken to now, how, and what is believed of the answers. Delivery and check-ins share it.
import { readFile } from 'node:fs/promises';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { printable } from '#base/log.ts';
import { Secret } from '#base/secret.ts';
import type { Backoff } from './backoff.ts';
import { buildBackoff } from './backoff.ts';
import type { FieldClock } from './clock.ts';
import type { Proxy } from './device-dial.ts';
import { DeviceHttp, isConnectFault } from './device-http.ts';
import type { Answer, Ask, Server } from './device-http.ts';
import { readDestinationState, writeDestinationState } from './destination-state.ts';
import type { DestinationState } from './destination-state.ts';
import type { Destination } from './settings.ts';
import { failedAt, firstRoute, hopsMax, judgePins, judgeRedirect, mayBelieve, mayTakeNext, redirected, routeAt } from './trust.ts';
import type { Redirect, Route } from './trust.ts';

/** What the file names, read. */
export interface DestinationSecrets {
  readonly key: Secret | null;
  readonly ca: string | null;
  readonly proxy: Proxy | null;
}

export interface DestinationOptions {
  readonly settings: Destination;
  readonly secrets: DestinationSecrets;
  /** Where `destination-NAME.json` is. */
  readonly folder: string;
  readonly http: DeviceHttp;
  readonly clock: Clock;
  readonly fieldClock: FieldClock;
  readonly random: Random;
  readonly log: Log;
  /** The agent's certificate, for `identity: certificate`. */
  readonly certificate?: (() => Server['certificate']) | undefined;
  /** For kind `link`. */
  readonly dial?: Server['dial'];
}

export interface Answered extends Answer {
  readonly base: string;
  /** Redirects, pins, time and actions in it count. */
  readonly isBelieved: boolean;
  /** `next`, `new` and the like count. */
  readonly counts: boolean;
}

/** A base that no dial ever looks at: requests go into the link. */
const linkBase = (customer: string) => `http://link.localhost/v1/${customer}`;

const firstLine = async (file: string, what: string): Promise<string> => {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new Fault('not-found', `${what} ${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
  return text.split(/\r?\n/, 1)[0]!.trim();
};

/** Faults `not-found` (a file that is named), `bad-input` (an empty key). */
export async function readDestinationSecrets(settings: Destination): Promise<DestinationSecrets> {
  const { keyFile, caFile, proxy } = settings;
  const key = keyFile === null ? null : await firstLine(keyFile, 'the key file');
  if (key === '') throw new Fault('bad-input', `the key file ${keyFile} is empty`, { remedy: 'Its first line is the key that was shown when the device was approved.' });
  let ca: string | null = null;
  if (caFile !== null) {
    ca = await readFile(caFile, 'utf8').catch((cause: unknown) => {
      throw new Fault('not-found', `the CA file ${caFile} cannot be read: ${(cause as Error).message}`, { cause });
    });
  }
  const url = proxy === null ? null : new URL(proxy.url);
  return {
    key: key === null ? null : new Secret(key),
    ca,
    proxy:
      url === null ? null : {
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port === '' ? 80 : Number(url.port),
        credentials: async () => (proxy!.credentialsFile === null ? null : await firstLine(proxy!.credentialsFile, 'the proxy\'s credentials file')),
      },
  };
}

export class OpenDestination {
  readonly name: string;
  readonly serial: string;
  readonly homes: readonly string[];
  /** Of all that this destination is asked. */
  readonly backoff: Backoff;
  readonly #options: DestinationOptions;
  #state: DestinationState;
  #route: Route = firstRoute;
  /** Redirects since the last answer that was none. */
  #hops = 0;
  #written: Promise<void> = Promise.resolve();
  #trouble = '';

  private constructor(options: DestinationOptions, state: DestinationState) {
    const { settings, clock, random } = options;
    this.#options = options;
    this.#state = state;
    this.name = settings.name;
    this.serial = settings.serial;
    this.homes = settings.kind === 'link' ? [linkBase(settings.customer)] : settings.bases;
    this.backoff = buildBackoff(clock, random);
  }

  /** Faults: `internal` (its file), `bad-input` (a link is asked for where there is none). */
  static async open(options: DestinationOptions): Promise<OpenDestination> {
    const { settings, folder, log } = options;
    if (settings.kind === 'link' && options.dial === undefined) throw new Fault('bad-input', `destination "${settings.name}" is the agent's own gateway, and this machine has not joined one`, { remedy: 'Join with `postern join TOKEN`, or give the destination a base.' });
    const { state, wasDamaged } = await readDestinationState(folder, settings.name, settings.pins);
    if (wasDamaged) log.warn('destination.state-damaged', { destination: settings.name, why: 'its file could not be read; it begins anew with what the owner\'s file says' });
    return new OpenDestination(options, state);
  }

  get state(): DestinationState {
    return this.#state;
  }

  get isLink(): boolean {
    return this.#options.settings.kind === 'link';
  }

  /** Durable when it resolves. */
  async keep(change: Partial<DestinationState>): Promise<void> {
    this.#state = { ...this.#state, ...change };
    const mine = this.#written.then(() => writeDestinationState(this.#options.folder, this.name, this.#state));
    this.#written = mine.catch(() => {});
    await mine;
  }

  /** The programmed server's name in use, and where we were sent, if that still counts. */
  now(): { readonly home: string; readonly redirect: string | null } {
    this.#route = routeAt(this.#route, this.#options.clock.monoMs());
    return { home: this.homes[this.#route.home]!, redirect: this.#route.redirect?.base ?? null };
  }

  #server(): Server {
    const { settings, secrets, certificate, dial } = this.#options;
    return {
      id: this.name, pins: this.#state.pins, ca: secrets.ca, key: secrets.key, signs: settings.identity === 'sign',
      certificate: settings.identity === 'certificate' ? (certificate?.() ?? null) : null, proxy: secrets.proxy, dial: settings.kind === 'link' ? dial : undefined,
    };
  }

  /** Counts failures for the route and the wait, learns the time. Faults: those of `DeviceHttp.ask`. */
  async ask(base: string, ask: Omit<Ask, 'base'>, signal: AbortSignal): Promise<Answered> {
    const { http, log, fieldClock, secrets } = this.#options;
    const hops = Math.max(this.#hops, this.#route.redirect?.base === base ? this.#route.redirect.hops : 0);
    const failed = this.homes.includes(base) ? (routeAt(this.#route, this.#options.clock.monoMs()).failed?.base ?? null) : null;
    const fields = { ...ask.fields, ...(hops > 0 ? { 'X-Postern-Hops': String(hops) } : {}), ...(failed === null ? {} : { 'X-Postern-Failed': failed }) };
    let answer: Answer;
    try {
      answer = await http.ask(this.#server(), { ...ask, base, fields }, signal);
    } catch (thrown) {
      if (isConnectFault(thrown)) this.#failed(base);
      throw thrown;
    }
    const isBelieved = mayBelieve(answer, this.#state.pins);
    const counts = mayTakeNext(answer, this.#state.pins, secrets.key !== null);
    if (answer.status === 401 || answer.status === 404) this.#failed(base);
    if (answer.status < 300) this.#hops = 0;
    const time = Number(answer.values.get('time') ?? Number.NaN);
    if (isBelieved && Number.isFinite(time)) {
      const wasTrusted = fieldClock.trusted();
      const learned = fieldClock.learn(time * 1000, answer.roundTripMs, answer.monoMs);
      if (learned === 'refused') log.warn('clock.jump-refused', { destination: this.name, time, why: 'a jump of more than a year, or a time before this program was built' });
      else if (!wasTrusted && learned === 'taken') log.info('clock.trusted', { destination: this.name, errorMs: Math.round(fieldClock.errorMs() ?? 0), systemAheadMs: Math.round(fieldClock.systemAheadMs() ?? 0) });
    }
    // Whoever is on the way for a moment must not send the device to sleep for a day.
    const retryAfter = answer.retryAfter === null || counts ? answer.retryAfter : Math.min(answer.retryAfter, limits.pushRetryMaxMs / 1000);
    return { ...answer, retryAfter, base, isBelieved, counts };
  }

  #failed(base: string): void {
    const before = this.#route;
    this.#route = failedAt(before, base, this.homes);
    if (this.#route.redirect === null && before.redirect !== null) this.#options.log.warn('destination.back-home', { destination: this.name, from: before.redirect.base, to: this.homes[this.#route.home] });
  }

  /** Where an answer sends us, from now on; null: it may not, and the log says why. */
  redirect(answered: Answered, suffix: string): Redirect | null {
    const { log, clock, settings } = this.#options;
    const offer = { base: answered.values.get('base') ?? null, location: answered.location, suffix, ttl: answered.values.get('ttl') ?? null, hops: this.#hops };
    const judged = settings.kind === 'link' ? 'a link leads to its own gateway alone' : judgeRedirect(offer, answered, this.#state.pins);
    if (typeof judged === 'string') {
      log.warn('redirect.refused', { destination: this.name, to: printable(offer.base ?? offer.location ?? ''), why: judged });
      if (offer.hops >= hopsMax) {
        this.#hops = 0;
        this.#route = { ...this.#route, redirect: null };
      }
      return null;
    }
    this.#hops = judged.hops;
    const home = this.homes.indexOf(judged.base);
    this.#route = home >= 0 ? { ...this.#route, home, redirect: null } : redirected(this.#route, judged, clock.monoMs());
    log.info('destination.redirected', { destination: this.name, to: judged.base, ttlSeconds: judged.ttlMs / 1000 });
    return judged;
  }

  /** A whole new list, when the answer may be believed; true: it changed, and the next check-in should say so. */
  async takePins(offered: readonly string[], answered: Answered): Promise<boolean> {
    const judged = judgePins(offered, answered, this.#state.pins);
    if (judged === null) return false;
    if ('refused' in judged) {
      this.#options.log.warn('pins.refused', { destination: this.name, why: judged.refused });
      return false;
    }
    await this.keep({ pins: judged.pins });
    this.#options.log.info('pins.changed', { destination: this.name, pins: judged.pins.join(',') });
    return true;
  }

  /** A line for each new kind of trouble, not for each try. */
  trouble(thrown: unknown, feed?: string): void {
    const why = isFault(thrown) ? thrown.message : String(thrown);
    const level = why === this.#trouble ? 'debug' : 'warn';
    this.#trouble = why;
    this.#options.log[level]('delivery.failed', { destination: this.name, ...(feed === undefined ? {} : { feed }), why: printable(why), ...(isFault(thrown) && thrown.remedy !== undefined ? { remedy: thrown.remedy } : {}) });
  }

  worked(): void {
    if (this.#trouble !== '') this.#options.log.info('delivery.resumed', { destination: this.name });
    this.#trouble = '';
    this.backoff.worked();
  }
}
