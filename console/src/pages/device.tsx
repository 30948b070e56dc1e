// One device: open it, see its link and who uses it, change it, shut it.
import type { DeviceView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useState, type ReactNode } from 'react';
import { call, isProblem } from '../api.ts';
import { absolute, count, relative, rtt } from '../format.ts';
import { agentQuery, deviceQuery, meQuery, queryClient } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card, CopyBlock, CopyValue, Empty, Facts, PageHead, Skeleton, Time, Traffic } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Icon } from '../ui/icons.tsx';
import { ActionMenu, Confirm } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { Tabs, tabClass } from './applications.tsx';
import { ContactCard, DeviceFeedsCard, TagsCard } from './device-contact.tsx';
import { EditDevice } from './device-edit.tsx';
import { DeviceIdentity } from './device-identity.tsx';
import { DeviceKeysCard } from './device-keys.tsx';
import { PortsCard } from './device-ports.tsx';
import { DeviceProfile } from './device-profile.tsx';
import { LinkChart } from './link-chart.tsx';
import { OpenLink } from './open-link.tsx';
import { Presence } from './presence.tsx';
import { refreshDevice } from './refresh-device.ts';
import { VisitsCard } from './visits.tsx';

const route = getRouteApi('/inside/devices/$device');
type DeviceTab = 'identity' | 'profile';

export function DevicePage() {
  const { device: key } = route.useParams();
  const device = useQuery(deviceQuery(key));
  if (device.isPending) return <Skeleton lines={8} />;
  if (device.data === undefined) {
    return (
      <div className="flex flex-col gap-4">
        <BackLink />
        <ProblemNote problem={device.error} {...(isProblem(device.error, 404) ? {} : { again: () => void device.refetch() })} />
      </div>
    );
  }
  return <DeviceBody device={device.data} />;
}

function BackLink() {
  return (
    <Link to="/devices" className="mb-1.5 -ml-1 inline-flex items-center gap-1 rounded-md px-1 text-sm text-ink-2 hover:text-ink">
      <Icon name="left" size={14} />
      {text.device.back}
    </Link>
  );
}

function DeviceBody({ device }: { device: DeviceView }) {
  const may = (action: DeviceView['may'][number]) => device.may.includes(action);
  const pushes = device.agentId === null || device.contact !== null;
  const { tab } = route.useSearch();
  return (
    <>
      <PageHead
        name={device.name}
        before={<BackLink />}
        title={
          <>
            <Presence device={device} />
            <span className="min-w-0 break-words">{device.name}</span>
            <StateBadges device={device} />
          </>
        }
        about={<SubTitle device={device} />}
        actions={
          <>
            {device.url && may('open') ? (
              <OpenLink device={device} url={device.url} tone="primary">
                <Icon name="open" size={16} />
                {text.device.open}
              </OpenLink>
            ) : null}
            {may('administer') ? <DeviceActions device={device} /> : null}
          </>
        }
      />
      <DeviceTabs device={device} tab={tab} />
      {tab === 'identity' ? <DeviceIdentity device={device} /> : tab === 'profile' ? <DeviceProfile device={device} /> : <Overview device={device} pushes={pushes} />}
    </>
  );
}

function DeviceTabs({ device, tab }: { device: DeviceView; tab: DeviceTab | undefined }) {
  const words = text.profile.tabs;
  const tabs: readonly (readonly [DeviceTab | undefined, string])[] = [[undefined, words.overview], ['identity', words.identity], ['profile', words.profile]];
  return (
    <Tabs label={words.label} on={tab}>
      {tabs.map(([to, label]) => (
        <li key={label}>
          <Link to="/devices/$device" params={{ device: device.label }} search={to ? { tab: to } : {}} replace activeOptions={{ exact: true, includeSearch: true }} className={tabClass}>{label}</Link>
        </li>
      ))}
    </Tabs>
  );
}

function Overview({ device, pushes }: { device: DeviceView; pushes: boolean }) {
  const may = (action: DeviceView['may'][number]) => device.may.includes(action);
  return (
    <>
      <Notices device={device} />
      <div className="grid gap-5 xl:grid-cols-[minmax(0,1.65fr)_minmax(0,1fr)]">
        <div className="flex min-w-0 flex-col gap-5">
          {device.agentId === null ? null : <PortsCard device={device} />}
          {device.agentId === null ? null : <LinkCard device={device} />}
          <DeviceFeedsCard device={device} />
          {device.agentId === null ? null : <VisitsCard deviceId={device.id} />}
          {pushes && may('administer') ? <DeviceKeysCard device={device} /> : null}
        </div>
        <div className="flex min-w-0 flex-col gap-5">
          {device.agentId === null ? null : <CommandsCard device={device} />}
          <ContactCard device={device} />
          <DetailsCard device={device} />
          {pushes ? <TagsCard device={device} /> : null}
          {device.agentId === null ? null : <PolicyCard policy={device.policy} />}
        </div>
      </div>
    </>
  );
}

function StateBadges({ device }: { device: DeviceView }) {
  return (
    <>
      {device.locked ? <Badge mood="warn" icon="lock">{text.device.locked}</Badge> : null}
      {device.agentState === 'locked' ? <Badge mood="warn" icon="lock">{text.device.agentLocked}</Badge> : null}
      {device.agentState === 'revoked' ? <Badge mood="bad">{text.device.agentRevoked}</Badge> : null}
    </>
  );
}

function SubTitle({ device }: { device: DeviceView }) {
  const host = device.url ? new URL(device.url).host : device.label;
  return (
    <span className="flex flex-wrap items-center gap-x-2 gap-y-0.5">
      <CopyValue value={device.url ?? device.label} shown={host} label={text.device.facts.address} />
      {device.online ? null : <span>{device.agentState === 'none' ? (device.lastSeenAt ? text.device.lastSeen(relative(device.lastSeenAt, Date.now())) : text.device.neverSeen) : device.lastSeenAt ? text.device.offlineSince(relative(device.lastSeenAt, Date.now())) : text.device.neverOnline}</span>}
    </span>
  );
}

function Notices({ device }: { device: DeviceView }) {
  const why = device.lastLeftWhy ? <p className="mt-0.5">{text.device.why}: <span className="text-ink">{device.lastLeftWhy}</span></p> : null;
  const notice = device.agentState === 'revoked' ? (
    <Callout mood="bad" icon="bad" title={text.device.revokedTitle}>{text.device.revokedAbout}</Callout>
  ) : device.agentState === 'locked' ? (
    <Callout mood="warn" icon="lock" title={text.device.agentLockedTitle}>{text.device.agentLockedAbout}</Callout>
  ) : device.locked ? (
    <Callout mood="warn" icon="lock" title={text.device.lockedTitle}>{text.device.lockedAbout}</Callout>
  ) : device.agentState === 'none' ? (
    <Callout icon="info" title={text.device.pushesTitle}>{text.device.pushesAbout}</Callout>
  ) : device.online ? null : (
    <Callout icon="unplug" title={text.device.offlineTitle}>{text.device.offlineAbout}{why}</Callout>
  );
  return notice ? <div className="mb-5">{notice}</div> : null;
}

type Question = 'edit' | 'lock' | 'lockAgent' | 'revoke' | 'remove' | null;

function DeviceActions({ device }: { device: DeviceView }) {
  const [question, setQuestion] = useState<Question>(null);
  const navigate = useNavigate();
  const agent = useQuery(agentQuery(device.agentId));
  const agentParams = { id: device.agentId ?? '' };
  const close = () => setQuestion(null);
  const behind = (agent.data?.devices ?? [{ name: device.name }]).map((each) => each.name).join(', ');
  const params = { device: device.id };
  const now = async (run: () => Promise<unknown>, said: string) => {
    try {
      await run();
      say(said);
      await refreshDevice();
    } catch (thrown) {
      sayProblem(thrown);
    }
  };
  const agentMay = agent.data?.may.includes('administer') ?? false;
  return (
    <>
      <Button icon="edit" onClick={() => setQuestion('edit')}>
        {text.device.edit}
      </Button>
      {device.locked ? (
        <Button icon="unlock" onClick={() => void now(() => call('unlockDevice', { params }), text.device.unlockedSaid(device.name))}>
          {text.device.unlock}
        </Button>
      ) : (
        <Button icon="lock" onClick={() => setQuestion('lock')}>
          {text.device.lock}
        </Button>
      )}
      <ActionMenu
        label={text.device.actions}
        entries={[
          ...(agentMay && device.online ? [{ label: text.device.redial, icon: 'refresh' as const, run: () => void now(() => call('closeAgentLink', { params: agentParams }), text.device.redialSaid) }] : []),
          ...(agentMay && device.agentState === 'active' ? [{ label: text.device.lockAgent, icon: 'lock' as const, run: () => setQuestion('lockAgent') }] : []),
          ...(agentMay && device.agentState === 'locked' ? [{ label: text.device.unlockAgent, icon: 'unlock' as const, run: () => void now(() => call('unlockAgent', { params: agentParams }), text.device.agentUnlockedSaid) }] : []),
          ...(agentMay && device.agentState !== 'revoked' ? [{ label: text.device.revoke, icon: 'shield' as const, danger: true, run: () => setQuestion('revoke') }] : []),
          null,
          { label: text.device.remove, icon: 'trash', danger: true, run: () => setQuestion('remove') },
        ]}
      />
      <EditDevice device={device} open={question === 'edit'} onClose={close} />
      <Confirm open={question === 'lock'} onClose={close} title={text.device.lockTitle(device.name)} about={text.device.lockAbout} action={text.device.lock} run={() => call('lockDevice', { params }).then((next) => (say(text.device.lockedSaid(device.name)), refreshDevice(next)))} />
      <Confirm open={question === 'lockAgent'} onClose={close} title={text.device.agentLockTitle} about={text.device.agentLockAbout(behind)} action={text.device.lockAgent} run={() => call('lockAgent', { params: agentParams }).then(() => (say(text.device.agentLockedSaid), refreshDevice()))} />
      <Confirm open={question === 'revoke'} onClose={close} title={text.device.revokeTitle} about={text.device.revokeAbout(behind)} action={text.device.revokeAction} typed={device.label} run={() => call('revokeAgent', { params: agentParams }).then(() => (say(text.device.revokedSaid), refreshDevice()))} />
      <Confirm
        open={question === 'remove'}
        onClose={close}
        title={text.device.removeTitle(device.name)}
        about={text.device.removeAbout}
        action={text.device.removeAction}
        typed={device.label}
        run={async () => {
          await call('removeDevice', { params });
          say(text.device.removedSaid(device.name));
          await navigate({ to: '/devices' });
          await queryClient.invalidateQueries({ queryKey: ['devices'] });
        }}
      />
    </>
  );
}

function LinkCard({ device }: { device: DeviceView }) {
  const link = device.link;
  return (
    <Card title={text.device.link} about={text.device.linkAbout}>
      {link ? (
        <div className="flex flex-col gap-4">
          <dl className="flex flex-wrap gap-x-8 gap-y-3">
            <Figure label={text.device.facts.rtt} value={rtt(link.rttMs)} />
            <Figure label={text.device.facts.streams} value={count(link.streams)} />
            <Figure label={text.device.facts.traffic} value={<Traffic to={link.bytesOut} from={link.bytesIn} />} />
            <Figure label={text.device.facts.since} value={<Time at={link.since} />} />
          </dl>
          <LinkChart deviceId={device.id} />
        </div>
      ) : (
        <p className="text-sm text-ink-2">{text.device.noLink}</p>
      )}
    </Card>
  );
}

function Figure({ label, value, title }: { label: string; value: ReactNode; title?: string }) {
  return (
    <div className="min-w-0">
      <dt className="truncate text-xs text-ink-3">{label}</dt>
      <dd title={title} className="truncate text-base font-medium num">{value}</dd>
    </div>
  );
}

function CommandsCard({ device }: { device: DeviceView }) {
  const me = useQuery(meQuery);
  if (!device.may.includes('open')) return null;
  const ssh = device.ports.find((port) => port.kind === 'tcp' && (port.number === 22 || /ssh/i.test(port.name)));
  const others = device.ports.filter((port) => port !== ssh).slice(0, 4);
  const login = `postern login ${me.data?.console ?? location.origin}`;
  return (
    <Card title={text.device.commands} about={text.device.commandsAbout}>
      {ssh || others.length > 0 ? (
        <div className="flex flex-col gap-3.5">
          <Command label={text.device.login} value={login} />
          {ssh ? <Command label={text.device.ssh} value={`postern ssh ${ssh.number === 22 ? '' : `-p ${ssh.number} `}USER@${device.label}`} /> : null}
          {ssh ? <Command label={text.device.sshConfig} value={`ssh -o ProxyCommand='postern connect %h %p' ${ssh.number === 22 ? '' : `-p ${ssh.number} `}USER@${device.label}`} /> : null}
          {others.map((port) => (
            <Command key={`${port.number} ${port.kind}`} label={text.device.forward(port.name || text.device.unnamed(port.kind))} value={`postern forward ${device.label} ${port.number}${port.kind === 'udp' ? '/udp' : ''}`} />
          ))}
        </div>
      ) : (
        <p className="text-sm text-ink-2">{text.device.noTerminal}</p>
      )}
    </Card>
  );
}

function Command({ label, value }: { label: string; value: string }) {
  return (
    <div>
      <p className="mb-1 text-sm text-ink-2">{label}</p>
      <CopyBlock value={value} label={label} />
    </div>
  );
}

function DetailsCard({ device }: { device: DeviceView }) {
  const facts = text.device.facts;
  const { data: me } = useQuery(meQuery);
  const seesSite = me?.rights.some(({ scopeKind, scopeId }) => scopeKind === 'gateway' || scopeId === device.siteId || scopeId === device.customerId) ?? false;
  // Those who only open a device need not know its agent, and the gateway does not tell them.
  const agent = useQuery({ ...agentQuery(device.agentId), enabled: device.agentId !== null && device.may.includes('administer') });
  return (
    <Card title={text.device.details}>
      <Facts
        rows={[
          [facts.label, <CopyValue key="label" value={device.label} label={facts.label} />],
          device.serial ? [facts.serial, <CopyValue key="serial" value={device.serial} label={facts.serial} />] : null,
          [facts.site, seesSite ? <Link key="site" to="/sites/$site" params={{ site: device.siteId }} className="rounded-sm hover:text-accent-ink hover:underline">{device.siteName}</Link> : device.siteName],
          ...(device.agentId === null
            ? []
            : ([
                [facts.dials, <span key="host" className="font-mono">{device.host}</span>],
                [facts.hostHeader, text.device.hostHeaders[device.hostHeader]],
                [facts.version, device.version ?? '–'],
              ] as const)),
          device.link ? [facts.from, <span key="from" className="font-mono">{device.link.from}</span>] : [facts.lastSeen, <Time key="seen" at={device.lastSeenAt} never={text.common.never} />],
          agent.data?.certificateUntil ? [facts.certificate, <span key="until" title={absolute(agent.data.certificateUntil)}><Time at={agent.data.certificateUntil} /></span>] : null,
          [facts.created, <Time key="created" at={device.createdAt} />],
          [facts.id, <CopyValue key="id" value={device.id} shown={`${device.id.slice(0, 8)}…`} label={facts.id} />],
        ]}
      />
    </Card>
  );
}

function PolicyCard({ policy }: { policy: DeviceView['policy'] }) {
  return (
    <Card title={text.device.policy} about={text.device.policyAbout}>
      {policy === null ? (
        <p className="text-sm text-ink-2">{text.device.policyNone}</p>
      ) : policy.length === 0 ? (
        <Empty icon="shield" title={text.device.policyNone} />
      ) : (
        <ul className="flex flex-col gap-1 rounded-xl bg-sunken px-3.5 py-2.5 font-mono text-sm">
          {policy.map((line) => <li key={line} className="break-words">{line}</li>)}
        </ul>
      )}
    </Card>
  );
}
