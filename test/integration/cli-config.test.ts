// Changing the configuration from the command line against a real gateway: for the time being, confirmed, taken back, come back by itself,
// with real ports and over a restart.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import { realClock } from '#app/real.ts';
import type { Clock } from '#base/clock.ts';
import type { CommandIo } from '#bin/io.ts';
import { dispatch } from '#bin/postern.ts';
import type { Config } from '#model/config.ts';
import { request, startGateway, temporaryFolder, until, type TestGateway } from '../kit/gateway.ts';

/** Two waits of the gateway are too long for a test: the time to confirm when it is 11 s, and until ports are tried again. */
const quick: Clock = { ...realClock, after: (delayMs, run) => realClock.after(delayMs === 11_000 ? 400 : delayMs === 10_000 ? 200 : delayMs, run) };

suite('the configuration from the command line', { timeout: 60_000 }, () => {
  const folder = temporaryFolder();
  const dataDir = join(folder.path, 'data');
  const file = join(folder.path, 'config.json');
  let gateway: TestGateway;
  let started = false;

  before(async () => {
    gateway = await startGateway({ dataDir, clock: quick });
    started = true;
    await gateway.owner();
  });
  after(async () => {
    if (started) await gateway.close();
    folder[Symbol.dispose]();
  });

  async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const text = { out: '', err: '' };
    const io: CommandIo = {
      stdin: new PassThrough().end(),
      stdout: new PassThrough().on('data', (piece) => (text.out += piece)),
      stderr: new PassThrough().on('data', (piece) => (text.err += piece)),
      env: { XDG_CONFIG_HOME: folder.path }, signal: new AbortController().signal, isTerminal: false, columns: 100,
    };
    return { code: await dispatch([...args, '--data', dataDir], io), ...text };
  }
  const operate = async (...args: string[]) => {
    const ran = await run(...args);
    assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
    return ran.out;
  };
  const state = async () => JSON.parse(await operate('history', '--json', '--limit', '1')) as [{ number: number; state: string; restores: number | null }];
  /** The configuration in force with something changed, in the file. */
  const write = async (change: (config: Config) => object) => {
    await operate('export', '-o', file);
    const config = JSON.parse(readFileSync(file, 'utf8')) as Config;
    writeFileSync(file, JSON.stringify({ ...config, ...change(config) }));
  };
  const page = (name: string, body: string) => ({ name, host: `${name}.example.test`, listeners: ['http'], target: { kind: 'respond', body } });
  const answerOf = async (name: string) => (await request(gateway.ports.http, { headers: { host: `${name}.example.test` } })).body.toString();

  test('what a file changes is shown before and while it is applied', async () => {
    await write(() => ({ routes: [page('wiki', 'old\n')] }));
    const dry = await operate('apply', '-f', file, '--dry-run', '--confirm', '60s');
    assert.match(dry, /^\+ routes wiki \(added\)\n(?: {4}\S.*\n)* {4}host: "wiki.example.test"\n(?: {4}\S.*\n)*It compiles/);
    assert.equal((await state())[0].number, 1);
    assert.match(await operate('apply', '-f', file), /^\+ routes wiki[^]*\nApplied as revision 2\.\n$/);
    await write(() => ({ routes: [page('wiki', 'new\n')] }));
    assert.match(await operate('apply', '-f', file), /^~ routes wiki\n {4}target\.body: "old\\n" -> "new\\n"\nApplied as revision 3\.\n$/);
    assert.match(await operate('diff'), /^From revision 2 to 3:\n~ routes wiki\n {4}target\.body/);
    assert.match(await operate('diff', '1'), /^From revision 1 to 3:\n\+ routes wiki/);
    assert.match(await operate('diff', '3', '1'), /^From revision 3 to 1:\n- routes wiki \(removed\)/);
    assert.match(await operate('diff', '3', '3'), /nothing differs/);
    for (const wrong of [['--confirm', '9s'], ['--confirm', '2h'], ['--confirm', 'soon'], ['--confirm', '']]) assert.equal((await run('apply', '-f', file, ...wrong)).code, 2, wrong.join(' '));
    for (const wrong of [['diff', '0'], ['diff', 'x'], ['rollback', '-1']]) assert.equal((await run(...wrong)).code, 2, wrong.join(' '));
    assert.match((await run('diff', '77')).err, /there is no revision 77/);
  });

  test('for the time being: in force at once, no second change meanwhile, and confirming keeps it', async () => {
    assert.match((await run('confirm')).err, /nothing waits to be confirmed: revision 3 is in force/);
    await write(() => ({ routes: [page('wiki', 'tried\n')] }));
    const said = await operate('apply', '-f', file, '--confirm', '5m');
    assert.match(said, /Applied as revision 4, for the time being\.\nUnless it is confirmed within 5 min \(by .*\), revision 3 comes back by itself\.\n.*postern confirm .*\n.*postern rollback/);
    assert.equal(await answerOf('wiki'), 'tried\n');
    const same = await run('apply', '-f', file);
    assert.equal(same.code, 1, 'the same again is not taken for confirming');
    await write(() => ({ routes: [] }));
    const second = await run('apply', '-f', file);
    assert.equal(second.code, 1);
    assert.match(second.err, /revision 4, applied by .* waits to be confirmed until .*\n.*postern confirm.*postern rollback/);
    assert.match(await operate('history'), /^4 .* waits to be confirmed +route wiki: target\.body[^]*in force for the time being/m);
    assert.match(await operate('confirm'), /Confirmed: revision 4 stays/);
    assert.equal((await state())[0].state, 'in-force');
  });

  test('unconfirmed, it comes back by itself; by hand, at once; and any earlier one by its number', async () => {
    await write(() => ({ routes: [page('wiki', 'forgotten\n')] }));
    await operate('apply', '-f', file, '--confirm', '11s');
    assert.equal(await answerOf('wiki'), 'forgotten\n');
    await until('the way back', async () => (await answerOf('wiki')) === 'tried\n');
    assert.deepEqual((await state()).map(({ number, restores }) => [number, restores]), [[6, 4]]);
    assert.match(await operate('history'), /^6 +\S+ \S+ +postern +in force +back to 4: route wiki[^]*^5 .* taken back /m);
    await operate('apply', '-f', file, '--confirm', '60s');
    assert.match(await operate('rollback'), /^~ routes wiki[^]*Revision 6 is back, as revision 8/);
    const unsaid = await run('rollback');
    assert.deepEqual([unsaid.code, /which revision/.test(unsaid.err)], [1, true]);
    assert.match(await operate('rollback', '2', '--confirm', '60s'), /Revision 2 is back, as revision 9, for the time being[^]*revision 8 comes back/);
    assert.equal(await answerOf('wiki'), 'old\n');
    await operate('confirm');
    assert.match(await operate('rollback', '2'), /says the same as revision 2/);
    assert.match(await operate('audit', '--what', 'config.rolled-back'), /postern .*config\.rolled-back .*undoes=5 restores=4 why="it was not confirmed in time"/);
  });

  test('a listener that moved comes back to its port; where another program has taken it, the rest does and it is tried again', async () => {
    const squatter = createServer();
    await new Promise<void>((listening) => squatter.listen(0, '127.0.0.1', listening));
    const { port } = squatter.address() as AddressInfo;
    await new Promise((closed) => squatter.close(closed));
    const extra = (listeners: Config['listeners'], more: object[]) => ({ listeners: [...listeners.filter((each) => each.name !== 'extra'), ...more] });
    await write(({ listeners }) => extra(listeners, [{ name: 'extra', address: '127.0.0.1', port, tls: false }]));
    await operate('apply', '-f', file);
    const isOpen = () => gateway.listeners.some((each) => each.name === 'extra');
    await write(({ listeners }) => extra(listeners, []));
    await operate('apply', '-f', file, '--confirm', '60s');
    assert.equal(isOpen(), false);
    await new Promise<void>((listening) => squatter.listen(port, '127.0.0.1', listening));
    const said = await operate('rollback');
    assert.match(said, new RegExp(`is back, as revision 12\\.\\nRemark: listener "extra" is not open: .*${port}`));
    assert.deepEqual([isOpen(), await answerOf('wiki')], [false, 'old\n']);
    assert.match(await operate('status'), /"extra" is not open/);
    await new Promise((closed) => squatter.close(closed));
    await until('the listener', isOpen);
    assert.doesNotMatch(await operate('status'), /not open/);
  });

  test('a gateway that ends meanwhile comes up with what was confirmed', async () => {
    await write(() => ({ routes: [page('wiki', 'risky\n')] }));
    await operate('apply', '-f', file, '--confirm', '1h');
    await gateway.close();
    gateway = await startGateway({ dataDir, clock: quick });
    assert.equal(await answerOf('wiki'), 'old\n');
    assert.match(await operate('history', '--limit', '2'), /^14 .* postern +in force +back to 12[^]*^13 .* taken back /m);
    assert.match(await operate('audit', 'verify'), /the chain is whole/);
  });
});
