// The records that the oracle has its devices bring: numbered, and each one's text follows from seed, feed and number, so that what is stored can be
// held against what must have been.
import { createHash } from 'node:crypto';
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import type { Dice } from './dice.ts';

export function recordText(seed: string, feed: string, number: number): string {
  const digest = createHash('sha256').update(`${seed} ${feed} ${number}`).digest('hex');
  return `${number} ${digest.repeat(number % 97 === 0 ? 40 : 1 + (number % 5))}`;
}

/** An append-only file of lines. Its end is now and then in the middle of one. */
export class RecordFile {
  readonly path: string;
  readonly feed: string;
  readonly #seed: string;
  readonly #dice: Dice;
  readonly #descriptor: number;
  #rest = Buffer.alloc(0);
  made = 0;

  constructor(path: string, feed: string, seed: string, dice: Dice) {
    this.path = path;
    this.feed = feed;
    this.#seed = seed;
    this.#dice = dice;
    this.#descriptor = openSync(path, 'a', 0o644);
  }

  append(count: number): void {
    const lines = Array.from({ length: count }, () => `${recordText(this.#seed, this.feed, ++this.made)}\n`);
    const bytes = Buffer.concat([this.#rest, Buffer.from(lines.join(''))]);
    const part = this.#dice.chance(0.2) ? this.#dice.below(bytes.length) : bytes.length;
    this.#rest = bytes.subarray(part);
    if (part > 0) writeSync(this.#descriptor, bytes, 0, part);
  }

  /** All lines are whole. */
  finish(): void {
    if (this.#rest.length > 0) writeSync(this.#descriptor, this.#rest);
    this.#rest = Buffer.alloc(0);
  }

  get bytes(): number {
    return statSync(this.path).size;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

export interface Compared {
  readonly feed: string;
  readonly made: number;
  readonly stored: number;
  readonly missing: readonly number[];
  readonly duplicated: readonly number[];
  /** What is stored and was never made. */
  readonly corrupted: readonly string[];
  /** Records that stand before an earlier one. */
  readonly disordered: number;
}

export function compareRecords(seed: string, feed: string, made: number, stored: readonly { readonly text: string }[]): Compared {
  const seen = new Set<number>();
  const duplicated: number[] = [];
  const corrupted: string[] = [];
  let disordered = 0;
  let last = 0;
  for (const { text } of stored) {
    const number = /^\d{1,9}(?= )/.test(text) ? Number.parseInt(text, 10) : 0;
    if (number < 1 || number > made || recordText(seed, feed, number) !== text) corrupted.push(text.slice(0, 100));
    else if (seen.has(number)) duplicated.push(number);
    else {
      seen.add(number);
      if (number < last) disordered += 1;
      last = number;
    }
  }
  const missing = Array.from({ length: made }, (_, index) => index + 1).filter((number) => !seen.has(number));
  return { feed, made, stored: stored.length, missing, duplicated, corrupted, disordered };
}
