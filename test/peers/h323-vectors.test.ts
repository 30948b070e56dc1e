// tshark is the judge of H.323: of the corpus, of what the tests' own encoder writes, and of every refusal that we send. What it sees there and what
// we see has to be the same.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { emptyBody, facility, grq, oddGeneric, otherBody, q931, rrq, setup, urq } from '#kit/h323.ts';
import type { Alias, EndpointType } from '#kit/h323.ts';
import { findPeers } from '#kit/peers.ts';
import { readWithTshark } from '#kit/tshark.ts';
import { encodeH323Refusal } from '#wire/h323-refusal.ts';
import { sniffH323 } from '#wire/h323.ts';
import type { H323Facts } from '#wire/h323.ts';

const peers = findPeers(['tshark']);
const fields = {
  protocols: 'frame.protocols',
  malformed: '_ws.malformed',
  warning: '_ws.expert.message',
  message: 'q931.message_type',
  reference: 'q931.call_ref',
  flag: 'q931.call_ref_flag',
  cause: 'q931.cause_value',
  called: 'q931.called_party_number.digits',
  ras: 'h225.RasMessage',
  seq: 'h225.requestSeqNum',
  gatekeeper: 'h225.gatekeeperIdentifier',
  h323: 'h225.h323_ID',
  digits: 'h225.dialledDigits',
  url: 'h225.url_ID',
  email: 'h225.email_ID',
  reject: 'h225.rejectReason',
  release: 'h225.reason',
  guid: 'h225.guid',
} as const;
type Seen = { readonly [Name in keyof typeof fields]: readonly string[] };

const askTshark = (messages: readonly Buffer[]): Seen[] => readWithTshark(peers.path('tshark'), messages, 1_720, fields);

/** Printed in hexadecimal. */
const referenceOf = (seen: Seen): number => Number.parseInt(seen.reference[0]!.replaceAll(':', ''), 16);

const rasIndexes = { 'gatekeeper-request': '0', registration: '3' } as const;

function assertSame(facts: H323Facts, seen: Seen, label: string): void {
  assert.deepEqual(seen.malformed, [], label);
  assert.ok(seen.protocols[0]!.includes('h225'), `${label}: ${seen.protocols.join()}`);
  const request = facts.message === 'gatekeeper-request' || facts.message === 'registration' ? facts.message : null;
  assert.deepEqual(seen.gatekeeper, facts.gatekeeperId === null ? [] : [facts.gatekeeperId], label);
  if (request) {
    assert.ok(seen.ras.includes(rasIndexes[request]), label);
    for (const { requestSeqNum } of facts.answerTo.requests) assert.ok(seen.seq.includes(String(requestSeqNum)), label);
  }
  assert.equal(referenceOf(seen) & 0x7fff, facts.answerTo.callReference & 0x7fff, label);
  const all = [...facts.sourceAliases, ...facts.aliases];
  for (const [kind, field] of [['h323-id', 'h323'], ['digits', 'digits'], ['url', 'url'], ['email', 'email']] as const) {
    for (const alias of all.filter((each) => each.kind === kind)) assert.ok(seen[field].includes(alias.value), `${label}: ${alias.value}`);
  }
  if (facts.message === 'setup' && seen.called.length > 0) assert.deepEqual(seen.called, [facts.calledNumber], label);
}

function factsOf(bytes: Buffer): H323Facts {
  const sniffed = sniffH323(bytes);
  assert.equal(sniffed.kind, 'h323', bytes.toString('hex'));
  return sniffed as H323Facts;
}

test('tshark reads the corpus as we do', { skip: peers.skip }, () => {
  const text = readFileSync(new URL('../corpus/h323.md', import.meta.url), 'utf8');
  const samples = [...text.matchAll(/^## (.*?)$.*?```hex\n(.*?)```/gms)].map((match) => {
    let bytes = Buffer.from(match[2]!.replace(/\s/g, ''), 'hex');
    // Without the keep-alives before it: tshark takes an empty TPKT for something else.
    while (bytes.readUInt16BE(2) < bytes.length) bytes = bytes.subarray(bytes.readUInt16BE(2));
    return { title: match[1]!, bytes };
  });
  assert.ok(samples.length >= 9);
  const seen = askTshark(samples.map(({ bytes }) => bytes));
  samples.forEach(({ title, bytes }, index) => assertSame(factsOf(bytes), seen[index]!, title));
});

test('tshark reads what the tests write, with its options combined', { skip: peers.skip }, () => {
  const own = { manufacturer: 18, data: Buffer.alloc(200, 0x3c) };
  const byObject = { object: Buffer.from('2b06010401', 'hex'), data: Buffer.alloc(3, 1) };
  const endpoints: EndpointType[] = [
    { terminal: true },
    {},
    { vendor: { product: 'P'.repeat(256), version: 'V', enterprise: true }, terminal: true },
    { nonStandard: own, gateway: { protocols: 3, nonStandard: byObject }, isSet: true },
    { nonStandard: byObject, vendor: { version: '2' }, gatekeeper: true, gateway: {}, mcu: true, terminal: true },
  ];
  const lists: (readonly Alias[])[] = [[], [{ h323: 'x'.repeat(256) }], [{ digits: '#*,0123456789' }, { h323: 'carol' }], [{ url: `h323:${'u'.repeat(480)}@pbx.example.com` }, { party: '123' }, { email: 'dave@mail.example.com' }, { transport: { ip4: '192.0.2.8' } }, { h323: 'dave' }]];
  const messages: Buffer[] = [];
  for (const [index, endpoint] of endpoints.entries()) {
    for (const aliases of lists) {
      const shared = { endpoint, aliases, seq: messages.length + 1, gatekeeper: `gk-${index}.example.com` };
      messages.push(
        facility([grq({ ...shared, services: true, nonStandard: index % 2 ? own : byObject, ras: { route: ['192.0.2.1', '192.0.2.2'] } })], { own }),
        facility([grq({ aliases, endpoint, isExtended: true, ras: { ip6: Buffer.alloc(16, 0x20) } })], { elements: Buffer.from('1c00', 'hex') }),
        facility([rrq({ ...shared, isDiscovered: true, isExtended: true, signal: [], ras: [{ nsap: 1 }, { ipx: true }, { netbios: true }, { nonStandard: own }, { ip4: '192.0.2.7' }] })]),
        facility([rrq({ aliases, endpoint, nonStandard: own, vendor: { product: 'x', version: 'y', enterprise: true } })]),
        q931(5, setup({ endpoint, source: aliases, destination: [{ digits: '345' }, { h323: 'bob@b.example.com' }], signal: { ip4: '192.0.2.5' }, extraCrv: [7], services: true, isExtended: true, generic: [oddGeneric()] }), { reference: 0x1234, elements: Buffer.from('700481333435', 'hex') }),
        q931(5, setup({ endpoint, destination: aliases, h245: { ip4: '192.0.2.5' }, extra: [{ digits: '9' }] })),
      );
    }
  }
  for (const name of ['proceeding', 'connect', 'alerting', 'information', 'release', 'facility'] as const) messages.push(q931(0x7b, otherBody(name, [oddGeneric()])));
  messages.push(q931(0x62, emptyBody([oddGeneric()])));
  const seen = askTshark(messages);
  messages.forEach((bytes, index) => assertSame(factsOf(bytes), seen[index]!, `message ${index}: ${bytes.toString('hex')}`));
});

test('tshark reads our refusals', { skip: peers.skip }, () => {
  const both = factsOf(facility([grq({ seq: 65_535, gatekeeper: 'a' }), urq(), rrq({ seq: 256, gatekeeper: 'a' })]));
  const call = factsOf(q931(5, setup({ isExtended: true }), { reference: 0x1234 }));
  const oldCall = factsOf(q931(5, setup({}), { reference: 0x0001 }));
  // GatekeeperRejectReason, RegistrationRejectReason (8 on are additions), ReleaseCompleteReason, cause: as tshark counts them.
  const reasons = { 'not-here': ['1', '6', '2', '3'], 'not-allowed': ['1', '11', '5', '21'], unreachable: ['0', '9', '1', '42'] } as const;
  for (const [reason, [gatekeeper, registration, release, cause]] of Object.entries(reasons) as ['not-here', readonly [string, string, string, string]][]) {
    const answers = encodeH323Refusal(both, reason);
    const first = answers.readUInt16BE(2);
    const [grj, rrj, left, leftOld] = askTshark([answers.subarray(0, first), answers.subarray(first), encodeH323Refusal(call, reason), encodeH323Refusal(oldCall, reason)]) as [Seen, Seen, Seen, Seen];
    for (const each of [grj, rrj, left, leftOld]) {
      assert.deepEqual(each.malformed, []);
      assert.deepEqual(each.warning, []);
      assert.ok(each.protocols[0]!.includes('h225'));
    }
    for (const [each, ras, seq, why] of [[grj, '2', '65535', gatekeeper], [rrj, '5', '256', registration]] as const) {
      assert.deepEqual([each.message, each.ras, each.seq, each.reject], [['0x62'], [ras], [seq], [why]], reason);
    }
    assert.deepEqual([left.message, left.flag, left.cause, left.release], [['0x5a'], ['1'], [cause], [release]], reason);
    assert.equal(referenceOf(left), 0x1234);
    assert.equal(left.guid[0]?.replaceAll(/[:-]/g, ''), '000102030405060708090a0b0c0d0e0f');
    assert.deepEqual(leftOld.guid, []);
  }
});
