// Join commands that were made and not used yet; each can be taken back.
import { useQuery } from '@tanstack/react-query';
import { call } from '../api.ts';
import { joinTokensQuery, queryClient } from '../queries.ts';
import { text } from '../text.ts';
import { Time } from '../ui/bits.tsx';
import { Button, Spinner } from '../ui/button.tsx';
import { say, sayProblem } from '../ui/toast.tsx';

export function WaitingJoins() {
  const tokens = useQuery(joinTokensQuery);
  const waiting = (tokens.data?.items ?? []).filter((token) => token.state === 'waiting');
  if (waiting.length === 0) return null;
  const takeBack = async (id: string) => {
    try {
      await call('removeJoinToken', { params: { id } });
      say(text.devices.takenBack);
    } catch (thrown) {
      sayProblem(thrown);
    }
    await queryClient.invalidateQueries({ queryKey: ['join-tokens'] });
  };
  return (
    <section aria-label={text.devices.waiting} className="mb-4 rounded-2xl border border-dashed border-line-strong px-4 py-3 sm:px-5">
      <h2 className="text-sm font-medium text-ink-2">{text.devices.waiting}</h2>
      <ul className="mt-1 divide-y divide-line">
        {waiting.map((token) => (
          <li key={token.id} className="flex items-center gap-3 py-1.5 text-sm">
            <span className="text-ink-3"><Spinner size={14} /></span>
            <span className="min-w-0 flex-1 truncate font-medium">{token.deviceName}</span>
            <span className="hidden text-ink-3 sm:inline">
              {text.devices.until} <Time at={token.expiresAt} />
            </span>
            <Button size="sm" tone="quiet" onClick={() => void takeBack(token.id)}>
              {text.devices.takeBack}
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}
