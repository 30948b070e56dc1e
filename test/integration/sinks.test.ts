// Sinks of a gateway that is killed again and again while it delivers: each target ends with every record, and none twice where the
// page says so (docs/operate/sinks.md).
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { signatureOf } from '#fleet/post-json.ts';
import { request, until } from '../kit/gateway.ts';
import { openProcesses, startServe, type Served } from '../kit/processes.ts';

interface Item {
  readonly kind: string;
  readonly off: number;
  readonly text?: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

interface Hooked {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly taken: boolean;
}

/** Takes two of three requests; of the third nobody hears that it was taken. */
async function startHook(answer: (count: number, path: string) => number | 'cut') {
  const seen: Hooked[] = [];
  const server = createServer((asked, reply) => {
    const pieces: Buffer[] = [];
    asked.on('data', (piece: Buffer) => pieces.push(piece));
    asked.on('end', () => {
      const status = answer(seen.length, asked.url!);
      seen.push({ headers: asked.headers, body: Buffer.concat(pieces).toString(), taken: status === 'cut' || status < 300 });
      if (status === 'cut') asked.socket.destroy();
      else reply.writeHead(status).end();
    });
    asked.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, close: () => { server.closeAllConnections(); server.close(); } };
}

async function configure(served: Served, more: Readonly<Record<string, unknown>>): Promise<void> {
  const { config, revision } = await served.ask<{ config: Record<string, unknown>; revision: number }>('GET', '/config');
  const headers = { host: 'localhost', authorization: `Bearer ${served.token}`, 'content-type': 'application/json', 'if-match': `"${revision}"` };
  const answer = await request(served.httpPort, { method: 'PUT', path: '/api/v1/config', headers, body: JSON.stringify({ ...config, strangers: [{ policy: 'wait', keyless: true }], ...more }) });
  assert.equal(answer.status, 200, answer.body.toString());
}

const linesOf = (from: number, count: number) => Array.from({ length: count }, (_, index) => `${from + index},call ${from + index},${((from + index) * 7) % 600}\n`).join('');

/** A device that never gives up: the gateway may go at any moment. */
async function push(served: Served, path: string, at: number, body: string): Promise<number> {
  return until('a batch to be stored', async () => {
    const answer = await request(served.httpPort, { method: 'POST', path: `${path}?o=${at}`, headers: { host: 'localhost' }, body }).catch(() => null);
    const next = /next=(\d+)/.exec(answer?.body.toString() ?? '')?.[1];
    return answer?.status === 200 && next !== undefined ? Number(next) : undefined;
  }, 30_000);
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).sort();
}

const itemsOf = (folder: string): Item[] =>
  filesBelow(folder).flatMap((path) => {
    const bytes = readFileSync(path);
    return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Item);
  });

test('files, a database and a web address, under kill -9: every record, exactly once where it is promised', { timeout: 180_000 }, async () => {
  await using processes = openProcesses();
  const served = await startServe(processes);
  const hook = await startHook((count) => (count % 5 === 3 ? 'cut' : count % 7 === 4 ? 500 : 200));
  processes.defer(() => hook.close());
  await served.ask('PUT', '/secrets/hook-key', { value: 'shared with the receiver' });
  await served.ask('POST', '/devices', { name: 'PBX', serial: 'SN1' });
  const parser = { kind: 'csv', columns: [{ name: 'number', type: 'integer' }, 'what', { name: 'seconds', type: 'duration' }] };
  await configure(served, {
    sinks: [
      { name: 'disk', kind: 'files', folder: 'out', rotateBytes: 20_000 },
      { name: 'rows', kind: 'sql', database: 'calls.db', table: 'calls', parser },
      { name: 'web', kind: 'webhook', url: hook.url, secret: 'hook-key', batchRecords: 40, batchMs: 0 },
    ],
  });
  const path = `/v1/default/push/SN1/cdr/${randomBytes(8).toString('hex')}`;
  let [at, sent] = [0, 0];
  for (let round = 0; round < 12; round += 1) {
    const body = linesOf(sent, 60);
    at = await push(served, path, at, body);
    sent += 60;
    if (round % 3 === 1) {
      // In the middle of whatever it delivers: the moment is another one in each round.
      await new Promise((resolve) => setTimeout(resolve, round * 9));
      served.process.kill('SIGKILL');
      await served.process.ended;
      await served.restart();
    }
  }
  // A gap goes along as one.
  const lost = await request(served.httpPort, { method: 'POST', path: `${path}?o=${at + 100}`, headers: { host: 'localhost', 'x-postern-gap': `${at}-${at + 100};reason=wrap` }, body: linesOf(sent, 1) });
  assert.equal(lost.status, 200, lost.body.toString());
  sent += 1;
  await until('everything to be delivered', async () => (await served.ask<{ items: { state: string; lagBytes: number }[] }>('GET', '/sinks')).items.every(({ state, lagBytes }) => state === 'running' && lagBytes === 0), 60_000);
  const expected = Array.from({ length: sent }, (_, index) => linesOf(index, 1).trimEnd());

  const stored = itemsOf(join(served.dataDir, 'sinks', 'out'));
  assert.deepEqual(stored.filter(({ kind }) => kind === 'record').map(({ text }) => text), expected, 'files: each once, in order');
  assert.equal(stored.filter(({ kind }) => kind === 'gap').length, 1);

  const database = new DatabaseSync(join(served.dataDir, 'sinks', 'calls.db'), { readOnly: true });
  const rows = database.prepare("select raw, number, what, seconds from calls where kind = 'record' order by off").all() as { raw: string; number: number; what: string; seconds: number }[];
  assert.deepEqual(rows.map(({ raw }) => raw), expected, 'rows: each once');
  assert.deepEqual({ ...rows[3], raw: '' }, { raw: '', number: 3, what: 'call 3', seconds: 21 });
  assert.deepEqual(database.prepare("select count(*) as n from calls where kind = 'gap' and error = 'wrap'").get()!['n'], 1);
  database.close();

  // The same key always had the same body; by keys everything is there once.
  const byKey = new Map<string, string>();
  for (const { headers, body, taken } of hook.seen) {
    const key = String(headers['idempotency-key']);
    if (byKey.has(key)) assert.equal(byKey.get(key), body, `the body of ${key}`);
    const signed = String(headers['x-postern-signature']);
    assert.equal(signed, signatureOf(Buffer.from('shared with the receiver'), Number(/^t=(\d+),/.exec(signed)![1]), body));
    if (taken) byKey.set(key, body);
  }
  const hooked = Array.from(byKey.values(), (body) => (JSON.parse(body) as { items: Item[] }).items).flat().filter(({ kind }) => kind === 'record').sort((a, b) => a.off - b.off);
  assert.deepEqual(hooked.map(({ text }) => text), expected, 'web: by keys each once');
  assert.ok(hook.seen.filter(({ taken }) => taken).length > byKey.size, 'at least one batch came twice');

  // Again from an offset on: rows are made anew, files say that they are of a second run.
  const feedId = (await served.ask<{ items: { id: string }[] }>('GET', '/feeds')).items[0]!.id;
  for (const sink of ['rows', 'disk']) await served.ask('POST', `/sinks/${sink}/replay`, { feedId, offset: 0 });
  await until('the replay', async () => (await served.ask<{ items: { lagBytes: number }[] }>('GET', '/sinks')).items.every(({ lagBytes }) => lagBytes === 0), 30_000);
  const again = new DatabaseSync(join(served.dataDir, 'sinks', 'calls.db'), { readOnly: true });
  assert.equal(again.prepare("select count(*) as n from calls where kind = 'record'").get()!['n'], sent);
  again.close();
  const second = filesBelow(join(served.dataDir, 'sinks', 'out')).filter((name) => /-r1\.ndjson/.test(name));
  assert.ok(second.length > 0);
  const audit = await served.ask<{ items: { what: string; detail: unknown }[] }>('GET', '/audit?limit=50');
  assert.equal(audit.items.filter(({ what }) => what === 'sink.replayed').length, 2);
  assert.ok(audit.items.some(({ what }) => what === 'secret.set'));
  assert.ok(!JSON.stringify(audit).includes('shared with') && !served.logs().includes('shared with'));
});

test('an alert is told once, whatever happens in between; a web address that wants no more is left alone', { timeout: 120_000 }, async () => {
  await using processes = openProcesses();
  const served = await startServe(processes);
  const hook = await startHook((count, path) => (path.endsWith('gone') ? 410 : count < 2 ? 500 : 200));
  processes.defer(() => hook.close());
  await served.ask('POST', '/devices', { name: 'PBX', serial: 'SN1' });
  await configure(served, {
    feeds: [{ name: 'calls', alerts: [{ name: 'emergency', pattern: '\\b911\\b', webhook: hook.url }, { name: 'quiet', pattern: 'quiet' }] }],
    sinks: [
      { name: 'gone', kind: 'webhook', url: `${hook.url}/gone` },
      { name: 'unset', kind: 'webhook', url: hook.url, secret: 'not-there' },
    ],
  });
  const path = `/v1/default/push/SN1/cdr/${randomBytes(8).toString('hex')}`;
  await push(served, path, 0, 'call 1\ncall 911\nquiet\n');
  const alertsOf = async () => (await served.ask<{ items: { alert: string; state: string; tries: number; record: string }[] }>('GET', '/alerts')).items;
  const posted = () => hook.seen.filter(({ headers }) => headers['x-postern-alert'] !== undefined);
  await until('a first try', () => Promise.resolve(posted().length > 0));
  const journal = await served.ask<{ items: { event: string; fields: { alert?: string } }[] }>('GET', '/journal?event=feed.alert');
  assert.deepEqual(journal.items.map(({ fields }) => fields.alert).sort(), ['emergency', 'quiet']);
  served.process.kill('SIGKILL');
  await served.process.ended;
  await served.restart();
  await until('the alert to be taken', async () => (await alertsOf()).every(({ state }) => state === 'done'), 40_000);
  assert.deepEqual((await alertsOf()).map(({ alert, record }) => [alert, record]).sort(), [['emergency', 'call 911'], ['quiet', 'quiet']]);
  const keys = new Set(posted().map(({ headers }) => headers['idempotency-key']));
  assert.equal(keys.size, 1, 'one key for all tries');
  assert.equal(posted().filter(({ taken }) => taken).length, 1);

  const sinks = await until('both sinks to have been tried', async () => {
    const { items } = await served.ask<{ items: { name: string; state: string; lastError: string | null }[] }>('GET', '/sinks');
    return items.every(({ lastError }) => lastError !== null) ? items : undefined;
  });
  assert.equal(sinks.find(({ name }) => name === 'gone')!.state, 'refused');
  assert.equal(sinks.find(({ name }) => name === 'unset')!.state, 'broken');
  const status = await served.ask<{ remarks: string[] }>('GET', '/status');
  assert.ok(status.remarks.some((each) => each.includes('secret not-there')), status.remarks.join('; '));
});
