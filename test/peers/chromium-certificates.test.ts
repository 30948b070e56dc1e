// Certificates in a real browser: what is uploaded, asked for, issued and ordered there is what openssl and a TLS client then see. SCREENSHOTS=folder keeps pictures.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { after, before, suite, test } from 'node:test';
import type { Page } from 'playwright-core';
import { startAuthority, type Authority } from '../kit/acme-authority.ts';
import { consoleDir, openBrowser, skip, type OpenBrowser, type Person } from '../kit/browser.ts';
import { finishesCleanly, portOf, startGateway, temporaryFolder, until, type TestDevice, type TestGateway } from '../kit/gateway.ts';
import { findPeers } from '../kit/peers.ts';

const peers = findPeers(['openssl']);
const host = 'pbx.example.test';

let pictures = 0;
async function shot(tab: Page, name: string): Promise<void> {
  const folder = process.env['SCREENSHOTS'];
  if (folder === undefined) return;
  await tab.waitForTimeout(400); // what moves into its place has to be there
  await tab.screenshot({ path: join(folder, `certificates-${String(++pictures).padStart(2, '0')}-${name}.png`) });
}

suite('certificates in Chromium', { skip: skip || peers.skip, timeout: 180_000 }, () => {
  const folder = temporaryFolder();
  const file = (name: string) => join(folder.path, name);
  let gateway: TestGateway;
  let browser: OpenBrowser;
  let person: Person;
  let tab: Page;
  let authority: Authority;
  let device: TestDevice;
  const address = () => `http://localhost:${gateway.ports.http}`;
  /** News that come up in a corner are dialogs to the browser, too. */
  const dialogs = () => tab.locator('[role="dialog"]:not([data-type])');
  const dialog = () => dialogs().last();
  const button = (name: string | RegExp) => tab.getByRole('button', { name, exact: true });
  const overflow = () => tab.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  const add = async (way: string) => {
    await tab.goto(`${address()}/certificates/add?way=${way}`);
    await tab.locator('main form').waitFor();
  };
  const open = async (name: string) => {
    await tab.goto(`${address()}/certificates`);
    await tab.getByRole('link', { name, exact: true }).first().click();
    await tab.getByRole('heading', { level: 1 }).filter({ hasText: name }).waitFor();
  };
  const menu = async (entry: string) => {
    await tab.getByRole('button', { name: 'Certificate actions' }).click();
    await tab.getByRole('menuitem', { name: entry }).click();
  };
  async function openssl(...args: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      execFile(peers.path('openssl'), args, { cwd: folder.path, encoding: 'utf8', timeout: 30_000 }, (error, stdout, stderr) => (error ? reject(new Error(`openssl ${args.join(' ')}: ${stderr}`)) : resolve(stdout)));
    });
  }
  /** Signed by the test's root: `<stem>.pem`, `<stem>.key`, `<stem>.csr`. */
  const make = async (stem: string, commonName = stem) => {
    await openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${stem}.key`, '-out', `${stem}.csr`, '-subj', `/CN=${commonName}`, '-addext', `subjectAltName=DNS:${host}`);
    await openssl('x509', '-req', '-in', `${stem}.csr`, '-CA', 'root.pem', '-CAkey', 'root.key', '-days', '90', '-copy_extensions', 'copy', '-out', `${stem}.pem`);
  };
  const print = (pem: string) => new X509Certificate(readFileSync(file(pem))).fingerprint256;
  /** What a client that trusts this root is shown in a handshake. */
  const shown = (root: string, servername = host) =>
    new Promise<string>((done, failed) => {
      const socket = connect({ host: '127.0.0.1', port: portOf(gateway, 'https'), servername, ca: readFileSync(file(root)) }, () => {
        done(socket.getPeerX509Certificate()!.fingerprint256);
        socket.destroy();
      });
      socket.once('error', failed);
    });
  const kept = async (press: () => Promise<void>, name: string) => {
    const [download] = await Promise.all([tab.waitForEvent('download'), press()]);
    await download.saveAs(file(name));
    return download.suggestedFilename();
  };
  const signInAs = async (page: Page, login: string, password: string) => {
    await page.goto(`${address()}/certificates`);
    await page.getByLabel('Sign-in name').fill(login);
    await page.getByLabel('Password', { exact: true }).fill(password);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Certificates', exact: true }).waitFor();
  };

  before(async () => {
    await openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'root.key', '-out', 'root.pem', '-days', '30', '-subj', '/CN=Test Root');
    for (const stem of ['first', 'second', 'theirs']) await make(stem);
    gateway = await startGateway({
      consoleDir, domain: 'gw.example.test',
      routes: [{ name: 'pbx', host, target: { kind: 'respond', body: 'the PBX' } }, { name: 'shown', host: 'other.example.test', target: { kind: 'tls', host: '192.0.2.7', port: 443, certificate: 'pbx' } }],
    });
    writeFileSync(file('private-ca.pem'), gateway.caPem);
    await gateway.owner();
    device = await gateway.addDevice({ name: 'Mail', ports: [{ number: 443, kind: 'https' }] });
    authority = await startAuthority();
    browser = await openBrowser({ caFingerprint: gateway.caFingerprint });
    person = await browser.person();
    tab = await person.tab();
    await signInAs(tab, 'owner', 'correct horse battery staple');
  });
  after(async () => {
    await browser?.[Symbol.asyncDispose]();
    await authority?.[Symbol.asyncDispose]();
    await device?.stop();
    await gateway?.close();
    folder[Symbol.dispose]();
  });

  test('nothing of ours yet; the private CA and its leaves stand apart', async () => {
    await tab.getByText('No certificates of your own yet').waitFor();
    await tab.getByRole('table', { name: 'The private CA and what it makes' }).getByRole('link', { name: 'private CA' }).waitFor();
    await shot(tab, 'empty');
    await tab.getByLabel('Search certificates').fill('nothing like it');
    await tab.getByText('Nothing matches').waitFor();
    await button('Clear search and filter').click();
  });

  test('an upload: what is wrong with it is said and nothing is stored; then the handshake shows it', async () => {
    await tab.getByRole('link', { name: 'Add a certificate' }).first().click();
    await tab.getByLabel('Name', { exact: true }).fill('not a name!');
    await button('Check it').click();
    assert.equal(await tab.getByLabel('Name', { exact: true }).getAttribute('aria-invalid'), 'true');
    await tab.getByText('Choose files or paste text first.').waitFor();
    await tab.getByLabel('Name', { exact: true }).fill('pbx');
    await tab.locator('input[type=file]').setInputFiles([file('first.pem'), file('second.key')]);
    await tab.locator('[data-verdict="error"]').getByText('The private key does not belong to this certificate').waitFor();
    await tab.getByText('Upload the key that was made together with the request.').waitFor();
    assert.equal(await button('Put it in place').count(), 0);
    await shot(tab, 'verdict-error');
    await button('Leave out second.key').click();
    await tab.locator('input[type=file]').setInputFiles(file('first.key'));
    await tab.locator('[data-verdict="ok"]').getByText('The private key belongs to it').waitFor();
    await assert.rejects(shown('root.pem'), 'only looked at, not stored');
    await button('Put it in place').click();
    await tab.getByRole('heading', { level: 1 }).filter({ hasText: 'pbx' }).waitFor();
    await tab.getByText('Shown to the server of').waitFor();
    assert.equal(await shown('root.pem'), print('first.pem'));
    const pin = tab.getByRole('textbox', { name: 'Certificate, SHA-256' }).first();
    assert.equal(await pin.textContent(), print('first.pem').replaceAll(':', '').toLowerCase());
    await shot(tab, 'page');
  });

  test('a swap says who trusts the old one, which has to be read first; and it goes back', async () => {
    await button('Replace…').click();
    await dialog().locator('input[type=file]').setInputFiles([file('second.pem'), file('second.key')]);
    await dialog().locator('[data-trust="change"]').getByText('Server behind route shown').waitFor();
    const swap = dialog().getByRole('button', { name: 'Swap it' });
    assert.equal(await swap.isDisabled(), true);
    await dialog().getByLabel('I have read who trusts the old one').check();
    await shot(tab, 'swap');
    await swap.click();
    await dialogs().waitFor({ state: 'detached' });
    assert.equal(await shown('root.pem'), print('second.pem'));
    await tab.getByText('What it was before').waitFor();
    await menu('Go back…');
    await dialog().getByLabel('I have read who trusts the old one').check();
    await dialog().getByRole('button', { name: 'Go back' }).click();
    await dialogs().waitFor({ state: 'detached' });
    assert.equal(await shown('root.pem'), print('first.pem'));
  });

  test('a key and request made here, signed by openssl, answered, served', async () => {
    await add('request');
    assert.equal(await tab.getByLabel('Common name (CN)').inputValue(), 'gw.example.test', 'filled in');
    await tab.getByLabel('Name', { exact: true }).fill('pbx');
    await button('Make key and request').click();
    await tab.getByText('Another certificate has this name already.').waitFor();
    await tab.getByLabel('Name', { exact: true }).fill('asked');
    await tab.getByLabel('Host names and addresses').fill('ask.example.test');
    await tab.getByLabel('Common name (CN)').fill('ask.example.test');
    await tab.getByLabel('Country (C)').fill('1');
    await tab.getByLabel('RSA 2048').check();
    await shot(tab, 'request');
    await button('Make key and request').click();
    await until('the field that is wrong', async () => (await tab.getByLabel('Country (C)').getAttribute('aria-invalid')) === 'true');
    await tab.getByLabel('Country (C)').fill('de');
    await button('Make key and request').click();
    await tab.getByText('Its request (CSR)').waitFor();
    assert.equal(await kept(() => button('Download the request').click(), 'asked.csr'), 'asked.csr');
    assert.match(await openssl('req', '-in', 'asked.csr', '-noout', '-verify', '-subject', '-text'), /CN ?= ?ask\.example\.test[^]*2048 bit[^]*DNS:ask\.example\.test/);
    await openssl('x509', '-req', '-in', 'asked.csr', '-CA', 'root.pem', '-CAkey', 'root.key', '-days', '20', '-copy_extensions', 'copy', '-outform', 'DER', '-out', 'asked.der');
    await button('Upload the answer…').click();
    await dialog().locator('input[type=file]').setInputFiles(file('asked.der'));
    await dialog().getByText('Its private key is here').waitFor();
    await dialog().getByRole('button', { name: 'Put it in place' }).click();
    await dialogs().waitFor({ state: 'detached' });
    await tab.getByText('19 days left').first().waitFor();
    assert.equal(await shown('root.pem', 'ask.example.test'), print('asked.der'));
  });

  test('downloads: the chain, and a PFX that openssl opens', async () => {
    await open('pbx');
    await button('Download…').click();
    assert.equal(await kept(() => dialog().getByRole('button', { name: 'Download', exact: true }).click(), 'chain.pem'), 'pbx.pem');
    assert.equal(print('chain.pem'), print('first.pem'));
    await button('Download…').click();
    await dialog().getByText('PFX, PKCS#12').click();
    await dialog().getByLabel('Passphrase for the file').fill('short');
    await dialog().getByRole('button', { name: 'Download', exact: true }).click();
    await dialog().getByText('That is shorter than 8 characters.').waitFor();
    await dialog().getByLabel('Passphrase for the file').fill('geheim wört');
    await dialog().getByLabel('Passphrase again').fill('geheim wört');
    await shot(tab, 'download');
    assert.equal(await kept(() => dialog().getByRole('button', { name: 'Download', exact: true }).click(), 'ours.pfx'), 'pbx.pfx');
    writeFileSync(file('opened.pem'), await openssl('pkcs12', '-in', 'ours.pfx', '-passin', 'pass:geheim wört', '-nodes'));
    assert.equal(await openssl('pkey', '-in', 'opened.pem', '-pubout'), await openssl('pkey', '-in', 'first.key', '-pubout'));
    await assert.rejects(openssl('pkcs12', '-in', 'ours.pfx', '-passin', 'pass:wrong', '-nodes'));
  });

  test('a PKCS#12 file that is dropped wants its passphrase', async () => {
    await openssl('pkcs12', '-export', '-in', 'theirs.pem', '-inkey', 'theirs.key', '-out', 'theirs.pfx', '-passout', 'pass:geheim wört');
    await add('upload');
    await tab.getByLabel('Name', { exact: true }).fill('packed');
    const given = await tab.evaluateHandle(`(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob('${readFileSync(file('theirs.pfx')).toString('base64')}'), (each) => each.charCodeAt(0))], 'theirs.pfx'));
      return transfer;
    })()`);
    await tab.getByText('Drop files here, or choose them').dispatchEvent('drop', { dataTransfer: given });
    await tab.locator('[data-verdict="error"]').getByText(/wants its passphrase/).waitFor();
    await tab.getByLabel('Passphrase (optional)').fill('geheim wört');
    await button('Check it').click();
    await tab.locator('[data-verdict="ok"]').getByText('The private key belongs to it').waitFor();
    await button('Put it in place').click();
    await tab.getByRole('heading', { level: 1 }).filter({ hasText: 'packed' }).waitFor();
    await menu('Remove…');
    await dialog().getByLabel('Type “packed” to confirm').fill('packed');
    await dialog().getByRole('button', { name: 'Remove' }).click();
    await tab.getByRole('heading', { name: 'Certificates', exact: true }).waitFor();
    await open('pbx');
  });

  test('renamed, switched off and on; what a route needs is not removed', async () => {
    await menu('Switch off…');
    await dialog().getByRole('button', { name: 'Switch off' }).click();
    await tab.getByText('Switched off', { exact: true }).waitFor();
    await assert.rejects(shown('root.pem'));
    await menu('Switch on');
    await tab.getByText('Switched off', { exact: true }).waitFor({ state: 'detached' });
    assert.equal(await shown('root.pem'), print('first.pem'));
    await menu('Remove…');
    await dialog().getByLabel('Type “pbx” to confirm').fill('pbx');
    await dialog().getByRole('button', { name: 'Remove' }).click();
    await dialog().getByText(/cannot be removed: shown shows it to its server/).waitFor();
    await dialog().getByRole('button', { name: 'Cancel' }).click();
    await open('asked');
    await menu('Rename…');
    await dialog().getByLabel('Name', { exact: true }).fill('answered');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await tab.getByRole('heading', { level: 1 }).filter({ hasText: 'answered' }).waitFor();
    await menu('Remove…');
    await dialog().getByLabel('Type “answered” to confirm').fill('answered');
    await dialog().getByRole('button', { name: 'Remove' }).click();
    await tab.getByRole('heading', { name: 'Certificates', exact: true }).waitFor();
    await tab.locator('tr[data-certificate="answered"]').waitFor({ state: 'detached' });
  });

  test('the private CA issues, and signs what others bring', async () => {
    await add('issue');
    await tab.getByLabel('Name', { exact: true }).fill('inside');
    await tab.getByLabel('Host names and addresses').fill('in.example.test\n192.0.2.5');
    await button('Issue').click();
    await tab.getByRole('heading', { level: 1 }).filter({ hasText: 'inside' }).waitFor();
    const before = await shown('private-ca.pem', 'in.example.test');
    await button('Renew now').click();
    await until('another certificate', async () => (await shown('private-ca.pem', 'in.example.test')) !== before);
    await add('sign');
    await button('Sign it').click();
    await tab.getByText('Paste a request, or choose its file.').waitFor();
    await tab.getByLabel('Request (CSR)').fill(readFileSync(file('theirs.csr'), 'utf8'));
    await tab.getByLabel('Days (optional)').fill('30');
    await button('Sign it').click();
    await tab.getByText('It is signed').waitFor();
    await shot(tab, 'signed');
    await kept(() => button('Download the certificate').click(), 'signed.pem');
    assert.match(await openssl('verify', '-CAfile', 'private-ca.pem', 'signed.pem'), /OK/);
    assert.equal(await openssl('x509', '-in', 'signed.pem', '-noout', '-pubkey'), await openssl('pkey', '-in', 'theirs.key', '-pubout'));
  });

  test('ACME: looked at first, ordered, and its failure in words', async () => {
    await add('order');
    await tab.getByLabel('Name', { exact: true }).fill('front');
    await tab.getByLabel('Host names and addresses').fill('*.example.test');
    await tab.getByText('HTTP on port 80').click();
    await button('Would it work?').click();
    await tab.getByText('A *.name can only be had by a DNS record.').waitFor();
    await tab.getByLabel('Host names and addresses').fill('www.example.test');
    await tab.getByLabel('Authority', { exact: true }).selectOption('other');
    await tab.getByLabel('Address of its directory').fill(authority.directory);
    await tab.getByLabel('Its own certificate has a root of its own').check();
    await tab.getByLabel('Root (PEM)').fill(authority.rootPem);
    await tab.getByLabel('I agree to the authority’s terms').check();
    await button('Would it work?').click();
    await tab.locator('[data-finding]').first().waitFor();
    await shot(tab, 'findings');
    await button(/^Order it( anyway)?$/).click();
    await tab.getByRole('heading', { level: 1 }).filter({ hasText: 'front' }).waitFor();
    await tab.getByText(/^\d+ days left$/).waitFor();
    authority.next('newOrder', { status: 403, body: { type: 'urn:ietf:params:acme:error:caa', detail: 'CAA record for www.example.test prevents issuance' } });
    await button('Renew now').click();
    await tab.getByText('The last order failed').waitFor();
    await tab.getByText(/CAA record for www\.example\.test prevents issuance/).first().waitFor();
    await shot(tab, 'order-failed');
    await tab.goto(`${address()}/certificates/authorities`);
    await tab.getByText(authority.directory).waitFor();
    await button('Set a key').click();
    await dialog().getByLabel('Name of the key').fill('acme-key');
    await dialog().getByRole('button', { name: 'Set a key' }).click();
    await dialog().getByText('The secret is missing.').waitFor();
    await dialog().getByLabel('Secret').fill(Buffer.alloc(32, 1).toString('base64'));
    await dialog().getByRole('button', { name: 'Set a key' }).click();
    await tab.getByText('acme-key').waitFor();
  });

  test('handed to an agent, whose policy says no, in words', async () => {
    await open('pbx');
    await button('Hand to an agent').click();
    await dialog().getByLabel('Called there').fill('mail');
    await dialog().getByRole('button', { name: 'Hand over' }).click();
    await tab.locator('[data-delivery="refused"]').getByText(/local policy does not allow/).waitFor();
    await shot(tab, 'delivery');
    await tab.getByRole('button', { name: /^Stop handing it to/ }).click();
    await dialog().getByRole('button', { name: 'Stop' }).click();
    await tab.getByText('No agent gets it').waitFor();
  });

  test('who only sees gets the chain, and no button that changes anything', async () => {
    const { token } = await gateway.owner();
    const invited = await gateway.api('POST', '/invites', { token, body: { name: 'Looker', rights: [{ action: 'see', scopeKind: 'gateway', scopeId: null }] } });
    const code = String(invited.json['address']).split('/').at(-1);
    const accepted = await gateway.api('POST', '/invites/accept', { body: { code, login: 'looker', name: 'Looker', password: 'correct horse battery staple' } });
    assert.equal(accepted.status, 200, accepted.text);
    const looker = await browser.person();
    const page = await looker.tab();
    await signInAs(page, 'looker', 'correct horse battery staple');
    assert.equal(await page.getByRole('link', { name: 'Add a certificate' }).count(), 0);
    await page.getByRole('link', { name: 'pbx', exact: true }).click();
    await page.getByText('Fingerprints').waitFor();
    assert.deepEqual(await page.locator('main').getByRole('button', { name: /Replace|actions|Renew|Hand to an agent|Remove/ }).count(), 0);
    await page.getByRole('button', { name: 'Download…' }).click();
    await page.getByText('Certificate and chain (PEM)').waitFor();
    assert.equal(await page.getByText('With its private key').count(), 0);
    await page.goto(`${address()}/certificates/add`);
    await page.getByText('Adding certificates is for those who administer the gateway').waitFor();
    assert.deepEqual(looker.complaints, []);
    await looker.context.close();
  });

  test('it reads well in the dark on a phone, and by keyboard', async () => {
    await tab.emulateMedia({ colorScheme: 'dark' });
    await tab.setViewportSize({ width: 360, height: 740 });
    for (const path of ['', '/add', '/add?way=request', '/add?way=issue', '/add?way=order', '/add?way=sign', '/authorities']) {
      await tab.goto(`${address()}/certificates${path}`);
      await tab.locator('main h1').waitFor();
      await tab.locator('.skeleton').first().waitFor({ state: 'detached' });
      assert.equal(await overflow(), 0, path);
      const edges = await tab.locator('main td, main button, main input:not(.sr-only), main select, main textarea').evaluateAll((parts) => parts.map((part) => part.getBoundingClientRect().right));
      assert.deepEqual(edges.filter((edge) => edge > 345), [], `${path}: cut off by its card`);
      await shot(tab, `phone${path.replaceAll(/\W+/g, '-')}`);
    }
    await tab.goto(`${address()}/certificates`);
    await tab.getByRole('link', { name: 'pbx', exact: true }).focus();
    await tab.keyboard.press('Enter');
    await tab.getByRole('heading', { level: 1 }).filter({ hasText: 'pbx' }).waitFor();
    assert.equal(await overflow(), 0);
    await button('Download…').focus();
    await tab.keyboard.press('Enter');
    await dialog().waitFor();
    await tab.keyboard.press('Escape');
    await dialogs().waitFor({ state: 'detached' });
    assert.deepEqual(person.complaints, []);
    await person.context.close();
    await device.stop();
    await finishesCleanly(gateway);
  });
});
