// What a device said that it is: asked now, shown with what it rests on, drawn where a picture says more; and why, when it could not be asked.
import type { ProfileView } from '#api/probe-shapes.ts';
import type { DeviceView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { count, duration } from '../format.ts';
import { profileQuery, queryClient, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, Empty, Facts, Skeleton, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Loaded } from '../ui/list.tsx';
import { Confirm } from '../ui/overlay.tsx';
import { say } from '../ui/toast.tsx';
import { DeviceHistory } from './device-history.tsx';
import { FailureBox } from './probe-failure.tsx';
import { ProbeButton, ProbeProgress } from './probe-now.tsx';
import { Supplies, Trays } from './supplies.tsx';

const words = text.profile;
type Profile = NonNullable<ProfileView['profile']>;
const FUNCTIONS = ['print', 'copy', 'scan', 'fax'] as const;

export function DeviceProfile({ device }: { device: DeviceView }) {
  const profile = useQuery({ ...profileQuery(device.id), enabled: device.agentId !== null });
  if (device.agentId === null) return <Card><Empty icon="probe" title={words.noAgent}>{words.noAgentAbout}</Empty></Card>;
  if (profile.isPending) return <Skeleton lines={8} />;
  return <Loaded query={profile}>{profile.data ? <Body device={device} view={profile.data} /> : null}</Loaded>;
}

function Body({ device, view }: { device: DeviceView; view: ProfileView }) {
  const { profile, failure, run, readAt, triedAt } = view;
  const mayProbe = device.may.includes('administer');
  const partial = failure !== null && readAt !== null && triedAt !== null && readAt >= triedAt;
  return (
    <div className="flex flex-col gap-5">
      {run ? <ProbeProgress run={run} /> : null}
      {failure ? <FailureBox failure={failure} lastGoodAt={readAt} partial={partial} mayChange={mayProbe} /> : null}
      {profile === null ? run ? null : (
        failure ? (mayProbe ? <div><ProbeButton device={device} tone="primary" /></div> : null) : (
          <Card><Empty icon="probe" title={words.neverTried} action={mayProbe ? <ProbeButton device={device} tone="primary" /> : null}>{words.neverTriedAbout}</Empty></Card>
        )
      ) : (
        <div className="grid gap-5 xl:grid-cols-[minmax(0,1.65fr)_minmax(0,1fr)]">
          <div className="flex min-w-0 flex-col gap-5">
            <StateCard device={device} view={view} profile={profile} mayProbe={mayProbe} />
            <Card title={words.supplies} about={words.suppliesAbout}>{profile.supplies.length > 0 ? <Supplies supplies={profile.supplies} /> : <p className="text-sm text-ink-2">{words.suppliesNone}</p>}</Card>
            {profile.trays.length > 0 || profile.functions.print === true ? <Card title={words.trays}>{profile.trays.length > 0 ? <Trays trays={profile.trays} /> : <p className="text-sm text-ink-2">{words.traysNone}</p>}</Card> : null}
            <DeviceHistory device={device} profile={profile} />
          </div>
          <div className="flex min-w-0 flex-col gap-5">
            <WhatCard device={device} view={view} profile={profile} />
            {Object.keys(profile.counters).length > 0 ? <CountersCard counters={profile.counters} /> : null}
            <EvidenceCard view={view} profile={profile} />
          </div>
        </div>
      )}
    </div>
  );
}

function StateCard({ device, view, profile, mayProbe }: { device: DeviceView; view: ProfileView; profile: Profile; mayProbe: boolean }) {
  const { functions, errors, status } = profile;
  return (
    <Card actions={mayProbe ? <ProbeButton device={device} /> : null} title={[profile.vendor, profile.model].filter(Boolean).join(' ') || words.what} about={<>{words.read} <Time at={view.readAt} />{view.triedAt !== null && view.readAt !== null && view.triedAt > view.readAt ? <>, {words.tried} <Time at={view.triedAt} /></> : null}</>}>
      <ul className="flex flex-wrap items-center gap-1.5 [&>li]:flex">
        {status ? <li><Badge mood={status === 'idle' ? 'ok' : 'accent'}>{words.status[status] ?? status}</Badge></li> : null}
        {errors.map((error) => <li key={error} data-error={error}><Badge mood="warn" icon="warning">{words.errors[error] ?? error}</Badge></li>)}
        {errors.length === 0 ? <li><Badge>{words.noErrors}</Badge></li> : null}
      </ul>
      <ul className="mt-2 flex flex-wrap items-center gap-1.5 [&>li]:flex">
        {FUNCTIONS.map((each) => {
          const has = functions[each];
          if (has === null) return null;
          return <li key={each} data-function={each}>{has ? <Badge mood="accent" icon="check">{words.functions[each]}</Badge> : <Badge>{words.functionNo(words.functions[each])}</Badge>}</li>;
        })}
        {profile.colour === null ? null : <li><Badge>{profile.colour ? words.colour : words.mono}</Badge></li>}
        {profile.duplex ? <li><Badge>{words.duplex}</Badge></li> : null}
      </ul>
    </Card>
  );
}

function WhatCard({ device, view, profile }: { device: DeviceView; view: ProfileView; profile: Profile }) {
  const facts = words.facts;
  const mono = (value: string) => <span className="font-mono break-all">{value}</span>;
  const serial = profile.serial;
  return (
    <Card title={words.what} actions={<span title={words.trustTitles[view.trust]} data-trust={view.trust}><Badge mood={view.trust === 'verified' ? 'ok' : view.trust === 'different' ? 'bad' : 'neutral'} icon={view.trust === 'verified' ? 'ok' : view.trust === 'different' ? 'warning' : 'info'}>{words.trust[view.trust]}</Badge></span>}>
      <Facts
        rows={[
          profile.vendor ? [facts.vendor, profile.vendor] : null,
          profile.model ? [facts.model, profile.model] : null,
          serial ? [facts.serial, <SerialLine key="s" device={device} view={view} serial={serial} />] : null,
          profile.firmware ? [facts.firmware, mono(profile.firmware)] : null,
          profile.macs.length > 0 ? [facts.macs, <span key="m" className="flex flex-col">{profile.macs.map((mac) => <span key={mac} className="font-mono">{mac}</span>)}</span>] : null,
          view.mac ? [facts.macThere, mono(view.mac)] : null,
          profile.hostNames.length > 0 ? [facts.hostNames, mono(profile.hostNames.join(', '))] : null,
          profile.location ? [facts.location, profile.location] : null,
          profile.languages.length > 0 ? [facts.languages, profile.languages.map((each) => each.toUpperCase()).join(', ')] : null,
          profile.protocols.length > 0 ? [facts.protocols, profile.protocols.map((each) => words.protocols[each] ?? each.toUpperCase()).join(', ')] : null,
          view.address ? [facts.where, mono(view.address)] : null,
          profile.upSeconds === null ? null : [facts.up, duration(profile.upSeconds * 1_000)],
          profile.driver ? [facts.driver, mono(profile.driver)] : null,
          [facts.confidence, <Confidence key="c" share={profile.confidence} />],
        ]}
      />
    </Card>
  );
}

function Confidence({ share }: { share: number }) {
  const percent = Math.round(share * 100);
  return (
    <span className="inline-flex items-center gap-2">
      <span role="meter" aria-label={words.facts.confidence} aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100} className="h-1.5 w-20 overflow-hidden rounded-full bg-line"><span className={`block h-full rounded-full ${share < 0.4 ? 'bg-warn' : 'bg-accent'}`} style={{ width: `${percent}%` }} /></span>
      {words.percent(percent)}
    </span>
  );
}

function SerialLine({ device, view, serial }: { device: DeviceView; view: ProfileView; serial: string }) {
  const [taking, setTaking] = useState(false);
  const offered = view.offeredSerial;
  return (
    <span className="flex flex-wrap items-center justify-end gap-x-2 gap-y-1">
      <span className="font-mono break-all">{serial}</span>
      {device.serial === serial ? <Badge mood="ok" icon="check">{words.serialSame}</Badge> : device.serial !== null ? <Badge mood="bad" icon="warning"><span className="max-w-48 truncate" title={device.serial}>{words.serialOther(device.serial)}</span></Badge> : offered === null || !device.may.includes('administer') ? <Badge>{words.serialNone}</Badge> : <Button size="sm" onClick={() => setTaking(true)}>{words.takeSerial}</Button>}
      <Confirm
        open={taking}
        onClose={() => setTaking(false)}
        tone="primary"
        title={words.takeTitle(offered ?? serial)}
        about={words.takeAbout}
        action={words.takeSerial}
        run={async () => {
          const next = await call('takeProbedSerial', { params: { device: device.id } });
          queryClient.setQueryData(profileQuery(device.id).queryKey, next);
          say(words.takenSaid(offered ?? serial));
          await refresh('device', 'devices', 'identity', 'profiles');
        }}
      />
    </span>
  );
}

export const counterName = (name: string) => words.counterNames[name] ?? name.replaceAll('-', ' ');

function CountersCard({ counters }: { counters: Profile['counters'] }) {
  return (
    <Card title={words.counters}>
      <dl className="grid grid-cols-2 gap-x-6 gap-y-3">
        {Object.entries(counters).map(([name, value]) => (
          <div key={name} data-counter={name} className="min-w-0">
            <dt className="truncate text-xs text-ink-3 first-letter:uppercase" title={name}>{counterName(name)}</dt>
            <dd className="truncate text-base font-medium num">{count(value)}</dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}

function EvidenceCard({ view, profile }: { view: ProfileView; profile: Profile }) {
  const { explained } = view;
  return (
    <Card title={words.evidence} about={words.evidenceAbout}>
      <div className="flex flex-col gap-3">
        <details>
          <summary className="rounded-sm text-sm text-ink-2 hover:text-ink">{words.evidenceShow(profile.evidence.length)}</summary>
          <dl className="mt-2 flex flex-col gap-2 text-xs">
            {profile.evidence.map((each, at) => <div key={`${each.question} ${at}`} data-question={each.question}><dt className="font-mono break-all text-ink-3">{each.question}</dt><dd className="font-mono break-words">{each.value}</dd></div>)}
          </dl>
        </details>
        {explained ? (
          <details className="border-t border-line pt-3">
            <summary className="rounded-sm text-sm text-ink-2 hover:text-ink">{words.explained}: {words.explainedShow(explained.asked.length).toLowerCase()}</summary>
            {explained.driver ? <p className="mt-2 text-xs break-words text-ink-2">{words.chosen(explained.driver.key, explained.driver.by, explained.driver.matched)} · {words.requests(explained.requests)}</p> : null}
            <dl className="mt-2 flex flex-col gap-2 text-xs">
              {explained.asked.map((each, at) => <div key={`${each.question} ${at}`}><dt className="font-mono break-all text-ink-3">{each.question}</dt><dd className={each.value === null ? 'text-ink-2' : 'font-mono break-words'}>{each.value ?? each.why ?? words.unanswered}</dd></div>)}
            </dl>
          </details>
        ) : null}
      </div>
    </Card>
  );
}
