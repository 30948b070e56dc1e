// Small pieces of composition with a little state of their own: the setup code, notes written in batches, the join command.
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import { newSecret, Secret } from '#base/secret.ts';
import type { Operations } from '#model/operations.ts';
import type { AgentNote } from '#model/rows.ts';
import type { Tables } from '#model/tables.ts';
import type { DataFolder } from '#store/data-folder.ts';
import { encodeJoinToken } from '#wire/join-token.ts';

const SETUP_FILE = 'setup-code';

/** The code of the setup address: the same across restarts until somebody has used it, then gone. */
export async function readSetupCode(folder: DataFolder, tables: Tables, random: Random): Promise<{ readonly code: Secret | null }> {
  const state: { code: Secret | null } = { code: null };
  if (tables.people.size === 0) state.code = new Secret((await folder.readOrMake(SETUP_FILE, () => Buffer.from(newSecret(random)))).toString('utf8'));
  else await folder.remove(SETUP_FILE);
  const stop = tables.people.watch(() => {
    if (tables.people.size === 0) return;
    stop();
    state.code = null;
    void folder.remove(SETUP_FILE).catch(() => {});
  });
  return state;
}

/** The last first. A step that fails is logged and keeps none of the others from closing: the store and the data folder are the last of all. */
export async function undoAll(steps: readonly (() => Promise<void> | void)[], log: Log): Promise<void> {
  for (const step of steps.toReversed()) {
    try {
      await step();
    } catch (thrown) {
      log.error('gateway.not-closed', { why: reasonOf(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
    }
  }
}

const NOTES_EVERY_MS = 5_000;

/** Notes about agents: in the table at once, in the store every five seconds. */
export function keepNotes(room: { tables: Tables; operations: Pick<Operations, 'note'>; clock: Clock; log: Log }): { agentSeen(note: AgentNote): void; close(): Promise<void> } {
  const { tables, operations } = room;
  const pending = new Map<Id, AgentNote>();
  const write = async () => {
    if (pending.size === 0) return;
    const agents = [...pending.values()].filter((note) => tables.agents.get(note.agentId) !== undefined);
    pending.clear();
    if (agents.length === 0) return;
    await operations.note({ agents, signIns: [], tokens: [] }).catch((thrown: unknown) => room.log.warn('notes.not-stored', { why: reasonOf(thrown) }));
  };
  const timer = room.clock.every(NOTES_EVERY_MS, () => void write());
  return {
    agentSeen(note) {
      // A link ends a moment after its agent was removed; its last note would bring the row back for good.
      if (tables.agents.get(note.agentId) === undefined) return;
      const before = tables.agentNotes.get(note.agentId);
      // What a link does not know this time stays as it was known before.
      const merged: AgentNote = { ...note, lastLeftWhy: note.lastLeftWhy, version: note.version ?? before?.version ?? null, from: note.from ?? before?.from ?? null, policy: note.policy ?? before?.policy ?? null };
      tables.agentNotes.publish({ put: [merged] });
      pending.set(note.agentId, merged);
    },
    async close() {
      timer.cancel();
      await write();
    },
  };
}

/** The token's text and the command for each address that agents may dial. */
export function describeJoin(secret: string, addresses: readonly string[], caFingerprint: string, command: string): { text: string; commands: { address: string; command: string }[] } {
  const text = encodeJoinToken({ addresses, caFingerprint, secret });
  return { text, commands: addresses.map((address) => ({ address, command: `${command} join ${address} ${text}` })) };
}
