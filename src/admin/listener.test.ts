import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { silentLog } from '#base/log.ts';
import { buildRequestListener, type ListenerOptions } from './listener.ts';

async function withServer(fetch: ListenerOptions['fetch'], run: (port: number) => Promise<void>): Promise<void> {
  const listener = buildRequestListener({ fetch, refuse: (fault) => new Response(fault.message, { status: 400 }), askerOf: () => ({ from: '192.0.2.1', secure: true, conn: 'c1' }), bodyBytesMax: 1_000, strangerBodyBytesMax: 100, isKnown: (headers) => headers.get('authorization') === 'Bearer known', log: silentLog });
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await run((server.address() as AddressInfo).port);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** The whole answer to raw bytes; the server closes. */
function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.setEncoding('latin1').on('data', (part: string) => (answer += part));
    socket.once('close', () => resolve(answer)).once('error', reject);
  });
}

test('a request arrives as it was sent: method, target, host, fields, body', async () => {
  const seen: unknown[] = [];
  await withServer(
    async (request, { asker }) => {
      seen.push([request.method, request.url, request.headers.get('x-a'), await request.text(), asker.from]);
      return new Response('ok', { status: 201, headers: [['set-cookie', 'a=1'], ['set-cookie', 'b=2']] });
    },
    async (port) => {
      const answer = await exchange(port, 'POST //other.example.test/a%2Fb?c=d%20e HTTP/1.1\r\nHost: GW.example.test:8443\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody');
      assert.match(answer, /^HTTP\/1\.1 201 /);
      assert.deepEqual(answer.match(/set-cookie: .*/g), ['set-cookie: a=1', 'set-cookie: b=2']);
      assert.match(answer, /ok/);
    },
  );
  assert.deepEqual(seen, [['POST', 'https://gw.example.test:8443//other.example.test/a%2Fb?c=d%20e', '1, 2', 'body', '192.0.2.1']]);
});

test('a head that names no usable host or path is refused', async () => {
  await withServer(
    () => assert.fail('it came through'),
    async (port) => {
      for (const head of ['GET / HTTP/1.1\r\nHost: a/b\r\n', 'GET / HTTP/1.1\r\nHost: user@gw.example.test\r\n', 'GET / HTTP/1.1\r\nHost: \r\n', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n', 'GET http://b/ HTTP/1.1\r\nHost: a\r\n', 'GET / HTTP/1.1\r\nHost: a:99999\r\n']) {
        assert.match(await exchange(port, `${head}Connection: close\r\n\r\n`), /^HTTP\/1\.1 400 /, head);
      }
    },
  );
});

test('a reader that leaves ends the body, while it waits and while it is being written', async () => {
  const ended: string[] = [];
  const bodies: Record<string, () => ReadableStream<Uint8Array>> = {
    '/quiet': () => new ReadableStream({ cancel: () => void ended.push('/quiet') }),
    '/endless': () => new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)), cancel: () => void ended.push('/endless') }),
  };
  const aborted: string[] = [];
  await withServer(
    (request) => {
      const { pathname } = new URL(request.url);
      request.signal.addEventListener('abort', () => aborted.push(pathname));
      return new Response(bodies[pathname]!());
    },
    async (port) => {
      for (const path of Object.keys(bodies)) {
        const request = httpRequest({ host: '127.0.0.1', port, path, agent: false });
        request.on('error', () => {});
        request.end();
        const [response] = await once(request, 'response');
        response.on('error', () => {});
        request.destroy();
        for (let turn = 0; turn < 2_000 && !ended.includes(path); turn++) await new Promise((resolve) => setImmediate(resolve));
      }
    },
  );
  assert.deepEqual([ended, aborted], [['/quiet', '/endless'], ['/quiet', '/endless']]);
});

test('a reader that left before the answer was there gets none, and its body ends', async () => {
  const left = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<void>();
  await withServer(
    async (request) => {
      request.signal.addEventListener('abort', () => left.resolve());
      await left.promise;
      return new Response(new ReadableStream({ cancel: () => cancelled.resolve() }));
    },
    async (port) => {
      const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n', () => socket.destroy()));
      await cancelled.promise;
    },
  );
});

test('a slow reader holds the body back', async () => {
  let pulled = 0;
  await withServer(
    () => new Response(new ReadableStream({ pull: (controller) => ((pulled += 1), controller.enqueue(new Uint8Array(65_536))) })),
    async (port) => {
      const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
      socket.pause();
      let before = -1;
      // It stops by itself once the kernel's buffers are full.
      for (let quiet = 0; quiet < 200; ) {
        await new Promise((resolve) => setImmediate(resolve));
        quiet = pulled === before ? quiet + 1 : 0;
        before = pulled;
        assert.ok(pulled < 5_000, 'it never stopped');
      }
      socket.destroy();
    },
  );
});

test('a stranger sends small bodies only, by length and by chunks', async () => {
  await withServer(
    async (request) => new Response(String((await request.text()).length)),
    async (port) => {
      const body = 'x'.repeat(500);
      const head = 'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n';
      const sized = `Content-Length: ${body.length}\r\n\r\n${body}`;
      const chunked = `Transfer-Encoding: chunked\r\n\r\n1f4\r\n${body}\r\n0\r\n\r\n`;
      for (const rest of [sized, chunked]) {
        assert.match(await exchange(port, head + rest), /at most 100 bytes/);
        assert.match(await exchange(port, `${head}Authorization: Bearer unknown\r\n${rest}`), /at most 100 bytes/);
        assert.match(await exchange(port, `${head}Authorization: Bearer known\r\n${rest}`), /\r\n500|500$/);
      }
      assert.match(await exchange(port, `${head}Content-Length: 100\r\n\r\n${'x'.repeat(100)}`), /^HTTP\/1\.1 200 /);
    },
  );
});
