// A device's panel: a Chromium of its own that keeps no cookie and runs no script, behind a router that gives its connections an address. Several
// panels behind one address are several of these with the same `from`.
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import { program } from './browser.ts';
import { temporaryFolder } from './gateway.ts';

export interface PanelOptions {
  /** The address that its connections come from, of 127.0.0.0/8. */
  readonly from: string;
  /** On 127.0.0.1: all names of `hosts` lead there, whatever their address says of ports. */
  readonly port: number;
  readonly hosts: readonly string[];
  readonly userAgent?: string;
  readonly width?: number;
  readonly height?: number;
  /** As browsers of people do: for showing that the panel does not. */
  readonly keepsCookies?: boolean;
  readonly runsScripts?: boolean;
}

export interface Panel {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Addresses that it asked for, in order. */
  readonly asked: readonly string[];
  /** Answers with Set-Cookie, by their address. */
  readonly cookiesGiven: readonly string[];
  /** Requests with Cookie, by their address. */
  readonly cookiesSent: readonly string[];
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a router with NAT does. */
async function openRouter(from: string, port: number): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: '127.0.0.1', port, localAddress: from, noDelay: true });
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy()).on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

/** As somebody chose it in the browser's settings; 2: never. */
const blocked = 2;

export async function openPanel(options: PanelOptions): Promise<Panel> {
  const { from, port, hosts, userAgent, width = 800, height = 480, keepsCookies = false, runsScripts = false } = options;
  const folder = temporaryFolder();
  mkdirSync(join(folder.path, 'Default'));
  const settings = { ...(keepsCookies ? {} : { cookies: blocked }), ...(runsScripts ? {} : { javascript: blocked }) };
  writeFileSync(join(folder.path, 'Default', 'Preferences'), JSON.stringify({ profile: { default_content_setting_values: settings } }));
  const router = await openRouter(from, port);
  const context = await chromium.launchPersistentContext(folder.path, {
    executablePath: program, headless: true, javaScriptEnabled: runsScripts, viewport: { width, height }, locale: 'en-GB', ...(userAgent === undefined ? {} : { userAgent }),
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      `--host-resolver-rules=${hosts.map((host) => `MAP ${host} 127.0.0.1:${router.port}`).join(', ')}`,
    ],
  }).catch(async (thrown: unknown) => {
    await router.close();
    folder[Symbol.dispose]();
    throw thrown;
  });
  context.setDefaultTimeout(15_000);
  const asked: string[] = [];
  const cookiesGiven: string[] = [];
  const cookiesSent: string[] = [];
  const looking: Promise<void>[] = [];
  const note = (list: string[], url: string, headers: Promise<Record<string, string>>, name: string) => {
    looking.push(headers.then((found) => void (found[name] !== undefined && list.push(url)), () => {}));
  };
  context.on('request', (request) => {
    asked.push(request.url());
    note(cookiesSent, request.url(), request.allHeaders(), 'cookie');
  });
  context.on('response', (response) => note(cookiesGiven, response.url(), response.allHeaders(), 'set-cookie'));
  return {
    page: context.pages()[0] ?? (await context.newPage()),
    context, asked, cookiesGiven, cookiesSent,
    async [Symbol.asyncDispose]() {
      await context.close();
      await Promise.all(looking);
      await router.close();
      folder[Symbol.dispose]();
    },
  };
}
