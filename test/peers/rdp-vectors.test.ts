// tshark reads the corpus of RDP as we do, and sees no RDP where we see none.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { findPeers } from '#kit/peers.ts';
import { readWithTshark } from '#kit/tshark.ts';
import { sniffRdp } from '#wire/rdp.ts';

const peers = findPeers(['tshark']);

test('tshark reads the corpus as we do', { skip: peers.skip }, () => {
  const text = readFileSync(new URL('../corpus/rdp.md', import.meta.url), 'utf8');
  const samples = [...text.matchAll(/```hex\n(.*?)```/gs)].map((match) => Buffer.from(match[1]!.replace(/\s/g, ''), 'hex'));
  const seen = readWithTshark(peers.path('tshark'), samples, 3_389, { protocols: 'frame.protocols', malformed: '_ws.malformed', cookie: 'rdp.rt_cookie', wanted: 'rdp.negReq.requestedProtocols' });
  samples.forEach((bytes, index) => {
    const { protocols, malformed, cookie, wanted } = seen[index]!;
    const facts = sniffRdp(bytes);
    assert.deepEqual(malformed, []);
    const isRdp = protocols.some((each) => each.endsWith(':rdp'));
    assert.equal(facts.kind, isRdp ? 'rdp' : 'no', protocols.join());
    if (facts.kind !== 'rdp') return;
    const line = facts.user !== null ? [`Cookie: mstshash=${facts.user}`] : facts.routingToken !== null ? [`Cookie: msts=${facts.routingToken}`] : [];
    assert.deepEqual(cookie, line);
    assert.deepEqual(wanted.map(Number), facts.requestedProtocols === null ? [] : [facts.requestedProtocols]);
  });
});
