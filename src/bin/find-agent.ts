// Which agent is meant by what somebody typed.
import type { Client } from '#api/client.ts';
import type { Answer } from '#api/contract.ts';
import { Fault } from '#base/fault.ts';
import { collect } from './arguments.ts';

type Agent = Answer<'listAgents'>['items'][number];

/** By id, name, or the label of a device that it stands for. Faults: `not-found`, `conflict`. */
export async function findAgent(client: Client, wanted: string, signal: AbortSignal): Promise<Agent> {
  const all = await collect(10_000, (query) => client.call('listAgents', { query, signal }));
  const named = all.filter((each) => each.state !== 'revoked' && (each.id === wanted || each.name === wanted || each.devices.some((device) => device.label === wanted)));
  const found = named.find((each) => each.id === wanted) ?? named[0];
  if (!found) throw new Fault('not-found', `there is no agent "${wanted}", and no device of that label`);
  if (named.length > 1 && found.id !== wanted) throw new Fault('conflict', `"${wanted}" is more than one agent`, { remedy: `Name it by its id: ${named.slice(0, 5).map((each) => each.id).join(', ')}` });
  return found;
}
