import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { sniffH323 } from './h323.ts';
import { sniffRdp } from './rdp.ts';
import { sniffSsh } from './ssh.ts';
import { sniffClientHello } from './tls.ts';

const text = readFileSync(new URL('../../test/corpus/ssh.md', import.meta.url), 'utf8');
const samples = text
  .split(/^## /m)
  .slice(1)
  .map((section) => ({
    title: section.slice(0, section.indexOf('\n')),
    bytes: Buffer.from(/```hex\n(.*?)```/s.exec(section)![1]!.replace(/\s/g, ''), 'hex'),
    expected: { kind: 'ssh', ...(JSON.parse(/```json\n(.*?)```/s.exec(section)![1]!) as object) },
  }));

for (const { title, bytes, expected } of samples) {
  test(`corpus: ${title}`, () => {
    const length = bytes.indexOf('\n') + 1;
    assert.deepEqual(sniffSsh(bytes), expected);
    for (let end = 0; end < length; end++) assert.deepEqual(sniffSsh(bytes.subarray(0, end)), { kind: 'more' }, `the first ${end} bytes`);
    for (const garbage of ['\0\0\0', 'SSH-1.5-x\r\n', '\r\n', '\xff']) assert.deepEqual(sniffSsh(Buffer.concat([bytes, Buffer.from(garbage, 'latin1')])), expected);
    for (let end = 1; end <= bytes.length; end++) {
      for (const sniff of [sniffH323, sniffRdp, sniffClientHello]) assert.equal(sniff(bytes.subarray(0, end)).kind, 'no');
    }
  });
}

const sniff = (value: string) => sniffSsh(Buffer.from(value, 'latin1'));
const why = (value: string) => {
  const sniffed = sniff(value);
  return sniffed.kind === 'malformed' ? sniffed.why : JSON.stringify(sniffed);
};

test('what is not SSH', () => {
  for (const value of ['ssh-2.0-x\r\n', 'SSHX', 'SS ', '\r\nSSH-', 'GET', '\x16']) assert.equal(sniff(value).kind, 'no', value);
});

test('the line is read strictly', () => {
  for (const value of ['SSH-1.5-old\r\n', 'SSH-2.0-\r\n', 'SSH-2.0\r\n', 'SSH-2.0- comment\r\n', 'SSH-3.0-x\r\n', 'SSH-\n']) assert.match(why(value), /another version, or without a software/, value);
  for (const value of ['SSH-2.0-a\tb\r\n', 'SSH-2.0-a\rb', 'SSH-2.0-a\0', 'SSH-2.0-\xfc', 'SSH-2.0-a\r\r\n']) assert.match(why(value), /other characters/, JSON.stringify(value));
  assert.deepEqual(sniff('SSH-2.0-a comment with spaces \r\n'), { kind: 'ssh', software: 'a' });
});

test('255 bytes with CR LF', () => {
  const filled = (bytes: number) => `SSH-2.0-${'x'.repeat(bytes - 10)}\r\n`;
  assert.equal(sniff(filled(255)).kind, 'ssh');
  assert.match(why(filled(256)), /more than 255 bytes/);
  assert.equal(sniff(filled(256).slice(0, 254)).kind, 'more');
  assert.match(why(filled(256).slice(0, 255)), /more than 255 bytes/);
});
