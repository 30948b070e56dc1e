// A route as it is filled in: everything is text until it becomes part of a document.
import { compact, isName, linesOf, numberOf, type FieldProblem, type Protocol, type Route, type Target } from '../config-document.ts';
import { text } from '../text.ts';
import { applicationDraftOf, applicationOf, wrongInApplication, type ApplicationDraft } from './application-draft.ts';

export type TargetKind = Target['kind'];
export type VerifyBy = 'name' | 'ca' | 'fingerprint';

export interface ClassDraft {
  /** Only for React: rows keep their focus when one above is removed. */
  readonly key: number;
  readonly name: string;
  readonly paths: string;
  readonly methods: string;
}

export interface TargetDraft {
  readonly kind: TargetKind;
  readonly host: string;
  readonly port: string;
  readonly proxyProtocol: '' | 'v1' | 'v2';
  readonly verifyBy: VerifyBy;
  readonly verifyName: string;
  readonly ca: string;
  readonly sha256: string;
  readonly serverName: string;
  readonly certificate: string;
  readonly check: '' | 'refuse' | 'port';
  readonly checkPort: string;
  readonly device: string;
  readonly to: string;
  readonly status: string;
  readonly body: string;
  readonly contentType: string;
}

export interface RouteDraft {
  readonly name: string;
  readonly protocol: Protocol;
  readonly host: string;
  readonly paths: string;
  readonly ignoreCase: boolean;
  readonly largeHeads: boolean;
  readonly alias: string;
  readonly listeners: readonly string[];
  readonly needsCertificate: boolean;
  readonly subject: string;
  readonly classes: readonly ClassDraft[];
  readonly onlyClasses: boolean;
  readonly target: TargetDraft;
  readonly application: ApplicationDraft;
}

let lastKey = 0;
export const newClass = (part: Partial<ClassDraft> = {}): ClassDraft => ({ name: '', paths: '', methods: '', ...part, key: ++lastKey });

const REDIRECT_STATUS = '308';

function targetDraftOf(target: Target | undefined): TargetDraft {
  const empty: TargetDraft = {
    kind: 'tcp', host: '', port: '', proxyProtocol: '', verifyBy: 'name', verifyName: '', ca: '', sha256: '', serverName: '', certificate: '', check: '', checkPort: '',
    device: '', to: '', status: '', body: '', contentType: 'text/plain; charset=utf-8',
  };
  switch (target?.kind) {
    case undefined:
      return empty;
    case 'tcp':
      return { ...empty, host: target.host, port: String(target.port), proxyProtocol: target.proxyProtocol ?? '' };
    case 'tls': {
      const verify = target.verify ?? { by: 'name' };
      const otherwise = target.checkCertificate?.otherwise;
      return {
        ...empty, kind: 'tls', host: target.host, port: String(target.port), proxyProtocol: target.proxyProtocol ?? '', verifyBy: verify.by,
        verifyName: verify.by === 'name' ? (verify.name ?? '') : '', ca: 'ca' in verify ? (verify.ca ?? '') : '', sha256: verify.by === 'fingerprint' ? verify.sha256 : '',
        serverName: target.serverName ?? '', certificate: target.certificate ?? '', check: otherwise === undefined ? '' : otherwise === 'refuse' ? 'refuse' : 'port', checkPort: typeof otherwise === 'number' ? String(otherwise) : '',
      };
    }
    case 'device':
      return { ...empty, kind: 'device', device: target.device, port: String(target.port) };
    case 'redirect':
      return { ...empty, kind: 'redirect', to: target.to, status: String(target.status ?? REDIRECT_STATUS) };
    case 'respond':
      return { ...empty, kind: 'respond', status: String(target.status ?? 200), body: target.body ?? '', contentType: target.contentType ?? empty.contentType };
  }
}

export function routeDraftOf(route: Route | null): RouteDraft {
  const path = route?.path ?? '/';
  return {
    name: route?.name ?? '', protocol: route?.protocol ?? 'http', host: route?.host ?? '', paths: typeof path === 'string' ? path : path.join('\n'),
    ignoreCase: route?.ignoreCase ?? false, largeHeads: route?.largeHeads ?? false, alias: route?.alias ?? '', listeners: route?.listeners ?? [],
    needsCertificate: route?.clientCertificate !== undefined, subject: route?.clientCertificate?.subject ?? '',
    classes: (route?.classes ?? []).map((each) => newClass({ name: each.name, paths: each.paths.join('\n'), methods: (each.methods ?? []).join(' ') })), onlyClasses: route?.onlyClasses ?? false,
    target: targetDraftOf(route?.target), application: applicationDraftOf(route?.application),
  };
}

const orNone = (value: string) => value.trim() || undefined;

function targetOf(draft: TargetDraft, protocol: Protocol): Target {
  const { host, port, proxyProtocol } = draft;
  const dialled = { host: host.trim(), port: numberOf(port), proxyProtocol: proxyProtocol || undefined };
  switch (draft.kind) {
    case 'tcp':
      return compact({ kind: 'tcp', ...dialled }) as Target;
    case 'tls': {
      const verify = draft.verifyBy === 'name' ? compact({ by: 'name', name: orNone(draft.verifyName), ca: orNone(draft.ca) }) : draft.verifyBy === 'ca' ? { by: 'ca', ca: draft.ca.trim() } : { by: 'fingerprint', sha256: draft.sha256.trim() };
      const hasCheck = draft.check !== '' && checksCertificates(protocol);
      return compact({
        kind: 'tls', ...dialled, verify, serverName: orNone(draft.serverName), certificate: orNone(draft.certificate),
        checkCertificate: hasCheck ? { otherwise: draft.check === 'refuse' ? 'refuse' : numberOf(draft.checkPort) } : undefined,
      }) as Target;
    }
    case 'device':
      return { kind: 'device', device: draft.device.trim(), port: numberOf(port) };
    case 'redirect':
      return { kind: 'redirect', to: draft.to.trim(), status: numberOf(draft.status || REDIRECT_STATUS) as 308 };
    case 'respond':
      return { kind: 'respond', status: numberOf(draft.status || '200'), body: draft.body, contentType: draft.contentType };
  }
}

/** Which protocols name a user that a certificate can be compared with. */
export const checksCertificates = (protocol: Protocol) => protocol === 'ldap' || protocol === 'sip' || protocol === 'h323';

/** Only servers know devices by their address. */
export const mayBeApplication = (kind: TargetKind) => kind === 'tcp' || kind === 'tls';

export function targetKinds(protocol: Protocol): readonly TargetKind[] {
  if (protocol === 'http') return ['tcp', 'tls', 'device', 'redirect', 'respond'];
  return protocol === 'tls' ? ['tcp', 'device'] : ['tcp', 'tls', 'device'];
}

/** What means nothing for the protocol is left out, so that changing it does not leave hidden fields behind. */
export function routeOf(draft: RouteDraft, before: Route | null): Route {
  const { protocol } = draft;
  const isHttp = protocol === 'http';
  const paths = linesOf(draft.paths);
  const classes = draft.classes.map(({ name, paths: given, methods }) => compact({ name: name.trim(), paths: linesOf(given), methods: methods.trim() ? methods.trim().toUpperCase().split(/[\s,]+/) : undefined }));
  const { path: _path, ignoreCase: _case, largeHeads: _heads, classes: _classes, onlyClasses: _only, application: wasApplication, ...kept } = before ?? ({} as Partial<Route>);
  const http = isHttp ? { path: paths.length > 1 ? paths : (paths[0] ?? '/'), ignoreCase: draft.ignoreCase, largeHeads: draft.largeHeads, classes, onlyClasses: draft.onlyClasses && classes.length > 0 } : {};
  const application = mayBeApplication(draft.target.kind) ? applicationOf(draft.application, protocol, wasApplication) : undefined;
  return compact({
    ...kept, name: draft.name.trim(), protocol, host: orNone(draft.host.toLowerCase()), ...http,
    alias: isHttp || protocol === 'tls' ? undefined : orNone(draft.alias), listeners: draft.listeners.length > 0 ? [...draft.listeners] : undefined,
    application,
    clientCertificate: draft.needsCertificate && protocol !== 'tls' ? compact({ subject: orNone(draft.subject) }) : undefined, target: targetOf(application ? { ...draft.target, proxyProtocol: '' } : draft.target, protocol),
  }) as Route;
}

/** What needs no asking the gateway. */
export function wrongIn({ name, target, protocol, application }: RouteDraft): FieldProblem[] {
  const found: FieldProblem[] = [];
  const isPort = (value: string) => numberOf(value) >= 1 && numberOf(value) <= 65_535;
  if (!isName(name.trim())) found.push({ path: 'name', message: text.frontDoor.problems.name });
  if (['tcp', 'tls', 'device'].includes(target.kind) && !isPort(target.port)) found.push({ path: 'target.port', message: text.frontDoor.problems.port });
  if (target.kind === 'tls' && target.check === 'port' && checksCertificates(protocol) && !isPort(target.checkPort)) found.push({ path: 'target.checkCertificate.otherwise', message: text.frontDoor.problems.port });
  return mayBeApplication(target.kind) ? [...found, ...wrongInApplication(application)] : found;
}
