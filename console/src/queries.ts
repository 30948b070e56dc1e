// What the pages read, under which key, and what an event makes stale.
import type { Answer, Query } from '#api/contract.ts';
import type { DeviceView, EventData, RouteView } from '#api/shapes.ts';
import { infiniteQueryOptions, keepPreviousData, queryOptions, QueryClient, type InfiniteData } from '@tanstack/react-query';
import { call, isProblem } from './api.ts';
import { listenLive, type LiveEvent } from './live.ts';
import { documentOf } from './config-document.ts';
import { addSamples } from './samples.ts';

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // Events say when something is stale; reading again on focus covers what a sleeping laptop missed.
      staleTime: 15_000,
      refetchOnWindowFocus: true,
      retry: (failures, thrown) => failures < 2 && (isProblem(thrown, 0) || isProblem(thrown, 502) || isProblem(thrown, 503)),
      retryDelay: (failures) => Math.min(1_000 * 2 ** failures, 8_000),
    },
    mutations: { retry: false },
  },
});

const PAGE = 100;
const DEVICES_PAGE = 500;
const CONNS_SHOWN = 200;

type Paged = { readonly next: string | null };
const paging = { initialPageParam: undefined as string | undefined, getNextPageParam: (last: Paged) => last.next ?? undefined, placeholderData: keepPreviousData };

export const meQuery = queryOptions({ queryKey: ['me'], queryFn: ({ signal }) => call('getMe', { signal }), staleTime: 60_000 });
export const setupQuery = queryOptions({ queryKey: ['setup'], queryFn: ({ signal }) => call('getSetup', { signal }), staleTime: 0 });

export type DeviceFilter = Pick<NonNullable<Query<'listDevices'>>, 'search' | 'state'>;
export const devicesQuery = (filter: DeviceFilter) =>
  infiniteQueryOptions({ ...paging, queryKey: ['devices', filter], queryFn: ({ pageParam, signal }) => call('listDevices', { query: { ...filter, ...(pageParam ? { cursor: pageParam } : {}), limit: DEVICES_PAGE }, signal }) });
export const deviceQuery = (device: string) => queryOptions({ queryKey: ['device', device], queryFn: ({ signal }) => call('getDevice', { params: { device }, signal }) });
export const agentsQuery = infiniteQueryOptions({ ...paging, queryKey: ['agents'], queryFn: ({ pageParam, signal }) => call('listAgents', { query: { ...(pageParam ? { cursor: pageParam } : {}), limit: PAGE }, signal }) });
/** null: a device without one. */
export const agentQuery = (id: string | null) => queryOptions({ queryKey: ['agent', id], queryFn: ({ signal }) => call('getAgent', { params: { id: id ?? '' }, signal }), enabled: id !== null });
export const joinTokensQuery = queryOptions({ queryKey: ['join-tokens'], queryFn: ({ signal }) => call('listJoinTokens', { query: { limit: PAGE }, signal }) });
/** Also asked now and then: a device that has joined must be seen even where the event stream does not get through. */
export const joinTokenQuery = (id: string) => queryOptions({ queryKey: ['join-token', id], queryFn: ({ signal }) => call('getJoinToken', { params: { id }, signal }), refetchInterval: (query) => (query.state.data?.state === 'expired' || query.state.data?.device?.online ? false : 3_000) });
export const visitsQuery = (filter: { deviceId?: string; state?: 'live' | 'all' }) =>
  infiniteQueryOptions({ ...paging, queryKey: ['visits', filter], queryFn: ({ pageParam, signal }) => call('listVisits', { query: { ...filter, ...(pageParam ? { cursor: pageParam } : {}), limit: 50 }, signal }) });
export const peopleQuery = (search: string) =>
  infiniteQueryOptions({ ...paging, queryKey: ['people', search], queryFn: ({ pageParam, signal }) => call('listPeople', { query: { ...(search ? { search } : {}), ...(pageParam ? { cursor: pageParam } : {}), limit: PAGE }, signal }) });
export const invitesQuery = queryOptions({ queryKey: ['invites'], queryFn: ({ signal }) => call('listInvites', { query: { limit: PAGE }, signal }) });
export const sitesQuery = queryOptions({ queryKey: ['sites'], queryFn: ({ signal }) => call('listSites', { query: { limit: 500 }, signal }), staleTime: 60_000 });
/** With what is in them, for the page that shows all. */
export const siteListQuery = infiniteQueryOptions({ ...paging, queryKey: ['sites', 'list'], queryFn: ({ pageParam, signal }) => call('listSites', { query: { ...(pageParam ? { cursor: pageParam } : {}), limit: 500 }, signal }) });
export const siteQuery = (site: string) => queryOptions({ queryKey: ['site', site], queryFn: ({ signal }) => call('getSite', { params: { site }, signal }), refetchInterval: 15_000 });
/** Asks the site's agents, so only when somebody looks. */
export const siteLanQuery = (site: string) => queryOptions({ queryKey: ['site-lan', site], queryFn: ({ signal }) => call('getSite', { params: { site }, query: { lan: 'true' }, signal }).then(({ lan }) => lan), staleTime: 60_000, refetchOnWindowFocus: false });
export const siteDevicesQuery = (siteId: string) =>
  infiniteQueryOptions({ ...paging, queryKey: ['devices', { siteId }], queryFn: ({ pageParam, signal }) => call('listDevices', { query: { siteId, ...(pageParam ? { cursor: pageParam } : {}), limit: PAGE }, signal }) });
/** Calls come and go without an event. */
export const addressPoolQuery = queryOptions({ queryKey: ['address-pool'], queryFn: ({ signal }) => call('getAddressPool', { signal }), refetchInterval: 5_000 });
export const virtualAddressesQuery = (search: string) =>
  infiniteQueryOptions({ ...paging, queryKey: ['virtual-addresses', search], queryFn: ({ pageParam, signal }) => call('listVirtualAddresses', { query: { ...(search ? { search } : {}), ...(pageParam ? { cursor: pageParam } : {}), limit: PAGE }, signal }), refetchInterval: 5_000 });
export const snippetQuery = (route: string, server: NonNullable<Query<'getSnippet'>>['server'], gateway: string) =>
  queryOptions({ queryKey: ['snippet', route, server, gateway], queryFn: ({ signal }) => call('getSnippet', { params: { route }, query: { server, ...(gateway ? { gateway } : {}) }, signal }), placeholderData: keepPreviousData, retry: false });
export const customersQuery = queryOptions({ queryKey: ['customers'], queryFn: ({ signal }) => call('listCustomers', { query: { limit: 500 }, signal }), staleTime: 60_000 });
export const signInsQuery = (personId?: string) => queryOptions({ queryKey: ['sign-ins', personId ?? 'me'], queryFn: ({ signal }) => call('listSignIns', { query: { ...(personId ? { personId } : {}), limit: PAGE }, signal }) });
export const tokensQuery = (personId?: string) => queryOptions({ queryKey: ['tokens', personId ?? 'me'], queryFn: ({ signal }) => call('listTokens', { query: { ...(personId ? { personId } : {}), limit: PAGE }, signal }) });
export type AuditFilter = { what?: string; actorId?: string; subjectId?: string };
export const auditQuery = (filter: AuditFilter) =>
  infiniteQueryOptions({ ...paging, queryKey: ['audit', filter], queryFn: ({ pageParam, signal }) => call('listAudit', { query: { ...filter, ...(pageParam ? { cursor: pageParam } : {}), limit: 50 }, signal }) });
export const journalQuery = (event: string) =>
  infiniteQueryOptions({ ...paging, queryKey: ['journal', event], queryFn: ({ pageParam, signal }) => call('listJournal', { query: { ...(event ? { event } : {}), ...(pageParam ? { cursor: pageParam } : {}), limit: 50 }, signal }) });
/** Also asked now and then: a change that waits must be seen even where the event stream does not get through. */
export const configStateQuery = queryOptions({ queryKey: ['config-state'], queryFn: ({ signal }) => call('getConfigState', { signal }), refetchInterval: (query) => (query.state.data?.provisional ? 3_000 : 30_000) });
export const revisionsQuery = infiniteQueryOptions({ ...paging, queryKey: ['revisions'], queryFn: ({ pageParam, signal }) => call('listRevisions', { query: { ...(pageParam ? { cursor: pageParam } : {}), limit: 50 }, signal }) });
export const revisionQuery = (number: number) => queryOptions({ queryKey: ['revision', number], queryFn: ({ signal }) => call('getRevision', { params: { number }, signal }) });
/** Never stale: what a revision says does not change. */
export const configDiffQuery = (number: number, other: number) => queryOptions({ queryKey: ['config-diff', number, other], queryFn: ({ signal }) => call('diffRevisions', { params: { number, other }, signal }), staleTime: Infinity });
export const statusQuery = queryOptions({ queryKey: ['status'], queryFn: ({ signal }) => call('getStatus', { signal }), refetchInterval: 5_000 });
export const configQuery = queryOptions({ queryKey: ['config'], queryFn: async ({ signal }) => documentOf(await call('getConfig', { signal })) });
export const listenersQuery = queryOptions({ queryKey: ['listeners'], queryFn: ({ signal }) => call('listListeners', { signal }), refetchInterval: 5_000 });
export type ConnFilter = Pick<NonNullable<Query<'listConns'>>, 'listener' | 'protocol' | 'search'>;
/** Figures move all the time, and no event carries them. */
export const connsQuery = (filter: ConnFilter) => queryOptions({ queryKey: ['conns', filter], queryFn: ({ signal }) => call('listConns', { query: { ...filter, limit: CONNS_SHOWN }, signal }), refetchInterval: 2_000, placeholderData: keepPreviousData });
export const legacyClientsQuery = infiniteQueryOptions({ ...paging, queryKey: ['legacy-clients'], queryFn: ({ pageParam, signal }) => call('listLegacyClients', { query: { ...(pageParam ? { cursor: pageParam } : {}), limit: PAGE }, signal }), refetchInterval: 15_000 });
export const routesInOrderQuery = (protocol: RouteView['protocol'], host: string) => queryOptions({ queryKey: ['routes-in-order', protocol, host], queryFn: ({ signal }) => call('listRoutes', { query: { protocol, ...(host ? { host } : {}), limit: 100 }, signal }) });
export const doctorQuery = queryOptions({ queryKey: ['doctor'], queryFn: ({ signal }) => call('runDoctor', { signal }), staleTime: 300_000 });

export type FeedFilter = Pick<NonNullable<Query<'listFeeds'>>, 'search' | 'deviceId'>;
/** Also asked now and then: rates fall without an event. */
export const feedsQuery = (filter: FeedFilter) =>
  infiniteQueryOptions({ ...paging, queryKey: ['feeds', filter], queryFn: ({ pageParam, signal }) => call('listFeeds', { query: { ...filter, ...(pageParam ? { cursor: pageParam } : {}), limit: PAGE }, signal }), refetchInterval: 15_000 });
export const feedQuery = (feed: string) => queryOptions({ queryKey: ['feed', feed], queryFn: ({ signal }) => call('getFeed', { params: { feed }, signal }), refetchInterval: 15_000 });
export const gapsQuery = (feed: string) => queryOptions({ queryKey: ['gaps', feed], queryFn: ({ signal }) => call('listGaps', { params: { feed }, query: { limit: 200 }, signal }) });
/** How far they are moves with every batch, and no event carries it. */
export const sinksQuery = queryOptions({ queryKey: ['sinks'], queryFn: ({ signal }) => call('listSinks', { signal }), refetchInterval: 3_000 });
export const alertsQuery = infiniteQueryOptions({ ...paging, queryKey: ['alerts'], queryFn: ({ pageParam, signal }) => call('listAlerts', { query: { ...(pageParam ? { cursor: pageParam } : {}), limit: 10 }, signal }), refetchInterval: 10_000 });
export const secretsQuery = queryOptions({ queryKey: ['secrets'], queryFn: ({ signal }) => call('listSecrets', { signal }) });
export type FileFilter = Pick<NonNullable<Query<'listFiles'>>, 'device' | 'versions'>;
export const filesQuery = (filter: FileFilter) =>
  infiniteQueryOptions({ ...paging, queryKey: ['files', filter], queryFn: ({ pageParam, signal }) => call('listFiles', { query: { ...filter, ...(pageParam ? { cursor: pageParam } : {}), limit: PAGE }, signal }), refetchInterval: 15_000 });
export const waitingDevicesQuery = infiniteQueryOptions({ ...paging, queryKey: ['waiting-devices'], queryFn: ({ pageParam, signal }) => call('listWaitingDevices', { query: { ...(pageParam ? { cursor: pageParam } : {}), limit: PAGE }, signal }), refetchInterval: 30_000 });
export const deviceKeysQuery = (device: string) => queryOptions({ queryKey: ['device-keys', device], queryFn: ({ signal }) => call('listDeviceKeys', { params: { device }, signal }) });
export const deviceTagsQuery = (device: string) => queryOptions({ queryKey: ['device-tags', device], queryFn: ({ signal }) => call('getDeviceTags', { params: { device }, signal }) });
export const redirectsQuery = queryOptions({ queryKey: ['redirects'], queryFn: ({ signal }) => call('listRedirects', { signal }), refetchInterval: 10_000 });
export const leasesQuery = (server: string) =>
  infiniteQueryOptions({ ...paging, queryKey: ['leases', server], queryFn: ({ pageParam, signal }) => call('listLeases', { query: { ...(server ? { server } : {}), ...(pageParam ? { cursor: pageParam } : {}), limit: 50 }, signal }), refetchInterval: 10_000 });
export const pinsQuery = queryOptions({ queryKey: ['pins'], queryFn: ({ signal }) => call('listPins', { signal }), refetchInterval: 15_000 });
export type PinDeviceFilter = Pick<NonNullable<Query<'listPinDevices'>>, 'pin' | 'state'>;
export const pinDevicesQuery = (filter: PinDeviceFilter) =>
  infiniteQueryOptions({ ...paging, queryKey: ['pin-devices', filter], queryFn: ({ pageParam, signal }) => call('listPinDevices', { query: { ...filter, ...(pageParam ? { cursor: pageParam } : {}), limit: 50 }, signal }) });
export const keepingQuery = queryOptions({ queryKey: ['keeping'], queryFn: ({ signal }) => call('getKeeping', { signal }), staleTime: 5_000 });
/** While one is being made, its progress. */
export const backupQuery = queryOptions({ queryKey: ['backup'], queryFn: ({ signal }) => call('getBackup', { signal }), refetchInterval: (query) => (query.state.data?.running ? 500 : 10_000), staleTime: 0 });

export const identityQuery = (device: string) => queryOptions({ queryKey: ['identity', device], queryFn: ({ signal }) => call('getDeviceIdentity', { params: { device }, signal }), refetchInterval: 15_000 });
export const applicationsQuery = queryOptions({ queryKey: ['applications'], queryFn: ({ signal }) => call('listApplications', { signal }), staleTime: 60_000 });
export type SourceFilter = Pick<NonNullable<Query<'listJobSources'>>, 'application' | 'search'>;
export const sourcesQuery = (filter: SourceFilter) =>
  infiniteQueryOptions({ ...paging, queryKey: ['job-sources', filter], queryFn: ({ pageParam, signal }) => call('listJobSources', { query: { ...filter, ...(pageParam ? { cursor: pageParam } : {}), limit: DEVICES_PAGE }, signal }) });
export const sourceConflictsQuery = queryOptions({ queryKey: ['source-conflicts'], queryFn: ({ signal }) => call('listJobSourceConflicts', { signal }), refetchInterval: 30_000 });
/** Also asked now and then: codes go after ten minutes without an event. */
export const unassignedQuery = queryOptions({ queryKey: ['unassigned'], queryFn: ({ signal }) => call('listUnassigned', { query: { limit: PAGE }, signal }), refetchInterval: 15_000 });
export type SessionFilter = Pick<NonNullable<Query<'listDeviceSessions'>>, 'application' | 'deviceId'>;
/** Figures move with every request, and no event carries them. */
export const deviceSessionsQuery = (filter: SessionFilter) =>
  infiniteQueryOptions({ ...paging, queryKey: ['device-sessions', filter], queryFn: ({ pageParam, signal }) => call('listDeviceSessions', { query: { ...filter, ...(pageParam ? { cursor: pageParam } : {}), limit: PAGE }, signal }), refetchInterval: 5_000 });
/** While it is being asked, how far that is. */
export const profileQuery = (device: string) => queryOptions({ queryKey: ['profile', device], queryFn: ({ signal }) => call('getProfile', { params: { device }, query: { explain: 'true' }, signal }), refetchInterval: ({ state: { data } }) => (data?.run ? 500 : 30_000) });
export const profilesQuery = infiniteQueryOptions({ ...paging, queryKey: ['profiles'], queryFn: ({ pageParam, signal }) => call('listProfiles', { query: { ...(pageParam ? { cursor: pageParam } : {}), limit: DEVICES_PAGE }, signal }), refetchInterval: 60_000 });
export const seriesQuery = (device: string) => queryOptions({ queryKey: ['series', device], queryFn: ({ signal }) => call('listSeries', { params: { device }, signal }) });
/** `days` back from now; several series at once, so that what was shown stays until all of the next are there. */
export const samplesQuery = (device: string, series: readonly string[], days: number) =>
  queryOptions({
    queryKey: ['samples', device, series, days],
    queryFn: ({ signal }) => Promise.all(series.map((each) => call('listSamples', { params: { device }, query: { series: each, from: Date.now() - days * 86_400_000, points: 300 }, signal }))),
    placeholderData: keepPreviousData,
  });
export const probesQuery = queryOptions({ queryKey: ['probes'], queryFn: ({ signal }) => call('listProbes', { signal }), refetchInterval: 3_000 });
export const driversQuery = queryOptions({ queryKey: ['drivers'], queryFn: ({ signal }) => call('listDrivers', { signal }) });
/** Asked of the agent itself, over its link. */
export const credentialsQuery = (agentId: string) => queryOptions({ queryKey: ['probe-credentials', agentId], queryFn: ({ signal }) => call('getProbeCredentials', { params: { id: agentId }, signal }), retry: false, staleTime: 60_000 });

/** All pages as one list. */
export function itemsOf<Item>(data: InfiniteData<{ readonly items: Item[] }> | undefined): Item[] | undefined {
  return data?.pages.flatMap((page) => page.items);
}

export type CertificateFilter = Pick<NonNullable<Query<'listCertificates'>>, 'search' | 'source'>;
export const certificatesQuery = (filter: CertificateFilter) =>
  infiniteQueryOptions({ ...paging, queryKey: ['certificates', filter], queryFn: ({ pageParam, signal }) => call('listCertificates', { query: { ...filter, ...(pageParam ? { cursor: pageParam } : {}), limit: 200 }, signal }), refetchInterval: 60_000 });
/** An order moves on by itself, and no event carries its steps. */
export const certificateQuery = (certificate: string) =>
  queryOptions({
    queryKey: ['certificate', certificate],
    queryFn: ({ signal }) => call('getCertificate', { params: { certificate }, signal }),
    refetchInterval: ({ state: { data } }) => (data?.acme?.progress && !['done', 'failed'].includes(data.acme.progress.state) ? 1_000 : 30_000),
  });
/** What a form begins with does not change below what was typed. */
export const certificateFormQuery = (ask: NonNullable<Query<'getCertificateForm'>> = {}) => queryOptions({ queryKey: ['certificate-form', ask], queryFn: ({ signal }) => call('getCertificateForm', { query: ask, signal }), staleTime: 0, gcTime: 0, refetchOnWindowFocus: false });
export const deliveriesQuery = (certificate: string) => queryOptions({ queryKey: ['deliveries', certificate], queryFn: ({ signal }) => call('listCertificateDeliveries', { params: { certificate }, query: { limit: 500 }, signal }), refetchInterval: 15_000 });
export const acmeAccountsQuery = queryOptions({ queryKey: ['acme-accounts'], queryFn: ({ signal }) => call('listAcmeAccounts', { signal }) });
export const dnsKeysQuery = queryOptions({ queryKey: ['dns-keys'], queryFn: ({ signal }) => call('listDnsKeys', { signal }) });

const CERTIFICATE_KEYS = ['certificates', 'certificate', 'deliveries', 'acme-accounts', 'dns-keys', 'status'];
const APPLICATION_KEYS = ['address-pool', 'virtual-addresses', 'job-sources', 'source-conflicts', 'unassigned', 'device-sessions', 'identity'];
const PLACE_KEYS = ['sites', 'site'];
const CONFIG_KEYS = ['address-pool', 'virtual-addresses', 'snippet', 'site', 'applications', 'source-conflicts', 'probes', 'sinks', 'secrets', 'redirects', 'leases', 'pins', 'config', 'config-state', 'revisions', 'revision', 'status', 'listeners', 'routes-in-order'];
const STALE_AFTER_MS = 300;
const waiting = new Set<string>();

/** Events come in bursts; what they make stale is read once per burst. */
function stale(...keys: string[]): void {
  if (waiting.size === 0) {
    setTimeout(() => {
      const now = [...waiting];
      waiting.clear();
      for (const key of now) void queryClient.invalidateQueries({ queryKey: [key] });
    }, STALE_AFTER_MS);
  }
  for (const key of keys) waiting.add(key);
}

type DevicePages = InfiniteData<Answer<'listDevices'>>;
type Patch = EventData<'links'>['devices'][number];

function patched(device: DeviceView, patch: Patch): DeviceView {
  const link = device.link && patch.online ? { ...device.link, rttMs: patch.rttMs, streams: patch.streams, bytesIn: patch.bytesIn, bytesOut: patch.bytesOut } : patch.online ? device.link : null;
  return { ...device, online: patch.online, link, lastSeenAt: patch.lastSeenAt };
}

/** Where more moves than an event lists, the whole list is read again, but not with every event. */
const ALL_AT_MOST_EVERY_MS = 5_000;
let allReadAt = 0;

function takeLinks(data: EventData<'links'>): void {
  addSamples(data.devices, Date.now());
  const patches = new Map(data.devices.map((patch) => [patch.id, patch]));
  // One that came or went has more news than the event carries: its link, why it left.
  let turned = false;
  if (data.more && Date.now() - allReadAt > ALL_AT_MOST_EVERY_MS) {
    allReadAt = Date.now();
    turned = true;
  }
  const apply = (device: DeviceView) => {
    const patch = patches.get(device.id);
    if (!patch) return device;
    if (patch.online !== device.online || (patch.online && !device.link)) turned = true;
    return patched(device, patch);
  };
  queryClient.setQueriesData<DevicePages>({ queryKey: ['devices'] }, (pages) => pages && { ...pages, pages: pages.pages.map((page) => ({ ...page, items: page.items.map(apply) })) });
  queryClient.setQueriesData<DeviceView>({ queryKey: ['device'] }, (device) => device && apply(device));
  if (turned) stale(...PLACE_KEYS, 'devices', 'device', 'agent', 'agents');
}

/** A batch moves figures; only what is new or went wrong is read again in places that a batch leaves as they are. */
function takeFeeds({ feeds, more }: EventData<'feeds'>): void {
  stale('feeds', 'feed');
  if (more || feeds.some(({ news }) => news.some((each) => each !== 'data'))) stale('gaps', 'device', 'devices');
}

const PROBED_KEYS: ReadonlySet<unknown> = new Set(['profile', 'series', 'samples', 'identity']);
let profilesReadAt = 0;

/** A thousand devices are asked one after the other: what is shown of each of them follows at once, the list of all not with every one. */
function takeProbes({ ids }: EventData<'probes'>): void {
  void queryClient.invalidateQueries({ predicate: ({ queryKey: [kind, device] }) => PROBED_KEYS.has(kind) && (ids.length === 0 || ids.includes(String(device))) });
  stale('probes');
  if (Date.now() - profilesReadAt < ALL_AT_MOST_EVERY_MS) return;
  profilesReadAt = Date.now();
  setTimeout(() => stale('profiles', 'source-conflicts'), ALL_AT_MOST_EVERY_MS);
}

function take(event: LiveEvent | { readonly name: 'again' }): void {
  switch (event.name) {
    case 'again':
      void queryClient.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'doctor' });
      break;
    case 'links':
      takeLinks(event.data);
      break;
    case 'devices':
      stale(...PLACE_KEYS, 'address-pool', 'virtual-addresses', 'identity', 'source-conflicts', 'devices', 'device', 'agent', 'agents', 'join-tokens', 'waiting-devices', 'device-keys', 'device-tags');
      break;
    case 'visits':
      stale('visits');
      break;
    case 'people':
      stale('people', 'invites', 'me', 'sign-ins', 'tokens');
      break;
    case 'audit':
      stale('audit');
      break;
    case 'certificates':
      stale(...CERTIFICATE_KEYS);
      break;
    case 'conns':
      stale('conns', 'listeners');
      break;
    case 'status':
      stale('status', 'journal');
      break;
    case 'config':
      stale(...CONFIG_KEYS);
      break;
    case 'waiting':
      stale('waiting-devices', 'feeds');
      break;
    case 'feeds':
      takeFeeds(event.data);
      break;
    case 'applications':
      stale(...APPLICATION_KEYS);
      break;
    case 'probes':
      takeProbes(event.data);
      break;
    case 'places':
      stale(...PLACE_KEYS);
      break;
    case 'join':
      void queryClient.invalidateQueries({ queryKey: ['join-token', event.data.id] });
      stale('join-tokens', 'devices');
      break;
    case 'bye':
      stale('me');
      break;
    case 'hello':
      break;
  }
}

/** After something that was done here: without waiting for the event. */
export function refreshConfig(): void {
  stale(...CONFIG_KEYS);
}

/** Likewise; at once, because what was done is looked for on the same page. */
export async function refresh(...keys: string[]): Promise<void> {
  await Promise.all(keys.map((key) => queryClient.invalidateQueries({ queryKey: [key] })));
}

/** Likewise for sites and what stands in them. */
export async function refreshPlaces(): Promise<void> {
  await refresh(...PLACE_KEYS, 'devices', 'device', 'agents', 'agent', 'audit');
}

/** Likewise for certificates; at once, because the next page shows them. */
export async function refreshCertificates(): Promise<void> {
  await Promise.all([...CERTIFICATE_KEYS, 'audit'].map((key) => queryClient.invalidateQueries({ queryKey: [key] })));
}

/** Keeps what is shown fresh until the returned function is called. */
export function keepFresh(): () => void {
  return listenLive(take);
}
