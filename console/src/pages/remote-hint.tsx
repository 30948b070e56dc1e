// A gateway on "localhost" is opened from its own machine only; this is how another one comes in.
import { text } from '../text.ts';
import { CopyBlock } from '../ui/bits.tsx';

const onLoopback = /^(?:localhost|.*\.localhost|127\..*|\[::1\])$/.test(location.hostname);

export function RemoteHint() {
  if (!onLoopback) return null;
  const port = location.port || (location.protocol === 'https:' ? '443' : '80');
  return (
    <details className="text-left text-sm text-ink-2">
      <summary className="rounded-md select-none hover:text-ink">{text.remote.question}</summary>
      <div className="mt-2 flex flex-col gap-2">
        <p>{text.remote.about}</p>
        <CopyBlock value={`ssh -L ${port}:localhost:${port} HOST`} label={text.remote.command} />
        <p>{text.remote.after}</p>
      </div>
    </details>
  );
}
