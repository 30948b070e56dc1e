// What explain says of a device's request is what happens: each is asked about first, and then made.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway, type TestGateway } from '../kit/gateway.ts';
import { askRaw } from '../kit/raw-device.ts';

const epoch = '5b1e0c77a1d2e3f4';

test('a device request is explained as it is answered', { timeout: 60_000 }, async () => {
  await using gateway: TestGateway = await startGateway({
    config: {
      strangers: [{ policy: 'quarantine', quarantineBytes: 1_000 }],
      servers: [{ name: 'far', base: 'https://far.example.test/v1', pins: [], weight: 1, drain: 'no' }],
      redirects: [{ name: 'away', serials: ['FAR*'], strategy: 'first', servers: ['far'], ttlSeconds: 600, status: 307 }],
      feeds: [{ name: 'calls', feeds: 'cdr', format: 'u16' }],
    },
  });
  const { token } = await gateway.owner();
  const api = async (method: string, path: string, body: unknown) => (await gateway.api(method, path, { token, body })).json as Record<string, string>;
  const keys: Record<string, string> = {};
  for (const serial of ['SN1', 'FAR1', 'LOCKED', 'NOKEY']) {
    const { id } = await api('POST', '/devices', { name: serial, serial });
    if (serial !== 'NOKEY') keys[serial] = (await api('POST', `/devices/${id}/keys`, {}))['secret']!;
    if (serial === 'LOCKED') await api('POST', `/devices/${id}/lock`, undefined);
  }
  const explain = async (path: string, method: string, secure = true) => {
    const answer = await api('POST', '/explain', { url: `${secure ? 'https' : 'http'}://localhost:0${path}`, method });
    return { verdict: answer['verdict'], rule: answer['rule'], text: (answer['lines'] as unknown as string[]).join('\n') };
  };
  const make = (path: string, method: string, serial: string, secure = true) =>
    askRaw(`${secure ? 'https' : 'http'}://127.0.0.1:${secure ? gateway.ports.https : gateway.ports.http}${path}`, { method, headers: { host: 'localhost', ...(keys[serial] === undefined ? {} : { 'x-postern-key': keys[serial] }) }, ...(method === 'POST' ? { body: Buffer.from([0, 1, 65]) } : {}) });

  const cases: readonly (readonly [serial: string, method: string, path: string, verdict: string, says: RegExp, status: number, secure?: boolean])[] = [
    ['SN1', 'GET', `/v1/default/push/SN1/cdr/${epoch}`, 'device', /answered with 200 and next=0: nothing of this epoch is here yet/, 200],
    ['SN1', 'POST', `/v1/default/push/SN1/cdr/${epoch}?o=0`, 'device', /feeds: "calls" is about it: u16[^]*stored at 0/, 200],
    ['SN1', 'POST', `/v1/default/push/SN1/cdr/${epoch}?o=0`, 'device', /up to 3 it is compared/, 200],
    ['SN1', 'POST', `/v1/default/push/SN1/cdr/${epoch}?o=9`, 'device', /answered with 409 gap and next=3/, 409],
    ['SN1', 'POST', `/v1/default/push/SN1/cdr/${epoch}`, 'device', /answered with 400[^]*next is 3/, 400],
    ['SN1', 'POST', `/v1/default/push/SN1/cdr/${epoch}?o=3`, 'device', /its key itself is refused over plain http/, 401, false],
    ['SN1', 'POST', '/v1/default/check-in/SN1', 'device', /answered with 200: the time/, 200],
    ['SN1', 'POST', '/v1/default/in/SN1/log', 'device', /once for each Idempotency-Key/, 200],
    ['SN1', 'POST', '/v1/default/action/SN1/7', 'device', /410/, 410],
    ['SN1', 'POST', '/v1/default/fly/SN1', 'refuse', /"fly" is nothing/, 404],
    ['SN1', 'POST', `/v1/nobody/push/SN1/cdr/${epoch}?o=0`, 'refuse', /no customer nobody/, 404],
    ['SN1', 'POST', '/v1/default/push/SN1/cdr/XYZ?o=0', 'refuse', /epoch is 16 hex/, 400],
    ['FAR1', 'POST', `/v1/default/push/FAR1/cdr/${epoch}?o=0`, 'device', /sent to https:\/\/far\.example\.test\/v1\/default by rule "away"/, 307],
    ['LOCKED', 'POST', `/v1/default/push/LOCKED/cdr/${epoch}?o=0`, 'refuse', /this device is locked/, 403],
    ['NOKEY', 'POST', `/v1/default/push/NOKEY/cdr/${epoch}?o=0`, 'refuse', /given no key yet/, 401],
    ['NEW', 'POST', `/v1/default/push/NEW/cdr/${epoch}?o=0`, 'device', /put among those that wait[^]*1000 bytes more/, 200],
    ['NEW', 'POST', `/v1/default/push/NEW/cdr/${epoch}?o=3`, 'device', /waits to be approved since[^]*997 bytes more[^]*stored at 3/, 200],
    ['NEW', 'POST', '/v1/default/in/NEW/log', 'refuse', /may only check in/, 403],
  ];
  for (const [serial, method, path, verdict, says, status, secure = true] of cases) {
    const told = await explain(path, method, secure);
    assert.equal(told.verdict, verdict, `${method} ${path}: ${told.text}`);
    assert.match(told.text, says, `${method} ${path}`);
    const answer = await make(path, method, serial, secure);
    assert.equal(answer.status, status, `${method} ${path}: ${answer.body}`);
    if (verdict === 'refuse') assert.match(told.text, new RegExp(`refused with ${status}`));
  }
});
