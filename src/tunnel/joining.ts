// The agent's side of joining and renewing (docs/wire/tunnel.md §1).
import { Fault, isFault } from '#base/fault.ts';
import { keyFingerprintOf } from '#model/fingerprint.ts';
import { parseGatewayAddress } from '#wire/join-token.ts';
import type { JoinTokenText } from '#wire/join-token.ts';
import { encodeCertificateRequest } from '#wire/pkcs10.ts';
import { dialGateway, postJson } from './gateway-dial.ts';
import type { GatewayDialOptions } from './gateway-dial.ts';

export interface Joined {
  readonly agentId: string;
  readonly certificate: string;
  readonly ca: string;
  readonly addresses: readonly string[];
  readonly device: { readonly id: string; readonly label: string; readonly name: string; readonly url: string };
}

const requestTimeoutMs = 20_000;

function hostOf(address: string): string {
  const { host, port } = parseGatewayAddress(address);
  const authority = host.includes(':') ? `[${host}]` : host;
  return port === 443 ? authority : `${authority}:${port}`;
}

/** The addresses in order until one takes the connection. What a gateway answered is final. */
async function atFirst<Value>(addresses: readonly string[], dialOptions: GatewayDialOptions, ask: (address: string, socket: Awaited<ReturnType<typeof dialGateway>>) => Promise<Value>): Promise<Value> {
  let last: unknown = new Fault('bad-input', 'there is no address to dial');
  for (const address of addresses) {
    let socket: Awaited<ReturnType<typeof dialGateway>>;
    try {
      socket = await dialGateway(address, dialOptions);
    } catch (thrown) {
      if (!isFault(thrown) || thrown.code === 'closed') throw thrown;
      last = thrown;
      continue;
    }
    return await ask(address, socket);
  }
  throw last;
}

function stringOf(body: Readonly<Record<string, unknown>>, name: string): string {
  const value = body[name];
  if (typeof value !== 'string' || value === '') throw new Fault('protocol', `the gateway's answer has no ${name}`);
  return value;
}

function addressesOf(body: Readonly<Record<string, unknown>>): string[] {
  const value = body['addresses'];
  const list = Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string').slice(0, 16) : [];
  for (const address of list) parseGatewayAddress(address);
  return list;
}

/** Uses the token up. Faults: `unreachable`, `timeout`, `unauthenticated`, `gone`, `conflict`, `too-many`, `protocol`. */
export async function joinGateway(token: JoinTokenText, agent: { readonly key: string; readonly name: string; readonly product: string }, dialOptions: Omit<GatewayDialOptions, 'caFingerprint' | 'key' | 'certificate'>): Promise<Joined> {
  const csr = encodeCertificateRequest(agent.key, agent.name);
  return await atFirst(token.addresses, { ...dialOptions, caFingerprint: token.caFingerprint }, async (address, socket) => {
    const { body } = await postJson(socket, hostOf(address), '/link/join', { token: token.secret, csr, agent: agent.product, name: agent.name }, requestTimeoutMs);
    const ca = stringOf(body, 'ca');
    if (keyFingerprintOf(ca) !== token.caFingerprint) throw new Fault('protocol', 'the gateway answered with another CA than the token names');
    const addresses = addressesOf(body);
    const device = (typeof body['device'] === 'object' && body['device'] !== null ? body['device'] : {}) as Record<string, unknown>;
    return {
      agentId: stringOf(body, 'agentId'),
      certificate: stringOf(body, 'certificate'),
      ca,
      // The address that worked comes first: the gateway may not know how it is reached from here.
      addresses: [address, ...addresses.filter((other) => other !== address)],
      device: { id: stringOf(device, 'id'), label: stringOf(device, 'label'), name: stringOf(device, 'name'), url: typeof device['url'] === 'string' ? device['url'] : '' },
    };
  });
}

/** A new certificate for the same key. Faults as `joinGateway`, and `forbidden`. */
export async function renewCertificate(addresses: readonly string[], name: string, dialOptions: GatewayDialOptions & { readonly key: string }): Promise<string> {
  return await atFirst(addresses, dialOptions, async (address, socket) => {
    const { body } = await postJson(socket, hostOf(address), '/link/renew', { csr: encodeCertificateRequest(dialOptions.key, name) }, requestTimeoutMs);
    return stringOf(body, 'certificate');
  });
}
