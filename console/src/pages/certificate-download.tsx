// A certificate as a file: the chain for everybody who sees it, the key for who administers the gateway.
import type { CertificateView } from '#api/certificate-shapes.ts';
import { useId, useState } from 'react';
import { call } from '../api.ts';
import { text } from '../text.ts';
import { Button } from '../ui/button.tsx';
import { TextField } from '../ui/field.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { useDeed } from './certificate-deed.ts';
import { bytesOfBase64, saveFile } from './certificate-files.tsx';

const words = text.certificates.download;
const PASSPHRASE_MIN = 8;
type Form = keyof typeof words.forms;

export function Download({ certificate, open, onClose }: { certificate: CertificateView; open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} title={words.title(certificate.name)}>
      <DownloadBody certificate={certificate} onClose={onClose} />
    </Dialog>
  );
}

function DownloadBody({ certificate, onClose }: { certificate: CertificateView; onClose: () => void }) {
  const id = useId();
  const deed = useDeed(['passphrase', 'repeat']);
  const [form, setForm] = useState<Form>('pem');
  const [passphrase, setPassphrase] = useState('');
  const [repeat, setRepeat] = useState('');
  const forms: readonly Form[] = certificate.mayDownloadKey ? ['pem', 'pem-with-key', 'pfx'] : ['pem'];
  const wrong = form !== 'pfx' ? [] : [passphrase.length < PASSPHRASE_MIN && { path: 'passphrase', message: words.short(PASSPHRASE_MIN) }, passphrase !== repeat && { path: 'repeat', message: words.differ }];
  const submit = () =>
    deed.run(wrong, async () => {
      const file = await call('downloadCertificate', { params: { certificate: certificate.id }, body: { form, passphrase: form === 'pfx' ? passphrase : null } });
      saveFile(file.fileName, file.type, file.encoding === 'base64' ? bytesOfBase64(file.content) : file.content);
      onClose();
    });
  return (
    <form
      ref={deed.form}
      noValidate
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <fieldset className="flex flex-col gap-2">
        <legend className="sr-only">{words.form}</legend>
        {forms.map((each) => (
          <label key={each} className="flex cursor-pointer items-start gap-2.5 rounded-xl border border-line-strong px-3 py-2.5 text-sm shadow-1 hover:bg-sunken has-checked:border-accent has-checked:bg-accent-soft has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent">
            <input type="radio" name={id} value={each} checked={form === each} onChange={() => setForm(each)} className="mt-0.5 size-4 shrink-0 accent-accent" />
            <span className="min-w-0">
              <span className="block font-medium">{words.forms[each]}</span>
              <span className="block text-ink-2">{words.hints[each]}</span>
            </span>
          </label>
        ))}
      </fieldset>
      {form === 'pfx' ? (
        <>
          <TextField label={words.passphrase} hint={words.passphraseHint(PASSPHRASE_MIN)} type="password" value={passphrase} onValue={setPassphrase} error={deed.at('passphrase')} autoComplete="new-password" maxLength={200} />
          <TextField label={words.repeat} type="password" value={repeat} onValue={setRepeat} error={deed.at('repeat')} autoComplete="new-password" maxLength={200} />
        </>
      ) : null}
      {certificate.mayDownloadKey ? <p className="text-sm text-ink-2">{words.audited}</p> : null}
      <ProblemNote problem={deed.problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" icon="download" busy={deed.busy}>{words.run}</Button>
      </div>
    </form>
  );
}
