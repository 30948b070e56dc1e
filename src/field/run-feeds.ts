// The device's side of data, put together: sources fill buffers, each destination gets what its feeds have and is checked in with.
// `postern agent` runs it beside its link, `postern agent --push-only` with one outbound connection at a time and nothing else.
import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import { buildContact } from './contact.ts';
import type { Contact, ContactFacts } from './contact.ts';
import { keepDelivering } from './delivery.ts';
import { OpenDestination, readDestinationSecrets } from './destination.ts';
import { DeviceHttp } from './device-http.ts';
import type { Server } from './device-http.ts';
import { buildFieldClock } from './clock.ts';
import type { FieldClock } from './clock.ts';
import { openFeeds } from './feeds.ts';
import type { FeedsSettings } from './settings.ts';

export interface RunFeedsOptions {
  readonly settings: FeedsSettings;
  /** The agent's folder; buffers and destinations' state are below `feeds` in it. */
  readonly stateDir: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  uptimeMs(): number;
  /** The machine's, the same while its uptime counts on. */
  readonly bootId: string;
  readonly builtAtMs: number;
  /** For `User-Agent`. */
  readonly product: string;
  readonly facts: ContactFacts;
  /** One outbound connection at a time for all destinations together; else one for each. */
  readonly sharesConnection: boolean;
  /** The agent's certificate, for `identity: certificate`; null: it has none. */
  certificate(): Server['certificate'];
  /** For destinations of kind `link`; absent: this machine has joined no gateway. */
  readonly dialLink?: Server['dial'];
  readonly setSystemClock?: ((nowMs: number) => Promise<boolean>) | undefined;
  /** Called once all is open; `alone` runs what else goes out without a second connection. */
  onOpen?(alone: DeviceHttp['alone']): void;
}

/** Until the signal aborts. Faults: those of `openFeeds` and of the files that destinations name. */
export async function runFeeds(options: RunFeedsOptions, signal: AbortSignal): Promise<void> {
  const { settings, clock, random, log, uptimeMs } = options;
  const fieldClock = buildFieldClock({ clock, uptimeMs, builtAtMs: options.builtAtMs });
  const clients: DeviceHttp[] = [];
  const openHttp = (): DeviceHttp => {
    if (options.sharesConnection && clients[0] !== undefined) return clients[0];
    const http = new DeviceHttp({ clock, random, nowMs: fieldClock.nowMs, product: options.product });
    clients.push(http);
    return http;
  };
  const contacts: Contact[] = [];
  const secrets = await Promise.all(settings.destinations.map(readDestinationSecrets));
  await using feeds = await openFeeds(settings, { stateDir: options.stateDir, clock, log, random, bootId: options.bootId, uptimeMs, fieldClock, isUrgent: (record) => contacts.some((contact) => contact.isUrgent(record)) });
  const ended = new AbortController();
  const stop = () => ended.abort();
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  const running: Promise<void>[] = [];
  const deliveries: (() => Promise<void>)[] = [];
  const stops: (() => void)[] = [];
  try {
    for (const [i, destination] of settings.destinations.entries()) {
      const open = await OpenDestination.open({
        settings: destination, secrets: secrets[i]!, folder: `${options.stateDir}/feeds`, http: openHttp(), clock, fieldClock, random, log,
        certificate: () => options.certificate(), dial: options.dialLink,
      });
      // Whoever gets no feed is checked in with all the same, so that a device shows itself before it has data.
      const buffers = feeds.feeds.filter(({ destinations }) => destinations.includes(destination.name)).map(({ buffer }) => buffer);
      const contact = buildContact({ destination: open, buffers, facts: options.facts, clock, fieldClock, uptimeMs, random, log, setSystemClock: options.setSystemClock });
      contacts.push(contact);
      // What is urgent waits for no turn at power-up.
      for (const buffer of buffers) stops.push(buffer.onAppended((urgent) => urgent && contact.soon()));
      deliveries.push(() => keepDelivering({ destination: open, buffers, clock, random, log, holdMs: () => contact.holdMs(), onWork: () => contact.soon() }, ended.signal));
      running.push(contact.run(ended.signal));
    }
    running.push(afterHeard(contacts, fieldClock, ended.signal).then(() => Promise.all(deliveries.map((deliver) => deliver()))).then(() => {}));
    log.info('feeds.running', { feeds: settings.feeds.map(({ name }) => name).join(','), destinations: settings.destinations.map(({ name }) => name).join(',') });
    options.onOpen?.((run) => openHttp().alone(run));
    // They end when they are told to; one that fails before takes the rest with it.
    await Promise.all(running);
  } finally {
    stop();
    for (const each of stops) each();
    signal.removeEventListener('abort', stop);
    // Pushes under way end first; what their answers moved is durable when the buffers close.
    await Promise.allSettled(running);
    await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()));
  }
}

/** The first server whose time is believed is enough; without one, until all were heard. */
async function afterHeard(contacts: readonly Contact[], fieldClock: FieldClock, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    fieldClock.onTrusted(() => resolve());
    signal.addEventListener('abort', () => resolve());
    if (signal.aborted) resolve();
    void Promise.all(contacts.map(({ heard }) => heard)).then(() => resolve());
  });
}
