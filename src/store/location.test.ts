import assert from 'node:assert/strict';
import { userInfo } from 'node:os';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { parsePostgres, type PostgresLocation } from './location.ts';

const parse = (address: string) => parsePostgres(address, 'postern-test');
const partsOf = ({ host, port, user, password, database, tls }: PostgresLocation) => [host, port, user, password, database, tls];

test('an address is read, and what is shown has no password', () => {
  const found = parse('postgres://store:p%40ss%2Fw%3Ard%25@db.example.test:6543/gate%20way');
  assert.deepEqual(partsOf(found), ['db.example.test', 6543, 'store', 'p@ss/w:rd%', 'gate way', 'verified']);
  assert.equal(found.shown, 'gate way at db.example.test:6543');
});

test('what is left out has its usual value', () => {
  const me = userInfo().username;
  assert.deepEqual(partsOf(parse('postgresql://')), ['localhost', 5432, me, null, me, 'none']);
  assert.deepEqual(partsOf(parse('postgres://store@192.0.2.7/x')), ['192.0.2.7', 5432, 'store', null, 'x', 'verified']);
  assert.deepEqual(partsOf(parse('postgres://store@[2001:db8::7]/x')), ['2001:db8::7', 5432, 'store', null, 'x', 'verified']);
  assert.deepEqual(partsOf(parse('postgres://store@/x?host=/run/postgresql')), ['/run/postgresql', 5432, 'store', null, 'x', 'none']);
  assert.deepEqual(partsOf(parse('postgres://store:a%40b@:6000/x?host=/run/postgresql')), ['/run/postgresql', 6000, 'store', 'a@b', 'x', 'none']);
  assert.deepEqual(partsOf(parse('postgres://store@')), ['localhost', 5432, 'store', null, 'store', 'none']);
  assert.deepEqual(partsOf(parse('postgres:///x?host=/run/postgresql')), ['/run/postgresql', 5432, me, null, 'x', 'none']);
});

test('TLS is verified beyond this machine, unless the address says otherwise', () => {
  for (const host of ['127.0.0.1', '127.5.4.3', '[::1]', 'localhost']) assert.equal(parse(`postgres://u@${host}/x`).tls, 'none', host);
  for (const host of ['127.example.test', 'localhost.example.test', '198.51.100.9']) assert.equal(parse(`postgres://u@${host}/x`).tls, 'verified', host);
  assert.equal(parse('postgres://u@192.0.2.7/x?sslmode=disable').tls, 'none');
  assert.equal(parse('postgres://u@192.0.2.7/x?sslmode=require').tls, 'any-certificate');
  const named = parse('postgres://u@localhost/x?sslmode=verify-full&sslrootcert=/etc/ca.pem');
  assert.deepEqual([named.tls, named.authoritiesFile], ['verified', '/etc/ca.pem']);
});

test('an address that cannot be read is refused without being repeated', () => {
  const bad = [
    'not an address with hunter2', 'mysql://u:hunter2@db.example.test/x', 'postgres://u:hunter2@db.example.test:99999/x', 'postgres://u:hunter2@db.example.test/x?sslmode=maybe', 'postgres://u:hunter2@db.example.test/x?sslmode=prefer',
    'postgres://u:hunter2%zz@db.example.test/x', 'postgres://u:hunter2@db.example.test/%zz', 'postgres://u:hunter2@db.example.test/x?options=-c%20fsync=off', '',
  ];
  for (const address of bad) {
    assert.throws(() => parse(address), (thrown: unknown) => {
      assert.ok(isFault(thrown, 'bad-input'), address);
      assert.ok(thrown.remedy);
      assert.doesNotMatch(JSON.stringify([thrown.message, thrown.remedy, thrown.detail, thrown.stack, String(thrown.cause)]), /hunter2/, address);
      return true;
    });
  }
});
