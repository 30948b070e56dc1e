// Changes of the configuration in a real browser: the banner with its countdown on every page, confirming, going back, the history with what
// each revision changed. SCREENSHOTS=folder keeps a picture of every station.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { Page } from 'playwright-core';
import { realClock } from '#app/real.ts';
import type { Clock } from '#base/clock.ts';
import type { Config } from '#model/config.ts';
import { consoleDir, openBrowser, skip, type OpenBrowser, type Person } from '../kit/browser.ts';
import { startGateway, until, type TestGateway } from '../kit/gateway.ts';

let pictures = 0;
async function shot(tab: Page, name: string): Promise<void> {
  const folder = process.env['SCREENSHOTS'];
  if (folder === undefined) return;
  await tab.waitForTimeout(400); // what moves into its place has to be there
  await tab.screenshot({ path: join(folder, `config-${String(++pictures).padStart(2, '0')}-${name}.png`) });
}

/** A time to confirm of 11 s is over at once, without a test that waits for it. */
const quick: Clock = { ...realClock, after: (delayMs, run) => realClock.after(delayMs === 11_000 ? 1_500 : delayMs, run) };

suite('the configuration in Chromium', { skip }, () => {
  let gateway: TestGateway;
  let browser: OpenBrowser;
  let person: Person;
  let tab: Page;
  const address = () => `http://localhost:${gateway.ports.http}`;
  const banner = (page: Page = tab) => page.getByRole('region', { name: 'A change waits to be confirmed' });
  const row = (number: number) => tab.locator(`tr[data-revision="${number}"]`);
  const overflow = () => tab.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');

  /** As from a command line somewhere else. */
  async function put(change: (config: Config) => object, confirmWithinMs: number | null): Promise<number> {
    const { token } = await gateway.owner();
    const { revision, config } = (await gateway.api('GET', '/config', { token })).json as { revision: number; config: Config };
    const done = await gateway.api('PUT', `/config${confirmWithinMs === null ? '' : `?confirmWithinMs=${confirmWithinMs}`}`, { token, body: { ...config, ...change(config) }, headers: { 'if-match': `"${revision}"` } });
    assert.equal(done.status, 200, done.text);
    return done.json['revision'] as number;
  }
  const page = (name: string, body: string) => ({ name, host: `${name}.example.test`, target: { kind: 'respond', body } });

  async function signIn(page: Page, login: string): Promise<void> {
    await page.goto(`${address()}/devices`);
    await page.getByLabel('Sign-in name').fill(login);
    await page.getByLabel('Password', { exact: true }).fill('correct horse battery staple');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Devices' }).waitFor();
  }

  before(async () => {
    gateway = await startGateway({ consoleDir, clock: quick });
    await gateway.owner();
    browser = await openBrowser({ caFingerprint: gateway.caFingerprint, domains: ['localhost'] });
    person = await browser.person();
    tab = await person.tab();
    await signIn(tab, 'owner');
  });
  after(async () => {
    await browser?.[Symbol.asyncDispose]();
    await gateway?.close();
  });

  test('a change for the time being is announced on the page that one is on, with a countdown', async () => {
    await tab.getByText('Live', { exact: true }).waitFor();
    assert.equal(await banner().count(), 0);
    assert.equal(await put(() => ({ routes: [page('wiki', 'hello\n'), page('shop', 'open\n')] }), 60_000), 2);
    await banner().getByText('Revision 2 by owner/test is in force for the time being').waitFor();
    await banner().getByText('Unless it is confirmed, revision 1 comes back in').waitFor();
    const timer = banner().getByRole('timer');
    const first = await timer.textContent();
    assert.match(first ?? '', /^(0:[0-5]\d|1:00)$/);
    await until('the countdown to move', async () => (await timer.textContent()) !== first);
    await shot(tab, 'banner');
    await tab.getByRole('link', { name: 'Status' }).first().click();
    await tab.getByRole('heading', { name: 'Status', exact: true }).waitFor();
    await banner().waitFor();
  });

  test('what it changed is one click away, and confirming keeps it', async () => {
    await banner().getByRole('link', { name: 'route wiki added; route shop added' }).click();
    const dialog = tab.getByRole('dialog');
    await dialog.getByRole('heading', { name: 'Revision 2' }).waitFor();
    await dialog.locator('li[data-kind="added"]').nth(1).waitFor();
    await dialog.getByText('"wiki.example.test"').waitFor();
    await shot(tab, 'revision');
    await dialog.getByRole('button', { name: 'Close' }).click();
    await tab.waitForURL(`${address()}/configuration`);
    await row(2).getByText('Waits to be confirmed').waitFor();
    await banner().getByRole('button', { name: 'Confirm' }).click();
    await tab.getByText('Revision 2 stays').waitFor();
    await banner().waitFor({ state: 'detached' });
    await row(2).getByText('In force').waitFor();
    const { token } = await gateway.owner();
    assert.equal((await gateway.api('GET', '/config/state', { token })).json['provisional'], null);
  });

  test('what nobody confirms goes by itself, and the history says so', async () => {
    assert.equal(await put(() => ({ routes: [page('wiki', 'other\n')] }), 11_000), 3);
    await banner().waitFor();
    await banner().waitFor({ state: 'detached' });
    await row(4).getByText('In force').waitFor();
    await row(4).getByText('back to 2').waitFor();
    await row(4).getByText('postern', { exact: true }).first().waitFor();
    await row(3).getByText('Taken back').waitFor();
    await shot(tab, 'history');
  });

  test('changed fields are drawn old and new; the document can be read', async () => {
    await row(3).getByRole('button', { name: 'Show revision 3' }).click();
    const dialog = tab.getByRole('dialog');
    const changed = dialog.locator('li[data-kind="changed"]');
    await changed.getByText('target.body').waitFor();
    assert.deepEqual(await changed.locator('dd > span').allTextContents(), ['−before:"hello\\n"', '+after:"other\\n"']);
    assert.equal(await dialog.locator('li[data-kind="removed"]').count(), 1);
    await dialog.getByLabel('Compared with').selectOption('1');
    await dialog.locator('li[data-kind="added"]').waitFor();
    assert.equal(await changed.count(), 0);
    await dialog.getByText('The whole document').click();
    await dialog.locator('pre').getByText('"name": "wiki"').waitFor();
    await dialog.getByRole('button', { name: 'Close' }).click();
  });

  test('going back asks first, shows what it changes, and is for the time being unless one says otherwise', async () => {
    await row(1).getByRole('button', { name: 'Show revision 1' }).click();
    await tab.getByRole('button', { name: 'Roll back to revision 1…' }).click();
    const question = tab.getByRole('dialog').filter({ hasText: 'Roll back to revision 1?' }).last();
    await question.locator('li[data-kind="removed"]').first().waitFor();
    await shot(tab, 'roll-back');
    await question.getByRole('button', { name: 'Roll back', exact: true }).click();
    await tab.getByText('Revision 1 is back, as revision 5').waitFor();
    await banner().getByText('revision 4 comes back in').waitFor();
    await row(5).getByText('back to 1').waitFor();
    await banner().getByRole('button', { name: 'Roll back now' }).click();
    await tab.getByText('Revision 4 is in force again').waitFor();
    await row(6).getByText('back to 4').waitFor();
    await banner().waitFor({ state: 'detached' });
  });

  test('it reads well in the dark on a phone', async () => {
    await put(() => ({ routes: [page('wiki', `${'a-long-word-without-any-break'.repeat(6)}\n`)], deviceDomain: 'devices.example.test' }), 60_000);
    await tab.emulateMedia({ colorScheme: 'dark' });
    await tab.setViewportSize({ width: 360, height: 740 });
    await banner().waitFor();
    assert.equal(await overflow(), 0);
    await shot(tab, 'phone-list');
    await row(7).getByRole('button').click();
    await tab.getByRole('dialog').locator('li[data-kind="changed"]').first().waitFor();
    assert.equal(await overflow(), 0);
    await shot(tab, 'phone-revision');
    await tab.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
    await banner().getByRole('button', { name: 'Roll back now' }).click();
    await banner().waitFor({ state: 'detached' });
    await tab.setViewportSize({ width: 1280, height: 800 });
  });

  test('who does not administer the gateway sees neither page nor banner', async () => {
    const owner = await gateway.owner();
    const made = await gateway.api('POST', '/invites', { cookie: owner.cookie, body: { name: 'Bob', rights: [{ action: 'see', scopeKind: 'gateway', scopeId: null }] } });
    const code = new URL(String(made.json['address'])).hash.slice(1).split('/').at(-1);
    assert.equal((await gateway.api('POST', '/invites/accept', { body: { code, login: 'bob', name: 'Bob', password: 'correct horse battery staple' } })).status, 200);
    const bob = await browser.person();
    const page = await bob.tab();
    await signIn(page, 'bob');
    await put(({ routes }) => ({ routes: routes.slice(1) }), 60_000);
    await banner().waitFor();
    assert.equal(await banner(page).count(), 0);
    assert.equal(await page.getByRole('link', { name: 'Configuration' }).count(), 0);
    await page.goto(`${address()}/configuration`);
    await page.getByText('The configuration is for those who administer the gateway').waitFor();
    assert.deepEqual([...bob.complaints, ...person.complaints], []);
    await bob.context.close();
  });
});
