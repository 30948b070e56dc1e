// Job sources one by one: what names the device, as what it appears, with a note; added, changed, taken away.
import type { ApplicationView, JobSourceView } from '#api/source-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useDeferredValue, useState } from 'react';
import { call } from '../api.ts';
import { itemsOf, refresh, sitesQuery, sourceConflictsQuery, sourcesQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Card, Empty, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SearchBox, SelectField, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { Icon } from '../ui/icons.tsx';
import { useKept } from '../ui/kept.ts';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { ActionMenu, Confirm, Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { PickDevice } from './unassigned.tsx';

const words = text.sources.sources;
const KEYS = ['job-sources', 'source-conflicts', 'identity'];

/** What the row says that it is about; its device, where there is one, is named by itself. */
export function whoOf(source: Pick<JobSourceView, 'device' | 'serial' | 'address' | 'siteName'>): string {
  if (source.serial !== null) return words.serialOf(source.serial);
  if (source.address !== null) return words.addressAt(source.address, source.siteName ?? '–');
  return source.device?.name ?? words.noDevice;
}

export function SourceList({ applications }: { applications: readonly ApplicationView[] }) {
  const [typed, setTyped] = useState('');
  const search = useDeferredValue(typed.trim());
  const sources = useInfiniteQuery(sourcesQuery(search ? { search } : {}));
  const conflicts = useQuery(sourceConflictsQuery);
  const items = itemsOf(sources.data) ?? [];
  const wrong = new Map(conflicts.data?.items.flatMap((each) => each.sourceIds.map((id) => [id, each.message] as const)));
  const [editing, setEditing] = useState<JobSourceView | 'new' | null>(null);
  const [removing, setRemoving] = useState<JobSourceView | null>(null);
  const leaving = useKept(removing);
  const columns = words.columns;
  return (
    <Card flush>
      <div className="flex flex-wrap items-center gap-2 border-b border-line p-3 sm:px-5">
        <SearchBox value={typed} onValue={setTyped} label={words.searchList} placeholder={words.searchList} />
        {applications.length > 0 ? <Button icon="plus" onClick={() => setEditing('new')}>{words.add}</Button> : null}
      </div>
      <Loaded query={sources} lines={6}>
        {items.length === 0 ? search ? <Empty icon="search" title={words.nothing} action={<Button onClick={() => setTyped('')}>{words.clear}</Button>} /> : <Empty icon="apps" title={words.empty}>{words.emptyAbout}</Empty> : (
          <table className="w-full text-sm">
            <thead>
              <tr className="border-b border-line">
                <th scope="col" className={headClass}>{columns.application}</th>
                <th scope="col" className={headClass}>{columns.who}</th>
                <th scope="col" className={`${headClass} hidden sm:table-cell`}>{columns.appears}</th>
                <th scope="col" className={`${headClass} hidden lg:table-cell`}>{columns.note}</th>
                <th scope="col" className={`${headClass} hidden text-right md:table-cell`}>{columns.since}</th>
                <th scope="col" className={headClass}><span className="sr-only">{words.edit}</span></th>
              </tr>
            </thead>
            <tbody className="divide-y divide-line">
              {items.map((source) => (
                <tr key={source.id} data-source={`${source.application} ${source.device?.label ?? source.serial ?? source.address ?? ''}`}>
                  <td className={`${cellClass} max-w-32 truncate font-medium`} title={source.application}>{source.application}</td>
                  <td className={`${cellClass} w-full max-w-0`}>
                    <p className="flex min-w-0 items-center gap-1.5">
                      {source.device ? <Link to="/devices/$device" params={{ device: source.device.label }} search={{ tab: 'identity' }} className="min-w-0 truncate hover:text-accent-ink hover:underline">{source.device.name}</Link> : <span className="truncate text-ink-2">{words.noDevice}</span>}
                      {wrong.has(source.id) ? <span role="img" aria-label={wrong.get(source.id)} title={wrong.get(source.id)} className="text-warn-ink"><Icon name="warning" size={14} /></span> : null}
                    </p>
                    {source.deviceId === null ? <p className="truncate text-xs text-ink-3">{whoOf(source)}</p> : null}
                    <p className="truncate font-mono text-xs text-ink-3 sm:hidden">{source.appears ?? ''}</p>
                  </td>
                  <td className={`${cellClass} hidden sm:table-cell`}><span className="font-mono whitespace-nowrap">{source.appears ?? '–'}</span></td>
                  <td className={`${cellClass} hidden max-w-56 truncate text-ink-2 lg:table-cell`} title={source.note}>{source.note}</td>
                  <td className={`${cellClass} hidden text-right text-ink-2 md:table-cell`}><Time at={source.createdAt} /></td>
                  <td className={`${cellClass} w-px`}>
                    {source.mayChange ? <ActionMenu label={words.actions(whoOf(source), source.application)} entries={[{ label: words.edit, icon: 'edit', run: () => setEditing(source) }, { label: words.remove, icon: 'trash', danger: true, run: () => setRemoving(source) }]} /> : null}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        <More query={sources} />
      </Loaded>
      <EditSource source={editing} applications={applications} onClose={() => setEditing(null)} />
      <Confirm
        open={removing !== null}
        onClose={() => setRemoving(null)}
        title={leaving ? words.removeTitle(leaving.device?.name ?? whoOf(leaving), leaving.application) : ''}
        about={words.removeAbout}
        action={words.remove}
        run={async () => {
          if (!leaving) return;
          await call('removeJobSource', { params: { id: leaving.id } });
          say(words.removed(leaving.device?.name ?? whoOf(leaving), leaving.application));
          await refresh(...KEYS);
        }}
      />
    </Card>
  );
}

function EditSource({ source, applications, onClose }: { source: JobSourceView | 'new' | null; applications: readonly ApplicationView[]; onClose: () => void }) {
  const kept = useKept(source);
  const before = kept === 'new' || kept === null ? null : kept;
  return (
    <Dialog open={source !== null} onClose={onClose} sticky title={before ? words.editTitle(before.device?.name ?? whoOf(before), before.application) : words.addTitle} {...(before ? {} : { about: words.addAbout })}>
      {kept === null ? null : <SourceForm key={before?.id ?? 'new'} before={before} applications={applications} onClose={onClose} />}
    </Dialog>
  );
}

function SourceForm({ before, applications, onClose }: { before: JobSourceView | null; applications: readonly ApplicationView[]; onClose: () => void }) {
  const sites = useQuery(sitesQuery);
  const [draft, setDraft] = useState({ application: applications[0]?.name ?? '', by: 'device', device: '', serial: '', siteId: '', address: '', as: before?.as ?? '', note: before?.note ?? '' });
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const set = (part: Partial<typeof draft>) => setDraft({ ...draft, ...part });
  const siteId = draft.siteId || (sites.data?.items[0]?.id ?? '');
  const said = draft.by === 'device' ? draft.device !== '' : draft.by === 'serial' ? draft.serial.trim() !== '' : draft.address.trim() !== '';
  const submit = async () => {
    setBusy(true);
    setProblem(null);
    const common = { as: draft.as.trim() || null, note: draft.note.trim() };
    const who = draft.by === 'device' ? { device: draft.device } : draft.by === 'serial' ? { serial: draft.serial.trim() } : { siteId, address: draft.address.trim() };
    try {
      if (before) await call('changeJobSource', { params: { id: before.id }, body: common });
      else await call('addJobSource', { body: { application: draft.application, ...who, ...common } });
      say(words.saved);
      onClose();
      await refresh(...KEYS);
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  return (
    <Form label={words.addTitle} onSubmit={() => void submit()}>
      {before ? null : (
        <>
          <SelectField label={words.application} value={draft.application} onValue={(application) => set({ application })} options={applications.map(({ name }) => [name, name])} />
          <SelectField label={words.whoBy} value={draft.by} onValue={(by) => set({ by })} options={Object.entries(words.bys)} />
          {draft.by === 'device' ? <PickDevice label={words.who} value={draft.device} onValue={(device) => set({ device })} /> : null}
          {draft.by === 'serial' ? <TextField label={words.serial} hint={words.serialHint} value={draft.serial} onValue={(serial) => set({ serial })} maxLength={128} autoComplete="off" autoCapitalize="none" spellCheck={false} className="font-mono" /> : null}
          {draft.by === 'address' ? (
            <div className="grid gap-4 sm:grid-cols-2">
              <SelectField label={words.site} value={siteId} onValue={(next) => set({ siteId: next })} options={(sites.data?.items ?? []).map((site) => [site.id, site.name])} />
              <TextField label={words.address} value={draft.address} onValue={(address) => set({ address })} maxLength={45} autoComplete="off" spellCheck={false} className="font-mono" placeholder="192.0.2.50" />
            </div>
          ) : null}
        </>
      )}
      <TextField label={`${words.as} (${text.common.optional})`} hint={words.asHint} value={draft.as} onValue={(as) => set({ as })} maxLength={45} autoComplete="off" spellCheck={false} className="font-mono" />
      <TextField label={`${words.note} (${text.common.optional})`} value={draft.note} onValue={(note) => set({ note })} maxLength={300} autoComplete="off" />
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy} disabled={before === null && !said}>{text.common.save}</Button>
      </div>
    </Form>
  );
}
