import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evidenceOfWay, judgeWay, type MisRouteCode, type WayEvidence, type WayInside } from './mis-route.ts';

const lan: WayEvidence = { peer: '192.0.2.50', throughDoor: false, isPrivate: true, egressOf: 0, isInside: true, isRouter: false, isOwn: false, isTrusted: false, claims: null, devices: 0, programs: 1, confirmed: null };
const inside: WayInside = { names: ['scan.example.test'], addresses: ['192.0.2.9'] };
const nowhere: WayInside = { names: ['scan.example.test'], addresses: [] };

const cases: readonly (readonly [what: string, code: MisRouteCode | null, change: Partial<WayEvidence>])[] = [
  ['nothing speaks against it', null, {}],
  ['egress', 'HP-1', { peer: '203.0.113.7', isPrivate: false, isInside: false, egressOf: 1 }],
  ['egress that two sites share', 'HP-1', { peer: '203.0.113.7', isPrivate: false, isInside: false, egressOf: 2, devices: 3 }],
  ['the router, and several devices', 'HP-2', { peer: '192.0.2.1', isRouter: true, devices: 2 }],
  ['the router alone', 'HP-2', { peer: '192.0.2.1', isRouter: true }],
  ['the router as a device that a probe knows', 'HP-10', { peer: '192.0.2.1', isRouter: true, confirmed: 'same' }],
  ['a trusted proxy that says nothing', 'HP-3', { peer: '198.51.100.4', isPrivate: false, isTrusted: true }],
  ['a trusted proxy that says nothing, at a site\'s egress', 'HP-3', { peer: '198.51.100.4', isTrusted: true, egressOf: 1 }],
  ['a trusted proxy that says it', null, { peer: '198.51.100.4', isPrivate: false, isTrusted: true, claims: '192.0.2.50' }],
  ['an unknown proxy', 'HP-4', { peer: '198.51.100.4', isPrivate: false, claims: '192.0.2.50' }],
  ['an unknown proxy at a site\'s egress', 'HP-4', { peer: '203.0.113.7', isPrivate: false, egressOf: 1, claims: '192.0.2.50' }],
  ['a device that a probe knows may say what it likes', 'HP-10', { claims: '192.0.2.99', confirmed: 'same' }],
  ['a container', 'HP-5', { peer: '172.17.0.1', isOwn: true, isInside: false }],
  ['a site\'s LAN that looks like one', null, { peer: '172.17.0.1', isOwn: true, isInside: true }],
  ['all is well', 'HP-10', { confirmed: 'same' }],
  ['another device is there now', 'HP-11', { confirmed: 'other' }],
  ['another device, through a door', 'HP-11', { confirmed: 'other', throughDoor: true, isPrivate: false }],
  ['another serial at a public address says nothing of a LAN', null, { confirmed: 'other', isPrivate: false }],
  ['several devices', 'HP-12', { devices: 2 }],
  ['several kinds of programs', 'HP-12', { programs: 2 }],
  ['two that proved themselves where one was confirmed', null, { devices: 2, confirmed: 'same' }],
  ['through a door neither egress, router nor proxy count', null, { throughDoor: true, egressOf: 1, isRouter: true, claims: '192.0.2.3', isOwn: true, isInside: false }],
];

for (const [what, code, change] of cases) {
  test(`${code ?? 'none'}: ${what}`, () => {
    const seen = { ...lan, ...change };
    const judged = judgeWay(seen, inside);
    assert.equal(judged?.code ?? null, code);
    if (judged === null) return;
    assert.ok(judged.verdict.includes(seen.peer) && !judged.verdict.endsWith('.'), judged.verdict);
    assert.equal(judged.status === 'ok', judged.code === 'HP-10');
    assert.equal(judged.remedy === null, judged.code === 'HP-10');
    assert.ok(evidenceOfWay(seen)[0]!.includes(seen.peer));
  });
}

test('what is to be done follows from what is there', () => {
  const egress = { ...lan, peer: '203.0.113.7', isPrivate: false, isInside: false, egressOf: 1 };
  const withDoor = judgeWay(egress, inside)!;
  assert.match(withDoor.remedy!, /scan\.example\.test lead to 192\.0\.2\.9 inside/);
  assert.deepEqual(withDoor.snippets.find((each) => each.kind === 'dnsmasq')!.lines, ['local=/scan.example.test/', 'host-record=scan.example.test,192.0.2.9']);
  const without = judgeWay(egress, nowhere)!;
  assert.match(without.remedy!, /postern doors open/);
  assert.deepEqual(without.snippets, []);
  assert.match(judgeWay({ ...lan, claims: '192.0.2.3' }, inside)!.remedy!, /\{ "from": "192\.0\.2\.50\/32" \} to "trustedProxies"/);
});

test('every change of the evidence is judged, none throws', () => {
  const flags = ['throughDoor', 'isPrivate', 'isInside', 'isRouter', 'isOwn', 'isTrusted'] as const;
  for (let bits = 0; bits < 2 ** flags.length; bits++) {
    for (const egressOf of [0, 2]) for (const claims of [null, 'nobody']) for (const confirmed of ['same', 'other', null] as const) for (const devices of [0, 2]) {
      const seen: WayEvidence = { ...lan, ...Object.fromEntries(flags.map((flag, i) => [flag, ((bits >> i) & 1) === 1])), egressOf, claims, confirmed, devices };
      const judged = judgeWay(seen, inside);
      if (seen.throughDoor) assert.ok(judged === null || ['HP-10', 'HP-11', 'HP-12'].includes(judged.code));
      if (judged?.code === 'HP-10') assert.equal(confirmed, 'same');
    }
  }
});
