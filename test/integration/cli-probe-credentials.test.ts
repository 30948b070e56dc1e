// `postern probe-credentials` on an agent's machine: secrets by standard input, and what a running agent then uses.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { dispatch } from '../../src/bin/postern.ts';
import { openProbeStream, startProbing } from '#kit/probing.ts';
import { openSnmpDevice } from '#kit/snmp-device.ts';

async function run(args: readonly string[], input = ''): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const said = { out: '', err: '' };
  const into = (name: 'out' | 'err') => new Writable({ write: (chunk, _encoding, done) => ((said[name] += String(chunk)), done()) });
  const code = await dispatch(['probe-credentials', ...args], { stdin: Readable.from([input]), stdout: into('out'), stderr: into('err'), env: {}, signal: new AbortController().signal, isTerminal: false, columns: 120 });
  return { code, ...said };
}

test('set, listed, used by a running agent, removed; never shown', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-agent-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const state = ['--state', folder];
  const nobody = await run(['list', ...state]);
  assert.deepEqual([nobody.code, /there is no agent in/.test(nobody.err)], [1, true]);
  writeFileSync(join(folder, 'agent.json'), JSON.stringify({ agentId: 'a', addresses: [], caFingerprint: 'f', key: 'k', certificate: 'c', ca: 'c' }), { mode: 0o600 });
  assert.match((await run(['list', ...state])).out, /"public" is tried/);

  await using probe = openProbeStream(startProbing({ stateDir: folder, policy: 'reach udp 127.0.0.1 1024-65535', limits: { probeQuestionTimeoutMs: 100 } }));
  await using device = await openSnmpDevice(({ community, oids }) => (community === 'swordfish-7' ? { values: oids.map((each) => [each, 7]) } : null));
  const place = { address: device.address, port: device.port, oids: ['1.3.6.1.2.1.1.1.0'] };
  assert.equal((await probe.refused('get', place)).code, 'silent');
  assert.deepEqual(await run(['set', 'office', '--network', '127.0.0.0/8', '--network', '192.0.2.0/24', ...state], 'swordfish-7\n'), { code: 0, out: 'The credentials office are set.\n', err: '' });
  assert.equal((await probe.ask('get', place))['credentials'], 'office');

  assert.equal((await run(['set', 'lab', '--user', 'postern', '--auth', 'sha256', '--priv', 'aes', '--context', 'Jetdirect', ...state], 'correct horse\nbattery staple\n')).code, 0);
  const listed = await run(['list', '--json', ...state]);
  assert.deepEqual(JSON.parse(listed.out), [
    { name: 'office', networks: ['127.0.0.0/8', '192.0.2.0/24'], version: 'v2c', user: null, context: null, authProtocol: null, privProtocol: null },
    { name: 'lab', networks: [], version: 'v3', user: 'postern', context: 'Jetdirect', authProtocol: 'sha256', privProtocol: 'aes' },
  ]);
  assert.match((await run(['list', ...state])).out, /office\s+v2c.*\n.*lab\s+v3\s+postern\s+sha256, aes\s+everywhere/);
  for (const name of readdirSync(folder)) assert.doesNotMatch(readFileSync(join(folder, name), 'latin1'), /swordfish|horse|staple/);

  assert.equal((await run(['remove', 'office', ...state])).code, 0);
  assert.equal((await probe.refused('get', place)).code, 'silent');
  assert.match((await run(['remove', 'office', ...state])).err, /no credentials "office"/);
});

test('what is wrong is said before a secret is read, and without it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-agent-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'agent.json'), JSON.stringify({ agentId: 'a', addresses: [], caFingerprint: 'f', key: 'k', certificate: 'c', ca: 'c' }), { mode: 0o600 });
  for (const [args, input, code, why] of [
    [[], '', 2, /list, set or remove/],
    [['show'], '', 2, /no "probe-credentials show"/],
    [['set'], '', 2, /name is missing/],
    [['set', 'x', 'swordfish-7'], '', 2, /standard input/],
    [['list', 'x'], '', 2, /takes no name/],
    [['set', 'x', '--auth', 'sha'], '', 2, /go with --user/],
    [['set', 'x', '--user', 'u', '--priv', 'aes'], '', 2, /goes with --auth/],
    [['set', 'x', '--user', 'u', '--v1'], '', 2, /--v1 is not/],
    [['set', 'x', '--user', 'u', '--auth', 'sha3'], 'swordfish-7\n', 1, /one of md5/],
    [['set', 'x', '--network', 'here'], 'swordfish-7\n', 1, /networks/],
    [['set', 'x'], 'swordfish-7\nswordfish-8\n', 2, /has 2 lines, and 1 is needed/],
    [['set', 'x', '--user', 'u', '--auth', 'sha'], 'swordf\n', 1, /8 to 128/],
    [['set', 'x'], '', 2, /has 0 lines/],
  ] as const) {
    const answer = await run([...args, '--state', folder], input);
    assert.deepEqual([answer.code, why.test(answer.err)], [code, true], `${args.join(' ')}: ${answer.code} ${answer.err}`);
    assert.doesNotMatch(answer.err + answer.out, /swordf/);
  }
  assert.deepEqual(readdirSync(folder), ['agent.json']);
});
