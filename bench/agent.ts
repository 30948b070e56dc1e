// An agent for the benchmarks, on a core of its own; ends with its input.
import { runAgent } from '#app/agent.ts';
import { realClock, realRandom } from '#app/real.ts';
import { silentLog } from '#base/log.ts';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const order = JSON.parse(process.argv[2]!) as { stateDir: string; https: number; originPort: number; policy?: string[] };
const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
const policyFile = join(folder, 'policy');
writeFileSync(policyFile, [`reach tcp 127.0.0.1 ${order.originPort}`, ...(order.policy ?? [])].join("\n") + "\n");
const abort = new AbortController();
process.stdin.resume();
process.stdin.on('end', () => abort.abort());
await runAgent({ stateDir: order.stateDir, clock: realClock, random: realRandom, log: silentLog, signal: abort.signal, addresses: [`https://127.0.0.1:${order.https}`], policyFile, onLinked: () => void process.stdout.write('{"linked":true}\n') });
rmSync(folder, { recursive: true, force: true });
process.exit(0);
