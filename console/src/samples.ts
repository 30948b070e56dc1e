// The last minutes of each device's link as the events tell them; memory only, for the small drawing on the device's page.
import type { EventData } from '#api/shapes.ts';
import { useSyncExternalStore } from 'react';

export interface Sample {
  readonly at: number;
  readonly rttMs: number | null;
  /** Since the sample before, both directions together, per second. */
  readonly bytesPerSecond: number;
}

const KEPT = 120;
const DEVICES_MAX = 500;
const none: readonly Sample[] = [];
const samples = new Map<string, readonly Sample[]>();
const last = new Map<string, { at: number; bytes: number }>();
const watchers = new Set<() => void>();

export function addSamples(devices: EventData<'links'>['devices'], at: number): void {
  for (const device of devices) {
    const total = device.bytesIn + device.bytesOut;
    const before = last.get(device.id);
    last.set(device.id, { at, bytes: total });
    if (!device.online || !before || at <= before.at) continue;
    // A new link counts from zero again.
    const grown = Math.max(0, total - before.bytes);
    const sample = { at, rttMs: device.rttMs, bytesPerSecond: (grown * 1000) / (at - before.at) };
    const kept = samples.get(device.id) ?? none;
    samples.delete(device.id);
    samples.set(device.id, [...kept.slice(-KEPT + 1), sample]);
    if (samples.size > DEVICES_MAX) for (const oldest of samples.keys()) {
      samples.delete(oldest);
      last.delete(oldest);
      break;
    }
  }
  for (const watcher of watchers) watcher();
}

export function useSamples(deviceId: string): readonly Sample[] {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => samples.get(deviceId) ?? none,
  );
}
