// The front door in a real browser: a route is built in the console and then really works; listeners, TLS policies and proxies are changed,
// what is wrong is said at its field, who was quicker is not overwritten, connections tick and are closed. SCREENSHOTS=folder keeps pictures.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import type { Config } from '#model/config.ts';
import { consoleDir, openBrowser, skip, type OpenBrowser, type Person } from '../kit/browser.ts';
import { portOf, request, startGateway, startTcp, until, type TestGateway } from '../kit/gateway.ts';

let pictures = 0;
async function shot(tab: Page, name: string): Promise<void> {
  const folder = process.env['SCREENSHOTS'];
  if (folder === undefined) return;
  await tab.waitForTimeout(400); // what moves into its place has to be there
  await tab.screenshot({ path: join(folder, `door-${String(++pictures).padStart(2, '0')}-${name}.png`) });
}

suite('the front door in Chromium', { skip }, () => {
  let gateway: TestGateway;
  let browser: OpenBrowser;
  let person: Person;
  let tab: Page;
  let web: Awaited<ReturnType<typeof startTcp>>;
  let shell: Awaited<ReturnType<typeof startTcp>>;
  const clients: Socket[] = [];
  const address = () => `http://localhost:${gateway.ports.http}`;
  /** News that come up in a corner are dialogs to the browser, too. */
  const dialogs = () => tab.locator('[role="dialog"]:not([data-type])');
  const dialog = () => dialogs().last();
  const overflow = () => tab.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  const part = async (name: string) => {
    await tab.getByRole('navigation', { name: 'Parts of the front door' }).getByRole('link', { name }).click();
    await tab.getByRole('heading', { name, exact: true }).waitFor();
  };
  const review = async (within = '') => {
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    await dialog().getByText('What this changes').waitFor();
    await dialog().getByLabel('For how long').selectOption(within);
  };
  const apply = async () => {
    await dialog().getByRole('button', { name: 'Apply' }).click();
    await tab.getByText(/^Applied as revision \d+$/).last().waitFor();
    await dialogs().waitFor({ state: 'detached' });
  };
  const config = async () => {
    const { token } = await gateway.owner();
    return (await gateway.api('GET', '/config', { token })).json as unknown as { revision: number; config: Config };
  };
  /** As from a command line somewhere else. */
  const put = async (change: (config: Config) => object) => {
    const { token } = await gateway.owner();
    const now = await config();
    const done = await gateway.api('PUT', '/config', { token, body: { ...now.config, ...change(now.config) }, headers: { 'if-match': `"${now.revision}"` } });
    assert.equal(done.status, 200, done.text);
  };
  const wrongAt = (field: Locator) => until('the problem to stand at its field', async () => {
    const note = await field.getAttribute('aria-describedby');
    return (await field.getAttribute('aria-invalid')) === 'true' && note !== null && (await tab.locator(`[id="${note}"]`).textContent());
  });

  before(async () => {
    web = await startTcp((socket) => void socket.on('data', (piece: Buffer) => {
      const line = piece.toString('latin1').split('\r\n')[0]!;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${line.length}\r\n\r\n${line}`);
    }));
    shell = await startTcp((socket) => void socket.write('SSH-2.0-there\r\n'));
    gateway = await startGateway({ consoleDir, config: { listeners: [{ name: 'mixed', tls: false, protocols: ['ldap', 'ssh'], proxyProtocolFrom: ['198.51.100.0/24'] }] } });
    await gateway.owner();
    browser = await openBrowser({ caFingerprint: gateway.caFingerprint, domains: ['localhost'] });
    person = await browser.person();
    tab = await person.tab();
    await tab.goto(`${address()}/front-door`);
    await tab.getByLabel('Sign-in name').fill('owner');
    await tab.getByLabel('Password', { exact: true }).fill('correct horse battery staple');
    await tab.keyboard.press('Enter');
    await tab.getByRole('heading', { name: 'Listeners', exact: true }).waitFor();
  });
  after(async () => {
    for (const client of clients) client.destroy();
    await browser?.[Symbol.asyncDispose]();
    await gateway?.close();
    await web?.[Symbol.asyncDispose]();
    await shell?.[Symbol.asyncDispose]();
  });

  test('listeners: what they take and how they fare', async () => {
    const mixed = tab.locator('tr[data-listener="mixed"]');
    await mixed.getByText('PROXY header from 1 sender').locator('visible=true').waitFor();
    await mixed.getByText(`127.0.0.1:${portOf(gateway, 'mixed')}`).waitFor();
    const client = connect(portOf(gateway, 'mixed'), '127.0.0.1').on('error', () => {}).resume();
    client.write('GET / HTTP/1.1\r\n\r\n');
    await mixed.locator('td').nth(4).getByText('1', { exact: true }).waitFor();
    await shot(tab, 'listeners');
  });

  test('routes: nothing there yet; one is added, and a request is answered by it', async () => {
    await part('Routes');
    await tab.getByText('No routes yet').waitFor();
    await shot(tab, 'routes-empty');
    await tab.getByRole('button', { name: 'Add a route' }).first().click();
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    assert.match(String(await wrongAt(dialog().getByLabel('Name', { exact: true }))), /beginning with a letter/);
    assert.match(String(await wrongAt(dialog().getByLabel('Port', { exact: true }))), /1 to 65535/);
    await dialog().getByLabel('Name', { exact: true }).fill('shop');
    await dialog().getByRole('textbox', { name: 'Host (optional)' }).fill('-not a name-');
    await dialog().getByLabel('Host', { exact: true }).fill('127.0.0.1');
    await dialog().getByLabel('Port', { exact: true }).fill(String(web.port));
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    assert.match(String(await wrongAt(dialog().getByRole('textbox', { name: 'Host (optional)' }))), /not a host name/i);
    await shot(tab, 'route-problem');
    await dialog().getByRole('textbox', { name: 'Host (optional)' }).fill('shop.example.test');
    await until('the mark to go once it is mended', async () => (await dialog().getByRole('textbox', { name: 'Host (optional)' }).getAttribute('aria-invalid')) === null);
    await dialog().getByText('http', { exact: true }).click();
    await dialog().getByRole('button', { name: 'Add a class' }).click();
    await dialog().getByLabel('Name', { exact: true }).nth(1).fill('open');
    await dialog().getByLabel('Paths, one a line').fill('/shelf\n/till');
    await dialog().getByLabel('What is in no class is refused').check();
    await shot(tab, 'route-form');
    await review();
    await dialog().locator('li[data-kind="added"]').getByText('"shop.example.test"').waitFor();
    await shot(tab, 'route-review');
    await dialog().getByRole('button', { name: 'Back to the form' }).click();
    assert.equal(await dialog().getByLabel('Port', { exact: true }).inputValue(), String(web.port), 'nothing typed is lost');
    await review();
    await apply();
    await tab.locator('tr[data-route="shop"]').getByText('1 class, nothing else').waitFor();
    const answer = await request(gateway.ports.http, { path: '/shelf/7', headers: { host: 'shop.example.test' } });
    assert.deepEqual([answer.status, answer.body.toString()], [200, 'GET /shelf/7 HTTP/1.1']);
    assert.equal((await request(gateway.ports.http, { path: '/other', headers: { host: 'shop.example.test' } })).status, 403);
  });

  test('for the time being, unless one says otherwise', async () => {
    await tab.getByRole('button', { name: 'shop', exact: true }).click();
    await dialog().getByLabel('Paths, one a line').fill('/shelf');
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    await dialog().getByText('What this changes').waitFor();
    assert.equal(await dialog().getByLabel('For how long').inputValue(), '60000');
    await dialog().getByRole('button', { name: 'Apply' }).click();
    const banner = tab.getByRole('region', { name: 'A change waits to be confirmed' });
    await banner.waitFor();
    await shot(tab, 'provisional');
    await banner.getByRole('button', { name: 'Confirm' }).click();
    await banner.waitFor({ state: 'detached' });
  });

  test('a route of another protocol has other fields, and leads there', async () => {
    await tab.getByRole('button', { name: 'Add a route' }).first().click();
    await dialog().getByLabel('Name', { exact: true }).fill('phones');
    await dialog().getByLabel('Protocol').selectOption('h323');
    assert.equal(await dialog().getByLabel('Paths').count(), 0);
    await dialog().getByLabel('User, alias or number (optional)').fill('49*');
    await dialog().getByLabel('Target').selectOption('tls');
    await dialog().getByLabel('Host', { exact: true }).fill('192.0.2.1');
    await dialog().getByLabel('Port', { exact: true }).fill('1300');
    await dialog().getByLabel('Its certificate is judged by').selectOption('fingerprint');
    await dialog().getByLabel('SHA-256 fingerprint').fill('12:34');
    await dialog().getByLabel('Check certificate').selectOption('port');
    await dialog().getByLabel('Port without TLS').fill('1720');
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    assert.match(String(await wrongAt(dialog().getByLabel('SHA-256 fingerprint'))), /64 hex digits/);
    await dialog().getByLabel('SHA-256 fingerprint').fill('ab'.repeat(32));
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    await dialog().getByText(/no TLS listener takes h323/i).waitFor();
    await shot(tab, 'route-h323');
    await dialog().getByLabel('Protocol').selectOption('ssh');
    assert.equal(await dialog().getByLabel('Check certificate').count(), 0);
    await dialog().getByLabel('Target').selectOption('tcp');
    await dialog().getByLabel('Name', { exact: true }).fill('shell');
    await dialog().getByLabel('User, alias or number (optional)').fill('');
    await dialog().getByLabel('Host', { exact: true }).fill('127.0.0.1');
    await dialog().getByLabel('Port', { exact: true }).fill(String(shell.port));
    await dialog().getByText('mixed', { exact: true }).click();
    await review();
    await apply();
    const client = connect(portOf(gateway, 'mixed'), '127.0.0.1').on('error', () => {});
    clients.push(client);
    let said = '';
    client.on('data', (piece) => void (said += String(piece))).write('SSH-2.0-here\r\n');
    await until('the banner of the server behind', () => said === 'SSH-2.0-there\r\n');
  });

  test('who was quicker is not overwritten unseen', async () => {
    await tab.getByRole('button', { name: 'shop', exact: true }).click();
    await dialog().getByLabel('Paths, one a line').fill('/mine');
    await review();
    await put(({ routes }) => ({ routes: routes.map((route) => (route.name === 'shop' ? { ...route, ignoreCase: true } : route)) }));
    await dialog().getByRole('button', { name: 'Apply' }).click();
    await dialog().getByText(/Somebody changed the configuration meanwhile/).waitFor();
    await dialog().getByText('“shop” itself was changed meanwhile').waitFor();
    await dialog().getByText('ignoreCase').waitFor();
    await shot(tab, 'conflict');
    await apply();
    const { config: now } = await config();
    assert.deepEqual(now.routes.find((route) => route.name === 'shop')?.classes[0]?.paths, ['/mine']);
  });

  test('thousands of routes: searched, filtered, and drawn in their order', async () => {
    const many = Array.from({ length: 3_000 }, (_, i) => ({ name: `r${i}`, host: `h${i}.many.example.test`, listeners: ['http'], target: { kind: 'tcp', host: '192.0.2.9', port: 8080 } }));
    const tiers = [
      { name: 'wide', host: '*.example.test', target: { kind: 'respond', body: 'wide' } }, { name: 'deep', host: '*.many.example.test', target: { kind: 'respond', body: 'deep' } },
      { name: 'docs', host: 'h7.many.example.test', path: '/docs', target: { kind: 'respond', body: 'docs' } }, { name: 'rest', target: { kind: 'respond', body: 'rest' } },
    ];
    await put(({ routes }) => ({ routes: [...routes, ...many, ...tiers] }));
    await tab.getByText('3,006 routes').waitFor();
    assert.equal(await tab.locator('tr[data-route]').count(), 100);
    await tab.getByLabel('Search routes').fill('h7.many');
    await tab.getByText('2 of 3,006 routes').waitFor();
    await tab.getByLabel('Protocol', { exact: true }).first().selectOption('ssh');
    await tab.getByText('Nothing matches').waitFor();
    await tab.getByRole('button', { name: 'Clear search and filter' }).click();
    await tab.getByRole('form', { name: 'In which order?' }).getByLabel('Host or domain').fill('h7.many.example.test');
    await tab.getByRole('form', { name: 'In which order?' }).getByLabel('Path').fill('/docs/a');
    await tab.keyboard.press('Enter');
    await tab.locator('[data-rung="docs"][data-won]').waitFor();
    assert.deepEqual(await tab.locator('[data-rung]').evaluateAll((rungs) => rungs.map((rung) => rung.getAttribute('data-rung'))), ['docs', 'r7', 'deep', 'wide', 'rest']);
    await shot(tab, 'precedence');
    await tab.getByRole('form', { name: 'In which order?' }).getByLabel('Host or domain').fill('elsewhere.test');
    await tab.getByRole('button', { name: 'Look' }).click();
    await tab.locator('[data-rung="rest"][data-won]').waitFor();
  });

  test('a listener is renamed with everything that names it, and one that routes need cannot be removed', async () => {
    await part('Listeners');
    await tab.getByRole('button', { name: 'mixed', exact: true }).click();
    await dialog().getByLabel('Name', { exact: true }).fill('phones-and-shells');
    await dialog().getByText('SIP', { exact: true }).click();
    await dialog().getByLabel('Silent for so long (ms) (optional)').fill('50');
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    assert.match(String(await wrongAt(dialog().getByLabel('Silent for so long (ms) (optional)'))), /200/);
    await dialog().getByLabel('Silent for so long (ms) (optional)').fill('500');
    await shot(tab, 'listener-form');
    await review();
    await apply();
    const { config: now } = await config();
    assert.deepEqual(now.routes.find((route) => route.name === 'shell')?.listeners, ['phones-and-shells']);
    assert.deepEqual(now.listeners.at(-1)?.protocols, ['ldap', 'sip', 'ssh']);
    await tab.getByRole('button', { name: 'Actions for phones-and-shells' }).click();
    await tab.getByRole('menuitem', { name: 'Remove…' }).click();
    await dialog().getByText('Other places of the configuration would no longer fit').waitFor();
    await dialog().getByText('Route shell: listeners').waitFor();
    await dialog().getByText('there is no listener "phones-and-shells"').waitFor();
    await shot(tab, 'listener-needed');
    await dialog().getByRole('button', { name: 'Close' }).last().click();
  });

  test('TLS policies with a legacy lane, and trusted proxies', async () => {
    await part('TLS and proxies');
    await tab.getByText('No policies').waitFor();
    await tab.getByText('Nobody has used the legacy lane').waitFor();
    await tab.getByRole('button', { name: 'Add a policy' }).click();
    await dialog().getByLabel('Name', { exact: true }).fill('printers');
    await dialog().getByLabel('Names (optional)').fill('old.example.test\n*.old.example.test');
    await dialog().getByLabel('Client certificates').selectOption('asked');
    await dialog().getByLabel('Let old clients in by a lane of their own').check();
    await dialog().getByLabel('Sources').fill('everybody');
    await dialog().getByLabel('Until').fill('2027-06-30');
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    assert.match(String(await wrongAt(dialog().getByLabel('Sources'))), /not an address or network/i);
    await dialog().getByLabel('Sources').fill('203.0.113.0/24, 198.51.100.7');
    await shot(tab, 'policy-form');
    await review();
    await apply();
    await tab.locator('li[data-policy="printers"]').getByText('2 sources').waitFor();
    await tab.getByRole('button', { name: 'Add a proxy' }).click();
    await dialog().getByLabel('Address or network').fill('192.0.2.80');
    await dialog().getByLabel('Client certificate with this subject (optional)').fill('edge');
    await review();
    await apply();
    await tab.getByText('certificate of edge').waitFor();
    await shot(tab, 'tls');
    const { config: now } = await config();
    assert.deepEqual([now.tlsPolicies[0]?.legacyLane, now.trustedProxies], [{ from: ['203.0.113.0/24', '198.51.100.7'], until: '2027-06-30' }, [{ from: '192.0.2.80', subject: 'edge' }]]);
    await tab.getByRole('button', { name: 'Actions for printers' }).click();
    await tab.getByRole('menuitem', { name: 'Remove…' }).click();
    await dialog().locator('li[data-kind="removed"]').waitFor();
    await dialog().getByLabel('For how long').selectOption('');
    await dialog().getByRole('button', { name: 'Remove' }).click();
    await tab.getByText('No policies').waitFor();
  });

  test('connections tick, are found, and are closed after a question', async () => {
    await part('Connections');
    const row = tab.locator('tr[data-conn]').filter({ hasText: 'SSH' });
    await row.waitFor();
    await tab.getByText('this browser').first().waitFor();
    const client = clients[0]!;
    client.write('x'.repeat(4_000));
    await row.getByText('4.01 kB').locator('visible=true').first().waitFor();
    await shot(tab, 'connections');
    await tab.getByLabel('Search connections').fill('nobody.example.test');
    await tab.getByText('No connection fits this search and filter.').waitFor();
    await tab.getByRole('button', { name: 'Clear search and filter' }).click();
    await tab.getByLabel('Protocol', { exact: true }).selectOption('ssh');
    await until('only that one', async () => (await tab.locator('tr[data-conn]').count()) === 1);
    await row.getByRole('button', { name: /Close the connection from 127\.0\.0\.1/ }).click();
    await dialog().getByRole('button', { name: 'Close', exact: true }).last().click();
    await until('its end', () => client.destroyed || client.readableEnded);
    await row.waitFor({ state: 'detached' });
    await tab.getByRole('button', { name: 'Clear search and filter' }).click();
  });

  test('explain takes first packets, too', async () => {
    await tab.getByRole('link', { name: 'Status' }).first().click();
    await tab.getByLabel('Address', { exact: true }).fill(`ssh://192.0.2.9`);
    await tab.getByText('More about the client').click();
    await tab.getByLabel('Best TLS that it can do').selectOption('1.0');
    await tab.getByRole('button', { name: 'Explain' }).click();
    await tab.getByText('Goes to a server').waitFor();
    await tab.getByText('no domain').waitFor();
    await shot(tab, 'explain');
    await tab.getByLabel('Address', { exact: true }).fill('https://old.example.test/');
    await tab.getByRole('button', { name: 'Explain' }).click();
    await tab.getByText('Is refused').waitFor();
    await tab.getByText('default, refused').waitFor();
  });

  test('it reads well in the dark on a phone, and by keyboard', async () => {
    await tab.emulateMedia({ colorScheme: 'dark' });
    await tab.setViewportSize({ width: 360, height: 740 });
    for (const [path, name] of [['listeners', 'Listeners'], ['routes?host=h7.many.example.test', 'Routes'], ['tls', 'TLS and proxies'], ['connections', 'Connections']] as const) {
      await tab.goto(`${address()}/front-door/${path}`);
      await tab.getByRole('heading', { name, exact: true }).waitFor();
      await tab.locator('.skeleton').first().waitFor({ state: 'detached' });
      assert.equal(await overflow(), 0, path);
      const edges = await tab.locator('main td, main button').evaluateAll((parts) => parts.map((part) => part.getBoundingClientRect().right));
      assert.deepEqual(edges.filter((edge) => edge > 345), [], `${path}: cut off by its card`);
      await shot(tab, `phone-${name.split(' ')[0]!.toLowerCase()}`);
    }
    await tab.goto(`${address()}/front-door/routes?q=shop`);
    await tab.getByRole('button', { name: 'shop', exact: true }).focus();
    await tab.keyboard.press('Enter');
    await dialog().getByLabel('Name', { exact: true }).first().waitFor();
    assert.equal(await overflow(), 0);
    await shot(tab, 'phone-form');
    await tab.keyboard.press('Escape');
    await dialogs().waitFor({ state: 'detached' });
    await tab.setViewportSize({ width: 1280, height: 800 });
    await tab.goto(`${address()}/front-door/routes?q=many&host=h7.many.example.test&path=/docs`);
    await tab.locator('[data-rung="docs"][data-won]').waitFor();
    await shot(tab, 'dark-routes');
    assert.deepEqual(person.complaints, []);
  });
});
