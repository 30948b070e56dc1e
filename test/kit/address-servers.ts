// nginx, Apache and HAProxy as the servers of applications: each with what the gateway generates for it, nothing else, on a port of its own.
// Everything that the server sees of a request is in its answer's header X-Postern-Seen, at any path where the snippet puts it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import type { SnippetPart } from '#model/snippets.ts';
import { until } from './gateway.ts';
import type { PeerName } from './peers.ts';
import type { Processes } from './processes.ts';

export type AddressServer = 'nginx' | 'apache' | 'haproxy';
export const programOf: Readonly<Record<AddressServer, PeerName>> = { nginx: 'nginx', apache: 'apache2', haproxy: 'haproxy' };

type Parts = readonly Pick<SnippetPart, 'syntax' | 'text'>[];

const partOf = (parts: Parts, syntax: SnippetPart['syntax']): string => parts.filter((part) => part.syntax === syntax).map((part) => part.text).join('\n');
const indented = (text: string): string => text.replace(/^(?=.)/gm, '    ');

function nginxConfig(folder: string, port: number, parts: Parts): string {
  const snippet = partOf(parts, 'nginx');
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path ${join(folder, name)};`).join('\n');
  // The snippet's own listen line stands in the place of the plain one, as its comment says.
  const listen = /^listen /m.test(snippet) ? '' : `    listen 127.0.0.1:${port};\n`;
  return `daemon off;
${process.getuid?.() === 0 ? 'user root;\n' : ''}worker_processes 1;
pid ${join(folder, 'pid')};
error_log stderr warn;
events { worker_connections 64; }
http {
${temp}
  access_log ${join(folder, 'access.log')};
  server {
${listen}${indented(snippet.replace(`listen ${port} `, `listen 127.0.0.1:${port} `))}
    location / { return 200 "$remote_addr\\n"; }
  }
}
`;
}

function apacheConfig(folder: string, port: number, parts: Parts): string {
  const modules = ['mpm_event', 'authz_core', 'headers', 'remoteip'].map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n');
  return `ServerRoot ${folder}
ServerName scan.example.test
DefaultRuntimeDir ${folder}
PidFile ${join(folder, 'pid')}
${modules}
Listen 127.0.0.1:${port}
ErrorLog ${join(folder, 'error.log')}
LogFormat "%a %{c}a \\"%r\\" %>s" seen
StartServers 1
ServerLimit 1
ThreadsPerChild 4
MaxRequestWorkers 4
<VirtualHost 127.0.0.1:${port}>
    DocumentRoot ${join(folder, 'site')}
    CustomLog ${join(folder, 'access.log')} seen
${indented(partOf(parts, 'apache'))}
</VirtualHost>
`;
}

const haproxyConfig = (port: number, parts: Parts): string => `global
    maxconn 64
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend application
    bind 127.0.0.1:${port}
${partOf(parts, 'haproxy')}
    http-request return status 200 content-type text/plain lf-string "%[src]\\n"
`;

/** Starts it and waits until it accepts connections. */
export async function startAddressServer(processes: Processes, program: string, server: AddressServer, port: number, parts: Parts): Promise<void> {
  const folder = join(processes.folder, `${server}-${port}`);
  mkdirSync(join(folder, 'site'), { recursive: true });
  const config = join(folder, 'server.conf');
  writeFileSync(config, server === 'nginx' ? nginxConfig(folder, port, parts) : server === 'apache' ? apacheConfig(folder, port, parts) : haproxyConfig(port, parts));
  if (server === 'nginx') processes.start(program, ['-p', folder, '-c', config, '-e', 'stderr']);
  else if (server === 'apache') processes.start(program, ['-d', folder, '-f', config, '-D', 'FOREGROUND']);
  else processes.start(program, ['-db', '-f', config]);
  await until(`${server} to listen`, () => new Promise<boolean>((done) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.once('connect', () => (socket.destroy(), done(true))).once('error', () => done(false));
  }));
}
