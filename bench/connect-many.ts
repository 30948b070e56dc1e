// Connections whose TLS names a host, one after the other on eight at a time: `openssl s_time` has no SNI and wrk no name but its address's.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Load } from './measure.ts';
import { cpuMs, LOAD_CORE } from './processes.ts';

export async function connectMany(order: { pid: number; port: number; serverName: string; seconds: number }): Promise<Load> {
  const before = cpuMs(order.pid);
  const { stdout } = await promisify(execFile)('taskset', ['-c', LOAD_CORE, process.execPath, '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'connecting.ts'), JSON.stringify(order)]);
  const cpu = cpuMs(order.pid) - before;
  const { count, errors } = JSON.parse(stdout) as { count: number; errors: number };
  if (errors > 0) throw new Error(`${errors} connections failed`);
  return { requests: count, errors, perSecond: count / order.seconds, cpuUsPerRequest: (cpu * 1000) / count, medianUs: 0 };
}
