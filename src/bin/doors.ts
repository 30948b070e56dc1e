// `postern doors`: ports in sites' LANs at which agents accept connections for the gateway.
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { findAgent } from './find-agent.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern doors
       postern doors open --agent NAME|ID --at ADDRESS:PORT --listener NAME
       postern doors change ID [--at ADDRESS:PORT] [--listener NAME]
       postern doors close ID

Ports in sites' LANs. What connects there is carried by the site's agent to the gateway, as a connection of the listener, and
keeps the device's own address. The agent's local policy decides: listen tcp ADDRESS PORTS.

      --agent NAME    the agent that opens it: a name, an id, or the label of a device that it stands for
      --at PLACE      an address of its machine, and the port: 192.0.2.7:443, [2001:db8::7]:443
      --listener NAME of the gateway: postern listeners
${commonUsage}`;

function placeOf(text: string): { address: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (!match) throw usageFault(`"${text}" is not ADDRESS:PORT`);
  return { address: (match[1] ?? match[2])!, port: Number(match[3]) };
}

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { agent: { type: 'string' }, at: { type: 'string' }, listener: { type: 'string' } }, { min: 0, max: 2 });
  const [act, id] = positionals;
  if (act !== undefined && act !== 'open' && act !== 'change' && act !== 'close') throw usageFault(`there is no "doors ${act}"`);
  if ((act === 'close' || act === 'change') && id === undefined) throw usageFault("the door's id is missing");
  if (act === 'open' && (values.agent === undefined || values.at === undefined || values.listener === undefined || id !== undefined)) throw usageFault('--agent, --at and --listener are needed');
  if (act === 'change' && ((values.at === undefined && values.listener === undefined) || values.agent !== undefined)) throw usageFault('give --at, --listener or both; a door at another agent is another door');
  const place = values.at === undefined || act === 'close' ? null : placeOf(values.at);
  using client = await openGateway(io, values);
  const { signal } = io;
  if (act === 'close') {
    await client.call('removeDoor', { params: { id: id! }, signal });
    if (values.json) printJson(io, {});
    else printLine(io, `The door is closed; what came through it has ended.`);
    return exitCodes.ok;
  }
  if (act === 'change') {
    const door = await client.call('changeDoor', { params: { id: id! }, body: { ...place, ...(values.listener !== undefined && { listener: values.listener }) }, signal });
    if (values.json) printJson(io, door);
    else printLine(io, 'The door is changed; what came through it stays.');
    return exitCodes.ok;
  }
  if (act === 'open' && place !== null) {
    const { id: agentId } = await findAgent(client, values.agent!, signal);
    const door = await client.call('addDoor', { body: { agentId, ...place, listener: values.listener! }, signal });
    if (values.json) printJson(io, door);
    else printLine(io, `${door.id}\nThe agent is told now; postern doors shows whether it is open.`);
    return exitCodes.ok;
  }
  const { items } = await client.call('listDoors', { query: { limit: 200 }, signal });
  if (values.json) {
    printJson(io, items);
    return exitCodes.ok;
  }
  printTable(
    io,
    ['ID', 'SITE', 'AGENT', 'AT', 'LISTENER', 'STATE', 'CONNS', 'WHY'],
    items.map((each) => [
      each.id, each.siteName, each.agentName, each.address.includes(':') ? `[${each.address}]:${each.port}` : `${each.address}:${each.port}`, each.listener,
      each.bound ? 'open' : 'shut', each.open, each.why === null ? null : printable([each.why, each.remedy].filter(Boolean).join('; '), 400),
    ]),
    'There are no doors: devices reach the gateway at its own addresses alone.',
  );
  return exitCodes.ok;
}
