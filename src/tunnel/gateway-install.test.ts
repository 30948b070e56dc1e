// The service `install` towards agents that are older, another's, or gone: links opened by hand.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, test } from 'node:test';
import { isFault, type FaultCode } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { parsePolicy } from '#model/policy.ts';
import { buildEnd, testClock, until } from '../../test/sim/ends.ts';
import { buildTestCa, newId, openLinkEnd, type LinkEnd, type TestCa } from '../../test/sim/link-end.ts';
import { serveAgentStream } from './agent-streams.ts';
import { buildBudget } from './budget.ts';
import { dialGateway } from './gateway-dial.ts';
import { installOver } from './gateway-install.ts';
import { acceptStream } from './open.ts';
import { newFlowTally } from './stream-flow.ts';
import type { MuxStream } from './stream.ts';
import { upgrade } from './upgrade.ts';

let ca: TestCa;
before(async () => {
  ca = await buildTestCa();
});

/** A link of an agent that does with streams what the test wants. */
async function linkOf(end: LinkEnd, can: string, onStream: (stream: MuxStream) => void) {
  const identity = await ca.issue(newId());
  const { agentId } = identity.state;
  end.agents.set(identity.fingerprint, agentId);
  const socket = await dialGateway(end.address, { ...identity.state, timeoutMs: 5_000, nowMs: Date.now, builtAtMs: 0 });
  const fields = [['Postern-Slot', '0'], ['Postern-Turn', '1'], ['Postern-Instance', '0123456789abcdef'], ['Postern-Agent', 'other/1'], ['Postern-Can', can]] as const;
  const upgraded = await upgrade(socket, { host: 'x', path: '/link', protocol: 'postern-link.1', fields, random: randomBytes, clock: testClock, timeoutMs: 5_000 });
  assert.ok(upgraded.ok);
  const session = buildEnd('client', socket, { isSecure: true, onStream });
  await until(() => end.hub.linkOf(agentId) !== undefined, 'the link stands');
  return { agentId, session };
}

const rejects = (promise: Promise<unknown>, code: FaultCode, why: RegExp) => assert.rejects(promise, (thrown) => isFault(thrown, code) && why.test(thrown.message), String(why));
const order = { name: 'web', chainPem: 'chain', digest: 'd', readKeyPem: () => assert.fail('no key is read for it') };

test('an agent of before, which knows no such service', async () => {
  await using end = await openLinkEnd(ca);
  const options = { clock: testClock, limits, log: silentLog, budget: buildBudget(1e7, () => {}), flows: newFlowTally(), policy: () => parsePolicy('') };
  const { agentId, session } = await linkOf(end, 'tcp, udp, service', (stream) => void serveAgentStream(stream, options));
  await rejects(end.hub.openService(agentId, 'install', { timeoutMs: 5_000 }), 'unsupported', /offers no service "install"/);
  session.close('done');
});

test("another's agent, which has no services at all, is not asked", async () => {
  await using end = await openLinkEnd(ca);
  let streams = 0;
  const { agentId, session } = await linkOf(end, 'tcp', () => (streams += 1));
  await rejects(end.hub.openService(agentId, 'install', { timeoutMs: 5_000 }), 'unsupported', /\(other\/1\) offers no services/);
  assert.equal(streams, 0);
  session.close('done');
});

test('no link, and a link that ends before the answer', async () => {
  await using end = await openLinkEnd(ca);
  await rejects(end.hub.openService(newId(), 'install', { timeoutMs: 5_000 }), 'offline', /never been online/);
  const { agentId, session } = await linkOf(end, 'tcp, service', (stream) => void acceptStream(stream, { clock: testClock, limits }).then((offered) => offered.accept()));
  const stream = await end.hub.openService(agentId, 'install', { timeoutMs: 5_000 });
  const installing = installOver(stream, order, { clock: testClock, limits });
  session.close('gone');
  await rejects(installing, 'closed', /./);
});

test('an agent that never answers is given up', async () => {
  await using end = await openLinkEnd(ca);
  const { agentId, session } = await linkOf(end, 'tcp, service', (stream) => void acceptStream(stream, { clock: testClock, limits }).then((offered) => offered.accept()));
  const stream = await end.hub.openService(agentId, 'install', { timeoutMs: 5_000 });
  await rejects(installOver(stream, order, { clock: testClock, limits: { ...limits, installTimeoutMs: 300 } }), 'timeout', /took longer than 0.3 s/);
  const called = new AbortController();
  const second = installOver(await end.hub.openService(agentId, 'install', { timeoutMs: 5_000 }), order, { clock: testClock, limits, signal: called.signal });
  called.abort();
  await rejects(second, 'closed', /given up/);
  session.close('done');
});
