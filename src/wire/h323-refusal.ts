// Polite refusals of H.323: what a phone understands and shows, instead of a connection that just ends. Each is a whole TPKT.
import type { H323Facts } from './h323.ts';

/** `not-here`: nobody here has that name; `not-allowed`: it is known and refused; `unreachable`: allowed, but nobody answers now. */
export type H323RefusalReason = 'not-here' | 'not-allowed' | 'unreachable';

/** Of us as the sender: 0.0.8.2250.0.7, with its length. */
const protocolIdentifier = Buffer.from('060008914a0007', 'hex');

/** GatekeeperRejectReason, by its index in the root, behind the bit for additions. */
const gatekeeperReasons = { 'not-here': '20', 'not-allowed': '20', unreachable: '00' } as const;
/** RegistrationRejectReason: undefinedReason of the root; securityDenial and resourceUnavailable are additions, with a NULL as open type. */
const registrationReasons = { 'not-here': '60', 'not-allowed': '830100', unreachable: '810100' } as const;
/** Q.931 cause (with its top bit) and ReleaseCompleteReason: unreachableDestination, noPermission, gatekeeperResources. */
const releaseReasons = { 'not-here': [0x83, 2], 'not-allowed': [0x95, 5], unreachable: [0xaa, 1] } as const;

/** Answers to everything that was asked for, one TPKT after the other; empty where nothing was asked that has an answer. */
export function encodeH323Refusal(facts: H323Facts, reason: H323RefusalReason): Buffer {
  const { requests, callReference, callIdentifier } = facts.answerTo;
  if (facts.message === 'setup') return encodeReleaseComplete(callReference, callIdentifier, reason);
  return Buffer.concat(
    requests.map(({ ras, requestSeqNum }) => {
      const isDiscovery = ras === 'gatekeeper-request';
      // RasMessage: no addition, index 2 or 5 of the root; GatekeeperReject and RegistrationReject: no additions, no optional part.
      const head = Buffer.from([isDiscovery ? 0x08 : 0x14, 0, (requestSeqNum - 1) >> 8, (requestSeqNum - 1) & 0xff]);
      return encodeFacility(Buffer.concat([head, protocolIdentifier, Buffer.from((isDiscovery ? gatekeeperReasons : registrationReasons)[reason], 'hex')]));
    }),
  );
}

/** RAS in a FACILITY of H.460.17: message body empty, h245Tunnelling, genericData 17 with parameter 1. RAS is short: every length fits one octet. */
function encodeFacility(ras: Buffer): Buffer {
  const generic = Buffer.concat([Buffer.from([1, 0x40, 0, 17, 0, 0, 0x40, 0, 1, 0, ras.length]), ras]);
  const userInformation = Buffer.concat([Buffer.from('28100100108101', 'hex'), Buffer.from([0x80, generic.length]), generic]);
  return encodeMessage(0, 0x62, Buffer.from([0x1c, 0]), userInformation);
}

function encodeReleaseComplete(callReference: number, callIdentifier: Buffer | null, reason: H323RefusalReason): Buffer {
  const [cause, index] = releaseReasons[reason];
  // Reason: a bit for additions and four of index; behind it, where there is one, seven bits for the count of additions and one for the first of them.
  const hasIdentifier = callIdentifier !== null && callIdentifier.length < 0x80;
  const tail = hasIdentifier
    ? Buffer.concat([Buffer.from([index << 3, 1 << 3, callIdentifier.length]), callIdentifier])
    : Buffer.from([index << 3]);
  const userInformation = Buffer.concat([Buffer.from([0x05, hasIdentifier ? 0xc0 : 0x40]), protocolIdentifier, tail]);
  // Q.931 §4.3: the side that did not choose the call reference sets its flag. Cause: coding of ITU-T, location private network.
  return encodeMessage(callReference ^ 0x8000, 0x5a, Buffer.from([0x08, 2, 0x81, cause]), userInformation);
}

function encodeMessage(callReference: number, messageType: number, elements: Buffer, userInformation: Buffer): Buffer {
  const userUser = userInformation.length + 1;
  const length = 9 + elements.length + 3 + userUser;
  return Buffer.concat([
    Buffer.from([3, 0, length >> 8, length & 0xff, 8, 2, callReference >> 8, callReference & 0xff, messageType]),
    elements,
    Buffer.from([0x7e, userUser >> 8, userUser & 0xff, 5]),
    userInformation,
  ]);
}
