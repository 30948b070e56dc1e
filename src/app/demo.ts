// The demo site of `npm start`: a sample device and an agent, each in a process of its own, joined with a real one-time token through
// the real tunnel. Nothing here is known to the gateway as anything special.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { sleep, type Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Log } from '#base/log.ts';
import type { Device } from '#model/rows.ts';
import type { Gateway } from './gateway.ts';

export interface DemoOptions {
  readonly gateway: Gateway;
  readonly dataDir: string;
  /** The checkout. */
  readonly root: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export interface Demo {
  readonly device: Device;
  close(): Promise<void>;
}

const NODE_ARGS = ['--disable-warning=ExperimentalWarning'];
const LINK_WAIT_MS = 30_000;

function start(root: string, file: string, args: readonly string[], log: Log, name: string): ChildProcess {
  // Its own process group: Ctrl-C at the terminal reaches the gateway, which ends its demo in order.
  // The gateway's store may be named with its password; the demo has no use for it.
  const { POSTERN_STORE: _store, PGPASSWORD: _password, ...env } = process.env;
  const child = spawn(process.execPath, [...NODE_ARGS, join(root, file), ...args], { stdio: ['pipe', 'pipe', 'pipe', 'ipc'], detached: true, env });
  for (const stream of [child.stdout!, child.stderr!]) createInterface({ input: stream }).on('line', (line) => log.debug(`demo.${name}`, { line }));
  return child;
}

async function stop(child: ChildProcess | undefined, clock: Clock): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const killer = clock.after(3_000, () => child.kill('SIGKILL'));
  await ended;
  killer.cancel();
}

/** Faults: `timeout` when the demo's link does not stand in time. */
export async function startDemo(options: DemoOptions): Promise<Demo> {
  const { gateway, root, clock, log, signal } = options;
  const stateDir = join(options.dataDir, 'demo-agent');
  const children: ChildProcess[] = [];
  const close = async () => {
    for (const child of children.reverse()) await stop(child, clock);
  };
  try {
    const device = start(root, 'examples/sample-device/device.ts', ['--host', '127.0.0.1', '--port', '0'], log, 'device');
    children.push(device);
    const port = await new Promise<number>((resolve, reject) => {
      createInterface({ input: device.stdout! }).on('line', (line) => {
        const match = /http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
        if (match) resolve(Number(match[1]));
      });
      device.once('exit', (code) => reject(new Fault('internal', `the sample device ended with code ${code}`)));
      clock.after(LINK_WAIT_MS, () => reject(new Fault('timeout', 'the sample device did not start')));
    });
    const ports = [{ number: port, name: 'Sample device', kind: 'http' as const, fingerprint: null }];
    // The agent of an earlier run is taken up again while the gateway still knows it; its device has a new port each time.
    const known = Array.from(gateway.tables.devices.values()).find((each) => each.name === 'Demo' && gateway.tables.agentOf(each)?.state === 'active');
    const policy = join(options.dataDir, 'demo-policy');
    writeFileSync(policy, `# The demo's agent reaches the sample device and nothing else.\nreach tcp 127.0.0.1 ${port}\n`, { mode: 0o600 });
    let agent: ChildProcess;
    if (known && existsSync(stateDir)) {
      await gateway.changePorts(known.id, ports);
      agent = start(root, 'src/bin/postern.ts', ['agent', '--state', stateDir, '--policy', policy, '--address', localAddress(gateway)], log, 'agent');
    } else {
      rmSync(stateDir, { recursive: true, force: true });
      const token = await gateway.makeJoinToken({ deviceName: 'Demo', host: '127.0.0.1', ports });
      agent = start(root, 'src/bin/postern.ts', ['join', localAddress(gateway), '--token-file', '-', '--state', stateDir, '--name', 'demo site', '--policy', policy], log, 'agent');
      agent.stdin!.end(`${token.text}\n`);
    }
    children.push(agent);
    let ended: string | null = null;
    agent.once('exit', (code) => (ended = `ended with code ${code}`));
    const until = clock.monoMs() + LINK_WAIT_MS;
    for (;;) {
      const demo = Array.from(gateway.tables.devices.values()).find((each) => each.name === 'Demo' && gateway.live.linkOf(each.agentId));
      if (demo) return { device: demo, close };
      if (signal.aborted) throw new Fault('closed', 'stopped while starting');
      if (ended !== null) throw new Fault('internal', `the demo's agent ${String(ended)}`, { remedy: 'POSTERN_LOG=debug npm start shows what it said.' });
      if (clock.monoMs() > until) throw new Fault('timeout', 'the demo\'s link did not stand in time', { remedy: 'POSTERN_LOG=debug npm start shows what it said.' });
      await sleep(clock, 50, signal);
    }
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

function localAddress(gateway: Gateway): string {
  return `https://localhost:${gateway.ports.https}`;
}
