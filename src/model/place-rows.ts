// Rows about where devices are and who they turn out to be: places in the network, addresses, evidence, what they may use, what probes found.
import type { Id } from '#base/ids.ts';

/** What is known of a site's network. A site without it has no row. */
export interface SitePlace {
  readonly siteId: Id;
  readonly customerId: Id;
  /** Networks inside, as CIDR; other sites may have the same. */
  readonly subnets: readonly string[];
  /** Public addresses that its traffic comes from, as CIDR. */
  readonly egress: readonly string[];
}

/** A port in a site's LAN at which its agent accepts connections for one of the gateway's listeners. */
export interface SiteDoor {
  readonly id: Id;
  readonly customerId: Id;
  readonly siteId: Id;
  readonly agentId: Id;
  /** Of the agent's machine in that LAN. */
  readonly address: string;
  readonly port: number;
  /** The listener's name in the configuration. */
  readonly listener: string;
  readonly createdAt: number;
}

/** A device's address of the pool. */
export interface VirtualAddress {
  readonly deviceId: Id;
  readonly customerId: Id;
  /** Unique in the gateway. */
  readonly address: string;
  /** Chosen by a person; never given away by itself. */
  readonly pinned: boolean;
  readonly createdAt: number;
}

/** An address of the pool that was a device's until lately: others get it last, because servers remember addresses longer than we do. */
export interface ReleasedAddress {
  readonly address: string;
  readonly customerId: Id;
  /** Whose it was; the device may be gone. */
  readonly deviceId: Id;
  readonly releasedAt: number;
}

/** The secret part of a URL that stands in a device's settings and says which one it is. */
export interface DeviceToken {
  readonly id: Id;
  readonly customerId: Id;
  readonly deviceId: Id;
  /** SHA-256 of the token, hex. */
  readonly digest: string;
  readonly note: string;
  readonly createdAt: number;
  readonly usedAt: number | null;
}

/**
 * certificate (fingerprint), token (the token's id), serial-snmp and serial-ipp (the serial read there), claimed-serial (what a request named), mac, address, shape (of its programs).
 */
export type EvidenceKind = 'certificate' | 'token' | 'serial-snmp' | 'serial-ipp' | 'claimed-serial' | 'mac' | 'address' | 'shape';

/** A fact that a device's identity rests on; noted, not kept. */
export interface Evidence {
  readonly deviceId: Id;
  readonly customerId: Id;
  readonly kind: EvidenceKind;
  readonly value: string;
  /** For people: `agent lan1 read it at 192.0.2.50 by SNMPv3`. */
  readonly how: string;
  readonly firstAt: number;
  readonly lastAt: number;
  readonly count: number;
}

/** Which device may use an application, and as what it appears there. The device is named by exactly one of device, serial, and site with address. */
export interface JobSource {
  readonly id: Id;
  readonly customerId: Id;
  /** The route's name. */
  readonly application: string;
  readonly deviceId: Id | null;
  readonly serial: string | null;
  readonly siteId: Id | null;
  /** In the site's LAN. */
  readonly address: string | null;
  /** The address as which it appears to the application instead of the route's choice; null: that. */
  readonly as: string | null;
  readonly note: string;
  readonly createdAt: number;
}

export type ProbeTrust = 'verified' | 'different' | 'unread';

/** A supply's or tray's level as people understand it. */
export interface SupplyReading {
  /** Stable for its device: what series are kept by. */
  readonly key: string;
  readonly name: string;
  /** toner, ink, drum, waste, fuser, staples, tray …; the standard's word (RFC 3805 PrtMarkerSuppliesTypeTC) in lower case. */
  readonly type: string;
  /** Named by the colorant table: black, cyan …; null where it has none. */
  readonly colour: string | null;
  /** 0 … 100; null: not known. */
  readonly percent: number | null;
  /** ok, low, empty, some (some is left), unknown. */
  readonly state: 'ok' | 'low' | 'empty' | 'some' | 'unknown';
  readonly level: number | null;
  readonly max: number | null;
  /** percent, impressions, sheets, hours, micrometres, tenths of grams, tenths of millilitres …; null: the maker did not say. */
  readonly unit: string | null;
  /** It fills instead of emptying: waste. */
  readonly fills: boolean;
}

export interface ProbeEvidence {
  /** `snmp 1.3.6.1…`, `ipp printer-device-id`, `http Server`, `tls subject`. */
  readonly question: string;
  readonly value: string;
  readonly at: number;
}

/** What a device said that it is. */
export interface Profile {
  readonly vendor: string | null;
  readonly enterpriseId: number | null;
  readonly model: string | null;
  readonly serial: string | null;
  readonly macs: readonly string[];
  readonly addresses: readonly string[];
  readonly firmware: string | null;
  readonly hostNames: readonly string[];
  readonly location: string | null;
  /** null: nothing told. */
  readonly functions: { readonly print: boolean | null; readonly copy: boolean | null; readonly scan: boolean | null; readonly fax: boolean | null };
  readonly colour: boolean | null;
  readonly duplex: boolean | null;
  readonly languages: readonly string[];
  /** What answered: snmp-v1, snmp-v2c, snmp-v3, ipp, ipps, http, https … */
  readonly protocols: readonly string[];
  readonly supplies: readonly SupplyReading[];
  readonly trays: readonly SupplyReading[];
  /** Counts since its making, by name: `pages`, `pages-colour`, `scans` … */
  readonly counters: Readonly<Record<string, number>>;
  /** idle, printing, warmup, other, unknown (RFC 2790 hrPrinterStatus), and what is wrong: `low-paper`, `jammed` … */
  readonly status: string | null;
  readonly errors: readonly string[];
  readonly upSeconds: number | null;
  readonly driver: string | null;
  /** 0 … 1: how much of the profile two witnesses or one standard table say. */
  readonly confidence: number;
  readonly evidence: readonly ProbeEvidence[];
}

/** A device's last good profile, and what became of the last probe. */
export interface DeviceProfile {
  readonly deviceId: Id;
  readonly customerId: Id;
  /** null: none has succeeded yet. */
  readonly profile: Profile | null;
  readonly readAt: number | null;
  /** Where it was read. */
  readonly address: string | null;
  readonly agentId: Id | null;
  /** Whether the serial that was read is the one that the device's row has. */
  readonly trust: ProbeTrust;
  /** The MAC that the site's agent saw at that address. */
  readonly mac: string | null;
  readonly triedAt: number;
  /** Why the last try had no profile (`readAt` is older than `triedAt`), or what of it could not be had; null: all was answered. */
  readonly failure: ProbeFailure | null;
}

/** Why a probe failed, in parts that a page can show. */
export interface ProbeFailure {
  /** credentials, off, silent, policy, offline, unknown-device (no driver), partial … */
  readonly code: string;
  /** The question that was not answered. */
  readonly question: string;
  readonly address: string;
  /** The agent's name, and the address that it asked from where that is known. */
  readonly agent: string;
  readonly from: string | null;
  readonly message: string;
  readonly remedy: string;
  /** The serial, or else the MAC, that was found there instead, now (code `different`) or by the last probe that heard anybody there. */
  readonly found?: { readonly serial: string | null; readonly mac: string | null };
}

/** One reading of a series: a supply's percent, a counter. */
export interface ProbeSample {
  readonly deviceId: Id;
  readonly customerId: Id;
  readonly at: number;
  /** `supply KEY`, `tray KEY`, `counter NAME`. */
  readonly series: string;
  readonly value: number;
}
