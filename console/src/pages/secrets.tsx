// Secrets that sinks and alerts name: set and removed here, shown nowhere.
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { isName } from '../config-document.ts';
import { refresh, secretsQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Card, Time } from '../ui/bits.tsx';
import { Button, IconButton } from '../ui/button.tsx';
import { TextField } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { useKept } from '../ui/kept.ts';
import { Loaded } from '../ui/list.tsx';
import { Confirm, Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { sentence } from './certificate-parts.tsx';

const words = text.data.sinks;

/** What the gateway says ends with the command that mends it; here a button does. */
function splitMissing(line: string): readonly [told: string, name: string] {
  const [, told, name] = /^(.*): postern secret set (\S+)$/.exec(line) ?? [];
  return [told ?? line, name ?? ''];
}

export function SecretsCard() {
  const secrets = useQuery(secretsQuery);
  const { items = [], missing = [] } = secrets.data ?? {};
  /** The name, '' for a new one; null: closed. */
  const [setting, setSetting] = useState<string | null>(null);
  const [removing, setRemoving] = useState<string | null>(null);
  const leaving = useKept(removing);
  const kept = useKept(setting);
  return (
    <Card title={words.secrets} about={words.secretsAbout} flush actions={<Button size="sm" icon="key" onClick={() => setSetting('')}>{words.setSecret}</Button>}>
      <div className="border-t border-line">
        <Loaded query={secrets} lines={2}>
          {items.length + missing.length === 0 ? <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{words.secretsNone}</p> : null}
          <ul className="divide-y divide-line">
            {missing.map((line) => {
              const [told, name] = splitMissing(line);
              return (
                <li key={line} data-secret={name} className="flex items-start gap-3 px-4 py-2.5 text-sm sm:px-5">
                  <Icon name="warning" size={16} className="mt-0.5 text-bad-ink" />
                  <p className="min-w-0 flex-1 break-words text-bad-ink">{sentence(told)}</p>
                  <Button size="sm" aria-label={name ? words.setSecretOf(name) : words.setSecret} onClick={() => setSetting(name)}>{words.set}</Button>
                </li>
              );
            })}
            {items.map(({ name, setAt, usedBy }) => (
              <li key={name} data-secret={name} className="flex items-center gap-2 px-4 py-2.5 text-sm sm:px-5">
                <div className="min-w-0 flex-1"><p className="truncate font-mono">{name}</p><p className="text-xs text-ink-3">{words.secretSetAt} <Time at={setAt} />, {usedBy.length > 0 ? usedBy.join(', ') : words.secretUnused}</p></div>
                <IconButton icon="edit" size="sm" label={words.setSecretOf(name)} onClick={() => setSetting(name)} />
                <IconButton icon="trash" size="sm" label={words.removeSecretOf(name)} onClick={() => setRemoving(name)} />
              </li>
            ))}
          </ul>
        </Loaded>
      </div>
      <Dialog open={setting !== null} onClose={() => setSetting(null)} title={kept ? words.setSecretOf(kept) : words.setSecret} about={words.secretValueHint}>
        <SetSecret key={kept ?? ''} name={kept ?? ''} onClose={() => setSetting(null)} />
      </Dialog>
      <Confirm
        open={removing !== null}
        onClose={() => setRemoving(null)}
        title={words.removeSecretTitle(leaving ?? '')}
        about={words.removeSecretAbout((items.find(({ name }) => name === leaving)?.usedBy ?? []).join(', '))}
        action={text.common.remove}
        run={async () => {
          await call('removeSecret', { params: { name: leaving ?? '' } });
          say(words.secretRemoved(leaving ?? ''));
          await refresh('secrets', 'sinks');
        }}
      />
    </Card>
  );
}

function SetSecret({ name: given, onClose }: { name: string; onClose: () => void }) {
  const [name, setName] = useState(given);
  const [value, setValue] = useState('');
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const submit = async () => {
    setTried(true);
    if (!isName(name.trim()) || value === '') return;
    setBusy(true);
    setProblem(null);
    try {
      await call('setSecret', { params: { name: name.trim() }, body: { value } });
      say(words.secretSet(name.trim()));
      onClose();
      await refresh('secrets', 'sinks');
    } catch (thrown) {
      setProblem(thrown);
    }
    setBusy(false);
  };
  return (
    <form
      noValidate
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {given === '' ? <TextField label={words.secretName} value={name} onValue={setName} error={tried && !isName(name.trim()) ? words.secretNameWrong : undefined} autoComplete="off" autoCapitalize="none" spellCheck={false} className="font-mono" /> : null}
      <TextField label={words.secretValue} type="password" value={value} onValue={setValue} error={tried && value === '' ? words.secretValueMissing : undefined} autoComplete="new-password" />
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy}>{text.common.save}</Button>
      </div>
    </form>
  );
}
