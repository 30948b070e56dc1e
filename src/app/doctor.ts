// Runs doctor's checks side by side. Everything that is looked at comes in as a function; a check that fails or hangs is a finding too.
import { access } from 'node:fs/promises';
import { lookup } from 'node:dns/promises';
import { builtAtMs } from '#base/about.ts';
import type { Clock } from '#base/clock.ts';
import { sleep } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import { judgeCertificates, judgeClock, judgeDeliveries, judgeDisk, judgeLinks, judgeNames, judgePorts, judgeRestored, judgeRoutes, judgeStore } from '#model/doctor.ts';
import type { CertificateSeen, DeliverySeen, DeviceSeen, Finding, Judgement, ListenerSeen, RouteSeen, StoreSeen } from '#model/doctor.ts';
import type { DiskState, RestoredNote } from '#model/keeping.ts';
import type { SinkStatus } from '#model/sinks.ts';
import { judgeSinks } from '#model/sinks-doctor.ts';
import type { Certificate } from '#model/rows.ts';

export interface DoctorDeps {
  readonly clock: Clock;
  /** When the gateway started, on both of the clock's scales. */
  readonly startedAt: { readonly nowMs: number; readonly monoMs: number };
  domains(): readonly string[];
  /** Those of them below which devices have names. */
  deviceDomains(): readonly string[];
  /** As bound. */
  listeners(): readonly ListenerSeen[];
  certificates(): { readonly leaves: readonly CertificateSeen[]; readonly caNotAfter: number; /** Those of people. */ readonly own?: Iterable<Certificate> };
  /** Certificates that agents put in place. Default: none. */
  deliveries?(): readonly DeliverySeen[];
  checkStore(): Promise<StoreSeen>;
  freeBytes(): Promise<number>;
  /** As it is watched. Default: not. */
  disk?(): DiskState;
  restored?(): RestoredNote | null;
  /** Where records go from here. Default: nowhere. */
  sinks?(): Promise<readonly SinkStatus[]>;
  /** Sentences about secrets that are named and not there. */
  secretsMissing?(): readonly string[];
  devices(): readonly DeviceSeen[];
  /** Those that lead to a device. */
  routes(): readonly RouteSeen[];
  /** Further ones: of devices that push. Default: none. */
  readonly more?: readonly (readonly [id: string, title: string, look: () => Promise<Judgement> | Judgement])[];
  /** When the configuration was last changed. */
  configuredAt(): Promise<number>;
  /** Addresses of a name as this machine sees it; empty when it has none. Default: the system's resolver. */
  resolve?(name: string): Promise<string[]>;
  /** Default: what systemd-timesyncd notes; null where it does not run. */
  isSynchronised?(): Promise<boolean | null>;
}

const checkTimeoutMs = 8_000;
/** No label of a device: only a wildcard record answers to it. */
const probeLabel = 'doctor-asks-for-any-device';

export async function runDoctor(deps: DoctorDeps): Promise<Finding[]> {
  const { clock } = deps;
  const resolve = deps.resolve ?? resolveHere;
  const restored = deps.restored?.() ?? null;
  const checks: readonly (readonly [id: string, title: string, look: () => Promise<Judgement> | Judgement])[] = [
    [
      'names',
      'Names',
      async () => {
        const below = new Set(deps.deviceDomains());
        const all = [...new Set([...deps.domains(), ...below])];
        const seen = all.map(async (domain) => ({
          domain,
          addresses: domain.includes('.') ? await resolve(domain) : [],
          deviceAddresses: below.has(domain) && domain.includes('.') ? await resolve(`${probeLabel}.${domain}`) : null,
        }));
        return judgeNames(await Promise.all(seen));
      },
    ],
    ['ports', 'Ports', () => judgePorts(deps.listeners())],
    [
      'certificates',
      'Certificates',
      () => {
        const { leaves, caNotAfter, own = [] } = deps.certificates();
        return judgeCertificates(leaves, caNotAfter, clock.nowMs(), [...own]);
      },
    ],
    ['deliveries', 'Certificates at agents', () => judgeDeliveries(deps.deliveries?.() ?? [])],
    [
      'clock',
      'Clock',
      async () => {
        const isSynchronised = await (deps.isSynchronised ?? isSynchronisedHere)();
        return judgeClock({ now: clock.nowMs(), expected: deps.startedAt.nowMs + clock.monoMs() - deps.startedAt.monoMs, builtAt: builtAtMs, isSynchronised });
      },
    ],
    ['store', 'Store', async () => judgeStore(await deps.checkStore())],
    ['disk', 'Disk', async () => judgeDisk(await deps.freeBytes(), deps.disk?.() ?? null)],
    ...(restored ? [['restored', 'Backup', () => judgeRestored(restored)] as const] : []),
    ['links', 'Links', () => judgeLinks(deps.devices())],
    ['routes', 'Routes to devices', async () => judgeRoutes(deps.routes(), await deps.configuredAt())],
    ...(deps.sinks ? [['sinks', 'Sinks', async () => judgeSinks(await deps.sinks!(), deps.secretsMissing?.() ?? [])] as const] : []),
    ...(deps.more ?? []),
  ];
  return runChecks(clock, checks);
}

/** Side by side. */
export function runChecks(clock: Clock, checks: NonNullable<DoctorDeps['more']>): Promise<Finding[]> {
  return Promise.all(checks.map(([id, title, look]) => runCheck(clock, id, title, look)));
}

async function runCheck(clock: Clock, id: string, title: string, look: () => Promise<Judgement> | Judgement): Promise<Finding> {
  const startedMs = clock.monoMs();
  const done = new AbortController();
  const tooLong = sleep(clock, checkTimeoutMs, done.signal).then((): Judgement => {
    throw new Fault('timeout', `it took longer than ${checkTimeoutMs / 1000} s`);
  });
  tooLong.catch(() => {});
  let judged: Judgement;
  try {
    judged = await Promise.race([(async () => look())(), tooLong]);
  } catch (thrown) {
    judged = { status: 'failure', verdict: `the check could not be made: ${reasonOf(thrown)}`, remedy: (isFault(thrown) ? thrown.remedy : undefined) ?? 'The log of the gateway says more.' };
  } finally {
    done.abort();
  }
  return { id, title, evidence: [], remedy: null, ...judged, ms: Math.round(clock.monoMs() - startedMs) };
}

async function resolveHere(name: string): Promise<string[]> {
  try {
    return (await lookup(name, { all: true })).map((each) => each.address);
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? thrown.code : '';
    if (code === 'ENOTFOUND' || code === 'ENODATA') return [];
    throw new Fault('unreachable', `the resolver of this machine does not answer (${String(code)})`, { remedy: 'Look at /etc/resolv.conf.', cause: thrown });
  }
}

/** systemd-timesyncd touches the second file once it has set the clock. */
async function isSynchronisedHere(): Promise<boolean | null> {
  const exists = (path: string) => access(path).then(() => true, () => false);
  if (!(await exists('/run/systemd/timesync'))) return null;
  return exists('/run/systemd/timesync/synchronized');
}
