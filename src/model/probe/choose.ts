// Which driver a device is asked and understood with: the longest sysObjectID first, then the vendor's number, then how the device describes itself.
import type { Driver, LoadedDriver } from './driver.ts';
import { vendorArc } from './oids.ts';

export interface DriverFacts {
  /** Dotted, without a leading dot; null: not told. */
  readonly sysObjectId: string | null;
  /** sysDescr, hrDeviceDescr, printer-make-and-model, a device id …: whatever a device says of itself. */
  readonly descriptions: readonly string[];
  /** The standard tables of a printer answered, or IPP did. */
  readonly printer: boolean;
}

export interface ChosenDriver {
  readonly driver: Driver;
  readonly own: boolean;
  readonly by: 'sysObjectID' | 'enterprise' | 'description' | 'fallback';
  /** The prefix, number or pattern that decided. */
  readonly matched: string;
}

/** Descriptions come from devices; a pattern takes time linear in them, and needs no more of them than this. */
const descriptionMax = 1_000;

/** null only where drivers of last resort are missing. */
export function chooseDriver(drivers: readonly LoadedDriver[], facts: DriverFacts): ChosenDriver | null {
  // At equal length the owner's wins; among the rest the order of the list.
  const ordered = [...drivers].sort((a, b) => Number(b.own) - Number(a.own));
  const chosen = (loaded: LoadedDriver, by: ChosenDriver['by'], matched: string): ChosenDriver => ({ driver: loaded.driver, own: loaded.own, by, matched });
  const { sysObjectId } = facts;
  if (sysObjectId !== null) {
    let longest: { loaded: LoadedDriver; prefix: string; arcs: number } | null = null;
    for (const loaded of ordered) {
      for (const prefix of loaded.driver.sysObjectIds) {
        const arcs = prefix.split('.').length;
        if ((sysObjectId === prefix || sysObjectId.startsWith(`${prefix}.`)) && (longest === null || arcs > longest.arcs)) longest = { loaded, prefix, arcs };
      }
    }
    if (longest !== null) return chosen(longest.loaded, 'sysObjectID', longest.prefix);
    const vendor = enterpriseOf(sysObjectId);
    const byVendor = vendor === null ? undefined : ordered.find(({ driver }) => driver.enterpriseIds.includes(vendor));
    if (byVendor !== undefined) return chosen(byVendor, 'enterprise', String(vendor));
  }
  const descriptions = facts.descriptions.map((text) => text.slice(0, descriptionMax));
  for (const loaded of ordered) {
    const pattern = loaded.driver.descriptions.find((each) => descriptions.some((text) => each.test(text)));
    if (pattern !== undefined) return chosen(loaded, 'description', pattern.text);
  }
  const wanted = facts.printer ? ['printer', 'device'] : ['device'];
  for (const kind of wanted) {
    const last = ordered.find(({ driver }) => driver.fallback === kind);
    if (last !== undefined) return chosen(last, 'fallback', kind);
  }
  return null;
}

/** The number below 1.3.6.1.4.1; null: it has none. */
export function enterpriseOf(sysObjectId: string | null): number | null {
  if (sysObjectId === null || !sysObjectId.startsWith(`${vendorArc}.`)) return null;
  const number = Number(sysObjectId.slice(vendorArc.length + 1).split('.')[0]);
  return Number.isInteger(number) && number > 0 ? number : null;
}

/** The driver whose devices' programs send this User-Agent; null: none says so. */
export function driverOfClient(drivers: readonly LoadedDriver[], userAgent: string): LoadedDriver | null {
  const text = userAgent.slice(0, descriptionMax);
  return [...drivers].sort((a, b) => Number(b.own) - Number(a.own)).find(({ driver }) => driver.clients.some((pattern) => pattern.test(text))) ?? null;
}
