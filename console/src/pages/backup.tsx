// A backup from the browser. The file goes from the gateway to the disk without the page holding it: a form asks for it, its answer is an
// attachment. What the page shows is what the gateway says of its progress.
import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { addressOfRoute } from '../api.ts';
import { bytes } from '../format.ts';
import { backupQuery, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Callout, Card, CopyBlock, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Confirm } from '../ui/overlay.tsx';
import { say, sayProblem } from '../ui/toast.tsx';

const words = text.data.keeping;
const FRAME = 'postern-backup';
/** How long an answer may take to begin: until then the gateway says nothing of it. */
const BEGINS_WITHIN_MS = 10_000;

interface Asked {
  readonly at: number;
  /** When the last one was made, and the last failed, as it stood then. */
  readonly madeAt: number;
  readonly failedAt: number;
}

export function BackupCard({ mayMake }: { mayMake: boolean }) {
  const [asking, setAsking] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const backup = useQuery({ ...backupQuery, refetchInterval: (query) => (asked || query.state.data?.running ? 300 : 10_000) });
  const form = useRef<HTMLFormElement>(null);
  const { running = null, last = null, failed = null } = backup.data ?? {};
  useEffect(() => {
    if (asked === null || !backup.data || backup.data.running) return;
    const { last: made, failed: broken } = backup.data;
    if ((made?.at ?? 0) > asked.madeAt) say(words.madeSaid, words.madeAbout);
    else if ((broken?.at ?? 0) <= asked.failedAt) {
      if (backup.dataUpdatedAt - asked.at < BEGINS_WITHIN_MS) return;
      sayProblem(new Error(words.refused));
    }
    setAsked(null);
    void refresh('keeping', 'audit', 'status');
  }, [asked, backup.data, backup.dataUpdatedAt]);
  const isBusy = running !== null || asked !== null;
  const share = running && running.total > 0 ? Math.min(1, running.done / running.total) : 0;
  return (
    <Card title={words.backup} about={words.backupAbout} actions={mayMake ? <Button size="sm" icon="download" busy={isBusy} onClick={() => setAsking(true)}>{words.make}</Button> : null}>
      <div className="flex flex-col gap-3 text-sm">
        {isBusy ? (
          <div role="status" data-backup={running?.phase ?? 'asked'}>
            <p className="flex flex-wrap justify-between gap-x-4 num"><span className="font-medium">{words.phases[running?.phase ?? 'copying']}</span>{running ? <span className="text-ink-2">{words.progress(bytes(running.done), bytes(Math.max(running.done, running.total)))}</span> : null}</p>
            <div aria-hidden="true" className="mt-1.5 h-2 overflow-hidden rounded-full bg-line"><div className="h-full rounded-full bg-accent transition-[width] duration-300" style={{ width: `${share * 100}%` }} /></div>
          </div>
        ) : null}
        <p className="flex flex-wrap justify-between gap-x-4 text-ink-2">
          {last ? <><span>{words.last}: <Time at={last.at} /></span><span className="num">{words.lastSize(bytes(last.bytes))}</span></> : isBusy ? null : words.lastNone}
        </p>
        {failed ? <Callout mood="bad" icon="warning" title={words.failedTitle}><span className="first-letter:uppercase">{failed.why}</span> <Time at={failed.at} /></Callout> : null}
        <div>
          <p className="mb-1 text-ink-2">{words.byCommand}</p>
          <CopyBlock value="postern backup /var/backups/postern-$(date +%F).tgz --passphrase-file FILE" label={words.command} />
        </div>
      </div>
      <form ref={form} method="post" action={addressOfRoute('makeBackup')} target={FRAME} hidden />
      <iframe name={FRAME} title={words.backup} hidden />
      <Confirm
        open={asking}
        onClose={() => setAsking(false)}
        tone="primary"
        title={words.makeTitle}
        about={words.makeWarning}
        action={words.makeAction}
        run={async () => {
          setAsked({ at: Date.now(), madeAt: last?.at ?? 0, failedAt: failed?.at ?? 0 });
          form.current?.submit();
          await Promise.resolve();
        }}
      />
    </Card>
  );
}
