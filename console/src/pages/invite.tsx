// Accepting an invite: a new person of the gateway, with the one-time code behind `#`.
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { meQuery, queryClient } from '../queries.ts';
import { codeBehindHash } from '../session.ts';
import { text } from '../text.ts';
import { Skeleton, Time } from '../ui/bits.tsx';
import { buttonClass } from '../ui/button.tsx';
import { Gate } from '../ui/gate.tsx';
import { Icon } from '../ui/icons.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { CredentialsForm } from './credentials.tsx';

export function InvitePage() {
  const [code] = useState(codeBehindHash);
  const navigate = useNavigate();
  const invite = useQuery({ queryKey: ['invite-look', code], queryFn: () => call('lookInvite', { body: { code } }), enabled: code !== '', staleTime: Infinity, retry: false });
  if (!code) return <Gate title={text.invite.noCode} about={text.invite.noCodeAbout} />;
  if (invite.isPending) return <Gate title={text.common.loading}><Skeleton /></Gate>;
  if (invite.isError) {
    return (
      <Gate title={text.invite.goneTitle}>
        <ProblemNote problem={invite.error} />
        <Link to="/sign-in" className={buttonClass()}>{text.setup.toSignIn}</Link>
      </Gate>
    );
  }
  const offer = invite.data;
  return (
    <Gate title={text.invite.title(offer.name)} about={text.invite.about(offer.invitedBy)}>
      <div className="rounded-xl bg-sunken px-4 py-3 text-sm">
        <p className="font-medium">{text.invite.offers}</p>
        <ul className="mt-1.5 flex flex-col gap-1 text-ink-2">
          {offer.rights.map((right) => (
            <li key={`${right.action} ${right.scopeName}`} className="flex items-start gap-2">
              <Icon name="check" size={15} className="mt-0.5 text-ok-ink" />
              <span>
                {text.actions[right.action].toLowerCase()} <strong className="font-medium text-ink">{right.scopeName}</strong>
              </span>
            </li>
          ))}
        </ul>
        <p className="mt-2 text-xs text-ink-3">
          {text.invite.until} <Time at={offer.expiresAt} />
        </p>
      </div>
      <CredentialsForm
        passwordCharsMin={offer.passwordCharsMin}
        submit={text.invite.submit}
        givenName={offer.name}
        run={async (given) => {
          const me = await call('acceptInvite', { body: { code, ...given } });
          queryClient.clear();
          queryClient.setQueryData(meQuery.queryKey, me);
          await navigate({ to: '/devices', replace: true });
        }}
      />
    </Gate>
  );
}
