// What a server's answer to a push means for the feed, by the table of docs/wire/device.md §2.
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import { offsetMax } from '#wire/device.ts';
import type { Answered } from './destination.ts';
import { type DeliveryOptions, hold, holderOf, type Piece, type Place, type Work } from './delivery-work.ts';

/** Half, as far as it may go. */
export const smaller = (batchMax: number) => Math.max(limits.pushBatchBytesMin, Math.floor(batchMax / 2));

/** null: it does not say so, or not in a way that counts. */
export function nextOf(answered: Answered): number | null {
  const text = answered.values.get('next');
  return answered.counts && text !== undefined && /^(0|[1-9]\d{0,15})$/.test(text) && Number(text) <= offsetMax ? Number(text) : null;
}

export interface Turn {
  readonly work: Work;
  readonly piece: Piece;
  readonly place: Place;
  readonly suffix: string;
  readonly answered: Answered;
  readonly options: DeliveryOptions;
}

/** The table of docs/wire/device.md §2. Faults are what has to be waited for. */
export async function follow(turn: Turn): Promise<void> {
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
