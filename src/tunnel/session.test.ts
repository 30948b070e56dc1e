import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { Limits } from '#base/limits.ts';
import { AnswerCode, encodePreface, parsePrefaceAnswer } from '#wire/preface.ts';
import { buildFrameParser, encodeClose, encodeFrame, Opcode, parseClose } from '#wire/websocket.ts';
import { buildYamuxParser, Flag, FrameType, GoAway, writeYamuxHead, yamuxHeadBytes } from '#wire/yamux.ts';
import { buildEnd, testClock, until } from '../../test/sim/ends.ts';
import { buildLine, seeded } from '../../test/sim/line.ts';
import { buildBudget } from './budget.ts';
import { acceptStream, openStream } from './open.ts';
import type { MuxStream } from './stream.ts';

const quickLine = () => buildLine({ delayMs: 0, pieceBytesMax: 70_000, underWayBytesMax: 256 * 1024, random: seeded(7) });

function frame(type: number, flags: number, id: number, length: number, body: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(yamuxHeadBytes);
  writeYamuxHead(head, 0, type, flags, id, length);
  return Buffer.concat([head, body]);
}

interface Heard {
  type: number;
  flags: number;
  id: number;
  length: number;
}

/** An agent that sends whatever we like. */
function hostile(options: { limits?: Partial<Limits>; onStream?: (stream: MuxStream) => void } = {}) {
  const [near, far] = quickLine();
  const session = buildEnd('server', far, options);
  const heard: Heard[] = [];
  const bodies = new Map<number, Buffer>();
  const closes: { code: number; reason: string }[] = [];
  const pongs: string[] = [];
  let current = 0;
  const yamux = buildYamuxParser({
    onFrame(type, flags, id, length) {
      heard.push({ type, flags, id, length });
      current = id;
    },
    onBody: (bytes) => void bodies.set(current, Buffer.concat([bodies.get(current) ?? Buffer.alloc(0), bytes])),
  });
  const parser = buildFrameParser(
    { expectMask: false, frameBytesMax: 1 << 24 },
    {
      onData: (bytes) => yamux.push(bytes),
      onControl(opcode, payload) {
        if (opcode === Opcode.close) closes.push(parseClose(payload));
        else pongs.push(payload.toString());
      },
    },
  );
  near.on('data', (chunk: Buffer) => parser.push(chunk));
  near.on('error', () => {});
  return { session, near, heard, bodies, closes, pongs, send: (...frames: Buffer[]) => near.write(encodeFrame(Opcode.binary, Buffer.concat(frames), 0x11223344)) };
}

async function isRefused(peer: ReturnType<typeof hostile>, why: RegExp, closeCode = 1002): Promise<void> {
  const end = await peer.session.closed;
  assert.match(end.why, why);
  await until(() => peer.closes.length > 0, 'the close frame');
  assert.equal(peer.closes[0]!.code, closeCode);
  assert.ok(peer.heard.some(({ type, length }) => type === FrameType.goAway && length === GoAway.protocol));
}

describe('a hostile peer', () => {
  test('more than the window', async () => {
    const peer = hostile({ onStream: () => {} });
    peer.send(frame(0, Flag.syn, 1, 262_144, Buffer.alloc(262_144)));
    await until(() => peer.session.streams === 1, 'the stream');
    peer.send(frame(0, 0, 1, 1, Buffer.alloc(1)));
    await isRefused(peer, /window allows 0/);
    assert.equal(peer.session.streams, 0);
  });

  test('one byte more than the window in one frame is refused at its head', async () => {
    const peer = hostile({ onStream: () => {} });
    peer.send(frame(0, Flag.syn, 1, 262_145));
    await isRefused(peer, /262145 bytes of data where the window allows 262144/);
  });

  test('a single frame as large as the window is taken and credited', async () => {
    const body = Buffer.alloc(262_144, 'w');
    let got = 0;
    const peer = hostile({ onStream: (stream) => void stream.on('data', (chunk: Buffer) => (got += chunk.length)) });
    peer.send(frame(0, Flag.syn, 1, body.length, body));
    await until(() => got === body.length, 'the data');
    await until(() => peer.heard.filter(({ type, id }) => type === FrameType.windowUpdate && id === 1).reduce((sum, { length }) => sum + length, 0) >= 131_072, 'credit');
    peer.send(frame(0, 0, 1, 131_072, body.subarray(0, 131_072)));
    await until(() => got === 393_216, 'more data');
    peer.session.close('done');
  });

  test('an unknown type, version, id of the wrong parity, id never opened, id 0, id opened twice', async () => {
    for (const [bytes, why] of [
      [frame(9, 0, 1, 0), /type 9/],
      [Buffer.concat([Buffer.from([7]), frame(0, 0, 1, 0).subarray(1)]), /version 7/],
      [frame(0, Flag.syn, 2, 0), /an id of ours/],
      [frame(0, 0, 5, 0), /never opened/],
      [frame(1, 0, 4, 10), /never opened/],
      [frame(0, Flag.syn, 0, 0), /stream 0/],
      [Buffer.concat([frame(1, Flag.syn, 1, 0), frame(1, Flag.syn, 1, 0)]), /opened twice/],
      [Buffer.concat([frame(1, Flag.syn | Flag.fin, 1, 0), frame(0, 0, 1, 1, Buffer.alloc(1))]), /data after FIN/],
    ] as const) {
      const peer = hostile({ onStream: () => {} });
      peer.send(bytes);
      await isRefused(peer, why);
    }
  });

  test('text messages and broken WebSocket frames', async () => {
    const peer = hostile();
    peer.near.write(encodeFrame(Opcode.text, Buffer.from('hello'), 1));
    await isRefused(peer, /text messages/, 1003);
    const other = hostile();
    other.near.write(encodeFrame(Opcode.binary, Buffer.from('bare')));
    await isRefused(other, /not masked/);
  });

  test('a flood of streams: the surplus is reset, the rest lives', async () => {
    const peer = hostile({ onStream: () => {}, limits: { streamsUnansweredMax: 10 } });
    const ids = Array.from({ length: 50 }, (_, i) => i * 2 + 1);
    peer.send(...ids.map((id) => frame(0, Flag.syn, id, 3, Buffer.from('abc'))));
    await until(() => peer.heard.filter(({ flags }) => (flags & Flag.rst) !== 0).length === 40, 'forty resets');
    assert.equal(peer.session.streams, 10);
    peer.session.close('done');
  });

  test('a flood of pings from a peer that does not read ends the link, memory bounded', async () => {
    const peer = hostile();
    await until(() => peer.heard.length > 0, 'the first ping');
    peer.near.pause();
    const many = Buffer.concat(Array.from({ length: 2_000 }, (_, i) => frame(FrameType.ping, Flag.syn, 0, i)));
    const pump = setInterval(() => peer.near.writable && peer.send(many), 1);
    const end = await peer.session.closed;
    clearInterval(pump);
    assert.match(end.why, /faster than it reads/);
  });

  test('late frames for a stream that was reset are dropped', async () => {
    const peer = hostile({ onStream: (stream) => stream.destroy() });
    peer.send(frame(0, Flag.syn, 1, 3, Buffer.from('abc')));
    await until(() => peer.heard.some(({ flags }) => (flags & Flag.rst) !== 0), 'the reset');
    peer.send(frame(0, 0, 1, 3, Buffer.from('abc')), frame(1, 0, 1, 9), frame(1, Flag.fin, 1, 0), frame(FrameType.ping, Flag.syn, 0, 77));
    await until(() => peer.heard.some(({ type, flags, length }) => type === FrameType.ping && flags === Flag.ack && length === 77), 'the pong');
    peer.session.close('done');
  });

  test('an endless preface and one that does not come are answered and ended', async () => {
    const refused: unknown[] = [];
    const short: Limits = { ...limits, prefaceTimeoutMs: 50 };
    const peer = hostile({ onStream: (stream) => void acceptStream(stream, { clock: testClock, limits: short }).catch((thrown: unknown) => refused.push(thrown)) });
    peer.send(frame(0, Flag.syn, 1, 4, Buffer.from([0x50, 1, 0xff, 0xff])));
    peer.send(frame(0, Flag.syn, 3, 2, Buffer.from([0x50, 1])));
    await until(() => refused.length === 2 && peer.bodies.size === 2, 'both refusals');
    for (const id of [1, 3]) assert.equal(parsePrefaceAnswer(peer.bodies.get(id)!)?.answer.code, AnswerCode.badPreface);
    await until(() => peer.heard.some(({ id, flags }) => id === 3 && (flags & (Flag.fin | Flag.rst)) !== 0), 'its end');
    peer.session.close('done');
  });
});

describe('what the protocol promises', () => {
  test('pings of both layers are answered, and only the latest WebSocket ping', async () => {
    const peer = hostile();
    peer.near.write(Buffer.concat(['one', 'two', 'three'].map((text) => encodeFrame(Opcode.ping, Buffer.from(text), 9))));
    await until(() => peer.pongs.length > 0, 'the pong');
    assert.equal(peer.pongs.at(-1), 'three');
    peer.session.close('done');
  });

  test('a connection that is gone before the session starts is a session that ends', async () => {
    const [near] = quickLine();
    near.destroy();
    await once(near, 'close');
    assert.match((await buildEnd('client', near).closed).why, /closed by the other end/);
  });

  test('a close frame is answered and gives the reason', async () => {
    const peer = hostile();
    peer.near.write(encodeFrame(Opcode.close, encodeClose(1001, 'drain'), 9));
    assert.deepEqual(await peer.session.closed, { why: 'drain', code: 1001, byUs: false });
    await until(() => peer.closes.length === 1, 'the answer');
  });

  test('opening: SYN comes with the first bytes; FIN follows the last in a frame of its own', async () => {
    const peer = hostile();
    await until(() => peer.heard.length > 0, 'the ping');
    peer.heard.length = 0;
    const stream = peer.session.open(Buffer.from('hello'));
    stream.end();
    await until(() => peer.heard.length > 1, 'the frames');
    const frames = peer.heard.filter(({ id }) => id === 2);
    assert.deepEqual(frames, [
      { type: FrameType.data, flags: Flag.syn, id: 2, length: 5 },
      { type: FrameType.windowUpdate, flags: Flag.fin, id: 2, length: 0 },
    ]);
    peer.session.close('done');
  });

  test('the sender keeps to the window and frames to 16 KiB; an update with ACK enlarges it at once', async () => {
    const peer = hostile();
    const stream = peer.session.open(Buffer.alloc(0));
    stream.write(Buffer.alloc(600_000, 'd'));
    const sent = () => peer.bodies.get(2)?.length ?? 0;
    await until(() => sent() === 262_144, 'a whole window');
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(sent(), 262_144);
    assert.ok(peer.heard.every(({ length, type }) => type !== 0 || length <= 16_384));
    peer.send(frame(1, Flag.ack, 2, 100_000));
    await until(() => sent() === 362_144, 'the rest');
    peer.session.close('done');
  });

  test('at most 256 streams wait for an answer; one answer makes room', async () => {
    const peer = hostile();
    for (let i = 0; i < 256; i++) peer.session.open(Buffer.from('x'));
    assert.throws(() => peer.session.open(Buffer.from('x')), (e) => e instanceof Fault && e.code === 'too-many');
    await until(() => peer.heard.some(({ id }) => id === 512), 'all opened');
    peer.send(frame(1, Flag.ack, 2, 0));
    await until(() => {
      try {
        peer.session.open(Buffer.from('x'));
        return true;
      } catch {
        return false;
      }
    }, 'room');
    peer.session.close('done');
  });

  test('a silent peer is lost, one that only sends data is not', async () => {
    const [near, far] = quickLine();
    near.on('data', () => {});
    near.on('error', () => {});
    const session = buildEnd('server', far, { limits: { keepAliveEveryMs: 30, keepAliveLostMs: 120 } });
    const talk = setInterval(() => near.write(encodeFrame(Opcode.binary, frame(FrameType.ping, Flag.ack, 0, 999), 5)), 20);
    const early = await Promise.race([session.closed, new Promise((resolve) => setTimeout(resolve, 400, 'alive'))]);
    assert.equal(early, 'alive');
    clearInterval(talk);
    assert.match((await session.closed).why, /nothing arrived/);
  });

  test('a ping is not kept waiting by bulk data', async () => {
    const [near, far] = buildLine({ delayMs: 1, pieceBytesMax: 20_000, underWayBytesMax: 64 * 1024, random: seeded(3) });
    const client = buildEnd('client', near, { limits: { keepAliveEveryMs: 30 } });
    const server = buildEnd('server', far, { onStream: (stream) => stream.resume() });
    const stream = client.open(Buffer.alloc(0));
    const bulk = Buffer.alloc(65_536);
    const pump = () => {
      while (stream.writable && stream.write(bulk));
    };
    stream.on('drain', pump);
    pump();
    await until(() => client.rttMs !== null && server.bytesIn > 4_000_000, 'bulk and pongs');
    const before = server.bytesIn;
    await until(() => server.bytesIn > before + 2_000_000, 'more');
    client.close('done');
    await server.closed;
  });

  test('windows grow with the rate and not beyond their limit, and not over half of the budget', async () => {
    const grown = async (budgetBytes: number, bytes: number) => {
      const [near, far] = buildLine({ delayMs: 15, pieceBytesMax: 70_000, underWayBytesMax: 8_000_000, random: seeded(5) });
      let received: MuxStream | undefined;
      const budget = buildBudget(budgetBytes, () => {});
      const held = { heldBytes: 300_000, movedAtMs: 0, giveUp() {} };
      budget.join(held);
      budget.changed(held.heldBytes);
      const server = buildEnd('server', far, { budget, limits: { windowBytesMax: 1_000_000 }, onStream: (stream) => void (received = stream).resume() });
      const client = buildEnd('client', near);
      const stream = client.open(Buffer.from('x'));
      stream.end(Buffer.alloc(bytes));
      await once(stream, 'finish');
      await until(() => received?.bytesRead === bytes + 1, 'all of it');
      client.close('done');
      await server.closed;
      return received!.windowBytes;
    };
    assert.equal(await grown(100_000_000, 6_000_000), 1_000_000);
    assert.equal(await grown(600_000, 1_500_000), 262_144);
  });

  test('streams take turns: a small one is not kept waiting by large ones', async () => {
    const [near, far] = buildLine({ delayMs: 0, pieceBytesMax: 16_000, underWayBytesMax: 64 * 1024, random: seeded(11) });
    const finished: number[] = [];
    buildEnd('server', far, {
      onStream: (stream) => {
        stream.resume();
        stream.on('end', () => finished.push(stream.id));
      },
    });
    const client = buildEnd('client', near);
    for (let i = 0; i < 4; i++) client.open(Buffer.from('big')).end(Buffer.alloc(2_000_000));
    const small = client.open(Buffer.from('small'));
    small.end(Buffer.alloc(40_000));
    await until(() => finished.length === 5, 'all');
    assert.equal(finished[0], small.id);
    client.close('done');
  });

  test('a slow reader holds its window and no more, and holds nobody else', async () => {
    const [near, far] = quickLine();
    const streams: MuxStream[] = [];
    const server = buildEnd('server', far, { onStream: (stream) => void streams.push(stream) });
    const client = buildEnd('client', near);
    const slow = client.open(Buffer.from('s'));
    slow.write(Buffer.alloc(3_000_000));
    const other = client.open(Buffer.from('o'));
    other.end(Buffer.alloc(3_000_000));
    await until(() => streams.length === 2, 'both');
    let got = 0;
    streams[1]!.on('data', (chunk: Buffer) => (got += chunk.length));
    await until(() => got === 3_000_001, 'the other one');
    assert.equal(streams[0]!.readableLength, 262_144);
    assert.equal(streams[0]!.heldBytes, 262_144);
    client.close('done');
    await server.closed;
  });

  test('reading in any manner returns credit: read(), iteration, pipe', async () => {
    const ways: ((stream: MuxStream) => Promise<number>)[] = [
      async (stream) => {
        let got = 0;
        for await (const chunk of stream as AsyncIterable<Buffer>) got += chunk.length;
        return got;
      },
      async (stream) => {
        let got = 0;
        stream.on('readable', () => {
          for (let chunk = stream.read() as Buffer | null; chunk !== null; chunk = stream.read() as Buffer | null) got += chunk.length;
        });
        await once(stream, 'end');
        return got;
      },
      async (stream) => {
        let got = 0;
        stream.on('readable', () => {
          for (let chunk = stream.read(1_000) as Buffer | null; chunk !== null; chunk = stream.read(1_000) as Buffer | null) got += chunk.length;
        });
        await once(stream, 'end');
        return got;
      },
    ];
    for (const way of ways) {
      const [near, far] = quickLine();
      const taken = Promise.withResolvers<number>();
      buildEnd('server', far, { onStream: (stream) => void way(stream).then(taken.resolve, taken.reject) });
      const client = buildEnd('client', near);
      client.open(Buffer.from('x')).end(Buffer.alloc(1_500_000));
      assert.equal(await taken.promise, 1_500_001);
      client.close('done');
    }
  });

  test('a session that ends ends its streams with the reason; nothing is held', async () => {
    const [near, far] = quickLine();
    const budget = buildBudget(100_000_000, () => {});
    const server = buildEnd('server', far, { onStream: () => {}, budget });
    const client = buildEnd('client', near, { budget });
    const stream = client.open(Buffer.alloc(400_000));
    await until(() => server.streams === 1, 'the stream');
    const broken = once(stream, 'error');
    server.close('replaced', 4001);
    assert.deepEqual(await client.closed, { why: 'replaced', code: 4001, byUs: false });
    const [error] = (await broken) as [Fault];
    assert.ok(error.code === 'closed' && /replaced/.test(error.message));
    assert.throws(() => client.open(Buffer.from('x')), /closed/);
    await until(() => budget.heldBytes === 0, 'nothing held');
  });

  test('go away: standing streams finish, new ones are refused at both ends', async () => {
    const [near, far] = quickLine();
    const server = buildEnd('server', far);
    const client = buildEnd('client', near);
    const stream = client.open(Buffer.from('a'));
    await once(stream, 'data');
    server.goAway();
    await until(() => !client.isOpen, 'the news');
    assert.throws(() => client.open(Buffer.from('b')), /no new streams/);
    stream.end('b');
    const [last] = (await once(stream, 'data')) as [Buffer];
    assert.equal(last.toString(), 'b');
    client.close('done');
  });
});

describe('prefaces over a stream', () => {
  const pair = (onOffered: (offered: Awaited<ReturnType<typeof acceptStream>>, stream: MuxStream) => void) => {
    const [near, far] = quickLine();
    buildEnd('server', far, { onStream: (stream) => void acceptStream(stream, { clock: testClock, limits }).then((offered) => onOffered(offered, stream), () => {}) });
    return buildEnd('client', near);
  };
  const by = { clock: testClock, timeoutMs: 5_000 };

  test('accepted: what follows the answer is the stream, both ways', async () => {
    const client = pair((offered, stream) => {
      offered.accept();
      stream.write(`to ${offered.preface.target} `);
      stream.pipe(stream);
    });
    const stream: Duplex = await openStream(client, { kind: 'tcp', target: '192.0.2.1:80', client: '198.51.100.1' }, by);
    stream.end('echo');
    let text = '';
    for await (const chunk of stream as AsyncIterable<Buffer>) text += chunk.toString();
    assert.equal(text, 'to 192.0.2.1:80 echo');
    client.close('done');
  });

  test('refused: the code becomes a Fault, the streams are gone', async () => {
    const client = pair((offered) => offered.refuse({ code: AnswerCode.policy, text: 'add: reach tcp 192.0.2.1 80' }));
    await assert.rejects(openStream(client, { kind: 'tcp', target: '192.0.2.1:80' }, by), (e) => e instanceof Fault && e.code === 'forbidden' && e.message === 'add: reach tcp 192.0.2.1 80');
    await until(() => client.streams === 0, 'gone');
    client.close('done');
  });

  test('no answer in time, a given-up dial, a link that breaks', async () => {
    const client = pair(() => {});
    await assert.rejects(openStream(client, { kind: 'tcp', target: 'a:1' }, { ...by, timeoutMs: 30 }), (e) => e instanceof Fault && e.code === 'timeout');
    const given = new AbortController();
    const dial = openStream(client, { kind: 'tcp', target: 'a:1' }, { ...by, signal: given.signal });
    given.abort();
    await assert.rejects(dial, (e) => e instanceof Fault && e.code === 'closed');
    const other = openStream(client, { kind: 'tcp', target: 'a:1' }, by);
    client.close('replaced');
    await assert.rejects(other, (e) => e instanceof Fault && e.code === 'closed' && /replaced/.test(e.message));
  });

  test('data may follow the preface at once', async () => {
    let got = '';
    const client = pair((offered, stream) => {
      offered.accept();
      stream.on('data', (chunk: Buffer) => (got += chunk.toString()));
    });
    client.open(Buffer.concat([encodePreface({ kind: 'tcp', target: 'a:1' }), Buffer.from('early')])).write(' and late');
    await until(() => got === 'early and late', 'the data');
    client.close('done');
  });
});
