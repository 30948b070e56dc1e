// Sign-in, and back to where one came from.
import { useQuery } from '@tanstack/react-query';
import { Link, useRouter } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { call, isProblem } from '../api.ts';
import { meQuery, queryClient, setupQuery } from '../queries.ts';
import { wayBack } from '../session.ts';
import { text } from '../text.ts';
import { Button } from '../ui/button.tsx';
import { TextField } from '../ui/field.tsx';
import { Form, Gate } from '../ui/gate.tsx';
import { ProblemNote } from '../ui/problem.tsx';

function reasonOf(back: string): string {
  if (back.startsWith('/open?')) return text.signIn.toOpen(new URLSearchParams(back.slice('/open?'.length)).get('host') ?? '');
  if (back.startsWith('/cli')) return text.signIn.toCli;
  return back === '/devices' ? '' : text.signIn.toContinue;
}

export function SignInPage() {
  const router = useRouter();
  const setup = useQuery(setupQuery);
  const [back] = useState(() => wayBack(location.hash));
  const [login, setLogin] = useState('');
  const [password, setPassword] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const signedIn = setup.data?.signedIn === true;
  const needed = setup.data?.needed === true;
  useEffect(() => {
    if (needed) router.history.replace('/setup');
    if (!signedIn) return;
    // Signed in already, in another tab perhaps; asked once more, so that two pages never send one to each other for ever.
    queryClient.fetchQuery(meQuery).then(
      () => router.history.replace(back),
      () => undefined,
    );
  }, [signedIn, needed, back, router]);
  const send = async () => {
    if (!login.trim() || !password) return;
    setBusy(true);
    setProblem(null);
    try {
      const me = await call('signIn', { body: { login: login.trim(), password } });
      queryClient.clear();
      queryClient.setQueryData(meQuery.queryKey, me);
      router.history.replace(back);
    } catch (thrown) {
      setProblem(thrown);
      if (isProblem(thrown, 401)) setPassword('');
      setBusy(false);
    }
  };
  return (
    <Gate title={text.signIn.title} about={reasonOf(back)} foot={text.signIn.help}>
      <Form onSubmit={() => void send()}>
        <TextField label={text.signIn.login} value={login} onValue={setLogin} autoComplete="username" autoCapitalize="none" spellCheck={false} autoFocus required />
        <TextField label={text.signIn.password} value={password} onValue={setPassword} type="password" autoComplete="current-password" required />
        <ProblemNote problem={problem} />
        <Button type="submit" tone="primary" size="lg" busy={busy} disabled={!login.trim() || !password} className="mt-1 w-full">
          {text.signIn.submit}
        </Button>
      </Form>
      {needed ? <Link to="/setup">{text.setup.title}</Link> : null}
    </Gate>
  );
}
