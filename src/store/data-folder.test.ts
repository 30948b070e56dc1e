import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { rejectsWith } from '../../test/contracts/store.ts';
import { openDataFolder } from './data-folder.ts';

const root = await mkdtemp(join(tmpdir(), 'postern-folder-'));
after(() => rm(root, { recursive: true, force: true }));
const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
let made = 0;
const newDir = () => join(root, `new-${(made += 1)}`, 'data');

test('the folder and its files are for their owner alone', async () => {
  const dir = newDir();
  await mkdir(dir, { recursive: true, mode: 0o755 });
  await using folder = await openDataFolder(dir);
  await folder.write('ca.key', Buffer.from('secret'));
  assert.equal(await modeOf(dir), '700');
  for (const name of await readdir(dir)) assert.equal(await modeOf(join(dir, name)), '600', name);
  await chmod(join(dir, 'ca.key'), 0o644);
  await folder.write('ca.key', Buffer.from('other'));
  assert.equal(await modeOf(join(dir, 'ca.key')), '600');
});

test('a secret is made once, however many ask at the same time', async () => {
  await using folder = await openDataFolder(newDir());
  let makes = 0;
  const make = async () => {
    makes += 1;
    await new Promise((resolve) => setImmediate(resolve));
    return Buffer.from(`secret ${makes}`);
  };
  const all = await Promise.all(Array.from({ length: 5 }, () => folder.readOrMake('ticket.key', make)));
  assert.deepEqual(all.map(String), Array.from({ length: 5 }, () => 'secret 1'));
  assert.equal(String(await folder.read('ticket.key')), 'secret 1');
});

test('a make that fails leaves nothing, and the next one may succeed', async () => {
  await using folder = await openDataFolder(newDir());
  await assert.rejects(folder.readOrMake('ca.key', () => Promise.reject(new Error('no entropy'))), /no entropy/);
  assert.equal(await folder.read('ca.key'), null);
  assert.equal(String(await folder.readOrMake('ca.key', () => Buffer.from('made'))), 'made');
});

test('files are written whole, read back, and removed', async () => {
  const dir = newDir();
  const folder = await openDataFolder(dir);
  await Promise.all([folder.write('a', Buffer.from('first')), folder.write('a', Buffer.from('second')), folder.write('b', Buffer.alloc(0))]);
  assert.equal(String(await folder.read('a')), 'second');
  assert.equal((await folder.read('b'))?.length, 0);
  await folder.remove('a');
  await folder.remove('a');
  assert.equal(await folder.read('a'), null);
  assert.ok((await folder.freeBytes()) > 0);
  await folder.close();
  assert.deepEqual((await readdir(dir)).sort(), ['b', 'lock']);
  await rejectsWith(folder.read('b'), 'closed');
  await folder.close();
});

test('what a crash left half written is cleared away, and the old file is still whole', async () => {
  const dir = newDir();
  const before = await openDataFolder(dir);
  await before.write('ca.key', Buffer.from('whole'));
  await before.close();
  await writeFile(join(dir, '.ca.key.tmp'), 'ha', { mode: 0o644 });
  await using folder = await openDataFolder(dir);
  assert.equal(String(await folder.read('ca.key')), 'whole');
  assert.deepEqual((await readdir(dir)).sort(), ['ca.key', 'lock', 'lock.pid']);
});

test('a write that fails says so, and the old file stays', async () => {
  const dir = newDir();
  await using folder = await openDataFolder(dir);
  await mkdir(join(dir, 'ca.key'));
  await rejectsWith(folder.write('ca.key', Buffer.from('x')), 'busy', /ca\.key in the data folder cannot be written/);
  assert.ok((await stat(join(dir, 'ca.key'))).isDirectory());
  assert.ok(!(await readdir(dir)).includes('.ca.key.tmp'));
});

test('names cannot leave the folder', async () => {
  await using folder = await openDataFolder(newDir());
  for (const name of ['../x', 'a/b', '', '.hidden', 'A', 'a\0b', 'x'.repeat(101)]) await rejectsWith(folder.read(name), 'bad-input');
});

test('somebody else’s folder is refused and stays as it is; a restored backup is not', async () => {
  const dir = newDir();
  await mkdir(dir, { recursive: true, mode: 0o755 });
  await chmod(dir, 0o755);
  await writeFile(join(dir, 'letter.txt'), 'dear');
  await rejectsWith(openDataFolder(dir), 'conflict', /not empty and is not a data folder/);
  assert.equal(await modeOf(dir), '755');
  assert.deepEqual(await readdir(dir), ['letter.txt']);
  const restored = newDir();
  await mkdir(restored, { recursive: true });
  await writeFile(join(restored, 'postern.db'), '');
  await (await openDataFolder(restored)).close();
});

test('a path that is a file is refused with the reason', async () => {
  const file = join(root, 'file');
  await writeFile(file, 'x');
  await rejectsWith(openDataFolder(file), 'forbidden', /cannot be used: .*EEXIST/);
});

test('one process cannot open a folder twice; after close it may; the file says who', async () => {
  const dir = newDir();
  const first = await openDataFolder(dir);
  await rejectsWith(openDataFolder(dir), 'conflict', /^this process/);
  assert.match(await readFile(join(dir, 'lock.pid'), 'utf8'), new RegExp(`^${process.pid} `));
  await first.close();
  // A dead gateway's note alone holds nothing, even when its number lives on in another process.
  await writeFile(join(dir, 'lock.pid'), `${process.ppid} elsewhere\n`);
  await (await openDataFolder(dir)).close();
});
