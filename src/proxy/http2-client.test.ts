// HTTP/2 connections by hand: what becomes of requests, bodies, answers, resets and ends; and what a client may not do without end.
import assert from 'node:assert/strict';
import { connect as connectHttp2, constants, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { until } from '#kit/gateway.ts';
import { startHttp2Door, type Http2DoorOptions } from '#kit/http2-door.ts';
import { dialHttp2, endHeaders, endStream, fieldBlock, frame, Frame, getOf, preface, type Http2Raw } from '#kit/http2-frames.ts';
import { is, type HeadEdit } from '#wire/http1-fields.ts';
import { isBad, parseResponseHead, type ResponseHead } from '#wire/http1.ts';
import type { Exchange } from './exchange.ts';

const back: HeadEdit<null> = { drop: is.hop, ask: 0 };

/** An answer's head as an upstream would have brought it. */
function headOf(text: string, method = 'GET'): ResponseHead {
  const head = parseResponseHead(`HTTP/1.1 ${text}\r\n`, method);
  assert.ok(!isBad(head));
  return head;
}

interface Watched {
  readonly exchange: Exchange;
  body: string;
  /** What happened, in order. */
  readonly told: string[];
}

/** Sets a sink that writes everything down. */
function watch(exchange: Exchange): Watched {
  const watched: Watched = { exchange, body: '', told: [] };
  exchange.sink = {
    onRequestPiece: (piece) => void (watched.body += piece.toString('latin1')),
    onRequestEnd: (trailers) => void watched.told.push(`end ${JSON.stringify(trailers)}`),
    onAnswerDrain: () => void watched.told.push('drain'),
    onAborted: (why) => void watched.told.push(`aborted: ${why}`),
    onLate: () => void watched.told.push('late'),
  };
  return watched;
}

/** A door that writes exchanges down and does nothing with them. */
async function startWatching(options: Http2DoorOptions = {}) {
  const all: Watched[] = [];
  const door = await startHttp2Door((exchange) => void all.push(watch(exchange)), options);
  const next = async (i = 0) => until(`exchange ${i}`, () => all[i]);
  return { door, all, next, [Symbol.asyncDispose]: () => door[Symbol.asyncDispose]() };
}

interface Client {
  readonly session: ClientHttp2Session;
  readonly goaways: number[];
  send(headers: OutgoingHttpHeaders, body?: string | Buffer): Answered;
  [Symbol.dispose](): void;
}

interface Answered {
  readonly stream: ClientHttp2Stream;
  headers: IncomingHttpHeaders | null;
  readonly interim: IncomingHttpHeaders[];
  trailers: IncomingHttpHeaders | null;
  body: Buffer;
  ended: boolean;
  closed: boolean;
  /** Null until it is closed. */
  code: number | null;
}

/** Node's own client. */
function openClient(port: number, settings = {}): Client {
  const session = connectHttp2(`http://127.0.0.1:${port}`, { settings });
  const goaways: number[] = [];
  session.on('error', () => {});
  session.on('goaway', (code) => void goaways.push(code));
  return {
    session,
    goaways,
    send(headers, body) {
      const stream = session.request({ ':authority': 'a.example.test', ...headers }, { endStream: body === undefined && headers[':method'] !== 'POST' });
      const answered: Answered = { stream, headers: null, interim: [], trailers: null, body: Buffer.alloc(0), ended: false, closed: false, code: null };
      stream.on('headers', (each) => void answered.interim.push(each));
      stream.on('response', (each) => void (answered.headers = each));
      stream.on('trailers', (each) => void (answered.trailers = each));
      stream.on('data', (piece: Buffer) => void (answered.body = Buffer.concat([answered.body, piece])));
      stream.on('end', () => void (answered.ended = true));
      stream.on('error', () => {});
      stream.on('close', () => {
        answered.closed = true;
        answered.code = stream.rstCode;
      });
      if (body !== undefined) stream.end(body);
      return answered;
    },
    [Symbol.dispose]: () => session.destroy(),
  };
}

const closed = (answered: Answered) => until('the stream to close', () => answered.closed && answered);

test('the preface, SETTINGS and a request cut anywhere', async () => {
  await using door = await startHttp2Door((exchange) => exchange.respond(200, '', exchange.head.host));
  const bytes = Buffer.concat([preface, frame(Frame.settings, 0, 0), frame(Frame.headers, endStream | endHeaders, 1, fieldBlock(getOf()))]);
  for (let at = 1; at < bytes.length; at++) {
    using client = await dialHttp2(door.port, null);
    client.send(bytes.subarray(0, at));
    await new Promise((done) => setTimeout(done, 3));
    client.send(bytes.subarray(at));
    assert.equal((await client.take(Frame.data, 1)).payload.toString(), 'a.example.test', `cut at ${at}`);
  }
});

test('each request of one connection has its own head and its own id', async () => {
  await using door = await startHttp2Door((exchange) => exchange.respond(exchange.head.host === 'b.example.test' ? 421 : 200, 'Content-Type: text/plain\r\n', `${exchange.requestId} ${exchange.head.method} ${exchange.head.host}${exchange.head.target}`));
  using client = openClient(door.port);
  const three = ['a', 'b', 'a'].map((name, i) => client.send({ ':authority': `${name}.example.test`, ':path': `/${i}` }));
  await Promise.all(three.map(closed));
  assert.deepEqual(three.map((each) => `${String(each.headers?.[':status'])} ${each.body.toString()}`), ['200 r1 GET a.example.test/0', '421 r2 GET b.example.test/1', '200 r3 GET a.example.test/2']);
});

test('bodies: with a length, in pieces, with trailers, empty', async () => {
  await using front = await startWatching();
  using client = openClient(front.door.port);
  client.send({ ':method': 'POST', 'content-length': '5' }, 'hello');
  client.send({ ':method': 'POST' }, 'x'.repeat(100_000));
  client.send({ ':method': 'POST', 'content-length': '0' }, '');
  const withTrailers = client.session.request({ ':method': 'POST', ':authority': 'a.example.test' }, { waitForTrailers: true });
  withTrailers.on('wantTrailers', () => withTrailers.sendTrailers({ 'repr-digest': 'x', 'x-forwarded-for': '192.0.2.1' }));
  withTrailers.on('error', () => {});
  withTrailers.end('with');
  await until('four exchanges', () => front.all.length === 4);
  await until('their bodies', () => front.all.filter((each) => each.exchange.requestDone).length === 4);
  const [length, pieces, empty, trailers] = front.all as [Watched, Watched, Watched, Watched];
  assert.deepEqual([length.exchange.head.framing, length.body, length.told], ['length', 'hello', ['end ""']]);
  assert.deepEqual([pieces.exchange.head.framing, pieces.body.length, pieces.told], ['chunked', 100_000, ['end ""']]);
  assert.deepEqual([empty.exchange.head.framing, empty.exchange.requestDone, empty.told], ['none', true, []]);
  assert.deepEqual([trailers.body, trailers.told], ['with', ['end "Repr-Digest: x\\r\\n"']]);
});

for (const [what, code] of [['CANCEL', constants.NGHTTP2_CANCEL], ['NO_ERROR', constants.NGHTTP2_NO_ERROR]] as const) {
  test(`a body that a reset with ${what} cuts short is not a whole one`, async () => {
    await using front = await startWatching();
    using client = await dialHttp2(front.door.port);
    const reset = frame(Frame.reset, 0, 1, Buffer.from([0, 0, 0, code]));
    client.send(frame(Frame.headers, endHeaders, 1, fieldBlock([':method', 'POST', ...getOf().slice(2)])), frame(Frame.data, 0, 1, 'half'));
    const one = await front.next();
    await until('the half', () => one.body === 'half');
    client.send(reset);
    await until('the end', () => one.told.length > 0);
    // The same in one write, where it ends before anybody reads it.
    client.send(frame(Frame.headers, endHeaders, 3, fieldBlock([':method', 'POST', ...getOf().slice(2)])), frame(Frame.data, 0, 3, 'half'), frame(Frame.reset, 0, 3, Buffer.from([0, 0, 0, code])));
    client.send(frame(Frame.headers, endHeaders | endStream, 5, fieldBlock(getOf())));
    await until('the request behind it', () => front.all.find((each) => each.exchange.head.method === 'GET'));
    await until('the connection to have only that', () => front.door.sweep.size === 2);
    for (const each of front.all.filter((watched) => watched.exchange.head.method === 'POST')) {
      assert.deepEqual(each.told, ['aborted: the client gave the request up']);
      assert.equal(each.exchange.isGone, true);
    }
  });
}

test('more or less than Content-Length says is no body', async () => {
  await using front = await startWatching();
  using client = await dialHttp2(front.door.port);
  const head = (stream: number) => frame(Frame.headers, endHeaders, stream, fieldBlock([':method', 'POST', ...getOf().slice(2), 'content-length', '5']));
  client.send(head(1));
  await front.next();
  client.send(frame(Frame.data, endStream, 1, 'four'));
  assert.equal(await client.resetOf(1), constants.NGHTTP2_PROTOCOL_ERROR);
  using other = await dialHttp2(front.door.port);
  other.send(head(1));
  await front.next(1);
  other.send(frame(Frame.data, 0, 1, 'more than five'));
  await until('both to have ended', () => front.all.length === 2 && front.all.every((each) => each.told.length > 0));
  for (const each of front.all) assert.match(each.told.join(), /^aborted: [^,]*$/);
  assert.ok(front.all.every((each) => each.body.length <= 5));
});

test('a request that nobody reads waits at its window; one that is read again goes on', async () => {
  await using front = await startWatching({ limits: { http2StreamWindowBytes: 70_000 } });
  using client = openClient(front.door.port);
  await new Promise<void>((done) => client.session.once('remoteSettings', () => done()));
  const sent = client.session.request({ ':method': 'POST', ':authority': 'a.example.test', ':path': '/' });
  sent.on('error', () => {});
  const one = await front.next();
  one.exchange.pauseRequest();
  const other = client.send({ ':path': '/other' });
  sent.end(Buffer.alloc(1_000_000, 'x'));
  (await front.next(1)).exchange.respond(200, '', 'meanwhile');
  await closed(other);
  await new Promise((done) => setTimeout(done, 50));
  assert.ok(one.body.length <= 70_000, `${one.body.length} bytes were read`);
  assert.equal(one.exchange.requestDone, false);
  one.exchange.resumeRequest();
  await until('the whole body', () => one.exchange.requestDone);
  assert.equal(one.body.length, 1_000_000);
});

test('a body waits until somebody takes it', async () => {
  let held: Exchange | null = null;
  await using door = await startHttp2Door((exchange) => void (held = exchange));
  using client = openClient(door.port);
  const answered = client.send({ ':method': 'POST' }, 'waiting');
  const exchange = await until('the exchange', () => held);
  exchange.pauseRequest();
  await new Promise((done) => setTimeout(done, 30));
  assert.equal(exchange.requestDone, false);
  const watched = watch(exchange);
  await new Promise((done) => setTimeout(done, 30));
  assert.equal(watched.body, '', 'paused before it was taken');
  exchange.resumeRequest();
  await until('the body', () => exchange.requestDone);
  assert.equal(watched.body, 'waiting');
  exchange.respond(204, '', '');
  assert.equal((await closed(answered)).headers?.[':status'], 204);
});

test('an answer that the client does not fetch stops its source, and goes on when the window opens', async () => {
  let more = true;
  await using front = await startWatching();
  using client = await dialHttp2(front.door.port);
  client.send(frame(Frame.headers, endStream | endHeaders, 1, fieldBlock(getOf())));
  const one = await front.next();
  one.exchange.answer(headOf('200 OK\r\n'), back, null, '');
  let pieces = 0;
  while (more && pieces < 100) {
    more = one.exchange.piece(Buffer.alloc(16_384, 'y'));
    pieces += 1;
  }
  assert.ok(pieces < 100, 'it was never told to wait');
  await until('the window to be used up', () => client.frames.filter((each) => each.type === Frame.data).reduce((sum, each) => sum + each.payload.length, 0) === 65_535);
  assert.deepEqual(one.told, []);
  const wider = Buffer.from([0, 16, 0, 0]);
  client.send(frame(Frame.windowUpdate, 0, 0, wider), frame(Frame.windowUpdate, 0, 1, wider));
  await until('the drain', () => one.told.includes('drain'));
  one.exchange.end('');
  await until('the end', () => client.frames.find((each) => each.type === Frame.data && each.flags & endStream));
  assert.equal(client.frames.filter((each) => each.type === Frame.data).reduce((sum, each) => sum + each.payload.length, 0), pieces * 16_384);
});

test('a piece of an answer may be overwritten once it was handed over', async () => {
  await using front = await startWatching();
  using client = openClient(front.door.port);
  const answered = client.send({});
  const { exchange } = await front.next();
  exchange.answer(headOf('200 OK\r\nContent-Length: 12\r\n'), back, null, '');
  const shared = Buffer.from('one.');
  exchange.piece(shared);
  shared.write('two.');
  exchange.piece(shared);
  shared.write('last');
  exchange.piece(shared);
  shared.fill('!');
  exchange.end('');
  assert.equal((await closed(answered)).body.toString(), 'one.two.last');
  assert.equal(answered.code, 0);
});

test('answers: fields of the connection go, interim ones and trailers arrive', async () => {
  await using front = await startWatching();
  using client = openClient(front.door.port);
  const answered = client.send({});
  const { exchange } = await front.next();
  exchange.interim(headOf('103 Early Hints\r\nLink: </a.css>\r\nLink: </b.css>\r\nConnection: keep-alive\r\n'), back, null);
  exchange.interim(headOf('100 Continue\r\n'), back, null);
  exchange.answer(headOf('200 Fine\r\nTransfer-Encoding: chunked\r\nConnection: X-Own\r\nX-Own: 1\r\nKeep-Alive: x\r\nUpgrade: h2c\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nX-Latin: caf\u00e9\r\n'), back, null, 'X-Added: yes\r\n');
  exchange.flush();
  await until('the head', () => answered.headers);
  exchange.piece(Buffer.from('part'));
  exchange.end('Repr-Digest: x\r\nX-Two: y\r\n');
  await closed(answered);
  assert.deepEqual(answered.interim.map((each) => [each[':status'], each['link']]), [[103, '</a.css>, </b.css>'], [100, undefined]]);
  const { date, ...headers } = Object.fromEntries(Object.entries(answered.headers!));
  assert.ok(date, 'node:http2 adds a missing Date (RFC 9110 §6.6.1)');
  assert.deepEqual(headers, { ':status': 200, 'set-cookie': ['a=1', 'b=2'], 'content-type': 'a/b', 'x-latin': 'caf\u00e9', 'x-added': 'yes' });
  assert.deepEqual([answered.body.toString(), Object.fromEntries(Object.entries(answered.trailers!)), answered.code], ['part', { 'repr-digest': 'x', 'x-two': 'y' }, 0]);
});

test('answers without content', async () => {
  await using front = await startWatching();
  using client = openClient(front.door.port);
  const cases: readonly [string, string, string, number][] = [
    ['HEAD', '200 OK\r\nContent-Length: 5\r\n', '', 200],
    ['HEAD', '200 OK\r\nTransfer-Encoding: chunked\r\n', '', 200],
    ['GET', '204 No Content\r\n', '', 204],
    ['GET', '304 Not Modified\r\nETag: "x"\r\n', '', 304],
    ['GET', '205 Reset Content\r\nContent-Length: 5\r\n', 'wrong', 205],
    ['GET', '200 OK\r\nContent-Length: 0\r\n', '', 200],
    ['GET', '799 Odd\r\nContent-Length: 3\r\n', 'odd', 502],
  ];
  for (const [i, [method, text, body, status]] of cases.entries()) {
    const answered = client.send({ ':method': method });
    const { exchange } = await front.next(i);
    exchange.answer(headOf(text, method), back, null, '');
    if (body !== '') exchange.piece(Buffer.from(body));
    exchange.end('');
    await closed(answered);
    assert.deepEqual([answered.headers?.[':status'], answered.body.toString(), answered.code], [status, status === 502 ? body : '', 0], text);
    assert.equal(answered.headers?.['content-length'], status === 205 ? undefined : /Content-Length: (\d)/.exec(text)?.[1]);
  }
  const own = client.send({ ':method': 'HEAD' });
  (await front.next(cases.length)).exchange.respond(404, 'Content-Type: text/plain\r\n', 'not here');
  await closed(own);
  assert.deepEqual([own.headers?.[':status'], own.headers?.['content-length'], own.body.length], [404, '8', 0]);
});

test('an answer before the body has come is whole, and the rest is not wanted', async () => {
  await using door = await startHttp2Door((exchange) => {
    if (exchange.head.target === '/respond') return exchange.respond(413, '', 'too much');
    exchange.answer(headOf('413 Too Much\r\nTransfer-Encoding: chunked\r\n'), back, null, '');
    exchange.piece(Buffer.from('too much'));
    exchange.end('X-Trailer: 1\r\n');
  });
  for (const path of ['/respond', '/forward']) {
    using client = await dialHttp2(door.port);
    client.send(frame(Frame.headers, endHeaders, 1, fieldBlock([':method', 'POST', ...getOf(path).slice(2)])), frame(Frame.data, 0, 1, 'begun'));
    assert.equal(await client.resetOf(1), constants.NGHTTP2_NO_ERROR);
    const kinds = client.frames.filter((each) => each.stream === 1).map((each) => `${each.type}${each.flags & endStream ? ' end' : ''}`);
    assert.deepEqual(kinds, path === '/respond' ? ['1', '0 end', '3'] : ['1', '0', '1 end', '3']);
    client.send(frame(Frame.headers, endStream | endHeaders, 3, fieldBlock(getOf('/respond'))));
    assert.equal((await client.take(Frame.data, 3)).payload.toString(), 'too much', 'the connection goes on');
  }
});

test('a body that is sent elsewhere has come before the client is told where', async () => {
  await using door = await startHttp2Door((exchange) => exchange.respond(307, 'Location: /there\r\n', ''), { limits: { bodyIdleMs: 300 } });
  using client = await dialHttp2(door.port);
  const post = (...more: string[]) => fieldBlock([':method', 'POST', ...getOf('/here').slice(2), ...more]);
  const told = () => client.frames.filter((each) => each.type === Frame.headers).map((each) => each.stream);
  client.send(frame(Frame.headers, endHeaders, 1, post()), frame(Frame.data, 0, 1, 'begun'));
  client.send(frame(Frame.headers, endHeaders, 3, post('content-length', '2000000')), frame(Frame.data, 0, 3, 'begun'));
  await client.take(Frame.headers, 3);
  assert.deepEqual(told(), [3], 'a body that is too long is not waited for, the other one is');
  client.send(frame(Frame.data, endStream, 1, ' and ended'));
  assert.equal((await client.take(Frame.headers, 1)).flags & endStream, endStream);
  assert.equal(await client.resetOf(3), constants.NGHTTP2_NO_ERROR);
  // One that stands still is told all the same, and one without end, too.
  client.send(frame(Frame.headers, endHeaders, 5, post()), frame(Frame.data, 0, 5, 'begun'));
  await client.take(Frame.headers, 5);
  assert.equal(client.frames.some((each) => each.type === Frame.reset && each.stream === 1), false, 'what came whole is not reset');
  using other = openClient(door.port);
  const endless = other.send({ ':method': 'POST' }, Buffer.alloc(5_000_000));
  await closed(endless);
  assert.deepEqual([endless.headers?.[':status'], endless.code], [307, constants.NGHTTP2_NO_ERROR]);
});

test('an upload behind its answer is read for a while, then it is reset and gone', async () => {
  await using door = await startHttp2Door((exchange) => exchange.respond(200, '', 'enough'));
  using client = openClient(door.port);
  const answered = client.send({ ':method': 'POST' }, Buffer.alloc(5_000_000));
  await closed(answered);
  assert.deepEqual([answered.headers?.[':status'], answered.body.toString(), answered.code], [200, 'enough', constants.NGHTTP2_NO_ERROR]);
  await until('the stream to be gone', () => door.sweep.size === 1);
  // One that fits into the time is not reset at all.
  const short = client.send({ ':method': 'POST' }, Buffer.alloc(500_000));
  await closed(short);
  assert.equal(short.stream.aborted, false);
  await until('the stream to be gone', () => door.sweep.size === 1);
});

test('a request that waits is gone when its client gives it up, whatever code it says', async () => {
  await using front = await startWatching();
  for (const [i, code] of [0, 8].entries()) {
    using client = await dialHttp2(front.door.port);
    client.send(post(1));
    const one = await front.next(i);
    one.exchange.pauseRequest();
    client.send(frame(Frame.data, 0, 1, 'x'.repeat(10_000)), frame(Frame.data, 0, 1, 'x'.repeat(10_000)));
    await new Promise((done) => setTimeout(done, 20));
    client.send(frame(Frame.reset, 0, 1, Buffer.from([0, 0, 0, code])));
    await until('the request to be ended', () => one.told.length === 1);
    await until('the stream to be gone', () => front.door.sweep.size === 1);
    client.socket.destroy();
    await until('nobody', () => front.door.clients.size === 0);
  }
});

test('whatever was asked and answered, nothing of it stays', async () => {
  await using front = await startWatching();
  using client = openClient(front.door.port);
  const requests: readonly [OutgoingHttpHeaders, string | undefined][] = [
    [{}, undefined], [{ ':method': 'HEAD' }, undefined], [{ ':method': 'DELETE' }, undefined], [{ ':method': 'POST', 'content-length': '0' }, ''], [{ ':method': 'POST' }, ''], [{ ':method': 'POST' }, 'body'],
    [{ ':method': 'POST', 'content-length': '4' }, 'body'], [{ ':path': 'wrong' }, undefined], [{ ':method': 'POST', host: 'other.example.test' }, 'body'], [{ ':method': 'HEAD', host: 'other.example.test' }, undefined],
  ];
  const answers: readonly ((exchange: Exchange) => void)[] = [
    (exchange) => exchange.respond(200, '', 'ok'),
    (exchange) => exchange.respond(204, '', ''),
    ...['200 OK\r\nContent-Length: 2\r\n', '200 OK\r\nTransfer-Encoding: chunked\r\n', '200 OK\r\n', '304 Not Modified\r\n'].map((text) => (exchange: Exchange) => {
      exchange.answer(headOf(text, exchange.head.method), back, null, '');
      exchange.piece(Buffer.from('ok'));
      exchange.end(text.includes('chunked') ? 'X-Trailer: 1\r\n' : '');
    }),
  ];
  for (const [headers, body] of requests) {
    for (const answer of answers) {
      const before = front.all.length;
      const answered = client.send(headers, body);
      const one = await until('the request or its refusal', () => front.all[before] ?? (answered.closed && 'refused'));
      if (one !== 'refused') {
        await until('its body', () => one.exchange.requestDone);
        answer(one.exchange);
      }
      await closed(answered);
      await until(`${JSON.stringify(headers)} to be gone`, () => front.door.sweep.size === 1);
      assert.ok(Array.from(front.door.clients).every((each) => each.isIdle));
    }
  }
  const head = client.send({ ':method': 'HEAD' });
  const given = await front.next(front.all.length);
  head.stream.close(constants.NGHTTP2_CANCEL);
  await until('it to be given up', () => given.told.length === 1);
  await until('it to be gone', () => front.door.sweep.size === 1);
});

test('half an answer is seen to be half', async () => {
  await using front = await startWatching();
  const heads = ['200 OK\r\nTransfer-Encoding: chunked\r\n', '200 OK\r\nContent-Length: 100\r\n', '200 OK\r\n'];
  for (const [i, text] of heads.flatMap((each) => [each, each]).entries()) {
    using client = await dialHttp2(front.door.port);
    client.send(frame(Frame.headers, endStream | endHeaders, 1, fieldBlock(getOf())));
    const { exchange } = await front.next(i);
    exchange.answer(headOf(text), back, null, '');
    exchange.piece(Buffer.from('half'));
    // At once, and when there is nothing on its way any more.
    if (i % 2 === 0) {
      exchange.flush();
      await client.take(Frame.data, 1);
      await new Promise((done) => setTimeout(done, 20));
    }
    exchange.breakOff();
    assert.equal(await client.resetOf(1), constants.NGHTTP2_INTERNAL_ERROR);
    assert.equal(client.frames.find((each) => each.stream === 1 && each.type < 2 && each.flags & endStream), undefined, 'no end that would make it whole');
  }
  assert.ok(front.all.every((each) => each.told.length === 0), 'whoever broke it off knows');
});

test('a connection that ends leaves no half answer that looks whole', async () => {
  await using front = await startWatching();
  const ways: readonly (() => void)[] = [
    () => Array.from(front.door.clients)[0]!.destroy(),
    () => void Array.from(front.all).at(-1)!.exchange.conn.socket.destroy(),
  ];
  for (const [i, end] of ways.entries()) {
    for (const [j, text] of ['200 OK\r\nTransfer-Encoding: chunked\r\n', '200 OK\r\n'].entries()) {
      using client = await dialHttp2(front.door.port);
      client.send(frame(Frame.headers, endStream | endHeaders, 1, fieldBlock(getOf())));
      const one = await front.next(2 * i + j);
      one.exchange.answer(headOf(text), back, null, '');
      one.exchange.piece(Buffer.from('half'));
      await client.take(Frame.data, 1);
      end();
      await client.end();
      assert.equal(client.frames.find((each) => each.stream === 1 && each.type < 2 && each.flags & endStream), undefined);
      assert.equal(one.told.length, 1);
      await until('nobody', () => front.door.clients.size === 0);
    }
  }
});

test('what takes the whole connection sends the client to HTTP/1.1', async () => {
  await using door = await startHttp2Door((exchange) => {
    if (exchange.head.target === '/link') exchange.takeSocket();
    if (exchange.head.target === '/fault') throw new Fault('unsupported', 'not here');
    exchange.respond(200, '', 'ok');
  });
  using client = openClient(door.port);
  assert.equal((await closed(client.send({ ':path': '/link' }))).code, constants.NGHTTP2_HTTP_1_1_REQUIRED);
  assert.equal((await closed(client.send({ ':path': '/fault' }))).code, constants.NGHTTP2_INTERNAL_ERROR);
  assert.equal((await closed(client.send({ ':path': '/' }))).body.toString(), 'ok');
});

test('a mistake in a consumer ends that connection and is told', async () => {
  const broken = new Error('a mistake');
  const door = await startHttp2Door((exchange) => {
    if (exchange.head.target === '/') throw broken;
    exchange.sink = { onRequestPiece: () => assert.fail('a mistake later'), onRequestEnd() {}, onAnswerDrain() {}, onAborted() {}, onLate() {} };
  });
  using one = openClient(door.port);
  const first = one.send({});
  using two = openClient(door.port);
  const second = two.send({ ':method': 'POST', ':path': '/later' }, 'x');
  await Promise.all([closed(first), closed(second)]);
  await until('both to be told', () => door.broken.length === 2);
  assert.ok(door.broken.includes(broken));
  await assert.rejects(Promise.resolve(door[Symbol.asyncDispose]()), /no mistake of ours/);
});

/** One request whose cookies weigh that much, in as many frames as it takes. */
function sendLong(client: Http2Raw, kib: number, host = 'a.example.test'): void {
  const block = fieldBlock([...getOf('/', host), ...Array.from({ length: kib }, (_, i) => ['cookie', `c${i}=${'x'.repeat(1_000)}`]).flat()]);
  for (let at = 0; at < block.length; at += 16_384) client.send(frame(at === 0 ? Frame.headers : Frame.continuation, (at === 0 ? endStream : 0) | (at + 16_384 >= block.length ? endHeaders : 0), 1, block.subarray(at, at + 16_384)));
}

test('large heads: refused by weight, larger where the route allows it', async () => {
  const seen: string[] = [];
  await using door = await startHttp2Door((exchange) => exchange.respond(200, '', String(exchange.head.fields.text.length)), {
    mayGrow(headSoFar) {
      seen.push(headSoFar);
      return headSoFar.includes('\r\nHost: device.example.test\r\n');
    },
  });
  using client = openClient(door.port);
  const cookies = (kib: number) => ({ cookie: Array.from({ length: kib }, (_, i) => `c${i}=${'x'.repeat(1_000)}`) });
  const status = async (host: string, kib: number) => (await closed(client.send({ ':authority': host, ...cookies(kib) }))).headers?.[':status'];
  assert.equal(await status('a.example.test', 10), 200);
  assert.equal(await status('a.example.test', 20), 431);
  assert.equal(await status('device.example.test', 20), 200);
  // More than node:http2 as a client sends, and than is announced for a head; but a browser must get the answer.
  for (const [host, kib] of [['device.example.test', 70], ['a.example.test', 120]] as const) {
    using raw = await dialHttp2(door.port);
    sendLong(raw, kib, host);
    await raw.take(Frame.data, 1);
    assert.match(door.refused.at(-1)!, new RegExp(`^431 .* ${host.startsWith('d') ? 64 : 16} KiB`));
  }
  assert.ok(seen.every((each) => each.length === 16 * 1024 && each.includes('\r\nCookie: c0=')));
  assert.deepEqual(door.abuse, []);
});

test('a head of more frames than nghttp2 takes sends the client to HTTP/1.1', async () => {
  await using front = await startWatching();
  using client = await dialHttp2(front.door.port);
  sendLong(client, 200);
  assert.equal(await client.end(), constants.NGHTTP2_HTTP_1_1_REQUIRED);
  assert.deepEqual(front.all, []);
});

test('CONTINUATION without end', async () => {
  await using front = await startWatching();
  using client = await dialHttp2(front.door.port);
  client.send(frame(Frame.headers, endStream, 1, fieldBlock(getOf())));
  for (let i = 0; i < 2_000; i++) client.send(frame(Frame.continuation, 0, 1, fieldBlock(['a', 'b'])));
  assert.notEqual(await client.end(), null);
  assert.equal(front.door.abuse.length, 1);
});

const post = (stream: number) => frame(Frame.headers, endHeaders, stream, fieldBlock([':method', 'POST', ...getOf().slice(2)]));
const floods: readonly [string, (stream: number) => Buffer, number | null, RegExp][] = [
  ['requests begun and reset in one breath', (stream) => Buffer.concat([post(stream), frame(Frame.reset, 0, stream, Buffer.from([0, 0, 0, 8]))]), null, /./],
  ['requests begun and broken by a frame that makes us reset them', (stream) => Buffer.concat([post(stream), frame(Frame.windowUpdate, 0, stream, Buffer.from([127, 255, 255, 255]))]), null, /./],
  ['SETTINGS', () => frame(Frame.settings, 0, 0), constants.NGHTTP2_ENHANCE_YOUR_CALM, /SETTINGS/],
  ['PING', () => frame(Frame.ping, 0, 0, '12345678'), constants.NGHTTP2_ENHANCE_YOUR_CALM, /PING/],
  ['empty DATA', (stream) => (stream === 1 ? post(1) : frame(Frame.data, 0, 1)), null, /invalid HTTP\/2 frames/],
];
for (const [what, one, code, why] of floods) {
  test(`without end: ${what}`, async () => {
    await using front = await startWatching({ limits: { http2PingsPerMinuteMax: 300 } });
    using client = await dialHttp2(front.door.port);
    for (let i = 0; i < 1_500 && !client.closed; i++) {
      client.send(one(1 + 2 * i));
      if (i % 50 === 49) await new Promise((done) => setImmediate(done));
    }
    const ended = await client.end();
    if (code !== null) assert.equal(ended, code);
    await until('somebody to be told', () => front.door.abuse.length > 0);
    assert.match(front.door.abuse[0]!, why);
    assert.ok(front.all.length < 1_000, `${front.all.length} requests were begun`);
    assert.ok(front.all.every((each) => each.told.some((told) => told.startsWith('aborted'))), 'each of them was ended');
  });
}

test('requests given up slowly are counted as well', async () => {
  await using front = await startWatching({ limits: { http2ResetsPerMinuteMax: 20 } });
  using client = await dialHttp2(front.door.port);
  for (let i = 0; i < 30 && !client.closed; i++) {
    client.send(post(1 + 2 * i));
    await until('it to be begun', () => front.all.length > i || client.closed);
    client.send(frame(Frame.reset, 0, 1 + 2 * i, Buffer.from([0, 0, 0, 8])));
    await until('it to be ended', () => front.all[i]?.told.length === 1 || client.closed);
  }
  assert.notEqual(await client.end(), null);
  assert.ok(front.all.length <= 22, `${front.all.length} requests`);
});

test('so many requests at a time, and no more', async () => {
  await using front = await startWatching({ limits: { http2StreamsMax: 5 } });
  using client = await dialHttp2(front.door.port);
  await client.take(Frame.settings);
  for (let i = 0; i < 5; i++) client.send(frame(Frame.headers, endStream | endHeaders, 1 + 2 * i, fieldBlock(getOf())));
  await until('five', () => front.all.length === 5);
  front.all[0]!.exchange.respond(200, '', '');
  await client.take(Frame.headers, 1);
  client.send(frame(Frame.headers, endStream | endHeaders, 11, fieldBlock(getOf())));
  await until('one in its place', () => front.all.length === 6);
  client.send(frame(Frame.headers, endStream | endHeaders, 13, fieldBlock(getOf())));
  assert.equal(await client.end(), constants.NGHTTP2_PROTOCOL_ERROR);
  assert.equal(front.all.length, 6);
  // Who has not heard of the limit yet is only refused.
  using early = await dialHttp2(front.door.port, null);
  early.send(preface, frame(Frame.settings, 0, 0), ...Array.from({ length: 6 }, (_, i) => frame(Frame.headers, endStream | endHeaders, 1 + 2 * i, fieldBlock(getOf()))));
  assert.equal(await early.resetOf(11), constants.NGHTTP2_REFUSED_STREAM);
  await until('the five before', () => front.all.length === 11);
});

test('frames that break the protocol end the connection or the stream, and nobody else', async () => {
  await using front = await startWatching();
  using other = openClient(front.door.port);
  const kept = other.send({});
  const one = await front.next();
  const wrong: readonly Buffer[] = [
    Buffer.from('GET / HTTP/1.1\r\nHost: a.example.test\r\n\r\n'),
    frame(Frame.data, 0, 1, 'without a head'),
    frame(Frame.headers, endHeaders | endStream, 2, fieldBlock(getOf())),
    frame(Frame.headers, endHeaders | endStream, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff])),
    frame(Frame.settings, 0, 0, 'odd'),
    frame(Frame.windowUpdate, 0, 0, Buffer.alloc(4)),
    frame(Frame.ping, 0, 0, 'short'),
    frame(5, 0, 1, Buffer.alloc(8)),
    frame(Frame.continuation, endHeaders, 1),
    frame(Frame.goaway, 0, 0, Buffer.from([0, 0, 0, 0, 0, 0, 0, 2])),
  ];
  for (const bytes of wrong) {
    using client = await dialHttp2(front.door.port);
    client.send(bytes);
    await client.end();
  }
  await until('only the good one', () => front.door.clients.size === 1);
  one.exchange.respond(200, '', 'still here');
  assert.equal((await closed(kept)).body.toString(), 'still here');
  assert.equal(front.all.length, 1);
});

test('a client that ends its side has gone', async () => {
  await using front = await startWatching();
  using busy = await dialHttp2(front.door.port);
  busy.send(frame(Frame.headers, endStream | endHeaders, 1, fieldBlock(getOf())));
  const one = await front.next();
  busy.socket.end();
  await until('the request to be ended', () => one.told.length === 1);
  using idle = await dialHttp2(front.door.port);
  await idle.take(Frame.settings);
  idle.socket.end();
  await until('both to be gone', () => front.door.clients.size === 0);
});

test('nothing happens: the preface, an idle connection, requests that stand still', async () => {
  await using front = await startWatching({ limits: { headTimeoutMs: 300, keepAliveIdleMs: 600, bodyIdleMs: 300 } });
  using silent = await dialHttp2(front.door.port, null);
  silent.send(preface.subarray(0, 10));
  using idle = await dialHttp2(front.door.port);
  using slow = await dialHttp2(front.door.port);
  slow.send(post(1), frame(Frame.data, 0, 1, 'x'));
  const body = await front.next();
  slow.send(frame(Frame.headers, endStream | endHeaders, 3, fieldBlock(getOf())));
  const late = await front.next(1);
  late.exchange.expectWithin(300);
  await silent.end();
  await until('the body to be late', () => body.told.includes('late'));
  await until('the answer to be late', () => late.told.includes('late'));
  late.exchange.respond(504, '', 'late');
  body.exchange.respond(408, '', 'late');
  assert.equal(await slow.resetOf(1), constants.NGHTTP2_NO_ERROR);
  // What they are told does not end the connection; having nothing to do does, with a farewell.
  assert.equal(await idle.end(), constants.NGHTTP2_NO_ERROR);
  assert.equal(await slow.end(), constants.NGHTTP2_NO_ERROR);
});

test('a client that fetches nothing of its answer is not waited for', async () => {
  await using front = await startWatching({ limits: { bodyIdleMs: 300 } });
  using client = await dialHttp2(front.door.port, Buffer.from([0, 4, 0, 0, 0, 0]));
  for (const stream of [1, 3]) client.send(frame(Frame.headers, endStream | endHeaders, stream, fieldBlock(getOf())));
  const [whole, begun] = [await front.next(), await front.next(1)];
  whole.exchange.respond(200, '', 'x'.repeat(1_000));
  begun.exchange.answer(headOf('200 OK\r\n'), back, null, '');
  while (begun.exchange.piece(Buffer.alloc(16_384))) assert.equal(begun.told.length, 0);
  assert.equal(await client.resetOf(1), constants.NGHTTP2_CANCEL);
  assert.equal(await client.resetOf(3), constants.NGHTTP2_CANCEL);
  assert.deepEqual([whole.told, begun.told], [[], ['aborted: the stream stood still']]);
});

test('draining: requests in progress are answered, idle connections end at once', async () => {
  await using front = await startWatching();
  using busy = await dialHttp2(front.door.port);
  using idle = openClient(front.door.port);
  await new Promise<void>((done) => idle.session.once('remoteSettings', () => done()));
  busy.send(frame(Frame.headers, endStream | endHeaders, 1, fieldBlock(getOf())));
  const one = await front.next();
  front.door.drain();
  await until('the idle one to be told', () => idle.goaways[0] === 0 && idle.session.destroyed);
  const goaway = await busy.take(Frame.goaway);
  assert.deepEqual([goaway.payload.readUInt32BE(0), goaway.payload.readUInt32BE(4)], [1, constants.NGHTTP2_NO_ERROR]);
  // This one is behind the last that was taken: the client knows that it was not begun.
  busy.send(frame(Frame.headers, endStream | endHeaders, 3, fieldBlock(getOf('/under-way'))), frame(Frame.ping, 0, 0, '12345678'));
  await busy.take(Frame.ping);
  one.exchange.respond(200, '', 'one');
  assert.equal(await busy.end(), 0);
  assert.deepEqual(busy.frames.filter((each) => each.type === Frame.data).map((each) => each.payload.toString()), ['one']);
  assert.equal(front.all.length, 1);
});

test('so many requests on one connection, then another one', async () => {
  await using door = await startHttp2Door((exchange) => exchange.respond(200, '', 'ok'), { limits: { exchangesPerConnMax: 3 } });
  using client = openClient(door.port);
  for (let i = 0; i < 3; i++) assert.equal((await closed(client.send({}))).body.toString(), 'ok');
  await until('the farewell', () => client.goaways.length > 0);
  await until('its end', () => door.clients.size === 0);
});
