// Arguments of the commands that ask the gateway: one way to parse them, one way to open the client.
import { parseArgs } from 'node:util';
import type { ParseArgsConfig, ParseArgsOptionsConfig } from 'node:util';
import { openClient } from '#api/client.ts';
import type { Client } from '#api/client.ts';
import { reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { version } from '#base/about.ts';
import { usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { readProfile } from './profile.ts';

const common = { data: { type: 'string' }, json: { type: 'boolean' } } as const satisfies ParseArgsOptionsConfig;

/** Said at the end of every usage text. */
export const commonUsage = `
      --json          answer as JSON, for programs
      --data DIR      speak as the operator of the gateway whose data folder this is
`;

type Parsed<Options extends ParseArgsOptionsConfig> = ReturnType<typeof parseArgs<{ options: Options & typeof common; allowPositionals: true; strict: true }>>;

/** Options of its own plus --data and --json. A usage Fault for what is not known, or another number of words. */
export function parseCommand<const Options extends ParseArgsOptionsConfig>(args: readonly string[], options: Options, words: { readonly min: number; readonly max: number }): Parsed<Options> {
  let parsed: Parsed<Options>;
  try {
    const config: ParseArgsConfig = { args: [...args], options: { ...common, ...options }, allowPositionals: true, strict: true };
    parsed = parseArgs(config) as Parsed<Options>;
  } catch (thrown) {
    throw usageFault(reasonOf(thrown).replace(/\. To specify a positional argument[^]*$/, ''));
  }
  const given = parsed.positionals.length;
  if (given < words.min) throw usageFault('something is missing');
  if (given > words.max) throw usageFault(`"${parsed.positionals[words.max]}" is one word too many`);
  return parsed;
}

/** The API as whoever the profile says. Close it. */
export async function openGateway(io: CommandIo, values: { readonly data?: string | undefined }): Promise<Client> {
  const profile = await readProfile(io.env, { data: values.data });
  return openClient({ address: profile.address, token: profile.token, userAgent: `postern/${version}`, ...(profile.caPem === undefined ? {} : { ca: profile.caPem }) });
}

/** A whole number from `min`; a usage Fault otherwise. */
export function parseCount(text: string | undefined, option: string, standard: number, min = 1): number {
  if (text === undefined) return standard;
  const count = Number(text);
  if (!/^\d{1,9}$/.test(text) || count < min) throw usageFault(`--${option} takes a whole number from ${min}`);
  return count;
}

const unitsMs = { s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** `60s`, `5m`, `1h`, or seconds; null when it is not given. A usage Fault outside of what the gateway takes. */
export function parseConfirm(text: string | undefined): number | null {
  if (text === undefined) return null;
  const [, count, unit = 's'] = /^(\d{1,6})([smh])?$/.exec(text) ?? [];
  const ms = count === undefined ? Number.NaN : Number(count) * unitsMs[unit as keyof typeof unitsMs];
  if (!(ms >= limits.confirmWithinMinMs && ms <= limits.confirmWithinMaxMs)) throw usageFault('--confirm takes a time from 10s to 1h, such as 60s or 5m');
  return ms;
}

/** A revision's number; a usage Fault otherwise. */
export function parseRevision(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw usageFault(`"${text}" is not the number of a revision; postern history lists them`);
  return Number(text);
}

const pageMax = 500;

/** Reads pages until the list or the wanted number ends. */
export async function collect<Item>(max: number, readPage: (query: { limit: number; cursor?: string }) => Promise<{ items: Item[]; next: string | null }>): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | null = null;
  do {
    const page: { items: Item[]; next: string | null } = await readPage({ limit: Math.min(pageMax, max - items.length), ...(cursor === null ? {} : { cursor }) });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor !== null && items.length < max);
  return items;
}
