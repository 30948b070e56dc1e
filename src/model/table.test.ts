import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildTable, indexBy, type Delta } from './table.ts';

interface Row {
  readonly id: string;
  readonly label?: string;
}
const build = (rows: readonly Row[] = []) => buildTable<Row>({ name: 'rows', kind: 'kept', keyOf: (row) => row.id, rows });

test('deltas are numbered, heard in order, and leave the table as they say', () => {
  const table = build([{ id: 'a' }]);
  const heard: Delta<Row>[] = [];
  const stop = table.watch((delta) => {
    assert.equal(table.version, delta.number, 'heard when it holds');
    heard.push(delta);
  });
  table.publish({ put: [{ id: 'b' }, { id: 'a', label: 'x' }] });
  table.publish({ removed: ['a', 'nobody'] });
  stop();
  table.publish({ put: [{ id: 'c' }] });
  assert.deepEqual(heard.map((delta) => delta.number), [1, 2]);
  assert.deepEqual(Array.from(table.values(), (row) => row.id), ['b', 'c']);
  assert.equal(table.version, 3);
  assert.equal(table.size, 2);
  assert.equal(table.get('a'), undefined);
});

test('a row removed and put in one delta is there', () => {
  const table = build([{ id: 'a', label: 'old' }]);
  table.publish({ removed: ['a'], put: [{ id: 'a', label: 'new' }] });
  assert.equal(table.get('a')!.label, 'new');
});

test('a second key follows its row: changed, taken away, gone, taken over', () => {
  const table = build([{ id: 'a', label: 'x' }, { id: 'n' }]);
  const byLabel = indexBy(table, (row) => row.id, (row) => row.label);
  assert.equal(byLabel.get('x')!.id, 'a');
  table.publish({ put: [{ id: 'a', label: 'y' }] });
  assert.equal(byLabel.get('x'), undefined);
  assert.equal(byLabel.get('y')!.id, 'a');
  // Two rows swap in one delta, in either order.
  table.publish({ put: [{ id: 'b', label: 'y' }, { id: 'a', label: 'z' }] });
  assert.equal(byLabel.get('y')!.id, 'b');
  assert.equal(byLabel.get('z')!.id, 'a');
  table.publish({ put: [{ id: 'b', label: 'z' }, { id: 'a', label: 'y' }] });
  assert.equal(byLabel.get('z')!.id, 'b');
  assert.equal(byLabel.get('y')!.id, 'a');
  table.publish({ put: [{ id: 'a' }] });
  assert.equal(byLabel.has('y'), false, 'a row without the key leaves it');
  table.publish({ removed: ['b'] });
  assert.equal(byLabel.has('z'), false);
});
