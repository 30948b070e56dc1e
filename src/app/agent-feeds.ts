// An agent's feeds: what `postern agent` runs beside its link, and all that `postern agent --push-only` runs.
import { X509Certificate } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { builtAtMs, version } from '#base/about.ts';
import { sleep } from '#base/clock.ts';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import { limits } from '#base/limits.ts';
import type { DeviceHttp, Server } from '#field/device-http.ts';
import { runFeeds } from '#field/run-feeds.ts';
import { feedsFileName, readFeedsSettings } from '#field/settings.ts';
import type { FeedsSettings } from '#field/settings.ts';
import { defaultPolicyText, parsePolicy } from '#model/policy.ts';
import type { Policy } from '#model/policy.ts';
import { dialGateway } from '#tunnel/gateway-dial.ts';
import { renewCertificate } from '#tunnel/joining.ts';
import { policyName, readAgentState, readPolicyFile, writeAgentState } from './agent-state.ts';
import type { AgentState } from './agent-state.ts';
import { buildSetClock, buildUptime, describeMachine, readBootId } from './machine.ts';

export interface AgentFeedsOptions {
  readonly stateDir: string;
  /** Default: `feeds.json` in the state folder. */
  readonly feedsFile?: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly policy: () => Policy;
  readonly certificate: () => Server['certificate'];
  readonly dialLink?: Server['dial'];
  readonly sharesConnection: boolean;
  readonly setSystemClock?: ((nowMs: number) => Promise<boolean>) | undefined;
  readonly onOpen?: (alone: DeviceHttp['alone']) => void;
}

const product = `postern/${version} ${process.platform}-${process.arch}`;

/** Null: this machine has no feeds. Faults: `bad-input`, `internal`. */
export async function readFeeds(stateDir: string, feedsFile: string | undefined): Promise<FeedsSettings | null> {
  return await readFeedsSettings(feedsFile ?? join(stateDir, feedsFileName));
}

/** Until the signal aborts. Faults: those of `runFeeds`. */
export async function runAgentFeeds(settings: FeedsSettings, options: AgentFeedsOptions): Promise<void> {
  const { clock, random, log, signal } = options;
  await runFeeds(
    {
      settings, clock, random, log, product, builtAtMs,
      stateDir: options.stateDir,
      uptimeMs: buildUptime(clock),
      bootId: await readBootId(random),
      facts: describeMachine(),
      sharesConnection: options.sharesConnection,
      certificate: options.certificate,
      ...(options.dialLink === undefined ? {} : { dialLink: options.dialLink }),
      setSystemClock: options.setSystemClock ?? buildSetClock(options.policy, clock),
      ...(options.onOpen === undefined ? {} : { onOpen: options.onOpen }),
    },
    signal,
  );
}

/** Beside a link: what cannot run now is tried again, and the link stands meanwhile. Never rejects. */
export async function keepAgentFeeds(options: AgentFeedsOptions): Promise<void> {
  const { stateDir, clock, log, signal } = options;
  let delayMs: number = limits.pushRetryFirstMs;
  while (!signal.aborted) {
    try {
      const settings = await readFeeds(stateDir, options.feedsFile);
      if (settings === null && options.feedsFile === undefined) return;
      if (settings === null) throw new Fault('not-found', `there is no feeds file ${options.feedsFile}`);
      await runAgentFeeds(settings, options);
    } catch (thrown) {
      log.error('feeds.failed', { why: reasonOf(thrown), ...(isFault(thrown) && thrown.remedy !== undefined ? { remedy: thrown.remedy } : {}), ...(isFault(thrown) ? {} : { stack: thrown instanceof Error ? thrown.stack : undefined }) });
    }
    await sleep(clock, delayMs, signal);
    delayMs = Math.min(delayMs * 2, limits.pushRetryMaxMs);
  }
}

export interface PushOnlyOptions {
  readonly stateDir: string;
  readonly feedsFile?: string | undefined;
  /** The device's key, for destinations that name no key file. */
  readonly keyFile?: string | undefined;
  readonly policyFile?: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const dialTimeoutMs = 15_000;
const renewalLookMs = 3_600_000;

/** A key where the file names none; over plain http it signs. */
function withKey(settings: FeedsSettings, keyFile: string | undefined): FeedsSettings {
  if (keyFile === undefined) return settings;
  const destinations = settings.destinations.map((each) =>
    each.kind === 'link' || each.keyFile !== null ? each : { ...each, keyFile, identity: each.bases.some((base) => base.startsWith('http:')) ? ('sign' as const) : ('key' as const) },
  );
  return { ...settings, destinations };
}

/**
 * Push, check-in and nothing else, over one outbound connection at a time. Faults: `not-found` (no feeds file, or a file that it names), `bad-input`
 * (what is in them), `conflict` (another process has the buffers).
 */
export async function runPushOnly(options: PushOnlyOptions): Promise<void> {
  const { stateDir, clock, log, random, signal } = options;
  const file = options.feedsFile ?? join(stateDir, feedsFileName);
  const settings = await readFeedsSettings(file);
  if (settings === null) throw new Fault('not-found', `there is no feeds file ${file}`, { remedy: 'docs/operate/feeds.md shows one; name it with --feeds FILE.' });
  const policyText = await readPolicyFile(options.policyFile ?? join(stateDir, policyName));
  if (policyText === null && options.policyFile !== undefined) throw new Fault('not-found', `there is no policy file ${options.policyFile}`);
  const policy = parsePolicy(policyText ?? defaultPolicyText);
  let agent = await readAgentState(stateDir);
  const dialOptions = (state: AgentState) => ({ caFingerprint: state.caFingerprint, key: state.key, certificate: state.certificate, timeoutMs: dialTimeoutMs, nowMs: () => clock.nowMs(), builtAtMs, signal });
  const dialLink: Server['dial'] = async () => {
    let last: unknown = new Fault('offline', 'the agent knows no address of its gateway');
    for (const address of agent!.addresses) {
      try {
        return { stream: await dialGateway(address, dialOptions(agent!)), over: 'link', pin: null };
      } catch (thrown) {
        last = thrown;
      }
    }
    throw last;
  };
  /** A running link renews its certificate over it; here nobody else does. */
  const renew = async (state: AgentState) => {
    const { validFromDate, validToDate } = new X509Certificate(state.certificate);
    const from = validFromDate.getTime();
    if (clock.nowMs() < from + ((validToDate.getTime() - from) * 2) / 3) return;
    agent = { ...state, certificate: await renewCertificate(state.addresses, state.device?.name ?? hostname(), dialOptions(state)) };
    await writeAgentState(stateDir, agent);
    log.info('certificate.renewed', {});
  };
  let alone: DeviceHttp['alone'] = (run) => run();
  const lookAtCertificate = () => {
    if (agent === null) return;
    const state = agent;
    alone(() => renew(state)).catch((thrown: unknown) => log.warn('certificate.not-renewed', { why: reasonOf(thrown) }));
  };
  const renewal = clock.every(renewalLookMs, lookAtCertificate);
  // The clock's timers keep no process alive, and between two pushes there may be nothing else.
  const alive = setInterval(() => {}, 2 ** 30);
  try {
    await runAgentFeeds(withKey(settings, options.keyFile), {
      stateDir, clock, random, log, signal,
      policy: () => policy,
      certificate: () => (agent === null ? null : { cert: agent.certificate, key: agent.key }),
      ...(agent === null ? {} : { dialLink }),
      sharesConnection: true,
      onOpen: (run) => {
        alone = run;
        lookAtCertificate();
      },
    });
  } finally {
    clearInterval(alive);
    renewal.cancel();
  }
}
