import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePrefix, pathShown, unprefix } from './secret-path.ts';

const sid = 'aZ09_-aZ09_-aZ09_-aZ09';

test('prefixes of sessions and devices', () => {
  assert.deepEqual(parsePrefix(`/s/${sid}/x/y?z=/s/q`), { kind: 'session', secret: sid, rest: '/x/y?z=/s/q', isBare: false });
  assert.deepEqual(parsePrefix(`/s/${sid}`), { kind: 'session', secret: sid, rest: '/', isBare: true });
  assert.deepEqual(parsePrefix(`/s/${sid}?q`), { kind: 'session', secret: sid, rest: '/?q', isBare: true });
  assert.deepEqual(parsePrefix(`/s/${sid}//x`), { kind: 'session', secret: sid, rest: '//x', isBare: false });
  assert.deepEqual(parsePrefix(`/d/${sid}Zz9/x`), { kind: 'token', secret: `${sid}Zz9`, rest: '/x', isBare: false });
  assert.equal(parsePrefix(`/d/${'a'.repeat(64)}/`)!.kind, 'token');
  for (const target of ['', '/', '*', '/s', '/s/', '/s/x/y', `/s/${sid}x/y`, `/s/${sid.slice(1)}/y`, `/S/${sid}/x`, `/s/${sid.slice(1)}%41/x`, `/d/${'a'.repeat(65)}/`, `/d/${'a'.repeat(21)}/`, `//s/${sid}/x`, `/s//${sid}/x`, `/t/${sid}/x`, `/s/${sid.slice(1)}=/x`, `http://h/s/${sid}/x`, `/s/${sid}\\x`]) assert.equal(parsePrefix(target), null, target);
  assert.equal(unprefix(`/d/${sid}/x?y`), '/x?y');
  assert.equal(unprefix('/x?y'), '/x?y');
});

test('no secret is shown', () => {
  assert.equal(pathShown(`/d/${sid}/menu?secret`), '/d/…/menu');
  assert.equal(pathShown(`/s/${sid}?x`), '/s/…/');
  assert.equal(pathShown('/menu?x=1'), '/menu');
  assert.equal(pathShown(`/d/${sid.slice(1)}/x`), `/d/${sid.slice(1)}/x`, 'too short to be one');
});
