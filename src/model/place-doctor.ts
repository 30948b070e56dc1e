// What doctor says of a site's doors, policies and devices: judgements over what was observed, pure. Who observes is app/place-doctor.ts.
import type { Finding, Judgement } from './doctor.ts';
import type { DnsSnippet } from './dns-snippets.ts';
import type { MisRoute } from './mis-route.ts';

export interface PlaceFinding extends Finding {
  readonly code: MisRoute['code'] | null;
  /** `gateway`, or the agent's name. */
  readonly ranOn: string;
  readonly snippets: readonly DnsSnippet[];
}

/** A judgement that may have a code, and lines to write. */
export interface PlaceJudgement extends Judgement {
  readonly code?: MisRoute['code'] | null;
  readonly ranOn?: string;
  readonly snippets?: readonly DnsSnippet[];
}

const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;
const shownMax = 12;
const shown = (lines: readonly string[]): string[] => (lines.length > shownMax ? [...lines.slice(0, shownMax), `and ${lines.length - shownMax} more`] : [...lines]);

export interface DoorSeen {
  /** As people call it. */
  readonly name: string;
  readonly agent: string;
  readonly listener: string;
  readonly bound: boolean;
  readonly why: string | null;
  readonly remedy: string | null;
  readonly accepted: number;
}

export function judgeDoors(doors: readonly DoorSeen[]): PlaceJudgement {
  if (doors.length === 0) return { status: 'ok', verdict: 'the site has no doors: its devices reach the gateway directly' };
  const evidence = shown(doors.map(({ name, agent, listener, bound, why, accepted }) => `${name} at ${agent}, to ${listener}: ${bound ? `open, ${count(accepted, 'connection')} since the start` : `shut${why === null ? '' : `: ${why}`}`}`));
  const shut = doors.filter((door) => !door.bound);
  if (shut.length === 0) return { status: 'ok', evidence, verdict: doors.length === 1 ? 'the one door is open' : `all ${doors.length} doors are open` };
  return { status: 'failure', evidence, verdict: `${shut.length} of ${count(doors.length, 'door')} ${shut.length === 1 ? 'is' : 'are'} shut`, remedy: shut.find((door) => door.remedy !== null)?.remedy ?? 'See that the agent runs and has a link: postern sites show SITE' };
}

/** A question of the gateway that an agent's local policy was asked about. */
export interface PolicySeen {
  readonly device: string;
  /** `SNMP (udp 161)`, `a call-back to tcp 80` … */
  readonly what: string;
  readonly agent: string;
  /** allowed · refused: with the line to add · unknown: it could not be asked. */
  readonly state: 'allowed' | 'refused' | 'unknown';
  /** The line to add, or why it is not known. */
  readonly told: string;
}

export function judgePolicies(seen: readonly PolicySeen[]): PlaceJudgement {
  if (seen.length === 0) return { status: 'skipped', verdict: 'there is nothing behind an agent to be reached' };
  const refused = seen.filter(({ state }) => state === 'refused');
  const unknown = seen.filter(({ state }) => state === 'unknown');
  const evidence = shown([...refused, ...unknown].map(({ device, what, agent, told }) => `${device}, ${what}, by ${agent}: ${told}`));
  if (refused.length > 0) {
    const verdict = `the local policy of ${[...new Set(refused.map(({ agent }) => agent))].join(', ')} does not allow what probes and call-backs need: ${count(refused.length, 'gap')}`;
    return { status: 'failure', evidence, verdict, remedy: `On the agent's machine, add to its policy file: ${[...new Set(refused.map(({ told }) => told))].slice(0, 4).join('; ')}` };
  }
  if (unknown.length > 0) return { status: 'warning', evidence, verdict: `whether ${count(unknown.length, 'thing')} may be reached could not be found out`, remedy: 'See that the agent has a link, and that its program is up to date.' };
  return { status: 'ok', verdict: `the local policies allow what was asked about ${count(new Set(seen.map(({ device }) => device)).size, 'device')}` };
}

export interface VirtualSeen {
  readonly device: string;
  readonly address: string | null;
  /** It should have one, and has none. */
  readonly isMissing: boolean;
  readonly applications: readonly string[];
  /** Ports that are not open, with why. */
  readonly failed: readonly string[];
  readonly open: number;
}

export function judgeVirtual(seen: readonly VirtualSeen[]): PlaceJudgement {
  const concerned = seen.filter(({ address, isMissing }) => address !== null || isMissing);
  if (concerned.length === 0) return { status: 'ok', verdict: 'no application needs a virtual address here' };
  const evidence = shown(concerned.map(({ device, address, applications, open, failed }) => `${device}: ${address ?? 'none'}${applications.length > 0 ? `, called back by ${applications.join(', ')} at ${count(open, 'port')}` : ''}${failed.length > 0 ? `; ${failed.join('; ')}` : ''}`));
  const missing = concerned.filter(({ isMissing }) => isMissing);
  if (missing.length > 0) return { status: 'failure', evidence, verdict: `${count(missing.length, 'device')} should have a virtual address and ${missing.length === 1 ? 'has' : 'have'} none`, remedy: 'The pool has no address left, or theirs was pinned outside of it: postern addresses shows it.' };
  const failed = concerned.filter((each) => each.failed.length > 0);
  if (failed.length > 0) return { status: 'failure', evidence, verdict: `at ${count(failed.length, 'virtual address', 'virtual addresses')} not every port is open`, remedy: 'postern doctor says what the machine lacks: a route, or the right to low ports.' };
  return { status: 'ok', evidence, verdict: `${count(concerned.length, 'virtual address is', 'virtual addresses are')} there` };
}

export interface ProfileSeen {
  readonly device: string;
  readonly readAt: number | null;
  readonly failure: { readonly code: string; readonly message: string; readonly remedy: string } | null;
}

export function judgeProfiles(seen: readonly ProfileSeen[], freshMs: number, nowMs: number): PlaceJudgement {
  if (seen.length === 0) return { status: 'skipped', verdict: 'there is no device behind an agent to be asked what it is' };
  const failed = seen.filter(({ failure }) => failure !== null && failure.code !== 'partial');
  const never = seen.filter(({ readAt, failure }) => readAt === null && failure === null);
  const old = seen.filter(({ readAt, failure }) => readAt !== null && failure === null && nowMs - readAt > freshMs);
  const when = (at: number | null) => (at === null ? 'never read' : `read ${new Date(at).toISOString()}`);
  const evidence = shown([
    ...failed.map(({ device, readAt, failure }) => `${device}: ${when(readAt)}; ${failure!.message}`),
    ...never.map(({ device }) => `${device}: never asked`),
    ...old.map(({ device, readAt }) => `${device}: ${when(readAt)}`),
  ]);
  if (failed.length > 0) return { status: 'warning', evidence, verdict: `the last probe of ${count(failed.length, 'device')} failed`, remedy: failed[0]!.failure!.remedy };
  if (never.length + old.length > 0) return { status: 'warning', evidence, verdict: `${count(never.length + old.length, 'device')} ${never.length + old.length === 1 ? 'was' : 'were'} not probed lately, so an address alone is not confirmed by a serial`, remedy: 'Ask now: postern probe DEVICE; or let the gateway do so every so often: "probes" of the configuration.' };
  return { status: 'ok', verdict: seen.length === 1 ? 'its profile is fresh' : `the profiles of all ${seen.length} devices are fresh` };
}

/** How devices came last, the gravest finding of all; `came`: with each a line of evidence. */
export function judgeWays(came: readonly { readonly judged: MisRoute | null; readonly line: string; readonly state: string }[]): PlaceJudgement {
  if (came.length === 0) return { status: 'skipped', verdict: 'no device of it has opened an application since the gateway started' };
  const rank = { failure: 0, warning: 1, skipped: 2, ok: 3 } as const;
  const evidence = shown(came.map(({ line, judged, state }) => `${line}: ${state}${judged === null ? '' : `, ${judged.code}`}`));
  const [worst] = came.flatMap(({ judged }) => judged ?? []).sort((a, b) => rank[a.status] - rank[b.status]);
  if (worst !== undefined && worst.status !== 'ok') return { ...worst, evidence };
  const unsure = came.filter(({ state }) => state === 'ambiguous' || state === 'unknown');
  if (unsure.length > 0) return { status: 'warning', evidence, verdict: `${count(unsure.length, 'connection')} came from where nobody can tell which device it is`, remedy: 'postern unassigned lists them, each with the reason.' };
  return { status: 'ok', evidence, verdict: worst === undefined ? 'nothing speaks against the way that connections took' : worst.verdict, ...(worst === undefined ? {} : { code: worst.code }) };
}
