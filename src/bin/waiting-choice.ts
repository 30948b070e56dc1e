// Which of the devices that wait are meant: by serial, or by id where two customers have the same serial.
import type { Client } from '#api/client.ts';
import type { Answer } from '#api/contract.ts';
import { Fault } from '#base/fault.ts';
import { collect } from './arguments.ts';

export type Waiting = Answer<'listWaitingDevices'>['items'][number];

/** Fault `not-found` for the first that does not wait, `conflict` for a serial that waits twice. */
export async function chooseWaiting(client: Client, wanted: readonly string[], isAll: boolean, signal: AbortSignal): Promise<Waiting[]> {
  const rows = await collect(20_000, (query) => client.call('listWaitingDevices', { query, signal }));
  if (isAll) return rows.filter((row) => row.mayDecide);
  return wanted.map((text) => {
    const found = rows.filter((row) => row.id === text || row.serial === text);
    if (found.length === 0) throw new Fault('not-found', `no device with the serial "${text.slice(0, 128)}" waits`, { remedy: 'postern waiting lists them.' });
    if (found.length > 1) throw new Fault('conflict', `"${text}" waits for more than one customer`, { remedy: `Name it by its id: ${found.map((row) => row.id).join(', ')}` });
    return found[0]!;
  });
}

/** In parts that one request takes. */
export function inParts<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}
