// First contact with a gateway: whose certificate is it, and may it be trusted? Nothing but a handshake is sent.
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { createInterface } from 'node:readline';
import { connect } from 'node:tls';
import { Fault, reasonOf } from '#base/fault.ts';
import { isLoopback } from '#base/cidr.ts';
import { keyFingerprintOf, readCertificate } from '#model/fingerprint.ts';
import type { CommandIo } from './io.ts';

export interface Shown {
  /** The system's certificate authorities vouch for it. */
  readonly trusted: boolean;
  /** The private CA at the end of the chain shown, in PEM; null when there is none. */
  readonly caPem: string | null;
}

const handshakeTimeoutMs = 10_000;

const isLocalName = (host: string) => host === 'localhost' || host.endsWith('.localhost');

/** `gw.example.test` becomes `https://gw.example.test`. Faults: `bad-input`; http beyond this machine would show the token to the network. */
export function parseGateway(text: string): URL {
  const withScheme = /^[a-z]+:\/\//.test(text) ? text : `https://${text}`;
  if (!URL.canParse(withScheme)) throw new Fault('bad-input', `"${text}" is not an address`, { remedy: 'Write it like https://gw.example.test:8443' });
  const url = new URL(withScheme);
  const host = hostOf(url);
  if (url.protocol === 'http:' && !isLocalName(host) && !isLoopback(host)) throw new Fault('bad-input', `over ${url.origin} anyone on the way could read the token`, { remedy: 'Use the https address.' });
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new Fault('bad-input', `"${text}" is neither https nor http`);
  return url;
}

const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '');

/** What is shown at an https address; `asLink` at the link endpoint, which always shows the private CA's chain. Faults: `unreachable`, `timeout`. */
export function lookAtCertificate(url: URL, signal: AbortSignal, asLink = false): Promise<Shown> {
  const host = hostOf(url);
  const name = isIP(host) ? undefined : asLink ? `link.${host}` : host;
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: isLocalName(host) ? '127.0.0.1' : host,
      port: Number(url.port || 443),
      rejectUnauthorized: false,
      ALPNProtocols: [asLink ? 'postern-link/1' : 'http/1.1'],
      ...(name === undefined ? {} : { servername: name }),
    });
    const settle = (result: Shown | Fault) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      if (result instanceof Fault) reject(result);
      else resolve(result);
    };
    const timer = setTimeout(() => settle(new Fault('timeout', `${url.host} did not answer within ${handshakeTimeoutMs / 1000} s`)), handshakeTimeoutMs);
    const onAbort = () => settle(new Fault('closed', 'given up'));
    signal.addEventListener('abort', onAbort);
    socket.once('error', (error) => settle(new Fault('unreachable', `${url.host} cannot be reached: ${error.message}`, { remedy: 'Is the gateway running, and is the address right?', cause: error })));
    socket.once('secureConnect', () => settle({ trusted: socket.authorized, caPem: caOf(socket.getPeerX509Certificate()) }));
  });
}

/** The CA at the end of a chain in which each signs the one before; nothing is said about trust. */
function caOf(leaf: X509Certificate | undefined): string | null {
  let at = leaf;
  for (let depth = 0; at && depth < 5; depth++) {
    const issuer: X509Certificate | undefined = at.issuerCertificate;
    if (!issuer || !issuer.ca || !at.verify(issuer.publicKey)) return null;
    if (issuer.verify(issuer.publicKey)) return issuer.toString();
    at = issuer;
  }
  return null;
}

export interface TrustOptions {
  readonly ca?: string | undefined;
  readonly fingerprint?: string | undefined;
  /** Accepted before for the same address. */
  readonly known?: string | undefined;
}

/** The CA to trust for the address; undefined: the system's. Asks at the terminal when nobody else vouches. Faults: `forbidden`. */
export async function decideTrust(io: CommandIo, url: URL, options: TrustOptions): Promise<string | undefined> {
  if (url.protocol === 'http:') return undefined;
  if (options.ca !== undefined) {
    const text = await readFile(options.ca, 'utf8').catch((cause: unknown) => {
      throw new Fault('bad-input', `${options.ca} cannot be read: ${reasonOf(cause)}`);
    });
    readCertificate(text);
    return text;
  }
  const shown = await lookAtCertificate(url, io.signal);
  const wanted = options.fingerprint?.replaceAll(':', '').toLowerCase();
  if (wanted === undefined && shown.trusted) return undefined;
  if (shown.caPem === null) throw new Fault('forbidden', `the certificate of ${url.host} is not trusted, and it shows no private CA`, { remedy: 'Give the CA with --ca FILE.' });
  const fingerprint = keyFingerprintOf(shown.caPem);
  if (wanted !== undefined) {
    if (wanted === fingerprint) return shown.caPem;
    throw new Fault('forbidden', `the CA of ${url.host} has the fingerprint ${fingerprint}, not the one given`, { remedy: 'Somebody may stand in between; ask the operator of the gateway.' });
  }
  if (options.known !== undefined && keyFingerprintOf(options.known) === fingerprint) return shown.caPem;
  const warning = options.known === undefined ? '' : 'THIS IS NOT THE CA that you trusted before.\n';
  io.stderr.write(`${warning}${url.host} has a certificate of its own private CA. SHA-256 of the CA's key:\n\n  ${fingerprint}\n\nThe gateway prints the same with: postern ca --fingerprint\n`);
  if (!('isTTY' in io.stdin && io.stdin.isTTY)) throw new Fault('forbidden', 'nobody is here to compare the fingerprint', { remedy: `If it is right, add: --fingerprint ${fingerprint}` });
  if (await confirm(io, 'Is it the same? [y/N] ')) return shown.caPem;
  throw new Fault('forbidden', 'the certificate was not accepted');
}

export const confirm = async (io: CommandIo, question: string): Promise<boolean> => /^y(es)?$/i.test((await ask(io, question)).trim());

/** A line from the terminal; '' when there is none. */
export async function ask(io: CommandIo, question: string): Promise<string> {
  const lines = createInterface({ input: io.stdin, output: io.stderr });
  try {
    return await new Promise<string>((resolve) => {
      lines.once('close', () => resolve(''));
      io.signal.addEventListener('abort', () => lines.close(), { once: true });
      lines.question(question, resolve);
    });
  } finally {
    lines.close();
  }
}
