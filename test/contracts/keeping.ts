// What every store must do when what grows is dropped: the oldest first, in steps, and what is left is as whole as before.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Operations } from '#model/operations.ts';
import { pusherOn } from './intake.ts';
import { newId, rowsFor } from './store.ts';

const at = 1_800_000_000_000;
const dayMs = 24 * 3_600_000;

async function everything(store: Operations, number: number, from: number): Promise<{ off: number; text: string; broken: boolean }[]> {
  const found: { off: number; text: string; broken: boolean }[] = [];
  for (let next = from; ; ) {
    const page = await store.searchRecords({ epoch: number, from: next, pattern: null, limit: 500 });
    found.push(...page.records.map(({ off, bytes, broken }) => ({ off, text: Buffer.from(bytes).toString('latin1'), broken })));
    if (page.atEnd || page.reached === next) return found;
    next = page.reached;
  }
}

/** As retention does it. */
async function drop(store: Operations, epoch: number, before: number, below: number, sinks: readonly string[] = []): Promise<{ first: number; held: boolean }> {
  for (let rounds = 0; rounds < 1_000; rounds += 1) {
    const plan = await store.planDrop({ epoch, before, below, sinks });
    while ((await store.dropChunks(epoch, plan.first, 3)).more);
    if (!plan.more) return plan;
  }
  return assert.fail('it has no end');
}

export function keepingContract(name: string, open: () => Promise<Operations>): void {
  const contract = (title: string, run: (store: Operations) => Promise<void>) =>
    test(title, async () => {
      const store = await open();
      try {
        await run(store);
      } finally {
        await store.close();
      }
    });

  suite(`dropping what is old: ${name}`, () => {
    contract('an audit that was cut off says where it begins, and is whole from there', async (store) => {
      const rows = await rowsFor(store);
      await store.addAudit(Array.from({ length: 300 }, (_, i) => rows.audit(`line.${i + 1}`, { at: at + i })));
      assert.deepEqual(await store.verifyAudit(), { lines: 300, brokenAt: null, why: null });
      assert.deepEqual(await store.dropAudit(at, 0, 50), { dropped: 0, anchor: null });
      const first = await store.dropAudit(at + 60, 0, 50);
      assert.deepEqual([first.dropped, first.anchor?.seq], [50, 50]);
      assert.equal((await store.dropAudit(at + 60, 0, 50)).dropped, 10);
      assert.equal((await store.dropAudit(at + 60, 0, 50)).dropped, 0);
      assert.deepEqual(await store.verifyAudit(), { lines: 240, brokenAt: null, why: null, droppedThrough: 60 });
      // By number, whatever the age; and the end stays in any case.
      assert.equal((await store.dropAudit(0, 70, 500)).dropped, 10);
      assert.equal((await store.dropAudit(at + 1_000_000, 0, 500)).dropped, 130);
      assert.deepEqual(await store.verifyAudit(), { lines: 100, brokenAt: null, why: null, droppedThrough: 200 });
      await store.addAudit([rows.audit('more')]);
      assert.deepEqual(await store.verifyAudit(), { lines: 101, brokenAt: null, why: null, droppedThrough: 200 });
      assert.equal((await store.listAudit({ limit: 500 })).at(-1)?.seq, 201);
    });

    contract('a line that is younger than one behind it holds those behind it back', async (store) => {
      const rows = await rowsFor(store);
      const times = [0, 1, 50, 2, 3];
      await store.addAudit(Array.from({ length: 200 }, (_, i) => rows.audit('line', { at: at + (times[i] ?? 100) })));
      assert.equal((await store.dropAudit(at + 10, 0, 500)).dropped, 2);
      assert.equal((await store.verifyAudit()).brokenAt, null);
    });

    contract('an audit of too many bytes loses its oldest lines', async (store) => {
      const rows = await rowsFor(store);
      await store.addAudit(Array.from({ length: 400 }, () => rows.audit('line', { detail: { text: 'x'.repeat(500) } })));
      const { audit } = await store.keptFigures();
      assert.equal(audit.count, 400);
      assert.ok(audit.bytes! > 400 * 500 && audit.bytes! < 400 * 2_000, `${audit.bytes}`);
      assert.equal(await store.auditBeyond(audit.bytes!), 0);
      const through = await store.auditBeyond(audit.bytes! / 2);
      assert.equal(through, 200);
      assert.equal((await store.dropAudit(0, through, 1_000)).dropped, 200);
      const left = (await store.keptFigures()).audit;
      assert.deepEqual([left.count, left.oldestAt], [200, at]);
    });

    contract('visits go by age and by number; one that lasts never does', async (store) => {
      const rows = await rowsFor(store);
      const visits = Array.from({ length: 20 }, (_, i) => rows.visit({ openedAt: at + i * dayMs }));
      for (const [i, visit] of visits.entries()) {
        await store.openVisit(visit, rows.audit('visit.opened'));
        if (i !== 2) await store.closeVisits([{ visit: { ...visit, closedAt: visit.openedAt + 5 }, audit: rows.audit('visit.closed') }]);
      }
      assert.equal(await store.dropVisits(at + 5 * dayMs, 1_000, 3), 3);
      assert.equal(await store.dropVisits(at + 5 * dayMs, 1_000, 3), 1);
      assert.equal(await store.dropVisits(at + 5 * dayMs, 1_000, 3), 0);
      assert.equal(await store.dropVisits(0, 10, 100), 6);
      const left = await store.listVisits({ limit: 100 });
      assert.deepEqual(left.map(({ id }) => visits.findIndex((each) => each.id === id)).reverse(), [2, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
      assert.equal((await store.keptFigures()).visits.count, 10);
      assert.equal((await store.check()).visitsDropped, 10);
    });

    contract('records go in whole chunks, from record to record, and what is left reads as before', async (store) => {
      const device = await pusherOn(store);
      // Chunks end in the middle of records.
      const pieces = ['one\ntw', 'o\nthr', 'ee\n', 'four\nfi', 've\nsix\n'];
      let next = 0;
      for (const [i, piece] of pieces.entries()) {
        const outcome = await device.send(next, piece, { at: at + i * dayMs });
        next = outcome.next;
      }
      const [feed] = await store.listFeeds({ deviceId: device.deviceId, limit: 10 });
      const { number } = feed!.epochs[0]!;
      assert.equal((await drop(store, number, at, 0)).first, 0, 'nothing is that old');
      // The first two chunks are old; `three` begins in the second and ends in the third.
      assert.equal((await drop(store, number, at + 2 * dayMs, 0)).first, 8);
      const left = () => everything(store, number, 0).then((records) => records.map(({ text }) => text));
      assert.deepEqual(await left(), ['three', 'four', 'five', 'six']);
      assert.deepEqual((await store.readChunks(number, 0, 1_000)).chunks.map(({ off }) => off), [6, 11, 14, 21]);
      assert.equal((await store.readEpoch(number))!.first, 8);
      // By bytes: all that ends at or before 21.
      assert.equal((await drop(store, number, 0, 21)).first, 19);
      assert.deepEqual(await left(), ['five', 'six']);
      // The device repeats what is dropped here: it was stored once, and is not stored again.
      const again = await device.send(0, pieces.join(''));
      assert.deepEqual([again.kind, again.next], ['stored', next]);
      assert.deepEqual(await left(), ['five', 'six']);
      assert.equal((await drop(store, number, at + 100 * dayMs, 0)).first, next);
      assert.deepEqual(await left(), []);
      const more = await device.send(next, 'seven\n', { at: at + 200 * dayMs });
      assert.deepEqual([more.kind, more.next], ['stored', next + 6]);
      assert.deepEqual(await left(), ['seven']);
      const { records } = await store.keptFigures();
      assert.deepEqual(records, { count: 7, oldestAt: at + 200 * dayMs, bytes: 6 });
    });

    contract('any records, cut anywhere, dropped anywhere: what is found is the rest of them (seed 41)', async (store) => {
      let seed = 41;
      const random = (below: number) => {
        seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
        return Math.floor((seed / 2 ** 32) * below);
      };
      for (const format of ['lines', 'u16', 'fixed:7', 'raw'] as const) {
        const device = await pusherOn(store, format);
        const records = Array.from({ length: 120 }, () => 'x'.repeat(format === 'fixed:7' ? 7 : 1 + random(40)));
        const bytes = Buffer.concat(records.map((text) => {
          if (format !== 'u16') return Buffer.from(format === 'lines' ? `${text}\n` : text);
          const framed = Buffer.alloc(2 + text.length, text);
          framed.writeUInt16BE(text.length);
          return framed;
        }));
        for (let off = 0; off < bytes.length; ) {
          const size = 1 + random(60);
          await device.send(off, bytes.subarray(off, off + size), { format, at: at + off });
          off = Math.min(bytes.length, off + size);
        }
        const [feed] = (await store.listFeeds({ deviceId: device.deviceId, limit: 10 })).filter((each) => each.feed.name === format);
        const { number } = feed!.epochs[0]!;
        const all = await everything(store, number, 0);
        let first = 0;
        for (let round = 0; round < 12; round += 1) {
          const below = random(bytes.length + 1);
          first = (await drop(store, number, 0, below)).first;
          const epoch = (await store.readEpoch(number))!;
          assert.equal(epoch.first, first);
          const { chunks } = await store.readChunks(number, 0, 1_000_000);
          for (const chunk of chunks) assert.ok(chunk.off + chunk.body.length > first, 'what could go is gone');
          assert.deepEqual(await everything(store, number, 0), all.filter(({ off }) => off >= first), `${format}, round ${round}, from ${first}`);
        }
        if (format !== 'raw') assert.ok(first > 0);
      }
    });

    contract('gaps, alerts and keys of what is dropped go after it', async (store) => {
      const device = await pusherOn(store);
      await device.send(0, 'one\n');
      await device.send(100, 'alarm\n', { gap: { from: 4, to: 100, reason: 'wrap' }, alerts: [{ rule: 'alarm', pattern: 'alarm' }] });
      await device.send(200, 'two\n', { gap: { from: 106, to: 200, reason: 'wrap' }, at: at + dayMs });
      const [feed] = await store.listFeeds({ deviceId: device.deviceId, limit: 10 });
      const { number } = feed!.epochs[0]!;
      assert.equal(await store.dropGaps(at + 9 * dayMs, 100), 0, 'the bytes around them are still here');
      await drop(store, number, at + 1, 0);
      const epoch = (await store.readEpoch(number))!;
      assert.equal(epoch.first, 106);
      assert.equal(await store.dropGaps(at, 100), 0);
      assert.equal(await store.dropGaps(at + 9 * dayMs, 100), 1);
      assert.deepEqual((await store.listGaps(feed!.feed.id, 10)).map(({ fromOff }) => fromOff), [106]);
      assert.deepEqual((await everything(store, number, 0)).map(({ text }) => text), ['two']);

      const [alert] = await store.listAlerts({ limit: 10 });
      assert.equal(await store.dropAlerts(at + 9 * dayMs, 100), 0, 'it is not done yet');
      await store.settleAlerts([{ ...alert!, doneAt: at + 5 }]);
      assert.equal(await store.dropAlerts(at + 5, 100), 0);
      assert.equal(await store.dropAlerts(at + 6, 100), 1);

      const { customerId } = await rowsFor(store);
      const keyed = (keyDigest: string, more: { at: number }) => ({ customerId, deviceId: device.deviceId, serial: 'SN1', feed: 'keyed', newFeedId: newId(), newEpoch: '00000000000000aa', format: 'lines', keyDigest, bodyDigest: 'b', bytes: Buffer.from('x\n'), alerts: [], ...more });
      await store.intakeKeyed([keyed('a', { at }), keyed('b', { at: at + 1 }), keyed('c', { at: at + 2 })]);
      assert.equal((await store.keptFigures()).keys.count, 3);
      assert.equal(await store.dropIntakeKeys(at + 2, 1), 1);
      assert.equal(await store.dropIntakeKeys(at + 2, 10), 1);
      assert.deepEqual((await store.keptFigures()).keys, { count: 1, oldestAt: at + 2, bytes: null });
    });

    contract('epochs that hold something are listed feed by feed, the newest first', async (store) => {
      const deviceId = newId();
      for (const feed of ['a', 'b']) for (const epoch of ['0000000000000001', '0000000000000002']) await (await pusherOn(store, feed, epoch, deviceId)).send(0, `${feed}\n`);
      const seen: string[] = [];
      let after: { feedId: string; number: number } | null = null;
      for (;;) {
        const page: Awaited<ReturnType<Operations['keptEpochs']>> = await store.keptEpochs(after, 1);
        const [last] = page;
        if (!last) break;
        seen.push(`${last.name}${last.number}`);
        after = { feedId: last.feedId, number: last.number };
      }
      assert.deepEqual(seen, ['a2', 'a1', 'b4', 'b3']);
      await drop(store, 2, 0, 2);
      assert.deepEqual((await store.keptEpochs(null, 10)).map(({ number }) => number), [1, 4, 3]);
      const room = await store.storeRoom();
      assert.ok(room.bytes > 0 && room.reusableBytes >= 0);
      await store.noteNumbers({ 'a number': 5, other: 7 });
      await store.noteNumbers({ 'a number': 6 });
      assert.deepEqual(await store.readNumbers(['a number', 'none']), { 'a number': 6 });
    });
  });
}
