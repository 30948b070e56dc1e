// A disk in memory for crash tests. What a program sees (the cache) and what survives a power cut are two things: writes that were not
// fsynced survive in part, torn at sectors, in any order; so do names that were made, renamed or removed without syncing the folder. An
// fsync that fails loses what it was given, and the next one says that all is well, as Linux has it. Everything follows from a seed.
import { dirname } from 'node:path';
import type { Disk, DiskFile } from '#field/disk.ts';

export type Roll = () => number;

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
export function seeded(seed: number): Roll {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

interface Change {
  readonly position: number;
  /** null: cut off here. */
  readonly bytes: Buffer | null;
}

interface Inode {
  cache: Buffer;
  durable: Buffer;
  /** Written, not synced. */
  pending: Change[];
  /** An fsync failed with them. */
  doomed: Change[];
}

export interface Faults {
  write: number;
  sync: number;
  read: number;
  name: number;
}

const sectorBytes = 512;
const failure = (code: string) => Object.assign(new Error(`${code}: simulated`), { code });

function applied(bytes: Buffer, change: Change): Buffer {
  if (change.bytes === null) return Buffer.from(bytes.subarray(0, change.position));
  const end = change.position + change.bytes.length;
  const result = Buffer.alloc(Math.max(bytes.length, end));
  bytes.copy(result);
  change.bytes.copy(result, change.position);
  return result;
}

export class SimulatedDisk {
  readonly faults: Faults = { write: 0, sync: 0, read: 0, name: 0 };
  /** Bytes that all files may have together. */
  capacity = Number.POSITIVE_INFINITY;
  /** Power goes at so many operations from now. */
  dieAfter = Number.POSITIVE_INFINITY;
  isDead = false;
  operations = 0;
  readonly #roll: Roll;
  #life = 0;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  /** Of each name that changed since its folder was synced: what it stood for, oldest first. */
  #changed = new Map<string, (Inode | null)[]>();
  #folders = new Set<string>();
  #locks = new Set<string>();

  constructor(roll: Roll) {
    this.#roll = roll;
  }

  /** The process is gone; what it wrote is still in the cache. */
  kill(): void {
    this.#life += 1;
    this.#locks.clear();
    this.isDead = false;
    this.dieAfter = Number.POSITIVE_INFINITY;
  }

  /** So is the power. */
  cut(): void {
    for (const [name, stages] of this.#changed) {
      const all = [this.#durableNames.get(name) ?? null, ...stages];
      const survivor = all[Math.floor(this.#roll() * all.length)] ?? null;
      if (survivor === null) this.#durableNames.delete(name);
      else this.#durableNames.set(name, survivor);
    }
    this.#changed.clear();
    this.#names = new Map(this.#durableNames);
    for (const inode of new Set(this.#names.values())) {
      const changes = [...inode.doomed.filter(() => this.#roll() < 0.3), ...inode.pending.filter(() => this.#roll() < 0.6)];
      if (this.#roll() < 0.5) changes.sort(() => this.#roll() - 0.5);
      for (const change of changes) inode.durable = this.#torn(inode.durable, change);
      inode.cache = inode.durable;
      inode.pending = [];
      inode.doomed = [];
    }
    this.kill();
  }

  #torn(bytes: Buffer, change: Change): Buffer {
    if (change.bytes === null || this.#roll() < 0.4) return applied(bytes, change);
    // The length is often there before the bytes are.
    let result = this.#roll() < 0.3 && change.bytes.length > 0 ? applied(bytes, { position: change.position + change.bytes.length - 1, bytes: Buffer.alloc(1) }) : bytes;
    const asPrefix = this.#roll() < 0.5;
    for (let at = change.position; at < change.position + change.bytes.length; ) {
      const end = Math.min(change.position + change.bytes.length, (Math.floor(at / sectorBytes) + 1) * sectorBytes);
      const isKept = this.#roll() < 0.6;
      if (isKept) result = applied(result, { position: at, bytes: change.bytes.subarray(at - change.position, end - change.position) });
      else if (asPrefix) break;
      at = end;
    }
    return result;
  }

  /** Files that are on the disk for good, by their path. */
  files(): string[] {
    return [...this.#names.keys()].toSorted();
  }

  /** Rots: one bit of a file is another. Nothing happens to an empty one. */
  flip(path: string): void {
    const inode = this.#names.get(path);
    if (!inode || inode.durable.length === 0) return;
    const at = Math.floor(this.#roll() * inode.durable.length);
    const bit = 1 << Math.floor(this.#roll() * 8);
    for (const which of ['durable', 'cache'] as const) {
      if (inode[which].length <= at) continue;
      const bytes = Buffer.from(inode[which]);
      bytes[at]! ^= bit;
      inode[which] = bytes;
    }
  }

  /** Puts a file there, durably. */
  put(path: string, bytes: Buffer): void {
    const inode: Inode = { cache: bytes, durable: bytes, pending: [], doomed: [] };
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  get(path: string): Buffer | null {
    return this.#names.get(path)?.cache ?? null;
  }

  drop(path: string): void {
    this.#names.delete(path);
    this.#durableNames.delete(path);
  }

  async #step(life: number, kind: keyof Faults): Promise<void> {
    for (let turns = Math.floor(this.#roll() * 3); turns >= 0; turns--) await Promise.resolve();
    this.operations += 1;
    if (life !== this.#life || this.isDead) throw failure('EDEAD');
    if (--this.dieAfter <= 0) {
      this.isDead = true;
      throw failure('EDEAD');
    }
    if (this.faults[kind] > 0 && this.#roll() < this.faults[kind]) throw failure('EIO');
  }

  #change(path: string, inode: Inode | null): void {
    if (inode) this.#names.set(path, inode);
    else this.#names.delete(path);
    const stages = this.#changed.get(path) ?? [];
    stages.push(inode);
    this.#changed.set(path, stages);
  }

  /** As one process has it: dead with the next `kill` or `cut`, whatever of that process still runs here. */
  mount(): Disk {
    const life = this.#life;
    return {
      makeFolder: async (path) => {
        await this.#step(life, 'name');
        this.#folders.add(path);
      },
      list: async (path) => {
        await this.#step(life, 'read');
        const below = [...this.#names.keys()].filter((name) => name.startsWith(`${path}/`)).map((name) => name.slice(path.length + 1).split('/')[0]!);
        if (below.length === 0 && ![...this.#folders].some((folder) => `${folder}/`.startsWith(`${path}/`))) throw failure('ENOENT');
        return [...new Set(below)];
      },
      rename: async (from, to) => {
        await this.#step(life, 'name');
        const inode = this.#names.get(from);
        if (!inode) throw failure('ENOENT');
        this.#change(to, inode);
        this.#change(from, null);
      },
      remove: async (path) => {
        await this.#step(life, 'name');
        if (this.#names.has(path)) this.#change(path, null);
      },
      syncFolder: async (path) => {
        await this.#step(life, 'sync');
        this.#syncNames(path);
      },
      lock: async (path) => {
        await Promise.resolve();
        if (life !== this.#life) throw failure('EDEAD');
        if (this.#locks.has(path)) throw failure('ELOCKED');
        this.#locks.add(path);
        return () => {
          if (life === this.#life) this.#locks.delete(path);
        };
      },
      open: async (path, mode) => {
        await this.#step(life, mode === 'read' ? 'read' : 'name');
        let inode = this.#names.get(path);
        if (mode === 'create') {
          if (inode) throw failure('EEXIST');
          inode = { cache: Buffer.alloc(0), durable: Buffer.alloc(0), pending: [], doomed: [] };
          this.#change(path, inode);
        }
        if (!inode) throw failure('ENOENT');
        return this.#file(inode, life);
      },
    };
  }

  #syncNames(path: string): void {
    for (const name of this.#changed.keys()) {
      if (dirname(name) !== path) continue;
      const inode = this.#names.get(name);
      if (inode) this.#durableNames.set(name, inode);
      else this.#durableNames.delete(name);
      this.#changed.delete(name);
    }
  }

  #used(): number {
    return [...new Set(this.#names.values())].reduce((sum, { cache }) => sum + cache.length, 0);
  }

  #file(inode: Inode, life: number): DiskFile {
    const put = (bytes: Buffer | null, position: number) => {
      const change = { position, bytes };
      inode.cache = applied(inode.cache, change);
      inode.pending.push(change);
    };
    return {
      read: async (position, length) => {
        await this.#step(life, 'read');
        return Buffer.from(inode.cache.subarray(position, position + length));
      },
      write: async (bytes, position) => {
        const part = Math.floor(this.#roll() * bytes.length);
        try {
          await this.#step(life, 'write');
        } catch (thrown) {
          if (life === this.#life && part > 0) put(Buffer.from(bytes.subarray(0, part)), position);
          throw thrown;
        }
        const room = this.capacity - this.#used() + Math.max(0, inode.cache.length - position);
        if (room < bytes.length) {
          if (room > 0) put(Buffer.from(bytes.subarray(0, room)), position);
          throw failure('ENOSPC');
        }
        put(Buffer.from(bytes), position);
      },
      truncate: async (length) => {
        await this.#step(life, 'write');
        put(null, length);
      },
      size: async () => {
        await this.#step(life, 'read');
        return inode.cache.length;
      },
      sync: async () => {
        try {
          await this.#step(life, 'sync');
        } catch (thrown) {
          if (life === this.#life && !this.isDead) {
            inode.doomed.push(...inode.pending);
            inode.pending = [];
          }
          throw thrown;
        }
        for (const change of inode.pending) inode.durable = applied(inode.durable, change);
        inode.pending = [];
      },
      close: () => Promise.resolve(),
    };
  }
}
