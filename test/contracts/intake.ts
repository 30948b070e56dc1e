// What every store must do with what devices bring: each byte once, whatever is repeated, cut, declared lost or failed.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import type { Id } from '#base/ids.ts';
import type { KeyedPush, Push, PushOutcome } from '#model/intake.ts';
import type { Operations } from '#model/operations.ts';
import { newId, rowsFor } from './store.ts';

const at = 1_800_000_000_000;
export const randomEpoch = () => randomBytes(8).toString('hex');

export interface Pusher {
  readonly deviceId: Id;
  push(offset: number, bytes: string | Uint8Array, more?: Partial<Push>): Push;
  send(offset: number, bytes: string | Uint8Array, more?: Partial<Push>): Promise<PushOutcome>;
}

/** A device with one epoch of one feed. */
export async function pusherOn(store: Operations, feed = 'cdr', epoch = randomEpoch(), deviceId: Id = newId()): Promise<Pusher> {
  const { customerId } = await rowsFor(store);
  const push: Pusher['push'] = (offset, bytes, more) => ({
    customerId, deviceId, serial: 'SN1', feed, epoch, offset, bytes: typeof bytes === 'string' ? Buffer.from(bytes) : bytes, format: 'lines', gap: null, start: null, at, alerts: [], quarantineMax: null, ...more,
  });
  return { deviceId, push, send: async (offset, bytes, more) => (await store.intake([push(offset, bytes, more)]))[0]! };
}

/** All that is stored of an epoch, with its gaps as `[from-to]`. */
export async function wholeOf(store: Operations, number: number): Promise<string> {
  let text = '';
  let next: number | null = null;
  for (let from = 0; ; ) {
    const { chunks, gaps, atEnd } = await store.readChunks(number, from, 64 * 1024);
    const parts = [...chunks.map((chunk) => ({ off: chunk.off, end: chunk.off + chunk.body.length, text: Buffer.from(chunk.body).toString('latin1') })), ...gaps.map((gap) => ({ off: gap.fromOff, end: gap.toOff, text: `[${gap.fromOff}-${gap.toOff} ${gap.reason}]` }))].sort((a, b) => a.off - b.off);
    for (const part of parts) {
      if (next !== null && part.off < next) continue;
      assert.ok(next === null || part.off === next, `a hole at ${next}`);
      text += part.text;
      next = part.end;
    }
    if (atEnd) return text;
    from = next!;
  }
}

const stored = (next: number, more: object = {}) => ({ kind: 'stored', next, repeat: false, ...more });
const like = (outcome: PushOutcome, wanted: object) => assert.deepEqual(Object.fromEntries(Object.keys(wanted).map((key) => [key, (outcome as unknown as Record<string, unknown>)[key]])), wanted);

export function intakeContract(name: string, open: () => Promise<Operations>): void {
  suite(`the intake of ${name}`, () => {
    test('every row of the table', async () => {
      await using store = closing(await open());
      const device = await pusherOn(store.it);
      like(await device.send(0, 'one\ntw'), stored(6, { records: 1, lost: 0 }));
      like(await device.send(6, 'o\n'), stored(8, { records: 1 }));
      // All of it known; a part of it; nothing at all.
      like(await device.send(0, 'one\ntw'), stored(8, { repeat: true, records: 0 }));
      like(await device.send(4, 'two\nthree\n'), stored(14, { repeat: true, records: 1 }));
      like(await device.send(14, ''), stored(14, { repeat: false }));
      like(await device.send(20, 'x'), { kind: 'gap', next: 14, first: true });
      like(await device.send(20, 'x'), { kind: 'gap', next: 14, first: false });
      like(await device.send(0, 'ONE\n'), { kind: 'conflict', next: 14 });
      like(await device.send(12, 'XXXX'), { kind: 'conflict', next: 14 });
      like(await device.send(30, 'x', { gap: { from: 16, to: 30, reason: 'wrap' } }), { kind: 'gap', next: 14 });
      like(await device.send(30, 'four\n', { gap: { from: 14, to: 30, reason: 'wrap' } }), stored(35, { lost: 16, madeGood: true }));
      // The same again: the gap is known, and so are the bytes.
      like(await device.send(30, 'four\n', { gap: { from: 14, to: 30, reason: 'wrap' } }), stored(35, { lost: 0, repeat: true }));
      // Over the gap: what is stored on both sides is compared, what is lost cannot be.
      like(await device.send(10, 'ree\nanything is good'.slice(0, 20) + 'four\n'), stored(35, { repeat: true }));
      const [feed] = await store.it.listFeeds({ deviceId: device.deviceId, limit: 10 });
      const epoch = feed!.epochs[0]!;
      assert.equal(await wholeOf(store.it, epoch.number), 'one\ntwo\nthree\n[14-30 wrap]four\n');
      assert.deepEqual({ next: epoch.next, boundary: epoch.boundary, records: epoch.records, gaps: epoch.gaps, lostBytes: epoch.lostBytes, conflicts: epoch.conflicts, claimed: epoch.claimed }, { next: 35, boundary: 35, records: 4, gaps: 1, lostBytes: 16, conflicts: 2, claimed: null });
      assert.equal(feed!.bytes, 19);
    });

    test('a new epoch is a new beginning; another server’s begins where that ended', async () => {
      await using store = closing(await open());
      const first = await pusherOn(store.it);
      await first.send(0, 'a\n');
      const second = await pusherOn(store.it, 'cdr', randomEpoch(), first.deviceId);
      like(await second.send(0, 'b\n'), stored(2));
      const moved = await pusherOn(store.it, 'cdr', randomEpoch(), first.deviceId);
      like(await moved.send(1_000, 'c\n', { start: { at: 1_000, from: 'https://in1.example.test/v1/default' } }), stored(1_002, { lost: 0 }));
      // Without a start an unknown epoch begins at 0: what is not declared is missing.
      const behind = await pusherOn(store.it, 'cdr', randomEpoch(), first.deviceId);
      like(await behind.send(500, 'd\n'), { kind: 'gap', next: 0, first: true });
      const [feed] = await store.it.listFeeds({ deviceId: first.deviceId, limit: 10 });
      assert.deepEqual(feed!.epochs.map((each) => [each.start, each.next, each.claimed]), [[0, 0, 500], [1_000, 1_002, null], [0, 2, null], [0, 2, null]]);
    });

    test('sealed: nothing moves until the device comes back', async () => {
      await using store = closing(await open());
      const device = await pusherOn(store.it);
      await device.send(0, 'one\n');
      const keyed = await keyedOn(store.it, device.deviceId);
      await keyed('other\n', 'k1');
      assert.deepEqual((await store.it.sealEpochs(device.deviceId, 'https://in2.example.test/v1/default', at)).map(({ feed, next }) => [feed, next]), [['cdr', 4]]);
      const sealed = { kind: 'sealed', next: 4, to: 'https://in2.example.test/v1/default' };
      like(await device.send(4, 'two\n'), sealed);
      like(await device.send(0, 'one\n'), sealed);
      like(await device.send(4, 'x', { start: { at: 2, from: '' } }), sealed);
      like(await device.send(104, 'two\n', { start: { at: 104, from: 'https://in2.example.test/v1/default' } }), stored(108, { lost: 0 }));
      like(await device.send(108, 'three\n'), stored(114));
      const [feed] = await store.it.listFeeds({ deviceId: device.deviceId, limit: 10 });
      assert.equal(await wholeOf(store.it, feed!.epochs[0]!.number), 'one\n[4-104 moved]two\nthree\n');
      assert.equal(feed!.epochs[0]!.lostBytes, 0, 'what moved is not lost');
    });

    test('many batches in one operation see each other', async () => {
      await using store = closing(await open());
      const a = await pusherOn(store.it);
      const b = await pusherOn(store.it);
      const outcomes = await store.it.intake([a.push(0, 'one\n'), b.push(0, 'x\n'), a.push(4, 'two\n'), a.push(0, 'one\ntwo\n'), a.push(2, 'E\n'), b.push(9, '!'), a.push(8, 'three\n')]);
      assert.deepEqual(outcomes.map((each) => [each.kind, each.next]), [['stored', 4], ['stored', 2], ['stored', 8], ['stored', 8], ['conflict', 8], ['gap', 2], ['stored', 14]]);
    });

    test('alerts: once for each record, whatever is repeated, and also where a record was cut', async () => {
      await using store = closing(await open());
      const device = await pusherOn(store.it);
      const more = { alerts: [{ rule: 'emergency', pattern: '\\b9?911\\b' }, { rule: 'any', pattern: '.' }] };
      like(await device.send(0, 'call 9', more), stored(6, { records: 0, alerts: 0 }));
      like(await device.send(6, '11 now\ncall 20', more), stored(20, { records: 1, alerts: 2 }));
      like(await device.send(0, 'call 911 now\ncall 201\n', more), stored(22, { records: 1, alerts: 1, repeat: true }));
      const due = await store.it.dueAlerts(at, 10);
      assert.deepEqual(due.map(({ rule, off, record }) => [rule, off, record]).sort(), [['any', 0, 'call 911 now'], ['any', 13, 'call 201'], ['emergency', 0, 'call 911 now']]);
      await store.it.settleAlerts(due.map(({ id }) => ({ id, tries: 1, dueAt: at, doneAt: at, why: null })));
      assert.deepEqual(await store.it.dueAlerts(at, 10), []);
      assert.equal((await store.it.listAlerts({ limit: 10 })).length, 3);
    });

    test('searching and browsing make the same records as any split of their bytes', async () => {
      await using store = closing(await open());
      const device = await pusherOn(store.it);
      const lines = Array.from({ length: 500 }, (_, i) => `record ${i} ${'x'.repeat(i % 70)}\n`);
      const bytes = Buffer.from(lines.join(''));
      for (let off = 0, i = 0; off < bytes.length; i++) {
        const end = Math.min(bytes.length, off + 1 + ((i * 37) % 300));
        await device.send(off, bytes.subarray(off, end));
        off = end;
      }
      const [feed] = await store.it.listFeeds({ deviceId: device.deviceId, limit: 10 });
      const { number, records } = feed!.epochs[0]!;
      assert.equal(records, 500);
      const all: string[] = [];
      for (let from = 0; ; ) {
        const page = await store.it.searchRecords({ epoch: number, from, pattern: null, limit: 83 });
        all.push(...page.records.map((each) => `${Buffer.from(each.bytes).toString()}\n`));
        if (page.atEnd) break;
        assert.ok(page.reached > from);
        from = page.reached;
      }
      assert.deepEqual(all, lines);
      const found = await store.it.searchRecords({ epoch: number, from: 0, pattern: ' 49[0-9] ', limit: 100 });
      assert.deepEqual(found.records.map((each) => Buffer.from(each.bytes).toString().slice(0, 10)), Array.from({ length: 10 }, (_, i) => `record 49${i}`));
    });

    test('bodies with a key are stored once, others every time; two messages are never one line', async () => {
      await using store = closing(await open());
      const deviceId = newId();
      const send = await keyedOn(store.it, deviceId);
      assert.deepEqual(await send('one', 'k1'), { kind: 'stored', at: 0 });
      assert.deepEqual(await send('two\n', 'k2'), { kind: 'stored', at: 4 });
      assert.deepEqual(await send('one', 'k1'), { kind: 'repeat', at: 0 });
      assert.deepEqual(await send('other', 'k1'), { kind: 'reused', at: 0 });
      assert.deepEqual(await send('three', null), { kind: 'stored', at: 8 });
      assert.deepEqual(await send('three', null), { kind: 'stored', at: 14 });
      const [feed] = await store.it.listFeeds({ deviceId, limit: 10 });
      assert.equal(feed!.epochs[0]!.kind, 'keyed');
      assert.equal(await wholeOf(store.it, feed!.epochs[0]!.number), 'one\ntwo\nthree\nthree\n');
    });

    test('bytes of every value, large and small, come back as they were', async () => {
      await using store = closing(await open());
      const device = await pusherOn(store.it, 'blob');
      const bytes = Buffer.concat([Buffer.from(Array.from({ length: 256 }, (_, i) => i)), randomBytes(3_000_000)]);
      like(await device.send(0, bytes.subarray(0, 100), { format: 'raw' }), stored(100));
      like(await device.send(100, bytes.subarray(100), { format: 'raw' }), stored(bytes.length));
      like(await device.send(0, bytes, { format: 'raw' }), stored(bytes.length, { repeat: true }));
      const [feed] = await store.it.listFeeds({ deviceId: device.deviceId, limit: 10 });
      assert.equal(await wholeOf(store.it, feed!.epochs[0]!.number), bytes.toString('latin1'));
    });

    test('whatever is sent in whatever order: what is stored is what a model says', async () => {
      await using store = closing(await open());
      const seed = Number(process.env['POSTERN_SEED'] ?? Math.floor(Math.random() * 1e9));
      let state = seed;
      const random = (below: number) => (state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff) % below;
      const devices = await Promise.all(Array.from({ length: 5 }, async (_, i) => ({ pusher: await pusherOn(store.it), source: Buffer.from(Array.from({ length: 4_000 }, (_, j) => (j * 7 + i * 31) % 251)), known: new Map<number, number>(), next: 0, gaps: 0 })));
      for (let run = 0; run < 120; run++) {
        const batch: { push: Push; check: (outcome: PushOutcome) => void }[] = [];
        for (let i = random(6); i >= 0; i--) {
          const device = devices[random(devices.length)]!;
          const offset = Math.max(0, device.next - 40 + random(60));
          const bytes = Buffer.from(device.source.subarray(offset, offset + random(50)));
          const spoil = bytes.length > 0 && random(12) === 0;
          if (spoil) bytes[random(bytes.length)]! ^= 0x55;
          const gap = random(10) === 0 ? { from: Math.max(0, device.next - 5 + random(7)), to: device.next + 3 + random(9), reason: 'wrap' } : null;
          // The model of the page's table.
          let wanted: string;
          if (gap !== null && gap.from > device.next) wanted = 'gap';
          else {
            if (gap !== null && gap.to > device.next) device.next = gap.to;
            const known = Math.min(bytes.length, device.next - offset);
            if (offset > device.next) wanted = 'gap';
            else if (known > 0 && Array.from({ length: known }, (_, j) => device.known.get(offset + j)).some((value, j) => value !== undefined && value !== bytes[j])) wanted = 'conflict';
            else {
              wanted = 'stored';
              for (let j = Math.max(known, 0); j < bytes.length; j++) device.known.set(offset + j, bytes[j]!);
              device.next = Math.max(device.next, offset + bytes.length);
            }
          }
          const next = device.next;
          batch.push({ push: device.pusher.push(offset, bytes, { format: 'fixed:7', gap }), check: (outcome) => assert.deepEqual([outcome.kind, outcome.next], [wanted, next], `seed ${seed}, run ${run}`) });
        }
        const outcomes = await store.it.intake(batch.map(({ push }) => push));
        batch.forEach(({ check }, i) => check(outcomes[i]!));
      }
      for (const device of devices) {
        const [feed] = await store.it.listFeeds({ deviceId: device.pusher.deviceId, limit: 10 });
        if (!feed) continue;
        const { chunks } = await store.it.readChunks(feed.epochs[0]!.number, 0, 1 << 20);
        const found = new Map(chunks.flatMap((chunk) => Array.from(chunk.body, (value, j) => [chunk.off + j, value] as const)));
        assert.deepEqual([...found].sort((a, b) => a[0] - b[0]), [...device.known].sort((a, b) => a[0] - b[0]), `seed ${seed}`);
      }
    });

    test('a failed operation leaves nothing, and what was remembered of it is not believed', async () => {
      await using store = closing(await open());
      const device = await pusherOn(store.it);
      await device.send(0, 'one\n');
      const { customerId } = await rowsFor(store.it);
      // The second breaks a rule of the schema: no such customer.
      await assert.rejects(store.it.intake([device.push(4, 'two\n'), { ...(await pusherOn(store.it)).push(0, 'x\n'), customerId: newId() }]));
      assert.ok(customerId);
      like(await device.send(4, 'TWO\n'), stored(8));
      const [feed] = await store.it.listFeeds({ deviceId: device.deviceId, limit: 10 });
      assert.equal(await wholeOf(store.it, feed!.epochs[0]!.number), 'one\nTWO\n');
    });

    test('a search goes on however small and large the chunks are that a record lies in', async () => {
      await using store = closing(await open());
      const device = await pusherOn(store.it);
      const pieces = [Buffer.from(`${'a'.repeat(99)}\n`.repeat(8_000) + 'begin '), ...Array.from({ length: 5 }, (_, i) => Buffer.from(`${i} `)), Buffer.from('end\n' + `${'b'.repeat(99)}\n`.repeat(8_000))];
      let at = 0;
      for (const piece of pieces) {
        like(await device.send(at, piece), stored(at + piece.length));
        at += piece.length;
      }
      const [feed] = await store.it.listFeeds({ deviceId: device.deviceId, limit: 1 });
      for (const pattern of [null, 'begin|b$']) {
        let count = 0;
        let from = 0;
        for (let atEnd = false, turns = 0; !atEnd; turns++) {
          assert.ok(turns < 200, `it stands at ${from}`);
          const page = await store.it.searchRecords({ epoch: feed!.epochs[0]!.number, from, pattern, limit: 1_000 });
          for (const { off, bytes } of page.records) if (off === 800_000) assert.equal(Buffer.from(bytes).toString(), 'begin 0 1 2 3 4 end');
          count += page.records.length;
          assert.ok(page.reached > from || page.atEnd);
          ({ reached: from, atEnd } = page);
        }
        assert.equal(count, pattern === null ? 16_001 : 8_001);
      }
    });

    test('bytes that cannot be split are passed over by searches, and their feed is named', async () => {
      await using store = closing(await open());
      const device = await pusherOn(store.it, 'meter');
      const u32 = (text: string) => Buffer.concat([Buffer.from([0, 0, 0, text.length]), Buffer.from(text)]);
      const more = { format: 'u32' };
      await device.send(0, u32('one'), more);
      assert.deepEqual((await store.it.listTroubled(10)).filter((each) => each.feed.deviceId === device.deviceId), []);
      // An impossible length; what follows looks like records, and is none.
      await device.send(7, Buffer.concat([Buffer.from([255, 255, 255, 255]), u32('ghost')]), more);
      const [feed] = await store.it.listFeeds({ deviceId: device.deviceId, limit: 10 });
      const { number } = feed!.epochs[0]!;
      assert.deepEqual((await store.it.listTroubled(10)).filter((each) => each.feed.deviceId === device.deviceId).map((each) => [each.number, each.unframed, each.feed.name]), [[number, true, 'meter']]);
      const textsFrom = async (from: number) => {
        const page = await store.it.searchRecords({ epoch: number, from, pattern: null, limit: 10 });
        return [page.records.map(({ bytes }) => Buffer.from(bytes).toString()).join(), page.reached, page.atEnd];
      };
      assert.deepEqual(await textsFrom(0), ['one', 20, true]);
      assert.deepEqual(await textsFrom(11), ['', 20, true], 'nothing behind it is taken for a length');
      await device.send(30, u32('two'), { ...more, gap: { from: 20, to: 30, reason: 'damaged' } });
      assert.deepEqual(await textsFrom(20), ['two', 37, true]);
      assert.deepEqual((await store.it.listTroubled(10)).filter((each) => each.feed.deviceId === device.deviceId), []);
      await device.send(90, 'x', more);
      assert.deepEqual((await store.it.listTroubled(10)).filter((each) => each.feed.deviceId === device.deviceId).map((each) => each.claimed), [90]);
    });

    test('feeds and epochs are bounded', async () => {
      await using store = closing(await open());
      const deviceId = newId();
      for (let i = 0; i < 100; i++) like(await (await pusherOn(store.it, `feed${i}`, randomEpoch(), deviceId)).send(0, 'x'), stored(1));
      like(await (await pusherOn(store.it, 'one-more', randomEpoch(), deviceId)).send(0, 'x'), { kind: 'too-many', next: 0 });
      like(await (await pusherOn(store.it, 'feed7', randomEpoch(), deviceId)).send(0, 'x'), stored(1));
    });
  });
}

async function keyedOn(store: Operations, deviceId: Id): Promise<(body: string, key: string | null) => Promise<{ kind: string; at: number }>> {
  const { customerId } = await rowsFor(store);
  const { createHash } = await import('node:crypto');
  const digest = (text: string) => createHash('sha256').update(text).digest('hex');
  return async (body, key) => {
    const push: KeyedPush = { customerId, deviceId, serial: 'SN1', feed: 'log', newFeedId: newId(), newEpoch: randomEpoch(), format: 'lines', keyDigest: key === null ? null : digest(key), bodyDigest: digest(body), bytes: Buffer.from(body), at, alerts: [] };
    const [outcome] = await store.intakeKeyed([push]);
    assert.ok(outcome && outcome.kind !== 'too-many');
    return { kind: outcome.kind, at: outcome.at };
  };
}

function closing(it: Operations): { it: Operations; [Symbol.asyncDispose](): Promise<void> } {
  return { it, [Symbol.asyncDispose]: () => it.close() };
}
