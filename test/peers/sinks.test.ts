// Sinks to programs of others: a real NATS server with JetStream, and PostgreSQL, while the gateway is killed in between.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Consumer, stringDeserializers } from '@platformatic/kafka';
import { request, root, until } from '../kit/gateway.ts';
import { findPeers } from '../kit/peers.ts';
import { startPostgres, postgresPassword, withoutPostgres } from '../kit/postgres.ts';
import { freePort, openProcesses, startServe, type Processes, type Served } from '../kit/processes.ts';

const nats = findPeers(['nats-server']);

async function configure(served: Served, sinks: readonly object[]): Promise<void> {
  const { config, revision } = await served.ask<{ config: Record<string, unknown>; revision: number }>('GET', '/config');
  const headers = { host: 'localhost', authorization: `Bearer ${served.token}`, 'content-type': 'application/json', 'if-match': `"${revision}"` };
  const answer = await request(served.httpPort, { method: 'PUT', path: '/api/v1/config', headers, body: JSON.stringify({ ...config, strangers: [{ policy: 'wait', keyless: true }], sinks }) });
  assert.equal(answer.status, 200, answer.body.toString());
}

const recordsOf = (from: number, count: number) => Array.from({ length: count }, (_, index) => `{"n":${from + index},"text":"caf\u00e9 ${from + index}"}`);

/** Pushes while the gateway dies every few batches; what was sent. */
async function pushUnderKills(served: Served, rounds: number): Promise<string[]> {
  const path = `/v1/default/push/SN1/cdr/${randomBytes(8).toString('hex')}`;
  const sent: string[] = [];
  let at = 0;
  for (let round = 0; round < rounds; round += 1) {
    const records = recordsOf(sent.length, 150);
    const body = `${records.join('\n')}\n`;
    at = await until('a batch to be stored', async () => {
      const answer = await request(served.httpPort, { method: 'POST', path: `${path}?o=${at}`, headers: { host: 'localhost' }, body }).catch(() => null);
      const next = /next=(\d+)/.exec(answer?.body.toString() ?? '')?.[1];
      return answer?.status === 200 && next !== undefined ? Number(next) : undefined;
    }, 30_000);
    sent.push(...records);
    if (round % 2 === 0) {
      await new Promise((resolve) => setTimeout(resolve, 15 + round * 12));
      served.process.kill('SIGKILL');
      await served.process.ended;
      await served.restart();
    }
  }
  return sent;
}

async function delivered(served: Served): Promise<void> {
  await until('everything to be delivered', async () => (await served.ask<{ items: { state: string; lagBytes: number }[] }>('GET', '/sinks')).items.every(({ state, lagBytes }) => state === 'running' && lagBytes === 0), 60_000);
}

test('NATS JetStream: every record once, under kill -9 of the gateway and a restart of the server', { skip: nats.skip, timeout: 150_000 }, async () => {
  await using processes = openProcesses();
  const port = await freePort();
  const folder = join(processes.folder, 'jetstream');
  mkdirSync(folder);
  const startNats = async () => {
    const server = processes.start(nats.path('nats-server'), ['--addr', '127.0.0.1', '--port', String(port), '--jetstream', '--store_dir', folder, '--auth', 'a token']);
    await server.says(/Server is ready/);
    return server;
  };
  const server = await startNats();
  const client = await connect({ servers: `127.0.0.1:${port}`, token: 'a token' });
  processes.defer(() => client.close());
  await (await jetstreamManager(client)).streams.add({ name: 'CALLS', subjects: ['calls.>'] });
  const served = await startServe(processes);
  await served.ask('PUT', '/secrets/nats', { value: 'a token' });
  await served.ask('POST', '/devices', { name: 'PBX', serial: 'SN1' });
  await configure(served, [{ name: 'bus', kind: 'nats', servers: [`127.0.0.1:${port}`], subject: 'calls.{customer}.{serial}.{feed}', secret: 'nats', parser: { kind: 'json', columns: [{ name: 'n', type: 'integer' }] } }]);
  const sent = await pushUnderKills(served, 4);
  await server.stop('SIGKILL');
  await startNats();
  sent.push(...(await pushUnderKills(served, 1)));
  await delivered(served);
  // Another connection: the first has the server's death behind it, and comes back when it does.
  const reader = await connect({ servers: `127.0.0.1:${port}`, token: 'a token' });
  processes.defer(() => reader.close());
  const consumer = await jetstream(reader).consumers.get('CALLS');
  const got: { subject: string; text: string; off: number; epoch: string; fields: { n: number } }[] = [];
  for await (const message of await consumer.fetch({ max_messages: sent.length + 100, expires: 5_000 })) {
    got.push({ subject: message.subject, ...message.json<Omit<(typeof got)[number], 'subject'>>() });
    if (message.info.pending === 0) break;
  }
  assert.equal(new Set(got.map(({ epoch, off }) => `${epoch}:${off}`)).size, got.length, 'none twice');
  assert.deepEqual(got.map(({ text }) => text).sort(), [...sent].sort());
  assert.ok(got.every(({ subject, text, fields }) => subject === 'calls.default.SN1.cdr' && fields.n === (JSON.parse(text) as { n: number }).n));
});

test('PostgreSQL: rows and position in one transaction, under kill -9 of either side', { skip: withoutPostgres, timeout: 150_000 }, async () => {
  await using processes = openProcesses();
  const server = await startPostgres();
  processes.defer(() => server[Symbol.asyncDispose]());
  const address = await server.makeDatabase();
  const served = await startServe(processes);
  await served.ask('PUT', '/secrets/pg', { value: postgresPassword });
  await served.ask('POST', '/devices', { name: 'PBX', serial: 'SN1' });
  const plain = new URL(address);
  plain.password = '';
  await configure(served, [{ name: 'rows', kind: 'sql', database: plain.toString(), table: 'calls', secret: 'pg', parser: { kind: 'json', columns: [{ name: 'n', type: 'integer' }, 'text'], key: ['n'] } }]);
  const sent = await pushUnderKills(served, 4);
  await server.stop('kill');
  await server.start();
  const more = await pushUnderKills(served, 1);
  await delivered(served);
  const rows = await server.ask(address, "select raw, n::int as n, text, epoch from calls where kind = 'record' order by n");
  // The second life of the device began its numbers again: what has the same number was there.
  assert.equal(more.length, 150);
  assert.deepEqual(rows.map(({ raw }) => raw), sent);
  assert.equal(rows[7]!['text'], 'caf\u00e9 7');
  const [position] = await server.ask(address, 'select count(*)::int as n from postern_position');
  assert.equal(position!['n'], 2);
  assert.ok(!served.logs().includes(postgresPassword));
});

const go = findPeers(['go'], { optional: true });

/** A broker in memory; null when its library cannot be had here. */
async function startKafka(processes: Processes, t: TestContext): Promise<string | null> {
  const program = join(processes.folder, 'kafka-broker');
  const names = ['GOPATH', 'GOCACHE', 'GOMODCACHE', 'GOPROXY', 'GOFLAGS', 'GONOSUMDB', 'GONOSUMCHECK', 'GOSUMDB', 'https_proxy', 'HTTPS_PROXY', 'SSL_CERT_FILE'];
  const env = Object.fromEntries(names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]!]])));
  const built = await processes.run(go.path('go'), ['build', '-o', program, '.'], { cwd: join(root, 'test', 'peers', 'kafka-broker'), env: { ...env, HOME: homedir() }, timeoutMs: 240_000 });
  if (built.code !== 0) {
    assert.match(built.stderr, /dial tcp|no such host|connection refused|i\/o timeout|module lookup disabled|proxyconnect/, built.stderr);
    t.skip(`the library github.com/twmb/franz-go cannot be had here (go mod download in test/peers/kafka-broker): ${built.stderr.split('\n', 1)[0]}`);
    return null;
  }
  const broker = processes.start(program, []);
  return (await broker.says(/(127\.0\.0\.1:\d+)/))[1]!;
}

test('Kafka: every record, by its id once, under kill -9 of the gateway', { skip: go.skip, timeout: 400_000 }, async (t) => {
  await using processes = openProcesses();
  const broker = await startKafka(processes, t);
  if (broker === null) return;
  const served = await startServe(processes);
  await served.ask('POST', '/devices', { name: 'PBX', serial: 'SN1' });
  await configure(served, [{ name: 'lake', kind: 'kafka', brokers: [broker], topic: 'calls' }]);
  const sent = await pushUnderKills(served, 4);
  await delivered(served);
  const consumer = new Consumer({ clientId: 'test', groupId: 'test', bootstrapBrokers: [broker], deserializers: stringDeserializers });
  const byId = new Map<string, string>();
  try {
    const stream = await consumer.consume({ topics: ['calls'], mode: 'earliest', autocommit: false });
    for await (const { key, value, headers } of stream) {
      assert.equal(key, 'default/SN1/cdr');
      const { epoch, off, text } = JSON.parse(value) as { epoch: string; off: number; text: string };
      assert.equal(headers.get('postern-id'), `${key}/${epoch}:${off}`);
      byId.set(`${epoch}:${off}`, text);
      if (byId.size === sent.length) break;
    }
  } finally {
    await consumer.close(true);
  }
  assert.deepEqual([...byId.values()], sent, 'in order');
});
