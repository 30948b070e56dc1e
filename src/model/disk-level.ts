// How near the disk of the data folder is to being full, and what that means.
import type { Limits } from '#base/limits.ts';
import type { DiskLevel } from './keeping.ts';

export interface DiskSeen {
  /** What the gateway may still use of the disk. */
  readonly freeBytes: number;
  readonly usedBytes: number;
  /** Inside the store's file: what was dropped there leaves room that the disk does not see. */
  readonly reusableBytes: number;
  readonly storeBytes: number;
}

export type DiskLimits = Pick<
  Limits,
  'diskWarnPercent' | 'diskWarnFreeBytes' | 'diskLowPercent' | 'diskLowFreeBytes' | 'diskLowAtMostFreeBytes' | 'diskFullFreeBytes' | 'diskReserveBytes'
>;

const order: readonly DiskLevel[] = ['ok', 'warn', 'low', 'full'];
export const isWorse = (level: DiskLevel, than: DiskLevel): boolean => order.indexOf(level) > order.indexOf(than);

export interface Judged {
  readonly level: DiskLevel;
  /** null: ok. */
  readonly why: string | null;
}

const megabytes = (bytes: number) => (bytes >= 10e9 ? `${Math.round(bytes / 1e9)} GB` : `${Math.round(bytes / 1e6)} MB`);

/** `storeBytesMax`: what the store may take of a disk that it shares, or that nobody here sees; null: all. */
export function judgeLevel(seen: DiskSeen, limits: DiskLimits, before: DiskLevel, storeBytesMax: number | null): Judged {
  // Once there, a level is left only with a tenth to spare: at the edge it would be said every few seconds.
  const strict = (level: DiskLevel) => (isWorse(level, before) ? 1 : 1.1);
  /** The same for percents. */
  const slack = (level: DiskLevel) => (isWorse(level, before) ? 0 : 1);
  const { freeBytes, usedBytes, reusableBytes, storeBytes } = seen;
  const size = freeBytes + usedBytes;
  // While there is room for the store's log, what is free inside its file counts as well.
  const free = freeBytes + (freeBytes >= Math.min(limits.diskReserveBytes, size / 50) ? reusableBytes : 0);
  const usedPercent = size === 0 ? 0 : (100 * (size - free)) / size;
  /** A small disk has small reserves. */
  const isBelow = (bytes: number, part: number, level: DiskLevel) => free < Math.min(bytes, size / part) * strict(level);
  const said = `${megabytes(free)} of ${megabytes(size)} are left for the data folder`;
  const taken = storeBytesMax === null ? 0 : (storeBytes - reusableBytes) / storeBytesMax;
  const ofBound = `the store has ${megabytes(storeBytes - reusableBytes)} of the ${megabytes(storeBytesMax ?? 0)} that it may have`;
  if (isBelow(limits.diskFullFreeBytes, 20, 'full')) return { level: 'full', why: said };
  if (taken >= 1 - slack('full') / 100) return { level: 'full', why: ofBound };
  if (isBelow(limits.diskLowFreeBytes, 10, 'low') || (usedPercent >= limits.diskLowPercent - slack('low') && free < limits.diskLowAtMostFreeBytes)) return { level: 'low', why: said };
  if (taken >= (limits.diskLowPercent - slack('low')) / 100) return { level: 'low', why: ofBound };
  if (isBelow(limits.diskWarnFreeBytes, 8, 'warn') || usedPercent >= limits.diskWarnPercent - slack('warn')) return { level: 'warn', why: said };
  if (taken >= (limits.diskWarnPercent - slack('warn')) / 100) return { level: 'warn', why: ofBound };
  return { level: 'ok', why: null };
}
