// Brings feeds to one destination, by docs/wire/device.md §2: take `next`, repeat everything else. One request at a time; what goes wrong is
// waited for, never worked around.
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { printable } from '#base/log.ts';
import { encodeGap, encodeStart, offsetMax } from '#wire/device.ts';
import type { DeclaredGap, DeclaredStart } from '#wire/device.ts';
import { buildBackoff, restUntilWoken } from './backoff.ts';
import type { Backoff } from './backoff.ts';
import type { Answered, OpenDestination } from './destination.ts';
import { isConnectFault } from './device-http.ts';
import type { Holder } from './destination-state.ts';

/** What delivery needs of a feed's buffer. */
export interface DeliveredBuffer {
  readonly feed: string;
  readonly epoch: string;
  readonly format: string;
  /** End of what is stored; oldest byte kept. */
  readonly next: number;
  readonly first: number;
  flush(): Promise<void>;
  /** Durable bytes alone; at the end none. */
  read(offset: number, max: number): Promise<{ readonly bytes: Buffer; readonly gap: null } | { readonly bytes: null; readonly gap: DeclaredGap }>;
  position(destination: string): number;
  /** Durable when it resolves; may go back. */
  setPosition(destination: string, next: number): Promise<void>;
  /** Below it the destination has the bytes already, under an earlier epoch: they are declared as a gap of reason `moved`. */
  startOf(destination: string): number;
  onAppended(listener: (urgent: boolean) => void): () => void;
  /** A new epoch, into which every destination's undelivered bytes are carried over. */
  restart(reason: string): Promise<void>;
}

export interface DeliveryOptions {
  readonly destination: OpenDestination;
  readonly buffers: readonly DeliveredBuffer[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The most to hold data before a push, milliseconds; as the server's `push=` says. */
  holdMs(): number;
  /** `work=1` in an answer: something waits for this device. */
  onWork?(): void;
}

interface Work {
  readonly buffer: DeliveredBuffer;
  readonly backoff: Backoff;
  epoch: string;
  batchMax: number;
  /** Waits since then for its push; null: nothing waits. */
  heldSinceMs: number | null;
  /** Goes at once, until nothing is left. */
  isHasty: boolean;
  /** Below it, bytes were acknowledged to us once: if they are asked for again and gone, it was the server that lost them. */
  acknowledged: number;
  /** A push of this epoch was tried since we started: the server may have more of it than we know. */
  isTouched: boolean;
  /** A server (null: the programmed one) that may have stored a batch whose answer did not arrive: it is asked before anybody else gets that batch. */
  unsettled: { readonly server: string | null; /** Answers of it that did not say. */ readonly refusals: number } | null;
  /** A stretch that another server has, and that this one wants declared. */
  moved: DeclaredGap | null;
  compresses: boolean;
  isWaitingShown: boolean;
}

interface Piece {
  readonly gap: DeclaredGap | null;
  readonly offset: number;
  readonly bytes: Buffer;
}

interface Place {
  readonly base: string;
  /** Null: the programmed server. */
  readonly server: string | null;
  readonly start: DeclaredStart | null;
  /** Somebody else may be named: the body waits for the word. */
  readonly expect: boolean;
}

/** Until the signal aborts. Never rejects for what a server or a way does. */
export async function keepDelivering(options: DeliveryOptions, signal: AbortSignal): Promise<void> {
  const { destination, clock, random, log } = options;
  let wake = () => {};
  const works = options.buffers.map((buffer): Work => {
    const work: Work = {
      buffer, backoff: buildBackoff(clock, random), epoch: buffer.epoch, batchMax: limits.pushBatchBytesMax, heldSinceMs: null,
      // What was left from before has waited long enough.
      isHasty: true, acknowledged: buffer.position(destination.name), isTouched: false, unsettled: null, moved: null, compresses: true, isWaitingShown: false,
    };
    work.unsettled = leftUnsettled(holderOf(work, destination));
    return work;
  });
  const stops = works.map((work) =>
    work.buffer.onAppended((urgent) => {
      if (urgent) work.isHasty = true;
      wake();
    }),
  );
  try {
    let turn = 0;
    while (!signal.aborted) {
      const due = nextWork(works, turn, options);
      if (typeof due === 'number') {
        await restUntilWoken(clock, due, signal, (run) => (wake = run));
        wake = () => {};
        continue;
      }
      turn = works.indexOf(due) + 1;
      try {
        await push(due, options, signal);
      } catch (thrown) {
        if (signal.aborted) break;
        if (!isFault(thrown)) log.error('delivery.mistake', { destination: destination.name, feed: due.buffer.feed, why: String(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
        destination.trouble(thrown, due.buffer.feed);
        if (isFault(thrown, 'timeout')) due.batchMax = smaller(due.batchMax);
        (isFault(thrown) && thrown.detail['feedOnly'] === true ? due.backoff : destination.backoff).failed(retryOf(thrown));
      }
    }
  } finally {
    for (const stop of stops) stop();
  }
}

const retryOf = (thrown: unknown) => (isFault(thrown) && typeof thrown.detail['retry'] === 'number' ? thrown.detail['retry'] : null);
const smaller = (batchMax: number) => Math.max(limits.pushBatchBytesMin, Math.floor(batchMax / 2));
const pendingOf = (work: Work, destination: OpenDestination) => work.buffer.next - work.buffer.position(destination.name);

/** Whose turn it is; or how many milliseconds nothing is due (Infinity: until something is appended). */
function nextWork(works: readonly Work[], turn: number, { destination, clock, holdMs }: DeliveryOptions): Work | number {
  const now = clock.monoMs();
  let soonest = Number.POSITIVE_INFINITY;
  let chosen: Work | null = null;
  for (let i = 0; i < works.length; i++) {
    const work = works[(turn + i) % works.length]!;
    const pending = pendingOf(work, destination);
    if (pending <= 0 && work.moved === null) {
      work.heldSinceMs = null;
      work.isHasty = false;
      continue;
    }
    work.heldSinceMs ??= now;
    const held = work.isHasty || pending >= work.batchMax ? 0 : work.heldSinceMs + Math.min(holdMs(), limits.pushHoldMaxMs);
    const at = Math.max(held, work.backoff.notBeforeMs(), destination.backoff.notBeforeMs());
    if (at > now) soonest = Math.min(soonest, at - now);
    // Whoever has something urgent goes first.
    else if (chosen === null || (work.isHasty && !chosen.isHasty)) chosen = work;
  }
  return chosen ?? soonest;
}

/** What goes next: at most a batch, behind a gap where bytes are gone. Null: nothing is durable yet. */
async function readPiece(work: Work, at: number): Promise<Piece | null> {
  const { buffer, moved } = work;
  if (moved !== null && moved.to === at) return { gap: moved, offset: at, bytes: await bytesAt(work, at) };
  let found = await buffer.read(at, work.batchMax);
  if (found.gap === null && found.bytes.length === 0) {
    await buffer.flush();
    found = await buffer.read(at, work.batchMax);
  }
  if (found.gap === null) return found.bytes.length === 0 ? null : { gap: null, offset: at, bytes: found.bytes };
  const { to, reason } = found.gap;
  if (to <= at) throw new Fault('internal', `the buffer of ${buffer.feed} names a gap that ends at ${to}, before ${at}`, { detail: { feedOnly: true } });
  // What this destination had acknowledged before is its server's loss; the rest is ours.
  const gap = at < work.acknowledged ? { from: at, to: Math.min(to, work.acknowledged), reason: 'server-lost' } : { from: at, to, reason };
  return { gap, offset: gap.to, bytes: gap.to === to ? await bytesAt(work, to) : Buffer.alloc(0) };
}

/** None where the next gap begins. */
async function bytesAt(work: Work, at: number): Promise<Buffer> {
  if (at >= work.buffer.next) return Buffer.alloc(0);
  return (await work.buffer.read(at, work.batchMax)).bytes ?? Buffer.alloc(0);
}

function holderOf(work: Work, destination: OpenDestination): Holder | null {
  const holder = destination.state.holders[work.buffer.feed];
  return holder?.epoch === work.buffer.epoch ? holder : null;
}

/** A server that says no again and again is not asked for ever what it has. */
const refusalsMax = 5;

/** After a restart nobody remembers whether the last answer came. */
const leftUnsettled = (holder: Holder | null) => (holder === null ? null : { server: holder.tried === undefined ? holder.base : holder.tried, refusals: 0 });

/** Bytes are at one server only: a feed goes on where its bytes are, or where that server sends it (docs/wire/device.md §4). */
function placeFor(work: Work, at: number, destination: OpenDestination): Place {
  const { home, redirect } = destination.now();
  const holder = holderOf(work, destination);
  const holding = holder?.base ?? null;
  /** Sent with each push to the server that began there; where the bytes are elsewhere, it begins here. */
  const startAt = (server: string | null): DeclaredStart | null => {
    if (holder !== null && holding === server) return holder.at === 0 ? null : { at: holder.at, from: holder.from };
    return server === null || holding !== null || at > 0 ? { at, from: holding ?? destination.homes[0]! } : null;
  };
  const elsewhere = (server: string): Place => ({ base: server, server, start: startAt(server), expect: false });
  if (work.unsettled !== null && work.unsettled.server !== null) return elsewhere(work.unsettled.server);
  if (redirect !== null && work.unsettled === null) {
    const isNowhere = holding === null && at === 0 && (holder === null || holder.at === 0) && !work.isTouched;
    if (holding === redirect || isNowhere) return elsewhere(redirect);
  }
  // The programmed server says, with its seal, from where on another one has to be asked; it needs no body for that.
  return { base: home, server: null, start: holder === null ? null : startAt(null), expect: redirect !== null || holding !== null };
}

async function push(work: Work, options: DeliveryOptions, signal: AbortSignal): Promise<void> {
  const { destination, clock, log } = options;
  const { buffer } = work;
  if (buffer.epoch !== work.epoch) {
    // Another destination made it new.
    Object.assign(work, { epoch: buffer.epoch, acknowledged: buffer.position(destination.name), isTouched: false, unsettled: null, moved: null });
  }
  const at = buffer.position(destination.name);
  const piece = await readPiece(work, at);
  if (piece === null) {
    work.backoff.failed(0.2);
    return;
  }
  const place = placeFor(work, at, destination);
  const suffix = `/push/${encodeURIComponent(destination.serial)}/${buffer.feed}/${work.epoch}?o=${piece.offset}`;
  const packed = work.compresses && piece.bytes.length > 256 ? gzipSync(piece.bytes) : null;
  const isPacked = packed !== null && packed.length < piece.bytes.length * 0.9;
  const holder = holderOf(work, destination);
  // Known on the disk before it happens: another server may get bytes now.
  if (place.server !== (holder?.base ?? null) && (holder?.tried === undefined || holder.tried !== place.server)) {
    await hold(work, destination, { ...(holder ?? { epoch: work.epoch, base: null, at: 0, from: destination.homes[0]! }), tried: place.server });
  }
  work.isTouched = true;
  let before = work.unsettled;
  work.unsettled = { server: place.server, refusals: before?.refusals ?? 0 };
  const beganMs = clock.monoMs();
  const asked = destination.ask(
    place.base,
    {
      method: 'POST',
      suffix,
      body: isPacked ? packed : piece.bytes,
      expect: place.expect,
      fields: {
        'Content-Type': 'application/octet-stream',
        ...(isPacked ? { 'Content-Encoding': 'gzip' } : {}),
        'X-Postern-SHA256': createHash('sha256').update(piece.bytes).digest('hex'),
        'X-Postern-Format': buffer.format,
        ...(piece.gap === null ? {} : { 'X-Postern-Gap': encodeGap(piece.gap) }),
        ...(place.start === null ? {} : { 'X-Postern-Start': encodeStart(place.start) }),
      },
    },
    signal,
  );
  const answered = await asked.catch((thrown: unknown) => {
    // Who cannot be reached cannot be asked either.
    if (isConnectFault(thrown)) work.unsettled = null;
    throw thrown;
  });
  // `next`, or a redirect without it, says what became of all that was sent there; anything else speaks of this request alone.
  const isSettled = nextOf(answered) !== null || answered.status === 307 || answered.status === 308;
  if (answered.isRetried) before ??= { server: place.server, refusals: 0 };
  work.unsettled = isSettled || before === null || before.refusals + 1 >= refusalsMax ? null : { ...before, refusals: before.refusals + 1 };
  log.debug('delivery.pushed', { destination: destination.name, feed: buffer.feed, at: piece.offset, bytes: piece.bytes.length, status: answered.status, next: answered.values.get('next'), ms: Math.round(clock.monoMs() - beganMs) });
  // It was made new while we waited for the answer, which then is about bytes of before.
  if (buffer.epoch !== work.epoch) return;
  await follow({ work, piece, place, suffix, answered, options });
  if (answered.isBelieved && answered.values.get('work') === '1') options.onWork?.();
}

interface Turn {
  readonly work: Work;
  readonly piece: Piece;
  readonly place: Place;
  readonly suffix: string;
  readonly answered: Answered;
  readonly options: DeliveryOptions;
}

/** The table of docs/wire/device.md §2. Faults are what has to be waited for. */
async function follow(turn: Turn): Promise<void> {
  const { work, piece, place, answered, options } = turn;
  const { status, values } = answered;
  const { destination, log } = options;
  const feed = work.buffer.feed;
  const isNew = answered.counts && values.get('new') === '1';
  if (status === 200) return await acknowledged(turn);
  if ((status === 307 || status === 308 || status === 410) && (values.has('base') || (status !== 410 && answered.location !== null))) return await sent(turn);
  if (status === 409 && isNew) return await restart(turn, 'conflict', 'the gateway has other bytes at these offsets: two devices share the epoch, or a copy of the store was used');
  if (status === 410 && isNew) {
    const next = nextOf(answered);
    if (next !== null && place.server === (holderOf(work, destination)?.base ?? null)) await move(turn, next);
    return await restart(turn, 'sealed', 'the gateway has closed this epoch');
  }
  if (status === 409 && values.get('error') === 'gap') return await gap(turn);
  if (status === 413) {
    const max = Number(values.get('max') ?? Number.NaN);
    const length = piece.bytes.length;
    // Something between may have a limit of its own, and say no number.
    const now = Number.isSafeInteger(max) && max > 0 && max < length ? max : length > limits.pushBatchBytesMin ? smaller(length) : null;
    if (now === null) throw refusal(turn, true);
    work.batchMax = now;
    return;
  }
  if (status === 422 && values.get('error') === 'encoding' && work.compresses) {
    work.compresses = false;
    log.info('delivery.uncompressed', { destination: destination.name, feed, why: 'what was compressed did not arrive as such' });
    return;
  }
  throw refusal(turn, status === 400 || status === 422 || status === 409 || status === 410);
}

/** `feedOnly`: other feeds of the destination need not wait. */
function refusal({ answered, place }: Turn, feedOnly: boolean): Fault {
  const { status, values, retryAfter } = answered;
  const error = values.get('error');
  const why = values.get('why');
  const whole = `${place.base} answered ${status}${error === undefined ? '' : ` ${printable(error, 40)}`}${why === undefined ? '' : `: ${printable(why)}`}${answered.counts ? '' : ' (not signed with our key, so not believed)'}`;
  return new Fault(status === 503 || status === 429 ? 'busy' : 'forbidden', whole, { detail: { feedOnly, retry: retryAfter ?? undefined } });
}

function nextOf(answered: Answered): number | null {
  const text = answered.values.get('next');
  return answered.counts && text !== undefined && /^(0|[1-9]\d{0,15})$/.test(text) && Number(text) <= offsetMax ? Number(text) : null;
}

async function acknowledged(turn: Turn): Promise<void> {
  const { work, piece, place, answered, options } = turn;
  const { destination, log } = options;
  const { buffer } = work;
  const next = nextOf(answered);
  if (next === null) throw refusal(turn, false);
  const isWaiting = answered.values.get('waiting') === '1';
  if (isWaiting && !work.isWaitingShown) log.info('delivery.waiting', { destination: destination.name, feed: buffer.feed, why: 'this device waits for approval; what it brings is kept apart until then' });
  work.isWaitingShown = isWaiting;
  // Where bytes are is known before the position that rests on it.
  const holder = holderOf(work, destination);
  if (place.server !== (holder?.base ?? null)) await hold(work, destination, { epoch: work.epoch, base: place.server, at: piece.gap?.from ?? piece.offset, from: place.start?.from ?? destination.homes[0]! });
  const end = piece.offset + piece.bytes.length;
  const done = next > buffer.next ? end : next;
  if (done < piece.offset) await rewind(turn, done);
  else await buffer.setPosition(destination.name, Math.min(done, buffer.next));
  work.acknowledged = Math.max(work.acknowledged, Math.min(done, buffer.next));
  work.moved = null;
  work.heldSinceMs = null;
  work.backoff.worked();
  destination.worked();
  if (work.batchMax < limits.pushBatchBytesMax && piece.bytes.length >= work.batchMax && answered.values.get('max') === undefined) work.batchMax = Math.min(limits.pushBatchBytesMax, work.batchMax + limits.pushBatchBytesMin);
  // More is there than we ever stored, and all that we have was compared: our store lost its end, and offsets must not be used twice.
  if (next > buffer.next && end >= buffer.next) await restart(turn, 'ahead', `the gateway has ${next} bytes, this device stored ${buffer.next}: the store lost its end`);
}

/** The server has less than we asked to add to: it lost it, or never had it. */
async function gap(turn: Turn): Promise<void> {
  const { work, piece, place, options } = turn;
  const { destination, log } = options;
  const next = nextOf(turn.answered);
  if (next === null) throw refusal(turn, true);
  const from = piece.gap?.from ?? piece.offset;
  // A gap that reaches down to what it has is refused by no server that follows the page.
  if (next >= from) throw refusal(turn, true);
  const holder = holderOf(work, destination);
  if (holder !== null && holder.base !== place.server && place.start !== null) {
    // What is between is at another server, where it went by this one's word; bringing it again would make it two.
    work.moved = { from: next, to: from, reason: 'moved' };
    log.warn('delivery.moved', { destination: destination.name, feed: work.buffer.feed, from: next, to: from, at: holder.base ?? destination.homes[0] });
    return;
  }
  const start = work.buffer.startOf(destination.name);
  work.moved = next < start ? { from: next, to: start, reason: 'moved' } : null;
  if (Math.max(next, start) < work.buffer.position(destination.name)) await rewind(turn, Math.max(next, start));
}

async function rewind({ work, answered, options }: Turn, next: number): Promise<void> {
  const { destination, log } = options;
  log.warn('delivery.server-behind', { destination: destination.name, feed: work.buffer.feed, next, delivered: work.acknowledged, why: 'the gateway has less than it acknowledged: it may have been restored from a backup; what is still here is brought again', status: answered.status });
  await work.buffer.setPosition(destination.name, next);
}

/** Position as the server that has the bytes says, forth or back. */
async function move(turn: Turn, next: number): Promise<void> {
  const { work, options } = turn;
  const at = work.buffer.position(options.destination.name);
  if (next === at || next > work.buffer.next) return;
  if (next < at) await rewind(turn, next);
  else {
    await work.buffer.setPosition(options.destination.name, next);
    work.acknowledged = Math.max(work.acknowledged, next);
  }
}

async function hold(work: Work, destination: OpenDestination, holder: Holder): Promise<void> {
  await destination.keep({ holders: { ...destination.state.holders, [work.buffer.feed]: holder } });
}

/** We are sent to another server: this one has sealed what it has, and says where. */
async function sent(turn: Turn): Promise<void> {
  const { work, place, suffix, answered, options } = turn;
  const { destination } = options;
  const redirect = destination.redirect(answered, suffix);
  if (redirect === null) throw refusal(turn, false);
  const holder = holderOf(work, destination);
  const isHome = destination.homes.includes(redirect.base);
  const to = isHome ? null : redirect.base;
  const next = nextOf(answered);
  const position = () => work.buffer.position(destination.name);
  if (place.server === (holder?.base ?? null)) {
    if (next !== null) await move(turn, next);
    await hold(work, destination, { epoch: work.epoch, base: to, at: position(), from: place.base });
  } else if (next !== null && next > position()) {
    // It was asked for the way, and has a batch of which we never heard.
    await move(turn, next);
    await hold(work, destination, { epoch: work.epoch, base: to, at: position(), from: place.base });
  } else if (to !== holder?.base) {
    // The bytes are at a third one.
    await hold(work, destination, { epoch: work.epoch, base: to, at: position(), from: holder?.base ?? destination.homes[0]! });
  } else if (holder.tried !== undefined) await hold(work, destination, { epoch: holder.epoch, base: holder.base, at: holder.at, from: holder.from });
  work.moved = null;
}

async function restart({ work, options }: Turn, reason: string, why: string): Promise<void> {
  const { destination, log } = options;
  const { buffer } = work;
  const before = buffer.epoch;
  await buffer.restart(reason);
  const { [buffer.feed]: _gone, ...holders } = destination.state.holders;
  await destination.keep({ holders });
  Object.assign(work, { epoch: buffer.epoch, acknowledged: buffer.position(destination.name), isTouched: false, unsettled: null, moved: null });
  // Once is repair; again and again would be a quarrel, so the wait doubles until a push works.
  work.backoff.failed();
  log.warn('delivery.new-epoch', { destination: destination.name, feed: buffer.feed, reason, why, before, epoch: buffer.epoch });
}
