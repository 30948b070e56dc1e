import assert from 'node:assert/strict';
import { duplexPair, type Duplex } from 'node:stream';
import { test } from 'node:test';
import { Fault, isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import type { LiveLink } from '#model/live.ts';
import type { SiteDoor } from '#model/place-rows.ts';
import { buildTable } from '#model/table.ts';
import type { RawStream, Via } from '#net/conn.ts';
import { buildMessageParser, encodeMessage, type Message } from '#wire/message.ts';
import { handClock } from '../../test/kit/hand-clock.ts';
import { until } from '../../test/sim/ends.ts';
import { buildGatewayDoors } from './gateway-doors.ts';

const doorOf = (id: string, change: Partial<SiteDoor> = {}): SiteDoor => ({ id, customerId: 'c', siteId: 's', agentId: 'a', address: '192.0.2.1', port: 443, listener: 'https', createdAt: 1, ...change });
const from = { address: '192.0.2.50', port: 49_152 };
const at = { address: '192.0.2.1', port: 443 };

function openRoom(...rows: SiteDoor[]) {
  const clock = handClock();
  const table = buildTable<SiteDoor>({ name: 'siteDoors', kind: 'kept', keyOf: (row) => row.id, rows });
  const links = new Map<string, string>();
  const watchers = new Set<() => void>();
  const journal: string[] = [];
  const accepted: { stream: RawStream; from: string; listener: string; via: Via }[] = [];
  /** What was opened, with what the gateway said there. */
  const opened: { far: Duplex; heard: Message[] }[] = [];
  const state = { refusal: null as Fault | null, listeners: new Set(['https', 'http']) };
  const doors = buildGatewayDoors({
    clock, limits, log: silentLog,
    journal: { note: (event) => void journal.push(event) },
    doors: table,
    hub: {
      linkOf: (agentId) => (links.has(agentId ?? '') ? ({ id: links.get(agentId!)! } as LiveLink) : undefined),
      watch: (onChange) => {
        watchers.add(onChange);
        return () => watchers.delete(onChange);
      },
      openService: (_, name, by) => {
        assert.equal(name, 'doors');
        assert.equal(by.standing, true);
        if (state.refusal) return Promise.reject(state.refusal);
        const [near, far] = duplexPair();
        const heard: Message[] = [];
        const parser = buildMessageParser(65_536, (message) => heard.push(message));
        far.on('data', (chunk: Buffer) => parser.push(chunk)).on('error', () => {});
        far.on('end', () => far.end());
        opened.push({ far, heard });
        return Promise.resolve(near);
      },
    },
    hasListener: (name) => state.listeners.has(name),
    accept: (stream, address, listener, via) => {
      stream.on('error', () => {});
      accepted.push({ stream, from: address, listener: listener.name, via });
    },
  });
  const changed = () => watchers.forEach((watcher) => watcher());
  return {
    clock, table, doors, journal, accepted, opened, state,
    link(agentId: string, id: string | null) {
      if (id === null) links.delete(agentId);
      else links.set(agentId, id);
      changed();
    },
    changed,
    /** The newest stream's last list, answered. */
    async answer(states: object[], which = opened.length - 1): Promise<Message> {
      await until(() => opened[which]?.heard.some((each) => each['do'] === 'listen') ?? false, 'a list');
      const asked = opened[which]!.heard.findLast((each) => each['do'] === 'listen')!;
      opened[which]!.far.write(encodeMessage({ id: asked['id'], ok: { doors: states } }, 65_536));
      await new Promise((next) => setImmediate(next));
      return asked;
    },
    say: (message: Message) => opened.at(-1)!.far.write(encodeMessage(message, 65_536)),
    async [Symbol.asyncDispose]() {
      doors.close();
      for (const { far } of opened) far.destroy();
      await new Promise((next) => setImmediate(next));
      assert.equal(clock.timers, 0, 'no timer is left');
    },
  };
}

test('an agent is told its doors when it links and when they change, and what it says is what is shown', async () => {
  await using room = openRoom(doorOf('d1'), doorOf('other', { agentId: 'b' }));
  assert.match(room.doors.stateOf('d1')!.why!, /has no link/);
  room.link('a', 'l1');
  const first = await room.answer([{ id: 'd1', bound: true }, { id: 'other', bound: true }]);
  assert.deepEqual(first['doors'], [{ id: 'd1', address: '192.0.2.1', port: 443 }]);
  await until(() => room.doors.stateOf('d1')!.bound, 'it to be bound');
  assert.equal(room.doors.stateOf('other')!.bound, false, 'an agent speaks for its own doors');
  room.table.publish({ put: [doorOf('d2', { port: 80, listener: 'http' })] });
  await until(() => room.opened[0]!.heard.length === 2, 'the new list');
  assert.equal(room.opened.length, 1, 'over the same stream');
  await room.answer([{ id: 'd1', bound: true }, { id: 'd2', bound: false, why: 'in use\u001b[31m', remedy: 'stop it' }]);
  await until(() => room.doors.stateOf('d2')!.why !== null, 'why not');
  assert.deepEqual([room.doors.stateOf('d2')!.remedy, room.doors.stateOf('d2')!.why!.includes('\u001b')], ['stop it', false]);
  room.say({ do: 'state', doors: [{ id: 'd2', bound: true }] });
  await until(() => room.doors.stateOf('d2')!.bound, 'it to be bound later');
  assert.deepEqual(room.doors.counts(), { doors: 3, bound: 2, open: 0, accepted: 0, refused: 0 });
  room.table.publish({ removed: ['d1', 'd2'] });
  await until(() => room.opened[0]!.heard.length === 3, 'the empty list');
  assert.deepEqual(room.opened[0]!.heard[2]!['doors'], []);
  assert.equal(room.doors.stateOf('d1'), undefined);
  assert.deepEqual(room.journal, ['door.opened', 'door.opened', 'door.closed', 'door.closed']);
  await until(() => room.opened[0]!.far.destroyed || room.opened[0]!.far.closed, 'the stream to be over');
});

test('another link gets a stream of its own; one that breaks is opened again; an older agent is not asked all the time', async () => {
  await using room = openRoom(doorOf('d1'));
  room.link('a', 'l1');
  await room.answer([{ id: 'd1', bound: true }]);
  room.link('a', 'l2');
  await until(() => room.opened.length === 2, 'a stream in the new link');
  await room.answer([{ id: 'd1', bound: true }]);
  await until(() => room.doors.stateOf('d1')!.bound, 'it to be bound');
  room.opened[1]!.far.end();
  await until(() => !room.doors.stateOf('d1')!.bound, 'it to be noticed');
  room.clock.advance(1_000);
  await until(() => room.opened.length === 3, 'once more');
  // Nobody answers: it is given up, and opened again.
  room.clock.advance(limits.doorAnswerTimeoutMs);
  await until(() => !room.doors.stateOf('d1')!.bound, 'it to be given up');
  await new Promise((next) => setImmediate(next));
  room.state.refusal = new Fault('unsupported', 'this agent offers no service "doors"');
  room.clock.advance(limits.doorBindRetryMaxMs);
  await until(() => /offers no doors/.test(room.doors.stateOf('d1')!.why ?? ''), 'that it is too old');
  room.state.refusal = null;
  for (let i = 0; i < 10; i++) room.changed();
  room.clock.advance(600_000);
  await new Promise((next) => setImmediate(next));
  assert.equal(room.opened.length, 3);
  room.link('a', 'l3');
  await until(() => room.opened.length === 4, 'a newer agent');
});

test('who may carry a connection to which listener', async () => {
  await using room = openRoom(doorOf('d1'), doorOf('gone', { port: 80, listener: 'gone' }));
  const refused = (agentId: string, preface: object) => {
    const judged = room.doors.judge(agentId, { kind: 'service', target: 'door', ...preface });
    assert.ok(isFault(judged));
    return judged.code;
  };
  assert.equal(refused('a', { from, at }), 'forbidden');
  assert.equal(refused('a', { from, at, door: 'unknown' }), 'forbidden');
  assert.equal(refused('b', { from, at, door: 'd1' }), 'forbidden', 'a door of another agent');
  assert.equal(refused('a', { at, door: 'd1' }), 'bad-input');
  assert.equal(refused('a', { from, door: 'd1' }), 'bad-input');
  assert.equal(refused('a', { from, at, door: 'gone' }), 'internal');
  const judged = room.doors.judge('a', { kind: 'service', target: 'door', from, at, door: 'd1', mac: '02:00:5e:10:00:01' });
  assert.ok(typeof judged === 'function');
  const [near, far] = duplexPair();
  judged(near);
  const [taken] = room.accepted;
  assert.deepEqual([taken!.from, taken!.listener, taken!.via], [from.address, 'https', { agentId: 'a', siteId: 's', mac: '02:00:5e:10:00:01' }]);
  assert.deepEqual([taken!.stream.remotePort, taken!.stream.localAddress], [from.port, at.address]);
  assert.deepEqual(room.doors.counts(), { doors: 2, bound: 0, open: 1, accepted: 1, refused: 3 });
  room.table.publish({ removed: ['d1'] });
  await until(() => near.destroyed, 'what came through it to end');
  assert.deepEqual(room.doors.counts(), { doors: 1, bound: 0, open: 0, accepted: 1, refused: 3 });
  far.destroy();
});
