// The console's addresses. They are stable: people keep them in mails and bookmarks.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from '@tanstack/react-router';
import { isProblem, whenSignedOut } from './api.ts';
import { PageGone, RouteProblem, RouteWaits } from './pages/route-states.tsx';
import { meQuery, queryClient, setupQuery } from './queries.ts';
import { parseQuery, stringifyQuery } from './search.ts';
import { currentPath, signInAddress, signInHash } from './session.ts';
import { Shell } from './shell.tsx';

const word = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
/** Given by a link as true, read from the address as text. */
const flag = (value: unknown): true | undefined => (value === true || value === 'true' ? true : undefined);
const kept = <Shape extends Record<string, unknown>>(shape: Shape) => Object.fromEntries(Object.entries(shape).filter(([, value]) => value !== undefined)) as { [Key in keyof Shape]?: NonNullable<Shape[Key]> };

const root = createRootRoute({ notFoundComponent: PageGone, errorComponent: RouteProblem });

/** Everything behind the sign-in. */
const inside = createRoute({
  getParentRoute: () => root,
  id: 'inside',
  component: Shell,
  beforeLoad: async ({ location }) => {
    try {
      await queryClient.ensureQueryData(meQuery);
    } catch (thrown) {
      if (!isProblem(thrown, 401)) throw thrown;
      const setup = await queryClient.fetchQuery(setupQuery);
      if (setup.needed) throw redirect({ to: '/setup', replace: true });
      const hash = signInHash(location.href);
      throw redirect({ to: '/sign-in', replace: true, ...(hash ? { hash } : {}) });
    }
  },
});

export const DEVICE_TABS = ['identity', 'profile'] as const;
const STATES = ['online', 'offline', 'locked'] as const;
const isState = (value: unknown): value is (typeof STATES)[number] => STATES.some((state) => state === value);

/** `/#/invite/CODE` and the like: some addresses name the page behind `#` too. */
const HASH_PAGE = /^#?\/(setup|invite|cli)\/(.+)$/;

const home = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: () => {
    const [, page, code] = HASH_PAGE.exec(location.hash) ?? [];
    if (page && code) throw redirect({ to: page === 'setup' ? '/setup' : page === 'invite' ? '/invite' : '/cli', hash: code, replace: true });
    throw redirect({ to: '/devices', replace: true });
  },
});
const devices = createRoute({
  getParentRoute: () => inside,
  path: '/devices',
  validateSearch: (search: Record<string, unknown>) => kept({ q: word(search['q']), state: isState(search['state']) ? search['state'] : undefined, sort: word(search['sort']), add: flag(search['add']) }),
  component: lazyRouteComponent(() => import('./pages/devices.tsx'), 'DevicesPage'),
});
const device = createRoute({
  getParentRoute: () => inside,
  path: '/devices/$device',
  validateSearch: (search: Record<string, unknown>) => kept({ tab: DEVICE_TABS.find((each) => each === search['tab']) }),
  component: lazyRouteComponent(() => import('./pages/device.tsx'), 'DevicePage'),
});
export const SNIPPET_SERVERS = ['nginx', 'apache', 'haproxy', 'iis', 'tomcat'] as const;
const applications = createRoute({ getParentRoute: () => inside, path: '/applications', component: lazyRouteComponent(() => import('./pages/applications.tsx'), 'ApplicationsPage') });
const applicationsIndex = createRoute({
  getParentRoute: () => applications,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/applications/sources', replace: true });
  },
});
const jobSources = createRoute({
  getParentRoute: () => applications,
  path: '/sources',
  validateSearch: (search: Record<string, unknown>) => kept({ q: word(search['q']), view: search['view'] === 'list' ? ('list' as const) : undefined, site: word(search['site']), code: /^\d{6}$/.test(String(search['code'])) ? String(search['code']) : undefined }),
  component: lazyRouteComponent(() => import('./pages/job-sources.tsx'), 'JobSourcesPage'),
});
const deviceSessions = createRoute({
  getParentRoute: () => applications,
  path: '/sessions',
  validateSearch: (search: Record<string, unknown>) => kept({ application: word(search['application']) }),
  component: lazyRouteComponent(() => import('./pages/device-sessions.tsx'), 'DeviceSessionsPage'),
});
const probes = createRoute({ getParentRoute: () => applications, path: '/probes', component: lazyRouteComponent(() => import('./pages/probes.tsx'), 'ProbesPage') });
const sites = createRoute({
  getParentRoute: () => inside,
  path: '/sites',
  validateSearch: (search: Record<string, unknown>) => kept({ q: word(search['q']), add: flag(search['add']) }),
  component: lazyRouteComponent(() => import('./pages/sites.tsx'), 'SitesPage'),
});
const site = createRoute({ getParentRoute: () => inside, path: '/sites/$site', component: lazyRouteComponent(() => import('./pages/site.tsx'), 'SitePage') });
const people = createRoute({
  getParentRoute: () => inside,
  path: '/people',
  validateSearch: (search: Record<string, unknown>) => kept({ q: word(search['q']), invite: flag(search['invite']) }),
  component: lazyRouteComponent(() => import('./pages/people.tsx'), 'PeoplePage'),
});
const audit = createRoute({
  getParentRoute: () => inside,
  path: '/audit',
  validateSearch: (search: Record<string, unknown>) => kept({ what: word(search['what']), actorId: word(search['actorId']), actorName: word(search['actorName']), subjectId: word(search['subjectId']), subjectName: word(search['subjectName']) }),
  component: lazyRouteComponent(() => import('./pages/audit.tsx'), 'AuditPage'),
});
const frontDoor = createRoute({ getParentRoute: () => inside, path: '/front-door', component: lazyRouteComponent(() => import('./pages/front-door.tsx'), 'FrontDoorPage') });
const frontDoorIndex = createRoute({
  getParentRoute: () => frontDoor,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/front-door/listeners', replace: true });
  },
});
const listeners = createRoute({ getParentRoute: () => frontDoor, path: '/listeners', component: lazyRouteComponent(() => import('./pages/listeners.tsx'), 'ListenersPage') });
const routes = createRoute({
  getParentRoute: () => frontDoor,
  path: '/routes',
  validateSearch: (search: Record<string, unknown>) => kept({ q: word(search['q']), protocol: word(search['protocol']), of: word(search['of']), host: word(search['host']), path: word(search['path']) }),
  component: lazyRouteComponent(() => import('./pages/routes.tsx'), 'RoutesPage'),
});
const tls = createRoute({ getParentRoute: () => frontDoor, path: '/tls', component: lazyRouteComponent(() => import('./pages/tls.tsx'), 'TlsPage') });
const connections = createRoute({
  getParentRoute: () => frontDoor,
  path: '/connections',
  validateSearch: (search: Record<string, unknown>) => kept({ q: word(search['q']), listener: word(search['listener']), protocol: word(search['protocol']) }),
  component: lazyRouteComponent(() => import('./pages/connections.tsx'), 'ConnectionsPage'),
});
const WAYS = ['upload', 'request', 'issue', 'order', 'sign'] as const;
const servers = createRoute({ getParentRoute: () => applications, path: '/servers', component: lazyRouteComponent(() => import('./pages/application-servers.tsx'), 'ApplicationServersPage') });
const server = createRoute({
  getParentRoute: () => applications,
  path: '/servers/$route',
  validateSearch: (search: Record<string, unknown>) => kept({ server: SNIPPET_SERVERS.find((each) => each === search['server']), device: word(search['device']) }),
  component: lazyRouteComponent(() => import('./pages/application-server.tsx'), 'ApplicationServerPage'),
});
const addresses = createRoute({
  getParentRoute: () => applications,
  path: '/addresses',
  validateSearch: (search: Record<string, unknown>) => kept({ q: word(search['q']) }),
  component: lazyRouteComponent(() => import('./pages/address-pool.tsx'), 'AddressPoolPage'),
});
const certificates = createRoute({
  getParentRoute: () => inside,
  path: '/certificates',
  validateSearch: (search: Record<string, unknown>) => kept({ q: word(search['q']), source: word(search['source']) }),
  component: lazyRouteComponent(() => import('./pages/certificates.tsx'), 'CertificatesPage'),
});
const addCertificate = createRoute({
  getParentRoute: () => inside,
  path: '/certificates/add',
  validateSearch: (search: Record<string, unknown>) => kept({ way: WAYS.find((each) => each === search['way']) }),
  component: lazyRouteComponent(() => import('./pages/certificate-add.tsx'), 'AddCertificatePage'),
});
const authorities = createRoute({ getParentRoute: () => inside, path: '/certificates/authorities', component: lazyRouteComponent(() => import('./pages/certificate-authorities.tsx'), 'AuthoritiesPage') });
const certificate = createRoute({ getParentRoute: () => inside, path: '/certificates/$certificate', component: lazyRouteComponent(() => import('./pages/certificate.tsx'), 'CertificatePage') });
const data = createRoute({ getParentRoute: () => inside, path: '/data', component: lazyRouteComponent(() => import('./pages/data.tsx'), 'DataPage') });
const dataIndex = createRoute({
  getParentRoute: () => data,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/data/feeds', replace: true });
  },
});
const feeds = createRoute({
  getParentRoute: () => data,
  path: '/feeds',
  validateSearch: (search: Record<string, unknown>) => kept({ q: word(search['q']) }),
  component: lazyRouteComponent(() => import('./pages/feeds.tsx'), 'FeedsPage'),
});
const feed = createRoute({
  getParentRoute: () => data,
  path: '/feeds/$feed',
  validateSearch: (search: Record<string, unknown>) => kept({ epoch: word(search['epoch']), from: /^\d{1,16}$/.test(String(search['from'])) ? String(search['from']) : undefined, q: word(search['q']) }),
  component: lazyRouteComponent(() => import('./pages/feed.tsx'), 'FeedPage'),
});
const files = createRoute({ getParentRoute: () => data, path: '/files', component: lazyRouteComponent(() => import('./pages/files.tsx'), 'FilesPage') });
const sinks = createRoute({ getParentRoute: () => data, path: '/sinks', component: lazyRouteComponent(() => import('./pages/sinks.tsx'), 'SinksPage') });
const redirects = createRoute({
  getParentRoute: () => data,
  path: '/redirects',
  validateSearch: (search: Record<string, unknown>) => kept({ serial: word(search['serial']) }),
  component: lazyRouteComponent(() => import('./pages/redirects.tsx'), 'RedirectsPage'),
});
const pins = createRoute({ getParentRoute: () => data, path: '/pins', component: lazyRouteComponent(() => import('./pages/pins.tsx'), 'PinsPage') });
const keeping = createRoute({ getParentRoute: () => data, path: '/keeping', component: lazyRouteComponent(() => import('./pages/keeping.tsx'), 'KeepingPage') });
const configuration = createRoute({
  getParentRoute: () => inside,
  path: '/configuration',
  validateSearch: (search: Record<string, unknown>) => kept({ show: /^[1-9]\d{0,8}$/.test(String(search['show'])) ? String(search['show']) : undefined }),
  component: lazyRouteComponent(() => import('./pages/configuration.tsx'), 'ConfigurationPage'),
});
const status = createRoute({
  getParentRoute: () => inside,
  path: '/status',
  validateSearch: (search: Record<string, unknown>) => kept({ event: word(search['event']) }),
  component: lazyRouteComponent(() => import('./pages/status.tsx'), 'StatusPage'),
});
const account = createRoute({ getParentRoute: () => inside, path: '/account', component: lazyRouteComponent(() => import('./pages/account.tsx'), 'AccountPage') });

const setup = createRoute({ getParentRoute: () => root, path: '/setup', component: lazyRouteComponent(() => import('./pages/setup.tsx'), 'SetupPage') });
const signIn = createRoute({ getParentRoute: () => root, path: '/sign-in', component: lazyRouteComponent(() => import('./pages/sign-in.tsx'), 'SignInPage') });
const invite = createRoute({ getParentRoute: () => root, path: '/invite', component: lazyRouteComponent(() => import('./pages/invite.tsx'), 'InvitePage') });
const cli = createRoute({ getParentRoute: () => root, path: '/cli', component: lazyRouteComponent(() => import('./pages/cli.tsx'), 'CliPage') });
const open = createRoute({
  getParentRoute: () => root,
  path: '/open',
  validateSearch: (search: Record<string, unknown>) => kept({ host: word(search['host']), to: word(search['to']), asked: word(search['asked']) }),
  component: lazyRouteComponent(() => import('./pages/open.tsx'), 'OpenPage'),
});

export const router = createRouter({
  routeTree: root.addChildren([home, setup, signIn, invite, cli, open, inside.addChildren([devices, device, sites, site, applications.addChildren([applicationsIndex, jobSources, deviceSessions, servers, server, addresses, probes]), data.addChildren([dataIndex, feeds, feed, files, sinks, redirects, pins, keeping]), people, audit, frontDoor.addChildren([frontDoorIndex, listeners, routes, tls, connections]), certificates, addCertificate, authorities, certificate, configuration, status, account])]),
  // Plain text both ways: read as JSON, a search for 1e5 or a digest of digits would become another number.
  parseSearch: parseQuery,
  stringifySearch: stringifyQuery,
  defaultPreload: 'intent',
  defaultPendingMs: 150,
  defaultPendingComponent: RouteWaits,
  defaultErrorComponent: RouteProblem,
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}

whenSignedOut(() => {
  queryClient.clear();
  router.history.replace(signInAddress(currentPath()));
});
