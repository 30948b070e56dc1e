// Devices under another registrable domain (--device-domain): another site for the browser, so that the console is out of reach of what
// is merely the same site, planted cookies above all.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { skip } from '../kit/browser.ts';
import { attack, openScene, secretText, settled, type Scene } from '../kit/hostile.ts';

let scene: Scene;

suite('a hostile device page under a domain of its own', { skip }, () => {
  before(async () => {
    scene = await openScene({ deviceDomain: 'devices.example' });
  });
  after(() => scene?.[Symbol.asyncDispose]());

  test('is reached by the same hand-over, and by no name of the console', async () => {
    const tab = await scene.victim.tab();
    await tab.goto(`${scene.at.victim}/`);
    assert.ok((await tab.textContent('body'))?.includes(secretText));
    assert.equal((await tab.goto(scene.at.victim.replace('devices.example', 'gw.example.test')))?.status(), 421);
    await tab.close();
    await scene.isUnharmed();
  });

  test('plants nothing at the console, whatever it floods', async () => {
    const tab = await scene.evilTab();
    await attack(tab, 'plants', ['.gw.example.test', 'gw.example.test', '.example.test'].flatMap((domain) => Array.from({ length: 100 }, (_, i) => `flood${i}=${'x'.repeat(3_000)}; domain=${domain}; path=/`)));
    const cookies = await scene.victim.context.cookies(scene.at.console);
    assert.deepEqual(cookies.map((cookie) => cookie.name), ['__Host-postern']);
    await tab.close();
    await scene.isUnharmed();
  });

  test('writes, reads and triggers nothing', async () => {
    const tab = await scene.evilTab();
    const told = { ...(await attack<Record<string, string>>(tab, 'writes', scene.at)), ...(await attack<Record<string, string>>(tab, 'reads', scene.at)) };
    for (const [name, outcome] of Object.entries(told)) assert.ok(outcome === 'refused' || outcome === 'opaque 0' || outcome === '', `${name}: ${outcome}`);
    await attack(tab, 'triggers', scene.at);
    await settled(scene, tab);
    assert.deepEqual(scene.victimOrigin.seen.map(({ method, url }) => `${method} ${decodeURIComponent(url)}`), []);
    for (const other of scene.victim.context.pages()) await other.close();
    await scene.isUnharmed();
  });
});
