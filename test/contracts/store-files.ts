// The contract of the store's operations about files that devices bring.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { DeviceFile, FileBounds, Upload } from '#model/files.ts';
import type { Operations } from '#model/operations.ts';
import { rejectsWith, type Rows } from './store.ts';

type Contract = (title: string, run: (store: Operations, rows: Rows) => Promise<void>) => void;

const bounds: FileBounds = { filesPerDeviceMax: 4, bytesPerDeviceMax: 1_000, bytesPerCustomerMax: 1_500 };

export function fileContract(contract: Contract): void {
  let ids = 0;
  const deviceIn = async (store: Operations, rows: Rows, label: string) => {
    const device = { ...rows.device('', label, { serial: label }), agentId: null };
    await store.addDevice(device, rows.audit('device.added'));
    return device;
  };
  const fileOf = (rows: Rows, deviceId: string, change: Partial<DeviceFile> = {}): DeviceFile => ({
    id: `file-${String(++ids).padStart(6, '0')}`, customerId: rows.customerId, deviceId, name: 'a', bytes: 10, sha256: randomBytes(32).toString('hex'), type: 'text/plain', from: '192.0.2.1', createdAt: 1_000 + ids, replacedAt: null, ...change,
  });
  const uploadOf = (rows: Rows, deviceId: string, change: Partial<Upload> = {}): Upload => ({
    id: randomBytes(16).toString('hex'), customerId: rows.customerId, deviceId, name: 'a', type: '', from: '192.0.2.1', sha256: null, length: null, received: 0, createdAt: 1, expiresAt: 5_000, completedAt: null, ...change,
  });

  contract('a file is there once by name and digest; another digest is a new version', async (store, rows) => {
    const { id: deviceId } = await deviceIn(store, rows, 'one');
    const first = fileOf(rows, deviceId, { bytes: 0, name: 'Ü "x"' });
    assert.deepEqual(await store.addFile(first, bounds, null), { kind: 'stored', file: first, unnamed: [] });
    const again = fileOf(rows, deviceId, { sha256: first.sha256, name: first.name });
    assert.deepEqual(await store.addFile(again, bounds, null), { kind: 'repeat', file: first, unnamed: [] });
    const second = fileOf(rows, deviceId, { name: first.name });
    assert.equal((await store.addFile(second, bounds, null)).kind, 'replaced');
    assert.deepEqual(await store.newestFile(deviceId, first.name), second);
    assert.deepEqual(await store.readFile(first.id), { ...first, replacedAt: second.createdAt });
    assert.equal(await store.newestFile(deviceId, 'other'), null);
    assert.equal(await store.readFile('none'), null);
    assert.deepEqual((await store.listFiles({ limit: 9 })).map((row) => row.id), [second.id, first.id]);
    assert.deepEqual((await store.listFiles({ limit: 9, newest: true })).map((row) => row.id), [second.id]);
    assert.deepEqual((await store.listFiles({ limit: 9, beforeId: second.id, deviceId, name: first.name })).map((row) => row.id), [first.id]);
    assert.deepEqual(await store.listFiles({ limit: 9, deviceId: 'other' }), []);
    await rejectsWith(store.addFile(fileOf(rows, 'nobody'), bounds, null), 'gone');
  });

  contract('old versions make room, oldest first; the newest of a name never does', async (store, rows) => {
    const { id: deviceId } = await deviceIn(store, rows, 'one');
    const { id: otherId } = await deviceIn(store, rows, 'two');
    const versions = Array.from({ length: 4 }, () => fileOf(rows, deviceId));
    for (const each of versions) await store.addFile(each, bounds, null);
    const fifth = await store.addFile(fileOf(rows, deviceId), bounds, null);
    assert.deepEqual(fifth.unnamed, [versions[0]!.sha256]);
    const large = await store.addFile(fileOf(rows, deviceId, { name: 'b', bytes: 985 }), bounds, null);
    assert.equal(large.unnamed.length, 3, 'all old ones, and no more');
    await rejectsWith(store.addFile(fileOf(rows, deviceId, { name: 'c', bytes: 6 }), bounds, null), 'too-many');
    assert.equal((await store.listFiles({ limit: 9 })).length, 2, 'a refusal changes nothing');
    await rejectsWith(store.addFile(fileOf(rows, otherId, { bytes: 506 }), bounds, null), 'too-many');
    await store.addFile(fileOf(rows, otherId, { bytes: 505 }), bounds, null);
  });

  contract('a digest goes with its last row, whoever removed that', async (store, rows) => {
    const { id: deviceId } = await deviceIn(store, rows, 'one');
    const first = fileOf(rows, deviceId);
    const second = fileOf(rows, deviceId, { name: 'b', sha256: first.sha256 });
    const third = fileOf(rows, deviceId, { name: 'c', bytes: 30 });
    for (const each of [first, second, third]) await store.addFile(each, bounds, null);
    assert.deepEqual(await store.unnamedDigests([first.sha256, 'f'.repeat(64), third.sha256]), ['f'.repeat(64)]);
    assert.deepEqual(await store.unnamedDigests([]), []);
    assert.deepEqual(await store.removeFile(first.id, rows.audit('file.removed')), []);
    assert.equal((await store.listAudit({ limit: 1 }))[0]?.what, 'file.removed');
    await rejectsWith(store.removeFile(first.id, rows.audit('file.removed')), 'not-found');
    assert.deepEqual(await store.dropFiles({ before: second.createdAt }, 9), { dropped: 0, bytes: 0, unnamed: [] });
    assert.deepEqual(await store.dropFiles({ before: third.createdAt, bytesMax: 1_000 }, 9), { dropped: 1, bytes: 10, unnamed: [second.sha256] });
    assert.deepEqual(await store.dropFiles({ bytesMax: 30 }, 9), { dropped: 0, bytes: 0, unnamed: [] });
    assert.deepEqual(await store.dropFiles({ bytesMax: 29 }, 9), { dropped: 1, bytes: 30, unnamed: [third.sha256] });
  });

  contract('an upload grows, completes with its file, and goes', async (store, rows) => {
    const { id: deviceId } = await deviceIn(store, rows, 'one');
    const upload = uploadOf(rows, deviceId, { sha256: 'a'.repeat(64) });
    assert.deepEqual(await store.addUpload(upload, 2), []);
    assert.deepEqual(await store.readUpload(upload.id), upload);
    await store.noteUpload(upload.id, 7, null);
    await store.noteUpload(upload.id, 9, 12);
    await rejectsWith(store.noteUpload(upload.id, 8, null), 'gone');
    assert.deepEqual(await store.readUpload(upload.id), { ...upload, received: 9, length: 12 });
    assert.deepEqual(await store.openUploads(), [upload.id]);
    const file = fileOf(rows, deviceId, { bytes: 12 });
    assert.equal((await store.addFile(file, bounds, upload.id)).kind, 'stored');
    assert.deepEqual(await store.readUpload(upload.id), { ...upload, received: 12, length: 12, completedAt: file.createdAt });
    assert.deepEqual(await store.openUploads(), []);
    await rejectsWith(store.addFile(fileOf(rows, deviceId), bounds, upload.id), 'gone');
    await rejectsWith(store.addFile(fileOf(rows, deviceId), bounds, 'nothing'), 'gone');
    assert.equal((await store.listFiles({ limit: 9 })).length, 1);
    await rejectsWith(store.noteUpload(upload.id, 13, null), 'gone');
    // One of the same name is given up; of others there are so many.
    const [a, b, c] = [uploadOf(rows, deviceId), uploadOf(rows, deviceId, { name: 'b', expiresAt: 9_000 }), uploadOf(rows, deviceId)];
    await store.addUpload(a!, 2);
    await store.addUpload(b!, 2);
    assert.deepEqual(await store.addUpload(c!, 2), [a!.id]);
    await rejectsWith(store.addUpload(uploadOf(rows, deviceId, { name: 'd' }), 2), 'too-many');
    await store.removeUpload(c!.id);
    assert.equal(await store.readUpload(c!.id), null);
    assert.deepEqual(await store.dropUploads(4_999), []);
    assert.deepEqual(await store.dropUploads(5_000), [upload.id]);
    // With a device all of it goes.
    await store.removeDevice(deviceId, rows.audit('device.removed'));
    assert.deepEqual([await store.readUpload(b!.id), await store.listFiles({ limit: 9 })], [null, []]);
  });
}
