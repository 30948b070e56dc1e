import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { configSchema, type ConfigParser } from '../config.ts';
import { compileParser } from './compile.ts';
import { splitCsv } from './csv.ts';
import type { FieldType, FieldValue, RecordParser } from './fields.ts';
import { presetNames, type PresetName } from './preset-names.ts';
import { readValue } from './values.ts';
import { attributesOf } from './xml-attributes.ts';

const fields = (parser: RecordParser, text: string) => parser.parse(text)!.fields;
const value = (type: FieldType, text: string, format: string | null = null, zone: string | null = null): FieldValue => readValue({ name: 'x', type, format, zone }, text).value;

interface Sample {
  readonly preset: PresetName;
  readonly zone: string | undefined;
  readonly line: string;
  readonly expected: Readonly<Record<string, FieldValue>> | null;
}

function samples(): Sample[] {
  const paper = readFileSync(join(import.meta.dirname, '../../../test/corpus/cdr.md'), 'utf8');
  return paper.split(/^## /m).slice(1).flatMap((section) => {
    const preset = section.slice(0, section.indexOf('\n')) as PresetName;
    return [...section.matchAll(/(?:Zone: (\S+)\n\n)?```text\n(.*)\n```\n\n```json\n(.*)\n```/g)].map(([, zone, line, json]) => ({ preset, zone, line: line!, expected: JSON.parse(json!) as Sample['expected'] }));
  });
}

const parserOf = ({ preset, zone }: Pick<Sample, 'preset' | 'zone'>) => compileParser({ kind: 'preset', preset, ...(zone === undefined ? {} : { zone }) });

test('call records of each system, as the corpus has them', () => {
  const all = samples();
  assert.deepEqual([...new Set(all.map(({ preset }) => preset))].sort(), [...presetNames].sort(), 'one of each');
  for (const { preset, zone, line, expected } of all) {
    const parsed = parserOf({ preset, zone }).parse(line);
    if (expected === null) assert.equal(parsed, null, line);
    else {
      assert.equal(parsed?.error, null, line);
      for (const [name, wanted] of Object.entries(expected)) assert.deepEqual([preset, name, parsed?.fields?.[name]], [preset, name, wanted]);
    }
  }
});

test('whatever the line: never thrown at, the same again the same, and columns only of those that are named', () => {
  let seed = 20_261_120;
  const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) % below;
  for (const sample of samples()) {
    const parser = parserOf(sample);
    const names = parser.columns!.map(({ name }) => name);
    const look = (text: string) => {
      const parsed = parser.parse(text);
      assert.deepEqual(parser.parse(text), parsed);
      if (!parsed) return;
      assert.ok(parsed.fields !== null || parsed.error !== null, 'no fields without a reason');
      if (parsed.fields) assert.deepEqual(Object.keys(parsed.fields), names);
      JSON.stringify(parsed);
    };
    for (let end = 0; end <= sample.line.length; end += 1) look(sample.line.slice(0, end));
    for (let round = 0; round < 60; round += 1) {
      const bytes = Buffer.from(sample.line);
      for (let flips = 0; flips <= random(4); flips += 1) bytes[random(bytes.length)]! ^= 1 << random(8);
      look(bytes.toString('latin1'));
    }
  }
});

test('separated values: quotes, doubled quotes, other delimiters', () => {
  assert.deepEqual(splitCsv('a,"b ""c"", d",,e', ',', '"'), ['a', 'b "c", d', '', 'e']);
  assert.deepEqual(splitCsv("1;'x;y';", ';', "'"), ['1', 'x;y', '']);
  assert.deepEqual(splitCsv('', ',', '"'), ['']);
  assert.equal(splitCsv('a,"b', ',', '"'), null);
  assert.equal(splitCsv('"a"b,c', ',', '"'), null);
  assert.deepEqual(splitCsv('a"b,c', ',', '"'), ['a"b', 'c'], 'a quote inside is a character');
});

test('fixed columns, groups of a pattern, JSON by paths', () => {
  const fixed = compileParser({ kind: 'columns', columns: [{ name: 'ext', start: 1, length: 4 }, { name: 'seconds', start: 6, length: 5, type: 'integer' }, { name: 'far', start: 40, length: 3 }], skip: '^---' });
  assert.deepEqual(fields(fixed, '101  00065 rest'), { ext: '101', seconds: 65, far: null });
  assert.equal(fixed.parse('--- page 2'), null);
  assert.match(fixed.parse('101  x9')!.error!, /seconds: "x9" is no integer/);
  const regex = compileParser({ kind: 'regex', pattern: '(?P<user>\\w+)=(?P<count>\\d+)', columns: [{ name: 'count', type: 'integer' }] });
  assert.deepEqual(fields(regex, 'ann=12'), { user: 'ann', count: 12 });
  assert.deepEqual(regex.parse('nothing'), { fields: null, key: null, error: 'the pattern does not find anything in it' });
  const json = compileParser({ kind: 'json', columns: ['id', { name: 'first', path: 'calls.0.to' }, { name: 'at', path: 'meta.at', type: 'time', format: 'unix' }], key: ['id'] });
  assert.deepEqual(json.parse('{"id":7,"calls":[{"to":"100"}],"meta":{"at":1795167468}}'), { fields: { id: '7', first: '100', at: new Date(1_795_167_468_000).toISOString() }, key: '["7"]', error: null });
  assert.deepEqual(fields(json, '{}'), { id: null, first: null, at: null });
  assert.match(json.parse('{')!.error!, /no JSON/);
  assert.equal(json.parse('[1]')!.error, 'it is JSON, but no object');
  assert.deepEqual(fields(json, '{"id":{"a":1},"constructor":1}'), { id: '{"a":1}', first: null, at: null }, 'what an object inherits is none of its fields');
  const free = compileParser({ kind: 'json' });
  assert.deepEqual([free.columns, fields(free, '{"a":1,"b":[2],"c":"x","d":null}')], [null, { a: 1, b: '[2]', c: 'x', d: null }]);
  const hostile = compileParser({ kind: 'csv', delimiter: ',', quote: '"', columns: ['__proto__', 'x'] });
  assert.deepEqual(Object.entries(fields(hostile, '1,2')!), [['__proto__', '1'], ['x', '2']]);
});

test('types: what does not fit is said', () => {
  assert.deepEqual(['7', '-7', '+7', '12345678901234567890', '7.5', '0x7', ''].map((text) => value('integer', text)), [7, -7, 7, '12345678901234567890', null, null, null]);
  assert.deepEqual(['1.50', '1,5', '.5', '5.', '1e3', '1,2,3'].map((text) => value('decimal', text)), ['1.50', '1.5', '0.5', '5', null, null]);
  assert.deepEqual([value('duration', '00:01:05', 'h:m:s'), value('duration', '1:05', 'h:m:s'), value('duration', "00:01'05", "h:m's"), value('duration', '65'), value('duration', '65000', 'ms'), value('duration', '1.5', 'minutes'), value('duration', '10105', 'hmmss'), value('duration', '0013', 'hmmt'), value('duration', '1:65', 'h:m:s')], [65, 65, 65, 65, 65, 90, 3_665, 78, null]);
  assert.equal(value('time', '2026-11-20T09:37:48+01:00'), '2026-11-20T08:37:48.000Z');
  assert.equal(value('time', '2026-11-20 09:37'), '2026-11-20T09:37:00.000Z');
  assert.equal(value('time', '112026 0937', '%m%d%y %H%M', 'Europe/London'), '2026-11-20T09:37:00.000Z');
  assert.equal(value('time', '20 Nov 2026 12:05 AM', '%d %b %Y %I:%M %p'), '2026-11-20T00:05:00.000Z');
  assert.equal(value('time', '1795167468', 'unix'), new Date(1_795_167_468_000).toISOString());
  assert.equal(value('time', '0', 'unix'), null);
  // The hour that comes twice is the first of the two; the one that is left out goes by the time before the jump.
  assert.equal(value('time', '2026-10-25 02:30:00', null, 'Europe/Berlin'), '2026-10-25T00:30:00.000Z');
  assert.equal(value('time', '2026-03-29 02:30:00', null, 'Europe/Berlin'), '2026-03-29T01:30:00.000Z');
  assert.equal(value('time', '2026-07-01 12:00:00', null, 'America/New_York'), '2026-07-01T16:00:00.000Z');
  for (const bad of ['2026-02-30 00:00', '2026-13-01', '2026-11-20 24:00', 'tomorrow', '0001-01-01']) assert.equal(value('time', bad), null, bad);
  assert.deepEqual(readValue({ name: 'count', type: 'integer', format: null, zone: null }, 'many'), { value: null, wrong: 'count: "many" is no integer' });
});

test('attributes of an element, and nothing that is no element', () => {
  assert.deepEqual({ ...attributesOf('<?xml version="1.0"?><cdr a="1" b=\'x &lt; &#65;&nope;\'/>', 'cdr') }, { a: '1', b: 'x < A&nope;' });
  for (const bad of ['', '<cdr', '<cdr a=1>', '<cdr a="1>', '<other a="1"/>', '<cdr a="1"b="2">']) assert.equal(attributesOf(bad, 'cdr'), null, bad);
});

test('what cannot be compiled says so', () => {
  const refuse = (parser: ConfigParser, pattern: RegExp) => assert.throws(() => compileParser(parser), pattern);
  refuse({ kind: 'csv', delimiter: ',', quote: '"', columns: ['a', 'a'] }, /one name/);
  refuse({ kind: 'csv', delimiter: ',', quote: '"', columns: ['a'], key: ['b'] }, /"b"/);
  refuse({ kind: 'regex', pattern: '(' }, /no pattern/);
  refuse({ kind: 'regex', pattern: 'a' }, /names no group/);
  refuse({ kind: 'regex', pattern: '(?P<a>x)', columns: ['b'] }, /no group "b"/);
  const shape = configSchema.shape.sinks.safeParse([{ name: 'x', kind: 'sql', database: '../../etc/x.db', table: 't' }]);
  assert.equal(shape.success, false, 'a database is a file of its folder');
});
