import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certificateRow } from '../../test/kit/certificate-rows.ts';
import { usesOf } from './certificate-uses.ts';
import { parseConfig } from './config.ts';
import { compile } from './snapshot.ts';

const now = Date.UTC(2026, 5, 1);

function snapshotOf(document: object) {
  const parsed = parseConfig({ version: 1, domains: [{ name: 'gw.example.test' }], listeners: [{ name: 'https', port: 443, tls: true, protocols: ['http', 'sip', 'tls'] }, { name: 'http', port: 80, tls: false }], ...document });
  assert.ok('config' in parsed, JSON.stringify(parsed));
  const compiled = compile(parsed.config, 1);
  assert.ok('snapshot' in compiled, JSON.stringify(compiled));
  return compiled.snapshot;
}

const said = (uses: readonly { kind: string; name: string; detail: string | null }[]) => uses.map(({ kind, name, detail }) => `${kind} ${name}${detail === null ? '' : ` ${detail}`}`);

test('names of domains, devices and routes, by the certificate that answers to them', () => {
  const front = certificateRow({ name: 'front', names: { dns: ['gw.example.test', 'shop.example.test'], ip: [] } });
  const wide = certificateRow({ name: 'wide', names: { dns: ['*.gw.example.test', '*.example.test'], ip: [] } });
  const snapshot = snapshotOf({
    tlsPolicies: [{ name: 'strict', hosts: ['shop.example.test'], level: 'modern' }],
    routes: [
      { name: 'shop', host: 'shop.example.test', target: { kind: 'respond' } },
      { name: 'wiki', host: 'wiki.example.test', target: { kind: 'tls', host: '2001:db8::1', port: 443, certificate: 'front' } },
      { name: 'phones', protocol: 'sip', host: 'sip.example.test', target: { kind: 'tcp', host: '192.0.2.1', port: 5060 } },
      { name: 'through', protocol: 'tls', host: 'own.example.test', target: { kind: 'tcp', host: '192.0.2.1', port: 443 } },
      { name: 'plain', host: 'plain.example.test', listeners: ['http'], target: { kind: 'respond' } },
      { name: 'deep', host: '*.deep.example.test', target: { kind: 'respond' } },
    ],
  });
  const uses = usesOf(snapshot, [front, wide], now);
  assert.deepEqual(said(uses.of(front)).sort(), ['host gw.example.test', 'host shop.example.test', 'listener https', 'route shop', 'tls-policy strict', 'upstream wiki [2001:db8::1]:443']);
  assert.deepEqual(said(uses.of(wide)).sort(), ['host *.gw.example.test', 'host sip.example.test', 'host wiki.example.test', 'listener https', 'route phones', 'route wiki']);
  // What is passed through or comes without TLS is shown no certificate of ours.
  assert.deepEqual(uses.served.map((each) => each.host).filter((host) => /own|plain/.test(host)), []);
  assert.deepEqual(uses.served.filter((each) => each.certificate === null).map((each) => each.host), ['*.deep.example.test']);
  assert.deepEqual(said(uses.ofLeaf({ dns: ['*.deep.example.test'], ip: [] })), ['host *.deep.example.test', 'route deep', 'listener https']);
});

test('one that is off, waits, or has ended beside a better one answers to nothing', () => {
  const snapshot = snapshotOf({});
  const names = { dns: ['gw.example.test'], ip: [] };
  const rows = { off: certificateRow({ names, enabled: false }), waiting: certificateRow({ names, state: 'waiting', notAfter: null }), ended: certificateRow({ names, notAfter: now - 1 }), good: certificateRow({ names }) };
  const uses = usesOf(snapshot, Object.values(rows), now);
  for (const [name, row] of Object.entries(rows)) assert.equal(uses.of(row).length > 0, name === 'good', name);
  const alone = usesOf(snapshot, [rows.ended], now);
  assert.deepEqual(said(alone.of(rows.ended)), ['host gw.example.test', 'listener https'], 'an ended one is better than a stranger');
});
