// When a sign-in or a token was last used: noted in batches, because the store is not asked for every request.
import { reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Visitor } from '#model/visitor.ts';
import type { AdminDeps } from './deps.ts';

const everyMs = 5_000;

export interface Uses {
  note(visitor: Visitor): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

export function keepUses({ tables, operations, clock, log }: Pick<AdminDeps, 'tables' | 'operations' | 'clock' | 'log'>): Uses {
  const signIns = new Map<Id, number>();
  const tokens = new Map<Id, number>();
  let writing: Promise<void> = Promise.resolve();
  const flush = (): Promise<void> => {
    if (signIns.size === 0 && tokens.size === 0) return writing;
    const usedSignIns = [...signIns].flatMap(([id, at]) => (tables.signIns.get(id) ? [{ id, at }] : []));
    const usedTokens = [...tokens].flatMap(([id, at]) => (tables.tokens.get(id) ? [{ id, at }] : []));
    signIns.clear();
    tokens.clear();
    if (usedSignIns.length > 0) tables.signIns.publish({ put: usedSignIns.map(({ id, at }) => ({ ...tables.signIns.get(id)!, lastUsedAt: at })) });
    if (usedTokens.length > 0) tables.tokens.publish({ put: usedTokens.map(({ id, at }) => ({ ...tables.tokens.get(id)!, lastUsedAt: at })) });
    const noted = operations.note({ agents: [], signIns: usedSignIns, tokens: usedTokens });
    writing = Promise.all([writing, noted]).then(
      () => {},
      // Noted, not kept: the next use writes it again.
      (thrown: unknown) => log.warn('uses.lost', { why: reasonOf(thrown), count: usedSignIns.length + usedTokens.length }),
    );
    return writing;
  };
  const timer = clock.every(everyMs, () => void flush());
  return {
    note(visitor) {
      if (visitor.token) tokens.set(visitor.token.id, clock.nowMs());
      else if (visitor.signIn) signIns.set(visitor.signIn.id, clock.nowMs());
    },
    flush,
    async close() {
      timer.cancel();
      await flush();
    },
  };
}
