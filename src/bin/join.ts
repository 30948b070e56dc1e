// `postern join`: makes this machine an agent of a gateway, then keeps its link.
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { joinAgent } from '#app/agent.ts';
import { realClock } from '#app/real.ts';
import { Fault } from '#base/fault.ts';
import { parseGatewayAddress } from '#wire/join-token.ts';
import { defaultStateDir, run as runAgentCommand } from './agent.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';

export const usage = `Usage: postern join [https://GATEWAY:PORT] TOKEN [--state DIR] [--name NAME] [--no-run] [--again]
       postern join [https://GATEWAY:PORT] --token-file FILE|-

Joins this machine to a gateway with the one-time token that the console shows under "Add a device", then keeps its link.
The address is needed only when the ones in the token cannot be reached from here.

  --state DIR        where the identity is kept (default: ${defaultStateDir()})
  --token-file FILE  reads the token from a file, or from standard input (-): it stays out of the list of processes
  --name NAME        what the gateway calls this agent (default: the host name)
  --policy FILE      as for postern agent
  --no-run           only joins; start it with postern agent
  --again            replaces an identity that the state folder has already
`;

async function readAll(input: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const part of input) {
    text += String(part);
    if (text.length > 65_536) throw new Fault('too-large', 'what comes on standard input is no join token');
  }
  return text;
}

async function readToken(positionals: string[], file: string | undefined, io: CommandIo): Promise<{ token: string; address: string | undefined }> {
  const words = [...positionals];
  const address = words[0]?.includes('://') ? words.shift() : undefined;
  if (address !== undefined && !parseGatewayAddress(address).isSecure) throw usageFault('a gateway is joined over https');
  const [token, ...rest] = words;
  if (rest.length > 0) throw usageFault(`there is one argument too many: "${rest[0]}"`);
  if ((token === undefined) === (file === undefined)) throw usageFault(token === undefined ? 'the token is missing' : 'the token is given twice');
  if (token !== undefined) return { token, address };
  return { token: file === '-' ? await readAll(io.stdin) : await readFile(file!, 'utf8'), address };
}

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseOptions(args);
  const { token, address } = await readToken(positionals, values['token-file'], io);
  const stateDir = values.state ?? defaultStateDir();
  const state = await joinAgent({
    stateDir,
    token,
    again: values.again ?? false,
    clock: realClock,
    signal: io.signal,
    ...(address === undefined ? {} : { address }),
    ...(values.name === undefined ? {} : { name: values.name }),
  });
  io.stdout.write(`Joined as ${state.device.name}${state.device.url === '' ? '' : `: ${state.device.url}`}\n`);
  if (values['no-run']) {
    io.stdout.write(`Start it with: postern agent --state ${stateDir}\n`);
    return exitCodes.ok;
  }
  return await runAgentCommand(['--state', stateDir, ...(values.policy === undefined ? [] : ['--policy', values.policy])], io);
}

function parseOptions(args: string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({ args, allowPositionals: true, options: { state: text, 'token-file': text, name: text, policy: text, 'no-run': flag, again: flag } });
  } catch (thrown) {
    throw usageFault((thrown as Error).message);
  }
}
