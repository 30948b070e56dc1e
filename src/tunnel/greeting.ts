// What an agent's handshake says (docs/wire/tunnel.md §2) and how its turn is judged against what the slot has seen.
import { Fault } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import { fieldOf } from '#wire/http1-fields.ts';
import type { Fields } from '#wire/http1-fields.ts';
import type { RequestHead } from '#wire/http1.ts';
import { checkUpgradeRequest } from '#wire/websocket.ts';

export const linkProtocol = 'postern-link.1';
export const streamProtocol = 'postern-stream.1';
export const slotsMax = 16;

export interface Greeting {
  readonly key: string;
  readonly slot: number;
  readonly turn: number;
  readonly instance: string;
  readonly version: string;
  readonly can: readonly string[];
}

/** Faults `bad-input`, `unsupported`. */
export function readGreeting(head: Pick<RequestHead, 'method' | 'minorVersion'> & { readonly fields: Fields }): Greeting {
  const key = checkUpgradeRequest(head, linkProtocol);
  const integer = (name: string, max: number) => {
    const text = fieldOf(head.fields, name) ?? '';
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value) || value > max) throw new Fault('bad-input', `${name} must be a whole number up to ${max}`);
    return value;
  };
  const slot = integer('postern-slot', slotsMax - 1);
  const turn = integer('postern-turn', Number.MAX_SAFE_INTEGER - 1);
  const instance = fieldOf(head.fields, 'postern-instance') ?? '';
  if (!/^[0-9a-f]{16,64}$/.test(instance)) throw new Fault('bad-input', 'postern-instance must be 16 to 64 hex digits');
  const can = (fieldOf(head.fields, 'postern-can') ?? 'tcp').split(',').map((item) => item.trim()).filter((item) => /^[a-z0-9-]{1,32}$/.test(item));
  return { key, slot, turn, instance, version: printable(fieldOf(head.fields, 'postern-agent') ?? 'unknown', 100), can: can.slice(0, 32) };
}

/** What is remembered of a slot while the process lives. */
export interface SlotMemory {
  turn: number;
  instance: string;
  /** When another instance took a slot whose link still stood. */
  changes: number[];
}

export type TurnVerdict = { readonly take: true } | { readonly take: false; readonly fault: Fault; readonly extra: readonly (readonly [string, string])[] };

const minuteMs = 60_000;

/**
 * Judges a greeting against its slot and, when it is taken, remembers it. `isStanding`: the slot's link is open. A new
 * instance after the old link had ended is a restart; only one that takes the place of a standing link may be a twin.
 */
export function judgeTurn(memory: SlotMemory, greeting: Greeting, isStanding: boolean, nowMs: number, changesPerMinuteMax: number): TurnVerdict {
  if (greeting.turn <= memory.turn) {
    const fault = new Fault('conflict', `turn ${greeting.turn} is not above ${memory.turn}, which was seen already`);
    return { take: false, fault, extra: [['Postern-Turn', String(memory.turn)]] };
  }
  if (isStanding && greeting.instance !== memory.instance) {
    memory.changes = memory.changes.filter((at) => nowMs - at < minuteMs);
    if (memory.changes.length >= changesPerMinuteMax) {
      const fault = new Fault('conflict', 'this identity is in use on two machines at once', { remedy: 'Join one of them with a token of its own; a copied state folder is one identity.' });
      return { take: false, fault, extra: [['Postern-Twin', 'yes']] };
    }
    memory.changes.push(nowMs);
  }
  memory.turn = greeting.turn;
  memory.instance = greeting.instance;
  return { take: true };
}
