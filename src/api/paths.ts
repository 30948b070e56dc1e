// Every route of the REST API: name, method, path under /api/v1, and who may ask at all. Plain data without zod, so that the
// CLI's light commands load nothing else; contract.ts adds the shapes. What a person may do with a thing is decided by rights.

export const apiRoot = '/api/v1';

export interface Path {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Under apiRoot; `{name}` is one percent-encoded part. */
  readonly path: string;
  /** none: anyone · sign-in: a cookie or a token · person: a cookie or the CLI's sign-in, but no token (what guards credentials). */
  readonly needs: 'none' | 'sign-in' | 'person';
}

export const paths = {
  // first run, signing in
  getSetup: { method: 'GET', path: '/setup', needs: 'none' },
  setUp: { method: 'POST', path: '/setup', needs: 'none' },
  signIn: { method: 'POST', path: '/sign-in', needs: 'none' },
  signOut: { method: 'DELETE', path: '/sign-in', needs: 'sign-in' },
  getMe: { method: 'GET', path: '/me', needs: 'sign-in' },
  changePassword: { method: 'PUT', path: '/me/password', needs: 'person' },
  listSignIns: { method: 'GET', path: '/sign-ins', needs: 'sign-in' },
  revokeSignIn: { method: 'DELETE', path: '/sign-ins/{id}', needs: 'sign-in' },
  listTokens: { method: 'GET', path: '/tokens', needs: 'sign-in' },
  createToken: { method: 'POST', path: '/tokens', needs: 'person' },
  revokeToken: { method: 'DELETE', path: '/tokens/{id}', needs: 'sign-in' },

  // the CLI's sign-in by one-time code
  startCliLogin: { method: 'POST', path: '/cli-logins', needs: 'none' },
  pollCliLogin: { method: 'POST', path: '/cli-logins/poll', needs: 'none' },
  getCliLogin: { method: 'GET', path: '/cli-logins/{code}', needs: 'person' },
  approveCliLogin: { method: 'POST', path: '/cli-logins/{code}/approve', needs: 'person' },
  refuseCliLogin: { method: 'POST', path: '/cli-logins/{code}/refuse', needs: 'person' },

  // people
  listPeople: { method: 'GET', path: '/people', needs: 'sign-in' },
  getPerson: { method: 'GET', path: '/people/{id}', needs: 'sign-in' },
  lockPerson: { method: 'POST', path: '/people/{id}/lock', needs: 'sign-in' },
  unlockPerson: { method: 'POST', path: '/people/{id}/unlock', needs: 'sign-in' },
  removePerson: { method: 'DELETE', path: '/people/{id}', needs: 'sign-in' },
  setRights: { method: 'PUT', path: '/people/{id}/rights', needs: 'sign-in' },
  listInvites: { method: 'GET', path: '/invites', needs: 'sign-in' },
  createInvite: { method: 'POST', path: '/invites', needs: 'sign-in' },
  removeInvite: { method: 'DELETE', path: '/invites/{id}', needs: 'sign-in' },
  lookInvite: { method: 'POST', path: '/invites/look', needs: 'none' },
  acceptInvite: { method: 'POST', path: '/invites/accept', needs: 'none' },
  listCustomers: { method: 'GET', path: '/customers', needs: 'sign-in' },
  listSites: { method: 'GET', path: '/sites', needs: 'sign-in' },

  // places in the network
  addSite: { method: 'POST', path: '/sites', needs: 'sign-in' },
  getSite: { method: 'GET', path: '/sites/{site}', needs: 'sign-in' },
  changeSite: { method: 'PATCH', path: '/sites/{site}', needs: 'sign-in' },
  removeSite: { method: 'DELETE', path: '/sites/{site}', needs: 'sign-in' },
  doctorSite: { method: 'POST', path: '/sites/{site}/doctor', needs: 'sign-in' },
  doctorDevice: { method: 'POST', path: '/devices/{device}/doctor', needs: 'sign-in' },
  moveAgent: { method: 'POST', path: '/agents/{id}/move', needs: 'sign-in' },
  moveDevice: { method: 'POST', path: '/devices/{device}/move', needs: 'sign-in' },
  listDoors: { method: 'GET', path: '/doors', needs: 'sign-in' },
  getDoor: { method: 'GET', path: '/doors/{id}', needs: 'sign-in' },
  addDoor: { method: 'POST', path: '/doors', needs: 'sign-in' },
  changeDoor: { method: 'PATCH', path: '/doors/{id}', needs: 'sign-in' },
  removeDoor: { method: 'DELETE', path: '/doors/{id}', needs: 'sign-in' },

  // devices, agents
  listDevices: { method: 'GET', path: '/devices', needs: 'sign-in' },
  getDevice: { method: 'GET', path: '/devices/{device}', needs: 'sign-in' },
  addDevice: { method: 'POST', path: '/devices', needs: 'sign-in' },
  changeDevice: { method: 'PATCH', path: '/devices/{device}', needs: 'sign-in' },
  lockDevice: { method: 'POST', path: '/devices/{device}/lock', needs: 'sign-in' },
  unlockDevice: { method: 'POST', path: '/devices/{device}/unlock', needs: 'sign-in' },
  removeDevice: { method: 'DELETE', path: '/devices/{device}', needs: 'sign-in' },
  acceptFingerprint: { method: 'PUT', path: '/devices/{device}/ports/{port}/fingerprint', needs: 'sign-in' },
  forgetFingerprint: { method: 'DELETE', path: '/devices/{device}/ports/{port}/fingerprint', needs: 'sign-in' },
  listDeviceKeys: { method: 'GET', path: '/devices/{device}/keys', needs: 'sign-in' },
  makeDeviceKey: { method: 'POST', path: '/devices/{device}/keys', needs: 'sign-in' },
  removeDeviceKey: { method: 'DELETE', path: '/devices/{device}/keys/{id}', needs: 'sign-in' },
  listWaitingDevices: { method: 'GET', path: '/waiting-devices', needs: 'sign-in' },
  approveWaitingDevices: { method: 'POST', path: '/waiting-devices/approve', needs: 'sign-in' },
  refuseWaitingDevices: { method: 'POST', path: '/waiting-devices/refuse', needs: 'sign-in' },
  approveWaitingDevice: { method: 'POST', path: '/waiting-devices/{id}/approve', needs: 'sign-in' },
  refuseWaitingDevice: { method: 'POST', path: '/waiting-devices/{id}/refuse', needs: 'sign-in' },
  exportDevices: { method: 'POST', path: '/device-export', needs: 'sign-in' },
  importDevices: { method: 'POST', path: '/device-import', needs: 'sign-in' },
  listAgents: { method: 'GET', path: '/agents', needs: 'sign-in' },
  getAgent: { method: 'GET', path: '/agents/{id}', needs: 'sign-in' },
  lockAgent: { method: 'POST', path: '/agents/{id}/lock', needs: 'sign-in' },
  unlockAgent: { method: 'POST', path: '/agents/{id}/unlock', needs: 'sign-in' },
  revokeAgent: { method: 'POST', path: '/agents/{id}/revoke', needs: 'sign-in' },
  closeAgentLink: { method: 'POST', path: '/agents/{id}/close-link', needs: 'sign-in' },
  listJoinTokens: { method: 'GET', path: '/join-tokens', needs: 'sign-in' },
  getJoinToken: { method: 'GET', path: '/join-tokens/{id}', needs: 'sign-in' },
  createJoinToken: { method: 'POST', path: '/join-tokens', needs: 'sign-in' },
  removeJoinToken: { method: 'DELETE', path: '/join-tokens/{id}', needs: 'sign-in' },
  createHandOver: { method: 'POST', path: '/hand-over', needs: 'person' },

  // virtual addresses of devices
  getAddressPool: { method: 'GET', path: '/address-pool', needs: 'sign-in' },
  listVirtualAddresses: { method: 'GET', path: '/virtual-addresses', needs: 'sign-in' },
  getVirtualAddress: { method: 'GET', path: '/devices/{device}/virtual-address', needs: 'sign-in' },
  setVirtualAddress: { method: 'PUT', path: '/devices/{device}/virtual-address', needs: 'sign-in' },
  releaseVirtualAddress: { method: 'DELETE', path: '/devices/{device}/virtual-address', needs: 'sign-in' },

  // who devices are, and what they may use
  getDeviceIdentity: { method: 'GET', path: '/devices/{device}/identity', needs: 'sign-in' },
  listDeviceUrls: { method: 'GET', path: '/devices/{device}/urls', needs: 'sign-in' },
  makeDeviceUrl: { method: 'POST', path: '/devices/{device}/urls', needs: 'sign-in' },
  removeDeviceUrl: { method: 'DELETE', path: '/devices/{device}/urls/{id}', needs: 'sign-in' },
  listApplications: { method: 'GET', path: '/applications', needs: 'sign-in' },
  listJobSources: { method: 'GET', path: '/job-sources', needs: 'sign-in' },
  addJobSource: { method: 'POST', path: '/job-sources', needs: 'sign-in' },
  listJobSourceConflicts: { method: 'GET', path: '/job-sources/conflicts', needs: 'sign-in' },
  exportJobSources: { method: 'GET', path: '/job-sources/csv', needs: 'sign-in' },
  importJobSources: { method: 'POST', path: '/job-sources/csv', needs: 'sign-in' },
  changeJobSource: { method: 'PUT', path: '/job-sources/{id}', needs: 'sign-in' },
  removeJobSource: { method: 'DELETE', path: '/job-sources/{id}', needs: 'sign-in' },
  listDeviceSessions: { method: 'GET', path: '/device-sessions', needs: 'sign-in' },
  killDeviceSession: { method: 'DELETE', path: '/device-sessions/{id}', needs: 'sign-in' },
  reverifyDeviceSession: { method: 'POST', path: '/device-sessions/{id}/reverify', needs: 'sign-in' },
  listUnassigned: { method: 'GET', path: '/unassigned', needs: 'sign-in' },
  assignDevice: { method: 'POST', path: '/unassigned/{code}/assign', needs: 'sign-in' },

  // files that devices brought
  listFiles: { method: 'GET', path: '/files', needs: 'sign-in' },
  getFile: { method: 'GET', path: '/files/{id}', needs: 'sign-in' },
  downloadFile: { method: 'GET', path: '/files/{id}/content', needs: 'sign-in' },
  removeFile: { method: 'DELETE', path: '/files/{id}', needs: 'sign-in' },

  // what runs and what happened
  listVisits: { method: 'GET', path: '/visits', needs: 'sign-in' },
  closeVisit: { method: 'POST', path: '/visits/{id}/close', needs: 'sign-in' },
  listConns: { method: 'GET', path: '/conns', needs: 'sign-in' },
  closeConn: { method: 'DELETE', path: '/conns/{id}', needs: 'sign-in' },
  listLegacyClients: { method: 'GET', path: '/legacy-clients', needs: 'sign-in' },
  listAudit: { method: 'GET', path: '/audit', needs: 'sign-in' },
  verifyAudit: { method: 'POST', path: '/audit/verify', needs: 'sign-in' },
  listJournal: { method: 'GET', path: '/journal', needs: 'sign-in' },
  getEvents: { method: 'GET', path: '/events', needs: 'sign-in' },

  // what devices brought
  listFeeds: { method: 'GET', path: '/feeds', needs: 'sign-in' },
  getFeed: { method: 'GET', path: '/feeds/{feed}', needs: 'sign-in' },
  searchRecords: { method: 'GET', path: '/feeds/{feed}/records', needs: 'sign-in' },
  readFeedBytes: { method: 'GET', path: '/feeds/{feed}/bytes', needs: 'sign-in' },
  listGaps: { method: 'GET', path: '/feeds/{feed}/gaps', needs: 'sign-in' },
  removeFeed: { method: 'DELETE', path: '/feeds/{feed}', needs: 'sign-in' },

  // where it goes on from here
  listSinks: { method: 'GET', path: '/sinks', needs: 'sign-in' },
  replaySink: { method: 'POST', path: '/sinks/{name}/replay', needs: 'sign-in' },
  retrySink: { method: 'POST', path: '/sinks/{name}/retry', needs: 'sign-in' },
  listAlerts: { method: 'GET', path: '/alerts', needs: 'sign-in' },
  listSecrets: { method: 'GET', path: '/secrets', needs: 'sign-in' },
  setSecret: { method: 'PUT', path: '/secrets/{name}', needs: 'sign-in' },
  removeSecret: { method: 'DELETE', path: '/secrets/{name}', needs: 'sign-in' },

  // which server a device belongs to
  listRedirects: { method: 'GET', path: '/redirects', needs: 'sign-in' },
  previewRedirect: { method: 'POST', path: '/redirects/preview', needs: 'sign-in' },
  listLeases: { method: 'GET', path: '/leases', needs: 'sign-in' },
  drainServer: { method: 'POST', path: '/servers/{server}/drain', needs: 'sign-in' },
  getDeviceTags: { method: 'GET', path: '/devices/{device}/tags', needs: 'sign-in' },
  setDeviceTags: { method: 'PUT', path: '/devices/{device}/tags', needs: 'sign-in' },
  suspendCustomer: { method: 'POST', path: '/customers/{customer}/suspend', needs: 'sign-in' },
  resumeCustomer: { method: 'POST', path: '/customers/{customer}/resume', needs: 'sign-in' },

  // what devices are
  probeDevice: { method: 'POST', path: '/devices/{device}/probe', needs: 'sign-in' },
  getProfile: { method: 'GET', path: '/devices/{device}/profile', needs: 'sign-in' },
  takeProbedSerial: { method: 'POST', path: '/devices/{device}/profile/take-serial', needs: 'sign-in' },
  listSeries: { method: 'GET', path: '/devices/{device}/series', needs: 'sign-in' },
  listSamples: { method: 'GET', path: '/devices/{device}/samples', needs: 'sign-in' },
  listProfiles: { method: 'GET', path: '/profiles', needs: 'sign-in' },
  listProbes: { method: 'GET', path: '/probes', needs: 'sign-in' },
  listDrivers: { method: 'GET', path: '/drivers', needs: 'sign-in' },
  putDriver: { method: 'PUT', path: '/drivers/{key}', needs: 'sign-in' },
  removeDriver: { method: 'DELETE', path: '/drivers/{key}', needs: 'sign-in' },
  getProbeCredentials: { method: 'GET', path: '/agents/{id}/probe-credentials', needs: 'sign-in' },
  setProbeCredentials: { method: 'PUT', path: '/agents/{id}/probe-credentials', needs: 'sign-in' },

  // certificates
  listCertificates: { method: 'GET', path: '/certificates', needs: 'sign-in' },
  getCertificateForm: { method: 'GET', path: '/certificate-form', needs: 'sign-in' },
  uploadCertificate: { method: 'POST', path: '/certificates/upload', needs: 'sign-in' },
  requestCertificate: { method: 'POST', path: '/certificates/request', needs: 'sign-in' },
  issueCertificate: { method: 'POST', path: '/certificates/issue', needs: 'sign-in' },
  orderCertificate: { method: 'POST', path: '/certificates/order', needs: 'sign-in' },
  checkCertificateOrder: { method: 'POST', path: '/certificates/check-order', needs: 'sign-in' },
  signCertificateRequest: { method: 'POST', path: '/certificates/sign', needs: 'sign-in' },
  getCertificate: { method: 'GET', path: '/certificates/{certificate}', needs: 'sign-in' },
  changeCertificate: { method: 'PATCH', path: '/certificates/{certificate}', needs: 'sign-in' },
  removeCertificate: { method: 'DELETE', path: '/certificates/{certificate}', needs: 'sign-in' },
  replaceCertificate: { method: 'POST', path: '/certificates/{certificate}/replace', needs: 'sign-in' },
  goBackCertificate: { method: 'POST', path: '/certificates/{certificate}/go-back', needs: 'sign-in' },
  requestCertificateAgain: { method: 'POST', path: '/certificates/{certificate}/request', needs: 'sign-in' },
  issueCertificateAgain: { method: 'POST', path: '/certificates/{certificate}/issue', needs: 'sign-in' },
  orderCertificateAgain: { method: 'POST', path: '/certificates/{certificate}/order', needs: 'sign-in' },
  renewCertificate: { method: 'POST', path: '/certificates/{certificate}/renew', needs: 'sign-in' },
  downloadCertificate: { method: 'POST', path: '/certificates/{certificate}/download', needs: 'sign-in' },
  listPins: { method: 'GET', path: '/pins', needs: 'sign-in' },
  listPinDevices: { method: 'GET', path: '/pins/devices', needs: 'sign-in' },
  preparePin: { method: 'POST', path: '/pins/prepare', needs: 'sign-in' },
  switchPin: { method: 'POST', path: '/pins/switch', needs: 'sign-in' },
  dropPin: { method: 'POST', path: '/pins/drop', needs: 'sign-in' },
  listDeliveries: { method: 'GET', path: '/deliveries', needs: 'sign-in' },
  listCertificateDeliveries: { method: 'GET', path: '/certificates/{certificate}/deliveries', needs: 'sign-in' },
  addDelivery: { method: 'POST', path: '/certificates/{certificate}/deliveries', needs: 'sign-in' },
  removeDelivery: { method: 'DELETE', path: '/certificates/{certificate}/deliveries/{id}', needs: 'sign-in' },
  retryDelivery: { method: 'POST', path: '/certificates/{certificate}/deliveries/{id}/retry', needs: 'sign-in' },
  listAcmeAccounts: { method: 'GET', path: '/acme/accounts', needs: 'sign-in' },
  setAcmeAccount: { method: 'PUT', path: '/acme/accounts', needs: 'sign-in' },
  removeAcmeAccount: { method: 'POST', path: '/acme/accounts/remove', needs: 'sign-in' },
  listDnsKeys: { method: 'GET', path: '/acme/dns-keys', needs: 'sign-in' },
  setDnsKey: { method: 'PUT', path: '/acme/dns-keys', needs: 'sign-in' },
  removeDnsKey: { method: 'DELETE', path: '/acme/dns-keys/{name}', needs: 'sign-in' },

  // the gateway itself
  getConfig: { method: 'GET', path: '/config', needs: 'sign-in' },
  putConfig: { method: 'PUT', path: '/config', needs: 'sign-in' },
  getConfigState: { method: 'GET', path: '/config/state', needs: 'sign-in' },
  confirmConfig: { method: 'POST', path: '/config/confirm', needs: 'sign-in' },
  rollBackConfig: { method: 'POST', path: '/config/rollback', needs: 'sign-in' },
  listRevisions: { method: 'GET', path: '/config/revisions', needs: 'sign-in' },
  getRevision: { method: 'GET', path: '/config/revisions/{number}', needs: 'sign-in' },
  diffRevisions: { method: 'GET', path: '/config/revisions/{number}/diff/{other}', needs: 'sign-in' },
  listListeners: { method: 'GET', path: '/listeners', needs: 'sign-in' },
  listRoutes: { method: 'GET', path: '/routes', needs: 'sign-in' },
  explain: { method: 'POST', path: '/explain', needs: 'sign-in' },
  getSnippet: { method: 'GET', path: '/routes/{route}/snippets', needs: 'sign-in' },
  proveRoute: { method: 'POST', path: '/routes/{route}/prove', needs: 'sign-in' },
  getKeeping: { method: 'GET', path: '/keeping', needs: 'sign-in' },
  runRetention: { method: 'POST', path: '/keeping/run', needs: 'sign-in' },
  acknowledgeRestore: { method: 'POST', path: '/keeping/acknowledge-restore', needs: 'sign-in' },
  getBackup: { method: 'GET', path: '/backup', needs: 'sign-in' },
  makeBackup: { method: 'POST', path: '/backup', needs: 'sign-in' },
  getStatus: { method: 'GET', path: '/status', needs: 'sign-in' },
  runDoctor: { method: 'POST', path: '/doctor', needs: 'sign-in' },
  getOpenApi: { method: 'GET', path: '/openapi.json', needs: 'none' },
} as const satisfies Record<string, Path>;

export type RouteName = keyof typeof paths;

/** `{device}` in a path becomes `{ device: string | number }`. */
export type ParamsOf<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}` ? { readonly [Key in Name]: string | number } & ParamsOf<Rest> : unknown;

/** The path under the gateway's root, parts percent-encoded, with the query. Values of undefined are left out. */
export function pathTo(name: RouteName, params: Readonly<Record<string, string | number>> = {}, query: Readonly<Record<string, string | number | boolean | undefined>> = {}): string {
  const path = paths[name].path.replace(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(String(params[key] ?? '')));
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  const text = search.toString();
  return `${apiRoot}${path}${text ? `?${text}` : ''}`;
}
