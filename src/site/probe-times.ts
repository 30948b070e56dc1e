// When devices are asked: each has its place in the period, so that they come one by one and not all at once; and how long a device that fails is left alone.

/** 0 … 1, the same for an id for ever (FNV-1a, then the end of MurmurHash3, which spreads ids that begin alike). */
export function placeOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i += 1) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/** Whether its turn of the period lies behind `fromMs` and not behind `toMs`. */
export function isDue(id: string, periodMs: number, fromMs: number, toMs: number): boolean {
  const offsetMs = placeOf(id) * periodMs;
  return Math.floor((toMs - offsetMs) / periodMs) > Math.floor((fromMs - offsetMs) / periodMs);
}

/** After so many failures one after the other. */
export function restMs(failures: number, firstMs: number, maxMs: number): number {
  return failures <= 0 ? 0 : Math.min(maxMs, firstMs * 2 ** Math.min(30, failures - 1));
}
