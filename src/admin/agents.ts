// Agents and the one-time tokens by which they come.
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { digestOf, newSecret } from '#base/secret.ts';
import { doorsOfAgent } from '#model/places.ts';
import { subjectOfAgent } from '#model/rights.ts';
import type { Action, Agent, JoinToken, Site } from '#model/rows.ts';
import { auditOf, may, mustMay, visitorOf, type Acts, type Anyone } from './asked.ts';
import { toPorts } from './devices.ts';
import { byId, byName, keepSorted, pageOf } from './pages.ts';
import { cutVisits, type Room } from './room.ts';
import { certificatesUntil, viewAgent, viewJoinToken } from './views.ts';

export function buildAgentActs(room: Room): Acts<'listAgents' | 'getAgent' | 'lockAgent' | 'unlockAgent' | 'revokeAgent' | 'closeAgentLink'> {
  const { tables, operations, live } = room;
  const order = { keyOf: byName };
  const agents = keepSorted(tables.agents, order);
  const agentFor = (asked: Anyone, id: Id, action: Action, what: string): Agent => {
    const agent = tables.agents.get(id);
    if (!agent || !may(asked, 'see', subjectOfAgent(agent))) throw new Fault('not-found', 'there is no such agent, or not any more');
    mustMay(asked, action, subjectOfAgent(agent), what);
    return agent;
  };
  const view = (asked: Anyone, agent: Agent) => viewAgent(room, asked, agent, certificatesUntil(tables));
  const subjectOf = (agent: Agent) => ({ customerId: agent.customerId, kind: 'agent', id: agent.id, name: agent.name });
  /** Its link and the visits through it end with the change. */
  const setState = async (asked: Anyone, agent: Agent, state: Agent['state'], what: string, why: string) => {
    if (agent.state === state) return view(asked, agent);
    if (agent.state === 'revoked') throw new Fault('conflict', 'a revoked agent stays revoked', { remedy: 'join it again with a new token' });
    const changed = { ...agent, state };
    const audit = auditOf(room, asked, what, subjectOf(agent));
    await operations.changeAgent(changed, audit);
    tables.agents.publish({ put: [changed] });
    if (state === 'revoked') {
      const certificates = [...tables.agentCertificates.values()].filter((row) => row.agentId === agent.id && row.revokedAt === null);
      tables.agentCertificates.publish({ put: certificates.map((row) => ({ ...row, revokedAt: audit.at })) });
      const doors = doorsOfAgent(tables, agent.id);
      if (doors.length > 0) tables.siteDoors.publish({ removed: doors });
    }
    if (state !== 'active') {
      const devices = new Set(tables.devicesOfAgent(agent.id).map((device) => device.id));
      cutVisits(room, (visit) => devices.has(visit.deviceId), why);
      live.closeLink(agent.id, why);
    }
    return view(asked, changed);
  };
  return {
    listAgents(asked) {
      const search = asked.query.search?.toLowerCase() ?? '';
      const until = certificatesUntil(tables);
      return pageOf(agents(), order, asked.query, (agent) => may(asked, 'see', subjectOfAgent(agent)) && agent.name.toLowerCase().includes(search), (agent) => viewAgent(room, asked, agent, until));
    },
    getAgent: (asked) => view(asked, agentFor(asked, asked.params.id, 'see', 'see this agent')),
    lockAgent: (asked) => room.inTurn(() => setState(asked, agentFor(asked, asked.params.id, 'administer', 'lock this agent'), 'locked', 'agent.locked', 'the agent was locked')),
    unlockAgent: (asked) => room.inTurn(() => setState(asked, agentFor(asked, asked.params.id, 'administer', 'unlock this agent'), 'active', 'agent.unlocked', '')),
    revokeAgent: (asked) => room.inTurn(() => setState(asked, agentFor(asked, asked.params.id, 'administer', 'revoke this agent'), 'revoked', 'agent.revoked', 'the agent was revoked')),
    async closeAgentLink(asked) {
      const agent = agentFor(asked, asked.params.id, 'administer', "close this agent's link");
      await operations.addAudit([auditOf(room, asked, 'agent.link-closed', subjectOf(agent))]);
      return { closed: live.closeLink(agent.id, `closed by ${visitorOf(asked).person.login}`) };
    },
  };
}

const waitingMax = 1_000;

export function buildJoinActs(room: Room): Acts<'listJoinTokens' | 'getJoinToken' | 'createJoinToken' | 'removeJoinToken'> {
  const { tables, operations, clock, limits } = room;
  const order = { keyOf: byId, newestFirst: true };
  const joinTokens = keepSorted(tables.joinTokens, order);
  const maySee = (asked: Anyone, row: JoinToken) => may(asked, 'administer', { customerId: row.customerId, siteId: row.siteId });
  const tokenFor = (asked: Anyone, id: Id): JoinToken => {
    const row = tables.joinTokens.get(id);
    if (!row || !maySee(asked, row)) throw new Fault('not-found', 'there is no such join token, or not any more');
    return row;
  };
  /** The site named, else the oldest that one may join things to, one's own customer first. */
  const siteFor = (asked: Anyone, siteId: Id | undefined): Site => {
    if (siteId !== undefined) {
      const site = tables.sites.get(siteId);
      if (!site) throw new Fault('bad-input', 'there is no such site', { detail: { problems: [{ path: 'siteId', message: 'is no site' }] } });
      mustMay(asked, 'administer', { customerId: site.customerId, siteId }, 'join a device to this site');
      return site;
    }
    const mine = [...tables.sites.values()].filter((site) => may(asked, 'administer', { customerId: site.customerId, siteId: site.id })).sort((a, b) => (a.id < b.id ? -1 : 1));
    const { customerId } = visitorOf(asked).person;
    const site = mine.find((each) => each.customerId === customerId) ?? mine[0];
    if (!site) throw new Fault('forbidden', 'you may not join a device anywhere', { remedy: 'ask somebody who administers the gateway for the right "administer" on a site' });
    return site;
  };
  return {
    listJoinTokens(asked) {
      const addresses = room.addresses(asked);
      return pageOf(joinTokens(), order, asked.query, (row) => maySee(asked, row), (row) => viewJoinToken(room, addresses, row));
    },
    getJoinToken: (asked) => viewJoinToken(room, room.addresses(asked), tokenFor(asked, asked.params.id)),
    createJoinToken: (asked) =>
      room.inTurn(async () => {
        const { deviceName, serial, host } = asked.body;
        const site = siteFor(asked, asked.body.siteId);
        const now = clock.nowMs();
        const waiting = [...tables.joinTokens.values()].filter((token) => token.usedAt === null && now < token.expiresAt).length;
        if (waiting >= waitingMax) throw new Fault('too-many', `${waiting} join tokens wait already`, { remedy: 'use or remove some' });
        if (tables.devices.size >= limits.devicesMax) throw new Fault('too-many', `the gateway has ${limits.devicesMax} devices already`);
        const ports = toPorts(asked.body.ports ?? [{ number: 80, name: '', kind: 'http' }]);
        const secret = newSecret(room.random);
        const row: JoinToken = {
          id: room.newId(), customerId: site.customerId, siteId: site.id, secretDigest: digestOf(secret), deviceName, serial, host, ports,
          createdBy: visitorOf(asked).person.id, createdAt: now, expiresAt: now + limits.joinTokenMs, usedAt: null, usedByAgentId: null,
        };
        const { text, commands } = await room.describeJoinToken(secret);
        await operations.addJoinToken(row, auditOf(room, asked, 'join-token.created', { customerId: row.customerId, kind: 'join-token', id: row.id, name: deviceName }, { host, site: site.name }));
        tables.joinTokens.publish({ put: [row] });
        return { joinToken: viewJoinToken(room, room.addresses(asked), row), secret: text, commands: [...commands] };
      }),
    removeJoinToken: (asked) =>
      room.inTurn(async () => {
        const row = tokenFor(asked, asked.params.id);
        await operations.removeJoinToken(row.id, auditOf(room, asked, 'join-token.removed', { customerId: row.customerId, kind: 'join-token', id: row.id, name: row.deviceName }));
        tables.joinTokens.publish({ removed: [row.id] });
        return {};
      }),
  };
}
