// A device's side of push for tests: destinations with everything they need, on a clock that runs fast.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import type { Log, LogFields } from '#base/log.ts';
import { Secret } from '#base/secret.ts';
import { buildFieldClock } from '#field/clock.ts';
import type { FieldClock } from '#field/clock.ts';
import { keepDelivering } from '#field/delivery.ts';
import { OpenDestination } from '#field/destination.ts';
import type { DestinationSecrets } from '#field/destination.ts';
import { DeviceHttp } from '#field/device-http.ts';
import type { Destination } from '#field/settings.ts';
import type { MemoryBuffer } from './memory-buffer.ts';

/** Time that goes `factor` times as fast as the world's. */
export function fastClock(factor: number, nowMs: () => number = Date.now): Clock {
  const began = performance.now();
  return {
    nowMs,
    monoMs: () => (performance.now() - began) * factor + 1,
    after(delayMs, run) {
      const timer = setTimeout(run, Math.min(delayMs / factor, 2 ** 31 - 1));
      return { cancel: () => clearTimeout(timer) };
    },
    every(periodMs, run) {
      const timer = setInterval(run, periodMs / factor);
      return { cancel: () => clearInterval(timer) };
    },
  };
}

export interface Line {
  readonly event: string;
  readonly fields: LogFields;
}

export function keptLog(): Log & { readonly lines: Line[] } {
  const lines: Line[] = [];
  const add = (event: string, fields: LogFields = {}) => void lines.push({ event, fields });
  return { lines, debug: add, info: add, warn: add, error: add };
}

export interface RoomOptions {
  readonly factor?: number;
  readonly nowMs?: () => number;
  readonly builtAtMs?: number;
}

export interface FieldRoom {
  readonly folder: string;
  readonly clock: Clock;
  readonly fieldClock: FieldClock;
  readonly http: DeviceHttp;
  readonly log: ReturnType<typeof keptLog>;
  uptimeMs(): number;
  destination(settings: Partial<Destination> & { readonly bases: readonly string[] }, secrets?: Partial<DestinationSecrets> & { readonly keyText?: string }): Promise<OpenDestination>;
  /** Runs until the room is closed, or `stop` is called. */
  deliver(destination: OpenDestination, buffers: readonly MemoryBuffer[], options?: { holdMs?: number }): { stop(): Promise<void> };
  [Symbol.asyncDispose](): Promise<void>;
}

export function openFieldRoom({ factor = 50, nowMs = Date.now, builtAtMs = Date.UTC(2020, 0, 1) }: RoomOptions = {}): FieldRoom {
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
  const clock = fastClock(factor, nowMs);
  const log = keptLog();
  const uptimeMs = () => clock.monoMs();
  const fieldClock = buildFieldClock({ clock, uptimeMs, builtAtMs });
  const http = new DeviceHttp({ clock, random: randomBytes, nowMs: fieldClock.nowMs, product: 'postern-test' });
  const running = new Set<{ stop(): Promise<void> }>();
  return {
    folder, clock, fieldClock, http, log, uptimeMs,
    destination: (settings, { keyText, ...secrets } = {}) =>
      OpenDestination.open({
        settings: { name: 'main', kind: 'http', customer: 'default', serial: 'SN 1', identity: keyText === undefined ? 'none' : 'key', keyFile: null, pins: [], caFile: null, proxy: null, ...settings },
        secrets: { key: keyText === undefined ? null : new Secret(keyText), ca: null, proxy: null, ...secrets },
        folder, http, clock, fieldClock, random: randomBytes, log,
      }),
    deliver(destination, buffers, { holdMs = 0 } = {}) {
      const abort = new AbortController();
      const ended = keepDelivering({ destination, buffers, clock, random: randomBytes, log, holdMs: () => holdMs }, abort.signal);
      const one = {
        async stop() {
          abort.abort();
          await ended;
          running.delete(one);
        },
      };
      running.add(one);
      return one;
    },
    async [Symbol.asyncDispose]() {
      for (const one of running) await one.stop();
      await http[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
