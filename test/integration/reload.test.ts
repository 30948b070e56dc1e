// Changes under load: certificates swapped, routes, TLS policies and listeners changed, while requests go on over standing and new connections. None
// fails, and what is relayed stays.
import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { Agent, request as httpsRequest } from 'node:https';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { test } from 'node:test';
import { startEcho } from '#kit/peers.ts';
import { knock, get, putCertificate } from '#kit/tls-door.ts';
import { makeCertificate, rsaKeys } from '../kit/authority.ts';
import { finishesCleanly, portOf, startGateway, startTcp, until, type TestGateway } from '../kit/gateway.ts';

const now = Date.now();
const host = 'app.example.test';

interface Load {
  readonly done: number;
  readonly failed: readonly string[];
  /** So many more requests have been answered, of each kind. */
  more(): Promise<void>;
  stop(): Promise<void>;
}

/** Who keeps a connection, who makes a new one each time, and HTTP/2. */
function startLoad(port: number, ca: string[]): Load {
  const failed: string[] = [];
  const counts: number[] = [];
  const end = new AbortController();
  const one = (agent: Agent, kind: string) =>
    new Promise<void>((done) => {
      const sent = httpsRequest({ host: '127.0.0.1', port, servername: host, ca, agent, path: '/x', headers: { host } }, (answer) => {
        if (answer.statusCode !== 200) failed.push(`${kind}: ${answer.statusCode}`);
        answer.resume().on('end', done).on('error', (error) => (failed.push(`${kind}: ${error.message}`), done()));
      });
      sent.setTimeout(20_000, () => void sent.destroy(new Error('no answer')));
      sent.on('error', (error) => (failed.push(`${kind}: ${error.message}`), done()));
      sent.end();
    });
  const worker = async (kind: string, keepAlive: boolean) => {
    const index = counts.push(0) - 1;
    const agent = new Agent({ keepAlive, maxSockets: 1, ...(keepAlive ? {} : { maxCachedSessions: 0 }) });
    while (!end.signal.aborted) {
      await one(agent, kind);
      counts[index]! += 1;
      await new Promise((next) => setTimeout(next, 2));
    }
    agent.destroy();
  };
  const http2 = async () => {
    const index = counts.push(0) - 1;
    const client = connectHttp2(`https://127.0.0.1:${port}`, { servername: host, ca });
    client.on('error', (error) => failed.push(`h2: ${error.message}`));
    client.on('goaway', () => failed.push('h2: goaway'));
    while (!end.signal.aborted) {
      await new Promise<void>((done) => {
        const stream = client.request({ ':authority': host, ':path': '/x' });
        stream.on('response', (head) => head[':status'] !== 200 && failed.push(`h2: ${head[':status']}`));
        stream.on('error', (error) => failed.push(`h2: ${error.message}`)).on('close', done).resume().end();
      });
      counts[index]! += 1;
      await new Promise((next) => setTimeout(next, 2));
    }
    client.destroy();
  };
  const running = [...Array.from({ length: 6 }, () => worker('standing', true)), ...Array.from({ length: 4 }, () => worker('new', false)), http2(), http2()];
  return {
    get done() {
      return counts.reduce((sum, each) => sum + each, 0);
    },
    failed,
    async more() {
      const before = [...counts];
      await until('more requests of each kind', () => failed.length > 0 || counts.every((each, i) => each >= before[i]! + 5));
      assert.deepEqual(failed, []);
    },
    async stop() {
      end.abort();
      await Promise.all(running);
    },
  };
}

async function buildChange(gateway: TestGateway) {
  const { token } = await gateway.owner();
  return async (edit: (config: Record<string, unknown[]>) => Record<string, unknown>) => {
    const now = await gateway.api('GET', '/config', { token });
    const config = now.json['config'] as Record<string, unknown[]>;
    const put = await gateway.api('PUT', '/config', { token, headers: { 'if-match': `"${String(now.json['revision'])}"` }, body: { ...config, ...edit(config) } });
    assert.equal(put.status, 200, put.text);
  };
}

interface Standing {
  /** Says something, hears it again. */
  ask(): Promise<void>;
  close(): void;
}
function standingOver(socket: Socket, first: Buffer): Standing {
  let heard = Buffer.alloc(0);
  let expected = first.length;
  socket.on('error', () => {});
  socket.on('data', (piece: Buffer) => (heard = Buffer.concat([heard, piece])));
  socket.write(first);
  return {
    async ask() {
      await until('what was said before', () => heard.length >= expected || socket.destroyed);
      assert.equal(socket.destroyed, false, 'a relay that stood has ended');
      expected += first.length;
      socket.write(first);
      await until('the echo', () => heard.length >= expected || socket.destroyed);
      assert.equal(socket.destroyed, false, 'a relay that stood has ended');
    },
    close: () => void socket.destroy(),
  };
}

const bind = (() => {
  const op = Buffer.concat([Buffer.from([0x02, 1, 3, 0x04, 21]), Buffer.from('pbx.example.test\\anna'), Buffer.from([0x80, 1, 0x78])]);
  return Buffer.concat([Buffer.from([0x30, op.length + 5, 2, 1, 1, 0x60, op.length]), op]);
})();

test('changes under load fail no request and end no relay', { timeout: 120_000 }, async () => {
  await using origin = await startEcho();
  await using echo = await startTcp((socket) => void socket.on('data', (piece: Buffer) => socket.write(piece)).on('end', () => socket.end()));
  const to = (port: number) => ({ kind: 'tcp', host: '127.0.0.1', port });
  const web = { name: 'web', host, target: to(origin.port) };
  await using gateway = await startGateway({
    domain: 'gw.example.test',
    config: { listeners: [{ name: 'relays', tls: false, protocols: ['ldap', 'tcp'] }, { name: 'secured', tls: true, protocols: ['tcp'] }] },
    routes: [
      web,
      { name: 'directory', protocol: 'ldap', host: 'pbx.example.test', listeners: ['relays'], target: to(echo.port) },
      { name: 'rest', protocol: 'tcp', listeners: ['relays', 'secured'], target: to(echo.port) },
    ],
  });
  const root = await makeCertificate({ name: 'Root', now, ca: true });
  const leaf = (more: object = {}) => makeCertificate({ name: host, issuer: root, now, usages: ['1.3.6.1.5.5.7.3.1'], names: [{ type: 'dns', value: host }], ...more });
  const change = await buildChange(gateway);
  const load = startLoad(gateway.ports.https, [gateway.caPem, root.pem]);
  const plain = (first: Buffer) => standingOver(connect({ host: '127.0.0.1', port: portOf(gateway, 'relays') }), first);
  const standing = [plain(bind), plain(Buffer.from([0, 1, 2, 3])), standingOver(connectTls({ host: '127.0.0.1', port: portOf(gateway, 'secured'), servername: host, rejectUnauthorized: false }), Buffer.from([0, 1, 2, 3]))];
  const still = async (what: string) => {
    await load.more().catch((thrown: unknown) => assert.fail(`${what}: ${String(thrown)}`));
    for (const each of standing) await each.ask();
  };
  try {
    await still('before');

    // certificates
    const shown = async () => (await knock(gateway.ports.https, { servername: host, say: get(host) })).shown;
    let row = undefined as ReturnType<typeof putCertificate> | undefined;
    for (const made of [await leaf(), await leaf(), await leaf({ keys: await rsaKeys(2_048) }), await leaf()]) {
      row = putCertificate(gateway, 'app', made, row);
      const { certificateFingerprint } = row;
      await until('the new certificate to be shown', async () => (await shown()) === certificateFingerprint);
      await still('a certificate swapped');
    }
    gateway.tables.certificates.publish({ removed: [row!.id] });
    await until('the private CA\'s again', async () => (await shown()) !== row!.certificateFingerprint);
    await still('a certificate removed');

    // routes
    for (let i = 0; i < 5; i += 1) {
      await change(({ routes }) => ({ routes: [...routes!.filter((each) => (each as { name: string }).name !== 'extra'), { name: 'extra', host: i % 2 ? host : 'other.example.test', path: '/other', target: { kind: 'respond', body: String(i) } }] }));
      await still('a route changed');
    }
    await change(({ routes }) => ({ routes: routes!.map((each) => ((each as { name: string }).name === 'web' ? { ...web, ignoreCase: true, largeHeads: true } : each)) }));
    await still('the route itself changed');

    // TLS: levels count from the next handshake
    for (const tlsPolicies of [[{ name: 'app', hosts: [host], level: 'modern' }], [{ name: 'app', hosts: [host], level: 'intermediate' }], [{ name: 'all', level: 'modern' }], [{ name: 'app', hosts: [host], legacyLane: { from: ['192.0.2.0/24'], until: '2099-12-31' } }], []]) {
      await change(() => ({ tlsPolicies }));
      await still(`TLS: ${JSON.stringify(tlsPolicies)}`);
    }

    // listeners
    for (let i = 0; i < 3; i += 1) {
      await change(({ listeners, routes }) => ({
        listeners: [...listeners!, { name: 'added', address: '127.0.0.1', port: 0, tls: false, protocols: ['tcp'] }],
        routes: routes!.map((each) => ((each as { name: string }).name === 'rest' ? { ...(each as object), listeners: ['relays', 'secured', 'added'] } : each)),
      }));
      const added = standingOver(connect({ host: '127.0.0.1', port: portOf(gateway, 'added') }), Buffer.from([0, 1]));
      await added.ask();
      standing.push(added);
      await still('a listener added');
      await change(({ listeners, routes }) => ({
        listeners: listeners!.filter((each) => (each as { name: string }).name !== 'added'),
        routes: routes!.map((each) => ((each as { name: string }).name === 'rest' ? { ...(each as object), listeners: ['relays', 'secured'] } : each)),
      }));
      await still('a listener removed');
    }
    // The directory's route goes: who is there stays, who comes now does not.
    await change(({ routes }) => ({ routes: routes!.filter((each) => (each as { name: string }).name !== 'rest') }));
    await load.more();
    for (const each of standing.slice(1)) await each.ask();
    await load.stop();
    assert.deepEqual(load.failed, []);
    assert.ok(load.done > 500, `${load.done} requests`);
  } finally {
    await load.stop();
    for (const each of standing) each.close();
  }
  await finishesCleanly(gateway);
});

test('a client certificate that is asked for from now on is asked of standing connections, too', { timeout: 60_000 }, async () => {
  const authority = await makeCertificate({ name: 'People', now, ca: true });
  await using gateway = await startGateway({ domain: 'gw.example.test', routes: [{ name: 'web', host, target: { kind: 'respond', body: 'the page' } }] });
  const change = await buildChange(gateway);
  const socket = connectTls({ host: '127.0.0.1', port: gateway.ports.https, servername: host, rejectUnauthorized: false });
  let text = '';
  socket.on('error', () => {}).on('data', (piece: Buffer) => void (text += piece.toString('latin1')));
  const ask = async () => {
    const before = text.length;
    socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await until('an answer', () => text.length > before + 20);
    return text.slice(before, before + 12);
  };
  assert.equal(await ask(), 'HTTP/1.1 200');
  await change(() => ({ tlsPolicies: [{ name: 'strict', hosts: [host], clientCertificates: { ca: authority.pem } }] }));
  assert.equal(await ask(), 'HTTP/1.1 421');
  socket.destroy();
  await finishesCleanly(gateway);
});
