// An agent's certificate is signed by the private CA, and so are those of people and servers. Its key lies in somebody else's network: it opens
// the link endpoint and no route.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAgentState } from '#app/agent-state.ts';
import { get, knock } from '#kit/tls-door.ts';
import { finishesCleanly, portOf, startGateway } from '../kit/gateway.ts';

test('where the private CA proves clients, an agent is nobody', async () => {
  await using gateway = await startGateway({
    domain: 'gw.example.test',
    config: {
      listeners: [{ name: 'people', address: '127.0.0.1', port: 0, tls: true }],
      tlsPolicies: [
        { name: 'staff', hosts: ['staff.example.test'], clientCertificates: { ca: 'private', required: true } },
        { name: 'asked', hosts: ['asked.example.test'], clientCertificates: { ca: 'private', required: false } },
      ],
    },
    routes: [
      { name: 'staff', host: 'staff.example.test', listeners: ['people'], target: { kind: 'respond', body: 'for staff' } },
      { name: 'asked', host: 'asked.example.test', listeners: ['people'], clientCertificate: {}, target: { kind: 'respond', body: 'for staff' } },
    ],
  });
  const device = await gateway.addDevice({ name: 'camera', ports: [{ number: 80, kind: 'http' }] });
  const state = await readAgentState(device.stateDir);
  assert.ok(state);
  for (const host of ['staff.example.test', 'asked.example.test']) {
    const knocked = await knock(portOf(gateway, 'people'), { servername: host, cert: state.certificate, key: state.key, say: get(host) });
    assert.match(knocked.text, /^HTTP\/1\.1 403 /, host);
    assert.doesNotMatch(knocked.text, /for staff/);
  }
  await device.stop();
  await finishesCleanly(gateway);
});
