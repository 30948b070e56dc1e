// What doctor says: judgements over what was observed, pure. Who observes is app/doctor.ts.
import { isLoopback } from '#base/cidr.ts';
import { alarmsOf } from './certificate-alarms.ts';
import { shownState } from './deliveries.ts';
import type { DiskState, RestoredNote } from './keeping.ts';
import type { Certificate, Delivery } from './rows.ts';

export type FindingStatus = 'ok' | 'warning' | 'failure' | 'skipped';

/** One check's outcome; the API shows it as it is. */
export interface Finding {
  readonly id: string;
  readonly title: string;
  readonly status: FindingStatus;
  /** What was seen, line by line. */
  readonly evidence: string[];
  /** One sentence. */
  readonly verdict: string;
  /** What to do; null when there is nothing to do. */
  readonly remedy: string | null;
  /** How long the check took. */
  readonly ms: number;
}

export type Judgement = Pick<Finding, 'status' | 'verdict'> & Partial<Pick<Finding, 'evidence' | 'remedy'>>;

const dayMs = 24 * 3_600_000;
const daysOf = (ms: number): number => Math.floor(ms / dayMs);
const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

/** Addresses that a name has here; empty: none. */
export interface NameSeen {
  readonly domain: string;
  readonly addresses: readonly string[];
  /** Of a device's name below it; null where devices are not below this one. */
  readonly deviceAddresses: readonly string[] | null;
}

export function judgeNames(names: readonly NameSeen[]): Judgement {
  const evidence = names.flatMap(({ domain, addresses, deviceAddresses }) => [
    `${domain}: ${addresses.join(', ') || 'no address'}`,
    ...(deviceAddresses === null ? [] : [`(device).${domain}: ${deviceAddresses.join(', ') || 'no address'}`]),
  ]);
  const real = names.filter(({ domain }) => domain.includes('.'));
  if (real.length === 0) {
    return { status: 'ok', evidence: [], verdict: 'names under localhost work in browsers on this machine only', remedy: 'For others, start with --domain NAME, where NAME and *.NAME point to this machine.' };
  }
  for (const { domain, addresses, deviceAddresses } of real) {
    if (addresses.length === 0) return { status: 'failure', evidence, verdict: `${domain} has no address here`, remedy: `Add an A (and AAAA) record for ${domain} that points to this gateway.` };
    if (deviceAddresses?.length === 0) return { status: 'failure', evidence, verdict: `${domain} has an address, but the names of devices below it have none`, remedy: `Add the wildcard record *.${domain} with the same addresses.` };
    if (addresses.every((address) => isLoopback(address))) return { status: 'warning', evidence, verdict: `${domain} means this machine itself: nobody else gets here by it`, remedy: `Look for ${domain} in the hosts file, or correct its record.` };
    if (deviceAddresses && !deviceAddresses.some((address) => addresses.includes(address))) return { status: 'warning', evidence, verdict: `names of devices below ${domain} lead elsewhere than ${domain}`, remedy: `Point *.${domain} to where ${domain} points.` };
  }
  return { status: 'ok', evidence, verdict: `${count(real.length, 'domain')} and the names of devices below have addresses` };
}

export interface ListenerSeen {
  readonly address: string;
  readonly port: number;
  readonly secure: boolean;
}

export function judgePorts(listeners: readonly ListenerSeen[]): Judgement {
  const evidence = listeners.map(({ address, port, secure }) => `${address.includes(':') ? `[${address}]` : address}:${port}${secure ? ' TLS' : ''}`);
  if (!listeners.some(({ secure }) => secure)) return { status: 'failure', evidence, verdict: 'nothing listens with TLS: agents have nowhere to link to', remedy: 'Add a TLS listener to the configuration.' };
  const open = listeners.filter(({ address }) => !isLoopback(address));
  if (!open.some(({ secure }) => secure)) return { status: 'failure', evidence, verdict: 'TLS is open to this machine only: devices elsewhere cannot join', remedy: 'Let a TLS listener listen on 0.0.0.0 or ::.' };
  const hasUsual = open.some(({ port, secure }) => secure && port === 443);
  if (hasUsual) return { status: 'ok', evidence, verdict: 'TLS on port 443, which sites let out' };
  const port = open.find(({ secure }) => secure)!.port;
  return {
    status: 'warning',
    evidence,
    verdict: `TLS is on port ${port}; many sites let their devices out to 443 only`,
    remedy: 'Start with --https 443 --http 80 (allow it with: setcap cap_net_bind_service=+ep NODE), or forward port 443 of your router to it.',
  };
}

export interface CertificateSeen {
  readonly name: string;
  readonly notAfter: number;
}

/** Leaves renew themselves 30 days before they end; less than 25 says that it does not work. `own`: those of people, which raise alarms. */
export function judgeCertificates(leaves: readonly CertificateSeen[], caNotAfter: number, now: number, own: readonly Certificate[] = []): Judgement {
  const left = (name: string, notAfter: number) => `${name}: ${count(daysOf(notAfter - now), 'day')} left`;
  const ownEvidence = own.map(({ name, notAfter, lastError }) => `${notAfter === null ? `${name}: waiting for its certificate` : left(name, notAfter)}${lastError === null ? '' : `; last renewal: ${lastError}`}`);
  const shown = ownEvidence.length > certificatesShown ? [...ownEvidence.slice(0, certificatesShown), `and ${ownEvidence.length - certificatesShown} more`] : ownEvidence;
  const evidence = [...shown, ...leaves.map((leaf) => left(leaf.name, leaf.notAfter)), left('private CA', caNotAfter)];
  const first = leaves.reduce((least, leaf) => Math.min(least, leaf.notAfter), Infinity);
  const [alarm] = alarmsOf(own, now);
  const failed = own.find((each) => each.lastError !== null);
  if (caNotAfter <= now) return { status: 'failure', evidence, verdict: 'the private CA has expired', remedy: 'Compare the clock first. An expired CA must be replaced, and every agent has to join again.' };
  if (first <= now) return { status: 'failure', evidence, verdict: 'a certificate has expired', remedy: 'It should have renewed itself: compare the clock, look for certificate.refresh-failed in the log, and start the gateway again.' };
  if (alarm?.severity === 'error') return { status: 'failure', evidence, verdict: alarm.text, remedy: alarm.remedy };
  if (caNotAfter - now < 365 * dayMs) return { status: 'warning', evidence, verdict: `the private CA ends in ${count(daysOf(caNotAfter - now), 'day')}`, remedy: 'Plan its successor: agents that are not told before have to join again.' };
  if (first - now < 25 * dayMs) return { status: 'warning', evidence, verdict: `a certificate ends in ${count(daysOf(first - now), 'day')} and was not renewed`, remedy: 'Look for certificate.refresh-failed in the log; is the disk full?' };
  if (alarm) return { status: 'warning', evidence, verdict: alarm.text, remedy: alarm.remedy };
  if (failed) return { status: 'warning', evidence, verdict: `certificate ${failed.name} could not be renewed: ${failed.lastError}`, remedy: 'It is tried again by itself; look at what the authority needs to reach.' };
  return { status: 'ok', evidence, verdict: first === Infinity ? (own.length === 0 ? 'no certificate is in use yet' : 'none ends within 30 days') : `the next one renews itself; ${count(daysOf(first - now), 'day')} left` };
}

/** A certificate that an agent is to put in place. */
export interface DeliverySeen {
  readonly row: Delivery;
  readonly certificate: Certificate | undefined;
  readonly agent: string;
  readonly online: boolean;
}

export function judgeDeliveries(deliveries: readonly DeliverySeen[]): Judgement {
  if (deliveries.length === 0) return { status: 'ok', verdict: 'no certificate is handed to an agent' };
  const seen = deliveries.map((each) => ({ ...each, state: shownState(each.row, each.certificate), text: `${each.certificate?.name ?? ''} to ${each.agent} as ${each.row.asName}` }));
  const bad = seen.filter(({ state }) => state === 'failed' || state === 'refused' || state === 'unsupported');
  const waiting = seen.filter(({ state, certificate }) => state === 'pending' && certificate?.state === 'ready');
  const lines = [...bad.map(({ text, state, row }) => `${text}: ${state}: ${row.why ?? ''}`), ...waiting.map(({ text, online }) => `${text}: waits${online ? '' : '; the agent is offline'}`)];
  const evidence = lines.length > certificatesShown ? [...lines.slice(0, certificatesShown), `and ${lines.length - certificatesShown} more`] : lines;
  if (bad.length > 0) {
    const remedy = bad.some(({ state }) => state === 'failed')
      ? 'postern deliveries shows what the command said; the files of before are in place, and it is tried again by itself.'
      : bad.some(({ state }) => state === 'refused')
        ? "Let the owner of that machine add the line to its agent's policy; it counts at once."
        : 'Install a newer agent there.';
    return { status: 'warning', evidence, verdict: `${count(bad.length, 'certificate is', 'certificates are')} not in place at an agent`, remedy };
  }
  if (waiting.length > 0) return { status: 'warning', evidence, verdict: `${count(waiting.length, 'certificate waits', 'certificates wait')} for an agent`, remedy: 'It is handed over when the agent links; does postern agent run there?' };
  return { status: 'ok', verdict: `${count(deliveries.length, 'certificate is', 'certificates are')} in place at agents` };
}

const certificatesShown = 20;

export interface ClockSeen {
  readonly now: number;
  /** What `now` would be if nobody had set the clock since the start. */
  readonly expected: number;
  readonly builtAt: number;
  /** What the system says about being synchronised; null: it does not say. */
  readonly isSynchronised: boolean | null;
}

const jumpMs = 30_000;

export function judgeClock({ now, expected, builtAt, isSynchronised }: ClockSeen): Judgement {
  const evidence = [`now ${new Date(now).toISOString()}`, ...(isSynchronised === null ? [] : [`synchronised: ${isSynchronised ? 'yes' : 'no'}`])];
  const remedy = 'Let the machine keep time by NTP (systemd-timesyncd, chrony): certificates and sign-ins depend on it.';
  if (now < builtAt) return { status: 'failure', evidence, verdict: 'the clock shows a time before this version was built', remedy };
  if (Math.abs(now - expected) > jumpMs) return { status: 'warning', evidence, verdict: `the clock was set by ${count(Math.round(Math.abs(now - expected) / 1000), 'second')} since the gateway started`, remedy };
  if (isSynchronised === false) return { status: 'warning', evidence, verdict: 'the system does not keep the clock synchronised', remedy };
  return { status: 'ok', evidence, verdict: 'the clock shows a possible time and was not set since the start' };
}

export interface StoreSeen {
  /** The program that keeps it, its version, and where. */
  readonly store?: string;
  readonly fsyncMs: number;
  readonly fileBytes: number;
  readonly integrity: string;
}

const slowFsyncMs = 100;

export function judgeStore({ store, fsyncMs, fileBytes, integrity }: StoreSeen): Judgement {
  const evidence = [...(store === undefined ? [] : [store]), `integrity: ${integrity}`, `a durable write took ${fsyncMs.toFixed(1)} ms`, `${(fileBytes / 1e6).toFixed(1)} MB on disk`];
  if (integrity !== 'ok') return { status: 'failure', evidence, verdict: 'the database is damaged', remedy: 'Stop the gateway, keep a copy of the database, and restore the last backup.' };
  if (fsyncMs > slowFsyncMs) return { status: 'warning', evidence, verdict: 'writing durably is slow: sign-ins and new visits wait for it', remedy: 'Move the database to a faster disk, or find out what else keeps this one busy.' };
  return { status: 'ok', evidence, verdict: 'it writes, reads back, and is whole' };
}

const diskFailureBytes = 100e6;
const diskWarningBytes = 1e9;

export function judgeDisk(freeBytes: number, watched: DiskState | null = null): Judgement {
  const free = freeBytes >= 1e9 ? `${(freeBytes / 1e9).toFixed(1)} GB` : `${Math.floor(freeBytes / 1e6)} MB`;
  const evidence = [`${free} free for the data folder`];
  const remedy = 'Make room: when audit cannot be written, new visits and changes are refused.';
  if (watched && watched.level !== 'ok') {
    const what = { warn: 'it fills up', low: 'nearly full: the journal was cut, and what is past its retention goes at once', full: 'full: new visits and pushes are refused' }[watched.level];
    return { status: watched.level === 'warn' ? 'warning' : 'failure', evidence: [...evidence, `since ${new Date(watched.since).toISOString()}: ${watched.why ?? ''}`], verdict: what, remedy: 'Make room, or keep less: postern keeping says what takes it.' };
  }
  if (freeBytes < diskFailureBytes) return { status: 'failure', evidence, verdict: `only ${free} left`, remedy };
  if (freeBytes < diskWarningBytes) return { status: 'warning', evidence, verdict: `${free} left`, remedy };
  return { status: 'ok', evidence, verdict: `${free} left` };
}

/** Devices notice by themselves: what they delivered after the backup they deliver again, where they still have it. */
export function judgeRestored({ backupAt, restoredAt, version }: RestoredNote): Judgement {
  return {
    status: 'warning',
    evidence: [`backup of ${new Date(backupAt).toISOString()}, made by version ${version}`, `restored ${new Date(restoredAt).toISOString()}`],
    verdict: 'the data folder was restored from a backup: what happened since the backup is not known here',
    remedy: 'Lock, remove and invite again what was locked, removed and invited since; look at the gaps of feeds. Then: postern keeping ok',
  };
}

export interface DeviceSeen {
  readonly label: string;
  readonly online: boolean;
  readonly lastSeenAt: number | null;
  readonly lastLeftWhy: string | null;
}

/** What a route's text for a device means now. */
export interface RouteSeen {
  readonly route: string;
  /** Id, label or `customer/name`, as configured. */
  readonly device: string;
  /** null: none, or several have the name. */
  readonly found: { readonly label: string; readonly createdAt: number } | null;
}

const routesShown = 10;

/**
 * A label or a name passes on when its device is removed or renamed: a route that says it then leads to another machine, and nobody
 * decided that. `configuredAt`: when the configuration was last changed; whoever did it had the devices of that time before them.
 */
export function judgeRoutes(routes: readonly RouteSeen[], configuredAt: number): Judgement {
  if (routes.length === 0) return { status: 'ok', verdict: 'no route leads to a device' };
  const lost = routes.filter(({ found }) => found === null);
  const later = routes.filter(({ found }) => found !== null && found.createdAt > configuredAt);
  const evidence = [
    ...later.map(({ route, device, found }) => `${route}: "${device}" means ${found!.label}, which is there since ${new Date(found!.createdAt).toISOString()}, later than the configuration`),
    ...lost.map(({ route, device }) => `${route}: no device, or more than one, is "${device}"`),
  ];
  const shown = evidence.length > routesShown ? [...evidence.slice(0, routesShown), `and ${evidence.length - routesShown} more`] : evidence;
  if (later.length > 0) {
    const verdict = `${count(later.length, 'route leads', 'routes lead')} to a device that came after the configuration was written`;
    return { status: 'warning', evidence: shown, verdict, remedy: 'See that it is the device you mean, then name it by its id (postern devices --json): a label or a name may pass on to another one.' };
  }
  if (lost.length > 0) return { status: 'warning', evidence: shown, verdict: `${count(lost.length, 'route leads', 'routes lead')} to no device`, remedy: 'Remove the route, or name a device that there is, best by its id.' };
  return { status: 'ok', verdict: `each of ${count(routes.length, 'route')} to devices leads to one that was there when the configuration was written` };
}

const offlineShown = 5;

export function judgeLinks(devices: readonly DeviceSeen[]): Judgement {
  if (devices.length === 0) return { status: 'skipped', verdict: 'no device has joined yet', remedy: 'Add one in the console, or with: postern join-token NAME' };
  const offline = devices.filter((device) => !device.online).sort((a, b) => (b.lastSeenAt ?? 0) - (a.lastSeenAt ?? 0));
  if (offline.length === 0) return { status: 'ok', verdict: devices.length === 1 ? 'the one device is online' : `all ${devices.length} devices are online` };
  const evidence = offline.slice(0, offlineShown).map(({ label, lastSeenAt, lastLeftWhy }) => `${label}: ${lastSeenAt === null ? 'never seen' : `seen ${new Date(lastSeenAt).toISOString()}`}${lastLeftWhy === null ? '' : `, left: ${lastLeftWhy}`}`);
  if (offline.length > offlineShown) evidence.push(`and ${offline.length - offlineShown} more`);
  return {
    status: 'warning',
    evidence,
    verdict: `${offline.length} of ${count(devices.length, 'device')} ${offline.length === 1 ? 'is' : 'are'} offline`,
    remedy: 'On the device: does postern agent run, and does the site let it out to the port of this gateway? Its own log says what it tries.',
  };
}
