// Agents and the command line as people start them: joining, everything that refuses it, local policy, locks, and what the CLI says.
import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AuditLineView, JoinTokenView, JournalLineView } from '#api/shapes.ts';
import { realClock } from '#app/real.ts';
import { request, startGateway, until } from '#kit/gateway.ts';
import { startEcho, type Echoed } from '#kit/peers.ts';
import { openProcesses, postern, startServe, type Finished, type Page, type Processes, type Served } from '#kit/processes.ts';
import { encodeJoinToken, parseJoinToken } from '#wire/join-token.ts';

const tcp80 = [{ number: 80, kind: 'http' as const }];

function joinOnce(processes: Processes, token: string, state: string, more: readonly string[] = [], address: readonly string[] = []): Promise<Finished> {
  return processes.run(postern, ['join', ...address, '--token-file', '-', '--state', join(processes.folder, state), '--no-run', ...more], { input: `${token}\n` });
}

/** The token with one address alone, so that no other is tried. */
function at(token: string, gateway: { readonly httpsPort: number }): string {
  return encodeJoinToken({ ...parseJoinToken(token), addresses: [`https://127.0.0.1:${gateway.httpsPort}`] });
}

const refusals = async (gateway: Served): Promise<JournalLineView[]> => (await gateway.ask<Page<JournalLineView>>('GET', '/journal?event=join.refused')).items;
const getJson = async (gateway: Served, host: string, path = '/') => {
  const answer = await request(gateway.httpPort, { path, headers: { host, 'postern-token': gateway.token, accept: 'application/json' } });
  return { status: answer.status, text: answer.body.toString() };
};

test('joining, and every way to be refused', { timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);

  await t.test('a token is good once', async () => {
    const { secret, joinToken } = await gateway.joinToken({ name: 'Printer 7', ports: tcp80 });
    const first = await joinOnce(processes, at(secret, gateway), 'first');
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /Joined as Printer 7: http:\/\/printer-7\.localhost:\d+\//);
    for (const name of ['agent.json', 'policy']) {
      const path = join(processes.folder, 'first', name);
      assert.equal(statSync(path).mode & 0o777, 0o600, name);
    }
    const second = await joinOnce(processes, at(secret, gateway), 'second');
    assert.notEqual(second.code, 0);
    assert.match(second.stderr, /this join token has been used\nA token is good once/);
    assert.deepEqual(readdirSync(processes.folder).filter((name) => name === 'second'), [], 'nothing is kept of a join that failed');
    const shown = await gateway.ask<JoinTokenView>('GET', `/join-tokens/${joinToken.id}`);
    assert.deepEqual([shown.state, shown.device?.label], ['used', 'printer-7']);
    assert.equal((await refusals(gateway))[0]?.fields['code'], 'gone');
    const audit = (await gateway.ask<Page<AuditLineView>>('GET', '/audit?what=agent.joined')).items;
    assert.equal(audit.length, 1);
  });

  await t.test('two at the same moment: one joins', async () => {
    const { secret } = await gateway.joinToken({ name: 'raced', ports: tcp80 });
    const both = await Promise.all(['race-a', 'race-b'].map((state) => joinOnce(processes, at(secret, gateway), state)));
    assert.deepEqual(both.map(({ code }) => code === 0).toSorted(), [false, true]);
  });

  await t.test('a folder that has an identity keeps it, unless told', async () => {
    const { secret } = await gateway.joinToken({ name: 'again', ports: tcp80 });
    const kept = readFileSync(join(processes.folder, 'first', 'agent.json'), 'utf8');
    const refused = await joinOnce(processes, at(secret, gateway), 'first');
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /holds the identity of an agent already.*--again/s);
    assert.equal(readFileSync(join(processes.folder, 'first', 'agent.json'), 'utf8'), kept);
    const replaced = await joinOnce(processes, at(secret, gateway), 'first', ['--again']);
    assert.equal(replaced.code, 0, replaced.stderr);
  });

  await t.test('what is no token, or half of one', async () => {
    const { secret } = await gateway.joinToken({ name: 'whole', ports: tcp80 });
    for (const text of ['', 'hello', secret.slice(0, -30), secret.slice(0, 40)]) {
      const refused = await joinOnce(processes, text, 'third');
      assert.notEqual(refused.code, 0, text);
      assert.match(refused.stderr, /not a join token/);
    }
    const unknown = encodeJoinToken({ ...parseJoinToken(at(secret, gateway)), secret: 'nobody-made-this-secret' });
    const refused = await joinOnce(processes, unknown, 'third');
    assert.equal(refused.code, 4);
    assert.match(refused.stderr, /not known here/);
    assert.doesNotMatch(refused.stderr, /nobody-made/);
  });

  await t.test('for another gateway: the agent finds out before it says anything', async () => {
    const other = await startServe(processes, { name: 'other' });
    const { secret, joinToken } = await other.joinToken({ name: 'elsewhere', ports: tcp80 });
    const before = (await refusals(gateway)).length;
    const refused = await joinOnce(processes, at(secret, gateway), 'fourth');
    assert.equal(refused.code, 4, refused.stderr);
    assert.match(refused.stderr, /not the gateway/);
    assert.equal((await refusals(gateway)).length, before, 'the wrong gateway was not shown the token');
    assert.equal((await other.ask<JoinTokenView>('GET', `/join-tokens/${joinToken.id}`)).state, 'waiting', 'and it is still good');
    // The right fingerprint with a secret of another gateway.
    const crossed = encodeJoinToken({ ...parseJoinToken(at(secret, gateway)), caFingerprint: parseJoinToken((await gateway.joinToken({ name: 'x', ports: tcp80 })).secret).caFingerprint });
    assert.match((await joinOnce(processes, crossed, 'fourth')).stderr, /not known here/);
    const joined = await joinOnce(processes, at(secret, other), 'fourth');
    assert.equal(joined.code, 0, joined.stderr);
    await other.process.stop();
  });

  await t.test('nobody listens there', async () => {
    const { secret } = await gateway.joinToken({ name: 'nowhere', ports: tcp80 });
    const refused = await joinOnce(processes, at(secret, { httpsPort: 1 }), 'fifth');
    assert.equal(refused.code, 3, refused.stderr);
    assert.match(refused.stderr, /127\.0\.0\.1:1 cannot be reached/);
    // With an address that can be reached in front, the same token works.
    const joined = await joinOnce(processes, at(secret, { httpsPort: 1 }), 'fifth', [], [`https://127.0.0.1:${gateway.httpsPort}`]);
    assert.equal(joined.code, 0, joined.stderr);
  });
});

test('a token that expired', { timeout: 60_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  // The one thing that needs a clock of the test's own: this gateway runs here.
  let aheadMs = 0;
  await using gateway = await startGateway({ clock: { ...realClock, nowMs: () => realClock.nowMs() + aheadMs } });
  const { text } = await gateway.makeJoinToken({ deviceName: 'late', host: '127.0.0.1', ports: [] });
  const token = at(text, { httpsPort: gateway.ports.https });
  aheadMs = 61 * 60_000;
  const refused = await joinOnce(processes, token, 'late');
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /this join token has expired\nA token is good for an hour/);
  aheadMs = 59 * 60_000;
  const joined = await joinOnce(processes, token, 'late');
  assert.equal(joined.code, 0, joined.stderr);
});

test('local policy, locks and revocation with real agents', { timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using echo = await startEcho();
  const gateway = await startServe(processes);
  const device = await gateway.addDevice({ name: 'bench', ports: [{ number: echo.port, kind: 'http' }], policy: 'reach tcp 192.0.2.1 80\n' });

  await t.test('a target outside the local policy: the answer names the line, and the line helps', async () => {
    const refused = await getJson(gateway, device.host);
    assert.equal(refused.status, 403, refused.text);
    const line = /reach tcp 127\.0\.0\.1 \d+/.exec(refused.text)?.[0];
    assert.equal(line, `reach tcp 127.0.0.1 ${echo.port}`);
    assert.equal(echo.seen.length, 0);
    appendFileSync(join(device.stateDir, 'policy'), `${line}\n`);
    await until('the agent to have read it', async () => (await getJson(gateway, device.host)).status === 200);
    await until('the console to show it', async () => (await device.view()).policy?.includes(line));
  });

  await t.test('a locked device refuses people at once, its agent stays linked', async () => {
    await gateway.ask('POST', `/devices/${device.id}/lock`);
    const refused = await getJson(gateway, device.host);
    assert.equal(refused.status, 403);
    assert.match(refused.text, /locked/);
    const connect = await processes.run(postern, ['connect', 'bench', String(echo.port)], { env: gateway.env });
    assert.equal(connect.code, 4);
    assert.match(connect.stderr, /locked/);
    assert.equal((await device.view()).online, true);
    await gateway.ask('POST', `/devices/${device.id}/unlock`);
    assert.equal((await getJson(gateway, device.host)).status, 200);
  });

  await t.test('a locked agent loses its link and is told why; unlocked, it comes back when started', async () => {
    await gateway.ask('POST', `/agents/${device.agentId}/lock`);
    await device.agent.says(/link\.closed.*locked/);
    await until('it to be offline', async () => !(await device.view()).online);
    await device.agent.stop();
    const refused = processes.start(postern, ['agent', '--state', device.stateDir, '--address', `https://127.0.0.1:${gateway.httpsPort}`]);
    await refused.says(/link\.refused.*this agent is locked/);
    await refused.stop();
    await gateway.ask('POST', `/agents/${device.agentId}/unlock`);
    await device.restart();
    assert.equal((await getJson(gateway, device.host)).status, 200);
  });

  await t.test('a person whose token is revoked loses what runs', async () => {
    const made = await gateway.asPerson<{ secret: string; token: { id: string } }>('POST', '/tokens', { name: 'short' });
    const connect = processes.start(postern, ['connect', 'bench', String(echo.port)], { env: { ...gateway.env, POSTERN_TOKEN: made.secret } });
    connect.stdin.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await connect.says(/HTTP\/1\.1 200/);
    await gateway.asPerson('DELETE', `/tokens/${made.token.id}`);
    assert.notEqual((await connect.ended).code, 0);
  });

  await t.test('a revoked agent is out for ever', async () => {
    await gateway.ask('POST', `/agents/${device.agentId}/revoke`);
    await until('it to be offline', async () => !(await device.view()).online);
    await device.agent.stop();
    const refused = processes.start(postern, ['agent', '--state', device.stateDir, '--address', `https://127.0.0.1:${gateway.httpsPort}`]);
    await refused.says(/link\.refused.*revoked/);
    await refused.stop();
  });
});

test('the command line asks as the operator, as a token, and says what it lacks', { timeout: 60_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using echo = await startEcho();
  const gateway = await startServe(processes);
  const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) => processes.run(postern, args, { env });
  // Where there is no ./data of one's own either.
  const nobody = await processes.run(postern, ['devices'], { cwd: join(processes.folder, 'home') });
  assert.notEqual(nobody.code, 0);
  assert.match(nobody.stderr, /postern login/);
  const byOperator = await run(['join-token', 'made here', '--port', `${echo.port}/http`, '--quiet', '--data', gateway.dataDir]);
  assert.equal(byOperator.code, 0, byOperator.stderr);
  const state = join(processes.folder, 'made');
  const agent = processes.start(postern, ['join', '--token-file', '-', '--state', state]);
  agent.stdin.end(at(byOperator.stdout.trim(), gateway));
  await agent.says(/link\.opened/);
  // The first policy of a fresh agent allows 80, 443 and 22 of its own host; more takes its owner.
  appendFileSync(join(state, 'policy'), `reach tcp 127.0.0.1 ${echo.port}\n`);
  const echoed = await until('the device to answer', async () => {
    const got = await getJson(gateway, `made-here.localhost:${gateway.httpPort}`, '/hello');
    return got.status === 200 ? (JSON.parse(got.text) as Echoed) : null;
  });
  assert.equal(echoed.url, '/hello');
  const listed = await run(['devices', '--json'], gateway.env);
  assert.equal(listed.code, 0, listed.stderr);
  assert.deepEqual((JSON.parse(listed.stdout) as { label: string; online: boolean }[]).map(({ label, online }) => [label, online]), [['made-here', true]]);
  for (const command of [['status'], ['visits'], ['audit', '--json'], ['journal'], ['doctor'], ['people']]) {
    const done = await run(command, gateway.env);
    assert.equal(done.code, 0, `${command.join(' ')}: ${done.stderr}`);
    assert.notEqual(done.stdout, '');
  }
  const explained = await run(['explain', `http://made-here.localhost:${gateway.httpPort}/`], gateway.env);
  assert.match(explained.stdout, /made here/);
  await agent.stop();
  rmSync(state, { recursive: true });
  const gone = await run(['agent', '--state', state]);
  assert.match(gone.stderr, /postern join/);
});
