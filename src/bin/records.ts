// `postern records`: what is in a feed, on the screen, as JSON lines, or as a file of the bytes as they came.
import { createHash } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Client } from '#api/client.ts';
import type { Answer } from '#api/contract.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { findFeed } from './feed-choice.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatBytes, formatTime, printLine } from './output.ts';
import { openProgress } from './progress.ts';

export const usage = `Usage: postern records DEVICE/FEED [OPTIONS]
       postern records DEVICE/FEED --raw FILE [--from OFFSET] [--force]

Records of a feed, the oldest first: offset, time, text. DEVICE is an id, a label, CUSTOMER/NAME or a serial; instead of
DEVICE/FEED also the feed's id. Without --from, --last and --grep the last 20 are shown.

      --from OFFSET   from this record on; 0 is the beginning
      --last N        the last N
      --grep PATTERN  only those that the pattern finds (RE2)
      --limit N       at most so many (all)
  -f, --follow        go on with what comes, until Ctrl-C
      --epoch EPOCH   of this epoch; default: the newest
      --raw FILE      the bytes as they came into this file, - for standard output
      --force         replace FILE if it is there

With --json there is a line for each record and gap.
${commonUsage}`;

type FeedView = Answer<'getFeed'>;
type Item = Answer<'searchRecords'>['items'][number];

const lastShown = 20;
const lineCharsMax = 4_000;
const pageMax = 500;
const followEveryMs = 1_000;
/** Looks for a new epoch once in so many empty answers. */
const epochEvery = 5;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(
    args,
    { from: { type: 'string' }, last: { type: 'string' }, grep: { type: 'string' }, limit: { type: 'string' }, follow: { type: 'boolean', short: 'f' }, epoch: { type: 'string' }, raw: { type: 'string' }, force: { type: 'boolean' } },
    { min: 1, max: 1 },
  );
  const from = values.from === undefined ? null : parseOffset(values.from);
  if (from !== null && values.last !== undefined) throw usageFault('--from and --last do not go together');
  const last = values.last === undefined ? null : parseCount(values.last, 'last', lastShown);
  if (last !== null && last > pageMax) throw usageFault(`--last takes up to ${pageMax}; read more with --from`);
  const { raw } = values;
  if (raw !== undefined && (last !== null || values.grep !== undefined || values.follow || values.limit !== undefined || values.json)) throw usageFault('--raw goes with --from, --epoch and --force alone');
  using client = await openGateway(io, values);
  const feed = await findFeed(client, positionals[0]!, io.signal);
  if (raw !== undefined) return await save(io, client, feed, { file: raw, from, epoch: values.epoch, force: values.force ?? false });
  await read(io, client, feed, {
    from, epoch: values.epoch, pattern: values.grep, json: values.json ?? false, follow: values.follow ?? false,
    last: last ?? (from === null && values.grep === undefined ? lastShown : null),
    limit: parseCount(values.limit, 'limit', Number.MAX_SAFE_INTEGER),
  });
  return exitCodes.ok;
}

function parseOffset(text: string): number {
  const offset = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(offset)) throw usageFault('--from takes an offset, a whole number from 0');
  return offset;
}

interface Reading {
  readonly from: number | null;
  readonly last: number | null;
  readonly epoch: string | undefined;
  readonly pattern: string | undefined;
  readonly limit: number;
  readonly json: boolean;
  readonly follow: boolean;
}

async function read(io: CommandIo, client: Client, feed: FeedView, reading: Reading): Promise<void> {
  const params = { feed: feed.id };
  let epoch = reading.epoch ?? feed.epoch?.epoch;
  let place: { from: number } | { last: number } | object = reading.last !== null ? { last: reading.last } : reading.from !== null ? { from: reading.from } : {};
  let left = reading.limit;
  let idle = 0;
  while (left > 0 && !io.signal.aborted) {
    if (epoch !== undefined) {
      const query = { ...place, epoch, limit: Math.min(pageMax, left), ...(reading.pattern === undefined ? {} : { pattern: reading.pattern }) };
      const page: Answer<'searchRecords'> = await client.call('searchRecords', { params, query, signal: io.signal });
      for (const item of page.items) show(io, item, reading.json);
      left -= page.items.filter((item) => item.kind === 'record').length;
      place = { from: page.reached };
      idle = page.items.length > 0 ? 0 : idle + 1;
      if (!page.atEnd) continue;
    }
    if (!reading.follow) break;
    await pause(followEveryMs, io.signal);
    if (reading.epoch !== undefined || (epoch !== undefined && idle % epochEvery !== epochEvery - 1)) continue;
    const now = (await client.call('getFeed', { params, signal: io.signal })).epoch?.epoch;
    if (now === undefined || now === epoch) continue;
    if (epoch !== undefined) io.stderr.write(`Its device began a new epoch, ${now}: offsets begin anew.\n`);
    epoch = now;
    place = {};
  }
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      done();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });

function show(io: CommandIo, item: Item, json: boolean): void {
  if (json) {
    io.stdout.write(`${JSON.stringify(item)}\n`);
    return;
  }
  if (item.kind === 'gap') {
    printLine(io, `-- ${item.to - item.from} bytes from ${item.from} to ${item.to} are lost: ${printable(item.reason)}`);
    return;
  }
  const text = item.text ?? `hex ${item.hex}`;
  const remarks = `${item.cut ? ` (the beginning of ${formatBytes(item.bytes)})` : ''}${item.broken ? ' (cut off by a gap)' : ''}`;
  printLine(io, `${String(item.off).padStart(10)}  ${formatTime(item.atMs ?? item.receivedAt)}  ${printable(text, lineCharsMax)}${remarks}`);
}

interface Saving {
  readonly file: string;
  readonly from: number | null;
  readonly epoch: string | undefined;
  readonly force: boolean;
}

async function save(io: CommandIo, client: Client, feed: FeedView, { file, from, epoch: wanted, force }: Saving): Promise<number> {
  const epoch = wanted === undefined ? feed.epochs[0] : feed.epochs.find((each) => each.epoch === wanted);
  if (!epoch) throw new Fault('not-found', wanted === undefined ? 'nothing has come of this feed yet' : `it has no epoch ${wanted} here`);
  const path = file === '-' ? null : resolve(file);
  if (path !== null && !force && (await stat(path).catch(() => null))) throw new Fault('conflict', `${path} is there already`, { remedy: 'Take another name, or --force.' });
  if (path === null) {
    await fetchAll(io, client, feed, epoch, from ?? epoch.first, async (bytes) => {
      if (!io.stdout.write(bytes)) await new Promise((drained) => io.stdout.once('drain', drained));
    });
    return exitCodes.ok;
  }
  const part = `${path}.part`;
  try {
    const output = await open(part, 'w', 0o600);
    let told: Awaited<ReturnType<typeof fetchAll>>;
    try {
      told = await fetchAll(io, client, feed, epoch, from ?? epoch.first, async (bytes) => void (await output.writeFile(bytes)));
      await output.sync();
    } finally {
      await output.close();
    }
    await rename(part, path);
    printLine(io, `${path}: ${formatBytes(told.bytes)}, offsets ${told.from} to ${told.next} of epoch ${epoch.epoch}${told.gaps > 0 ? `, without ${told.gaps} ${told.gaps === 1 ? 'gap' : 'gaps'}` : ''}; SHA-256 ${told.sha256}`);
  } catch (thrown) {
    await rm(part, { force: true });
    throw thrown instanceof Fault ? thrown : new Fault('bad-input', `${path} cannot be written: ${reasonOf(thrown)}`, { cause: thrown });
  }
  return exitCodes.ok;
}

/** Up to where the epoch was when this began: what comes meanwhile would never let it end. */
async function fetchAll(io: CommandIo, client: Client, feed: FeedView, epoch: FeedView['epochs'][number], from: number, write: (bytes: Buffer) => Promise<void>): Promise<{ bytes: number; from: number; next: number; gaps: number; sha256: string }> {
  const progress = openProgress(io);
  const hash = createHash('sha256');
  let bytes = 0;
  let next = from;
  let gaps = 0;
  try {
    for (let atEnd = false; !atEnd && next < epoch.next; ) {
      const page = await client.fetchBytes('readFeedBytes', { params: { feed: feed.id }, query: { epoch: epoch.epoch, from: next, to: epoch.next }, signal: io.signal });
      const begins = Number(page.headers['postern-from']);
      if (begins > next) gaps += 1;
      atEnd = page.headers['postern-end'] === '1' || (page.bytes.length === 0 && begins === next);
      next = Number(page.headers['postern-next']);
      hash.update(page.bytes);
      bytes += page.bytes.length;
      await write(page.bytes);
      progress.show('fetching', next - from, epoch.next - from);
    }
  } finally {
    progress.end();
  }
  return { bytes, from, next, gaps, sha256: hash.digest('hex') };
}
