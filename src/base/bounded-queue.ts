// A ring with a fixed bound that drops its oldest and counts what it dropped.

export interface BoundedRing<Item> {
  push(item: Item): void;
  /** Oldest first. */
  items(): Item[];
  /** Drops the oldest until so many are left; counts them. */
  keepNewest(items: number): void;
  readonly length: number;
  readonly dropped: number;
}

export function boundedRing<Item>(itemsMax: number): BoundedRing<Item> {
  const slots: (Item | undefined)[] = Array.from({ length: itemsMax });
  let start = 0;
  let length = 0;
  let dropped = 0;
  return {
    push(item) {
      if (length === itemsMax) {
        slots[start] = item;
        start = (start + 1) % itemsMax;
        dropped += 1;
        return;
      }
      slots[(start + length) % itemsMax] = item;
      length += 1;
    },
    items: () => Array.from({ length }, (_, i) => slots[(start + i) % itemsMax]!),
    keepNewest(items) {
      while (length > items) {
        slots[start] = undefined;
        start = (start + 1) % itemsMax;
        length -= 1;
        dropped += 1;
      }
    },
    get length() {
      return length;
    },
    get dropped() {
      return dropped;
    },
  };
}
