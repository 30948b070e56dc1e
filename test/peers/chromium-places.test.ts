// Sites, doors, the address pool and servers of applications in a real browser: a site is described, a door is opened at a real agent and
// says what keeps it shut, a pool is set up, a route becomes an application, and the proof shows what a server saw. SCREENSHOTS=folder keeps pictures.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { createServer, request as ask } from 'node:http';
import { connect, createServer as createNetServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { Page } from 'playwright-core';
import type { DoorView } from '#api/place-shapes.ts';
import { consoleDir, openBrowser, skip, type OpenBrowser, type Person } from '../kit/browser.ts';
import { startGateway, until, type TestDevice, type TestGateway } from '../kit/gateway.ts';

const lan = { agent: '127.1.0.1', client: '127.1.0.50' };
const longName = 'Multifunction device in the copy room on the third floor, beside the kitchen, Bürogebäude Nord';
let pictures = 0;
async function shot(tab: Page, name: string, full = false): Promise<void> {
  const folder = process.env['SCREENSHOTS'];
  if (folder === undefined) return;
  await tab.waitForTimeout(400); // what moves into its place has to be there
  await tab.screenshot({ path: join(folder, `places-${String(++pictures).padStart(2, '0')}-${name}.png`), fullPage: full });
}

async function freePort(address: string): Promise<number> {
  const server = createNetServer().listen(0, address);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Says which address it saw; `trusts`: it takes what the gateway's headers say. */
async function startSeeing(): Promise<{ readonly port: number; trusts: boolean; speaks: boolean; close(): Promise<void> }> {
  const server = createServer((asked, answer) => {
    const peer = asked.socket.remoteAddress ?? '';
    const told = String(asked.headers['x-forwarded-for'] ?? '').split(',').at(-1)!.trim();
    if (seeing.speaks) answer.setHeader('X-Postern-Seen', seeing.trusts && told ? told : peer);
    answer.end(`seen by ${peer}\n`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const seeing = {
    port: (server.address() as AddressInfo).port, trusts: true, speaks: true,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return seeing;
}

suite('places in Chromium', { skip }, () => {
  let gateway: TestGateway;
  let browser: OpenBrowser;
  let person: Person;
  let tab: Page;
  let device: TestDevice;
  let token: string;
  let server: Awaited<ReturnType<typeof startSeeing>>;
  let doorPort: number;
  let callbackPort: number;
  const address = () => `http://localhost:${gateway.ports.http}`;
  const dialog = () => tab.locator('[role="dialog"]:not([data-type])').last();
  const noDialog = () => tab.locator('[role="dialog"]:not([data-type])').waitFor({ state: 'detached' });
  const overflow = () => tab.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  const put = async (change: (config: Record<string, unknown>) => object) => {
    const { revision, config } = (await gateway.api('GET', '/config', { token })).json as { revision: number; config: Record<string, unknown> };
    const done = await gateway.api('PUT', '/config', { token, body: { ...config, ...change(config) }, headers: { 'if-match': `"${revision}"` } });
    assert.equal(done.status, 200, done.text);
  };
  const applyForGood = async () => {
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    await dialog().getByText('What this changes').waitFor();
    await dialog().getByLabel('For how long').selectOption('');
    await dialog().getByRole('button', { name: 'Apply' }).click();
    await noDialog();
  };
  const through = (path: string) =>
    new Promise<number>((done, failed) => {
      const sent = ask({ host: lan.agent, port: doorPort, localAddress: lan.client, path, agent: false, headers: { host: 'scan.example.test' } }, (answer) => {
        answer.resume().on('end', () => done(answer.statusCode!));
      });
      sent.on('error', failed).end();
    });

  before(async () => {
    server = await startSeeing();
    doorPort = await freePort(lan.agent);
    callbackPort = await freePort('127.74.0.9');
    gateway = await startGateway({ consoleDir });
    ({ token } = await gateway.owner());
    device = await gateway.addDevice({ name: 'Copier', ports: [{ number: server.port, kind: 'http' }] });
    browser = await openBrowser({ caFingerprint: gateway.caFingerprint, domains: ['localhost'] });
    person = await browser.person();
    tab = await person.tab();
    await tab.goto(`${address()}/sites`);
    await tab.getByLabel('Sign-in name').fill('owner');
    await tab.getByLabel('Password', { exact: true }).fill('correct horse battery staple');
    await tab.keyboard.press('Enter');
    await tab.getByRole('heading', { name: 'Sites', exact: true }).waitFor();
  });
  after(async () => {
    await browser?.[Symbol.asyncDispose]();
    await gateway?.close();
    await server?.close();
  });

  test('sites: one is there, another is added, and what both have in common is said', async () => {
    const main = tab.locator('tr[data-site="main"]');
    await main.getByText('1 of 1 linked').waitFor();
    await tab.getByText('One site is enough').waitFor();
    await shot(tab, 'sites-first');
    await tab.getByRole('button', { name: 'Add a site' }).click();
    await dialog().getByRole('button', { name: 'Add a site' }).click();
    await dialog().getByText('A site needs a name.').waitFor();
    await dialog().getByLabel('Name').fill('Hamburg, Große Elbstraße 145, warehouse and repair shop');
    await dialog().getByLabel('Networks inside (optional)').fill('192.168.1.0/24\n192.168.1.7/24');
    await dialog().getByRole('button', { name: 'Add a site' }).click();
    await dialog().getByText(/^192\.168\.1\.7\/24 is not a network .* bits behind its prefix are set/).waitFor();
    await shot(tab, 'site-wrong');
    await dialog().getByLabel('Networks inside (optional)').fill('192.168.1.0/24\n192.168.2.0/24\n10.20.0.0/16\n2001:db8:5::/48');
    await dialog().getByLabel('Where its traffic comes from (optional)').fill('203.0.113.40');
    await dialog().getByRole('button', { name: 'Add a site' }).click();
    await tab.getByRole('heading', { name: /^Hamburg/ }).waitFor();
    await noDialog();
    await shot(tab, 'site-empty');
    await tab.getByRole('link', { name: 'Sites' }).first().click();
    await tab.locator('tr[data-site^="Hamburg"]').getByText('+1').locator('visible=true').waitFor();
    await main.getByRole('link', { name: 'main' }).click();
    await tab.getByRole('button', { name: 'Change', exact: true }).click();
    await dialog().getByLabel('Networks inside (optional)').fill('192.168.0.0/16');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await noDialog();
    await tab.getByText(/^Hamburg.* has 192\.168\.[12]\.0\/24, 192\.168\.[12]\.0\/24 inside$/).waitFor();
    await tab.getByText('That is fine as long as devices come through doors').waitFor();
    await shot(tab, 'site-overlap');
  });

  test('where links come from is offered, and taken with one press', async () => {
    const agentId = device.device.agentId!;
    const note = gateway.tables.agentNotes.get(agentId)!;
    await tab.locator('[data-observed="127.0.0.1"]').getByText('private: says nothing').waitFor();
    gateway.tables.agentNotes.publish({ put: [{ ...note, from: '203.0.113.9' }] });
    await tab.reload();
    await tab.getByRole('button', { name: /^Add 203\.0\.113\.9 / }).click();
    await tab.locator('[data-observed="203.0.113.9"]').getByText('in the list').waitFor();
    const { json } = await gateway.api('GET', '/sites/main', { token });
    assert.deepEqual(json['egress'], ['203.0.113.9/32']);
    gateway.tables.agentNotes.publish({ put: [note] });
  });

  test('a door: what keeps it shut is said with the line that opens it, and it opens by itself', async () => {
    await tab.getByText('No doors').waitFor();
    await tab.getByRole('button', { name: 'Open a door' }).click();
    await dialog().getByLabel('Port', { exact: true }).fill('0');
    await dialog().getByRole('button', { name: 'Open the door' }).click();
    await dialog().getByText('Which address of the agent’s machine?').waitFor();
    await dialog().getByText('1 to 65535.').waitFor();
    await shot(tab, 'door-form');
    await dialog().getByLabel('Address of its machine').fill(lan.agent);
    await dialog().getByLabel('Port', { exact: true }).fill(String(doorPort));
    await dialog().getByLabel('Listener of the gateway').selectOption('http');
    await dialog().getByRole('button', { name: 'Open the door' }).click();
    await noDialog();
    const row = tab.locator(`[data-door="${lan.agent}:${doorPort}"]`);
    await row.getByText('shut', { exact: true }).waitFor();
    const line = await row.getByLabel('Add to the agent’s local policy', { exact: true }).textContent();
    assert.equal(line, `listen tcp ${lan.agent} ${doorPort}`);
    await shot(tab, 'door-shut');
    appendFileSync(join(device.stateDir, '..', 'policy'), `${line}\n`);
    await device.stop();
    await row.getByText(/has no link/).waitFor();
    await device.start();
    // Nobody reloads anything.
    await row.getByText('open', { exact: true }).waitFor();
    const { items } = (await gateway.api('GET', '/doors', { token })).json as unknown as { items: DoorView[] };
    assert.deepEqual(items.map((each) => [each.address, each.port, each.bound]), [[lan.agent, doorPort, true]]);
    assert.equal(await through('/'), 421, 'the gateway answers at the door: no route has that name');
    await shot(tab, 'door-open');
  });

  test('a door is changed in its place; another at the same place is refused at its field', async () => {
    const at = `${lan.agent}:${doorPort}`;
    await tab.getByRole('button', { name: 'Open a door' }).click();
    await dialog().getByLabel('Address of its machine').fill(lan.agent);
    await dialog().getByLabel('Port', { exact: true }).fill(String(doorPort));
    await dialog().getByRole('button', { name: 'Open the door' }).click();
    await dialog().getByText(/has a door there already/i).waitFor();
    await dialog().getByRole('button', { name: 'Cancel' }).click();
    await noDialog();
    await tab.getByRole('button', { name: `Actions for the door at ${at}` }).click();
    await tab.getByRole('menuitem', { name: 'Change' }).click();
    await dialog().getByLabel('Listener of the gateway').selectOption('https');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await noDialog();
    await tab.locator(`[data-door="${at}"]`).getByText('https').locator('visible=true').waitFor();
    const [door] = ((await gateway.api('GET', '/doors', { token })).json as unknown as { items: DoorView[] }).items;
    assert.equal(door?.listener, 'https');
    await gateway.api('PATCH', `/doors/${door.id}`, { token, body: { listener: 'http' } });
    await tab.locator(`[data-door="${at}"]`).getByText('http', { exact: true }).locator('visible=true').waitFor();
  });

  test('what the agents see of the network is asked for', async () => {
    await tab.getByRole('button', { name: 'Ask the agents' }).click();
    await tab.getByRole('region', { name: 'agent of Copier' }).getByText('Resolvers').waitFor();
    await shot(tab, 'site-lan', true);
  });

  test('an agent moves with its devices and doors', async () => {
    await tab.getByRole('button', { name: 'Actions for agent of Copier' }).click();
    await tab.getByRole('menuitem', { name: 'Move to another site…' }).click();
    await dialog().getByLabel('Site').selectOption({ index: 0 });
    await dialog().getByRole('button', { name: 'Move' }).click();
    await noDialog();
    await tab.getByText('No devices stand here.').waitFor();
    await tab.getByRole('link', { name: 'Sites' }).first().click();
    await tab.locator('tr[data-site^="Hamburg"]').getByText('1 of 1 open').waitFor();
    const moved = await gateway.api('POST', `/agents/${device.device.agentId}/move`, { token, body: { siteId: device.device.siteId } });
    assert.equal(moved.status, 200, moved.text);
    await tab.locator('tr[data-site="main"]').getByText('1 of 1 open').waitFor();
    await shot(tab, 'sites');
  });

  test('the address pool: none, then one, that leads here', async () => {
    await tab.goto(`${address()}/applications/addresses`);
    await tab.getByText('There is no address pool').waitFor();
    await shot(tab, 'pool-empty');
    await tab.getByRole('button', { name: 'Set up the pool' }).click();
    await dialog().getByLabel('Networks', { exact: true }).fill('127.74.0.1/16');
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    await until('the problem to stand at its field', async () => (await dialog().getByLabel('Networks', { exact: true }).getAttribute('aria-invalid')) === 'true');
    await shot(tab, 'pool-wrong');
    await dialog().getByLabel('Networks', { exact: true }).fill('127.74.0.0/16');
    await applyForGood();
    const network = tab.locator('[data-network="127.74.0.0/16"]');
    await network.getByRole('meter', { name: /0 of 65,\d{3} addresses are given/ }).waitFor();
    await tab.getByText('Nobody: no application hears virtual addresses').waitFor();
    await tab.getByText('No device has one yet').waitFor();
    await shot(tab, 'pool-new');
  });

  test('a route becomes an application; what does not fit is said at its field', async () => {
    await tab.goto(`${address()}/front-door/routes`);
    await tab.getByRole('button', { name: 'Add a route' }).first().click();
    await dialog().getByLabel('Name', { exact: true }).fill('scan');
    await dialog().getByRole('textbox', { name: 'Host (optional)' }).fill('scan.example.test');
    await dialog().getByText('http', { exact: true }).click();
    await dialog().getByLabel('Host', { exact: true }).fill('127.0.0.1');
    await dialog().getByLabel('Port', { exact: true }).fill(String(server.port));
    await dialog().getByLabel('Tell the server who the client is').waitFor();
    await dialog().getByLabel('The server knows devices by their address').check();
    await dialog().getByLabel('Tell the server who the client is').waitFor({ state: 'detached' });
    await shot(tab, 'application-form');
    await dialog().getByRole('radio', { name: 'The connection itself comes from it' }).check();
    await dialog().getByRole('radio', { name: 'The device’s own, in its network' }).waitFor({ state: 'detached' });
    await dialog().getByRole('button', { name: 'Add a port' }).click();
    await dialog().getByLabel('Port', { exact: true }).nth(1).fill(String(callbackPort));
    await dialog().getByLabel('Port at the device').fill(String(server.port));
    await dialog().getByRole('button', { name: 'Add a port' }).click();
    await dialog().getByLabel('Port', { exact: true }).nth(2).fill(String(callbackPort));
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    await dialog().getByText(/is there twice/).waitFor();
    await shot(tab, 'application-wrong');
    await dialog().getByRole('button', { name: `Remove the port ${callbackPort}` }).last().click();
    await dialog().getByLabel(/Ends after so long without a request/).fill('soon');
    await dialog().getByRole('button', { name: 'Review the change' }).click();
    await dialog().getByText('A number.', { exact: true }).waitFor();
    await dialog().getByLabel(/Ends after so long without a request/).fill('20');
    await applyForGood();
    const row = tab.locator('tr[data-route="scan"]');
    await row.getByText('application').waitFor();
    const { config } = (await gateway.api('GET', '/config', { token })).json as unknown as { config: { routes: { application: unknown }[] } };
    assert.deepEqual(config.routes[0]?.application, {
      tell: 'virtual', address: 'own', require: 'address', assigned: true, session: { jar: false, urlPrefix: false, idleMinutes: 20, absoluteHours: 12 }, callbacks: [{ transport: 'tcp', port: callbackPort, to: server.port }],
    });
    await row.getByRole('link', { name: 'application' }).click();
    await tab.getByRole('heading', { name: 'scan', exact: true }).waitFor();
  });

  test('what the server needs is shown for each kind of server', async () => {
    await tab.getByText('Each connection comes from the device’s virtual address.').waitFor();
    await tab.getByRole('heading', { name: 'To know' }).waitFor();
    await shot(tab, 'server-virtual');
    await put((config) => ({ routes: [...(config['routes'] as object[]), { name: 'forms', host: 'forms.example.test', listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port: server.port }, application: { tell: 'headers', require: 'any', assigned: false } }] }));
    await tab.getByRole('link', { name: 'Servers', exact: true }).first().click();
    await tab.locator('tr[data-application="forms"]').getByText('Forwarding headers').locator('visible=true').waitFor();
    await shot(tab, 'servers');
    await tab.getByRole('link', { name: 'forms' }).click();
    await tab.getByText(/set_real_ip_from/).first().waitFor();
    await tab.getByText('HAProxy', { exact: true }).click();
    await tab.getByText(/set_real_ip_from/).first().waitFor({ state: 'detached' });
    assert.equal(new URL(tab.url()).searchParams.get('server'), 'haproxy', 'the address can be passed on');
    await tab.getByText('IIS', { exact: true }).click();
    await tab.getByText(/web\.config|system\.webServer/).first().waitFor();
    await tab.getByLabel('Gateway, as the server sees it (optional)').fill('198.51.100.300');
    await tab.getByRole('alert').waitFor();
    await tab.getByLabel('Gateway, as the server sees it (optional)').fill('198.51.100.30');
    await tab.getByText('198\\.51\\.100\\.30').first().waitFor(); // a pattern there
    await shot(tab, 'server-iis', true);
  });

  test('prove it: equal, different with what to do, not said, no such device', async () => {
    await tab.getByText('nginx', { exact: true }).click();
    const prove = async () => void (await tab.getByRole('button', { name: /^Send (?:the request|it again)$/ }).click());
    await tab.getByLabel('Device', { exact: true }).fill('nobody');
    await prove();
    await tab.getByText('There is no device "nobody"').first().waitFor();
    await gateway.api('PATCH', `/devices/${device.device.id}`, { token, body: { host: '192.0.2.50' } });
    await tab.getByLabel('Device', { exact: true }).fill(device.device.label);
    await prove();
    const verdict = tab.locator('[data-verdict]');
    await tab.locator('[data-verdict="equal"]').waitFor();
    assert.equal(await verdict.getByRole('region', { name: 'The server saw' }).getByText('192.0.2.50').first().isVisible(), true);
    await shot(tab, 'prove-equal');
    server.trusts = false;
    await prove();
    await tab.locator('[data-verdict="different"]').waitFor();
    await verdict.getByText('HP-3').waitFor();
    await verdict.getByText('What to do').waitFor();
    await shot(tab, 'prove-different', true);
    server.speaks = false;
    await prove();
    await tab.locator('[data-verdict="untold"]').waitFor();
    await shot(tab, 'prove-untold');
    server.trusts = server.speaks = true;
    await gateway.api('PATCH', `/devices/${device.device.id}`, { token, body: { host: '127.0.0.1', name: longName } });
  });

  test('a virtual address: proved, called back, chosen by a person, taken back', async () => {
    await tab.goto(`${address()}/applications/servers/scan?device=${device.device.label}`);
    await tab.getByRole('button', { name: 'Send the request' }).click();
    await tab.locator('[data-verdict="equal"]').waitFor();
    await tab.getByText('is no job source of scan').waitFor();
    await shot(tab, 'prove-virtual');
    const added = await gateway.api('POST', '/job-sources', { token, body: { application: 'scan', device: device.device.id } });
    assert.equal(added.status, 200, added.text);
    await tab.getByRole('link', { name: 'Address pool' }).click();
    const row = tab.locator('tr[data-address^="127.74."]');
    await row.getByText('1 of 1 port open').locator('visible=true').waitFor();
    const { items } = (await gateway.api('GET', '/virtual-addresses', { token })).json as unknown as { items: { address: string }[] };
    const called = items[0]!.address;
    const socket = connect({ host: called, port: callbackPort }).on('error', () => {});
    await once(socket, 'connect');
    socket.end('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await once(socket.resume(), 'close');
    await row.locator('td').nth(3).getByText('1', { exact: true }).waitFor({ timeout: 15_000 });
    await tab.getByRole('meter', { name: /: 1 of / }).waitFor();
    await shot(tab, 'pool', true);
    await tab.getByRole('button', { name: `Actions for ${longName}` }).click();
    await tab.getByRole('menuitem', { name: 'Choose another address…' }).click();
    await dialog().getByLabel('Address', { exact: true }).fill('198.51.100.7');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await dialog().getByText('198.51.100.7 is not in the pool.').waitFor();
    await shot(tab, 'address-wrong');
    await dialog().getByLabel('Address', { exact: true }).fill('127.74.3.9');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await noDialog();
    await tab.locator('tr[data-address="127.74.3.9"]').getByText('chosen').locator('visible=true').waitFor();
    await tab.getByLabel('Search virtual addresses').fill('nothing like it');
    await tab.getByText('Nothing matches').waitFor();
    await tab.getByRole('button', { name: 'Clear the search' }).click();
    await tab.getByRole('button', { name: `Actions for ${longName}` }).click();
    await tab.getByRole('menuitem', { name: 'Leave it to the pool' }).click();
    await tab.locator('tr[data-address="127.74.3.9"]').getByText('chosen').locator('visible=true').waitFor({ state: 'detached' });
  });

  test('who may not call is listed; a network that does not lead here is said with its command', async () => {
    await put(() => ({ addressPool: { networks: ['127.74.0.0/16', '100.72.0.0/16'], callers: ['192.0.2.1'] } }));
    const row = tab.locator('tr[data-address^="127.74."]');
    await row.getByText('1 of 1 port open').locator('visible=true').waitFor();
    const { items } = (await gateway.api('GET', '/virtual-addresses', { token })).json as unknown as { items: { address: string }[] };
    // Refused before a byte: whether the connection is seen at all is the system's choice.
    await new Promise((done) => connect({ host: items[0]!.address, port: callbackPort }).on('error', () => {}).on('close', done).resume());
    await tab.getByText(new RegExp(`called ${items[0]!.address.replaceAll('.', '\\.')} ${callbackPort}/tcp`)).waitFor({ timeout: 15_000 });
    await row.getByText('1 refused').waitFor({ timeout: 15_000 });
    const command = await tab.getByLabel('Run once, as root, on the gateway’s machine', { exact: true }).first().textContent();
    assert.equal(command, 'ip route add local 100.72.0.0/16 dev lo');
    await shot(tab, 'pool-failure', true);
    await put(() => ({ addressPool: { networks: ['127.74.0.0/16'] } }));
  });

  test('nothing is wider than a telephone, and dark is dark', async () => {
    const { siteId, label } = device.device;
    await gateway.api('PATCH', `/devices/${label}`, { token, body: { host: '192.0.2.50' } });
    const every = ['/sites', `/sites/${siteId}`, '/applications/addresses', '/applications/servers', `/applications/servers/forms?device=${label}`, '/front-door/routes'];
    for (const [scheme, width] of [['dark', 390], ['dark', 1280], ['light', 390]] as const) {
      await tab.emulateMedia({ colorScheme: scheme });
      await tab.setViewportSize({ width, height: 800 });
      for (const path of every) {
        await tab.goto(`${address()}${path}`);
        await tab.locator('h1').waitFor();
        await tab.locator('.skeleton').first().waitFor({ state: 'detached' });
        if (path.includes('forms')) {
          await tab.getByRole('button', { name: 'Send the request' }).click();
          await tab.locator('[data-verdict]').waitFor();
        }
        await shot(tab, `${scheme}-${width}-${path.replace(/[^a-z]+/gi, '-')}`, true);
        assert.equal(await overflow(), 0, `${path} at ${width}`);
      }
    }
    await tab.goto(`${address()}/front-door/routes`);
    await tab.getByRole('button', { name: 'forms', exact: true }).click();
    await dialog().getByLabel('The server knows devices by their address').scrollIntoViewIfNeeded();
    await shot(tab, 'form-narrow');
    assert.equal(await dialog().evaluate((box) => (box as unknown as { scrollWidth: number; clientWidth: number }).scrollWidth - (box as unknown as { clientWidth: number }).clientWidth), 0);
    await tab.keyboard.press('Escape');
    await tab.setViewportSize({ width: 1280, height: 800 });
  });

  test('who only sees finds everything, and no button that changes anything', async () => {
    const { siteId, id } = device.device;
    const visit = async (login: string, right: object): Promise<Page> => {
      const invited = await gateway.api('POST', '/invites', { token, body: { name: login, rights: [right] } });
      const code = String(invited.json['address']).split('/').at(-1);
      const accepted = await gateway.api('POST', '/invites/accept', { body: { code, login, name: login, password: 'correct horse battery staple' } });
      assert.equal(accepted.status, 200, accepted.text);
      const page = await (await browser.person()).tab();
      await page.goto(`${address()}/sites`);
      await page.getByLabel('Sign-in name').fill(login);
      await page.getByLabel('Password', { exact: true }).fill('correct horse battery staple');
      await page.keyboard.press('Enter');
      await page.locator('tr[data-site="main"]').waitFor();
      return page;
    };
    const looker = await visit('looker', { action: 'see', scopeKind: 'gateway', scopeId: null });
    assert.equal(await looker.getByRole('button', { name: 'Add a site' }).count(), 0);
    await looker.getByRole('link', { name: 'main', exact: true }).click();
    await looker.locator(`[data-door="${lan.agent}:${doorPort}"]`).waitFor();
    assert.equal(await looker.locator('main').getByRole('button').count(), 0);
    await looker.goto(`${address()}/applications/sources`);
    await looker.getByText('You administer nothing here').waitFor();
    await looker.getByRole('link', { name: 'Address pool' }).click();
    await looker.locator('tr[data-address^="127.74."]').waitFor();
    assert.equal(await looker.locator('main').getByRole('button').count(), 0);
    await looker.goto(`${address()}/applications/servers`);
    await looker.getByText('You administer nothing here').waitFor();
    const one = await visit('one', { action: 'open', scopeKind: 'device', scopeId: id });
    await one.getByText('You see single devices of this site').waitFor();
    assert.equal(await one.getByRole('link', { name: 'main', exact: true }).count(), 0);
    await shot(one, 'site-of-one-device');
    await one.goto(`${address()}/sites/${siteId}`);
    await one.getByText(/there is no such site/i).waitFor();
  });

  test('by the keyboard alone, and with nothing to complain of', async () => {
    await tab.emulateMedia({ colorScheme: 'light' });
    await tab.goto(`${address()}/applications/servers/forms`);
    await tab.getByRole('radio', { name: 'nginx' }).focus();
    await tab.keyboard.press('ArrowRight');
    await until('the next kind of server to be chosen', () => tab.getByRole('radio', { name: 'Apache' }).isChecked());
    await tab.goto(`${address()}/sites/${device.device.siteId}`);
    await tab.getByRole('button', { name: 'Open a door' }).focus();
    await tab.keyboard.press('Enter');
    await dialog().getByLabel('Address of its machine').waitFor();
    await tab.keyboard.press('Escape');
    await noDialog();
    await until('the focus to be back where it was', () => tab.getByRole('button', { name: 'Open a door' }).evaluate((button) => (button as unknown as { ownerDocument: { activeElement: unknown } }).ownerDocument.activeElement === button));
    assert.deepEqual(person.complaints, []);
  });
});
