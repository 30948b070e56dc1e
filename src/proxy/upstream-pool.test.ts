import assert from 'node:assert/strict';
import { duplexPair, type Duplex } from 'node:stream';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { handClock } from '#kit/admin-room.ts';
import { buildSweep } from '#net/sweep.ts';
import { Upstream, type UpstreamSink } from './http1-upstream.ts';
import { buildUpstreamPool } from './upstream-pool.ts';

function build() {
  const clock = handClock();
  const sweep = buildSweep(clock);
  const pool = buildUpstreamPool(clock, sweep);
  const make = () => {
    const [near, far] = duplexPair();
    far.on('error', () => {});
    return { upstream: new Upstream(near, pool.onGone), far };
  };
  return { clock, sweep, pool, make, end: () => (pool.close(), sweep.stop(), assert.equal(clock.timers, 0)) };
}
const turn = () => new Promise((done) => setImmediate(() => setImmediate(done)));

test('the one used last comes first, under its own key only', () => {
  const { pool, make, end } = build();
  const [a, b, c] = [make().upstream, make().upstream, make().upstream];
  pool.give('x', a);
  pool.give('x', b);
  pool.give('y', c);
  assert.equal(pool.idle, 3);
  assert.equal(pool.take('x', 1_000), b);
  assert.equal(pool.take('x', 1_000), a);
  assert.equal(pool.take('x', 1_000), undefined);
  assert.equal(pool.idle, 1);
  end();
  assert.equal(pool.idle, 0);
  assert.equal(c.stream.destroyed, true);
  const late = make().upstream;
  pool.give('x', late);
  assert.equal(late.stream.destroyed, true, 'nothing is kept by a closed pool');
});

test('what waited too long is not taken, and closed in time', () => {
  const { clock, pool, make, end } = build();
  const { upstream } = make();
  pool.give('x', upstream);
  clock.advance(1_250);
  assert.equal(pool.take('x', 1_000), undefined);
  clock.advance(limits.upstreamIdleMs + 6_000);
  assert.equal(pool.idle, 0);
  assert.equal(upstream.stream.destroyed, true);
  end();
});

test('one that ends, breaks or says something unasked while it waits is gone', async () => {
  const { pool, make, end } = build();
  const all = [make(), make(), make()];
  for (const { upstream } of all) pool.give('x', upstream);
  all[0]!.far.end();
  all[1]!.far.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON');
  all[2]!.upstream.stream.destroy(new Error('broken'));
  await turn();
  assert.equal(pool.idle, 0);
  assert.equal(pool.take('x', 1_000), undefined);
  for (const { upstream } of all) assert.equal(upstream.stream.destroyed, true);
  end();
});

test('counts are bounded; what belongs to a visit goes with it', () => {
  const { pool, make, end } = build();
  const many = Array.from({ length: limits.upstreamIdlePerTargetMax + 1 }, () => make().upstream);
  for (const each of many) pool.give('visit 1 x', each);
  assert.equal(pool.idle, limits.upstreamIdlePerTargetMax);
  assert.equal(many.at(-1)!.stream.destroyed, true);
  const other = make().upstream;
  pool.give('visit 2 x', other);
  pool.drop((key) => key.startsWith('visit 1 '));
  assert.equal(pool.idle, 1);
  assert.equal(pool.take('visit 2 x', 1_000), other);
  end();
});

/** Everything that a sink is told, in order. */
function ask(far: Duplex, upstream: Upstream, answer: string, method = 'GET'): Promise<string[]> {
  return new Promise((done) => {
    const told: string[] = [];
    const end = (line: string) => (told.push(line), done(told));
    const sink: UpstreamSink = {
      onInterim: (head) => void told.push(`interim ${head.status}`),
      onAnswerHead: (head) => void told.push(`head ${head.status}`),
      onAnswerPiece: (piece) => void told.push(`piece ${piece.toString()}`),
      onAnswerEnd: (trailers) => end(`end ${trailers}`),
      onSwitched: (head, _stream, leftover) => end(`switched ${head.upgrade} ${leftover.toString()}`),
      onTurnEnd: () => {},
      onUpstreamDrain: () => {},
      onUpstreamFailed: (why, touched) => end(`failed ${why.code} ${touched}`),
    };
    upstream.begin(sink, method, 'GET / HTTP/1.1\r\n\r\n', true);
    if (answer === '') far.end();
    else far.write(answer);
  });
}

test('an answer is read to its end, at every cut, and says whether the connection may go on', async () => {
  const text = 'HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: u\r\n\r\n';
  const { make, end } = build();
  for (let cut = 1; cut < text.length; cut++) {
    const { upstream, far } = make();
    const told = ask(far, upstream, text.slice(0, cut));
    await turn();
    far.write(text.slice(cut));
    const joined = (await told).join('|').replace('piece h|piece i', 'piece hi');
    assert.equal(joined, 'interim 103|head 200|piece hi|end X-T: u\r\n', `cut at ${cut}`);
    assert.equal(upstream.isReusable, true);
    upstream.destroy();
  }
  const behind = make();
  assert.equal((await ask(behind.far, behind.upstream, 'HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\n\r\n')).join('|'), 'head 204|end ');
  assert.equal(behind.upstream.isReusable, false, 'bytes behind an answer are nobody\'s');
  const closing = make();
  await ask(closing.far, closing.upstream, 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  assert.equal(closing.upstream.isReusable, false);
  const silent = make();
  assert.deepEqual(await ask(silent.far, silent.upstream, ''), ['failed closed false']);
  const head = make();
  assert.equal((await ask(head.far, head.upstream, 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n', 'HEAD')).join('|'), 'head 200|end ');
  const switched = make();
  assert.deepEqual(await ask(switched.far, switched.upstream, 'HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: X\r\n\r\nleft'), ['switched x left']);
  end();
});
