// Units of systemd for a gateway and for an agent, as --print-unit prints them: few rights, and the one that low ports need. Pure.

export interface UnitOptions {
  /** Absolute. */
  readonly program: string;
  readonly args: readonly string[];
  readonly user: string;
  /** Absolute: what the program writes to. */
  readonly folder: string;
  /** A file with NAME=VALUE lines that keeps what is no business of the list of processes; null: none is needed. */
  readonly environmentFile: string | null;
  /** Networks of the address pool; null: they are not known, because no gateway runs with this folder. */
  readonly pool: readonly string[] | null;
  /** `ip` of iproute2 and `sysctl`, absolute. */
  readonly ip: string;
  readonly sysctl: string;
}

/** A word of a command line (systemd.service(5), "COMMAND LINES"): % and $ are special, blanks separate. */
function word(text: string): string {
  const plain = text.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[^\s"'\\;]+$/.test(plain) ? plain : `"${plain.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

const isAtHome = (path: string) => /^\/(?:home|root|run\/user)\//.test(path);
const isLoopbackNetwork = (network: string) => network.startsWith('127.') || network === '::1/128';

/** Run as root before the gateway, which itself has no right to it; `replace`: at the second start the route is there. */
export function routeLines({ pool, ip, sysctl }: Pick<UnitOptions, 'pool' | 'ip' | 'sysctl'>): string[] {
  if (pool === null) return ['# Where the configuration has an addressPool, each of its networks (but 127.0.0.0/8) needs a line like this; print the unit again while the gateway runs:', `# ExecStartPre=+${ip} route replace local 100.72.0.0/16 dev lo`];
  const routed = pool.filter((network) => !isLoopbackNetwork(network));
  const six = routed.filter((network) => network.includes(':'));
  return [
    ...routed.map((network) => `ExecStartPre=+${ip} ${six.includes(network) ? '-6 ' : ''}route replace local ${network} dev lo`),
    ...(six.length > 0 ? [`ExecStartPre=+${sysctl} -q -w net.ipv6.ip_nonlocal_bind=1`] : []),
  ];
}

function unitOf(title: string, options: UnitOptions, before: readonly string[], more: readonly string[]): string {
  const { program, args, user, folder, environmentFile } = options;
  // systemd makes folders below /var/lib and gives them to the user.
  const state = /^\/var\/lib\/([^/]+)$/.exec(folder)?.[1];
  const lines = [
    '[Unit]', `Description=${title}`, 'Wants=network-online.target', 'After=network-online.target', '',
    '[Service]',
    ...before,
    `ExecStart=${[program, ...args].map(word).join(' ')}`,
    `User=${user}`,
    ...(environmentFile === null ? [] : [`EnvironmentFile=${environmentFile}`]),
    ...(state === undefined ? [`ReadWritePaths=${word(folder)}`] : [`StateDirectory=${state}`, 'StateDirectoryMode=0700']),
    `WorkingDirectory=${word(folder)}`,
    // Ports below 1024: those of web pages, and those at which servers call devices back (80, 161, 631).
    'AmbientCapabilities=CAP_NET_BIND_SERVICE', 'CapabilityBoundingSet=CAP_NET_BIND_SERVICE',
    'NoNewPrivileges=yes', 'ProtectSystem=strict', ...([program, folder].some(isAtHome) ? [] : ['ProtectHome=yes']), 'PrivateTmp=yes', ...more,
    'ProtectKernelTunables=yes', 'ProtectKernelModules=yes', 'ProtectControlGroups=yes', 'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK', 'RestrictSUIDSGID=yes', 'LockPersonality=yes',
    'LimitNOFILE=131072', 'Restart=always', 'RestartSec=2', '',
    '[Install]', 'WantedBy=multi-user.target',
  ];
  return `${lines.join('\n')}\n`;
}

export function gatewayUnit(options: UnitOptions): string {
  return unitOf('Postern gateway', options, routeLines(options), ['PrivateDevices=yes']);
}

/** The agent's doors in its LAN and its DNS answers may be at low ports, too; and it may read serial ports, which are devices. */
export function agentUnit(options: Omit<UnitOptions, 'pool' | 'ip' | 'sysctl'>): string {
  return unitOf('Postern agent', { ...options, pool: [], ip: '', sysctl: '' }, [], []);
}
