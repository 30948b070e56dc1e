// What a person reads about a question that was not answered, and what to do about it (docs/wire/probe.md §5).
import type { Fault } from '#base/fault.ts';
import { parseAddress } from '#base/cidr.ts';
import { faultOfProbe } from '#model/probe/faults.ts';
import type { ProbeFaultCode, SnmpTry } from '#model/probe/asking.ts';

export interface Place {
  readonly address: string;
  readonly port: number;
}

export const placeOf = ({ address, port }: Place): string => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);

const setCredentials = 'set the right ones with `postern probe-credentials set NAME` on the agent\'s machine, or in the console at the site';

interface Text {
  readonly message: (where: string, what: string) => string;
  readonly remedy: string;
}

/** `what` is the protocol: SNMP, IPP, HTTP. */
const texts: Readonly<Partial<Record<ProbeFaultCode, Text>>> = {
  off: {
    message: (where, what) => `the device is there, and nobody listens for ${what} at ${where}`,
    remedy: 'switch it on in the device\'s own settings (network, protocols), or name the port that it uses',
  },
  silent: {
    message: (where, what) => `nothing came back from ${where} by ${what}`,
    remedy: 'look whether the device is switched on and has this address, whether a firewall or the device\'s own access list is in between, and whether the community is the right one: SNMP v1 and v2c say nothing to a wrong one',
  },
  unreachable: {
    message: (where) => `the agent's network says that ${where} cannot be reached`,
    remedy: 'look whether the device is switched on and has this address, and whether the agent has a way into that network',
  },
  credentials: {
    message: (where) => `an SNMP agent is alive at ${where}, and none of the credentials that are set for it works: it answers SNMPv3 without a user, and no community`,
    remedy: `the device wants an SNMPv3 user or another community; ${setCredentials}`,
  },
  'unknown-user': {
    message: (where) => `the SNMP agent at ${where} is alive and does not know this user`,
    remedy: `make the user in the device's settings, or ${setCredentials}`,
  },
  'wrong-key': {
    message: (where) => `the SNMP agent at ${where} knows the user, and its authentication key or protocol is another one`,
    remedy: setCredentials,
  },
  'wrong-privacy': {
    message: (where) => `the SNMP agent at ${where} takes the user's authentication, and its privacy key or protocol is another one`,
    remedy: setCredentials,
  },
  'security-level': {
    message: (where) => `the SNMP agent at ${where} knows the user, and not at this security level`,
    remedy: `with or without authentication and privacy, as the device has it: ${setCredentials}`,
  },
  'not-in-time': {
    message: (where) => `the SNMP agent at ${where} says twice that our time is not its own`,
    remedy: 'its boots counter or clock does not stand still: restart the device, and look for newer firmware',
  },
  'no-access': {
    message: (where) => `the SNMP agent at ${where} takes the credentials, and they may not read this`,
    remedy: 'let the user or community read everything, in the device\'s settings; some devices want authentication and privacy for that',
  },
  damaged: {
    message: (where, what) => `what ${where} answers by ${what} cannot be understood`,
    remedy: 'look whether another program listens there, and for newer firmware of the device',
  },
  tls: {
    message: (where) => `no TLS could be agreed with ${where}`,
    remedy: 'look whether that port speaks TLS; the device may have no certificate, or need newer firmware',
  },
  closed: { message: (where) => `${where} closed the connection before an answer`, remedy: 'try again; some devices take few connections at once' },
  timeout: { message: (where) => `asking ${where} took longer than it was given`, remedy: 'try again later, ask for less at once, or give it more time' },
  'too-large': { message: (where) => `the answer of ${where} is longer than what is carried`, remedy: 'ask for less at once' },
};

export function probeFault(code: ProbeFaultCode, place: Place, more: { readonly what?: string; readonly from?: string | null; readonly tried?: readonly SnmpTry[] } = {}): Fault {
  const text = texts[code];
  const message = text?.message(placeOf(place), more.what ?? 'SNMP') ?? `asking ${placeOf(place)} failed`;
  return faultOfProbe({ code, message, remedy: text?.remedy ?? 'try again', from: more.from ?? null, tried: more.tried ?? [] });
}

export const badInput = (message: string, remedy = 'docs/wire/probe.md says what is taken'): Fault => faultOfProbe({ code: 'bad-input', message, remedy, from: null, tried: [] });

/** Where no single device answers: nowhere, groups, broadcast. */
export function isOneDevice(address: string): boolean {
  const parsed = parseAddress(address);
  if (parsed === null) return false;
  if (parsed.family === 6) return parsed.value !== 0n && parsed.value >> 120n !== 0xffn;
  return parsed.value >> 24n !== 0n && parsed.value < 0xe000_0000n;
}
