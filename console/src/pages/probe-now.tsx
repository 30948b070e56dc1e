// Asking a device what it is, now: the button, and how far that is while it goes on.
import type { ProbeRunView } from '#api/probe-shapes.ts';
import type { DeviceView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { profileQuery, queryClient, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Button, Spinner } from '../ui/button.tsx';
import { say, sayProblem } from '../ui/toast.tsx';

const words = text.profile;

export function ProbeButton({ device, size = 'md', tone = 'plain' }: { device: DeviceView; size?: 'sm' | 'md'; tone?: 'plain' | 'primary' }) {
  const [busy, setBusy] = useState(false);
  const profile = useQuery(profileQuery(device.id));
  const probe = async () => {
    setBusy(true);
    try {
      const asking = call('probeDevice', { params: { device: device.id }, body: { explain: true } });
      // By then it is in the queue, and what is shown follows it.
      setTimeout(() => void refresh('profile'), 150);
      const done = await asking;
      queryClient.setQueryData(profileQuery(device.id).queryKey, done);
      if (done.run === null && done.failure === null) say(words.probedSaid, done.profile?.model ?? undefined);
    } catch (thrown) {
      sayProblem(thrown);
    }
    setBusy(false);
    await refresh('profile', 'profiles', 'identity', 'series', 'samples', 'device', 'devices');
  };
  const running = busy || (profile.data?.run ?? null) !== null;
  return <Button size={size} tone={tone} icon="probe" busy={running} onClick={() => void probe()}>{running ? words.probing : words.probe}</Button>;
}

export function ProbeProgress({ run }: { run: ProbeRunView }) {
  return (
    <div role="status" data-run={run.state} className="flex items-start gap-3 rounded-xl border border-accent/30 bg-accent-soft px-4 py-3 text-sm">
      <span className="mt-0.5 text-accent-ink"><Spinner size={18} /></span>
      <div className="min-w-0 flex-1">
        <p className="font-semibold text-accent-ink">{run.state === 'waiting' ? words.waits : words.probing} <span className="font-normal text-ink-2">({words.reasons[run.reason]})</span></p>
        <p className="text-ink-2 num">{words.progress(run.asked, run.answered)}</p>
        {run.last ? <p className="mt-0.5 text-ink-2">{words.asksNow} <span className="font-mono break-all text-ink">{run.last}</span></p> : null}
      </div>
    </div>
  );
}
