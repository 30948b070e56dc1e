import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault, isFault } from '#base/fault.ts';
import type { WaitingDevice } from '#model/rows.ts';
import { openPipe } from '../../test/kit/device-requests.ts';
import { eventually, openFileRoom } from '../../test/kit/file-room.ts';

const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');
const base64 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('base64');

test('a file is stored whole; the same again changes nothing; another content is a new version', async () => {
  await using room = await openFileRoom();
  const put = (body: string, headers = {}) => room.ask({ method: 'PUT', path: 'file/SN1/day%201.csv', body, headers: { 'content-type': 'text/csv', ...headers } });
  const first = await put('a;b\n');
  assert.deepEqual([first.status, first.values], [201, { stored: true, bytes: 4, sha256: sha256('a;b\n') }]);
  assert.equal(first.fields?.['Repr-Digest'], `sha-256=:${base64('a;b\n')}:`);
  const repeat = await put('a;b\n');
  assert.deepEqual([repeat.status, repeat.values['repeat']], [200, true]);
  assert.equal((await room.operations.listFiles({ limit: 9 })).length, 1);
  room.clock.advance(60_000);
  assert.equal((await put('a;c\n')).status, 201);
  const rows = await room.operations.listFiles({ limit: 9 });
  assert.deepEqual(rows.map(({ name, bytes, type, from, replacedAt }) => ({ name, bytes, type, from, replaced: replacedAt !== null })), [
    { name: 'day 1.csv', bytes: 4, type: 'text/csv', from: '192.0.2.9', replaced: false },
    { name: 'day 1.csv', bytes: 4, type: 'text/csv', from: '192.0.2.9', replaced: true },
  ]);
  // Back to what it was: that, too, is a new version.
  assert.equal((await put('a;b\n')).status, 201);
  for (const method of ['GET', 'HEAD']) {
    const asked = await room.ask({ method, path: 'file/SN1/day%201.csv' });
    assert.deepEqual([asked.status, asked.values['bytes'], asked.values['sha256']], [200, 4, sha256('a;b\n')]);
  }
  assert.deepEqual(await room.lying(), { digests: [sha256('a;b\n'), sha256('a;c\n')].sort(), takings: [] });
  const file = await room.files.open(sha256('a;c\n'));
  assert.equal((await file.readFile()).toString(), 'a;c\n');
  await file.close();
});

test('an empty file is a file, and equal files of two devices lie there once', async () => {
  await using room = await openFileRoom();
  const other = await room.addDevice('SN2');
  assert.equal((await room.ask({ method: 'PUT', path: 'file/SN1/e', body: '' })).status, 201);
  assert.equal((await room.ask({ method: 'PUT', path: 'file/SN2/e', body: '' }, other)).status, 201);
  assert.deepEqual((await room.lying()).digests, [sha256('')]);
  assert.equal((await room.ask({ path: 'file/SN2/nothing' }, other)).status, 404);
});

test('digests that do not fit, and forms that are none of a whole file, store nothing', async () => {
  await using room = await openFileRoom({ fileBytesMax: 5_000 });
  const put = (headers: Record<string, string>, body: string | Buffer = 'x') => room.ask({ method: 'PUT', path: 'file/SN1/f', body, headers });
  const cases: [number, string, Record<string, string>, (string | Buffer)?][] = [
    [422, 'digest', { 'x-postern-sha256': sha256('y') }],
    [422, 'digest', { 'content-digest': `sha-256=:${base64('y')}:` }],
    [422, 'digest', { 'repr-digest': `sha-256=:${base64('y')}:` }],
    [415, 'unsupported', { 'content-encoding': 'gzip' }],
    [400, 'bad-input', { 'content-range': 'bytes 0-0/9' }],
    [413, 'too-large', {}, Buffer.alloc(5_001)],
    // It does not say so before.
    [413, 'too-large', { 'content-length': '10' }, Buffer.alloc(5_001)],
  ];
  for (const [status, error, headers, body] of cases) {
    const answer = await put(headers, body);
    assert.deepEqual([answer.status, answer.values['error']], [status, error], JSON.stringify(headers));
  }
  assert.equal((await put({}, Buffer.alloc(5_001))).fields?.['Upload-Limit'], 'max-size=5000');
  assert.equal((await put({}, Buffer.alloc(5_001))).values['max'], 5_000);
  assert.equal((await room.ask({ method: 'PUT', path: 'file/SN1/f' })).status, 411, 'no body is not an empty one');
  await assert.rejects(put({ 'x-postern-sha256': 'nonsense' }), (thrown) => isFault(thrown, 'bad-input'));
  for (const path of ['file/SN1/a%2Fb', 'file/SN1/..', 'file/SN1/a%00', 'file/SN1/', `file/SN1/${'n'.repeat(256)}`]) await assert.rejects(room.ask({ method: 'PUT', path, body: 'x' }), (thrown) => isFault(thrown, 'bad-input'), path);
  await assert.rejects(room.ask({ method: 'PUT', path: 'file/SN1', body: 'x' }), (thrown) => isFault(thrown, 'not-found'));
  const refused = await room.ask({ method: 'POST', path: 'file/SN1/f', body: 'x' });
  assert.deepEqual([refused.status, refused.fields?.['Allow']], [405, 'GET, HEAD, PUT, OPTIONS']);
  assert.deepEqual(await room.lying(), { digests: [], takings: [] });
  for (const headers of [{ 'x-postern-sha256': sha256('x').toUpperCase() }, { 'content-digest': `sha-512=:AA==:, sha-256=:${base64('x')}:` }]) assert.ok((await put(headers)).status < 300);
});

test('a file that is cut leaves nothing; what cannot be stored is told to come later', async () => {
  await using room = await openFileRoom({ filesAtOnceMax: 1 });
  const pipe = openPipe();
  const cut = room.ask({ method: 'PUT', path: 'file/SN1/f', body: pipe.pieces });
  cut.catch(() => {});
  pipe.push(Buffer.from('half'));
  await assert.rejects(room.ask({ method: 'PUT', path: 'file/SN1/g', body: 'x' }), (thrown) => isFault(thrown, 'busy'), 'one at a time here');
  pipe.cut();
  await assert.rejects(cut, (thrown) => isFault(thrown, 'closed'));
  assert.deepEqual(await room.lying(), { digests: [], takings: [] });
  assert.equal((await room.ask({ method: 'PUT', path: 'file/SN1/g', body: 'x' })).status, 201, 'the place is free again');
  room.full = new Fault('busy', 'the disk is nearly full');
  await assert.rejects(room.ask({ method: 'PUT', path: 'file/SN1/h', body: 'x' }), (thrown) => thrown === room.full);
  const waiting = { id: 'w' } as WaitingDevice;
  assert.deepEqual((await room.askAs({ kind: 'waiting', waiting, quarantineBytes: 1_000 }, { method: 'PUT', path: 'file/SN9/f', body: 'x' })).values['error'], 'waiting');
});

test('old versions make room; then a device, and a customer, is full', async () => {
  await using room = await openFileRoom({ filesPerDeviceMax: 3, fileBytesPerDeviceMax: 100, fileBytesPerCustomerMax: 150 });
  const other = await room.addDevice('SN2');
  const put = async (name: string, body: string, device = room.device) => (await room.ask({ method: 'PUT', path: `file/${device.serial}/${name}`, body }, device)).status;
  for (const body of ['1', '2', '3', '4', '5']) {
    assert.equal(await put('a', body), 201);
    room.clock.advance(1_000);
  }
  assert.deepEqual((await room.operations.listFiles({ limit: 9 })).map((row) => row.sha256), ['5', '4', '3'].map(sha256));
  assert.deepEqual((await room.lying()).digests, ['3', '4', '5'].map(sha256).sort(), 'bytes go with the last row that names them');
  assert.equal(await put('b', 'b'.repeat(98)), 201, '5, and b');
  assert.deepEqual((await room.operations.listFiles({ limit: 9 })).map((row) => row.bytes), [98, 1, 1], 'as much as must go, no more');
  const full = await room.ask({ method: 'PUT', path: 'file/SN1/c', body: 'cc' });
  assert.deepEqual([full.status, full.values['error'], full.values['retry']], [507, 'full', 3_600]);
  assert.deepEqual((await room.operations.listFiles({ limit: 9, newest: true })).map((row) => row.name), ['b', 'a'], 'the newest of a name stays');
  assert.equal(await put('d', 'd'.repeat(60), other), 507, 'the customer has no more room');
  assert.equal(await put('d', 'd'.repeat(50), other), 201);
  assert.ok(!(await room.lying()).digests.includes(sha256('cc')));
});

test('retention drops what is old, or over the bound; bytes that two rows name stay', async () => {
  await using room = await openFileRoom();
  const put = async (name: string, body: string) => {
    await room.ask({ method: 'PUT', path: `file/SN1/${name}`, body });
    room.clock.advance(1_000);
  };
  const start = room.clock.nowMs();
  await put('a', 'same');
  await put('b', 'other');
  await put('c', 'same');
  assert.deepEqual(await room.files.drop({ before: start + 500 }), { files: 1, bytes: 4 });
  assert.deepEqual((await room.lying()).digests, ['same', 'other'].map(sha256).sort());
  assert.deepEqual(await room.files.drop({ bytesMax: 8 }), { files: 1, bytes: 5 });
  assert.deepEqual((await room.lying()).digests, [sha256('same')]);
  assert.deepEqual(await room.files.drop({ bytesMax: 4, before: start }), { files: 0, bytes: 0 });
  const [row] = await room.operations.listFiles({ limit: 9 });
  await room.files.remove(row!.id, room.audit('file.removed'));
  assert.deepEqual((await room.lying()).digests, []);
  await assert.rejects(room.files.remove(row!.id, room.audit('file.removed')), (thrown) => isFault(thrown, 'not-found'));
  await assert.rejects(room.files.open(sha256('same')), (thrown) => isFault(thrown, 'not-found'));
});

test('a start sweeps away what a crash left, and nothing else', async () => {
  await using room = await openFileRoom();
  await room.ask({ method: 'PUT', path: 'file/SN1/a', body: 'kept' });
  const begun = await room.ask({ method: 'PUT', path: 'file/SN1/b', body: 'par', headers: { 'upload-complete': '?0' } });
  const id = begun.fields!['Location']!.split('/').at(-1)!;
  await room.ask({ method: 'PUT', path: 'file/SN1/c', body: 'lost' });
  // Placed, and killed before the row; taken, and killed before the end.
  await room.operations.removeFile((await room.operations.newestFile(room.device.id, 'c'))!.id, room.audit('file.removed'));
  await writeFile(join(room.dir, 'tmp', 'whole-0123'), 'half');
  await room.reopen();
  await room.files.swept;
  assert.deepEqual(await room.lying(), { digests: [sha256('kept')], takings: [id] });
  // A device that is gone takes its rows with it; the bytes go at the next sweep.
  await room.operations.removeDevice(room.device.id, room.audit('device.removed'));
  await room.reopen();
  await room.files.swept;
  assert.deepEqual(await room.lying(), { digests: [], takings: [] });
});

test('with a device its files go, and what it had begun', async () => {
  await using room = await openFileRoom();
  const other = await room.addDevice('SN2');
  await room.ask({ method: 'PUT', path: 'file/SN1/a', body: 'mine' });
  await room.ask({ method: 'PUT', path: 'file/SN1/b', body: 'half', headers: { 'upload-complete': '?0' } });
  await room.ask({ method: 'PUT', path: 'file/SN2/a', body: 'of another' }, other);
  await room.operations.removeDevice(room.device.id, room.audit('device.removed'));
  room.devices.publish({ removed: [room.device.id] });
  assert.equal((await room.lying()).digests.length, 2);
  room.clock.advance(60_000);
  await eventually(async () => (await room.lying()).digests.length === 1, 'the bytes are gone');
  assert.deepEqual(await room.lying(), { digests: [sha256('of another')], takings: [] });
});

test('many devices bring the same and other bytes at once, while some are removed', async () => {
  await using room = await openFileRoom();
  const devices = await Promise.all(Array.from({ length: 8 }, (_, index) => room.addDevice(`M${index}`)));
  for (let round = 0; round < 5; round++) {
    const stored = await Promise.all(devices.map((device, index) => room.ask({ method: 'PUT', path: `file/${device.serial}/f`, body: `content ${(round + index) % 3}` }, device)));
    assert.ok(stored.every((answer) => answer.status === 201 || answer.status === 200));
    const rows = await room.operations.listFiles({ limit: 1_000 });
    await Promise.all(rows.filter((_, index) => index % 2 === 0).map((row) => room.files.remove(row.id, room.audit('file.removed'))));
    const named = new Set((await room.operations.listFiles({ limit: 1_000 })).map((row) => row.sha256));
    assert.deepEqual(new Set((await room.lying()).digests), named, 'bytes are there exactly for the rows');
  }
});

test('a device that brings many files slowly leaves places for the others', async () => {
  await using room = await openFileRoom({ filesAtOnceMax: 3, filesPerDeviceAtOnceMax: 2 });
  const other = await room.addDevice('SN2');
  const pipes = [openPipe(), openPipe()];
  const slow = pipes.map((pipe, i) => room.ask({ method: 'PUT', path: `file/SN1/s${i}`, body: pipe.pieces }));
  for (const pipe of pipes) pipe.push(Buffer.from('x'));
  await eventually(async () => (await room.lying()).takings.length === 2, 'both are on their way');
  await assert.rejects(room.ask({ method: 'PUT', path: 'file/SN1/third', body: 'x' }), (thrown) => isFault(thrown, 'busy'));
  assert.equal((await room.ask({ method: 'PUT', path: 'file/SN2/first', body: 'x' }, other)).status, 201);
  for (const pipe of pipes) pipe.end();
  assert.deepEqual((await Promise.all(slow)).map(({ status }) => status), [201, 201]);
  assert.equal((await room.ask({ method: 'PUT', path: 'file/SN1/third', body: 'x' })).status, 201);
});

test('a disk that fills while a file comes ends it', async () => {
  await using room = await openFileRoom({ uploadNoteBytes: 1_000 });
  const pipe = openPipe();
  const asked = room.ask({ method: 'PUT', path: 'file/SN1/large', body: pipe.pieces });
  pipe.push(Buffer.alloc(2_000));
  await eventually(async () => (await room.lying()).takings.length === 1, 'it is on its way');
  room.full = new Fault('busy', 'the disk is full');
  pipe.push(Buffer.alloc(2_000));
  pipe.end();
  await assert.rejects(asked, /the disk is full/);
  assert.deepEqual(await room.lying(), { digests: [], takings: [] });
});
