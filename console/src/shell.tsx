// The frame around every page behind the sign-in: navigation, who I am, whether what is shown is live.
import { Menu } from '@base-ui/react/menu';
import { Link, Outlet, useLocation, useNavigate } from '@tanstack/react-router';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { isProblem } from './api.ts';
import { useLiveState } from './live.ts';
import { Palette } from './palette.tsx';
import { keepFresh, meQuery, queryClient } from './queries.ts';
import { currentPath, signInAddress } from './session.ts';
import { signOut } from './sign-out.ts';
import { text } from './text.ts';
import { setTheme, useTheme, type Theme } from './theme.ts';
import { Dot } from './ui/bits.tsx';
import { Icon, Logo, type IconName } from './ui/icons.tsx';
import { ActionMenu } from './ui/overlay.tsx';
import { RestoredBanner } from './restored-banner.tsx';
import { UnassignedBanner } from './unassigned-banner.tsx';
import { WaitingBanner } from './waiting-banner.tsx';

interface Place {
  readonly to: '/devices' | '/sites' | '/applications' | '/data' | '/people' | '/audit' | '/front-door' | '/certificates' | '/configuration' | '/status' | '/account';
  readonly label: string;
  /** Where there is room for one word. */
  readonly short?: string;
  readonly icon: IconName;
}

function usePlaces(): Place[] {
  const { data: me } = useQuery(meQuery);
  const places: (Place | false | undefined)[] = [
    { to: '/devices', label: text.nav.devices, icon: 'devices' },
    me?.rights.some((right) => right.scopeKind !== 'device') && { to: '/sites', label: text.nav.sites, icon: 'site' },
    (me?.may.administerAnything || me?.rights.some((right) => right.scopeKind === 'gateway')) && { to: '/applications', label: text.nav.applications, short: text.nav.short.applications, icon: 'apps' },
    { to: '/data', label: text.nav.data, icon: 'data' },
    me?.may.administerAnything && { to: '/people', label: text.nav.people, icon: 'people' },
    me?.may.administerAnything && { to: '/audit', label: text.nav.audit, icon: 'audit' },
    me?.may.administerGateway && { to: '/front-door', label: text.nav.frontDoor, short: text.nav.short.frontDoor, icon: 'door' },
    me?.rights.some((right) => right.scopeKind === 'gateway') && { to: '/certificates', label: text.nav.certificates, short: text.nav.short.certificates, icon: 'key' },
    me?.may.administerGateway && { to: '/configuration', label: text.nav.config, short: text.nav.short.config, icon: 'config' },
    me?.may.administerGateway && { to: '/status', label: text.nav.status, icon: 'status' },
  ];
  return places.filter((place): place is Place => Boolean(place));
}

export function Shell() {
  const [palette, setPalette] = useState(false);
  const places = usePlaces();
  const me = useQuery(meQuery);
  const navigate = useNavigate();
  useEffect(keepFresh, []);
  useEffect(() => {
    if (!isProblem(me.error, 401)) return;
    const back = currentPath();
    queryClient.clear();
    void navigate({ href: signInAddress(back), replace: true });
  }, [me.error, navigate]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== 'k' || !(event.metaKey || event.ctrlKey) || event.altKey || event.shiftKey) return;
      event.preventDefault();
      setPalette((open) => !open);
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  return (
    <div className="min-h-dvh lg:grid lg:grid-cols-[14rem_minmax(0,1fr)]">
      <a href="#content" className="sr-only focus:not-sr-only focus:fixed focus:top-3 focus:left-3 focus:z-60 focus:rounded-lg focus:bg-surface focus:px-4 focus:py-2 focus:shadow-2">
        {text.common.skip}
      </a>
      <Sidebar places={places} onSearch={() => setPalette(true)} />
      <TopBar onSearch={() => setPalette(true)} />
      <main id="content" tabIndex={-1} className="mx-auto w-full max-w-7xl min-w-0 px-4 pt-5 pb-24 outline-none sm:px-6 lg:px-7 lg:pt-8 lg:pb-12">
        <WaitingBanner />
        <RestoredBanner />
        <UnassignedBanner />
        <Outlet />
      </main>
      <BottomBar places={places} />
      <Palette open={palette} onClose={() => setPalette(false)} places={places} />
    </div>
  );
}

const placeClass = 'flex items-center gap-3 rounded-lg px-3 py-2 text-sm font-medium text-ink-2 transition-colors hover:bg-sunken hover:text-ink [&.active]:bg-accent-soft [&.active]:text-accent-ink';

function Sidebar({ places, onSearch }: { places: readonly Place[]; onSearch: () => void }) {
  const { data: me } = useQuery(meQuery);
  return (
    <aside className="sticky top-0 hidden h-dvh flex-col border-r border-line bg-surface px-3 py-4 lg:flex">
      <Link to="/devices" className="mb-4 flex items-center gap-2.5 rounded-lg px-2 py-1">
        <Logo />
        <span className="text-lg font-semibold tracking-tight">{text.product}</span>
      </Link>
      <button type="button" onClick={onSearch} className="mb-4 flex h-9 items-center gap-2 rounded-lg border border-line bg-sunken px-2.5 text-sm text-ink-3 hover:border-line-strong hover:text-ink-2">
        <Icon name="search" size={15} />
        <span className="flex-1 truncate text-left">{text.nav.searchShort}</span>
        <kbd className="rounded border border-line-strong bg-surface px-1 font-mono text-[0.6875rem]">{/Mac|iPhone|iPad/.test(navigator.platform) ? '⌘K' : 'Ctrl K'}</kbd>
      </button>
      <nav aria-label={text.nav.main} className="flex flex-col gap-0.5">
        {places.map((place) => (
          <Link key={place.to} to={place.to} className={placeClass}>
            <Icon name={place.icon} />
            {place.label}
          </Link>
        ))}
      </nav>
      <div className="mt-auto flex flex-col gap-2 border-t border-line pt-3">
        <div className="flex items-center justify-between gap-2 px-1">
          <LiveSign />
          <ThemeMenu />
        </div>
        <div className="flex items-center gap-1">
          <Link to="/account" className={`${placeClass} min-w-0 flex-1 px-2`}>
            <Icon name="account" />
            <span className="min-w-0 flex-1">
              <span className="block truncate">{me?.person.name ?? text.nav.account}</span>
              <span className="block truncate text-xs font-normal text-ink-3">{me?.person.login}</span>
            </span>
          </Link>
          <button type="button" aria-label={text.nav.signOut} title={text.nav.signOut} onClick={() => void signOut()} className="flex size-9 items-center justify-center rounded-lg text-ink-3 hover:bg-sunken hover:text-ink">
            <Icon name="signOut" size={17} />
          </button>
        </div>
      </div>
    </aside>
  );
}

function LiveSign() {
  const state = useLiveState();
  const label = state === 'live' ? text.nav.live : state === 'connecting' ? text.nav.connecting : text.nav.lost;
  return (
    <span role="status" className="flex min-w-0 items-center gap-2 px-1 text-xs text-ink-2">
      <span className={`size-2 shrink-0 rounded-full ${state === 'live' ? 'bg-ok' : state === 'connecting' ? 'bg-line-strong' : 'bg-warn'}`} />
      <span className="truncate" title={label}>
        {label}
      </span>
    </span>
  );
}

const themeIcons: Record<Theme, IconName> = { system: 'system', light: 'sun', dark: 'moon' };

function ThemeMenu() {
  const theme = useTheme();
  const entry = (each: Theme) => ({ label: text.nav.theme[each], icon: each === theme ? ('check' as const) : themeIcons[each], run: () => setTheme(each) });
  return <ActionMenu label={text.nav.theme.label} trigger={<Icon name={themeIcons[theme]} size={17} />} entries={[entry('system'), entry('light'), entry('dark')]} />;
}

function TopBar({ onSearch }: { onSearch: () => void }) {
  const state = useLiveState();
  return (
    <header className="sticky top-0 z-20 flex h-14 items-center gap-1 border-b border-line bg-surface/95 px-4 backdrop-blur lg:hidden">
      <Link to="/devices" className="flex items-center gap-2.5 rounded-lg">
        <Logo size={26} />
        <span className="font-semibold tracking-tight">{text.product}</span>
      </Link>
      <span className="ml-auto mr-1">
        <Dot mood={state === 'live' ? 'ok' : state === 'connecting' ? 'neutral' : 'warn'} label={state === 'live' ? text.nav.live : state === 'connecting' ? text.nav.connecting : text.nav.lost} />
      </span>
      <button type="button" onClick={onSearch} aria-label={text.nav.search} className="flex size-9 items-center justify-center rounded-lg text-ink-2 hover:bg-sunken">
        <Icon name="search" />
      </button>
      <ThemeMenu />
    </header>
  );
}

/** As many as a thumb tells apart on the narrowest telephone. */
const BOTTOM_PLACES = 6;
const bottomClass = 'flex min-w-0 flex-1 flex-col items-center gap-0.5 py-2 text-[0.6875rem] font-medium text-ink-2 focus-visible:-outline-offset-2 [&.active]:text-accent-ink';

function BottomBar({ places }: { places: readonly Place[] }) {
  const all: readonly Place[] = [...places, { to: '/account', label: text.nav.account, short: text.nav.short.account, icon: 'account' }];
  const navigate = useNavigate();
  const { pathname } = useLocation();
  const shown = all.length > BOTTOM_PLACES ? all.slice(0, BOTTOM_PLACES - 1) : all;
  const rest = all.slice(shown.length);
  const inRest = rest.some(({ to }) => pathname === to || pathname.startsWith(`${to}/`));
  return (
    <nav aria-label={text.nav.main} className="fixed inset-x-0 bottom-0 z-20 flex border-t border-line bg-surface pb-[env(safe-area-inset-bottom)] lg:hidden">
      {shown.map((place) => (
        <Link key={place.to} to={place.to} aria-label={place.label} className={bottomClass}>
          <Icon name={place.icon} size={20} />
          <span className="max-w-full truncate">{place.short ?? place.label}</span>
        </Link>
      ))}
      {rest.length > 0 ? (
        <Menu.Root>
          <Menu.Trigger aria-label={text.nav.more} className={`${bottomClass} ${inRest ? 'active' : ''}`}>
            <Icon name="more" size={20} />
            <span>{text.nav.more}</span>
          </Menu.Trigger>
          <Menu.Portal>
            <Menu.Positioner side="top" align="end" sideOffset={6} className="z-50">
              <Menu.Popup className="mr-2 min-w-52 rounded-xl border border-line bg-surface p-1 shadow-2 outline-none">
                {rest.map((place) => (
                  <Menu.Item key={place.to} onClick={() => void navigate({ to: place.to })} className="flex cursor-pointer items-center gap-3 rounded-lg px-3 py-2.5 text-sm font-medium outline-none data-highlighted:bg-sunken">
                    <Icon name={place.icon} className="text-ink-3" />
                    {place.label}
                  </Menu.Item>
                ))}
              </Menu.Popup>
            </Menu.Positioner>
          </Menu.Portal>
        </Menu.Root>
      ) : null}
    </nav>
  );
}
