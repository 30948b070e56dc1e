// `postern probe-credentials`: what this machine's agent asks devices with. Secrets come by standard input: arguments and environments are seen by others.
import { text as readAll } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import type { Client } from '#api/client.ts';
import type { Body } from '#api/contract.ts';
import { readAgentState } from '#app/agent-state.ts';
import { realRandom } from '#app/real.ts';
import { Fault } from '#base/fault.ts';
import { authProtocols, openProbeCredentials, parseCredentials, privProtocols, shownOf } from '#field/probe-credentials.ts';
import type { CredentialsShown } from '#model/probe/asking.ts';
import { defaultStateDir } from './agent.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern probe-credentials list
       postern probe-credentials set NAME [--network CIDR]… [--v1]
       postern probe-credentials set NAME [--network CIDR]… --user USER [--auth PROTOCOL [--priv PROTOCOL]] [--context NAME]
       postern probe-credentials remove NAME
       postern probe-credentials … --agent AGENT

What the agent of this machine asks devices with by SNMP: a community, or with --user an SNMPv3 user. Without any set it tries the
community "public". set reads secrets from standard input, one a line: the community, or the key for --auth and then the one for
--priv. They are kept sealed in the state folder, and nothing shows them again, here or at the gateway. A running agent uses them
from its next question on.

      --network CIDR   use it there and nowhere else; may be given more than once. A community goes over the wire in the clear
      --v1             SNMP v1 alone; without it v2c, and v1 where v2c is not answered
      --user USER      SNMPv3, as this user
      --auth PROTOCOL  ${authProtocols.join(', ')}
      --priv PROTOCOL  ${privProtocols.join(', ')} (aes is AES-128; aes256b is Blumenthal's, aes256r Reeder's, as Cisco has it)
      --context NAME   the context that some devices want
      --agent AGENT    through the gateway, of this agent (a name, an id, a device's label); the gateway hands them on and keeps nothing
      --data DIR       with --agent: speak as the operator of the gateway whose data folder this is
      --state DIR      the agent's state folder (default: ${defaultStateDir()})
      --json           the list as JSON
`;

function parseOptions(args: string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({ args, allowPositionals: true, options: { state: text, network: { type: 'string', multiple: true }, v1: flag, user: text, auth: text, priv: text, context: text, json: flag, agent: text, data: text } });
  } catch (thrown) {
    throw usageFault((thrown as Error).message);
  }
}

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseOptions(args);
  const [act, name, ...rest] = positionals;
  if (act !== 'list' && act !== 'set' && act !== 'remove') throw usageFault(act === undefined ? 'something is missing: list, set or remove' : `there is no "probe-credentials ${act}"`);
  if (rest.length > 0) throw usageFault('there is one word too many; secrets are read from standard input');
  if ((act === 'list') !== (name === undefined)) throw usageFault(act === 'list' ? 'list takes no name' : 'the name is missing');
  if (values.agent !== undefined && values.state !== undefined) throw usageFault('--agent and --state do not go together');
  if (values.agent === undefined && values.data !== undefined) throw usageFault('--data goes with --agent');
  const way = values.agent === undefined ? await openHere(values.state ?? defaultStateDir()) : await openThere(values.agent, values.data, io);
  if (name === undefined) return list(await way.list(), values.json === true, io);
  if (act === 'remove') {
    if (!(await way.list()).some((each) => each.name === name)) throw new Fault('not-found', `there are no credentials "${name}" ${way.where}`);
    await way.change({ put: [], remove: [name] });
  } else {
    const { user, auth, priv, context, network = [], v1 } = values;
    if (user === undefined && (auth ?? priv ?? context) !== undefined) throw usageFault('--auth, --priv and --context go with --user');
    if (user !== undefined && v1) throw usageFault('--user is SNMPv3, --v1 is not');
    if (priv !== undefined && auth === undefined) throw usageFault('--priv goes with --auth');
    const asked = user === undefined ? ['Community'] : [...(auth === undefined ? [] : ['Authentication key']), ...(priv === undefined ? [] : ['Privacy key'])];
    const setWith = ([first, second]: readonly string[]): Given => ({
      name, networks: network,
      ...(user === undefined ? { version: v1 ? 'v1' : 'v2c', community: first } : { version: 'v3', user, context, authProtocol: auth, authKey: first, privProtocol: priv, privKey: second }),
    });
    // What is wrong with the rest is said before anybody types a secret.
    parseCredentials(setWith(asked.map(() => 'any text')));
    await way.change({ put: [setWith(asked.length === 0 ? [] : await readSecrets(asked, io))], remove: [] });
  }
  if (values.json) printJson(io, {});
  else printLine(io, act === 'set' ? `The credentials ${name} are set.` : `The credentials ${name} are removed.`);
  return exitCodes.ok;
}

/** A set as it was typed; `parseCredentials` says whether it is one. */
type Given = Readonly<Record<string, unknown>> & { readonly name: string };

/** Where credentials are kept: by the agent of this machine, or by another's, which the gateway speaks to. */
interface Way {
  /** For messages: `in /var/lib/postern-agent`. */
  readonly where: string;
  list(): Promise<readonly CredentialsShown[]>;
  change(change: { readonly put: readonly Given[]; readonly remove: readonly string[] }): Promise<void>;
}

async function openHere(folder: string): Promise<Way> {
  if ((await readAgentState(folder)) === null) throw new Fault('not-found', `there is no agent in ${folder}`, { remedy: 'Name its state folder with --state DIR, or join first: postern join TOKEN. On another machine: --agent AGENT.' });
  const credentials = openProbeCredentials({ folder, random: realRandom });
  return {
    where: `in ${folder}`,
    list: async () => (await credentials.list()).map(shownOf),
    change: async ({ put, remove }) => void (await credentials.change({ put: put.map(parseCredentials), remove })),
  };
}

async function openThere(agent: string, data: string | undefined, io: CommandIo): Promise<Way> {
  const { openGateway } = await import('./arguments.ts');
  const { findAgent } = await import('./find-agent.ts');
  const through = async <Result>(run: (client: Client) => Promise<Result>): Promise<Result> => {
    using client = await openGateway(io, { data });
    return run(client);
  };
  const { signal } = io;
  const { id, name } = await through((client) => findAgent(client, agent, signal));
  const params = { id };
  return {
    where: `at the agent ${name}`,
    list: () => through(async (client) => (await client.call('getProbeCredentials', { params, signal })).items),
    change: ({ put, remove }) =>
      through(async (client) => {
        // Checked here as for an agent of this machine; what goes out is what was typed.
        put.forEach(parseCredentials);
        await client.call('setProbeCredentials', { params, body: { put: put as unknown as NonNullable<Body<'setProbeCredentials'>['put']>, remove: [...remove] }, signal });
      }),
  };
}

function list(items: readonly CredentialsShown[], isJson: boolean, io: CommandIo): number {
  if (isJson) printJson(io, items);
  else {
    const rows = items.map(({ name, version, user, authProtocol, privProtocol, networks }) => [name, version, user, [authProtocol, privProtocol].filter((each) => each !== null).join(', '), networks.join(', ') || 'everywhere']);
    printTable(io, ['NAME', 'VERSION', 'USER', 'PROTOCOLS', 'NETWORKS'], rows, 'No credentials are set: the community "public" is tried, by v2c and v1.');
  }
  return exitCodes.ok;
}

/** One line for each; on a terminal they are asked for and not shown. */
async function readSecrets(names: readonly string[], io: CommandIo): Promise<string[]> {
  const { stdin } = io;
  if ('isTTY' in stdin && stdin.isTTY === true && 'setRawMode' in stdin) {
    const secrets: string[] = [];
    for (const name of names) secrets.push(await readHidden(stdin as NodeJS.ReadStream, name, io));
    return secrets;
  }
  const lines = (await readAll(stdin)).split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  if (lines.length !== names.length) throw usageFault(`standard input has ${lines.length} lines, and ${names.length} ${names.length === 1 ? 'is' : 'are'} needed: ${names.join(', ').toLowerCase()}`);
  return lines;
}

function readHidden(stdin: NodeJS.ReadStream, name: string, { stderr }: CommandIo): Promise<string> {
  stderr.write(`${name}: `);
  return new Promise((resolve, reject) => {
    let text = '';
    const settle = (run: () => void) => {
      stdin.off('data', take);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write('\n');
      run();
    };
    const take = (chunk: Buffer) => {
      for (const letter of chunk.toString('utf8')) {
        if (letter === '\r' || letter === '\n') return settle(() => resolve(text));
        // Ctrl-C and Ctrl-D are letters while the terminal is raw.
        if (letter === '\u0003' || letter === '\u0004') return settle(() => reject(new Fault('closed', 'given up; nothing was changed')));
        if (letter === '\u007f' || letter === '\b') text = Array.from(text).slice(0, -1).join('');
        else text += letter;
      }
    };
    stdin.setRawMode(true);
    stdin.on('data', take);
    stdin.resume();
  });
}
