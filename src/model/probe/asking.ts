// What can be asked of a device through the agent of its site (docs/wire/probe.md). The gateway's side implements it over a stream of the service
// `probe`; what builds profiles calls it and needs to know nothing of links.

export type SnmpVersion = 'v1' | 'v2c' | 'v3';

/** One value, or why there is none. `oid` is dotted text without a leading dot. */
export type SnmpValue =
  | { readonly oid: string; readonly type: 'integer' | 'counter' | 'gauge' | 'ticks'; readonly value: number }
  /** Decimal text. */
  | { readonly oid: string; readonly type: 'counter64'; readonly value: string }
  /** Base64; `text` when the bytes are printable UTF-8; `cut`: only the first bytes. */
  | { readonly oid: string; readonly type: 'octets' | 'opaque'; readonly value: string; readonly text?: string; readonly cut?: true }
  | { readonly oid: string; readonly type: 'oid' | 'address'; readonly value: string }
  /** `noSuchObject`, `noSuchInstance`, `endOfMibView`, `noSuchName`, or another error status of RFC 3416. */
  | { readonly oid: string; readonly type: 'missing'; readonly value: null; readonly why: string };

/** docs/wire/probe.md §5; an agent may know further ones. */
export type ProbeFaultCode =
  | 'policy' | 'off' | 'silent' | 'unreachable'
  | 'credentials' | 'unknown-user' | 'wrong-key' | 'wrong-privacy' | 'security-level' | 'not-in-time' | 'no-access'
  | 'damaged' | 'tls' | 'closed' | 'timeout' | 'too-large' | 'bad-input' | 'unsupported' | 'busy' | 'internal';

/** A set of credentials that was tried. */
export interface SnmpTry {
  /** Its name; `default`: the built-in community. */
  readonly credentials: string;
  readonly version: SnmpVersion;
  readonly outcome: 'ok' | ProbeFaultCode;
}

export interface ProbeFault {
  readonly code: ProbeFaultCode;
  /** Sentences for people. */
  readonly message: string;
  readonly remedy: string;
  /** The agent's own address that it asked from; null: nothing was sent. */
  readonly from: string | null;
  readonly tried: readonly SnmpTry[];
}

/** How an answer by SNMP was had. */
export interface SnmpMeans {
  readonly version: SnmpVersion;
  readonly credentials: string;
  readonly user: string | null;
  readonly from: string | null;
  /** Datagrams sent for it. */
  readonly requests: number;
}

export interface Reached {
  readonly snmp: 'answers' | 'off' | 'silent' | 'unreachable';
  /** The SNMPv3 engine, which answers without credentials; null: none did. */
  readonly v3: { /** Hex. */ readonly engineId: string; readonly boots: number; readonly timeSeconds: number } | null;
  /** null, as credentials and user: no set worked. */
  readonly version: SnmpVersion | null;
  readonly credentials: string | null;
  readonly user: string | null;
  readonly from: string | null;
  readonly requests: number;
  readonly tried: readonly SnmpTry[];
  /** What `get` would be refused with. */
  readonly fault: ProbeFault | null;
}

export interface Got extends SnmpMeans {
  /** One for each OID asked, in that order. */
  readonly values: readonly SnmpValue[];
}

export interface Walked extends SnmpMeans {
  readonly values: readonly SnmpValue[];
  /** null: the end; else what to give as `after` to go on. */
  readonly next: string | null;
  /** The device's OIDs do not grow; it was left there. */
  readonly loop: boolean;
}

export interface DeviceCertificate {
  readonly subject: string;
  readonly issuer: string;
  readonly serialNumber: string;
  /** Of the DER, hex. */
  readonly sha256: string;
  /** ISO 8601. */
  readonly notBefore: string;
  readonly notAfter: string;
  readonly names: readonly string[];
}

export interface IppAnswer {
  readonly status: number;
  /** Empty unless the status is 200. */
  readonly body: Buffer;
  readonly location: string | null;
  readonly certificate: DeviceCertificate | null;
  readonly from: string | null;
}

export interface HttpAnswer {
  readonly status: number;
  readonly server: string | null;
  readonly title: string | null;
  readonly location: string | null;
  readonly certificate: DeviceCertificate | null;
  readonly from: string | null;
}

export interface Neighbour {
  /** Lower case with colons; null: the agent's neighbour table does not have it. */
  readonly mac: string | null;
  readonly interface: string | null;
}

/** What a resolver answered; an error of its own is an answer, too. */
export interface DnsSeen {
  /** Its address; of `system` the one that answered. */
  readonly resolver: string;
  /** NOERROR, NXDOMAIN, SERVFAIL, REFUSED … */
  readonly rcode: string;
  /** Addresses of the type that was asked for. */
  readonly answers: readonly string[];
  readonly ms: number;
}

export type AuthProtocol = 'md5' | 'sha' | 'sha224' | 'sha256' | 'sha384' | 'sha512';
export type PrivProtocol = 'des' | 'aes' | 'aes256b' | 'aes256r';

/** Credentials as they may be shown: without what is secret. */
export interface CredentialsShown {
  readonly name: string;
  /** CIDR; empty: everywhere. */
  readonly networks: readonly string[];
  readonly version: SnmpVersion;
  readonly user: string | null;
  readonly context: string | null;
  readonly authProtocol: AuthProtocol | null;
  readonly privProtocol: PrivProtocol | null;
}

/** Credentials as they are sent to the agent, and nowhere else: never stored, logged or answered. */
export interface CredentialsSent {
  readonly name: string;
  readonly networks: readonly string[];
  readonly version: SnmpVersion;
  readonly community?: string;
  readonly user?: string;
  readonly context?: string;
  readonly authProtocol?: AuthProtocol;
  readonly authKey?: string;
  readonly privProtocol?: PrivProtocol;
  readonly privKey?: string;
}

export interface AgentInfo {
  readonly addresses: readonly { readonly interface: string; readonly address: string; readonly network: string; readonly mac: string }[];
  readonly gateways: readonly { readonly interface: string; readonly address: string }[];
  readonly resolvers: readonly string[];
  readonly credentials: readonly CredentialsShown[];
  /** No set is there: `public` is tried. */
  readonly defaultCredentials: boolean;
  readonly perSecond: number;
  readonly atOnce: number;
}

/**
 * Each asks one agent. What the agent refuses or could not find out rejects with a Fault whose `detail.probe` is the `ProbeFault`; without one the way to
 * the agent failed (`offline`, `closed`, `timeout`, `unsupported`: an agent that does not know the service). Ports that are left out are 161, 631, 80, and 443 with TLS.
 */
export interface Asking {
  reach(asked: { readonly address: string; readonly port?: number }): Promise<Reached>;
  /** At most 64 OIDs. */
  get(asked: { readonly address: string; readonly port?: number; readonly oids: readonly string[] }): Promise<Got>;
  walk(asked: { readonly address: string; readonly port?: number; readonly root: string; readonly max?: number; readonly after?: string }): Promise<Walked>;
  ipp(asked: { readonly address: string; readonly port?: number; readonly tls?: boolean; readonly path: string; readonly body: Buffer }): Promise<IppAnswer>;
  http(asked: { readonly address: string; readonly port?: number; readonly tls?: boolean }): Promise<HttpAnswer>;
  mac(asked: { readonly address: string }): Promise<Neighbour>;
  info(): Promise<AgentInfo>;
  /** `resolver`: an address, or `system`: the agent's own resolvers in their order, the first that answers. `timeoutMs`: in all; 6,000 when absent. */
  dns(asked: { readonly resolver: string; readonly port?: number; readonly name: string; readonly type: 'A' | 'AAAA'; readonly timeoutMs?: number }): Promise<DnsSeen>;
  /** What is there afterwards. */
  setCredentials(change: { readonly put: readonly CredentialsSent[]; readonly remove: readonly string[] }): Promise<readonly CredentialsShown[]>;
}
