// Addresses that go wrong, through a whole gateway: what panels, administrators and doctor are told when a device comes from a router, from outside or through a
// proxy, what a site's resolver answers, and what an agent's local policy lacks.
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { request as httpRequest } from 'node:http';
import { PassThrough } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import type { CommandIo } from '#bin/io.ts';
import { dispatch } from '#bin/postern.ts';
import { startAddressApp, type AddressApp } from '#kit/address-app.ts';
import { finishesCleanly, startGateway, temporaryFolder, type TestGateway } from '#kit/gateway.ts';
import { parseDnsMessage } from '#wire/dns.ts';

interface Finding {
  readonly id: string;
  readonly status: string;
  readonly code: string | null;
  readonly verdict: string;
  readonly remedy: string | null;
  readonly ranOn: string;
  readonly evidence: readonly string[];
  readonly snippets: readonly { readonly kind: string; readonly lines: readonly string[] }[];
}

const resolver = '127.9.3.53';
const door = '127.9.3.200';

suite('addresses that go wrong', { timeout: 60_000 }, () => {
  const folder = temporaryFolder();
  let gateway: TestGateway;
  let app: AddressApp;
  let dns: Socket | null;
  let siteId = '';
  let token = '';

  before(async () => {
    app = await startAddressApp();
    // Port 53 is for whoever may open it; elsewhere the rest is tested.
    dns = createSocket('udp4').on('message', (query, from) => {
      const { type } = parseDnsMessage(query)!.questions[0]!;
      const head = Buffer.from(query.subarray(0, 12));
      head.writeUInt16BE(0x8180, 2);
      head.writeUInt16BE(type === 1 ? 1 : 0, 6);
      const record = Buffer.from([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 7]);
      dns!.send(Buffer.concat([head, query.subarray(12), ...(type === 1 ? [record] : [])]), from.port, from.address);
    });
    const bound = await new Promise<boolean>((done) => dns!.once('error', () => done(false)).bind(53, resolver, () => done(true)));
    if (!bound) dns = null;
    gateway = await startGateway({
      routes: [{ name: 'scans', host: 'scans.example.test', listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port: app.port }, application: { tell: 'headers' } }],
    });
    await gateway.addDevice({ name: 'LAN', ports: [{ number: 80, kind: 'http' }], policy: `reach udp 127.9.3.1 161\nreach udp ${resolver} 53\nlisten tcp ${door} 8099\n` });
    ({ token } = await gateway.owner());
    const agentId = [...gateway.tables.agents.values()][0]!.id;
    for (const [name, host] of [['Press', '127.9.3.1'], ['Hidden', '127.9.3.2']] as const) {
      assert.equal((await gateway.api('POST', '/devices', { token, body: { agentId, name, serial: `SN-${name}`, host, ports: [{ number: 80, name: '', kind: 'http' }] } })).status, 200);
    }
    const site = [...gateway.tables.sites.values()][0]!;
    siteId = site.id;
    gateway.tables.sitePlaces.publish({ put: [{ siteId, customerId: site.customerId, subnets: ['127.9.3.0/24'], egress: ['127.9.8.8/32'] }] });
    assert.equal((await gateway.api('POST', '/doors', { token, body: { agentId, address: door, port: 8_099, listener: 'http' } })).status, 200);
  });
  after(async () => {
    await finishesCleanly(gateway);
    await gateway.close();
    await app[Symbol.asyncDispose]();
    if (dns !== null) await new Promise<void>((done) => dns!.close(done));
    folder[Symbol.dispose]();
  });

  const ask = (from: string, path = '/', headers: Readonly<Record<string, string>> = {}) =>
    new Promise<string>((done, failed) => {
      const sent = httpRequest({ host: '127.0.0.1', port: gateway.ports.http, localAddress: from, path, headers: { host: 'scans.example.test', 'user-agent': 'Panel/1.0', ...headers }, agent: false }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => done(text)).on('error', failed);
      });
      sent.on('error', failed).end();
    });
  const doctor = async (path: string, body: object = {}): Promise<readonly Finding[]> => {
    const told = await gateway.api('POST', path, { token, body });
    assert.equal(told.status, 200, told.text);
    return told.json['findings'] as readonly Finding[];
  };
  const one = (findings: readonly Finding[], id: string) => findings.find((each) => each.id === id) ?? assert.fail(`no finding ${id}`);
  const run = async (...args: string[]) => {
    let out = '';
    let err = '';
    const io: CommandIo = { stdin: new PassThrough().end(), stdout: new PassThrough().on('data', (piece: Buffer) => void (out += piece.toString())), stderr: new PassThrough().on('data', (piece: Buffer) => void (err += piece.toString())), env: { HOME: folder.path }, signal: new AbortController().signal, isTerminal: false, columns: 240 };
    const code = await dispatch([...args, '--data', gateway.dataDir], io);
    await new Promise((next) => setImmediate(next));
    return { code, out, err };
  };

  test('the test page says where it comes from and what speaks against that', async () => {
    const fine = await ask('127.9.3.1', '/.postern/test');
    assert.match(fine, /127\.9\.3\.1[^]*Site<\/th><td>main[^]*known by its address only/);
    assert.doesNotMatch(fine, /HP-/);
    const egress = await ask('127.9.8.8', '/.postern/test');
    assert.match(egress, /HP-1: the traffic leaves its network and comes in from outside[^]*127\.9\.8\.8/);
    // Whose address it is, is for nobody who only shares it.
    assert.doesNotMatch(egress, /Press|Hidden|main/);
    assert.ok(Buffer.byteLength(egress) < 8_192);
    assert.match(await ask('127.9.44.4', '/.postern/test'), /unknown: no device is known/);
  });

  test('whoever waits to be assigned carries the verdict and the lines to write', async () => {
    await ask('127.9.8.8');
    const { items } = (await gateway.api('GET', '/unassigned', { token })).json as unknown as { items: { address: string; why: string; misRoute: Finding | null }[] };
    const { why, misRoute } = items.find((each) => each.address === '127.9.8.8')!;
    assert.equal(misRoute!.code, 'HP-1');
    assert.match(why, /hairpin or NAT.*scans\.example\.test lead to 127\.9\.3\.200 inside that LAN/);
    assert.deepEqual(misRoute!.snippets.find(({ kind }) => kind === 'unbound')!.lines.at(-1), '  local-data: "scans.example.test. 300 IN A 127.9.3.200"');
    assert.match((await run('unassigned')).out, /HP-1: the traffic leaves its network/);
  });

  test('HP-4: an unknown proxy is written down once, offered to be trusted, and believed in nothing', async () => {
    for (let i = 0; i < 3; i++) await ask('127.9.6.6', '/', { 'x-forwarded-for': '192.0.2.66, 127.9.3.1' });
    const lines = (await gateway.api('GET', '/journal?event=proxy.untrusted&limit=10', { token })).json['items'] as { fields: Record<string, unknown> }[];
    assert.equal(lines.length, 1);
    assert.deepEqual([lines[0]!.fields['from'], lines[0]!.fields['claims']], ['127.9.6.6', '127.9.3.1']);
    const told = await run('doctor');
    assert.match(told.out, /Proxies in front: HP-4: an unknown proxy says for whom it comes, and is not believed\n.*127\.9\.6\.6 said that it comes for 127\.9\.3\.1.*\n.*\{ "from": "127\.9\.6\.6\/32" \}/);
    assert.match(await ask('127.9.6.6', '/.postern/test'), /HP-4: the unknown proxy 127\.9\.6\.6 says that it comes for 127\.9\.3\.1/);
  });

  test('doctor of a site', async () => {
    await ask('127.9.3.1');
    const findings = await doctor('/sites/main/doctor', { resolvers: [resolver] });
    assert.deepEqual([...new Set(findings.map(({ id }) => id))], ['names', 'ways', 'doors', 'policy', 'virtual', 'profiles']);
    const names = one(findings, 'names');
    assert.match(names.evidence.join('\n'), dns === null ? new RegExp(`${resolver.replaceAll('.', '\\.')}, asked by agent of LAN`) : new RegExp(`${resolver.replaceAll('.', '\\.')}, asked by agent of LAN: A 203\\.0\\.113\\.7; AAAA nothing`));
    assert.match(names.evidence.at(-1)!, /the way in at that site: 127\.9\.3\.200/);
    assert.equal(names.ranOn, 'agent of LAN');
    const ways = one(findings, 'ways');
    assert.deepEqual([ways.status, ways.code], ['failure', 'HP-1']);
    assert.match(ways.evidence.join('\n'), /Press, .* at scans, it came from 127\.9\.3\.1, directly[^]*code \d{6} at scans, it came from 127\.9\.8\.8/);
    const policy = one(findings, 'policy');
    assert.equal(policy.status, 'failure');
    assert.match(policy.evidence.join('\n'), /Hidden, probes, by agent of LAN: reach udp 127\.9\.3\.2 161/);
    assert.doesNotMatch(policy.evidence.join('\n'), /Press/);
    assert.match(policy.remedy!, /add to its policy file: .*reach udp 127\.9\.3\.2 161/);
    assert.match(one(findings, 'doors').evidence.join(), /127\.9\.3\.200:8099 at agent of LAN, to http/);
  });

  test('doctor of a device, from the command line', async () => {
    const told = await run('doctor', '--device', 'hidden', '--dns', 'mikrotik');
    assert.equal(told.code, 1, told.err);
    assert.match(told.out, /^FAILED {3}Local policy of agents: the local policy of agent of LAN does not allow/m);
    assert.match(told.out, /Hidden, SNMP \(udp 161\), by agent of LAN: reach udp 127\.9\.3\.2 161/);
    assert.match(told.out, /^skipped {2}How it arrives: no device of it has opened an application/m);
    const site = await run('doctor', '--site', 'main', '--dns', 'mikrotik');
    assert.match(site.out, /How devices arrive: HP-1, the traffic leaves[^]*\/ip dns static add name=scans\.example\.test type=A address=127\.9\.3\.200 ttl=5m/);
    assert.doesNotMatch(site.out, /host-record/);
    const json = JSON.parse((await run('doctor', '--site', 'main', '--json')).out) as { findings: Finding[] };
    assert.equal(one(json.findings, 'ways').code, 'HP-1');
    assert.equal((await run('doctor', '--site', 'main', '--device', 'hidden')).code, 2);
    assert.equal((await run('doctor', '--dns', 'bind')).code, 2);
    assert.equal((await run('doctor', '--site', 'main', '--dns', 'nonsense')).code, 2);
  });

  test('who may not administer the site may not have its machines asked', async () => {
    const { cookie } = await gateway.owner();
    const made = await gateway.api('POST', '/tokens', { cookie, body: { name: 'looks only', rights: [{ action: 'see', scopeKind: 'gateway', scopeId: null }] } });
    assert.equal(made.status, 200, made.text);
    const secret = made.json['secret'] as string;
    assert.equal((await gateway.api('POST', '/sites/main/doctor', { token: secret, body: {} })).status, 403);
    assert.equal((await gateway.api('POST', '/devices/hidden/doctor', { token: secret, body: {} })).status, 403);
    assert.equal((await gateway.api('POST', '/sites/gone/doctor', { token, body: {} })).status, 404);
  });
});
