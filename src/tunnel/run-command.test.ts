import assert from 'node:assert/strict';
import { test } from 'node:test';
import { realClock } from '#app/real.ts';
import { runCommand } from './run-command.ts';

const node = process.execPath;
const options = { clock: realClock, timeoutMs: 20_000, outputBytesMax: 1_024, env: { POSTERN_CERTIFICATE: 'web' } };
const script = (text: string, more = {}) => runCommand([node, '-e', text], { ...options, ...more });

test('exit code and the last lines of both outputs', async () => {
  assert.deepEqual(await script('console.log("fine")'), { exitCode: 0, how: 'exit code 0', output: 'fine' });
  assert.deepEqual(await script('console.error("bad\\u001b[31m"); process.exitCode = 3'), { exitCode: 3, how: 'exit code 3', output: 'bad\\x1b[31m' });
});

test('arguments are no shell’s business', async () => {
  const ran = await runCommand([node, '-e', 'console.log(process.argv[1])', '$(id); `id` > /x'], options);
  assert.equal(ran.output, '$(id); `id` > /x');
});

test('an environment of our own', async () => {
  process.env['POSTERN_TEST_SECRET'] = 'of the agent';
  try {
    const ran = await script('console.log(JSON.stringify(process.env))');
    const env = JSON.parse(ran.output) as Record<string, string>;
    assert.equal(env['POSTERN_TEST_SECRET'], undefined);
    assert.equal(env['POSTERN_CERTIFICATE'], 'web');
    assert.match(env['PATH']!, /^\/usr\/local\/sbin:/);
  } finally {
    delete process.env['POSTERN_TEST_SECRET'];
  }
});

test('much output: the end is kept', async () => {
  const ran = await script('for (let i = 0; i < 20000; i++) console.log("line " + i)');
  assert.equal(ran.exitCode, 0);
  assert.match(ran.output, /line 19999$/);
  assert.ok(ran.output.length <= 1_024 && ran.output.split('\n').length <= 20);
});

test('what takes too long is ended, with its children', async () => {
  const ran = await script('require("node:child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "inherit" }); console.log("begun"); setInterval(() => {}, 1000)', { timeoutMs: 1_500 });
  assert.equal(ran.exitCode, null);
  assert.match(ran.how, /did not end within 1.5 s/);
});

test('a signal, and a program that is not there', async () => {
  assert.deepEqual(await script('process.kill(process.pid, "SIGTERM"); setInterval(() => {}, 1000)'), { exitCode: null, how: 'ended by SIGTERM', output: '' });
  const ran = await runCommand(['/nowhere/at/all'], options);
  assert.equal(ran.exitCode, null);
  assert.match(ran.how, /cannot be started: .*ENOENT/);
});
