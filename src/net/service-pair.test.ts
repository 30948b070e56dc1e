import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import type { Conn } from './conn.ts';
import { askerOf, openServicePair, setAsker } from './service-pair.ts';

const asker = (requestId: string) => ({ from: '192.0.2.1', secure: true, loopback: false, listener: 'https', connId: 'c1', requestId, conn: {} as Conn });

test('who asks stands beside the bytes, for each request anew, on this pair alone', async () => {
  const one = openServicePair();
  const two = openServicePair();
  assert.equal(askerOf(one.far), undefined);
  setAsker(one.near, asker('a'));
  assert.equal(askerOf(one.far)!.requestId, 'a');
  assert.equal(askerOf(two.far), undefined);
  setAsker(one.near, asker('b'));
  assert.equal(askerOf(one.far)!.requestId, 'b');
  one.near.end('bytes');
  let got = '';
  one.far.on('data', (piece: Buffer) => void (got += piece.toString()));
  await new Promise((done) => one.far.once('end', done));
  assert.equal(got, 'bytes');
  assert.equal(one.far.writable, true, 'each direction ends by itself');
  for (const each of [one, two]) {
    each.near.destroy();
    each.far.destroy();
  }
});

test('a stream that is no pair has nobody behind it', () => {
  const [near, far] = duplexPair();
  setAsker(near, asker('x'));
  assert.equal(askerOf(far), undefined);
  near.destroy();
  far.destroy();
});
