// Name, sign-in name and a new password: the same three for the owner and for everyone invited.
import { useState } from 'react';
import { text } from '../text.ts';
import { Button } from '../ui/button.tsx';
import { TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { ProblemNote } from '../ui/problem.tsx';

export interface Credentials {
  readonly login: string;
  readonly name: string;
  readonly password: string;
}

export function CredentialsForm({ passwordCharsMin, submit, givenName = '', run }: { passwordCharsMin: number; submit: string; givenName?: string; run: (given: Credentials) => Promise<void> }) {
  const [name, setName] = useState(givenName);
  const [login, setLogin] = useState('');
  const [password, setPassword] = useState('');
  const [repeat, setRepeat] = useState('');
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const short = [...password].length < passwordCharsMin;
  const differ = repeat !== password;
  const send = async () => {
    setTried(true);
    if (short || differ || !name.trim() || !login.trim()) return;
    setBusy(true);
    setProblem(null);
    try {
      await run({ login: login.trim(), name: name.trim(), password });
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  const empty = (value: string) => (tried && !value.trim() ? text.add.problems.name : undefined);
  return (
    <Form onSubmit={() => void send()}>
      <TextField label={text.setup.name} hint={text.setup.nameHint} value={name} onValue={setName} error={empty(name)} autoComplete="name" autoFocus={!givenName} required />
      <TextField label={text.setup.login} hint={text.setup.loginHint} value={login} onValue={setLogin} error={empty(login)} autoComplete="username" autoCapitalize="none" spellCheck={false} autoFocus={givenName !== ''} required />
      <TextField label={text.setup.password} hint={text.setup.passwordHint(passwordCharsMin)} value={password} onValue={setPassword} error={tried && short ? text.setup.short(passwordCharsMin) : undefined} type="password" autoComplete="new-password" required />
      <TextField label={text.setup.repeat} value={repeat} onValue={setRepeat} error={(tried || repeat.length >= password.length) && repeat !== '' && differ ? text.setup.differ : undefined} type="password" autoComplete="new-password" required />
      <ProblemNote problem={problem} />
      <Button type="submit" tone="primary" size="lg" busy={busy} className="mt-1 w-full">
        {submit}
      </Button>
    </Form>
  );
}
