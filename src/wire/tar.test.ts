import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { buildTarReader, encodeTarHeader, tarEnd, tarPaddingOf, type TarEntry } from './tar.ts';

interface Member extends Omit<TarEntry, 'size'> {
  readonly body: Buffer;
}

const at = 1_800_000_000_000;
const longName = `data/files/${'x'.repeat(140)}/ünïcode`;
const members: readonly Member[] = [
  { name: 'manifest.json', mode: 0o600, at, kind: 'file', body: Buffer.from('{"format":1}\n') },
  { name: 'empty', mode: 0o644, at: 0, kind: 'file', body: Buffer.alloc(0) },
  { name: 'data/hooks', mode: 0o700, at, kind: 'folder', body: Buffer.alloc(0) },
  { name: longName, mode: 0o700, at, kind: 'file', body: Buffer.alloc(512, 7) },
  { name: 'last', mode: 0o600, at, kind: 'file', body: Buffer.alloc(513, 9) },
];

function archiveOf(list: readonly Member[]): Buffer {
  return Buffer.concat([...list.flatMap(({ body, ...rest }) => [encodeTarHeader({ ...rest, size: body.length }), body, Buffer.alloc(tarPaddingOf(body.length))]), tarEnd]);
}

function readAll(pieces: readonly Uint8Array[]): Member[] {
  const reader = buildTarReader();
  const found: Member[] = [];
  let open: (Omit<Member, 'body'> & { parts: Buffer[]; size: number }) | undefined;
  for (const piece of pieces) {
    for (const event of reader.push(piece)) {
      if (event.kind === 'entry') {
        assert.equal(open, undefined);
        open = { ...event.entry, parts: [] };
      } else if (event.kind === 'data') open!.parts.push(Buffer.from(event.bytes));
      else {
        const { parts, size, ...rest } = open!;
        const body = Buffer.concat(parts);
        assert.equal(body.length, size);
        found.push({ ...rest, body });
        open = undefined;
      }
    }
  }
  reader.finish();
  return found;
}

suite('tar', () => {
  const archive = archiveOf(members);

  test('comes back as it went in, at every split point', () => {
    assert.deepEqual(readAll([archive]), members);
    for (let at = 1; at < archive.length; at += 1) assert.deepEqual(readAll([archive.subarray(0, at), archive.subarray(at)]), members, `split at ${at}`);
    assert.deepEqual(readAll(Array.from(archive, (byte) => Buffer.from([byte]))), members);
  });

  test('every truncation is noticed', () => {
    // Of the end, one block of zeros may be missing to the eye, but not to the reader.
    for (let length = 0; length < archive.length; length += 1) assert.throws(() => readAll([archive.subarray(0, length)]), (thrown) => isFault(thrown, 'bad-input'), `cut at ${length}`);
  });

  test('GNU tar reads it, and what tar writes is read', (t) => {
    try {
      execFileSync('tar', ['--version'], { stdio: 'ignore' });
    } catch {
      return t.skip('there is no tar here');
    }
    const dir = mkdtempSync(join(tmpdir(), 'postern-tar-'));
    try {
      writeFileSync(join(dir, 'ours.tar'), archive);
      assert.deepEqual(execFileSync('tar', ['--quoting-style=literal', '-tf', join(dir, 'ours.tar')], { env: { ...process.env, LC_ALL: 'C.UTF-8' } }).toString().trim().split('\n'), members.map(({ name }) => name));
      execFileSync('tar', ['-xf', join(dir, 'ours.tar'), '-C', dir]);
      assert.deepEqual(readFileSync(join(dir, longName)), members[3]!.body);
      execFileSync('tar', ['--format=pax', '-cf', join(dir, 'theirs.tar'), '-C', dir, 'manifest.json', longName]);
      assert.deepEqual(readAll([readFileSync(join(dir, 'theirs.tar'))]).map(({ name, body }) => [name, body.length]), [['manifest.json', 13], [longName, 512]]);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  test('a file of more than 8 GiB says so in a pax header', () => {
    const size = 9 * 1024 ** 3 + 5;
    const [event] = buildTarReader().push(encodeTarHeader({ name: 'postern.db', mode: 0o600, at, kind: 'file', size }));
    assert.deepEqual(event, { kind: 'entry', entry: { name: 'postern.db', mode: 0o600, at, kind: 'file', size } });
  });

  test('links, and other things that are neither file nor folder, are refused', () => {
    for (const type of ['1', '2', '3', '6', 'L', 'S']) {
      const header = encodeTarHeader({ name: 'a', mode: 0o600, at, kind: 'file', size: 0 });
      const sum = header.subarray(0, 512).reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 0x20 : byte), 0) - 0x30 + type.charCodeAt(0);
      header.write(type, 156, 'latin1');
      header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
      assert.throws(() => buildTarReader().push(header), /neither a file nor a folder/, type);
    }
  });

  test('flipped bytes throw nothing but a Fault, and the way they are split changes nothing (seed 20261120)', () => {
    let seed = 20261120;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const outcome = (pieces: readonly Uint8Array[]) => {
      try {
        return readAll(pieces);
      } catch (thrown) {
        assert.ok(isFault(thrown, 'bad-input'), String(thrown));
        return thrown.message;
      }
    };
    for (let round = 0; round < 2_000; round += 1) {
      const bytes = Buffer.from(archive);
      for (let flips = 1 + random(3); flips > 0; flips -= 1) bytes[random(bytes.length)]! ^= 1 << random(8);
      const cut = random(bytes.length);
      assert.deepEqual(outcome([bytes.subarray(0, cut), bytes.subarray(cut)]), outcome([bytes]));
    }
  });
});
