// Why an address does not say what it should: what is known of the way that a connection took, judged. Pure; the names of the verdicts (HP-1 …) are those of
// docs/operate/addresses-gone-wrong.md. No sentence here names another device: panels show them.
import type { Id } from '#base/ids.ts';
import type { FindingStatus } from './doctor.ts';
import { trustLine } from './forwarders.ts';
import { type DnsSnippet, insideOf, splitSnippets } from './dns-snippets.ts';

export type MisRouteCode = 'HP-1' | 'HP-2' | 'HP-3' | 'HP-4' | 'HP-5' | 'HP-6' | 'HP-7' | 'HP-8' | 'HP-9' | 'HP-10' | 'HP-11' | 'HP-12';

export interface MisRoute {
  readonly code: MisRouteCode;
  readonly status: FindingStatus;
  /** A sentence without its full stop. */
  readonly verdict: string;
  /** What to do; null where nothing is. */
  readonly remedy: string | null;
  /** Lines to write somewhere; empty where none would help. */
  readonly snippets: readonly DnsSnippet[];
}

/** Where a connection came from, and what came of it. */
export interface CameFrom {
  readonly address: string;
  /** Of the door that it came through; null: directly. */
  readonly siteId: Id | null;
  /** The device that it was taken for; null: none. */
  readonly deviceId: Id | null;
  /** Whose names are to be led inside; null: every application. */
  readonly application: string | null;
}

/** What is known of the way that a connection took. */
export interface WayEvidence {
  /** Where it came from, as the gateway sees it. */
  readonly peer: string;
  /** Through a door in the site's LAN: nothing on its way changed the address. */
  readonly throughDoor: boolean;
  /** From the internet's point of view it is private. */
  readonly isPrivate: boolean;
  /** It is the public address of so many sites. */
  readonly egressOf: number;
  /** A site's networks have it. */
  readonly isInside: boolean;
  /** It is the default gateway of such a LAN. */
  readonly isRouter: boolean;
  /** It is one of the addresses of the gateway's own machine, or of a container network there. */
  readonly isOwn: boolean;
  /** It may say for whom it comes. */
  readonly isTrusted: boolean;
  /** For whom it says that it comes, as far as it says so: the last entry of X-Forwarded-For, or of Forwarded; null: it says nothing. */
  readonly claims: string | null;
  /** Devices that proved themselves there lately, and kinds of programs seen there. */
  readonly devices: number;
  readonly programs: number;
  /** What a fresh probe read there: the serial that is expected there, another one, or nothing. */
  readonly confirmed: 'same' | 'other' | null;
}

/** Where a name of the application is to lead inside that LAN. */
export interface WayInside {
  readonly names: readonly string[];
  /** Of doors, and of the gateway itself where it stands in that LAN; empty: there is none. */
  readonly addresses: readonly string[];
}

const noSnippets: readonly DnsSnippet[] = [];
const namesShown = 4;

const throughRouter = ({ names, addresses }: WayInside): string => {
  const which = names.slice(0, namesShown).join(', ') || 'the application\'s name';
  return addresses.length > 0
    ? `let ${which} lead to ${addresses.slice(0, 2).join(' or ')} inside that LAN (split DNS), or give each device a URL of its own: postern device-url`
    : `open a door in that LAN (postern doors open) and let ${which} lead to it there (split DNS), or give each device a URL of its own: postern device-url`;
};

const snippetsFor = ({ names, addresses }: WayInside): readonly DnsSnippet[] => names.slice(0, namesShown).flatMap((name) => splitSnippets(insideOf(name, addresses)));

const isMany = ({ devices, programs }: WayEvidence): boolean => devices > 1 || programs > 1;

/** What most likely happened on the way; null: nothing speaks for or against it. */
export function judgeWay(seen: WayEvidence, inside: WayInside): MisRoute | null {
  return seen.throughDoor ? judgeLan(seen) : (judgeProxy(seen) ?? judgeRouter(seen, inside) ?? judgeLan(seen));
}

function judgeProxy({ peer, isTrusted, claims, isOwn, isInside, confirmed }: WayEvidence): MisRoute | null {
  if (isTrusted && claims === null) {
    return {
      code: 'HP-3', status: 'failure', verdict: `the proxy ${peer} does not pass on the client's address`, snippets: noSnippets,
      remedy: 'let it send X-Forwarded-For: nginx "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", HAProxy "option forwardfor", Apache and Caddy do so by themselves, IIS ARR with "Preserve client IP in the following header: X-Forwarded-For"',
    };
  }
  if (!isTrusted && claims !== null && confirmed !== 'same') {
    return {
      code: 'HP-4', status: 'warning', verdict: `the unknown proxy ${peer} says that it comes for ${claims}; that is ignored`, snippets: noSnippets,
      remedy: `if it is a proxy of yours, trust it: add ${trustLine(peer)} to "trustedProxies" of the configuration, with "subject" where it shows a certificate`,
    };
  }
  if (isOwn && !isInside) {
    return {
      code: 'HP-5', status: 'failure', verdict: `${peer} is an address of the gateway's own machine: a container's network, or a proxy there, hides the client's`, snippets: noSnippets,
      remedy: 'run the gateway with the network of its host (docker run --network host), switch off the userland proxy, let what stands before it send a PROXY header (proxyProtocolFrom of the listener), or install it without containers',
    };
  }
  return null;
}

function judgeRouter(seen: WayEvidence, inside: WayInside): MisRoute | null {
  const { peer, egressOf, isRouter, confirmed } = seen;
  if (egressOf > 0) {
    const whose = egressOf === 1 ? 'a site\'s public address' : `the public address of ${egressOf} sites`;
    return { code: 'HP-1', status: 'failure', verdict: `the traffic leaves its network and comes in from outside (hairpin or NAT): every device there looks like ${peer}, ${whose}`, remedy: throughRouter(inside), snippets: snippetsFor(inside) };
  }
  if (isRouter && confirmed !== 'same') {
    const verdict = isMany(seen) ? `the router ${peer} loops traffic back and puts its own address into it (NAT reflection): several devices look like it` : `${peer} is the address of a router: it loops traffic back and puts its own address into it (NAT reflection)`;
    return { code: 'HP-2', status: 'failure', verdict, remedy: throughRouter(inside), snippets: snippetsFor(inside) };
  }
  return null;
}

function judgeLan(seen: WayEvidence): MisRoute | null {
  const { peer, isPrivate, throughDoor, confirmed } = seen;
  const isOfLan = isPrivate || throughDoor;
  if (isOfLan && confirmed === 'other') {
    return { code: 'HP-11', status: 'failure', verdict: `${peer} belongs to another device than the one that is expected there (DHCP)`, remedy: 'give the device its new address (postern device set DEVICE --host ADDRESS), and make a reservation for it in the site\'s DHCP server', snippets: noSnippets };
  }
  if (isMany(seen) && confirmed !== 'same') {
    return {
      code: 'HP-12', status: 'warning', verdict: `several devices or programs come from ${peer} (VPN, wireless controller, NAT)`, snippets: noSnippets,
      remedy: 'switch off the translation of addresses on the way (SNAT, masquerading), open a door in that LAN, or give each device a URL of its own: postern device-url',
    };
  }
  if (isOfLan && confirmed === 'same' && seen.devices < 2) return { code: 'HP-10', status: 'ok', verdict: `the address arrives as it is, and a probe has read the expected serial at ${peer}`, remedy: null, snippets: noSnippets };
  return null;
}

/** What it rests on, for people who may see it. */
export function evidenceOfWay(seen: WayEvidence): string[] {
  const lines = [`it came from ${seen.peer}${seen.throughDoor ? ', through a door' : ', directly'}`];
  if (seen.egressOf > 0) lines.push(`${seen.peer} is the public address of ${seen.egressOf === 1 ? 'one site' : `${seen.egressOf} sites`}`);
  if (seen.isInside) lines.push(`a site has the network of ${seen.peer}${seen.isRouter ? ', and it is the default gateway there' : ''}`);
  if (seen.isOwn) lines.push(`${seen.peer} is an address of the gateway's machine`);
  if (seen.isTrusted || seen.claims !== null) lines.push(`it is ${seen.isTrusted ? 'a' : 'no'} trusted proxy, and ${seen.claims === null ? 'names no client' : `says that it comes for ${seen.claims}`}`);
  if (seen.devices + seen.programs > 0) lines.push(`lately ${seen.devices} ${seen.devices === 1 ? 'device' : 'devices'} proved to be there, and ${seen.programs} ${seen.programs === 1 ? 'kind' : 'kinds'} of programs came from there`);
  if (seen.confirmed !== null) lines.push(`a probe read ${seen.confirmed === 'same' ? 'the expected serial' : 'another serial'} there`);
  return lines;
}
