// The times of records that a feed's buffer stored before the device knew the time. They lie on the disk with the milliseconds since the
// boot (frames of kind `uptime`), and what each boot's zero was stands in the state. Bytes that were given out once never change: so
// what was given out without the time is noted, durably, before it is.
import { limits } from '#base/limits.ts';
import { restamp, unknownStamp } from './buffer-frames.ts';
import type { Frame } from './buffer-frames.ts';
import type { ReadFrame } from './buffer-segments.ts';
import type { BootClock, BufferState, StatePatch } from './buffer-state.ts';

export interface BufferStamps {
  /** 0 while nobody knows. */
  nowMs(): number;
  /** The stamp of a record whose time is not known; `waits`: it is the time since the boot, and the frame is one of `uptime`. */
  stampAt(uptimeMs: number): { readonly atMs: number; readonly waits: boolean };
  /** Before such frames are written: so a boot that is not noted has none, and one that is can still be told its time after a restart of ours. */
  noteBoot(frames: readonly Frame[]): Promise<void>;
  /** The wire's bytes, the same ones for ever. */
  bytesOf(frames: readonly ReadFrame[]): Promise<Buffer>;
  setClock(nowMs: number, uptimeMs: number): Promise<void>;
}

export interface BufferStampsOptions {
  readonly bootTag: string;
  readonly uptimeMs: () => number;
  readonly now: () => BufferState;
  readonly commit: (patch: StatePatch) => Promise<void>;
}

export function buildBufferStamps({ bootTag, uptimeMs: uptimeNow, now, commit }: BufferStampsOptions): BufferStamps {
  const boot = () => now().boots.find(({ tag }) => tag === bootTag) ?? null;
  /** Records of this boot were stored, or are about to be, whose stamps wait for its time. */
  let hasWaiting = boot() !== null;
  /** Whether stamps may wait: the state has room for one more boot. */
  const canWait = hasWaiting || now().boots.length < limits.bufferBootsMax;
  /** Time = uptime + this, as soon as anybody told us. */
  let deltaMs = boot()?.deltaMs ?? null;
  const changeBoot = (change: (known: BootClock) => BootClock) => commit(({ boots }) => ({ boots: [...boots.filter(({ tag }) => tag !== bootTag), change(boots.find(({ tag }) => tag === bootTag) ?? { tag: bootTag, deltaMs: null, unknownTo: 0, until: null })] }));
  const settle = async (frames: readonly ReadFrame[]) => {
    const to = frames.reduce((end, { frame }) => (frame.kind === 'uptime' && frame.boot === bootTag ? Math.max(end, frame.to) : end), 0);
    const known = boot();
    if (to === 0 || (known !== null && (known.deltaMs !== null || known.unknownTo >= to))) return;
    await changeBoot((before) => (before.deltaMs === null ? { ...before, unknownTo: Math.max(before.unknownTo, to) } : before));
  };
  const stampOf = ({ boot: tag, from }: Frame): ((uptimeMs: number) => number) => {
    const known = now().boots.find((other) => other.tag === tag);
    const knownMs = known === undefined || from < known.unknownTo ? null : known.deltaMs;
    return knownMs === null ? unknownStamp : (uptimeMs) => Math.round(uptimeMs + knownMs);
  };
  return {
    nowMs: () => (deltaMs === null ? 0 : Math.round(uptimeNow() + deltaMs)),
    stampAt(uptimeMs) {
      const up = Math.max(0, Math.round(uptimeMs));
      if (deltaMs !== null) return { atMs: Math.round(up + deltaMs), waits: false };
      if (!canWait) return { atMs: unknownStamp(up), waits: false };
      hasWaiting = true;
      return { atMs: up, waits: true };
    },
    async noteBoot(frames) {
      if (boot() === null && frames.some(({ kind }) => kind === 'uptime')) await changeBoot((known) => ({ ...known, deltaMs: known.deltaMs ?? deltaMs }));
    },
    async bytesOf(frames) {
      await settle(frames);
      return Buffer.concat(frames.map(({ frame, payload }) => (frame.kind === 'uptime' ? restamp(payload, stampOf(frame)) : payload)));
    },
    async setClock(nowMs, uptimeMs) {
      const toldMs = nowMs - uptimeMs;
      deltaMs = toldMs;
      // From here on no record waits. Those that do get the first time that was told; those that are not noted yet get theirs when they are.
      if (!hasWaiting || (boot()?.deltaMs ?? null) !== null) return;
      await commit(({ boots }) => ({ boots: boots.map((known) => (known.tag === bootTag && known.deltaMs === null ? { ...known, deltaMs: toldMs } : known)) }));
    },
  };
}
