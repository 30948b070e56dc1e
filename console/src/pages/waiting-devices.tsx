// Serials that nobody knows and that ask to be known: approved or refused, one or many; a key is shown once.
import type { WaitingDeviceView } from '#api/identity-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { bytes } from '../format.ts';
import { itemsOf, refresh, sitesQuery, waitingDevicesQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Callout, CopyBlock, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Check } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { useKept } from '../ui/kept.ts';
import { More } from '../ui/list.tsx';
import { Confirm, Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { saveFile } from './certificate-files.tsx';

const words = text.fleet.waiting;

interface Shown {
  readonly keys: readonly { readonly name: string; readonly key: string }[];
  readonly failed: readonly { readonly serial: string; readonly why: string }[];
}

export function WaitingDevices() {
  const waiting = useInfiniteQuery(waitingDevicesQuery);
  const items = itemsOf(waiting.data) ?? [];
  const decidable = items.filter((each) => each.mayDecide);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [approving, setApproving] = useState<readonly WaitingDeviceView[] | null>(null);
  const [refusing, setRefusing] = useState<readonly WaitingDeviceView[] | null>(null);
  const [shown, setShown] = useState<Shown | null>(null);
  const leaving = useKept(refusing);
  const picked = decidable.filter(({ id }) => chosen.has(id));
  const dialogs = (
    <>
      <Approve waiting={approving} onClose={() => setApproving(null)} onShown={setShown} />
      <ShowKeys shown={shown} onClose={() => setShown(null)} />
    </>
  );
  // The dialogs stay: the key of the last one that waited is still to be read.
  if (items.length === 0) return dialogs;
  return (
    <section aria-label={words.region} className="mb-5 overflow-hidden rounded-2xl border border-accent/40 bg-surface shadow-1">
      <header className="flex flex-wrap items-center gap-x-4 gap-y-2 bg-accent-soft px-4 py-3 sm:px-5">
        <div className="min-w-0 flex-1 basis-60">
          <h2 className="text-base font-semibold text-accent-ink">{words.title(items.length, waiting.hasNextPage)}</h2>
          <p className="text-sm text-ink-2">{words.about}</p>
        </div>
        {decidable.length > 1 ? (
          <div className="flex flex-wrap items-center gap-2">
            <label className="flex items-center gap-2 text-sm text-ink-2"><input type="checkbox" title={words.chooseAll} checked={picked.length === decidable.length} onChange={(event) => setChosen(new Set(event.target.checked ? decidable.map(({ id }) => id) : []))} className="size-4.5 accent-accent" />{words.all}</label>
            {picked.length > 0 ? (
              <>
                <Button size="sm" onClick={() => setRefusing(picked)}>{words.refuseAll(picked.length)}</Button>
                <Button size="sm" tone="primary" onClick={() => setApproving(picked)}>{words.approveAll(picked.length)}</Button>
              </>
            ) : null}
          </div>
        ) : null}
      </header>
      <ul className="max-h-96 divide-y divide-line overflow-y-auto">
        {items.map((each) => (
          <li key={each.id} data-waiting={each.serial} className="flex flex-wrap items-center gap-x-3 gap-y-2 px-4 py-2.5 text-sm sm:px-5">
            {each.mayDecide && decidable.length > 1 ? (
              <input type="checkbox" aria-label={words.choose(each.serial)} checked={chosen.has(each.id)} onChange={(event) => setChosen((before) => (event.target.checked ? new Set([...before, each.id]) : new Set([...before].filter((id) => id !== each.id))))} className="size-4.5 shrink-0 accent-accent" />
            ) : null}
            <div className="min-w-0 flex-1 basis-48">
              <p className="flex min-w-0 flex-wrap items-center gap-x-2 gap-y-0.5"><span className="min-w-0 font-mono font-medium break-all">{each.serial}</span>{each.name ? <span className="truncate text-ink-2">{each.name}</span> : null}{each.hasKey ? <Badge mood="ok" icon="key">{words.ownKey}</Badge> : null}</p>
              <p className="text-xs text-ink-3 num">
                {[words.from(each.from), each.product, each.bytes > 0 ? words.data(bytes(each.bytes)) : words.noData].filter(Boolean).join(' · ')} · {words.first} <Time at={each.firstSeenAt} />, {words.last} <Time at={each.lastSeenAt} />
              </p>
            </div>
            {each.mayDecide ? (
              <div className="flex gap-2">
                <Button size="sm" tone="quiet" aria-label={words.refuseOf(each.serial)} onClick={() => setRefusing([each])}>{words.refuse}</Button>
                <Button size="sm" aria-label={words.approveOf(each.serial)} onClick={() => setApproving([each])}>{words.approve}</Button>
              </div>
            ) : null}
          </li>
        ))}
      </ul>
      <More query={waiting} />
      {dialogs}
      <Confirm
        open={refusing !== null}
        onClose={() => setRefusing(null)}
        title={leaving?.length === 1 ? words.refuseTitle(leaving[0]?.serial ?? '') : words.refuseSeveralTitle(leaving?.length ?? 0)}
        about={words.refuseAbout}
        action={words.refuse}
        run={async () => {
          const { refused } = await call('refuseWaitingDevices', { body: { ids: (leaving ?? []).map(({ id }) => id) } });
          say(words.refused(refused));
          setChosen(new Set());
          await refresh('waiting-devices', 'feeds');
        }}
      />
    </section>
  );
}

function Approve({ waiting, onClose, onShown }: { waiting: readonly WaitingDeviceView[] | null; onClose: () => void; onShown: (shown: Shown) => void }) {
  const kept = useKept(waiting) ?? [];
  const [only] = kept;
  return (
    <Dialog open={waiting !== null} onClose={onClose} title={kept.length === 1 && only ? words.approveTitle(only.serial) : words.approveSeveralTitle(kept.length)} about={words.approveAbout}>
      <ApproveBody key={kept.map(({ id }) => id).join()} waiting={kept} onClose={onClose} onShown={onShown} />
    </Dialog>
  );
}

function ApproveBody({ waiting, onClose, onShown }: { waiting: readonly WaitingDeviceView[]; onClose: () => void; onShown: (shown: Shown) => void }) {
  const sites = useQuery(sitesQuery);
  const only = waiting.length === 1 ? waiting[0] : undefined;
  const customers = new Set(waiting.map(({ customerId }) => customerId));
  const choices = (sites.data?.items ?? []).filter((site) => customers.size === 1 && customers.has(site.customerId));
  const [name, setName] = useState(only?.name || only?.serial.slice(0, 100) || '');
  const [siteId, setSiteId] = useState('');
  const [newKey, setNewKey] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const submit = async () => {
    setBusy(true);
    setProblem(null);
    try {
      // Not asked for: then it is as its customer has it.
      const wish = { ...(siteId ? { siteId } : {}), ...(newKey ? { newKey } : {}) };
      if (only) {
        const { device, key } = await call('approveWaitingDevice', { params: { id: only.id }, body: { ...(name.trim() ? { name: name.trim() } : {}), ...wish } });
        say(words.approved(device.name));
        if (key !== null) onShown({ keys: [{ name: device.name, key }], failed: [] });
      } else {
        const { items } = await call('approveWaitingDevices', { body: { ids: waiting.map(({ id }) => id), ...wish } });
        const failed = items.flatMap(({ serial, why }) => (why === null ? [] : [{ serial, why }]));
        const keys = items.flatMap(({ serial, device, key }) => (key === null ? [] : [{ name: device?.name ?? serial, key }]));
        say(words.approvedSeveral(items.length - failed.length));
        if (keys.length > 0 || failed.length > 0) onShown({ keys, failed });
      }
      onClose();
    } catch (thrown) {
      setProblem(thrown);
    }
    setBusy(false);
    await refresh('waiting-devices', 'devices', 'feeds');
  };
  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {only ? <TextField label={words.name} value={name} onValue={setName} maxLength={100} autoComplete="off" /> : null}
      {choices.length > 1 ? <SelectField label={words.site} value={siteId || (choices[0]?.id ?? '')} onValue={setSiteId} options={choices.map((site) => [site.id, site.name])} /> : null}
      <Check label={words.newKey} hint={only ? (only.hasKey ? words.newKeyOwn : words.newKeyHint) : words.newKeySeveral} checked={newKey} onChecked={setNewKey} />
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy}>{words.approve}</Button>
      </div>
    </form>
  );
}

function ShowKeys({ shown, onClose }: { shown: Shown | null; onClose: () => void }) {
  const kept = useKept(shown) ?? { keys: [], failed: [] };
  const [only] = kept.keys;
  const asText = kept.keys.map(({ name, key }) => `${name}\t${key}\n`).join('');
  return (
    <Dialog open={shown !== null} onClose={onClose} sticky title={kept.keys.length === 1 && only ? words.keyTitle(only.name) : words.keysTitle} {...(kept.keys.length > 0 ? { about: words.keyAbout } : {})}>
      <div className="flex flex-col gap-3">
        {kept.keys.map(({ name, key }) => (
          <div key={key}>
            {kept.keys.length > 1 ? <p className="mb-1 text-sm font-medium break-words">{name}</p> : null}
            <CopyBlock secret value={key} label={kept.keys.length > 1 ? words.keyOf(name) : words.key} />
          </div>
        ))}
        {kept.failed.length > 0 ? (
          <Callout mood="bad" icon="warning" title={words.notApproved(kept.failed.length)}>
            <ul>{kept.failed.map(({ serial, why }) => <li key={serial} className="break-words"><span className="font-mono">{serial}</span>: {why}</li>)}</ul>
          </Callout>
        ) : null}
        <div className="flex justify-end gap-2">
          {kept.keys.length > 1 ? <Button icon="download" onClick={() => saveFile('device-keys.txt', 'text/plain', asText)}>{words.saveKeys}</Button> : null}
          <Button tone="primary" onClick={onClose}>{text.common.done}</Button>
        </div>
      </div>
    </Dialog>
  );
}
