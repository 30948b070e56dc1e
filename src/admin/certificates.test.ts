import assert from 'node:assert/strict';
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { keyOf } from '#model/certificate-key.ts';
import { openPkcs12 } from '#model/pkcs12.ts';
import type { Certificate } from '#model/rows.ts';
import { startAdminRoom, type AdminRoom, type Caller } from '../../test/kit/admin-room.ts';
import { makeCertificate, type Made, type Wanted } from '../../test/kit/authority.ts';
import { certificateRow } from '../../test/kit/certificate-rows.ts';
import type { AcmeDeps } from './deps.ts';

suite('certificates by the API', () => {
  let room: AdminRoom;
  let owner: Caller;
  let seer: Caller;
  let authority: Made;
  const ordered: unknown[] = [];
  let onChange = () => {};
  const acme: AcmeDeps = {
    accounts: () => [{ directoryUrl: 'https://acme.example.test/directory', contact: null, accountUrl: 'https://acme.example.test/a/1', registeredAt: 1, externalKeyId: null, hasOwnRoot: false }],
    setAccount: async (order) => ({ directoryUrl: order.directory, contact: order.contact, accountUrl: 'https://acme.example.test/a/1', registeredAt: 1, externalKeyId: order.externalAccount?.keyId ?? null, hasOwnRoot: order.rootPem !== null }),
    removeAccount: async (directory) => void ordered.push(['forgotten', directory]),
    dnsKeys: () => [{ name: 'tsig.example.test', algorithm: 'hmac-sha256', setAt: 5 }],
    setDnsKey: async ({ name, algorithm }) => ({ name, algorithm, setAt: 5 }),
    removeDnsKey: async (name) => void ordered.push(['key removed', name]),
    order: async (order) => {
      ordered.push(order);
      const row: Certificate = { ...certificateRow({ name: order.name, source: 'acme', state: 'waiting', chainPem: null, keyFingerprint: null, certificateFingerprint: null, notAfter: null, customerId: order.customerId }), acme: { directoryUrl: order.directory, names: { dns: [...order.names], ip: [] }, keyKind: order.keyKind, challenge: order.challenge, dns: order.dns } };
      room.tables.certificates.publish({ put: [row] });
      return row;
    },
    orderAgain: async (id) => room.tables.certificates.get(id)!,
    renew: async () => {
      throw new Fault('too-many', 'the authority asked to wait');
    },
    check: async () => [{ id: 'names', title: 'Names', status: 'ok', evidence: [], verdict: 'good', remedy: null, ms: 1 }],
    progressOf: () => ({ state: 'failed', about: 'gw.example.test', since: 7, why: 'no answer', remedy: 'open port 80', nextTryAt: 9 }),
    watch: (watcher) => ((onChange = watcher), () => {}),
  };

  before(async () => {
    room = await startAdminRoom({ acme });
    owner = await room.owner();
    seer = await room.person(owner, 'seer', [{ action: 'see', scopeKind: 'gateway', scopeId: null }]);
    authority = await makeCertificate({ name: 'Root', now: room.clock.nowMs(), ca: true });
  });
  after(() => room.close());

  const leaf = (name: string, more: Partial<Wanted> = {}) => makeCertificate({ name, issuer: authority, now: room.clock.nowMs(), names: [{ type: 'dns', value: 'gw.example.test' }], ...more });
  const pemOf = (made: Made) => `${made.pem}${authority.pem}${made.keyPem}`;
  const auditLine = async (what: string) => (await owner.call('listAudit', { query: { what, limit: 1 } })).items[0]!;
  const configure = async (change: object) => {
    const { config, revision } = await owner.call('getConfig');
    await owner.call('putConfig', { body: { ...(config as object), ...change }, headers: { 'if-match': `"${revision}"` } });
  };

  test('the private CA is listed from the beginning, with what devices pin', async () => {
    const { items, next } = await seer.call('listCertificates');
    const ca = items.at(-1)!;
    assert.deepEqual([ca.id, ca.source, ca.keyKind, ca.mayDownload, ca.mayDownloadKey, ca.mayChange, next], ['ca', 'ca', 'ec-p256', true, false, false, null]);
    const pem = (await seer.call('downloadCertificate', { params: { certificate: 'ca' }, body: {} })).content;
    const spki = new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' });
    assert.deepEqual(ca.keyPin, { hex: createHash('sha256').update(spki).digest('hex'), base64: createHash('sha256').update(spki).digest('base64') });
    const leaves = items.filter((each) => each.source === 'leaf');
    assert.ok(leaves.some((each) => each.usedBy.some((use) => use.kind === 'host' && use.name === 'gw.example.test')), JSON.stringify(leaves.map((each) => each.usedBy)));
    assert.equal((await owner.refused('downloadCertificate', { params: { certificate: 'ca' }, body: { form: 'pem-with-key' } })).status, 403);
    assert.equal((await owner.refused('removeCertificate', { params: { certificate: leaves[0]!.id } })).status, 409);
  });

  test('an upload is judged first, then put in place, and found by name, host and fingerprint', async () => {
    const made = await leaf('gw.example.test');
    const tried = await owner.call('uploadCertificate', { query: { dryRun: 'true' }, body: { name: 'front', pem: pemOf(made) } });
    assert.deepEqual([tried.dryRun, tried.certificate, tried.verdicts.some((each) => each.severity === 'error')], [true, null, false]);
    assert.equal(room.tables.certificates.size, 0);
    const bad = await owner.call('uploadCertificate', { query: { dryRun: 'true' }, body: { name: 'front', pem: made.pem } });
    assert.match(bad.verdicts[0]!.text, /private key is missing/);
    const refused = await owner.refused('uploadCertificate', { body: { name: 'front', pem: made.pem } });
    assert.deepEqual([refused.status, /private key is missing/.test(refused.detail), refused.problems?.length], [400, true, 1]);
    const { certificate } = await owner.call('uploadCertificate', { body: { name: 'front', pem: pemOf(made) } });
    assert.deepEqual([certificate!.state, certificate!.source, certificate!.keyPin!.hex, certificate!.daysLeft], ['ready', 'uploaded', made.keyFingerprint, 90]);
    assert.deepEqual(certificate!.usedBy.map((each) => `${each.kind} ${each.name}`), ['host gw.example.test', 'listener https']);
    for (const search of ['front', 'GW.example', certificate!.fingerprint!.slice(0, 20)]) {
      assert.ok((await seer.call('listCertificates', { query: { search, source: 'uploaded' } })).items.some((each) => each.id === certificate!.id), search);
    }
    assert.equal((await owner.refused('uploadCertificate', { query: { dryRun: 'true' }, body: { name: 'front', pem: pemOf(made) } })).status, 409);
    const detail = await seer.call('getCertificate', { params: { certificate: 'front' } });
    assert.deepEqual([detail.chain.length, detail.request, detail.previous, detail.mayChange], [1, null, null, false]);
    assert.equal((await auditLine('certificate.added')).actor.name, 'ada');
  });

  test('a swap names who trusts the old one, and wants that to be read', async () => {
    const before = await seer.call('getCertificate', { params: { certificate: 'front' } });
    await configure({
      routes: [
        { name: 'pbx', host: 'pbx.example.test', target: { kind: 'tls', host: '192.0.2.1', port: 443, certificate: 'front' } },
        { name: 'copy', host: 'copy.example.test', target: { kind: 'tls', host: '192.0.2.2', port: 443, verify: { by: 'fingerprint', sha256: before.fingerprint! } } },
      ],
      trustedProxies: [{ from: '198.51.100.7', subject: 'GW.example.test' }],
    });
    await room.device('Door', { ports: [{ number: 443, name: '', kind: 'https', fingerprint: before.fingerprint }] });
    const other = await leaf('pbx.example.test', { names: [{ type: 'dns', value: 'pbx.example.test' }] });
    const body = { pem: pemOf(other) };
    const tried = await owner.call('replaceCertificate', { params: { certificate: 'front' }, query: { dryRun: 'true' }, body });
    assert.deepEqual(tried.changes.map((each) => each.what), ['subject', 'names', 'key', 'fingerprint']);
    const lines = tried.trusts.map((each) => `${each.severity} ${each.kind} ${each.name} ${each.path}`).sort();
    assert.deepEqual(lines, [
      'change host gw.example.test null',
      'change route copy routes[1].target.verify.sha256',
      'change upstream pbx routes[0].target.certificate',
      'look device door null',
      'look proxy-subject 198.51.100.7 trustedProxies[0].subject',
    ]);
    assert.match(tried.trusts.find((each) => each.kind === 'upstream')!.remedy, /\(proxy subject\) from gw\.example\.test to pbx\.example\.test/);
    assert.match(tried.trusts.find((each) => each.kind === 'device')!.remedy, /forget-certificate door 443/);
    assert.equal((await seer.call('getCertificate', { params: { certificate: 'front' } })).fingerprint, before.fingerprint, 'a dry run changes nothing');
    const refused = await owner.refused('replaceCertificate', { params: { certificate: 'front' }, body });
    assert.deepEqual([refused.status, /3 things rely/.test(refused.detail)], [409, true]);
    const stale = await owner.refused('replaceCertificate', { params: { certificate: 'front' }, body: { ...body, acknowledged: true, against: '0'.repeat(64) } });
    assert.match(stale.detail, /swapped by somebody else/);
    const swapped = await owner.call('replaceCertificate', { params: { certificate: 'front' }, body: { ...body, acknowledged: true, against: before.fingerprint } });
    assert.deepEqual([swapped.certificate!.keyPin!.hex, swapped.certificate!.canGoBack], [other.keyFingerprint, true]);
    const back = await owner.call('goBackCertificate', { params: { certificate: 'front' }, query: { dryRun: 'true' }, body: {} });
    assert.ok(back.trusts.some((each) => each.kind === 'upstream' && /to gw\.example\.test/.test(each.remedy)));
    await owner.call('goBackCertificate', { params: { certificate: 'front' }, body: { acknowledged: true } });
    assert.equal((await seer.call('getCertificate', { params: { certificate: 'front' } })).fingerprint, before.fingerprint);
    for (const [name, options] of [['changeCertificate', { body: { name: 'other' } }], ['removeCertificate', {}]] as const) {
      assert.match((await owner.refused(name, { params: { certificate: 'front' }, ...options })).detail, /pbx shows it to its server/);
    }
    await configure({ routes: [], trustedProxies: [] });
  });

  test('a request is pre-filled with what answers now, and its answer has to fit', async () => {
    const form = await seer.call('getCertificateForm', { query: { host: 'gw.example.test' } });
    assert.deepEqual([form.suggestion.commonName, form.suggestion.names, form.suggestion.from, form.suggestion.name], ['gw.example.test', ['gw.example.test'], 'front', 'gw.example.test']);
    assert.deepEqual(form.keyKinds.map((each) => each.kind), ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096']);
    assert.ok(form.keyKinds.every((each) => each.relative >= 1));
    assert.deepEqual(form.directories.at(-1), { key: 'https://acme.example.test/directory', url: 'https://acme.example.test/directory', hasAccount: true });
    const made = await owner.call('requestCertificate', { body: { name: 'asked', subject: { commonName: 'gw.example.test', organization: 'Example' }, names: ['GW.example.test', '192.0.2.9', '[2001:db8::1]'] } });
    assert.deepEqual([made.state, made.names, made.chain, made.mayDownloadKey], ['waiting', { dns: ['gw.example.test'], ip: ['192.0.2.9', '2001:db8::1'] }, [], false]);
    assert.match(made.request!.pem, /BEGIN CERTIFICATE REQUEST/);
    const wrong = await owner.call('replaceCertificate', { params: { certificate: 'asked' }, query: { dryRun: 'true' }, body: { pem: (await leaf('gw.example.test')).pem } });
    assert.equal(wrong.verdicts[0]!.severity, 'error');
    const { chainPem } = await owner.call('signCertificateRequest', { body: { csr: made.request!.pem } });
    const answered = await owner.call('replaceCertificate', { params: { certificate: 'asked' }, body: { pem: chainPem } });
    assert.deepEqual([answered.certificate!.state, answered.certificate!.requestWaits, answered.certificate!.keyPin!.hex], ['ready', false, made.request!.keyPin.hex]);
    const again = await owner.call('requestCertificateAgain', { params: { certificate: 'asked' }, body: { subject: { commonName: 'gw.example.test' }, names: ['gw.example.test'] } });
    assert.deepEqual([again.state, again.requestWaits, again.request!.keyPin.hex === again.keyPin!.hex], ['ready', true, false]);
    const line = await auditLine('certificate.signed');
    assert.deepEqual([line.actor.name, line.detail['kind'], line.detail['keyFingerprint']], ['ada', 'server', made.request!.keyPin.hex]);
    assert.equal((await owner.refused('signCertificateRequest', { body: { csr: 'nothing' } })).status, 400);
  });

  test('downloads: chain for who may see, keys for who administers, each in the audit', async () => {
    const chain = await seer.call('downloadCertificate', { params: { certificate: 'front' }, body: {} });
    assert.doesNotMatch(chain.content, /PRIVATE/);
    for (const form of ['pem-with-key', 'pfx'] as const) assert.equal((await seer.refused('downloadCertificate', { params: { certificate: 'front' }, body: { form, passphrase: 'long enough' } })).status, 403);
    const withKey = await owner.call('downloadCertificate', { params: { certificate: 'front' }, body: { form: 'pem-with-key' } });
    const { keyPin } = await seer.call('getCertificate', { params: { certificate: 'front' } });
    assert.equal(keyOf(createPrivateKey(withKey.content)).fingerprint, keyPin!.hex);
    assert.deepEqual((await auditLine('certificate.downloaded')).detail, { form: 'pem-with-key', withKey: true });
    for (const passphrase of [null, 'short']) assert.match((await owner.refused('downloadCertificate', { params: { certificate: 'front' }, body: { form: 'pfx', passphrase } })).detail, /at least 8/);
    const pfx = await owner.call('downloadCertificate', { params: { certificate: 'front' }, body: { form: 'pfx', passphrase: 'long enough' } });
    const opened = await openPkcs12(Buffer.from(pfx.content, 'base64'), 'long enough');
    assert.equal(keyOf(createPrivateKey({ key: opened.keys[0]!, format: 'der', type: 'pkcs8' })).fingerprint, keyPin!.hex);
    const body = { name: 'from-pfx', files: [pfx.content], passphrase: 'long enough' };
    assert.equal((await owner.call('uploadCertificate', { body })).certificate!.keyPin!.hex, keyPin!.hex);
    const { items } = await owner.call('listAudit', { query: { what: 'certificate.downloaded' } });
    assert.equal(items.length, 4);
    assert.doesNotMatch(JSON.stringify(await owner.call('listAudit')), /long enough|PRIVATE|BEGIN/);
  });

  test('the private CA issues, for servers and clients, and anew', async () => {
    const server = await owner.call('issueCertificate', { body: { name: 'inside', names: ['pbx.example.test'] } });
    assert.deepEqual([server.source, server.state, server.renewsItself, server.names.dns], ['private-ca', 'ready', true, ['pbx.example.test']]);
    const tried = await owner.call('issueCertificateAgain', { params: { certificate: 'inside' }, query: { dryRun: 'true' }, body: { names: ['pbx.example.test', 'pbx2.example.test'], keyKind: 'rsa-2048' } });
    assert.equal(tried.changes.find((each) => each.what === 'key kind')!.after, 'rsa-2048');
    assert.equal(tried.changes.find((each) => each.what === 'fingerprint')!.after, '(said once it is issued)');
    const again = await owner.call('issueCertificateAgain', { params: { certificate: 'inside' }, body: { names: ['pbx.example.test', 'pbx2.example.test'], keyKind: 'ec-p384' } });
    assert.deepEqual([again.certificate!.keyKind, again.certificate!.names.dns], ['ec-p384', ['pbx.example.test', 'pbx2.example.test']]);
    // Agents know the gateway by that name.
    for (const [name, more] of [['issueCertificateAgain', { params: { certificate: 'inside' } }], ['issueCertificate', {}]] as const) {
      assert.match((await owner.refused(name, { ...more, body: { ...(name === 'issueCertificate' ? { name: 'posing' } : {}), names: ['link.localhost'] } })).detail, /no certificate is given/, name);
    }
    assert.equal((await owner.refused('issueCertificate', { body: { name: 'CA', names: ['a.example.test'] } })).status, 400);
    const renewed = await owner.call('renewCertificate', { params: { certificate: 'inside' } });
    assert.deepEqual([renewed.keyKind, renewed.fingerprint === again.certificate!.fingerprint], ['ec-p384', false]);
    const client = await owner.call('issueCertificate', { body: { name: 'towards-pbx', kind: 'client', commonName: 'gateway.example.test' } });
    assert.deepEqual([client.subject, client.renewsItself, client.usedBy], ['CN=gateway.example.test', false, []]);
    assert.match((await owner.refused('issueCertificate', { body: { name: 'x', kind: 'client' } })).detail, /common name/);
    assert.equal((await owner.refused('issueCertificateAgain', { params: { certificate: 'front' }, body: {} })).status, 409);
  });

  test('names, switches and removal', async () => {
    const renamed = await owner.call('changeCertificate', { params: { certificate: 'from-pfx' }, body: { name: 'second', enabled: false } });
    assert.deepEqual([renamed.name, renamed.enabled, renamed.usedBy], ['second', false, []]);
    assert.equal((await owner.refused('changeCertificate', { params: { certificate: 'second' }, body: { name: 'front' } })).status, 409);
    await owner.call('removeCertificate', { params: { certificate: 'second' } });
    assert.equal((await owner.refused('getCertificate', { params: { certificate: 'second' } })).status, 404);
  });

  test('an alarm comes with days left', async () => {
    const soon = await leaf('soon.example.test', { days: 6, names: [{ type: 'dns', value: 'soon.example.test' }] });
    const { certificate, verdicts } = await owner.call('uploadCertificate', { body: { name: 'soon', pem: pemOf(soon) } });
    assert.deepEqual([certificate!.alarm!.step, certificate!.alarm!.severity, certificate!.daysLeft], [7, 'error', 6]);
    assert.ok(verdicts.some((each) => each.severity === 'warning' && /ends in 6 days/.test(each.text)));
  });

  test('ACME: orders, state, errors, accounts and keys', async () => {
    const made = await owner.call('orderCertificate', { body: { name: 'public', names: ['gw.example.test'], termsAgreed: true, directory: 'https://acme.example.test/directory' } });
    assert.deepEqual([made.source, made.state, made.acme!.progress!.why, made.acme!.challenge], ['acme', 'waiting', 'no answer', 'http-01']);
    assert.equal((ordered[0] as { termsAgreed: boolean }).termsAgreed, true);
    const refused = await owner.refused('renewCertificate', { params: { certificate: 'public' } });
    assert.deepEqual([refused.status, refused.detail], [429, 'the authority asked to wait']);
    assert.equal((await auditLine('certificate.renewal-asked')).subjectName, 'public');
    assert.equal((await owner.call('checkCertificateOrder', { body: { names: ['a.example.test'] } })).findings.length, 1);
    assert.equal((await seer.call('listAcmeAccounts')).items.length, 1);
    assert.equal((await owner.call('setDnsKey', { body: { name: 'k.example.test', secret: 'c2VjcmV0' } })).name, 'k.example.test');
    await owner.call('removeDnsKey', { params: { name: 'k.example.test' } });
    assert.equal((await seer.refused('orderCertificate', { body: { name: 'x', names: ['a.example.test'] } })).status, 403);
    assert.match((await owner.refused('renewCertificate', { params: { certificate: 'front' } })).detail, /does not renew itself/);
    assert.equal(typeof onChange, 'function');
  });

  test('who sees only a device sees no certificates; who sees the gateway changes none', async () => {
    const device = [...room.tables.devices.values()][0]!;
    const guest = await room.person(owner, 'guest', [{ action: 'open', scopeKind: 'device', scopeId: device.id }]);
    for (const name of ['listCertificates', 'getCertificateForm', 'listAcmeAccounts', 'listDnsKeys'] as const) assert.equal((await guest.refused(name)).status, 403, name);
    assert.equal((await guest.refused('getCertificate', { params: { certificate: 'front' } })).status, 403);
    assert.equal((await guest.refused('downloadCertificate', { params: { certificate: 'front' }, body: {} })).status, 403);
    const params = { certificate: 'front' };
    const tries = [
      ['uploadCertificate', { body: { name: 'x', pem: 'x' } }], ['replaceCertificate', { params, body: { pem: 'x' } }], ['goBackCertificate', { params, body: {} }], ['requestCertificate', { body: { name: 'x', subject: {} } }],
      ['requestCertificateAgain', { params, body: { subject: {} } }], ['issueCertificate', { body: { name: 'x' } }], ['issueCertificateAgain', { params, body: {} }], ['signCertificateRequest', { body: { csr: 'x' } }],
      ['changeCertificate', { params, body: {} }], ['removeCertificate', { params }], ['renewCertificate', { params }],
    ] as const;
    for (const [name, options] of tries) assert.equal((await seer.refused(name, options)).status, 403, name);
  });
});
