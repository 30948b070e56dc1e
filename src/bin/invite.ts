// `postern invite`: a one-time address for a further person.
import { printable } from '#base/log.ts';
import { collect, commonUsage, openGateway, parseCommand } from './arguments.ts';
import { formatRights, grantUsage, resolveGrants } from './grants.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatTime, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern invite NAME [--right RIGHT]…
       postern invite --list
       postern invite --remove ID

Prints an address, good once and for seven days, where the person chooses login and password.

      --right RIGHT   what the person may do; default open@gateway. May be given again
${grantUsage}
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { right: { type: 'string', multiple: true }, list: { type: 'boolean' }, remove: { type: 'string' } }, { min: 0, max: 1 });
  const [name] = positionals;
  if (Number(name !== undefined) + Number(values.list === true) + Number(values.remove !== undefined) !== 1) throw usageFault('invite takes the name of the person');
  using client = await openGateway(io, values);
  if (values.list) {
    const invites = await collect(10_000, (query) => client.call('listInvites', { query, signal: io.signal }));
    if (values.json) printJson(io, invites);
    else printTable(io, ['ID', 'NAME', 'STATE', 'BY', 'UNTIL', 'RIGHTS'], invites.map((each) => [each.id, each.name, each.state, each.createdBy, formatTime(each.expiresAt), formatRights(each.rights)]), 'No invites.');
    return exitCodes.ok;
  }
  if (values.remove !== undefined) {
    await client.call('removeInvite', { params: { id: values.remove }, signal: io.signal });
    printLine(io, 'Removed.');
    return exitCodes.ok;
  }
  const rights = await resolveGrants(client, values.right ?? ['open@gateway']);
  const made = await client.call('createInvite', { body: { name: name!, rights }, signal: io.signal });
  if (values.json) printJson(io, made);
  else printLine(io, `For ${printable(name!)}, with ${formatRights(made.invite.rights)}, until ${formatTime(made.invite.expiresAt)}:\n\n  ${made.address}\n`);
  return exitCodes.ok;
}
