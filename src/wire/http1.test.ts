import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { encodeFields, fieldOf, is, type HeadEdit } from './http1-fields.ts';
import { BARE, findHeadEnd, findResponseHeadEnd, hostNameOf, isBad, MORE, parseRequestHead, parseResponseHead, portOf, type BadHead, type RequestHead, type ResponseHead } from './http1.ts';

interface Sample {
  readonly kind: 'request' | 'answer';
  readonly title: string;
  readonly bytes: Buffer;
  readonly expected: { readonly refuse?: number; readonly why?: string; readonly to?: string; readonly fields?: Readonly<Record<string, string>> } & Readonly<Record<string, unknown>>;
}

function bytesOf(block: string): Buffer {
  const text = block
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => (/(?:^|[^\\])\\$/.test(line) ? line.slice(0, -1) : `${line}\r\n`))
    .join('');
  return Buffer.from(text.replace(/\\x([0-9a-f]{2})|\\\\/g, (_, hex: string | undefined) => (hex === undefined ? '\\' : String.fromCharCode(parseInt(hex, 16)))), 'latin1');
}

function readCorpus(): Sample[] {
  const text = readFileSync(new URL('../../test/corpus/http1.md', import.meta.url), 'utf8');
  return [...text.matchAll(/^## (.*)\n[^#]*?```(request|answer)\n([\s\S]*?)```\n\n```json\n(.*)\n```/gm)].map((match) => ({
    title: match[1]!,
    kind: match[2] as Sample['kind'],
    bytes: bytesOf(match[3]!),
    expected: JSON.parse(match[4]!) as Sample['expected'],
  }));
}

const corpus = readCorpus();

/** As the connection reads it: piece by piece, until there is a verdict. */
function readRequest(pieces: readonly Buffer[]): RequestHead | BadHead | 'more' {
  let bytes = Buffer.alloc(0);
  let searched = 0;
  for (const piece of pieces) {
    bytes = Buffer.concat([bytes, piece]);
    const end = findHeadEnd(bytes, 0, searched);
    if (end === BARE) return { bad: 'a line does not end with CRLF', status: 400 };
    if (end !== MORE) return parseRequestHead(bytes.toString('latin1', 0, end));
    searched = bytes.length;
  }
  return 'more';
}

function readAnswer(pieces: readonly Buffer[], method: string): ResponseHead | BadHead | 'more' {
  let bytes = Buffer.alloc(0);
  let searched = 0;
  for (const piece of pieces) {
    bytes = Buffer.concat([bytes, piece]);
    const end = findResponseHeadEnd(bytes, 0, searched);
    if (end !== MORE) return parseResponseHead(bytes.toString('latin1', 0, end), method);
    searched = bytes.length;
  }
  return 'more';
}

const read = (sample: Sample, pieces: readonly Buffer[]) => (sample.kind === 'request' ? readRequest(pieces) : readAnswer(pieces, sample.expected.to ?? 'GET'));

test('the corpus is read whole', () => {
  const headings = readFileSync(new URL('../../test/corpus/http1.md', import.meta.url), 'utf8').match(/^## /gm)!.length;
  assert.equal(corpus.length, headings);
  assert.ok(corpus.filter((sample) => sample.kind === 'request' && sample.expected.refuse !== undefined).length > 60);
});

for (const kind of ['request', 'answer'] as const) {
  for (const sample of corpus.filter((each) => each.kind === kind)) {
    test(`${kind}: ${sample.title}`, () => {
      const whole = read(sample, [sample.bytes]);
      assert.ok(whole !== 'more', 'a verdict');
      const { refuse, why, to, fields, ...parts } = sample.expected;
      if (refuse !== undefined) {
        assert.ok(isBad(whole), `refused, not ${JSON.stringify(whole)}`);
        assert.equal(whole.status, refuse, whole.bad);
        if (why !== undefined) assert.ok(whole.bad.includes(why), `"${whole.bad}" says "${why}"`);
      } else {
        assert.ok(!isBad(whole), isBad(whole) ? whole.bad : '');
        const head: Record<string, unknown> = { ...whole, connectionNames: whole.fields.connectionNames };
        for (const [name, value] of Object.entries(parts)) assert.deepEqual(head[name], value, name);
        for (const [name, value] of Object.entries(fields ?? {})) assert.equal(fieldOf(whole.fields, name), value, name);
        if (to === undefined && fields && kind === 'answer') assert.deepEqual([...whole.fields.names].sort(), Object.keys(fields).sort());
      }
      for (let cut = 1; cut < sample.bytes.length; cut++) {
        const parted = read(sample, [sample.bytes.subarray(0, cut), sample.bytes.subarray(cut)]);
        if (isBad(whole)) assert.ok(parted !== 'more' && isBad(parted) && parted.status === whole.status, `cut at ${cut}`);
        else assert.deepEqual(parted, whole, `cut at ${cut}`);
      }
      const single = read(sample, Array.from(sample.bytes, (_, i) => sample.bytes.subarray(i, i + 1)));
      if (isBad(whole)) assert.ok(single !== 'more' && isBad(single) && single.status === whole.status, 'a byte at a time');
      else assert.deepEqual(single, whole, 'a byte at a time');
    });
  }
}

test('the end of a head is found wherever it stands, and only once there', () => {
  const head = Buffer.from('GET / HTTP/1.1\r\nHost: a.example.test\r\n\r\n');
  const behind = Buffer.concat([Buffer.from('xyz'), head, Buffer.from('GET /next')]);
  assert.equal(findHeadEnd(behind, 3, 3), 3 + head.length);
  for (let i = 0; i < head.length; i++) assert.equal(findHeadEnd(head.subarray(0, i), 0, 0), MORE, `${i}`);
  // What stands before `start` belongs to another message.
  assert.equal(findHeadEnd(Buffer.from('\r\n\r\nGET'), 4, 4), MORE);
  assert.equal(findHeadEnd(Buffer.from('x\r\nGET / HTTP/1.1\n'), 3, 3), BARE);
});

test('an answer that ends its head with bare line feeds ends it at the first, whatever the body holds', () => {
  const first = Buffer.from('HTTP/1.1 200 OK\nA: b\n\r\nbody\n\nmore\r\n\r\n');
  assert.equal(findResponseHeadEnd(first, 0, 0), 'HTTP/1.1 200 OK\nA: b\n\r\n'.length);
  const second = Buffer.from('HTTP/1.1 200 OK\nA: b\n\nbody\n\r\nmore\r\n\r\n');
  assert.equal(findResponseHeadEnd(second, 0, 0), 'HTTP/1.1 200 OK\nA: b\n\n'.length);
  const strict = Buffer.from('HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\n\nmore');
  assert.equal(findResponseHeadEnd(strict, 0, 0), 'HTTP/1.1 200 OK\r\nA: b\r\n\r\n'.length);
});

const request = (text: string, last: RequestHead | null = null) => {
  const head = parseRequestHead(text, 200, last);
  assert.ok(!isBad(head), isBad(head) ? head.bad : '');
  return head;
};

test('too many lines are refused with 431, as many as allowed are taken', () => {
  const lines = (count: number) => Array.from({ length: count }, (_, i) => `X-${i}: ${i}\r\n`).join('');
  assert.ok(!isBad(parseRequestHead(`GET / HTTP/1.1\r\nHost: a\r\n${lines(199)}\r\n`, 200)));
  const over = parseRequestHead(`GET / HTTP/1.1\r\nHost: a\r\n${lines(200)}\r\n`, 200);
  assert.ok(isBad(over));
  assert.equal(over.status, 431);
});

test('a head like the one before is not parsed again, one that differs in anything is', () => {
  const block = 'Host: a.example.test\r\nContent-Length: 3\r\n\r\n';
  const first = request(`POST /1 HTTP/1.1\r\n${block}`);
  const second = request(`POST /2?x HTTP/1.1\r\n${block}`, first);
  assert.equal(second.target, '/2?x');
  assert.equal(second.fields, first.fields, 'shared');
  assert.equal(second.bodyBytes, 3);
  assert.notEqual(request(`PUT /2 HTTP/1.1\r\n${block}`, first).fields, first.fields, 'another method');
  assert.notEqual(request('POST /2 HTTP/1.1\r\nHost: b.example.test\r\n\r\n', first).host, first.host);
  // What was checked for an absolute-form says nothing about the same lines under another target, and the other way round.
  const absolute = request(`GET http://a.example.test/ HTTP/1.1\r\nHost: a.example.test\r\n\r\n`);
  assert.equal(request('GET /x HTTP/1.1\r\nHost: a.example.test\r\n\r\n', absolute).isOriginForm, true);
  assert.ok(isBad(parseRequestHead('GET http://b.example.test/ HTTP/1.1\r\nHost: a.example.test\r\n\r\n', 200, request('GET / HTTP/1.1\r\nHost: a.example.test\r\n\r\n'))));
  assert.ok(isBad(parseRequestHead('CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n', 200, request('GET / HTTP/1.1\r\nHost: a\r\n\r\n'))));
  assert.ok(isBad(parseRequestHead('POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n', 200, request('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'))), 'another version');
});

test('an answer like the one before keeps its meaning only for the same kind of request', () => {
  const text = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n';
  const get = parseResponseHead(text, 'GET') as ResponseHead;
  assert.equal(parseResponseHead(text, 'GET', 200, get), get);
  assert.equal((parseResponseHead(text, 'HEAD', 200, get) as ResponseHead).framing, 'none');
  const head = parseResponseHead(text, 'HEAD') as ResponseHead;
  assert.equal((parseResponseHead(text, 'GET', 200, head) as ResponseHead).framing, 'length');
  assert.equal((parseResponseHead(text.replace('200', '204'), 'GET', 200, get) as ResponseHead).framing, 'none');
});

test('names that mean something are known in every spelling', () => {
  const head = request('GET / HTTP/1.1\r\nHOST: a\r\nX_Forwarded_For: 1\r\nx-forwarded-proto: 2\r\nX-Real_IP: 3\r\nforwarded: 4\r\nPostern_Token: 5\r\npostern-token: 6\r\nX-Postern-A: 7\r\nTE: trailers\r\nKeep-Alive: 1\r\nProxy-Connection: a\r\nTrue_Client-IP: 8\r\nClient-IP: 9\r\nX_Forwarded: 10\r\nForwarded-For: 11\r\nWL-Proxy-Client-IP: 12\r\nProxy_Client_IP: 13\r\nX-Remote-Addr: 14\r\nX-Originating-IP: 15\r\n\r\n');
  const drop: HeadEdit<null> = { drop: is.hop | is.forwarded | is.ours, ask: 0 };
  assert.equal(encodeFields(head.fields, drop, null), 'HOST: a\r\n');
});

test('what goes on is canonical: one space after the colon, none around, in the order of arrival', () => {
  const head = request('GET / HTTP/1.1\r\nHost:a\r\nX-A: \t b c\t \r\nConnection: x-c, keep-alive\r\nX-C: gone\r\nX-D: d\r\n\r\n');
  assert.equal(encodeFields(head.fields, { drop: is.hop, ask: 0 }, null), 'Host: a\r\nX-A: b c\r\nX-D: d\r\n');
});

test('an edit changes, drops and keeps what it is asked about', () => {
  const head = request('GET / HTTP/1.1\r\nHost: a\r\nCookie: 1\r\nOrigin: o\r\nReferer: r\r\nX: y\r\n\r\n');
  const edit: HeadEdit<string> = { drop: is.host, ask: is.cookie | is.origin | is.referer, value: (name, value, context) => (name === 'cookie' ? null : name === 'origin' ? `${context}${value}` : value) };
  assert.equal(encodeFields(head.fields, edit, 'new-'), 'Origin: new-o\r\nReferer: r\r\nX: y\r\n');
  assert.equal(encodeFields(head.fields, edit, 'other-'), 'Origin: other-o\r\nReferer: r\r\nX: y\r\n', 'what was kept for one context is not used for another');
  assert.equal(encodeFields(head.fields, { ...edit, drop: 0 }, 'other-'), 'Host: a\r\nOrigin: other-o\r\nReferer: r\r\nX: y\r\n', 'nor for another edit');
});

test('the mended lines of an answer are what goes on', () => {
  const head = parseResponseHead('HTTP/1.1 200 OK\nX-A : b\n c\nContent-Length: 2\nContent-Length: 2\n\n', 'GET') as ResponseHead;
  assert.equal(encodeFields(head.fields, { drop: 0, ask: 0 }, null), 'X-A: b c\r\nContent-Length: 2\r\n');
});

test('names and ports of authorities', () => {
  assert.equal(hostNameOf('A.Example.test.:8443'), 'a.example.test');
  assert.equal(hostNameOf('[::1]:80'), '[::1]');
  assert.equal(hostNameOf('a b'), undefined);
  assert.equal(hostNameOf(''), undefined);
  assert.equal(portOf('a:81'), 81);
  assert.equal(portOf('[2001:db8::1]'), undefined);
  assert.equal(portOf('[2001:db8::1]:443'), 443);
});

test('a head of any length costs linear time', () => {
  // Counted, not timed: how much of the buffer each look reads again.
  const head = Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(16_000)}\r\n\r\n`);
  let reads = 0;
  let searched = 0;
  for (let have = 1; have <= head.length; have++) {
    const bytes = head.subarray(0, have);
    const counting = new Proxy(bytes, {
      get(target, name) {
        if (name === 'indexOf') return (what: string | number, from: number, encoding?: BufferEncoding) => {
          reads += have - from;
          return target.indexOf(what as string, from, encoding ?? 'latin1');
        };
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value as (...given: unknown[]) => unknown).bind(target) : value;
      },
    });
    findHeadEnd(counting, 0, searched);
    searched = have;
  }
  assert.ok(reads < head.length * 12, `${reads} reads for ${head.length} bytes`);
});

test('a head read after another one on its connection is read as if it were the first', () => {
  const lines = ['Host: gw.example.test', 'Accept: text/html', 'accept-language:en;q=0.9', 'Cookie: a=1; b=2', 'X-Empty:', 'Referer: https://gw.example.test/', 'Connection: keep-alive', 'Content-Length: 3'];
  let seed = 7;
  const random = (n: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % n;
  let last: RequestHead | null = null;
  for (let round = 0; round < 3_000; round++) {
    const chosen = lines.filter(() => random(5) > 0).map((line) => (random(6) === 0 ? `${line}x`.replace('Content-Length: 3x', 'Content-Length: 4') : line));
    if (random(8) === 0) chosen.splice(random(chosen.length + 1), 0, ['Bad Name: 1', 'Transfer-Encoding: chunked', 'Host: other.example.test', 'X-Ctl: \x01', ' folded'][random(5)]!);
    const text = `POST /${round % 3} HTTP/1.1\r\n${chosen.map((line) => `${line}\r\n`).join('')}\r\n`;
    const alone = parseRequestHead(text);
    const after = parseRequestHead(text, 200, last);
    assert.deepEqual(after, alone, text);
    if (!isBad(after)) last = after;
  }
});
