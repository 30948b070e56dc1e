import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { buildMessageParser, encodeMessage } from './message.ts';

test('messages at every split point', () => {
  const wanted = [{ id: 1, do: 'hello', text: 'grüße' }, { id: 1, ok: {} }];
  const whole = Buffer.concat(wanted.map((message) => encodeMessage(message, 65_536)));
  for (let cut = 0; cut <= whole.length; cut++) {
    const got: unknown[] = [];
    const parser = buildMessageParser(65_536, (message) => void got.push(message));
    parser.push(whole.subarray(0, cut));
    parser.push(whole.subarray(cut));
    assert.deepEqual(got, wanted);
  }
});

test('what is refused', () => {
  const framed = (text: string) => Buffer.concat([Buffer.from([0, 0, 0, text.length]), Buffer.from(text)]);
  for (const bytes of [Buffer.alloc(4), Buffer.from([0, 1, 0, 1]), Buffer.from([255, 255, 255, 255]), framed('{'), framed('[]'), framed('7'), framed('null')]) {
    assert.throws(() => buildMessageParser(65_536, () => {}).push(bytes), (e) => e instanceof Fault && e.code === 'protocol');
  }
  assert.throws(() => encodeMessage({ text: 'x'.repeat(100) }, 50), (e) => e instanceof Fault && e.code === 'too-large');
});
