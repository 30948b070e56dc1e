// Probes: who is asked what it is, and when (docs/wire/probe.md is how). On demand, at first sight, by a schedule, and when a device opens an application
// and its profile is old; never two for one device, so many at once for an agent and in all. What comes of it: the device's profile, its readings, its evidence.
import type { Clock } from '#base/clock.ts';
import { isLoopback, parseAddress } from '#base/cidr.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { confirmationOf } from '#model/identity-known.ts';
import type { Journal } from '#model/live.ts';
import type { DeviceProfile, ProbeFailure } from '#model/place-rows.ts';
import type { Asking } from '#model/probe/asking.ts';
import { probeFaultOf } from '#model/probe/faults.ts';
import type { ProbeControl, ProbeCounts, ProbeExplained, ProbeReason, ProbeRun } from '#model/probe-control.ts';
import type { ProbeOperations } from '#model/probe-operations.ts';
import type { Device } from '#model/rows.ts';
import { indexBy } from '#model/table.ts';
import type { Tables } from '#model/tables.ts';
import { keepAskings, type PacedAsking } from './askings.ts';
import { blankProfile, hasSucceeded, judgeProbe, type EvidenceSeen, type Probed } from './probe-outcome.ts';
import { buildProbeQueue, type ProbeJob } from './probe-queue.ts';
import { isDue, restMs } from './probe-times.ts';
import { readingsOf, samplesOf } from './samples.ts';

export interface ProbeSettings {
  /** 0: only when somebody wants it. */
  readonly everyMs: number;
  readonly freshMs: number;
  readonly perSecond: number;
  readonly atOnce: number;
}

export interface ProbeAsked {
  readonly asking: Asking;
  readonly device: Device;
  readonly address: string;
  readonly nowMs: number;
  /** For failures. */
  readonly agent: string;
  readonly before: DeviceProfile | undefined;
}

export interface ProbesOptions {
  readonly tables: Pick<Tables, 'devices' | 'agents' | 'deviceProfiles' | 'deviceBySerial' | 'devicesOfAgent'>;
  readonly operations: Pick<ProbeOperations, 'noteProbe' | 'seriesOf'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Limits;
  readonly settings: () => ProbeSettings;
  /** Devices that applications are for, whether they have a profile or not. */
  readonly applicationDevices: () => Iterable<Id>;
  readonly isOnline: (agentId: Id) => boolean;
  /** Links came or went. */
  readonly watchLinks: (onChange: () => void) => () => void;
  readonly openAsking: (agentId: Id, signal: AbortSignal) => Promise<PacedAsking>;
  /** Asks, and makes a profile of the answers. */
  readonly probe: (asked: ProbeAsked) => Promise<Probed>;
  readonly noteEvidence: (seen: readonly EvidenceSeen[]) => void;
}

export interface Probes extends ProbeControl {
  /** A device opens an application: it is asked when its profile is old, or, where something speaks against it, is not of this minute. Never waits, never fails. */
  freshen(deviceId: Id, isDoubted?: boolean): void;
  close(): Promise<void>;
}

/** Devices whose last questions are remembered, for people who ask why. */
const explainedMax = 200;

const addressOf = (host: string): string | null => (host === 'localhost' ? '127.0.0.1' : parseAddress(host) === null ? null : host);

/** The agent's own machine says what it is by itself, and seldom by SNMP: that is asked only when somebody wants it. */
const isAgentItself = (device: Device): boolean => device.host === 'localhost' || isLoopback(device.host);

export function buildProbes(options: ProbesOptions): Probes {
  const { tables, operations, clock, log, journal, limits, settings } = options;
  const watchers = new Set<(deviceId: Id) => void>();
  const counts: { -readonly [Name in keyof ProbeCounts]: number } = { succeeded: 0, failed: 0, dropped: 0, missed: 0 };
  const askedOf = new Map<Id, number>();
  const failures = new Map<Id, number>();
  const explained = new Map<Id, ProbeExplained>();
  const ending = new AbortController();
  const macKey = (siteId: Id, mac: string) => `${siteId} ${mac}`;
  const byMac = indexBy(tables.deviceProfiles, (row) => row.deviceId, (row) => {
    const device = row.mac === null ? undefined : tables.devices.get(row.deviceId);
    return device && macKey(device.siteId, row.mac!);
  });
  const askings = keepAskings({ clock, restMs: limits.probeStreamRestMs, pace: () => ({ perSecond: settings().perSecond, atOnce: settings().atOnce }), open: options.openAsking });

  const changed = (deviceId: Id) => {
    for (const watcher of watchers) watcher(deviceId);
  };

  /** Each question is counted, and asked no more when the run is over. */
  const counted = (asking: Asking, job: ProbeJob, signal: AbortSignal): Asking => {
    const ask = async <Answer>(what: string, run: () => Promise<Answer>): Promise<Answer> => {
      if (signal.aborted) throw signal.reason;
      job.asked += 1;
      job.last = what;
      if (job.agentId !== null) askedOf.set(job.agentId, (askedOf.get(job.agentId) ?? 0) + 1);
      changed(job.deviceId);
      const answer = await run();
      job.answered += 1;
      return answer;
    };
    return {
      reach: (asked) => ask('snmp reach', () => asking.reach(asked)),
      get: (asked) => ask(`snmp get ${asked.oids[0] ?? ''}`, () => asking.get(asked)),
      walk: (asked) => ask(`snmp walk ${asked.root}`, () => asking.walk(asked)),
      ipp: (asked) => ask(`${asked.tls ? 'ipps' : 'ipp'} ${asked.path}`, () => asking.ipp(asked)),
      http: (asked) => ask(asked.tls ? 'https' : 'http', () => asking.http(asked)),
      mac: (asked) => ask('mac', () => asking.mac(asked)),
      info: () => ask('info', () => asking.info()),
      dns: (asked) => ask(`dns ${asked.type} ${asked.name}`, () => asking.dns(asked)),
      setCredentials: (change) => asking.setCredentials(change),
    };
  };

  const failureOf = (code: string, question: string, device: Device, message: string, remedy: string, from: string | null = null): ProbeFailure => ({
    code, question, address: device.host, agent: (device.agentId === null ? undefined : tables.agents.get(device.agentId)?.name) ?? '', from, message, remedy,
  });

  /** What kept the question from the device. */
  const failureOfWay = (device: Device, thrown: unknown, job: ProbeJob): ProbeFailure => {
    const told = probeFaultOf(thrown);
    if (told) return failureOf(told.code, job.last ?? '', device, told.message, told.remedy, told.from);
    const fault = isFault(thrown) ? thrown : null;
    if (!fault) log.error('probe.broken', { device: device.id, why: reasonOf(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
    const code = fault?.code ?? 'internal';
    const remedy = fault?.remedy ?? (code === 'unsupported' ? 'Update the agent: this one does not know how to ask devices.' : code === 'timeout' ? 'Ask again; if it stays so, look at the link of the agent.' : '');
    return failureOf(code, job.last ?? 'the way to the agent', device, fault ? fault.message : 'the probe failed in the gateway; its log says why', remedy);
  };

  const ask = async (device: Device, job: ProbeJob): Promise<Probed> => {
    const nothing = (failure: ProbeFailure): Probed => ({ profile: null, failure, mac: null });
    const { agentId } = device;
    if (agentId === null) return nothing(failureOf('no-agent', 'the way to the device', device, `${device.name} is behind no agent, so nobody can ask it`, 'Join an agent at its site, and add the device behind it.'));
    const address = addressOf(device.host);
    if (address === null) return nothing(failureOf('no-address', 'the address', device, `${device.name} is known by the name ${device.host}; devices are asked at an address`, 'Give the device its address in the LAN as host.'));
    const run = new AbortController();
    const give = (fault: Fault) => run.abort(fault);
    const timer = clock.after(limits.probeRunTimeoutMs, () => give(new Fault('timeout', `asking ${device.name} took longer than ${limits.probeRunTimeoutMs / 1_000} s`)));
    const onEnd = () => give(new Fault('closed', 'the gateway is going down'));
    ending.signal.addEventListener('abort', onEnd);
    const over = new Promise<never>((_, reject) => run.signal.addEventListener('abort', () => reject(run.signal.reason)));
    over.catch(() => {});
    const agent = tables.agents.get(agentId)?.name ?? '';
    const before = tables.deviceProfiles.get(device.id);
    try {
      const asking = askings.through(agentId, (way) => options.probe({ asking: counted(way, job, run.signal), device, address, nowMs: clock.nowMs(), agent, before }));
      asking.catch(() => {});
      return await Promise.race([asking, over]);
    } catch (thrown) {
      return nothing(failureOfWay(device, thrown, job));
    } finally {
      timer.cancel();
      ending.signal.removeEventListener('abort', onEnd);
      give(new Fault('closed', 'the probe is over'));
    }
  };

  const keep = async (device: Device, probed: Probed): Promise<void> => {
    const nowMs = clock.nowMs();
    const judged = judgeProbe(probed, {
      device, nowMs,
      agent: device.agentId === null ? undefined : tables.agents.get(device.agentId),
      address: addressOf(device.host) ?? device.host,
      before: tables.deviceProfiles.get(device.id),
      deviceBySerial: (serial) => tables.deviceBySerial(device.customerId, serial),
      deviceByMac: (mac) => {
        const row = byMac.get(macKey(device.siteId, mac));
        return row && tables.devices.get(row.deviceId);
      },
    });
    tables.deviceProfiles.publish({ put: [judged.row] });
    for (const { event, fields } of judged.events) journal.note(event, fields);
    if (judged.evidence.length > 0) options.noteEvidence(judged.evidence);
    if (hasSucceeded(judged.row)) {
      counts.succeeded += 1;
      failures.delete(device.id);
    } else {
      counts.failed += 1;
      failures.set(device.id, (failures.get(device.id) ?? 0) + 1);
    }
    const readings = judged.readings === null ? null : readingsOf(judged.readings, limits.seriesPerDeviceMax);
    const ends = readings === null ? [] : await operations.seriesOf(device.id);
    await operations.noteProbe({ profile: judged.row, ...(readings === null ? { samples: [], superseded: [] } : samplesOf({ deviceId: device.id, customerId: device.customerId }, readings, ends, { nowMs, everyMs: limits.sampleEveryMs, seriesMax: limits.seriesKeptPerDeviceMax })) });
  };

  const remember = (deviceId: Id, told: ProbeExplained) => {
    explained.delete(deviceId);
    explained.set(deviceId, told);
    for (const id of explained.keys()) {
      if (explained.size <= explainedMax) break;
      explained.delete(id);
    }
  };

  const run = async (job: ProbeJob): Promise<void> => {
    const device = tables.devices.get(job.deviceId);
    if (!device) return;
    const probed = await ask(device, job);
    if (probed.explained) remember(device.id, probed.explained);
    // It may have been removed, or have got another address: then this says nothing of it.
    const now = tables.devices.get(job.deviceId);
    if (!now || now.host !== device.host || now.agentId !== device.agentId || ending.signal.aborted) return;
    try {
      await keep(now, probed);
    } catch (thrown) {
      // The table has it; the next run writes again.
      log.warn('probe.not-stored', { device: device.id, why: reasonOf(thrown) });
    }
  };
  const queue = buildProbeQueue({ nowMs: () => clock.nowMs(), atOnce: () => settings().atOnce, runsMax: limits.probeRunsMax, waitingMax: limits.probeRunsWaitingMax, run, onChange: changed });

  /** By itself: only where somebody could be asked now. */
  const add = (device: Device | undefined, reason: ProbeReason): boolean => {
    if (!device || device.agentId === null || device.locked || addressOf(device.host) === null || ending.signal.aborted) return false;
    if (!options.isOnline(device.agentId)) {
      if (reason === 'schedule') counts.missed += 1;
      return false;
    }
    if (queue.add(device.id, device.agentId, reason)) return true;
    counts.dropped += 1;
    return false;
  };

  // First sight: nothing was ever asked of it, or the question did not get to it.
  const wayFailed = new Set(['offline', 'unsupported', 'closed', 'busy', 'too-many', 'no-agent', 'no-address']);
  const isUnseen = (deviceId: Id): boolean => {
    const row = tables.deviceProfiles.get(deviceId);
    return row === undefined || (row.profile === null && row.failure !== null && wayFailed.has(row.failure.code));
  };
  const see = (device: Device) => {
    if (isUnseen(device.id) && !isAgentItself(device)) add(device, 'first');
  };
  let online = new Set<Id>();
  const lookAtLinks = () => {
    const before = online;
    online = new Set(Array.from(tables.agents.values(), ({ id }) => id).filter((id) => options.isOnline(id)));
    for (const id of before) if (!online.has(id)) askings.forget(id);
    for (const id of online) if (!before.has(id)) for (const device of tables.devicesOfAgent(id)) see(device);
  };

  let lookedAt = clock.nowMs();
  const look = () => {
    const now = clock.nowMs();
    // What was missed, while the machine slept or its clock was set, is not made up: that would be a burst.
    const from = now < lookedAt || now - lookedAt > 3 * limits.probeLookEveryMs ? now - limits.probeLookEveryMs : lookedAt;
    lookedAt = now;
    const { everyMs } = settings();
    if (everyMs <= 0) return;
    const due = new Set<Id>();
    for (const { deviceId, profile } of tables.deviceProfiles.values()) if (profile !== null && isDue(deviceId, everyMs, from, now)) due.add(deviceId);
    for (const id of options.applicationDevices()) if (isDue(id, everyMs, from, now)) due.add(id);
    for (const id of due) {
      const triedAt = tables.deviceProfiles.get(id)?.triedAt;
      if (triedAt === undefined || triedAt > now || now - triedAt >= everyMs / 2) add(tables.devices.get(id), 'schedule');
    }
  };

  const hosts = new Map(Array.from(tables.devices.values(), (device) => [device.id, `${device.agentId} ${device.host}`]));
  const stops = [
    options.watchLinks(lookAtLinks),
    tables.devices.watch(({ put, removed }) => {
      for (const id of removed) {
        hosts.delete(id);
        failures.delete(id);
        explained.delete(id);
        queue.drop(id);
      }
      const gone = removed.filter((id) => tables.deviceProfiles.get(id) !== undefined);
      if (gone.length > 0) tables.deviceProfiles.publish({ removed: gone });
      for (const device of put) {
        const place = `${device.agentId} ${device.host}`;
        const before = hosts.get(device.id);
        hosts.set(device.id, place);
        if (before === undefined) see(device);
        // At another address: what is known was read elsewhere.
        else if (before !== place && !isAgentItself(device)) add(device, 'first');
      }
    }),
    tables.agents.watch(({ removed }) => {
      for (const id of removed) {
        askings.forget(id);
        askedOf.delete(id);
      }
    }),
  ];
  const timer = clock.every(limits.probeLookEveryMs, look);
  lookAtLinks();

  const viewOf = ({ deviceId, agentId, reason, state, since, asked, answered, last }: ProbeJob): ProbeRun => ({ deviceId, agentId, reason, state, since, asked, answered, last });
  const agentsOf = () => [...new Set([...askedOf.keys(), ...queue.all().flatMap(({ agentId }) => agentId ?? [])])];
  return {
    counts,
    freshen(deviceId, isDoubted = false) {
      if (queue.of(deviceId)) return;
      const row = tables.deviceProfiles.get(deviceId);
      const { freshMs } = settings();
      if (row) {
        const now = clock.nowMs();
        const waitMs = hasSucceeded(row) ? (isDoubted ? Math.min(freshMs, limits.probeRetryFirstMs) : freshMs) : restMs(failures.get(deviceId) ?? 1, limits.probeRetryFirstMs, freshMs);
        if (row.triedAt <= now && now - row.triedAt < waitMs) return;
      }
      add(tables.devices.get(deviceId), 'opening');
    },
    async probe(deviceId) {
      const device = tables.devices.get(deviceId);
      if (!device) throw new Fault('not-found', 'the device is not there, or not any more');
      const job = queue.add(deviceId, device.agentId, 'asked');
      if (!job) throw ending.signal.aborted ? new Fault('closed', 'the gateway is going down') : new Fault('too-many', `${queue.waiting} devices wait to be asked already`, { remedy: 'Try again when some have been.' });
      await job.done;
      return tables.deviceProfiles.get(deviceId) ?? blankProfile(device, clock.nowMs());
    },
    runOf: (deviceId) => {
      const job = queue.of(deviceId);
      return job && viewOf(job);
    },
    explanationOf: (deviceId) => explained.get(deviceId) ?? null,
    runs: () => queue.all().map(viewOf),
    agents: () => agentsOf().map((agentId) => ({ agentId, ...queue.ofAgent(agentId), pace: askings.paceOf(agentId), asked: askedOf.get(agentId) ?? 0 })),
    confirmationOf: (deviceId) => confirmationOf(tables.deviceProfiles.get(deviceId)),
    watch(onChange) {
      watchers.add(onChange);
      return () => watchers.delete(onChange);
    },
    readCredentials: (agentId) => askings.through(agentId, async (asking) => {
      const { credentials, defaultCredentials } = await asking.info();
      return { credentials, defaultCredentials };
    }),
    changeCredentials: (agentId, change) => askings.through(agentId, (asking) => asking.setCredentials(change)),
    async close() {
      ending.abort();
      timer.cancel();
      for (const stop of stops) stop();
      const ended = queue.close();
      askings.close();
      await ended;
    },
  };
}
