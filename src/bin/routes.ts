// `postern routes`: what leads where; for one host, in the order in which routes are looked at.
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern routes [--protocol PROTOCOL] [--search TEXT]
       postern routes --host NAME [--protocol PROTOCOL]

Routes of the configuration. With --host those that may hold for that name, built-in ones too, in the order in which
they are looked at: the first that fits wins. postern explain says which one that is.

      --host NAME          a host or domain
      --protocol PROTOCOL  http, tls, ldap, sip, h323, ssh, rdp or tcp (with --host: http)
      --search TEXT        only those with it in name, host, path or target
${commonUsage}`;

const protocols = ['http', 'tls', 'ldap', 'sip', 'h323', 'ssh', 'rdp', 'tcp'] as const;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { host: { type: 'string' }, protocol: { type: 'string' }, search: { type: 'string' } }, { min: 0, max: 0 });
  const protocol = protocols.find((each) => each === values.protocol);
  if (values.protocol !== undefined && protocol === undefined) throw usageFault(`--protocol is one of ${protocols.join(', ')}`);
  if (values.host !== undefined && values.search !== undefined) throw usageFault('--host and --search do not go together');
  using client = await openGateway(io, values);
  if (values.host !== undefined) {
    const { items, matching } = await client.call('listRoutes', { query: { host: values.host, protocol: protocol ?? 'http', limit: 500 }, signal: io.signal });
    if (values.json) printJson(io, items);
    else {
      printTable(
        io,
        ['', 'ROUTE', 'HOST', 'PATH', 'ALIAS', 'CERTIFICATE', 'LISTENERS', 'TARGET'],
        items.map((each, i) => [i + 1, each.name, each.host ?? 'any', each.protocol === 'http' ? each.path : null, each.alias, each.certificate ? 'needed' : null, each.listeners?.join(',') ?? 'TLS', each.target]),
        'No route may hold for it: refused.',
      );
      if (matching > items.length) printLine(io, `${matching - items.length} more.`);
    }
    return exitCodes.ok;
  }
  const { config } = await client.call('getConfig', { signal: io.signal });
  // What is left out is filled in, as the gateway does it.
  const [{ parseConfig }, { describeTarget }] = [await import('#model/config.ts'), await import('#model/precedence.ts')];
  const parsed = parseConfig(config);
  const all = 'config' in parsed ? parsed.config.routes : [];
  const rows = all.map((route) => ({ route, leads: describeTarget(route.target.kind === 'device' ? { ...route.target, kind: 'named-device' } : route.target), path: typeof route.path === 'string' ? route.path : route.path.join(' ') }));
  const needle = values.search?.toLowerCase() ?? '';
  const found = rows.filter(({ route, leads, path }) => (protocol === undefined || route.protocol === protocol) && [route.name, route.host ?? '', path, leads].some((text) => text.toLowerCase().includes(needle)));
  if (values.json) printJson(io, found.map(({ route }) => route));
  else {
    printTable(
      io,
      ['ROUTE', 'PROTOCOL', 'HOST', 'PATH', 'ALIAS', 'LISTENERS', 'CLASSES', 'TARGET'],
      found.map(({ route, leads, path }) => [route.name, route.protocol, route.host ?? 'any', route.protocol === 'http' ? path : null, route.alias, route.listeners?.join(',') ?? 'TLS', route.classes.length || null, leads]),
      all.length === 0 ? 'No routes beyond the built-in ones.' : `None of ${all.length} routes fits.`,
    );
  }
  return exitCodes.ok;
}
