// The command line against a real gateway: every command that asks the API, as its operator, with a token, and signed in by code.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import type { CommandIo } from '#bin/io.ts';
import { dispatch } from '#bin/postern.ts';
import { startGateway, temporaryFolder, until } from '#kit/gateway.ts';
import type { TestGateway } from '#kit/gateway.ts';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

let gateway: TestGateway;
const home = temporaryFolder();
const env: Record<string, string> = { XDG_CONFIG_HOME: home.path };

/** Runs one command line in this process. `during` sees what it says while it runs. */
async function run(args: string[], options: { env?: Record<string, string>; stdin?: string; isTerminal?: boolean; during?: (said: () => string) => Promise<void> } = {}): Promise<Ran> {
  const text = { out: '', err: '' };
  const stdin = Object.assign(new PassThrough(), { isTTY: options.isTerminal === true });
  stdin.end(options.stdin ?? '');
  const io: CommandIo = {
    stdin,
    stdout: new PassThrough().on('data', (piece) => (text.out += piece)),
    stderr: new PassThrough().on('data', (piece) => (text.err += piece)),
    env: options.env ?? env,
    signal: new AbortController().signal,
    isTerminal: false,
    columns: 100,
  };
  const running = dispatch(args, io);
  await options.during?.(() => text.err);
  return { code: await running, ...text };
}

/** As the operator, whose data folder it is; the command must succeed. */
async function operate(...args: string[]): Promise<string> {
  const ran = await run([...args, '--data', gateway.dataDir]);
  assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
  return ran.out;
}

const operateJson = async <Value>(...args: string[]): Promise<Value> => JSON.parse(await operate(...args, '--json')) as Value;

suite('the command line', { timeout: 60_000 }, () => {
  const device = createServer((_, response) => response.end('device'));
  let address = '';

  before(async () => {
    gateway = await startGateway();
    address = `https://localhost:${gateway.ports.https}`;
    await new Promise<void>((done) => device.listen(0, '127.0.0.1', done));
  });
  after(async () => {
    device.close();
    await gateway.close();
    home[Symbol.dispose]();
  });

  test('the setup address, until it is used', async () => {
    const shown = (await operate('setup-address')).trim();
    assert.match(shown, /^http:\/\/\S+\/setup#\S+$/);
    assert.equal(new URL(shown).hash, new URL(gateway.setupAddress()!).hash);
    await gateway.owner();
    const used = await run(['setup-address', '--data', gateway.dataDir]);
    assert.equal(used.code, 1);
    assert.match(used.err, /has been used[^]*postern invite/);
    const nowhere = await run(['setup-address', '--data', home.path]);
    assert.match(nowhere.err, /not the data folder/);
  });

  test('the CA, from the data folder and from what the gateway shows', async () => {
    const pem = await operate('ca');
    assert.equal(new X509Certificate(pem).fingerprint256, new X509Certificate(gateway.caPem).fingerprint256);
    assert.equal((await operate('ca', '--fingerprint')).trim(), gateway.caFingerprint);
    const shown = await run(['ca', address, '--fingerprint']);
    assert.equal(shown.out.trim(), gateway.caFingerprint, shown.err);
  });

  test('login: a stranger is not trusted, a fingerprint or a CA file is', async () => {
    const { token } = await gateway.owner();
    const tokenFile = join(home.path, 'token');
    writeFileSync(tokenFile, `${token}\n`);
    const refused = await run(['login', address, '--token-file', tokenFile]);
    assert.equal(refused.code, 4);
    assert.ok(refused.err.includes(gateway.caFingerprint));
    const wrong = await run(['login', address, '--token-file', tokenFile, '--fingerprint', '0'.repeat(64)]);
    assert.equal(wrong.code, 4);
    assert.match(wrong.err, /not the one given/);
    const done = await run(['login', address, '--token-file', '-', '--fingerprint', gateway.caFingerprint], { stdin: `${token}\n` });
    assert.equal(done.code, 0, done.err);
    assert.match(done.out, /Signed in to https:\/\/localhost:\d+ as owner/);
    const path = join(home.path, 'postern', 'profile.json');
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal((await run(['status'])).code, 0);
    // At a terminal a person compares.
    const ask = async (answer: string) => run(['login', address, '--token-file', tokenFile], { stdin: `${answer}\n`, isTerminal: true, env: { XDG_CONFIG_HOME: join(home.path, `other-${answer}`) } });
    assert.equal((await ask('n')).code, 4);
    assert.match((await ask('y')).out, /Signed in/);
    // Once trusted, it is not asked again.
    assert.equal((await run(['login', address, '--token-file', tokenFile])).code, 0);
    const bad = await run(['login', address, '--token', 'nonsense']);
    assert.equal(bad.code, 4);
    assert.equal((await run(['status'])).code, 0, 'a failed login leaves the profile alone');
  });

  test('login by a code that is approved in the browser; logout ends it', async () => {
    const { cookie } = await gateway.owner();
    const done = await run(['login', address, '--fingerprint', gateway.caFingerprint], {
      during: async (said) => {
        const code = await until('the code', () => /approve the code {3}(\S+)/.exec(said())?.[1]);
        assert.equal((await gateway.api('POST', `/cli-logins/${code}/approve`, { cookie })).status, 200);
      },
    });
    assert.equal(done.code, 0, done.err);
    const kept: { token: string } = JSON.parse(readFileSync(join(home.path, 'postern', 'profile.json'), 'utf8'));
    assert.equal((await run(['devices'])).code, 0);
    const out = await run(['logout']);
    assert.match(out.out, /Signed out/, out.err);
    const again = await run(['devices'], { env: { POSTERN_URL: `http://localhost:${gateway.ports.http}`, POSTERN_TOKEN: kept.token } });
    assert.equal(again.code, 4, 'the sign-in is worth nothing any more');
    assert.match((await run(['logout'])).out, /Nobody is signed in/);
  });

  test('devices: joined, listed, shown, changed, locked, removed', async () => {
    const { port } = device.address() as AddressInfo;
    await gateway.addDevice({ name: 'Front printer', ports: [{ number: port, kind: 'http' }] });
    assert.match(await operate('devices'), /^front-printer +Front printer +online +now +\d+ +http/m);
    const [listed] = await operateJson<{ label: string }[]>('devices', '--search', 'front');
    assert.equal(listed?.label, 'front-printer');
    assert.match(await operate('devices', '--state', 'offline'), /No devices/);
    assert.match(await operate('device', 'get', 'front-printer'), new RegExp(`local policy of the agent:\n {2}reach tcp 127.0.0.1 ${port}`));
    assert.match(await operate('device', 'set', 'front-printer', '--name', 'Back printer', '--port', `${port}/http=Panel`, '--serial', 'S1'), /serial +S1[^]*Panel/);
    assert.match(await operate('device', 'label', 'front-printer', 'back'), /label +back/);
    assert.match(await operate('device', 'lock', 'back'), /, locked/);
    assert.match(await operate('devices', '--state', 'locked'), /^back /m);
    await operate('device', 'unlock', 'back');
    assert.equal((await run(['device', 'get', 'nothing', '--data', gateway.dataDir])).code, 1);
    assert.equal((await run(['device', 'remove', 'back', '--data', gateway.dataDir])).code, 2, 'asks first');
    assert.match(await operate('device', 'remove', 'back', '--yes'), /Removed Back printer/);
    assert.match(await operate('devices'), /No devices/);
  });

  test('join tokens', async () => {
    const out = await operate('join-token', 'Meter', '--port', '80', '--port', '5900/tcp=VNC');
    assert.match(out, /postern join https:\/\/\S+ postern-join-1\.\S+/);
    assert.match((await operate('join-token', 'Other', '--quiet')).trim(), /^postern-join-1\.\S+$/);
    const waiting = async () => (await operateJson<{ id: string; deviceName: string; state: string }[]>('join-token', '--list')).filter((each) => each.state === 'waiting');
    assert.deepEqual((await waiting()).map((each) => each.deviceName).sort(), ['Meter', 'Other']);
    for (const { id } of await waiting()) await operate('join-token', '--remove', id);
    assert.deepEqual(await waiting(), []);
  });

  test('people, invites, tokens', async () => {
    assert.match(await operate('people'), /^owner +Owner +active .*administer@gateway/m);
    assert.match(await operate('invite', 'Bob', '--right', 'see@site:main'), /For Bob, with see@site:main[^]*http.*invite/);
    assert.equal((await run(['invite', 'Eve', '--right', 'rule', '--data', gateway.dataDir])).code, 2);
    assert.equal((await run(['invite', 'Eve', '--right', 'open@device:none', '--data', gateway.dataDir])).code, 1);
    const [invite] = await operateJson<{ id: string; name: string }[]>('invite', '--list');
    assert.equal(invite?.name, 'Bob');
    await operate('invite', '--remove', invite!.id);
    assert.match(await operate('token'), /^[0-9a-f-]{36} +test /m);
    const owner = await gateway.owner();
    const made = await gateway.api('POST', '/invites', { cookie: owner.cookie, body: { name: 'Carol', rights: [{ action: 'see', scopeKind: 'gateway', scopeId: null }] } });
    const code = new URL(String(made.json['address'])).hash.slice(1).split('/').at(-1);
    assert.equal((await gateway.api('POST', '/invites/accept', { body: { code, login: 'carol', name: 'Carol', password: 'correct horse battery staple' } })).status, 200);
    await operate('people', 'rights', 'carol', 'open@site:main', 'see@customer:default');
    assert.match(await operate('people', 'lock', 'carol'), /lock carol/);
    assert.match(await operate('people', '--search', 'carol'), /^carol +Carol +locked .*open@site:main see@customer:/m);
    await operate('people', 'unlock', 'carol');
    assert.equal((await run(['people', 'lock', 'nobody', '--data', gateway.dataDir])).code, 1);
    await operate('people', 'remove', 'carol');
    assert.doesNotMatch(await operate('people'), /carol/);
    // Credentials are made by people who signed in, not by tokens.
    assert.equal((await run(['token', 'add', 'more', '--data', gateway.dataDir])).code, 4);
  });

  test('visits, audit, journal', async () => {
    assert.match(await operate('visits'), /No visits/);
    assert.equal((await run(['visits', 'open', 'x', '--data', gateway.dataDir])).code, 2);
    assert.match(await operate('audit', '--limit', '200'), /device\.locked/);
    const only = await operateJson<{ what: string }[]>('audit', '--what', 'device.locked');
    assert.deepEqual([...new Set(only.map((line) => line.what))], ['device.locked']);
    assert.match(await operate('audit', 'verify'), /the chain is whole\. Head [0-9a-f]{64}/);
    assert.match(await operate('journal'), /link\.opened/);
  });

  test('export, apply, explain', async () => {
    const file = join(home.path, 'config.json');
    await operate('export', '-o', file);
    const config: { routes: unknown[] } = JSON.parse(readFileSync(file, 'utf8'));
    assert.deepEqual(JSON.parse(await operate('export')), config);
    assert.match(await operate('apply', '-f', file), /Nothing to change/);
    // What is left out means its default: the same configuration, in another order too.
    const { deviceDomain, routes: none, ...short } = config as { routes: unknown[]; deviceDomain: null };
    assert.deepEqual([deviceDomain, none], [null, []]);
    writeFileSync(file, JSON.stringify(Object.fromEntries(Object.entries(short).reverse())));
    const before = (await operateJson<{ revision: number }>('apply', '-f', file, '--dry-run')).revision;
    assert.deepEqual(await operateJson('apply', '-f', file), { revision: before, dryRun: false, changed: false });
    assert.match(await operate('apply', '-f', file, '--dry-run'), /Nothing to change/);
    const routes = [...config.routes, { name: 'old-wiki', host: 'wiki.example.test', listeners: ['http'], target: { kind: 'respond', status: 410, body: 'gone' } }];
    writeFileSync(file, JSON.stringify({ ...config, routes }));
    assert.match(await operate('apply', '-f', file, '--dry-run'), /It compiles/);
    // Without a port: the listeners of a test have none of their own until they are bound.
    const url = 'http://wiki.example.test/page';
    assert.equal((await run(['explain', url, '--data', gateway.dataDir])).code, 4);
    assert.match(await operate('apply', '-f', file), /Applied as revision \d+/);
    assert.match(await operate('explain', url), /"old-wiki" wins[^]*=> respond, by old-wiki/);
    // The same answer from the file alone, with nobody to ask.
    const offline = await run(['explain', url, '--file', file], { env: {} });
    assert.match(offline.out, /"old-wiki" wins/, offline.err);
    writeFileSync(file, JSON.stringify({ ...config, routes: [{ name: 'x' }], nonsense: 1 }));
    const bad = await run(['apply', '-f', file, '--data', gateway.dataDir]);
    assert.equal(bad.code, 1);
    assert.match(bad.err, /nothing was changed[^]*\n {2}\S*routes/);
    writeFileSync(file, '{');
    assert.match((await run(['apply', '-f', file, '--data', gateway.dataDir])).err, /is not JSON/);
  });

  test('status', async () => {
    assert.match(await operate('status'), /devices +0 of 0 online/);
    assert.equal((await operateJson<{ devices: number }>('status')).devices, 0);
  });
});
