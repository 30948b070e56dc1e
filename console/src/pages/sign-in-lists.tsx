// Sign-ins and tokens of a person, each with a way to end it; mine, or those of someone that I administer.
import type { SignInView, TokenView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { browserOf } from '../format.ts';
import { queryClient, signInsQuery, tokensQuery } from '../queries.ts';
import { signOut } from '../sign-out.ts';
import { text } from '../text.ts';
import { Badge, Empty, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Icon } from '../ui/icons.tsx';
import { Loaded } from '../ui/list.tsx';
import { Confirm } from '../ui/overlay.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { RightChips } from './rights-editor.tsx';

const refresh = () => Promise.all(['sign-ins', 'tokens', 'people'].map((key) => queryClient.invalidateQueries({ queryKey: [key] })));

export function SignInList({ personId }: { personId?: string }) {
  const signIns = useQuery(signInsQuery(personId));
  return (
    <Loaded query={signIns} lines={2}>
      <ul className="divide-y divide-line">
        {(signIns.data?.items ?? []).map((signIn) => <SignInRow key={signIn.id} signIn={signIn} />)}
      </ul>
      {signIns.data?.items.length === 0 ? <p className="px-6 py-4 text-sm text-ink-2">{text.people.signIns(0)}</p> : null}
    </Loaded>
  );
}

function SignInRow({ signIn }: { signIn: SignInView }) {
  const what = signIn.kind === 'cli' ? text.account.cli : browserOf(signIn.userAgent);
  const end = async () => {
    if (signIn.current) {
      await signOut();
      return;
    }
    try {
      await call('revokeSignIn', { params: { id: signIn.id } });
      say(text.account.ended);
    } catch (thrown) {
      sayProblem(thrown);
    }
    await refresh();
  };
  return (
    <li className="flex items-center gap-3.5 px-4 py-3 sm:px-5">
      <Icon name={signIn.kind === 'cli' ? 'terminal' : 'browser'} className="text-ink-3" />
      <div className="min-w-0 flex-1 text-sm">
        <p className="flex flex-wrap items-center gap-2 font-medium">
          <span title={signIn.userAgent}>{what}</span>
          {signIn.current ? <Badge mood="ok">{text.account.thisOne}</Badge> : null}
        </p>
        <p className="flex flex-wrap gap-x-3 text-xs text-ink-3">
          <span className="font-mono">{signIn.from}</span>
          <span>{text.account.used} <Time at={signIn.lastUsedAt} /></span>
          <span>{text.account.since} <Time at={signIn.createdAt} /></span>
        </p>
      </div>
      <Button size="sm" aria-label={text.account.endOf(what)} onClick={() => void end()}>{signIn.current ? text.nav.signOut : text.account.end}</Button>
    </li>
  );
}

export function TokenList({ personId }: { personId?: string }) {
  const tokens = useQuery(tokensQuery(personId));
  const items = tokens.data?.items ?? [];
  return (
    <Loaded query={tokens} lines={2}>
      {items.length === 0 ? personId ? <p className="px-6 py-4 text-sm text-ink-2">{text.account.noTokens}</p> : <Empty icon="key" title={text.account.noTokens}>{text.account.noTokensAbout}</Empty> : null}
      <ul className="divide-y divide-line">
        {items.map((token) => <TokenRow key={token.id} token={token} />)}
      </ul>
    </Loaded>
  );
}

function TokenRow({ token }: { token: TokenView }) {
  const [asking, setAsking] = useState(false);
  return (
    <li className="flex items-start gap-3.5 px-4 py-3 sm:px-5">
      <Icon name="key" className="mt-0.5 text-ink-3" />
      <div className="min-w-0 flex-1 text-sm">
        <p className="font-medium break-words">{token.name}</p>
        <p className="mt-0.5 flex flex-wrap gap-x-3 text-xs text-ink-3">
          <span>{token.lastUsedAt === null ? text.account.neverUsed : <>{text.account.lastUsed} <Time at={token.lastUsedAt} /></>}</span>
          <span>{token.expiresAt === null ? text.account.noEnd : <>{text.account.endsOn} <Time at={token.expiresAt} /></>}</span>
        </p>
        <div className="mt-1.5">{token.rights === null ? <Badge>{text.account.allMine}</Badge> : <RightChips rights={token.rights} />}</div>
      </div>
      <Button size="sm" aria-label={text.account.revokeOf(token.name)} onClick={() => setAsking(true)}>{text.account.revoke}</Button>
      <Confirm open={asking} onClose={() => setAsking(false)} title={text.account.revokeTitle(token.name)} about={text.account.revokeAbout} action={text.account.revoke} run={() => call('revokeToken', { params: { id: token.id } }).then(() => (say(text.account.revoked), refresh()))} />
    </li>
  );
}
