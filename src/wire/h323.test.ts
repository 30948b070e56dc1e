import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PerWriter, emptyBody, facility, grq, oddGeneric, otherBody, q931, rasData, rrq, setup, tpkt, urq } from '#kit/h323.ts';
import type { Alias, EndpointType, NonStandard } from '#kit/h323.ts';
import { encodeH323Refusal } from './h323-refusal.ts';
import { sniffH323 } from './h323.ts';
import type { H323Facts } from './h323.ts';
import { sniffRdp } from './rdp.ts';
import { sniffSsh } from './ssh.ts';
import { sniffClientHello } from './tls.ts';

interface Sample {
  readonly title: string;
  readonly bytes: Buffer;
  readonly expected: object;
}

function readCorpus(): Sample[] {
  const text = readFileSync(new URL('../../test/corpus/h323.md', import.meta.url), 'utf8');
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => ({
      title: section.slice(0, section.indexOf('\n')),
      expected: JSON.parse(/```json\n(.*?)```/s.exec(section)![1]!) as object,
      bytes: Buffer.from(/```hex\n(.*?)```/s.exec(section)![1]!.replace(/\s/g, ''), 'hex'),
    }));
}

/** The facts as the corpus writes them. */
function plain(facts: H323Facts): object {
  const { kind: _, answerTo, ...rest } = facts;
  return { ...rest, requests: answerTo.requests, callReference: answerTo.callReference };
}

function factsOf(bytes: Buffer): H323Facts {
  const sniffed = sniffH323(bytes);
  assert.equal(sniffed.kind, 'h323', `${JSON.stringify(sniffed)} for ${bytes.toString('hex').slice(0, 200)}`);
  return sniffed as H323Facts;
}

function whyOf(bytes: Buffer): string {
  const sniffed = sniffH323(bytes);
  assert.equal(sniffed.kind, 'malformed', `${JSON.stringify(sniffed)} for ${bytes.toString('hex').slice(0, 200)}`);
  return sniffed.kind === 'malformed' ? sniffed.why : '';
}

for (const sample of readCorpus()) {
  test(`corpus: ${sample.title}`, () => {
    const facts = factsOf(sample.bytes);
    assert.deepEqual(plain(facts), sample.expected);
    for (let end = 0; end < sample.bytes.length; end++) {
      assert.deepEqual(sniffH323(sample.bytes.subarray(0, end)), { kind: 'more' }, `the first ${end} bytes`);
    }
    for (const garbage of ['00', 'ffffffff', '0300ffff08', '160301', sample.bytes.toString('hex')]) {
      assert.deepEqual(sniffH323(Buffer.concat([sample.bytes, Buffer.from(garbage, 'hex')])), facts, `${garbage} behind it`);
    }
  });

  test(`corpus, through the other sniffers: ${sample.title}`, () => {
    for (let end = 6; end <= sample.bytes.length; end++) {
      const bytes = sample.bytes.subarray(0, end);
      assert.equal(sniffSsh(bytes).kind, 'no');
      assert.equal(sniffClientHello(bytes).kind, 'no');
      assert.equal(sniffRdp(bytes).kind, 'no');
    }
  });

  test(`corpus, cut inside: ${sample.title}`, () => {
    // The outer lengths are put right again, so that the inner ones are what is judged: every cut is malformed or says the same of who is asked for.
    const whole = factsOf(sample.bytes);
    let message = sample.bytes;
    while (message.readUInt16BE(2) < message.length) message = message.subarray(message.readUInt16BE(2));
    const userUser = message.indexOf(0x7e, 9);
    for (let end = userUser + 4; end < message.length; end++) {
      const cut = Buffer.from(message.subarray(0, end));
      cut.writeUInt16BE(end, 2);
      cut.writeUInt16BE(end - userUser - 3, userUser + 1);
      const sniffed = sniffH323(cut);
      if (sniffed.kind === 'h323') assert.deepEqual({ ...plain(sniffed), pduBytes: 0 }, { ...plain(whole), pduBytes: 0 }, `cut at ${end}`);
      else assert.equal(sniffed.kind, 'malformed');
    }
  });
}

test('what is not H.323', () => {
  for (const hex of ['16', '0301', '0300000b06e0', '03000013', '0300002b26e0', '0300000000', '03000003', '030000050702', '0300000908ff', '0300001008e0', '53', '30', '0300000403010000']) {
    const expected = hex === '03000013' ? 'more' : 'no';
    assert.equal(sniffH323(Buffer.from(hex, 'hex')).kind, expected, hex);
  }
  assert.equal(sniffH323(Buffer.alloc(0)).kind, 'more');
});

test('lengths of the outer layers', () => {
  assert.match(whyOf(Buffer.from('030000080802', 'hex')), /too short for Q\.931/);
  assert.match(whyOf(Buffer.from('030020010802', 'hex')), /8193 bytes, more than 8192/);
  assert.equal(sniffH323(Buffer.from('030020000802', 'hex')).kind, 'more');
  assert.match(whyOf(tpkt(Buffer.from('0801000062', 'hex'))), /1 octets instead of 2/);
  assert.match(whyOf(tpkt(Buffer.from('0802000062700581', 'hex'))), /element is cut short/);
  assert.match(whyOf(tpkt(Buffer.from('08020000627e00', 'hex'))), /element is cut short/);
  assert.match(whyOf(tpkt(Buffer.from('0802000062957e0001', 'hex'))), /codeset/);
  assert.match(whyOf(tpkt(Buffer.from('08020000627e000104', 'hex'))), /protocol 4 instead of 5/);
  assert.match(whyOf(q931(0x62, emptyBody([]), { behind: Buffer.from('7e000105', 'hex') })), /two User-User/);
});

test('keep-alives before the first message are counted', () => {
  const first = facility([grq({ gatekeeper: 'pbx' })]);
  const empty = tpkt(Buffer.alloc(0));
  assert.equal(factsOf(Buffer.concat([...Array<Buffer>(8).fill(empty), first])).domain, 'pbx');
  assert.match(whyOf(Buffer.concat([...Array<Buffer>(9).fill(empty), first])), /more than 8 keep-alives/);
  assert.match(whyOf(Buffer.concat([q931(0, null), Buffer.from('GET')])), /no TPKT/);
  assert.equal(sniffH323(Buffer.concat([empty, Buffer.from('GET')])).kind, 'no');
});

const own: NonStandard = { manufacturer: 18, data: Buffer.alloc(300, 0x3c) };
const byObject: NonStandard = { object: Buffer.from('2b06010401', 'hex'), data: Buffer.alloc(0) };
const endpoints: EndpointType[] = [
  { terminal: true },
  {},
  { vendor: { product: 'P'.repeat(256), version: 'V', enterprise: true }, terminal: true },
  { nonStandard: own, gateway: { protocols: 3, nonStandard: byObject }, isSet: true },
  { nonStandard: byObject, vendor: { version: '2' }, gatekeeper: true, gateway: {}, mcu: true, terminal: true },
];
const aliasLists: (readonly Alias[] | undefined)[] = [
  undefined,
  [],
  [{ h323: 'x'.repeat(256) }],
  [{ digits: '1'.repeat(128) }, { h323: 'carol' }],
  [{ url: `h323:${'u'.repeat(480)}@pbx.example.com` }, { party: '123' }],
  [{ email: 'dave@mail.example.com' }, { transport: { ip6: Buffer.alloc(16, 1) } }, { h323: 'dave' }],
];
const read = (list: readonly Alias[] | undefined) =>
  (list ?? []).flatMap((each) => {
    if ('digits' in each) return [{ kind: 'digits', value: each.digits }];
    if ('h323' in each) return [{ kind: 'h323-id', value: each.h323 }];
    if ('url' in each) return [{ kind: 'url', value: each.url }];
    return 'email' in each ? [{ kind: 'email', value: each.email }] : [];
  });

test('GRQ and RRQ with every combination of parts', () => {
  let count = 0;
  for (const endpoint of endpoints) {
    for (const aliases of aliasLists) {
      for (const gatekeeper of [undefined, 'a', 'g'.repeat(128)]) {
        for (const flags of [0, 1, 2, 3, 4, 5, 6, 7]) {
          const shared = {
            endpoint,
            seq: 1 + count * 7,
            ...(aliases ? { aliases } : {}),
            ...(gatekeeper ? { gatekeeper } : {}),
            ...(flags & 1 ? { nonStandard: count % 2 ? own : byObject } : {}),
            ...(flags & 2 ? { isExtended: true as const } : {}),
          };
          const asGrq = factsOf(facility([grq({ ...shared, ...(flags & 4 ? { services: true as const, ras: { nonStandard: own } } : {}) })], flags & 1 ? { own } : {}));
          const asRrq = factsOf(facility([rrq({ ...shared, ...(flags & 4 ? { isDiscovered: true as const, signal: [], ras: [{ route: ['192.0.2.1'] }, { netbios: true }, { nsap: 1 }], vendor: { product: 'x' } } : {}) })]));
          for (const [facts, message] of [[asGrq, 'gatekeeper-request'], [asRrq, 'registration']] as const) {
            assert.equal(facts.message, message);
            assert.equal(facts.gatekeeperId, gatekeeper ?? null);
            assert.deepEqual(facts.aliases, read(aliases));
            assert.equal(facts.answerTo.requests[0]!.requestSeqNum, 1 + count * 7);
          }
          count++;
        }
      }
    }
  }
  assert.equal(count, 720);
});

test('SETUP with every combination of optional parts', () => {
  for (let flags = 0; flags < 512; flags++) {
    const on = (bit: number) => (flags & (1 << bit)) !== 0;
    const facts = factsOf(
      q931(5, setup({
        endpoint: endpoints[flags % endpoints.length]!,
        ...(on(0) ? { h245: { ip4: '192.0.2.1' } } : {}),
        ...(on(1) ? { source: [{ digits: '12' }, { h323: 'erin' }] } : {}),
        ...(on(2) ? { destination: [{ digits: '345' }, { h323: 'frank@b.example.com' }] } : {}),
        ...(on(3) ? { signal: { ip6: Buffer.alloc(16, 2) } } : {}),
        ...(on(4) ? { extra: [{ h323: 'no@extra.example' }] } : {}),
        ...(on(5) ? { extraCrv: [1, 2, 3] } : {}),
        ...(on(6) ? { services: true as const } : {}),
        ...(on(7) ? { isExtended: true as const } : {}),
        ...(on(8) ? { generic: [oddGeneric()] } : {}),
      }), { reference: 0x1234 }),
    );
    assert.equal(facts.message, 'setup');
    assert.equal(facts.user, on(1) ? 'erin' : null);
    assert.equal(facts.domain, on(2) ? 'b.example.com' : null);
    assert.equal(facts.calledNumber, on(2) ? '345' : null);
    assert.equal(facts.answerTo.callIdentifier?.length ?? 0, on(7) ? 17 : 0);
  }
});

test('the routing key, in its order', () => {
  const of = (gatekeeper: string | null, ...aliases: Alias[]) => factsOf(facility([rrq({ ...(gatekeeper === null ? {} : { gatekeeper }), aliases })])).domain;
  assert.equal(of('PBX.Example.COM.', { h323: 'a@other.example' }), 'pbx.example.com');
  assert.equal(of('master_1', { h323: 'a@other.example' }), 'master_1');
  for (const odd of ['two words', 'a..b', '.', 'b\u00fccher', 'a/b', '.a']) assert.equal(of(odd, { h323: 'a@Other.example' }), 'other.example', odd);
  assert.equal(of(null, { digits: '12' }, { h323: 'a' }, { url: 'sip:a@b@First.example:5061;x=@y' }, { email: 'c@second.example' }), 'first.example');
  assert.equal(of(null, { url: 'h323://a@[2001:db8::1]' }, { email: 'c@second.example' }), null, 'the first that has an @ counts, name or not');
  assert.equal(of(null, { url: 'h323:nobody;x=@y' }, { email: 'c@second.example' }), 'second.example');
  assert.equal(of(null, { url: 'sip:a@first.example:5061;x=y' }, { email: 'c@second.example' }), 'first.example');
  assert.equal(of(null, { email: 'c@second.example.' }), 'second.example');
  assert.equal(of(null, { h323: 'a@' }, { email: 'c@second.example' }), null);
  assert.equal(of(null, { h323: 'plain' }), null);
});

test('the called number: element 70 first, read strictly', () => {
  const body = setup({ destination: [{ digits: '345' }] });
  const number = (hex: string) => ({ reference: 1, elements: Buffer.from(hex, 'hex') });
  assert.equal(factsOf(q931(5, body, number('700381343f'.replace('3f', '37')))).calledNumber, '47');
  assert.equal(factsOf(q931(5, body, number('700401813437'))).calledNumber, '47', 'two octets before the digits');
  assert.equal(factsOf(q931(5, body, number('70028137'))).calledNumber, '7');
  assert.equal(factsOf(q931(5, body, number('7000'))).calledNumber, '345');
  assert.equal(factsOf(q931(5, body)).calledNumber, '345');
  assert.match(whyOf(q931(5, body, number('7003813400'))), /other characters/);
  assert.match(whyOf(q931(5, body, number('7002813470028134'))), /two called numbers/);
});

test('several RAS messages in one FACILITY have to agree', () => {
  const a = rrq({ gatekeeper: 'a.example', aliases: [{ h323: 'alice' }] });
  assert.equal(factsOf(facility([urq(), a, grq({ gatekeeper: 'A.example', aliases: [{ h323: 'alice' }], seq: 9 })])).answerTo.requests.length, 2);
  assert.match(whyOf(facility([a, grq({ gatekeeper: 'b.example', aliases: [{ h323: 'alice' }] })])), /different domains/);
  assert.match(whyOf(facility([a, rrq({ aliases: [{ h323: 'alice' }] })])), /different domains/);
  assert.match(whyOf(facility([a, rrq({ gatekeeper: 'a.example', aliases: [{ h323: 'bob' }] })])), /different users/);
  assert.equal(factsOf(facility([urq()])).message, 'other-ras');
  assert.equal(factsOf(facility([], { before: [rasData([a])] })).domain, 'a.example', 'two generic data of number 17');
  assert.equal(factsOf(facility(Array<Buffer>(16).fill(a))).answerTo.requests.length, 16);
  assert.match(whyOf(facility(Array<Buffer>(17).fill(a))), /more than 16 RAS/);
});

test('RAS is found behind every body, and taken only in a FACILITY', () => {
  const ras = rasData([rrq({ gatekeeper: 'hidden.example' })]);
  for (const name of ['proceeding', 'connect', 'alerting', 'information', 'release', 'facility'] as const) {
    assert.equal(factsOf(q931(0x62, otherBody(name, [ras]))).domain, 'hidden.example', name);
    assert.equal(factsOf(q931(0x7b, otherBody(name, [oddGeneric()]))).message, 'other', name);
    assert.match(whyOf(q931(0x7b, otherBody(name, [ras]))), /RAS outside a FACILITY/, name);
  }
  assert.match(whyOf(q931(5, setup({ generic: [ras] }))), /RAS outside a FACILITY/);
  assert.match(whyOf(q931(5, emptyBody([]))), /a SETUP without its body/);
  assert.match(whyOf(q931(5, null)), /a SETUP without its body/);
  assert.match(whyOf(q931(0x62, setup({}))), /body of a SETUP in another message/);
  assert.equal(factsOf(q931(0x75, null)).message, 'other');
});

test('what is nested, fragmented or endless', () => {
  const id = (to: PerWriter, number = 24) => to.flags(0).bits(0, 2).flags(0).u16(number);
  const nest = (to: PerWriter, depth: number): PerWriter => {
    id(to.flags(0, 1)).u16(0).flags(0, 1);
    to.flags(0).bits(0, 2).flags(0).u16(1).flags(0);
    return depth === 0 ? to.bits(3, 4).flags(1) : nest(to.bits(11, 4).bits(0, 4), depth - 1);
  };
  const nested = (depth: number) => q931(0x62, emptyBody([nest(new PerWriter(), depth).done()]));
  assert.equal(factsOf(nested(4)).message, 'facility');
  assert.match(whyOf(nested(5)), /nested deeper than 4/);
  assert.match(whyOf(nested(200)), /nested deeper than 4/);
  const noString = new PerWriter();
  id(noString.flags(0, 1), 17).u16(0).flags(0, 1).flags(0).bits(0, 2).flags(0).u16(1).flags(0).bits(3, 4).flags(1);
  assert.match(whyOf(q931(0x62, emptyBody([noString.done()]))), /no octet string/);
  const spelled = (hex: string) => {
    const octets = Buffer.from(hex, 'hex');
    const to = new PerWriter().flags(0, 0).flags(0).bits(0, 2).flags(1).open(octets);
    return q931(0x62, emptyBody([to.done()]));
  };
  assert.match(whyOf(spelled('11')), /spelled as a large one/);
  assert.match(whyOf(spelled('000011')), /spelled as a large one/);
  assert.match(whyOf(spelled('')), /number of 0 octets/);
  assert.equal(factsOf(spelled('4000')).message, 'facility');
  const many = grq({ aliases: Array.from({ length: 257 }, () => ({ digits: '1' })) });
  assert.match(whyOf(facility([many])), /257 entries/);
  const fragmented = Buffer.from(facility([grq({})]));
  const at = fragmented.indexOf(Buffer.from('060008914a0007', 'hex'));
  fragmented[at] = 0xc1;
  assert.match(whyOf(fragmented), /in fragments/);
});

test('refusals repeat what was asked', () => {
  const twice = factsOf(facility([grq({ seq: 65_535, gatekeeper: 'a' }), rrq({ seq: 256, gatekeeper: 'a' })]));
  const hex = encodeH323Refusal(twice, 'not-allowed').toString('hex');
  // requestSeqNum is written as one less
  assert.match(hex, /0800fffe060008914a000720/);
  assert.match(hex, /140000ff060008914a0007830100$/);
  assert.equal(encodeH323Refusal(factsOf(facility([urq()])), 'not-here').length, 0);
  assert.equal(encodeH323Refusal(factsOf(q931(0x62, null)), 'not-here').length, 0);
  const call = encodeH323Refusal(factsOf(q931(5, setup({ isExtended: true }), { reference: 0x1234 })), 'not-here');
  assert.equal(call.subarray(4, 9).toString('hex'), '080292345a');
  assert.ok(call.includes(Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')), 'the call identifier');
  // Nothing that we write may look like a question.
  for (const bytes of [call, encodeH323Refusal(twice, 'unreachable')]) {
    const sniffed = factsOf(bytes);
    assert.ok(['other', 'other-ras'].includes(sniffed.message));
    assert.equal(sniffed.domain, null);
  }
});
