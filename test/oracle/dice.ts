// Chance that can be had again: everything an oracle's run decides comes out of its seed. What the processes make of it in between is their own timing,
// so a seed brings back the plan of faults, not the microsecond.
export interface Dice {
  /** 0 up to, not with, `count`. */
  below(count: number): number;
  /** Both ends are in it. */
  between(from: number, to: number): number;
  chance(of1: number): boolean;
  pick<Item>(items: readonly Item[]): Item;
  shuffle<Item>(items: readonly Item[]): Item[];
  /** One of its own for a part of the run, so that parts do not disturb each other. */
  fork(name: string): Dice;
}

/** FNV-1a, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** Mulberry32. */
export function castDice(seed: string): Dice {
  let state = hashOf(seed);
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (count: number) => Math.floor(next() * count);
  return {
    below,
    between: (from, to) => from + below(to - from + 1),
    chance: (of1) => next() < of1,
    pick: (items) => items[below(items.length)]!,
    shuffle(items) {
      const list = [...items];
      for (let at = list.length - 1; at > 0; at--) {
        const other = below(at + 1);
        [list[at], list[other]] = [list[other]!, list[at]!];
      }
      return list;
    },
    fork: (name) => castDice(`${seed} ${name}`),
  };
}
