// How a rule chooses among its servers. Pure: counters come in and go out, so that a preview moves none.
import { createHash } from 'node:crypto';

export interface Choosable {
  readonly name: string;
  /** 0: is never chosen, except by order. */
  readonly weight: number;
}

/** Counters of round-robin and weights. Servers that are gone are left out by themselves. */
export interface Turns {
  /** Who was chosen last; '' nobody yet. */
  readonly last: string;
  readonly current: ReadonlyMap<string, number>;
}

export interface ChoiceState {
  /** What makes a device this device: the same key, the same place. */
  readonly key: string;
  leasesAt(server: string): number;
  readonly turns: Turns | undefined;
}

export interface Choice {
  readonly name: string;
  /** To be kept; null: the strategy counts nothing. */
  readonly turns: Turns | null;
  readonly text: string;
}

type Choosing = 'first' | 'round-robin' | 'weights' | 'least-loaded' | 'hash';

/** `all` is the rule's list in order, `open` those of it that may be chosen now. null: there is none. */
export function chooseServer(strategy: Choosing | 'stay', all: readonly Choosable[], open: readonly Choosable[], state: ChoiceState): Choice | null {
  const candidates = strategy === 'first' ? open : open.filter((each) => each.weight > 0);
  if (candidates.length === 0 || strategy === 'stay') return null;
  switch (strategy) {
    case 'first':
      return { name: candidates[0]!.name, turns: null, text: candidates[0] === all[0] ? 'the first' : 'the first that takes devices' };
    case 'round-robin':
      return roundRobin(all, candidates, state);
    case 'weights':
      return smoothWeights(candidates, state);
    case 'least-loaded':
      return leastLoaded(candidates, state);
    case 'hash':
      return highestRandomWeight(candidates, state);
  }
}

/** By place in the whole list, so that one that is drained for a while does not disturb the others' turns. */
function roundRobin(all: readonly Choosable[], candidates: readonly Choosable[], { turns }: ChoiceState): Choice {
  const last = all.findIndex((each) => each.name === turns?.last);
  for (let step = 1; step <= all.length; step++) {
    const next = all[(last + step) % all.length]!;
    if (candidates.includes(next)) return { name: next.name, turns: { last: next.name, current: new Map() }, text: 'its turn' };
  }
  return { name: candidates[0]!.name, turns: { last: candidates[0]!.name, current: new Map() }, text: 'its turn' };
}

/** Smooth weighted round robin: each gains its weight, the richest is chosen and pays the sum. 5:1:1 gives a a b a c a a. */
function smoothWeights(candidates: readonly Choosable[], { turns }: ChoiceState): Choice {
  const sum = candidates.reduce((all, each) => all + each.weight, 0);
  const current = new Map(candidates.map((each) => [each.name, (turns?.current.get(each.name) ?? 0) + each.weight]));
  const best = candidates.reduce((a, b) => (current.get(b.name)! > current.get(a.name)! ? b : a));
  current.set(best.name, current.get(best.name)! - sum);
  return { name: best.name, turns: { last: best.name, current }, text: `its turn, by weight ${best.weight} of ${sum}` };
}

/** Fewest standing leases for its weight; of equals the first. */
function leastLoaded(candidates: readonly Choosable[], { leasesAt }: ChoiceState): Choice {
  const best = candidates.reduce((a, b) => (leasesAt(b.name) / b.weight < leasesAt(a.name) / a.weight ? b : a));
  return { name: best.name, turns: null, text: `${leasesAt(best.name)} leases, the fewest for its weight` };
}

/**
 * Rendezvous hashing with weights (Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005): every server scores the key, the highest has it. One more
 * takes its share from all others alike, one fewer leaves its own to them; nothing else moves.
 */
function highestRandomWeight(candidates: readonly Choosable[], { key }: ChoiceState): Choice {
  const scoreOf = ({ name, weight }: Choosable): number => {
    const drawn = createHash('sha256').update(`${name}\n${key}`).digest().readUIntBE(0, 6);
    return weight / -Math.log((drawn + 0.5) / 2 ** 48);
  };
  let best = candidates[0]!;
  let bestScore = scoreOf(best);
  for (const each of candidates.slice(1)) {
    const score = scoreOf(each);
    if (score > bestScore) [best, bestScore] = [each, score];
  }
  return { name: best.name, turns: null, text: 'by its serial' };
}
