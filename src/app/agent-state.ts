// What an agent keeps on disk: `agent.json` (identity and where to dial) and `turn`, both 0600 in a folder 0700, each
// replaced as a whole and forced to disk, so that a cut of the power leaves the old or the new one.
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '#base/fault.ts';
import type { Turns } from '#tunnel/link.ts';

export interface AgentState {
  readonly agentId: string;
  readonly addresses: readonly string[];
  /** SHA-256 of the CA's public key, hex. */
  readonly caFingerprint: string;
  /** PEM: PKCS#8, certificate, CA's certificate. */
  readonly key: string;
  readonly certificate: string;
  readonly ca: string;
  readonly device: { readonly id: string; readonly label: string; readonly name: string; readonly url: string };
}

const stateName = 'agent.json';
const turnName = 'turn';
export const policyName = 'policy';

async function replaceFile(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name);
  const next = `${path}.new`;
  const file = await open(next, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(next, path);
  const entry = await open(folder, 'r');
  try {
    await entry.sync();
  } finally {
    await entry.close();
  }
}

async function readOptional(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Fault('internal', `${path} cannot be read: ${(thrown as Error).message}`, { cause: thrown });
  }
}

/** Null when the folder has no identity. Fault `bad-input`: the file is damaged. */
export async function readAgentState(folder: string): Promise<AgentState | null> {
  const path = join(folder, stateName);
  const text = await readOptional(path);
  if (text === null) return null;
  const damaged = (cause?: unknown) => new Fault('bad-input', `${path} is damaged`, { remedy: 'Remove it and join again with a new token.', cause });
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw damaged(); // the cause would quote the key
  }
  const texts = ['agentId', 'caFingerprint', 'key', 'certificate', 'ca'].every((name) => typeof value[name] === 'string');
  if (!texts || !Array.isArray(value['addresses']) || !value['addresses'].every((item) => typeof item === 'string')) throw damaged();
  return value as unknown as AgentState;
}

export async function writeAgentState(folder: string, state: AgentState): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await replaceFile(folder, stateName, `${JSON.stringify(state, null, 2)}\n`);
  } catch (thrown) {
    throw new Fault('internal', `the agent's state cannot be kept in ${folder}: ${(thrown as Error).message}`, { remedy: 'Name a folder that can be written with --state DIR.', cause: thrown });
  }
}

export async function removeTurn(folder: string): Promise<void> {
  await rm(join(folder, turnName), { force: true });
}

/** The text, or null when there is no such file. */
export async function readPolicyFile(path: string): Promise<string | null> {
  return await readOptional(path);
}

/** Makes the policy file with its explanation where there is none, so that there is something to edit. */
export async function writeFirstPolicy(folder: string, text: string): Promise<void> {
  if ((await readOptional(join(folder, policyName))) === null) await replaceFile(folder, policyName, text);
}

/** A damaged file counts as 0: the gateway says which turn it has seen. */
export async function openTurns(folder: string): Promise<Turns> {
  const text = await readOptional(join(folder, turnName));
  let turn = text !== null && /^\d{1,15}\n?$/.test(text) ? Number(text) : 0;
  return {
    async raise() {
      turn += 1;
      await replaceFile(folder, turnName, `${turn}\n`);
      return turn;
    },
    async atLeast(seen) {
      if (seen <= turn) return;
      turn = seen;
      await replaceFile(folder, turnName, `${turn}\n`);
    },
  };
}
