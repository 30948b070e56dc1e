import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromDevice, type DeviceNames } from './device-edit.ts';

const names: DeviceNames = {
  publicOrigin: 'https://printer1.gw.example.test', publicSecure: true, ownOrigin: 'http://192.0.2.7', ownHost: '192.0.2.7', publicHost: 'printer1.gw.example.test',
  originOfPort: (port) => (port === 80 ? 'https://printer1.gw.example.test' : null), translateOrigin: true,
};
const refresh = (value: string) => fromDevice.value!('refresh', value, names);

test('the address in Refresh is translated, in quotes and without, and the rest of the line stays', () => {
  assert.equal(refresh('5; url=http://192.0.2.7/a'), '5; url=https://printer1.gw.example.test/a');
  assert.equal(refresh("0;URL='http://192.0.2.7/a?b=1'"), "0;URL='https://printer1.gw.example.test/a?b=1'");
  assert.equal(refresh('0; url = "//192.0.2.7/" '), '0; url = "https://printer1.gw.example.test/" ');
  for (const other of ['5', '0; url=/a', '0; url="/a" b', 'soon; url=http://192.0.2.7/', "0; url='a'b'"]) assert.equal(refresh(other), other);
});

test('a Refresh made of blanks and quotes costs no more than its length', () => {
  // Each of these took minutes to hours when one pattern judged the whole value.
  const blanks = ' '.repeat(60_000);
  for (const value of [`0;url=${blanks}'"'`, `0;url=x${blanks}""`, `0${blanks};url`, `${blanks}0;url=${blanks}`]) assert.equal(refresh(value), value);
});
