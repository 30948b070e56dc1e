import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import type { CertificateRule } from '#model/policy-install.ts';
import { openInstalledFiles } from './install-files.ts';

function room(more: (folder: string) => Partial<CertificateRule> = () => ({})) {
  const folder = mkdtempSync(join(tmpdir(), 'postern-install-'));
  const rule: CertificateRule = { name: 'web', cert: join(folder, 'fullchain.pem'), key: join(folder, 'privkey.pem'), pfx: null, passphrase: null, mode: 0o600, owner: null, run: 'reload', ...more(folder) };
  const read = () => [rule.cert, rule.key].map((path) => (lstatSync(path, { throwIfNoEntry: false }) ? readFileSync(path, 'utf8') : null));
  const pair = (name: string, pfx: string | null = null) => ({ cert: Buffer.from(`${name} cert`), key: Buffer.from(`${name} key`), pfx: pfx === null ? null : Buffer.from(pfx) });
  return { folder, rule, read, pair, files: openInstalledFiles(rule, randomBytes), [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

const versionsOf = (folder: string) => readdirSync(join(folder, '.postern-web')).filter((name) => name.startsWith('v-')).length;

test('where nothing was: put in place, kept, and taken away again', async () => {
  using r = room();
  assert.equal(await r.files.readGood(), null);
  await r.files.switchTo(r.pair('one'));
  assert.deepEqual(r.read(), ['one cert', 'one key']);
  assert.equal(await r.files.readGood(), null, 'its command has not succeeded yet');
  assert.equal(statSync(r.rule.key).mode & 0o777, 0o600);
  assert.equal(statSync(r.rule.cert).mode & 0o777, 0o644);
  await r.files.goBack();
  assert.deepEqual(r.read(), [null, null]);
  await r.files.switchTo(r.pair('two'));
  await r.files.settle();
  assert.deepEqual((await r.files.readGood())?.key.toString(), 'two key');
  assert.deepEqual(readdirSync(r.folder).sort(), ['.postern-web', 'fullchain.pem', 'privkey.pem']);
  assert.equal(versionsOf(r.folder), 1);
});

test('files that were there are taken over, and come back', async () => {
  using r = room();
  writeFileSync(r.rule.cert, 'old cert', { mode: 0o640 });
  writeFileSync(r.rule.key, 'old key', { mode: 0o600 });
  await r.files.switchTo(r.pair('one'));
  assert.deepEqual(r.read(), ['one cert', 'one key']);
  await r.files.goBack();
  assert.deepEqual(r.read(), ['old cert', 'old key']);
  assert.equal(statSync(r.rule.cert).mode & 0o777, 0o640);
  await r.files.switchTo(r.pair('two'));
  await r.files.settle();
  await r.files.switchTo(r.pair('three'));
  await r.files.goBack();
  assert.deepEqual(r.read(), ['two cert', 'two key']);
  assert.equal(versionsOf(r.folder), 1);
});

test('links of somebody else, and a path in another folder', async () => {
  using r = room((folder) => ({ cert: join(folder, 'other', 'chain.pem'), mode: 0o640 }));
  mkdirSync(join(r.folder, 'other'));
  mkdirSync(join(r.folder, 'live'));
  writeFileSync(join(r.folder, 'live', 'c'), 'old cert');
  writeFileSync(join(r.folder, 'live', 'k'), 'old key');
  symlinkSync(join(r.folder, 'live', 'c'), r.rule.cert);
  symlinkSync(join(r.folder, 'live', 'k'), r.rule.key);
  await r.files.switchTo(r.pair('one'));
  await r.files.settle();
  assert.deepEqual(r.read(), ['one cert', 'one key']);
  assert.equal(statSync(r.rule.key).mode & 0o777, 0o640);
  assert.equal(readFileSync(join(r.folder, 'live', 'k'), 'utf8'), 'old key', 'what they led to is not written to');
});

test('a file that somebody put over the link is seen, and comes back when the command fails', async () => {
  using r = room();
  await r.files.switchTo(r.pair('one'));
  await r.files.settle();
  rmSync(r.rule.cert);
  writeFileSync(r.rule.cert, 'by hand cert');
  assert.equal(await r.files.readGood(), null);
  await r.files.switchTo(r.pair('two'));
  assert.deepEqual(r.read(), ['two cert', 'two key']);
  await r.files.goBack();
  assert.deepEqual(r.read(), ['by hand cert', 'one key']);
});

test('PKCS#12 changes with the others', async () => {
  using r = room((folder) => ({ pfx: join(folder, 'all.pfx'), passphrase: join(folder, 'pass') }));
  await r.files.switchTo(r.pair('one', 'one pfx'));
  await r.files.settle();
  assert.equal((await r.files.readGood())?.pfx?.toString(), 'one pfx');
  assert.equal(statSync(r.rule.pfx!).mode & 0o777, 0o600);
});

test('another mode in the policy asks for other files', async () => {
  using r = room();
  await r.files.switchTo(r.pair('one'));
  await r.files.settle();
  assert.notEqual(await r.files.readGood(), null);
  assert.equal(await openInstalledFiles({ ...r.rule, mode: 0o640 }, randomBytes).readGood(), null);
});

test('what cannot be written is told, and what was there stays', async () => {
  using r = room((folder) => ({ key: join(folder, 'none', 'privkey.pem') }));
  writeFileSync(r.rule.cert, 'old cert');
  writeFileSync(join(r.folder, 'none'), 'a file where a folder should be');
  await assert.rejects(r.files.switchTo(r.pair('one')), (thrown) => isFault(thrown, 'internal') && /certificate web cannot be put in place/.test(thrown.message));
  assert.equal(readFileSync(r.rule.cert, 'utf8'), 'old cert');
});

test('a folder that somebody else prepared is not used', async () => {
  using r = room();
  const elsewhere = join(r.folder, 'elsewhere');
  mkdirSync(elsewhere);
  symlinkSync(elsewhere, join(r.folder, '.postern-web'));
  await assert.rejects(r.files.switchTo(r.pair('one')), (thrown) => isFault(thrown, 'conflict') && /not a folder of the agent's own/.test(thrown.message));
  await assert.rejects(r.files.goBack(), (thrown) => isFault(thrown, 'conflict'));
  assert.deepEqual(readdirSync(elsewhere), []);
  assert.deepEqual(r.read(), [null, null]);
});

/** At each step of the file system that an installation takes, as another process sees it. */
test('at no moment is there a mix', async () => {
  using r = room();
  writeFileSync(r.rule.cert, 'old cert');
  writeFileSync(r.rule.key, 'old key');
  const seen = new Set<string>();
  const end = new AbortController();
  const looking = (async () => {
    while (!end.signal.aborted) {
      // Through one version each: the folder that `current` names decides for both.
      const before = r.read();
      const after = r.read();
      if (before.join() === after.join()) seen.add(before.map((text) => text?.split(' ')[0]).join(' and '));
      await new Promise((done) => setImmediate(done));
    }
  })();
  for (let i = 0; i < 10; i++) {
    await r.files.switchTo(r.pair(`n${i}`));
    await (i % 3 === 2 ? r.files.goBack() : r.files.settle());
  }
  end.abort();
  await looking;
  for (const names of seen) assert.equal(names.split(' and ')[0], names.split(' and ')[1], names);
  assert.ok(seen.size > 1);
});
