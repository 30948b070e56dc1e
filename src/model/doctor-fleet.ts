// What doctor says of devices that push and of what they brought: judgements, pure. Who observes is app/doctor-fleet.ts.
import type { Judgement } from './doctor.ts';
import type { Feed, FeedEpoch } from './rows.ts';

const hourMs = 3_600_000;
const waitsLongMs = 24 * hourMs;
/** Who has knocked for the last time so long ago waits for nobody any more. */
const gaveUpMs = 14 * 24 * hourMs;
/** A batch that does not fit is refused: quarantines are full before their last byte. */
const quarantineFullPart = 0.9;
const shownMax = 10;

const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;
const bounded = (lines: readonly string[], all = lines.length): string[] => (all > shownMax ? [...lines.slice(0, shownMax), `and ${all - shownMax} more`] : [...lines]);
const hours = (ms: number): string => (ms >= 48 * hourMs ? `${Math.floor(ms / (24 * hourMs))} days` : `${Math.max(1, Math.floor(ms / hourMs))} h`);

export type TroubledEpoch = Pick<FeedEpoch, 'epoch' | 'format' | 'next' | 'boundary' | 'unframed' | 'claimed' | 'lastAt'> & { readonly feed: Pick<Feed, 'serial' | 'name'> };

export function judgeFeeds(troubled: readonly TroubledEpoch[]): Judgement {
  const behind = troubled.filter(({ claimed, next }) => claimed !== null && claimed > next);
  const unframed = troubled.filter((each) => each.unframed);
  const named = ({ feed, epoch }: TroubledEpoch) => `${feed.serial}/${feed.name} (epoch ${epoch})`;
  const evidence = [
    ...behind.map((each) => `${named(each)}: its device was told ${each.claimed}, ${each.next} is here: ${each.claimed! - each.next} bytes are missing`),
    ...unframed.map((each) => `${named(each)}: from ${each.boundary} on it is not what ${each.format} should be`),
  ];
  if (behind.length > 0) {
    return {
      status: 'warning', evidence: bounded(evidence), verdict: `${count(behind.length, 'feed is', 'feeds are')} behind the device: this gateway has less than it once confirmed`,
      remedy: 'That is so after a restore from an older backup. Devices bring again what they still have and declare the rest lost (reason server-lost): see the gaps with postern feed get.',
    };
  }
  if (unframed.length > 0) {
    return {
      status: 'warning', evidence: bounded(evidence), verdict: `the bytes of ${count(unframed.length, 'feed')} cannot be split into records`,
      remedy: 'They are all kept (postern records --raw). Correct the format that the device sends in X-Postern-Format, or the one in feeds of the configuration; its next epoch is split by it.',
    };
  }
  return { status: 'ok', verdict: 'every feed stands where its device was told' };
}

export interface WaitingSeen {
  readonly customer: string;
  readonly serial: string;
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
  readonly bytes: number;
  /** null: nothing of it is kept while it waits. */
  readonly quarantineBytes: number | null;
}

export function judgeWaiting(waiting: readonly WaitingSeen[], now: number): Judgement {
  if (waiting.length === 0) return { status: 'ok', verdict: 'no device waits to be approved' };
  const named = ({ customer, serial }: WaitingSeen) => `${serial} of ${customer}`;
  const full = waiting.filter(({ bytes, quarantineBytes }) => quarantineBytes !== null && bytes >= quarantineBytes * quarantineFullPart);
  const long = waiting.filter((each) => !full.includes(each) && now - each.firstSeenAt > waitsLongMs && now - each.lastSeenAt < gaveUpMs);
  const evidence = [
    ...full.map((each) => `${named(each)}: its quarantine is full (${each.bytes} of ${each.quarantineBytes} bytes); what it brings now stays in its own memory`),
    ...long.map((each) => `${named(each)}: waits for ${hours(now - each.firstSeenAt)}, seen ${hours(now - each.lastSeenAt)} ago`),
  ];
  const remedy = 'postern waiting lists them; postern approve or postern refuse ends it.';
  if (full.length > 0) return { status: 'warning', evidence: bounded(evidence), verdict: `the quarantine of ${count(full.length, 'waiting device is', 'waiting devices is')} full`, remedy };
  if (long.length > 0) return { status: 'warning', evidence: bounded(evidence), verdict: `${count(long.length, 'device has', 'devices have')} waited to be approved for more than a day`, remedy };
  return { status: 'ok', verdict: `${count(waiting.length, 'device waits', 'devices wait')} to be approved` };
}

/** A device that pushes or checks in, and belongs here for now. */
export interface ContactSeen {
  readonly label: string;
  readonly createdAt: number;
  /** Of any kind; null: never. */
  readonly lastSeenAt: number | null;
}

export function judgeContact(devices: readonly ContactSeen[], pollMs: number, now: number): Judgement {
  if (devices.length === 0) return { status: 'skipped', verdict: 'no device pushes or checks in' };
  const missing = devices.filter(({ lastSeenAt, createdAt }) => now - (lastSeenAt ?? createdAt) > 2 * pollMs).sort((a, b) => (b.lastSeenAt ?? 0) - (a.lastSeenAt ?? 0));
  if (missing.length === 0) return { status: 'ok', verdict: `each of ${count(devices.length, 'device')} that push or check in was heard of in time` };
  const evidence = missing.slice(0, shownMax + 1).map(({ label, lastSeenAt }) => `${label}: ${lastSeenAt === null ? 'never heard of' : `last heard of ${new Date(lastSeenAt).toISOString()}`}`);
  return {
    status: 'warning', evidence: bounded(evidence, missing.length),
    verdict: `${missing.length} of ${count(devices.length, 'device')} ${missing.length === 1 ? 'was' : 'were'} not heard of for more than two check-ins (${hours(2 * pollMs)})`,
    remedy: 'Is the device switched on, and does its site let it out to this gateway? postern journal --event device.refused says who was turned away; postern explain with its address says why.',
  };
}
