// One site: its networks and where its traffic comes from, its agents and doors, what stands there.
import type { SiteDetailView } from '#api/place-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { call, isProblem } from '../api.ts';
import { absolute, count } from '../format.ts';
import { itemsOf, meQuery, refreshPlaces, siteDevicesQuery, siteLanQuery, siteQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card, Dot, Facts, PageHead, Skeleton, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Icon } from '../ui/icons.tsx';
import { Loaded, More } from '../ui/list.tsx';
import { ActionMenu, Confirm } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { Presence } from './presence.tsx';
import { DoorsCard } from './site-doors.tsx';
import { ChangeSite } from './site-form.tsx';
import { MoveToSite, type Moved } from './site-move.tsx';

const route = getRouteApi('/inside/sites/$site');
const words = text.places.site;
const OVERLAPS_SHOWN = 6;

export function SitePage() {
  const { site: key } = route.useParams();
  const site = useQuery(siteQuery(key));
  if (site.isPending) return <Skeleton lines={8} />;
  if (site.data === undefined) {
    return (
      <div className="flex flex-col gap-4">
        <BackLink />
        <ProblemNote problem={site.error} {...(isProblem(site.error, 404) ? {} : { again: () => void site.refetch() })} />
      </div>
    );
  }
  return <SiteBody site={site.data} />;
}

function BackLink() {
  return (
    <Link to="/sites" className="mb-1.5 -ml-1 inline-flex items-center gap-1 rounded-md px-1 text-sm text-ink-2 hover:text-ink">
      <Icon name="left" size={14} />
      {words.back}
    </Link>
  );
}

function SiteBody({ site }: { site: SiteDetailView }) {
  const [question, setQuestion] = useState<'change' | 'remove' | null>(null);
  const [moving, setMoving] = useState<Moved | null>(null);
  const navigate = useNavigate();
  const { data: me } = useQuery(meQuery);
  const mayChange = site.may.includes('administer');
  const mayRemove = me?.rights.some((right) => right.action === 'administer' && (right.scopeKind === 'gateway' || (right.scopeKind === 'customer' && right.scopeId === site.customerId))) ?? false;
  return (
    <>
      <PageHead
        name={site.name}
        before={<BackLink />}
        title={<span className="min-w-0 [overflow-wrap:anywhere]">{site.name}</span>}
        about={<span title={absolute(site.createdAt)}>{words.about(new Intl.DateTimeFormat('en-GB', { dateStyle: 'long' }).format(site.createdAt))}</span>}
        actions={
          mayChange ? (
            <>
              <Button icon="edit" onClick={() => setQuestion('change')}>{words.change}</Button>
              {mayRemove ? <ActionMenu label={words.actions} entries={[{ label: words.remove, icon: 'trash', danger: true, run: () => setQuestion('remove') }]} /> : null}
            </>
          ) : null
        }
      />
      {site.overlaps.length > 0 ? <div className="mb-5"><Overlaps overlaps={site.overlaps} /></div> : null}
      <div className="grid gap-5 xl:grid-cols-[minmax(0,1.65fr)_minmax(0,1fr)]">
        <div className="flex min-w-0 flex-col gap-5">
          <DoorsCard site={site} mayChange={mayChange} />
          <DevicesCard site={site} onMove={mayChange ? setMoving : null} />
        </div>
        <div className="flex min-w-0 flex-col gap-5">
          <NetworksCard site={site} mayChange={mayChange} />
          <AgentsCard site={site} onMove={mayChange ? setMoving : null} />
          {mayChange && site.agents.length > 0 ? <LanCard site={site} /> : null}
        </div>
      </div>
      <ChangeSite site={site} open={question === 'change'} onClose={() => setQuestion(null)} />
      <MoveToSite moved={moving} site={site} onClose={() => setMoving(null)} />
      <Confirm
        open={question === 'remove'}
        onClose={() => setQuestion(null)}
        title={words.removeTitle(site.name)}
        about={words.removeAbout}
        action={text.common.remove}
        run={async () => {
          await call('removeSite', { params: { site: site.id } });
          say(words.removed(site.name));
          await navigate({ to: '/sites' });
          await refreshPlaces();
        }}
      />
    </>
  );
}

function Overlaps({ overlaps }: { overlaps: SiteDetailView['overlaps'] }) {
  const kinds = new Set(overlaps.map(({ kind }) => kind));
  const groups = [...Map.groupBy(overlaps, ({ kind, siteId }) => `${kind} ${siteId}`)];
  const other = (siteId: string, name: string) => (name === '' ? words.otherSite : <Link to="/sites/$site" params={{ site: siteId }} className="font-medium text-ink underline decoration-line-strong hover:text-accent-ink">{name}</Link>);
  return (
    <Callout mood={kinds.has('egress') ? 'warn' : 'neutral'} icon="info" title={words.overlapsTitle(new Set(overlaps.map(({ siteId }) => siteId)).size)}>
      <ul className="flex flex-col gap-0.5">
        {groups.slice(0, OVERLAPS_SHOWN).map(([key, [first, ...rest]]) => {
          if (!first) return null;
          const networks = [first, ...rest].map(({ network }) => network).join(', ');
          const [before, after] = (first.kind === 'egress' ? words.overlapEgress : words.overlapSubnet)(networks, '\0').split('\0');
          return <li key={key} className="[overflow-wrap:anywhere]">{before}{other(first.siteId, first.siteName)}{after}</li>;
        })}
        {groups.length > OVERLAPS_SHOWN ? <li>{text.places.sites.more(groups.length - OVERLAPS_SHOWN)}</li> : null}
      </ul>
      {kinds.has('subnet') ? <p className="mt-1">{words.overlapsSubnetAbout}</p> : null}
      {kinds.has('egress') ? <p className="mt-1">{words.overlapsEgressAbout}</p> : null}
    </Callout>
  );
}

function Networks({ list, none }: { list: readonly string[]; none: string }) {
  if (list.length === 0) return <p className="text-sm text-ink-3">{none}</p>;
  return <ul className="flex flex-wrap gap-1.5">{list.map((each) => <li key={each} className="max-w-full rounded-lg bg-sunken px-2 py-0.5 font-mono text-sm [overflow-wrap:anywhere]">{each}</li>)}</ul>;
}

function NetworksCard({ site, mayChange }: { site: SiteDetailView; mayChange: boolean }) {
  const [busy, setBusy] = useState('');
  const take = async (address: string) => {
    setBusy(address);
    try {
      await call('changeSite', { params: { site: site.id }, body: { egress: [...site.egress, address] } });
      say(words.taken(address));
      await refreshPlaces();
    } catch (thrown) {
      sayProblem(thrown);
    }
    setBusy('');
  };
  return (
    <Card title={words.networks} about={words.networksAbout}>
      <div className="flex flex-col gap-4">
        <section>
          <h3 className="mb-1 text-sm text-ink-2">{words.subnets}</h3>
          <Networks list={site.subnets} none={words.subnetsNone} />
        </section>
        <section>
          <h3 className="mb-1 text-sm text-ink-2">{words.egress}</h3>
          <Networks list={site.egress} none={words.egressNone} />
        </section>
        {site.observed.length > 0 ? (
          <section>
            <h3 className="text-sm text-ink-2">{words.observed}</h3>
            <p className="text-xs text-ink-3">{words.observedAbout}</p>
            <ul className="mt-1.5 flex flex-col gap-2">
              {site.observed.map((each) => (
                <li key={`${each.agentId} ${each.address}`} className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm" data-observed={each.address}>
                  <div className="min-w-0 flex-1 basis-40">
                    <p className="font-mono [overflow-wrap:anywhere]">{each.address}</p>
                    <p className="text-xs break-words text-ink-3">{words.observedBy(each.agentName)}, <Time at={each.at} /></p>
                  </div>
                  {each.isListed ? (
                    <Badge mood="ok" icon="check">{words.isListed}</Badge>
                  ) : !each.isPublic ? (
                    <span className="text-xs text-ink-3">{words.isPrivate}</span>
                  ) : mayChange ? (
                    <Button size="sm" icon="plus" busy={busy === each.address} aria-label={words.takeOf(each.address)} onClick={() => void take(each.address)}>{words.take}</Button>
                  ) : null}
                </li>
              ))}
            </ul>
          </section>
        ) : null}
      </div>
    </Card>
  );
}

function AgentsCard({ site, onMove }: { site: SiteDetailView; onMove: ((moved: Moved) => void) | null }) {
  return (
    <Card title={words.agents} about={words.agentsAbout} flush={site.agents.length > 0}>
      {site.agents.length === 0 ? <p className="text-sm text-ink-2">{words.agentsNoneAbout}</p> : (
        <ul className="divide-y divide-line border-t border-line text-sm">
          {site.agents.map((agent) => (
            <li key={agent.id} data-agent={agent.name} className="flex items-center gap-3 px-4 py-2 sm:px-5">
              <Dot mood={agent.online ? 'ok' : 'neutral'} label={agent.online ? words.linked : words.unlinked} live={agent.online} />
              <span className="min-w-0 flex-1 font-medium [overflow-wrap:anywhere]">{agent.name}</span>
              {agent.state === 'active' ? <span className="text-xs text-ink-3">{agent.online ? words.linked : words.unlinked}</span> : <Badge mood={agent.state === 'revoked' ? 'bad' : 'warn'}>{words[agent.state]}</Badge>}
              {onMove ? <ActionMenu label={words.actionsOf(agent.name)} entries={[{ label: words.move, icon: 'site', run: () => onMove({ kind: 'agent', id: agent.id, name: agent.name }) }]} /> : null}
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function LanCard({ site }: { site: SiteDetailView }) {
  const [asked, setAsked] = useState(false);
  const lan = useQuery({ ...siteLanQuery(site.id), enabled: asked });
  const facts = words.lanFacts;
  const listed = (list: readonly string[]) => (list.length === 0 ? <span className="text-ink-3">{words.lanNothing}</span> : <span className="font-mono [overflow-wrap:anywhere]">{list.join(', ')}</span>);
  return (
    <Card title={words.lan} about={words.lanAbout} actions={<Button size="sm" busy={lan.isFetching} onClick={() => (asked ? void lan.refetch() : setAsked(true))}>{asked ? words.lanAgain : words.lanAsk}</Button>}>
      {!asked ? null : (
        <Loaded query={lan} lines={2}>
          {lan.data?.length === 0 ? <p className="text-sm text-ink-2">{words.lanNone}</p> : null}
          <div className="flex flex-col gap-4">
            {lan.data?.map((each) => (
              <section key={each.agentId} aria-label={each.agentName}>
                <h3 className="mb-1.5 text-sm font-medium">{each.agentName}</h3>
                <Facts rows={[[facts.subnets, listed(each.subnets)], [facts.gateways, listed(each.gateways)], [facts.resolvers, listed(each.resolvers)], [facts.addresses, listed(each.addresses)]]} />
              </section>
            ))}
          </div>
        </Loaded>
      )}
    </Card>
  );
}

function DevicesCard({ site, onMove }: { site: SiteDetailView; onMove: ((moved: Moved) => void) | null }) {
  const devices = useInfiniteQuery(siteDevicesQuery(site.id));
  const items = itemsOf(devices.data) ?? [];
  return (
    <Card title={words.devices} flush actions={<span className="text-sm text-ink-2 num">{count(site.devices)}</span>}>
      <div className="border-t border-line">
        <Loaded query={devices} lines={3}>
          {items.length === 0 ? <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{words.devicesNone}</p> : (
            <ul className="divide-y divide-line text-sm">
              {items.map((device) => (
                <li key={device.id} data-device={device.label} className="flex items-center gap-3 px-4 py-2 sm:px-5">
                  <Presence device={device} />
                  <div className="min-w-0 flex-1">
                    <Link to="/devices/$device" params={{ device: device.label }} className="rounded-sm font-medium [overflow-wrap:anywhere] hover:text-accent-ink hover:underline">{device.name}</Link>
                    <p className="truncate font-mono text-xs text-ink-3">{[device.host, device.serial].filter(Boolean).join(' · ')}</p>
                  </div>
                  {onMove && device.agentId === null && device.may.includes('administer') ? <ActionMenu label={words.actionsOf(device.name)} entries={[{ label: words.move, icon: 'site', run: () => onMove({ kind: 'device', id: device.id, name: device.name }) }]} /> : null}
                </li>
              ))}
            </ul>
          )}
          <More query={devices} />
        </Loaded>
      </div>
    </Card>
  );
}
