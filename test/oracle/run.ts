// Opens what a run of the oracle needs and closes it, however the run ends.
import { findPeers } from '../kit/peers.ts';
import { openProcesses } from '../kit/processes.ts';
import { castDice } from './dice.ts';
import type { Run } from './lives.ts';
import type { Report } from './report.ts';

export const oraclePeers = findPeers(['strace', 'faketime', 'curl']);

export interface RunOptions {
  readonly seed: string;
  readonly say: (text: string) => void;
  readonly signal?: AbortSignal;
}

export async function withRun(name: string, { seed, say, signal }: RunOptions, work: (run: Run) => Promise<Report>): Promise<Report> {
  const ended = new AbortController();
  signal?.addEventListener('abort', () => ended.abort());
  await using processes = openProcesses(signal);
  processes.defer(() => ended.abort());
  return await work({ processes, dice: castDice(`${seed} ${name}`), hits: new Map(), busyHits: new Map(), peer: (peer) => oraclePeers.path(peer), say, ended: ended.signal });
}
