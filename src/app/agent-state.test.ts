import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { openTurns, readAgentState, writeAgentState, writeFirstPolicy } from './agent-state.ts';
import type { AgentState } from './agent-state.ts';

const state: AgentState = { agentId: 'a', addresses: ['https://gw.example.test'], caFingerprint: 'f', key: 'SECRET KEY', certificate: 'c', ca: 'ca', device: { id: 'd', label: 'l', name: 'n', url: '' } };

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-state-'));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('the identity: none, kept, readable by its owner alone, in folders that did not exist', () =>
  inFolder(async (base) => {
    const folder = join(base, 'a', 'b');
    assert.equal(await readAgentState(folder), null);
    await writeAgentState(folder, state);
    await writeAgentState(folder, { ...state, agentId: 'second' });
    assert.deepEqual(await readAgentState(folder), { ...state, agentId: 'second' });
    assert.equal((await stat(join(folder, 'agent.json'))).mode & 0o777, 0o600);
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
  }));

test('damage is told without the key', () =>
  inFolder(async (folder) => {
    for (const text of ['{"key": "SECRET KEY", ', '{"key": "SECRET KEY"}']) {
      await writeFile(join(folder, 'agent.json'), text);
      await assert.rejects(readAgentState(folder), (e) => isFault(e, 'bad-input') && !`${e.message}${String(e.cause)}`.includes('SECRET'));
    }
  }));

test('turns only rise, across starts and whatever the file says', () =>
  inFolder(async (folder) => {
    const first = await openTurns(folder);
    assert.deepEqual([await first.raise(), await first.raise()], [1, 2]);
    const second = await openTurns(folder);
    assert.equal(await second.raise(), 3);
    await second.atLeast(40);
    await second.atLeast(7);
    assert.equal(await second.raise(), 41);
    await writeFile(join(folder, 'turn'), 'garbage');
    assert.equal(await (await openTurns(folder)).raise(), 1);
  }));

test('a policy that exists is left alone', () =>
  inFolder(async (folder) => {
    await writeFirstPolicy(folder, 'first\n');
    await writeFirstPolicy(folder, 'second\n');
    assert.equal(await readFile(join(folder, 'policy'), 'utf8'), 'first\n');
  }));
