// A connection that comes back by itself: when the session is lost, others are tried with growing pauses, and the new one takes its place
// between two turns, so that nothing that began on the old one goes on on it.
import { setTimeout as sleep } from 'node:timers/promises';
import { Fault, toFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { asFault } from './failure.ts';
import type { Connection, KeptConnection, Session } from './connection.ts';
import type { StoreLocation } from './location.ts';
import type { ThreadEvent } from './loop.ts';
import { openSqlite } from './sqlite.ts';

export interface KeepOptions {
  /** For each session before it is used; what it resolves runs in the moment when the session takes its place. */
  readonly opened: (session: Connection) => Promise<() => void>;
  readonly tell: (event: ThreadEvent) => void;
}

const firstPauseMs = 100;

/** Throws what the first opening throws. */
export async function openConnection(location: StoreLocation, mode: 'write' | 'read', options: KeepOptions): Promise<KeptConnection> {
  if (location.kind === 'postgres') {
    // Loaded by those who have one alone.
    const { openPostgres } = await import('./postgres.ts');
    return keepConnection(() => openPostgres(location, mode), options);
  }
  const connection = openSqlite(location.file, mode);
  try {
    (await options.opened(connection))();
    return connection;
  } catch (thrown) {
    await connection.close().catch(() => {});
    throw thrown;
  }
}

async function keepConnection(open: () => Promise<Session>, { opened, tell }: KeepOptions): Promise<KeptConnection> {
  const begin = async () => {
    const made = await open();
    try {
      made.answerWithinMs = limits.storeMigrationTimeoutMs;
      const take = await opened(made);
      made.answerWithinMs = limits.storeAnswerTimeoutMs;
      return { made, take };
    } catch (thrown) {
      await made.close();
      throw thrown;
    }
  };
  const closing = new AbortController();
  let lastTurn: Promise<unknown> = Promise.resolve();
  let down: Fault | undefined;
  const first = await begin();
  let session: Session = first.made;

  const use = ({ made, take }: typeof first) => {
    take();
    session = made;
    down = undefined;
    void made.lost.then((why) => {
      if (closing.signal.aborted) return;
      down = why;
      tell({ event: 'store.lost', fields: { store: made.describes, reason: String(why.detail['reason'] ?? why.message) } });
      void comeBack();
    });
  };
  const comeBack = async () => {
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, limits.storeRetryPauseMaxMs)) {
      try {
        await sleep(pauseMs, undefined, { signal: closing.signal });
      } catch {
        return;
      }
      try {
        const again = await begin();
        await lastTurn;
        if (closing.signal.aborted) return await again.made.close();
        use(again);
        tell({ event: 'store.back', fields: { store: again.made.describes } });
        return;
      } catch (thrown) {
        const why = toFault(asFault(thrown));
        // Whatever keeps it away: for who asks now it is a store that cannot do it at the moment.
        down = new Fault('busy', `the store is away: ${why.message}`, { ...(why.remedy !== undefined && { remedy: why.remedy }), detail: why.detail, cause: why });
      }
    }
  };
  use(first);
  return {
    kind: first.made.kind,
    get describes() {
      return session.describes;
    },
    get isTransaction() {
      return session.isTransaction;
    },
    query: (sql, parameters) => session.query(sql, parameters),
    exec: (sql) => session.exec(sql),
    async turn(work) {
      if (down) throw down;
      const under = work();
      lastTurn = under.catch(() => {});
      return under;
    },
    async close() {
      closing.abort();
      await session.close();
    },
  };
}
