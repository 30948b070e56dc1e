// One after the other: for changes that read a row, wait for the store, and write the row back.
import { Fault } from './fault.ts';

export type InTurn = <Result>(run: () => Promise<Result>) => Promise<Result>;

/** At most `waitingMax` wait; one more is Fault `busy`. A failure concerns its own caller alone. */
export function buildInTurn(waitingMax: number): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return (run) => {
    if (waiting >= waitingMax) return Promise.reject(new Fault('busy', `${waiting} changes are waiting already`, { remedy: 'try again in a moment' }));
    waiting += 1;
    const mine = last.then(run).finally(() => (waiting -= 1));
    last = mine.catch(() => {});
    return mine;
  };
}
