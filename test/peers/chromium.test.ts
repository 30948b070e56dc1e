// A person's way through it all in a real browser: setup, a first device, its page, people and their rights, audit. SCREENSHOTS=folder
// keeps a picture of every station.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { Page } from 'playwright-core';
import { joinAgent, runAgent } from '#app/agent.ts';
import { realClock, realRandom } from '#app/real.ts';
import { silentLog } from '#base/log.ts';
import { startSampleDevice, type SampleDevice } from '../../examples/sample-device/device.ts';
import { consoleDir, openBrowser, skip, type OpenBrowser, type Person } from '../kit/browser.ts';
import { request, startGateway, temporaryFolder, until, type TestGateway } from '../kit/gateway.ts';

const password = 'correct horse battery staple';
let pictures = 0;
async function shot(tab: Page, name: string): Promise<void> {
  const folder = process.env['SCREENSHOTS'];
  if (folder !== undefined) await tab.screenshot({ path: join(folder, `${String(++pictures).padStart(2, '0')}-${name}.png`) });
}

/** As the agent's own command would: joins with what the console shows, then keeps the link. */
async function runJoined(gateway: TestGateway, command: string, dir: string, port: number, signal: AbortSignal): Promise<void> {
  const [address = '', token = ''] = command.trim().split(/\s+/).slice(-2);
  assert.match(address, /^https:\/\//, command);
  // The test's listeners are on 127.0.0.1 alone.
  const own = `https://127.0.0.1:${gateway.ports.https}`;
  await joinAgent({ stateDir: join(dir, 'agent'), token, address: own, name: 'sample', again: false, clock: realClock, signal });
  const policyFile = join(dir, 'policy');
  writeFileSync(policyFile, `reach tcp 127.0.0.1 ${port}\n`);
  await runAgent({ stateDir: join(dir, 'agent'), clock: realClock, random: realRandom, log: silentLog, signal, addresses: [own], policyFile });
}

async function fillCredentials(tab: Page, given: { name?: string; login: string; password: string }): Promise<void> {
  if (given.name !== undefined) await tab.getByLabel('Your name').fill(given.name);
  await tab.getByLabel('Sign-in name').fill(given.login);
  await tab.getByLabel('Password', { exact: true }).fill(given.password);
  await tab.getByLabel('Password again').fill(given.password);
}

async function openFromConsole(tab: Page, link: string): Promise<Page> {
  const [opened] = await Promise.all([tab.waitForEvent('popup'), tab.getByRole('link', { name: link }).first().click()]);
  return opened;
}

/** The question before something that cuts people off. */
const asked = (tab: Page) => tab.getByRole('alertdialog').or(tab.getByRole('dialog'));

/** Nothing is wider than the window. */
async function overflow(tab: Page): Promise<number> {
  return await tab.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
}

suite('a person in Chromium', { skip }, () => {
  const folder = temporaryFolder();
  const ending = new AbortController();
  let agentEnded: Promise<unknown> = Promise.resolve();
  let gateway: TestGateway;
  let sample: SampleDevice;
  let browser: OpenBrowser;
  let owner: Person;
  let home: Page;
  let device: Page;
  let ana: Person;
  const address = () => `http://localhost:${gateway.ports.http}`;
  /** A tab that another one covers draws a frame in two seconds, and clicks wait for frames. */
  const inFront = (tab: Page) => tab.bringToFront();
  const deviceAt = (label: string) => `http://${label}.localhost:${gateway.ports.http}`;

  before(async () => {
    sample = await startSampleDevice();
    gateway = await startGateway({ consoleDir });
    browser = await openBrowser({ caFingerprint: gateway.caFingerprint });
    owner = await browser.person();
    home = await owner.tab();
  });
  after(async () => {
    await browser?.[Symbol.asyncDispose]();
    ending.abort();
    await agentEnded.catch(() => {});
    await gateway?.[Symbol.asyncDispose]();
    await sample?.close();
    folder[Symbol.dispose]();
  });

  test('the setup address makes the owner, and works once', async () => {
    const setup = gateway.setupAddress();
    assert.ok(setup);
    await home.goto(setup);
    await shot(home, 'setup');
    await fillCredentials(home, { name: 'Ada Lovelace', login: 'ada', password });
    await home.getByRole('button', { name: 'Become the owner' }).click();
    await home.getByText('No devices yet').waitFor();
    await shot(home, 'no-devices');
    const again = await owner.tab();
    await again.goto(setup);
    await again.getByText('This gateway has its owner already').waitFor();
    await again.close();
  });

  test('a device is added with the copied command, and the console notices it by itself', async () => {
    await home.getByRole('button', { name: 'Add a device' }).first().click();
    const dialog = home.getByRole('dialog');
    await dialog.getByLabel('Name', { exact: true }).first().fill('Sample printer');
    await dialog.getByLabel('Port', { exact: true }).first().fill(String(sample.port));
    await dialog.getByLabel('Kind').first().selectOption('http');
    await shot(home, 'add');
    await dialog.getByRole('button', { name: 'Make the join command' }).click();
    await dialog.getByText('Waiting for the device').waitFor();
    await shot(home, 'join-command');
    await owner.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: address() });
    await dialog.getByRole('button', { name: 'Copy the join command' }).click();
    await dialog.getByText('Copied').waitFor();
    const command = await home.evaluate<string>('navigator.clipboard.readText()');
    assert.match(command, /postern join https:\/\/\S+ \S+$/);
    agentEnded = runJoined(gateway, command, folder.path, sample.port, ending.signal);
    await dialog.getByText('Sample printer has joined').waitFor();
    await dialog.getByRole('link', { name: 'Open it' }).waitFor();
    await shot(home, 'joined');
    assert.equal(gateway.tables.devices.size, 1);
  });

  test('its page works through the tunnel: live readings, a form, a download, a WebSocket', async () => {
    device = await openFromConsole(home, 'Open it');
    await device.waitForURL(`${deviceAt('sample-printer')}/`);
    await device.getByText('live', { exact: true }).waitFor();
    const figures = () => device.locator('.figures').textContent();
    const first = await figures();
    await until('another reading', async () => (await figures()) !== first);

    await device.getByLabel('Message').fill('through the tunnel');
    await device.getByRole('button', { name: 'Send' }).click();
    await device.getByText(/^through the tunnel {2}\(/).waitFor();

    const [download] = await Promise.all([device.waitForEvent('download'), device.getByRole('link', { name: 'Download journal.csv' }).click()]);
    const bytes = readFileSync(await download.path());
    await device.getByText(createHash('sha256').update(bytes).digest('hex')).waitFor();

    await device.getByLabel('Name').fill('Printer in the hall');
    await device.getByLabel('Tray 1').selectOption('Letter');
    await device.getByRole('button', { name: 'Save' }).click();
    await device.waitForURL(`${deviceAt('sample-printer')}/?saved`);
    await device.getByRole('heading', { name: 'Printer in the hall' }).waitFor();
    await device.getByText('Saved.').waitFor();
    assert.doesNotMatch((await device.textContent('table')) ?? '', /__Host|postern/i, 'nothing of ours reaches the device');
    await shot(device, 'device-page');
    await inFront(home);
    await home.getByRole('link', { name: 'To its page' }).click();
    await home.getByRole('heading', { name: 'Sample printer' }).waitFor();
    await home.getByRole('button', { name: 'Close the visit of ada' }).first().waitFor();
    await shot(home, 'device-in-console');
  });

  test('a locked device is cut off at once, and opens again when it is unlocked', async () => {
    await inFront(home);
    await device.getByText('live', { exact: true }).waitFor();
    await home.getByRole('button', { name: 'Lock', exact: true }).click();
    await asked(home).getByRole('button', { name: 'Lock', exact: true }).click();
    await device.getByText('connection lost').waitFor();
    const answer = await device.reload();
    assert.equal(answer?.status(), 403);
    await device.getByRole('heading', { name: 'Locked' }).waitFor();
    await shot(device, 'locked-page');
    await home.getByText('Locked: nobody gets in').waitFor();
    await shot(home, 'locked-in-console');
    await home.getByRole('button', { name: 'Unlock', exact: true }).click();
    await home.getByText('Locked: nobody gets in').waitFor({ state: 'detached' });
    await device.reload();
    await device.getByText('live', { exact: true }).waitFor();
  });

  test('a new label moves the address, and the old one leads there', async () => {
    await inFront(home);
    await home.getByRole('button', { name: 'Edit', exact: true }).click();
    const dialog = home.getByRole('dialog');
    await dialog.getByRole('heading', { name: 'Edit the device' }).waitFor();
    await dialog.getByLabel('Label').fill('hall');
    await shot(home, 'edit');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await until('the new label', () => gateway.tables.deviceByLabel('hall'));
    await device.goto(`${deviceAt('sample-printer')}/status.json`);
    await device.waitForURL(`${deviceAt('hall')}/status.json`);
    assert.match((await device.textContent('body')) ?? '', /Printer in the hall/);
    await device.goto(`${deviceAt('hall')}/`);
    await device.getByText('live', { exact: true }).waitFor();
  });

  test('somebody invited sees and opens what they have a right to, and nothing else', async () => {
    // Beside the device that Ana may open: one that she may see, and one that she is told nothing of.
    const { agentId } = [...gateway.tables.devices.values()][0]!;
    for (const name of ['Boiler', 'Vault']) {
      const order = { agentId, name, ports: [{ number: sample.port, kind: 'http' }] };
      const status = await home.evaluate<number>(`fetch('/api/v1/devices', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: ${JSON.stringify(JSON.stringify(order))} }).then((answer) => answer.status)`);
      assert.equal(status, 200);
    }
    await inFront(home);
    await home.goto(`${address()}/people`);
    await home.getByText('You are alone here').waitFor();
    await shot(home, 'alone');
    await home.getByRole('button', { name: 'Invite someone' }).first().click();
    const dialog = home.getByRole('dialog');
    await dialog.getByLabel('Their name').fill('Ana');
    await dialog.getByRole('button', { name: 'Add a right' }).click();
    for (const [i, [action, label]] of ([['open', 'hall'], ['see', 'boiler']] as const).entries()) {
      await dialog.getByLabel('May', { exact: true }).nth(i).selectOption(action);
      await dialog.getByLabel('On', { exact: true }).nth(i).selectOption('device');
      const which = dialog.getByLabel('Which').nth(i);
      await which.fill(label);
      await until('the device to be offered', () => dialog.locator(`datalist option[value=${label}]`).count());
      await which.fill('');
      await which.fill(label);
    }
    await shot(home, 'invite');
    await dialog.getByRole('button', { name: 'Make the invite' }).click();
    await dialog.getByRole('button', { name: 'Copy the invite address' }).click();
    const invite = await home.evaluate<string>('navigator.clipboard.readText()');
    await shot(home, 'invited');
    await home.keyboard.press('Escape');
    ana = await browser.person();
    const tab = await ana.tab();
    await tab.goto(invite);
    await tab.getByText('Welcome, Ana').waitFor();
    await shot(tab, 'accept');
    await fillCredentials(tab, { login: 'ana', password: 'a sentence of ana' });
    await tab.getByRole('button', { name: 'Accept the invite' }).click();
    await tab.waitForURL('**/devices');
    await tab.getByText('Sample printer').first().waitFor();
    await tab.getByText('Boiler').first().waitFor();
    assert.equal(await tab.getByText('Vault').count(), 0);
    await shot(tab, 'devices-of-ana');
    await tab.goto(`${address()}/devices/vault`);
    await tab.getByText('you may not see it').waitFor();
    await shot(tab, 'no-such-device-for-ana');

    const theirs = await ana.tab();
    await theirs.goto(`${deviceAt('hall')}/`);
    await theirs.getByText('live', { exact: true }).waitFor();
    await theirs.goto(`${deviceAt('vault')}/`);
    await theirs.getByText('you may not see it').waitFor();
    await theirs.goto(`${deviceAt('boiler')}/`);
    await theirs.getByText('You may not open boiler').waitFor();
    await shot(theirs, 'no-right');
    await theirs.goto(`${deviceAt('hall')}/`);
    await theirs.getByText('live', { exact: true }).waitFor();

    // The right goes, and with it what stands open.
    await home.goto(`${address()}/people`);
    await home.getByRole('button', { name: 'Actions for Ana' }).click();
    await shot(home, 'people');
    await home.getByRole('menuitem', { name: 'Sign-ins and tokens' }).click();
    await home.getByRole('dialog').getByRole('button', { name: /^End the sign-in/ }).first().click();
    await theirs.getByText('connection lost').waitFor();
    await theirs.reload();
    await theirs.getByRole('heading', { name: 'Sign in' }).waitFor();
    await home.keyboard.press('Escape');
    await ana.context.close();
  });

  test('a token lets a program in until it is revoked', async () => {
    await inFront(home);
    await home.goto(`${address()}/account`);
    await home.getByRole('button', { name: 'New token' }).click();
    const dialog = home.getByRole('dialog');
    await dialog.getByLabel('What is it for?').fill('Nightly backup');
    await shot(home, 'new-token');
    await dialog.getByRole('button', { name: 'Create' }).click();
    await dialog.getByRole('button', { name: 'Copy the token' }).click();
    const token = await home.evaluate<string>('navigator.clipboard.readText()');
    await shot(home, 'token');
    await home.keyboard.press('Escape');
    const status = async () => (await request(gateway.ports.http, { path: '/status.json', headers: { host: `hall.localhost:${gateway.ports.http}`, 'postern-token': token } })).status;
    assert.equal(await status(), 200);
    await home.getByRole('button', { name: 'Revoke the token Nightly backup' }).click();
    await asked(home).getByRole('button', { name: 'Revoke', exact: true }).click();
    await until('the token to be gone', () => ![...gateway.tables.tokens.values()].some((each) => each.name === 'Nightly backup'));
    assert.equal(await status(), 401);
    await shot(home, 'account');
  });

  test('signing out counts at the device too; wrong passwords are told and slowed down; the keyboard is enough', async () => {
    await device.goto(`${deviceAt('hall')}/`);
    await device.getByText('live', { exact: true }).waitFor();
    await inFront(home);
    await home.goto(`${address()}/devices`);
    await home.getByRole('button', { name: 'Sign out' }).click();
    await home.getByRole('heading', { name: 'Sign in' }).waitFor();
    await device.getByText('connection lost').waitFor();
    await device.goto(`${deviceAt('hall')}/status.json?a=1`);
    await device.getByText(`to open hall.localhost:${gateway.ports.http}`).waitFor();
    await shot(device, 'sign-in');

    const stranger = await browser.person();
    const tab = await stranger.tab();
    await tab.goto(`${address()}/sign-in`);
    // Each wrong guess makes the wait longer, so however slow the browser is here, a guess comes too early in the end.
    const refused = tab.getByText(/login or password is wrong|wait \d+ s/i);
    const slowedDown = tab.getByText(/wait \d+ s/i);
    for (let i = 0; i < 12; i++) {
      await tab.getByLabel('Sign-in name').fill('somebody');
      await tab.getByLabel('Password').fill('guess');
      await tab.keyboard.press('Enter');
      await refused.first().waitFor();
      if (await slowedDown.first().isVisible()) break;
      if (i < 4) await tab.getByText('login or password is wrong').waitFor();
      await tab.reload();
    }
    await slowedDown.first().waitFor();
    await shot(tab, 'slowed-down');
    await stranger.context.close();

    await inFront(device);
    // No pointer: the first field has the focus.
    await device.keyboard.type('ada');
    await device.keyboard.press('Tab');
    await device.keyboard.type(password);
    await device.keyboard.press('Enter');
    await device.waitForURL(`${deviceAt('hall')}/status.json?a=1`);
    assert.match((await device.textContent('body')) ?? '', /Printer in the hall/);
    await home.goto(`${address()}/devices`);
    await home.getByRole('heading', { name: 'Devices' }).waitFor();
  });

  test('the palette finds things, the audit shows all of it and stands', async () => {
    await inFront(home);
    await home.keyboard.press('Control+k');
    const words = home.getByPlaceholder('Type a device, a page or a command');
    await words.fill('audit');
    await home.getByRole('option', { name: 'Audit', selected: true }).waitFor();
    await shot(home, 'palette');
    await words.press('Enter');
    await home.waitForURL('**/audit*');
    await home.getByRole('button', { name: 'Verify the chain' }).click();
    await home.getByText('The chain is intact').waitFor();
    await shot(home, 'audit');
    const shown = await home.evaluate<string[]>(`fetch('/api/v1/audit?limit=200').then((answer) => answer.json()).then(({ items }) => items.map((line) => line.what))`);
    for (const what of ['join-token.created', 'device.locked', 'device.unlocked', 'device.changed', 'person.invited', 'person.joined', 'sign-in.opened', 'sign-in.ended', 'token.created', 'token.revoked', 'visit.opened', 'visit.closed']) {
      assert.ok(shown.includes(what), `${what} in ${[...new Set(shown)].join(', ')}`);
    }
  });

  test('dark, and on a telephone, nothing is wider than the window', async () => {
    const every = ['/devices', '/devices/hall', '/people', '/audit', '/account', '/status', '/devices?add=true'];
    for (const [scheme, width, paths] of [['dark', 390, every], ['dark', 1280, ['/devices/hall']], ['light', 390, ['/devices']]] as const) {
      await home.setViewportSize({ width, height: 844 });
      await home.emulateMedia({ colorScheme: scheme });
      for (const path of paths) {
        await home.goto(address() + path);
        await home.getByRole('heading').first().waitFor();
        assert.equal(await overflow(home), 0, `${path} at ${width} px, ${scheme}`);
        await shot(home, `${scheme}-${width}${path.replaceAll(/\W/g, '-')}`);
      }
    }
  });

  test('the browser had nothing to complain of', () => {
    // A device page that was cut off tries its socket again and again.
    const unexpected = (person: Person) => person.complaints.filter((line) => !/WebSocket connection to .* failed/.test(line));
    assert.deepEqual([unexpected(owner), unexpected(ana)], [[], []]);
  });
});

test('the same under a name of its own, over https', { skip }, async () => {
  const sample = await startSampleDevice();
  try {
    await using gateway = await startGateway({ domain: 'gw.example.test', consoleDir });
    await gateway.addDevice({ name: 'Sample printer', ports: [{ number: sample.port, kind: 'http' }] });
    await gateway.owner();
    await using browser = await openBrowser({ caFingerprint: gateway.caFingerprint });
    const person = await browser.person();
    const tab = await person.tab();
    const at = `https://sample-printer.gw.example.test:${gateway.ports.https}`;
    await tab.goto(`${at}/`);
    await tab.waitForURL(`https://gw.example.test:${gateway.ports.https}/sign-in*`);
    await tab.getByLabel('Sign-in name').fill('owner');
    await tab.getByLabel('Password').fill(password);
    await tab.keyboard.press('Enter');
    await tab.waitForURL(`${at}/`);
    await tab.getByText('live', { exact: true }).waitFor();
    await tab.getByRole('button', { name: 'Send' }).click();
    await tab.getByText(/^hello {2}\(/).waitFor();
    await tab.getByLabel('Name').fill('Over TLS');
    await tab.getByRole('button', { name: 'Save' }).click();
    await tab.waitForURL(`${at}/?saved`);
    await tab.getByRole('heading', { name: 'Over TLS' }).waitFor();
    await tab.goto(`https://gw.example.test:${gateway.ports.https}/devices`);
    await tab.getByRole('link', { name: /Open Sample printer/ }).waitFor();
    assert.deepEqual(person.complaints, []);
  } finally {
    await sample.close();
  }
});
