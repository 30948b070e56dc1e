// Drivers: those that are shipped and the owner's own, which are added as files and go before them.
import type { DriverView } from '#api/probe-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useId, useState } from 'react';
import { ApiProblem, call } from '../api.ts';
import { driversQuery, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card } from '../ui/bits.tsx';
import { Button, buttonClass, IconButton } from '../ui/button.tsx';
import { TextArea } from '../ui/choices.tsx';
import { TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { Icon } from '../ui/icons.tsx';
import { useKept } from '../ui/kept.ts';
import { Loaded } from '../ui/list.tsx';
import { Confirm, Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';

const words = text.profile.probes;

export function DriversCard({ mayChange }: { mayChange: boolean }) {
  const drivers = useQuery(driversQuery);
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<DriverView | null>(null);
  const leaving = useKept(removing);
  // One's own first: those are the ones that are looked for.
  const items = [...(drivers.data?.items ?? [])].sort((a, b) => Number(b.own) - Number(a.own));
  return (
    <Card title={words.drivers} about={words.driversAbout} flush actions={mayChange ? <Button size="sm" icon="plus" onClick={() => setAdding(true)}>{words.addDriver}</Button> : null}>
      <div className="max-h-112 overflow-y-auto border-t border-line">
        <Loaded query={drivers} lines={5}>
          <ul className="divide-y divide-line">
            {items.map((driver) => (
              <li key={`${driver.key} ${driver.own}`} data-driver={driver.key} data-own={driver.own} className="flex items-center gap-3 px-4 py-2 text-sm sm:px-5">
                <div className={`min-w-0 flex-1 ${driver.replaced ? 'opacity-60' : ''}`}>
                  <p className="flex flex-wrap items-center gap-x-2 gap-y-0.5">
                    <span className="font-medium break-words">{driver.name}</span><span className="font-mono text-xs text-ink-3">{driver.key}</span>
                    {driver.own ? <Badge mood="accent">{words.own}</Badge> : null}
                    {driver.replaced ? <Badge>{words.replaced}</Badge> : null}
                    {driver.problem ? <Badge mood="bad" icon="warning">{words.driverProblem}</Badge> : null}
                  </p>
                  <p className="truncate font-mono text-xs text-ink-3" title={driver.prefixes.join(', ')}>{driver.prefixes.join(', ') || <span className="font-sans">{words.anyDevice}</span>}</p>
                  {driver.problem ? <p className="text-xs break-words text-bad-ink">{driver.problem}</p> : null}
                </div>
                {driver.own && mayChange ? <IconButton icon="trash" size="sm" label={words.removeDriver(driver.key)} onClick={() => setRemoving(driver)} /> : null}
              </li>
            ))}
          </ul>
        </Loaded>
      </div>
      <Dialog open={adding} onClose={() => setAdding(false)} sticky wide title={words.addTitle} about={words.addAbout}>
        {adding ? <AddBody onClose={() => setAdding(false)} /> : null}
      </Dialog>
      <Confirm
        open={removing !== null}
        onClose={() => setRemoving(null)}
        title={words.removeTitle(leaving?.key ?? '')}
        about={words.removeAbout}
        action={text.common.remove}
        run={async () => {
          if (!leaving) return;
          await call('removeDriver', { params: { key: leaving.key } });
          say(words.removed(leaving.key));
          await refresh('drivers');
        }}
      />
    </Card>
  );
}

function AddBody({ onClose }: { onClose: () => void }) {
  const [json, setJson] = useState('');
  const [key, setKey] = useState('');
  const [unreadable, setUnreadable] = useState<string | undefined>();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const file = useId();
  const take = (given: string, name?: string) => {
    setJson(given);
    setUnreadable(undefined);
    setProblem(null);
    const said = /"key"\s*:\s*"([a-z0-9-]+)"/.exec(given)?.[1] ?? name?.replace(/\.json$/i, '').toLowerCase();
    if (said && key === '') setKey(said);
  };
  const submit = async () => {
    setProblem(null);
    let body: unknown;
    try {
      body = JSON.parse(json);
    } catch (thrown) {
      return setUnreadable(`${words.notJson}: ${thrown instanceof Error ? thrown.message : ''}`);
    }
    if (typeof body !== 'object' || body === null || Array.isArray(body)) return setUnreadable(words.notObject);
    setBusy(true);
    try {
      const driver = await call('putDriver', { params: { key: key.trim() }, body: { driver: body as Record<string, unknown> } });
      say(words.added(driver.name));
      onClose();
      await refresh('drivers');
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  const listed = problem instanceof ApiProblem ? (problem.problem.problems ?? []) : [];
  return (
    <Form label={words.addTitle} onSubmit={() => void submit()}>
      <TextArea label={words.json} error={unreadable} value={json} onValue={(given) => take(given)} rows={12} placeholder='{ "key": "acme", "name": "Acme", "prefixes": ["1.3.6.1.4.1.…"] }' />
      <div>
        <label htmlFor={file} className={`${buttonClass('plain', 'sm')} cursor-pointer has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent`}>
          <Icon name="upload" size={16} />
          {words.file}
          <input id={file} type="file" accept=".json,application/json" className="sr-only" onChange={(event) => {
            const [chosen] = event.target.files ?? [];
            void chosen?.text().then((given) => take(given, chosen.name));
          }} />
        </label>
      </div>
      <TextField label={words.key} hint={words.keyHint} value={key} onValue={(next) => setKey(next.toLowerCase())} maxLength={40} autoComplete="off" autoCapitalize="none" spellCheck={false} className="font-mono" />
      {listed.length > 0 ? (
        <div role="alert" className="rounded-xl border border-bad/30 bg-bad-soft px-4 py-3 text-sm">
          <p className="flex items-center gap-2 font-semibold text-bad-ink"><Icon name="warning" />{words.wrong}</p>
          <ul className="mt-2 flex max-h-48 flex-col gap-1 overflow-y-auto">{listed.map((each) => <li key={`${each.path} ${each.message}`} data-path={each.path} className="break-words"><code className="mr-2 font-mono font-medium">{each.path || '–'}</code>{each.message}</li>)}</ul>
        </div>
      ) : <ProblemNote problem={problem} />}
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy} disabled={json.trim() === '' || key.trim() === ''}>{words.addAction}</Button>
      </div>
    </Form>
  );
}
