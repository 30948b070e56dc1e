import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contract, type Answer, type Body, type Params, type ParsedBody, type Query, type Shapes } from './contract.ts';
import { pathTo, paths, type RouteName } from './paths.ts';

test('the types follow the shapes', () => {
  const params: Params<'acceptFingerprint'> = { device: 'printer1', port: 443 };
  const query: Query<'listDevices'> = { state: 'online' };
  const body: Body<'addDevice'> = { agentId: 'x', name: 'Printer', ports: [{ number: 80, kind: 'http' }] };
  const none: Body<'getMe'> = undefined;
  const take = (device: Answer<'listDevices'>['items'][number], parsed: ParsedBody<'addDevice'>): [string, string] => [device.label, parsed.host];
  // @ts-expect-error a device has no secret
  const wrong = (device: Answer<'getDevice'>) => device.secretDigest;
  assert.deepEqual([params.port, query.state, body.name, none, typeof take, typeof wrong], [443, 'online', 'Printer', undefined, 'function', 'function']);
});

test('each path is there once and names its parts', () => {
  const seen = new Set(Object.values(paths).map((path) => `${path.method} ${path.path}`));
  assert.equal(seen.size, Object.keys(paths).length);
  assert.equal(pathTo('acceptFingerprint', { device: 'a/b c', port: 443 }), '/api/v1/devices/a%2Fb%20c/ports/443/fingerprint');
  assert.equal(pathTo('listDevices', {}, { state: 'online', cursor: undefined, limit: 5 }), '/api/v1/devices?state=online&limit=5');
});

test('a body with an unknown field is refused by every route that takes one', () => {
  for (const name of Object.keys(paths) as RouteName[]) {
    const route: Shapes = contract[name];
    if (!route.body || name === 'putConfig') continue;
    const result = route.body.safeParse({ surprise: 1 });
    assert.ok(result.error?.issues.some((issue) => issue.code === 'unrecognized_keys'), name);
  }
});

test('text that would reach a terminal or a header has no control characters', () => {
  const bad = contract.addDevice.body.safeParse({ agentId: '0190b2c4-0000-7000-8000-000000000000', name: 'a\r\nb', ports: [{ number: 80, kind: 'http' }] });
  assert.deepEqual(bad.error?.issues.map((issue) => issue.path.join('.')), ['name']);
});
