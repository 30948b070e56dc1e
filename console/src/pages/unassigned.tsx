// Devices that an application refused, by the code on their panel: which device it is is said here, and it may go on.
import type { DeviceView } from '#api/shapes.ts';
import type { UnassignedView } from '#api/source-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useDeferredValue, useEffect, useState } from 'react';
import { call } from '../api.ts';
import { agentsQuery, devicesQuery, itemsOf, meQuery, refresh, unassignedQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Callout, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Check } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { useKept } from '../ui/kept.ts';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { StateBadge } from './identity-state.tsx';
import { sentence } from './sentence.ts';

const words = text.sources.unassigned;
const SHOWN_DEVICES = 8;

/** `code`: one that was looked for; its entry is opened at once. */
export function Unassigned({ code, onCode }: { code: string | undefined; onCode: (code: string | null) => void }) {
  const unassigned = useQuery(unassignedQuery);
  const items = unassigned.data?.items ?? [];
  const [assigning, setAssigning] = useState<UnassignedView | null>(null);
  const asked = code === undefined ? undefined : items.find((each) => each.code === code);
  useEffect(() => {
    if (!asked) return;
    setAssigning(asked);
    onCode(null);
    // Only that it is there; its figures move.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [asked?.code]);
  const missing = code !== undefined && !asked && unassigned.data !== undefined && !unassigned.isFetching;
  return (
    <>
      {missing ? <div className="mb-5"><Callout mood="warn" icon="search" title={words.notFound(code)} action={<Button size="sm" onClick={() => onCode(null)}>{text.common.close}</Button>}>{words.notFoundAbout}</Callout></div> : null}
      {items.length > 0 ? (
        <section aria-label={words.region} className="mb-5 overflow-hidden rounded-2xl border border-accent/40 bg-surface shadow-1">
          <header className="bg-accent-soft px-4 py-3 sm:px-5">
            <h2 className="text-base font-semibold text-accent-ink">{words.title(items.length, unassigned.data?.next !== null)}</h2>
            <p className="text-sm text-ink-2">{words.about}</p>
          </header>
          <ul className="max-h-112 divide-y divide-line overflow-y-auto">
            {items.map((entry) => <Entry key={entry.code} entry={entry} onAssign={() => setAssigning(entry)} />)}
          </ul>
        </section>
      ) : null}
      <Assign entry={assigning} onClose={() => setAssigning(null)} />
    </>
  );
}

function Entry({ entry, onAssign }: { entry: UnassignedView; onAssign: () => void }) {
  const where = [words.from(entry.address), entry.siteName ? words.door(entry.siteName) : '', entry.mac ? words.mac(entry.mac) : '', entry.claimedSerial ? words.claims(entry.claimedSerial) : ''].filter(Boolean).join(' · ');
  return (
    <li data-unassigned={entry.code} className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3 text-sm sm:px-5">
      <span aria-label={`${words.code} ${words.spaced(entry.code)}`} className="rounded-lg bg-sunken px-2.5 py-1 font-mono text-lg font-semibold tracking-wide num">{words.spaced(entry.code)}</span>
      <div className="min-w-0 flex-1 basis-56">
        <p className="flex flex-wrap items-center gap-x-2 gap-y-0.5"><span className="font-medium break-all">{entry.application}</span><StateBadge state={entry.state} />{entry.device ? <span className="text-ink-2">{words.takenFor} {entry.device.name}</span> : null}</p>
        <p className="text-ink-2 [overflow-wrap:anywhere]">{sentence(entry.why)}</p>
        <p className="text-xs [overflow-wrap:anywhere] text-ink-3 num">{where}{entry.userAgent ? <> · <span className="font-mono">{entry.userAgent}</span></> : null} · {words.times(entry.count)}, {words.last} <Time at={entry.lastAt} /></p>
      </div>
      <Button tone="primary" size="sm" aria-label={words.assignOf(entry.code)} onClick={onAssign}>{words.assign}</Button>
    </li>
  );
}

function Assign({ entry, onClose }: { entry: UnassignedView | null; onClose: () => void }) {
  const kept = useKept(entry);
  return (
    <Dialog open={entry !== null} onClose={onClose} sticky title={words.assignTitle(kept?.code ?? '')} about={kept ? words.assignAbout(kept.application, kept.address) : undefined}>
      {kept ? <AssignBody key={kept.code} entry={kept} onClose={onClose} /> : null}
    </Dialog>
  );
}

function AssignBody({ entry, onClose }: { entry: UnassignedView; onClose: () => void }) {
  const likely = [...(entry.device ? [entry.device] : []), ...entry.candidates.filter(({ id }) => id !== entry.device?.id)];
  const { data: me } = useQuery(meQuery);
  const [how, setHow] = useState<'existing' | 'fresh'>('existing');
  const [device, setDevice] = useState(likely[0]?.id ?? '');
  const [moveHere, setMoveHere] = useState(true);
  const [name, setName] = useState('');
  const [serial, setSerial] = useState(entry.claimedSerial ?? '');
  const [agentId, setAgentId] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const agents = useInfiniteQuery({ ...agentsQuery, enabled: how === 'fresh' });
  // One that came through a door is behind that door's agent.
  const choices = (itemsOf(agents.data) ?? []).filter((agent) => agent.state !== 'revoked' && (entry.siteId === null || agent.siteId === entry.siteId));
  const agent = agentId || (entry.siteId === null ? (choices[0]?.id ?? '') : '');
  const submit = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const done = await call('assignDevice', { params: { code: entry.code }, body: how === 'existing' ? { device, moveHere } : { newDevice: { name: name.trim(), serial: serial.trim() || null, ...(agent ? { agentId: agent } : {}) }, moveHere: true } });
      const unclear = done.identity.state === 'ambiguous' || done.identity.state === 'unknown' ? `${words.stillUnclear}: ${done.identity.why}` : '';
      say(words.done(done.device.name, entry.application), [done.moved ? words.moved(entry.address) : '', unclear].filter(Boolean).join(' ') || undefined);
      onClose();
    } catch (thrown) {
      setProblem(thrown);
    }
    setBusy(false);
    await refresh('unassigned', 'job-sources', 'source-conflicts', 'devices', 'device', 'identity');
  };
  return (
    <Form label={words.assignTitle(entry.code)} onSubmit={() => void submit()}>
      <p className="rounded-xl bg-sunken px-4 py-3 text-sm [overflow-wrap:anywhere]">{sentence(entry.why)}{entry.userAgent ? <span className="mt-1 block font-mono text-xs text-ink-3">{entry.userAgent}</span> : null}</p>
      <fieldset className="flex flex-col gap-2">
        <legend className="mb-1.5 text-sm font-medium">{words.how}</legend>
        <div className="grid grid-cols-2 gap-2">
          {(['existing', 'fresh'] as const).map((each) => (
            <label key={each} className="flex cursor-pointer items-center gap-2 rounded-lg border border-line-strong px-3 py-2 text-sm has-checked:border-accent has-checked:bg-accent-soft has-checked:text-accent-ink has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent">
              <input type="radio" name="how" checked={how === each} onChange={() => setHow(each)} className="accent-accent" />
              {words[each]}
            </label>
          ))}
        </div>
      </fieldset>
      {how === 'existing' ? (
        <>
          <PickDevice value={device} onValue={setDevice} likely={likely} siteId={entry.siteId} />
          <Check label={words.moveHere(entry.address)} hint={words.moveHereHint} checked={moveHere} onChecked={setMoveHere} />
        </>
      ) : (
        <>
          <TextField label={words.name} value={name} onValue={setName} maxLength={100} autoComplete="off" />
          <TextField label={`${words.serial} (${text.common.optional})`} hint={words.serialHint} value={serial} onValue={setSerial} maxLength={128} autoComplete="off" autoCapitalize="none" spellCheck={false} className="font-mono" />
          {choices.length > 1 || entry.siteId === null ? <SelectField label={words.agent} hint={words.agentHint} value={agent} onValue={setAgentId} options={[...(entry.siteId === null ? [] : [['', words.agentOwn] as const]), ...choices.map((each) => [each.id, me && choices.some((other) => other.siteName !== each.siteName) ? `${each.name} · ${each.siteName}` : each.name] as const)]} /> : null}
        </>
      )}
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy} disabled={how === 'existing' ? device === '' : name.trim() === '' || (entry.siteId === null && agent === '')}>{how === 'existing' ? words.assignAction : words.makeAction}</Button>
      </div>
    </Form>
  );
}

interface PickProps {
  value: string;
  onValue: (id: string) => void;
  /** Put first, and said to be likely. */
  likely?: readonly Pick<DeviceView, 'id' | 'name' | 'label'>[];
  /** Of this site alone; null: any. */
  siteId?: string | null;
  label?: string;
}

/** A list of radio buttons that typing narrows. */
export function PickDevice({ value, onValue, likely = [], siteId = null, label = words.device }: PickProps) {
  const [typed, setTyped] = useState('');
  const search = useDeferredValue(typed.trim());
  const devices = useInfiniteQuery(devicesQuery(search ? { search } : {}));
  const found = (itemsOf(devices.data) ?? []).filter((device) => (siteId === null || device.siteId === siteId) && device.may.includes('administer'));
  const first = search ? [] : likely;
  const rest = found.filter(({ id }) => !first.some((each) => each.id === id)).slice(0, SHOWN_DEVICES - first.length);
  return (
    <fieldset className="flex flex-col gap-2">
      <legend className="mb-1.5 text-sm font-medium">{label}</legend>
      <TextField label={words.search} value={typed} onValue={setTyped} autoComplete="off" />
      <div className="flex max-h-60 flex-col divide-y divide-line overflow-y-auto rounded-lg border border-line">
        {[...first, ...rest].map((device) => (
          <label key={device.id} className="flex min-w-0 cursor-pointer items-center gap-3 px-3 py-2 text-sm hover:bg-sunken has-checked:bg-accent-soft has-focus-visible:outline-2 has-focus-visible:-outline-offset-2 has-focus-visible:outline-accent">
            <input type="radio" name="device" value={device.id} checked={value === device.id} onChange={() => onValue(device.id)} className="shrink-0 accent-accent" />
            <span className="min-w-0 flex-1"><span className="block truncate font-medium">{device.name}</span><span className="block truncate font-mono text-xs text-ink-3">{device.label}</span></span>
            {first.includes(device) ? <Badge mood="accent">{words.candidate}</Badge> : null}
          </label>
        ))}
        {first.length + rest.length === 0 ? <p className="px-3 py-4 text-sm text-ink-2">{words.none}</p> : null}
      </div>
    </fieldset>
  );
}
