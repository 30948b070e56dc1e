// What would become of a request at an application: who it would be now, whether it may, and as what it would appear. The same questions in the same order as on
// the data plane (proxy/application), told in lines. Secrets of addresses are read and never told.
import { refusalText, type Told, whyNotAdmitted } from './admit-device.ts';
import type { ConfigApplication } from './config.ts';
import type { SessionEnd, SessionRefusal } from './device-sessions.ts';
import type { Identity } from './identity.ts';
import type { MisRoute } from './mis-route.ts';
import type { JobSource } from './place-rows.ts';
import type { Prefix } from './secret-path.ts';
import type { Route } from './snapshot.ts';

export interface ApplicationQuestion {
  readonly route: Route;
  readonly from: string;
  /** null: the address has no secret. */
  readonly prefix: Prefix | null;
  /** As the application knows it. */
  readonly path: string;
}

/** What the running gateway knows of it, noting nothing. */
export interface ApplicationFacts {
  readonly identity: Identity;
  readonly source: JobSource | null;
  /** null: the device would get a virtual address first. */
  readonly told: Told | null;
  /** The token in the address is one of a device's. */
  readonly isTokenKnown: boolean;
  /** Why the session that the address names is over; null: it stands, or none is named. */
  readonly sessionEnd: SessionEnd | 'ended' | null;
  readonly sessionRefusal: SessionRefusal | SessionEnd | null;
  /** The session that the address names is the one that it would go on in. */
  readonly isInSession: boolean;
  readonly way: MisRoute | null;
}

export interface ApplicationTold {
  readonly lines: string[];
  readonly verdict: 'forward' | 'refuse' | 'redirect' | 'respond';
  /** The rule that refuses it; null: none does. */
  readonly refusedBy: string | null;
}

const toldBy: Readonly<Record<ConfigApplication['tell'], string>> = {
  headers: 'X-Forwarded-For, its kin and a signed X-Postern-Identity', 'proxy-v1': 'a PROXY header of version 1', 'proxy-v2': 'a PROXY header of version 2', virtual: 'the address that the connection comes from',
};
const required: Readonly<Record<ConfigApplication['require'], string>> = { verified: 'a device that is verified', address: 'a device that is known, by its address at least', any: 'nothing' };

/** What the route says, whoever asks. */
export function applicationLines({ tell, address, require, assigned, session }: ConfigApplication): string[] {
  return [
    `its server knows devices by their address, and hears it by ${toldBy[tell]}: the device's ${tell === 'virtual' || address === 'virtual' ? 'virtual address' : 'own address'}`,
    `it asks for ${required[require]}${assigned ? ', and only its job sources may use it' : ''}${session.urlPrefix ? '; sessions live in their URLs' : ''}`,
  ];
}

export function tellApplication({ route, from, prefix, path }: ApplicationQuestion, facts: ApplicationFacts): ApplicationTold {
  const { identity, source, told, way } = facts;
  const { device } = identity;
  const application = route.application!;
  const lines = applicationLines(application);
  const end = (verdict: ApplicationTold['verdict'], refusedBy: string | null, line: string): ApplicationTold => ({ lines: [...lines, line], verdict, refusedBy });
  if (prefix?.isBare) return end('redirect', null, 'redirected with 302 to the same address with a slash at its end');
  if (prefix?.kind === 'token') lines.push(facts.isTokenKnown ? 'the address is a device\'s own URL' : 'the address looks like a device\'s own URL, and no device has it: it was withdrawn, or mistyped');
  const who = device === null ? '' : `: ${device.name}${device.serial === null ? '' : ` (${device.serial})`}`;
  lines.push(`from ${from} it would be ${identity.state}${who}, because ${identity.why}`);
  if (way !== null) lines.push(`${way.code}: ${way.verdict}${way.remedy === null ? '' : `; ${way.remedy}`}`);
  if (path.split('?', 1)[0] === '/.postern/test') return end('respond', null, 'answered by the gateway: the test page says how it arrives');
  if (prefix?.kind === 'session' && facts.sessionEnd !== null) return end('refuse', 'session', 'refused with 403: the session of that address is over');
  const why = whyNotAdmitted(application, identity, source);
  if (device !== null) lines.push(source === null ? `it is no job source of ${route.name}` : `it is a job source of ${route.name}${source.as === null ? '' : `, and appears as ${source.as}`}`);
  if (why !== null) return end('refuse', `application ${why}`, `refused with 403: ${refusalText(why, route.name, identity)}`);
  if (facts.sessionRefusal !== null) return end('refuse', 'session', `refused with 403: its session is ${facts.sessionRefusal}`);
  if (application.session.urlPrefix && device !== null && identity.state !== 'ambiguous' && !facts.isInSession) return end('redirect', null, 'redirected into an address of its session');
  if (told === null) return end('forward', null, 'the device gets a virtual address first, and appears as that');
  return end('forward', null, `it appears to the server as ${told.client}${told.local === null ? '' : ', from which the connection comes'}`);
}
