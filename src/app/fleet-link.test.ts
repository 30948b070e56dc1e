import assert from 'node:assert/strict';
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { limits, type Limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import type { RawRequest } from '#fleet/requests.ts';
import { newBodyBudget } from '#proxy/exchange-body.ts';
import { openFleetLink } from './fleet-link.ts';

async function openLink(serve: (raw: RawRequest) => Promise<string>, some: Partial<Record<keyof Limits, number>> = {}) {
  const thrown: unknown[] = [];
  const bodies = newBodyBudget();
  const link = openFleetLink({
    limits: { ...limits, ...some } as Limits, bodies, log: silentLog, newRequestId: () => 'r1',
    serve: async (raw) => {
      try {
        return { status: 200, fields: [], body: await serve(raw) };
      } catch (fault) {
        thrown.push(fault);
        return { status: 500, fields: [], body: String((fault as Error).message) };
      }
    },
  });
  const [near, far] = duplexPair();
  link.serve(far, 'agent-1', '192.0.2.1');
  let told = '';
  near.setEncoding('latin1').on('data', (piece: string) => (told += piece));
  return { link, near, thrown, bodies, told: () => told };
}

test('an agent that goes in the middle of a body is a cut, not a mistake of ours', async () => {
  for (const read of [(raw: RawRequest) => raw.body(1_000).then(() => ''), async (raw: RawRequest) => {
    let bytes = 0;
    for await (const piece of raw.pieces()) bytes += piece.length;
    return String(bytes);
  }]) {
    const room = await openLink(read);
    room.near.write('PUT /v1/default/file/SN1/a HTTP/1.1\r\nHost: gateway\r\nContent-Length: 10\r\n\r\nhalf');
    await new Promise((resolve) => setImmediate(resolve));
    room.near.destroy();
    while (room.thrown.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(isFault(room.thrown[0], 'closed'), String(room.thrown[0]));
    await room.link.close();
  }
});

test('who stops reading in the middle still answers', async () => {
  const room = await openLink(async (raw) => {
    for await (const piece of raw.pieces()) return `${piece.length} are enough`;
    return 'nothing';
  });
  room.near.write('PUT /v1/default/file/SN1/a HTTP/1.1\r\nHost: gateway\r\nContent-Length: 10\r\n\r\nhalf');
  while (!room.told().includes('are enough')) await once(room.near, 'data');
  assert.match(room.told(), /^HTTP\/1\.1 200 /);
  await room.link.close();
});

test('an agent holds no more than its share of all bodies, and gives it back', async () => {
  const room = await openLink((raw) => raw.body(1_000).then(({ bytes }) => `${bytes.length} came`), { bodiesHeldPerPlaceBytesMax: 8 });
  const post = (body: string) => room.near.write(`POST /v1/default/in/SN1/a HTTP/1.1\r\nHost: gateway\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  post('12345678');
  while (!room.told().includes('8 came')) await once(room.near, 'data');
  post('123456789');
  while (room.thrown.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(isFault(room.thrown[0], 'busy'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(room.bodies.heldBytes, 0);
  await room.link.close();
});
