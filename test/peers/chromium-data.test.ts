// Data of devices in a real browser: what is offered to try works as it stands there, a device that waits appears and is approved, its feed grows
// while one looks at it; gaps, search, redirects, pins, a backup. SCREENSHOTS=folder keeps a picture of every station.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { consoleDir, openBrowser, skip, type OpenBrowser, type Person } from '../kit/browser.ts';
import { request, startGateway, until, type TestGateway } from '../kit/gateway.ts';
import { findPeers } from '../kit/peers.ts';
import { openProcesses } from '../kit/processes.ts';

const peers = findPeers(['curl']);
const epoch = '5b1e0c77a1d2e3f4';
let pictures = 0;

async function shot(tab: Page, name: string): Promise<void> {
  const folder = process.env['SCREENSHOTS'];
  if (folder === undefined) return;
  await tab.waitForTimeout(400); // what moves into its place has to be there
  await tab.screenshot({ path: join(folder, `data-${String(++pictures).padStart(2, '0')}-${name}.png`), fullPage: true });
}

suite('data of devices in Chromium', { skip: skip || peers.skip, timeout: 120_000 }, () => {
  let gateway: TestGateway;
  let browser: OpenBrowser;
  let person: Person;
  let tab: Page;
  const address = () => `http://localhost:${gateway.ports.http}`;
  const overflow = () => tab.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  const go = (path: string) => tab.goto(`${address()}${path}`);
  const waiting = (serial: string) => tab.locator(`li[data-waiting="${serial}"]`);

  /** As a device would. */
  async function send(path: string, body: string, headers: Record<string, string> = {}): Promise<string> {
    const answer = await request(gateway.ports.http, { method: 'POST', path: `/v1/default/${path}`, body, headers: { host: `localhost:${gateway.ports.http}`, 'content-type': 'application/octet-stream', 'content-length': String(Buffer.byteLength(body)), ...headers } });
    assert.equal(answer.status, 200, answer.body.toString());
    return answer.body.toString();
  }
  const push = (serial: string, feed: string, offset: number, body: string, headers?: Record<string, string>) => send(`push/${serial}/${feed}/${epoch}?o=${offset}`, body, headers);

  before(async () => {
    gateway = await startGateway({
      consoleDir,
      config: {
        strangers: [{ policy: 'quarantine', keyless: true }],
        feeds: [{ name: 'calls', feeds: 'cdr', alerts: [{ name: 'emergency', pattern: 'EMERGENCY$' }] }],
        sinks: [{ name: 'archive', kind: 'files', folder: 'archive', feeds: 'cdr' }, { name: 'hook', kind: 'webhook', url: 'https://hook.example.test/in', feeds: 'meter', secret: 'hook-token' }],
        servers: [{ name: 'in2', base: 'https://in2.example.test/v1' }],
        redirects: [{ name: 'testers', tag: 'beta', strategy: 'stay' }, { name: 'new-ones', serials: ['SN5000..SN5999'], servers: ['in2'] }],
      },
    });
    await gateway.owner();
    browser = await openBrowser({ caFingerprint: gateway.caFingerprint, domains: ['localhost'] });
    person = await browser.person();
    tab = await person.tab();
    await go('/data/feeds');
    await tab.getByLabel('Sign-in name').fill('owner');
    await tab.getByLabel('Password', { exact: true }).fill('correct horse battery staple');
    await tab.keyboard.press('Enter');
    await tab.getByRole('heading', { name: 'Feeds' }).waitFor();
  });
  after(async () => {
    await browser?.[Symbol.asyncDispose]();
    await gateway?.close();
  });

  test('the line that an empty page offers works as it stands there', async (t) => {
    await using processes = openProcesses(t.signal);
    const line = await tab.getByLabel('a first batch', { exact: true }).textContent();
    await shot(tab, 'empty');
    const ran = await processes.run('/bin/sh', ['-c', line ?? '']);
    assert.match(ran.stdout, /^next=6$/m, ran.stderr);
    assert.match(ran.stdout, /^waiting=1$/m);
    // Nobody reloads anything.
    await tab.locator('tr[data-feed="SN1/test"]').getByText('In quarantine').waitFor();
  });

  test('a device that waits is there at once, is named and approved, and its key is shown once', async () => {
    await tab.getByRole('link', { name: 'Devices' }).first().click();
    await waiting('SN1').getByText('6 B in quarantine').waitFor();
    await send('check-in/SN2', 'fw=1.2\n', { 'user-agent': 'PollerBox/3' });
    await waiting('SN2').getByText('PollerBox/3').waitFor();
    await shot(tab, 'waiting');
    await tab.getByRole('button', { name: 'Approve SN1' }).click();
    const dialog = tab.getByRole('dialog');
    await dialog.getByLabel('Name').fill('Call logger');
    await dialog.getByLabel('Make a new key').check();
    await dialog.getByRole('button', { name: 'Approve', exact: true }).click();
    const key = await tab.getByRole('dialog', { name: 'The key of Call logger' }).getByLabel('the key', { exact: true }).textContent();
    assert.match(key ?? '', /^pdk_[\w-]{43}$/);
    await shot(tab, 'key');
    await tab.getByRole('button', { name: 'Done' }).click();
    await waiting('SN1').waitFor({ state: 'detached' });
    await tab.getByRole('link', { name: 'Call logger' }).waitFor();
    await tab.getByText(key ?? '-').waitFor({ state: 'detached' });
    await tab.getByRole('button', { name: 'Refuse SN2' }).click();
    await tab.getByRole('dialog').getByRole('button', { name: 'Refuse', exact: true }).click();
    await tab.getByRole('region', { name: 'Devices that wait to be approved' }).waitFor({ state: 'detached' });
  });

  test('several are approved at one go', async () => {
    for (const serial of ['SN7', 'SN8', 'SN9']) await push(serial, 'cdr', 0, 'early\n');
    await waiting('SN9').waitFor();
    await tab.getByLabel('Choose all').check();
    await tab.getByLabel('Choose SN8').uncheck();
    await tab.getByRole('button', { name: 'Approve 2' }).click();
    await tab.getByRole('dialog').getByRole('button', { name: 'Approve', exact: true }).click();
    await tab.getByText('2 devices are approved').waitFor();
    await waiting('SN7').waitFor({ state: 'detached' });
    await waiting('SN8').waitFor();
  });

  test('a feed appears while one looks at the list, and grows while one looks at it', async () => {
    await tab.getByRole('link', { name: 'Data' }).first().click();
    await tab.locator('tr[data-feed="SN7/cdr"]').waitFor();
    await push('SN7', 'meter', 0, 'reading 1\n');
    const row = tab.locator('tr[data-feed="SN7/meter"]');
    await row.getByText('1 record', { exact: true }).waitFor();
    await row.getByRole('link', { name: 'meter' }).click();
    await tab.getByRole('heading', { name: 'meter' }).waitFor();
    await tab.locator('[data-item="record"]').getByText('reading 1').waitFor();
    await push('SN7', 'meter', 10, 'reading 2\nrea');
    await tab.locator('[data-item="record"]').getByText('reading 2').waitFor();
    assert.equal(await tab.locator('[data-item="record"]').count(), 2, 'the open record is none yet');
    await push('SN7', 'meter', 23, 'ding 3\n');
    await tab.locator('[data-item="record"]').getByText('reading 3').waitFor();
  });

  test('a gap stands where it is: in the drawing, in the list, between the records', async () => {
    await push('SN7', 'meter', 1_030, 'reading 4 <b>&amp;</b>\n', { 'x-postern-gap': '30-1030;reason=wrap' });
    await tab.locator('[data-item="record"]').getByText('reading 4 <b>&amp;</b>').waitFor();
    await tab.locator('[data-item="gap"]').getByText('1.00 kB missing: the device’s memory was full').waitFor();
    await tab.locator('li[data-gap="30"]').waitFor();
    assert.deepEqual(await tab.locator('[data-segment]').evaluateAll((all) => all.map((each) => each.getAttribute('data-segment'))), ['stored', 'gap', 'stored']);
    await shot(tab, 'feed');
    await tab.getByRole('button', { name: 'Show the records around the gap of 1.00 kB' }).click();
    await tab.waitForURL('**from=30*');
    await tab.locator('[data-item="gap"]').waitFor();
    await tab.locator('[data-item="record"]').getByText('reading 1').waitFor({ state: 'detached' });
  });

  test('a pattern finds records, wherever they are; what is no pattern is said', async () => {
    const lines = Array.from({ length: 3_000 }, (_, n) => `call ${n} ${n % 1_000 === 7 ? 'EMERGENCY' : 'answered'}\n`).join('');
    await push('SN7', 'cdr', 6, lines);
    await go('/data/feeds?q=SN7%2Fcdr');
    await tab.locator('tr[data-feed="SN7/cdr"]').getByRole('link', { name: 'cdr' }).click();
    await tab.locator('[data-item="record"]').getByText('call 2999 answered').waitFor();
    const pattern = tab.getByLabel('Pattern (RE2) that a record must have');
    await pattern.fill('EMERG[A-Z]+$');
    await tab.keyboard.press('Enter');
    await tab.getByText('3 records found').waitFor();
    assert.deepEqual(await tab.locator('[data-item="record"] code').allTextContents(), ['call 7 EMERGENCY', 'call 1007 EMERGENCY', 'call 2007 EMERGENCY']);
    await shot(tab, 'search');
    await pattern.fill('EMERG(');
    await tab.keyboard.press('Enter');
    await tab.getByRole('alert').waitFor();
    await tab.getByRole('button', { name: 'Show all again' }).last().click();
    const download = tab.waitForEvent('download');
    await tab.getByRole('button', { name: 'Download' }).click();
    assert.equal(await readFile(await (await download).path(), 'utf8'), `early\n${lines}`);
  });

  test('sinks say how far they are and what they lack; one is paused, one goes back to the beginning', async () => {
    // What it brought in quarantine goes with it at once, and not only when somebody sweeps.
    await push('SN9', 'cdr', 6, 'late\n');
    await go('/data/sinks');
    const archive = tab.locator('tr[data-sink="archive"]');
    const hook = tab.locator('tr[data-sink="hook"]');
    await archive.getByText('nothing waits').waitFor();
    await tab.locator('li[data-alert="emergency"]').getByText('call 2007 EMERGENCY').waitFor();
    await hook.getByText('Cannot be opened').waitFor();
    await shot(tab, 'sinks');
    await tab.getByRole('button', { name: 'Set the secret hook-token' }).click();
    await tab.getByRole('dialog').getByLabel('Value').fill('s3cret');
    await tab.keyboard.press('Enter');
    await tab.locator('li[data-secret="hook-token"]').getByText('sink hook').waitFor();
    assert.equal(await tab.getByText('s3cret').count(), 0);
    await tab.getByRole('button', { name: 'Actions for hook' }).click();
    await tab.getByRole('menuitem', { name: 'Pause' }).click();
    await tab.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
    await hook.getByText('Paused', { exact: true }).waitFor();
    const takenNow = async () => Number(await archive.locator('[data-taken]').getAttribute('data-taken'));
    const taken = await takenNow();
    await tab.getByRole('button', { name: 'Actions for archive' }).click();
    await tab.getByRole('menuitem', { name: 'Replay…' }).click();
    const dialog = tab.getByRole('dialog');
    await dialog.getByLabel('Type to find one').fill('SN7/cdr');
    const offered = dialog.getByLabel('Feed', { exact: true }).getByRole('option');
    await until('only the feed that was typed to be offered', async () => (await offered.allTextContents()).join() === 'SN7 / cdr');
    await dialog.getByRole('button', { name: 'Replay' }).click();
    await tab.getByText('archive goes back to offset 0').waitFor();
    await until('the records to be delivered once more', async () => (await takenNow()) === taken + 3_001);
  });

  test('where a device would go is told with the reason, and a server is drained', async () => {
    await go('/data/redirects');
    await tab.getByLabel('Serial').fill('SN5150');
    await tab.getByRole('button', { name: 'Ask' }).click();
    const answer = tab.locator('[data-decision]');
    await answer.getByText('It is sent to in2').waitFor();
    await answer.getByText('Nobody knows this serial').waitFor();
    assert.deepEqual(await tab.locator('[data-preview-rule]').evaluateAll((all) => all.map((each) => each.getAttribute('data-preview-rule'))), ['not', 'taken']);
    await shot(tab, 'preview');
    await tab.getByLabel('Serial').fill('SN1');
    await tab.keyboard.press('Enter');
    await answer.getByText('It stays here').waitFor();
    await tab.getByRole('button', { name: 'Actions for in2' }).click();
    await tab.getByRole('menuitem', { name: 'No new devices' }).click();
    await tab.getByRole('dialog').getByRole('button', { name: 'No new devices' }).click();
    await tab.locator('tr[data-server="in2"]').getByText('no new devices').waitFor();
    await tab.getByLabel('Serial').fill('SN5150');
    await tab.keyboard.press('Enter');
    await answer.getByText('It stays here').waitFor();
  });

  test('a switch that would lose a device is refused by name, and goes through once it has confirmed', async () => {
    await go('/data/pins');
    const present = tab.locator('li[data-pin="present"]');
    const pinOf = async (row: string) => (await tab.locator(`li[data-pin="${row}"] .font-mono`).textContent()) ?? '';
    const pin = (await pinOf('present')).trim();
    await send('check-in/SN7', `fw=2.0\npins=${pin}\n`);
    await tab.reload();
    await present.getByText('1 of 1 confirmed').waitFor();
    await tab.getByRole('button', { name: 'Prepare the next key' }).click();
    const next = tab.locator('li[data-pin="next"]');
    await next.getByText('0 of 1 confirmed').waitFor();
    await next.getByRole('button', { name: 'Switch to it' }).click();
    const dialog = tab.getByRole('dialog');
    await dialog.getByText('1 device would be lost for good').waitFor();
    await dialog.getByRole('link', { name: 'SN7' }).waitFor();
    assert.equal(await dialog.getByRole('button', { name: 'Lose them' }).isEnabled(), false);
    await shot(tab, 'pins');
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    const nextPin = (await pinOf('next')).trim();
    await send('check-in/SN7', `fw=2.0\npins=${pin},${nextPin}\n`);
    await tab.reload();
    await next.getByText('1 of 1 confirmed').waitFor();
    await next.getByRole('button', { name: 'Switch to it' }).click();
    await dialog.getByText('Nobody is lost').waitFor();
    await dialog.getByRole('button', { name: 'Show it now' }).click();
    await next.waitFor({ state: 'detached' });
    assert.equal((await pinOf('present')).trim(), nextPin);
  });

  test('a backup is made, saved whole, and said to be', async () => {
    await go('/data/keeping');
    await tab.locator('tr[data-kind="records"]').getByText('for ever').waitFor();
    await tab.getByText('None was made since this gateway started.').waitFor();
    await tab.getByRole('button', { name: 'Make a backup' }).click();
    const download = tab.waitForEvent('download');
    await tab.getByRole('dialog').getByRole('button', { name: 'Make it and save it' }).click();
    const saved = await download;
    assert.match(saved.suggestedFilename(), /^postern-.*\.tgz$/);
    const tar = gunzipSync(await readFile(await saved.path()));
    assert.equal(tar.toString('latin1', 0, 13), 'manifest.json');
    await tab.getByText('The backup is made').waitFor();
    await tab.getByText('whole', { exact: false }).first().waitFor();
    await shot(tab, 'keeping');
  });

  test('it reads well in the dark on a phone', async () => {
    await tab.emulateMedia({ colorScheme: 'dark' });
    await tab.setViewportSize({ width: 390, height: 780 });
    const feed = ((await gateway.api('GET', '/feeds?search=SN7/meter', { token: (await gateway.owner()).token })).json['items'] as { id: string }[])[0]!.id;
    for (const [name, path, there] of [
      ['feeds', '/data/feeds', 'tr[data-feed]'], ['feed', `/data/feeds/${feed}`, '[data-item]'], ['redirects', '/data/redirects', '[data-rule]'], ['pins', '/data/pins', '[data-pin]'], ['sinks', '/data/sinks', '[data-sink]'],
      ['keeping', '/data/keeping', '[data-kind]'], ['waiting', '/devices', '[data-waiting]'],
    ] as const) {
      await go(path);
      await tab.locator(there).first().waitFor();
      assert.equal(await overflow(), 0, name);
      await shot(tab, `phone-${name}`);
    }
    await tab.setViewportSize({ width: 1280, height: 800 });
    await tab.emulateMedia({ colorScheme: 'light' });
  });

  test('who sees one device finds its feeds and no more', async () => {
    const owner = await gateway.owner();
    const device = ((await gateway.api('GET', '/devices?search=SN7', { token: owner.token })).json['items'] as { id: string }[])[0]!.id;
    const made = await gateway.api('POST', '/invites', { cookie: owner.cookie, body: { name: 'Bob', rights: [{ action: 'see', scopeKind: 'device', scopeId: device }] } });
    const code = new URL(String(made.json['address'])).hash.slice(1).split('/').at(-1);
    assert.equal((await gateway.api('POST', '/invites/accept', { body: { code, login: 'bob', name: 'Bob', password: 'correct horse battery staple' } })).status, 200);
    const bob = await browser.person();
    const page = await bob.tab();
    await page.goto(`${address()}/data/feeds`);
    await page.getByLabel('Sign-in name').fill('bob');
    await page.getByLabel('Password', { exact: true }).fill('correct horse battery staple');
    await page.keyboard.press('Enter');
    await page.locator('tr[data-feed="SN7/meter"]').waitFor();
    assert.equal(await page.locator('tr[data-feed="SN1/test"]').count(), 0);
    assert.equal(await page.getByRole('link', { name: 'Keeping' }).count(), 0);
    await page.goto(`${address()}/data/keeping`);
    await page.getByText('This is for those who see the whole gateway').waitFor();
    assert.deepEqual([...bob.complaints, ...person.complaints], []);
    await bob.context.close();
  });
});
