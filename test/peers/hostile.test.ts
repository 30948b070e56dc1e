// What a device's page may do to its neighbours, in a real browser: nothing but what a followed link does (DESIGN §3.8).
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { skip } from '../kit/browser.ts';
import { until } from '../kit/gateway.ts';
import { attack, openScene, secretText, settled, type Scene } from '../kit/hostile.ts';

let scene: Scene;

const reached = () => scene.victimOrigin.seen.filter(({ url }) => url !== '/favicon.ico').map(({ method, url }) => `${method} ${decodeURIComponent(url)}`);
const closeTabs = async () => {
  for (const tab of scene.victim.context.pages()) await tab.close();
};

suite('a hostile device page', { skip }, () => {
  before(async () => {
    scene = await openScene();
  });
  after(() => scene?.[Symbol.asyncDispose]());

  test('cannot write through the console', async () => {
    const tab = await scene.evilTab();
    const told = await attack<Record<string, string>>(tab, 'writes', scene.at);
    for (const [name, outcome] of Object.entries(told)) assert.ok(outcome === 'refused' || outcome === 'opaque 0', `${name}: ${outcome}`);
    const refused = await until('the refusals in the journal', async () => {
      const lines = await scene.journal('api.refused');
      return lines.filter((line) => line.fields['origin'] === scene.at.evil).length >= 12 && lines;
    });
    assert.ok(refused.some((line) => line.fields['route'] === 'lockDevice' && line.fields['who'] === 'owner' && line.fields['from'] === '127.0.0.1'));
    assert.ok(refused.some((line) => line.fields['route'] === 'createToken'));
    await closeTabs();
    await scene.isUnharmed();
  });

  test('cannot read, frame or speak with the console or another device', async () => {
    const tab = await scene.evilTab();
    const told = await attack<Record<string, string>>(tab, 'reads', scene.at);
    for (const [name, outcome] of Object.entries(told)) assert.ok(outcome === 'refused' || outcome === '', `${name}: ${outcome}`);
    // What is in the frames is an error page of the browser or of the gateway.
    for (const frame of tab.frames().slice(1)) assert.doesNotMatch(await frame.content().catch(() => ''), new RegExp(`id="root"|${secretText}`));
    assert.deepEqual(scene.victimOrigin.seen, []);
    assert.ok((await scene.journal('api.refused')).some((line) => line.fields['route'] === 'getEvents' && line.fields['who'] === 'owner'));
    assert.ok((await scene.journal('exchange.refused')).some((line) => line.fields['rule'] === 'cross-host request' && String(line.fields['host']).startsWith('v.')));
    await closeTabs();
    await scene.isUnharmed();
  });

  test('gets a window of another device, but nothing out of it, and none of the console', async () => {
    const tab = await scene.evilTab();
    assert.deepEqual(await attack(tab, 'windows', scene.at), { messages: [], console: 'cut off', victim: 'refused' });
    assert.deepEqual(reached(), ['GET /'], 'the one thing that a link does too');
    await closeTabs();
    await scene.isUnharmed();
  });

  test('triggers nothing at another device', async () => {
    const tab = await scene.evilTab();
    await attack(tab, 'triggers', scene.at);
    await settled(scene, tab);
    assert.deepEqual(reached(), []);
    const lines = (await scene.journal('exchange.refused')).filter((line) => line.fields['path'] === '/reboot' && line.fields['rule'] === 'cross-host request');
    assert.ok(lines.length > 30, `${lines.length} refusals were noted`);
    assert.ok(lines.some((line) => /fetched ahead/.test(String(line.fields['why']))), 'speculation rules were tried');
    await closeTabs();

    // A form that was sent to the attacker, sent again by the person's own reload, and led on with its method.
    const turncoat = await scene.evilTab();
    await turncoat.evaluate(`send({ method: 'post', action: ${JSON.stringify(`/turncoat?url=${encodeURIComponent(`${scene.at.victim}/reboot`)}`)} })`);
    await until('the page of the turncoat', async () => (await turncoat.title().catch(() => '')) === 'turncoat');
    await turncoat.reload();
    await turncoat.getByRole('heading', { name: 'Refused' }).waitFor();
    assert.deepEqual(reached(), []);
    await closeTabs();

    // The one thing that stays, and the proof that the above would have been seen: a link that is followed.
    const another = await scene.evilTab();
    await another.evaluate(`void (location.href = ${JSON.stringify(`${scene.at.victim}/page`)})`);
    await another.waitForURL(`${scene.at.victim}/page`);
    assert.deepEqual(reached(), ['GET /page']);
    await closeTabs();
    await scene.isUnharmed();
  });

  test('neither plants, sees nor shadows our cookies', async () => {
    const tab = await scene.evilTab();
    const names = ['__Host-postern', '__Host-postern-device', '__Host-postern-asked', '__host-postern', '__HOST-POSTERN-device', '__Secure-postern'];
    const lines = names.flatMap((name) => ['domain=.gw.example.test; ', 'domain=gw.example.test; ', ''].flatMap((domain) => ['/', '/api'].map((path) => `${name}=planted; ${domain}path=${path}; secure`)));
    // Names that become ours where a server strips what is no blank, or takes a value without a name for a name.
    for (const blank of ['\u2000', '\u00a0', '\u0085', '\ufeff', ' ', '\t']) for (const name of names.slice(0, 2)) lines.push(`${blank}${name}=planted; domain=.gw.example.test; path=/; secure`);
    lines.push('=__Host-postern=planted; domain=.gw.example.test; path=/; secure', '__Host-postern=planted; domain=.example.test; path=/; secure', 'plain=planted; domain=.gw.example.test; path=/');
    const seen = await attack<string>(tab, 'plants', lines);
    assert.match(seen, /plain=planted/, 'it was tried');
    assert.doesNotMatch(seen.replaceAll('=planted', ''), /postern[a-z-]*=/, 'no script sees what is ours');
    const jar = await scene.victim.context.cookies();
    const ours = jar.filter((cookie) => /^__host-postern/i.test(cookie.name) && !cookie.domain.startsWith('x.'));
    assert.ok(ours.length >= 3 && ours.every((cookie) => cookie.httpOnly && cookie.secure && !cookie.value.includes('planted')), JSON.stringify(ours));
    await tab.reload();
    assert.match(scene.evilOrigin.seen.at(-1)!.headers.cookie ?? '', /plain=planted/);
    for (const { headers } of [...scene.evilOrigin.seen, ...scene.victimOrigin.seen]) assert.doesNotMatch((headers.cookie ?? '').replaceAll('=planted', ''), /__Host-postern[a-z-]*=/i, 'no device sees them');
    await closeTabs();
    await scene.isUnharmed();
  });

  test('signs nobody out', async () => {
    const tab = await scene.evilTab();
    const places = [`${scene.at.console}/sign-out`, `${scene.at.console}/api/v1/sign-in`, `${scene.at.victim}/.postern/leave`, `${scene.at.victim}/.postern/enter?code=none`];
    await attack(tab, 'signOuts', { places, hosts: [scene.at.console, scene.at.victim] });
    await settled(scene, tab);
    for (const url of places) await tab.goto(url);
    // Behind an address that the person typed: the browser may call that `Sec-Fetch-Site: none`, whatever the redirect.
    for (const url of places) await tab.goto(`${scene.at.evil}/to?url=${encodeURIComponent(url)}`);
    for (const chars of [15_700, 70_000]) assert.equal((await tab.goto(`${scene.at.console}/?${'x'.repeat(chars)}`))?.status(), 431);
    await closeTabs();
    await scene.isUnharmed();

    // The person can, with the button there.
    const own = await scene.victim.tab();
    await own.goto(`${scene.at.victim}/.postern/leave`);
    await own.getByRole('button', { name: 'Sign out' }).click();
    await own.getByRole('heading', { name: 'Signed out here' }).waitFor();
    assert.deepEqual((await scene.victim.context.cookies(scene.at.victim)).filter((cookie) => cookie.name === '__Host-postern-device'), []);
    await scene.open(own, scene.at.victim, 'victim');
    await own.close();
    await scene.isUnharmed();
  });

  test('speaks for no name but its own, by a service worker or by a header', async () => {
    const tab = await scene.evilTab();
    assert.deepEqual(await attack(tab, 'workers', scene.at), { own: 'spoofed', foreignScript: 'refused', foreignScope: 'refused' });
    const headers = await tab.evaluate<Record<string, string>>(`fetch('/headers').then((answer) => Object.fromEntries(answer.headers))`);
    for (const name of ['clear-site-data', 'alt-svc', 'strict-transport-security']) assert.equal(headers[name], undefined, name);
    const another = await scene.victim.tab();
    await another.goto(`${scene.at.victim}/spoofed`);
    assert.ok((await another.textContent('body'))?.includes(secretText), 'the worker rules its own host only');
    assert.deepEqual(reached(), ['GET /spoofed']);
    await tab.evaluate('navigator.serviceWorker.getRegistrations().then((all) => Promise.all(all.map((each) => each.unregister())))');
    await closeTabs();
    await scene.isUnharmed();
  });
});
