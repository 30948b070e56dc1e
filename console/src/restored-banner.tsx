// On every page of who administers the gateway, until somebody has taken note: it was restored, and does not know what happened since.
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from './api.ts';
import { absolute } from './format.ts';
import { keepingQuery, meQuery, refresh } from './queries.ts';
import { text } from './text.ts';
import { Callout } from './ui/bits.tsx';
import { Button } from './ui/button.tsx';
import { say, sayProblem } from './ui/toast.tsx';

const words = text.data.keeping;
const LOOK_EVERY_MS = 300_000;

export function RestoredBanner() {
  const { data: me } = useQuery(meQuery);
  const keeping = useQuery({ ...keepingQuery, enabled: me?.may.administerGateway ?? false, refetchInterval: LOOK_EVERY_MS, staleTime: LOOK_EVERY_MS });
  const [busy, setBusy] = useState(false);
  const restored = keeping.data?.restored;
  if (!restored) return null;
  const take = async () => {
    setBusy(true);
    try {
      await call('acknowledgeRestore');
      say(words.takenSaid);
      await refresh('keeping', 'status', 'doctor', 'audit');
    } catch (thrown) {
      sayProblem(thrown);
    }
    setBusy(false);
  };
  return (
    <section aria-label={words.restoredTitle} className="mb-5">
      <Callout mood="warn" icon="history" title={words.restoredTitle} action={<Button size="sm" icon="check" busy={busy} onClick={() => void take()}>{words.taken}</Button>}>{words.restoredAbout(absolute(restored.backupAt), restored.version)}</Callout>
    </section>
  );
}
