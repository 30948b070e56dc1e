// Keys by which devices know this gateway: prepared, confirmed, shown. A switch that would lose a device is refused, and says whom.
import type { PinDeviceView, PinsView, PinView } from '#api/identity-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { call } from '../api.ts';
import type { Answer } from '#api/contract.ts';
import { count } from '../format.ts';
import { itemsOf, meQuery, pinDevicesQuery, pinsQuery, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card, CopyValue, PageHead, Skeleton, Time, type Mood } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Select, TextField } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { useKept } from '../ui/kept.ts';
import { Loaded, More } from '../ui/list.tsx';
import { Confirm, Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { PemBlock } from './certificate-files.tsx';
import { OfGateway } from './data.tsx';

const words = text.fleet.pins;
const moods: Record<PinView['state'], Mood> = { present: 'ok', next: 'accent', old: 'neutral' };
const STATES: readonly PinView['state'][] = ['present', 'next', 'old'];
type Prepared = Answer<'preparePin'>['items'];
type Ask = { readonly what: 'switch' | 'drop' | 'who'; readonly pin: PinView } | null;

export function PinsPage() {
  return (
    <OfGateway>
      <Pins />
    </OfGateway>
  );
}

function Pins() {
  const pins = useQuery(pinsQuery);
  const { data: me } = useQuery(meQuery);
  const [busy, setBusy] = useState<string | null>(null);
  const [requests, setRequests] = useState<Prepared | null>(null);
  const [ask, setAsk] = useState<Ask>(null);
  const kept = useKept(ask);
  const mayChange = me?.may.administerGateway ?? false;
  const items = [...(pins.data?.items ?? [])].sort((a, b) => a.name.localeCompare(b.name) || STATES.indexOf(a.state) - STATES.indexOf(b.state));
  const hasNext = (certificate: string) => items.some((each) => each.certificate === certificate && each.state === 'next');
  const prepare = async (certificate: string | null) => {
    setBusy(certificate ?? '');
    try {
      const made = (await call('preparePin', { body: { certificate } })).items;
      say(words.prepared(made.length));
      if (made.some(({ request }) => request !== null)) setRequests(made.filter(({ request }) => request !== null));
      await refresh('pins', 'certificates', 'certificate');
    } catch (thrown) {
      sayProblem(thrown);
    }
    setBusy(null);
  };
  const unprepared = items.filter((each) => each.state === 'present' && !hasNext(each.certificate));
  return (
    <>
      <PageHead title={words.title} about={words.about} actions={mayChange && unprepared.length > 1 ? <Button icon="key" busy={busy === ''} onClick={() => void prepare(null)}>{words.prepareAll}</Button> : null} />
      <div className="flex flex-col gap-5">
        <Explained pins={pins.data} />
        <Card flush>
          <Loaded query={pins} lines={3}>
            <ul className="divide-y divide-line">
              {items.map((pin) => <PinRow key={`${pin.certificate} ${pin.hex}`} pin={pin} mayChange={mayChange} canPrepare={unprepared.includes(pin)} busy={busy === pin.certificate} onPrepare={() => void prepare(pin.certificate)} onAsk={(what) => setAsk({ what, pin })} />)}
            </ul>
          </Loaded>
        </Card>
      </div>
      <Dialog open={ask?.what === 'who'} onClose={() => setAsk(null)} wide title={words.whoTitle(kept?.pin.name ?? '')}>{kept ? <Who key={kept.pin.hex} pin={kept.pin} /> : null}</Dialog>
      <Dialog open={ask?.what === 'switch'} onClose={() => setAsk(null)} title={words.switchTitle(kept?.pin.name ?? '')}>{kept ? <SwitchBody key={kept.pin.hex} pin={kept.pin} onClose={() => setAsk(null)} /> : null}</Dialog>
      <Confirm
        open={ask?.what === 'drop'}
        onClose={() => setAsk(null)}
        title={words.dropTitle(kept?.pin.name ?? '')}
        about={words.dropAbout}
        action={words.dropAction}
        run={async () => {
          if (!kept) return;
          await call('dropPin', { body: { certificate: kept.pin.certificate } });
          say(words.dropped);
          await refresh('pins', 'certificates', 'certificate');
        }}
      />
      <Requests requests={requests} onClose={() => setRequests(null)} />
    </>
  );
}

function Explained({ pins }: { pins: PinsView | undefined }) {
  const steps = [words.steps.prepare, words.steps.confirm, words.steps.show];
  return (
    <Card>
      <p className="max-w-3xl text-sm text-ink-2">{words.explain}</p>
      <ol className="mt-3 flex flex-wrap items-center gap-x-2 gap-y-1.5 text-sm">
        {steps.map((step, at) => (
          <li key={step} className="flex items-center gap-2">
            {at > 0 ? <Icon name="chevron" size={13} className="text-ink-3" /> : null}
            <span className="flex size-5.5 items-center justify-center rounded-full bg-accent-soft text-xs font-medium text-accent-ink num">{at + 1}</span>
            {step}
          </li>
        ))}
      </ol>
      {pins ? (
        <p className="mt-3 border-t border-line pt-3 text-sm text-ink-2 num">
          {pins.pinning + pins.silent + pins.notPinning === 0 ? words.none : [words.counts(pins.pinning), pins.silent > 0 ? words.silent(pins.silent, pins.activeDays) : '', pins.notPinning > 0 ? words.notPinning(pins.notPinning) : ''].filter(Boolean).join('. ') + '.'}
        </p>
      ) : null}
    </Card>
  );
}

interface RowProps {
  pin: PinView;
  mayChange: boolean;
  canPrepare: boolean;
  busy: boolean;
  onPrepare: () => void;
  onAsk: (what: 'switch' | 'drop' | 'who') => void;
}

function PinRow({ pin, mayChange, canPrepare, busy, onPrepare, onAsk }: RowProps) {
  const of = pin.confirmed + pin.missing;
  return (
    <li data-pin={pin.state} className="grid gap-x-6 gap-y-3 px-4 py-4 text-sm sm:px-5 lg:grid-cols-[minmax(0,1fr)_14rem_auto] lg:items-center">
      <div className="min-w-0">
        <p className="flex flex-wrap items-center gap-x-2 gap-y-1"><span className="font-medium break-words">{pin.name}</span><Badge mood={moods[pin.state]}><span title={words.stateTitles[pin.state]}>{words.states[pin.state]}</span></Badge></p>
        <p className="break-words text-ink-2">{pin.hosts.map((host) => host ?? words.noName).join(', ')}</p>
        <p className="-ml-1 text-xs"><CopyValue value={pin.pin} label={words.pin} /></p>
      </div>
      <div className="min-w-0">
        {of === 0 ? <p className="text-ink-3">{words.nobody}</p> : (
          <>
            <div className="flex items-baseline justify-between gap-2"><span className={pin.missing > 0 && pin.state === 'next' ? 'text-warn-ink' : ''}>{words.confirmed(pin.confirmed, of)}</span><Button size="sm" tone="quiet" onClick={() => onAsk('who')}>{words.who}</Button></div>
            <div aria-hidden="true" className="h-1.5 overflow-hidden rounded-full bg-line"><div className={`h-full rounded-full ${pin.missing === 0 ? 'bg-ok' : 'bg-warn'}`} style={{ width: `${(pin.confirmed / of) * 100}%` }} /></div>
            {pin.missing > 0 ? <p className="mt-1 text-xs text-warn-ink">{words.missing(pin.missing)}</p> : null}
          </>
        )}
      </div>
      {mayChange ? (
        <div className="flex flex-wrap gap-2 lg:w-56 lg:justify-end">
          {canPrepare ? <Button size="sm" icon="key" busy={busy} onClick={onPrepare}>{words.prepare}</Button> : null}
          {pin.state === 'next' ? (
            <>
              <Button size="sm" tone="quiet" onClick={() => onAsk('drop')}>{words.drop}</Button>
              <Button size="sm" tone={pin.missing === 0 ? 'primary' : 'plain'} onClick={() => onAsk('switch')}>{words.switch}</Button>
            </>
          ) : null}
        </div>
      ) : null}
    </li>
  );
}

function DeviceLines({ devices }: { devices: readonly PinDeviceView[] }) {
  return (
    <ul className="divide-y divide-line">
      {devices.map((device) => (
        <li key={device.id} className="flex flex-wrap items-center justify-between gap-x-4 gap-y-0.5 py-2 text-sm">
          <span className="min-w-0"><Link to="/devices/$device" params={{ device: device.label }} className="rounded-sm font-medium break-words hover:text-accent-ink hover:underline">{device.name}</Link> {device.serial ? <span className="font-mono text-xs text-ink-3">{device.serial}</span> : null}</span>
          <span className="flex items-center gap-2 text-xs text-ink-3"><Badge mood={device.state === 'confirmed' ? 'ok' : device.state === 'missing' ? 'warn' : 'neutral'}>{words.deviceStates[device.state]}</Badge>{words.lastSeen} <Time at={device.lastSeenAt} never={text.common.never} /></span>
        </li>
      ))}
    </ul>
  );
}

function Who({ pin }: { pin: PinView }) {
  const [state, setState] = useState<PinDeviceView['state'] | ''>(pin.missing > 0 ? 'missing' : '');
  const devices = useInfiniteQuery(pinDevicesQuery({ pin: pin.hex, ...(state ? { state } : {}) }));
  const items = itemsOf(devices.data) ?? [];
  const states = Object.keys(words.deviceStates) as PinDeviceView['state'][];
  return (
    <div className="flex flex-col gap-3">
      <Select aria-label={words.filter} value={state} onValue={(next) => setState(states.find((each) => each === next) ?? '')} options={[['', words.all], ...states.map((each) => [each, words.deviceStates[each]] as const)]} className="w-52" />
      <Loaded query={devices} lines={3}>
        {items.length === 0 ? <p className="text-sm text-ink-2">{words.noDevices}</p> : <DeviceLines devices={items} />}
        <More query={devices} />
      </Loaded>
    </div>
  );
}

function SwitchBody({ pin, onClose }: { pin: PinView; onClose: () => void }) {
  const [plan, setPlan] = useState<Answer<'switchPin'> | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [typed, setTyped] = useState('');
  const look = () => {
    setProblem(null);
    call('switchPin', { body: { certificate: pin.certificate, dryRun: true } }).then(setPlan, setProblem);
  };
  // What it would do is asked once, when the question is opened.
  // eslint-disable-next-line react-hooks/exhaustive-deps
  useEffect(look, []);
  const run = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await call('switchPin', { body: { certificate: pin.certificate, losing: plan && plan.lost > 0 ? plan.lost : null } });
      say(words.switched(pin.name));
      onClose();
    } catch (thrown) {
      setProblem(thrown);
      // Who would be lost may have changed since.
      call('switchPin', { body: { certificate: pin.certificate, dryRun: true } }).then(setPlan, () => {});
    }
    setBusy(false);
    await refresh('pins', 'certificates', 'certificate');
  };
  if (plan === null) return problem === null ? <Skeleton lines={2} /> : <ProblemNote problem={problem} again={look} />;
  const loses = plan.lost > 0;
  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        void run();
      }}
    >
      {loses ? (
        <>
          <Callout mood="bad" icon="warning" title={words.switchRefused(plan.lost)}>{words.switchRefusedAbout}</Callout>
          <div className="max-h-60 overflow-y-auto rounded-xl border border-line px-3"><DeviceLines devices={plan.devices} />{plan.lost > plan.devices.length ? <p className="py-2 text-sm text-ink-3">{words.switchMore(plan.lost - plan.devices.length)}</p> : null}</div>
          <TextField label={words.switchForceLabel(plan.lost)} value={typed} onValue={setTyped} inputMode="numeric" autoComplete="off" placeholder={count(plan.lost)} />
        </>
      ) : (
        <p className="text-sm text-ink-2">{pin.confirmed > 0 ? words.switchFine : words.switchNobody}</p>
      )}
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone={loses ? 'danger' : 'primary'} busy={busy} disabled={loses && typed.trim() !== String(plan.lost)}>{loses ? words.switchForce : words.switchAction}</Button>
      </div>
    </form>
  );
}

function Requests({ requests, onClose }: { requests: Prepared | null; onClose: () => void }) {
  const kept = useKept(requests) ?? [];
  return (
    <Dialog open={requests !== null} onClose={onClose} wide title={words.requestTitle} about={words.requestAbout}>
      <div className="flex flex-col gap-4">
        {kept.map(({ certificate, name, request }) => (request === null ? null : <PemBlock key={certificate} pem={request} label={words.request(name)} fileName={`${name.replace(/[^\w.-]/g, '_')}.csr`} download={text.data.files.download} />))}
      </div>
    </Dialog>
  );
}
