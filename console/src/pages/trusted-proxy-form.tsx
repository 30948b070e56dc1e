// Whose forwarding headers are kept, filled in.
import { useState } from 'react';
import { compact, editOf, type TrustedProxy } from '../config-document.ts';
import { text } from '../text.ts';
import { TextField } from '../ui/field.tsx';
import { useKept } from '../ui/kept.ts';
import { Dialog } from '../ui/overlay.tsx';
import { ConfigEditor } from './config-editor.tsx';

const words = text.frontDoor.tls;

export function EditProxy({ proxy, onClose }: { proxy: TrustedProxy | 'new' | null; onClose: () => void }) {
  const shown = useKept(proxy);
  return (
    <Dialog open={proxy !== null} onClose={onClose} sticky title={words.proxyTitle} about={words.proxiesAbout}>
      {shown === null ? null : <ProxyForm before={shown === 'new' ? null : shown} onClose={onClose} />}
    </Dialog>
  );
}

function ProxyForm({ before, onClose }: { before: TrustedProxy | null; onClose: () => void }) {
  const [from, setFrom] = useState(before?.from ?? '');
  const [subject, setSubject] = useState(before?.subject ?? '');
  const after = (): TrustedProxy => compact({ from: from.trim(), subject: subject.trim() || undefined });
  return (
    <ConfigEditor edit={() => editOf('trustedProxies', before, after())} fields={['from', 'subject']} name={before?.from ?? from} onClose={onClose}>
      {({ at }) => (
        <>
          <TextField label={words.from} value={from} onValue={setFrom} error={at('from')} placeholder="192.0.2.80" maxLength={64} className="font-mono" autoComplete="off" spellCheck={false} />
          <TextField label={`${words.subject} (${text.common.optional})`} hint={words.subjectHint} value={subject} onValue={setSubject} error={at('subject')} maxLength={200} autoComplete="off" />
        </>
      )}
    </ConfigEditor>
  );
}
