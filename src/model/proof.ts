// Whether a server saw the address that it was told: what the proof of a route found, judged. Pure.
import { canonicalAddress, isPrivate, parseAddress, parseNetwork, networkContains } from '#base/cidr.ts';
import type { ConfigApplication } from './config.ts';
import { seenField } from './snippets.ts';

/** What went out, and what came back. */
export interface ProofFound {
  readonly tell: ConfigApplication['tell'];
  /** The address that the server is to see. */
  readonly told: string;
  /** The other address of the device, virtual or own; null where it has none. */
  readonly other: string | null;
  /** From which we connected; null where that is not known. */
  readonly local: string | null;
  readonly nonce: string;
  /** As requested, with the query. */
  readonly path: string;
  /** Null: the server gave none. */
  readonly answer: { readonly status: number; readonly seen: string | null } | null;
  /** The connection was ended without an answer. */
  readonly cut: boolean;
}

export interface ProofVerdict {
  /** equal · different · untold: the server does not say · refused: it did not take the request or the connection · taken: a port that speaks no HTTP took the connection. */
  readonly verdict: 'equal' | 'different' | 'untold' | 'refused' | 'taken';
  /** HP-3, HP-5 …: what most likely happened on the way, as doctor names it; null where nobody can say. */
  readonly cause: string | null;
  readonly text: string;
  /** '' where nothing is to be done. */
  readonly remedy: string;
}

/** The value of X-Postern-Seen: some servers write a port behind it, or brackets around IPv6. Null when it is no address. */
export function addressSeen(value: string | undefined): string | null {
  const text = value?.trim() ?? '';
  const [, bracketed] = /^\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?$/.exec(text) ?? [];
  return canonicalAddress(bracketed ?? text) ?? canonicalAddress(text.replace(/^(\d+\.\d+\.\d+\.\d+):\d{1,5}$/, '$1'));
}

const dockerNetworks = ['172.17.0.0/16', '172.18.0.0/15', '172.20.0.0/14'].map((text) => parseNetwork(text)!);
const isContainers = (address: string): boolean => {
  const parsed = parseAddress(address);
  return parsed !== null && dockerNetworks.some((network) => networkContains(network, parsed));
};

const toldBy: Readonly<Record<ConfigApplication['tell'], string>> = { headers: 'X-Forwarded-For', 'proxy-v1': 'a PROXY header of version 1', 'proxy-v2': 'a PROXY header of version 2', virtual: 'the address of the connection' };

/** For routes that are HTTP. */
export function judgeProof(found: ProofFound): ProofVerdict {
  const { told, answer } = found;
  const putIn = 'put the snippet in: postern snippet prints it for nginx, Apache, HAProxy, IIS and Tomcat';
  if (answer === null || (answer.status === 400 && answer.seen === null)) return judgeRefusal(found);
  if (answer.seen === null) {
    return {
      verdict: 'untold', cause: null, text: `the server answered ${answer.status} and does not say which address it saw: there is no ${seenField} in its answer`,
      remedy: `look for ${found.nonce} in its log: the line with "GET ${found.path}" is to begin with ${told}; or ${putIn}`,
    };
  }
  if (answer.seen === told) return { verdict: 'equal', cause: null, text: `the server saw ${answer.seen}, the address that it was told`, remedy: '' };
  return judgeDifference(found, answer.seen, putIn);
}

function judgeRefusal({ tell, answer, cut, told }: ProofFound): ProofVerdict {
  const how = answer === null ? (cut ? 'ended the connection without an answer' : 'did not answer in time') : 'answered 400 (bad request)';
  if (tell === 'proxy-v1' || tell === 'proxy-v2') {
    return { verdict: 'refused', cause: 'HP-3', text: `the server ${how}: most likely it does not expect ${toldBy[tell]} at this port`, remedy: 'put the snippet in, or let the route tell addresses in another way' };
  }
  return {
    verdict: 'refused', cause: null, text: `the server ${how}`,
    remedy: tell === 'virtual' ? `see whether a firewall there lets ${told} in, and whether it has a route back to it` : 'see whether the port expects a PROXY header, or TLS; then its log',
  };
}

function judgeDifference({ tell, told, other, local }: ProofFound, seen: string, putIn: string): ProofVerdict {
  const text = `the server saw ${seen} instead of ${told}`;
  if (seen === other) return { verdict: 'different', cause: null, text: `${text}: the device's other address`, remedy: 'see "tell" and "address" of the route\'s application, and what the job source says' };
  if (seen === local) {
    return {
      verdict: 'different', cause: 'HP-3', text: `${text}: the gateway's own address, from which the connection came`,
      remedy: tell === 'virtual' ? 'the route of this machine or a firewall has changed the address on its way: postern doctor looks' : `the server does not take ${toldBy[tell]} from ${seen}: ${putIn}, with ${seen} as the gateway's address`,
    };
  }
  if (isContainers(seen)) {
    return { verdict: 'different', cause: 'HP-5', text: `${text}: an address of a container network, so something in front of the server changes it`, remedy: 'run the server with the network of its host, or list that address in the snippet: postern snippet … --gateway ' + seen };
  }
  return {
    verdict: 'different', cause: tell === 'virtual' && isPrivate(seen) ? 'HP-12' : 'HP-3', text: `${text}: neither the device's nor the gateway's`,
    remedy: tell === 'virtual' ? 'something between gateway and server translates addresses (NAT): give it an exception for the address pool' : `another proxy or a NAT stands in front of the server: it has to pass on what it is told, or the snippet has to list it: postern snippet … --gateway ${seen}`,
  };
}

/** For other protocols: whether the port took the connection. */
export function judgeConnection(found: Pick<ProofFound, 'tell' | 'told' | 'cut'>): ProofVerdict {
  const by = toldBy[found.tell];
  if (found.cut) return { verdict: 'refused', cause: found.tell === 'virtual' ? null : 'HP-3', text: `the server ended the connection at once${found.tell === 'virtual' ? '' : `: most likely it does not expect ${by}`}`, remedy: 'see its log' };
  return { verdict: 'taken', cause: null, text: `the server took the connection; it was told ${found.told} by ${by}`, remedy: 'what it understood is in its log' };
}
