// `postern agent`: keeps this machine's link until it is stopped.
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Log } from '#base/log.ts';
import { runAgent } from '#app/agent.ts';
import { buildLineLog } from '#app/line-log.ts';
import { realClock, realRandom } from '#app/real.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';

export const usage = `Usage: postern agent [--state DIR] [--policy FILE] [--feeds FILE] [--address https://GATEWAY:PORT] [--verbose]
       postern agent --push-only [--state DIR] [--policy FILE] [--feeds FILE] [--key-file FILE] [--verbose]

Keeps this machine's link to its gateway, and brings what its feeds file names home. Join first: postern join TOKEN.
With --push-only there is no link: feeds and check-ins over one outbound connection at a time, with the device's key or the agent's certificate.

  --state DIR      where the identity is kept (default: ${defaultStateDir()})
  --policy FILE    what the gateway may reach (default: the file "policy" in the state folder)
  --feeds FILE     where its data comes from and goes to (default: the file "feeds.json" in the state folder, if there is one)
  --push-only      no link: push and check-in alone
  --key-file FILE  the device's key, for destinations that name none
  --address URL    dials there instead of the addresses in the state folder
  --print-unit     prints a unit of systemd that would start it with these options, and starts nothing
  --verbose        a line for every stream, too
`;

/** For root the system's place, else the person's own (XDG base directories). */
export function defaultStateDir(): string {
  return process.getuid?.() === 0 ? '/var/lib/postern-agent' : join(process.env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state'), 'postern-agent');
}

export function agentLog(io: CommandIo, isVerbose: boolean): Log {
  return buildLineLog((line) => void io.stderr.write(line), () => Date.now(), isVerbose ? 'debug' : 'info');
}

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseOptions(args);
  if (positionals.length > 0) throw usageFault(`agent takes no argument "${positionals[0]}"`);
  if (values['print-unit']) {
    const { printAgentUnit } = await import('./print-unit.ts');
    printAgentUnit(io, values, resolve(values.state ?? '/var/lib/postern-agent'));
    return exitCodes.ok;
  }
  // Started with a channel, we belong to whoever holds its other end, and end when that is gone, however it went.
  if (process.channel) {
    process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
    process.channel.unref();
  }
  const common = { stateDir: values.state ?? defaultStateDir(), clock: realClock, random: realRandom, log: agentLog(io, values.verbose ?? false), signal: io.signal };
  if (values['push-only']) {
    if (values.address !== undefined) throw usageFault('--address is for the link; with --push-only the feeds file says where data goes');
    const { runPushOnly } = await import('#app/agent-feeds.ts');
    await runPushOnly({ ...common, feedsFile: values.feeds, keyFile: values['key-file'], policyFile: values.policy });
    return exitCodes.ok;
  }
  if (values['key-file'] !== undefined) throw usageFault('--key-file goes with --push-only; beside a link a destination of the feeds file names its key');
  await runAgent({
    ...common,
    ...(values.feeds === undefined ? {} : { feedsFile: values.feeds }),
    ...(values.policy === undefined ? {} : { policyFile: values.policy }),
    ...(values.address === undefined ? {} : { addresses: [values.address] }),
    // For whoever started us with a channel to hear when the link stands.
    onLinked: (linkId) => process.send?.({ linked: linkId }),
  });
  return exitCodes.ok;
}

function parseOptions(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: { state: { type: 'string' }, policy: { type: 'string' }, feeds: { type: 'string' }, 'push-only': { type: 'boolean' }, 'key-file': { type: 'string' }, address: { type: 'string' }, verbose: { type: 'boolean' }, 'print-unit': { type: 'boolean' } },
    });
  } catch (thrown) {
    throw usageFault((thrown as Error).message);
  }
}
