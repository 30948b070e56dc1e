import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { seeded } from '../../test/sim/line.ts';
import {
  acceptKeyOf,
  buildFrameParser,
  checkUpgradeAnswer,
  checkUpgradeRequest,
  CloseCode,
  closeCodeOf,
  encodeClose,
  encodeFrame,
  encodeUpgradeAnswer,
  encodeUpgradeRequest,
  frameHeadBytesMax,
  Opcode,
  parseAnswerHead,
  parseClose,
  writeFrameHead,
} from './websocket.ts';

interface Heard {
  data: Buffer[];
  messages: { text: boolean; body: Buffer }[];
  control: { opcode: number; payload: string }[];
}

function listen(expectMask: boolean, frameBytesMax = 1 << 24) {
  const heard: Heard = { data: [], messages: [], control: [] };
  let parts: Buffer[] = [];
  const parser = buildFrameParser(
    { expectMask, frameBytesMax },
    {
      onData(bytes, isText, last) {
        heard.data.push(bytes);
        parts.push(Buffer.from(bytes));
        if (!last) return;
        heard.messages.push({ text: isText, body: Buffer.concat(parts) });
        parts = [];
      },
      onControl: (opcode, payload) => void heard.control.push({ opcode, payload: payload.toString() }),
    },
  );
  return { parser, heard };
}

const frame = (first: number, payload: Buffer, mask?: number) => {
  const whole = encodeFrame(first & 0x0f, payload, mask);
  whole[0] = first;
  return whole;
};

describe('frames', () => {
  // RFC 6455 §5.7.
  test('the examples of the standard', () => {
    const server = listen(true);
    server.parser.push(Buffer.from('818537fa213d7f9f4d5158', 'hex'));
    server.parser.push(Buffer.from('8a8537fa213d7f9f4d5158', 'hex'));
    assert.deepEqual(server.heard.messages, [{ text: true, body: Buffer.from('Hello') }]);
    assert.deepEqual(server.heard.control, [{ opcode: 10, payload: 'Hello' }]);
    const client = listen(false);
    client.parser.push(Buffer.from('010348656c80026c6f890548656c6c6f', 'hex'));
    assert.deepEqual(client.heard.messages, [{ text: true, body: Buffer.from('Hello') }]);
    assert.equal(encodeFrame(Opcode.text, Buffer.from('Hello'), 0x37fa213d).toString('hex'), '818537fa213d7f9f4d5158');
  });

  for (const mask of [undefined, 0, 0x01020304, 0xfffefdfc]) {
    test(`every split point, mask ${mask}`, () => {
      const long = Buffer.alloc(300, 'x');
      const whole = Buffer.concat([
        frame(0x02, Buffer.from('abcdefg'), mask),
        frame(0x89, Buffer.from('ping!'), mask),
        frame(0x00, Buffer.alloc(0), mask),
        frame(0x80, long, mask),
        frame(0x82, Buffer.alloc(0), mask),
        frame(0x8a, Buffer.alloc(0), mask),
        frame(0x88, encodeClose(1000, 'bye'), mask),
      ]);
      for (let cut = 0; cut <= whole.length; cut++) {
        const { parser, heard } = listen(mask !== undefined);
        const bytes = Buffer.from(whole);
        parser.push(bytes.subarray(0, cut));
        parser.push(bytes.subarray(cut));
        assert.deepEqual(heard.messages, [
          { text: false, body: Buffer.concat([Buffer.from('abcdefg'), long]) },
          { text: false, body: Buffer.alloc(0) },
        ]);
        assert.deepEqual(heard.control.map((c) => c.opcode), [9, 10, 8]);
        assert.equal(heard.control[0]!.payload, 'ping!');
      }
      const { parser, heard } = listen(mask !== undefined);
      for (const byte of whole) parser.push(Buffer.from([byte]));
      assert.equal(heard.messages.length, 2);
    });
  }

  test('payload is a view of what was pushed: no copy without a mask', () => {
    for (const mask of [undefined, 0]) {
      const { parser, heard } = listen(mask !== undefined);
      const bytes = encodeFrame(Opcode.binary, Buffer.alloc(70_000, 7), mask);
      parser.push(bytes.subarray(0, 40_000));
      assert.equal(heard.data.length, 1, 'handed on before the frame is whole');
      assert.equal(heard.data[0]!.buffer, bytes.buffer);
    }
  });

  test('a 64-bit length', () => {
    const bytes = Buffer.alloc(frameHeadBytesMax);
    const start = writeFrameHead(bytes, frameHeadBytesMax, Opcode.binary, 0x1_2345_6789, 0);
    assert.equal(bytes.subarray(start).toString('hex'), '82ff000000012345678900000000');
  });

  test('what the standard forbids', () => {
    const masked = (first: number, body = 'x') => frame(first, Buffer.from(body), 5);
    const bad: [string, Buffer, number][] = [
      ['a reserved bit', masked(0xc2), CloseCode.protocol],
      ['a reserved opcode', masked(0x83), CloseCode.protocol],
      ['a reserved control opcode', masked(0x8b), CloseCode.protocol],
      ['a fragmented ping', masked(0x09), CloseCode.protocol],
      ['a long ping', masked(0x89, 'x'.repeat(126)), CloseCode.protocol],
      ['a continuation of nothing', masked(0x80), CloseCode.protocol],
      ['a message in a message', Buffer.concat([masked(0x02), masked(0x82)]), CloseCode.protocol],
      ['no mask', frame(0x82, Buffer.from('x')), CloseCode.protocol],
      ['a length not in its shortest form', Buffer.from('82fe000100000000aa', 'hex'), CloseCode.protocol],
      ['a 64-bit length not in its shortest form', Buffer.from('82ff000000000000000100000000aa', 'hex'), CloseCode.protocol],
      ['a close of one byte', masked(0x88), CloseCode.protocol],
      ['too long', masked(0x82, 'x'.repeat(2000)), CloseCode.tooBig],
    ];
    for (const [name, bytes, code] of bad) {
      for (const step of [1, bytes.length]) {
        const { parser } = listen(true, 1024);
        assert.throws(
          () => {
            for (let at = 0; at < bytes.length; at += step) parser.push(Buffer.from(bytes.subarray(at, at + step)));
          },
          (error) => error instanceof Fault && error.code === 'protocol' && closeCodeOf(error) === code,
          name,
        );
      }
    }
    assert.throws(() => listen(false).parser.push(masked(0x82)), /masked/);
  });

  test('nothing counts behind a close frame', () => {
    const { parser, heard } = listen(false);
    parser.push(Buffer.concat([frame(0x88, encodeClose(1001, '')), Buffer.from('garbage that is no frame')]));
    assert.equal(heard.control.length, 1);
  });

  test('any bytes: a Fault or silence, and the same whatever the cuts', () => {
    const random = seeded(20);
    for (let round = 0; round < 3_000; round++) {
      const bytes = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 60) }, () => Math.floor(random() * 256)));
      if (random() < 0.7) bytes[0] = [0x82, 0x02, 0x80, 0x89, 0x88][Math.floor(random() * 5)]!;
      const run = (step: () => number) => {
        const { parser, heard } = listen(random() < 2, 4096);
        let failed = '';
        try {
          for (let at = 0; at < bytes.length; ) {
            const next = at + step();
            parser.push(Buffer.from(bytes.subarray(at, next)));
            at = next;
          }
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          failed = error.message;
        }
        return { messages: heard.messages, control: heard.control, failed };
      };
      assert.deepEqual(run(() => 1 + Math.floor(random() * 9)), run(() => 100));
    }
  });

  test('a close reason is cut at a character', () => {
    const { code, reason } = parseClose(encodeClose(1011, 'ä'.repeat(100)));
    assert.equal(code, 1011);
    assert.equal(reason, 'ä'.repeat(61));
    assert.equal(parseClose(Buffer.alloc(0)).code, 1005);
  });
});

describe('handshake', () => {
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  const fields = (pairs: Record<string, string>) => ({ names: Object.keys(pairs), values: Object.values(pairs) });
  const good = { host: 'gw.example.test', upgrade: 'WebSocket', connection: 'keep-alive, Upgrade', 'sec-websocket-version': '13', 'sec-websocket-key': key, 'sec-websocket-protocol': 'other, p.1' };

  test('the accept key of the standard', () => assert.equal(acceptKeyOf(key), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='));

  test('a request is judged', () => {
    const check = (change: Partial<typeof good>, method = 'GET') => checkUpgradeRequest({ method, minorVersion: 1, fields: fields({ ...good, ...change }) }, 'p.1');
    assert.equal(check({}), key);
    assert.throws(() => check({}, 'POST'), (e) => e instanceof Fault && e.code === 'bad-input');
    assert.throws(() => check({ upgrade: 'h2c' }), (e) => e instanceof Fault && e.code === 'bad-input');
    assert.throws(() => check({ connection: 'close' }), (e) => e instanceof Fault && e.code === 'bad-input');
    assert.throws(() => check({ 'sec-websocket-key': 'short' }), (e) => e instanceof Fault && e.code === 'bad-input');
    assert.throws(() => check({ 'sec-websocket-version': '8' }), (e) => e instanceof Fault && e.code === 'unsupported');
    assert.throws(() => check({ 'sec-websocket-protocol': 'p.2' }), (e) => e instanceof Fault && e.code === 'unsupported');
  });

  test('an answer is checked, at every split point', () => {
    const answer = encodeUpgradeAnswer(key, 'p.1', [['Postern-Link', 'abc']]);
    for (let cut = 0; cut < answer.length; cut++) assert.equal(parseAnswerHead(answer.subarray(0, cut), 4096), undefined);
    const head = parseAnswerHead(Buffer.concat([answer, Buffer.from('rest')]), 4096)!;
    assert.equal(head.bytes, answer.length);
    assert.equal(head.fields.get('postern-link'), 'abc');
    checkUpgradeAnswer(head, key, 'p.1');
    assert.throws(() => checkUpgradeAnswer(head, 'AAAAAAAAAAAAAAAAAAAAAA==', 'p.1'), /our key/);
    assert.throws(() => checkUpgradeAnswer(head, key, 'p.2'), /p\.2/);
    assert.throws(() => parseAnswerHead(Buffer.alloc(5000, 'x'), 4096), /longer/);
    assert.throws(() => parseAnswerHead(Buffer.from('SSH-2.0-x\r\n\r\n'), 4096), /HTTP/);
    assert.throws(() => parseAnswerHead(Buffer.from('HTTP/1.1 101 x\r\nbad header: 1\r\n\r\n'), 4096), /malformed/);
  });

  test('header injection is refused', () => {
    assert.throws(() => encodeUpgradeRequest({ path: '/', host: 'h', key, protocol: 'p', fields: [['X', 'a\r\nY: b']] }), /cannot stand/);
  });
});
