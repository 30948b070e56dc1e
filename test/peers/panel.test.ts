// Panels of devices that keep no cookie and run no script, in Chromium, in front of an application that cannot do without a cookie: with the jar, with
// addresses of sessions, by a URL of the device's own, unknown until somebody says who it is, and two of them behind one address.
// SCREENSHOTS=folder keeps a picture of every station.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { Page } from 'playwright-core';
import type { DeviceSessionView } from '#api/session-shapes.ts';
import type { UnassignedView } from '#api/source-shapes.ts';
import { startAddressApp, type AddressApp } from '#kit/address-app.ts';
import { skip } from '#kit/browser.ts';
import { finishesCleanly, startGateway, until, type TestGateway } from '#kit/gateway.ts';
import { openPanel, type Panel, type PanelOptions } from '#kit/panel.ts';
import type { Device } from '#model/rows.ts';

const screens = [{ width: 800, height: 480 }, { width: 480, height: 272 }] as const;
const agents = { one: 'Mozilla/4.0 (compatible; Panel One)', other: 'Mozilla/5.0 (Another Maker; Press)' };
const lan = '127.9.20';
const egress = '127.9.29.9';
const hosts = ['plain.example.test', 'jar.example.test', 'prefix.example.test'];
let pictures = 0;

/** The page fits: nothing is cut off at its side, and what people need is on the first screen. */
async function fits(page: Page, name: string, needed: readonly string[]): Promise<void> {
  const before = page.viewportSize()!;
  for (const size of screens) {
    await page.setViewportSize(size);
    const seen = `${name} at ${size.width}x${size.height}`;
    const folder = process.env['SCREENSHOTS'];
    if (folder !== undefined) await page.screenshot({ path: join(folder, `panel-${String(++pictures).padStart(2, '0')}-${name}-${size.width}.png`) });
    const wide = await page.evaluate<{ scrollWidth: number; beyond: string[] }>(`(({ scrollWidth, clientWidth }) => ({
      scrollWidth, beyond: [...document.body.querySelectorAll('*')].filter((each) => each.getBoundingClientRect().right > clientWidth + 1).map((each) => each.outerHTML.slice(0, 80)),
    }))(document.documentElement)`);
    assert.deepEqual([wide.scrollWidth, wide.beyond], [size.width, []], seen);
    for (const selector of needed) {
      const box = await page.locator(selector).first().boundingBox();
      assert.ok(box !== null && box.height > 0 && box.y + box.height <= size.height, `${selector} is on the first screen: ${seen}, ${JSON.stringify(box)}`);
      const px = await page.evaluate<number>(`parseFloat(getComputedStyle(document.querySelector(${JSON.stringify(selector)})).fontSize)`);
      assert.ok(px >= 14, `${selector} can be read: ${px}px, ${seen}`);
    }
  }
  await page.setViewportSize(before);
}

const codeOn = async (page: Page): Promise<string> => {
  const code = (await page.locator('.code').innerText()).replace(/\s/g, '');
  assert.match(code, /^\d{6}$/);
  return code;
};

/** Every link and form of the application's menu, each clicked as a person would. */
async function useMenu(page: Page, user: string, onEach: () => void = () => {}): Promise<void> {
  const is = async (said: string) => {
    assert.deepEqual([await page.locator('#user').innerText(), await page.locator('#said').innerText()], [user, said]);
    onEach();
  };
  for (const link of ['absolute', 'rooted', 'relative', 'schemeless', 'deep', 'rooted', 'moved']) {
    await Promise.all([page.waitForURL((url) => url.searchParams.get('from') === link), page.click(`#${link}`)]);
    await is(link);
  }
  await page.fill('#find input[name=from]', 'toner');
  await Promise.all([page.waitForURL(/from=toner/), page.click('#find input[type=submit]')]);
  await is('toner');
  await page.fill('#send input[name=said]', 'ten pages');
  await Promise.all([page.waitForEvent('framenavigated'), page.click('#send input[type=submit]')]);
  await page.locator('#said', { hasText: 'ten pages' }).waitFor();
  await is('ten pages');
}

async function signIn(page: Page, user: string): Promise<void> {
  await page.fill('input[name=user]', user);
  await Promise.all([page.waitForURL(/\/panel$/), page.click('input[type=submit]')]);
  assert.equal(await page.locator('#user').innerText(), user);
}

suite('panels without cookies and scripts', { skip, timeout: 300_000 }, () => {
  let gateway: TestGateway;
  let app: AddressApp;
  let token: string;
  let agentId: string;
  const devices = new Map<string, Device>();

  const api = async <Json>(method: string, path: string, body?: unknown): Promise<Json> => {
    const answer = await gateway.api(method, path, { token, ...(body === undefined ? {} : { body }) });
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
    return answer.json as Json;
  };
  const addDevice = async (name: string, host: string, applications: readonly string[]): Promise<void> => {
    const { id } = await api<{ id: string }>('POST', '/devices', { agentId, name, serial: `SN-${name}`, host, ports: [{ number: 80, name: 'web', kind: 'http' }] });
    devices.set(name, gateway.tables.devices.get(id)!);
    for (const application of applications) await api('POST', '/job-sources', { application, device: id });
  };
  const urlOf = async (name: string, application: string) => new URL((await api<{ address: string }>('POST', `/devices/${devices.get(name)!.id}/urls`, { application })).address).pathname;
  const panel = (options: Pick<PanelOptions, 'from'> & Partial<PanelOptions>): Promise<Panel> => openPanel({ port: gateway.ports.http, hosts, userAgent: agents.one, ...options });
  const open = async (page: Page, address: string) => (await page.goto(address))!;
  const unassigned = async (code: string) => (await api<{ items: UnassignedView[] }>('GET', '/unassigned')).items.find((each) => each.code === code);
  const sessionsOf = async (name: string, application: string) => (await api<{ items: DeviceSessionView[] }>('GET', `/device-sessions?application=${application}&deviceId=${devices.get(name)!.id}`)).items;
  const journal = async (event: string) => (await gateway.api('GET', `/journal?event=${event}&limit=100`, { token })).text;
  const claimsOf = (index: number) => JSON.parse(Buffer.from(app.seen.at(index)!.headers['x-postern-identity']!.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;
  const noCookie = (each: Panel) => assert.deepEqual([each.cookiesGiven, each.cookiesSent], [[], []]);

  before(async () => {
    app = await startAddressApp();
    const target = { kind: 'tcp', host: '127.0.0.1', port: app.port };
    gateway = await startGateway({
      routes: [
        { name: 'plain', host: hosts[0], listeners: ['http'], target, application: { tell: 'headers' } },
        { name: 'jar', host: hosts[1], listeners: ['http'], target, application: { tell: 'headers', session: { jar: true } } },
        { name: 'prefix', host: hosts[2], listeners: ['http'], target, application: { tell: 'headers', session: { jar: true, urlPrefix: true } } },
      ],
    });
    ({ token } = await gateway.owner());
    agentId = (await gateway.addDevice({ name: 'LAN', ports: [{ number: 80, kind: 'http' }] })).device.agentId!;
    await api('PATCH', '/sites/main', { subnets: [`${lan}.0/24`], egress: [`${egress}/32`] });
    for (const [i, name] of ['one', 'two', 'three', 'four', 'five'].entries()) await addDevice(name, `${lan}.${i + 1}`, ['plain', 'jar', 'prefix']);
  });
  after(async () => {
    await finishesCleanly(gateway);
    await gateway.close();
    await app[Symbol.asyncDispose]();
  });

  test('these panels keep no cookie and run no script; a browser of people does both', async () => {
    const server = createServer((request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/html', 'Set-Cookie': 'mine=1; Path=/' });
      response.end(`<title>before</title><p>${request.headers.cookie ?? 'none'}</p><script>document.title = 'after ' + document.cookie; document.cookie = 'scripted=1';</script>`);
    });
    await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
    try {
      const port = (server.address() as AddressInfo).port;
      for (const isPerson of [false, true]) {
        await using each = await openPanel({ from: '127.9.20.200', port, hosts, keepsCookies: isPerson, runsScripts: isPerson });
        await open(each.page, 'http://jar.example.test/');
        await open(each.page, 'http://jar.example.test/');
        assert.equal(await each.page.locator('p').innerText(), isPerson ? 'mine=1; scripted=1' : 'none');
        assert.equal(await each.page.title(), isPerson ? 'after mine=1; scripted=1' : 'before');
        assert.equal((await each.context.cookies()).length, isPerson ? 2 : 0);
      }
    } finally {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    }
  });

  test('without a jar the application takes nobody in; with it the panel signs in, and stays so at every link and form', async () => {
    await using each = await panel({ from: `${lan}.1` });
    const { page } = each;
    await open(page, 'http://plain.example.test/sign-in');
    await page.fill('input[name=user]', 'anna');
    await Promise.all([page.waitForURL(/\/panel$/), page.click('input[type=submit]')]);
    assert.match(await page.locator('body').innerText(), /no cookie/, 'it cannot do without one');
    assert.ok(each.cookiesGiven.length > 0, 'and it was offered one');
    await using other = await panel({ from: `${lan}.1` });
    await open(other.page, 'http://jar.example.test/sign-in');
    await signIn(other.page, 'anna');
    await useMenu(other.page, 'anna');
    assert.match(app.seen.at(-1)!.headers['cookie']!, /user=anna/);
    assert.equal(claimsOf(-1)['serial'], 'SN-one');
    noCookie(other);
  });

  test('sessions in addresses: every link stays inside, forms are posted, style sheet and picture are there', async () => {
    await using each = await panel({ from: `${lan}.2` });
    const { page } = each;
    await open(page, 'http://prefix.example.test/sign-in');
    const [, prefix] = /^http:\/\/prefix\.example\.test(\/s\/[\w-]{22})\/sign-in$/.exec(page.url()) ?? [];
    assert.ok(prefix, page.url());
    await signIn(page, 'berta');
    assert.equal(new URL(page.url()).pathname, `${prefix}/panel`, 'redirected after it signed in, to an address with a host in it');
    await useMenu(page, 'berta', () => assert.ok(new URL(page.url()).pathname.startsWith(`${prefix}/`), page.url()));
    const links = await page.evaluate<string[]>("[...document.querySelectorAll('a, form, link, img')].map((element) => element.href || element.action || element.src)");
    assert.equal(links.length, 10);
    for (const link of links) assert.ok(link.startsWith(`http://prefix.example.test${prefix}/`), link);
    assert.match(await page.evaluate<string>('getComputedStyle(document.body).backgroundImage'), new RegExp(`^url\\("http://prefix\\.example\\.test${prefix}/paper\\.png"\\)$`));
    const outside = each.asked.filter((url) => !new URL(url).pathname.startsWith(`${prefix}/`));
    assert.deepEqual(outside, ['http://prefix.example.test/sign-in'], 'its first, and no other');
    assert.ok(app.seen.every(({ path, headers }) => !path.startsWith('/s/') && !/\/s\//.test(headers['referer'] ?? '')), 'the application knows nothing of it');
    for (const path of ['/style.css', '/paper.png']) assert.ok(app.seen.some((saw) => saw.path === path && saw.headers['x-forwarded-for'] === `${lan}.2`), path);
    noCookie(each);
    const [session] = await sessionsOf('two', 'prefix');
    await api('DELETE', `/device-sessions/${session!.id}`);
    assert.equal((await page.goto(`http://prefix.example.test${prefix}/panel`))!.status(), 403);
    assert.equal(await page.locator('h1').innerText(), 'Your session was ended');
    await fits(page, 'ended', ['h1', 'p', '.again a']);
    await Promise.all([page.waitForURL(({ pathname }) => /^\/s\/[\w-]{22}\/panel$/.test(pathname) && !pathname.startsWith(prefix)), page.click('.again a')]);
    assert.match(await page.locator('body').innerText(), /no cookie/);
  });

  test("a device's own URL: from its LAN, and from the address that its whole site has", async () => {
    const path = await urlOf('three', 'prefix');
    const secret = path.split('/')[2]!;
    for (const from of [`${lan}.3`, egress]) {
      await using each = await panel({ from });
      const { page } = each;
      await open(page, `http://prefix.example.test${path}sign-in`);
      assert.match(page.url(), /\/s\/[\w-]{22}\/sign-in$/);
      await signIn(page, `carla of ${from}`);
      await useMenu(page, `carla of ${from}`);
      const claims = claimsOf(-1);
      assert.deepEqual([claims['serial'], claims['state']], ['SN-three', 'verified']);
      assert.ok(app.seen.every(({ path: asked, headers }) => !asked.includes(secret) && !(headers['referer'] ?? '').includes(secret)));
      noCookie(each);
    }
    await using stranger = await panel({ from: egress });
    assert.equal((await open(stranger.page, 'http://prefix.example.test/panel')).status(), 403, 'the address alone says nothing');
    await codeOn(stranger.page);
    assert.equal(await stranger.page.locator('#user').count(), 0);
    await fits(stranger.page, 'behind-nat', ['h1', 'p', '.code', '.again a']);
    await open(stranger.page, 'http://prefix.example.test/.postern/test');
    await fits(stranger.page, 'test', ['h1', 'p']);
    assert.ok(!(await journal('')).includes(secret));
  });

  test('unknown: a plain page with a code, by which an administrator says which device it is; then it goes on', async () => {
    await using each = await panel({ from: `${lan}.77` });
    const { page } = each;
    const answer = await open(page, 'http://jar.example.test/sign-in');
    assert.equal(answer.status(), 403);
    const text = (await answer.body()).toString();
    assert.ok(Buffer.byteLength(text) < 8_192);
    assert.doesNotMatch(text, /<script|javascript:|\son\w+=|<link|<img|url\(|@import/i);
    const code = await codeOn(page);
    await fits(page, 'unknown', ['h1', 'p', '.code', '.again a']);
    await page.reload();
    assert.equal(await codeOn(page), code, 'it does not change while somebody reads it out');
    const entry = await unassigned(code);
    assert.deepEqual([entry?.application, entry?.address, entry?.state, entry?.userAgent], ['jar', `${lan}.77`, 'unknown', agents.one]);
    const done = await api<{ device: { id: string; host: string }; moved: boolean }>('POST', `/unassigned/${code}/assign`, { newDevice: { name: 'fresh', serial: 'SN-fresh', agentId } });
    assert.equal(done.device.host, `${lan}.77`);
    await Promise.all([page.waitForEvent('framenavigated'), page.click('.again a')]);
    await page.locator('input[name=user]').waitFor();
    await signIn(page, 'dora');
    await useMenu(page, 'dora');
    assert.equal(claimsOf(-1)['serial'], 'SN-fresh');
    assert.equal(await unassigned(code), undefined);
    assert.match(await journal('source.unassigned'), new RegExp(code));
    noCookie(each);
  });

  test('known, but not assigned to this application: it may after it was', async () => {
    await addDevice('late', `${lan}.9`, []);
    await using each = await panel({ from: `${lan}.9`, ...screens[1] });
    assert.equal((await open(each.page, 'http://jar.example.test/sign-in')).status(), 403);
    const code = await codeOn(each.page);
    await fits(each.page, 'not-assigned', ['h1', 'p', '.code', '.again a']);
    await api('POST', `/unassigned/${code}/assign`, { device: 'late' });
    assert.equal((await each.page.reload())!.status(), 200);
    await signIn(each.page, 'emil');
  });

  test('two panels behind one address: neither joins the other, until each has a URL of its own', async () => {
    const from = `${lan}.4`;
    await using first = await panel({ from });
    await using second = await panel({ from, userAgent: agents.other });
    await open(first.page, 'http://jar.example.test/sign-in');
    await signIn(first.page, 'fred');
    const [session] = await sessionsOf('four', 'jar');
    assert.ok(session);
    assert.equal((await open(second.page, 'http://jar.example.test/panel')).status(), 403, 'the second is not let into the session of the first');
    assert.equal(await second.page.locator('h1').innerText(), 'Which device is this?');
    assert.doesNotMatch(await second.page.locator('body').innerText(), /fred/);
    const codes = [await codeOn(second.page)];
    await fits(second.page, 'ambiguous', ['h1', 'p', '.code', '.again a']);
    // What was decided for its connection stands for two seconds.
    await until('the first to be asked who it is, too', async () => (await first.page.reload())!.status() === 403);
    codes.unshift(await codeOn(first.page));
    assert.notEqual(codes[0], codes[1]);
    assert.match(await journal('identity.ambiguous'), new RegExp(`"${from.replaceAll('.', '\\.')}"`));
    const entries = await Promise.all(codes.map(unassigned));
    assert.deepEqual(entries.map((entry) => [entry?.state, entry?.address, entry?.userAgent, entry?.application]), [agents.one, agents.other].map((agent) => ['ambiguous', from, agent, 'jar']));
    assert.deepEqual(entries.map((entry) => entry!.candidates.map(({ name }) => name)), [['four'], ['four']], 'who it may be');

    const cookies = new Set<string>();
    const separated = [[first, 'four', 'fred'], [second, 'five', 'gina']] as const;
    for (const [each, device, user] of separated) {
      await open(each.page, `http://prefix.example.test${await urlOf(device, 'prefix')}sign-in`);
      await signIn(each.page, user);
    }
    for (const [each, device, user] of [...separated, ...separated]) {
      await useMenu(each.page, user);
      assert.deepEqual([claimsOf(-1)['serial'], claimsOf(-1)['state']], [`SN-${device}`, 'verified']);
      cookies.add(app.seen.at(-1)!.headers['cookie']!);
      noCookie(each);
    }
    assert.equal(cookies.size, 2, 'each has a jar of its own');
    const [mine] = await sessionsOf('four', 'prefix');
    await api('DELETE', `/device-sessions/${mine!.id}`);
    assert.equal((await first.page.reload())!.status(), 403);
    await useMenu(second.page, 'gina');
  });

  for (const [where, from] of [['the address of their site', egress], ['an address of their LAN', `${lan}.1`]] as const) {
    test(`two panels of the same make behind ${where}, told apart by their URLs alone`, async () => {
      const both = ['one', 'two'] as const;
      await using stack = new AsyncDisposableStack();
      const panels: Panel[] = [];
      for (const name of both) {
        const each = stack.use(await panel({ from }));
        panels.push(each);
        const path = await urlOf(name, 'prefix');
        await open(each.page, `http://prefix.example.test${path}sign-in`);
        await signIn(each.page, `user ${name} of ${from}`);
      }
      assert.notEqual(new URL(panels[0]!.page.url()).pathname, new URL(panels[1]!.page.url()).pathname);
      for (const [i, name] of both.entries()) {
        await useMenu(panels[i]!.page, `user ${name} of ${from}`);
        assert.equal(claimsOf(-1)['serial'], `SN-${name}`);
      }
      const third = stack.use(await panel({ from }));
      assert.equal((await open(third.page, 'http://prefix.example.test/panel')).status(), 403, 'without one, it is nobody');
      await codeOn(third.page);
      assert.doesNotMatch(await third.page.locator('body').innerText(), /user one|user two|SN-/);
    });
  }
});
