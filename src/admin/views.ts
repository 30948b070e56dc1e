// Rows as the API shows them. Nothing here copies a whole row: what is not named is not shown.
import type { Addresses } from './deps.ts';
import type { ActorView, AgentView, AuditLineView, DeviceView, Grant, InviteView, JoinTokenView, LinkView, PersonView, RightView, SignInView, TokenView, VisitView } from '#api/shapes.ts';
import { mainPort } from '#model/labels.ts';
import type { LiveLink } from '#model/live.ts';
import { createdByStart } from '#model/rows.ts';
import { subjectOfAgent, subjectOfDevice } from '#model/rights.ts';
import type { Action, Actor, Agent, AuditLine, Device, Invite, JoinToken, Person, SignIn, Token, Visit } from '#model/rows.ts';
import type { Tables } from '#model/tables.ts';
import { may, type Anyone } from './asked.ts';
import type { Room } from './room.ts';

export const actions: readonly Action[] = ['see', 'open', 'administer'];

export function scopeName(tables: Tables, { scopeKind, scopeId }: Grant): string {
  if (scopeKind === 'gateway') return 'the gateway';
  const rows = { customer: tables.customers, site: tables.sites, device: tables.devices }[scopeKind];
  return (scopeId === null ? undefined : rows.get(scopeId)?.name) ?? '(removed)';
}

export function viewRights(tables: Tables, rights: readonly Grant[]): RightView[] {
  return rights.map((right) => ({ action: right.action, scopeKind: right.scopeKind, scopeId: right.scopeId, scopeName: scopeName(tables, right) }));
}

export function viewActor({ kind, id, name, from }: Actor): ActorView {
  return { kind, id, name, from };
}

export function viewSignIn(tables: Tables, row: SignIn, currentId: string | undefined): SignInView {
  const { id, personId, kind, from, userAgent, createdAt, lastUsedAt, expiresAt } = row;
  return { id, personId, login: tables.people.get(personId)?.login ?? '', kind, from, userAgent, createdAt, lastUsedAt, expiresAt, current: id === currentId };
}

export function viewToken(tables: Tables, { id, personId, name, createdAt, lastUsedAt, expiresAt }: Token): TokenView {
  const own = tables.rightsOf('token', id);
  return { id, personId, login: tables.people.get(personId)?.login ?? '', name, createdAt, lastUsedAt, expiresAt, rights: own.length > 0 ? viewRights(tables, own) : null };
}

export function viewPerson(tables: Tables, row: Person, counts: { readonly signIns: readonly SignIn[]; readonly tokens: readonly Token[] }, meId: string): PersonView {
  const used = [...counts.signIns, ...counts.tokens].reduce<number | null>((last, { lastUsedAt }) => (lastUsedAt !== null && (last === null || lastUsedAt > last) ? lastUsedAt : last), null);
  return {
    id: row.id, customerId: row.customerId, login: row.login, name: row.name, locked: row.locked, createdAt: row.createdAt, lastUsedAt: used,
    rights: viewRights(tables, tables.rightsOf('person', row.id)), signIns: counts.signIns.length, tokens: counts.tokens.length, isMe: row.id === meId,
  };
}

const stateOf = (row: { readonly usedAt: number | null; readonly expiresAt: number }, nowMs: number) => (row.usedAt !== null ? 'used' : nowMs >= row.expiresAt ? 'expired' : 'waiting');

export function viewInvite(tables: Tables, row: Invite, nowMs: number): InviteView {
  return { id: row.id, name: row.name, rights: viewRights(tables, row.rights), createdBy: tables.people.get(row.createdBy)?.login ?? '(removed)', createdAt: row.createdAt, expiresAt: row.expiresAt, usedAt: row.usedAt, state: stateOf(row, nowMs) };
}

export function joinTokenState(row: JoinToken, nowMs: number): JoinTokenView['state'] {
  return stateOf(row, nowMs);
}

function viewLink({ from, since, rttMs, streams, bytesIn, bytesOut, version, can }: LiveLink): LinkView {
  return { from, since, rttMs, streams, bytesIn, bytesOut, version, can: [...can] };
}

/** What an agent announced: a list of lines, kept as JSON. */
export function policyLines(kept: string | null): string[] | null {
  if (kept === null) return null;
  try {
    const parsed: unknown = JSON.parse(kept);
    if (Array.isArray(parsed)) return parsed.map(String);
    if (typeof parsed === 'string') return parsed.split('\n');
    return JSON.stringify(parsed, null, 2).split('\n');
  } catch {
    return kept.split('\n');
  }
}

function presenceOf({ tables, live }: Room, agent: Agent | undefined, agentId: string | null) {
  const link = agent?.state === 'active' ? live.linkOf(agentId) : undefined;
  const note = agentId === null ? undefined : tables.agentNotes.get(agentId);
  return {
    online: link !== undefined,
    link: link ? viewLink(link) : null,
    lastSeenAt: note?.lastSeenAt ?? null,
    lastLeftWhy: link ? null : (note?.lastLeftWhy ?? null),
    version: link?.version ?? note?.version ?? null,
    policy: policyLines(note?.policy ?? null),
  };
}

const latest = (a: number | null, b: number | null): number | null => (a === null ? b : b === null ? a : Math.max(a, b));

export function deviceUrl(addresses: Addresses, device: Pick<Device, 'label' | 'ports'>, port: number): string {
  return addresses.devicePattern.replace('{label}', port === mainPort(device) ? device.label : `${device.label}--${port}`);
}

export function mainUrl(addresses: Addresses, device: Pick<Device, 'label' | 'ports'>): string | null {
  const port = mainPort(device);
  return port === null ? null : deviceUrl(addresses, device, port);
}

/** Live visits by device, counted once for a whole list. */
export function countVisits({ live }: Room): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { deviceId } of live.visits()) counts.set(deviceId, (counts.get(deviceId) ?? 0) + 1);
  return counts;
}

export function viewDevice(room: Room, asked: Anyone, addresses: Addresses, device: Device, visits: ReadonlyMap<string, number>): DeviceView {
  const { tables } = room;
  const agent = device.agentId === null ? undefined : tables.agents.get(device.agentId);
  const note = tables.deviceNotes.get(device.id);
  const presence = presenceOf(room, agent, device.agentId);
  return {
    id: device.id, customerId: device.customerId, siteId: device.siteId, siteName: tables.sites.get(device.siteId)?.name ?? '', agentId: device.agentId, agentState: device.agentId === null ? 'none' : (agent?.state ?? 'revoked'),
    serial: device.serial, label: device.label, name: device.name, host: device.host, hostHeader: device.hostHeader, locked: device.locked, createdAt: device.createdAt,
    url: mainUrl(addresses, device),
    ports: device.ports.map(({ number, name, kind, fingerprint }) => ({ number, name, kind, fingerprint, url: kind === 'http' || kind === 'https' ? deviceUrl(addresses, device, number) : null })),
    ...presence,
    lastSeenAt: latest(presence.lastSeenAt, note?.lastSeenAt ?? null),
    contact: note ? { lastPushAt: note.lastPushAt, lastCheckInAt: note.lastCheckInAt, from: note.from, firmware: note.fw, hardware: note.hw, pins: (note.pins?.length ?? 0) > 0, fingerprints: [...(note.pins ?? [])], clockSkewMs: note.clockSkewMs, zone: note.zone, upSeconds: note.up, facts: { ...note.facts } } : null,
    visitsLive: visits.get(device.id) ?? 0,
    may: actions.filter((action) => may(asked, action, subjectOfDevice(device))),
  };
}

/** Until when each agent's newest certificate is good; gathered once for a whole list. */
export function certificatesUntil({ agentCertificates }: Tables): ReadonlyMap<string, number> {
  const until = new Map<string, number>();
  for (const { agentId, revokedAt, notAfter } of agentCertificates.values()) {
    if (revokedAt === null && notAfter > (until.get(agentId) ?? 0)) until.set(agentId, notAfter);
  }
  return until;
}

export function viewAgent(room: Room, asked: Anyone, agent: Agent, until: ReadonlyMap<string, number>): AgentView {
  const { tables } = room;
  const devices = tables.devicesOfAgent(agent.id).filter((device) => may(asked, 'see', subjectOfDevice(device)));
  return {
    id: agent.id, customerId: agent.customerId, siteId: agent.siteId, siteName: tables.sites.get(agent.siteId)?.name ?? '', name: agent.name, state: agent.state, createdAt: agent.createdAt,
    ...presenceOf(room, agent, agent.id),
    devices: devices.map(({ id, label, name }) => ({ id, label, name })),
    certificateUntil: until.get(agent.id) ?? null,
    may: actions.filter((action) => may(asked, action, subjectOfAgent(agent))),
  };
}

export function viewJoinToken({ tables, live, clock }: Room, addresses: Addresses, row: JoinToken): JoinTokenView {
  const device = row.usedByAgentId === null ? undefined : tables.devicesOfAgent(row.usedByAgentId)[0];
  return {
    id: row.id, siteId: row.siteId, deviceName: row.deviceName, serial: row.serial, host: row.host, ports: row.ports.map(({ number, name, kind }) => ({ number, name, kind })),
    createdBy: row.createdBy === createdByStart ? 'start command' : (tables.people.get(row.createdBy)?.login ?? '(removed)'), createdAt: row.createdAt, expiresAt: row.expiresAt, state: joinTokenState(row, clock.nowMs()),
    device: device ? { id: device.id, label: device.label, name: device.name, url: mainUrl(addresses, device), online: live.linkOf(device.agentId) !== undefined } : null,
  };
}

export function viewVisit(row: Visit, live: boolean, mayClose: boolean): VisitView {
  const { id, deviceId, deviceName, port, kind, openedAt, closedAt, requests, bytesIn, bytesOut, why } = row;
  return { id, deviceId, deviceName, port, kind, who: viewActor(row.who), openedAt, closedAt, live, requests, bytesIn, bytesOut, why, mayClose };
}

export function viewAuditLine(line: AuditLine): AuditLineView {
  const { seq, at, what, subjectKind, subjectId, subjectName, detail, previousHash, hash } = line;
  return { seq, at, actor: viewActor(line.actor), what, subjectKind, subjectId, subjectName, detail: { ...detail }, previousHash, hash };
}
