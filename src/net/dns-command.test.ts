import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { isFault, type FaultCode } from '#base/fault.ts';
import { runHook, type HookOrder } from './dns-command.ts';

function openFolder(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const order: HookOrder = { folder, command: 'hook', do: 'add', name: '_acme-challenge.a.example.test', value: 'a "$(touch shell)" b', signal: new AbortController().signal };
  const program = (text: string, mode = 0o700) => {
    writeFileSync(join(folder, 'hook'), text);
    chmodSync(join(folder, 'hook'), mode);
  };
  return { folder, order, program };
}

const faulty = (code: FaultCode, pattern: RegExp) => (thrown: unknown) => isFault(thrown, code) && pattern.test(thrown.message);

test('three arguments as they are, and an environment of its own', async (t) => {
  const { folder, order, program } = openFolder(t);
  process.env['POSTERN_TEST_SECRET'] = 'secret';
  t.after(() => delete process.env['POSTERN_TEST_SECRET']);
  program('#!/bin/sh\nprintf "%s\\n" "$#" "$@" > said\nenv | sort | cut -d= -f1 > names\n');
  await runHook(order);
  assert.equal(readFileSync(join(folder, 'said'), 'utf8'), '3\nadd\n_acme-challenge.a.example.test\na "$(touch shell)" b\n');
  assert.ok(!existsSync(join(folder, 'shell')));
  assert.doesNotMatch(readFileSync(join(folder, 'names'), 'utf8'), /POSTERN|NODE/);
});

test('a failure says its exit code and its last words', async (t) => {
  const { order, program } = openFolder(t);
  program('#!/bin/sh\necho working\necho "no such zone" >&2\nexit 3\n');
  await assert.rejects(runHook(order), faulty('internal', /failed \(exit code 3\): .*no such zone/));
});

test('called off: it and its children end', async (t) => {
  const { folder, order, program } = openFolder(t);
  program('#!/bin/sh\nsleep 60 &\necho $! > child\nwait\n');
  const ending = new AbortController();
  const running = runHook({ ...order, signal: ending.signal });
  const rejected = assert.rejects(running, faulty('closed', /called off/));
  while (!existsSync(join(folder, 'child')) || readFileSync(join(folder, 'child'), 'utf8') === '') await new Promise((next) => setTimeout(next, 5));
  ending.abort();
  await rejected;
  const pid = Number(readFileSync(join(folder, 'child'), 'utf8'));
  const isAlive = () => existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  for (let i = 0; i < 200 && isAlive(); i++) await new Promise((next) => setTimeout(next, 5));
  assert.equal(isAlive(), false);
});

test('who says too much is ended', async (t) => {
  const { order, program } = openFolder(t);
  program('#!/bin/sh\nwhile :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done\n');
  await assert.rejects(runHook(order), faulty('too-large', /says more than/));
});

test('nothing is run that somebody else could have written', async (t) => {
  const { folder, order, program } = openFolder(t);
  await assert.rejects(runHook(order), faulty('not-found', /there is no command/));
  program('#!/bin/sh\ntouch ran\n', 0o722);
  await assert.rejects(runHook(order), faulty('forbidden', /others may write to .*hook/));
  program('#!/bin/sh\ntouch ran\n', 0o600);
  await assert.rejects(runHook(order), faulty('forbidden', /not an executable file/));
  rmSync(join(folder, 'hook'));
  symlinkSync('/bin/true', join(folder, 'hook'));
  await assert.rejects(runHook(order), faulty('forbidden', /symbolic link/));
  rmSync(join(folder, 'hook'));
  program('#!/bin/sh\ntouch ran\n');
  chmodSync(folder, 0o777);
  await assert.rejects(runHook(order), faulty('forbidden', /others may write/));
  assert.ok(!existsSync(join(folder, 'ran')));
});
