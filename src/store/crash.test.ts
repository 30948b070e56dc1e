// What a store has acknowledged survives: kill -9 in the middle of writing, and a disk that refuses more.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { rejectsWith, rowsFor } from '../../test/contracts/store.ts';
import { openDataFolder } from './data-folder.ts';
import { openStore } from './open.ts';

const clock: Clock = { nowMs: () => 1_800_000_000_000, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
const openIn = (dataDir: string) => openStore({ dataDir, clock, random: randomBytes, log: silentLog });
const root = await mkdtemp(join(tmpdir(), 'postern-crash-'));
const children: ChildProcess[] = [];
after(async () => {
  // Those that a failed test left running.
  for (const child of children) child.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});
const project = resolve(import.meta.dirname, '..', '..');

/** What both programs begin with: a store in its folder, and a way to say things to this test. */
const prelude = (dataDir: string) => `
  import { randomBytes } from 'node:crypto';
  import { writeSync } from 'node:fs';
  import { silentLog } from '#base/log.ts';
  import { openDataFolder } from '#store/data-folder.ts';
  import { openStore } from '#store/open.ts';
  const { rowsFor } = await import(${JSON.stringify(import.meta.resolve('../../test/contracts/store.ts'))});
  const dataDir = ${JSON.stringify(dataDir)};
  const clock = { nowMs: () => 1_800_000_000_000, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
  const folder = await openDataFolder(dataDir);
  const store = await openStore({ dataDir, clock, random: randomBytes, log: silentLog });
  const rows = await rowsFor(store);
  const say = (text) => writeSync(1, text + '\\n');
`;

function run(command: string, args: readonly string[], program: string): { child: ChildProcess; lines: AsyncIterableIterator<string> } {
  const child = spawn(command, [...args, '--input-type=module-typescript', '-e', program], { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return { child, lines: createInterface({ input: child.stdout! })[Symbol.asyncIterator]() };
}

test('kill -9 loses nothing that was acknowledged, and the chain holds', { timeout: 60_000 }, async () => {
  const dataDir = await mkdtemp(join(root, 'kill-'));
  // Several at once, so that the kill falls into shared commits too. A person and its right are one operation.
  const program = `${prelude(dataDir)}
    const loop = async (lane) => {
      for (let i = 0; ; i += 1) {
        const person = rows.person(lane + '-' + i);
        await store.addPerson(person, [rows.right('person', person.id)], rows.audit('person.made', { subjectId: person.login }));
        say(person.login);
      }
    };
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map(loop));
  `;
  const acknowledged: string[] = [];
  for (const enough of [40, 400]) {
    // The lanes of the second run would take logins of the first.
    const { child, lines } = run(process.execPath, [], program.replace("['a', 'b', 'c', 'd', 'e']", `['a', 'b', 'c', 'd', 'e'].map((lane) => lane + ${enough})`));
    for (let said = 0; said < enough; said += 1) acknowledged.push((await lines.next()).value as string);
    child.kill('SIGKILL');
    // What it said before it died counts too.
    for await (const line of lines) acknowledged.push(line);
    assert.equal(child.signalCode ?? (await once(child, 'exit'))[1], 'SIGKILL');

    const folder = await openDataFolder(dataDir);
    const store = await openIn(dataDir);
    const all = await store.loadEverything();
    const found = new Set(all.people.map((person) => person.login));
    assert.deepEqual(acknowledged.filter((login) => !found.has(login)), []);
    assert.equal(all.rights.length, all.people.length, 'an operation happened whole or not at all');
    const audit = await store.verifyAudit();
    assert.deepEqual(audit, { lines: all.people.length, brokenAt: null, why: null });
    assert.equal((await store.check()).integrity, 'ok');
    await store.close();
    await folder.close();
  }
});

test('a disk that takes no more: busy, nothing acknowledged is lost, reading goes on, and later it works again', { timeout: 60_000, skip: process.platform === 'win32' }, async () => {
  const dataDir = await mkdtemp(join(root, 'full-'));
  // The shell's limit on a file's size stands for the end of the disk; Node ignores the signal, so writes fail.
  const program = `${prelude(dataDir)}
    const big = 'x'.repeat(20_000);
    let refused;
    let acknowledged = 0;
    for (let i = 0; i < 1_000 && !refused; i += 1) {
      const outcomes = await Promise.allSettled([0, 1, 2].map((n) => store.addAudit([rows.audit('n', { detail: { big, i, n } })])));
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') acknowledged += 1;
        else refused = outcome.reason;
      }
    }
    const { lines, brokenAt } = await store.verifyAudit();
    say(JSON.stringify({ name: refused?.name, code: refused?.code, remedy: typeof refused?.remedy, acknowledged, lines, brokenAt, seq: (await store.auditHead()).seq }));
    process.kill(process.pid, 'SIGKILL');
  `;
  const { lines } = run('sh', ['-c', 'ulimit -f 2048; exec "$0" "$@"', process.execPath], program);
  const said = JSON.parse((await lines.next()).value as string) as Record<string, unknown>;
  const { acknowledged, ...others } = said;
  assert.ok(typeof acknowledged === 'number' && acknowledged > 5);
  assert.deepEqual(others, { name: 'Fault', code: 'busy', remedy: 'string', lines: acknowledged, brokenAt: null, seq: acknowledged });

  const store = await openIn(dataDir);
  assert.deepEqual(await store.verifyAudit(), { lines: acknowledged, brokenAt: null, why: null });
  await store.addAudit([(await rowsFor(store)).audit('later')]);
  assert.deepEqual(await store.verifyAudit(), { lines: acknowledged + 1, brokenAt: null, why: null });
  await store.close();
});

test('two processes cannot share a folder; when one is killed, the other may have it at once', { timeout: 60_000 }, async () => {
  const dataDir = await mkdtemp(join(root, 'two-'));
  const { child, lines } = run(process.execPath, [], `${prelude(dataDir)} say('open'); setInterval(() => {}, 1_000);`);
  assert.equal((await lines.next()).value, 'open');
  await rejectsWith(openDataFolder(dataDir), 'conflict', new RegExp(`^process ${child.pid} uses the data folder ${dataDir}$`));
  // Refusing must not have harmed the other's lock.
  await rejectsWith(openDataFolder(dataDir), 'conflict', new RegExp(`^process ${child.pid} `));
  child.kill('SIGKILL');
  await once(child, 'exit');
  const folder = await openDataFolder(dataDir);
  await rejectsWith(openDataFolder(dataDir), 'conflict', new RegExp(`^this process \\(${process.pid}\\) uses`));
  // Nor must this process's own second try have cost it the lock.
  const third = run(process.execPath, [], `import { openDataFolder } from '#store/data-folder.ts'; console.log(await openDataFolder(${JSON.stringify(dataDir)}).then(() => 'open', (thrown) => thrown.message));`);
  assert.equal((await third.lines.next()).value, `process ${process.pid} uses the data folder ${dataDir}`);
  await folder.close();
});
