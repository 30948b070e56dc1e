import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareDriver, parseDriver, type Driver } from './driver.ts';
import { inputType, languageOf, supplyType, units } from './oids.ts';
import { ippSupplyRows, ippTrayRows, readSupplies, readTrays, supplyRow, type SupplyRow } from './supplies.ts';

const row = (given: Partial<SupplyRow>): SupplyRow => ({ name: null, type: 'toner', colour: null, colorantIndex: null, fills: false, unit: 'percent', max: 100, level: 50, ...given });
const one = (given: Partial<SupplyRow>, driver: Driver = bareDriver) => readSupplies([row(given)], driver)[0]!;
const read = (given: Partial<SupplyRow>, driver?: Driver) => {
  const { percent, state, level, max } = one(given, driver);
  return { percent, state, level, max };
};

function driverOf(supplies: object, ignore: object = {}): Driver {
  const parsed = parseDriver(JSON.stringify({ key: 'acme', vendor: 'Acme', enterpriseIds: [1], supplies, ignore }));
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.driver;
}

test('levels and capacities', () => {
  assert.deepEqual(read({ level: 4200, max: 6000, unit: 'impressions' }), { percent: 70, state: 'ok', level: 4200, max: 6000 });
  assert.deepEqual(read({ level: 600, max: 6000, unit: 'impressions' }), { percent: 10, state: 'low', level: 600, max: 6000 });
  assert.deepEqual(read({ level: 0, max: 6000 }), { percent: 0, state: 'empty', level: 0, max: 6000 });
  // A little above the capacity happens; far above it is another unit.
  assert.equal(read({ level: 105, max: 100 }).percent, 100);
  assert.deepEqual(read({ level: 6000, max: 100 }), { percent: null, state: 'some', level: 6000, max: 100 });
});

test('levels and capacities below zero: unknown, some, no capacity', () => {
  assert.deepEqual(read({ level: -1 }), { percent: null, state: 'unknown', level: null, max: 100 });
  assert.deepEqual(read({ level: -2 }), { percent: null, state: 'unknown', level: null, max: 100 });
  assert.deepEqual(read({ level: -3 }), { percent: null, state: 'some', level: null, max: 100 });
  assert.deepEqual(read({ level: 40, max: -2, unit: 'percent' }), { percent: 40, state: 'ok', level: 40, max: null });
  assert.deepEqual(read({ level: 40, max: -1, unit: 'tenths of grams' }), { percent: null, state: 'some', level: 40, max: null });
  assert.deepEqual(read({ level: 0, max: -2, unit: 'tenths of millilitres' }), { percent: null, state: 'empty', level: 0, max: null });
  assert.deepEqual(read({ level: null, max: null, unit: null }), { percent: null, state: 'unknown', level: null, max: null });
  assert.equal(read({ level: -2 }, driverOf({ levels: { '-2': 'low' } })).state, 'low');
  assert.equal(read({ level: -100 }, driverOf({ levels: { '-100': 'empty' } })).state, 'empty');
});

test('what fills: the level is what still fits, unless the vendor means what is in it', () => {
  const waste = { type: 'waste-toner', fills: true };
  assert.deepEqual(read({ ...waste, level: 80 }), { percent: 20, state: 'ok', level: 80, max: 100 });
  assert.deepEqual(read({ ...waste, level: 5 }), { percent: 95, state: 'low', level: 5, max: 100 });
  assert.deepEqual(read({ ...waste, level: 0 }), { percent: 100, state: 'empty', level: 0, max: 100 });
  assert.deepEqual(read({ ...waste, level: 80 }, driverOf({ waste: 'filled' })), { percent: 80, state: 'ok', level: 80, max: 100 });
  assert.deepEqual(read({ ...waste, level: 80 }, driverOf({ waste: 'unknown' })), { percent: null, state: 'unknown', level: 80, max: 100 });
  for (const level of [-1, -2, -3, 5000]) assert.deepEqual([read({ ...waste, level }).percent, read({ ...waste, level }).state], [null, 'unknown'], String(level));
  // Waste that is consumed contradicts itself.
  const odd = one({ type: 'waste-toner', fills: false, level: 80 });
  assert.deepEqual([odd.fills, odd.percent, odd.state], [true, null, 'unknown']);
});

test('colours: the colorant table, then the name, then the vendor\'s order', () => {
  const konica = driverOf({ colorants: ['cyan', 'magenta', 'yellow', 'black'] });
  assert.equal(one({ colour: 'Photo Black ' }).colour, 'photo-black');
  assert.equal(one({ colour: 'none', name: 'Cyan Toner' }).colour, 'cyan');
  assert.equal(one({ name: 'Toner Magenta (M)' }).colour, 'magenta');
  assert.equal(one({ name: 'Cyan/Magenta/Yellow drum', type: 'opc' }).colour, null);
  assert.equal(one({ name: 'Black Stapler', type: 'staples' }).colour, null);
  assert.equal(one({ colorantIndex: 1 }, konica).colour, 'cyan');
  assert.equal(one({ colorantIndex: 4 }, konica).colour, 'black');
  assert.equal(one({ colorantIndex: 1, colour: 'black' }, konica).colour, 'black');
  for (const colorantIndex of [0, 5, -2, null]) assert.equal(one({ colorantIndex }, konica).colour, null);
  assert.equal(one({ colorantIndex: 1 }).colour, null);
});

test('keys of series and names', () => {
  const supplies = readSupplies([row({ colour: 'black', name: 'Black Toner, S/N:CRUM-19' }), row({ colour: 'black' }), row({ type: 'fuser', name: null }), row({ type: 'waste-toner', fills: true })], bareDriver);
  assert.deepEqual(supplies.map(({ key, name }) => [key, name]), [['toner-black', 'Black Toner'], ['toner-black-2', 'black toner'], ['fuser', 'fuser'], ['waste-toner', 'waste toner']]);
  assert.deepEqual(readSupplies([row({ name: 'Key counter' }), row({ name: 'Toner' })], driverOf({}, { supplies: ['(?i)^key'] })).map(({ name }) => name), ['Toner']);
  assert.equal(readSupplies(Array.from({ length: 200 }, () => row({})), bareDriver).length, 64);
});

test('trays', () => {
  const trays = readTrays([row({ name: 'Tray 1', type: 'tray', unit: 'sheets', max: 250, level: 250 }), row({ type: 'tray', unit: 'sheets', max: 500, level: -3 }), row({ type: 'manual', level: 0 })], bareDriver);
  assert.deepEqual(trays.map(({ key, name, percent, state }) => [key, name, percent, state]), [['tray', 'Tray 1', 100, 'ok'], ['tray-2', 'Tray 2', null, 'some'], ['manual', 'Tray 3', 0, 'empty']]);
});

test('numbers of RFC 3805 and of IANA', () => {
  const cells: Record<number, number> = { 3: 2, 4: 3, 5: 21, 7: 13, 8: 4000, 9: 1000 };
  const read = supplyRow((column) => cells[column] ?? null, 'Cyan', 'cyan');
  assert.deepEqual(read, { name: 'Cyan', type: 'toner', colour: 'cyan', colorantIndex: 2, fills: false, unit: 'tenths of grams', max: 4000, level: 1000 });
  assert.deepEqual([3, 4, 6, 8, 9, 15, 20, 32, 36, 37, 0, null].map(supplyType), ['toner', 'waste-toner', 'ink', 'waste-ink', 'opc', 'fuser', 'transfer-unit', 'staples', 'matte-ink', 'unknown', 'unknown', 'unknown']);
  assert.deepEqual([19, 13, 15, 7, 8, 11, 4].map((unit) => units.get(unit)), ['percent', 'tenths of grams', 'tenths of millilitres', 'impressions', 'sheets', 'hours', 'micrometres']);
  assert.deepEqual([3, 4, 5, 6, 47, 50, 54, 66, 85, 2, 41, 99].map(languageOf), ['pcl', 'hpgl', 'pjl', 'ps', 'pclxl', 'prescribe', 'pdf', 'xps', 'apple-raster', null, null, null]);
  assert.deepEqual([3, 4, 5, 6, 7, null].map(inputType), ['tray', 'tray', 'manual', 'roll', 'fanfold', 'tray']);
});

test('IPP: printer-supply and printer-input-tray', () => {
  const attributes = {
    'printer-supply': ['type=toner;maxcapacity=100;level=50;class=supplyThatIsConsumed;colorantname=cyan;unit=percent;', 'index=2;type=wasteToner;maxcapacity=100;level=95;class=receptacleThatIsFilled;colorantname=none;', 'garbage', 'type=inkCartridge;maxcapacity=-2;level=-3;colorantname=black'],
    'printer-supply-description': ['Cyan Toner', 'Waste'],
    'printer-input-tray': ['type=sheetFeedAutoRemovableTray;mediafeed=297000;maxcapacity=250;level=-2;unit=sheets;status=0;name=Tray 1;', 'type=sheetFeedManual;maxcapacity=1;level=0;name=Bypass'],
  };
  const supplies = readSupplies(ippSupplyRows(attributes), bareDriver);
  assert.deepEqual(supplies.map(({ key, percent, state, fills }) => [key, percent, state, fills]), [['toner-cyan', 50, 'ok', false], ['waste-toner', 5, 'ok', true], ['unknown', null, 'unknown', false], ['ink-black', null, 'some', false]]);
  assert.deepEqual(readTrays(ippTrayRows(attributes), bareDriver).map(({ key, name, max, state }) => [key, name, max, state]), [['tray', 'Tray 1', 250, 'unknown'], ['manual', 'Bypass', 1, 'empty']]);
});

test('IPP: marker attributes side by side, also where lists are of unequal length', () => {
  const rows = ippSupplyRows({ 'marker-names': ['Black', 'Waste'], 'marker-types': ['toner-cartridge', 'waste-toner', 'opc'], 'marker-colors': ['#000000', 'none', '#123456'], 'marker-levels': [12, 30, -3, 55] });
  const supplies = readSupplies(rows, bareDriver);
  assert.deepEqual(supplies.map(({ key, name, percent, state }) => [key, name, percent, state]), [['toner-black', 'Black', 12, 'ok'], ['waste-toner', 'Waste', 30, 'ok'], ['opc', 'opc', null, 'some'], ['unknown', 'unknown', 55, 'ok']]);
  assert.deepEqual(ippSupplyRows({}), []);
});
