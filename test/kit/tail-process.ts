// A process that follows a file into a feed's buffer, until it is killed: `node tail-process.ts STATE FILE`. Each line goes to `calls`, or
// to `alarms`.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';
import { realClock } from '#app/real.ts';
import { silentLog } from '#base/log.ts';
import { openFeeds } from '#field/feeds.ts';
import { parseFeedsSettings } from '#field/settings.ts';

const [stateDir, path] = process.argv.slice(2) as [string, string];
const settings = parseFeedsSettings(
  JSON.stringify({
    serial: 'SN1',
    destinations: [{ name: 'home', base: ['https://gw.example.test'] }],
    feeds: [
      { name: 'calls', source: { kind: 'file', path }, split: [{ pattern: 'ALARM', feed: 'alarms' }], buffer: { segmentKilobytes: 64 }, destinations: ['home'] },
      { name: 'alarms', urgent: ['7 '], destinations: ['home'] },
    ],
  }),
  'feeds.json',
);
const uptimeMs = () => Math.round(uptime() * 1_000);
const feeds = await openFeeds(settings, {
  stateDir,
  clock: realClock,
  log: silentLog,
  random: (bytes) => randomBytes(bytes),
  bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  uptimeMs,
  fieldClock: { stamp: () => ({ atMs: Date.now(), uptimeMs: uptimeMs(), clockTrusted: true }), onTrusted() {} },
  isUrgent: () => false,
});
process.send?.('ready');
process.on('message', (message) => {
  if (message === 'end') void feeds.close().then(() => process.exit(0));
  else process.send?.(feeds.feeds.map(({ name, buffer }) => [name, buffer.next]));
});
setInterval(() => {}, 60_000);
