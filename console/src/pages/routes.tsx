// Routes: thousands of them, searched in the browser because the document is here anyway.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useDeferredValue, useMemo, useState } from 'react';
import { authority, compact, editOf, PROTOCOLS, type Route, type Target } from '../config-document.ts';
import { configQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, Empty, PageHead } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SearchBox, Select } from '../ui/field.tsx';
import { cellClass, headClass, Loaded } from '../ui/list.tsx';
import { useKept } from '../ui/kept.ts';
import { ActionMenu } from '../ui/overlay.tsx';
import { RemoveDialog } from './config-editor.tsx';
import { Precedence } from './precedence.tsx';
import { EditRoute } from './route-form.tsx';

const page = getRouteApi('/inside/front-door/routes');
const words = text.frontDoor.routes;
const SHOWN_FIRST = 100;

const pathsOf = ({ path = '/' }: Route): readonly string[] => (typeof path === 'string' ? [path] : path);

function targetText(target: Target): string {
  switch (target.kind) {
    case 'tcp':
    case 'tls':
      return authority(target.host, target.port);
    case 'device':
      return `${target.device}:${target.port}`;
    case 'redirect':
      return target.to;
    case 'respond':
      return String(target.status ?? 200);
  }
}

const searchable = (route: Route) => `${route.name} ${route.application ? 'application' : ''} ${route.host ?? ''} ${pathsOf(route).join(' ')} ${route.alias ?? ''} ${(route.listeners ?? []).join(' ')} ${targetText(route.target)}`.toLowerCase();

export function RoutesPage() {
  const { q = '', protocol, of, host, path } = page.useSearch();
  const navigate = useNavigate({ from: '/front-door/routes' });
  const document = useQuery(configQuery);
  const [editing, setEditing] = useState<Route | 'new' | null>(null);
  const [removing, setRemoving] = useState<Route | null>(null);
  const leaving = useKept(removing);
  const [shownMax, setShownMax] = useState(SHOWN_FIRST);
  const needle = useDeferredValue(q.trim().toLowerCase());
  const all = document.data?.config.routes;
  const texts = useMemo(() => all?.map((route) => ({ route, text: searchable(route) })) ?? [], [all]);
  const found = useMemo(() => texts.filter((each) => (!protocol || (each.route.protocol ?? 'http') === protocol) && each.text.includes(needle)).map((each) => each.route), [texts, protocol, needle]);
  const set = (part: { q?: string | undefined; protocol?: string | undefined; of?: string | undefined; host?: string | undefined; path?: string | undefined }) => {
    setShownMax(SHOWN_FIRST);
    void navigate({ search: (before) => compact({ ...before, ...part }) as typeof before, replace: true });
  };
  const filtered = Boolean(needle || protocol);
  const add = <Button tone="primary" icon="plus" disabled={!document.data} onClick={() => setEditing('new')}>{words.add}</Button>;
  return (
    <>
      <PageHead title={text.frontDoor.tabs.routes} about={words.about} actions={add} />
      <div className="grid items-start gap-5 xl:grid-cols-[minmax(0,1.6fr)_minmax(0,1fr)]">
        <div className="min-w-0">
          <div className="mb-4 flex flex-wrap items-center gap-2">
            <div className="flex min-w-full flex-1 sm:min-w-60"><SearchBox value={q} onValue={(value) => set({ q: value || undefined })} label={words.searchLabel} placeholder={words.search} maxLength={200} /></div>
            <Select aria-label={words.protocol} className="w-full sm:w-52" value={protocol ?? ''} onValue={(value) => set({ protocol: value || undefined })} options={[['', words.anyProtocol], ...PROTOCOLS.map((each) => [each, text.frontDoor.protocols[each]] as const)]} />
          </div>
          <Card flush>
            <Loaded query={document} lines={5}>
              {found.length === 0 ? (
                <Empty icon={filtered ? 'search' : 'door'} title={filtered ? words.nothing : words.empty} action={filtered ? <Button onClick={() => set({ q: undefined, protocol: undefined })}>{words.clear}</Button> : add}>
                  {filtered ? words.nothingAbout : words.emptyAbout}
                </Empty>
              ) : (
                <RouteTable routes={found.slice(0, shownMax)} onEdit={setEditing} onRemove={setRemoving} onServer={(route) => void navigate({ to: '/applications/servers/$route', params: { route: route.name } })} onOrder={(route) => set({ of: route.protocol ?? 'http', host: (route.host ?? '').replace(/^\*\./, 'any.') || undefined, path: pathsOf(route)[0] === '/' ? undefined : pathsOf(route)[0] })} />
              )}
              {all && found.length > 0 ? (
                <div className="flex flex-wrap items-center justify-center gap-3 border-t border-line px-4 py-3 text-sm text-ink-2">
                  <span role="status">{words.count(found.length, all.length)}</span>
                  {found.length > shownMax ? <Button size="sm" onClick={() => setShownMax(shownMax + 5 * SHOWN_FIRST)}>{words.showMore(Math.min(found.length - shownMax, 5 * SHOWN_FIRST))}</Button> : null}
                </div>
              ) : null}
            </Loaded>
          </Card>
        </div>
        <Precedence key={`${of ?? ''} ${host ?? ''} ${path ?? ''}`} protocol={of} host={host ?? ''} path={path ?? '/'} onLook={set} />
      </div>
      <EditRoute route={editing} onClose={() => setEditing(null)} />
      <RemoveDialog open={removing !== null} edit={leaving && editOf('routes', leaving, null)} title={words.removeTitle(leaving?.name ?? '')} about={words.removeAbout} onClose={() => setRemoving(null)} />
    </>
  );
}

function RouteTable({ routes, onEdit, onRemove, onOrder, onServer }: { routes: readonly Route[]; onEdit: (route: Route) => void; onRemove: (route: Route) => void; onOrder: (route: Route) => void; onServer: (route: Route) => void }) {
  return (
    <table className="w-full table-fixed text-sm">
      <thead>
        <tr className="border-b border-line">
          <th scope="col" className={`${headClass} sm:w-[46%]`}>{words.columns.facts}</th>
          <th scope="col" className={`${headClass} hidden sm:table-cell`}>{words.columns.target}</th>
          <th scope="col" className={`${headClass} w-14`}><span className="sr-only">{text.frontDoor.edit}</span></th>
        </tr>
      </thead>
      <tbody className="divide-y divide-line">
        {routes.map((route) => (
          <tr key={route.name} className="hover:bg-sunken/60" data-route={route.name}>
            <td className={`${cellClass} align-top`}>
              <div className="flex flex-wrap items-center gap-x-2 gap-y-1">
                <button type="button" onClick={() => onEdit(route)} className="min-w-0 rounded-sm text-left font-medium break-words hover:text-accent-ink hover:underline">{route.name}</button>
                <Badge>{text.frontDoor.short[route.protocol ?? 'http']}</Badge>
                {route.application ? <Link to="/applications/servers/$route" params={{ route: route.name }} title={text.places.application.toServer} className="rounded-full hover:underline"><Badge mood="accent">{text.places.application.badge}</Badge></Link> : null}
              </div>
              <div className="mt-0.5 text-xs break-words text-ink-2">
                <span className="font-mono">{route.host ?? words.anyHost}{(route.protocol ?? 'http') === 'http' ? pathsOf(route).filter((each) => each !== '/').join(', ') : ''}</span>
              </div>
              <Conditions route={route} />
              <div className="mt-1 sm:hidden"><Leads route={route} /></div>
            </td>
            <td className={`${cellClass} hidden align-top sm:table-cell`}>
              <Leads route={route} />
            </td>
            <td className={`${cellClass} text-right align-top`}>
              <ActionMenu label={text.frontDoor.actions(route.name)} entries={[{ label: text.frontDoor.edit, icon: 'edit', run: () => onEdit(route) }, { label: words.order, icon: 'menu', run: () => onOrder(route) }, ...(route.application ? [{ label: text.places.application.toServer, icon: 'server' as const, run: () => onServer(route) }] : []), null, { label: text.frontDoor.removeMenu, icon: 'trash', danger: true, run: () => onRemove(route) }]} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Conditions({ route }: { route: Route }) {
  const { alias, clientCertificate, classes = [], onlyClasses = false } = route;
  if (alias === undefined && clientCertificate === undefined && classes.length === 0) return null;
  return (
    <div className="mt-1 flex flex-wrap gap-1.5">
      {alias === undefined ? null : <Badge mood="accent">{words.alias(alias)}</Badge>}
      {clientCertificate === undefined ? null : <Badge mood="accent" icon="key">{clientCertificate.subject ? words.certificateOf(clientCertificate.subject) : words.certificate}</Badge>}
      {classes.length > 0 ? <Badge>{words.classes(classes.length, onlyClasses)}</Badge> : null}
    </div>
  );
}

function Leads({ route: { target, listeners } }: { route: Route }) {
  return (
    <div className="min-w-0">
      <span className="font-mono text-sm [overflow-wrap:anywhere]">{targetText(target)}</span>
      <div className="text-xs break-words text-ink-3">{words.form.kinds[target.kind]} · {listeners ? words.on(listeners.join(', ')) : words.onTls}</div>
    </div>
  );
}
