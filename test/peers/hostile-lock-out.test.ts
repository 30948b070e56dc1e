// Cookies that a device's page plants for the whole domain, until no request fits: nobody stays locked out, and a new sign-in works.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { skip } from '../kit/browser.ts';
import { attack, openScene, ownerPassword, secretText, signIn, type Scene } from '../kit/hostile.ts';

let scene: Scene;

suite('a hostile device page that floods with cookies', { skip }, () => {
  before(async () => {
    scene = await openScene();
  });
  after(() => scene?.[Symbol.asyncDispose]());

  for (const [kind, count, chars] of [['large', 30, 3_500], ['many', 120, 300], ['more than HTTP/2 carries', 60, 3_900]] as const) {
    test(`${kind} cookies for every name lock nobody out`, async () => {
      const tab = await scene.evilTab();
      await attack(tab, 'plants', Array.from({ length: count }, (_, i) => `flood${i}=${'x'.repeat(chars)}; domain=.gw.example.test; path=/`));
      // Somebody else's page that asks does not clear anything: only where the person sees it.
      const asked = await tab.evaluate<string>(`fetch(${JSON.stringify(`${scene.at.console}/api/v1/me`)}, { mode: 'no-cors', credentials: 'include' }).then((answer) => answer.type, () => 'failed')`);
      // A page's fetch may break off where the head is more than HTTP/2 carries (docs/wire/http2.md); that costs the hostile page alone.
      assert.ok(asked === 'opaque' || (asked === 'failed' && kind === 'more than HTTP/2 carries'), asked);
      const planted = async () => (await scene.victim.context.cookies(scene.at.console)).filter((cookie) => cookie.name.startsWith('flood')).length;
      assert.ok((await planted()) > 10, 'the flood stands');
      assert.equal((await scene.victim.context.cookies(scene.at.console)).filter((cookie) => cookie.name === '__Host-postern').length, 1);
      await tab.close();

      const own = await scene.victim.tab();
      const answer = await own.goto(`${scene.at.console}/devices`);
      assert.equal(answer?.status(), 431);
      assert.equal((await answer?.allHeaders())?.['clear-site-data'], '"cookies"');
      await own.getByText('Too many cookies').waitFor();
      assert.equal(await planted(), 0);
      await signIn(own, scene.at.console, 'owner', ownerPassword);
      await scene.open(own, scene.at.victim, 'victim');
      assert.ok((await own.textContent('body'))?.includes(secretText));
      await scene.open(own, scene.at.evil, 'evil');
      await own.close();
      assert.ok((await scene.journal('head.refused')).some((line) => line.fields['status'] === 431));
      await scene.isUnharmed();
    });
  }

  test('a jar that runs over costs at most the sign-in', async () => {
    const tab = await scene.evilTab();
    // Chromium keeps 180 cookies for a registrable domain and drops the oldest: the reason for --device-domain.
    await attack(tab, 'plants', Array.from({ length: 400 }, (_, i) => `small${i}=x; domain=.gw.example.test; path=/; secure`));
    await tab.close();
    const own = await scene.victim.tab();
    await own.goto(`${scene.at.console}/devices`);
    await own.waitForURL((url) => /^\/(?:sign-in|devices)$/.test(url.pathname));
    if (!(await scene.victim.context.cookies(scene.at.console)).some((cookie) => cookie.name === '__Host-postern')) await signIn(own, scene.at.console, 'owner', ownerPassword);
    await scene.open(own, scene.at.victim, 'victim');
    await own.close();
    await scene.isUnharmed();
  });
});
