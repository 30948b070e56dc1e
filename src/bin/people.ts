// `postern people`: the list, and locking, removing, changing rights.
import { Fault } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import { collect, commonUsage, openGateway, parseCommand } from './arguments.ts';
import { formatRights, grantUsage, resolveGrants } from './grants.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern people [--search TEXT]
       postern people lock|unlock|remove LOGIN
       postern people rights LOGIN RIGHT…

Locking and removing end everything of that person at once.
${grantUsage}
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { search: { type: 'string' } }, { min: 0, max: 102 });
  const [act, login, ...texts] = positionals;
  using client = await openGateway(io, values);
  const search = values.search ?? login;
  const people = await collect(10_000, (query) => client.call('listPeople', { query: { ...query, ...(search === undefined ? {} : { search }) }, signal: io.signal }));
  if (act === undefined) {
    if (values.json) printJson(io, people);
    else printTable(io, ['LOGIN', 'NAME', 'STATE', 'SEEN', 'SIGN-INS', 'TOKENS', 'RIGHTS'], people.map((each) => [each.login, each.name, each.locked ? 'locked' : 'active', formatAgo(each.lastUsedAt, Date.now()), each.signIns, each.tokens, formatRights(each.rights)]), 'Nobody yet. The first person comes in by the setup address: postern setup-address');
    return exitCodes.ok;
  }
  if (login === undefined || (act === 'rights') !== texts.length > 0) throw usageFault(`"people ${act}" takes a login${act === 'rights' ? ' and rights' : ''}`);
  const person = people.find((each) => each.login === login.toLowerCase() || each.login === login || each.id === login);
  if (!person) throw new Fault('not-found', `there is nobody with the login "${login}" whom you may see`);
  const params = { id: person.id };
  if (act === 'lock') await client.call('lockPerson', { params, signal: io.signal });
  else if (act === 'unlock') await client.call('unlockPerson', { params, signal: io.signal });
  else if (act === 'remove') await client.call('removePerson', { params, signal: io.signal });
  else if (act === 'rights') await client.call('setRights', { params, body: { rights: await resolveGrants(client, texts) }, signal: io.signal });
  else throw usageFault(`there is no "people ${act}"`);
  printLine(io, `Done: ${act} ${printable(person.login)}.`);
  return exitCodes.ok;
}
