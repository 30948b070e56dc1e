// A real directory and OpenLDAP's own clients through a whole gateway: plain, StartTLS and LDAPS, by every name that chooses a route, and what is refused.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { journalSays, openTlsWire, openWire, readJournal, startTlsFront } from '#kit/front.ts';
import { finishesCleanly, portOf, startGateway, until, type TestGateway } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort, openProcesses, type Processes } from '#kit/processes.ts';
import { adminOf, ldapPassword, startSlapd, suffixOf, type Slapd } from '#kit/slapd.ts';

const peers = findPeers(['slapd', 'slapadd', 'ldapsearch', 'ldapwhoami', 'ldapcompare']);
const [pbx, other] = ['pbx.example.test', 'other.example.test'];
const people = 5_000;

let processes: Processes;
let slapd: Slapd;
let gateway: TestGateway;
let env: Record<string, string>;

before(async () => {
  if (peers.skip !== false) return;
  processes = openProcesses();
  slapd = await startSlapd(processes, { slapd: peers.path('slapd'), slapadd: peers.path('slapadd'), domains: [pbx, other], people });
  const closedPort = await freePort();
  const tcp = { kind: 'tcp', host: '127.0.0.1', port: slapd.plainPort };
  const tls = { kind: 'tls', host: '127.0.0.1', port: slapd.tlsPort };
  const on = { protocol: 'ldap', listeners: ['ldap', 'front'] };
  gateway = await startGateway({
    config: { listeners: [{ name: 'ldap', tls: false, protocols: ['ldap'] }, { name: 'front', tls: true, protocols: ['http', 'ldap'] }] },
    routes: [
      { name: 'pbx', ...on, host: pbx, target: tcp },
      { name: 'netbios', ...on, host: 'pbx', target: tcp },
      { name: 'other', ...on, host: other, target: { ...tls, verify: { by: 'name', name: 'slapd.example.test', ca: slapd.caPem } } },
      { name: 'by-ca', ...on, host: 'ca.example.test', target: { ...tls, verify: { by: 'ca', ca: slapd.caPem } } },
      { name: 'stranger', ...on, host: 'stranger.example.test', target: { ...tls, verify: { by: 'name', name: 'slapd.example.test' } } },
      { name: 'down', ...on, host: 'down.example.test', target: { ...tcp, port: closedPort } },
      { name: 'web', host: 'web.example.test', target: { kind: 'respond', body: 'a page' } },
    ],
  });
  const ca = join(processes.folder, 'ca.pem');
  writeFileSync(ca, gateway.caPem);
  env = { LDAPTLS_CACERT: ca, LDAPTLS_REQCERT: 'demand' };
});

after(async () => {
  await gateway?.close();
  await processes?.[Symbol.asyncDispose]();
});

/** By address: OpenLDAP puts the machine's own name in place of "localhost" and asks the certificate for that. */
const plain = () => `ldap://127.0.0.1:${portOf(gateway, 'ldap')}`;
const secure = () => `ldaps://127.0.0.1:${portOf(gateway, 'front')}`;
const run = (program: 'ldapsearch' | 'ldapwhoami' | 'ldapcompare', args: readonly string[]) => processes.run(peers.path(program), args, { env, timeoutMs: 20_000 });
const as = (name: string) => ['-x', '-D', name, '-w', ldapPassword];
const search = (url: string, args: readonly string[]) => run('ldapsearch', ['-H', url, '-LLL', '-o', 'ldif-wrap=no', ...args]);
const relaysSoFar = async () => (await readJournal(gateway)).filter((line) => line.event === 'relay.ended').length;
const options = { skip: peers.skip, timeout: 60_000 };

/** Runs one client and tells which route its connection took. */
async function routeOf(asked: () => Promise<unknown>): Promise<unknown> {
  const earlier = await relaysSoFar();
  await asked();
  return until('the relay to end', async () => {
    const ended = (await readJournal(gateway)).filter((line) => line.event === 'relay.ended');
    return ended.length > earlier ? `${String(ended[0]!['route'])} ${String(ended[0]!['name'])}` : null;
  });
}

/** A client without a word for SNI gets one: TLS to the front door for this name, plain before it. */
const withServerName = (servername: string) => startTlsFront(portOf(gateway, 'front'), { servername, ca: gateway.caPem, checkServerIdentity: () => undefined });

test('plain, StartTLS and LDAPS: who am I', options, async () => {
  for (const [url, more] of [[plain(), []], [plain(), ['-ZZ']], [secure(), []]] as const) {
    const me = await run('ldapwhoami', ['-H', url, ...more, ...as(adminOf(pbx))]);
    assert.deepEqual([me.stdout, me.stderr, me.code], [`dn:${adminOf(pbx)}\n`, '', 0], `${url} ${more.join(' ')}`);
    const there = await run('ldapwhoami', ['-H', url, ...more, ...as(adminOf(other))]);
    assert.deepEqual([there.stdout, there.stderr, there.code], [`dn:${adminOf(other)}\n`, '', 0], `TLS upstream, ${url} ${more.join(' ')}`);
  }
  const live = gateway.live.conns(100);
  assert.ok(live.every((each) => each.listener !== 'ldap'), 'nothing stays open');
  const wrong = await run('ldapwhoami', ['-H', plain(), '-x', '-D', adminOf(pbx), '-w', 'wrong']);
  assert.deepEqual([wrong.code, wrong.stderr.trim()], [49, 'ldap_bind: Invalid credentials (49)'], 'the directory\'s own refusal comes through as it is');
});

test('every form of a name leads where it belongs', options, async () => {
  // The directory knows DNs alone and says so (34): the answer is its own, the route is ours.
  const bind = (name: string) => async () => assert.equal((await run('ldapwhoami', ['-H', plain(), ...as(name)])).code, 34, name);
  assert.equal(await routeOf(bind(`${pbx}\\anna`)), `pbx ${pbx}`);
  assert.equal(await routeOf(bind('PBX\\anna')), 'netbios pbx');
  assert.equal(await routeOf(bind(`anna@${other.toUpperCase()}`)), `other ${other}`);
  assert.equal(await routeOf(() => run('ldapwhoami', ['-H', plain(), ...as(`cn=nobody, ou=x, ${suffixOf(other).replace(/dc=/g, 'DC = ')}`)])), `other ${other}`);
  assert.equal(await routeOf(bind('ca.example.test\\anna')), 'by-ca ca.example.test');
  // An anonymous bind names nobody, and goes nowhere on a port without a name in TLS.
  const nobody = await search(plain(), ['-x', '-b', `uid=u7,${suffixOf(pbx)}`, 'telephoneNumber']);
  assert.equal(nobody.code, 49, nobody.stderr);
  assert.match(nobody.stderr, /not on this connection/);
});

test('the name in TLS stands in where the bind names nobody', options, async () => {
  for (const [name, route] of [[pbx, 'pbx'], [other, 'other']] as const) {
    await using front = await withServerName(name);
    const got = async () => {
      const answer = await search(`ldap://127.0.0.1:${front.port}`, ['-x', '-b', suffixOf(name), '-s', 'base', 'o']);
      assert.equal(answer.stdout, `dn: ${suffixOf(name)}\no: ${name}\n\n`, answer.stderr);
    };
    assert.equal(await routeOf(got), `${route} ${name}`);
  }
});

test('HTTP and LDAP share the port', options, async () => {
  const web = await openTlsWire(portOf(gateway, 'front'), { servername: 'web.example.test', ca: gateway.caPem, checkServerIdentity: () => undefined });
  web.socket.write('GET / HTTP/1.1\r\nHost: web.example.test\r\nConnection: close\r\n\r\n');
  await web.says(/^HTTP\/1\.1 200 [\s\S]*a page$/);
  await web.gone();
  assert.equal((await run('ldapwhoami', ['-H', secure(), ...as(adminOf(pbx))])).code, 0);
});

test('large results, paged and whole, in clear and in TLS on both sides', options, async () => {
  const url = plain();
  const whole = await search(url, [...as(adminOf(pbx)), '-b', suffixOf(pbx), '(uid=*)', 'uid', 'telephoneNumber']);
  const paged = await search(secure(), [...as(adminOf(pbx)), '-E', 'pr=300/noprompt', '-b', suffixOf(pbx), '(uid=*)', 'uid', 'telephoneNumber']);
  const straight = await search(`ldap://127.0.0.1:${slapd.plainPort}`, [...as(adminOf(pbx)), '-b', suffixOf(pbx), '(uid=*)', 'uid', 'telephoneNumber']);
  const dns = (text: string) => text.split('\n').filter((line) => line.startsWith('dn: ')).sort();
  assert.equal(dns(straight.stdout).length, people);
  assert.equal(whole.stdout, straight.stdout);
  assert.deepEqual(dns(paged.stdout), dns(straight.stdout));
  const compared = await run('ldapcompare', ['-H', url, ...as(adminOf(pbx)), `uid=u3,${suffixOf(pbx)}`, 'cn:Person 3']);
  assert.equal(compared.code, 6, compared.stderr + compared.stdout); // compareTrue
});

test('strangers and failures are told in words that a client shows', options, async () => {
  const nowhere = await run('ldapwhoami', ['-H', plain(), ...as('cn=admin,dc=nowhere,dc=test')]);
  assert.match(nowhere.stderr, /Invalid credentials \(49\)\s+additional info: not on this connection/);
  await journalSays(gateway, { event: 'conn.refused', listener: 'ldap', rule: 'unknown host' });
  for (const more of [[], ['-ZZ']]) {
    const down = await run('ldapwhoami', ['-H', plain(), ...more, ...as(adminOf('down.example.test'))]);
    assert.match(down.stderr, /Server is unavailable \(52\)\s+additional info: the directory cannot be reached now/);
  }
  await journalSays(gateway, { event: 'relay.failed', route: 'down', why: /refused the connection/ });
  const stranger = await run('ldapwhoami', ['-H', plain(), ...as(adminOf('stranger.example.test'))]);
  assert.match(stranger.stderr, /Server is unavailable \(52\)/);
  await journalSays(gateway, { event: 'relay.failed', route: 'stranger', why: /CA that is not trusted/ });
});

// --- in bytes: what no client of good manners sends

const tlv = (tag: number, ...parts: readonly Buffer[]) => {
  const value = Buffer.concat(parts);
  return Buffer.concat([value.length < 128 ? Buffer.from([tag, value.length]) : Buffer.from([tag, 0x82, value.length >> 8, value.length & 255]), value]);
};
/** As Windows writes: six bytes for each length. */
const wide = (tag: number, ...parts: readonly Buffer[]) => {
  const value = Buffer.concat(parts);
  const head = Buffer.from([tag, 0x84, 0, 0, 0, 0]);
  head.writeUInt32BE(value.length, 2);
  return Buffer.concat([head, value]);
};
const message = (id: number, op: Buffer, write = tlv) => write(0x30, Buffer.from([2, 1, id]), op);
const bind = (id: number, name: string, password = ldapPassword, write = tlv) => message(id, write(0x60, Buffer.from([2, 1, 3]), write(4, Buffer.from(name)), write(0x80, Buffer.from(password))), write);
const searchOf = (id: number, base: string, scope: number, filter: string, write = tlv) =>
  message(id, write(0x63, write(4, Buffer.from(base)), Buffer.from([0x0a, 1, scope, 0x0a, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0]), write(0x87, Buffer.from(filter)), write(0x30)), write);
const unbind = (id: number) => message(id, Buffer.from([0x42, 0]));
const abandon = (id: number, which: number) => message(id, Buffer.from([0x50, 1, which]));
const startTls = message(1, tlv(0x77, tlv(0x80, Buffer.from('1.3.6.1.4.1.1466.20037'))));
const bound = (id: number) => Buffer.from([0x30, 12, 2, 1, id, 0x61, 7, 10, 1, 0, 4, 0, 4, 0]);

test('a search before any bind goes by its base', options, async () => {
  const client = await openWire(portOf(gateway, 'ldap'));
  client.socket.write(searchOf(1, suffixOf(pbx), 0, 'objectClass'));
  await client.says(/dcObject[\s\S]*e\x07\n\x01\x00\x04\x00\x04\x00$/);
  client.socket.write(unbind(2));
  await client.gone();
  await journalSays(gateway, { event: 'relay.ended', route: 'pbx', why: 'ended' });
});

test('a refusal reaches a client that has said its last word', options, async () => {
  for (const [name, text] of [['down.example.test', 'the directory cannot be reached now'], ['nowhere.example.test', 'not on this connection']] as const) {
    const plainly = await openWire(portOf(gateway, 'ldap'), { allowHalfOpen: true });
    plainly.socket.end(bind(1, adminOf(name)));
    await plainly.gone();
    assert.ok(plainly.text.includes(text), `${name}: ${JSON.stringify(plainly.text)}`);
    const inTls = await openTlsWire(portOf(gateway, 'front'), { servername: name, ca: gateway.caPem, checkServerIdentity: () => undefined });
    inTls.socket.end(bind(1, adminOf(name)));
    await inTls.gone();
    assert.ok(inTls.text.includes(text), `${name}, in TLS: ${JSON.stringify(inTls.text)}`);
  }
  await finishesCleanly(gateway);
});

test('a bind anew to another domain is refused, to the same it is not', options, async () => {
  for (const name of [adminOf(other), `${other}\\anna`, `anna@${other}`]) {
    const client = await openWire(portOf(gateway, 'ldap'));
    client.socket.write(bind(1, adminOf(pbx)));
    await until('the first answer', () => client.bytes.equals(bound(1)));
    client.socket.write(bind(2, `uid=u1,${suffixOf(pbx)}`, 'wrong'));
    await client.says(/0\x0c\x02\x01\x02a\x07\n\x011/);
    const before = client.bytes.length;
    client.socket.write(Buffer.concat([bind(3, name), searchOf(4, suffixOf(other), 2, 'objectClass')]));
    await client.gone();
    const answer = client.bytes.subarray(before).toString('latin1');
    assert.match(answer, /^0.\x02\x01\x03a.\n\x011\x04\x00\x04.not on this connection/s);
    assert.match(answer, /1\.3\.6\.1\.4\.1\.1466\.20036$/);
    assert.doesNotMatch(answer, /dcObject/);
    await journalSays(gateway, { event: 'conn.refused', rule: 'pbx: later packets' });
  }
});

test('nothing said in clear behind StartTLS survives, and nothing but TLS may follow', options, async () => {
  for (const behind of [bind(2, adminOf(pbx)), Buffer.from([0x30])]) {
    const client = await openWire(portOf(gateway, 'ldap'));
    client.socket.write(Buffer.concat([startTls, behind]));
    await client.gone();
    assert.equal(client.text, '', 'no success is said');
    await journalSays(gateway, { event: 'conn.refused', why: 'bytes behind StartTLS, before TLS' });
  }
  const client = await openWire(portOf(gateway, 'ldap'));
  client.socket.write(startTls);
  await until('the answer', () => client.bytes.equals(Buffer.from('300c02010178070a010004000400', 'hex')));
  client.socket.write(bind(2, adminOf(pbx)));
  await client.gone();
  await journalSays(gateway, { event: 'conn.refused', why: 'something else than TLS behind StartTLS' });
});

test('StartTLS within TLS, and behind a bind, is refused in words', options, async () => {
  const inside = await openTlsWire(portOf(gateway, 'front'), { servername: pbx, ca: gateway.caPem, checkServerIdentity: () => undefined });
  inside.socket.write(startTls);
  await inside.says(/TLS cannot begin here/);
  await inside.gone();
  const behind = await openWire(portOf(gateway, 'ldap'));
  behind.socket.write(bind(1, adminOf(pbx)));
  await until('the answer', () => behind.bytes.equals(bound(1)));
  behind.socket.write(startTls);
  await behind.says(/TLS cannot begin here/);
  await behind.gone();
});

test('as Windows writes, whole, byte by byte and with a search behind it', options, async () => {
  const bytes = Buffer.concat([bind(1, adminOf(pbx), ldapPassword, wide), searchOf(2, `uid=u42,${suffixOf(pbx)}`, 0, 'objectClass', wide)]);
  const asked = async (pieces: readonly Buffer[]) => {
    const client = await openWire(portOf(gateway, 'ldap'), { allowHalfOpen: true });
    for (const piece of pieces) {
      client.socket.write(piece);
      if (pieces.length > 1) await new Promise((next) => setTimeout(next, 1));
    }
    await client.says(/\x02\x01\x02e\x07\n\x01\x00\x04\x00\x04\x00$/);
    // Not sent along with the rest: a directory drops what it is working on when it comes.
    client.socket.write(unbind(3));
    await client.gone();
    return client.text;
  };
  const whole = await asked([bytes]);
  assert.match(whole, /^0\x0c\x02\x01\x01a\x07\n\x01\x00[\s\S]*Person 42[\s\S]*e\x07\n\x01\x00/);
  assert.equal(await asked(Array.from(bytes, (byte) => Buffer.from([byte]))), whole);
  // A whole first message of that kind, which asks for a directory that is elsewhere.
  const client = await openWire(portOf(gateway, 'ldap'));
  client.socket.write(searchOf(7, suffixOf('nowhere.example.test'), 2, 'objectClass', wide));
  await client.gone();
  assert.match(client.text, /^0.\x02\x01\x07e.\n\x012\x04\x00\x04.not on this connection/s);
});

test('an abandoned search ends, and the connection goes on', options, async () => {
  const client = await openWire(portOf(gateway, 'ldap'));
  client.socket.write(bind(1, adminOf(pbx)));
  await until('the answer', () => client.bytes.equals(bound(1)));
  client.socket.write(Buffer.concat([searchOf(2, suffixOf(pbx), 2, 'uid'), abandon(3, 2)]));
  client.socket.write(searchOf(4, `uid=u9,${suffixOf(pbx)}`, 0, 'objectClass'));
  // Not at the end: what slapd had queued for the abandoned one may still come behind it.
  await client.says(/\x02\x01\x04e\x07\n\x01\x00\x04\x00\x04\x00/);
  client.socket.write(unbind(5));
  await client.gone();
});

test('a directory that goes down ends its connections, and new ones are told', options, async () => {
  const client = await openWire(portOf(gateway, 'ldap'));
  client.socket.write(bind(1, adminOf(pbx)));
  await until('the answer', () => client.bytes.equals(bound(1)));
  await slapd.process.stop();
  await client.gone();
  const later = await run('ldapwhoami', ['-H', plain(), ...as(adminOf(pbx))]);
  assert.match(later.stderr, /Server is unavailable \(52\)/);
  await finishesCleanly(gateway);
});
