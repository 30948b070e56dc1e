// A server of the kind that this is all about: it knows devices by the address of their connection, keeps one session for each address,
// and calls devices back there, over UDP and over HTTP. Pages need a cookie and have links of every kind.
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createServer as createHttp, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { plainAddress } from '#net/conn.ts';
import { readProxyHeader } from '#wire/proxy-protocol.ts';

export interface AppSaw {
  /** Of the connection, or what a PROXY header said. */
  readonly peer: string;
  /** How many requests came from that address. */
  readonly visits: number;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface AddressApp {
  readonly port: number;
  readonly seen: readonly AppSaw[];
  /** By address. */
  readonly sessions: ReadonlyMap<string, number>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Asks a UDP port and gives its first answer; null: none within two seconds. */
function askUdp(address: string, port: number, question: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const done = (text: string | null) => {
      clearTimeout(timer);
      clearInterval(again);
      socket.close();
      resolve(text);
    };
    const timer = setTimeout(() => done(null), 2_000);
    const again = setInterval(() => socket.send(question, port, address), 200);
    socket.on('message', (answer, from) => from.address === address && done(answer.toString()));
    socket.on('error', () => done(null));
    socket.send(question, port, address);
  });
}

const askHttp = (host: string, port: number): Promise<string | null> =>
  new Promise((resolve) => {
    const asked = get({ host, port, path: '/', agent: false, timeout: 3_000 }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => resolve(text));
    });
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(null));
  });

const pageOf = (title: string, body: string): string => `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>${title}</title><link rel="stylesheet" href="/style.css" type="text/css" /></head>
<body><h1>${title}</h1>${body}</body></html>
`;
const page = pageOf('Scan', `<p><a id="next" href="/next">Next</a> <a id="near" href="near">Near</a></p>
<form action="/submit" method="post"><p><input type="text" name="name" /><input type="submit" value="Go" /></p></form>`);
const signInPage = pageOf('Sign in', '<form action="/login" method="post"><p><input type="text" name="user" /><input type="submit" value="Sign in" /></p></form>');

const plain = (text: string): string => text.replace(/[^\w .-]/g, '?');
/** Every way that the pages of such programs name an address of their own. `host`: as they were called. */
const panelOf = (host: string, user: string, said: string): string =>
  pageOf('Panel', `<p id="user">${plain(user)}</p><p id="said">${plain(said)}</p><p><img id="paper" src="/paper.png" alt="" />
<a id="absolute" href="http://${host}/panel?from=absolute">A</a> <a id="rooted" href="/panel?from=rooted">R</a> <a id="relative" href="panel?from=relative">L</a>
<a id="schemeless" href="//${host}/panel?from=schemeless">S</a> <a id="deep" href="/deep/panel?from=deep">D</a> <a id="moved" href="/moved">M</a></p>
<form id="find" action="/panel" method="get"><p><input type="text" name="from" /><input type="submit" value="Find" /></p></form>
<form id="send" action="panel" method="post"><p><input type="text" name="said" /><input type="submit" value="Send" /></p></form>`);

const formOf = async (request: IncomingMessage): Promise<URLSearchParams> => {
  let text = '';
  if (request.method === 'POST') for await (const piece of request as AsyncIterable<Buffer>) text += piece.toString();
  return new URLSearchParams(text);
};

/** Of Printer-MIB (RFC 3805): prtGeneralSerialNumber. */
const serialOid = '.1.3.6.1.2.1.43.5.1.1.17.1';

/** What Net-SNMP's snmpget says of the device at an address; null: nothing, or not in time. */
const askSerial = (snmpget: string, community: string, address: string, port: number): Promise<string | null> =>
  new Promise((resolve) => {
    execFile(snmpget, ['-v2c', '-c', community, '-Oqv', '-t', '2', '-r', '1', `udp:${address}:${port}`, serialOid], { env: { ...process.env, MIBS: '' } }, (failed, stdout) => resolve(failed ? null : stdout.trim().replaceAll('"', '')));
  });

export interface AddressAppOptions {
  readonly address?: string;
  readonly port?: number;
  /** Connections begin with a PROXY header. */
  readonly proxy?: boolean;
  /** Path of the program, and with what it asks. */
  readonly snmpget?: string;
  readonly community?: string;
}

export async function startAddressApp(options: AddressAppOptions = {}): Promise<AddressApp> {
  const seen: AppSaw[] = [];
  const sessions = new Map<string, number>();
  const proxied = new WeakMap<Socket, string>();
  const sockets = new Set<Socket>();

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const peer = proxied.get(request.socket) ?? plainAddress(request.socket.remoteAddress);
    const visits = (sessions.get(peer) ?? 0) + 1;
    sessions.set(peer, visits);
    const url = new URL(request.url ?? '/', 'http://app.example.test');
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    const saw: AppSaw = { peer, visits, method: request.method ?? '', path: request.url ?? '', headers };
    seen.push(saw);
    const isSignedIn = /(?:^|; )app=in(?:;|$)/.test(headers['cookie'] ?? '');
    switch (url.pathname) {
      case '/sign-in':
        return void response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(signInPage);
      case '/login': {
        const user = (await formOf(request)).get('user');
        if (user !== null) return void response.writeHead(303, { 'Set-Cookie': ['app=in; Path=/; HttpOnly', `user=${plain(user)}; Path=/`], Location: `http://${headers['host']}/panel` }).end();
        return void response.writeHead(302, { 'Set-Cookie': 'app=in; Path=/; HttpOnly', Location: '/home' }).end();
      }
      case '/panel':
      case '/deep/panel': {
        if (!isSignedIn) return void response.writeHead(403, { 'Content-Type': 'text/html; charset=utf-8' }).end(pageOf('No cookie', '<p>no cookie</p>'));
        const said = (await formOf(request)).get('said') ?? url.searchParams.get('from') ?? '';
        const user = /(?:^|; )user=([^;]*)/.exec(headers['cookie']!)?.[1] ?? '';
        return void response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(panelOf(headers['host']!, user, said));
      }
      case '/moved':
        return void response.writeHead(302, { Location: '/panel?from=moved' }).end();
      case '/home':
      case '/next':
      case '/near':
      case '/submit':
        if (!isSignedIn) return void response.writeHead(403, { 'Content-Type': 'text/plain' }).end('no cookie\n');
        return void response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(page);
      case '/style.css':
        return void response.writeHead(200, { 'Content-Type': 'text/css' }).end('body { background: url(/paper.png) }\n');
      case '/udp':
        return void response.end(JSON.stringify({ answer: await askUdp(peer, Number(url.searchParams.get('port')), 'who') }));
      case '/serial':
        return void response.end(JSON.stringify({ peer, visits, answer: await askSerial(options.snmpget ?? 'snmpget', options.community ?? 'public', peer, Number(url.searchParams.get('port'))) }));
      case '/tcp':
        return void response.end(JSON.stringify({ answer: await askHttp(peer, Number(url.searchParams.get('port'))) }));
      default:
        response.setHeader('Content-Type', 'application/json');
        response.end(JSON.stringify(saw));
    }
  };

  const http: Server = createHttp((request, response) => void answer(request, response).catch(() => response.destroy()));
  const outer = options.proxy
    ? createServer((socket) => {
        let looked = Buffer.alloc(0);
        const look = () => {
          for (let piece: Buffer | null; (piece = socket.read() as Buffer | null) !== null; ) looked = Buffer.concat([looked, piece]);
          const header = readProxyHeader(looked);
          if (header.kind === 'more') return;
          socket.off('readable', look);
          if (header.kind !== 'proxy') return void socket.destroy();
          if (header.source !== null) proxied.set(socket, header.source.address);
          socket.unshift(looked.subarray(header.bytes));
          http.emit('connection', socket);
        };
        socket.on('readable', look);
        socket.on('error', () => {});
      })
    : http;
  outer.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((done) => outer.listen(options.port ?? 0, options.address ?? '127.0.0.1', done));
  return {
    port: (outer.address() as AddressInfo).port,
    seen, sessions,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((done) => outer.close(() => done()));
    },
  };
}

if (import.meta.main) {
  const { port } = await startAddressApp(JSON.parse(process.argv[2]!) as AddressAppOptions);
  process.stdout.write(`listens on ${port}\n`);
}
