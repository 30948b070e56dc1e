// Certificates from Pebble through the gateway's own listeners and through BIND: the three checks, what goes wrong, renewal, first visits.
import assert from 'node:assert/strict';
import { X509Certificate, createPublicKey, createPrivateKey } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connect } from 'node:tls';
import { realClock } from '#app/real.ts';
import type { Clock } from '#base/clock.ts';
import { isFault, type Fault } from '#base/fault.ts';
import type { Actor, AcmeSettings } from '#model/rows.ts';
import { startBind, startPebble, type Bind, type PebbleOptions } from '#kit/acme-peers.ts';
import { request, startGateway, until, type Options, type TestGateway } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort, openProcesses } from '#kit/processes.ts';

const peers = findPeers(['pebble', 'named', 'nsupdate']);
const settings = { skip: peers.skip, timeout: 120_000 };
const owner: Actor = { kind: 'operator', id: null, name: 'test', from: '' };
const account = { contact: 'admin@example.test', termsAgreed: true };

async function openRoom(t: TestContext, options: { pebble?: Partial<PebbleOptions>; gateway?: Options; clock?: Clock } = {}) {
  const processes = openProcesses(t.signal);
  const bind = await startBind(processes, peers);
  const [httpPort, httpsPort] = [await freePort(), await freePort()];
  const pebble = await startPebble(processes, peers, { httpPort, tlsPort: httpsPort, dns: bind.resolver, ...options.pebble });
  const gateway = await startGateway({ domain: 'gw.example.test', httpPort, httpsPort, ...(options.clock ? { clock: options.clock } : {}), ...options.gateway });
  const order = (names: readonly string[], challenge: AcmeSettings['challenge'], more: { dns?: AcmeSettings['dns']; name?: string; keyKind?: 'ec-p256' | 'rsa-2048' } = {}) =>
    gateway.acme.order({ name: more.name ?? 'front', names, challenge, keyKind: more.keyKind ?? 'ec-p256', dns: more.dns ?? null, directory: pebble.directory, rootPem: pebble.rootPem, ...account }, owner);
  return {
    processes, bind, pebble, gateway, httpPort, httpsPort, order,
    async [Symbol.asyncDispose]() {
      await gateway.close();
      await processes[Symbol.asyncDispose]();
    },
  };
}

const settled = (gateway: TestGateway, id: string) => until('the order to end', () => { const at = gateway.acme.progressOf(id); return at?.state === 'done' || at?.state === 'failed' ? at : null; }, 60_000);

async function issued(gateway: TestGateway, id: string) {
  const ended = await settled(gateway, id);
  assert.equal(ended.state, 'done', `${ended.why} ${ended.remedy}`);
  return gateway.tables.certificates.get(id)!;
}

/** The certificate that a client sees. */
function shownAt(port: number, servername: string): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()!);
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

const withUpdate = (bind: Bind, more: AcmeSettings['dns'] = {}): AcmeSettings['dns'] => ({ way: 'rfc2136', server: bind.address, keyName: bind.key.name, resolver: bind.resolver, check: bind.address, ...more });
const nothingWaits = async (port: number) => assert.equal((await request(port, { path: '/.well-known/acme-challenge/anything', headers: { host: 'gw.example.test' } })).status, 404);

test('HTTP-01 through the plain listener: ordered, shown, and the key belongs to it', settings, async (t) => {
  const route = { name: 'own', protocol: 'http', listeners: ['http', 'https'], host: 'www.example.test', path: '/', target: { kind: 'respond', status: 200, body: 'the route', contentType: 'text/plain' }, classes: [], ignoreCase: false, onlyClasses: false, largeHeads: false };
  // Five tries are made again (RFC 8555 §6.5 names no number): at 40 % some request of an order lost all six once in twenty runs.
  await using room = await openRoom(t, { pebble: { env: { PEBBLE_WFE_NONCEREJECT: '15' } }, gateway: { routes: [route] } });
  const { gateway, httpsPort, pebble } = room;
  await nothingWaits(room.httpPort);
  const ofTheRoute = async () => assert.equal((await request(room.httpPort, { path: '/.well-known/acme-challenge/anything', headers: { host: 'www.example.test' } })).body.toString(), 'the route', 'a path of a route is its own');
  await ofTheRoute();
  const row = await room.order(['gw.example.test', 'www.example.test'], 'http-01');
  assert.equal(row.state, 'waiting');
  const ready = await issued(gateway, row.id);
  assert.deepEqual([ready.state, ready.lastError, ready.source], ['ready', null, 'acme']);
  const shown = await shownAt(httpsPort, 'www.example.test');
  assert.match(shown.subjectAltName ?? '', /DNS:www\.example\.test/);
  assert.equal(shown.fingerprint256.replaceAll(':', '').toLowerCase(), ready.certificateFingerprint);
  const chain = ready.chainPem!.match(/-----BEGIN[^]+?-----END CERTIFICATE-----/g)!.map((pem) => new X509Certificate(pem));
  assert.equal(chain.length, 2);
  assert.ok(chain.at(-1)!.verify(new X509Certificate(await pebble.issuerPem()).publicKey), 'the chain leads to the root');
  await nothingWaits(room.httpPort);
  await ofTheRoute();
  const [view] = gateway.acme.accounts();
  assert.equal(view!.contact, 'admin@example.test');
  assert.doesNotMatch(JSON.stringify([gateway.acme.accounts(), gateway.acme.progress()]), /PRIVATE KEY/);
});

test('HTTP-01 for an address; again without a check, where the authority remembers the last one', settings, async (t) => {
  await using room = await openRoom(t, { pebble: { env: { PEBBLE_AUTHZREUSE: '100' } } });
  const { gateway } = room;
  const ready = await issued(gateway, (await room.order(['127.0.0.1'], 'http-01')).id);
  assert.deepEqual(ready.names, { dns: [], ip: ['127.0.0.1'] });
  const states = new Set<string>();
  t.after(gateway.acme.watch(() => states.add(gateway.acme.progressOf(ready.id)!.state)));
  await gateway.acme.renew(ready.id);
  assert.notEqual(gateway.tables.certificates.get(ready.id)!.certificateFingerprint, ready.certificateFingerprint);
  assert.deepEqual([...states], ['ordering', 'finishing', 'fetching', 'done']);
});

test('TLS-ALPN-01 through the TLS listener', settings, async (t) => {
  await using room = await openRoom(t);
  const ready = await issued(room.gateway, (await room.order(['gw.example.test'], 'tls-alpn-01', { keyKind: 'rsa-2048' })).id);
  assert.equal(ready.keyKind, 'rsa-2048');
  assert.match((await shownAt(room.httpsPort, 'gw.example.test')).issuer, /Pebble/);
});

test('DNS-01 by signed updates: a wildcard and its domain, a delegated name, and nothing left behind', settings, async (t) => {
  await using room = await openRoom(t);
  const { gateway, bind } = room;
  await gateway.acme.setDnsKey(bind.key, owner);
  const wild = await issued(gateway, (await room.order(['*.example.test', 'example.test'], 'dns-01', { dns: withUpdate(bind), name: 'wild' })).id);
  assert.deepEqual([...wild.names.dns].sort(), ['*.example.test', 'example.test']);
  assert.match((await shownAt(room.httpsPort, 'printer.example.test')).subjectAltName ?? '', /\*\.example\.test/);
  const delegated = await issued(gateway, (await room.order(['delegated.example.test'], 'dns-01', { dns: withUpdate(bind, { transport: 'tcp' }), name: 'delegated' })).id);
  assert.deepEqual(delegated.names.dns, ['delegated.example.test']);
  const said = bind.said();
  assert.match(said, /updating zone 'answers\.test\/IN': adding an RR at 'delegated\.answers\.test' TXT/, 'the CNAME was followed');
  for (const zone of ['example.test', 'answers.test']) {
    const count = (what: string) => said.match(new RegExp(`updating zone '${zone}/IN': ${what} an RR`, 'g'))?.length ?? 0;
    assert.ok(count('adding') > 0);
    assert.equal(count('adding'), count('deleting'), zone);
  }
  // The secret is in its file and nowhere else.
  const files = readdirSync(gateway.dataDir, { withFileTypes: true, recursive: true }).filter((each) => each.isFile() && !/^postern\.db|^lock/.test(each.name) && readFileSync(join(each.parentPath, each.name)).includes(bind.key.secret)).map((each) => each.name);
  assert.deepEqual(files, ['acme-dns-keys.json']);
  assert.ok(!readFileSync(join(gateway.dataDir, 'postern.db')).includes(bind.key.secret));
  assert.doesNotMatch(JSON.stringify([gateway.acme.dnsKeys(), wild]), new RegExp(bind.key.secret.slice(0, 20).replace(/[+/]/g, '.')));
});

test('DNS-01 that cannot work says why', settings, async (t) => {
  await using room = await openRoom(t);
  const { gateway, bind } = room;
  const why = async (dns: AcmeSettings['dns'], name: string, names = ['a.example.test']) => (await settled(gateway, (await room.order(names, 'dns-01', { dns, name })).id));
  assert.match((await why(withUpdate(bind), 'no-key')).why!, /DNS key "acme-key" has no secret here/);
  await gateway.acme.setDnsKey({ ...bind.key, secret: Buffer.alloc(32, 7).toString('base64') }, owner);
  const wrong = await why(withUpdate(bind), 'wrong-secret');
  assert.match(wrong.why!, /BADSIG\): its secret for the key "acme-key" is another one/);
  assert.match(wrong.remedy!, /Compare name, algorithm and secret/);
  await gateway.acme.setDnsKey({ name: 'nobody', algorithm: 'hmac-sha256', secret: bind.key.secret }, owner);
  assert.match((await why(withUpdate(bind, { keyName: 'nobody' }), 'unknown-key')).why!, /does not know the key "nobody" with hmac-sha256 \(BADKEY\)/);
  await gateway.acme.setDnsKey(bind.key, owner);
  const foreign = await why(withUpdate(bind), 'foreign', ['a.elsewhere.test']);
  assert.match(foreign.why!, /answers REFUSED/);
  const row = gateway.tables.certificateByName('foreign')!;
  assert.match(row.lastError!, /REFUSED/);
  assert.ok(foreign.nextTryAt! > Date.now() + 50 * 60_000, 'it is tried again in about an hour');
});

test('DNS-01 by a command of the operator', settings, async (t) => {
  await using room = await openRoom(t);
  const { gateway, bind, processes } = room;
  const hooks = join(gateway.dataDir, 'hooks');
  mkdirSync(hooks, { mode: 0o700 });
  const calls = join(processes.folder, 'calls');
  const program = join(hooks, 'records');
  // What it is given, and how it would be given it if there were a shell in between.
  writeFileSync(program, `#!/bin/sh
echo "$# $1 $2 $3 \${POSTERN_SECRET:-clean}" >> ${calls}
[ "$1" = add ] && what=add || what=delete
printf 'server 127.0.0.1 ${bind.port}\\nkey hmac-sha256:acme-key ${bind.key.secret}\\nupdate %s %s 60 TXT "%s"\\nsend\\n' "$what" "$2" "$3" | ${peers.path('nsupdate')}
`);
  const dns = { way: 'command', command: 'records', resolver: bind.resolver, check: bind.address };
  const notYet = await settled(gateway, (await room.order(['a.example.test'], 'dns-01', { dns, name: 'not-executable' })).id);
  assert.match(notYet.why!, /not an executable file/);
  chmodSync(program, 0o722);
  const open = await settled(gateway, (await room.order(['a.example.test'], 'dns-01', { dns, name: 'writable' })).id);
  assert.match(open.why!, /others may write/);
  assert.ok(!existsSync(calls));
  chmodSync(program, 0o700);
  process.env['POSTERN_SECRET'] = 'leaked';
  t.after(() => delete process.env['POSTERN_SECRET']);
  await issued(gateway, (await room.order(['a.example.test'], 'dns-01', { dns, name: 'ready' })).id);
  const lines = readFileSync(calls, 'utf8').trim().split('\n');
  assert.match(lines[0]!, /^3 add _acme-challenge\.a\.example\.test [A-Za-z0-9_-]{43} clean$/);
  assert.equal(lines[1], lines[0]!.replace(' add ', ' remove '));
});

test('what the authority refuses is told as it said it', settings, async (t) => {
  await using room = await openRoom(t);
  const { gateway, httpPort } = room;
  await assert.rejects(room.order(['*.example.test'], 'http-01'), (thrown: Fault) => /only be had by dns-01: http-01 proves that one host answers/.test(thrown.message));
  await assert.rejects(gateway.acme.setAccount({ directory: room.pebble.directory, rootPem: room.pebble.rootPem, contact: null, termsAgreed: false }, owner), (thrown: Fault) => /wants its terms agreed to: /.test(thrown.message));
  await assert.rejects(gateway.acme.setAccount({ directory: room.pebble.directory, rootPem: null, ...account }, owner), (thrown: Fault) => /not of an authority that is trusted here/.test(thrown.message) && /give the root/.test(thrown.remedy!));
  // The name leads to an address where nobody listens.
  const row = await room.order(['ns1.example.test'], 'http-01', { name: 'elsewhere' });
  const ended = await settled(gateway, row.id);
  assert.equal(ended.state, 'failed');
  assert.match(ended.why!, /127\.0\.0\.1:\d+ could not connect to this gateway, for ns1\.example\.test\. It said: .*127\.45\.67\.89/);
  assert.match(ended.remedy!, /port 80/);
  await assert.rejects(gateway.acme.renew(row.id), (thrown: Fault) => isFault(thrown, 'unreachable'));
  await assert.rejects(gateway.acme.renew(row.id), (thrown: Fault) => isFault(thrown, 'unreachable'));
  await assert.rejects(gateway.acme.renew(row.id), (thrown: Fault) => isFault(thrown, 'unreachable'));
  // Let's Encrypt would refuse the sixth within an hour, for an hour; we stop before.
  await assert.rejects(gateway.acme.renew(row.id), (thrown: Fault) => isFault(thrown, 'too-many') && /the check of ns1\.example\.test failed 4 times/.test(thrown.message));
  await nothingWaits(httpPort);
});

test('an authority for customers: an external account', settings, async (t) => {
  const hmacKey = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W';
  await using room = await openRoom(t, { pebble: { externalAccounts: { 'kid-1': hmacKey } } });
  const { gateway, pebble } = room;
  await assert.rejects(room.order(['gw.example.test'], 'http-01'), (thrown: Fault) => /wants an external account/.test(thrown.message) && /eab/.test(thrown.remedy!));
  assert.equal(gateway.tables.certificates.size, 0, 'an account that cannot be had leaves no row');
  const view = await gateway.acme.setAccount({ directory: pebble.directory, rootPem: pebble.rootPem, ...account, externalAccount: { keyId: 'kid-1', hmacKey } }, owner);
  assert.equal(view.externalKeyId, 'kid-1');
  await issued(gateway, (await room.order(['gw.example.test'], 'http-01')).id);
  assert.ok(!readFileSync(join(gateway.dataDir, 'acme-accounts.json')).includes(hmacKey), 'it is used once and not kept');
});

test('renewal at two thirds of its life, by itself; the key changes; a connection that stands stays', settings, async (t) => {
  let aheadMs = 0;
  const clock: Clock = { ...realClock, nowMs: () => Date.now() + aheadMs, every: (periodMs, run) => realClock.every(periodMs === 60_000 ? 50 : periodMs, run) };
  await using room = await openRoom(t, { clock });
  const { gateway, httpsPort } = room;
  const first = await issued(gateway, (await room.order(['gw.example.test'], 'http-01')).id);
  const standing = connect({ host: '127.0.0.1', port: httpsPort, servername: 'gw.example.test', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
  t.after(() => standing.destroy());
  await new Promise((done) => standing.once('secureConnect', done));
  const life = first.notAfter! - first.notBefore!;
  await new Promise((done) => setTimeout(done, 300));
  assert.equal(gateway.tables.certificates.get(first.id)!.certificateFingerprint, first.certificateFingerprint, 'not before it is due');
  aheadMs = life * 0.71;
  const second = await until('the renewal', () => { const row = gateway.tables.certificates.get(first.id)!; return row.certificateFingerprint === first.certificateFingerprint ? null : row; }, 30_000);
  aheadMs = 0;
  assert.notEqual(second.keyFingerprint, first.keyFingerprint);
  assert.equal((await shownAt(httpsPort, 'gw.example.test')).fingerprint256.replaceAll(':', '').toLowerCase(), second.certificateFingerprint);
  const answer = new Promise<string>((done) => standing.once('data', (piece: Buffer) => done(piece.toString())));
  standing.write('GET /nothing-here HTTP/1.1\r\nHost: gw.example.test\r\n\r\n');
  assert.match(await answer, /^HTTP\/1\.1 /);
  assert.equal(standing.getPeerX509Certificate()!.fingerprint256.replaceAll(':', '').toLowerCase(), first.certificateFingerprint);
  const keyFile = readdirSync(gateway.dataDir).find((name) => name.startsWith(`certificate.${second.id}.${second.keyFingerprint!.slice(0, 16)}`))!;
  assert.deepEqual(createPublicKey(createPrivateKey(readFileSync(join(gateway.dataDir, keyFile)))).export({ type: 'spki', format: 'der' }), new X509Certificate(second.chainPem!).publicKey.export({ type: 'spki', format: 'der' }));
});

/** A gateway whose configuration orders by itself: pebble has to be there before it. */
async function openOnDemand(t: TestContext, more: { challenge: AcmeSettings['challenge']; dns?: (bind: Bind) => AcmeSettings['dns']; clock?: Clock; gateway?: Options }) {
  const processes = openProcesses(t.signal);
  const bind = await startBind(processes, peers);
  const [httpPort, httpsPort] = [await freePort(), await freePort()];
  const pebble = await startPebble(processes, peers, { httpPort, tlsPort: httpsPort, dns: bind.resolver });
  const acme = { directory: pebble.directory, root: pebble.rootPem, contact: 'admin@example.test', challenge: more.challenge, keyKind: 'ec-p256' as const, termsAgreed: true, onDemand: true, ...(more.dns ? { dns: more.dns(bind)! } : {}) };
  const gateway = await startGateway({ domain: 'gw.example.test', httpPort, httpsPort, adjust: (config) => ({ ...config, acme }), ...(more.clock ? { clock: more.clock } : {}), ...more.gateway });
  return {
    bind, pebble, gateway, httpPort, httpsPort,
    async [Symbol.asyncDispose]() {
      await gateway.close();
      await processes[Symbol.asyncDispose]();
    },
  };
}

test('a name that is visited for the first time gets its own, once, and the private CA answers meanwhile; of a device that is gone it goes too', settings, async (t) => {
  let aheadMs = 0;
  const clock: Clock = { ...realClock, nowMs: () => Date.now() + aheadMs, every: (periodMs, run) => realClock.every(periodMs === 60_000 ? 50 : periodMs, run) };
  await using room = await openOnDemand(t, { challenge: 'http-01', clock });
  const { gateway, httpsPort } = room;
  const certificateOf = (name: string) => gateway.tables.certificateByName(`auto.${name}`);
  const { device, stop } = await gateway.addDevice({ name: 'Printer', ports: [{ number: 80, kind: 'http' }] });
  assert.match((await shownAt(httpsPort, 'unknown.example.test')).issuer, /Postern/);
  assert.match((await shownAt(httpsPort, 'nobody.gw.example.test')).issuer, /Postern/);
  const seen = await Promise.all(Array.from({ length: 4 }, () => shownAt(httpsPort, 'printer.gw.example.test')));
  for (const each of seen) assert.match(each.issuer, /Postern/);
  await shownAt(httpsPort, 'gw.example.test');
  await until('both certificates', () => certificateOf('printer.gw.example.test')?.state === 'ready' && certificateOf('gw.example.test')?.state === 'ready', 30_000);
  assert.match((await shownAt(httpsPort, 'printer.gw.example.test')).issuer, /Pebble/);
  assert.equal(gateway.tables.certificates.size, 2, 'one order for many visits, none for names that are not ours');

  const { token } = await gateway.owner();
  assert.equal((await gateway.api('DELETE', `/devices/${device.id}`, { token })).status, 200);
  await stop();
  const before = certificateOf('printer.gw.example.test')!;
  const other = certificateOf('gw.example.test')!.certificateFingerprint;
  aheadMs = (before.notAfter! - Date.now()) * 0.9;
  await until('the renewal of the other', () => certificateOf('gw.example.test')!.certificateFingerprint !== other, 30_000);
  assert.equal(certificateOf('printer.gw.example.test')?.certificateFingerprint, before.certificateFingerprint, 'it is not renewed');
  aheadMs = before.notAfter! - Date.now() + 60_000;
  await until('its end', () => certificateOf('printer.gw.example.test') === undefined, 10_000);
  aheadMs = 0;
});

test('first visits leave room for certificates of people, whose names are others', settings, async (t) => {
  await using room = await openOnDemand(t, { challenge: 'http-01', gateway: { limits: { acmeOnDemandMax: 1 } } });
  const { gateway, httpsPort, pebble } = room;
  const { token } = await gateway.owner();
  await gateway.addDevice({ name: 'Printer', ports: [{ number: 80, kind: 'http' }] });
  await shownAt(httpsPort, 'gw.example.test');
  await until('the first', () => gateway.tables.certificateByName('auto.gw.example.test')?.state === 'ready', 30_000);
  await shownAt(httpsPort, 'printer.gw.example.test');
  await until('the refusal', async () => /ordered at first visits already/.test((await gateway.api('GET', '/journal', { token })).text));
  assert.equal(gateway.tables.certificates.size, 1);
  await assert.rejects(gateway.acme.order({ name: 'auto.mine', names: ['gw.example.test'], challenge: 'http-01', keyKind: 'ec-p256', directory: pebble.directory, ...account }, owner), (thrown: Fault) => isFault(thrown, 'bad-input') && /ordered at first visits/.test(thrown.message));
});

test('by DNS-01 the first visit of any label brings one wildcard for all of them', settings, async (t) => {
  await using room = await openOnDemand(t, { challenge: 'dns-01', dns: (bind) => ({ way: 'rfc2136', keyName: bind.key.name, server: bind.address, resolver: bind.resolver, check: bind.address }) });
  const { gateway, httpsPort, bind } = room;
  await gateway.acme.setDnsKey(bind.key, owner);
  await gateway.addDevice({ name: 'Printer', ports: [{ number: 80, kind: 'http' }] });
  await shownAt(httpsPort, 'printer.gw.example.test');
  await shownAt(httpsPort, 'gw.example.test');
  await until('the wildcard', () => gateway.tables.certificateByName('auto.gw.example.test')?.state === 'ready', 30_000);
  assert.equal(gateway.tables.certificates.size, 1);
  assert.match((await shownAt(httpsPort, 'printer.gw.example.test')).subjectAltName ?? '', /DNS:\*\.gw\.example\.test/);
});

test('an authority that was set up anew and has forgotten the account', settings, async (t) => {
  await using room = await openRoom(t);
  const { gateway, pebble, processes, bind, httpPort, httpsPort } = room;
  const { id } = await room.order(['gw.example.test'], 'http-01');
  const first = await issued(gateway, id);
  const [{ accountUrl } = { accountUrl: '' }] = gateway.acme.accounts();
  await pebble.process.stop();
  await startPebble(processes, peers, { httpPort, tlsPort: httpsPort, dns: bind.resolver, again: pebble });
  await gateway.acme.renew(id);
  assert.notEqual(gateway.tables.certificates.get(id)!.issuer, first.issuer);
  assert.notEqual(gateway.acme.accounts()[0]!.accountUrl, accountUrl);
});

test('an authority that is away: tried later, and told', settings, async (t) => {
  await using room = await openRoom(t);
  const { gateway, pebble } = room;
  const { id } = await room.order(['gw.example.test'], 'http-01');
  const first = await issued(gateway, id);
  await pebble.process.stop();
  await assert.rejects(gateway.acme.renew(id), (thrown: Fault) => isFault(thrown, 'unreachable') && /cannot be reached/.test(thrown.message));
  const row = gateway.tables.certificates.get(id)!;
  assert.equal(row.certificateFingerprint, first.certificateFingerprint, 'what is in use stays');
  assert.match(row.lastError!, /cannot be reached/);
  const { token } = await gateway.owner();
  const doctor = await gateway.api('POST', '/doctor', { token });
  assert.match(doctor.text, /could not be renewed/);
});

test('by the API: account, key, order, and who did it in the audit; secrets go in and never come out', settings, async (t) => {
  await using room = await openRoom(t);
  const { gateway, pebble, bind } = room;
  const { token } = await gateway.owner();
  const said: string[] = [];
  const call = async (method: string, path: string, body?: unknown) => {
    const answer = await gateway.api(method, path, { token, ...(body === undefined ? {} : { body }) });
    said.push(answer.text);
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
    return answer;
  };
  await call('PUT', '/acme/accounts', { directory: pebble.directory, rootPem: pebble.rootPem, ...account });
  await call('PUT', '/acme/dns-keys', bind.key);
  const order = { names: ['*.example.test'], challenge: 'dns-01', directory: pebble.directory, dns: withUpdate(bind) };
  const checked = await call('POST', '/certificates/check-order', order);
  assert.doesNotMatch(checked.text, /"failure"/);
  await call('POST', '/certificates/order', { name: 'wild', ...order });
  await until('the certificate', async () => (await call('GET', '/certificates/wild')).text.includes('"state":"ready"'), 30_000);
  await call('GET', '/acme/accounts');
  await call('GET', '/acme/dns-keys');
  const audit = (await call('GET', '/audit')).text;
  for (const what of ['acme.account-registered', 'acme.dns-key-set', 'certificate.added', 'certificate.replaced']) assert.ok(audit.includes(`"${what}"`), what);
  assert.ok(!said.some((text) => text.includes(bind.key.secret) || text.includes('PRIVATE KEY')));
  const refused = await gateway.api('POST', '/certificates/order', { token, body: { name: 'plain', names: ['*.example.test'], challenge: 'http-01', directory: pebble.directory } });
  assert.equal(refused.status, 400);
  assert.match(refused.text, /can only be had by dns-01/);
});

test('looking before an order, and a whole order for nothing', settings, async (t) => {
  await using room = await openRoom(t);
  const { gateway, pebble, bind, httpPort, httpsPort } = room;
  await gateway.acme.setDnsKey(bind.key, owner);
  const check = async (names: string[], challenge: AcmeSettings['challenge'], dns: AcmeSettings['dns'] = { way: 'rfc2136', keyName: bind.key.name, resolver: bind.resolver, server: bind.address, check: bind.address }) =>
    Object.fromEntries((await gateway.acme.check({ names, challenge, dns, directory: pebble.directory, rootPem: pebble.rootPem, ports: { http: httpPort, tls: httpsPort } })).map((each) => [each.id, each]));
  const http = await check(['gw.example.test'], 'http-01');
  assert.deepEqual(Object.values(http).map(({ id, status }) => [id, status]), [['names', 'ok'], ['authority', 'ok'], ['addresses', 'ok'], ['caa', 'warning'], ['answer', 'ok']], JSON.stringify(http));
  const tls = await check(['gw.example.test'], 'tls-alpn-01');
  assert.equal(tls['answer']!.status, 'ok', JSON.stringify(tls['answer']));
  assert.equal((await check(['ns1.example.test'], 'http-01'))['answer']!.status, 'warning');
  assert.equal((await check(['*.example.test'], 'http-01'))['names']!.status, 'failure');
  const dns = await check(['*.example.test'], 'dns-01');
  assert.equal(dns['record']!.status, 'ok', JSON.stringify(dns['record']));
  await gateway.acme.dryRun({ names: ['gw.example.test'], challenge: 'http-01', directory: pebble.directory, rootPem: pebble.rootPem, ...account }, owner);
  assert.equal(gateway.tables.certificates.size, 0);
});
