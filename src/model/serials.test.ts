import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSerialSet } from './serials.ts';

const setOf = (text: string) => {
  const set = parseSerialSet(text);
  assert.ok(typeof set !== 'string', `${text}: ${String(set)}`);
  return set;
};

for (const [text, inside, outside] of [
  ['SN123', ['SN123'], ['SN1234', 'sn123', 'SN12', '']],
  ['SN1*', ['SN1', 'SN1999', 'SN1..2'], ['SN2', 'XSN1']],
  ['SN?', ['SN1', 'SNx'], ['SN', 'SN12']],
  ['SN100..SN199', ['SN100', 'SN150', 'SN199'], ['SN99', 'SN200', 'SN0150', 'SN1500', 'SN15', 'SN1a0', 'sn150', 'SN', 'XSN150', 'SN150 ']],
  ['1..150', ['1', '7', '42', '150'], ['0', '151', '007', '07', '1000', '', 'a']],
  ['0..9', ['0', '9'], ['00', '10']],
  ['A-0008..A-0012', ['A-0008', 'A-0009', 'A-0010', 'A-0012'], ['A-8', 'A-0007', 'A-0013', 'A-00090']],
  ['A10B100..A10B199', ['A10B100', 'A10B177'], ['A11B150', 'A10B99']],
  ['00A1F0..00A1FF', ['00A1F0', '00A1F9', '00A1FA', '00A1FF'], ['00A1EF', '00A200', '00a1fa', '00A1F', '00A1F00', '00A1G0']],
  ['00a1f0..00a2ff', ['00a1f0', '00a1ff', '00a210', '00a2ff'], ['00a1ef', '00a300', '00A1FF']],
  // Digits alone at both ends count as decimal: a letter at one end says that they are hex.
  ['00A100..00A199', ['00A100', '00A109'], ['00A10F']],
  ['00A100..00A1FF', ['00A100', '00A10F', '00A1AA'], ['00A200']],
  ['9007199254740993..9007199254740995', ['9007199254740993', '9007199254740994', '9007199254740995'], ['9007199254740992', '9007199254740996']],
] as const) {
  test(`serials ${text}`, () => {
    const set = setOf(text);
    for (const serial of inside) assert.equal(set.has(serial), true, `${serial} is in ${text}`);
    for (const serial of outside) assert.equal(set.has(serial), false, `${serial} is not in ${text}`);
  });
}

test('what is no set of serials is named', () => {
  for (const [text, says] of [
    ['', /1 to 300/],
    ['x'.repeat(301), /1 to 300/],
    ['SN100..', /FIRST\.\.LAST/],
    ['..SN100', /FIRST\.\.LAST/],
    ['..', /FIRST\.\.LAST/],
    ['SN1..SN2..SN3', /FIRST\.\.LAST/],
    ['SN199..SN100', /ends before it begins/],
    ['00FF..00AA', /ends before it begins/],
    ['SN001..SN1000', /same number of digits/],
    ['SN1..XN2', /no range/],
    ['lobby..roof', /no range/],
    ['00aF..00Ba', /no range/],
  ] as const) {
    const found = parseSerialSet(text);
    assert.ok(typeof found === 'string' && says.test(found), `${text}: ${typeof found === 'string' ? found : 'taken'}`);
  }
});

test('a range holds exactly the numbers between its ends', () => {
  for (const [low, high, width] of [[95, 105, 0], [7, 123, 0], [0, 30, 3], [990, 1_010, 4]] as const) {
    const write = (n: number) => `P${String(n).padStart(width, '0')}`;
    const set = setOf(`${write(low)}..${write(high)}`);
    for (let n = 0; n < 1_200; n++) assert.equal(set.has(write(n)), n >= low && n <= high, write(n));
  }
});

test('nothing that anybody writes makes it throw, and a set never takes what lies outside its ends', () => {
  let seed = 20_261_120;
  const next = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
  const letters = 'SN019.*?AFaf-é ';
  const word = () => Array.from({ length: next(12) }, () => letters[next(letters.length)]).join('');
  for (let i = 0; i < 5_000; i++) {
    const text = next(2) === 0 ? word() : `${word()}..${word()}`;
    const set = parseSerialSet(text);
    if (typeof set === 'string') continue;
    for (const serial of [word(), text, text.split('..')[0]!]) assert.equal(typeof set.has(serial), 'boolean');
    if (text.includes('..')) for (const end of text.split('..')) assert.ok(set.has(end), `${text} holds its end ${end}`);
  }
});
