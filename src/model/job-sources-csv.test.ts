import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffSources, readCsv, readSources, type SourceNames, writeSources } from './job-sources-csv.ts';
import type { SourceDraft } from './job-sources.ts';
import type { JobSource } from './place-rows.ts';

const names: SourceNames = {
  device: (text) => ({ press: 'id-press', second: 'id-second', twin: 'many' as const })[text],
  site: (text) => ({ north: 'id-north', twin: 'many' as const })[text],
  isApplication: (name) => name === 'scans' || name === 'faxes',
};
const nameOf = { device: (id: string) => id.slice(3), site: (id: string) => id.slice(3) };
const draft = (change: Partial<SourceDraft>): SourceDraft => ({ application: 'scans', deviceId: null, serial: null, siteId: null, address: null, as: null, note: '', ...change });
const rowOf = (from: SourceDraft, id = 'row'): JobSource => ({ ...from, id, customerId: 'anna', createdAt: 0 });
const header = 'application,serial,device,site,address,as,note';
const read = (...lines: string[]) => readSources([header, ...lines].join('\r\n'), names);
const problems = (...lines: string[]) => read(...lines).problems.map(({ line, message }) => `${line}: ${message}`);

test('rows are read in the three ways that they name devices', () => {
  assert.deepEqual(read('scans,SN-1,,,,,', 'scans,,press,,,203.0.113.5,"ground floor, left"', 'faxes,,,north,192.0.2.50,,"says ""hi"""', '', ''), {
    drafts: [draft({ serial: 'SN-1' }), draft({ deviceId: 'id-press', as: '203.0.113.5', note: 'ground floor, left' }), draft({ application: 'faxes', siteId: 'id-north', address: '192.0.2.50', note: 'says "hi"' })],
    problems: [],
  });
});

test('as spreadsheets write it: a byte order mark, semicolons, columns in another order, LF', () => {
  assert.deepEqual(readSources('\ufeffNote;Serial;Application\nfirst;SN-1;scans\n"a;b";SN-2;faxes', names), { drafts: [draft({ serial: 'SN-1', note: 'first' }), draft({ application: 'faxes', serial: 'SN-2', note: 'a;b' })], problems: [] });
});

test('every line that is wrong is named, and then nothing is taken', () => {
  const found = read('scans,SN-1,,,,,', 'copies,SN-2,,,,,', 'scans,SN-3', 'scans,SN-4,press,,,,', 'scans,,nobody,,,,', 'scans,,twin,,,,', 'scans,,,north,,,', 'scans,,,north,192.0.2.300,,', 'scans,,,twin,192.0.2.3,,', 'scans,SN-1,,,,,again', 'scans,SN-5,,,,tower,');
  assert.deepEqual(found.drafts, []);
  assert.deepEqual(found.problems.map(({ line }) => line), [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  for (const [i, why] of [/no application "copies"/, /2 values for 7 columns/, /names one device/, /no device "nobody"/, /several devices/, /belong together/, /not an address/, /several sites/, /the same as line 2/, /"as": "tower"/].entries()) assert.match(found.problems[i]!.message, why);
});

test('quoting is strict', () => {
  assert.deepEqual(problems('scans,SN"1,,,,,'), ['2: a quote stands inside a value that does not begin with one; write the value in quotes, and "" for each quote in it']);
  assert.deepEqual(problems('scans,"SN-1"x,,,,,'), ['2: something stands behind a closing quote']);
  assert.deepEqual(problems('scans,SN-1,,,,,', 'scans,"SN-2,,,,,', 'x'), ['3: a quote is opened and not closed']);
  assert.deepEqual(problems('scans,SN-1\rSN-2,,,,,'), ['2: a carriage return without a line feed']);
  assert.match(problems('scans,SN-1,,,,,"two\nlines"')[0]!, /^2: a note .* in one line/);
  assert.match(problems('scans,SN-1,,,,,"two\nlines"', 'scans,SN"2,,,,,')[0]!, /^4: a quote/, 'lines are counted inside quotes too');
});

test('the header is one', () => {
  const of = (text: string) => readSources(text, names).problems[0];
  assert.deepEqual(of(''), { line: 1, message: 'the file is empty' });
  assert.match(of('application,colour\nscans,red')!.message, /"colour" is not known; there are application, serial/);
  assert.match(of('serial,serial,application')!.message, /"serial" is there twice/);
  assert.match(of('SN-1,SN-2')!.message, /is not known/);
  assert.match(of('serial,note\nSN-1,x')!.message, /"application" among them/);
});

test('a file has a bound', () => {
  assert.match(read(...Array.from({ length: 5_001 }, (_, i) => `scans,SN-${i},,,,,`)).problems[0]!.message, /at most 5001 lines/);
  assert.equal(read(...Array.from({ length: 200 }, (_, i) => `copies,SN-${i},,,,,`)).problems.length, 100);
});

test('what spreadsheets would run goes out with an apostrophe, and comes back without', () => {
  const tricky = ['=1+1', '+49 30', '-x', '@SUM(A1)', "'=1", "''+", ' =1'.trim(), '\uff1d1', "it's", "'quoted'", 'a=b'];
  const text = writeSources(tricky.map((note, i) => rowOf(draft({ serial: `=SN-${i}`, note }))), nameOf);
  for (const cell of text.split(/[\r\n,]+/)) assert.ok(!/^[=+\-@\uff1d]/.test(cell), cell);
  assert.deepEqual(readSources(text, names), { drafts: tricky.map((note, i) => draft({ serial: `=SN-${i}`, note })), problems: [] });
});

let state = 20_261_120;
const next = (below: number) => ((state = (state * 1_103_515_245 + 12_345) & 0x7fffffff) >> 8) % below;

test('what is written is read as it was', () => {
  for (let turn = 0; turn < 300; turn++) {
    const text = (charsMin: number) => Array.from({ length: charsMin + next(12) }, () => '",;\'=+-@ aZ0\u00e4\u{1f5a8}\uff0b'[next(16)] ?? 'x').join('').toWellFormed().trim();
    const drafts = Array.from({ length: 1 + next(5) }, (_, i) => draft(i % 3 === 0 ? { serial: `${i}${text(0)}`, note: text(0) } : i % 3 === 1 ? { application: ['scans', 'faxes'][i >> 2]!, deviceId: 'id-press', as: '2001:db8::1', note: text(0) } : { siteId: 'id-north', address: `192.0.2.${i}`, note: text(0) }));
    assert.deepEqual(readSources(writeSources(drafts.map((each) => rowOf(each)), nameOf), names), { drafts, problems: [] }, JSON.stringify(drafts));
  }
});

test('no file throws, cut anywhere or with wrong bytes, and what is read agrees with itself', () => {
  const good = writeSources([draft({ serial: 'SN-1', note: 'a "b", c' }), draft({ deviceId: 'id-press', as: '203.0.113.5' }), draft({ siteId: 'id-north', address: '192.0.2.50', note: "'=x" })].map((each) => rowOf(each)), nameOf);
  const check = (text: string) => {
    const { drafts, problems: wrong } = readSources(text, names);
    assert.ok(wrong.length === 0 || drafts.length === 0);
    for (const { line, message } of wrong) assert.ok(line >= 1 && line <= text.split('\n').length + 1 && message !== '', text);
    if (wrong.length === 0) assert.deepEqual(readSources(writeSources(drafts.map((each) => rowOf(each)), nameOf), names).drafts, drafts, text);
  };
  for (let end = 0; end <= good.length; end++) check(good.slice(0, end));
  for (let turn = 0; turn < 3_000; turn++) {
    const at = next(good.length);
    check(good.slice(0, at) + '",;\r\n\'=\u0000x '[next(10)]! + good.slice(at + next(3)));
  }
});

test('rows have the number of their first line', () => {
  assert.deepEqual(readCsv('a,"b\r\n\nc"\n\nd', ',', 9), [{ line: 1, values: ['a', 'b\r\n\nc'] }, { line: 5, values: ['d'] }]);
  assert.deepEqual(readCsv('a,\n,b\n""\n', ',', 9), [{ line: 1, values: ['a', ''] }, { line: 2, values: ['', 'b'] }]);
});

test('a file is compared with what is there', () => {
  const standing = [rowOf(draft({ serial: 'SN-1', note: 'old' }), 'r1'), rowOf(draft({ serial: 'SN-2' }), 'r2'), rowOf(draft({ deviceId: 'id-press' }), 'r3')];
  const drafts = [draft({ serial: 'SN-1', note: 'new' }), draft({ serial: 'SN-2' }), draft({ application: 'faxes', serial: 'SN-2' })];
  assert.deepEqual(diffSources(standing, drafts, false), { added: [drafts[2]], changed: [{ before: standing[0], after: drafts[0] }], removed: [], same: 1 });
  assert.deepEqual(diffSources(standing, drafts, true).removed, [standing[2]]);
});
