// A backup from the browser. What the page shows of its way is what the gateway says; the archive itself is a blob, which browsers keep on the
// disk when it is large. (A form would hand it to the disk directly, but its Origin is "null" under our referrer policy, and so refused.)
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { fetchAnswer } from '../api.ts';
import { bytes } from '../format.ts';
import { backupQuery, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Callout, Card, CopyBlock, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Confirm } from '../ui/overlay.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { saveFile } from './certificate-files.tsx';

const words = text.data.keeping;

/** Goes on while one looks at another page. */
async function takeBackup(): Promise<void> {
  try {
    const answer = await fetchAnswer('makeBackup');
    const name = /filename="([\w.-]+)"/.exec(answer.headers.get('content-disposition') ?? '')?.[1] ?? 'postern.tgz';
    saveFile(name, 'application/gzip', await answer.blob());
    say(words.madeSaid, words.madeAbout);
  } catch (thrown) {
    sayProblem(thrown);
  }
  await refresh('backup', 'keeping', 'audit', 'status');
}

export function BackupCard({ mayMake }: { mayMake: boolean }) {
  const [asking, setAsking] = useState(false);
  const [asked, setAsked] = useState(false);
  const backup = useQuery({ ...backupQuery, refetchInterval: (query) => (asked || query.state.data?.running ? 300 : 10_000) });
  const { running = null, last = null, failed = null } = backup.data ?? {};
  const isBusy = running !== null || asked;
  const share = running && running.total > 0 ? Math.min(1, running.done / running.total) : 0;
  return (
    <Card title={words.backup} about={words.backupAbout}>
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
        {mayMake ? <div><Button tone="primary" icon="download" busy={isBusy} onClick={() => setAsking(true)}>{words.make}</Button></div> : null}
        <div>
          <p className="mb-1 text-ink-2">{words.byCommand}</p>
          <CopyBlock value="postern backup /var/backups/postern-$(date +%F).tgz --passphrase-file FILE" label={words.command} />
        </div>
      </div>
      <Confirm
        open={asking}
        onClose={() => setAsking(false)}
        tone="primary"
        title={words.makeTitle}
        about={words.makeWarning}
        action={words.makeAction}
        run={async () => {
          setAsked(true);
          void takeBackup().finally(() => setAsked(false));
          await Promise.resolve();
        }}
      />
    </Card>
  );
}
