// Files in parts, as draft-ietf-httpbis-resumable-upload-12 has it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault, isFault } from '#base/fault.ts';
import { openPipe } from '../../test/kit/device-requests.ts';
import { eventually, openFileRoom, type FileRoom } from '../../test/kit/file-room.ts';

const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');
const digestField = (bytes: string | Buffer) => `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;
const draft = { 'upload-draft-interop-version': '8' };
const problem = (answer: { body?: { type: string; text: string } | undefined }) => {
  assert.equal(answer.body?.type, 'application/problem+json');
  return JSON.parse(answer.body.text) as Record<string, unknown>;
};

/** The path behind the customer, from a Location. */
const pathOf = (location: string | undefined): string => {
  assert.match(location ?? '', /^\/v1\/default\/file\/SN1\/big%20one\/[0-9a-f]{32}$/);
  return location!.slice('/v1/default/'.length);
};

async function begin(room: FileRoom, body: string | Buffer = '', headers: Record<string, string> = {}): Promise<string> {
  const answer = await room.ask({ method: 'PUT', path: 'file/SN1/big%20one', body, headers: { 'upload-complete': '?0', ...headers } });
  assert.equal(answer.status, 201);
  return pathOf(answer.fields?.['Location']);
}

const patch = (room: FileRoom, path: string, offset: number, body: string | Buffer | AsyncIterable<Buffer>, complete: boolean, headers: Record<string, string> = {}) =>
  room.ask({ method: 'PATCH', path, body, headers: { 'content-type': 'application/partial-upload', 'upload-offset': String(offset), 'upload-complete': complete ? '?1' : '?0', ...headers } });

const stands = async (room: FileRoom, path: string) => {
  const { status, fields } = await room.ask({ method: 'HEAD', path });
  return [status, fields?.['Upload-Offset'], fields?.['Upload-Complete'], fields?.['Upload-Length']];
};

test('in parts, with a length that becomes known late', async () => {
  await using room = await openFileRoom({ fileBytesMax: 1_000 });
  const path = await begin(room, 'first,');
  assert.deepEqual(await stands(room, path), [200, '6', '?0', undefined]);
  const head = await room.ask({ method: 'HEAD', path });
  assert.match(head.fields!['Upload-Limit']!, /^max-size=1000, max-age=604800$/);
  const second = await patch(room, path, 6, 'second,', false, { 'upload-length': '18' });
  assert.deepEqual([second.status, second.fields?.['Upload-Offset'], second.fields?.['Upload-Complete']], [200, '13', '?0']);
  assert.deepEqual(await stands(room, path), [200, '13', '?0', '18']);
  assert.equal((await room.operations.listFiles({ limit: 9 })).length, 0, 'no file before the end');
  const third = await patch(room, path, 13, 'third', true);
  assert.deepEqual([third.status, third.values, third.fields?.['Upload-Complete']], [201, { stored: true, bytes: 18, sha256: sha256('first,second,third') }, '?1']);
  const file = await room.operations.newestFile(room.device.id, 'big one');
  assert.equal(await readFile(join(room.dir, file!.sha256.slice(0, 2), file!.sha256), 'utf8'), 'first,second,third');
  assert.deepEqual((await room.lying()).takings, []);
  // Whoever lost the answer learns that it is there.
  assert.deepEqual(await stands(room, path), [200, '18', '?1', '18']);
  const more = await patch(room, path, 18, 'more', true, draft);
  assert.deepEqual([more.status, problem(more)['type']], [400, 'https://iana.org/assignments/http-problem-types#inconsistent-upload-length']);
  const again = await patch(room, path, 18, '', true, draft);
  assert.deepEqual([again.status, problem(again)['type']], [410, 'https://iana.org/assignments/http-problem-types#completed-upload']);
  // The same content once more is no new version.
  const same = await patch(room, await begin(room), 0, 'first,second,third', true);
  assert.deepEqual([same.status, same.values['repeat'], same.fields?.['Upload-Complete']], [200, true, '?1']);
});

test('104 tells of the upload to those who speak the draft, and to no others', async () => {
  await using room = await openFileRoom({ uploadNoteBytes: 2_000 });
  const put = async (headers: Record<string, string>, http10 = false) => {
    const interims: [number, Readonly<Record<string, string>>][] = [];
    const answer = await room.ask({ method: 'PUT', path: 'file/SN1/big%20one', body: Buffer.alloc(5_500, String(Math.random())), headers, http10, interims });
    return { answer, interims };
  };
  const { answer, interims } = await put({ 'upload-complete': '?1', ...draft });
  assert.equal(answer.status, 201);
  assert.equal(answer.fields?.['Upload-Complete'], '?1');
  assert.equal(interims[0]![0], 104);
  pathOf(interims[0]![1]['Location']);
  assert.match(interims[0]![1]['Upload-Limit']!, /^max-size=\d+, max-age=\d+$/);
  assert.deepEqual(interims.slice(1), [2_000, 4_000].map((at) => [104, { 'Upload-Offset': String(at), 'Upload-Draft-Interop-Version': '8' }]));
  assert.equal(interims[0]![1]['Upload-Draft-Interop-Version'], '8');
  for (const headers of [{ 'upload-complete': '?1' }, { 'upload-complete': '?1', 'upload-draft-interop-version': '6' }, { 'upload-complete': 'yes', ...draft }]) {
    const plain = await put(headers);
    assert.deepEqual([plain.interims, plain.answer.status, plain.answer.fields?.['Upload-Complete']], [[], 201, undefined], JSON.stringify(headers));
  }
  assert.deepEqual((await put({ 'upload-complete': '?1', ...draft }, true)).interims, [], 'HTTP/1.0 has no interim answers');
  const options = await room.ask({ method: 'OPTIONS', path: 'file/SN1/big%20one' });
  assert.deepEqual([options.fields?.['Accept-Patch'], options.fields?.['Upload-Limit']], ['application/partial-upload', 'max-size=4294967296']);
});

test('a wrong offset is a conflict that says the right one', async () => {
  await using room = await openFileRoom();
  const path = await begin(room, 'abc');
  for (const headers of [draft, { accept: 'application/json' }]) {
    const answer = await patch(room, path, 7, 'x', false, headers);
    assert.deepEqual([answer.status, answer.fields?.['Upload-Offset']], [409, '3']);
    const { type, 'expected-offset': expected, 'provided-offset': provided } = problem(answer);
    assert.deepEqual([type, expected, provided], ['https://iana.org/assignments/http-problem-types#mismatching-upload-offset', 3, 7]);
  }
  const plain = await patch(room, path, 0, 'abc', false);
  assert.deepEqual([plain.status, plain.body, plain.values['error'], plain.values['expected'], plain.values['provided']], [409, undefined, 'offset', 3, 0]);
  assert.deepEqual(await stands(room, path), [200, '3', '?0', undefined]);
});

test('what arrived before a cut is kept, and goes on after a restart', async () => {
  await using room = await openFileRoom({ uploadNoteBytes: 4 });
  const pipe = openPipe();
  const interims: [number, Readonly<Record<string, string>>][] = [];
  const cut = room.ask({ method: 'PUT', path: 'file/SN1/big%20one', body: pipe.pieces, headers: { 'upload-complete': '?1', 'upload-length': '10', ...draft }, interims });
  pipe.push(Buffer.from('012'));
  pipe.push(Buffer.from('345'));
  pipe.cut();
  await assert.rejects(cut, (thrown) => isFault(thrown, 'closed'));
  const path = pathOf(interims[0]![1]['Location']);
  assert.deepEqual(await stands(room, path), [200, '6', '?0', '10']);
  const id = path.split('/').at(-1)!;
  // Killed in the middle of an append: bytes that were written, but never reported, do not count.
  await writeFile(join(room.dir, 'tmp', id), 'GARBAGE', { flag: 'a' });
  await room.reopen();
  assert.deepEqual(await stands(room, path), [200, '6', '?0', '10']);
  assert.equal((await patch(room, path, 6, '6789', true)).status, 201);
  assert.equal((await room.operations.newestFile(room.device.id, 'big one'))!.sha256, sha256('0123456789'));
});

test('a part that the disk has lost ends the upload: it never goes on with a hole', async () => {
  await using room = await openFileRoom();
  const path = await begin(room, 'abcdef');
  await truncate(join(room.dir, 'tmp', path.split('/').at(-1)!), 3);
  await assert.rejects(patch(room, path, 6, 'x', false), (thrown) => isFault(thrown, 'gone'));
});

test('a second request ends the first, which nobody waits for any more', async () => {
  await using room = await openFileRoom();
  const path = await begin(room);
  const pipe = openPipe();
  const first = patch(room, path, 0, pipe.pieces, false);
  first.catch(() => {});
  pipe.push(Buffer.from('abc'));
  await eventually(async () => (await stat(join(room.dir, 'tmp', path.split('/').at(-1)!))).size === 3, 'the first request is under way');
  // The offset that is told is one that can be gone on with.
  const offset = String((await stands(room, path))[1]);
  await assert.rejects(first, (thrown) => isFault(thrown, 'closed'));
  assert.ok(offset === '0' || offset === '3');
  const rest = 'abcdef'.slice(Number(offset));
  const [one, two] = await Promise.allSettled([patch(room, path, Number(offset), rest, false), patch(room, path, Number(offset), rest, false)]);
  const went = [one!, two!].filter((each) => each.status === 'fulfilled' && each.value.status === 200);
  assert.ok(went.length <= 1, 'never twice');
  const [, after] = await stands(room, path);
  const end = await patch(room, path, Number(after), 'abcdef'.slice(Number(after)), true);
  assert.equal(end.status, 201);
  assert.equal((await room.operations.newestFile(room.device.id, 'big one'))!.sha256, sha256('abcdef'));
});

test('lengths that contradict each other', async () => {
  await using room = await openFileRoom({ fileBytesMax: 50 });
  const isLength = (answer: { status: number; values: Readonly<Record<string, unknown>> }) => assert.deepEqual([answer.status, answer.values['error']], [400, 'length']);
  isLength(await room.ask({ method: 'PUT', path: 'file/SN1/big%20one', body: 'abc', headers: { 'upload-complete': '?1', 'upload-length': '4', ...draft } }));
  const path = await begin(room, 'abc', { 'upload-length': '5' });
  isLength(await patch(room, path, 3, 'd', false, { 'upload-length': '6' }));
  assert.deepEqual(await stands(room, path), [200, '3', '?0', '5'], 'what was refused for its own words changed nothing');
  isLength(await patch(room, path, 3, 'defg', false));
  assert.equal((await stands(room, path))[0], 404, 'more than was announced: it is not what it was announced to be');
  const short = await begin(room, 'abc', { 'upload-length': '5' });
  isLength(await patch(room, short, 3, 'd', true));
  const large = await begin(room);
  const over = await patch(room, large, 0, Buffer.alloc(51), false);
  assert.deepEqual([over.status, over.values['max'], over.fields?.['Upload-Limit']], [413, 50, 'max-size=50']);
  assert.equal((await room.ask({ method: 'PUT', path: 'file/SN1/big%20one', body: '', headers: { 'upload-complete': '?0', 'upload-length': '51' } })).status, 413);
  assert.deepEqual((await room.lying()).takings, []);
});

test('digests: of a part, which is then not taken; of the whole, which then is no file', async () => {
  await using room = await openFileRoom();
  const path = await begin(room, '', { 'repr-digest': digestField('abcdef') });
  const spoilt = await patch(room, path, 0, 'abX', false, { 'content-digest': digestField('abc') });
  assert.deepEqual([spoilt.status, spoilt.values['error']], [422, 'digest']);
  assert.deepEqual(await stands(room, path), [200, '0', '?0', undefined]);
  assert.equal((await patch(room, path, 0, 'abc', false, { 'content-digest': digestField('abc') })).status, 200);
  assert.equal((await patch(room, path, 3, 'deX', true)).status, 422);
  assert.equal((await stands(room, path))[0], 404);
  assert.deepEqual(await room.lying(), { digests: [], takings: [] });
});

test('of a signed request only the whole counts', async () => {
  await using room = await openFileRoom();
  const path = await begin(room, 'abc');
  const pipe = openPipe();
  const cut = patch(room, path, 3, pipe.pieces, false, { 'x-postern-sign': 'v1,1,0123456789abcdef,00' });
  pipe.push(Buffer.from('from anybody'));
  pipe.cut();
  await assert.rejects(cut, (thrown) => isFault(thrown, 'closed'));
  assert.deepEqual(await stands(room, path), [200, '3', '?0', undefined]);
  assert.equal((await patch(room, path, 3, 'def', true)).status, 201);
});

test('an upload belongs to its device and name, can be cancelled, expires, and is bounded in number', async () => {
  await using room = await openFileRoom({ uploadsPerDeviceMax: 2 });
  const other = await room.addDevice('SN2');
  const path = await begin(room, 'abc');
  assert.equal((await room.ask({ method: 'HEAD', path: path.replace('SN1', 'SN2') }, other)).status, 404);
  assert.equal((await room.ask({ method: 'DELETE', path: path.replace('SN1', 'SN2') }, other)).status, 404);
  assert.equal((await room.ask({ method: 'HEAD', path: path.replace('big%20one', 'other') })).status, 404);
  assert.equal((await room.ask({ method: 'HEAD', path: 'file/SN1/big%20one/..%2F..%2Fx' })).status, 404);
  for (const [headers, status] of [[{ 'content-type': 'text/plain' }, 415], [{}, 200]] as const) assert.equal((await patch(room, path, 3, '', false, headers)).status, status);
  await assert.rejects(patch(room, path, 3, 'x', false, { 'upload-offset': 'x' }), (thrown) => isFault(thrown, 'bad-input'));
  assert.equal((await room.ask({ method: 'POST', path, body: 'x' })).status, 405);
  assert.deepEqual((await room.ask({ method: 'DELETE', path })).values, { cancelled: true });
  assert.equal((await stands(room, path))[0], 404);
  assert.deepEqual((await room.lying()).takings, []);
  // The same name anew gives up what came before; other names are bounded.
  const first = await begin(room, 'one');
  const second = await begin(room, 'two');
  assert.deepEqual([(await stands(room, first))[0], (await stands(room, second))[0]], [404, 200]);
  const named = (name: string) => room.ask({ method: 'PUT', path: `file/SN1/${name}`, body: '', headers: { 'upload-complete': '?0' } });
  assert.equal((await named('b')).status, 201);
  await assert.rejects(named('c'), (thrown) => isFault(thrown, 'too-many'));
  room.clock.advance(7 * 86_400_000 + 60_000);
  assert.equal((await stands(room, second))[0], 404);
  await eventually(async () => (await room.lying()).takings.length === 0, 'what expired is cleared away');
  assert.equal((await named('c')).status, 201);
});

test('a full disk stops an upload where it stands, and a store that is busy at the end loses nothing', async () => {
  await using room = await openFileRoom({ uploadNoteBytes: 3 });
  const path = await begin(room, 'abc');
  const pipe = openPipe();
  const stopped = patch(room, path, 3, pipe.pieces, false);
  pipe.push(Buffer.from('def'));
  room.full = new Fault('busy', 'the disk is nearly full');
  await assert.rejects(stopped, (thrown) => thrown === room.full || isFault(thrown, 'busy'));
  await assert.rejects(patch(room, path, 3, 'x', false), (thrown) => isFault(thrown, 'busy'));
  room.full = null;
  const [, offset] = await stands(room, path);
  const { addFile } = room.operations;
  room.operations.addFile = () => Promise.reject(new Fault('busy', 'the store is down'));
  const rest = 'abcdef'.slice(Number(offset));
  await assert.rejects(patch(room, path, Number(offset), rest, true), (thrown) => isFault(thrown, 'busy'));
  room.operations.addFile = addFile;
  assert.deepEqual((await stands(room, path)).slice(0, 3), [200, '6', '?0']);
  assert.deepEqual((await room.lying()).digests, []);
  assert.equal((await patch(room, path, 6, '', true)).status, 201);
  assert.equal((await room.operations.newestFile(room.device.id, 'big one'))!.sha256, sha256('abcdef'));
});
