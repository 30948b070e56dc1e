// The main thread's end of a store thread: a bounded number of calls under way, each a promise.
import { Worker } from 'node:worker_threads';
import { Fault } from '#base/fault.ts';
import type { Log } from '#base/log.ts';
import { unpackFailure } from './failure.ts';
import { type Call, closeName, type Report, type ThreadEvent } from './loop.ts';

export interface Thread {
  /** What the thread said when it was ready. */
  readonly ready: unknown;
  /** Fault `busy` when too many calls wait, or when the thread has died; `closed` after `close`. */
  call(name: string, args: readonly unknown[], transfer?: readonly ArrayBuffer[]): Promise<unknown>;
  /** Takes no more calls, waits for those under way, and for the thread to end. */
  close(): Promise<void>;
}

export interface ThreadOptions {
  /** For messages: `writing`, `reading`. */
  readonly name: string;
  readonly url: URL;
  readonly data: unknown;
  readonly callsMax: number;
  readonly log: Log;
}

interface Waiter {
  resolve(value: unknown): void;
  reject(reason: Error): void;
}

/** Both threads lose their connections at about the same time; each says so. */
function note({ log, name }: ThreadOptions, { event, fields }: ThreadEvent): void {
  switch (event) {
    case 'store.lost':
      return log.error('store.lost', { thread: name, ...fields });
    case 'store.back':
      return log.info('store.back', { thread: name, ...fields });
    case 'audit.broken':
      return log.error('audit.broken', fields);
  }
}

export async function openThread(options: ThreadOptions): Promise<Thread> {
  // Options meant for the main program (`--input-type`, `--watch`) would end or mislead the thread.
  const worker = new Worker(options.url, { workerData: options.data, name: `store ${options.name}`, execArgv: [] });
  const waiters = new Map<number, Waiter>();
  let nextId = 1;
  let closing: Promise<void> | undefined;
  let died: Fault | undefined;
  const start = Promise.withResolvers<unknown>();
  const ended = Promise.withResolvers<void>();

  const die = (cause: unknown) => {
    if (died) return;
    died = new Fault('busy', `the store's ${options.name} thread has ended unexpectedly`, { remedy: 'restart the gateway; nothing that was acknowledged is lost', cause });
    start.reject(died);
    for (const waiter of waiters.values()) waiter.reject(died);
    waiters.clear();
    options.log.error('store.died', { thread: options.name, cause: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause) });
  };
  worker.on('error', die);
  worker.on('exit', (code) => {
    if (!closing) die(new Error(`it ended with exit code ${code}`));
    // A call that came in between the thread's last answer and its end.
    for (const waiter of waiters.values()) waiter.reject(new Fault('closed', 'the store is closed'));
    waiters.clear();
    ended.resolve();
  });
  worker.on('message', (report: Report) => {
    if (report.kind === 'ready') return start.resolve(report.value);
    if (report.kind === 'failed') {
      // It ends by itself, which is then no surprise.
      closing ??= ended.promise;
      return start.reject(unpackFailure(report.failure));
    }
    if (report.kind === 'event') return note(options, report.event);
    for (const answer of report.answers) {
      const waiter = waiters.get(answer.id);
      waiters.delete(answer.id);
      if (answer.ok) waiter?.resolve(answer.value);
      else waiter?.reject(unpackFailure(answer.failure));
    }
  });

  const post = (name: string, args: readonly unknown[], transfer: readonly ArrayBuffer[] = []): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const call: Call = { id: nextId++, name, args };
      worker.postMessage(call, transfer);
      waiters.set(call.id, { resolve, reject });
    });
  const closeOnce = async () => {
    try {
      if (!died) await post(closeName, []);
    } finally {
      await ended.promise;
    }
  };

  let ready: unknown;
  try {
    ready = await start.promise;
  } catch (thrown) {
    await ended.promise;
    throw thrown;
  }
  return {
    ready,
    async call(name, args, transfer) {
      if (died) throw died;
      if (closing) throw new Fault('closed', 'the store is closed');
      if (waiters.size >= options.callsMax) {
        throw new Fault('busy', `the store is behind: ${waiters.size} operations wait for its ${options.name} thread`, { remedy: 'try again in a moment; if it stays so, `postern doctor` times the disk' });
      }
      return post(name, args, transfer);
    },
    close: () => (closing ??= closeOnce()),
  };
}
