// Configuration for servers: what stands in it for each way of telling, and that nothing foreign gets into it. test/peers/snippets.test.ts runs it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { snippetFor, snippetServers, type SnippetAsked } from './snippets.ts';

const asked: SnippetAsked = { server: 'nginx', route: 'scan', tell: 'headers', port: 8080, isTls: false, gateways: ['192.0.2.1', '2001:db8::1'], pool: ['198.51.100.0/25', '2001:db8:72::/64'], isLocal: false };
const textOf = (change: Partial<SnippetAsked>) => snippetFor({ ...asked, ...change }).parts.map((part) => part.text).join('\n');
const tells = ['headers', 'proxy-v1', 'proxy-v2', 'virtual'] as const;

test('every server has something for every way that it can take, with a place that proves it', () => {
  for (const server of snippetServers) {
    for (const tell of tells) {
      if ((server === 'iis' || server === 'tomcat') && tell.startsWith('proxy')) {
        assert.throws(() => snippetFor({ ...asked, server, tell }), { code: 'unsupported', remedy: /virtual/ });
        continue;
      }
      const { parts, notes } = snippetFor({ ...asked, server, tell });
      const text = parts.map((part) => part.text).join('\n');
      assert.match(text, /X[-_]Postern[-_]Seen/, `${server} ${tell}`);
      assert.match(text, /\.postern-prove/, `${server} ${tell}`);
      assert.ok(notes.length > 0);
      for (const part of parts) assert.ok(part.where !== '' && part.text.endsWith('\n') && !part.text.includes('undefined'), `${server} ${tell}`);
      // Virtual addresses are the connection's own: whoever believes headers besides can be lied to.
      if (tell === 'virtual') assert.doesNotMatch(text, /forwarded|real_ip|RemoteIPHeader|RemoteIPInternal|RemoteIPProxyProtocol|set-src|expect-proxy|REMOTE_HOST|RemoteIpValve/i, server);
    }
  }
});

test('nginx', () => {
  assert.match(textOf({}), /^set_real_ip_from 192\.0\.2\.1;\nset_real_ip_from 2001:db8::1;\nreal_ip_header X-Forwarded-For;\nreal_ip_recursive on;$/m);
  assert.match(textOf({ tell: 'proxy-v2' }), /^listen 8080 proxy_protocol;/m);
  assert.match(textOf({ tell: 'proxy-v2', isTls: true }), /^listen 8080 ssl proxy_protocol;/m);
  assert.match(textOf({ tell: 'proxy-v1' }), /^real_ip_header proxy_protocol;$/m);
});

test('Apache, HAProxy', () => {
  assert.match(textOf({ server: 'apache' }), /^RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 192\.0\.2\.1\nRemoteIPInternalProxy 2001:db8::1$/m);
  assert.match(textOf({ server: 'apache', tell: 'proxy-v1' }), /^RemoteIPProxyProtocol On$/m);
  assert.match(textOf({ server: 'haproxy' }), /set-src hdr_ip\(x-real-ip\) if \{ src 192\.0\.2\.1 2001:db8::1 \}/);
  assert.match(textOf({ server: 'haproxy', tell: 'proxy-v2' }), /expect-proxy layer4 if \{ src 192\.0\.2\.1 2001:db8::1 \}/);
});

test('IIS takes the address from the gateway alone', () => {
  const text = textOf({ server: 'iis' });
  const [, peer] = /\{REMOTE_ADDR\}" pattern="([^"]+)"/.exec(text)!;
  const [, forwarded] = /\{HTTP_X_FORWARDED_FOR\}" pattern="([^"]+)"/.exec(text)!;
  for (const good of ['192.0.2.1', '2001:db8::1']) assert.match(good, new RegExp(peer!));
  for (const bad of ['192.0.2.11', '1192.0.2.1', '192x0x2x1', '192.0.2.1.5', '2001:db8::11']) assert.doesNotMatch(bad, new RegExp(peer!));
  assert.equal(new RegExp(forwarded!).exec('192.0.2.50')?.[1], '192.0.2.50');
  // The last entry is the one that the gateway wrote.
  assert.equal(new RegExp(forwarded!).exec('203.0.113.66, 192.0.2.50')?.[1], '192.0.2.50');
  assert.equal(new RegExp(forwarded!).exec('203.0.113.66, <script>')?.[1], undefined);
  assert.match(text, /<add name="REMOTE_ADDR" \/>\n {6}<add name="REMOTE_HOST" \/>/);
  assert.ok(snippetFor({ ...asked, server: 'iis' }).notes.some((note) => note.includes('Domain Restrictions')));
  // What opens is closed again, in order.
  for (const part of snippetFor({ ...asked, server: 'iis' }).parts) {
    const open: string[] = [];
    for (const [, slash, name, empty] of part.text.matchAll(/<(\/?)([A-Za-z.]+)(?:\s(?:"[^"]*"|[^">])*?)?(\/?)>/g)) {
      if (slash) assert.equal(open.pop(), name);
      else if (!empty) open.push(name!);
    }
    assert.deepEqual(open, []);
  }
});

test('Tomcat writes IPv6 in full', () => {
  const [, pattern] = /internalProxies="([^"]+)"/.exec(textOf({ server: 'tomcat' }))!;
  for (const good of ['192.0.2.1', '2001:db8::1', '2001:db8:0:0:0:0:0:1']) assert.match(good, new RegExp(`^(?:${pattern})$`));
  assert.doesNotMatch('192x0.2.1', new RegExp(`^(?:${pattern})$`));
});

test('virtual addresses need a way back, and on the same machine none', () => {
  const text = textOf({ tell: 'virtual' });
  assert.match(text, /^route -p add 198\.51\.100\.0 mask 255\.255\.255\.128 192\.0\.2\.1$/m);
  assert.match(text, /^New-NetRoute -DestinationPrefix "2001:db8:72::\/64" -NextHop "2001:db8::1" /m);
  assert.match(text, /^ip route replace 198\.51\.100\.0\/25 via 192\.0\.2\.1$/m);
  assert.doesNotMatch(textOf({ tell: 'virtual', isLocal: true }), /route -p|ip route|NetRoute/i);
  const loopback = snippetFor({ ...asked, tell: 'virtual', pool: ['127.72.0.0/16'], gateways: ['127.0.0.1'] });
  assert.deepEqual(loopback.parts.map((part) => part.syntax), ['nginx']);
  const noHop = snippetFor({ ...asked, tell: 'virtual', gateways: ['192.0.2.1'] });
  assert.ok(noHop.notes.some((note) => note.startsWith('2001:db8:72::/64: no address')));
  for (const [prefix, mask] of [[8, '255.0.0.0'], [16, '255.255.0.0'], [20, '255.255.240.0'], [32, '255.255.255.255'], [0, '0.0.0.0']] as const) {
    assert.match(textOf({ tell: 'virtual', pool: [`0.0.0.0/${prefix}`] }), new RegExp(`mask ${mask.replaceAll('.', '\\.')} `));
  }
});

test('nothing but addresses, networks and names gets in', () => {
  for (const route of ['', 'a\nb', 'a"b', 'a{b', 'a;b', '-a', 'a<b', 'a'.repeat(200), 'ä']) assert.throws(() => snippetFor({ ...asked, route }), { code: 'bad-input' }, route);
  for (const gateway of ['', 'gw.example.test', '192.0.2.1; evil', '192.0.2.0/24', '192.0.2.1\n', '::1%lo', '192.0.2.1 ']) assert.throws(() => snippetFor({ ...asked, gateways: [gateway] }), { code: 'bad-input' }, gateway);
  for (const network of ['', 'x', '192.0.2.1/24', '192.0.2.0/24 via']) assert.throws(() => snippetFor({ ...asked, tell: 'virtual', pool: [network] }), { code: 'bad-input' }, network);
  for (const port of [0, 65_536, 1.5, Number.NaN]) assert.throws(() => snippetFor({ ...asked, port }), { code: 'bad-input' });
  assert.throws(() => snippetFor({ ...asked, gateways: [] }), { code: 'bad-input' });
  assert.throws(() => snippetFor({ ...asked, tell: 'virtual', pool: [] }), { code: 'bad-input' });
  assert.throws(() => snippetFor({ ...asked, server: 'lighttpd' as 'nginx' }), { code: 'bad-input' });
  assert.throws(() => snippetFor({ ...asked, gateways: Array.from({ length: 40 }, () => '192.0.2.1') }), { code: 'too-many' });
  // One spelling of an address, whichever was given.
  assert.match(textOf({ gateways: ['::ffff:192.0.2.9', '2001:DB8:0::1'] }), /set_real_ip_from 192\.0\.2\.9;\nset_real_ip_from 2001:db8::1;/);
});

test('a name with two hyphens does not end a comment', () => {
  assert.doesNotMatch(textOf({ server: 'tomcat', route: 'a--b' }).replace(/<!--|-->/g, ''), /--/);
});
