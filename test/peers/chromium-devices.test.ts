// Who and what devices are, in a real browser: a real agent asks snmpd, which plays printers; panels ask an application that knows devices by their address,
// show a code, are assigned and go on. SCREENSHOTS=folder keeps a picture of every station.
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, suite, test } from 'node:test';
import type { Page } from 'playwright-core';
import { startAddressApp, type AddressApp } from '#kit/address-app.ts';
import { consoleDir, openBrowser, skip, type OpenBrowser, type Person } from '../kit/browser.ts';
import { startGateway, until, type TestGateway } from '../kit/gateway.ts';
import { findPeers } from '../kit/peers.ts';
import { printerConf } from '../kit/printer-answers.ts';
import { freePort, openProcesses, type Processes, type Started } from '../kit/processes.ts';

const peers = findPeers(['snmpd']);
const modules = 'override,vacm_conf,vacm_context,vacm_vars,usmConf,usmUser,usmStats,snmpEngine,snmpMPDStats';
const community = 'only-this-lan-3';
const longName = 'Multifunction copier of the second floor beside the archive, to be moved to the annex';
let pictures = 0;

async function shot(tab: Page, name: string): Promise<void> {
  const folder = process.env['SCREENSHOTS'];
  if (folder === undefined) return;
  await tab.waitForTimeout(400); // what moves into its place has to be there
  await tab.screenshot({ path: join(folder, `devices-${String(++pictures).padStart(2, '0')}-${name}.png`), fullPage: true });
}

suite('devices and their applications in Chromium', { skip: skip || peers.skip, timeout: 240_000 }, () => {
  let processes: Processes;
  let gateway: TestGateway;
  let app: AddressApp;
  let browser: OpenBrowser;
  let person: Person;
  let tab: Page;
  let token: string;
  let agentId: string;
  let ricoh: Started;
  /** Takes every question and answers none. */
  let silent: Socket;
  let lines: Readonly<Record<'ricoh' | 'hp' | 'nobody', number>>;
  const address = () => `http://localhost:${gateway.ports.http}`;
  const overflow = () => tab.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  const go = (path: string) => tab.goto(`${address()}${path}`);
  const dialog = () => tab.getByRole('dialog');
  const cell = (device: string, application: string) => tab.locator(`tr[data-device="${device}"]`).getByRole('switch', { name: application });

  /** snmpd as this printer at this address. `edit`: of the lines of the corpus. */
  async function startPrinter(name: string, host: string, port: number, edit = (conf: string) => conf): Promise<Started> {
    const folder = join(processes.folder, `${name}-${++pictures}`);
    const state = join(folder, 'state');
    mkdirSync(state, { recursive: true, mode: 0o700 });
    writeFileSync(join(folder, 'snmpd.conf'), `agentAddress udp:${host}:${port}\nrocommunity ${community} 127.0.0.0/8\n${edit(printerConf(name))}`);
    const running = processes.start(peers.path('snmpd'), ['-f', '-Lo', '-C', '-c', join(folder, 'snmpd.conf'), '-I', modules], { env: { SNMP_PERSISTENT_DIR: state, MIBS: '' } });
    await running.says(/NET-SNMP version/);
    return running;
  }

  /** As a panel at this address would. */
  const open = (from: string, path = '/', userAgent = 'Panel/1.0') =>
    new Promise<{ readonly status: number; readonly code: string | null }>((done, failed) => {
      const sent = httpRequest({ host: '127.0.0.1', port: gateway.ports.http, localAddress: from, path, headers: { host: 'scans.example.test', 'user-agent': userAgent }, agent: false }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('error', failed);
        answer.on('end', () => done({ status: answer.statusCode!, code: /\b(\d{3}) ?(\d{3})\b/.exec(text)?.slice(1).join('') ?? null }));
      });
      sent.on('error', failed);
      sent.end();
    });
  const codeAt = async (from: string, userAgent?: string): Promise<string> => {
    const { status, code } = await open(from, '/', userAgent);
    assert.equal(status, 403);
    assert.match(code ?? '', /^\d{6}$/);
    return code!;
  };

  before(async () => {
    processes = openProcesses(new AbortController().signal);
    app = await startAddressApp();
    gateway = await startGateway({ consoleDir });
    lines = { ricoh: await freePort(), hp: await freePort(), nobody: await freePort() };
    ricoh = await startPrinter('ricoh', '127.9.1.1', lines.ricoh);
    await startPrinter('hp', '127.9.1.2', lines.hp);
    silent = createSocket('udp4');
    await new Promise<void>((done) => silent.bind(lines.nobody, '127.9.1.3', done));
    ({ token } = await gateway.owner());
    await gateway.addDevice({ name: 'LAN box', ports: [{ number: 80, kind: 'http' }], policy: 'reach tcp 127.0.0.1 80\nreach udp 127.9.0.0/16 1-65535\nreach tcp 127.9.0.0/16 1-65535\n' });
    agentId = [...gateway.tables.agents.values()][0]!.id;
    for (const [name, host, port] of [['Copier', '127.9.1.1', lines.ricoh], [longName, '127.9.1.2', lines.hp], ['Silent fax', '127.9.1.3', lines.nobody]] as const) {
      const made = await gateway.api('POST', '/devices', { token, body: { agentId, name, host, ports: [{ number: 80, name: 'Web', kind: 'http' }, { number: port, name: 'SNMP', kind: 'udp' }] } });
      assert.equal(made.status, 200, made.text);
    }
    browser = await openBrowser({ caFingerprint: gateway.caFingerprint, domains: ['localhost'] });
    person = await browser.person();
    tab = await person.tab();
    await go('/applications/sources');
    await tab.getByLabel('Sign-in name').fill('owner');
    await tab.getByLabel('Password', { exact: true }).fill('correct horse battery staple');
    await tab.keyboard.press('Enter');
    await tab.getByRole('heading', { name: 'Job sources' }).waitFor();
  });
  after(async () => {
    await browser?.[Symbol.asyncDispose]();
    await gateway?.close();
    await app?.[Symbol.asyncDispose]();
    silent?.close();
    await processes?.[Symbol.asyncDispose]();
  });

  test('without an application the page says what one is', async () => {
    await tab.getByText('No application yet').waitFor();
    await shot(tab, 'no-application');
    await go('/applications/sessions');
    await tab.getByText('No session now').waitFor();
    await go('/devices/copier?tab=identity');
    await tab.locator('[data-now]').waitFor();
    const { revision, config } = (await gateway.api('GET', '/config', { token })).json as { revision: number; config: { routes: object[] } };
    const target = { kind: 'tcp', host: '127.0.0.1', port: app.port };
    const routes = [
      { name: 'scans', host: 'scans.example.test', listeners: ['http'], target, application: { tell: 'headers', session: { jar: true } } },
      { name: 'faxes-of-the-whole-building', host: '*.fax.example.test', listeners: ['http'], target, application: { tell: 'virtual', require: 'verified' } },
      { name: 'phonebook', host: 'phones.example.test', listeners: ['http'], target, application: { tell: 'proxy-v2', assigned: false } },
    ];
    const put = await gateway.api('PUT', '/config', { token, body: { ...config, routes, addressPool: { networks: ['127.78.0.0/24'] } }, headers: { 'if-match': `"${revision}"` } });
    assert.equal(put.status, 200, put.text);
  });

  test('what was never asked says so; asked in vain, it says which question failed, where, through whom, and what to do', async () => {
    await go('/devices/copier?tab=profile');
    await tab.getByText('It was never asked').waitFor();
    await shot(tab, 'never-asked');
    await tab.getByRole('button', { name: 'Probe now' }).click();
    const failure = tab.locator('[data-failure="credentials"]');
    await failure.getByText('The credentials are wrong').waitFor();
    await failure.getByText('snmp 1.3.6.1', { exact: false }).first().waitFor();
    await failure.getByText('agent of LAN box').waitFor();
    await failure.getByText('What to do').waitFor();
    assert.match(await failure.innerText(), /Last good answer\s+never/);
    await shot(tab, 'failed');
  });

  test('credentials are handed to the agent, and their secret is seen nowhere again', async () => {
    await go('/applications/probes');
    await tab.getByText('the community “public” is tried').waitFor();
    await shot(tab, 'probes-before');
    await tab.getByRole('button', { name: 'Set credentials' }).click();
    await dialog().getByLabel('Version').selectOption('v3');
    await dialog().getByLabel('User').waitFor();
    await shot(tab, 'credentials-v3');
    await dialog().getByLabel('Version').selectOption('v2c');
    await dialog().getByLabel('Name').fill('lan');
    await dialog().getByLabel('Community').fill(community);
    await dialog().getByLabel('Networks').fill('nonsense');
    await dialog().getByRole('button', { name: 'Hand over' }).click();
    await dialog().getByRole('alert').waitFor();
    await dialog().getByLabel('Networks').fill('127.9.0.0/16');
    await dialog().getByRole('button', { name: 'Hand over' }).click();
    await tab.locator('[data-credentials="lan"]').getByText('127.9.0.0/16').waitFor();
    assert.equal(await tab.getByText(community).count(), 0);
  });

  test('a printer says what it is: model, functions, supplies drawn with a word for each, paper, counters', async () => {
    await go('/devices/copier?tab=profile');
    await tab.getByRole('button', { name: 'Probe now' }).click();
    await tab.getByRole('heading', { name: 'Ricoh MP C3004ex' }).waitFor();
    await tab.locator('[data-failure]').waitFor({ state: 'detached' });
    assert.deepEqual(await tab.locator('[data-function]').evaluateAll((all) => all.map((each) => each.getAttribute('data-function'))), ['print', 'copy', 'scan', 'fax']);
    const level = (key: string) => tab.locator(`[data-supply="${key}"]`).getByRole('img').getAttribute('aria-label');
    assert.equal(await level('toner-black'), 'Black Toner: Enough, 70 %');
    assert.equal(await level('toner-cyan'), 'Cyan Toner: Low, 10 %');
    assert.equal(await level('toner-yellow'), 'Yellow Toner: Some left');
    assert.equal(await level('waste-toner'), 'Waste Toner Bottle: Not known');
    assert.equal(await tab.locator('[data-tray="tray"]').getByRole('img').getAttribute('aria-label'), 'Tray 1: Enough, 60 % · 330 of 550 sheets');
    assert.equal(await tab.locator('[data-counter="pages"]').innerText().then((text) => text.split('\n').at(-1)), '120,377');
    await tab.locator('[data-error="input-tray-empty"]').getByText('A tray is empty').waitFor();
    await tab.locator('[data-trust="unread"]').waitFor();
    await tab.getByRole('button', { name: 'Take it over' }).click();
    await dialog().getByRole('button', { name: 'Take it over' }).click();
    await tab.locator('[data-trust="verified"]').waitFor();
    await tab.getByText('as its row').waitFor();
    await tab.getByRole('button', { name: 'Probe now' }).click();
    await tab.getByText('It has answered').last().waitFor();
    await tab.locator('[data-series="supply toner-cyan"]').waitFor({ state: 'attached' });
    await shot(tab, 'profile');
    await tab.getByText('Show 8 answers').click();
    await tab.locator('[data-question="snmp 1.3.6.1.4.1.367.3.2.1.2.1.4.0"]').getByText('E000RX40013').waitFor();
  });

  test('who it is: verified, and what that rests on', async () => {
    await tab.getByRole('link', { name: 'Identity' }).click();
    const now = tab.locator('[data-now="verified"]');
    await now.getByText('read the serial E000RX40013 at 127.9.1.1', { exact: false }).waitFor();
    await tab.locator('[data-evidence="serial-snmp"]').getByText('E000RX40013').waitFor();
    await tab.getByText('the same as its row').waitFor();
    await tab.getByText('SNMP, through agent of LAN box').waitFor();
    await shot(tab, 'identity');
  });

  test('what was measured over weeks is drawn, the range narrows it, and a table says the same', async () => {
    const { id, customerId } = [...gateway.tables.devices.values()].find(({ label }) => label === 'copier')!;
    // As probes of the last weeks would have left it.
    const store = new DatabaseSync(join(gateway.dataDir, 'postern.db'), { timeout: 5_000 });
    const put = store.prepare('insert or replace into probe_sample (device_id, customer_id, at, series, value) values (?, ?, ?, ?, ?)');
    const now = Date.now();
    for (let hours = 24 * 25; hours > 0; hours -= 6) {
      const at = now - hours * 3_600_000;
      const levels = { 'supply toner-black': 30 + (hours % 300) / 6, 'supply toner-cyan': 10 + hours / 8, 'supply toner-magenta': 40 + hours / 20, 'tray tray': (hours * 7) % 100, 'counter pages': 120_377 - hours * 9, 'counter copies': 40_277 - hours * 3 };
      for (const [series, value] of Object.entries(levels)) put.run(id, customerId, at, series, Math.round(value));
    }
    store.close();
    await go('/devices/copier?tab=profile');
    const cyan = tab.locator('[data-series="supply toner-cyan"]');
    await cyan.waitFor({ state: 'attached' });
    await tab.getByText('As a table').first().click();
    assert.match(await cyan.innerText(), /^Cyan Toner\s+8\d %\s+10 %\s+-7\d %$/);
    await tab.getByRole('button', { name: /^Tray 1/ }).click();
    await tab.getByRole('button', { name: /^Tray 1/, pressed: false }).waitFor();
    await shot(tab, 'history');
    await tab.getByLabel('Range').selectOption('1');
    await until('the day alone to be told', async () => /^Cyan Toner\s+1\d %\s+10 %\s+-\d %$/.test(await cyan.innerText()));
    await tab.getByLabel('Counters').selectOption('counter copies');
    await tab.locator('[data-series="counter copies"]').waitFor({ state: 'attached' });
    await tab.emulateMedia({ colorScheme: 'dark' });
    await tab.getByLabel('Range').selectOption('30');
    await shot(tab, 'history-dark');
    await tab.emulateMedia({ colorScheme: 'light' });
  });

  test('while a device is being asked, the question is shown; one that never answers is said to be silent', async () => {
    await go('/devices/silent-fax?tab=profile');
    await tab.getByRole('button', { name: 'Probe now' }).click();
    const run = tab.locator('[data-run="running"]');
    await run.getByText('snmp', { exact: false }).waitFor();
    await tab.getByText('It was never asked').waitFor({ state: 'detached' });
    await shot(tab, 'asking');
    await tab.locator('[data-failure="silent"]').getByText('Nothing answers').waitFor({ timeout: 60_000 });
    await run.waitFor({ state: 'detached' });
    await shot(tab, 'silent');
  });

  test('the list of devices says who is sure, and what runs out', async () => {
    await go(`/devices/${(await labelOf(longName))}?tab=profile`);
    await tab.getByRole('button', { name: 'Probe now' }).click();
    await tab.locator('[data-supply="toner-yellow"]').getByText('Empty').waitFor();
    assert.equal(await tab.locator('[data-supply="waste-toner"]').getByRole('img').getAttribute('aria-label'), 'Toner Collection Unit: Has room, 40 % full');
    await shot(tab, 'profile-hp');
    await go('/devices');
    const row = (name: string) => tab.getByRole('row').filter({ hasText: name });
    await row('Copier').locator('[data-identity="verified"]').waitFor();
    await row(longName.slice(0, 30)).locator('[data-supply-state="empty"]').waitFor();
    await shot(tab, 'devices');
  });

  test('a panel that nobody knows: its code appears by itself, is found by typing it, and lets it in', async () => {
    const code = await codeAt('127.9.1.77');
    const banner = tab.getByRole('region', { name: 'Devices that wait to be assigned' });
    await banner.getByText(`${code.slice(0, 3)} ${code.slice(3)}`, { exact: false }).waitFor();
    await shot(tab, 'banner');
    await tab.keyboard.press('Control+k');
    await tab.getByRole('combobox').fill(`${code.slice(0, 3)} ${code.slice(3)}`);
    await tab.getByRole('option', { name: 'scans · 127.9.1.77' }).waitFor();
    await shot(tab, 'palette');
    await tab.keyboard.press('Enter');
    await dialog().getByRole('heading', { name: `Who shows ${code.slice(0, 3)} ${code.slice(3)}?` }).waitFor();
    await dialog().getByLabel('Type to find it').fill('silent');
    await dialog().getByRole('radio', { name: 'Silent fax' }).check();
    await shot(tab, 'assign');
    await dialog().getByRole('button', { name: 'Assign', exact: true }).click();
    await tab.getByText('Silent fax may use scans').waitFor();
    await tab.getByText('It is expected at 127.9.1.77 from now on.', { exact: false }).waitFor();
    assert.equal((await open('127.9.1.77')).status, 200);
    await tab.locator(`[data-unassigned="${code}"]`).waitFor({ state: 'detached' });
  });

  test('a device that is new is made of what waits, in one step', async () => {
    const code = await codeAt('127.9.1.88', 'Scanner/2.4 (very long description of a program that a vendor thought was a good idea; build 20391-alpha)');
    await codeAt('127.9.1.89');
    await tab.locator(`[data-unassigned="${code}"]`).waitFor();
    await shot(tab, 'unassigned');
    await tab.getByRole('button', { name: `Assign ${code.slice(0, 3)} ${code.slice(3)}` }).click();
    await dialog().getByText('a new device').click();
    await dialog().getByLabel('Name').fill('Front desk scanner');
    await shot(tab, 'assign-new');
    await dialog().getByRole('button', { name: 'Make it and assign' }).click();
    await tab.locator('tr[data-device="front-desk-scanner"]').waitFor();
    await cell('front-desk-scanner', 'scans').and(tab.locator('[aria-checked="true"]')).waitFor();
    assert.equal((await open('127.9.1.88', '/', 'Scanner/2.4 (very long description of a program that a vendor thought was a good idea; build 20391-alpha)')).status, 200);
    await go('/applications/sources?code=123456');
    await tab.getByText('Nothing waits under 123 456').waitFor();
  });

  test('the matrix: a press lets a device in, another takes that away', async () => {
    await go('/applications/sources');
    await cell('copier', 'scans').click();
    await cell('copier', 'scans').and(tab.locator('[aria-checked="true"]')).waitFor();
    assert.equal((await open('127.9.1.1')).status, 200);
    await cell('copier', 'faxes-of-the-whole-building').focus();
    await tab.keyboard.press('Enter');
    await cell('copier', 'faxes-of-the-whole-building').and(tab.locator('[aria-checked="true"]')).getByText('127.78.0.', { exact: false }).waitFor();
    assert.equal(await cell('copier', 'faxes-of-the-whole-building').evaluate((button) => button === (button as unknown as { ownerDocument: { activeElement: unknown } }).ownerDocument.activeElement), true, 'whoever presses keys goes on from here');
    await shot(tab, 'matrix');
    await cell('copier', 'faxes-of-the-whole-building').click();
    await cell('copier', 'faxes-of-the-whole-building').and(tab.locator('[aria-checked="false"]')).waitFor();
    await tab.getByLabel('Search devices').fill('copier of');
    await tab.locator('tr[data-device="copier"]').waitFor({ state: 'detached' });
    await tab.getByLabel('Search devices').fill('no such thing');
    await tab.getByText('No device fits').waitFor();
    await tab.getByRole('button', { name: 'Show all' }).click();
    await tab.locator('tr[data-device="copier"]').waitFor();
  });

  test('CSV: wrong lines are named, a difference is shown first, and it comes out as it went in', async () => {
    await tab.getByRole('button', { name: 'Import…' }).click();
    await dialog().getByLabel('CSV', { exact: true }).fill('application,serial,device,site,address,as,note\nscans,,nobody,,,,\nprints,SN-1,,,,,\n');
    await dialog().getByRole('button', { name: 'Show what would change' }).click();
    await dialog().locator('[data-line="2"]').getByText('No device "nobody"', { exact: false }).waitFor();
    await dialog().locator('[data-line="3"]').waitFor();
    await shot(tab, 'import-problems');
    await dialog().getByRole('button', { name: 'Change it' }).click();
    await dialog().getByLabel('CSV', { exact: true }).fill('application,serial,device,site,address,as,note\nscans,SN-LATER,,,,,"arrives on Monday, by lorry"\nscans,,copier,,,,\n');
    await dialog().getByRole('button', { name: 'Show what would change' }).click();
    await dialog().locator('[data-change="added"]').getByText('SN-LATER', { exact: false }).waitFor();
    await shot(tab, 'import-diff');
    await dialog().getByRole('button', { name: 'Import', exact: true }).click();
    await tab.locator('[data-conflict="no-device"]').getByText('SN-LATER', { exact: false }).waitFor();
    await shot(tab, 'conflicts');
    const download = tab.waitForEvent('download');
    await tab.getByRole('button', { name: 'Export' }).click();
    assert.match(await readFile(await (await download).path(), 'utf8'), /^application,serial,device,site,address,as,note\r\n[^]*scans,SN-LATER,,,,,"arrives on Monday, by lorry"/);
    await tab.getByRole('button', { name: 'List', exact: true }).click();
    await tab.locator('tr[data-source="scans SN-LATER"]').getByText('no device yet').waitFor();
    await shot(tab, 'list');
    await tab.getByRole('button', { name: 'Actions for Copier in scans' }).click();
    await tab.getByRole('menuitem', { name: 'Change…' }).click();
    await dialog().getByLabel('Note').fill('beside the lift');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await tab.locator('tr[data-source="scans copier"]').getByText('beside the lift').waitFor();
    await tab.getByRole('button', { name: 'Actions for serial SN-LATER in scans' }).click();
    await tab.getByRole('menuitem', { name: 'Take away' }).click();
    await dialog().getByRole('button', { name: 'Take away' }).click();
    await tab.locator('[data-conflict="no-device"]').waitFor({ state: 'detached' });
  });

  test('a URL of its own is shown once, used from wherever, and withdrawn', async () => {
    await go('/devices/copier?tab=identity');
    await tab.getByRole('button', { name: 'New URL' }).click();
    await dialog().getByLabel('Note').fill('panel in the hall');
    await shot(tab, 'url-make');
    await dialog().getByRole('button', { name: 'Make it' }).click();
    const url = await tab.getByLabel('the URL', { exact: true }).textContent();
    assert.match(url ?? '', /^http:\/\/scans\.example\.test(?::\d+)?\/d\/[A-Za-z0-9_-]{24}\/$/);
    await shot(tab, 'url-shown');
    await tab.getByRole('button', { name: 'Done' }).click();
    await tab.locator('[data-url="panel in the hall"]').getByText('never used').waitFor();
    await tab.getByText(url ?? '-').waitFor({ state: 'detached' });
    assert.equal((await open('127.9.1.200', new URL(url ?? '').pathname)).status, 200);
    await tab.locator('[data-evidence="token"]').waitFor();
    await tab.locator('[data-session="copier scans"]').first().waitFor();
    await shot(tab, 'identity-full');
    await tab.getByRole('button', { name: 'Withdraw the URL panel in the hall' }).click();
    await dialog().getByRole('button', { name: 'Withdraw' }).click();
    await tab.locator('[data-url]').waitFor({ state: 'detached' });
    assert.equal((await open('127.9.1.200', new URL(url ?? '').pathname)).status, 403);
  });

  test('sessions: there while one looks, made to wait, ended', async () => {
    await go('/applications/sessions');
    const session = tab.locator('[data-session="silent-fax scans"]');
    await session.getByText('127.9.1.77').last().waitFor();
    await shot(tab, 'sessions');
    await tab.getByRole('button', { name: 'Actions for Silent fax in scans' }).click();
    await tab.getByRole('menuitem', { name: 'Verify again' }).click();
    await session.getByText('Waits to be verified again').last().waitFor();
    await shot(tab, 'session-waits');
    await tab.getByRole('button', { name: 'Actions for Silent fax in scans' }).click();
    await tab.getByRole('menuitem', { name: 'End it' }).click();
    await dialog().getByRole('button', { name: 'End it' }).click();
    await session.waitFor({ state: 'detached' });
  });

  test("drivers: wrong ones are refused at their places, one's own goes before the shipped one, and how often is a form", async () => {
    await go('/applications/probes');
    await tab.locator('[data-known="Copier"]').waitFor();
    await tab.getByRole('button', { name: 'Add a driver' }).click();
    const shipped = JSON.parse(readFileSync(new URL('../../drivers/ricoh.json', import.meta.url), 'utf8')) as Record<string, unknown>;
    const area = dialog().getByLabel('The driver, as JSON');
    await area.fill('{ "key": "ricoh", ');
    await dialog().getByRole('button', { name: 'Add', exact: true }).click();
    await dialog().getByText('This is no JSON', { exact: false }).waitFor();
    await area.fill(JSON.stringify({ ...shipped, serial: ['x'] }, null, 2));
    await dialog().getByLabel('Key').fill('ricoh');
    await dialog().getByRole('button', { name: 'Add', exact: true }).click();
    await dialog().locator('[data-path="serial[0]"]').waitFor();
    await shot(tab, 'driver-problems');
    await area.fill(JSON.stringify({ ...shipped, note: 'ours' }, null, 2));
    await dialog().getByRole('button', { name: 'Add', exact: true }).click();
    await tab.locator('[data-driver="ricoh"][data-own="true"]').getByText('yours').waitFor();
    await tab.locator('[data-driver="ricoh"][data-own="false"]').getByText('replaced by yours').waitFor();
    await shot(tab, 'probes');
    await tab.getByRole('button', { name: 'Remove the driver ricoh' }).click();
    await dialog().getByRole('button', { name: 'Remove' }).click();
    await tab.locator('[data-driver="ricoh"][data-own="true"]').waitFor({ state: 'detached' });
    await tab.getByRole('button', { name: 'Change', exact: true }).click();
    await dialog().getByLabel('Ask every (minutes)').fill('often');
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    await dialog().getByText('Is not a number', { exact: false }).waitFor();
    await dialog().getByLabel('Ask every (minutes)').fill('30');
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    await dialog().getByText('everyMinutes', { exact: false }).first().waitFor();
    await shot(tab, 'settings-review');
    await dialog().getByLabel('For how long').selectOption('');
    await dialog().getByRole('button', { name: 'Apply' }).click();
    await tab.getByText('30 minutes', { exact: true }).waitFor();
  });

  test('another device at its address is said loudly, and the last good answer stays', async () => {
    await ricoh.stop();
    ricoh = await startPrinter('ricoh', '127.9.1.1', lines.ricoh, (conf) => conf.replace('E000RX40013', 'E000RX49999'));
    await go('/devices/copier?tab=profile');
    await tab.getByRole('button', { name: 'Probe now' }).click();
    await tab.locator('[data-failure="different"]').getByText('E000RX49999', { exact: false }).first().waitFor();
    await tab.getByRole('heading', { name: 'Ricoh MP C3004ex' }).waitFor();
    await shot(tab, 'different');
    await tab.getByRole('link', { name: 'Identity' }).click();
    await tab.locator('[data-now="ambiguous"]').waitFor();
    await shot(tab, 'identity-ambiguous');
    await ricoh.stop();
    await tab.getByRole('link', { name: 'What it is' }).click();
    await tab.getByRole('button', { name: 'Probe now' }).click();
    await tab.locator('[data-failure="off"]').getByText('SNMP is switched off').waitFor();
    await shot(tab, 'off');
  });

  test('two devices at one address: neither is believed, and each names the other', async () => {
    const made = await gateway.api('POST', '/devices', { token, body: { agentId, name: 'Twin', host: '127.9.1.77', ports: [{ number: 80, name: 'Web', kind: 'http' }] } });
    assert.equal(made.status, 200, made.text);
    await go('/devices/silent-fax?tab=identity');
    const now = tab.locator('[data-now="ambiguous"]');
    await now.getByText('have the address 127.9.1.77', { exact: false }).waitFor();
    await now.getByRole('link', { name: 'Twin' }).click();
    await tab.getByRole('heading', { name: 'Twin' }).waitFor();
    await now.getByRole('link', { name: 'Silent fax' }).waitFor();
    await cellAfter('twin', 'scans');
    await go('/devices/twin?tab=identity');
    await tab.getByText('Its job sources contradict').waitFor();
    await shot(tab, 'twin');
  });

  /** Lets it in by the matrix. */
  async function cellAfter(device: string, application: string): Promise<void> {
    await go('/applications/sources');
    await cell(device, application).click();
    await cell(device, application).and(tab.locator('[aria-checked="true"]')).waitFor();
  }

  test('it reads well in the dark on a phone', async () => {
    await codeAt('127.9.1.90');
    await tab.emulateMedia({ colorScheme: 'dark' });
    const stations = [
      ['devices', '/devices', '[data-row]'], ['identity', '/devices/copier?tab=identity', '[data-now]'], ['profile', '/devices/copier?tab=profile', '[data-supply]'], ['profile-hp', `/devices/${await labelOf(longName)}?tab=profile`, '[data-supply]'],
      ['sources', '/applications/sources', '[data-device]'], ['list', '/applications/sources?view=list', '[data-source]'], ['sessions', '/applications/sessions', '[data-session]'], ['probes', '/applications/probes', '[data-known]'],
    ] as const;
    for (const width of [390, 1280]) {
      await tab.setViewportSize({ width, height: 800 });
      for (const [name, path, there] of stations) {
        await go(path);
        await tab.locator(there).first().waitFor();
        assert.equal(await overflow(), 0, `${name} at ${width}`);
        await shot(tab, `dark-${width}-${name}`);
      }
    }
    await tab.emulateMedia({ colorScheme: 'light' });
  });

  test('who sees one device sees who it is, and changes nothing', async () => {
    const owner = await gateway.owner();
    const device = [...gateway.tables.devices.values()].find(({ label }) => label === 'copier')!.id;
    const made = await gateway.api('POST', '/invites', { cookie: owner.cookie, body: { name: 'Bob', rights: [{ action: 'see', scopeKind: 'device', scopeId: device }] } });
    const code = new URL(String(made.json['address'])).hash.slice(1).split('/').at(-1);
    assert.equal((await gateway.api('POST', '/invites/accept', { body: { code, login: 'bob', name: 'Bob', password: 'correct horse battery staple' } })).status, 200);
    const bob = await browser.person();
    const page = await bob.tab();
    await page.goto(`${address()}/devices/copier?tab=profile`);
    await page.getByLabel('Sign-in name').fill('bob');
    await page.getByLabel('Password', { exact: true }).fill('correct horse battery staple');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Ricoh MP C3004ex' }).waitFor();
    assert.equal(await page.getByRole('button', { name: 'Probe now' }).count(), 0);
    await page.getByRole('link', { name: 'Identity' }).click();
    await page.locator('[data-now]').waitFor();
    assert.equal(await page.getByRole('button', { name: 'New URL' }).count(), 0);
    assert.equal(await page.getByRole('link', { name: 'Applications' }).count(), 0);
    await page.goto(`${address()}/applications/sources`);
    await page.getByText('You administer nothing here').waitFor();
    assert.deepEqual([...bob.complaints, ...person.complaints], []);
    await bob.context.close();
  });

  async function labelOf(name: string): Promise<string> {
    const { items } = (await gateway.api('GET', '/devices', { token })).json as { items: { name: string; label: string }[] };
    return items.find((each) => each.name === name)!.label;
  }
});
