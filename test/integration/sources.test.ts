// From the code on a panel to a device that may go on, by the command line and through a whole gateway: site codes, job sources, URLs of devices, evidence.
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { PassThrough } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import { startAddressApp, type AddressApp, type AppSaw } from '#kit/address-app.ts';
import type { CommandIo } from '#bin/io.ts';
import { dispatch } from '#bin/postern.ts';
import { finishesCleanly, startGateway, temporaryFolder, type TestGateway } from '#kit/gateway.ts';

interface Answer {
  readonly status: number;
  readonly text: string;
}

suite('devices and what they may use, from the command line', { timeout: 60_000 }, () => {
  const folder = temporaryFolder();
  let gateway: TestGateway;
  let app: AddressApp;

  before(async () => {
    app = await startAddressApp();
    gateway = await startGateway({ routes: [{ name: 'scans', host: 'scans.example.test', listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port: app.port }, application: { tell: 'headers' } }] });
    await gateway.addDevice({ name: 'LAN', ports: [{ number: 80, kind: 'http' }] });
    const { token } = await gateway.owner();
    const agentId = [...gateway.tables.agents.values()][0]!.id;
    for (const [name, host] of [['Press', '127.9.1.1'], ['Second', '127.9.1.2']] as const) await gateway.api('POST', '/devices', { token, body: { agentId, name, serial: `SN-${name}`, host, ports: [{ number: 80, name: '', kind: 'http' }] } });
  });
  after(async () => {
    await finishesCleanly(gateway);
    await gateway.close();
    await app[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const ask = (from: string, path = '/', userAgent = 'Panel/1.0') =>
    new Promise<Answer>((done, failed) => {
      const sent = httpRequest({ host: '127.0.0.1', port: gateway.ports.http, localAddress: from, path, headers: { host: 'scans.example.test', 'user-agent': userAgent }, agent: false }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => done({ status: answer.statusCode!, text })).on('error', failed);
      });
      sent.on('error', failed);
      sent.end();
    });
  const run = async (args: readonly string[], input = '') => {
    const text = { out: '', err: '' };
    const stream = (which: 'out' | 'err') => new PassThrough().on('data', (piece: Buffer) => void (text[which] += piece.toString()));
    const io: CommandIo = { stdin: new PassThrough().end(input), stdout: stream('out'), stderr: stream('err'), env: { HOME: folder.path }, signal: new AbortController().signal, isTerminal: false, columns: 240 };
    const code = await dispatch([...args, '--data', gateway.dataDir], io);
    await new Promise((next) => setImmediate(next));
    return { code, ...text };
  };
  const operate = async (...args: string[]) => {
    const ran = await run(args);
    assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
    return ran.out;
  };
  const codeOn = ({ status, text }: Answer): string => {
    assert.equal(status, 403, text);
    return /\b\d{6}\b/.exec(text.replace(/\b(\d{3}) (\d{3})\b/, '$1$2'))![0];
  };

  test('a panel that nobody knows shows a code; assigning it lets it in', async () => {
    const code = codeOn(await ask('127.9.1.77'));
    assert.match(await operate('unassigned'), new RegExp(`^${code} +scans +127\\.9\\.1\\.77`, 'm'));
    const told = await operate('unassigned', 'assign', code, 'press');
    assert.match(told, /^Press may use scans, and is expected at 127\.9\.1\.77 from now on\.$/m);
    assert.match(told, /address-only/);
    const { status, text } = await ask('127.9.1.77');
    assert.equal(status, 200, text);
    assert.equal((JSON.parse(text) as AppSaw).headers['x-forwarded-for'], '127.9.1.77');
    assert.match(await operate('unassigned'), /Nobody waits/);
    assert.match(await operate('sources'), /^scans +press +device +127\.9\.1\.77/m);
  });

  test('another kind of program at that address is not taken for the device', async () => {
    const refused = await ask('127.9.1.77', '/', 'Somebody-else');
    codeOn(refused);
    assert.match(await operate('identity', 'press'), /^last seen .* from 127\.9\.1\.77 at scans: ambiguous$/m);
    assert.match(await operate('journal', '--event', 'identity.ambiguous'), /127\.9\.1\.77/);
  });

  test("a device's own URL says who it is, from wherever", async () => {
    const address = (await operate('device-url', 'second', 'scans')).trim();
    assert.match(address, /^http:\/\/scans\.example\.test(:\d+)?\/d\/[A-Za-z0-9_-]{24}\/$/);
    assert.equal((await ask('127.9.1.200', new URL(address).pathname)).status, 403, 'known, but no job source');
    await operate('sources', 'add', 'scans', 'second');
    const { status, text } = await ask('127.9.1.200', `${new URL(address).pathname}menu`);
    assert.equal(status, 200, text);
    const { headers } = JSON.parse(text) as AppSaw;
    assert.match(Buffer.from(headers['x-postern-identity']!.split('.')[1]!, 'base64url').toString(), /"SN-Second"/);
    const evidence = await operate('identity', 'second');
    assert.match(evidence, /^last seen .* from 127\.9\.1\.200 at scans: verified by token$/m);
    assert.match(evidence, /^token +[0-9a-f-]{36}/m);
    const secret = /\/d\/([^/]+)/.exec(address)![1]!;
    for (const told of [await operate('journal', '--limit', '500'), await operate('audit'), evidence]) assert.ok(!told.includes(secret));
    const { items } = JSON.parse(`{"items":${await operate('device-url', 'second', '--json')}}`) as { items: { id: string }[] };
    await operate('device-url', 'second', '--remove', items[0]!.id);
    codeOn(await ask('127.9.1.200', new URL(address).pathname));
  });

  test('CSV in and out', async () => {
    const bad = await run(['sources', 'import', '-'], 'application,device\nscans,nobody\n');
    assert.deepEqual([bad.code, bad.out], [1, 'line 2: no device "nobody"\nNothing is changed.\n']);
    const text = await operate('sources', 'export');
    assert.match(text, /^application,serial,device,site,address,as,note\r\nscans,,press,,,,\r\nscans,,second,,,,\r\n$/);
    assert.match((await run(['sources', 'import', '-', '--dry-run', '--replace'], 'application,serial\nscans,SN-9')).out, /^\+ scans: serial SN-9\n- scans: press\n- scans: second\nIt would be: 1 added, 0 changed, 2 removed, 0 as they were\.\n$/);
    assert.match((await run(['sources', 'import', '-'], `${text}scans,SN-9,,,,,"later"`)).out, /^\+ scans: serial SN-9 \(later\)\n1 added[^]*scans: no device has the serial SN-9\./);
    assert.match(await operate('sources', 'conflicts'), /no device has the serial SN-9/);
  });

  test('who may not go on any more, does not', async () => {
    const rows = JSON.parse(await operate('sources', '--json')) as { id: string; device: { label: string } | null }[];
    await operate('sources', 'remove', rows.find((row) => row.device?.label === 'press')!.id);
    codeOn(await ask('127.9.1.77'));
    assert.equal((await run(['sources', 'nonsense'])).code, 2);
    assert.equal((await run(['unassigned', 'assign', '000000', 'press'])).code, 1);
  });
});
