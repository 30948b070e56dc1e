import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { answering, expectedProfile, ippAnswer, octets, parseOverrides, printerAddress, printerConf, printerNames, probeFault, shippedDrivers, type PrinterSetup } from '#kit/printer-answers.ts';
import type { SnmpValue } from './asking.ts';
import { bareDriver, gatherDrivers, type LoadedDriver } from './driver.ts';
import { oids, roots } from './oids.ts';
import { probeDevice, questionsOf, type NotProbed, type Probed, type ProbeOptions } from './probe.ts';

const drivers = shippedDrivers();
const options: ProbeOptions = { depth: 'full', nowMs: 1_700_000_000_000, agent: 'lan1' };
const valuesOf = (name: string) => parseOverrides(printerConf(name));

async function probe(setup: PrinterSetup, given: { readonly drivers?: readonly LoadedDriver[]; readonly options?: Partial<ProbeOptions> } = {}): Promise<Probed & { readonly questions: readonly string[] }> {
  const device = answering(setup);
  const outcome = await probeDevice(device, printerAddress, given.drivers ?? drivers, { ...options, ...given.options });
  assert.ok('profile' in outcome, JSON.stringify(outcome));
  return { ...outcome, questions: device.questions };
}

async function fail(setup: PrinterSetup): Promise<NotProbed> {
  const outcome = await probeDevice(answering(setup), printerAddress, drivers, options);
  assert.ok('failure' in outcome, JSON.stringify(outcome));
  return outcome;
}

for (const name of printerNames) {
  test(`a printer out of the corpus: ${name}`, async () => {
    const outcome = await probe({ values: valuesOf(name) });
    assert.deepEqual(JSON.parse(JSON.stringify(outcome.profile)), expectedProfile(name));
    assert.deepEqual([outcome.chosen?.driver.key, outcome.chosen?.by, outcome.gaps, outcome.remarks], [name, 'sysObjectID', [], []]);
    // Nobody is asked twice, and nobody is asked much.
    assert.equal(new Set(outcome.asked.filter(({ value }) => value !== null).map(({ question }) => question)).size, outcome.asked.filter(({ value }) => value !== null).length);
    assert.ok(outcome.requests <= 20, `${outcome.requests} datagrams`);
  });

  test(`who it is, and no more: ${name}`, async () => {
    const outcome = await probe({ values: valuesOf(name) }, { options: { depth: 'identity' } });
    const full = expectedProfile(name) as { serial: string; model: string; vendor: string; macs: string[] };
    const { serial, model, vendor, macs } = outcome.profile;
    assert.deepEqual({ serial, model, vendor, macs }, { serial: full.serial, model: full.model, vendor: full.vendor, macs: full.macs });
    assert.deepEqual(outcome.profile.supplies, []);
    assert.deepEqual(outcome.questions.filter((question) => /^(?:ipp|http)/.test(question)), []);
  });
}

test('the corpus has eight vendors', () => assert.equal(printerNames.length, 8));

const id = 'MFG:Hewlett-Packard;MDL:HP Color LaserJet MFP M477fdw;CMD:PCL;CLS:PRINTER;SN:XXHPA04711;';

test('a second witness: IPP says the same, the agent sees the same card, the certificate has the name', async () => {
  const alone = await probe({ values: valuesOf('hp') });
  const both = await probe({
    values: valuesOf('hp'), mac: '00:00:5e:00:53:11', ipp: { '/ipp/print': ippAnswer({ 'printer-device-id': [id], 'printer-state': [3] }) }, http: { server: 'HP HTTP Server', title: 'HP Color LaserJet MFP' },
    https: { certificate: { subject: 'CN=NPI5E0053', issuer: 'CN=NPI5E0053', serialNumber: '01', sha256: '5f', notBefore: '2020-01-01T00:00:00.000Z', notAfter: '2030-01-01T00:00:00.000Z', names: [] } },
  });
  assert.deepEqual(both.serials, { snmp: 'XXHPA04711', ipp: 'XXHPA04711' });
  assert.deepEqual(both.profile.protocols, ['snmp-v2c', 'ipp', 'http', 'https']);
  assert.deepEqual([alone.profile.confidence, both.profile.confidence], [0.75, 1]);
  assert.equal(both.mac, '00:00:5e:00:53:11');
  const questions = both.profile.evidence.map(({ question }) => question);
  for (const wanted of ['ipp printer-device-id', 'ipp printer-device-id SN', 'http Server', 'http title', 'tls subject']) assert.ok(questions.includes(wanted), wanted);
  assert.deepEqual(both.remarks, []);
});

test('witnesses that do not agree are said, and SNMP is believed', async () => {
  const outcome = await probe({ values: valuesOf('hp'), mac: '00:00:5e:00:53:99', ipp: { '/ipp/print': ippAnswer({ 'printer-device-id': [id.replace('XXHPA04711', 'XXHPB00001')] }) } });
  assert.equal(outcome.profile.serial, 'XXHPA04711');
  assert.deepEqual(outcome.serials, { snmp: 'XXHPA04711', ipp: 'XXHPB00001' });
  assert.match(outcome.remarks[0]!.message, /SNMP says that its serial number is XXHPA04711, IPP says XXHPB00001/);
  assert.match(outcome.remarks[1]!.message, /00:00:5e:00:53:11; the site's agent sees 00:00:5e:00:53:99 at 192\.0\.2\.50/);
  assert.deepEqual(outcome.gaps.map(({ code, question }) => [code, question]), [['differs', 'ipp printer-device-id SN'], ['differs', 'mac']]);
  assert.deepEqual(outcome.profile.macs, ['00:00:5e:00:53:11']);
  assert.ok(outcome.profile.confidence < 0.75);
});

test('SNMP is silent: IPP alone makes a profile', async () => {
  const outcome = await probe({
    snmp: probeFault('off', 'nobody listens on UDP port 161 of 192.0.2.50'), mac: '00:00:5e:00:53:51',
    ipp: {
      '/ipp/print': ippAnswer({
        'printer-make-and-model': ['Brother MFC-L8900CDW series'], 'printer-device-id': ['MFG:Brother;\r\nCMD:PJL,PCL;\r\nMDL:MFC-L8900CDW series;CLS:PRINTER;SN:E70000A0N000042;'], 'printer-location': ['Room 3'],
        'printer-firmware-string-version': ['1.21'], 'printer-state': [5], 'printer-state-reasons': ['media-jam-error', 'toner-low-warning', 'none'], 'printer-up-time': [120], 'color-supported': [true],
        'sides-supported': ['one-sided', 'two-sided-long-edge'], 'document-format-supported': ['application/octet-stream', 'image/urf', 'application/vnd.hp-PCL'], 'printer-impressions-completed': [500],
        'printer-supply': [Buffer.from('type=toner;maxcapacity=100;level=7;class=supplyThatIsConsumed;colorantname=black;unit=percent;')], 'printer-input-tray': [Buffer.from('type=sheetFeedAutoRemovableTray;maxcapacity=250;level=-3;name=Tray1;')],
      }),
    },
  });
  const { evidence, supplies, trays, ...profile } = outcome.profile;
  assert.deepEqual(profile, {
    vendor: 'Brother', enterpriseId: null, model: 'MFC-L8900CDW series', serial: 'E70000A0N000042', macs: ['00:00:5e:00:53:51'], addresses: [printerAddress], firmware: '1.21', hostNames: [], location: 'Room 3',
    functions: { print: true, copy: true, scan: true, fax: true }, colour: true, duplex: true, languages: ['apple-raster', 'pcl'], protocols: ['ipp'], counters: { pages: 500 }, status: 'other', errors: ['jammed', 'low-toner'],
    upSeconds: 120, driver: 'brother', confidence: 0.65,
  });
  assert.deepEqual(supplies.map(({ key, percent, state }) => [key, percent, state]), [['toner-black', 7, 'low']]);
  assert.deepEqual(trays.map(({ name, state }) => [name, state]), [['Tray1', 'some']]);
  assert.ok(evidence.every(({ question }) => question.startsWith('ipp ')));
  assert.deepEqual([outcome.chosen?.driver.key, outcome.chosen?.by], ['brother', 'description']);
  // Why SNMP did not help is not lost.
  assert.deepEqual(outcome.gaps.map(({ code, message }) => [code, message]), [['off', 'nobody listens on UDP port 161 of 192.0.2.50']]);
});

test('IPP: other paths, with TLS, another version, and what no path has', async () => {
  const snmp = probeFault('silent', 'nothing came from 192.0.2.50');
  const answer = ippAnswer({ 'printer-make-and-model': ['Lexmark MX611de'] });
  const elsewhere = await probe({ snmp, ipp: { '/ipp/print': ippAnswer({}, 0x0406), '/ipp/printer': answer } });
  assert.equal(elsewhere.profile.model, 'MX611de');
  assert.deepEqual(elsewhere.questions.filter((question) => question.startsWith('ipp')), ['ipp /ipp/print', 'ipp /ipp/printer']);
  const tls = await probe({ snmp, ippTlsOnly: true, ipp: { '/ipp/print': answer } });
  assert.deepEqual([tls.profile.protocols, tls.questions.filter((question) => question.startsWith('ipp'))], [['ipps'], ['ipp /ipp/print', 'ipps /ipp/print']]);
  const closed = await probe({ snmp, ipp: { '/ipp/print': answer }, fails: (question) => (question === 'ipp /ipp/print' ? probeFault('closed', 'the connection ended') : null) });
  assert.deepEqual(closed.profile.protocols, ['ipps']);
  const versions = await fail({ snmp, ipp: { '/ipp/print': ippAnswer({}, 0x0503) } });
  assert.match(versions.failure.message, /nothing came from 192\.0\.2\.50; IPP: /);
  const nowhere = await fail({ snmp, ipp: {} });
  assert.match(nowhere.failure.message, /HTTP status 404/);
  const garbage = await fail({ snmp, ipp: { '/ipp/print': Buffer.from('<html>not here</html>') } });
  assert.match(garbage.failure.message, /no IPP/);
});

test('nothing answers: which question, from which address, through which agent, what to do', async () => {
  const { failure, asked } = await fail({ snmp: probeFault('unknown-user', 'the SNMP agent is alive and does not know the user postern'), http: { server: 'Acme/1.0' } });
  assert.deepEqual(failure, {
    code: 'credentials', question: 'snmp 1.3.6.1.2.1.1.2.0', address: printerAddress, agent: 'lan1', from: '192.0.2.9',
    message: 'the SNMP agent is alive and does not know the user postern; IPP: nobody listens on the port of IPP; its web page answers (Server: Acme/1.0)', remedy: 'Do something about it.',
  });
  assert.ok(asked.some(({ question, why }) => question === 'snmp' && why !== null));
});

test('the way to the agent fails: offline, from no address', async () => {
  const { failure } = await fail({ fails: () => new Fault('offline', 'lan1 has no link') });
  assert.deepEqual([failure.code, failure.question, failure.from, failure.message], ['offline', 'snmp', null, 'lan1 has no link']);
  const refused = await fail({ fails: () => probeFault('policy', 'the local policy does not allow udp 192.0.2.50 161') });
  assert.equal(refused.failure.code, 'policy');
});

test('a mistake of ours is not taken for an answer', async () => {
  const broken = { ...answering({}), reach: () => Promise.reject(new TypeError('a bug')) };
  await assert.rejects(probeDevice(broken, printerAddress, drivers, options), TypeError);
});

test('a device that no driver knows: the standard tables, and what to do', async () => {
  const values = new Map(valuesOf('ricoh'));
  values.set(oids.sysObjectId, { oid: oids.sysObjectId, type: 'oid', value: '1.3.6.1.4.1.55555.1' });
  values.set(oids.sysDescr, octets(oids.sysDescr, Buffer.from('Acme Paper Thing')));
  const outcome = await probe({ values });
  assert.deepEqual([outcome.chosen?.driver.key, outcome.profile.enterpriseId, outcome.profile.serial, outcome.profile.vendor], ['generic-printer', 55555, null, null]);
  assert.equal(outcome.profile.supplies.length, 5);
  assert.deepEqual(outcome.gaps.map(({ code, question }) => [code, question]), [['unknown-device', 'snmp 1.3.6.1.2.1.1.2.0'], ['partial', 'snmp 1.3.6.1.2.1.43.5.1.1.17.2']]);
  assert.match(outcome.gaps[0]!.message, /no driver knows sysObjectID 1\.3\.6\.1\.4\.1\.55555\.1 that says of itself "Acme Paper Thing"/);
  assert.match(outcome.gaps[1]!.message, /1\.3\.6\.1\.2\.1\.43\.5\.1\.1\.17\.2 \("XXXXXXXXXXX"\)/);
  // An owner's driver mends both.
  const mine = gatherDrivers([{ file: 'acme.json', own: true, text: JSON.stringify({ key: 'acme', vendor: 'Acme', enterpriseIds: [55555], serial: '1.3.6.1.4.1.367.3.2.1.2.1.4.0' }) }]).drivers;
  const mended = await probe({ values }, { drivers: [...drivers, ...mine] });
  assert.deepEqual([mended.profile.serial, mended.profile.vendor, mended.gaps], ['E000RX40013', 'Acme', []]);
});

test('a device with Net-SNMP\'s own sysObjectID is known by what IPP says, and asked again as that', async () => {
  const values = new Map(valuesOf('brother'));
  values.set(oids.sysObjectId, { oid: oids.sysObjectId, type: 'oid', value: '1.3.6.1.4.1.8072.3.2.10' });
  values.set(oids.sysDescr, octets(oids.sysDescr, Buffer.from('Linux armv7')));
  const outcome = await probe({ values, ipp: { '/ipp/print': ippAnswer({ 'printer-make-and-model': ['Brother MFC-L8900CDW series'] }) } });
  assert.deepEqual([outcome.chosen?.driver.key, outcome.chosen?.by, outcome.profile.serial], ['brother', 'description', 'E70000A0N000042']);
  assert.equal(outcome.questions.filter((question) => question.startsWith('ipp')).length, 1);
});

test('no printer: who it is and where, no tables of printers', async () => {
  const values = new Map<string, SnmpValue>([
    [oids.sysDescr, octets(oids.sysDescr, Buffer.from('Acme Door Station 2.1'))],
    [oids.sysName, octets(oids.sysName, Buffer.from('door-1'))],
    [oids.entPhysicalSerialNum, octets(oids.entPhysicalSerialNum, Buffer.from('D00R-0001'))],
  ]);
  const outcome = await probe({ values, mac: '00:00:5e:00:53:77' });
  assert.deepEqual([outcome.profile.serial, outcome.profile.hostNames, outcome.profile.macs, outcome.profile.functions.print], ['D00R-0001', ['door-1'], ['00:00:5e:00:53:77'], null]);
  assert.deepEqual(outcome.questions.filter((question) => question.startsWith('walk')), [roots.hrDeviceType, roots.ifPhysAddress, roots.ipAdEntIfIndex].map((root) => `walk ${root}`));
});

test('without any driver the standard tables are asked', async () => {
  const outcome = await probe({ values: valuesOf('kyocera') }, { drivers: [] });
  assert.deepEqual([outcome.chosen, outcome.profile.serial, outcome.profile.driver, outcome.profile.counters], [null, 'VXX0000017', 'none', { pages: 60500 }]);
});

test('a device that falls silent half-way: what was answered counts, and it is left alone', async () => {
  const outcome = await probe({ values: valuesOf('hp'), fails: (question) => (question.startsWith('walk 1.3.6.1.2.1.43.') ? probeFault('silent', 'nothing came') : null) });
  assert.equal(outcome.profile.serial, 'XXHPA04711');
  assert.deepEqual(outcome.profile.supplies, []);
  assert.deepEqual(outcome.gaps.map(({ code, question }) => [code, question]), [['silent', `snmp ${roots.prtMarkerSupplies}`], ['silent', `snmp ${roots.prtMarkerColorantValue}`]]);
  assert.equal(outcome.questions.filter((question) => question.startsWith('walk 1.3.6.1.2.1.43.')).length, 2);
});

test('a large printer: forty supplies with their levels', async () => {
  const values = new Map(valuesOf('xerox'));
  for (const oid of values.keys()) if (oid.startsWith(`${roots.prtMarkerSupplies}.`)) values.delete(oid);
  for (let row = 1; row <= 40; row++) {
    for (const [column, value] of [[2, 1], [3, 0], [4, 3], [5, 15], [7, 19], [8, 100], [9, row]] as const) {
      const oid = `${roots.prtMarkerSupplies}.${column}.1.${row}`;
      values.set(oid, { oid, type: 'integer', value });
    }
    values.set(`${roots.prtMarkerSupplies}.6.1.${row}`, octets(`${roots.prtMarkerSupplies}.6.1.${row}`, Buffer.from(`Part ${row}`)));
  }
  const { supplies } = (await probe({ values })).profile;
  assert.deepEqual(supplies.map(({ key, name, percent }) => [key, name, percent]), Array.from({ length: 40 }, (_, i) => [i === 0 ? 'fuser' : `fuser-${i + 1}`, `Part ${i + 1}`, i + 1]));
});

test('a table without an end is left', async () => {
  const endless = new Map(valuesOf('hp'));
  for (let i = 1; i <= 2_000; i++) endless.set(`${roots.ifPhysAddress}.${i}`, octets(`${roots.ifPhysAddress}.${i}`, Buffer.from([0, 0, 0x5e, 0, i >> 8, i & 0xff])));
  const outcome = await probe({ values: endless });
  assert.ok(outcome.questions.filter((question) => question === `walk ${roots.ifPhysAddress}`).length <= 14);
  assert.equal(outcome.profile.macs.length, 16);
  const device = answering({ values: valuesOf('hp') });
  const stuck = { ...device, walk: async (asked: Parameters<typeof device.walk>[0]) => ({ ...(await device.walk(asked)), values: [], next: asked.root }) };
  assert.ok('profile' in await probeDevice(stuck, printerAddress, drivers, options));
});

test('answers that make no sense make no profile fall over', async () => {
  const kinds: ((oid: string) => SnmpValue)[] = [
    (oid) => ({ oid, type: 'integer', value: -2_147_483_648 }), (oid) => octets(oid, Buffer.alloc(0)), (oid) => octets(oid, Buffer.from([0xff, 0xfe, 0, 1])), (oid) => ({ oid, type: 'oid', value: '0.0' }),
    (oid) => ({ oid, type: 'missing', value: null, why: 'noSuchObject' }), (oid) => ({ oid, type: 'counter64', value: '18446744073709551615' }), (oid) => octets(oid, Buffer.from('x'.repeat(4_096))),
  ];
  for (const name of printerNames) {
    const whole = valuesOf(name);
    let turn = 0;
    for (const kind of kinds) {
      for (const every of [1, 2, 3]) {
        const values = new Map([...whole].map(([oid, value]) => [oid, turn++ % every === 0 ? kind(oid) : value]));
        const outcome = await probe({ values });
        assert.ok(outcome.profile.confidence >= 0 && outcome.profile.confidence <= 1);
        for (const { percent } of [...outcome.profile.supplies, ...outcome.profile.trays]) assert.ok(percent === null || (percent >= 0 && percent <= 100));
        for (const count of Object.values(outcome.profile.counters)) assert.ok(Number.isSafeInteger(count) && count >= 0);
      }
    }
  }
});

test('error states of one and of two bytes, the highest bit first', async () => {
  const errors = async (bytes: readonly number[], status: number) => {
    const values = new Map(valuesOf('hp'));
    for (const [oid, value] of [['1.3.6.1.2.1.25.3.5.1.2.1', octets('', Buffer.from(bytes))], ['1.3.6.1.2.1.25.3.5.1.1.1', { oid: '', type: 'integer', value: status }]] as const) values.set(oid, { ...value, oid });
    return (await probe({ values })).profile.errors;
  };
  assert.deepEqual(await errors([0x80], 3), ['low-paper']);
  assert.deepEqual(await errors([0x01, 0x02], 1), ['service-requested', 'overdue-preventive-maintenance']);
  assert.deepEqual(await errors([0xff, 0xfe], 1), [
    'low-paper', 'no-paper', 'low-toner', 'no-toner', 'door-open', 'jammed', 'offline', 'service-requested', 'input-tray-missing', 'output-tray-missing', 'marker-supply-missing', 'output-near-full', 'output-full',
    'input-tray-empty', 'overdue-preventive-maintenance',
  ]);
  // Who prints is not offline.
  assert.deepEqual(await errors([0x0b], 4), ['door-open']);
  assert.deepEqual(await errors([], 3), []);
});

test('the questions of a driver, with the printer\'s index', () => {
  const ricoh = drivers.find(({ driver }) => driver.key === 'ricoh')!.driver;
  const full = questionsOf(ricoh, 2, 'full');
  assert.ok(full.includes('1.3.6.1.2.1.43.5.1.1.17.2') && full.includes('1.3.6.1.4.1.367.3.2.1.2.1.4.0') && full.includes('1.3.6.1.2.1.43.10.2.1.4.2.1'));
  assert.equal(new Set(full).size, full.length);
  assert.ok(questionsOf(ricoh, 2, 'identity').length < full.length);
  assert.ok(questionsOf(bareDriver, null, 'identity').includes('1.3.6.1.2.1.43.5.1.1.17.1'));
});
