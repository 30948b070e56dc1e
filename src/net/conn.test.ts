import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toldFrom, type Accepted } from './conn.ts';

test('who comes through a door is never this machine to a server', () => {
  const told = (from: string, isDoor: boolean) => toldFrom({ from, accepted: { via: isDoor ? { agentId: 'a', siteId: 's', mac: null } : null } as Accepted });
  assert.deepEqual(['127.0.0.1', '::1', '192.0.2.7', '2001:db8::7'].map((from) => told(from, true)), ['192.0.0.8', '100::1', '192.0.2.7', '2001:db8::7']);
  assert.deepEqual(['127.0.0.1', '::1'].map((from) => told(from, false)), ['127.0.0.1', '::1']);
});
