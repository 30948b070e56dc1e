// What a device brings, seen from the command line, the event stream and /metrics of a whole gateway.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import { openClient } from '#api/client.ts';
import type { CommandIo } from '#bin/io.ts';
import { dispatch } from '#bin/postern.ts';
import { finishesCleanly, request, startGateway, temporaryFolder, until, type TestGateway } from '../kit/gateway.ts';
import { askRaw } from '../kit/raw-device.ts';

const epoch = '5b1e0c77a1d2e3f4';

suite('feeds from the command line', { timeout: 60_000 }, () => {
  const folder = temporaryFolder();
  let gateway: TestGateway;
  let deviceId: string;
  let key: string;
  before(async () => {
    gateway = await startGateway();
    await gateway.owner();
    const added = await run('device', 'add', 'Lobby', '--serial', 'SN1', '--label', 'device-sn1', '--new-key', '--json');
    assert.equal(added.code, 0, added.err);
    deviceId = (JSON.parse(added.out) as { id: string }).id;
    key = /shown this once: (\S+)/.exec(added.err)![1]!;
  });
  after(async () => {
    await gateway?.close();
    folder[Symbol.dispose]();
  });

  const push = async (feed: string, offset: number, body: string | Buffer, headers: Record<string, string> = {}) =>
    askRaw(`https://127.0.0.1:${gateway.ports.https}/v1/default/push/SN1/${feed}/${epoch}?o=${offset}`, { method: 'POST', headers: { 'x-postern-key': key, ...headers }, body: Buffer.from(body) });

  function start(...args: string[]) {
    const text = { out: '', err: '' };
    const pieces: Buffer[] = [];
    const abort = new AbortController();
    const stream = (which: 'out' | 'err') => new PassThrough().on('data', (piece: Buffer) => {
      text[which] += piece.toString();
      if (which === 'out') pieces.push(piece);
    });
    const io: CommandIo = { stdin: new PassThrough().end(), stdout: stream('out'), stderr: stream('err'), env: { HOME: folder.path }, signal: abort.signal, isTerminal: false, columns: 200 };
    return { text, abort, bytes: () => Buffer.concat(pieces), done: dispatch([...args, '--data', gateway.dataDir], io) };
  }
  async function run(...args: string[]): Promise<{ code: number; out: string; err: string; bytes: Buffer }> {
    const { text, done, bytes } = start(...args);
    const code = await done;
    await new Promise((next) => setImmediate(next));
    return { code, ...text, bytes: bytes() };
  }
  const operate = async (...args: string[]) => {
    const ran = await run(...args);
    assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
    return ran.out;
  };

  test('nothing yet, and then what came', async () => {
    assert.match(await operate('feeds'), /^No device has brought anything yet\.\n$/);
    assert.equal((await push('cdr', 0, 'one\ntwo\nthr')).values.get('next'), '11');
    await push('cdr', 11, 'ee\nfo\u001bur\n');
    await push('cdr', 40, 'five\n', { 'x-postern-gap': '20-40;reason=wrap' });
    assert.equal((await push('cdr', 0, 'one\ntwo\nthr')).values.get('repeat'), '1');
    assert.match(await operate('feeds'), /^device-sn1 +cdr +25 B +5 +\S.* in \S+ +\d+ s ago +- +1 gap$/m);
    assert.match(await operate('feeds', 'device-sn1'), /cdr/);
    assert.match(await operate('feeds', 'default/Lobby'), /cdr/);
    const [feed] = JSON.parse(await operate('feeds', '--json')) as { batches: number; epoch: { repeats: number } }[];
    assert.deepEqual([feed?.batches, feed?.epoch.repeats], [4, 1]);
    const shown = await operate('feed', 'get', 'device-sn1/cdr');
    assert.match(shown, /^device +Lobby \(device-sn1\), serial SN1$/m);
    assert.match(shown, new RegExp(`^${epoch} +lines +0 +45 +5 +1 +20 .*open$`, 'm'));
    assert.match(shown, /^20 +40 +20 +wrap /m);
    assert.equal((await run('feeds', 'nobody')).code, 1);
  });

  test('records are read, searched and made safe for a terminal', async () => {
    const texts = (out: string) => out.trimEnd().split('\n').map((line) => line.replace(/^ *(\d+) {2}\S+ \S+ {2}/, '$1 '));
    const whole = ['0 one', '4 two', '8 three', '14 fo\\x1bur', '-- 20 bytes from 20 to 40 are lost: wrap', '40 five'];
    assert.deepEqual(texts(await operate('records', 'device-sn1/cdr')), whole);
    assert.deepEqual(texts(await operate('records', 'SN1/cdr', '--from', '0', '--limit', '2')), whole.slice(0, 2));
    assert.deepEqual(texts(await operate('records', 'device-sn1/cdr', '--last', '2')), whole.slice(3));
    assert.deepEqual(texts(await operate('records', 'device-sn1/cdr', '--grep', '^(one|five)$')), ['0 one', whole[4], '40 five']);
    const lines = (await operate('records', 'device-sn1/cdr', '--json')).trimEnd().split('\n').map((line) => JSON.parse(line) as { kind: string; text?: string });
    assert.deepEqual(lines.map(({ kind, text }) => text ?? kind), ['one', 'two', 'three', 'fo\u001bur', 'gap', 'five']);
    for (const args of [['--from', 'x'], ['--from', '0', '--last', '1'], ['--raw', 'x', '--grep', 'y'], ['--last', '0']]) assert.equal((await run('records', 'device-sn1/cdr', ...args)).code, 2, args.join(' '));
    assert.equal((await run('records', 'device-sn1/nothing')).code, 1);
    assert.match((await run('records', 'device-sn1/cdr', '--grep', '(')).err, /is no pattern/);
  });

  test('--follow shows what comes', async () => {
    const following = start('records', 'device-sn1/cdr', '--follow', '--last', '1');
    await until('the last record', () => following.text.out.includes('five'));
    await push('cdr', 45, 'six\nsev');
    await until('the next one', () => following.text.out.includes('six'));
    await push('cdr', 52, 'en\n');
    await until('the one that was open', () => following.text.out.includes('seven'));
    following.abort.abort();
    assert.equal(await following.done, 0);
    assert.deepEqual(following.text.out.match(/six/g), ['six']);
  });

  test('bytes come out as they went in, whole, and never over another file', async () => {
    const bytes = randomBytes(9_000_000);
    for (let at = 0; at < bytes.length; at += 3_000_000) assert.equal((await push('blob', at, bytes.subarray(at, at + 3_000_000), { 'x-postern-format': 'raw' })).status, 200);
    const file = join(folder.path, 'blob.bin');
    const said = await operate('records', 'device-sn1/blob', '--raw', file);
    assert.ok(readFileSync(file).equals(bytes), said);
    assert.match(said, new RegExp(`offsets 0 to 9000000 .*${createHash('sha256').update(bytes).digest('hex')}`));
    assert.equal((await run('records', 'device-sn1/blob', '--raw', file)).code, 1);
    await operate('records', 'device-sn1/blob', '--raw', file, '--force', '--from', '8999990');
    assert.ok(readFileSync(file).equals(bytes.subarray(-10)));
    assert.ok((await run('records', 'device-sn1/cdr', '--raw', '-')).bytes.equals(Buffer.from('one\ntwo\nthree\nfo\u001bur\nfive\nsix\nseven\n')));
  });

  test('a feed is removed by who means it, and the gateway ends in order', async () => {
    assert.equal((await run('feed', 'remove', 'device-sn1/blob')).code, 2);
    assert.match(await operate('feed', 'remove', 'device-sn1/blob', '--yes'), /^Removed SN1\/blob, 9\.0 MB\.\n$/);
    assert.doesNotMatch(await operate('feeds'), /blob/);
    // Ahead of what is here, as after a restore.
    assert.equal((await push('cdr', 900, 'late\n')).values.get('error'), 'gap');
    const { findings } = JSON.parse((await run('doctor', '--json')).out) as { findings: { id: string; status: string; evidence: string[] }[] };
    assert.deepEqual(findings.filter(({ id }) => ['feeds', 'waiting', 'contact'].includes(id)).map(({ id, status, evidence }) => [id, status, evidence.length]), [['feeds', 'warning', 1], ['waiting', 'ok', 0], ['contact', 'ok', 0]]);
    await finishesCleanly(gateway);
  });

  test('whoever listens is told, at most once a second; metrics count', async () => {
    const { token } = await gateway.owner();
    using client = openClient({ address: `http://127.0.0.1:${gateway.ports.http}`, token });
    const told: { deviceId: string; feed: string; news: string[] }[][] = [];
    const abort = new AbortController();
    let hello = false;
    const listening = client.events((name, data) => {
      if (name === 'hello') hello = true;
      if (name === 'feeds') told.push((data as { feeds: { deviceId: string; feed: string; news: string[] }[] }).feeds);
    }, abort.signal);
    await until('the stream', () => hello);
    for (let i = 0; i < 5; i++) await push('log', i * 2, `${i}\n`);
    await push('log', 0, 'X\n');
    const seen = await until('the news', () => told.flat().filter((each) => each.feed === 'log').length > 0 && told);
    const news = seen.flat().filter((each) => each.feed === 'log');
    assert.ok(news.length <= 2, 'gathered');
    assert.deepEqual([...new Set(news.flatMap((each) => each.news))].sort(), ['conflict', 'data', 'first']);
    assert.equal(news[0]!.deviceId, deviceId);
    abort.abort();
    await listening;
    const metrics = (await request(gateway.ports.http, { path: '/metrics', headers: { host: 'localhost' } })).body.toString();
    const value = (name: string) => Number(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (\\S+)$`, 'm').exec(metrics)?.[1]);
    assert.equal(value('postern_intake_conflicts_total'), 1);
    assert.equal(value('postern_intake_gaps_total'), 1);
    assert.equal(value('postern_intake_repeats_total'), 1);
    assert.equal(value('postern_intake_refused_total{code="conflict"}'), 1);
    assert.equal(value('postern_intake_batches_total'), value('postern_intake_commit_batches_sum') - 2, 'all but the conflict and the one that is ahead');
    assert.ok(value('postern_intake_commit_seconds_count') > 0 && value('postern_intake_commit_seconds_sum') > 0);
    assert.equal(value('postern_intake_waiting_batches'), 0);
  });
});
