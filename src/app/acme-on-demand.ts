// A certificate for each name of ours at its first visit, where the configuration wants that. The data plane tells the name and waits for nothing.
import type { Clock } from '#base/clock.ts';
import { Fault, toFault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { checkOrder, namesOf, parseDirectory, type ChallengeKind } from '#model/acme.ts';
import { certificateFor } from '#model/certificate-names.ts';
import type { Config } from '#model/config.ts';
import type { Journal } from '#model/live.ts';
import type { AcmeSettings, Certificate } from '#model/rows.ts';
import type { Table } from '#model/table.ts';
import type { AccountOrder } from './acme-accounts.ts';

export interface OnDemandOptions {
  readonly clock: Pick<Clock, 'nowMs' | 'monoMs'>;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Pick<Limits, 'acmeOnDemandMax' | 'acmeAccountRetryMs'>;
  readonly certificates: Table<Certificate>;
  readonly settings: () => Config['acme'];
  /** Suffixes under which devices stand, and whether a name is one of ours. */
  readonly deviceDomains: () => readonly string[];
  readonly isKnown: (serverName: string) => boolean;
  readonly signal: AbortSignal;
  refuse(order: Pick<AcmeSettings, 'directoryUrl' | 'names'>): Fault | null;
  /** Resolves the directory's address. */
  ensureAccount(order: AccountOrder): Promise<string>;
  order(name: string, acme: AcmeSettings): Promise<void>;
}

export interface OnDemand {
  noticed(serverName: string): void;
  /** Resolves when nothing that was noticed is still to be ordered. */
  settled(): Promise<void>;
}

/** Of the certificates' names; people's begin otherwise. */
export const onDemandPrefix = 'auto.';

const noticedMax = 10_000;
const noticedAgainMs = 3_600_000;

export function buildOnDemand(options: OnDemandOptions): OnDemand {
  const { clock, certificates, limits } = options;
  /** Until when a name is not looked at again. */
  const noticedNames = new Map<string, number>();
  let accountRetryAtMs = -Infinity;
  /** In turn, so that two names of one wildcard make one order. */
  let last: Promise<unknown> = Promise.resolve();

  /** By dns-01 one wildcard for all labels of its domain. */
  const wantedFor = (serverName: string, challenge: ChallengeKind): readonly string[] => {
    const domain = options.deviceDomains().find((each) => serverName === each || (serverName.endsWith(`.${each}`) && !serverName.slice(0, -each.length - 1).includes('.')));
    return challenge === 'dns-01' && domain !== undefined ? [domain, `*.${domain}`] : [serverName];
  };

  const orderFor = async (serverName: string): Promise<void> => {
    const settings = options.settings();
    if (!settings?.onDemand || options.signal.aborted) return;
    const names = namesOf(wantedFor(serverName, settings.challenge));
    const name = `${onDemandPrefix}${names.dns[0]!}`.slice(0, 100).replace(/[.-]+$/, '');
    let others = 0;
    for (const row of certificates.values()) {
      if (row.name === name) return;
      if (row.name.startsWith(onDemandPrefix)) others += 1;
    }
    // Room has to stay for those that people upload and order.
    if (others >= limits.acmeOnDemandMax) throw new Fault('too-many', `${others} certificates were ordered at first visits already`, { remedy: 'Choose dns-01: one wildcard serves all labels of a domain.' });
    if (clock.monoMs() < accountRetryAtMs) throw new Fault('busy', 'the last try to register with the authority failed a moment ago');
    const full = options.refuse({ directoryUrl: parseDirectory(settings.directory), names });
    if (full) throw full;
    const account = { directory: settings.directory, contact: settings.contact ?? null, termsAgreed: settings.termsAgreed, rootPem: settings.root ?? null };
    const directoryUrl = await options.ensureAccount(account).catch((thrown: unknown) => {
      // A thousand names that are visited while the authority is away are not a thousand waits.
      accountRetryAtMs = clock.monoMs() + limits.acmeAccountRetryMs;
      throw thrown;
    });
    const acme: AcmeSettings = { directoryUrl, names, keyKind: settings.keyKind, challenge: settings.challenge, dns: settings.dns ?? null };
    checkOrder(acme);
    await options.order(name, acme);
  };

  return {
    noticed(serverName) {
      if (options.signal.aborted || !options.settings()?.onDemand) return;
      const now = clock.monoMs();
      if ((noticedNames.get(serverName) ?? 0) > now) return;
      if (!serverName.includes('.') || serverName.endsWith('.localhost') || !options.isKnown(serverName)) return;
      if (noticedNames.size >= noticedMax) noticedNames.clear();
      noticedNames.set(serverName, now + noticedAgainMs);
      if (certificateFor(certificates.values(), serverName, clock.nowMs())) return;
      last = last
        .then(() => orderFor(serverName))
        .catch((thrown: unknown) => {
          const fault = toFault(thrown);
          options.log.warn('acme.not-ordered', { name: serverName, code: fault.code, why: fault.message });
          options.journal.note('acme.failed', { certificate: serverName, why: fault.message.slice(0, 300) });
        });
    },
    async settled() {
      await last;
    },
  };
}
