// How servers of applications hear of devices: statements signed for requests, configuration for servers, and proofs. Composition only.
import type { TellingDeps } from '#admin/deps.ts';
import { isLoopback } from '#base/cidr.ts';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { ConfigApplication, ConfigRoute } from '#model/config.ts';
import { buildAssertions, secretAssertionKey, type AssertionFacts, type AssertionKey } from '#model/device-assertion.ts';
import { ownAddressOf } from '#model/own-address.ts';
import type { JobSource } from '#model/place-rows.ts';
import type { Device } from '#model/rows.ts';
import type { Snapshot } from '#model/snapshot.ts';
import { snippetFor } from '#model/snippets.ts';
import type { Tables } from '#model/tables.ts';
import type { TcpTarget, TlsTarget } from '#model/target.ts';
import { buildServerDial } from '#net/dial-server.ts';
import type { TlsDialOptions } from '#net/dial-tls.ts';
import { sourceTowards } from '#net/source-address.ts';
import { proveRoute } from '#proxy/prove.ts';
import { reachableAddresses } from './addresses.ts';

export interface TellingOptions {
  readonly tables: Pick<Tables, 'customers' | 'sites'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly limits: Limits;
  readonly snapshot: () => Snapshot;
  /** What people call the gateway: `https://gw.example.test`. */
  readonly issuer: () => string;
  /** The gateway's own. */
  readonly key: AssertionKey;
  /** A secret's bytes by its name; null: there is none. */
  readonly readSecret: (name: string) => Promise<Buffer | null>;
  readonly identityOf: TlsDialOptions['identityOf'];
  readonly addresses: { addressOf(deviceId: Id): string | null; ensure(deviceId: Id): Promise<string> };
  /** The row by which a device may use an application, when it comes from its own place. */
  readonly sourceOf: (application: string, device: Device) => JobSource | null;
  readonly httpsPort: () => number;
}

export interface Telling extends TellingDeps {
  /** The value of X-Postern-Identity; '' while there is no key to sign it with. */
  assertion(route: { readonly name: string; readonly application: ConfigApplication | null }, device: Device, identity: Pick<AssertionFacts, 'state' | 'by'>, told: { readonly client: string }): string;
}

interface Application {
  readonly route: ConfigRoute;
  readonly application: ConfigApplication;
  readonly target: TcpTarget | TlsTarget;
}

/** After that a secret is read again, behind the request that asked; one that is missing sooner. */
const secretFreshMs = 5_000;
const secretMissingMs = 500;

/** Keys of secrets, at hand when a request needs one. */
function keepSecretKeys({ readSecret, clock, log }: Pick<TellingOptions, 'readSecret' | 'clock' | 'log'>): (name: string) => AssertionKey | null {
  const kept = new Map<string, { atMs: number; bytes: Buffer | null; key: AssertionKey | null }>();
  const read = async (name: string) => {
    const bytes = await readSecret(name);
    const before = kept.get(name);
    if (bytes === null) kept.set(name, { atMs: clock.monoMs(), bytes, key: null });
    else if (before?.bytes?.equals(bytes)) before.atMs = clock.monoMs();
    else kept.set(name, { atMs: clock.monoMs(), bytes, key: secretAssertionKey(name, bytes) });
  };
  return (name) => {
    const found = kept.get(name);
    if (found === undefined || clock.monoMs() - found.atMs > (found.key === null ? secretMissingMs : secretFreshMs)) {
      kept.set(name, { atMs: clock.monoMs(), bytes: found?.bytes ?? null, key: found?.key ?? null });
      read(name).catch((thrown: unknown) => log.warn('a statement about a device cannot be signed', { secret: name, why: isFault(thrown) ? thrown.message : 'the secret cannot be read' }));
    }
    return found?.key ?? null;
  };
}

export function buildTelling(options: TellingOptions): Telling {
  const { tables, clock, random, limits, snapshot, addresses } = options;
  let issuedUnder: Snapshot | null = null;
  let issuer = '';
  const assertions = buildAssertions(() => {
    if (snapshot() !== issuedUnder) {
      issuedUnder = snapshot();
      issuer = options.issuer();
    }
    return issuer;
  });
  const keyOf = keepSecretKeys(options);
  for (const route of snapshot().config.routes) if (route.application?.signed !== undefined) keyOf(route.application.signed);

  const assertion: Telling['assertion'] = (route, device, identity, told) => {
    const signed = route.application?.signed;
    const key = signed === undefined ? options.key : keyOf(signed);
    if (key === null) return '';
    const virtualAddress = addresses.addressOf(device.id);
    const facts: AssertionFacts = {
      route: route.name, state: identity.state, by: identity.by,
      device: { id: device.id, name: device.name, serial: device.serial },
      customer: tables.customers.get(device.customerId)?.key ?? null,
      site: tables.sites.get(device.siteId)?.name ?? null,
      address: ownAddressOf(device.host) ?? (told.client === virtualAddress ? null : told.client),
      virtualAddress,
    };
    return assertions.assertionFor(key, facts, clock.nowMs());
  };

  const applicationOf = (name: string): Application => {
    const route = snapshot().config.routes.find((each) => each.name === name);
    if (!route) throw new Fault('not-found', `there is no route "${name.slice(0, 64)}"`, { remedy: 'postern routes lists them' });
    const { application, target } = route;
    if (!application || (target.kind !== 'tcp' && target.kind !== 'tls')) throw new Fault('bad-input', `the route ${name} leads to no application`, { remedy: 'give it "application" in the configuration' });
    return { route, application, target: target as TcpTarget | TlsTarget };
  };

  return {
    assertion,
    async snippet(name, server, gateways) {
      const { route, application, target } = applicationOf(name);
      const towards = await sourceTowards(target.host, target.port);
      const own = gateways.length > 0 ? gateways : towards === null ? reachableAddresses().slice(0, 8) : [towards.source];
      const isLocal = towards !== null && (isLoopback(towards.target) || towards.source === towards.target);
      const pool = snapshot().config.addressPool?.networks ?? [];
      const { parts, notes } = snippetFor({ server, route: route.name, tell: application.tell, port: target.port, isTls: target.kind === 'tls', gateways: own, pool, isLocal });
      return { route: route.name, server, tell: application.tell, gateways: [...own], parts: [...parts], notes: [...notes] };
    },
    async prove(name, device, path) {
      const { route, application, target } = applicationOf(name);
      const { told, other, remarks } = await toldFor(options, application, route.name, device);
      const towards = await sourceTowards(target.host, target.port);
      const proof = await proveRoute(
        {
          tell: application.tell, isHttp: route.protocol === 'http', path, told, other, nonce: random(12).toString('base64url'),
          host: hostFor(route, snapshot()),
          // As in a device's own requests, where headers tell. Nobody showed who it is: that much is said, and no more.
          assertion: application.tell === 'headers' ? assertion(route as { name: string; application: ConfigApplication }, device, { state: 'unknown', by: 'proof' }, told) : '',
          reached: { address: towards?.source ?? '127.0.0.1', port: options.httpsPort() },
        },
        { dial: buildServerDial(target, options.identityOf), limits },
      );
      const { sent, answer } = proof;
      return {
        ...proof, route: route.name, device: { id: device.id, name: device.name }, remarks,
        sent: { ...sent, head: [...sent.head], claims: sent.claims === null ? null : { ...sent.claims } },
        answer: answer === null ? null : { ...answer, fields: answer.fields.map(([field, value]) => [field, value]) },
      };
    },
  };
}

const hostFor = (route: ConfigRoute, { primaryDomain }: Snapshot): string => (route.host === undefined ? primaryDomain : route.host.replace(/^\*/, 'prove'));

/** As whom the device appears, by the same rules as for its own requests. */
async function toldFor({ addresses, sourceOf }: TellingOptions, { tell, address, assigned }: ConfigApplication, route: string, device: Device) {
  const source = sourceOf(route, device);
  const isVirtual = tell === 'virtual' || address === 'virtual';
  const chosen = source?.as ?? (isVirtual ? await addresses.ensure(device.id) : null);
  const own = ownAddressOf(device.host);
  if (chosen === null && own === null) {
    throw new Fault('conflict', `the address of ${device.name} is not known: it comes to us itself, and has no request here now`, { remedy: 'say where it is in its LAN: postern device DEVICE --host ADDRESS; or give it an address in its job source ("as")' });
  }
  const virtual = addresses.addressOf(device.id);
  const client = chosen ?? own!;
  const remarks = assigned && source === null ? [`${device.name} is no job source of ${route}: its own requests are refused until it is`] : [];
  return { told: { client, local: tell === 'virtual' ? chosen : null }, other: client === virtual ? own : virtual, remarks };
}
