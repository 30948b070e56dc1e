// What we generate for the servers of applications does what it says: nginx, Apache and HAProxy see the device's address, told in each way,
// and believe nobody else. First fed with proofs, then behind a real gateway.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { snippetFor, type Snippet, type SnippetPart } from '#model/snippets.ts';
import { buildServerDial } from '#net/dial-server.ts';
import { proveRoute, type Proof, type ProofOrder } from '#proxy/prove.ts';
import { programOf, startAddressServer, type AddressServer } from '../kit/address-servers.ts';
import { finishesCleanly, startGateway } from '../kit/gateway.ts';
import { findPeers } from '../kit/peers.ts';
import { freePort, openProcesses } from '../kit/processes.ts';

const servers = Object.keys(programOf) as AddressServer[];
const tells = ['headers', 'proxy-v1', 'proxy-v2', 'virtual'] as const;
const device = '192.0.2.50';
const virtual = '127.72.0.9';

const snippetOf = (server: AddressServer, tell: (typeof tells)[number], port: number): Snippet =>
  snippetFor({ server, route: 'scan', tell, port, isTls: false, gateways: ['127.0.0.1'], pool: ['127.72.0.0/16'], isLocal: true });

const prove = (tell: (typeof tells)[number], port: number, more: Partial<ProofOrder> = {}): Promise<Proof> =>
  proveRoute(
    {
      tell, isHttp: true, host: 'scan.example.test', path: null, other: null, assertion: '', reached: { address: '127.0.0.1', port: 443 }, nonce: 'n0nce',
      told: tell === 'virtual' ? { client: virtual, local: virtual } : { client: device, local: null }, ...more,
    },
    { dial: buildServerDial({ kind: 'tcp', host: '127.0.0.1', port }, () => null), limits },
  );

/** What the server answers to bytes that come from an address; '' when it hangs up. */
const ask = (port: number, from: string, bytes: string): Promise<string> =>
  new Promise((done) => {
    let text = '';
    const socket = connect({ host: '127.0.0.1', port, localAddress: from });
    socket.setTimeout(5_000, () => socket.destroy());
    socket.on('data', (piece) => (text += piece.toString('latin1'))).on('error', () => {}).on('close', () => done(text));
    socket.write(bytes, 'latin1');
  });
const seenIn = (answer: string): string | undefined => /^x-postern-seen: (.*)\r$/im.exec(answer)?.[1];
const spoofed = 'GET /.postern-prove HTTP/1.1\r\nHost: scan.example.test\r\nX-Forwarded-For: 203.0.113.66\r\nX-Real-IP: 203.0.113.66\r\nForwarded: for=203.0.113.66\r\nConnection: close\r\n\r\n';

for (const server of servers) {
  const peers = findPeers([programOf[server]]);
  test(`${server} with what is generated for it`, { skip: peers.skip, timeout: 120_000 }, async (t) => {
    await using processes = openProcesses(t.signal);
    for (const tell of tells) {
      const port = await freePort();
      await startAddressServer(processes, peers.path(programOf[server]), server, port, snippetOf(server, tell, port).parts);

      await t.test(`${tell}: it sees the device's address`, async () => {
        const proof = await prove(tell, port);
        assert.equal(proof.verdict, 'equal', JSON.stringify(proof));
        assert.equal(proof.seen, tell === 'virtual' ? virtual : device);
      });

      await t.test(`${tell}: an IPv6 device, where the server is told of it`, { skip: tell === 'virtual' ? 'the connection is IPv4' : false }, async () => {
        const proof = await prove(tell, port, { told: { client: '2001:db8::50', local: null } });
        assert.equal(proof.seen, '2001:db8::50', JSON.stringify(proof));
      });

      await t.test(`${tell}: nobody else is believed`, async () => {
        const answer = await ask(port, '127.0.0.9', spoofed);
        // Where a PROXY header is required of everybody, a connection without one is refused.
        const isRefused = answer === '' || / 400 /.test(answer.slice(0, 20));
        if (!isRefused || tell === 'headers' || tell === 'virtual') assert.equal(seenIn(answer), '127.0.0.9', answer);
        if (tell === 'headers' || tell === 'virtual') return;
        // Whoever reaches Apache's port may say who he is: its snippet says so.
        if (server === 'apache') return;
        const claimed = await ask(port, '127.0.0.9', `PROXY TCP4 203.0.113.66 127.0.0.1 4711 80\r\n${spoofed}`);
        assert.notEqual(seenIn(claimed), '203.0.113.66', claimed);
      });
    }
  });

  test(`${server} without its snippet, or with another gateway's address in it: the proof says so`, { skip: peers.skip, timeout: 60_000 }, async (t) => {
    await using processes = openProcesses(t.signal);
    const port = await freePort();
    const snippet = snippetFor({ server, route: 'scan', tell: 'headers', port, isTls: false, gateways: ['198.51.100.1'], pool: [], isLocal: false });
    await startAddressServer(processes, peers.path(programOf[server]), server, port, snippet.parts);
    const proof = await prove('headers', port);
    assert.equal(proof.verdict, 'different');
    assert.equal(proof.cause, 'HP-3');
    assert.equal(proof.seen, '127.0.0.1');
    assert.equal((await prove('headers', port, { path: '/elsewhere' })).verdict, 'untold');
    // A port that expects no PROXY header takes it for a bad request.
    assert.equal((await prove('proxy-v2', port)).verdict, 'refused');
  });
}

/** A device at an address of its own asks the gateway, and says of itself whatever it likes. */
const askGateway = (port: number, from: string, host: string): Promise<string> => ask(port, from, spoofed.replace('scan.example.test', host).replace('\r\n\r\n', '\r\nX-Postern-Identity: me\r\nX_Forwarded_For: 203.0.113.66\r\nX-Postern-Seen: 203.0.113.66\r\n\r\n'));

for (const server of servers) {
  const peers = findPeers([programOf[server]]);
  test(`${server} behind a gateway sees the device, whatever it says of itself`, { skip: peers.skip, timeout: 120_000 }, async (t) => {
    await using processes = openProcesses(t.signal);
    const ports = new Map<string, number>();
    for (const tell of tells) ports.set(tell, await freePort());
    await using gateway = await startGateway({
      config: { addressPool: { networks: ['127.72.0.0/24'] } },
      routes: tells.map((tell) => ({ name: tell, host: `${tell}.example.test`, listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port: ports.get(tell) }, application: { tell, assigned: false } })),
    });
    const { token } = await gateway.owner();
    await gateway.addDevice({ name: 'LAN', ports: [{ number: 80, kind: 'http' }] });
    const agentId = [...gateway.tables.agents.values()][0]!.id;
    const made = await gateway.api('POST', '/devices', { token, body: { agentId, name: 'copier', serial: 'SN150', host: '127.9.0.1', ports: [{ number: 80, name: 'web', kind: 'http' }] } });
    assert.equal(made.status, 200, made.text);

    for (const tell of tells) {
      const generated = await gateway.api('GET', `/routes/${tell}/snippets?server=${server}`, { token });
      assert.equal(generated.status, 200, generated.text);
      await startAddressServer(processes, peers.path(programOf[server]), server, ports.get(tell)!, generated.json['parts'] as SnippetPart[]);
      await t.test(tell, async () => {
        const seen = seenIn(await askGateway(gateway.ports.http, '127.9.0.1', `${tell}.example.test`));
        if (tell === 'virtual') assert.match(seen ?? '', /^127\.72\.0\.\d+$/);
        else assert.equal(seen, '127.9.0.1');
        const proof = await gateway.api('POST', `/routes/${tell}/prove`, { token, body: { deviceId: 'copier' } });
        assert.equal(proof.json['verdict'], 'equal', proof.text);
        assert.equal(proof.json['seen'], seen, 'the proof goes the way of the device');
      });
    }
    await finishesCleanly(gateway);
  });
}
