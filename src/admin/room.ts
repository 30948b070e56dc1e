// What the acts of the API share: what was handed in, and this room's own passing state.
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { subjectOfDevice, visitorMay } from '#model/rights.ts';
import type { Customer, Visit } from '#model/rows.ts';
import { buildTable, type TableWriter } from '#model/table.ts';
import type { AdminDeps } from './deps.ts';
import { buildPasswords, type Passwords } from './password.ts';
import { buildThrottle, type Throttle } from '#model/throttle.ts';
import { keepUses, type Uses } from './uses.ts';

/** A sign-in of the CLI on its way: started by nobody in particular, approved by a person in the console. */
export interface CliLogin {
  readonly code: string;
  readonly pollDigest: string;
  readonly from: string;
  readonly client: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly state: 'waiting' | 'approved' | 'refused';
  readonly personId: Id | null;
  readonly approvedBySignInId: Id | null;
}

export interface Room extends AdminDeps {
  readonly throttle: Throttle;
  readonly passwords: Passwords;
  readonly uses: Uses;
  readonly cliLogins: TableWriter<CliLogin>;
}

export function buildRoom(deps: AdminDeps): Room {
  return {
    ...deps,
    throttle: buildThrottle(deps.clock),
    passwords: buildPasswords(deps.random),
    uses: keepUses(deps),
    cliLogins: buildTable<CliLogin>({ name: 'cliLogins', kind: 'passing', keyOf: (row) => row.code }),
  };
}

/** The customer of everything that names none: a fresh gateway has this one. */
export function defaultCustomer({ tables }: Pick<Room, 'tables'>): Customer {
  let first: Customer | undefined;
  for (const customer of tables.customers.values()) {
    if (customer.key === 'default') return customer;
    first ??= customer;
  }
  if (!first) throw new Fault('internal', 'the store holds no customer');
  return first;
}

/** Ends the visits that the choice names. */
export function cutVisits({ live }: Pick<Room, 'live'>, chosen: (visit: Visit) => boolean, why: string): void {
  for (const visit of live.visits()) if (chosen(visit)) live.closeVisit(visit.id, why);
}

/** After rights became fewer: ends what a person or a token of theirs has open without the right to it any more. */
export function cutVisitsWithoutRight(room: Room, personId: Id, why: string): void {
  const { tables } = room;
  const person = tables.people.get(personId);
  cutVisits(
    room,
    ({ who, deviceId }) => {
      const token = who.kind === 'token' && who.id ? tables.tokens.get(who.id) : undefined;
      if (who.id !== personId && token?.personId !== personId) return false;
      const device = tables.devices.get(deviceId);
      return !person || !device || !visitorMay(tables, { person, signIn: null, token: token ?? null }, 'open', subjectOfDevice(device));
    },
    why,
  );
}
