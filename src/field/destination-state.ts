// What a destination's delivery must not forget: `destination-NAME.json` in the feeds' folder, replaced whole and forced to disk.
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '#base/fault.ts';

/** Which server has a feed's bytes from `at` on, and which one those before. */
export interface Holder {
  readonly epoch: string;
  /** Null: the programmed server, by whichever of its names. */
  readonly base: string | null;
  readonly at: number;
  readonly from: string;
  /** A server that a batch was sent to after that, and whose answer may not have come: it is asked before another one. */
  readonly tried?: string | null;
}

/** What the server's check-in answers asked for, as it came. */
export interface AskedSettings {
  readonly pollSeconds: number | null;
  readonly jitterSeconds: number | null;
  readonly pushSeconds: number | null;
  readonly prio: string | null;
  readonly zone: string | null;
  readonly zoneNext: string | null;
}

export interface DestinationState {
  /** The list in the owner's file when `pins` was taken over: when he changes his, his counts again. */
  readonly programmedPins: readonly string[];
  readonly pins: readonly string[];
  readonly holders: Readonly<Record<string, Holder>>;
  readonly asked: AskedSettings;
}

export const nothingAsked: AskedSettings = { pollSeconds: null, jitterSeconds: null, pushSeconds: null, prio: null, zone: null, zoneNext: null };

const nameOf = (destination: string) => `destination-${destination}.json`;

export async function writeDestinationState(folder: string, destination: string, state: DestinationState): Promise<void> {
  const path = join(folder, nameOf(destination));
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const file = await open(`${path}.new`, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(state)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
    const entry = await open(folder, 'r');
    try {
      await entry.sync();
    } finally {
      await entry.close();
    }
  } catch (cause) {
    throw new Fault('internal', `${path} cannot be written: ${(cause as Error).message}`, { cause });
  }
}

const texts = (value: unknown): string[] => (Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : []);
const textOrNull = (value: unknown) => (typeof value === 'string' ? value : null);
const countOrNull = (value: unknown) => (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null);
const recordOf = (value: unknown): Record<string, unknown> => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {});

/**
 * A file that is gone or damaged is the state of a first start, with `wasDamaged`: positions are the buffer's, and a server that is asked
 * again says where bytes went.
 */
export async function readDestinationState(folder: string, destination: string, programmedPins: readonly string[]): Promise<{ readonly state: DestinationState; readonly wasDamaged: boolean }> {
  const first: DestinationState = { programmedPins, pins: programmedPins, holders: {}, asked: nothingAsked };
  let text: string;
  try {
    text = await readFile(join(folder, nameOf(destination)), 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return { state: first, wasDamaged: false };
    throw new Fault('internal', `the state of destination "${destination}" cannot be read: ${(thrown as Error).message}`, { cause: thrown });
  }
  let value: Record<string, unknown>;
  try {
    value = recordOf(JSON.parse(text));
  } catch {
    return { state: first, wasDamaged: true };
  }
  const before = texts(value['programmedPins']);
  const isSame = before.length === programmedPins.length && before.every((pin, i) => pin === programmedPins[i]);
  const holders: Record<string, Holder> = {};
  for (const [feed, item] of Object.entries(recordOf(value['holders']))) {
    const { epoch, base, at, from, tried } = recordOf(item);
    const offset = countOrNull(at);
    if (typeof epoch === 'string' && (base === null || typeof base === 'string') && offset !== null && typeof from === 'string') holders[feed] = { epoch, base, at: offset, from, ...(tried === null || typeof tried === 'string' ? { tried } : {}) };
  }
  const asked = recordOf(value['asked']);
  return {
    wasDamaged: false,
    state: {
      programmedPins,
      pins: isSame ? texts(value['pins']) : programmedPins,
      holders,
      asked: {
        pollSeconds: countOrNull(asked['pollSeconds']), jitterSeconds: countOrNull(asked['jitterSeconds']), pushSeconds: countOrNull(asked['pushSeconds']),
        prio: textOrNull(asked['prio']), zone: textOrNull(asked['zone']), zoneNext: textOrNull(asked['zoneNext']),
      },
    },
  };
}
