// The one way to the gateway: typed by the contract, same origin, failures as problem documents.
import type { Answer, Body, Params, Query } from '#api/contract.ts';
import type { paths, RouteName } from '#api/paths.ts';
import type { Problem } from '#api/shapes.ts';
import { text } from './text.ts';

const ROOT = '/api/v1';

type RouteTable = { readonly [Name in RouteName]: { readonly method: (typeof paths)[Name]['method']; readonly path: (typeof paths)[Name]['path'] } };

/** The routes that the console uses. Written out, since only types may come from the gateway's rooms; a difference does not compile. */
const routes = {
  getSetup: { method: 'GET', path: '/setup' },
  setUp: { method: 'POST', path: '/setup' },
  signIn: { method: 'POST', path: '/sign-in' },
  signOut: { method: 'DELETE', path: '/sign-in' },
  getMe: { method: 'GET', path: '/me' },
  changePassword: { method: 'PUT', path: '/me/password' },
  listSignIns: { method: 'GET', path: '/sign-ins' },
  revokeSignIn: { method: 'DELETE', path: '/sign-ins/{id}' },
  listTokens: { method: 'GET', path: '/tokens' },
  createToken: { method: 'POST', path: '/tokens' },
  revokeToken: { method: 'DELETE', path: '/tokens/{id}' },
  getCliLogin: { method: 'GET', path: '/cli-logins/{code}' },
  approveCliLogin: { method: 'POST', path: '/cli-logins/{code}/approve' },
  refuseCliLogin: { method: 'POST', path: '/cli-logins/{code}/refuse' },
  listPeople: { method: 'GET', path: '/people' },
  lockPerson: { method: 'POST', path: '/people/{id}/lock' },
  unlockPerson: { method: 'POST', path: '/people/{id}/unlock' },
  removePerson: { method: 'DELETE', path: '/people/{id}' },
  setRights: { method: 'PUT', path: '/people/{id}/rights' },
  listInvites: { method: 'GET', path: '/invites' },
  createInvite: { method: 'POST', path: '/invites' },
  removeInvite: { method: 'DELETE', path: '/invites/{id}' },
  lookInvite: { method: 'POST', path: '/invites/look' },
  acceptInvite: { method: 'POST', path: '/invites/accept' },
  listCustomers: { method: 'GET', path: '/customers' },
  listSites: { method: 'GET', path: '/sites' },
  addSite: { method: 'POST', path: '/sites' },
  getSite: { method: 'GET', path: '/sites/{site}' },
  changeSite: { method: 'PATCH', path: '/sites/{site}' },
  removeSite: { method: 'DELETE', path: '/sites/{site}' },
  moveAgent: { method: 'POST', path: '/agents/{id}/move' },
  moveDevice: { method: 'POST', path: '/devices/{device}/move' },
  addDoor: { method: 'POST', path: '/doors' },
  changeDoor: { method: 'PATCH', path: '/doors/{id}' },
  removeDoor: { method: 'DELETE', path: '/doors/{id}' },
  getAddressPool: { method: 'GET', path: '/address-pool' },
  listVirtualAddresses: { method: 'GET', path: '/virtual-addresses' },
  setVirtualAddress: { method: 'PUT', path: '/devices/{device}/virtual-address' },
  releaseVirtualAddress: { method: 'DELETE', path: '/devices/{device}/virtual-address' },
  getSnippet: { method: 'GET', path: '/routes/{route}/snippets' },
  proveRoute: { method: 'POST', path: '/routes/{route}/prove' },
  listDevices: { method: 'GET', path: '/devices' },
  getDevice: { method: 'GET', path: '/devices/{device}' },
  addDevice: { method: 'POST', path: '/devices' },
  changeDevice: { method: 'PATCH', path: '/devices/{device}' },
  lockDevice: { method: 'POST', path: '/devices/{device}/lock' },
  unlockDevice: { method: 'POST', path: '/devices/{device}/unlock' },
  removeDevice: { method: 'DELETE', path: '/devices/{device}' },
  acceptFingerprint: { method: 'PUT', path: '/devices/{device}/ports/{port}/fingerprint' },
  forgetFingerprint: { method: 'DELETE', path: '/devices/{device}/ports/{port}/fingerprint' },
  listAgents: { method: 'GET', path: '/agents' },
  getAgent: { method: 'GET', path: '/agents/{id}' },
  lockAgent: { method: 'POST', path: '/agents/{id}/lock' },
  unlockAgent: { method: 'POST', path: '/agents/{id}/unlock' },
  revokeAgent: { method: 'POST', path: '/agents/{id}/revoke' },
  closeAgentLink: { method: 'POST', path: '/agents/{id}/close-link' },
  listJoinTokens: { method: 'GET', path: '/join-tokens' },
  getJoinToken: { method: 'GET', path: '/join-tokens/{id}' },
  createJoinToken: { method: 'POST', path: '/join-tokens' },
  removeJoinToken: { method: 'DELETE', path: '/join-tokens/{id}' },
  createHandOver: { method: 'POST', path: '/hand-over' },
  listVisits: { method: 'GET', path: '/visits' },
  closeVisit: { method: 'POST', path: '/visits/{id}/close' },
  listAudit: { method: 'GET', path: '/audit' },
  verifyAudit: { method: 'POST', path: '/audit/verify' },
  listJournal: { method: 'GET', path: '/journal' },
  getConfigState: { method: 'GET', path: '/config/state' },
  confirmConfig: { method: 'POST', path: '/config/confirm' },
  rollBackConfig: { method: 'POST', path: '/config/rollback' },
  listRevisions: { method: 'GET', path: '/config/revisions' },
  getRevision: { method: 'GET', path: '/config/revisions/{number}' },
  diffRevisions: { method: 'GET', path: '/config/revisions/{number}/diff/{other}' },
  getConfig: { method: 'GET', path: '/config' },
  putConfig: { method: 'PUT', path: '/config' },
  listConns: { method: 'GET', path: '/conns' },
  closeConn: { method: 'DELETE', path: '/conns/{id}' },
  listLegacyClients: { method: 'GET', path: '/legacy-clients' },
  listListeners: { method: 'GET', path: '/listeners' },
  listCertificates: { method: 'GET', path: '/certificates' },
  getCertificateForm: { method: 'GET', path: '/certificate-form' },
  uploadCertificate: { method: 'POST', path: '/certificates/upload' },
  requestCertificate: { method: 'POST', path: '/certificates/request' },
  issueCertificate: { method: 'POST', path: '/certificates/issue' },
  orderCertificate: { method: 'POST', path: '/certificates/order' },
  checkCertificateOrder: { method: 'POST', path: '/certificates/check-order' },
  signCertificateRequest: { method: 'POST', path: '/certificates/sign' },
  getCertificate: { method: 'GET', path: '/certificates/{certificate}' },
  changeCertificate: { method: 'PATCH', path: '/certificates/{certificate}' },
  removeCertificate: { method: 'DELETE', path: '/certificates/{certificate}' },
  replaceCertificate: { method: 'POST', path: '/certificates/{certificate}/replace' },
  goBackCertificate: { method: 'POST', path: '/certificates/{certificate}/go-back' },
  requestCertificateAgain: { method: 'POST', path: '/certificates/{certificate}/request' },
  issueCertificateAgain: { method: 'POST', path: '/certificates/{certificate}/issue' },
  orderCertificateAgain: { method: 'POST', path: '/certificates/{certificate}/order' },
  renewCertificate: { method: 'POST', path: '/certificates/{certificate}/renew' },
  downloadCertificate: { method: 'POST', path: '/certificates/{certificate}/download' },
  listCertificateDeliveries: { method: 'GET', path: '/certificates/{certificate}/deliveries' },
  addDelivery: { method: 'POST', path: '/certificates/{certificate}/deliveries' },
  removeDelivery: { method: 'DELETE', path: '/certificates/{certificate}/deliveries/{id}' },
  retryDelivery: { method: 'POST', path: '/certificates/{certificate}/deliveries/{id}/retry' },
  listAcmeAccounts: { method: 'GET', path: '/acme/accounts' },
  setAcmeAccount: { method: 'PUT', path: '/acme/accounts' },
  removeAcmeAccount: { method: 'POST', path: '/acme/accounts/remove' },
  listDnsKeys: { method: 'GET', path: '/acme/dns-keys' },
  setDnsKey: { method: 'PUT', path: '/acme/dns-keys' },
  removeDnsKey: { method: 'DELETE', path: '/acme/dns-keys/{name}' },
  listRoutes: { method: 'GET', path: '/routes' },
  explain: { method: 'POST', path: '/explain' },
  getStatus: { method: 'GET', path: '/status' },
  runDoctor: { method: 'POST', path: '/doctor' },
  listFeeds: { method: 'GET', path: '/feeds' },
  getFeed: { method: 'GET', path: '/feeds/{feed}' },
  searchRecords: { method: 'GET', path: '/feeds/{feed}/records' },
  readFeedBytes: { method: 'GET', path: '/feeds/{feed}/bytes' },
  listGaps: { method: 'GET', path: '/feeds/{feed}/gaps' },
  removeFeed: { method: 'DELETE', path: '/feeds/{feed}' },
  listSinks: { method: 'GET', path: '/sinks' },
  replaySink: { method: 'POST', path: '/sinks/{name}/replay' },
  retrySink: { method: 'POST', path: '/sinks/{name}/retry' },
  listAlerts: { method: 'GET', path: '/alerts' },
  listSecrets: { method: 'GET', path: '/secrets' },
  setSecret: { method: 'PUT', path: '/secrets/{name}' },
  removeSecret: { method: 'DELETE', path: '/secrets/{name}' },
  listFiles: { method: 'GET', path: '/files' },
  downloadFile: { method: 'GET', path: '/files/{id}/content' },
  removeFile: { method: 'DELETE', path: '/files/{id}' },
  listDeviceKeys: { method: 'GET', path: '/devices/{device}/keys' },
  makeDeviceKey: { method: 'POST', path: '/devices/{device}/keys' },
  removeDeviceKey: { method: 'DELETE', path: '/devices/{device}/keys/{id}' },
  getDeviceTags: { method: 'GET', path: '/devices/{device}/tags' },
  setDeviceTags: { method: 'PUT', path: '/devices/{device}/tags' },
  listWaitingDevices: { method: 'GET', path: '/waiting-devices' },
  approveWaitingDevices: { method: 'POST', path: '/waiting-devices/approve' },
  approveWaitingDevice: { method: 'POST', path: '/waiting-devices/{id}/approve' },
  refuseWaitingDevices: { method: 'POST', path: '/waiting-devices/refuse' },
  listRedirects: { method: 'GET', path: '/redirects' },
  previewRedirect: { method: 'POST', path: '/redirects/preview' },
  listLeases: { method: 'GET', path: '/leases' },
  drainServer: { method: 'POST', path: '/servers/{server}/drain' },
  listPins: { method: 'GET', path: '/pins' },
  listPinDevices: { method: 'GET', path: '/pins/devices' },
  preparePin: { method: 'POST', path: '/pins/prepare' },
  switchPin: { method: 'POST', path: '/pins/switch' },
  dropPin: { method: 'POST', path: '/pins/drop' },
  getKeeping: { method: 'GET', path: '/keeping' },
  runRetention: { method: 'POST', path: '/keeping/run' },
  acknowledgeRestore: { method: 'POST', path: '/keeping/acknowledge-restore' },
  getDeviceIdentity: { method: 'GET', path: '/devices/{device}/identity' },
  listDeviceUrls: { method: 'GET', path: '/devices/{device}/urls' },
  makeDeviceUrl: { method: 'POST', path: '/devices/{device}/urls' },
  removeDeviceUrl: { method: 'DELETE', path: '/devices/{device}/urls/{id}' },
  listApplications: { method: 'GET', path: '/applications' },
  listJobSources: { method: 'GET', path: '/job-sources' },
  addJobSource: { method: 'POST', path: '/job-sources' },
  changeJobSource: { method: 'PUT', path: '/job-sources/{id}' },
  removeJobSource: { method: 'DELETE', path: '/job-sources/{id}' },
  listJobSourceConflicts: { method: 'GET', path: '/job-sources/conflicts' },
  exportJobSources: { method: 'GET', path: '/job-sources/csv' },
  importJobSources: { method: 'POST', path: '/job-sources/csv' },
  listDeviceSessions: { method: 'GET', path: '/device-sessions' },
  killDeviceSession: { method: 'DELETE', path: '/device-sessions/{id}' },
  reverifyDeviceSession: { method: 'POST', path: '/device-sessions/{id}/reverify' },
  listUnassigned: { method: 'GET', path: '/unassigned' },
  assignDevice: { method: 'POST', path: '/unassigned/{code}/assign' },
  probeDevice: { method: 'POST', path: '/devices/{device}/probe' },
  getProfile: { method: 'GET', path: '/devices/{device}/profile' },
  takeProbedSerial: { method: 'POST', path: '/devices/{device}/profile/take-serial' },
  listSeries: { method: 'GET', path: '/devices/{device}/series' },
  listSamples: { method: 'GET', path: '/devices/{device}/samples' },
  listProfiles: { method: 'GET', path: '/profiles' },
  listProbes: { method: 'GET', path: '/probes' },
  listDrivers: { method: 'GET', path: '/drivers' },
  putDriver: { method: 'PUT', path: '/drivers/{key}' },
  removeDriver: { method: 'DELETE', path: '/drivers/{key}' },
  getProbeCredentials: { method: 'GET', path: '/agents/{id}/probe-credentials' },
  setProbeCredentials: { method: 'PUT', path: '/agents/{id}/probe-credentials' },
  getBackup: { method: 'GET', path: '/backup' },
  makeBackup: { method: 'POST', path: '/backup' },
} as const satisfies Partial<RouteTable>;

type UsedRoute = keyof typeof routes;

export const eventsAddress = `${ROOT}/events`;

/** A failed call: the gateway's own words, or ours when it could not be asked. */
export class ApiProblem extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail || problem.title);
    this.name = 'ApiProblem';
    this.problem = problem;
  }
}

export interface ShownProblem {
  readonly title: string;
  readonly cause: string;
  readonly remedy: string;
  readonly requestId: string;
  readonly problems: readonly string[];
}

/** What to show of anything that was thrown. */
export function problemOf(thrown: unknown): ShownProblem {
  if (!(thrown instanceof ApiProblem)) {
    return { title: text.problem.bug, cause: thrown instanceof Error ? thrown.message : String(thrown), remedy: text.problem.bugRemedy, requestId: '', problems: [] };
  }
  const { title, detail, cause, remedy, requestId, problems, retryAfterS } = thrown.problem;
  // A remedy that speaks of waiting says how long.
  const wait = retryAfterS && !/\bwait\b/i.test(remedy ?? '') ? text.problem.retryAfter(retryAfterS) : '';
  // The title names only the kind of failure; the detail says what happened to this request.
  const listed = (problems ?? []).map((each) => (each.path ? `${each.path}: ${each.message}` : each.message));
  // Of a form that was filled in wrongly the detail repeats the list, and the remedy is for programs.
  const form = thrown.problem.code === 'bad-input' && listed.length > 0;
  return { title: sentence(form ? title : detail || title, ''), cause: sentence(cause ?? ''), remedy: [sentence(form ? '' : (remedy ?? '')), wait].filter(Boolean).join(' '), requestId, problems: form ? listed : [] };
}

/** The gateway's words as a sentence; what begins with a command stays as it is typed. */
function sentence(words: string, end = '.'): string {
  if (words === '') return '';
  const begun = /^(?:postern|npm|ssh|curl) /.test(words) ? words : words.charAt(0).toUpperCase() + words.slice(1);
  if (end === '') return begun.replace(/\.$/, '');
  return /[.!?…:)]$/.test(begun) ? begun : begun + end;
}

export function isProblem(thrown: unknown, status?: number): thrown is ApiProblem {
  return thrown instanceof ApiProblem && (status === undefined || thrown.problem.status === status);
}

function ownProblem(status: number, code: string, title: string, cause: string, remedy: string): ApiProblem {
  return new ApiProblem({ type: 'about:blank', title, status, code, detail: '', cause, remedy, requestId: '' });
}

interface Ask<Name extends UsedRoute> {
  params?: Params<Name>;
  query?: Query<Name>;
  body?: Body<Name>;
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
}

/** Set by the router: where a sign-in that ended leads. */
let onSignedOut: () => void = () => {};
export function whenSignedOut(run: () => void): void {
  onSignedOut = run;
}
/** These answer 401 as a part of their job. */
const ANSWERS_401: ReadonlySet<UsedRoute> = new Set(['signIn', 'getMe', 'signOut', 'changePassword', 'setUp', 'acceptInvite', 'lookInvite']);

export async function call<Name extends UsedRoute>(name: Name, ask: Ask<Name> = {}): Promise<Answer<Name>> {
  const answer = await fetchAnswer(name, ask);
  return answer.status === 204 ? ({} as Answer<Name>) : ((await answer.json()) as Answer<Name>);
}

/** Where a link or a form leads, for what the browser itself takes to the disk. */
export function addressOfRoute<Name extends UsedRoute>(name: Name, params?: Params<Name>): string {
  return addressOf(routes[name].path, params);
}

/** For answers that are no JSON. */
export async function fetchAnswer<Name extends UsedRoute>(name: Name, ask: Ask<Name> = {}): Promise<Response> {
  const { method, path } = routes[name];
  const headers: Record<string, string> = { accept: 'application/json', ...ask.headers };
  if (ask.body !== undefined) headers['content-type'] = 'application/json';
  let answer: Response;
  try {
    answer = await fetch(addressOf(path, ask.params, ask.query), {
      method,
      headers,
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'error',
      body: ask.body === undefined ? null : JSON.stringify(ask.body),
      signal: ask.signal ?? null,
    });
  } catch (thrown) {
    if (thrown instanceof DOMException && thrown.name === 'AbortError') throw thrown;
    throw ownProblem(0, 'unreachable', text.problem.unreachable, text.problem.unreachableCause, text.problem.unreachableRemedy);
  }
  if (answer.ok) return answer;
  const problem = await problemFrom(answer);
  if (answer.status === 401 && !ANSWERS_401.has(name)) onSignedOut();
  throw problem;
}

function addressOf(path: string, params: unknown = {}, query: unknown = {}): string {
  const values = params as Readonly<Record<string, string | number>>;
  const filled = path.replace(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(String(values[key] ?? '')));
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query as Record<string, string | number | boolean | undefined>)) if (value !== undefined && value !== '') search.set(key, String(value));
  const asked = search.toString();
  return `${ROOT}${filled}${asked ? `?${asked}` : ''}`;
}

async function problemFrom(answer: Response): Promise<ApiProblem> {
  if (/json/.test(answer.headers.get('content-type') ?? '')) {
    const given = (await answer.json().catch(() => null)) as Partial<Problem> | null;
    if (given && typeof given.title === 'string') {
      return new ApiProblem({ ...given, type: given.type ?? 'about:blank', title: given.title, status: answer.status, code: given.code ?? '', detail: given.detail ?? '', cause: given.cause ?? null, remedy: given.remedy ?? null, requestId: given.requestId ?? '' });
    }
  }
  return ownProblem(answer.status, 'unknown', text.problem.odd(answer.status), text.problem.oddCause, text.problem.oddRemedy);
}
