// The front door put together: relays, the inventory of old clients, and the door that gives connections to HTTP or to them. Composition only.
import type { Clock } from '#base/clock.ts';
import { isFault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { decideExchange, type ConnFacts } from '#model/decide.ts';
import type { Journal } from '#model/live.ts';
import type { Snapshot } from '#model/snapshot.ts';
import type { Certificates } from '#net/certificates.ts';
import type { Sweep } from '#net/sweep.ts';
import type { Exchange } from '#proxy/exchange.ts';
import { keepLegacyClients, type LegacyClients } from '#proxy/legacy-clients.ts';
import type { TrafficCounts } from '#proxy/meter.ts';
import { buildRelays, type Relays, type RelaysOptions } from '#proxy/relays.ts';
import { buildFrontDoor, type FrontDoor, type FrontDoorOptions } from '#proxy/serve.ts';
import type { DataFolder } from '#store/data-folder.ts';

export interface DoorOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly limits: Limits;
  readonly sweep: Sweep;
  readonly journal: Journal;
  readonly counts: TrafficCounts;
  readonly certificates: Certificates;
  readonly folder: DataFolder;
  readonly snapshot: () => Snapshot;
  readonly newConnId: () => string;
  readonly newRequestId: () => string;
  readonly onExchange: (exchange: Exchange) => void;
  readonly onBroken: (thrown: unknown) => void;
  readonly dialNamedDevice: RelaysOptions['dialNamedDevice'];
  readonly applications: RelaysOptions['applications'];
  readonly challengeContext: FrontDoorOptions['challengeContext'];
  /** A name that somebody came for, by TLS. */
  readonly noticed: (serverName: string) => void;
  readonly onForwarded: (from: string, claims: string) => void;
  readonly undo: (close: () => Promise<void> | void) => void;
}

export async function openDoor(options: DoorOptions): Promise<{ readonly door: FrontDoor; readonly connRelays: Relays; readonly legacyClients: LegacyClients }> {
  const { clock, log, random, limits, sweep, journal, counts, certificates, folder, snapshot, onBroken } = options;
  const legacyClients = await keepLegacyClients({
    clock, log,
    clientsMax: limits.legacyClientsMax,
    read: () => folder.read('legacy-clients.json'),
    write: (bytes) => folder.write('legacy-clients.json', bytes),
    onNew: ({ from, serverName, policy, bestVersion, ja4 }) => journal.note('tls.legacy', { from, name: serverName ?? '', policy, bestVersion, ja4 }),
  });
  options.undo(() => legacyClients.close());
  const connRelays = buildRelays({
    limits, sweep, journal, counts, snapshot, onBroken,
    dialNamedDevice: options.dialNamedDevice,
    applications: options.applications,
    identityOf: (name) => certificates.identityOf(name),
    sipDialogKey: await folder.readOrMake('sip-dialog.key', () => random(32)),
    newSipBranch: () => random(16).toString('hex'),
  });
  options.undo(() => connRelays.close('the gateway went down'));
  /** Where a request would lead whoever may come: heads are bounded before anybody has been judged. */
  const leadOf = (headSoFar: string, facts: ConnFacts) => {
    const target = /^[^ \r]+ (\/[^ \r]*)/.exec(headSoFar)?.[1] ?? '/';
    const host = /\r\nhost:[ \t]*([^\r]*)/i.exec(headSoFar)?.[1]?.trim() ?? '';
    return decideExchange(snapshot(), { ...facts, certificate: facts.policy && { subject: null, verified: true } }, host, target);
  };
  const door = buildFrontDoor({
    limits, sweep, journal, counts, snapshot, onBroken,
    newConnId: options.newConnId,
    newRequestId: options.newRequestId,
    onExchange: options.onExchange,
    mayGrow: (headSoFar, facts) => {
      const verdict = leadOf(headSoFar, facts);
      return (verdict.step === 'device' || verdict.step === 'route') && verdict.route.largeHeads;
    },
    isOwnHost: (headSoFar, facts) => {
      const verdict = leadOf(headSoFar, facts);
      return verdict.step === 'device' || (verdict.step === 'route' && verdict.route.target.kind === 'service');
    },
    nowMs: () => clock.nowMs(),
    linkContext: () => certificates.linkContext(),
    contextFor: (serverName, use) => {
      if (serverName !== null) options.noticed(serverName);
      return certificates.contextFor(serverName, use);
    },
    challengeContext: options.challengeContext,
    privateCaPem: certificates.ca.pem,
    isAgentCertificate: (certificate) => !isFault(certificates.verifyAgentCertificate(certificate)),
    onLegacyUse: (use) => legacyClients.note(use),
    onForwarded: options.onForwarded,
    relays: connRelays,
  });
  return { door, connRelays, legacyClients };
}
