// What an agent knows of the machine that it runs on: how long it is up, which start that was, what it is called, how its clock is set.
import { readFile } from 'node:fs/promises';
import { hostname, uptime } from 'node:os';
import { version } from '#base/about.ts';
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { ContactFacts } from '#field/contact.ts';
import type { Policy } from '#model/policy.ts';
import { runCommand } from '#tunnel/run-command.ts';

const lookEveryMs = 1_000;
const sleptMs = 1_000;
const setClockTimeoutMs = 20_000;
const setClockOutputBytesMax = 16 * 1024;

/** Milliseconds since the machine started: fine as the clock that only grows, and right again after it slept, which that clock does not count. */
export function buildUptime(clock: Clock, systemUptimeMs: () => number = () => uptime() * 1000): () => number {
  let baseMs = systemUptimeMs() - clock.monoMs();
  let lookedMs = clock.monoMs();
  return () => {
    const mono = clock.monoMs();
    if (mono - lookedMs >= lookEveryMs) {
      lookedMs = mono;
      const system = systemUptimeMs();
      if (system - (baseMs + mono) > sleptMs) baseMs = system - mono;
    }
    return baseMs + mono;
  };
}

/** The same while the machine is up. Where the system has none, each start of ours counts as one: what was taken before it is dated by what its clock showed. */
export async function readBootId(random: Random): Promise<string> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  } catch {
    return random(16).toString('hex');
  }
}

export function describeMachine(): ContactFacts {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return { version, platform: `${process.platform}-${process.arch}`, name: hostname(), zone: zone === undefined || zone === '' ? null : zone };
}

/**
 * Sets the system clock by the command `set-clock` of the owner's policy, where it names one: `run set-clock = /usr/bin/date -u -s @{unix}`.
 * `{unix}` is the time in seconds. False: the policy names none. Fault `internal`: the command failed.
 */
export function buildSetClock(policy: () => Policy, clock: Clock): (nowMs: number) => Promise<boolean> {
  return async (nowMs) => {
    const command = policy().run.get('set-clock');
    if (command === undefined) return false;
    const unix = (nowMs / 1000).toFixed(3);
    const ran = await runCommand(command.map((word) => word.replaceAll('{unix}', unix)), { clock, timeoutMs: setClockTimeoutMs, outputBytesMax: setClockOutputBytesMax, env: { POSTERN_UNIX_TIME: unix } });
    if (ran.exitCode !== 0) throw new Fault('internal', `the command set-clock: ${ran.how}${ran.output === '' ? '' : `: ${ran.output}`}`);
    return true;
  };
}
