// JA4 of a TLS client: a short text that is equal for equal TLS stacks, to recognise and to ban them. Only this one of the family: it is under the
// BSD licence, the others are not free. Specification: FoxIO, technical_details/JA4.md.
import { createHash } from 'node:crypto';
import { helloCodes, type ClientHello } from './tls.ts';

const extensionServerName = 0x0000;
const extensionAlpn = 0x0010;

const versionMarks: ReadonlyMap<number, string> = new Map([[0x0304, '13'], [0x0303, '12'], [0x0302, '11'], [0x0301, '10'], [0x0300, 's3']]);

/**
 * `t13d1516h2_8daaf6152771_e5627efa2ab1`: transport, version, name or none, counts, first ALPN; suites; extensions and signature algorithms.
 * It depends on nothing that changes with each connection. Two hashes: for connections that are asked about, not for every one.
 */
export function ja4Of(hello: ClientHello): string {
  const { suites, extensions, signatureAlgorithms } = helloCodes(hello);
  const version = versionMarks.get(Math.max(...hello.versions)) ?? '00';
  // Whether the extension is there, not whether a name was in it: an address literal counts here.
  const name = hello.extensions.has(extensionServerName) ? 'd' : 'i';
  const kept = sortedHex(extensions.filter((type) => type !== extensionServerName && type !== extensionAlpn));
  const signatures = signatureAlgorithms.map(hex4).join(',');
  const start = `t${version}${name}${count(suites)}${count(extensions)}${protocolMark(hello.alpn[0])}`;
  return `${start}_${hash12(sortedHex(suites))}_${hash12(kept === '' || signatures === '' ? kept : `${kept}_${signatures}`)}`;
}

const hex4 = (code: number): string => code.toString(16).padStart(4, '0');
const sortedHex = (codes: readonly number[]): string => codes.map(hex4).sort().join(',');
const count = (codes: readonly number[]): string => String(Math.min(codes.length, 99)).padStart(2, '0');

/** First and last character of the first protocol; where one of the two is neither letter nor digit, of its hexadecimal form. */
function protocolMark(protocol: string | undefined): string {
  if (protocol === undefined) return '00';
  const ends = protocol[0]! + protocol.at(-1)!;
  if (/^[0-9A-Za-z]{2}$/.test(ends)) return ends;
  const hex = Buffer.from(protocol, 'latin1').toString('hex');
  return hex[0]! + hex.at(-1)!;
}

function hash12(text: string): string {
  return text === '' ? '000000000000' : createHash('sha256').update(text).digest('hex').slice(0, 12);
}
