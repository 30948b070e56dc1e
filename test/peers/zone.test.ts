// TZ strings that devices get, read by the C library: coreutils' date shows the time that Intl shows.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { zoneRules } from '#model/zone.ts';

const zones = ['Europe/London', 'Europe/Berlin', 'Europe/Dublin', 'America/New_York', 'America/St_Johns', 'America/Santiago', 'America/Nuuk', 'Asia/Jerusalem', 'Asia/Kolkata', 'Asia/Kathmandu', 'Africa/Cairo', 'Australia/Lord_Howe', 'Pacific/Chatham', 'Pacific/Auckland', 'Antarctica/Troll', 'UTC'];

test('coreutils’ date reads the TZ strings as Intl has the zones', () => {
  const now = Date.UTC(2026, 10, 20, 15);
  for (const name of zones) {
    const { posix, next, hasRule } = zoneRules(name, now)!;
    assert.ok(hasRule, name);
    const moments = [...next.flatMap(({ at }) => [at - 1, at]), ...Array.from({ length: 30 }, (_, index) => now / 1_000 + index * 11_234_567)];
    const told = execFileSync('date', ['-f', '-', '+%Y-%m-%d %H:%M:%S'], { input: moments.map((at) => `@${at}\n`).join(''), env: { ...process.env, LC_ALL: 'C', TZ: posix } }).toString().trim().split('\n');
    const format = new Intl.DateTimeFormat('sv-SE', { timeZone: name, dateStyle: 'short', timeStyle: 'medium' });
    assert.deepEqual(told, moments.map((at) => format.format(at * 1_000)), `${name} ${posix}`);
  }
});
