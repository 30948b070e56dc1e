import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Fault, type FaultCode } from '#base/fault.ts';
import { asFault, packFailure, unpackFailure } from './failure.ts';

function thrownBy(run: () => void): unknown {
  try {
    run();
  } catch (thrown) {
    return thrown;
  }
  throw new Error('nothing was thrown');
}

function faultOf(run: () => void, code: FaultCode): Fault {
  const found = asFault(thrownBy(run));
  assert.ok(found instanceof Fault, String(found));
  assert.equal(found.code, code);
  return found;
}

test('what SQLite throws becomes a Fault that says what to do', () => {
  const database = new DatabaseSync(':memory:');
  database.exec('create table parent (id text primary key); create table join_token (id integer primary key, site_id text, secret_digest text, parent text references parent (id), n integer not null check (n > 0), unique (site_id, secret_digest))');
  database.exec("insert into join_token values (1, 's', 'd', null, 1)");
  const twice = faultOf(() => database.exec("insert into join_token values (2, 's', 'd', null, 1)"), 'conflict');
  assert.equal(twice.message, 'another join token has this secretDigest already');
  assert.equal(twice.detail['field'], 'secretDigest');
  assert.equal(faultOf(() => database.exec("insert into join_token values (1, 't', 'd', null, 1)"), 'conflict').detail['field'], 'id');
  faultOf(() => database.exec("insert into join_token values (3, 't', 'd', 'nobody', 1)"), 'not-found');
  faultOf(() => database.exec("insert into join_token values (3, 't', 'd', null, null)"), 'bad-input');
  faultOf(() => database.exec("insert into join_token values (3, 't', 'd', null, 0)"), 'bad-input');
  database.exec('pragma query_only = on');
  assert.ok(faultOf(() => database.exec('delete from join_token'), 'busy').remedy);
});

test('a full disk is busy, with a remedy', () => {
  const database = new DatabaseSync(':memory:');
  database.exec('create table blob (bytes blob); pragma max_page_count = 10');
  const full = faultOf(() => database.exec('insert into blob values (zeroblob(1000000))'), 'busy');
  assert.match(full.message, /disk is full/);
  assert.match(full.remedy ?? '', /free space/);
});

test('a Fault crosses to the other thread whole, without what cannot be cloned', () => {
  const fault = new Fault('conflict', 'taken', { remedy: 'another', detail: { field: 'label', n: 1, socket: () => {} } });
  const back = unpackFailure(structuredClone(packFailure(fault)));
  assert.ok(back instanceof Fault);
  assert.deepEqual([back.code, back.message, back.remedy, back.detail['field'], back.detail['n'], typeof back.detail['socket']], ['conflict', 'taken', 'another', 'label', 1, 'string']);
  assert.equal((unpackFailure(structuredClone(packFailure(new Fault('gone', 'x')))) as Fault).remedy, undefined);
});

test('a bug stays an ordinary Error', () => {
  const bug = thrownBy(() => (undefined as unknown as { run(): void }).run());
  const back = unpackFailure(structuredClone(packFailure(bug)));
  assert.ok(!(back instanceof Fault));
  assert.equal(back.message, (bug as Error).message);
  assert.equal(back.stack, (bug as Error).stack);
  const syntax = thrownBy(() => new DatabaseSync(':memory:').exec('not sql'));
  assert.equal(asFault(syntax), syntax);
  assert.ok(!(unpackFailure(packFailure('text')) instanceof Fault));
});
