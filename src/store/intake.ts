// What devices bring, exactly once (docs/wire/device.md §2): an offset is compared, bytes are stored, the record splitter and
// `next` move, alerts are queued, all in the transaction of the calling operation. Many batches share one operation, and many
// operations one commit. How far each epoch is stays in this thread's memory, and is only believed as long as everything
// that was done with it was committed: `WriterState.intakeTurn` goes back with a rollback, the memory does not.
import type { Id } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import type { AlertRule, KeyedOutcome, KeyedPush, Push, PushOutcome, SealedEpoch } from '#model/intake.ts';
import { compilePattern, type Pattern } from '#model/pattern.ts';
import type { AuditEntry, DeviceNote, FeedAlert, FeedEpoch } from '#model/rows.ts';
import { type FeedRecord, parseFormat, RecordSplitter } from '#wire/records.ts';
import { buildBulk, newId, type Bulk } from './bulk.ts';
import { type PackedOutcomes, type PackedPushes, packOutcomes, unpackPushes } from './intake-pack.ts';
import { codecs, storeDeviceNote } from './schema.ts';
import { appendAudit, mustTouch, type Unit } from './unit.ts';

type Mutable<Row> = { -readonly [Name in keyof Row]: Row[Name] };

/** What is known of an epoch in between two batches. */
interface Open {
  readonly row: Mutable<FeedEpoch>;
  readonly splitter: RecordSplitter;
}

/** This thread's memory of the store; see above. */
interface Memory {
  turn: number;
  readonly open: Map<string, Open>;
  lastNumber: number | null;
  readonly patterns: Map<string, Pattern>;
  heldBytes: number;
}

const memories = new WeakMap<object, Memory>();
let turns = 0;

/** Begins an operation: what was remembered counts only if nothing was rolled back since. */
function begin(unit: Unit): { memory: Memory; done(): void } {
  let memory = memories.get(unit.connection);
  if (!memory) memories.set(unit.connection, (memory = { turn: -1, open: new Map(), lastNumber: null, patterns: new Map(), heldBytes: 0 }));
  const kept = memory;
  if (kept.turn !== unit.state.intakeTurn || kept.open.size > limits.epochsRememberedMax || kept.heldBytes > limits.epochsRememberedBytesMax) {
    kept.open.clear();
    kept.heldBytes = 0;
    kept.lastNumber = null;
  }
  // Until it is done, nothing of it may be believed.
  kept.turn = -1;
  return {
    memory: kept,
    done() {
      kept.turn = ++turns;
      unit.state = { ...unit.state, intakeTurn: kept.turn };
    },
  };
}

/** What is to be written of this operation, gathered, so that it goes in few statements. */
interface Pending {
  readonly bulk: Bulk;
  readonly touched: Set<Open>;
}

const placeOf = (deviceId: Id, feed: string, epoch: string) => `${deviceId} ${feed} ${epoch}`;
const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

async function findOpen(unit: Unit, memory: Memory, pending: Pending, place: string, deviceId: Id, feed: string, epoch: string): Promise<Open | null> {
  const known = memory.open.get(place);
  if (known) return known;
  await pending.bulk.flush();
  const found = await unit.db
    .selectFrom('feedEpoch')
    .innerJoin('feed', 'feed.id', 'feedEpoch.feedId')
    .selectAll('feedEpoch')
    .where('feed.deviceId', '=', deviceId)
    .where('feed.name', '=', feed)
    .where('feedEpoch.epoch', '=', epoch)
    .executeTakeFirst();
  if (!found) return null;
  const row: Mutable<FeedEpoch> = codecs.feedEpoch.load(found);
  const splitter = new RecordSplitter(parseFormat(row.format) ?? { kind: 'raw' }, row.boundary, row.unframed);
  const open: Open = { row, splitter };
  // The open record's bytes are stored; nothing ends in them.
  if (!row.unframed && row.boundary < row.next) for (const piece of await storedBetween(unit, row.number, row.boundary, row.next)) splitter.push(piece.bytes, null);
  memory.open.set(place, open);
  return open;
}

/** The pieces of what is stored from `from` up to `to`, trimmed; what a gap or retention took is not among them. */
async function storedBetween(unit: Unit, epoch: number, from: number, to: number): Promise<{ off: number; bytes: Buffer }[]> {
  const before = await unit.db.selectFrom('chunk').select((sql) => sql.fn.max('off').as('off')).where('epoch', '=', epoch).where('off', '<=', from).executeTakeFirst();
  const rows = await unit.db
    .selectFrom('chunk')
    .select(['off', 'body'])
    .where('epoch', '=', epoch)
    .where('off', '>=', (before?.off as number | null | undefined) ?? from)
    .where('off', '<', to)
    .orderBy('off')
    .execute();
  const pieces: { off: number; bytes: Buffer }[] = [];
  for (const { off, body } of rows) {
    const start = Math.max(from, off);
    const end = Math.min(to, off + body.length);
    if (start < end) pieces.push({ off: start, bytes: asBuffer(body).subarray(start - off, end - off) });
  }
  return pieces;
}

/** Are the bytes those that are stored, as far as any are? */
async function isSame(unit: Unit, pending: Pending, epoch: number, at: number, bytes: Uint8Array): Promise<boolean> {
  await pending.bulk.flush();
  for (const { off, bytes: stored } of await storedBetween(unit, epoch, at, at + bytes.length)) {
    if (asBuffer(bytes).compare(stored, 0, stored.length, off - at, off - at + stored.length) !== 0) return false;
  }
  return true;
}

async function nextNumber(unit: Unit, memory: Memory): Promise<number> {
  memory.lastNumber ??= (await unit.db.selectFrom('feedEpoch').select((sql) => sql.fn.max('number').as('number')).executeTakeFirst())?.number as number | null ?? 0;
  return ++memory.lastNumber;
}

interface NewEpoch {
  readonly customerId: Id;
  readonly deviceId: Id;
  readonly serial: string;
  readonly feed: string;
  readonly newFeedId: Id;
  readonly epoch: string;
  readonly kind: FeedEpoch['kind'];
  readonly format: string;
  readonly start: number;
  readonly at: number;
}

/** A sentence when there are too many already. */
async function openEpoch(unit: Unit, memory: Memory, pending: Pending, place: string, made: NewEpoch): Promise<Open | string> {
  await pending.bulk.flush();
  const { customerId, deviceId, serial, feed: name, at } = made;
  let feedId = (await unit.db.selectFrom('feed').select('id').where('deviceId', '=', deviceId).where('name', '=', name).executeTakeFirst())?.id;
  if (feedId === undefined) {
    const { feeds } = await unit.db.selectFrom('feed').select((sql) => sql.fn.countAll<number>().as('feeds')).where('deviceId', '=', deviceId).executeTakeFirstOrThrow();
    if (feeds >= limits.feedsPerDeviceMax) return `this device has ${feeds} feeds, and that is the limit`;
    feedId = made.newFeedId;
    await unit.db.insertInto('feed').values(codecs.feed.store({ id: feedId, customerId, deviceId, serial, name, createdAt: at })).execute();
  } else {
    const { epochs } = await unit.db.selectFrom('feedEpoch').select((sql) => sql.fn.countAll<number>().as('epochs')).where('feedId', '=', feedId).executeTakeFirstOrThrow();
    if (epochs >= limits.epochsPerFeedMax) return `this feed has had ${epochs} epochs, and that is the limit: its device seems to forget its store at every start`;
  }
  const row: Mutable<FeedEpoch> = {
    number: await nextNumber(unit, memory), feedId, customerId, epoch: made.epoch, kind: made.kind, format: made.format, start: made.start, first: made.start, next: made.start, boundary: made.start, unframed: false,
    records: 0, batches: 0, repeats: 0, gaps: 0, lostBytes: 0, conflicts: 0, claimed: null, sealedAt: null, sealedTo: null, createdAt: at, lastAt: at,
  };
  await unit.db.insertInto('feedEpoch').values(codecs.feedEpoch.store(row)).execute();
  const open: Open = { row, splitter: new RecordSplitter(parseFormat(made.format) ?? { kind: 'raw' }, made.start) };
  memory.open.set(place, open);
  return open;
}

/** Appends bytes at `next`. Resolves how many records ended in them, and how many alerts they made. */
function append(memory: Memory, pending: Pending, open: Open, bytes: Uint8Array, at: number, rules: readonly AlertRule[]): { records: number; alerts: number } {
  const { row, splitter } = open;
  const held = splitter.heldBytes;
  const before = splitter.records;
  let alerts = 0;
  splitter.push(bytes, rules.length === 0 ? null : (record) => {
    // A batch can be millions of records, and each alert is a row and a call: who is told of a thousand needs no more.
    if (alerts < limits.alertsPerBatchMax) alerts += findAlerts(memory, pending, row, record, at, rules);
  });
  const records = splitter.records - before;
  memory.heldBytes += splitter.heldBytes - held;
  pending.bulk.chunk({ epoch: row.number, off: row.next, len: bytes.length, at, records, body: bytes });
  row.next += bytes.length;
  row.records += records;
  settle(open, pending);
  return { records, alerts };
}

/** What the splitter says goes into the row, and the row will be written. */
function settle(open: Open, pending: Pending): void {
  open.row.boundary = open.splitter.boundary;
  open.row.unframed = open.splitter.unframed;
  pending.touched.add(open);
}

function findAlerts(memory: Memory, pending: Pending, row: FeedEpoch, record: FeedRecord, at: number, rules: readonly AlertRule[]): number {
  let found = 0;
  const looked = record.bytes.subarray(0, limits.alertLookedBytesMax);
  for (const { rule, pattern } of rules) {
    let compiled = memory.patterns.get(pattern);
    if (!compiled) {
      if (memory.patterns.size >= 1_000) memory.patterns.clear();
      memory.patterns.set(pattern, (compiled = compilePattern(pattern)));
    }
    if (!compiled.test(looked)) continue;
    found += 1;
    pending.bulk.alert({ customerId: row.customerId, epoch: row.number, off: record.off, rule, record: looked.subarray(0, limits.alertShownBytesMax).toString('utf8'), at });
  }
  return found;
}

function loseUpTo(memory: Memory, pending: Pending, open: Open, to: number, reason: string, at: number): number {
  const { row, splitter } = open;
  const lost = to - row.next;
  if (lost <= 0) return 0;
  memory.heldBytes -= splitter.heldBytes;
  const before = splitter.records;
  splitter.gap(to, null);
  row.records += splitter.records - before;
  pending.bulk.gap({ epoch: row.number, fromOff: row.next, toOff: to, reason, at });
  row.next = to;
  row.gaps += 1;
  if (reason !== 'moved') row.lostBytes += lost;
  settle(open, pending);
  return lost;
}

/** The whole rule of the page's table, for one batch. */
async function take(unit: Unit, memory: Memory, pending: Pending, push: Push): Promise<PushOutcome> {
  const { deviceId, feed, epoch, offset, bytes, at } = push;
  const place = placeOf(deviceId, feed, epoch);
  let open = await findOpen(unit, memory, pending, place, deviceId, feed, epoch);
  const quarantine = await lookAtQuarantine(unit, push, open?.row.next ?? 0);
  if (quarantine !== null) return quarantine;
  if (open === null) {
    const made = await openEpoch(unit, memory, pending, place, { ...push, newFeedId: newId(), kind: 'offset', start: push.start?.at ?? 0 });
    if (typeof made === 'string') return { kind: 'too-many', next: 0, why: made };
    open = made;
    await countQuarantine(unit, push, limits.quarantineRowBytes);
  } else if (open.row.sealedAt !== null) {
    if (push.start === null || push.start.at < open.row.next) return { kind: 'sealed', next: open.row.next, to: open.row.sealedTo };
    open.row.sealedAt = null;
    open.row.sealedTo = null;
    loseUpTo(memory, pending, open, push.start.at, 'moved', at);
    settle(open, pending);
  } else if (push.start !== null && push.start.at > open.row.next) {
    // It went elsewhere without our sending it, because its lease here had ended: what lies between is there, and must not come twice.
    loseUpTo(memory, pending, open, push.start.at, 'moved', at);
  }
  const { row } = open;
  row.lastAt = Math.max(row.lastAt, at);
  const number = row.number;
  let lost = 0;
  if (push.gap !== null) {
    if (push.gap.from > row.next) return claim(open, pending, Math.max(push.gap.from, offset));
    lost = loseUpTo(memory, pending, open, push.gap.to, push.gap.reason, at);
    if (lost > 0) await countQuarantine(unit, push, limits.quarantineRowBytes);
  }
  if (offset > row.next) return claim(open, pending, offset);
  const known = Math.min(bytes.length, row.next - offset);
  if (known > 0 && !(await isSame(unit, pending, number, offset, bytes.subarray(0, known)))) {
    row.conflicts += 1;
    settle(open, pending);
    return { kind: 'conflict', next: row.next, epochNumber: number };
  }
  row.batches += 1;
  if (known > 0) row.repeats += 1;
  const fresh = bytes.subarray(known);
  const { records, alerts } = fresh.length > 0 ? append(memory, pending, open, fresh, at, push.alerts) : { records: 0, alerts: 0 };
  if (fresh.length > 0) await countQuarantine(unit, push, fresh.length);
  const madeGood = row.claimed !== null && row.next >= row.claimed;
  if (madeGood) row.claimed = null;
  settle(open, pending);
  return { kind: 'stored', next: row.next, repeat: known > 0, epochNumber: number, records, alerts, lost, madeGood, unframed: row.unframed };
}

/** The device is ahead of us: kept, so that it is seen until it is made good. */
function claim(open: Open, pending: Pending, offset: number): PushOutcome {
  const { row } = open;
  const first = row.claimed === null;
  if (first || row.claimed! < offset) row.claimed = offset;
  settle(open, pending);
  return { kind: 'gap', next: row.next, first, epochNumber: row.number };
}

/** Epochs and gaps count as well as bytes: they are rows, of which a stranger could make any number with empty batches. */
async function countQuarantine(unit: Unit, push: Push, bytes: number): Promise<void> {
  if (push.quarantineMax !== null) await unit.db.updateTable('waitingDevice').set((sql) => ({ bytes: sql('bytes', '+', bytes) })).where('id', '=', push.deviceId).execute();
}

async function lookAtQuarantine(unit: Unit, push: Push, next: number): Promise<PushOutcome | null> {
  if (push.quarantineMax === null) return null;
  const waiting = await unit.db.selectFrom('waitingDevice').select('bytes').where('id', '=', push.deviceId).executeTakeFirst();
  if (!waiting) return { kind: 'gone', next };
  return waiting.bytes >= push.quarantineMax || waiting.bytes + push.bytes.length > push.quarantineMax ? { kind: 'full', next } : null;
}

async function takeKeyed(unit: Unit, memory: Memory, pending: Pending, push: KeyedPush): Promise<KeyedOutcome> {
  await pending.bulk.flush();
  const { deviceId, feed, at } = push;
  const found = await unit.db
    .selectFrom('feedEpoch')
    .innerJoin('feed', 'feed.id', 'feedEpoch.feedId')
    .select(['feedEpoch.epoch', 'feedEpoch.feedId'])
    .where('feed.deviceId', '=', deviceId)
    .where('feed.name', '=', feed)
    .where('feedEpoch.kind', '=', 'keyed')
    .orderBy('feedEpoch.number', 'desc')
    .executeTakeFirst();
  if (found && push.keyDigest !== null) {
    const known = await unit.db.selectFrom('intakeKey').selectAll().where('feedId', '=', found.feedId).where('keyDigest', '=', push.keyDigest).executeTakeFirst();
    if (known) {
      if (known.bodyDigest !== push.bodyDigest) return { kind: 'reused', at: known.off };
      const repeated = await findOpen(unit, memory, pending, placeOf(deviceId, feed, found.epoch), deviceId, feed, found.epoch);
      if (repeated !== null) {
        repeated.row.batches += 1;
        repeated.row.repeats += 1;
        repeated.row.lastAt = Math.max(repeated.row.lastAt, at);
        settle(repeated, pending);
      }
      return { kind: 'repeat', at: known.off, epochNumber: known.epoch, alerts: 0 };
    }
  }
  const epoch = found?.epoch ?? push.newEpoch;
  const place = placeOf(deviceId, feed, epoch);
  let open = await findOpen(unit, memory, pending, place, deviceId, feed, epoch);
  if (open === null) {
    const made = await openEpoch(unit, memory, pending, place, { ...push, epoch, kind: 'keyed', start: 0 });
    if (typeof made === 'string') return { kind: 'too-many', why: made };
    open = made;
  }
  const { row } = open;
  const off = row.next;
  let bytes = push.bytes;
  // Two messages are never one line.
  if (row.format === 'lines' && bytes.length > 0 && bytes[bytes.length - 1] !== 10) bytes = Buffer.concat([bytes, Buffer.from('\n')]);
  const { alerts } = bytes.length > 0 ? append(memory, pending, open, bytes, at, push.alerts) : { alerts: 0 };
  row.batches += 1;
  row.lastAt = Math.max(row.lastAt, at);
  settle(open, pending);
  if (push.keyDigest !== null) await unit.db.insertInto('intakeKey').values({ feedId: row.feedId, keyDigest: push.keyDigest, bodyDigest: push.bodyDigest, epoch: row.number, off, at }).execute();
  return { kind: 'stored', at: off, epochNumber: row.number, alerts };
}

async function writeOut(pending: Pending): Promise<void> {
  for (const { row } of pending.touched) pending.bulk.epoch(row);
  await pending.bulk.flush();
}

export const intakeWrites = {
  async intake(unit: Unit, packed: PackedPushes): Promise<PackedOutcomes> {
    const { memory, done } = begin(unit);
    const pending: Pending = { bulk: buildBulk(unit), touched: new Set() };
    const outcomes: PushOutcome[] = [];
    for (const push of unpackPushes(packed)) outcomes.push(await take(unit, memory, pending, push));
    await writeOut(pending);
    done();
    return packOutcomes(outcomes);
  },

  async intakeKeyed(unit: Unit, pushes: readonly KeyedPush[]): Promise<readonly KeyedOutcome[]> {
    const { memory, done } = begin(unit);
    const pending: Pending = { bulk: buildBulk(unit), touched: new Set() };
    const outcomes: KeyedOutcome[] = [];
    for (const push of pushes) {
      outcomes.push(await takeKeyed(unit, memory, pending, push));
      // Another with the same key may follow in the same operation, and looks in the table.
      await writeOut(pending);
    }
    done();
    return outcomes;
  },

  async sealEpochs(unit: Unit, deviceId: Id, to: string, at: number): Promise<readonly SealedEpoch[]> {
    const { memory, done } = begin(unit);
    const open = await unit.db
      .selectFrom('feedEpoch')
      .innerJoin('feed', 'feed.id', 'feedEpoch.feedId')
      .select(['feedEpoch.number', 'feedEpoch.epoch', 'feedEpoch.next', 'feed.name'])
      .where('feed.deviceId', '=', deviceId)
      .where('feedEpoch.kind', '=', 'offset')
      .where('feedEpoch.sealedAt', 'is', null)
      .orderBy('feedEpoch.number')
      .execute();
    for (const { number, epoch, name } of open) {
      await unit.db.updateTable('feedEpoch').set({ sealedAt: at, sealedTo: to }).where('number', '=', number).execute();
      const known = memory.open.get(placeOf(deviceId, name, epoch));
      if (known) {
        known.row.sealedAt = at;
        known.row.sealedTo = to;
      }
    }
    done();
    return open.map(({ name, epoch, next }) => ({ feed: name, epoch, next }));
  },

  async settleAlerts(unit: Unit, settled: readonly Pick<FeedAlert, 'id' | 'tries' | 'dueAt' | 'doneAt' | 'why'>[]): Promise<void> {
    for (const { id, ...changed } of settled) await unit.db.updateTable('feedAlert').set(changed).where('id', '=', id).execute();
  },

  async noteDevices(unit: Unit, notes: readonly DeviceNote[]): Promise<void> {
    for (const note of notes) {
      const stored = storeDeviceNote(note);
      await unit.db
        .insertInto('deviceNote')
        .values(stored)
        .onConflict((on) => on.column('deviceId').doUpdateSet(stored))
        .execute();
    }
  },

  async removeFeed(unit: Unit, feedId: Id, audit: AuditEntry): Promise<void> {
    const { memory, done } = begin(unit);
    mustTouch(await unit.db.deleteFrom('feed').where('id', '=', feedId).executeTakeFirst(), `feed ${feedId}`);
    memory.open.clear();
    memory.heldBytes = 0;
    await appendAudit(unit, audit);
    done();
  },
};

/** For whoever changes epochs by another way (retention): what this thread remembers of them is no longer true. */
export function forgetEpochs(unit: Unit): void {
  unit.state = { ...unit.state, intakeTurn: 0 };
}
