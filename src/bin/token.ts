// `postern token`: access tokens for programs.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { formatRights, grantUsage, resolveGrants } from './grants.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatTime, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern token [list]
       postern token add NAME [--right RIGHT]… [--days N] [--quiet]
       postern token revoke ID

A token stands for you in programs: Authorization: Bearer for the API, Postern-Token for a device. Revoking
ends its visits at once.

      --right RIGHT   narrower than yours; default all that you may. May be given again
      --days N        expires; default never
      --quiet         print only the token
${grantUsage}
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { right: { type: 'string', multiple: true }, days: { type: 'string' }, quiet: { type: 'boolean' } }, { min: 0, max: 2 });
  const [act = 'list', what] = positionals;
  if ((act === 'list') !== (what === undefined)) throw usageFault(act === 'list' ? `"${what}" is one word too many` : `"token ${act}" needs one more word`);
  using client = await openGateway(io, values);
  if (act === 'list') {
    const tokens = await collect(10_000, (query) => client.call('listTokens', { query, signal: io.signal }));
    if (values.json) printJson(io, tokens);
    else printTable(io, ['ID', 'NAME', 'LOGIN', 'USED', 'UNTIL', 'RIGHTS'], tokens.map((each) => [each.id, each.name, each.login, formatAgo(each.lastUsedAt, Date.now()), each.expiresAt === null ? 'no end' : formatTime(each.expiresAt), formatRights(each.rights)]), 'No tokens.');
    return exitCodes.ok;
  }
  if (act === 'revoke') {
    await client.call('revokeToken', { params: { id: what! }, signal: io.signal });
    printLine(io, 'Revoked.');
    return exitCodes.ok;
  }
  if (act !== 'add') throw usageFault(`there is no "token ${act}"`);
  const days = parseCount(values.days, 'days', 0);
  const rights = values.right === undefined ? null : await resolveGrants(client, values.right);
  const made = await client.call('createToken', { body: { name: what!, rights, expiresAt: days === 0 ? null : Date.now() + days * 86_400_000 }, signal: io.signal });
  if (values.json) printJson(io, made);
  else if (values.quiet) printLine(io, made.secret);
  else printLine(io, `Shown this once:\n\n  ${made.secret}\n`);
  return exitCodes.ok;
}
