// What stands in for a page: while it loads, when it failed, when there is none.
import { Link, useRouter, type ErrorComponentProps } from '@tanstack/react-router';
import { queryClient } from '../queries.ts';
import { text } from '../text.ts';
import { Empty, Skeleton } from '../ui/bits.tsx';
import { buttonClass } from '../ui/button.tsx';
import { ProblemNote } from '../ui/problem.tsx';

export function RouteWaits() {
  return (
    <div className="mx-auto w-full max-w-5xl p-4">
      <Skeleton lines={6} />
    </div>
  );
}

export function RouteProblem({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const again = () => {
    void queryClient.invalidateQueries();
    reset();
    void router.invalidate();
  };
  return (
    <main className="mx-auto w-full max-w-2xl p-4 pt-16">
      <ProblemNote problem={error} again={again} />
    </main>
  );
}

export function PageGone() {
  return (
    <main className="mx-auto max-w-xl pt-10">
      <Empty icon="search" title={text.problem.pageGone} action={<Link to="/devices" className={buttonClass('primary')}>{text.problem.toDevices}</Link>}>
        {text.problem.pageGoneAbout}
      </Empty>
    </main>
  );
}
