// What devices are: asking them now, what they said, what was measured, by which drivers; and credentials, which go through here to an agent and stay nowhere.
import type { ParsedBody } from '#api/contract.ts';
import type { ProbeFailureView, ProfileView, SupplyView } from '#api/probe-shapes.ts';
import { sleep } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { DeviceProfile, ProbeFailure, Profile, SupplyReading } from '#model/place-rows.ts';
import type { CredentialsSent, CredentialsShown } from '#model/probe/asking.ts';
import { subjectOfAgent, subjectOfDevice } from '#model/rights.ts';
import type { Action, Agent, Device } from '#model/rows.ts';
import { auditOf, may, mustMay, type Acts, type Anyone } from './asked.ts';
import type { AdminDeps } from './deps.ts';
import { judgeByAddress } from './device-tokens.ts';
import { deviceFor, subjectOf } from './devices.ts';
import { keepSorted, pageOf } from './pages.ts';
import { defaultCustomer, type Room } from './room.ts';

type Names =
  | 'probeDevice' | 'getProfile' | 'takeProbedSerial' | 'listSeries' | 'listSamples' | 'listProfiles' | 'listProbes' | 'listDrivers' | 'putDriver' | 'removeDriver' | 'getProbeCredentials' | 'setProbeCredentials';
type Probes = NonNullable<AdminDeps['probes']>;

const runsListed = 500;
const dayMs = 24 * 3_600_000;

const viewFailure = ({ code, question, address, agent, from, message, remedy }: ProbeFailure): ProbeFailureView => ({ code, question, address, agent, from, message, remedy });
const viewSupply = (reading: SupplyReading): SupplyView => ({ ...reading });
const viewCredentials = ({ name, networks, version, user, context, authProtocol, privProtocol }: CredentialsShown) => ({ name, networks: [...networks], version, user, context, authProtocol, privProtocol });

function viewWhat(profile: Profile): NonNullable<ProfileView['profile']> {
  const { macs, addresses, hostNames, functions, languages, protocols, supplies, trays, counters, errors, evidence, ...rest } = profile;
  return {
    ...rest, macs: [...macs], addresses: [...addresses], hostNames: [...hostNames], functions: { ...functions }, languages: [...languages], protocols: [...protocols],
    supplies: supplies.map(viewSupply), trays: trays.map(viewSupply), counters: { ...counters }, errors: [...errors], evidence: evidence.map((each) => ({ ...each })),
  };
}

/** The supply that ends first: what fills is at its end when it is full. */
function lowestOf(profile: Profile | null): SupplyView | null {
  let lowest: { readonly reading: SupplyReading; readonly left: number } | null = null;
  for (const reading of profile?.supplies ?? []) {
    const left = reading.percent === null ? (reading.state === 'empty' ? 0 : reading.state === 'low' ? 10 : null) : reading.fills ? 100 - reading.percent : reading.percent;
    if (left !== null && (lowest === null || left < lowest.left)) lowest = { reading, left };
  }
  return lowest && viewSupply(lowest.reading);
}

function viewProfile(probes: Probes, device: Device, row: DeviceProfile | undefined, explain: boolean): ProfileView {
  const run = probes.runOf(device.id);
  const told = explain ? probes.explanationOf(device.id) : null;
  return {
    deviceId: device.id, device: device.name,
    profile: row?.profile ? viewWhat(row.profile) : null,
    readAt: row?.readAt ?? null, address: row?.address ?? null, agentId: row?.agentId ?? null, trust: row?.trust ?? 'unread', mac: row?.mac ?? null, triedAt: row?.triedAt ?? null,
    failure: row?.failure ? viewFailure(row.failure) : null,
    offeredSerial: device.serial === null && row?.trust !== 'different' ? (row?.profile?.serial ?? null) : null,
    run: run ? { reason: run.reason, state: run.state, since: run.since, asked: run.asked, answered: run.answered, last: run.last } : null,
    explained: told && { driver: told.driver && { ...told.driver }, asked: told.asked.map((each) => ({ ...each })), gaps: told.gaps.map(viewFailure), requests: told.requests },
  };
}

/** zod's optional fields may be there and undefined. */
function credentialsOf(given: ParsedBody<'setProbeCredentials'>['put'][number]): CredentialsSent {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as unknown as CredentialsSent;
}

export function buildProbeActs(room: Room): Acts<Names> {
  const { tables, operations, clock } = room;
  const probesHere = (): Probes => {
    if (!room.probes) throw new Fault('unsupported', 'nobody is asked from here');
    return room.probes;
  };
  const agentFor = (asked: Anyone, id: Id, action: Action, what: string): Agent => {
    const agent = tables.agents.get(id);
    if (!agent || !may(asked, 'see', subjectOfAgent(agent))) throw new Fault('not-found', 'there is no such agent, or not any more');
    mustMay(asked, action, subjectOfAgent(agent), what);
    return agent;
  };
  const see = (asked: Anyone & { readonly params: { readonly device: string } }) => deviceFor(room, asked, asked.params.device, 'see', 'see what this device is');
  const nameOfDevice = (id: Id) => tables.devices.get(id)?.name ?? '';
  const order = { keyOf: (row: DeviceProfile) => `${nameOfDevice(row.deviceId).toLowerCase()}\0${row.deviceId}` };
  const rows = keepSorted(tables.deviceProfiles, order);
  const subjectOfDriver = (key: string) => ({ customerId: defaultCustomer(room).id, kind: 'driver', id: null, name: key });
  return {
    async probeDevice(asked) {
      const probes = probesHere();
      const device = deviceFor(room, asked, asked.params.device, 'administer', 'ask this device what it is');
      const { waitMs, explain } = asked.body;
      const probing = probes.probe(device.id);
      const over = new AbortController();
      const leave = () => over.abort();
      asked.signal.addEventListener('abort', leave);
      try {
        // Whoever waits no longer is told how far it is; the probe goes on.
        probing.catch(() => {});
        await Promise.race([probing, sleep(clock, waitMs, over.signal)]);
      } finally {
        over.abort();
        asked.signal.removeEventListener('abort', leave);
      }
      return viewProfile(probes, tables.devices.get(device.id) ?? device, tables.deviceProfiles.get(device.id), explain);
    },
    getProfile(asked) {
      const device = see(asked);
      return viewProfile(probesHere(), device, tables.deviceProfiles.get(device.id), asked.query.explain === 'true');
    },
    takeProbedSerial: (asked) =>
      room.inTurn(async () => {
        const probes = probesHere();
        const device = deviceFor(room, asked, asked.params.device, 'administer', 'change this device');
        const row = tables.deviceProfiles.get(device.id);
        const serial = row?.trust === 'different' ? null : (row?.profile?.serial ?? null);
        if (device.serial !== null) throw new Fault('conflict', `${device.name} has the serial ${device.serial} already`, { remedy: 'change the device if that is wrong' });
        if (!row || serial === null) throw new Fault('conflict', `no serial was read of ${device.name}`, { remedy: 'probe it first' });
        const other = tables.deviceBySerial(device.customerId, serial);
        if (other) throw new Fault('conflict', `${other.name} has the serial ${serial} already`, { remedy: 'is it the same machine? Then remove one of the two; else look at their addresses' });
        if (tables.waitingBySerial(device.customerId, serial)) throw new Fault('conflict', `a device with the serial ${serial} waits to be approved`, { remedy: 'approve it, or refuse it first: postern waiting' });
        const changed: Device = { ...device, serial };
        await operations.changeDevice(changed, auditOf(room, asked, 'device.serial-taken', subjectOf(changed), { serial, address: row.address }));
        tables.devices.publish({ put: [changed] });
        const verified: DeviceProfile = { ...row, trust: 'verified' };
        tables.deviceProfiles.publish({ put: [verified] });
        await operations.noteProbe({ profile: verified, samples: [], superseded: [] });
        return viewProfile(probes, changed, verified, false);
      }),
    async listSeries(asked) {
      const ends = await operations.seriesOf(see(asked).id);
      return { items: ends.flatMap(({ series, last: [newest] }) => (newest ? [{ series, at: newest.at, value: newest.value }] : [])) };
    },
    async listSamples(asked) {
      const { id } = see(asked);
      const { series, points } = asked.query;
      const to = asked.query.to ?? clock.nowMs();
      const from = asked.query.from ?? Math.max(0, to - 30 * dayMs);
      if (from > to) throw new Fault('bad-input', 'the time ends before it begins', { detail: { problems: [{ path: 'from', message: 'is behind `to`' }] } });
      const found = await operations.readSamples({ deviceId: id, series, from, to, points });
      return { series, from, to, points: found.map((each) => ({ ...each })) };
    },
    listProfiles(asked) {
      const { siteId, trust, failed } = asked.query;
      const wanted = (row: DeviceProfile): boolean => {
        const device = tables.devices.get(row.deviceId);
        if (!device || !may(asked, 'see', subjectOfDevice(device))) return false;
        return (siteId === undefined || device.siteId === siteId) && (trust === undefined || row.trust === trust) && (failed === undefined || (row.failure !== null) === (failed === 'true'));
      };
      return pageOf(rows(), order, asked.query, wanted, (row) => {
        const device = tables.devices.get(row.deviceId)!;
        const { vendor = null, model = null, serial = null, errors = [] } = row.profile ?? {};
        const identity = room.identity === null ? null : judgeByAddress(room, device).identity;
        return { deviceId: device.id, device: device.name, identity: identity && { state: identity.state, why: identity.why }, siteId: device.siteId, vendor, model, serial, trust: row.trust, readAt: row.readAt, triedAt: row.triedAt, failure: row.failure?.code ?? null, errors: [...errors], lowest: lowestOf(row.profile) };
      });
    },
    listProbes(asked) {
      const probes = probesHere();
      const seen = probes.runs().flatMap((run) => {
        const device = tables.devices.get(run.deviceId);
        return device && may(asked, 'see', subjectOfDevice(device)) ? [{ ...run, device: device.name }] : [];
      });
      const agents = probes.agents().flatMap(({ agentId, running, waiting, asked: questions, pace }) => {
        const agent = tables.agents.get(agentId);
        return agent && may(asked, 'see', subjectOfAgent(agent)) ? [{ agentId, agent: agent.name, running, waiting, asked: questions, perSecond: pace?.perSecond ?? null, atOnce: pace?.atOnce ?? null }] : [];
      });
      return { items: seen.slice(0, runsListed), more: Math.max(0, seen.length - runsListed), agents, counts: may(asked, 'see', 'gateway') ? { ...probes.counts } : null };
    },
    listDrivers: () => ({ items: probesHere().drivers.list().map((each) => ({ ...each, prefixes: [...each.prefixes] })) }),
    async putDriver(asked) {
      mustMay(asked, 'administer', 'gateway', 'add drivers');
      const shown = await probesHere().drivers.put(asked.params.key, JSON.stringify(asked.body.driver, null, 2));
      await operations.addAudit([auditOf(room, asked, 'driver.put', subjectOfDriver(shown.key))]);
      return { ...shown, prefixes: [...shown.prefixes] };
    },
    async removeDriver(asked) {
      mustMay(asked, 'administer', 'gateway', 'remove drivers');
      await probesHere().drivers.remove(asked.params.key);
      await operations.addAudit([auditOf(room, asked, 'driver.removed', subjectOfDriver(asked.params.key))]);
      return {};
    },
    async getProbeCredentials(asked) {
      const agent = agentFor(asked, asked.params.id, 'administer', 'see which credentials this agent has');
      const { credentials, defaultCredentials } = await probesHere().readCredentials(agent.id);
      return { items: credentials.map(viewCredentials), isDefault: defaultCredentials };
    },
    async setProbeCredentials(asked) {
      const agent = agentFor(asked, asked.params.id, 'administer', 'hand credentials to this agent');
      const { put, remove } = asked.body;
      if (put.length + remove.length === 0) throw new Fault('bad-input', 'nothing is to be set or removed');
      // First the line: what was handed over is known to the agent alone. It has names, and nothing else of them.
      await operations.addAudit([auditOf(room, asked, 'agent.probe-credentials-set', { customerId: agent.customerId, kind: 'agent', id: agent.id, name: agent.name }, { put: put.map(({ name }) => name).join(', '), removed: remove.join(', ') })]);
      return { items: (await probesHere().changeCredentials(agent.id, { put: put.map(credentialsOf), remove })).map(viewCredentials) };
    },
  };
}
