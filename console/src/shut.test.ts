import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAddress, whyShut } from './shut.ts';

const open = { locked: false, agentState: 'active' as const, url: 'https://pump.gw.example.test/', may: ['see' as const, 'open' as const] };

test('what is locked or revoked is not offered to be opened, and says why', () => {
  assert.deepEqual([whyShut(open), openAddress(open)], [null, open.url]);
  for (const [change, why] of [
    [{ locked: true }, /^Locked/],
    [{ agentState: 'locked' as const }, /agent is locked/],
    [{ agentState: 'revoked' as const, locked: true }, /revoked/],
    [{ agentState: 'none' as const }, /cannot be opened/],
  ] as const) {
    const device = { ...open, ...change };
    assert.match(whyShut(device) ?? '', why);
    assert.equal(openAddress(device), null);
  }
  assert.equal(openAddress({ ...open, may: ['see'] }), null);
});
