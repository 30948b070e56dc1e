import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addOurVia, addRecordRoute, branchFor, dialogClaim, encodeSip, isOurClaim, noteSource, ourUri, parseVia, popRoutes, sipTokens, takeOurVia, topVia, withField, type SipPlace } from './sip-edits.ts';
import { parseSipUri } from './sip-uri.ts';
import { parseSipMessage, readSipHead, sipField, type SipField, type SipRequest, type SipResponse } from './sip.ts';

const fieldsOf = (...lines: string[]): readonly SipField[] => {
  const head = readSipHead(`OPTIONS sip:a.example.test SIP/2.0\r\n${lines.map((line) => `${line}\r\n`).join('')}`);
  assert.ok(typeof head !== 'string', String(head));
  return head.fields;
};
const linesOf = (fields: readonly SipField[] | null) => fields?.map((field) => `${field.shown}: ${field.value}`);
const place: SipPlace = { host: '192.0.2.1', port: 40_000, transport: 'tcp' };
const rest = ['From: <sip:a@a.example.test>;tag=1', 'To: <sip:b@a.example.test>', 'Call-ID: c', 'CSeq: 1 INVITE'];

test('Via, as odd as it may be', () => {
  assert.deepEqual(parseVia('SIP  /   2.0 /TCP    192.0.2.2 : 5060 ; branch = z9hG4bK30 ;rport'), { protocol: 'SIP/2.0/TCP', sentBy: '192.0.2.2:5060', params: new Map([['branch', 'z9hG4bK30'], ['rport', '']]) });
  assert.equal(parseVia('SIP/2.0/TLS [2001:db8::1]:5061;branch=x')?.sentBy, '[2001:db8::1]:5061');
  for (const text of ['', 'SIP/2.0/TCP', 'SIP/2.0/TCP a b', 'HTTP/1.1 a', 'SIP/2.0/TCP a;branch=x;branch=y', 'SIP/2.0/TCP a:b']) assert.equal(parseVia(text), null, text);
});

test('whence a request came: noted where it differs or was asked, never believed', () => {
  const source = { address: '198.51.100.7', port: 1234 };
  const noted = (via: string) => linesOf(noteSource(fieldsOf(`v: ${via}`, 'Via: SIP/2.0/UDP h'), source))?.[0];
  assert.equal(noted('SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK1, SIP/2.0/UDP g'), 'v: SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK1;received=198.51.100.7, SIP/2.0/UDP g');
  assert.equal(noted('SIP/2.0/TCP 192.0.2.7;rport;branch=z9hG4bK1'), 'v: SIP/2.0/TCP 192.0.2.7;rport=1234;branch=z9hG4bK1;received=198.51.100.7');
  assert.equal(noted('SIP/2.0/TCP 198.51.100.7:5060;branch=z9hG4bK1'), 'v: SIP/2.0/TCP 198.51.100.7:5060;branch=z9hG4bK1');
  assert.equal(noted('SIP/2.0/TCP phone.example.test;received=203.0.113.9;rport=9'), 'v: SIP/2.0/TCP phone.example.test;rport=1234;received=198.51.100.7');
  assert.equal(noted('nonsense'), undefined);
  assert.equal(linesOf(noteSource(fieldsOf('Via: SIP/2.0/TCP [2001:db8:0::1]'), { address: '2001:db8::1', port: 1 }))?.[0], 'Via: SIP/2.0/TCP [2001:db8:0::1]');
  assert.equal(linesOf(noteSource(fieldsOf('Via: SIP/2.0/TCP 192.0.2.7'), { address: '::ffff:192.0.2.7', port: 1 }))?.[0], 'Via: SIP/2.0/TCP 192.0.2.7');
});

test('our Via goes on and comes off again, and nobody else can make one', () => {
  const request = fieldsOf('Via: SIP/2.0/TCP 192.0.2.7;branch=z9hG4bKa', ...rest);
  const sent = addOurVia(request, place, 'k1')!;
  assert.match(sent[0]!.value, /^SIP\/2\.0\/TCP 192\.0\.2\.1:40000;branch=z9hG4bK[0-9a-f]{32}$/);
  assert.deepEqual(takeOurVia(sent, place, 'k1'), request);
  // The other end may join the lines and space them as it likes.
  const joined = fieldsOf(`v: ${sent[0]!.value} , SIP / 2.0 / TCP 192.0.2.7 ; branch = z9hG4bKa;received=192.0.2.7`, ...rest);
  assert.deepEqual(linesOf(takeOurVia(joined, place, 'k1'))![0], 'v: SIP / 2.0 / TCP 192.0.2.7 ; branch = z9hG4bKa;received=192.0.2.7');
  assert.equal(takeOurVia(sent, place, 'k2'), null, 'the key of another connection');
  assert.equal(takeOurVia(sent, { ...place, port: 40_001 }, 'k1'), null, 'another place');
  assert.equal(takeOurVia(sent.slice(1), place, 'k1'), null, 'no Via of ours');
  assert.equal(takeOurVia([sent[0]!, ...fieldsOf(...rest)], place, 'k1'), null, 'nobody below');
  assert.equal(takeOurVia([sent[0]!, ...fieldsOf('Via: SIP/2.0/TCP 192.0.2.7;branch=z9hG4bKb', ...rest)], place, 'k1'), null, 'the branch of another request');
  assert.equal(addOurVia(fieldsOf('Via: x', ...rest), place, 'k1'), null);
});

test('one transaction, one branch: CANCEL and ACK meet their INVITE', () => {
  const branch = (via: string, ...lines: string[]) => branchFor('k', parseVia(via)!, fieldsOf(`Via: ${via}`, ...lines));
  const cookie = 'SIP/2.0/TCP 192.0.2.7;branch=z9hG4bKa';
  assert.equal(branch(cookie, ...rest), branch(cookie, 'From: x', 'CSeq: 1 CANCEL'));
  assert.notEqual(branch(cookie, ...rest), branch('SIP/2.0/TCP 192.0.2.8;branch=z9hG4bKa', ...rest), 'another sender');
  // RFC 2543, and a branch that is the cookie alone.
  for (const old of ['SIP/2.0/TCP 192.0.2.7', 'SIP/2.0/TCP 192.0.2.7;branch=1', 'SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK']) {
    const invite = branch(old, ...rest);
    assert.equal(branch(old, rest[0]!, 'To: <sip:b@a.example.test>;tag=2', rest[2]!, 'CSeq: 01 ACK'), invite);
    for (const i of [0, 2, 3]) assert.notEqual(branch(old, ...rest.map((line, at) => (at === i ? line.replace('tag=1', 'tag=3').replace('ID: c', 'ID: d').replace(' 1 ', ' 2 ') : line))), invite);
  }
});

test('Route: what names us goes from the top, and only from there', () => {
  const isUs = (uri: { host: string | null }) => uri.host === 'gw.example.test';
  const us = '<sip:gw.example.test;lr>';
  const popped = (...lines: string[]) => linesOf(popRoutes(fieldsOf(...lines), isUs));
  assert.deepEqual(popped(`Route: ${us}, <sip:p.example.test;lr>`, 'X: y'), ['Route: <sip:p.example.test;lr>', 'X: y']);
  assert.deepEqual(popped(`Route: ${us}`, `Route: "us" ${us} , ${us}`, 'X: y'), ['X: y']);
  assert.deepEqual(popped('Route: <sip:p.example.test;lr>', `Route: ${us}`), ['Route: <sip:p.example.test;lr>', `Route: ${us}`]);
  assert.deepEqual(popped('Route: <sip:gw.example.test'), ['Route: <sip:gw.example.test'], 'unreadable');
});

test('our URIs can be read, and say what they should', () => {
  assert.equal(ourUri(place, false), '<sip:192.0.2.1:40000;transport=tcp;lr>');
  assert.equal(ourUri({ host: '2001:db8::1', port: 5061, transport: 'tls' }, true, ';a=b'), '<sips:[2001:db8::1]:5061;lr;a=b>');
  assert.equal(ourUri(place, true), '<sip:192.0.2.1:40000;transport=tcp;lr>');
  const key = Buffer.alloc(32, 1);
  const claim = dialogClaim(key, '[2001:db8::1]', 'c@h');
  const uri = parseSipUri(ourUri(place, false, claim).slice(1, -1))!;
  assert.equal(uri.params.get('postern'), claim.slice('postern='.length + 1));
  assert.ok(isOurClaim(key, uri.params.get('postern')!, '[2001:db8::1]', 'c@h'));
  assert.ok(!isOurClaim(key, uri.params.get('postern')!, '[2001:db8::2]', 'c@h'));
  assert.ok(!isOurClaim(key, uri.params.get('postern')!, '[2001:db8::1]', 'c@i'), 'another dialog');
  assert.ok(!isOurClaim(Buffer.alloc(32), uri.params.get('postern')!, '[2001:db8::1]', 'c@h'), 'another key');
  assert.deepEqual(linesOf(addRecordRoute(fieldsOf('Record-Route: <sip:p>'), ['<sip:a>', '<sip:b>'])), ['Record-Route: <sip:a>', 'Record-Route: <sip:b>', 'Record-Route: <sip:p>']);
  assert.deepEqual(linesOf(addRecordRoute(fieldsOf('Via: a', 'v: b', 'X: y'), ['<sip:a>'])), ['Via: a', 'v: b', 'Record-Route: <sip:a>', 'X: y']);
});

test('small edits', () => {
  assert.deepEqual(linesOf(withField(fieldsOf('l: 3', 'X: y', 'Content-Length: 3'), 'Content-Length', '5')), ['l: 5', 'X: y']);
  assert.deepEqual(linesOf(withField(fieldsOf('X: y'), 'Max-Forwards', '70')), ['X: y', 'Max-Forwards: 70']);
  assert.deepEqual(sipTokens(fieldsOf('k: Path , 100rel', 'Supported: outbound,'), 'supported'), ['path', '100rel', 'outbound']);
});

test('a head goes on unfolded, with the length of its body, and means the same', () => {
  const text = 'MESSAGE sip:b@a.example.test SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.7\r\n ;branch=z9hG4bK1\r\nf: "A\r\n\tB" <sip:a@a.example.test>\r\nt: <sip:b@a.example.test>\r\ni: 1\r\nCSeq: 1\r\n MESSAGE\r\nX: \xe9\r\n';
  const message = parseSipMessage(readSipHead(text) as Exclude<ReturnType<typeof readSipHead>, string>) as SipRequest;
  const encoded = encodeSip(message, message.fields, Buffer.from('hi\r\n\r\n')).toString('latin1');
  assert.equal(encoded, 'MESSAGE sip:b@a.example.test SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.7 ;branch=z9hG4bK1\r\nf: "A B" <sip:a@a.example.test>\r\nt: <sip:b@a.example.test>\r\ni: 1\r\nCSeq: 1 MESSAGE\r\nX: \xe9\r\nContent-Length: 6\r\n\r\nhi\r\n\r\n');
  const again = readSipHead(encoded.slice(0, encoded.indexOf('\r\n\r\n') + 2)) as Exclude<ReturnType<typeof readSipHead>, string>;
  assert.deepEqual(sipField(again.fields, 'from'), sipField(message.fields, 'from'));
  assert.deepEqual(topVia(again.fields), topVia(message.fields));
  const answer: SipResponse = { kind: 'response', status: 200, reason: '', fields: [] };
  assert.equal(encodeSip(answer, [], Buffer.alloc(0)).toString(), 'SIP/2.0 200 \r\nContent-Length: 0\r\n\r\n');
});
