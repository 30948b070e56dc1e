// What a site's resolvers answer, asked as an agent asks them: dnsmasq and BIND with public records, with the lines that doctor prints, with rebind protection. The
// verdicts are those of doctor.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { duplexPair } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import { askOutside, askResolvers } from '#app/resolver-asks.ts';
import { realClock, realRandom } from '#app/real.ts';
import { limits } from '#base/limits.ts';
import { findPeers } from '#kit/peers.ts';
import { startProbing } from '#kit/probing.ts';
import { freePort, openProcesses, type Processes } from '#kit/processes.ts';
import { rebindSnippets, splitSnippets, type ResolverKind } from '#model/dns-snippets.ts';
import { judgeName, type NameVerdict } from '#model/mis-route-dns.ts';
import { buildResolver } from '#net/dns-client.ts';
import { askOver, type ProbeOver } from '#tunnel/gateway-probe.ts';

const peers = findPeers(['dnsmasq', 'named']);
const public4 = '203.0.113.7';
const public6 = '2001:db8::7';
const inside = '192.168.77.5';
const name = 'scan.example.test';
const four = { name, v4: inside, v6: null };
const both = { name, v4: inside, v6: 'fd77::5' };
const linesOf = (list: ReturnType<typeof splitSnippets>, kind: ResolverKind) => list.find((each) => each.kind === kind)!.lines;

suite('resolvers of a site', { skip: peers.skip, timeout: 60_000 }, () => {
  let processes: Processes;
  let probe: ProbeOver;
  /** By a name of the test's own: which port of 127.0.0.1 it has. */
  const ports = new Map<string, number>();
  let served: Promise<void>;

  const startNamed = async (what: string, options: string, zones: string, files: Readonly<Record<string, string>> = {}) => {
    const folder = `${processes.folder}/${what}`;
    mkdirSync(folder, { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(`${folder}/${file}`, text);
    const port = await freePort();
    writeFileSync(`${folder}/named.conf`, `options { directory "${folder}"; listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile "${folder}/session.key"; lock-file none; dnssec-validation no; empty-zones-enable no; notify no; ${options} };\ncontrols { };\n${zones}\n`);
    const started = processes.start(peers.path('named'), ['-g', '-n', '1', '-c', `${folder}/named.conf`, '-p', String(port)], { cwd: folder });
    await started.says(/\brunning\b/);
    ports.set(what, port);
    return port;
  };
  const startDnsmasq = async (what: string, upstream: number, lines: readonly string[]) => {
    const port = await freePort();
    const config = `${processes.folder}/${what}.conf`;
    writeFileSync(config, ['no-resolv', 'no-hosts', 'no-poll', 'keep-in-foreground', 'log-facility=-', 'bind-interfaces', 'listen-address=127.0.0.1', `port=${port}`, `pid-file=${processes.folder}/${what}.pid`, 'cache-size=0', `server=127.0.0.1#${upstream}`, ...lines, ''].join('\n'));
    const started = processes.start(peers.path('dnsmasq'), ['--conf-file=' + config, '--user=', '--group=']);
    await started.says(/started, version/);
    ports.set(what, port);
  };
  const resolverOf = (what: string) => buildResolver({ servers: () => [{ address: '127.0.0.1', port: ports.get(what)! }], random: realRandom });

  before(async () => {
    processes = openProcesses();
    const zone = `$TTL 60\n@ IN SOA ns1 admin 1 3600 600 86400 60\n@ IN NS ns1\nns1 IN A 127.45.67.89\nscan IN A ${public4}\nscan IN AAAA ${public6}\ncheap IN A ${inside}\n`;
    const world = await startNamed('world', 'recursion no;', 'zone "example.test" { type primary; file "example.zone"; };', { 'example.zone': zone });
    const forwards = `recursion yes; allow-recursion { 127.0.0.1; }; forward only; forwarders { 127.0.0.1 port ${world}; };`;
    const [response, zoneLine, ...rpz] = linesOf(splitSnippets(four), 'bind');
    await startNamed('bind-split', `${forwards} ${response}`, zoneLine!.replace('/etc/bind/', ''), { 'postern.rpz': `${rpz.join('\n')}\n` });
    await startDnsmasq('plain', world, []);
    await startDnsmasq('split', world, linesOf(splitSnippets(four), 'dnsmasq'));
    await startDnsmasq('split-both', world, linesOf(splitSnippets(both), 'dnsmasq'));
    // What many write, and what lets AAAA through.
    await startDnsmasq('half', world, [`host-record=${name},${inside}`]);
    await startDnsmasq('address', world, [`address=/${name}/${inside}`]);
    await startDnsmasq('rebind', world, ['stop-dns-rebind']);
    await startDnsmasq('rebind-ok', world, ['stop-dns-rebind', ...linesOf(rebindSnippets('cheap.example.test'), 'dnsmasq')]);
    const [near, far] = duplexPair();
    served = startProbing({ stateDir: processes.folder, policy: 'reach udp 127.0.0.1 1024-65535\nreach tcp 127.0.0.1 1024-65535', resolvers: [] })(far);
    probe = askOver(near, { clock: realClock, limits });
  });
  after(async () => {
    probe?.close();
    await served;
    await processes?.[Symbol.asyncDispose]();
  });

  /** As doctor does, with each of them as one more resolver of that site. */
  const judge = async (whats: readonly string[], asked: string, way: readonly string[]): Promise<NameVerdict[]> => {
    const resolvers = (await Promise.all(whats.map(async (what) => {
      const asking = { info: async () => ({ ...(await probe.info()), gateways: [], resolvers: [] }), dns: (each: Parameters<ProbeOver['dns']>[0]) => probe.dns({ ...each, port: ports.get(what)! }) };
      return ((await askResolvers([{ name: 'lan1', asking }], [asked], ['127.0.0.1'], limits)).get(asked) ?? []).map((each) => ({ ...each, resolver: what }));
    }))).flat();
    assert.equal(resolvers.length, whats.length);
    return judgeName({ name: asked, resolvers, outside: await askOutside(resolverOf('world'), asked), inside: way });
  };
  const codes = (verdicts: readonly NameVerdict[]) => verdicts.map(({ code }) => code);

  test('the lines that are printed lead inside, and AAAA nowhere else', async () => {
    for (const what of ['split', 'bind-split']) {
      const a = await probe.dns({ resolver: '127.0.0.1', port: ports.get(what)!, name, type: 'A' });
      const aaaa = await probe.dns({ resolver: '127.0.0.1', port: ports.get(what)!, name, type: 'AAAA' });
      assert.deepEqual([a.rcode, a.answers, aaaa.rcode, aaaa.answers], ['NOERROR', [inside], 'NOERROR', []], what);
      assert.deepEqual(codes(await judge([what], name, [inside])), [null], what);
      // Other names go on as before.
      assert.deepEqual((await probe.dns({ resolver: '127.0.0.1', port: ports.get(what)!, name: 'cheap.example.test', type: 'A' })).answers, [inside]);
    }
    assert.deepEqual((await probe.dns({ resolver: '127.0.0.1', port: ports.get('split-both')!, name, type: 'AAAA' })).answers, ['fd77::5']);
    assert.deepEqual(codes(await judge(['split-both'], name, [inside, 'fd77::5'])), [null]);
  });

  test('HP-6, HP-8, HP-9', async () => {
    const [six] = await judge(['plain'], name, [inside]);
    assert.equal(six!.code, 'HP-6');
    assert.match(six!.verdict, /plain answers the public address 203\.0\.113\.7, 2001:db8::7/);
    const [eight] = await judge(['split', 'plain'], name, [inside]);
    assert.equal(eight!.code, 'HP-8');
    assert.match(eight!.verdict, /plain goes past the split DNS of split/);
    for (const what of ['half', 'address']) assert.deepEqual(codes(await judge([what], name, [inside])), ['HP-9'], what);
  });

  test('HP-7: rebind protection, and the line that mends it', async () => {
    const [seven] = await judge(['rebind'], 'cheap.example.test', []);
    assert.equal(seven!.code, 'HP-7');
    assert.deepEqual(codes(await judge(['rebind-ok'], 'cheap.example.test', [])), [null]);
  });

  test('NXDOMAIN, a port where nobody listens, a resolver that the policy does not have', async () => {
    assert.equal((await probe.dns({ resolver: '127.0.0.1', port: ports.get('world')!, name: 'gone.example.test', type: 'A' })).rcode, 'NXDOMAIN');
    assert.equal((await probe.dns({ resolver: '127.0.0.1', port: ports.get('world')!, name: 'elsewhere.test', type: 'A' })).rcode, 'REFUSED');
    await assert.rejects(probe.dns({ resolver: '127.0.0.1', port: await freePort(), name, type: 'A', timeoutMs: 3_000 }), /no DNS server listens/);
    await assert.rejects(probe.dns({ resolver: '192.0.2.53', name, type: 'A' }), /local policy/);
  });
});
