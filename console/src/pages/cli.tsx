// A person lets a command line in that has asked to be signed in as them.
import { useQuery } from '@tanstack/react-query';
import { useRouter } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { call, isProblem } from '../api.ts';
import { meQuery } from '../queries.ts';
import { codeBehindHash, currentPath, signInAddress } from '../session.ts';
import { text } from '../text.ts';
import { Facts, Skeleton, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { TextField } from '../ui/field.tsx';
import { Form, Gate } from '../ui/gate.tsx';
import { ProblemNote } from '../ui/problem.tsx';

export function CliPage() {
  const router = useRouter();
  const me = useQuery({ ...meQuery, retry: false });
  const [code, setCode] = useState(codeBehindHash);
  useEffect(() => {
    if (isProblem(me.error, 401)) router.history.replace(signInAddress(currentPath()));
  }, [me.error, router]);
  if (me.isError && !isProblem(me.error, 401)) return <Gate title={text.cli.title}><ProblemNote problem={me.error} again={() => void me.refetch()} /></Gate>;
  if (!me.data) return <Gate title={text.cli.title}><Skeleton /></Gate>;
  if (!code) return <AskCode onCode={setCode} />;
  return <Approve code={code} login={me.data.person.login} />;
}

function AskCode({ onCode }: { onCode: (code: string) => void }) {
  const [typed, setTyped] = useState('');
  return (
    <Gate title={text.cli.title} about={text.cli.enter}>
      <Form onSubmit={() => typed.trim() && onCode(typed.trim())}>
        <TextField label={text.cli.code} value={typed} onValue={setTyped} autoComplete="off" autoCapitalize="characters" spellCheck={false} autoFocus className="font-mono tracking-widest" />
        <Button type="submit" tone="primary" disabled={!typed.trim()}>
          {text.cli.next}
        </Button>
      </Form>
    </Gate>
  );
}

function Approve({ code, login }: { code: string; login: string }) {
  const request = useQuery({ queryKey: ['cli-login', code], queryFn: () => call('getCliLogin', { params: { code } }), retry: false, staleTime: Infinity });
  const [done, setDone] = useState<'approved' | 'refused' | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const answer = async (yes: boolean) => {
    setBusy(true);
    setProblem(null);
    try {
      await call(yes ? 'approveCliLogin' : 'refuseCliLogin', { params: { code } });
      setDone(yes ? 'approved' : 'refused');
      history.replaceState(history.state, '', '/cli');
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  const state = done ?? request.data?.state;
  if (state === 'approved') return <Gate title={text.cli.approved} about={text.cli.approvedAbout} />;
  if (state === 'refused') return <Gate title={text.cli.refused} about={text.cli.refusedAbout} />;
  if (request.isPending) return <Gate title={text.cli.title}><Skeleton /></Gate>;
  if (request.isError) return <Gate title={text.cli.title} foot={text.cli.expired}><ProblemNote problem={request.error} /></Gate>;
  const asks = request.data;
  return (
    <Gate title={text.cli.title} about={text.cli.about} foot={text.account.about(login)}>
      <div className="rounded-xl bg-sunken py-4 text-center">
        <p className="font-mono text-xl font-semibold tracking-[0.2em]">{asks.code}</p>
        <p className="mt-1 text-xs text-ink-2">{text.cli.codeHint}</p>
      </div>
      <Facts rows={[[text.cli.client, asks.client || text.common.unknown], [text.cli.from, <span key="from" className="font-mono">{asks.from}</span>], [text.cli.asked, <Time key="at" at={asks.createdAt} />]]} />
      <ProblemNote problem={problem} />
      <div className="grid grid-cols-2 gap-2">
        <Button size="lg" disabled={busy} onClick={() => void answer(false)}>
          {text.cli.refuse}
        </Button>
        <Button size="lg" tone="primary" busy={busy} onClick={() => void answer(true)}>
          {text.cli.approve}
        </Button>
      </div>
    </Gate>
  );
}
