// Every zone of the runtime: its POSIX rule says at any moment of the coming ten years what Intl says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isZone, zoneRules } from './zone.ts';

const now = Date.UTC(2026, 10, 20, 15, 2, 3);
const year = 365.25 * 86_400;

/** Reads a TZ string as POSIX.1-2024 §8.3 says, with the hours of RFC 8536: seconds east of UTC at `at`. */
function evaluate(posix: string, at: number): number {
  const time = (text: string) => {
    const sign = text.startsWith('-') ? -1 : 1;
    const [hours, minutes = 0, seconds = 0] = text.replace(/^[+-]/, '').split(':').map(Number);
    assert.ok(hours! <= 167 && minutes < 60 && seconds < 60, text);
    return sign * (hours! * 3_600 + minutes * 60 + seconds) || 0;
  };
  const name = '(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)';
  const found = new RegExp(`^${name}([+-]?[\\d:]+)(?:${name}([+-]?[\\d:]+)?,(M[^,]+),(M[^,]+))?$`).exec(posix);
  assert.ok(found, `${posix} is a TZ string`);
  const standard = 0 - time(found[1]!);
  if (found[3] === undefined) return standard;
  const summer = found[2] === undefined ? standard + 3_600 : 0 - time(found[2]);
  const moment = (rule: string, of: number) => {
    const [, m, w, d, clock = '2'] = /^M(\d+)\.([1-5])\.([0-6])(?:\/(.+))?$/.exec(rule)!;
    const days: number[] = [];
    for (let day = Date.UTC(of, Number(m) - 1, 1); new Date(day).getUTCMonth() === Number(m) - 1; day += 86_400_000) if (new Date(day).getUTCDay() === Number(d)) days.push(day / 1_000);
    return (w === '5' ? days.at(-1)! : days[Number(w) - 1]!) + time(clock);
  };
  // Of all transitions around, the last one that has happened.
  const here = new Date(at * 1_000).getUTCFullYear();
  const moves = [here - 1, here, here + 1].flatMap((of) => [{ at: moment(found[3]!, of) - standard, to: summer }, { at: moment(found[4]!, of) - summer, to: standard }]);
  return moves.filter((move) => move.at <= at).sort((a, b) => a.at - b.at).at(-1)!.to;
}

/** By another way than the code's: named parts. */
function offsetOf(zone: string): (at: number) => number {
  const format = new Intl.DateTimeFormat('en-GB', { timeZone: zone, timeZoneName: 'longOffset' });
  return (at) => {
    const [, sign, hours, minutes, seconds = '0'] = /^GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(format.formatToParts(at * 1_000).find((part) => part.type === 'timeZoneName')!.value)!;
    return sign === undefined ? 0 : (sign === '-' ? -1 : 1) * (Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds));
  };
}

function randomFrom(seed: number): () => number {
  let state = seed;
  return () => ((state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32);
}

const seed = 20_261_120;
test(`every zone's rule says what Intl says, at any moment of ten years (seed ${seed})`, () => {
  const random = randomFrom(seed);
  const withoutRule: string[] = [];
  const from = now / 1_000;
  for (const name of Intl.supportedValuesOf('timeZone')) {
    const rules = zoneRules(name, now)!;
    assert.ok(rules, name);
    const offsetAt = offsetOf(name);
    assert.equal(rules.offset, offsetAt(from), name);
    for (const { at, offset } of rules.next) {
      assert.ok(at > from, name);
      assert.equal(offsetAt(at), offset, `${name} from ${at} on`);
      assert.notEqual(offsetAt(at - 1), offset, `${name} before ${at}`);
    }
    const moments = [...rules.next.flatMap(({ at }) => [at - 1, at]), ...Array.from({ length: 25 }, () => Math.floor(from + random() * 10 * year))];
    if (!rules.hasRule) {
      withoutRule.push(name);
      assert.ok(rules.next.length > 0, `${name} has no rule because it changes`);
      assert.equal(evaluate(rules.posix, from), rules.offset, name);
      continue;
    }
    for (const at of moments) assert.equal(evaluate(rules.posix, at), offsetAt(at), `${name} ${rules.posix} at ${at}`);
    if (rules.next.length === 0) assert.ok(!rules.posix.includes(','), name);
    else assert.equal(rules.next.length, 4, name);
  }
  // Their summer time keeps clear of Ramadan, so that no rule can say it.
  assert.deepEqual(withoutRule.filter((name) => !['Asia/Gaza', 'Asia/Hebron', 'Africa/Casablanca', 'Africa/El_Aaiun'].includes(name)), []);
});

test('rules as zone data writes them', () => {
  const rules = (name: string) => zoneRules(name, now)!.posix;
  assert.equal(rules('Europe/London'), 'GMT0BST,M3.5.0/1,M10.5.0');
  assert.equal(rules('Europe/Berlin'), 'CET-1CEST,M3.5.0,M10.5.0/3');
  assert.equal(rules('America/New_York'), 'EST5EDT,M3.2.0,M11.1.0');
  assert.equal(rules('America/Nuuk'), '<-02>2<-01>,M3.5.0/-1,M10.5.0/0');
  assert.equal(rules('Asia/Kathmandu'), '<+0545>-5:45');
  assert.match(rules('Asia/Jerusalem'), /,M3\.4\.4\/26,M10\.5\.0$/);
  assert.match(rules('Australia/Lord_Howe'), /-10:30.*-11,M10\.1\.0,M4\.1\.0$/);
  assert.equal(rules('UTC'), 'UTC0');
});

test('the next transitions follow the clock, and what was found earlier is not taken for today', () => {
  assert.deepEqual(zoneRules('Europe/London', now)!.next, [{ at: 1_806_195_600, offset: 3_600 }, { at: 1_824_944_400, offset: 0 }, { at: 1_837_645_200, offset: 3_600 }, { at: 1_856_394_000, offset: 0 }]);
  const inSummer = zoneRules('Europe/London', Date.UTC(2027, 5, 1))!;
  assert.equal(inSummer.offset, 3_600);
  assert.equal(inSummer.next[0]!.at, 1_824_944_400);
  assert.equal(inSummer.next.length, 4);
  // Back again: the clock of a gateway may be set back.
  assert.equal(zoneRules('Europe/London', now)!.offset, 0);
  const second = zoneRules('Europe/London', 1_806_195_600_000)!;
  assert.equal(second.offset, 3_600);
  assert.equal(zoneRules('Europe/London', 1_806_195_599_999)!.offset, 0);
});

test('what is no zone is none', () => {
  for (const name of ['', 'Mars/Olympus', 'GMT0BST,M3.5.0/1,M10.5.0', '+03:00', '../etc/passwd', 'x'.repeat(200), 'Europe/London\n', 'Europe/ London']) {
    assert.equal(zoneRules(name, now), null, JSON.stringify(name));
    assert.equal(isZone(name), false);
  }
  assert.equal(zoneRules('europe/LONDON', now)!.name, 'Europe/London');
});
