import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evidenceOfName, judgeName, type NameSeenInside, type RecordsSeen, type ResolverSeen } from './mis-route-dns.ts';

const to = (...addresses: string[]): RecordsSeen => ({ rcode: 'NOERROR', addresses });
const nothing = to();
const nxdomain: RecordsSeen = { rcode: 'NXDOMAIN', addresses: [] };
const silent: RecordsSeen = { fault: 'the resolver 10.1.0.1:53 does not answer' };
const at = (resolver: string, a: RecordsSeen, aaaa: RecordsSeen = nothing): ResolverSeen => ({ resolver, askedBy: 'lan1', a, aaaa });
const seen = (resolvers: readonly ResolverSeen[], change: Partial<NameSeenInside> = {}): NameSeenInside => ({
  name: 'scan.example.test', resolvers, outside: { a: to('203.0.113.7'), aaaa: nothing }, inside: ['10.1.0.5'], ...change,
});

const cases: readonly (readonly [what: string, codes: readonly (string | null)[], given: NameSeenInside, says: RegExp])[] = [
  ['leads inside', [null], seen([at('10.1.0.1', to('10.1.0.5')), at('10.1.0.2', to('10.1.0.5'))]), /leads scan\.example\.test to 10\.1\.0\.5, inside/],
  ['the public address', ['HP-6'], seen([at('10.1.0.1', to('203.0.113.7'))]), /10\.1\.0\.1 answers the public address 203\.0\.113\.7/],
  ['another private one', ['HP-6'], seen([at('10.1.0.1', to('10.9.9.9'))]), /another address 10\.9\.9\.9/],
  ['the public address, and nothing inside', [null], seen([at('10.1.0.1', to('203.0.113.7'))], { inside: [] }), /to 203\.0\.113\.7$/],
  ['rebind protection', ['HP-7'], seen([at('10.1.0.1', nothing)], { outside: { a: to('10.1.0.5'), aaaa: nothing } }), /rebind protection on 10\.1\.0\.1 takes the private address 10\.1\.0\.5/],
  ['rebind protection, NXDOMAIN', ['HP-7'], seen([at('10.1.0.1', nxdomain, nxdomain), at('198.51.100.53', to('10.1.0.5'))], { outside: { a: to('10.1.0.5'), aaaa: nothing } }), /rebind/],
  ['nothing, and public DNS is public', [null], seen([at('10.1.0.1', nxdomain, nxdomain)]), /has no address/],
  ['a second one goes past', ['HP-8'], seen([at('10.1.0.1', to('10.1.0.5')), at('198.51.100.53', to('203.0.113.7'))]), /198\.51\.100\.53 goes past the split DNS of 10\.1\.0\.1/],
  ['a second one that knows nothing', ['HP-8'], seen([at('10.1.0.1', to('10.1.0.5')), at('198.51.100.53', nxdomain, nxdomain)]), /198\.51\.100\.53 goes past/],
  ['they disagree, and nothing inside is known', ['HP-8'], seen([at('10.1.0.1', to('10.1.0.5')), at('198.51.100.53', to('203.0.113.7'))], { inside: [] }), /disagree/],
  ['several addresses in turn agree', [null], seen([at('a', to('203.0.113.7', '203.0.113.8')), at('b', to('203.0.113.8'))], { inside: [] }), /leads/],
  ['IPv6 escapes', ['HP-9'], seen([at('10.1.0.1', to('10.1.0.5'), to('2001:db8::7'))]), /IPv6 path escapes: 10\.1\.0\.1 .* 2001:db8::7 by AAAA/],
  ['IPv6 inside, too', [null], seen([at('10.1.0.1', to('10.1.0.5'), to('fd00::5'))], { inside: ['10.1.0.5', 'fd00::5'] }), /inside/],
  ['both', ['HP-8', 'HP-9'], seen([at('10.1.0.1', to('10.1.0.5'), to('2001:db8::7')), at('198.51.100.53', to('203.0.113.7'))]), /disagree/],
  ['one that is silent does not count', [null], seen([at('10.1.0.1', to('10.1.0.5')), at('10.1.0.9', silent, silent)]), /leads/],
  ['none answers', [null], seen([at('10.1.0.9', silent, silent)]), /could be asked .* does not answer/],
  ['there is none', [null], seen([]), /no resolver of the site is known/],
];

for (const [what, codes, given, says] of cases) {
  test(`${codes.join(', ') || 'none'}: ${what}`, () => {
    const judged = judgeName(given);
    assert.deepEqual(judged.map(({ code }) => code), codes);
    assert.match(judged[0]!.verdict, says);
    for (const each of judged) if (each.code !== null) assert.ok(each.remedy !== null && (each.code === 'HP-8' || each.snippets.length > 0));
    assert.equal(evidenceOfName(given).length, given.resolvers.length + 2);
  });
}

test('what doctor says when nothing is wrong is no warning', () => {
  assert.equal(judgeName(seen([at('10.1.0.1', to('10.1.0.5'))]))[0]!.status, 'ok');
  assert.equal(judgeName(seen([]))[0]!.status, 'skipped');
});
