// The built console in a real Chromium against the made-up gateway: what only a browser can show. Skipped, visibly, where
// there is no Chromium or the console is not built.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import { startFakeGateway, type FakeGateway, type FakeOptions } from './fake-gateway.ts';

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const missing = !existsSync(CHROMIUM) ? `no ${CHROMIUM}` : !existsSync(join(import.meta.dirname, '..', 'dist', 'index.html')) ? 'console/dist is not built' : false;
const skip = process.env['CI'] === 'true' ? false : missing;
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP *.example.test 127.0.0.1'];

let profile = '';
let browser: BrowserContext;
const complaints: string[] = [];

before(async () => {
  if (skip) return;
  profile = await mkdtemp(join(tmpdir(), 'postern-console-'));
  browser = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, headless: true, args: ARGS });
  browser.setDefaultTimeout(10_000);
});
after(async () => {
  if (skip) return;
  await browser.close();
  await rm(profile, { recursive: true, force: true });
});

async function withPage(options: Partial<FakeOptions>, run: (page: Page, gateway: FakeGateway) => Promise<void>): Promise<void> {
  await using gateway = await startFakeGateway({ port: 0, ...options });
  const page = await browser.newPage();
  // What the content security policy refuses is said on the browser's console, and nowhere else.
  page.on('console', (message) => message.type() === 'error' && !message.text().startsWith('Failed to load resource') && complaints.push(message.text()));
  page.on('pageerror', (thrown) => complaints.push(thrown.message));
  try {
    await run(page, gateway);
  } finally {
    await page.close();
  }
  assert.deepEqual(complaints.splice(0), []);
}

test('signing in leads back to where one came from: a device, with its path', { skip }, () =>
  withPage({ signedOut: true }, async (page, { address, asked }) => {
    await page.goto(`${address}/open?host=demo.localhost%3A8080&to=${encodeURIComponent('/a?b=1&c=%2F#x')}&asked=${'1e'.padEnd(64, '0')}`);
    await page.getByText('to open demo.localhost:8080').waitFor();
    assert.ok(!new URL(page.url()).search, 'the way back is behind #');
    await page.getByLabel('Sign-in name').fill('ada');
    await page.getByLabel('Password').fill('correct horse');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/devices?handed=*');
    assert.deepEqual(asked.filter((each) => each.path === '/hand-over').map((each) => each.body), [{ host: 'demo.localhost', port: 8080, path: '/a?b=1&c=%2F#x', asked: '1e'.padEnd(64, '0') }]);
  }));

test("the command line's code survives the sign-in and is gone from the address afterwards", { skip }, () =>
  withPage({ signedOut: true }, async (page, { address, asked }) => {
    await page.goto(`${address}/cli#WXYZ-1234`);
    await page.getByLabel('Sign-in name').fill('ada');
    await page.getByLabel('Password').fill('correct horse');
    await page.keyboard.press('Enter');
    await page.getByText('WXYZ-1234').waitFor();
    await page.getByRole('button', { name: 'Allow' }).click();
    await page.getByText('The command line is signed in').waitFor();
    assert.equal(new URL(page.url()).hash, '');
    assert.ok(asked.some((each) => each.method === 'POST' && each.path === '/cli-logins/WXYZ-1234/approve'));
  }));

test('an address with page and code behind # leads to the page', { skip }, () =>
  withPage({ signedOut: true }, async (page, { address }) => {
    await page.goto(`${address}/#/invite/4qk7px2m`);
    await page.getByRole('heading', { name: 'Welcome, Katherine Johnson' }).waitFor();
    assert.equal(new URL(page.url()).pathname + new URL(page.url()).hash, '/invite#4qk7px2m');
    await page.goto(`${address}/#/cli/WXYZ-1234`);
    await page.getByText('to let the command line in').waitFor();
  }));

test('who has no right to a device is told so, and nothing is asked twice', { skip }, () =>
  withPage({}, async (page, { address, asked }) => {
    await page.goto(`${address}/open?host=boiler.localhost:8080&to=/`);
    await page.getByRole('heading', { name: 'You may not open boiler.localhost:8080' }).waitFor();
    await page.getByText('You may see “Boiler controller” but not open it').waitFor();
    assert.equal(asked.filter((each) => each.path === '/hand-over').length, 1);
  }));

test('the list is used by keyboard, and the address keeps filter and order', { skip }, () =>
  withPage({}, async (page, { address }) => {
    await page.goto(`${address}/devices?sort=-name`);
    await page.locator('[data-row]').first().waitFor();
    assert.match((await page.locator('[data-row]').first().textContent()) ?? '', /Weather station/);
    await page.keyboard.press('/');
    await page.keyboard.type('printer');
    await page.waitForURL('**/devices?*q=printer*');
    await page.waitForFunction(() => document.querySelectorAll('[data-row]').length === 2);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/devices/label-printer-with-a-rather-long-name');
    await page.goBack();
    await page.waitForURL('**/devices?*q=printer*');
    assert.equal(await page.getByLabel('Search devices').inputValue(), 'printer');
  }));

test('copying works on plain http, where there is no clipboard interface, and inside a dialog', { skip }, () =>
  withPage({}, async (page, { address }) => {
    const port = new URL(address).port;
    await page.goto(`http://gw.example.test:${port}/devices?add=true`);
    assert.equal(await page.evaluate(() => isSecureContext), false);
    await page.getByRole('dialog').getByLabel('Name', { exact: true }).first().fill('Label maker');
    await page.getByRole('button', { name: 'Make the join command' }).click();
    await page.getByRole('button', { name: 'Copy the join command' }).click();
    await page.getByText('Copied').waitFor();
    await page.goto(`http://gw.example.test:${port}/devices`);
    await page.getByLabel('Search devices').focus();
    await page.keyboard.press('Control+v');
    assert.match(await page.getByLabel('Search devices').inputValue(), /^npx postern join https:\/\/198\.51\.100\.4:8443 /);
  }));

test('the dialog sees the device join, and offers to open it', { skip }, () =>
  withPage({}, async (page, { address }) => {
    await page.goto(`${address}/devices?add=true`);
    await page.getByRole('dialog').getByLabel('Name', { exact: true }).first().fill('Label maker');
    await page.getByRole('button', { name: 'Make the join command' }).click();
    await page.getByText('Label maker has joined').waitFor();
    assert.equal(await page.getByRole('link', { name: 'Open it' }).getAttribute('href'), 'http://label-maker.localhost:8080/');
  }));

test('a device behind an agent that is here already is added without a command', { skip }, () =>
  withPage({}, async (page, { address, asked, state }) => {
    await page.goto(`${address}/devices?add=true`);
    await page.getByRole('dialog').getByLabel('Name', { exact: true }).first().fill('Scanner');
    await page.getByLabel('How it comes in').selectOption({ label: 'Behind the agent of NAS, which is here already' });
    await page.getByRole('button', { name: 'Add the device' }).click();
    await page.getByText('A host name or an IP address').waitFor();
    await page.getByLabel('Address of the device').fill('192.0.2.20');
    await page.getByRole('button', { name: 'Add the device' }).click();
    await page.waitForURL('**/devices/scanner');
    await page.getByRole('heading', { name: 'Scanner' }).waitFor();
    const agentId = state.agents.find((agent) => agent.name === 'NAS')?.id;
    assert.deepEqual(asked.find((each) => each.method === 'POST' && each.path === '/devices')?.body, { agentId, name: 'Scanner', host: '192.0.2.20', ports: [{ number: 80, name: '', kind: 'http' }] });
  }));

test('three tabs share one event stream, and another takes over when its tab closes', { skip }, () =>
  withPage({}, async (page, gateway) => {
    await page.goto(`${gateway.address}/devices`);
    await page.getByText('Live', { exact: true }).waitFor();
    const others = [await browser.newPage(), await browser.newPage()];
    for (const other of others) {
      await other.goto(`${gateway.address}/devices`);
      await other.getByText('Live', { exact: true }).waitFor();
    }
    assert.equal(gateway.streams, 1);
    // Figures move in a tab that reads no stream of its own.
    const figure = () => others[1]!.locator('[data-row]').first().textContent();
    const first = await figure();
    await others[1]!.waitForFunction((before) => document.querySelector('[data-row]')?.textContent !== before, first);
    await page.goto('about:blank');
    await others[0]!.waitForTimeout(500);
    const later = await figure();
    await others[1]!.waitForFunction((before) => document.querySelector('[data-row]')?.textContent !== before, later);
    assert.equal(gateway.streams, 1);
    for (const other of others) await other.close();
  }));

test('a gateway that restarts is noticed, and the page is live again without a hand', { skip }, () =>
  withPage({}, async (page, gateway) => {
    await page.goto(`${gateway.address}/devices`);
    await page.getByText('Live', { exact: true }).waitFor();
    await page.locator('[data-row]').nth(9).waitFor();
    await gateway[Symbol.asyncDispose]();
    await page.getByText('Not live: trying to reconnect').first().waitFor();
    assert.equal(await page.locator('[data-row]').count(), 10, 'what was read stays on the screen');
    await using again = await startFakeGateway({ port: Number(new URL(gateway.address).port), few: true });
    await page.getByText('Live', { exact: true }).waitFor();
    await page.getByText('No devices yet').waitFor();
    assert.equal(again.streams, 1);
    await page.goto('about:blank');
  }));

test('a sign-in that ended leads to the sign-in page and back', { skip }, () =>
  withPage({}, async (page, gateway) => {
    await page.goto(`${gateway.address}/people`);
    await page.getByText('Grace Hopper').waitFor();
    // The event stream says so: the page goes there by itself, and who clicked a moment before would be brought back to where that led.
    gateway.endSignIn();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.getByLabel('Sign-in name').fill('ada');
    await page.getByLabel('Password').fill('correct horse');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/people');
    await page.getByText('Grace Hopper').waitFor();
  }));

test('a failure shows cause, remedy and request id, and can be tried again', { skip }, () =>
  withPage({ fail: true }, async (page, { address }) => {
    await page.goto(`${address}/people`);
    for (const part of ['The list could not be read', 'disk full: /data', 'postern doctor', 'Request id']) await page.getByRole('alert').first().getByText(part).waitFor();
    await page.getByRole('button', { name: 'Try again' }).first().waitFor();
    await page.getByRole('link', { name: 'Audit' }).first().click();
    await page.getByRole('heading', { name: 'Audit' }).waitFor();
    await page.getByText('Everything', { exact: true }).first().waitFor({ state: 'attached' });
  }));

test('a locked device is not offered to be opened: the reason stands in its place', { skip }, () =>
  withPage({}, async (page, { address }) => {
    await page.goto(`${address}/devices/label-printer-with-a-rather-long-name`);
    await page.getByText('Locked: nobody gets in').waitFor();
    const links = page.getByRole('main').getByRole('link', { name: /^Open/ });
    assert.ok((await links.count()) >= 2, 'for the device and for its port');
    for (const link of await links.all()) {
      assert.deepEqual(await Promise.all(['href', 'aria-disabled', 'title'].map((name) => link.getAttribute(name))), [null, 'true', 'Locked: nobody gets in']);
      assert.doesNotMatch((await link.getAttribute('class')) ?? '', /bg-accent/);
    }
  }));

test('on a narrow phone the whole of what can be searched for is to be read', { skip }, () =>
  withPage({}, async (page, { address }) => {
    await page.setViewportSize({ width: 320, height: 640 });
    await page.goto(`${address}/devices`);
    const box = page.getByLabel('Search devices');
    await box.fill((await box.getAttribute('placeholder'))!);
    const [needed, there] = await box.evaluate((input) => [input.scrollWidth, input.clientWidth]);
    assert.ok(needed! <= there!, `${needed} px in ${there} px`);
  }));
