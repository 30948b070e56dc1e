// The group commit: batches that arrive while the store writes wait together and go as one operation, one transaction and one
// fsync. Bounded in count and bytes; what is over that is told to come again, because devices hold their data.
import { Fault, isFault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { IntakeOperations, Push, PushOutcome } from '#model/intake.ts';

export interface Intake {
  /** Resolves once it is durable. Faults: `busy` (nothing of it was stored, as far as is known: repeat it), `closed`. */
  push(push: Push): Promise<PushOutcome>;
  /** Stops taking more; resolves when what was taken is settled. */
  close(): Promise<void>;
  readonly waiting: number;
  readonly waitingBytes: number;
}

export interface IntakeOptions {
  readonly operations: Pick<IntakeOperations, 'intake'>;
  readonly limits: Limits;
  /** A reason to store nothing now: a full disk. */
  readonly mayStore: () => Fault | null;
  readonly monoMs: () => number;
  /** So many batches became durable together, and how long that took. */
  readonly onCommitted?: (batches: number, ms: number) => void;
}

interface Waiting {
  readonly push: Push;
  readonly resolve: (outcome: PushOutcome) => void;
  readonly reject: (reason: unknown) => void;
}

/** Two operations at a time: while one waits for its fsync, the next is on its way to the store's thread. */
const atOnceMax = 2;

export function buildIntake({ operations, limits, mayStore, monoMs, onCommitted }: IntakeOptions): Intake {
  let queue: Waiting[] = [];
  let bytes = 0;
  let under = 0;
  let closed: PromiseWithResolvers<void> | null = null;

  const takeBatch = (): Waiting[] => {
    let size = 0;
    let count = 0;
    for (const { push } of queue) {
      if (count >= limits.pushesPerCommitMax || (count > 0 && size + push.bytes.length > limits.pushBytesPerCommitMax)) break;
      size += push.bytes.length;
      count += 1;
    }
    const batch = queue.slice(0, count);
    queue = queue.slice(count);
    return batch;
  };

  const settle = async (batch: readonly Waiting[]): Promise<void> => {
    const from = monoMs();
    try {
      const outcomes = await operations.intake(batch.map(({ push }) => push));
      onCommitted?.(batch.length, monoMs() - from);
      batch.forEach(({ resolve }, index) => resolve(outcomes[index]!));
    } catch (thrown) {
      if (batch.length === 1 || isFault(thrown, 'busy')) return void batch.forEach(({ reject }) => reject(thrown));
      // One of them was too much for the store; the others are not to suffer for it.
      for (const each of batch) await settle([each]);
    }
  };

  const work = () => {
    while (under < atOnceMax && queue.length > 0) {
      const batch = takeBatch();
      under += 1;
      void settle(batch).finally(() => {
        under -= 1;
        for (const { push } of batch) bytes -= push.bytes.length;
        if (queue.length > 0) work();
        else if (under === 0) closed?.resolve();
      });
    }
  };

  let scheduled = false;
  return {
    push(push) {
      if (closed) return Promise.reject(new Fault('closed', 'the gateway is going down'));
      const full = mayStore();
      if (full) return Promise.reject(full);
      if (queue.length >= limits.pushesWaitingMax || bytes + push.bytes.length > limits.pushesWaitingBytesMax) return Promise.reject(new Fault('busy', 'more is arriving than can be written', { remedy: 'Repeat it later: nothing of it was stored.' }));
      bytes += push.bytes.length;
      return new Promise((resolve, reject) => {
        queue.push({ push, resolve, reject });
        // With the first one wait for what else this turn of the event loop brings.
        if (scheduled) return;
        scheduled = true;
        setImmediate(() => {
          scheduled = false;
          work();
        });
      });
    },
    close() {
      closed ??= Promise.withResolvers<void>();
      if (under === 0 && queue.length === 0) closed.resolve();
      return closed.promise;
    },
    get waiting() {
      return queue.length;
    },
    get waitingBytes() {
      return bytes;
    },
  };
}
