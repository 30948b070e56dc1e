// Mutual TLS as somebody without the certificate would get around it: hellos cut up, names written otherwise, one name in TLS and another in
// HTTP, tickets of another policy, connections that are reused, certificates of the wrong kind. None of it is ever served.
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { connect, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { test } from 'node:test';
import { askHttp2, bodyOf, get, knock, statusOf, type Knock } from '#kit/tls-door.ts';
import { makeCertificate, type Made } from '../kit/authority.ts';
import { facility, rrq } from '../kit/h323.ts';
import { finishesCleanly, portOf, startGateway, startTcp, until } from '../kit/gateway.ts';

const now = Date.now();
const clientAuth = '1.3.6.1.5.5.7.3.2';
const serverAuth = '1.3.6.1.5.5.7.3.1';
const authority = await makeCertificate({ name: 'People', now, ca: true });
const otherAuthority = await makeCertificate({ name: 'Others', now, ca: true });
const person = (name: string, more: object = {}) => makeCertificate({ name, issuer: authority, now, usages: [clientAuth], ...more });
const anna = await person('anna');
const bert = await person('bert');
const ofOthers = await person('anna', { issuer: otherAuthority });
const shows = (made: Made) => ({ cert: made.pem, key: made.keyPem });

const secret = 'what only people with a certificate read';
const respond = (body: string) => ({ kind: 'respond', status: 200, body });

const startScene = () =>
  startGateway({
    domain: 'gw.example.test',
    config: {
      listeners: ['free', 'people', 'strangers', 'either'].map((name) => ({ name, tls: true })),
      tlsPolicies: [
        // One name, asked for other things at other ports.
        { name: 'people', hosts: ['both.example.test'], listeners: ['people'], level: 'intermediate', clientCertificates: { ca: authority.pem, required: true } },
        { name: 'strangers', hosts: ['both.example.test'], listeners: ['strangers'], level: 'intermediate', clientCertificates: { ca: otherAuthority.pem, required: true } },
        { name: 'either', hosts: ['both.example.test'], listeners: ['either'], level: 'intermediate', clientCertificates: { ca: authority.pem, required: false } },
        { name: 'secret', hosts: ['secret.example.test', '*.vault.example.test'], level: 'intermediate', clientCertificates: { ca: authority.pem, required: true } },
        { name: 'open-vault', hosts: ['open.vault.example.test'], level: 'intermediate' },
        { name: 'asked', hosts: ['asked.example.test'], level: 'intermediate', clientCertificates: { ca: authority.pem, required: false } },
        { name: 'others', hosts: ['others.example.test'], level: 'intermediate', clientCertificates: { ca: otherAuthority.pem, required: true } },
      ],
    },
    routes: [
      { name: 'secret', host: 'secret.example.test', target: respond(secret) },
      { name: 'both', host: 'both.example.test', target: respond(secret) },
      { name: 'vault', host: '*.vault.example.test', target: respond(secret) },
      { name: 'open-vault', host: 'open.vault.example.test', target: respond('open') },
      { name: 'open', host: 'open.example.test', target: respond('open') },
      { name: 'others', host: 'others.example.test', target: respond('of the others') },
      { name: 'asked', host: 'asked.example.test', target: respond('asked') },
      { name: 'admin', host: 'asked.example.test', path: '/admin', clientCertificate: { subject: 'Anna' }, target: respond('admin') },
      { name: 'staff', host: 'asked.example.test', path: '/staff', clientCertificate: {}, target: respond('staff') },
      // What a wrong turn would fall to.
      { name: 'rest', target: respond('rest') },
    ],
  });

const ask = (port: number, servername: string | null, host: string, more: Knock & { path?: string; lines?: string } = {}) =>
  knock(port, { ...(servername === null ? { host: '127.0.0.1' } : { servername }), say: get(host, more.path, more.lines), ...more });

/** A way to the port that hands on the first write, which is the hello, in the pieces given. */
function cutting(port: number, cut: (hello: Buffer) => readonly Buffer[]): Socket {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  let isFirst = true;
  const way = new Duplex({
    read() {},
    write(piece: Buffer, _, next) {
      const pieces = isFirst ? cut(piece) : [piece];
      isFirst = false;
      void (async () => {
        for (const [i, each] of pieces.entries()) {
          if (i > 0) await new Promise((done) => setTimeout(done, 3));
          if (!socket.destroyed) socket.write(each);
        }
        next();
      })();
    },
    final: (next) => void socket.end(next),
    destroy: (_, next) => void (socket.destroy(), next(null)),
  });
  socket.on('data', (piece) => way.push(piece)).on('end', () => way.push(null)).on('error', () => {}).on('close', () => way.destroy());
  return way as Socket;
}

/** One record as two. */
const asRecords = (hello: Buffer, at: number): Buffer => {
  const body = hello.subarray(5);
  const record = (part: Buffer) => Buffer.concat([hello.subarray(0, 3), Buffer.from([part.length >> 8, part.length & 0xff]), part]);
  return Buffer.concat([record(body.subarray(0, at)), record(body.subarray(at))]);
};

async function atMost<Item>(atOnce: number, items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const queue = [...items];
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  }));
}

test('a hello in pieces and records says the same', { timeout: 120_000 }, async () => {
  await using gateway = await startScene();
  const port = gateway.ports.https;
  let length = 0;
  let nameAt = 0;
  await ask(port, 'secret.example.test', 'secret.example.test', { over: cutting(port, (hello) => ((length = hello.length), (nameAt = hello.indexOf('secret.example.test')), [hello])) });
  assert.ok(length > 300 && nameAt > 0);
  const places = new Set([1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 43, 44, 76, length - 1, length - 2]);
  for (let at = nameAt - 9; at <= nameAt + 20; at += 1) places.add(at);
  for (let at = 13; at < length; at += 41) places.add(at);
  await atMost(8, [...places].filter((at) => at > 0 && at < length), async (at) => {
    const asSegments = await ask(port, 'secret.example.test', 'secret.example.test', { over: cutting(port, (hello) => [hello.subarray(0, at), hello.subarray(at)]) });
    assert.equal(statusOf(asSegments.text), 403, `cut at ${at}: ${asSegments.error} ${asSegments.text}`);
    if (at > length - 6) return;
    const cutIt = (hello: Buffer) => asRecords(hello, at);
    const both = await ask(port, 'secret.example.test', 'secret.example.test', { over: cutting(port, (hello) => [cutIt(hello)]) });
    assert.equal(statusOf(both.text), 403, `records at ${at}: ${both.error} ${both.text}`);
    const apart = await ask(port, 'secret.example.test', 'secret.example.test', { ...shows(anna), over: cutting(port, (hello) => [cutIt(hello).subarray(0, at + 7), cutIt(hello).subarray(at + 7)]) });
    assert.equal(bodyOf(apart.text), secret, `with the certificate, records and segments at ${at}: ${apart.error}`);
  });
  // As small as it gets: each byte in a record of its own is more records than anybody sends.
  const crumbs = await ask(port, 'secret.example.test', 'secret.example.test', { over: cutting(port, (hello) => [Buffer.concat(Array.from(hello.subarray(5), (byte) => Buffer.from([22, 3, 1, 0, 1, byte])))]) });
  assert.ok(crumbs.error !== null || statusOf(crumbs.text) === 403, crumbs.text);
  await finishesCleanly(gateway);
});

test('names written otherwise lead to the same policy', { timeout: 60_000 }, async () => {
  await using gateway = await startScene();
  const port = gateway.ports.https;
  const refused: [string | null, string, number[]][] = [
    ['secret.example.test', 'secret.example.test', [403]],
    ['SECRET.example.TEST', 'secret.example.test', [403]],
    ['secret.example.test.', 'secret.example.test', [403]],
    ['a.vault.example.test', 'a.vault.example.test', [403]],
    ['A.Vault.Example.Test', 'b.vault.example.test', [403]],
    ['a.b.vault.example.test', 'a.b.vault.example.test', [403]],
    // Another name in TLS than in HTTP.
    ['open.example.test', 'secret.example.test', [421]],
    ['open.example.test', 'SECRET.EXAMPLE.TEST.', [421]],
    ['open.example.test', 'secret.example.test:443', [421]],
    ['open.vault.example.test', 'a.vault.example.test', [421]],
    ['asked.example.test', 'secret.example.test', [421]],
    ['others.example.test', 'secret.example.test', [421]],
    ['nobody.example.test', 'secret.example.test', [421]],
    ['gw.example.test', 'secret.example.test', [421]],
    [null, 'secret.example.test', [421]],
    [null, 'a.vault.example.test', [421]],
    ['open.example.test', 'secret.example.test..', [400]],
    ['open.example.test', 'secret.example.test\t', [400, 421]],
  ];
  for (const [servername, host, statuses] of refused) {
    for (const shown of [{}, shows(anna)]) {
      if (statuses[0] === 403 && 'cert' in shown) continue;
      const told = await ask(port, servername, host, shown);
      assert.ok(statuses.includes(statusOf(told.text)), `${servername} → ${host}: ${told.error} ${told.text}`);
      assert.doesNotMatch(told.text, /certificate read/);
    }
  }
  const forms: [string, string][] = [
    ['absolute-form', 'GET http://secret.example.test/ HTTP/1.1\r\nHost: open.example.test\r\nConnection: close\r\n\r\n'],
    ['absolute-form, https', 'GET https://secret.example.test/ HTTP/1.1\r\nHost: secret.example.test\r\nConnection: close\r\n\r\n'],
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: open.example.test\r\nHost: secret.example.test\r\nConnection: close\r\n\r\n'],
    ['X-Forwarded-Host', get('open.example.test', '/', 'X-Forwarded-Host: secret.example.test\r\nX-Forwarded-Proto: https\r\n')],
    ['a certificate in a header', get('secret.example.test', '/', 'X-SSL-Client-Verify: SUCCESS\r\nX-SSL-Client-CN: anna\r\nX-Forwarded-Client-Cert: Subject="CN=anna"\r\n')],
    ['second on the connection', `GET / HTTP/1.1\r\nHost: open.example.test\r\n\r\n${get('secret.example.test')}`],
  ];
  for (const [what, say] of forms) {
    const told = await knock(port, { servername: 'open.example.test', say });
    assert.match(told.text, /HTTP\/1\.1 (400|403|421) |^HTTP\/1\.1 200 OK[^]*\r\n\r\nopen$/, `${what}: ${told.text}`);
    assert.doesNotMatch(told.text, /certificate read/, what);
  }
  for (const servername of ['secret.example.test', 'SECRET.example.test', 'secret.example.test.']) assert.equal(bodyOf((await ask(port, servername, 'Secret.example.test', shows(anna))).text), secret, servername);
  for (const name of ['a.vault.example.test', 'a.b.vault.example.test']) assert.equal(bodyOf((await ask(port, name, name, shows(bert))).text), secret, name);
  // Without TLS there is no certificate.
  const plain = await new Promise<string>((done) => {
    let text = '';
    const socket = connect({ host: '127.0.0.1', port: gateway.ports.http }, () => void socket.write(get('secret.example.test')));
    socket.on('data', (piece) => void (text += piece.toString('latin1'))).on('error', () => {}).on('close', () => done(text));
  });
  assert.equal(statusOf(plain), 308, plain);
  await finishesCleanly(gateway);
});

test('HTTP/2: what shares a connection is asked for what its own name asks', { timeout: 60_000 }, async () => {
  await using gateway = await startScene();
  const port = gateway.ports.https;
  const names = ['open.example.test', 'secret.example.test', 'SECRET.example.test', 'secret.example.test.', `secret.example.test:${port}`, 'x.vault.example.test', 'asked.example.test', 'open.example.test'];
  const told = await askHttp2(port, names.map((authority) => ({ authority })), { servername: 'open.example.test' });
  assert.deepEqual(told.map((each) => each.slice(0, 3)), ['200', '421', '421', '421', '421', '421', '421', '200'], JSON.stringify(told));
  const withHost = await askHttp2(port, [{ authority: 'open.example.test', headers: { host: 'secret.example.test' } }], { servername: 'open.example.test' });
  assert.doesNotMatch(withHost.join(''), /certificate read/);
  const byAnna = await askHttp2(port, ['secret.example.test', 'x.vault.example.test', 'others.example.test', 'asked.example.test'].map((authority) => ({ authority })), { servername: 'secret.example.test', ...shows(anna) });
  assert.deepEqual(byAnna.map((each) => each.slice(0, 3)), ['200', '200', '421', '421'], JSON.stringify(byAnna));
  assert.equal((await askHttp2(port, [{ authority: 'secret.example.test' }], { servername: 'secret.example.test' }))[0]!.slice(0, 3), '403');
  await finishesCleanly(gateway);
});

test('a ticket opens nothing but what it was given for', { timeout: 60_000 }, async () => {
  await using gateway = await startScene();
  const port = gateway.ports.https;
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const take = async (name: string, shown: object) => {
      const told = await ask(port, name, name, { maxVersion, ...shown });
      assert.ok(told.session, `${maxVersion}: no ticket for ${name}`);
      return told.session;
    };
    const use = (name: string, session: Buffer) => ask(port, name, name, { maxVersion, session });
    const [open, asked, ofAnna, ofStranger, others] = [await take('open.example.test', {}), await take('asked.example.test', {}), await take('secret.example.test', shows(anna)), await take('asked.example.test', shows(ofOthers)), await take('others.example.test', shows(ofOthers))];
    const again = await use('open.example.test', open);
    assert.ok(again.resumed && bodyOf(again.text) === 'open', `${maxVersion}: tickets work at all`);
    const back = await use('secret.example.test', ofAnna);
    assert.ok(bodyOf(back.text) === secret, `${maxVersion}: who has shown it need not again`);
    const tries: [string, string, Buffer, boolean][] = [
      ['the open one', 'secret.example.test', open, false],
      ['the open one', 'a.vault.example.test', open, false],
      ['one without a certificate, where it is asked for only', 'secret.example.test', asked, true],
      ['one with a stranger\'s certificate', 'secret.example.test', ofStranger, true],
      ['one of another authority', 'secret.example.test', others, false],
      ['one with a certificate', 'others.example.test', ofAnna, false],
    ];
    for (const [what, name, session, mayResume] of tries) {
      const told = await use(name, session);
      assert.equal(statusOf(told.text), 403, `${maxVersion}, ${what} at ${name}: ${told.error} ${told.text}`);
      if (!mayResume) assert.equal(told.resumed, false, `${maxVersion}, ${what} at ${name} was resumed`);
    }
    const elsewhere = await use('open.example.test', ofAnna);
    assert.deepEqual([elsewhere.resumed, bodyOf(elsewhere.text)], [false, 'open'], maxVersion);
    // Resumed in TLS, but with another name in Host.
    assert.equal(statusOf((await ask(port, 'open.example.test', 'secret.example.test', { maxVersion, session: open })).text), 421);
    const at = (listener: string, more: object) => ask(portOf(gateway, listener), 'both.example.test', 'both.example.test', { ...more, maxVersion });
    const given: [string, Knock, string[]][] = [['free', {}, ['people', 'strangers']], ['people', shows(anna), ['strangers']], ['strangers', shows(ofOthers), ['people']], ['either', {}, ['people', 'strangers']], ['either', shows(ofOthers), ['people', 'strangers']], ['either', shows(anna), ['strangers']]];
    for (const [listener, shown, others] of given) {
      const { session } = await at(listener, shown);
      assert.ok(session);
      for (const other of others) assert.equal(statusOf((await at(other, { session })).text), 403, `${maxVersion}, the same name, a ticket of ${listener} at ${other}`);
    }
    const staff = (session: Buffer) => ask(port, 'asked.example.test', 'asked.example.test', { maxVersion, session, path: '/staff' });
    assert.equal(statusOf((await staff(asked)).text), 403);
    assert.equal(statusOf((await staff(ofStranger)).text), 403);
  }
  await finishesCleanly(gateway);
});

test('certificates that are no proof', { timeout: 60_000 }, async () => {
  await using gateway = await startScene();
  const port = gateway.ports.https;
  const middle = await makeCertificate({ name: 'anna', issuer: anna, now, usages: [clientAuth] });
  const bad: [string, Made, string?][] = [
    ['self-signed', await makeCertificate({ name: 'anna', now, usages: [clientAuth] })],
    ['self-signed with the authority\'s name', await makeCertificate({ name: 'People', now, ca: true })],
    ['of another authority', ofOthers],
    ['of another authority with the same name', await person('anna', { issuer: await makeCertificate({ name: 'People', now, ca: true }) })],
    ['expired', await person('anna', { from: now - 9 * 86_400_000, days: -1 })],
    ['not valid yet', await person('anna', { from: now + 86_400_000 })],
    ['for servers', await person('anna', { usages: [serverAuth] })],
    ['signed by a person', middle, anna.pem],
  ];
  for (const [what, made, behind = ''] of bad) {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const shown = { cert: made.pem + behind, key: made.keyPem, maxVersion };
      assert.equal(statusOf((await ask(port, 'secret.example.test', 'secret.example.test', shown)).text), 403, `${what}, ${maxVersion}`);
      for (const path of ['/admin', '/staff']) assert.equal(statusOf((await ask(port, 'asked.example.test', 'asked.example.test', { ...shown, path })).text), 403, `${what}, ${path}`);
      assert.equal(bodyOf((await ask(port, 'asked.example.test', 'asked.example.test', shown)).text), 'asked', `${what}: where it is only asked for, it does no harm`);
    }
  }
  const paths = async (shown: object) => Promise.all(['/', '/admin', '/admin/x', '/ADMIN', '/staff'].map(async (path) => statusOf((await ask(port, 'asked.example.test', 'asked.example.test', { ...shown, path })).text)));
  assert.deepEqual(await paths(shows(anna)), [200, 200, 200, 200, 200]);
  assert.deepEqual(await paths(shows(bert)), [200, 403, 403, 200, 200], 'somebody else\'s');
  assert.deepEqual(await paths({}), [200, 403, 403, 200, 403]);
  for (const path of ['//admin', '/%61dmin', '/x/../admin', '/admin%2f..', '/admin;x']) {
    const told = await ask(port, 'asked.example.test', 'asked.example.test', { path });
    assert.doesNotMatch(bodyOf(told.text), /^admin/, path);
  }
  assert.equal(bodyOf((await ask(port, 'others.example.test', 'others.example.test', shows(ofOthers))).text), 'of the others');
  assert.equal(statusOf((await ask(port, 'others.example.test', 'others.example.test', shows(anna))).text), 403);
  await finishesCleanly(gateway);
});

const bindOf = (name: string, id = 1) => {
  const op = Buffer.concat([Buffer.from([0x02, 1, 3, 0x04, name.length]), Buffer.from(name), Buffer.from([0x80, 1, 0x78])]);
  return Buffer.concat([Buffer.from([0x30, op.length + 5, 2, 1, id, 0x60, op.length]), op]);
};
const registerOf = (from: string, to = from) =>
  `REGISTER sip:pbx.example.test SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.5;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:${from}@pbx.example.test>;tag=1\r\nTo: <sip:${to}@pbx.example.test>\r\nCall-ID: a@192.0.2.5\r\nCSeq: 1 REGISTER\r\nContact: <sip:${from}@192.0.2.5>\r\nContent-Length: 0\r\n\r\n`;
const inviteOf = (from: string, to: string) => registerOf(from, to).replaceAll('REGISTER', 'INVITE').replace('sip:pbx.example.test SIP', `sip:${to}@pbx.example.test SIP`);
const aliasesOf = (...names: string[]) => facility([rrq({ gatekeeper: 'pbx.example.test', aliases: names.map((h323) => (/^\d+$/.test(h323) ? { digits: h323 } : { h323 })) })]);

test('"check certificate": the user named in the protocol is the one of the certificate', { timeout: 60_000 }, async () => {
  const leaf = await makeCertificate({ name: 'pbx.example.test', issuer: authority, now, usages: [serverAuth], names: [{ type: 'dns', value: 'pbx.example.test' }] });
  const inner: Buffer[] = [];
  const server = createTlsServer({ key: leaf.keyPem, cert: leaf.pem }, (socket) => void socket.on('error', () => {}).on('data', (piece: Buffer) => inner.push(piece)));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const plainBytes: Buffer[] = [];
  await using plain = await startTcp((socket) => void socket.on('data', (piece: Buffer) => plainBytes.push(piece)));
  await using closing = { [Symbol.asyncDispose]: async () => void server.close() };
  assert.ok(closing);
  const { port: tlsPort } = server.address() as { port: number };
  const target = (otherwise: unknown) => ({ kind: 'tls', host: '127.0.0.1', port: tlsPort, verify: { by: 'ca', ca: authority.pem }, checkCertificate: { otherwise } });
  const protocols = ['ldap', 'sip', 'h323'];
  await using gateway = await startGateway({
    domain: 'gw.example.test',
    config: {
      listeners: [{ name: 'strict', tls: true, protocols }, { name: 'mild', tls: true, protocols }, { name: 'lane', tls: true, protocols: ['ldap'], plain: ['ldap'] }],
      tlsPolicies: [
        { name: 'phones', listeners: ['strict', 'mild'], level: 'intermediate', clientCertificates: { ca: authority.pem, required: false } },
        { name: 'directory', listeners: ['lane'], level: 'intermediate', clientCertificates: { ca: authority.pem, required: true } },
      ],
    },
    routes: [
      ...protocols.flatMap((protocol) => [
        { name: `strict-${protocol}`, protocol, listeners: ['strict'], host: 'pbx.example.test', target: target('refuse') },
        { name: `mild-${protocol}`, protocol, listeners: ['mild'], host: 'pbx.example.test', target: target(plain.port) },
      ]),
      { name: 'directory', protocol: 'ldap', listeners: ['lane'], host: 'pbx.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: plain.port } },
    ],
  });
  const told = async (listener: string, say: string | Buffer, shown: object): Promise<'inner' | 'plain' | 'refused'> => {
    inner.length = 0;
    plainBytes.length = 0;
    const end = new AbortController();
    const over = knock(portOf(gateway, listener), { servername: 'pbx.example.test', say, enough: () => true, ...shown });
    const where = until('it to lead somewhere or nowhere', () => (inner.length > 0 ? 'inner' : plainBytes.length > 0 ? 'plain' : end.signal.aborted ? 'refused' : null));
    void over.then(() => end.abort(), () => end.abort());
    const answer = await where;
    for (const conn of gateway.live.conns(100)) gateway.live.closeConn(conn.id);
    await over;
    return answer;
  };
  const samples: [string, Buffer | string, object, boolean][] = [
    ['LDAP, oneself', bindOf('pbx.example.test\\anna'), shows(anna), true],
    ['LDAP, in capitals', bindOf('pbx.example.test\\Anna'), shows(anna), true],
    ['LDAP, somebody else', bindOf('pbx.example.test\\bert'), shows(anna), false],
    ['LDAP, nobody', bindOf('pbx.example.test\\anna'), {}, false],
    ['LDAP, another authority', bindOf('pbx.example.test\\anna'), shows(ofOthers), false],
    ['SIP, oneself', registerOf('anna'), shows(anna), true],
    ['SIP, a call to somebody', inviteOf('anna', 'bert'), shows(anna), true],
    ['SIP, somebody else', registerOf('bert'), shows(anna), false],
    ['SIP, a call as somebody else', inviteOf('bert', 'anna'), shows(anna), false],
    ['SIP, registering somebody else', registerOf('anna', 'bert'), shows(anna), false],
    ['SIP, registered by somebody else', registerOf('bert', 'anna'), shows(anna), false],
    ['SIP, nobody', registerOf('anna'), {}, false],
    ['H.323, oneself', aliasesOf('anna'), shows(anna), true],
    ['H.323, oneself with a number', aliasesOf('anna', '101'), shows(anna), true],
    ['H.323, somebody else', aliasesOf('bert'), shows(anna), false],
    ['H.323, somebody else beside oneself', aliasesOf('bert', 'anna'), shows(anna), false],
    ['H.323, oneself beside somebody else', aliasesOf('anna', 'bert'), shows(anna), false],
    ['H.323, nobody', aliasesOf('anna'), {}, false],
  ];
  for (const [what, say, shown, proves] of samples) {
    assert.equal(await told('strict', say, shown), proves ? 'inner' : 'refused', `${what}, strict`);
    assert.equal(await told('mild', say, shown), proves ? 'inner' : 'plain', `${what}, mild`);
  }
  // Proved once, somebody else later on the same connection.
  for (const [first, second] of [[bindOf('pbx.example.test\\anna'), bindOf('pbx.example.test\\bert', 2)], [registerOf('anna'), registerOf('anna', 'bert').replace('1 REGISTER', '2 REGISTER')], [aliasesOf('anna'), aliasesOf('bert')]] as const) {
    inner.length = 0;
    const over = knock(portOf(gateway, 'strict'), { servername: 'pbx.example.test', ...shows(anna), say: Buffer.concat([Buffer.from(first), Buffer.from(second)]), enough: () => false });
    await until('the first to arrive', () => inner.length > 0);
    await new Promise((done) => setTimeout(done, 150));
    assert.doesNotMatch(Buffer.concat(inner).toString('latin1').replaceAll('\0', ''), /bert/, 'what claims to be somebody else does not pass');
    for (const conn of gateway.live.conns(100)) gateway.live.closeConn(conn.id);
    await over;
  }
  // A policy that asks for certificates holds on the plain side of its listener, too: there nobody can show one.
  plainBytes.length = 0;
  const bare = await new Promise<string>((done) => {
    let text = '';
    const socket = connect({ host: '127.0.0.1', port: portOf(gateway, 'lane') }, () => void socket.write(bindOf('pbx.example.test\\anna')));
    const timer = setTimeout(() => void socket.destroy(), 3_000);
    socket.on('data', (piece) => void (text += piece.toString('latin1'))).on('error', () => {}).on('close', () => (clearTimeout(timer), done(text)));
  });
  assert.equal(plainBytes.length, 0, `without TLS: ${bare}`);
  // Nor is StartTLS a way around it, with another name, without one or with the right one.
  const startTls = async (more: Knock) => {
    plainBytes.length = 0;
    const raw = connect({ host: '127.0.0.1', port: portOf(gateway, 'lane') });
    raw.write(Buffer.from(`301d02010177188016${Buffer.from('1.3.6.1.4.1.1466.20037').toString('hex')}`, 'hex'));
    await new Promise((done) => raw.once('data', done));
    raw.removeAllListeners('data');
    const told = knock(portOf(gateway, 'lane'), { over: raw, say: bindOf('pbx.example.test\\anna', 2), enough: () => true, ...more });
    const stop = new AbortController();
    void told.then(() => stop.abort(), () => stop.abort());
    await until('it to lead somewhere or nowhere', () => plainBytes.length > 0 || stop.signal.aborted);
    for (const conn of gateway.live.conns(100)) gateway.live.closeConn(conn.id);
    await told;
    return plainBytes.length > 0;
  };
  for (const servername of ['pbx.example.test', 'open.example.test', '']) {
    assert.equal(await startTls({ servername }), false, servername);
    assert.equal(await startTls({ servername, ...shows(ofOthers) }), false, servername);
    assert.equal(await startTls({ servername, ...shows(bert) }), true, `${servername}, with a certificate`);
  }
  await finishesCleanly(gateway);
});
