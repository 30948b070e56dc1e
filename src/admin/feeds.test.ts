import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Push } from '#model/intake.ts';
import type { Device } from '#model/rows.ts';
import { eventually, startAdminRoom, type Caller } from '../../test/kit/admin-room.ts';

const room = await startAdminRoom();
after(() => room.close());
const owner = await room.owner();
const lobby = await room.device('Lobby', { serial: 'SN1' });
const roof = await room.device('Roof', { serial: 'SN2' });
const epochA = '00000000000000aa';
const epochB = '00000000000000bb';

async function bring(device: Pick<Device, 'id' | 'customerId' | 'serial'>, offset: number, bytes: string | Uint8Array, more: Partial<Push> = {}) {
  const [outcome] = await room.operations.intake([
    { customerId: device.customerId, deviceId: device.id, serial: device.serial!, feed: 'cdr', epoch: epochA, offset, bytes: Buffer.from(bytes as string), format: 'lines', gap: null, start: null, at: room.clock.nowMs(), alerts: [], quarantineMax: null, ...more },
  ]);
  return outcome!;
}
const feedOf = async (device: Device, name = 'cdr') => (await owner.call('listFeeds', { query: { deviceId: device.id } })).items.find((each) => each.name === name)!;
const bytesOf = async (caller: Caller, id: string, query = '') => caller.ask({ path: `/api/v1/feeds/${id}/bytes${query}`, headers: { cookie: `__Host-postern=${caller.cookie}` } });

await bring(lobby, 0, 'one\ntwo\nthr');
await bring(lobby, 11, 'ee\nfour\n');
await bring(lobby, 30, 'five\n', { gap: { from: 19, to: 30, reason: 'wrap' } });
await bring(roof, 0, Buffer.from([0, 2, 0xff, 0xfe, 0, 2, 0x68, 0x69, 0, 9]), { feed: 'meter', epoch: epochB, format: 'u16' });

test('feeds are listed with what they hold, what their device says, and how fast they grow', async () => {
  room.tables.deviceNotes.publish({ put: [{ deviceId: lobby.id, customerId: lobby.customerId, lastSeenAt: 1, lastPushAt: 2, lastCheckInAt: 3, from: '192.0.2.7', fw: '1.2', hw: 'B', up: 9, clockSkewMs: -1_500, zone: 'Europe/Berlin', pins: [`sha256//${'A'.repeat(43)}=`], facts: { 'feed.cdr': `${epochA}:35:700:11`, name: 'Lobby' } }] });
  room.feeds.note({ customerId: lobby.customerId, deviceId: lobby.id, feed: 'cdr', news: ['data'] }, 300);
  const feed = await feedOf(lobby);
  assert.deepEqual(
    [feed.serial, feed.device, feed.waiting, feed.bytes, feed.records, feed.batches, feed.gaps, feed.behindBytes, feed.unframed, feed.mayRemove],
    ['SN1', { name: 'Lobby', label: 'lobby' }, false, 24, 5, 3, 1, 0, false, true],
  );
  assert.deepEqual([feed.epoch?.epoch, feed.epoch?.next, feed.epoch?.lostBytes, feed.epoch?.format], [epochA, 35, 11, 'lines']);
  assert.deepEqual(feed.said, { epoch: epochA, next: 35, pendingBytes: 700, lostBytes: 11, at: 3 });
  assert.deepEqual(feed.rate, { batchesPerMinute: 1, bytesPerMinute: 300 });
  assert.deepEqual(feed.recentBytes.filter((each) => each > 0), [300]);
  const meter = await feedOf(roof, 'meter');
  assert.deepEqual([meter.said, meter.rate.batchesPerMinute, meter.records], [null, 0, 2]);
  assert.deepEqual((await owner.call('getFeed', { params: { feed: feed.id } })).epochs.map(({ epoch, repeats }) => [epoch, repeats]), [[epochA, 0]]);
  const names = async (query: object) => (await owner.call('listFeeds', { query })).items.map(({ serial, name }) => `${serial}/${name}`);
  assert.deepEqual(await names({}), ['SN1/cdr', 'SN2/meter']);
  assert.deepEqual([await names({ search: 'ROOF' }), await names({ search: 'cdr' }), await names({ search: 'lobby/cdr' }), await names({ search: 'nothing' })], [['SN2/meter'], ['SN1/cdr'], ['SN1/cdr'], []]);
  const first = await owner.call('listFeeds', { query: { limit: 1 } });
  assert.deepEqual([first.items.map((each) => each.serial), await names({ limit: 1, cursor: first.next! })], [['SN1'], ['SN2/meter']]);
  assert.equal((await owner.call('listFeeds', { query: { limit: 1, cursor: first.next! } })).next, null);
  assert.equal((await owner.refused('listFeeds', { query: { cursor: 'x' } })).status, 400);
});

test('records come in order with the gaps between them, each once, however small the pages are', async () => {
  const { id } = await feedOf(lobby);
  const read = async (query: object) => owner.call('searchRecords', { params: { feed: id }, query });
  const told = (items: Awaited<ReturnType<typeof read>>['items']) => items.map((item) => (item.kind === 'gap' ? `[${item.from}-${item.to} ${item.reason}]` : `${item.off} ${item.text}`));
  const whole = ['0 one', '4 two', '8 three', '14 four', '[19-30 wrap]', '30 five'];
  const all = await read({});
  assert.deepEqual([told(all.items), all.reached, all.atEnd, all.format], [whole, 35, true, 'lines']);
  for (const limit of [1, 2, 3]) {
    const seen: string[] = [];
    for (let from = 0, atEnd = false; !atEnd; ) {
      const page = await read({ from, limit });
      seen.push(...told(page.items));
      ({ reached: from, atEnd } = page);
    }
    assert.deepEqual(seen, whole, `pages of ${limit}`);
  }
  assert.deepEqual(told((await read({ pattern: '^t' })).items), ['4 two', '8 three', '[19-30 wrap]']);
  assert.deepEqual(told((await read({ last: 2 })).items), ['14 four', '[19-30 wrap]', '30 five']);
  assert.deepEqual(told((await read({ last: 500 })).items), whole);
  assert.deepEqual(told((await read({ from: 35 })).items), []);
  assert.equal((await owner.refused('searchRecords', { params: { feed: id }, query: { pattern: '(' } })).status, 400);
  assert.equal((await owner.refused('searchRecords', { params: { feed: id }, query: { from: 1, last: 1 } })).status, 400);
  assert.equal((await owner.refused('searchRecords', { params: { feed: id }, query: { epoch: epochB } })).status, 404);
});

test('a search goes on over many reads of the store, and each record is found once', async () => {
  const line = (i: number) => `call ${i} ${'x'.repeat(190)} ${i % 5_000 === 4_999 ? 'needle' : 'hay'}\n`;
  const text = Array.from({ length: 15_000 }, (_, i) => line(i)).join('');
  for (let at = 0; at < text.length; at += 700_000) await bring(lobby, at, text.slice(at, at + 700_000), { feed: 'long' });
  const { id } = await feedOf(lobby, 'long');
  const found = await owner.call('searchRecords', { params: { feed: id }, query: { pattern: 'needle' } });
  assert.deepEqual([found.items.map((item) => item.kind === 'record' && item.text?.split(' ', 2)[1]), found.atEnd, found.reached], [['4999', '9999', '14999'], true, text.length]);
  let from = 0;
  let seen = 0;
  for (let atEnd = false, pages = 0; !atEnd; pages++) {
    assert.ok(pages < 100);
    const page = await owner.call('searchRecords', { params: { feed: id }, query: { from, limit: 500 } });
    for (const item of page.items) if (item.kind === 'record') assert.equal(item.text, line(seen++).trimEnd());
    ({ reached: from, atEnd } = page);
  }
  assert.equal(seen, 15_000);
  assert.deepEqual((await owner.call('searchRecords', { params: { feed: id }, query: { last: 2 } })).items.map((item) => item.kind === 'record' && item.text?.split(' ', 2)[1]), ['14998', '14999']);
  await owner.call('removeFeed', { params: { feed: id } });
});

test('bytes that are no text are shown as hex; what is long is cut between characters', async () => {
  const { id } = await feedOf(roof, 'meter');
  const { items } = await owner.call('searchRecords', { params: { feed: id } });
  assert.deepEqual(items.map((item) => item.kind === 'record' && [item.text, item.hex, item.bytes]), [[null, 'fffe', 2], ['hi', null, 2]]);
  await bring(roof, 0, Buffer.from(`${'a'.repeat(65_535)}ü${'b'.repeat(70_000)}`), { feed: 'blob', format: 'raw' });
  const blob = await owner.call('searchRecords', { params: { feed: (await feedOf(roof, 'blob')).id } });
  const [item] = blob.items;
  assert.ok(item?.kind === 'record');
  assert.deepEqual([item.cut, item.bytes, item.text?.length, item.hex, blob.atEnd], [true, 135_537, 65_535, null, true]);
});

test('bytes are handed out as they came, up to a gap, and never as a page', async () => {
  const { id } = await feedOf(lobby);
  const first = await bytesOf(owner, id);
  assert.deepEqual([first.status, first.text, first.headers['postern-from'], first.headers['postern-next'], first.headers['postern-end']], [200, 'one\ntwo\nthree\nfour\n', '0', '19', '0']);
  assert.equal(first.headers['content-type'], 'application/octet-stream');
  assert.equal(first.headers['content-disposition'], `attachment; filename="cdr-${epochA}-0.bin"`);
  assert.match(String(first.headers['content-security-policy']), /^sandbox;/);
  assert.deepEqual([first.headers['x-content-type-options'], first.headers['cross-origin-resource-policy']], ['nosniff', 'same-origin']);
  const second = await bytesOf(owner, id, '?from=19');
  assert.deepEqual([second.text, second.headers['postern-from'], second.headers['postern-next'], second.headers['postern-end']], ['five\n', '30', '35', '1']);
  const part = await bytesOf(owner, id, `?from=4&to=8&epoch=${epochA}`);
  assert.deepEqual([part.text, part.headers['postern-next'], part.headers['postern-end']], ['two\n', '8', '1']);
  const end = await bytesOf(owner, id, '?from=35');
  assert.deepEqual([end.text, end.headers['postern-next'], end.headers['postern-end']], ['', '35', '1']);
  assert.equal((await bytesOf(owner, id, '?from=-1')).status, 400);
});

test('gaps, and what a gateway is behind, are told', async () => {
  const { id } = await feedOf(lobby);
  assert.deepEqual((await owner.call('listGaps', { params: { feed: id } })).items.map(({ epoch, from, to, reason }) => [epoch, from, to, reason]), [[epochA, 19, 30, 'wrap']]);
  await bring(lobby, 0, 'x\n', { feed: 'log' });
  assert.equal((await bring(lobby, 90, 'y\n', { feed: 'log' })).kind, 'gap');
  const log = await feedOf(lobby, 'log');
  assert.deepEqual([log.behindBytes, log.epoch?.behindBytes], [88, 88]);
});

test('who may see one device sees its feeds and no others; without its device a feed is the customer\'s', async () => {
  const looker = await room.person(owner, 'eve', [{ action: 'see', scopeKind: 'device', scopeId: lobby.id }]);
  const [cdr, meter] = [await feedOf(lobby), await feedOf(roof, 'meter')];
  assert.deepEqual((await looker.call('listFeeds')).items.map(({ serial, name, mayRemove }) => [serial, name, mayRemove]), [['SN1', 'cdr', false], ['SN1', 'log', false]]);
  assert.equal((await looker.call('searchRecords', { params: { feed: cdr.id } })).items.length, 6);
  for (const name of ['getFeed', 'searchRecords', 'listGaps', 'removeFeed'] as const) assert.equal((await looker.refused(name, { params: { feed: meter.id } })).status, 404, name);
  assert.equal((await bytesOf(looker, meter.id)).status, 404);
  assert.equal((await looker.refused('removeFeed', { params: { feed: cdr.id } })).status, 403);
  const gone = { id: room.newId(), customerId: lobby.customerId, serial: 'SN9' };
  await bring(gone, 0, 'left\n');
  const mine = await room.person(owner, 'max', [{ action: 'see', scopeKind: 'customer', scopeId: lobby.customerId }]);
  assert.ok((await mine.call('listFeeds', { query: { search: 'SN9' } })).items.some(({ device, deviceId }) => device === null && deviceId === gone.id));
  assert.deepEqual((await looker.call('listFeeds', { query: { search: 'SN9' } })).items, []);
});

test('removing a feed is audited and leaves nothing of it', async () => {
  const { id } = await feedOf(roof, 'blob');
  await owner.call('removeFeed', { params: { feed: id } });
  const [line] = await room.operations.listAudit({ limit: 1 });
  assert.deepEqual([line?.what, line?.subjectName, line?.detail['bytes']], ['feed.removed', 'SN2/blob', 135_537]);
  assert.equal((await owner.refused('getFeed', { params: { feed: id } })).status, 404);
  assert.equal(await room.operations.findFeed(id), null);
  assert.equal((await owner.refused('getFeed', { params: { feed: 'nobody' } })).status, 404);
});

test('the event stream tells of feeds that one may see, gathered for a second', async () => {
  const looker = await room.person(owner, 'eva', [{ action: 'see', scopeKind: 'device', scopeId: lobby.id }]);
  const abort = new AbortController();
  const beside = { asker: { from: '192.0.2.10', secure: false, conn: 'c1' } };
  const open = async (caller: Caller) => {
    const request = new Request(`http://${room.host}/api/v1/events`, { headers: { cookie: `__Host-postern=${caller.cookie}`, origin: `http://${room.host}`, host: room.host }, signal: abort.signal });
    const answer = await room.admin.fetch(request, beside);
    assert.equal(answer.status, 200, await (answer.status === 200 ? '' : answer.text()));
    const reader = answer.body!.getReader();
    const seen: { deviceId: string; feed: string; news: string[] }[][] = [];
    let ended = false;
    const reading = (async () => {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        for (const [, data] of Buffer.from(value as Uint8Array).toString().matchAll(/^event: feeds\ndata: (.*)$/gm)) seen.push((JSON.parse(data!) as { feeds: (typeof seen)[number] }).feeds);
      }
      ended = true;
    })();
    return { seen, end: async () => { await reader.cancel(); await reading; return ended; } };
  };
  const [all, some] = [await open(owner), await open(looker)];
  const note = (device: Device, feed: string, news: 'data' | 'gap') => room.feeds.note({ customerId: device.customerId, deviceId: device.id, feed, news: [news] }, 1);
  for (let i = 0; i < 3; i++) note(lobby, 'cdr', 'data');
  note(lobby, 'cdr', 'gap');
  note(roof, 'fresh', 'data');
  room.clock.advance(900);
  await new Promise(setImmediate);
  assert.ok(!all.seen.some(Boolean), 'not before a second is over');
  room.clock.advance(400);
  await eventually(() => all.seen.length === 1 && some.seen.length === 1, 'the events');
  assert.deepEqual(all.seen[0]!.map(({ deviceId, feed, news }) => [deviceId, feed, news]), [[lobby.id, 'cdr', ['data', 'gap']], [roof.id, 'fresh', ['first', 'data']]]);
  assert.deepEqual(some.seen[0]!.map(({ feed }) => feed), ['cdr']);
  note(roof, 'fresh', 'data');
  room.clock.advance(1_300);
  await eventually(() => all.seen.length === 2, 'the next event');
  assert.equal(some.seen.length, 1, 'of another device nothing is told');
  assert.deepEqual([await all.end(), await some.end()], [true, true]);
});
