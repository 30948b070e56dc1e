// The lines that tell a server who the client is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeForwarded, encodeForwardedChain, forwardedNode } from './forwarded.ts';

const linesOf = (text: string) => {
  assert.ok(text.endsWith('\r\n'));
  return Object.fromEntries(text.slice(0, -2).split('\r\n').map((line) => {
    const at = line.indexOf(': ');
    assert.ok(at > 0, line);
    return [line.slice(0, at), line.slice(at + 2)];
  }));
};

test('an application is told one address in every field', () => {
  assert.deepEqual(linesOf(encodeForwarded({ client: '192.0.2.50', before: null, via: '192.0.2.50', host: 'scan.example.test', proto: 'https', by: '198.51.100.1' })), {
    'X-Forwarded-For': '192.0.2.50', 'X-Real-IP': '192.0.2.50', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'scan.example.test',
    Forwarded: 'for=192.0.2.50;by=198.51.100.1;host="scan.example.test";proto=https',
  });
});

test('of a trusted proxy the name and the scheme are taken, never its list; it is named in Forwarded alone', () => {
  const lines = linesOf(encodeForwarded({ client: '192.0.2.50', before: { chain: '203.0.113.9, 192.0.2.50, 192.0.2.1', proto: 'https', host: 'scan.example.test' }, via: '192.0.2.1', host: '127.0.0.1:8080', proto: 'http' }));
  assert.equal(lines['X-Forwarded-For'], '192.0.2.50');
  assert.equal(lines['X-Forwarded-Host'], 'scan.example.test');
  assert.equal(lines['Forwarded'], 'for=192.0.2.50;host="scan.example.test";proto=https, for=192.0.2.1');
  assert.equal(linesOf(encodeForwarded({ client: '192.0.2.50', before: { chain: '', proto: 'http', host: null }, via: '192.0.2.1', host: 'b.example.test', proto: 'https' }))['X-Forwarded-Host'], 'b.example.test');
});

test('IPv6 is quoted in Forwarded alone, and zones stay here (RFC 7239 §6)', () => {
  const lines = linesOf(encodeForwarded({ client: 'fe80::1%eth0', before: null, via: 'fe80::1%eth0', host: '[2001:db8::2]:8443', proto: 'https', by: '2001:db8::2' }));
  assert.equal(lines['X-Forwarded-For'], 'fe80::1');
  assert.equal(lines['X-Real-IP'], 'fe80::1');
  assert.equal(lines['Forwarded'], 'for="[fe80::1]";by="[2001:db8::2]";host="[2001:db8::2]:8443";proto=https');
  assert.equal(forwardedNode(''), 'unknown');
  assert.equal(forwardedNode('192.0.2.1'), '192.0.2.1');
});

test('a name cannot end its line or its quotes', () => {
  const lines = encodeForwarded({ client: '192.0.2.50', before: null, via: '192.0.2.50', host: 'a"b\\c\r\nX-Evil: 1', proto: 'http' });
  assert.deepEqual(Object.keys(linesOf(lines)), ['X-Forwarded-For', 'X-Real-IP', 'X-Forwarded-Proto', 'X-Forwarded-Host', 'Forwarded']);
  assert.equal(linesOf(lines)['Forwarded'], 'for=192.0.2.50;host="a\\"b\\\\cX-Evil: 1";proto=http');
  const chained = encodeForwardedChain({ client: '192.0.2.50', before: null, via: '192.0.2.50', host: 'a"\n', proto: 'http' });
  assert.equal(linesOf(chained)['X-Forwarded-Host'], 'a"');
});

test('an ordinary server is told the whole chain', () => {
  assert.deepEqual(linesOf(encodeForwardedChain({ client: '2001:db8::50', before: { chain: '203.0.113.9, 2001:db8::50, 192.0.2.1', proto: 'https', host: null }, via: '192.0.2.1', host: 'h.example.test', proto: 'http' })), {
    'X-Forwarded-For': '203.0.113.9, 2001:db8::50, 192.0.2.1', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'h.example.test',
    Forwarded: 'for="[2001:db8::50]";host="h.example.test";proto=https, for=192.0.2.1',
  });
  assert.equal(linesOf(encodeForwardedChain({ client: '192.0.2.7', before: null, via: '192.0.2.7', host: 'h.example.test', proto: 'http' }))['X-Forwarded-For'], '192.0.2.7');
});
