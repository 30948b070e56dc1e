// Bent HTTP/1 requests: nothing may throw but what is documented, no verdict may depend on how the bytes were cut, and whatever we take, node:http
// (llhttp) must take as the same request with the same body. POSTERN_FUZZ_SEED repeats a run, POSTERN_FUZZ_SECONDS makes it longer.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { encodeTrailers, newBodyReader, readBody, startBody } from '#wire/http1-body.ts';
import { encodeFields, is } from '#wire/http1-fields.ts';
import { BARE, findHeadEnd, findResponseHeadEnd, isBad, MORE, parseRequestHead, parseResponseHead, type RequestHead } from '#wire/http1.ts';

/** mulberry32: small, and the same everywhere for one seed. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const seed = Number(process.env['POSTERN_FUZZ_SEED'] ?? Date.now() % 1_000_000);
const seconds = Number(process.env['POSTERN_FUZZ_SECONDS'] ?? 3);
const corpus = readFileSync(new URL('../corpus/http1.md', import.meta.url), 'utf8');
const samplesOf = (kind: string) =>
  [...corpus.matchAll(new RegExp(`\`\`\`${kind}\\n([\\s\\S]*?)\`\`\``, 'g'))].map((match) =>
    Buffer.from(match[1]!.replace(/\\\n/g, '\u0001').replace(/\n/g, '\r\n').replace(/\u0001/g, '').replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))), 'latin1'),
  );
const requests = samplesOf('request');
const answers = samplesOf('answer');

/** What attacks are made of. */
const SPLICES = [
  'Transfer-Encoding: chunked\r\n', 'Content-Length: 3\r\n', 'Content-Length: 0\r\n', 'Host: b.example.test\r\n', 'Transfer-Encoding:\tchunked\r\n', 'Transfer-Encoding: Chunked \r\n', 'content-length:3\r\n', 'Connection: close\r\n',
  'Connection: keep-alive, Transfer-Encoding\r\n', 'Expect: 100-continue\r\n', 'Upgrade: websocket\r\nConnection: upgrade\r\n', 'X: y\r\n', '\r\n', '\n', '\r', ' ', '\t', ':', ',', ';', '\0', '\x0b', '\x7f', '\x80', '\xa0', 'chunked', ', chunked', 'HTTP/1.0', 'HTTP/1.1', '#', '?', '//', 'http://a.example.test', '0\r\n\r\n', '3\r\nabc\r\n',
];
const CHUNK_BODIES = ['3\r\nabc\r\n0\r\n\r\n', '0\r\n\r\n', '1;x="y"\r\na\r\n2\r\nbc\r\n0\r\nX-A: b\r\n\r\n', '00A\r\n0123456789\r\n0;a=b\r\n\r\n'];

function bender(random: () => number) {
  const upTo = (n: number) => Math.floor(random() * n);
  const pick = <Item>(list: readonly Item[]): Item => list[upTo(list.length)]!;
  const bend = (bytes: Buffer): Buffer => {
    const at = upTo(bytes.length + 1);
    const line = bytes.indexOf('\n', at) + 1;
    switch (upTo(7)) {
      case 0:
        return Buffer.concat([bytes.subarray(0, at), Buffer.from([upTo(256)]), bytes.subarray(at + 1)]);
      case 1:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + upTo(4))]);
      case 2:
        return Buffer.concat([bytes.subarray(0, at), Buffer.from(pick(SPLICES), 'latin1'), bytes.subarray(at)]);
      case 3:
        return line > 0 ? Buffer.concat([bytes.subarray(0, line), Buffer.from(pick(SPLICES), 'latin1'), bytes.subarray(line)]) : bytes;
      case 4:
        return line > 0 ? Buffer.concat([bytes.subarray(0, line), bytes.subarray(bytes.indexOf('\n', line) + 1)]) : bytes;
      case 5:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(upTo(bytes.length))]);
      default:
        return Buffer.from(bytes.toString('latin1').replace(pick([/[a-z]/i, / /, /:/, /\d/]), () => pick(['', ' ', 'K', '\xa0', ':', '0', '_'])), 'latin1');
    }
  };
  return { upTo, pick, bent: (bytes: Buffer) => Array.from({ length: 1 + upTo(3) }).reduce((now: Buffer) => bend(now), bytes) };
}

/** As a connection reads it, in these pieces. */
function readRequest(bytes: Buffer, cuts: readonly number[]): { head: RequestHead; end: number } | 'refused' | 'more' {
  let searched = 0;
  for (const have of [...cuts, bytes.length]) {
    const soFar = bytes.subarray(0, have);
    const end = findHeadEnd(soFar, 0, searched);
    if (end === BARE) return 'refused';
    if (end !== MORE) {
      const head = parseRequestHead(soFar.toString('latin1', 0, end));
      return isBad(head) ? 'refused' : { head, end };
    }
    searched = have;
  }
  return 'more';
}

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly body: string;
}

/** What a node:http server makes of the bytes; with a second request behind the first it sees two, or they mean something else to it. */
function nodeReads(server: Server, heard: { onRequest: (request: IncomingMessage, response: ServerResponse | null) => void; onRefused: () => void }, bytes: Buffer, count: number): Promise<Seen[] | 'refused'> {
  return new Promise((resolve) => {
    const [near, far] = duplexPair();
    const seen: Seen[] = [];
    // A server that waits for more has understood another message than we did; what it saw says which.
    const timer = setTimeout(() => done(seen), 2_000);
    const done = (what: Seen[] | 'refused') => {
      clearTimeout(timer);
      near.destroy();
      far.destroy();
      resolve(what);
    };
    heard.onRefused = () => done('refused');
    heard.onRequest = (request, response) => {
      let body = '';
      if (response === null) {
        seen.push({ method: request.method!, url: request.url!, body });
        return done(seen);
      }
      request.setEncoding('latin1');
      request.on('data', (piece: string) => void (body += piece));
      request.on('end', () => {
        seen.push({ method: request.method!, url: request.url!, body });
        response.end();
        if (seen.length === count) done(seen);
      });
      request.on('error', () => {});
    };
    near.on('error', () => {});
    far.on('error', () => {});
    near.resume();
    server.emit('connection', far);
    near.write(bytes);
  });
}

/** Where node:http is known to be stricter than RFC 9112 asks, or looks at something else. Each keeps the same framing. */
function isKnownDifference(head: RequestHead, bodyText: string): boolean {
  return (
    // llhttp knows a fixed list of methods; PRI and SOURCE mean other protocols to it.
    !KNOWN_METHODS.has(head.method) ||
    // It wants no blanks between a chunk's size and the end of the line.
    /^[0-9a-f]+[ \t]/im.test(bodyText) ||
    // A tab behind a framing field's value is optional white space (RFC 9110 §5.6.3), but not to llhttp.
    /^(?:transfer-encoding|content-length):.*\t/im.test(head.fields.text) ||
    // It reads the query of `?` without a path, and targets of old, differently; the target is not framing.
    !/^[/*]/.test(head.target)
  );
}
const KNOWN_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE']);

test(`requests we take are the same to node:http, seed ${seed}, ${seconds} s`, async (context) => {
  context.diagnostic(`POSTERN_FUZZ_SEED=${seed}`);
  const { upTo, pick, bent } = bender(randomOf(seed));
  const heard = { onRequest: (() => {}) as (request: IncomingMessage, response: ServerResponse | null) => void, onRefused: () => {} };
  const server = createServer({ keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0, connectionsCheckingInterval: 1_000_000 });
  server.on('request', (request, response) => heard.onRequest(request, response));
  server.on('checkContinue', (request, response) => heard.onRequest(request, response));
  server.on('upgrade', (request) => heard.onRequest(request, null));
  server.on('clientError', () => heard.onRefused());
  const counts = { taken: 0, refused: 0, more: 0, compared: 0 };
  const until = performance.now() + seconds * 600;
  try {
    while (performance.now() < until || counts.taken < 20) {
      const bytes = upTo(10) === 0 ? pick(requests) : bent(pick(requests));
      if (bytes.length === 0) continue;
      const what = `seed ${seed}: ${JSON.stringify(bytes.toString('latin1'))}`;
      const whole = readRequest(bytes, []);
      const cuts = Array.from({ length: upTo(4) }, () => upTo(bytes.length)).sort((a, b) => a - b);
      const parted = readRequest(bytes, cuts);
      if (typeof whole === 'string') {
        counts[whole] += 1;
        // A bare line feed behind a whole head is another message's; cut before it, it is seen later.
        assert.equal(parted, whole, `${what} cut at ${cuts.join()}`);
        continue;
      }
      assert.deepEqual(parted, whole, `${what} cut at ${cuts.join()}`);
      counts.taken += 1;
      const { head, end } = whole;
      // What goes on is read by us as the same message, however often.
      const again = parseRequestHead(`${head.method} ${head.target} HTTP/1.1\r\n${encodeFields(head.fields, { drop: is.hop, ask: 0 }, null)}${head.fields.names.includes('host') ? '' : 'Host: a\r\n'}${head.framing === 'chunked' ? 'Transfer-Encoding: chunked\r\n' : ''}\r\n`);
      assert.ok(!isBad(again), `${what}: ${isBad(again) ? again.bad : ''}`);
      assert.equal(again.framing, head.framing, what);
      assert.equal(again.bodyBytes, head.bodyBytes, what);
      assert.equal(again.target, head.target, what);
      if (head.bodyBytes > 100_000 || isKnownDifference(head, '')) continue;
      const bodyText = head.framing === 'chunked' ? pick(CHUNK_BODIES) : 'x'.repeat(head.bodyBytes);
      const expected = head.framing === 'chunked' ? bodyOf(bodyText) : bodyText;
      const sent = Buffer.concat([bytes.subarray(0, end), Buffer.from(`${bodyText}${head.keepAlive ? 'GET /the-next HTTP/1.1\r\nHost: a.example.test\r\n\r\n' : ''}`, 'latin1')]);
      const upgrades = /upgrade/i.test(bytes.toString('latin1'));
      const seen = await nodeReads(server, heard, sent, head.keepAlive ? 2 : 1);
      assert.notEqual(seen, 'refused', `${what}: node:http refuses it`);
      counts.compared += 1;
      const first = (seen as Seen[])[0]!;
      assert.equal(first.method, head.method, what);
      assert.equal(first.url.replace(/^https?:\/\/[^/?]+\/?/i, '/'), head.isOriginForm ? head.target.replace(/^https?:\/\/[^/?]+\/?/i, '/') : head.target, what);
      // With an upgrade node:http hands the rest over unread.
      if (upgrades) continue;
      assert.equal(first.body, expected, what);
      assert.deepEqual((seen as Seen[]).slice(1).map((each) => each.url), head.keepAlive ? ['/the-next'] : [], what);
    }
  } finally {
    server.close();
  }
  context.diagnostic(JSON.stringify(counts));
  // The fuzz is worth nothing when it reaches one verdict only.
  for (const [kind, count] of Object.entries(counts)) assert.ok(count > 5, `${kind}: ${count}`);
});

function bodyOf(text: string): string {
  let body = '';
  const reader = newBodyReader();
  startBody(reader, 'chunked', 0);
  readBody(reader, Buffer.from(text, 'latin1'), 0, { onBodyPiece: (piece) => void (body += piece.toString('latin1')) });
  assert.ok(reader.done);
  return body;
}

test(`answers and chunked bodies, seed ${seed}`, () => {
  const { upTo, pick, bent } = bender(randomOf(seed + 1));
  const counts = { taken: 0, refused: 0, more: 0, whole: 0, broken: 0, waiting: 0 };
  const until = performance.now() + seconds * 300;
  while (performance.now() < until || counts.whole < 20) {
    const bytes = bent(pick(answers));
    const what = `seed ${seed}: ${JSON.stringify(bytes.toString('latin1'))}`;
    const method = pick(['GET', 'HEAD']);
    const end = findResponseHeadEnd(bytes, 0, 0);
    let searched = 0;
    let partedEnd = MORE;
    for (const have of [...Array.from({ length: 3 }, () => upTo(bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
      partedEnd = findResponseHeadEnd(bytes.subarray(0, have), 0, searched);
      if (partedEnd !== MORE) break;
      searched = have;
    }
    assert.equal(partedEnd, end, what);
    if (end === MORE) counts.more += 1;
    else {
      const head = parseResponseHead(bytes.toString('latin1', 0, end), method);
      if (isBad(head)) counts.refused += 1;
      else {
        counts.taken += 1;
        const sent = `${head.line.trimEnd()}\r\n${encodeFields(head.fields, { drop: is.hop, ask: 0 }, null)}${head.framing === 'chunked' ? 'Transfer-Encoding: chunked\r\n' : ''}\r\n`;
        // What we send on is strict: no bare line feed, no fold, nothing that ends the head early.
        assert.match(sent, /^(?:[^\r\n]*\r\n)+\r\n$/, what);
        assert.equal(sent.indexOf('\r\n\r\n'), sent.length - 4, what);
        const again = parseResponseHead(sent, method);
        assert.ok(!isBad(again), `${what}: ${isBad(again) ? again.bad : ''}`);
        if (head.minorVersion === 1 || head.framing !== 'chunked') assert.equal(again.framing, head.framing, what);
        assert.equal(again.bodyBytes, head.bodyBytes, what);
      }
    }
    readChunked(bent(Buffer.from(pick(CHUNK_BODIES), 'latin1')), upTo, counts);
  }
  for (const [kind, count] of Object.entries(counts)) assert.ok(count > 5, `${kind}: ${count}`);
});

function readChunked(bytes: Buffer, upTo: (n: number) => number, counts: { whole: number; broken: number; waiting: number }): void {
  const what = `seed ${seed}: chunked ${JSON.stringify(bytes.toString('latin1'))}`;
  const run = (pieces: readonly Buffer[]) => {
    const reader = newBodyReader();
    startBody(reader, 'chunked', 0);
    let body = '';
    let used = 0;
    try {
      for (const piece of pieces) {
        used += readBody(reader, piece, 0, { onBodyPiece: (each) => void (body += each.toString('latin1')) });
        if (reader.done) break;
      }
    } catch (thrown) {
      assert.ok(isFault(thrown, 'protocol'), `${what}: ${String(thrown)}`);
      return 'broken' as const;
    }
    const trailers = reader.done ? encodeTrailers(reader.trailers) : '';
    assert.match(trailers, /^(?:[^\r\n:]+: [^\r\n]*\r\n)*$/, what);
    return { body, used, trailers, done: reader.done };
  };
  const whole = run([bytes]);
  const cut = upTo(bytes.length + 1);
  assert.deepEqual(run([bytes.subarray(0, cut), bytes.subarray(cut)]), whole, `${what} cut at ${cut}`);
  if (whole === 'broken') counts.broken += 1;
  else if (whole.done) counts.whole += 1;
  else counts.waiting += 1;
}
