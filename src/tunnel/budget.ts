// The process's memory budget for streams: counts bytes held (queued to send, received and not taken), not promised.
// At 50 % windows stop growing, at 90 % new streams are refused, at 100 % the stream that stands in the way is reset.
// The same holds within the share of one link or person, so that who stalls gets in their own way first.

/** One stream's share. */
export interface Holder {
  readonly heldBytes: number;
  /** Monotonic milliseconds of the last time bytes moved on. */
  readonly movedAtMs: number;
  /** Ends the stream and lets go of what it holds. */
  giveUp(why: string): void;
}

export interface Budget {
  readonly bytesMax: number;
  readonly heldBytes: number;
  readonly mayGrow: boolean;
  readonly mayOpen: boolean;
  join(holder: Holder): void;
  leave(holder: Holder): void;
  /** The holder has already changed its own count. May give up a stream, this one too, before it returns. */
  changed(deltaBytes: number): void;
  /** A quarter of it, for one link or person: what is held there counts in both. */
  share(): Budget;
}

const sharesOfWhole = 4;

export function buildBudget(bytesMax: number, onGivenUp: (heldBytes: number) => void, whole?: Budget): Budget {
  const holders = new Set<Holder>();
  let held = 0;
  let relieving = false;

  /** Of those that hold at least half as much as the largest: the one that has stood still longest. */
  const worst = (): Holder | undefined => {
    let most = 0;
    for (const holder of holders) if (holder.heldBytes > most) most = holder.heldBytes;
    let found: Holder | undefined;
    for (const holder of holders) {
      if (holder.heldBytes > 0 && holder.heldBytes * 2 >= most && (found === undefined || holder.movedAtMs < found.movedAtMs)) found = holder;
    }
    return found;
  };

  const relieve = () => {
    relieving = true;
    for (let holder = worst(); holder !== undefined; holder = worst()) {
      if (held <= bytesMax) break;
      const bytes = holder.heldBytes;
      holders.delete(holder);
      holder.giveUp(`the memory budget${whole === undefined ? '' : ' of this link'} is used up and this stream held most and moved least`);
      onGivenUp(bytes);
    }
    relieving = false;
  };

  const budget: Budget = {
    bytesMax,
    get heldBytes() {
      return held;
    },
    get mayGrow() {
      return held * 2 < bytesMax && whole?.mayGrow !== false;
    },
    get mayOpen() {
      return held * 10 < bytesMax * 9 && whole?.mayOpen !== false;
    },
    join(holder) {
      holders.add(holder);
      whole?.join(holder);
    },
    leave(holder) {
      holders.delete(holder);
      whole?.leave(holder);
    },
    changed(deltaBytes) {
      held += deltaBytes;
      // First within the share: the whole, when it is told, shall not look for somebody else's stream.
      if (held > bytesMax && !relieving) relieve();
      whole?.changed(deltaBytes);
    },
    share: () => buildBudget(Math.ceil(bytesMax / sharesOfWhole), onGivenUp, budget),
  };
  return budget;
}
