import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { shippedDrivers } from '#kit/printer-answers.ts';
import { gatherDrivers, parseDriver, type Driver } from './driver.ts';

const folder = new URL('../../../drivers/', import.meta.url);
const shipped = readdirSync(folder).map((file) => ({ file, text: readFileSync(new URL(file, folder), 'utf8'), own: false }));
const minimal = { key: 'acme', vendor: 'Acme', enterpriseIds: [99999] };

function read(value: unknown): Driver {
  const parsed = parseDriver(typeof value === 'string' ? value : JSON.stringify(value));
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.driver;
}

function problemsOf(value: unknown): readonly string[] {
  const parsed = parseDriver(typeof value === 'string' ? value : JSON.stringify(value));
  return 'problems' in parsed ? parsed.problems.map(({ path, message }) => `${path}: ${message}`) : [];
}

const pathsOf = (value: unknown) => problemsOf(value).map((line) => line.slice(0, line.indexOf(':')));

for (const { file, text } of shipped) {
  test(`shipped: ${file}`, () => {
    assert.deepEqual(problemsOf(text), []);
    assert.equal(read(text).key, file.replace('.json', ''));
  });
}

test('shipped: every vendor that printers are known of, each enterprise number once', () => {
  const drivers = shippedDrivers().map(({ driver }) => driver);
  const numbers = drivers.flatMap(({ enterpriseIds }) => enterpriseIds).sort((a, b) => a - b);
  assert.deepEqual(numbers, [11, 236, 253, 297, 367, 641, 674, 683, 1129, 1248, 1347, 1602, 2001, 2385, 2435, 10642, 18334, 29999, 40093]);
  const prefixes = drivers.flatMap(({ sysObjectIds }) => sysObjectIds);
  assert.equal(new Set(prefixes).size, prefixes.length);
  assert.deepEqual(drivers.filter(({ fallback }) => fallback !== null).map(({ key }) => key).sort(), ['generic-device', 'generic-printer']);
  // A prefix belongs to the vendor whose number it begins with.
  for (const driver of drivers) for (const prefix of driver.sysObjectIds) assert.ok(driver.enterpriseIds.includes(Number(prefix.split('.')[6])), `${driver.key}: ${prefix}`);
});

test('the example on the page is a driver', () => {
  const page = readFileSync(new URL('../../../docs/operate/drivers.md', import.meta.url), 'utf8');
  const driver = read(/```json driver\n(.*?)```/s.exec(page)![1]!);
  assert.equal(driver.key, 'acme-labels');
  assert.equal(driver.model[0]!.pattern!.groups('Acme LabelMaker 300 fw 2.14')!.all[1], 'LabelMaker 300');
  for (const { file } of shipped) assert.ok(page.toLowerCase().includes(file === 'fuji-xerox.json' ? 'fuji xerox' : file.startsWith('generic') ? file.slice(0, -5) : read(readFileSync(new URL(file, folder), 'utf8')).vendor!.toLowerCase()), file);
});

test('what is left out has its default', () => {
  const driver = read(minimal);
  assert.deepEqual(driver.serial, []);
  assert.deepEqual(driver.functions, { print: null, copy: null, scan: null, fax: null });
  assert.equal(driver.supplies.waste, 'remaining');
  assert.equal(driver.fallback, null);
});

test('questions: an OID, an OID with a pattern, the printer\'s index, one or several', () => {
  const driver = read({ ...minimal, serial: '1.3.6.1.4.1.99999.1.0', model: ['1.3.6.1.2.1.25.3.2.1.3.{printer}', { oid: '1.3.6.1.2.1.1.1.0', pattern: '^Acme (\\S+)' }], counters: { pages: '1.3.6.1.4.1.99999.2.0', 'scans-colour': ['1.3.6.1.4.1.99999.3.0'] } });
  assert.deepEqual(driver.serial.map(({ oid, pattern }) => [oid, pattern]), [['1.3.6.1.4.1.99999.1.0', null]]);
  assert.equal(driver.model[1]!.pattern!.groups('Acme X100 v2')!.all[1], 'X100');
  assert.deepEqual([...driver.counters.keys()], ['pages', 'scans-colour']);
});

test('what is wrong is named with its path', () => {
  assert.match(problemsOf('{"key": "x"')[0]!, /^: is no JSON/);
  assert.match(problemsOf('[]')[0]!, /^: is an object/);
  assert.deepEqual(pathsOf({}), ['key', 'vendor', '']);
  assert.deepEqual(pathsOf({ ...minimal, key: 'Acme Labels' }), ['key']);
  assert.deepEqual(pathsOf({ ...minimal, colour: true }), ['colour']);
  assert.deepEqual(pathsOf({ ...minimal, enterpriseIds: ['1', 2.5, -1, 5_000_000_000] }), ['enterpriseIds[0]', 'enterpriseIds[1]', 'enterpriseIds[2]', 'enterpriseIds[3]', '']);
  assert.deepEqual(pathsOf({ ...minimal, sysObjectIds: ['.1.3.6.1.4.1.9', '1.3.06.1', '1.3.6.{printer}'] }), ['sysObjectIds[0]', 'sysObjectIds[1]', 'sysObjectIds[2]']);
  assert.deepEqual(pathsOf({ ...minimal, serial: ['1.3.6', { oid: 7 }, { pattern: 'x' }, { oid: '1.3.6', pattern: '(' }, { oid: '1.3.6', way: 1 }, null] }), ['serial[1].oid', 'serial[2].oid', 'serial[3].pattern', 'serial[4].way', 'serial[5]']);
  assert.deepEqual(pathsOf({ ...minimal, descriptions: ['(?=ahead)', '(a)\\1', ''] }), ['descriptions[0]', 'descriptions[1]', 'descriptions[2]']);
  assert.deepEqual(pathsOf({ ...minimal, counters: { 'Pages A4': '1.3.6', pages: 'x' } }), ['counters.Pages A4', 'counters.pages[0]']);
  assert.deepEqual(pathsOf({ ...minimal, functions: { scan: 1, staple: true } }), ['functions.staple', 'functions.scan']);
  assert.deepEqual(pathsOf({ ...minimal, supplies: { levels: { '-2': 'little', 3: 'ok' }, waste: 'maybe' } }), ['supplies.levels.3', 'supplies.levels.-2', 'supplies.waste']);
  assert.deepEqual(pathsOf({ ...minimal, ignore: { serial: [] }, fallback: 'phone' }), ['fallback', 'ignore.serial']);
  assert.deepEqual(pathsOf('{"key":"acme","vendor":"Acme","enterpriseIds":[1],"__proto__":{"serial":["x"]},"constructor":1}'), ['__proto__', 'constructor']);
});

test('bounds: bytes, lists, texts, problems', () => {
  assert.match(problemsOf(' '.repeat(limits.driverBytesMax + 1))[0]!, /more than/);
  assert.deepEqual(pathsOf({ ...minimal, serial: Array.from({ length: 65 }, () => '1.3.6') }), ['serial']);
  assert.deepEqual(pathsOf({ ...minimal, vendor: 'A'.repeat(201) }), ['vendor']);
  assert.deepEqual(pathsOf({ ...minimal, vendor: 'two\nlines' }), ['vendor']);
  assert.equal(problemsOf({ ...minimal, serial: Array.from({ length: 64 }, () => 'x') }).length, 50);
  const many = Array.from({ length: limits.driversMax + 5 }, (_, i) => ({ file: `${i}.json`, text: JSON.stringify({ ...minimal, key: `acme-${i}` }), own: true }));
  const gathered = gatherDrivers(many);
  assert.equal(gathered.drivers.length, limits.driversMax);
  assert.equal(gathered.problems.length, 5);
});

test('an owner\'s driver takes the place of a shipped one; a second one of that key is said, as is a file that cannot be read', () => {
  const mine = { ...minimal, key: 'hp', vendor: 'HP of ours' };
  const { drivers, problems } = gatherDrivers([
    { file: 'b.json', text: JSON.stringify(mine), own: true },
    { file: 'c.json', text: JSON.stringify(mine), own: true },
    { file: 'bad.json', text: '{', own: true },
    ...shipped,
  ]);
  const hp = drivers.filter(({ driver }) => driver.key === 'hp');
  assert.deepEqual(hp.map(({ driver, own, file }) => [driver.vendor, own, file]), [['HP of ours', true, 'b.json']]);
  assert.equal(drivers.length, shipped.length);
  assert.deepEqual(problems.map(({ file, path }) => [file, path]), [['bad.json', ''], ['c.json', 'key']]);
});

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

test('bent and cut drivers: a driver or problems, never thrown, the same each time', () => {
  const random = randomOf(20_261_120);
  const upTo = (n: number) => Math.floor(random() * n);
  const seen = { driver: 0, problems: 0 };
  for (let round = 0; round < 1_500; round++) {
    let text = shipped[upTo(shipped.length)]!.text;
    for (let bends = upTo(3); bends >= 0; bends--) {
      const at = upTo(text.length);
      text = upTo(8) === 0 ? text.slice(0, at) : text.slice(0, at) + ['"', '[', '{', '}', ',', '1', 'null', '.', '(', '\\', '{printer}', ''][upTo(12)]! + text.slice(at + upTo(3));
    }
    const first = parseDriver(text);
    assert.deepEqual(Object.keys(parseDriver(text)), Object.keys(first));
    if ('problems' in first) {
      assert.ok(first.problems.length > 0 && first.problems.every(({ message }) => message !== ''), text);
      seen.problems += 1;
    } else seen.driver += 1;
  }
  assert.ok(seen.driver > 50 && seen.problems > 200, JSON.stringify(seen));
});
