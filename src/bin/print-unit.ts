// `--print-unit` of serve and agent: a unit of systemd for what would be started with the same options.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { agentUnit, gatewayUnit } from '#model/unit.ts';
import { openGateway } from './arguments.ts';
import type { CommandIo } from './io.ts';

const root = resolve(import.meta.dirname, '..', '..');
const environmentFile = '/etc/postern/environment';

/** The checkout's command line; installed as a package, the name by which it is called. */
const programHere = (): string => (existsSync(join(root, 'postern')) ? join(root, 'postern') : '/usr/bin/postern');
const systemProgram = (name: string): string => [`/usr/sbin/${name}`, `/sbin/${name}`, `/usr/bin/${name}`].find((path) => existsSync(path)) ?? `/usr/sbin/${name}`;

/** Networks of the address pool as the running gateway has them; null: none runs with this folder. */
async function poolOf(io: CommandIo, dataDir: string): Promise<readonly string[] | null> {
  try {
    using client = await openGateway(io, { data: dataDir });
    const { config } = await client.call('getConfig', { signal: io.signal });
    return (config as { readonly addressPool?: { readonly networks: readonly string[] } }).addressPool?.networks ?? [];
  } catch {
    return null;
  }
}

/** Options as they were given, with absolute paths; an address of a database may hold a password and goes into a file instead. */
function optionsOf(values: Readonly<Record<string, string | boolean | undefined>>, paths: ReadonlySet<string>, left: ReadonlySet<string>): string[] {
  return Object.entries(values).flatMap(([name, value]) => {
    if (value === undefined || value === false || left.has(name)) return [];
    return value === true ? [`--${name}`] : [`--${name}`, paths.has(name) ? resolve(value as string) : (value as string)];
  });
}

export async function printGatewayUnit(io: CommandIo, values: Readonly<Record<string, string | boolean | undefined>>, dataDir: string): Promise<void> {
  const hasStore = values['store'] !== undefined || Boolean(io.env['POSTERN_STORE']);
  const args = ['serve', '--data', dataDir, ...optionsOf(values, new Set(['console']), new Set(['print-unit', 'data', 'store', 'demo', 'no-demo']))];
  const unit = gatewayUnit({ program: programHere(), args, user: 'postern', folder: dataDir, environmentFile: hasStore ? environmentFile : null, pool: await poolOf(io, dataDir), ip: systemProgram('ip'), sysctl: systemProgram('sysctl') });
  io.stdout.write(unit);
  io.stderr.write(`Save it as /etc/systemd/system/postern.service, then: systemctl daemon-reload && systemctl enable --now postern\n${hasStore ? `The database's address goes into ${environmentFile} (mode 0600): POSTERN_STORE=postgres://…\n` : ''}`);
}

export function printAgentUnit(io: CommandIo, values: Readonly<Record<string, string | boolean | undefined>>, stateDir: string): void {
  const args = ['agent', '--state', stateDir, ...optionsOf(values, new Set(['policy', 'feeds', 'key-file']), new Set(['print-unit', 'state']))];
  io.stdout.write(agentUnit({ program: programHere(), args, user: 'postern-agent', folder: stateDir, environmentFile: null }));
  io.stderr.write('Save it as /etc/systemd/system/postern-agent.service, then: systemctl daemon-reload && systemctl enable --now postern-agent\n');
}
