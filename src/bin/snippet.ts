// `postern snippet`: what to write into the configuration of an application's server.
import { snippetServers } from '#model/snippets.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';

export const usage = `Usage: postern snippet ROUTE nginx|apache|haproxy|iis|tomcat [--gateway ADDRESS[,ADDRESS…]]

Prints configuration for the server of an application, so that it takes devices' addresses as the route tells them (headers, PROXY
protocol, virtual addresses), and says which address it saw when postern prove asks.

      --gateway ADDRESSES    from which the server sees this gateway, when that is not what this machine would choose
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { gateway: { type: 'string' } }, { min: 2, max: 2 });
  const [route, name] = positionals as [string, string];
  const server = snippetServers.find((each) => each === name.toLowerCase());
  if (server === undefined) throw usageFault(`there are snippets for ${snippetServers.join(', ')}`);
  using client = await openGateway(io, values);
  const snippet = await client.call('getSnippet', { params: { route }, query: { server, ...(values.gateway === undefined ? {} : { gateway: values.gateway }) }, signal: io.signal });
  if (values.json) {
    printJson(io, snippet);
    return exitCodes.ok;
  }
  for (const part of snippet.parts) {
    printLine(io, `--- ${part.where}`);
    for (const line of part.text.trimEnd().split('\n')) printLine(io, line);
    printLine(io, '');
  }
  for (const note of snippet.notes) printLine(io, `* ${note}`);
  printLine(io, `Then: postern prove ${route} DEVICE`);
  return exitCodes.ok;
}
