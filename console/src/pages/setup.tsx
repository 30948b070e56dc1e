// The first person becomes the owner, with the one-time code behind `#`.
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { meQuery, queryClient, setupQuery } from '../queries.ts';
import { codeBehindHash } from '../session.ts';
import { text } from '../text.ts';
import { CopyBlock, Skeleton } from '../ui/bits.tsx';
import { buttonClass } from '../ui/button.tsx';
import { Gate } from '../ui/gate.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { CredentialsForm } from './credentials.tsx';

export function SetupPage() {
  const setup = useQuery(setupQuery);
  const [code] = useState(codeBehindHash);
  const navigate = useNavigate();
  if (setup.isPending) return <Gate title={text.setup.title}><Skeleton /></Gate>;
  if (setup.isError) return <Gate title={text.setup.title}><ProblemNote problem={setup.error} again={() => void setup.refetch()} /></Gate>;
  if (!setup.data.needed) {
    return (
      <Gate title={text.setup.doneTitle} about={text.setup.doneAbout}>
        <Link to="/sign-in" className={buttonClass('primary')}>{text.setup.toSignIn}</Link>
      </Gate>
    );
  }
  if (!code) {
    return (
      <Gate title={text.setup.noCode} about={text.setup.noCodeAbout}>
        <p className="text-sm text-ink-2">{text.setup.noCodeWhere}</p>
        <CopyBlock value={text.setup.command} label={text.setup.noCode} />
      </Gate>
    );
  }
  return (
    <Gate title={text.setup.title} about={text.setup.about}>
      <CredentialsForm
        passwordCharsMin={setup.data.passwordCharsMin}
        submit={text.setup.submit}
        run={async (given) => {
          const me = await call('setUp', { body: { code, ...given } });
          queryClient.clear();
          queryClient.setQueryData(meQuery.queryKey, me);
          await navigate({ to: '/devices', replace: true });
        }}
      />
    </Gate>
  );
}
