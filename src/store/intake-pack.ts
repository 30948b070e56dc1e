// Batches on their way to the writing thread and their outcomes on the way back: columns instead of objects, all bodies as one
// buffer that is handed over and not copied. Between threads an object costs its keys again each time; measured, two thirds
// of what a small batch costs on its way.
import type { AlertRule, Push, PushOutcome } from '#model/intake.ts';

export interface PackedPushes {
  /** customerId, deviceId, serial, feed, epoch, format of each. */
  readonly texts: readonly string[];
  /** offset, length, at, quarantineMax (−1: null), index of its alerts of each. */
  readonly numbers: Float64Array;
  readonly bodies: Uint8Array;
  /** Those that are long enough to go by themselves, by index: copied once, instead of into a buffer that is cleared first. */
  readonly long: ReadonlyMap<number, Uint8Array>;
  readonly alerts: readonly (readonly AlertRule[])[];
  /** What few batches have, by index. */
  readonly declared: ReadonlyMap<number, Pick<Push, 'gap' | 'start'>>;
}

const textsEach = 6;
const numbersEach = 5;
const longBytes = 16 * 1024;

export function packPushes(pushes: readonly Push[]): { readonly packed: PackedPushes; readonly transfer: readonly ArrayBuffer[] } {
  const texts: string[] = [];
  const numbers = new Float64Array(pushes.length * numbersEach);
  const long = new Map<number, Uint8Array>();
  let short = 0;
  pushes.forEach(({ bytes }, index) => {
    // A view of a part would take along all of what it is a view of.
    if (bytes.length >= longBytes && bytes.length === bytes.buffer.byteLength) long.set(index, bytes);
    else short += bytes.length;
  });
  // Of its own memory: a pooled buffer's would take its neighbours along.
  const memory = new ArrayBuffer(short);
  const bodies = new Uint8Array(memory);
  const alerts: (readonly AlertRule[])[] = [];
  const declared = new Map<number, Pick<Push, 'gap' | 'start'>>();
  let filled = 0;
  pushes.forEach((push, index) => {
    texts.push(push.customerId, push.deviceId, push.serial, push.feed, push.epoch, push.format);
    let rules = alerts.indexOf(push.alerts);
    if (rules < 0) rules = alerts.push(push.alerts) - 1;
    numbers.set([push.offset, push.bytes.length, push.at, push.quarantineMax ?? -1, rules], index * numbersEach);
    if (!long.has(index)) {
      bodies.set(push.bytes, filled);
      filled += push.bytes.length;
    }
    if (push.gap !== null || push.start !== null) declared.set(index, { gap: push.gap, start: push.start });
  });
  return { packed: { texts, numbers, bodies, long, alerts, declared }, transfer: [memory, numbers.buffer] };
}

export function unpackPushes({ texts, numbers, bodies, long, alerts, declared }: PackedPushes): Push[] {
  let from = 0;
  return Array.from({ length: numbers.length / numbersEach }, (_, index) => {
    const [customerId, deviceId, serial, feed, epoch, format] = texts.slice(index * textsEach, (index + 1) * textsEach) as [string, string, string, string, string, string];
    const [offset, length, at, quarantineMax, rules] = numbers.subarray(index * numbersEach, (index + 1) * numbersEach) as unknown as [number, number, number, number, number];
    const whole = long.get(index);
    const bytes = whole ?? bodies.subarray(from, from + length);
    if (whole === undefined) from += length;
    const { gap, start } = declared.get(index) ?? { gap: null, start: null };
    return { customerId, deviceId, serial, feed, epoch, format, offset, bytes, at, quarantineMax: quarantineMax < 0 ? null : quarantineMax, alerts: alerts[rules]!, gap, start };
  });
}

export interface PackedOutcomes {
  /** next, epochNumber, records, alerts, lost, flags of each. */
  readonly numbers: Float64Array;
  /** All but what was stored, by index. */
  readonly others: ReadonlyMap<number, PushOutcome>;
}

const outcomeEach = 6;
const flags = { repeat: 1, madeGood: 2, unframed: 4 };

export function packOutcomes(outcomes: readonly PushOutcome[]): PackedOutcomes {
  const numbers = new Float64Array(outcomes.length * outcomeEach);
  const others = new Map<number, PushOutcome>();
  outcomes.forEach((outcome, index) => {
    if (outcome.kind !== 'stored') return void others.set(index, outcome);
    const { next, epochNumber, records, alerts, lost, repeat, madeGood, unframed } = outcome;
    numbers.set([next, epochNumber, records, alerts, lost, (repeat ? flags.repeat : 0) | (madeGood ? flags.madeGood : 0) | (unframed ? flags.unframed : 0)], index * outcomeEach);
  });
  return { numbers, others };
}

export function unpackOutcomes({ numbers, others }: PackedOutcomes): PushOutcome[] {
  return Array.from({ length: numbers.length / outcomeEach }, (_, index) => {
    const other = others.get(index);
    if (other) return other;
    const [next, epochNumber, records, alerts, lost, said] = numbers.subarray(index * outcomeEach, (index + 1) * outcomeEach) as unknown as [number, number, number, number, number, number];
    return { kind: 'stored', next, epochNumber, records, alerts, lost, repeat: (said & flags.repeat) !== 0, madeGood: (said & flags.madeGood) !== 0, unframed: (said & flags.unframed) !== 0 };
  });
}
