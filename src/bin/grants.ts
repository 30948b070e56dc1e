// Rights as they are typed: `open@device:demo`, `administer@customer:default`, `see@gateway`.
import type { Client } from '#api/client.ts';
import type { Body } from '#api/contract.ts';
import { Fault } from '#base/fault.ts';
import { collect } from './arguments.ts';
import { usageFault } from './io.ts';

export type Grants = Body<'setRights'>['rights'];

export const grantUsage = `A RIGHT is ACTION@SCOPE: see, open or administer (each includes those before it), at
gateway, customer:KEY, site:NAME or device:DEVICE. Without a scope: the whole gateway.`;

/** Looks up what is named. Faults: usage, `not-found`. */
export async function resolveGrants(client: Client, texts: readonly string[]): Promise<Grants> {
  return Promise.all(texts.map((text) => resolveGrant(client, text)));
}

async function resolveGrant(client: Client, text: string): Promise<Grants[number]> {
  const match = /^(see|open|administer)(?:@(gateway|customer|site|device)(?::(.+))?)?$/.exec(text);
  if (!match || (match[2] !== undefined && match[2] !== 'gateway') !== (match[3] !== undefined)) throw usageFault(`"${text}" is not a right like open@device:demo`);
  const action = match[1] as Grants[number]['action'];
  const scopeKind = (match[2] ?? 'gateway') as Grants[number]['scopeKind'];
  const name = match[3] ?? '';
  if (scopeKind === 'gateway') return { action, scopeKind, scopeId: null };
  if (scopeKind === 'device') return { action, scopeKind, scopeId: (await client.call('getDevice', { params: { device: name } })).id };
  const found =
    scopeKind === 'customer'
      ? (await collect(10_000, (query) => client.call('listCustomers', { query }))).find((each) => each.key === name || each.id === name)
      : (await collect(10_000, (query) => client.call('listSites', { query }))).find((each) => each.name === name || each.id === name);
  if (!found) throw new Fault('not-found', `there is no ${scopeKind} "${name}" that you may see`);
  return { action, scopeKind, scopeId: found.id };
}

export function formatRights(rights: readonly { action: string; scopeKind: string; scopeName: string }[] | null): string {
  if (rights === null) return 'all of its person';
  return rights.map((right) => `${right.action}@${right.scopeKind}${right.scopeKind === 'gateway' ? '' : `:${right.scopeName}`}`).join(' ') || 'none';
}
