// The hand-over to a device's host: it sent the browser here because it does not know it yet. Signed in, a one-time code
// takes the browser back there; the code is in the address that the gateway answers, never in one that we make.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useRouter } from '@tanstack/react-router';
import { useEffect } from 'react';
import { call, isProblem } from '../api.ts';
import { meQuery } from '../queries.ts';
import { currentPath, signInAddress } from '../session.ts';
import { signOut } from '../sign-out.ts';
import { text } from '../text.ts';
import { Button, buttonClass, Spinner } from '../ui/button.tsx';
import { Gate } from '../ui/gate.tsx';
import { ProblemNote } from '../ui/problem.tsx';

const route = getRouteApi('/open');

/** `printer1.gw.example.test:8443` → host and port. */
function splitHost(given: string): { host: string; port?: number } {
  const match = /^(.*?)(?::(\d{1,5}))?$/.exec(given);
  const port = Number(match?.[2] ?? 0);
  return { host: match?.[1] ?? given, ...(port >= 1 && port <= 65_535 ? { port } : {}) };
}

export function OpenPage() {
  const { host = '', to = '/', asked } = route.useSearch();
  const router = useRouter();
  const me = useQuery({ ...meQuery, retry: false });
  const handOver = useQuery({
    queryKey: ['hand-over', host, to, asked],
    queryFn: () => call('createHandOver', { body: { ...splitHost(host), path: to.startsWith('/') ? to : '/', ...(asked ? { asked } : {}) } }),
    enabled: host !== '' && me.isSuccess,
    retry: false,
    // Each code is good once; it is never asked for again behind the person's back.
    staleTime: Infinity,
    gcTime: 0,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
  const answer = handOver.data?.to;
  useEffect(() => {
    if (answer) location.replace(answer);
  }, [answer]);
  useEffect(() => {
    if (isProblem(me.error, 401)) router.history.replace(signInAddress(currentPath()));
  }, [me.error, router]);
  const toDevices = <Link to="/devices" className={buttonClass()}>{text.problem.toDevices}</Link>;
  if (!host) return <Gate title={text.open.missing} about={text.open.missingAbout}>{toDevices}</Gate>;
  if (isProblem(handOver.error, 403)) {
    return (
      <Gate title={text.open.denied(host)} about={text.open.deniedAbout(me.data?.person.login ?? '')}>
        <ProblemNote problem={handOver.error} />
        <div className="flex flex-wrap gap-2">
          {toDevices}
          <Button onClick={() => void signOut()}>{text.open.other}</Button>
        </div>
      </Gate>
    );
  }
  const problem = handOver.error ?? (isProblem(me.error, 401) ? null : me.error);
  if (problem) {
    return (
      <Gate title={text.open.failed(host)}>
        <ProblemNote problem={problem} again={() => void (me.error ? me.refetch() : handOver.refetch())} />
        {toDevices}
      </Gate>
    );
  }
  return (
    <Gate
      title={
        <span role="status" className="flex items-center gap-3">
          <Spinner size={18} />
          {text.open.opening(host)}
        </span>
      }
    />
  );
}
