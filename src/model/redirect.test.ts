import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig, type ConfigProblem } from './config.ts';
import { baseFor, compileRedirects, decideRedirect, explainRules, pinsOfTargets, type Lease, type RedirectFacts, type Redirects, type RedirectState } from './redirect.ts';
import type { Turns } from './redirect-choice.ts';

const pin = (letter: string) => `sha256//${letter.repeat(43)}=`;
type Section = readonly Record<string, unknown>[];

function read(servers: Section, redirects: Section): { compiled: Redirects; problems: ConfigProblem[] } {
  const listeners = [{ name: 'http', port: 8080, tls: false }, { name: 'https', port: 8443, tls: true }];
  const parsed = parseConfig({ version: 1, domains: [{ name: 'gw.example.test' }], listeners, servers, redirects });
  if ('problems' in parsed) return { compiled: { servers: new Map(), rules: [] }, problems: parsed.problems };
  const problems: ConfigProblem[] = [];
  return { compiled: compileRedirects(parsed.config, problems), problems };
}

const server = (name: string, more: Record<string, unknown> = {}) => ({ name, base: `https://${name}.example.test/v1`, ...more });
const abc = [server('a'), server('b'), server('c')];

function compiled(servers: Section, redirects: Section): Redirects {
  const { compiled: made, problems } = read(servers, redirects);
  assert.deepEqual(problems, []);
  return made;
}

const now = 1_800_000_000_000;
const facts = (more: Partial<RedirectFacts> = {}): RedirectFacts => ({
  customer: 'acme', suspended: false, serial: 'SN123', deviceName: 'Lobby', tags: [], host: 'gw.example.test', path: 'push/SN123/cdr/0123456789abcdef', from: '192.0.2.7', hops: 0, by: 'sign', secure: true, pins: [], ...more,
});
const state = (more: Partial<RedirectState> = {}): RedirectState => ({ nowMs: now, lease: undefined, leasesAt: () => 0, turnsOf: () => undefined, hasFailed: () => false, ...more });

const serverOf = (rules: Redirects, more: Partial<RedirectFacts> = {}, with_: Partial<RedirectState> = {}): string => {
  const decision = decideRedirect(rules, facts(more), state(with_));
  return decision.kind === 'send' ? decision.server.name : `stays: ${decision.why}`;
};

/** Asks again and again as many devices would, keeping turns and leases. */
function run(rules: Redirects, times: number, serialOf: (i: number) => string = (i) => `SN${i}`) {
  const turns = new Map<string, Turns>();
  const counts = new Map<string, number>();
  const order: string[] = [];
  for (let i = 0; i < times; i++) {
    const decision = decideRedirect(rules, facts({ serial: serialOf(i) }), state({ turnsOf: (rule) => turns.get(rule), leasesAt: (name) => counts.get(name) ?? 0 }));
    const name = decision.server!.name;
    if (decision.turns) turns.set(decision.rule!.name, decision.turns);
    counts.set(name, (counts.get(name) ?? 0) + 1);
    order.push(name);
  }
  return { order, counts: Object.fromEntries(counts) };
}

test('without rules, and where none matches, a device stays', () => {
  assert.equal(serverOf(compiled([], [])), 'stays: no-rule');
  assert.equal(serverOf(compiled(abc, [{ name: 'x', customer: 'other', servers: ['a'] }])), 'stays: no-rule');
});

test('each condition, alone', () => {
  for (const [condition, yes, no, says] of [
    [{ customer: 'acme' }, {}, { customer: 'acme2' }, /^customer: is for "acme", not "acme2"$/],
    [{ serials: ['SN9', 'SN100..SN199'] }, {}, { serial: 'SN200' }, /^serials: are SN9, SN100\.\.SN199, not "SN200"$/],
    [{ deviceName: 'Lo*' }, {}, { deviceName: 'Roof' }, /^deviceName: is Lo\*, not "Roof"$/],
    [{ tag: 'beta' }, { tags: ['x', 'beta'] }, { tags: ['alpha'] }, /^tag: is "beta", not among alpha$/],
    [{ tag: 'beta' }, { tags: ['beta'] }, { tags: [] }, /has no tags$/],
    [{ suspended: true }, { suspended: true }, {}, /^suspended: is for suspended customers, not for this one$/],
    [{ suspended: false }, {}, { suspended: true }, /not suspended, not for a suspended one$/],
    [{ host: 'gw.example.test' }, {}, { host: 'in.example.test' }, /^host: is gw\.example\.test, not in\.example\.test$/],
    [{ host: '*.example.test' }, {}, { host: 'example.test' }, /^host: /],
    [{ path: 'push/SN123' }, {}, { path: 'push/SN1234/cdr' }, /^path: begins with push\/SN123, not like push\/SN1234\/cdr$/],
    [{ path: 'check-in' }, { path: 'check-in/SN123' }, {}, /^path: /],
    [{ from: ['198.51.100.0/24', '192.0.2.0/28'] }, {}, { from: '192.0.2.77' }, /^from: is in 198\.51\.100\.0\/24, 192\.0\.2\.0\/28, not 192\.0\.2\.77$/],
    [{ from: ['2001:db8::/32'] }, { from: '2001:db8::7' }, { from: '' }, /not known$/],
  ] as const) {
    const rules = compiled(abc, [{ name: 'r', ...condition, servers: ['b'] }]);
    assert.equal(serverOf(rules, yes), 'b', JSON.stringify(condition));
    assert.equal(serverOf(rules, no), 'stays: no-rule', JSON.stringify(condition));
    assert.match(explainRules(rules, facts(no))[0]!.why!, says);
  }
});

test('all conditions of a rule must hold', () => {
  const rules = compiled(abc, [{ name: 'r', customer: 'acme', serials: ['SN1*'], deviceName: 'Lobby', from: ['192.0.2.0/24'], path: 'push', tag: 't', suspended: false, servers: ['a'] }]);
  assert.equal(serverOf(rules, { tags: ['t'] }), 'a');
  for (const other of [{ customer: 'x' }, { serial: 'X1' }, { deviceName: 'x' }, { from: '203.0.113.1' }, { path: 'file/SN123/x' }, { tags: [] }, { suspended: true }]) assert.equal(serverOf(rules, { tags: ['t'], ...other }), 'stays: no-rule', JSON.stringify(other));
});

test('the first rule that matches decides; the rest is said to come behind', () => {
  const rules = compiled(abc, [{ name: 'not', customer: 'x', servers: ['a'] }, { name: 'yes', serials: ['SN*'], servers: ['b'] }, { name: 'also', customer: 'acme', servers: ['c'] }]);
  assert.equal(serverOf(rules), 'b');
  assert.deepEqual(explainRules(rules, facts()).map(({ rule, state: seen }) => [rule, seen]), [['not', 'not'], ['yes', 'taken'], ['also', 'behind']]);
  assert.match(explainRules(rules, facts())[2]!.why!, /"yes" comes first/);
});

test('a rule can keep devices here, before others send them away', () => {
  const rules = compiled(abc, [{ name: 'vip', serials: ['SN1..SN200'], strategy: 'stay' }, { name: 'all', servers: ['a'] }]);
  assert.equal(serverOf(rules), 'stays: rule');
  assert.equal(serverOf(rules, { serial: 'SN201' }), 'a');
});

test('at five hops whoever is asked answers', () => {
  const rules = compiled(abc, [{ name: 'all', servers: ['a'] }]);
  assert.equal(serverOf(rules, { hops: 4 }), 'a');
  assert.equal(serverOf(rules, { hops: 5 }), 'stays: hops');
  assert.equal(serverOf(rules, { hops: 500 }), 'stays: hops');
});

test("a base is for one customer, or takes the device's", () => {
  const rules = compiled([{ name: 'one', base: 'https://IN2.example.test:443/v1/acme/' }, { name: 'each', base: 'http://192.168.1.9:8080/v1' }], [{ name: 'r', serials: ['SN1*'], servers: ['one'] }, { name: 's', servers: ['each'] }]);
  const to = (more: Partial<RedirectFacts>) => {
    const decision = decideRedirect(rules, facts(more), state());
    return decision.kind === 'send' ? decision.base : null;
  };
  assert.equal(to({}), 'https://in2.example.test/v1/acme');
  assert.equal(to({ customer: 'other' }), 'https://in2.example.test/v1/acme');
  assert.equal(to({ serial: 'X', customer: 'other' }), 'http://192.168.1.9:8080/v1/other');
  assert.equal(baseFor({ base: null }, 'x'), '');
});

// --- strategies

test('first: the first that takes devices', () => {
  const rule = { name: 'r', strategy: 'first', servers: ['a', 'b', 'c'] };
  assert.equal(serverOf(compiled(abc, [rule])), 'a');
  assert.equal(serverOf(compiled([server('a', { drain: 'new' }), server('b'), server('c')], [rule])), 'b');
  assert.equal(serverOf(compiled([server('a', { drain: 'now' }), server('b', { drain: 'new' }), server('c')], [rule])), 'c');
  assert.equal(serverOf(compiled([server('a', { weight: 0 }), server('b')], [{ ...rule, servers: ['a', 'b'] }])), 'a', 'weights mean nothing here');
  assert.equal(serverOf(compiled(abc, [rule]), {}, { hasFailed: (name) => name === 'a' }), 'b');
});

test('round-robin: each in its turn, also around one that is drained', () => {
  const rule = { name: 'r', strategy: 'round-robin', servers: ['a', 'b', 'c'] };
  assert.deepEqual(run(compiled(abc, [rule]), 7).order, ['a', 'b', 'c', 'a', 'b', 'c', 'a']);
  assert.deepEqual(run(compiled([server('a'), server('b', { drain: 'new' }), server('c')], [rule]), 5).order, ['a', 'c', 'a', 'c', 'a']);
  assert.deepEqual(run(compiled(abc, [{ ...rule, servers: ['b', 'here'] }]), 4).order, ['b', 'here', 'b', 'here']);
});

test('two rules do not take turns with each other', () => {
  const rules = compiled(abc, [{ name: 'even', serials: ['E*'], strategy: 'round-robin', servers: ['a', 'b'] }, { name: 'odd', strategy: 'round-robin', servers: ['a', 'b'] }]);
  assert.deepEqual(run(rules, 6, (i) => (i % 2 === 0 ? `E${i}` : `O${i}`)).order, ['a', 'a', 'b', 'b', 'a', 'a']);
});

test('weights: in the long run by weight, and never in lumps', () => {
  const rules = compiled([server('a', { weight: 5 }), server('b'), server('c'), server('d', { weight: 0 })], [{ name: 'r', strategy: 'weights', servers: ['a', 'b', 'c', 'd'] }]);
  const { order, counts } = run(rules, 70);
  assert.deepEqual(order.slice(0, 7), ['a', 'a', 'b', 'a', 'c', 'a', 'a']);
  assert.deepEqual(counts, { a: 50, b: 10, c: 10 });
  for (let i = 0; i + 7 <= order.length; i++) assert.equal(order.slice(i, i + 7).filter((name) => name === 'a').length, 5);
});

test('least-loaded: fewest leases for its weight', () => {
  const rules = compiled([server('a', { weight: 3 }), server('b')], [{ name: 'r', strategy: 'least-loaded', servers: ['a', 'b'] }]);
  assert.deepEqual(run(rules, 400).counts, { a: 300, b: 100 });
  assert.equal(serverOf(rules, {}, { leasesAt: (name) => (name === 'a' ? 31 : 10) }), 'b');
  assert.equal(serverOf(rules, {}, { leasesAt: (name) => (name === 'a' ? 29 : 10) }), 'a');
});

test('hash: evenly, always the same, and a server more or fewer moves only its share', () => {
  const names = ['a', 'b', 'c', 'd'];
  const rulesOf = (all: readonly string[], more: Record<string, Record<string, unknown>> = {}) => compiled(all.map((name) => server(name, more[name])), [{ name: 'r', strategy: 'hash', servers: all }]);
  const places = (rules: Redirects, count = 4_000) => Array.from({ length: count }, (_, i) => serverOf(rules, { serial: `SN${i}` }));
  const [three, four] = [places(rulesOf(names.slice(0, 3))), places(rulesOf(names))];
  const share = (list: string[], name: string) => list.filter((each) => each === name).length / list.length;
  for (const name of names) assert.ok(Math.abs(share(four, name) - 0.25) < 0.03, `${name} ${share(four, name)}`);
  // Who moves at all moves to the new one.
  const moved = four.filter((name, i) => name !== three[i]);
  assert.ok(moved.every((name) => name === 'd'));
  assert.equal(moved.length / 4_000, share(four, 'd'));
  assert.deepEqual(places(rulesOf(['d', 'c', 'b', 'a'])), four, 'the order of the list means nothing');
  // One that is drained leaves its devices to the others, and gets the same ones back.
  const without = places(rulesOf(names, { b: { drain: 'now' } }));
  four.forEach((name, i) => assert.ok(name === 'b' ? without[i] !== 'b' : without[i] === name));
  const heavy = places(rulesOf(['a', 'b'], { a: { weight: 3 } }));
  assert.ok(Math.abs(share(heavy, 'a') - 0.75) < 0.03);
  assert.notDeepEqual(Array.from({ length: 50 }, (_, i) => serverOf(rulesOf(names), { serial: `SN${i}`, customer: 'other' })), four.slice(0, 50), 'serials of another customer are other devices');
});

// --- leases

const lease = (name: string, more: Partial<Lease> = {}): Lease => ({ server: name, rule: 'r', until: now + 60_000, ...more });

test('a lease holds a device where it is until it ends', () => {
  const rules = compiled(abc, [{ name: 'r', strategy: 'round-robin', servers: ['a', 'b', 'c'], ttlSeconds: 600 }]);
  const held = decideRedirect(rules, facts(), state({ lease: lease('c') }));
  assert.ok(held.kind === 'send' && held.isHeld && held.server.name === 'c' && held.turns === null);
  assert.equal(held.lease.until, now + 60_000, 'it is not made longer by asking');
  const anew = decideRedirect(rules, facts(), state({ lease: lease('c', { until: now }) }));
  assert.ok(anew.kind === 'send' && !anew.isHeld && anew.server.name === 'a');
  assert.deepEqual(anew.lease, { server: 'a', rule: 'r', until: now + 600_000 });
});

test('a lease ends where the rule leads there no more, and where the server is drained at once', () => {
  const rule = { name: 'r', servers: ['b'] };
  assert.equal(serverOf(compiled(abc, [rule]), {}, { lease: lease('c') }), 'b', 'another rule counts at once');
  assert.equal(serverOf(compiled(abc, [rule]), {}, { lease: lease('gone') }), 'b');
  assert.equal(serverOf(compiled(abc, [{ name: 'other', servers: ['b', 'c'] }]), {}, { lease: lease('c') }), 'c', 'a rule that would send it there, too');
  const drained = (drain: string) => compiled([server('a', { drain }), server('b')], [{ name: 'r', servers: ['a', 'b'] }]);
  assert.equal(serverOf(drained('new'), {}, { lease: lease('a') }), 'a');
  assert.equal(serverOf(drained('new'), {}, { lease: lease('a', { until: now - 1 }) }), 'b');
  assert.equal(serverOf(drained('now'), {}, { lease: lease('a') }), 'b');
  assert.equal(serverOf(drained('no'), {}, { lease: lease('a'), hasFailed: (name) => name === 'a' }), 'b');
});

test('with no server left it is answered here', () => {
  const rules = compiled([server('a', { drain: 'now' }), server('b'), server('c', { drain: 'new' })], [{ name: 'r', servers: ['a', 'b', 'c'] }]);
  const decision = decideRedirect(rules, facts(), state({ hasFailed: (name) => name === 'b' }));
  assert.equal(decision.kind === 'stay' && decision.why, 'no-server');
  assert.match(decision.text, /a is drained, b could not be reached by it, c takes no new devices/);
});

test('here among others has leases, too', () => {
  const rules = compiled(abc, [{ name: 'r', strategy: 'least-loaded', servers: ['here', 'a'] }]);
  const decision = decideRedirect(rules, facts(), state({ leasesAt: (name) => (name === 'a' ? 1 : 0) }));
  assert.ok(decision.kind === 'stay' && decision.why === 'here');
  assert.deepEqual(decision.lease, { server: 'here', rule: 'r', until: now + 3_600_000 });
  const held = decideRedirect(rules, facts(), state({ leasesAt: (name) => (name === 'here' ? 9 : 0), lease: lease('here') }));
  assert.ok(held.kind === 'stay' && held.why === 'here' && held.lease === null);
});

// --- what a device could not follow

test('a device that pins is sent only where it knows a fingerprint', () => {
  const rules = compiled([server('a', { pins: [pin('A'), pin('B')] }), server('b')], [{ name: 'r', serials: ['SN1*'], servers: ['a'] }, { name: 's', servers: ['b'] }]);
  assert.equal(serverOf(rules, { pins: [] }), 'a');
  assert.equal(serverOf(rules, { pins: [pin('C'), pin('B')] }), 'a');
  const waits = decideRedirect(rules, facts({ pins: [pin('C')] }), state());
  assert.ok(waits.kind === 'stay' && waits.why === 'pin' && waits.lease === null && waits.turns === null);
  assert.match(waits.text, /has not confirmed a pin of server "a"/);
  assert.match(decideRedirect(rules, facts({ serial: 'X', pins: [pin('C')] }), state()).text, /server "b" has no pins in the configuration/);
});

test('over plain http without a signature only a listed https server would be believed', () => {
  const rules = compiled([server('a', { pins: [pin('A')] }), { name: 'lan', base: 'http://192.168.1.9/v1' }], [{ name: 'r', serials: ['SN1*'], servers: ['a'] }, { name: 's', servers: ['lan'] }]);
  for (const by of ['nothing', 'certificate', 'agent', 'key'] as const) {
    assert.equal(serverOf(rules, { secure: false, by }), 'stays: disbelief');
    assert.equal(serverOf(rules, { secure: false, by, pins: [pin('A')] }), 'a');
    assert.equal(serverOf(rules, { secure: false, by, pins: [pin('B')] }), 'stays: pin');
  }
  assert.equal(serverOf(rules, { secure: false, by: 'sign' }), 'a');
  assert.equal(serverOf(rules, { secure: false, by: 'sign', serial: 'X' }), 'lan');
  assert.equal(serverOf(rules, { secure: true, by: 'nothing', serial: 'X' }), 'lan');
  assert.equal(serverOf(rules, { secure: false, by: 'nothing', serial: 'X', pins: [pin('A')] }), 'stays: disbelief');
});

test('a key that is shown is never sent to plain http', () => {
  const rules = compiled([{ name: 'lan', base: 'http://192.168.1.9/v1' }], [{ name: 'r', servers: ['lan'] }]);
  assert.equal(serverOf(rules, { by: 'key' }), 'stays: key');
  assert.equal(serverOf(rules, { by: 'sign' }), 'lan');
});

test('the fingerprints of all servers that a device may come to are announced, whatever it asks now', () => {
  const servers = [server('a', { pins: [pin('A'), pin('B')] }), server('b', { pins: [pin('C')] }), server('c', { pins: [pin('D')] })];
  const rules = compiled(servers, [{ name: 'r', from: ['203.0.113.0/24'], servers: ['a'] }, { name: 's', customer: 'other', servers: ['c'] }, { name: 't', path: 'file', servers: ['b', 'a'] }]);
  assert.deepEqual(pinsOfTargets(rules, facts()), [pin('A'), pin('B'), pin('C')]);
  assert.deepEqual(pinsOfTargets(rules, facts({ customer: 'other' })), [pin('A'), pin('B'), pin('D'), pin('C')]);
});

// --- compiling

test('what cannot hold together is named with its path', () => {
  const good = { name: 'r', servers: ['a'] };
  for (const [servers, redirects, path, says] of [
    [[server('a'), server('a')], [], 'servers[1].name', /another server/],
    [[server('here')], [], 'servers[0].name', /stands for this gateway/],
    [[server('a'), { name: 'b', base: 'https://A.example.test:443/v1/' }], [], 'servers[1].base', /the base of "a"/],
    [[{ name: 'a', base: 'https://gw.example.test/v1' }], [], 'servers[0].base', /leads back to this gateway/],
    [[{ name: 'a', base: 'http://GW.example.test:8080/v1/acme' }], [], 'servers[0].base', /leads back/],
    [[{ name: 'a', base: 'http://192.168.1.9/v1', pins: [pin('A')] }], [], 'servers[0].pins', /no fingerprint/],
    [[{ name: 'a', base: 'https://u:p@a.example.test/v1' }], [], 'servers[0].base', /password/],
    [[{ name: 'a', base: 'https://a.example.test:99999/v1' }], [], 'servers[0].base', /not an address/],
    [[{ name: 'a', base: 'https://a.example.test/v1?x=1' }], [], 'servers[0].base', /base/],
    [[{ name: 'a', base: 'https://a.example.test/' }], [], 'servers[0].base', /base/],
    [[{ name: 'a', base: 'ftp://a.example.test/v1' }], [], 'servers[0].base', /base/],
    [[server('a', { pins: ['sha256//short='] })], [], 'servers[0].pins[0]', /fingerprint/],
    [abc, [{ ...good, servers: ['x'] }], 'redirects[0].servers[0]', /no server "x"/],
    [abc, [{ ...good, servers: ['a', 'b', 'a'] }], 'redirects[0].servers[2]', /twice/],
    [abc, [{ ...good, servers: [] }], 'redirects[0].servers', /names no server/],
    [abc, [{ ...good, servers: ['here'] }], 'redirects[0].servers', /"stay"/],
    [abc, [{ ...good, strategy: 'stay' }], 'redirects[0].servers', /has no servers/],
    [abc, [{ ...good, customer: 'x' }, { ...good, customer: 'y' }], 'redirects[1].name', /redirects\[0\]/],
    [abc, [good, { ...good, name: 's', customer: 'y' }], 'redirects[1]', /never reached/],
    [abc, [{ ...good, serials: ['SN1', 'SN9..SN1'] }], 'redirects[0].serials[1]', /ends before/],
    [abc, [{ ...good, serials: [] }], 'redirects[0].serials', /./],
    [abc, [{ ...good, from: [] }], 'redirects[0].from', /./],
    [abc, [{ ...good, from: ['192.0.2.1/24'] }], 'redirects[0].from[0]', /network/],
    [abc, [{ ...good, path: '/push' }], 'redirects[0].path', /path/],
    [abc, [{ ...good, ttlSeconds: 1 }], 'redirects[0].ttlSeconds', /./],
    [[server('a', { weight: 0 })], [{ ...good, strategy: 'weights' }], 'redirects[0].servers', /weight 0/],
    [[server('a', { weight: 0 })], [{ ...good, strategy: 'hash' }], 'redirects[0].servers', /weight 0/],
  ] as const) {
    const { problems } = read(servers, redirects);
    assert.ok(problems.some((each) => each.path === path && says.test(each.message)), `${path}: ${JSON.stringify(problems)}`);
  }
});

test('our own name on a port that is not ours is another server; so is our address by number, which hops end', () => {
  compiled([{ name: 'second', base: 'https://gw.example.test:9443/v1' }, { name: 'lan', base: 'http://127.0.0.1:8080/v1' }], []);
});

test('whatever is configured and asked, it never throws, and never sends to a server that is drained or was not named', () => {
  let seed = 7;
  const next = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
  const pick = <Item>(list: readonly Item[]): Item => list[next(list.length)]!;
  for (let i = 0; i < 400; i++) {
    const servers = ['a', 'b', 'c'].map((name) => server(name, { weight: next(4), drain: pick(['no', 'no', 'new', 'now']), pins: next(3) === 0 ? [pin('A')] : [] }));
    const strategy = pick(['first', 'round-robin', 'weights', 'least-loaded', 'hash'] as const);
    const names = pick([['a'], ['a', 'b'], ['c', 'here'], ['a', 'b', 'c', 'here']]);
    const { compiled: rules, problems } = read(servers, [{ name: 'r', strategy, servers: names, ...(next(2) === 0 ? { serials: [pick(['SN1*', 'SN5..SN50', 'x'])] } : {}) }]);
    if (problems.length > 0) continue;
    for (let n = 0; n < 20; n++) {
      const asked = facts({ serial: `SN${next(200)}`, hops: next(7), by: pick(['key', 'sign', 'nothing']), secure: next(2) === 0, pins: pick([[], [pin('A')], [pin('B')]]) });
      const failed = pick(['a', 'b', '']);
      const decision = decideRedirect(rules, asked, state({ lease: pick([undefined, lease('a'), lease('b', { until: now - 1 }), lease('here')]), hasFailed: (name) => name === failed }));
      if (decision.kind !== 'send') continue;
      assert.ok(names.includes(decision.server.name) && decision.server.drain !== 'now' && decision.server.name !== failed);
      assert.ok(decision.server.drain === 'no' || decision.isHeld);
      assert.ok(asked.hops < 5 && decision.lease.until > now);
    }
  }
});
