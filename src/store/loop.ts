// What both threads of the store run: calls come in, are worked on in their order, and their answers go back together.
import { parentPort } from 'node:worker_threads';
import { type Failure, packFailure } from './failure.ts';

export interface Call {
  readonly id: number;
  readonly name: string;
  readonly args: readonly unknown[];
}

export type Answer = { readonly id: number; readonly ok: true; readonly value: unknown } | { readonly id: number; readonly ok: false; readonly failure: Failure };

/** For the log, which only the main thread has. */
export interface ThreadEvent {
  readonly event: 'store.lost' | 'store.back' | 'audit.broken';
  readonly fields: Readonly<Record<string, string | number>>;
}

/** From a thread: once `ready` or `failed`, then answers. */
export type Report = { readonly kind: 'ready'; readonly value: unknown } | { readonly kind: 'failed'; readonly failure: Failure } | { readonly kind: 'answers'; readonly answers: readonly Answer[] } | { readonly kind: 'event'; readonly event: ThreadEvent };

/** The name of the last call that a thread gets. */
export const closeName = 'close';

export const answered = (call: Call, value: unknown): Answer => ({ id: call.id, ok: true, value });
export const failed = (call: Call, thrown: unknown): Answer => ({ id: call.id, ok: false, failure: packFailure(thrown) });

export function tell(event: ThreadEvent): void {
  const report: Report = { kind: 'event', event };
  parentPort?.postMessage(report);
}

export interface Room {
  /** What `ready` carries. */
  readonly ready: unknown;
  /** Takes at least one call from the front of `waiting`; never throws. */
  readonly work: (waiting: Call[]) => Promise<readonly Answer[]>;
  readonly close: () => Promise<void>;
}

/** Runs until the call `close`. When `open` throws, the thread reports `failed` and ends. */
export async function keepAnswering(open: () => Promise<Room>): Promise<void> {
  const port = parentPort!;
  const report = (message: Report) => port.postMessage(message);
  let room: Room;
  try {
    room = await open();
  } catch (thrown) {
    report({ kind: 'failed', failure: packFailure(thrown) });
    return;
  }
  const waiting: Call[] = [];
  let working = false;
  const workOff = async () => {
    while (waiting.length > 0) {
      if (waiting[0]!.name === closeName) {
        report({ kind: 'answers', answers: [await closed(room, waiting[0]!)] });
        port.close();
        return;
      }
      report({ kind: 'answers', answers: await room.work(waiting) });
      // Lets in what arrived while an fsync held the thread, so that it shares the next one.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    working = false;
  };
  port.on('message', (call: Call) => {
    waiting.push(call);
    if (working) return;
    working = true;
    setImmediate(() => void workOff());
  });
  report({ kind: 'ready', value: room.ready });
}

async function closed(room: Room, call: Call): Promise<Answer> {
  try {
    await room.close();
    return answered(call, null);
  } catch (thrown) {
    return failed(call, thrown);
  }
}
