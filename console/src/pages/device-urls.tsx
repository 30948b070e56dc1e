// URLs that say which device opens them: made and shown once, listed, withdrawn.
import type { ApplicationView, DeviceUrlView } from '#api/source-shapes.ts';
import type { DeviceView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { applicationsQuery, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Card, CopyBlock, Time } from '../ui/bits.tsx';
import { Button, IconButton } from '../ui/button.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { useKept } from '../ui/kept.ts';
import { Confirm, Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';

const words = text.sources.urls;

export function DeviceUrlsCard({ device, urls }: { device: DeviceView; urls: readonly DeviceUrlView[] }) {
  const applications = useQuery(applicationsQuery);
  const [making, setMaking] = useState(false);
  const [secret, setSecret] = useState<string | null>(null);
  const [removing, setRemoving] = useState<DeviceUrlView | null>(null);
  const leaving = useKept(removing);
  const shown = useKept(secret);
  const openable = (applications.data?.items ?? []).filter(({ protocol }) => protocol === 'http');
  return (
    <Card title={words.title} about={words.about} flush actions={openable.length > 0 ? <Button size="sm" icon="plus" onClick={() => setMaking(true)}>{words.make}</Button> : null}>
      <div className="border-t border-line">
        {urls.length === 0 ? <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{words.none}</p> : null}
        <ul className="divide-y divide-line">
          {urls.map((url) => (
            <li key={url.id} data-url={url.note} className="flex items-center gap-3 px-4 py-2.5 text-sm sm:px-5">
              <div className="min-w-0 flex-1">
                <p className="font-medium break-words">{url.note}</p>
                <p className="text-xs text-ink-3">{words.made} <Time at={url.createdAt} />, {url.usedAt === null ? words.unused : <>{words.used} <Time at={url.usedAt} /></>}</p>
              </div>
              <IconButton icon="trash" size="sm" label={words.remove(url.note)} onClick={() => setRemoving(url)} />
            </li>
          ))}
        </ul>
      </div>
      <Dialog open={making} onClose={() => setMaking(false)} title={words.makeTitle(device.name)} about={words.makeAbout}>
        {making ? <MakeBody device={device} applications={openable} onClose={() => setMaking(false)} onMade={setSecret} /> : null}
      </Dialog>
      <Dialog open={secret !== null} onClose={() => setSecret(null)} sticky title={words.shownTitle} about={words.shownAbout}>
        <div className="flex flex-col gap-4">
          <CopyBlock secret value={shown ?? ''} label={words.url} />
          <div className="flex justify-end"><Button tone="primary" onClick={() => setSecret(null)}>{text.common.done}</Button></div>
        </div>
      </Dialog>
      <Confirm
        open={removing !== null}
        onClose={() => setRemoving(null)}
        title={words.removeTitle(leaving?.note ?? '')}
        about={words.removeAbout}
        action={words.removeAction}
        run={async () => {
          if (!leaving) return;
          await call('removeDeviceUrl', { params: { device: device.id, id: leaving.id } });
          say(words.removedSaid);
          await refresh('identity');
        }}
      />
    </Card>
  );
}

function MakeBody({ device, applications, onClose, onMade }: { device: DeviceView; applications: readonly ApplicationView[]; onClose: () => void; onMade: (address: string) => void }) {
  const [application, setApplication] = useState(applications[0]?.name ?? '');
  const [host, setHost] = useState('');
  const [note, setNote] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const chosen = applications.find(({ name }) => name === application);
  const asksHost = chosen !== undefined && (chosen.host === null || chosen.host.startsWith('*.'));
  const submit = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const { address } = await call('makeDeviceUrl', { params: { device: device.id }, body: { application, ...(note.trim() ? { note: note.trim() } : {}), ...(asksHost && host.trim() ? { host: host.trim() } : {}) } });
      onMade(address);
      onClose();
      await refresh('identity');
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  return (
    <Form label={words.make} onSubmit={() => void submit()}>
      <SelectField label={words.application} value={application} onValue={setApplication} options={applications.map(({ name, host: known }) => [name, known ? `${name} · ${known}` : name])} />
      {asksHost ? <TextField label={words.host} hint={words.hostHint(chosen.host ?? '*')} value={host} onValue={setHost} maxLength={253} autoComplete="off" autoCapitalize="none" spellCheck={false} className="font-mono" /> : null}
      <TextField label={`${words.note} (${text.common.optional})`} hint={words.noteHint} value={note} onValue={setNote} maxLength={300} autoComplete="off" />
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy} disabled={asksHost && host.trim() === ''}>{words.makeAction}</Button>
      </div>
    </Form>
  );
}
