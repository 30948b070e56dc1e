// Who may do what: one pure function over the rights of a person and, for a token with rights of its own, of the token.
import type { Id } from '#base/ids.ts';
import type { Action, Agent, Device, Right, ScopeKind } from './rows.ts';
import type { Tables } from './tables.ts';
import type { Visitor } from './visitor.ts';

/** What a right speaks of, without whose it is. */
export interface Grant {
  readonly action: Action;
  readonly scopeKind: ScopeKind;
  readonly scopeId: Id | null;
}

/** A thing and where it stands; `gateway` for what belongs to nobody but the gateway (configuration, status, journal). */
export type Subject = 'gateway' | { readonly customerId: Id; readonly siteId?: Id; readonly deviceId?: Id };

const rank: Record<Action, number> = { see: 1, open: 2, administer: 3 };

function covers(grant: Grant, action: Action, subject: Subject): boolean {
  if (rank[grant.action] < rank[action]) return false;
  if (grant.scopeKind === 'gateway') return true;
  if (subject === 'gateway' || grant.scopeId === null) return false;
  switch (grant.scopeKind) {
    case 'customer':
      return grant.scopeId === subject.customerId;
    case 'site':
      return grant.scopeId === subject.siteId;
    case 'device':
      return grant.scopeId === subject.deviceId;
  }
}

/**
 * administer includes open, open includes see. `tokenRights` are null where no token asks or the token has no rights of its
 * own; else both must allow it: a token never does more than its person, also when the person's rights shrink later.
 */
export function mayDo(rights: readonly Grant[], tokenRights: readonly Grant[] | null, action: Action, subject: Subject): boolean {
  const allows = (grant: Grant) => covers(grant, action, subject);
  return rights.some(allows) && (tokenRights === null || tokenRights.some(allows));
}

export interface VisitorRights {
  readonly rights: readonly Right[];
  readonly tokenRights: readonly Right[] | null;
}

const noRights: VisitorRights = { rights: [], tokenRights: null };

/**
 * A locked person has none. A token without rights of its own has its person's; one that was revoked has none, whatever waited for its
 * turn meanwhile: its own narrower rights went with it. Nor has a sign-in that ended.
 */
export function rightsOfVisitor(tables: Tables, visitor: Visitor): VisitorRights {
  if (tables.people.get(visitor.person.id)?.locked !== false) return noRights;
  if (visitor.token ? !tables.tokens.get(visitor.token.id) : visitor.signIn && !tables.signIns.get(visitor.signIn.id)) return noRights;
  const rights = tables.rightsOf('person', visitor.person.id);
  if (!visitor.token) return { rights, tokenRights: null };
  const own = tables.rightsOf('token', visitor.token.id);
  return { rights, tokenRights: own.length > 0 ? own : null };
}

export function visitorMay(tables: Tables, visitor: Visitor, action: Action, subject: Subject): boolean {
  const { rights, tokenRights } = rightsOfVisitor(tables, visitor);
  return mayDo(rights, tokenRights, action, subject);
}

/** Whether any right allows the action anywhere: for what a console shows at all. */
export function mayAnywhere({ rights, tokenRights }: VisitorRights, action: Action): boolean {
  const allows = (grant: Grant) => rank[grant.action] >= rank[action];
  return rights.some(allows) && (tokenRights === null || tokenRights.some(allows));
}

export function subjectOfDevice(device: Device): Subject {
  return { customerId: device.customerId, siteId: device.siteId, deviceId: device.id };
}

export function subjectOfAgent(agent: Agent): Subject {
  return { customerId: agent.customerId, siteId: agent.siteId };
}

/** The thing that a right is about; undefined when it is not there (any more). */
export function subjectOfScope(tables: Tables, scope: Pick<Grant, 'scopeKind' | 'scopeId'>): Subject | undefined {
  if (scope.scopeKind === 'gateway') return scope.scopeId === null ? 'gateway' : undefined;
  if (scope.scopeId === null) return undefined;
  if (scope.scopeKind === 'customer') return tables.customers.get(scope.scopeId) && { customerId: scope.scopeId };
  if (scope.scopeKind === 'site') {
    const site = tables.sites.get(scope.scopeId);
    return site && { customerId: site.customerId, siteId: site.id };
  }
  const device = tables.devices.get(scope.scopeId);
  return device && subjectOfDevice(device);
}
