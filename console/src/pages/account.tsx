// What belongs to me: my rights, sign-ins, tokens, password, and how the console looks.
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { meQuery, queryClient } from '../queries.ts';
import { signOut } from '../sign-out.ts';
import { text } from '../text.ts';
import { setTheme, useTheme, type Theme } from '../theme.ts';
import { Callout, Card, CopyBlock, PageHead } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { Icon, type IconName } from '../ui/icons.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { grantsOf, RightChips, rightDraft, RightsEditor, rightsProblem, type RightDraft } from './rights-editor.tsx';
import { SignInList, TokenList } from './sign-in-lists.tsx';

const DAY_MS = 86_400_000;

export function AccountPage() {
  const { data: me } = useQuery(meQuery);
  const [making, setMaking] = useState(false);
  if (!me) return null;
  return (
    <>
      <PageHead title={me.person.name} about={text.account.about(me.person.login)} actions={<Button icon="signOut" onClick={() => void signOut()}>{text.nav.signOut}</Button>} />
      <div className="grid gap-5 xl:grid-cols-[minmax(0,1.5fr)_minmax(0,1fr)]">
        <div className="flex min-w-0 flex-col gap-5">
          <Card title={text.account.signIns} about={text.account.signInsAbout} flush>
            <div className="border-t border-line"><SignInList /></div>
          </Card>
          <Card title={text.account.tokens} about={text.account.tokensAbout} flush actions={<Button size="sm" icon="plus" onClick={() => setMaking(true)}>{text.account.newToken}</Button>}>
            <div className="border-t border-line"><TokenList /></div>
          </Card>
        </div>
        <div className="flex min-w-0 flex-col gap-5">
          <Card title={text.account.rights}>{me.rights.length > 0 ? <RightChips rights={me.rights} /> : <p className="text-sm text-ink-2">{text.account.noRights}</p>}</Card>
          <Card title={text.account.look}><ThemeChoice /></Card>
          <Card title={text.account.password} about={text.account.passwordAbout}><PasswordForm /></Card>
          <p className="px-1 text-xs text-ink-3">{text.product} · {text.nav.version(me.version)}</p>
        </div>
      </div>
      <NewToken open={making} onClose={() => setMaking(false)} />
    </>
  );
}

function ThemeChoice() {
  const theme = useTheme();
  const choices: readonly (readonly [Theme, IconName])[] = [['system', 'system'], ['light', 'sun'], ['dark', 'moon']];
  return (
    <div role="radiogroup" aria-label={text.nav.theme.label} className="grid grid-cols-3 gap-2">
      {choices.map(([choice, icon]) => (
        <button key={choice} type="button" role="radio" aria-checked={theme === choice} onClick={() => setTheme(choice)} className="flex flex-col items-center gap-1.5 rounded-xl border border-line px-2 py-3 text-xs font-medium text-ink-2 hover:bg-sunken aria-checked:border-accent aria-checked:bg-accent-soft aria-checked:text-accent-ink">
          <Icon name={icon} size={20} />
          {text.nav.theme[choice]}
        </button>
      ))}
    </div>
  );
}

function PasswordForm() {
  const { data: me } = useQuery(meQuery);
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const [repeat, setRepeat] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const differ = repeat !== '' && repeat !== next;
  const send = async () => {
    if (!current || !next || repeat !== next) return;
    setBusy(true);
    setProblem(null);
    try {
      await call('changePassword', { body: { current, next } });
      setCurrent('');
      setNext('');
      setRepeat('');
      say(text.account.changed);
      void queryClient.invalidateQueries({ queryKey: ['sign-ins'] });
    } catch (thrown) {
      setProblem(thrown);
    }
    setBusy(false);
  };
  return (
    <Form onSubmit={() => void send()}>
      <input type="text" name="username" autoComplete="username" value={me?.person.login ?? ''} readOnly hidden />
      <TextField label={text.account.current} value={current} onValue={setCurrent} type="password" autoComplete="current-password" />
      <TextField label={text.account.next} value={next} onValue={setNext} type="password" autoComplete="new-password" />
      <TextField label={text.account.repeat} value={repeat} onValue={setRepeat} error={differ ? text.setup.differ : undefined} type="password" autoComplete="new-password" />
      <ProblemNote problem={problem} />
      <div><Button type="submit" busy={busy} disabled={!current || !next || repeat !== next}>{text.account.change}</Button></div>
    </Form>
  );
}

function NewToken({ open, onClose }: { open: boolean; onClose: () => void }) {
  const [made, setMade] = useState<{ name: string; secret: string } | null>(null);
  return (
    <Dialog open={open} onClose={onClose} onClosed={() => setMade(null)} wide sticky title={made ? text.account.tokenReady(made.name) : text.account.newToken}>
      {made ? (
        <div className="flex flex-col gap-4">
          <Callout mood="accent" icon="key">{text.account.tokenReadyAbout}</Callout>
          <CopyBlock value={made.secret} label={text.account.tokenSecret} secret />
          <p className="-mb-2 text-sm text-ink-2">{text.account.tokenUse}</p>
          <CopyBlock value={`curl -H 'Authorization: Bearer ${made.secret}' ${location.origin}/api/v1/devices`} label={text.account.tokenUseCommand} />
          <div className="flex justify-end"><Button tone="primary" onClick={onClose}>{text.common.done}</Button></div>
        </div>
      ) : (
        <TokenForm onMade={setMade} onClose={onClose} />
      )}
    </Dialog>
  );
}

function TokenForm({ onMade, onClose }: { onMade: (made: { name: string; secret: string }) => void; onClose: () => void }) {
  const [name, setName] = useState('');
  const [days, setDays] = useState('90');
  const [narrow, setNarrow] = useState(false);
  const [rights, setRights] = useState<readonly RightDraft[]>(() => [rightDraft()]);
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const wrong = narrow ? rightsProblem(rights, true) : null;
  const send = async () => {
    setTried(true);
    if (!name.trim() || wrong) return;
    setBusy(true);
    setProblem(null);
    try {
      const made = await call('createToken', { body: { name: name.trim(), expiresAt: days === 'never' ? null : Date.now() + Number(days) * DAY_MS, rights: narrow ? grantsOf(rights) : null } });
      onMade({ name: made.token.name, secret: made.secret });
      void queryClient.invalidateQueries({ queryKey: ['tokens'] });
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  return (
    <Form onSubmit={() => void send()}>
      <div className="grid gap-4 sm:grid-cols-[1fr_11rem]">
        <TextField label={text.account.tokenName} value={name} onValue={setName} placeholder={text.account.tokenNamePlaceholder} error={tried && !name.trim() ? text.add.problems.name : undefined} maxLength={100} autoComplete="off" autoFocus />
        <SelectField label={text.account.expires} value={days} onValue={setDays} options={Object.entries(text.account.expiry)} />
      </div>
      <SelectField label={text.account.tokenRights} value={narrow ? 'narrow' : 'same'} onValue={(value) => setNarrow(value === 'narrow')} options={[['same', text.account.sameRights], ['narrow', text.account.narrower]]} />
      {narrow ? <RightsEditor rights={rights} onRights={setRights} problem={tried ? wrong : null} /> : null}
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy}>{text.common.create}</Button>
      </div>
    </Form>
  );
}
