// Configuration for the server of an application: how it takes the device's address from what we send (the route's `tell`), and a place that
// answers which address it saw, so that it can be proved. Everything that comes in is an address, a network or a name of the configuration.
import { formatAddress, formatNetwork, isLoopback, parseAddress, parseNetwork, type Address, type Network } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { ConfigApplication } from './config.ts';

export const snippetServers = ['nginx', 'apache', 'haproxy', 'iis', 'tomcat'] as const;
export type SnippetServer = (typeof snippetServers)[number];
type Tell = ConfigApplication['tell'];

/** Where a server with a snippet says which address it saw, whatever else it answers there. */
export const provePath = '/.postern-prove';
export const seenField = 'X-Postern-Seen';

export interface SnippetAsked {
  readonly server: SnippetServer;
  /** The route's name. */
  readonly route: string;
  readonly tell: Tell;
  /** At which the server listens. */
  readonly port: number;
  /** It speaks TLS there. */
  readonly isTls: boolean;
  /** Addresses from which the server sees the gateway's connections; the first one of a family is the next hop to the pool. */
  readonly gateways: readonly string[];
  /** Networks of virtual addresses; for `virtual` alone. */
  readonly pool: readonly string[];
  /** The server is on the gateway's machine. */
  readonly isLocal: boolean;
}

export interface SnippetPart {
  /** File and place where it belongs, or where it is run. */
  readonly where: string;
  readonly syntax: 'nginx' | 'apache' | 'haproxy' | 'xml' | 'jsp' | 'sh' | 'powershell';
  readonly text: string;
}

export interface Snippet {
  readonly parts: readonly SnippetPart[];
  /** What to know, one sentence or two each. */
  readonly notes: readonly string[];
}

interface Checked extends Omit<SnippetAsked, 'gateways' | 'pool'> {
  readonly gateways: readonly Address[];
  readonly pool: readonly Network[];
}

/** Fault `bad-input` for what is no address, name or port; `unsupported` where the server cannot take it in this way. */
export function snippetFor(asked: SnippetAsked): Snippet {
  const checked = check(asked);
  const { parts, notes } = makers[asked.server](checked);
  if (asked.tell !== 'virtual') return { parts, notes: [...notes, 'Let nobody but the gateway reach this port: a firewall rule is worth more than any header.'] };
  const routes = routesOf(checked);
  return { parts: [...routes.parts, ...parts], notes: [...routes.notes, ...notes] };
}

function check(asked: SnippetAsked): Checked {
  const { server, route, port, gateways, pool, tell } = asked;
  if (!(snippetServers as readonly string[]).includes(server)) throw new Fault('bad-input', `there are snippets for ${snippetServers.join(', ')}`);
  if (!/^[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}$/.test(route)) throw new Fault('bad-input', 'this is no name of a route');
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Fault('bad-input', 'a port is a number of 1 to 65535');
  if (gateways.length + pool.length > limits.snippetAddressesMax) throw new Fault('too-many', `more than ${limits.snippetAddressesMax} addresses and networks`);
  const addresses = gateways.map((text) => parseAddress(text) ?? refuse(text, 'an address of the gateway'));
  if (addresses.length === 0) throw new Fault('bad-input', 'it is not known from which address the server sees the gateway', { remedy: 'name it: --gateway ADDRESS' });
  const networks = pool.map((text) => parseNetwork(text) ?? refuse(text, 'a network of the address pool'));
  if (tell === 'virtual' && networks.length === 0) throw new Fault('bad-input', 'there is no address pool', { remedy: 'add "addressPool" to the configuration' });
  return { ...asked, gateways: addresses, pool: networks };
}

function refuse(text: string, what: string): never {
  throw new Fault('bad-input', `"${text.slice(0, 50)}" is not ${what}`);
}

const inPattern = (text: string): string => text.replace(/[.]/g, '\\.');

/** All of its groups, none shortened: as Java writes it. */
function inFull({ family, value }: Address): string | null {
  return family === 4 ? null : Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16)).join(':');
}

/** A regular expression that fits the gateway's addresses and nothing else, when it has to fit the whole. */
const patternOf = (gateways: readonly Address[], alsoInFull: boolean): string =>
  [...new Set(gateways.flatMap((each) => [formatAddress(each), ...(alsoInFull ? [inFull(each)] : [])]))].filter((text) => text !== null).map(inPattern).join('|');

const text = (lines: readonly string[]): string => `${lines.join('\n')}\n`;

const makers: Readonly<Record<SnippetServer, (asked: Checked) => Snippet>> = { nginx: forNginx, apache: forApache, haproxy: forHaproxy, iis: forIis, tomcat: forTomcat };

function forNginx({ route, tell, port, isTls, gateways }: Checked): Snippet {
  const from = gateways.map((each) => `set_real_ip_from ${formatAddress(each)};`);
  const listen = `listen ${port}${isTls ? ' ssl' : ''}`;
  const told =
    tell === 'virtual'
      ? []
      : tell === 'headers'
        ? [...from, 'real_ip_header X-Forwarded-For;', 'real_ip_recursive on;', '']
        : [`${listen} proxy_protocol;  # in the place of: ${listen};`, ...from, 'real_ip_header proxy_protocol;', ''];
  const lines = [`# postern, route ${route}: $remote_addr is the device's address`, ...told, `location = ${provePath} {`, `    add_header ${seenField} $remote_addr always;`, '    return 204;', '}'];
  return {
    parts: [{ where: 'nginx: in the server block of the application', syntax: 'nginx', text: text(lines) }],
    notes: [
      'An application behind this nginx hears of the address by: proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Real-IP $remote_addr;',
      ...(tell === 'proxy-v1' || tell === 'proxy-v2' ? ['With proxy_protocol nginx refuses every connection to this port that does not begin with a PROXY header: give direct clients another port.'] : []),
    ],
  };
}

function forApache({ route, tell, gateways }: Checked): Snippet {
  const from = gateways.map((each) => `RemoteIPInternalProxy ${formatAddress(each)}`);
  const told = tell === 'virtual' ? [] : tell === 'headers' ? ['RemoteIPHeader X-Forwarded-For', ...from, ''] : ['RemoteIPProxyProtocol On', ''];
  const lines = [`# postern, route ${route}: REMOTE_ADDR is the device's address`, ...told, `<Location "${provePath}">`, `    Header always set ${seenField} "expr=%{REMOTE_ADDR}"`, '</Location>'];
  return {
    parts: [
      { where: 'Debian and Ubuntu, once, as root', syntax: 'sh', text: text([tell === 'virtual' ? 'a2enmod headers' : 'a2enmod remoteip headers', 'systemctl restart apache2']) },
      { where: 'Apache: in the VirtualHost of the application', syntax: 'apache', text: text(lines) },
    ],
    notes: [
      ...(tell === 'headers' ? ['RemoteIPInternalProxy and not RemoteIPTrustedProxy: from the latter Apache takes no private address, and devices have private ones.'] : []),
      ...(tell === 'proxy-v1' || tell === 'proxy-v2'
        ? ['RemoteIPProxyProtocol holds for all virtual hosts on the same address and port, and believes whoever connects there: nobody but the gateway may reach it. Direct clients need RemoteIPProxyProtocolExceptions, or another port.']
        : []),
      'The log shows it as %a; %h may still show a name.',
    ],
  };
}

function forHaproxy({ route, tell, gateways }: Checked): Snippet {
  const from = `{ src ${gateways.map(formatAddress).join(' ')} }`;
  const told =
    tell === 'virtual'
      ? []
      : tell === 'headers'
        ? [`    http-request del-header x-real-ip unless ${from}`, `    http-request set-src hdr_ip(x-real-ip) if ${from} { req.hdr(x-real-ip) -m found }`]
        : [`    tcp-request connection expect-proxy layer4 if ${from}`];
  const lines = [`    # postern, route ${route}: src is the device's address`, ...told, `    http-request return status 204 hdr ${seenField} "%[src]" if { path ${provePath} }`];
  return {
    parts: [{ where: 'haproxy.cfg: in the frontend of the application (mode http), before its other http-request lines', syntax: 'haproxy', text: text(lines) }],
    notes: [
      'HAProxy 2.2 or later. Its own servers hear of the address by: http-request set-header X-Forwarded-For %[src]',
      ...(tell === 'proxy-v1' || tell === 'proxy-v2' ? ['accept-proxy on the bind line would do as well, but believes whoever connects; expect-proxy believes the gateway and leaves everybody else alone.'] : []),
    ],
  };
}

function forIis({ route, tell, gateways }: Checked): Snippet {
  if (tell === 'proxy-v1' || tell === 'proxy-v2') throw new Fault('unsupported', 'IIS does not read PROXY headers', { remedy: 'let the route tell addresses by "headers", or by "virtual", for which IIS needs nothing' });
  const inbound = [
    '      <rules>',
    `        <rule name="postern ${route}">`,
    '          <match url=".*" />',
    '          <conditions logicalGrouping="MatchAll" trackAllCaptures="false">',
    `            <add input="{REMOTE_ADDR}" pattern="^(?:${patternOf(gateways, false)})$" />`,
    '            <add input="{HTTP_X_FORWARDED_FOR}" pattern="(?:^|,)\\s*([0-9A-Fa-f.:]+)\\s*$" />',
    '          </conditions>',
    '          <serverVariables>',
    '            <set name="REMOTE_ADDR" value="{C:1}" />',
    '            <set name="REMOTE_HOST" value="{C:1}" />',
    '          </serverVariables>',
    '          <action type="None" />',
    '        </rule>',
    '      </rules>',
  ];
  const outbound = [
    '      <outboundRules>',
    `        <rule name="postern prove ${route}">`,
    `          <match serverVariable="RESPONSE_${seenField.replaceAll('-', '_')}" pattern=".*" />`,
    '          <conditions>',
    `            <add input="{REQUEST_URI}" pattern="^${inPattern(provePath)}(?:\\?|$)" />`,
    '          </conditions>',
    '          <action type="Rewrite" value="{REMOTE_ADDR}" />',
    '        </rule>',
    '      </outboundRules>',
  ];
  const web = ['<configuration>', '  <system.webServer>', '    <rewrite>', ...(tell === 'virtual' ? [] : inbound), ...outbound, '    </rewrite>', '  </system.webServer>', '</configuration>'];
  const allowed = ['<system.webServer>', '  <rewrite>', '    <allowedServerVariables>', '      <add name="REMOTE_ADDR" />', '      <add name="REMOTE_HOST" />', '    </allowedServerVariables>', '  </rewrite>', '</system.webServer>'];
  return {
    parts: [
      ...(tell === 'virtual' ? [] : [{ where: '%windir%\\System32\\inetsrv\\config\\applicationHost.config: in the <location> of the site, or for all sites', syntax: 'xml' as const, text: text(allowed) }]),
      { where: "web.config of the site; put the rule in front of the site's own", syntax: 'xml', text: text(web) },
    ],
    notes: [
      'Needs the URL Rewrite module 2.x of Microsoft.',
      ...(tell === 'virtual'
        ? []
        : [
            'IP Address and Domain Restrictions of IIS come before URL Rewrite: they see the gateway, not the device. Where an application has such a list of its own, choose "virtual" for the route.',
            "The log's c-ip stays the gateway's address. Advanced Logging, or a custom field with X-Forwarded-For, shows the device's.",
          ]),
    ],
  };
}

function forTomcat({ route, tell, gateways }: Checked): Snippet {
  if (tell === 'proxy-v1' || tell === 'proxy-v2') throw new Fault('unsupported', 'Tomcat does not read PROXY headers', { remedy: 'let the route tell addresses by "headers", or by "virtual", for which Tomcat needs nothing' });
  const valve = [
    `<!-- postern, route ${route.replaceAll('--', '- -')}: getRemoteAddr() is the device's address -->`,
    `<Valve className="org.apache.catalina.valves.RemoteIpValve" internalProxies="${patternOf(gateways, true)}"`,
    '       remoteIpHeader="X-Forwarded-For" protocolHeader="X-Forwarded-Proto" requestAttributesEnabled="true" />',
  ];
  const page = [`<%@ page session="false" trimDirectiveWhitespaces="true" %><% response.setHeader("${seenField}", request.getRemoteAddr()); response.setStatus(204); %>`];
  const mapping = ['<servlet><servlet-name>postern-prove</servlet-name><jsp-file>/WEB-INF/postern-prove.jsp</jsp-file></servlet>', `<servlet-mapping><servlet-name>postern-prove</servlet-name><url-pattern>${provePath}</url-pattern></servlet-mapping>`];
  return {
    parts: [
      ...(tell === 'virtual' ? [] : [{ where: 'conf/server.xml: in the <Host> of the application, before its other valves', syntax: 'xml' as const, text: text(valve) }]),
      { where: 'webapps/ROOT/WEB-INF/postern-prove.jsp', syntax: 'jsp', text: text(page) },
      { where: 'webapps/ROOT/WEB-INF/web.xml: in <web-app>', syntax: 'xml', text: text(mapping) },
    ],
    notes: tell === 'virtual' ? [] : ['The access log shows the address when its Valve has requestAttributesEnabled="true", too.', 'RemoteAddrValve must stand behind this valve, or it sees the gateway.'],
  };
}

const maskOf = (prefix: number): string => [0, 1, 2, 3].map((i) => 256 - 2 ** (8 - Math.min(8, Math.max(0, prefix - 8 * i)))).join('.');

/** The way back: what the server sends to a virtual address has to come to the gateway. */
function routesOf({ pool, gateways, isLocal }: Checked): Snippet {
  const notes = ["The server sees each device's own virtual address as the peer of its connection: nothing has to be read from headers."];
  if (isLocal || pool.every((network) => isLoopback(formatAddress(network)))) return { parts: [], notes: [...notes, 'The server is on the same machine as the gateway: no route is needed.'] };
  const windows: string[] = [];
  const linux: string[] = [];
  for (const network of pool) {
    const hop = gateways.find((each) => each.family === network.family && !isLoopback(formatAddress(each)));
    if (hop === undefined || isLoopback(formatAddress(network))) {
      notes.push(`${formatNetwork(network)}: no address of the gateway is known to which a route could lead.`);
      continue;
    }
    const [to, via] = [formatNetwork(network), formatAddress(hop)];
    linux.push(`ip route replace ${to} via ${via}`);
    windows.push(
      network.family === 4
        ? `route -p add ${formatAddress(network)} mask ${maskOf(network.prefix)} ${via}`
        : `New-NetRoute -DestinationPrefix "${to}" -NextHop "${via}" -InterfaceIndex (Find-NetRoute -RemoteIPAddress "${via}")[0].InterfaceIndex`,
    );
  }
  const parts: SnippetPart[] = windows.length === 0 ? [] : [
    { where: 'Windows, once, as administrator', syntax: 'powershell', text: text(windows) },
    { where: 'Linux, as root; write it into the network configuration, too, so that it is there after a restart', syntax: 'sh', text: text(linux) },
  ];
  return { parts, notes: [...notes, 'The route leads to the gateway directly only inside one network. Behind a router, the router needs it instead of the server.'] };
}
