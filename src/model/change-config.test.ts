import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, isFault } from '#base/fault.ts';
import { buildInTurn } from '#base/in-turn.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { handClock, type HandClock } from '#kit/admin-room.ts';
import { buildControl, type ControlOptions, type Prepared } from './change-config.ts';
import { firstConfig, type Config } from './config.ts';
import type { ChangeResult, Control } from './control.ts';
import type { Actor, AuditEntry, Revision } from './rows.ts';
import type { Snapshot } from './snapshot.ts';

const ada: Actor = { kind: 'person', id: null, name: 'ada', from: '192.0.2.1' };

/** What the store keeps of revisions, in memory: the rules are those of test/contracts/store.ts. */
function revisionsInMemory() {
  const rows: Revision[] = [];
  const audit: AuditEntry[] = [];
  const state = { rows, audit, isDown: false };
  const operations: ControlOptions['operations'] = {
    latestRevision: () => Promise.resolve(rows.at(-1) ?? null),
    readRevision: (number) => Promise.resolve(rows.find((row) => row.number === number) ?? null),
    addRevision(revision, entry) {
      if (state.isDown) return Promise.reject(new Fault('busy', 'the disk is full'));
      assert.equal(revision.number, (rows.at(-1)?.number ?? 0) + 1);
      const last = rows.at(-1);
      if (last && last.confirmBy !== null && last.settled === null) rows[rows.length - 1] = { ...last, settled: 'rolled-back' };
      rows.push(revision);
      audit.push(entry);
      return Promise.resolve();
    },
    confirmRevision(number, entry) {
      const at = rows.findIndex((row) => row.number === number);
      rows[at] = { ...rows[at]!, settled: 'confirmed' };
      audit.push(entry);
      return Promise.resolve();
    },
  };
  return { ...state, state, operations };
}

interface House {
  readonly clock: HandClock;
  readonly kept: ReturnType<typeof revisionsInMemory>;
  /** Listeners by name whose port is somebody else's. */
  readonly taken: Set<string>;
  readonly open: Set<string>;
  start(more?: Partial<ControlOptions>): Promise<Control<Snapshot>>;
}

function buildHouse(): House {
  const clock = handClock();
  const kept = revisionsInMemory();
  const taken = new Set<string>();
  const open = new Set<string>();
  const prepare = (next: Snapshot, _: Snapshot | null, keepWhatWorks: boolean): Promise<Prepared> => {
    const wanted = next.config.listeners.map((each) => each.name);
    const refused = wanted.filter((name) => !open.has(name) && taken.has(name));
    if (refused.length > 0 && !keepWhatWorks) return Promise.reject(new Fault('bad-input', `the port of ${refused.join()} is taken`));
    const commit = () => {
      open.clear();
      for (const name of wanted) if (!refused.includes(name)) open.add(name);
    };
    return Promise.resolve({ commit, cancel: () => Promise.resolve(), missing: refused.map((name) => `${name}: taken`) });
  };
  const start = (more: Partial<ControlOptions> = {}) => {
    open.clear(); // a process that has just begun
    return buildControl({
      operations: kept.operations, inTurn: buildInTurn(100), clock, log: silentLog, customerId: 'c', prepare,
      first: () => firstConfig({ domain: 'gw.example.test', httpPort: 8080, httpsPort: 8443 }),
      adjust: (config) => config,
      ...more,
    });
  };
  return { clock, kept, taken, open, start };
}

const configOf = (control: Control) => control.config().config as Config;
const withRoute = (config: Config, name: string): unknown => ({ ...config, routes: [...config.routes, { name, host: `${name}.example.test`, target: { kind: 'respond', body: name } }] });
const routesOf = (control: Control) => configOf(control).routes.map((route) => route.name);

function done(result: ChangeResult) {
  assert.ok(!('problems' in result), JSON.stringify(result));
  return result;
}

/** Applies one more route. */
async function apply(control: Control, name: string, confirmWithinMs: number | null = null) {
  return done(await control.change({ actor: ada, against: control.config().revision, config: withRoute(configOf(control), name), dryRun: false, confirmWithinMs }));
}

/** Lets what a timer began run to its end: promises alone, no clock. */
const settled = async () => {
  for (let i = 0; i < 50; i++) await Promise.resolve();
};

const refusal = async (run: Promise<unknown>, code: 'conflict' | 'bad-input' | 'not-found') => {
  let fault: Fault | undefined;
  await assert.rejects(run, (thrown: unknown) => isFault(thrown, code) && (fault = thrown) !== undefined);
  return fault!;
};

test('a change that is confirmed in time stays', async () => {
  const { clock, kept, start } = buildHouse();
  const control = await start();
  const told: unknown[] = [];
  control.watchState(() => told.push(control.provisional()?.revision ?? null));
  const { revision, confirmBy } = await apply(control, 'wiki', 60_000);
  assert.deepEqual([revision, confirmBy, routesOf(control)], [2, clock.nowMs() + 60_000, ['wiki']], 'in force at once');
  assert.deepEqual(control.provisional(), { revision: 2, restores: 1, actor: ada, since: clock.nowMs(), confirmBy, summary: 'route wiki added' });
  clock.advance(59_000);
  assert.deepEqual(await control.confirm({ actor: ada, revision: 2 }), { revision: 2 });
  clock.advance(limits.confirmWithinMaxMs);
  await settled();
  assert.deepEqual([control.config().revision, routesOf(control), control.provisional(), clock.timers], [2, ['wiki'], null, 0]);
  assert.deepEqual(kept.rows.map((row) => [row.number, row.settled, row.summary]), [[1, null, 'the first configuration'], [2, 'confirmed', 'route wiki added']]);
  assert.deepEqual(kept.audit.map((line) => line.what), ['config.changed', 'config.changed', 'config.confirmed']);
  assert.deepEqual(told, [2, null]);
  await refusal(control.confirm({ actor: ada, revision: 2 }), 'conflict');
});

test('unless it is confirmed, the one before comes back as a revision of its own', async () => {
  const { clock, kept, start } = buildHouse();
  const control = await start();
  const published: number[] = [];
  control.watch((snapshot) => published.push(snapshot.revision));
  await apply(control, 'wiki', 60_000);
  clock.advance(59_999);
  await settled();
  assert.equal(control.config().revision, 2);
  clock.advance(1);
  await settled();
  assert.deepEqual([control.config().revision, routesOf(control), control.snapshot().revision, published, clock.timers], [3, [], 3, [2, 3], 0]);
  assert.deepEqual(kept.rows.map((row) => [row.number, row.settled, row.restores]), [[1, null, null], [2, 'rolled-back', null], [3, null, 1]]);
  const line = kept.audit.at(-1)!;
  assert.deepEqual([line.what, line.actor.kind, line.detail], ['config.rolled-back', 'gateway', { revision: 3, undoes: 2, restores: 1, why: 'it was not confirmed in time' }]);
  const fault = await refusal(control.confirm({ actor: ada, revision: 2 }), 'conflict');
  assert.match(fault.message, /revision 3 is in force/);
});

test('while one waits every other change is refused, by whom and until when; a dry run, the way back and its own confirming are not', async () => {
  const { clock, start } = buildHouse();
  const control = await start();
  await apply(control, 'wiki', 60_000);
  const fault = await refusal(apply(control, 'more'), 'conflict');
  assert.ok(fault.message.includes('revision 2, applied by ada') && fault.message.includes(new Date(clock.nowMs() + 60_000).toISOString()), fault.message);
  const dry = done(await control.change({ actor: ada, against: 2, config: withRoute(configOf(control), 'more'), dryRun: true }));
  assert.deepEqual([dry.revision, dry.changed, routesOf(control)], [2, true, ['wiki']]);
  await refusal(control.confirm({ actor: ada, revision: 1 }), 'conflict');
  const back = done(await control.rollBack({ actor: ada, to: null, against: 2 }));
  assert.deepEqual([back.revision, routesOf(control), clock.timers], [3, [], 0]);
  await apply(control, 'more');
});

test('a gateway that ends while a change waits comes up with the one before', async () => {
  const { clock, kept, start } = buildHouse();
  const first = await start();
  await apply(first, 'wiki');
  await apply(first, 'bad', 60_000);
  first.close();
  assert.equal(clock.timers, 0);
  const again = await start();
  assert.deepEqual([again.config().revision, routesOf(again), again.provisional()], [4, ['wiki'], null]);
  assert.deepEqual(kept.rows.slice(2).map((row) => [row.number, row.settled, row.restores, row.summary]), [[3, 'rolled-back', null, 'route bad added'], [4, null, 2, 'route bad removed']]);
  const line = kept.audit.at(-1)!;
  assert.deepEqual([line.what, line.actor.kind, line.detail['undoes'], line.detail['why']], ['config.rolled-back', 'gateway', 3, 'the gateway was restarted before it was confirmed']);
  again.close();
  assert.equal((await start()).config().revision, 4, 'only once');
});

test('options at that start are a revision after it', async () => {
  const { kept, start } = buildHouse();
  await apply(await start(), 'bad', 60_000);
  const again = await start({ adjust: (config) => ({ ...config, deviceDomain: 'devices.example.test' }) });
  assert.deepEqual([again.config().revision, routesOf(again)], [4, []]);
  assert.deepEqual(kept.rows.map((row) => [row.number, row.actor.kind, row.restores]), [[1, 'gateway', null], [2, 'person', null], [3, 'gateway', 1], [4, 'operator', null]]);
});

test('a start that cannot have its ports leaves the waiting one for the next start', async () => {
  const { kept, taken, start } = buildHouse();
  await apply(await start(), 'bad', 60_000);
  taken.add('https');
  await assert.rejects(start(), /https is taken/);
  assert.deepEqual(kept.rows.map((row) => [row.number, row.settled]), [[1, null], [2, null]]);
  taken.clear();
  assert.equal((await start()).config().revision, 3);
});

test('a port that cannot be had on the way back does not stop it: what works is in force, the rest is tried again', async () => {
  const { clock, kept, taken, open, start } = buildHouse();
  const control = await start();
  const before = configOf(control);
  const listeners = [{ ...before.listeners[0]!, name: 'other', port: 9_999 }, before.listeners[1]!];
  done(await control.change({ actor: ada, against: 1, config: { ...before, listeners }, dryRun: false, confirmWithinMs: 10_000 }));
  assert.deepEqual([...open], ['other', 'https']);
  taken.add('http');
  clock.advance(10_000);
  await settled();
  assert.deepEqual([control.config().revision, [...open], control.missing()], [3, ['https'], ['http: taken']]);
  assert.equal(kept.audit.at(-1)!.detail['missing'], 'http: taken');
  clock.advance(10_000);
  await settled();
  assert.deepEqual(control.missing(), ['http: taken']);
  taken.clear();
  clock.advance(10_000);
  await settled();
  assert.deepEqual([[...open], control.missing(), clock.timers], [['http', 'https'], [], 0]);
});

test('a store that is down at the deadline is asked again until it takes the way back', async () => {
  const { clock, kept, start } = buildHouse();
  const control = await start();
  await apply(control, 'wiki', 60_000);
  kept.state.isDown = true;
  clock.advance(60_000);
  await settled();
  assert.deepEqual([control.config().revision, control.provisional()?.revision], [2, 2]);
  kept.state.isDown = false;
  clock.advance(10_000);
  await settled();
  assert.deepEqual([control.config().revision, routesOf(control), clock.timers], [3, [], 0]);
});

test('going back to any revision is a change like others: compiled, refused for its ports, provisional if wanted', async () => {
  const { clock, kept, taken, open, start } = buildHouse();
  const control = await start();
  await apply(control, 'wiki');
  await apply(control, 'shop');
  await refusal(control.rollBack({ actor: ada, to: null, against: null }), 'bad-input');
  await refusal(control.rollBack({ actor: ada, to: 3, against: null }), 'bad-input');
  await refusal(control.rollBack({ actor: ada, to: 9, against: null }), 'not-found');
  await refusal(control.rollBack({ actor: ada, to: 1, against: 2 }), 'conflict');
  const back = done(await control.rollBack({ actor: ada, to: 2, against: 3, confirmWithinMs: 10_000 }));
  assert.deepEqual([back.revision, routesOf(control), kept.rows.at(-1)!.restores, control.provisional()?.restores], [4, ['wiki'], 2, 3]);
  const elsewhere = done(await control.rollBack({ actor: ada, to: 1, against: null }));
  assert.deepEqual([elsewhere.revision, routesOf(control), control.provisional(), clock.timers], [5, [], null, 0]);
  assert.equal(kept.rows[3]!.settled, 'rolled-back');
  assert.equal(done(await control.rollBack({ actor: ada, to: 1, against: null })).changed, false, 'the same again is no revision');
  open.delete('https');
  taken.add('https');
  await assert.rejects(control.rollBack({ actor: ada, to: 2, against: null }), /https is taken/);
  assert.deepEqual([control.config().revision, kept.rows.length], [5, 5]);
});

test('a revision that an older schema wrote still comes back; one that makes no sense any more says why', async () => {
  const { kept, start } = buildHouse();
  const control = await start();
  const { version, domains, listeners } = configOf(control);
  kept.rows[0] = { ...kept.rows[0]!, config: { version, domains, listeners: listeners.map(({ name, address, port, tls }) => ({ name, address, port, tls })) } };
  await apply(control, 'wiki');
  done(await control.rollBack({ actor: ada, to: 1, against: null }));
  assert.deepEqual([control.config().revision, routesOf(control)], [3, []]);
  kept.rows[1] = { ...kept.rows[1]!, config: { version, domains, listeners: [], colour: 'red' } };
  const result = await control.rollBack({ actor: ada, to: 2, against: null });
  assert.ok('problems' in result && result.problems.length > 0);
  assert.equal(control.config().revision, 3);
});
