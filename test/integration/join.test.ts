// What joining refuses beyond tokens and certificates, which test/peers/clients covers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { finishesCleanly, startGateway } from '../kit/gateway.ts';

test('a token that was made while there was room joins nobody once there is none', async () => {
  await using gateway = await startGateway({ limits: { devicesMax: 1 } });
  await gateway.addDevice({ name: 'first', ports: [{ number: 9, kind: 'tcp' }] });
  await assert.rejects(gateway.addDevice({ name: 'second', ports: [{ number: 9, kind: 'tcp' }] }), (thrown) => isFault(thrown, 'too-many') && /1 devices already/.test(thrown.message));
  assert.equal(gateway.tables.devices.size, 1);
  assert.equal(Array.from(gateway.tables.joinTokens.values()).filter((token) => token.usedAt === null).length, 1, 'the token is still good');
  await finishesCleanly(gateway);
});
