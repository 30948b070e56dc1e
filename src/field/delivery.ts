// Brings feeds to one destination, by docs/wire/device.md §2: take `next`, repeat everything else. One request at a time; what goes wrong is
// waited for, never worked around.
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { Fault, isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { encodeGap, encodeStart } from '#wire/device.ts';
import type { DeclaredStart } from '#wire/device.ts';
import { buildBackoff, restUntilWoken } from './backoff.ts';
import { follow, nextOf, smaller } from './delivery-answers.ts';
import { type DeliveryOptions, hold, holderOf, type Piece, type Place, type Work } from './delivery-work.ts';
import type { OpenDestination } from './destination.ts';
import { isConnectFault } from './device-http.ts';
import type { Holder } from './destination-state.ts';

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
