// Many agents in one process, each with its own identity and link, doing nothing; ends with its input.
import { joinAgent, runAgent } from '#app/agent.ts';
import { realClock, realRandom } from '#app/real.ts';
import { silentLog } from '#base/log.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let text = '';
for await (const piece of process.stdin) {
  text += String(piece);
  if (text.includes('\n')) break;
}
const order = JSON.parse(text) as { tokens: string[]; https: number };
const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
const abort = new AbortController();
let linked = 0;
const running: Promise<void>[] = [];
const address = `https://127.0.0.1:${order.https}`;
for (const [i, token] of order.tokens.entries()) {
  const stateDir = join(folder, String(i));
  await joinAgent({ stateDir, token, address, name: `idle ${i}`, again: false, clock: realClock, signal: abort.signal });
  running.push(runAgent({ stateDir, clock: realClock, random: realRandom, log: silentLog, signal: abort.signal, addresses: [address], onLinked: () => ++linked === order.tokens.length && process.stdout.write('{"linked":true}\n') }));
}
process.on('SIGTERM', () => {
  abort.abort();
  void Promise.allSettled(running).then(() => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(0);
  });
});
