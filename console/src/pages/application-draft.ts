// What a route says of its application, as it is filled in: everything is text until it becomes part of a document.
import { compact, numberOf, type FieldProblem, type Protocol, type Route } from '../config-document.ts';
import { text } from '../text.ts';

type Application = NonNullable<Route['application']>;
export type Tell = NonNullable<Application['tell']>;
export type Require = NonNullable<Application['require']>;
export type Told = NonNullable<Application['address']>;

export interface CallbackDraft {
  /** Only for React: rows keep their focus when one above is removed. */
  readonly key: number;
  readonly transport: 'tcp' | 'udp';
  readonly port: string;
  /** At the device; empty: the same. */
  readonly to: string;
}

export interface ApplicationDraft {
  readonly is: boolean;
  readonly tell: Tell;
  readonly address: Told;
  readonly require: Require;
  readonly assigned: boolean;
  readonly jar: boolean;
  readonly urlPrefix: boolean;
  readonly idle: string;
  readonly absolute: string;
  readonly callbacks: readonly CallbackDraft[];
  readonly signed: string;
}

const CALLBACKS_MAX = 100;
const SESSION_FIELDS = ['jar', 'urlPrefix', 'idleMinutes', 'absoluteHours'] as const;
/** Of the route: problems below are shown at their fields. */
export const APPLICATION_FIELDS = [
  'application', ...['tell', 'address', 'require', 'assigned', 'session', 'callbacks', 'signed'].map((each) => `application.${each}`), ...SESSION_FIELDS.map((each) => `application.session.${each}`),
  ...Array.from({ length: CALLBACKS_MAX }, (_, i) => [`application.callbacks[${i}]`, ...['port', 'to'].map((each) => `application.callbacks[${i}].${each}`)]).flat(),
];

let lastKey = 0;
export const newCallback = (part: Partial<CallbackDraft> = {}): CallbackDraft => ({ transport: 'tcp', port: '', to: '', ...part, key: ++lastKey });

export function applicationDraftOf(application: Application | undefined): ApplicationDraft {
  const session: Partial<Application['session']> = application?.session ?? {};
  return {
    is: application !== undefined, tell: application?.tell ?? 'headers', address: application?.address ?? 'own', require: application?.require ?? 'address', assigned: application?.assigned ?? true,
    jar: session.jar ?? false, urlPrefix: session.urlPrefix ?? false, idle: session.idleMinutes === undefined ? '' : String(session.idleMinutes), absolute: session.absoluteHours === undefined ? '' : String(session.absoluteHours),
    callbacks: (application?.callbacks ?? []).map(({ transport, port, to }) => newCallback({ transport, port: String(port), to: to === undefined ? '' : String(to) })), signed: application?.signed ?? '',
  };
}

/** Protocols other than HTTP have no headers, cookies and links. */
export const tellsFor = (protocol: Protocol): readonly Tell[] => (protocol === 'http' ? ['headers', 'proxy-v1', 'proxy-v2', 'virtual'] : ['proxy-v1', 'proxy-v2', 'virtual']);
export const hearsVirtual = ({ tell, address }: Pick<ApplicationDraft, 'tell' | 'address'>): boolean => tell === 'virtual' || address === 'virtual';

const fraction = (value: string): number => (/^\d{1,6}(?:[.,]\d{1,4})?$/.test(value.trim()) ? Number(value.trim().replace(',', '.')) : Number.NaN);
const isPort = (value: string) => numberOf(value) >= 1 && numberOf(value) <= 65_535;

/** A default that nobody had written down is not written down now. */
export function applicationOf(draft: ApplicationDraft, protocol: Protocol, before: Application | undefined): Application | undefined {
  if (!draft.is) return undefined;
  const said = <Value>(value: Value, usual: Value, was: Value | undefined) => (value === usual && was === undefined ? undefined : value);
  const number = (value: string) => (value.trim() ? fraction(value) : undefined);
  const was: Partial<Application['session']> = before?.session ?? {};
  const isHttp = protocol === 'http';
  const session = compact({
    jar: said(isHttp && draft.jar, false, was.jar), urlPrefix: said(isHttp && draft.urlPrefix, false, was.urlPrefix), idleMinutes: number(draft.idle), absoluteHours: number(draft.absolute),
  });
  const callbacks = hearsVirtual(draft) ? draft.callbacks.map(({ transport, port, to }) => compact({ transport, port: numberOf(port), to: to.trim() ? numberOf(to) : undefined })) : [];
  return compact({
    tell: draft.tell,
    // Where the connection itself comes from the virtual address there is no choice.
    address: draft.tell === 'virtual' ? said('own', 'own', before?.address) : said(draft.address, 'own', before?.address),
    require: draft.require, assigned: said(draft.assigned, true, before?.assigned),
    session: Object.keys(session).length > 0 || before?.session !== undefined ? session : undefined,
    callbacks: callbacks.length > 0 || before?.callbacks !== undefined ? callbacks : undefined,
    signed: draft.signed.trim() || undefined,
  }) as Application;
}

/** What needs no asking the gateway. */
export function wrongInApplication(draft: ApplicationDraft): FieldProblem[] {
  if (!draft.is) return [];
  const found: FieldProblem[] = [];
  const { problems } = text.frontDoor;
  for (const [field, value] of [['idleMinutes', draft.idle], ['absoluteHours', draft.absolute]] as const) {
    if (value.trim() && Number.isNaN(fraction(value))) found.push({ path: `application.session.${field}`, message: text.places.application.numberWrong });
  }
  if (!hearsVirtual(draft)) return found;
  for (const [i, { port, to }] of draft.callbacks.entries()) {
    if (!isPort(port)) found.push({ path: `application.callbacks[${i}].port`, message: problems.port });
    if (to.trim() && !isPort(to)) found.push({ path: `application.callbacks[${i}].to`, message: problems.port });
  }
  return found;
}
