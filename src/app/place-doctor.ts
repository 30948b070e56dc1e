// Doctor for a site or a device: why it does not arrive as itself. Looks at tables and rooms here, and asks the site's agents; judged by model/place-doctor and mis-route.
import type { PlaceDoctorDeps, DoorDeps } from '#admin/deps.ts';
import { canonicalAddress } from '#base/cidr.ts';
import { type Clock, sleep } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { MisRoute } from '#model/mis-route.ts';
import { evidenceOfWay } from '#model/mis-route.ts';
import { evidenceOfName, judgeName } from '#model/mis-route-dns.ts';
import { doorName } from '#model/places.ts';
import { judgeDoors, judgePolicies, judgeProfiles, judgeVirtual, judgeWays, type PlaceFinding, type PlaceJudgement, type PolicySeen } from '#model/place-doctor.ts';
import type { Asking } from '#model/probe/asking.ts';
import { probeFaultOf } from '#model/probe/faults.ts';
import type { Agent, Device } from '#model/rows.ts';
import type { Snapshot } from '#model/snapshot.ts';
import type { Tables } from '#model/tables.ts';
import { buildResolver, systemResolvers, type DnsServer } from '#net/dns-client.ts';
import { askOver } from '#tunnel/gateway-probe.ts';
import type { Hub } from '#tunnel/hub.ts';
import type { DevicePlaces } from './places.ts';
import { askOutside, askResolvers, type AskedAgent } from './resolver-asks.ts';
import type { Virtual } from './virtual.ts';

export interface PlaceDoctorOptions {
  readonly tables: Tables;
  readonly hub: Pick<Hub, 'linkOf' | 'openService' | 'dialDevice' | 'dialFlow'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly snapshot: () => Snapshot;
  readonly places: Pick<DevicePlaces, 'origins' | 'ways' | 'known'>;
  readonly virtual: Pick<Virtual, 'doors' | 'applicationsOf' | 'without'>;
  readonly doorState: DoorDeps['stateOf'];
  /** Asks an agent of its LAN and remembers the answer: which addresses are routers there. */
  readonly lanOf: (agentId: Id, signal: AbortSignal) => Promise<unknown>;
  /** Of the view from outside. Default: the system's. */
  readonly resolvers?: () => readonly DnsServer[];
}

type Check = readonly [id: string, title: string, ranOn: string, look: () => Promise<readonly PlaceJudgement[]> | readonly PlaceJudgement[]];

const checkTimeoutMs = 25_000;
const agentsMax = 3;
const callbackTimeoutMs = 5_000;

/** What is wrong first, in a check that finds several things. */
async function runCheck(clock: Clock, [id, title, ranOn, look]: Check): Promise<PlaceFinding[]> {
  const startedMs = clock.monoMs();
  const done = new AbortController();
  const tooLong = sleep(clock, checkTimeoutMs, done.signal).then((): readonly PlaceJudgement[] => {
    throw new Fault('timeout', `it took longer than ${checkTimeoutMs / 1_000} s`);
  });
  tooLong.catch(() => {});
  let judged: readonly PlaceJudgement[];
  try {
    judged = await Promise.race([(async () => look())(), tooLong]);
  } catch (thrown) {
    judged = [{ status: 'failure', verdict: `the check could not be made: ${reasonOf(thrown)}`, remedy: (isFault(thrown) ? thrown.remedy : undefined) ?? 'The log of the gateway says more.' }];
  } finally {
    done.abort();
  }
  const ms = Math.round(clock.monoMs() - startedMs);
  return judged.map(({ status, verdict, evidence = [], remedy = null, code = null, snippets = [], ranOn: where = ranOn }) => ({ id, title, status, evidence, verdict, remedy, code, snippets, ranOn: where, ms }));
}

/** The line to add, of whatever refused. */
function policyOf(thrown: unknown): Pick<PolicySeen, 'state' | 'told'> {
  if (!isFault(thrown)) throw thrown;
  const probe = probeFaultOf(thrown);
  const line = /reach (?:tcp|udp) \S+ \d+/.exec(`${thrown.message} ${thrown.remedy ?? ''} ${probe?.remedy ?? ''}`)?.[0];
  if (line !== undefined && (probe?.code === 'policy' || thrown.code === 'forbidden')) return { state: 'refused', told: line };
  const lost = ['offline', 'closed', 'timeout', 'unsupported', 'busy'].includes(thrown.code) && probe === null;
  return lost ? { state: 'unknown', told: reasonOf(thrown) } : { state: 'allowed', told: probe?.message ?? reasonOf(thrown) };
}

export function buildPlaceDoctor(options: PlaceDoctorOptions): PlaceDoctorDeps {
  const { tables, hub, clock, limits, snapshot, places, virtual } = options;
  const { origins, ways, known } = places;

  const agentsOf = (siteId: Id): Agent[] => Array.from(tables.agents.values()).filter((agent) => agent.siteId === siteId && hub.linkOf(agent.id) !== undefined);

  /** Every stream that was opened is closed at the end, whatever happened. */
  const openAskings = (signal: AbortSignal) => {
    const opened = new Map<Id, Promise<Asking & { close(): void }>>();
    return {
      through(agentId: Id): Promise<Asking> {
        let asking = opened.get(agentId);
        if (asking === undefined) {
          asking = hub.openService(agentId, 'probe', { timeoutMs: limits.deviceDialTimeoutMs, signal }).then((stream) => askOver(stream, { clock, limits, signal }));
          asking.catch(() => {});
          opened.set(agentId, asking);
        }
        return asking;
      },
      close: () => opened.forEach((asking) => void asking.then((each) => each.close(), () => {})),
    };
  };
  type Askings = ReturnType<typeof openAskings>;

  const namesCheck = (siteId: Id, given: readonly string[], askings: Askings, signal: AbortSignal): Check => ['names', 'Names of applications inside', 'gateway', async () => {
    const inside = ways.insideOf(siteId, null);
    const names = inside.names.slice(0, limits.doctorNamesMax);
    if (names.length === 0) return [{ status: 'skipped', verdict: 'no application has a host name of its own' }];
    const agents = agentsOf(siteId).slice(0, agentsMax);
    if (agents.length === 0) return [{ status: 'skipped', verdict: 'no agent of the site has a link, so its resolvers cannot be asked', remedy: 'Start the agent there: postern agent' }];
    const asked: AskedAgent[] = await Promise.all(agents.map(async ({ id, name }) => ({ name, asking: await askings.through(id) })));
    const outside = buildResolver({ servers: options.resolvers ?? systemResolvers, random: options.random, signal });
    const [byName, views] = await Promise.all([askResolvers(asked, names, given, limits), Promise.all(names.map((name) => askOutside(outside, name)))]);
    return names.flatMap((name, i) => {
      const seen = { name, resolvers: byName.get(name) ?? [], outside: views[i]!, inside: ways.insideOf(siteId, null).addresses };
      return judgeName(seen).map((verdict): PlaceJudgement => ({ ...verdict, evidence: evidenceOfName(seen), ranOn: agents.map((agent) => agent.name).join(', ') }));
    });
  }];

  interface Came {
    readonly line: string;
    readonly state: string;
    readonly judged: MisRoute | null;
  }
  const cameOf = (device: Device): Came[] => {
    const latest = origins.latestOf(device.id);
    if (latest === undefined) return [];
    const came = { address: latest.address, siteId: latest.siteId, deviceId: device.id, application: latest.application };
    return [{ line: `${device.name}, ${new Date(latest.at).toISOString()} at ${latest.application}, ${evidenceOfWay(ways.evidenceOf(came)).join('; ')}`, state: latest.state, judged: ways.judge(came) }];
  };
  const waitingAt = (siteId: Id): Came[] =>
    origins.unassigned(clock.nowMs()).filter((entry) => (entry.siteId ?? ways.siteOf(entry)) === siteId).slice(0, limits.doctorDevicesMax)
      .map((entry) => ({ line: `code ${entry.code} at ${entry.application}, ${evidenceOfWay(ways.evidenceOf(entry)).join('; ')}`, state: entry.state, judged: ways.judge(entry) }));

  const waysCheck = (title: string, siteId: Id, came: () => Came[], signal: AbortSignal): Check => ['ways', title, 'gateway', async () => {
    // An agent that does not say it only leaves HP-2 unknown.
    await Promise.allSettled(agentsOf(siteId).slice(0, agentsMax).map(({ id }) => options.lanOf(id, signal)));
    return [judgeWays(came())];
  }];

  const doorsCheck = (siteId: Id): Check => ['doors', 'Doors', 'gateway', () => [judgeDoors(Array.from(tables.siteDoors.values()).filter((door) => door.siteId === siteId).map((door) => {
    const { bound = false, why = null, remedy = null, accepted = 0 } = options.doorState(door.id) ?? {};
    return { name: doorName(door, undefined), agent: tables.agents.get(door.agentId)?.name ?? '', listener: door.listener, bound, why, remedy, accepted };
  }))]];

  const virtualCheck = (devices: readonly Device[]): Check => ['virtual', 'Virtual addresses', 'gateway', () => [judgeVirtual(devices.map((device) => {
    const { open, wanted, why } = virtual.doors.doorsOf(device.id);
    return { device: device.name, address: tables.virtualAddresses.get(device.id)?.address ?? null, isMissing: virtual.without().has(device.id), applications: virtual.applicationsOf(device), open, failed: why === null ? [] : [`${wanted - open} of ${wanted} not open: ${why}`] };
  }))]];

  const profilesCheck = (devices: readonly Device[]): Check => ['profiles', 'What devices say they are', 'gateway', () => [judgeProfiles(devices.filter((device) => device.agentId !== null).map((device) => {
    const row = tables.deviceProfiles.get(device.id);
    return { device: device.name, readAt: row?.readAt ?? null, failure: row?.failure ?? null };
  }), known.freshMs, clock.nowMs())]];

  const agentName = (device: Device): string => tables.agents.get(device.agentId ?? '')?.name ?? '';
  const asked = async (device: Device, what: string, ask: () => Promise<unknown>): Promise<PolicySeen> => {
    const base = { device: device.name, what, agent: agentName(device) };
    try {
      await ask();
      return { ...base, state: 'allowed', told: 'allowed' };
    } catch (thrown) {
      return { ...base, ...policyOf(thrown) };
    }
  };
  const callbacksOf = (device: Device) => {
    const names = new Set(virtual.applicationsOf(device));
    const all = snapshot().config.routes.flatMap(({ name, application }) => (application && names.has(name) ? application.callbacks : []));
    return [...new Map(all.map(({ transport, port, to = port }) => [`${transport} ${to}`, { transport, port: to }])).values()];
  };
  /** Opened and closed again: a UDP flow sends nothing by that. */
  const callBack = async (device: Device, transport: 'tcp' | 'udp', port: number, signal: AbortSignal) => {
    const by = { client: 'postern doctor', timeoutMs: callbackTimeoutMs, signal };
    if (transport === 'udp') (await hub.dialFlow(device.agentId, device.host, port, by)).close('doctor has looked');
    else (await hub.dialDevice(device.agentId, device.host, port, by)).destroy();
  };
  /** For a whole site nothing is sent to any device: whether the policy has a line for its address at all. */
  const policiesCheck = (devices: readonly Device[], isOne: boolean, askings: Askings, signal: AbortSignal): Check => ['policy', 'Local policy of agents', devices[0] === undefined ? 'gateway' : agentName(devices[0]) || 'gateway', async () => {
    const behind = devices.filter((device) => device.agentId !== null && canonicalAddress(device.host) !== null);
    const seen = await Promise.all(behind.flatMap((device) => {
      const address = canonicalAddress(device.host)!;
      const through = () => askings.through(device.agentId!);
      if (!isOne) return [asked(device, 'probes', async () => (await through()).mac({ address }))];
      const calls = callbacksOf(device).map(({ transport, port }) => asked(device, `a call-back to ${transport} ${port}`, () => callBack(device, transport, port, signal)));
      return [asked(device, 'SNMP (udp 161)', async () => (await through()).reach({ address })), ...calls];
    }));
    return [judgePolicies(seen)];
  }];

  const run = async (checks: readonly Check[], askings: Askings): Promise<PlaceFinding[]> => {
    try {
      return (await Promise.all(checks.map((check) => runCheck(clock, check)))).flat();
    } finally {
      askings.close();
    }
  };
  return {
    site(siteId, resolvers, signal) {
      const devices = Array.from(tables.devices.values()).filter((device) => device.siteId === siteId).slice(0, limits.doctorDevicesMax);
      const askings = openAskings(signal);
      return run([
        namesCheck(siteId, resolvers, askings, signal),
        waysCheck('How devices arrive', siteId, () => [...devices.flatMap(cameOf), ...waitingAt(siteId)], signal),
        doorsCheck(siteId), policiesCheck(devices, false, askings, signal), virtualCheck(devices), profilesCheck(devices),
      ], askings);
    },
    device(deviceId, resolvers, signal) {
      const device = tables.devices.get(deviceId);
      if (device === undefined) throw new Fault('not-found', 'there is no such device, or not any more');
      const askings = openAskings(signal);
      return run([
        waysCheck('How it arrives', device.siteId, () => cameOf(device), signal),
        namesCheck(device.siteId, resolvers, askings, signal),
        doorsCheck(device.siteId), policiesCheck([device], true, askings, signal), virtualCheck([device]), profilesCheck([device]),
      ], askings);
    },
  };
}
