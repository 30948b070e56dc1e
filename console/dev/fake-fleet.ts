// Devices that push, in the made-up gateway: as one that was set up a moment ago, so that the empty states are to be seen. What is there when
// there is data is seen with a real gateway and a loop of curl.
import type { KeepingView } from '#api/keeping-shapes.ts';
import type { PinsView } from '#api/identity-shapes.ts';

const DAY = 86_400_000;

const keeping = (now: number): KeepingView => ({
  now,
  kinds: [
    { kind: 'journal', count: 14_210, oldestAt: now - DAY, bytes: null, keep: { days: null, count: 20_000, bytes: null }, dropped: 0 },
    { kind: 'audit', count: 812, oldestAt: now - 200 * DAY, bytes: 310_000, keep: { days: 730, count: null, bytes: 1_073_741_824 }, dropped: 0 },
    { kind: 'records', count: 0, oldestAt: null, bytes: 0, keep: { days: null, count: null, bytes: null }, dropped: 0 },
  ],
  disk: { level: 'warn', freeBytes: 9_000_000_000, usedBytes: 91_000_000_000, reusableBytes: 0, since: now - DAY, why: '91 % of the disk is used' },
  retention: { running: false, lastAt: now - 300_000, failed: null },
  backup: { running: null, last: { at: now - 2 * DAY, bytes: 48_000_000 }, failed: null },
  restored: null,
});
const pins: PinsView = { items: [{ pin: 'sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=', hex: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', state: 'present', hosts: [null], certificate: 'leaf', name: 'private CA (no server name)', confirmed: 0, missing: 0 }], pinning: 0, silent: 0, notPinning: 0, activeDays: 45 };
const nothing = { items: [], next: null };

/** Method, path, and what is answered. */
export const fleetRoutes: readonly (readonly [method: string, path: RegExp, run: () => { readonly json: unknown }])[] = [
  ['GET', /^\/(?:feeds|files|leases|alerts|waiting-devices|pins\/devices)$/, () => ({ json: nothing })],
  ['GET', /^\/devices\/[^/]+\/keys$/, () => ({ json: { items: [] } })],
  ['GET', /^\/devices\/([^/]+)\/tags$/, () => ({ json: { deviceId: '', tags: [] } })],
  ['GET', /^\/sinks$/, () => ({ json: { items: [] } })],
  ['GET', /^\/secrets$/, () => ({ json: { items: [], missing: [] } })],
  ['GET', /^\/redirects$/, () => ({ json: { rules: [], servers: [] } })],
  ['GET', /^\/pins$/, () => ({ json: pins })],
  ['GET', /^\/keeping$/, () => ({ json: keeping(Date.now()) })],
  ['GET', /^\/backup$/, () => ({ json: keeping(Date.now()).backup })],
];
