// A disk that fills up: warned of, then the journal is cut, then new visits and pushes are refused, and when there is room again everything
// goes on. Nothing that was acknowledged is lost, and nothing twice.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { realClock } from '#app/real.ts';
import { parseLines } from '#wire/device.ts';
import { finishesCleanly, isCi, request, startGateway, until, type TestGateway } from '../kit/gateway.ts';

const quarantine = { strangers: [{ policy: 'quarantine', quarantineBytes: 64_000_000 }] };
const gib = 1024 ** 3;
/** Looks every 20 ms instead of every 10 s. */
const quick = { ...realClock, every: (periodMs: number, run: () => void) => realClock.every(periodMs === 10_000 ? 20 : periodMs, run) };

function pusherOf(gateway: TestGateway) {
  const path = `/v1/default/push/SN1/cdr/${randomBytes(8).toString('hex')}`;
  return async (query: string, body: string | Buffer, method = 'POST') => {
    const answer = await request(gateway.ports.http, { method, path: `${path}${query}`, headers: { host: 'localhost' }, body });
    return { status: answer.status, retryAfter: answer.headers['retry-after'], values: Object.fromEntries(parseLines(answer.body.toString())) as Record<string, string> };
  };
}

suite('a disk that fills up', { timeout: 120_000 }, () => {
  test('does less and less, and in the end takes nothing new', async (t) => {
    const disk = { freeBytes: 50 * gib };
    const page = createServer((_, response) => response.end('the page'));
    await new Promise<void>((done) => page.listen(0, '127.0.0.1', done));
    t.after(() => {
      page.closeAllConnections();
      page.close();
    });
    await using gateway = await startGateway({ clock: quick, config: quarantine, disk: async () => ({ freeBytes: disk.freeBytes, usedBytes: 100 * gib - disk.freeBytes }) });
    const { cookie, token } = await gateway.owner();
    await gateway.addDevice({ name: 'Printer 1', ports: [{ number: (page.address() as AddressInfo).port, kind: 'http' }] });
    await gateway.addDevice({ name: 'Printer 2', ports: [{ number: (page.address() as AddressInfo).port, kind: 'http' }] });
    const become = async (level: string, freeBytes: number) => {
      disk.freeBytes = freeBytes;
      await until(`the level ${level}`, async () => ((await gateway.api('GET', '/keeping', { cookie })).json['disk'] as { level: string }).level === level);
    };
    const remarks = async () => ((await gateway.api('GET', '/status', { cookie })).json['remarks'] as string[]).filter((each) => each.startsWith('The disk'));
    const findings = async () => ((await gateway.api('POST', '/doctor', { cookie })).json['findings'] as { id: string; status: string }[]).find(({ id }) => id === 'disk')!.status;
    const journal = async () => (await gateway.api('GET', '/journal?limit=500', { cookie })).json['items'] as { event: string }[];
    const push = pusherOf(gateway);
    const visit = async (label: string) => (await request(gateway.ports.http, { headers: { host: `${label}.localhost:${gateway.ports.http}`, 'postern-token': token } })).status;
    assert.equal(await visit('printer-1'), 200);
    assert.equal((await push('?o=0', 'one\n')).status, 200);
    assert.deepEqual(await remarks(), []);
    for (let i = 0; i < 200; i += 1) await gateway.api('GET', '/people', { headers: { authorization: 'Bearer nonsense' } });

    await become('warn', 9 * gib);
    assert.match((await remarks())[0]!, /filling up/);
    assert.equal(await findings(), 'warning');
    assert.equal((await push('?o=4', 'two\n')).status, 200);

    const before = (await journal()).length;
    await become('low', gib);
    assert.match((await remarks())[0]!, /journal was cut/);
    assert.ok((await journal()).length <= before / 10 + 3, `${before} lines before`);
    assert.ok((await journal()).some(({ event }) => event === 'disk.level'));
    assert.equal((await push('?o=8', 'three\n')).status, 200);

    await become('full', 0.01 * gib);
    const refused = await push('?o=14', 'four\n');
    assert.deepEqual([refused.status, refused.values['error'], refused.values['retry'] !== undefined], [503, 'busy', true]);
    assert.equal(await visit('printer-1'), 200, 'a visit that stands goes on');
    assert.equal(await visit('printer-2'), 503, 'a new one does not begin');
    assert.match((await remarks())[0]!, /new visits and pushes are refused/);
    assert.equal(await findings(), 'failure');
    const metrics = (await request(gateway.ports.http, { path: '/metrics', headers: { host: `localhost:${gateway.ports.http}`, authorization: `Bearer ${token}` } })).body.toString();
    assert.match(metrics, /^postern_disk_level 3$/m);
    assert.equal((await gateway.api('POST', '/keeping/run', { cookie })).status, 200);

    await become('ok', 50 * gib);
    assert.deepEqual((await push('?o=14', 'four\n')).values['next'], '19');
    assert.equal(await visit('printer-2'), 200);
    assert.deepEqual(await remarks(), []);
    await finishesCleanly(gateway);
  });

  test('a real one: what was acknowledged is there, what was not is not, and it goes on by itself', { skip: process.getuid?.() === 0 ? false : isCi ? 'CI is expected to be root' : 'only root mounts a disk' }, async (t) => {
    const mount = mkdtempSync(join(tmpdir(), 'postern-disk-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', mount], { stdio: 'pipe' });
    } catch (thrown) {
      rmSync(mount, { recursive: true });
      if (isCi) throw thrown;
      return t.skip('nothing may be mounted here');
    }
    try {
      // The watch never sees it coming: what is tested is the moment when the disk says no.
      const limits = { diskRefusedMs: 300, diskFullFreeBytes: 0, diskLowFreeBytes: 0, diskLowPercent: 1_000 };
      await using gateway = await startGateway({ clock: quick, config: quarantine, dataDir: join(mount, 'data'), limits });
      const { cookie } = await gateway.owner();
      const push = pusherOf(gateway);
      const filler = join(mount, 'filler');
      const free = () => {
        const { bavail, bsize } = statfsSync(mount);
        return bavail * bsize;
      };
      let next = 0;
      for (const round of [1, 2]) {
        writeFileSync(filler, Buffer.alloc(Math.max(0, free() - 3 * 1024 * 1024)));
        let refusals = 0;
        for (let tries = 0; tries < 400 && refusals < 3; tries += 1) {
          const line = Buffer.concat([Buffer.from(randomBytes(30_000).toString('base64')), Buffer.from('\n')]);
          const answer = await push(`?o=${next}`, line);
          if (answer.status === 200) {
            next += line.length;
            assert.equal(Number(answer.values['next']), next);
          } else {
            assert.deepEqual([answer.status, answer.values['error']], [503, 'busy'], JSON.stringify(answer.values));
            refusals += 1;
          }
        }
        assert.equal(refusals, 3, 'the disk became full');
        assert.equal(((await gateway.api('GET', '/keeping', { cookie })).json['disk'] as { level: string }).level, 'full');
        rmSync(filler);
        const more = Buffer.from(`there is room again ${round}\n`);
        const after = await until('pushes to be taken again', async () => {
          const answer = await push(`?o=${next}`, more);
          return answer.status === 200 && answer;
        });
        next += more.length;
        assert.equal(Number(after.values['next']), next, 'nothing of what was refused was kept');
      }
      const verified = await gateway.api('POST', '/audit/verify', { cookie });
      assert.equal(verified.json['brokenAt'], null);
      const finding = ((await gateway.api('POST', '/doctor', { cookie })).json['findings'] as { id: string; evidence: string[] }[]).find(({ id }) => id === 'store')!;
      assert.ok(finding.evidence.includes('integrity: ok'), JSON.stringify(finding));
      await finishesCleanly(gateway);
    } finally {
      execFileSync('umount', ['-l', mount]);
      rmSync(mount, { recursive: true });
    }
  });
});
