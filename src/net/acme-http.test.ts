import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { issueServerLeaf, makeCa } from '#model/certificate.ts';
import { makeKeyPair, privateKeyPemOf } from '#model/key-pair.ts';
import { askAuthority, type AcmeHttpOptions } from './acme-http.ts';

async function startAuthority(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const [caKeys, keys] = [await makeKeyPair(), await makeKeyPair()];
  const ca = await makeCa({ name: 'Test', keys: caKeys, now: Date.now(), random: randomBytes });
  const leaf = await issueServerLeaf({ ca: { certificatePem: ca.pem, signingKey: caKeys.privateKey }, names: { dns: [], ip: ['127.0.0.1'] }, publicKey: keys.publicKey, now: Date.now(), random: randomBytes });
  const server = createServer({ key: await privateKeyPemOf(keys), cert: leaf.pem }, answer);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/x`;
  const options: AcmeHttpOptions = { rootPem: ca.pem, authority: 'ca.example.test', userAgent: 'Postern/0', nowMs: () => Date.now(), signal: new AbortController().signal, about: () => 'a.example.test' };
  return {
    options,
    ask: (more: Partial<AcmeHttpOptions> = {}, body?: unknown) => askAuthority(url, body === undefined ? 'GET' : 'POST', body, { ...options, ...more }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

test('a question and its answer', async () => {
  await using authority = await startAuthority((request, response) => {
    let body = '';
    request.on('data', (piece: Buffer) => (body += piece.toString()));
    request.on('end', () => response.writeHead(200, { 'content-type': 'application/json', 'replay-nonce': 'n1' }).end(JSON.stringify({ method: request.method, type: request.headers['content-type'], agent: request.headers['user-agent'], body })));
  });
  const answer = await authority.ask({}, { a: 1 });
  assert.equal(answer.headers['replay-nonce'], 'n1');
  assert.deepEqual(answer.data, { method: 'POST', type: 'application/jose+json', agent: 'Postern/0', body: '{"a":1}' });
});

test('refusals: problems, limits, statuses without a word, redirects, endless answers, an end in between', async () => {
  const answers: { readonly [name: string]: (response: ServerResponse) => void } = {
    problem: (response) => response.writeHead(403, { 'content-type': 'application/problem+json' }).end(JSON.stringify({ type: 'urn:ietf:params:acme:error:rejectedIdentifier', detail: 'on our list' })),
    limit: (response) => response.writeHead(429, { 'content-type': 'application/problem+json', 'retry-after': '3600' }).end(JSON.stringify({ type: 'urn:ietf:params:acme:error:rateLimited', detail: 'too many' })),
    silent: (response) => response.writeHead(503, { 'retry-after': '10' }).end('<html>'),
    lost: (response) => response.writeHead(404, { 'content-type': 'application/json' }).end('{'),
    away: (response) => response.writeHead(302, { location: 'https://elsewhere.example.test/' }).end(),
    endless: (response) => {
      response.writeHead(200);
      response.end(Buffer.alloc(limits.acmeAnswerBytesMax + 1));
    },
    broken: (response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half');
      setTimeout(() => response.destroy(), 20);
    },
  };
  let which = '';
  await using authority = await startAuthority((_, response) => answers[which]!(response));
  const expect = async (name: string, code: string, pattern: RegExp, retryAfterMs?: number) => {
    which = name;
    await assert.rejects(authority.ask(), (thrown) => isFault(thrown) && thrown.code === code && pattern.test(thrown.message) && thrown.detail['retryAfterMs'] === retryAfterMs, name);
  };
  await expect('problem', 'forbidden', /gives no certificates for this name, for a\.example\.test\. It said: on our list/);
  await expect('limit', 'too-many', /it asks to wait 60 minutes/, 3_600_000);
  await expect('silent', 'busy', /status 503 and no explanation/, 10_000);
  await expect('lost', 'protocol', /status 404/);
  await expect('away', 'protocol', /sends elsewhere/);
  await expect('endless', 'too-large', /longer than/);
  await expect('broken', 'closed', /broke off/);
});

test('a bad nonce is given back, for the next try', async () => {
  await using authority = await startAuthority((_, response) => response.writeHead(400, { 'content-type': 'application/problem+json', 'replay-nonce': 'n2' }).end(JSON.stringify({ type: 'urn:ietf:params:acme:error:badNonce', detail: 'again' })));
  assert.deepEqual([(await authority.ask()).status, (await authority.ask()).headers['replay-nonce']], [400, 'n2']);
});

test('whom it trusts, what it speaks, and calling it off', async () => {
  await using authority = await startAuthority(() => {});
  await assert.rejects(authority.ask({ rootPem: null }), (thrown) => isFault(thrown, 'unreachable') && /not of an authority that is trusted/.test(thrown.message));
  await assert.rejects(askAuthority('http://127.0.0.1:1/', 'GET', undefined, authority.options), (thrown) => isFault(thrown, 'protocol') && /not https/.test(thrown.message));
  await assert.rejects(askAuthority('https://127.0.0.1:1/', 'GET', undefined, authority.options), (thrown) => isFault(thrown, 'unreachable'));
  await assert.rejects(authority.ask({ signal: AbortSignal.timeout(50) }), (thrown) => isFault(thrown, 'closed'));
});
