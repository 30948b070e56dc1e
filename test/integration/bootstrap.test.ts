// The way in on a machine where something is missing: what scripts/start.mjs says first.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { root, temporaryFolder } from '../kit/gateway.ts';

function checkout(path: string): void {
  mkdirSync(join(path, 'scripts'));
  for (const file of ['package.json', 'package-lock.json', join('scripts', 'start.mjs')]) copyFileSync(join(root, file), join(path, file));
}

function program(path: string, text: string): void {
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}

const start = (path: string, bin: string) => spawnSync(process.execPath, [join(path, 'scripts', 'start.mjs'), 'start'], { encoding: 'utf8', cwd: path, env: { PATH: [bin, process.env['PATH']].join(delimiter), HOME: path } });

test('without libatomic1 the first line is the command that installs it, before anything is downloaded', () => {
  using folder = temporaryFolder();
  checkout(folder.path);
  const bin = join(folder.path, 'bin');
  mkdirSync(bin);
  program(join(bin, 'ldconfig'), 'echo "	libc.so.6 (libc6,x86-64) => /lib/x86_64-linux-gnu/libc.so.6"');
  program(join(bin, 'npm'), 'echo "npm was asked to install" >&2; exit 9');
  const done = start(folder.path, bin);
  assert.equal(done.status, 1);
  assert.equal(`${done.stdout}${done.stderr}`.split('\n', 1)[0], 'apt-get install -y libatomic1');
  assert.doesNotMatch(done.stderr, /npm was asked/);
});

test('a runtime that is installed but cannot load says the same', { skip: process.platform !== 'linux' && 'the loader of Linux' }, () => {
  using folder = temporaryFolder();
  checkout(folder.path);
  const bin = join(folder.path, 'bin');
  const runtime = join(folder.path, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin');
  mkdirSync(bin);
  mkdirSync(runtime, { recursive: true });
  // What npm would have made; the stamp is written by the script itself.
  program(join(bin, 'npm'), 'exit 0');
  program(join(runtime, 'node'), 'echo "error while loading shared libraries: libatomic.so.1: cannot open shared object file" >&2; exit 127');
  const done = start(folder.path, bin);
  assert.equal(done.status, 1);
  assert.equal(done.stderr.split('\n', 1)[0], 'apt-get install -y libatomic1');
});

test('an npm that fails is told as such and nothing is started', () => {
  using folder = temporaryFolder();
  checkout(folder.path);
  const bin = join(folder.path, 'bin');
  mkdirSync(bin);
  program(join(bin, 'ldconfig'), 'echo "	libatomic.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libatomic.so.1"');
  program(join(bin, 'npm'), 'echo "no network" >&2; exit 9');
  const done = start(folder.path, bin);
  assert.equal(done.status, 1);
  assert.match(done.stderr, /no network[\s\S]*npm ci failed/);
});
