// The scene of the hostile page: a gateway on gw.example.test, an evil device, a victim device that notes every request that reaches it,
// and a browser whose person is signed in at the console and at both devices.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Page } from 'playwright-core';
import { acceptKeyOf } from '#wire/websocket.ts';
import { consoleDir, openBrowser, type OpenBrowser, type Person } from './browser.ts';
import { startGateway, until, type Person as Owner, type TestDevice, type TestGateway } from './gateway.ts';

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

export interface Origin {
  readonly port: number;
  /** Every request, upgrades too. */
  readonly seen: SeenRequest[];
  readonly server: Server;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A device's web server on 127.0.0.1. */
export async function startOrigin(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Origin> {
  const seen: SeenRequest[] = [];
  const upgraded = new Set<Socket>();
  const note = (request: IncomingMessage) => seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers });
  const server = createServer((request, response) => {
    note(request);
    request.resume();
    answer(request, response);
  });
  server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    note(request);
    upgraded.add(socket);
    socket.on('error', () => socket.destroy());
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptKeyOf(request.headers['sec-websocket-key'] ?? '')}\r\n\r\n`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    server,
    async [Symbol.asyncDispose]() {
      for (const socket of upgraded) socket.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export const secretText = 'what only people with the right may read';
const page = (title: string, body: string) => `<!doctype html><html><head><meta charset="utf-8"><title>${title}</title><link rel="icon" href="data:,"></head><body>${body}</body></html>`;

const attacks = readFileSync(new URL('hostile-page.js', import.meta.url), 'utf8');

const turned = new Set<string>();

/**
 * A page without any policy and its script (hostile-page.js). `/to?status=…&url=…` redirects,
 * `/file?type=…&body=…` serves anything, `/headers` says everything that speaks for a whole name.
 */
function answerEvil(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://evil.invalid');
  const wanted = url.searchParams;
  switch (url.pathname) {
    case '/to':
      return void response.writeHead(Number(wanted.get('status') ?? 302), { Location: wanted.get('url') ?? '/' }).end();
    case '/turncoat':
      // A page at first; loaded again, it sends whatever was sent to it elsewhere.
      if (!turned.delete(request.url ?? '')) {
        turned.add(request.url ?? '');
        return void response.writeHead(200, { 'Content-Type': 'text/html' }).end(page('turncoat', ''));
      }
      return void response.writeHead(307, { Location: wanted.get('url') ?? '/' }).end();
    case '/file':
      return void response.writeHead(200, { 'Content-Type': wanted.get('type') ?? 'text/html', 'Cache-Control': 'no-store' }).end(wanted.get('body') ?? '');
    case '/headers':
      // As bytes: a name with characters beyond ASCII travels in UTF-8.
      response.setHeader('Set-Cookie', Buffer.from(wanted.get('cookies') ?? '').toString('latin1').split('\n').filter((line) => line !== ''));
      return void response
        .writeHead(200, { 'Content-Type': 'text/html', 'Clear-Site-Data': '"cookies", "storage", "cache"', 'Alt-Svc': 'h3=":443"; ma=86400', 'Strict-Transport-Security': 'max-age=86400; includeSubDomains', 'Service-Worker-Allowed': '/' })
        .end(page('headers', ''));
    case '/attacks.js':
      return void response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(attacks);
    default:
      return void response.writeHead(200, { 'Content-Type': 'text/html' }).end(page('evil', '<script src="/attacks.js"></script>'));
  }
}

function answerVictim(request: IncomingMessage, response: ServerResponse): void {
  const type = request.url?.endsWith('.js') ? 'text/javascript' : 'text/html';
  response.writeHead(200, { 'Content-Type': type, 'Set-Cookie': 'session=of-the-victim; Path=/; HttpOnly' }).end(type === 'text/html' ? page('victim', secretText) : `globalThis.stolen = ${JSON.stringify(secretText)};`);
}

export interface Scene {
  readonly gateway: TestGateway;
  readonly owner: Owner;
  readonly browser: OpenBrowser;
  readonly victim: Person;
  readonly evilOrigin: Origin;
  readonly victimOrigin: Origin;
  readonly evilDevice: TestDevice;
  readonly victimDevice: TestDevice;
  /** `https://gw.example.test:8443`, and the same of the two devices. */
  readonly at: { readonly console: string; readonly evil: string; readonly victim: string };
  /** Opens an address and waits until the page of this title stands, whatever hand-over lies between. */
  open(tab: Page, address: string, title: string): Promise<void>;
  /** A tab with the evil page in it. */
  evilTab(): Promise<Page>;
  /** Lines of the journal, newest first. */
  journal(event: string): { readonly event: string; readonly fields: Readonly<Record<string, unknown>> }[] | Promise<{ readonly event: string; readonly fields: Readonly<Record<string, unknown>> }[]>;
  /** The person is still signed in at the console and at the victim device, and nothing was changed. Clears what the victim saw. */
  isUnharmed(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Signs a browser in as a person would on the console's page; leaves the tab there. */
export async function signIn(tab: Page, consoleAddress: string, login: string, password: string): Promise<void> {
  await tab.goto(`${consoleAddress}/sign-in`);
  await tab.getByLabel('Sign-in name').fill(login);
  await tab.getByLabel('Password').fill(password);
  await tab.keyboard.press('Enter');
  await tab.waitForURL('**/devices');
}

export const ownerPassword = 'correct horse battery staple';

export async function openScene(options: { readonly deviceDomain?: string } = {}): Promise<Scene> {
  const closing: (() => PromiseLike<void>)[] = [];
  const close = async () => {
    for (const step of closing.reverse()) await step();
  };
  try {
    const evilOrigin = await startOrigin(answerEvil);
    closing.push(() => evilOrigin[Symbol.asyncDispose]());
    const victimOrigin = await startOrigin(answerVictim);
    closing.push(() => victimOrigin[Symbol.asyncDispose]());
    const gateway = await startGateway({ domain: 'gw.example.test', consoleDir, ...options });
    closing.push(() => gateway[Symbol.asyncDispose]());
    const evilDevice = await gateway.addDevice({ name: 'X', ports: [{ number: evilOrigin.port, kind: 'http' }] });
    const victimDevice = await gateway.addDevice({ name: 'V', ports: [{ number: victimOrigin.port, kind: 'http' }] });
    const owner = await gateway.owner();
    const deviceDomain = options.deviceDomain ?? 'gw.example.test';
    const of = (name: string) => `https://${name}:${gateway.ports.https}`;
    const at = { console: of('gw.example.test'), evil: of(`x.${deviceDomain}`), victim: of(`v.${deviceDomain}`) };
    const browser = await openBrowser({ caFingerprint: gateway.caFingerprint, domains: ['gw.example.test', deviceDomain] });
    closing.push(() => browser[Symbol.asyncDispose]());
    const victim = await browser.person();
    const home = await victim.tab();
    await signIn(home, at.console, 'owner', ownerPassword);
    const open = async (tab: Page, address: string, title: string) => {
      await tab.goto(address);
      await until(`the page ${title}`, async () => (await tab.title().catch(() => '')) === title);
    };
    await open(home, at.victim, 'victim');
    await open(home, at.evil, 'evil');
    await home.close();
    victimOrigin.seen.length = 0;
    const tokensAtFirst = gateway.tables.tokens.size;
    const evilTab = async () => {
      const tab = await victim.tab();
      await tab.goto(`${at.evil}/`);
      assert.equal(await tab.title(), 'evil');
      return tab;
    };
    const journal: Scene['journal'] = async (event) => (await gateway.api('GET', `/journal?limit=200&event=${event}`, { token: owner.token })).json['items'] as Awaited<ReturnType<Scene['journal']>>;
    const isUnharmed = async () => {
      const tab = await victim.tab();
      await tab.goto(`${at.console}/devices`);
      await tab.getByRole('heading', { name: 'Devices' }).waitFor();
      assert.equal(await tab.evaluate(async () => (await fetch('/api/v1/me')).status), 200, 'signed in at the console');
      await tab.goto(`${at.victim}/`);
      assert.ok((await tab.textContent('body'))?.includes(secretText), 'signed in at the device');
      await tab.close();
      assert.equal(gateway.tables.tokens.size, tokensAtFirst, 'no token was made');
      assert.deepEqual([...gateway.tables.devices.values()].map((device) => [device.label, device.locked]).sort(), [['v', false], ['x', false]]);
      assert.deepEqual([...gateway.tables.people.values()].map((person) => person.login), ['owner']);
      victimOrigin.seen.length = 0;
    };
    return { gateway, owner, browser, victim, evilOrigin, victimOrigin, evilDevice, victimDevice, at, open, evilTab, journal, isUnharmed, [Symbol.asyncDispose]: close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/** One of the attacks of the evil page. */
export function attack<Told>(tab: Page, name: string, given: unknown): Promise<Told> {
  return tab.evaluate<Told>(`attacks[${JSON.stringify(name)}](${JSON.stringify(given)})`);
}

/** The evil page and everything it began have had their time: its own last request has come back, and nothing arrives any more. */
export async function settled(scene: Pick<Scene, 'victimOrigin' | 'evilOrigin'>, tab: Page): Promise<void> {
  await tab.evaluate(() => fetch('/file?type=text/plain&body=last').then((answer) => answer.text()));
  let before = -1;
  let quietSince = performance.now();
  await until('the network to fall silent', () => {
    const now = scene.victimOrigin.seen.length + scene.evilOrigin.seen.length;
    if (now !== before) quietSince = performance.now();
    before = now;
    return performance.now() - quietSince > 400;
  });
}

