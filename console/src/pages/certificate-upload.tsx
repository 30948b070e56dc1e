// Files or text, what they are worth, and only then the button that stores them: for a new certificate, in another's place, or as the answer to a request.
import type { CertificateView, SwapView } from '#api/certificate-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { call } from '../api.ts';
import { certificateFormQuery, refreshCertificates } from '../queries.ts';
import { text } from '../text.ts';
import { Button } from '../ui/button.tsx';
import { TextArea } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Loaded } from '../ui/list.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { useDeed } from './certificate-deed.ts';
import { NameField, useOwnCertificates, wrongName } from './certificate-fields.tsx';
import { FileDrop, type ChosenFile } from './certificate-files.tsx';
import { mayBePut, SwapReview } from './certificate-swap.tsx';

const words = text.certificates.upload;

type Replaced = Pick<CertificateView, 'id' | 'name' | 'fingerprint' | 'requestWaits'>;

interface UploadProps {
  /** Null: a new one, or whichever is chosen in the form. */
  replaces: Replaced | null;
  onDone: (id: string) => void;
  onCancel?: () => void;
}

export function ReplaceDialog({ certificate, open, onClose }: { certificate: Replaced; open: boolean; onClose: () => void }) {
  const { name, requestWaits } = certificate;
  return (
    <Dialog open={open} onClose={onClose} sticky wide title={requestWaits ? words.answerTitle(name) : words.replaceTitle(name)} about={requestWaits ? words.answerAbout : undefined}>
      <UploadForm replaces={certificate} onDone={onClose} onCancel={onClose} />
    </Dialog>
  );
}

export function UploadForm(props: UploadProps) {
  const form = useQuery(certificateFormQuery());
  return <Loaded query={form} lines={5}>{form.data ? <UploadBody {...props} suggested={form.data.suggestion.name} sizeMax={form.data.uploadBytesMax} /> : null}</Loaded>;
}

/** What was chosen and typed, what the gateway said of it, and the two things that can be asked of it. */
function useUpload({ replaces: given, onDone, suggested }: Pick<UploadProps, 'replaces' | 'onDone'> & { suggested: string }) {
  const own = useOwnCertificates();
  const deed = useDeed(['name', 'files', 'pem', 'passphrase']);
  const [chosen, setChosen] = useState('');
  const [name, setName] = useState(suggested);
  const [files, setFiles] = useState<readonly ChosenFile[]>([]);
  const [pem, setPem] = useState<string | null>(null);
  const [passphrase, setPassphrase] = useState('');
  const [swap, setSwap] = useState<SwapView | null>(null);
  const [read, setRead] = useState(false);
  /** Raised with each change: an answer that comes later is about something else. */
  const turn = useRef(0);
  const replaces = given ?? own.find((each) => each.id === chosen) ?? null;

  /** What was said is of what was looked at, and of nothing else. */
  const changed = <Value,>(set: (value: Value) => void) => (value: Value) => {
    turn.current += 1;
    set(value);
    setSwap(null);
    setRead(false);
    deed.clear();
  };
  const material = (some: readonly ChosenFile[]) => ({ pem: pem ?? '', files: some.map((each) => each.base64), passphrase: passphrase === '' ? null : passphrase });
  const wrongWith = (some: readonly ChosenFile[]) => [replaces === null && wrongName(name, own), some.length === 0 && (pem ?? '').trim() === '' && { path: pem === null ? 'files' : 'pem', message: words.nothing }];
  const check = (some = files) =>
    deed.run(wrongWith(some), async () => {
      const query = { dryRun: 'true' } as const;
      const asked = turn.current;
      const said = await (replaces ? call('replaceCertificate', { params: { certificate: replaces.id }, query, body: material(some) }) : call('uploadCertificate', { query, body: { name: name.trim(), ...material(some) } }));
      if (asked === turn.current) setSwap(said);
    });
  const put = async () => {
    const isDone = await deed.run(wrongWith(files), async () => {
      const done = await (replaces
        ? call('replaceCertificate', { params: { certificate: replaces.id }, body: { ...material(files), acknowledged: read, against: swap?.certificate?.fingerprint ?? null } })
        : call('uploadCertificate', { body: { name: name.trim(), ...material(files) } }));
      await refreshCertificates();
      say(words.stored(replaces?.name ?? name.trim()));
      onDone(done.certificate?.id ?? replaces?.id ?? '');
    });
    // What was shown holds no more: somebody else was quicker, or the clock was.
    if (!isDone) setSwap(null);
  };
  const set = { chosen: changed(setChosen), name: changed(setName), files: changed(setFiles), pem: changed(setPem), passphrase: changed(setPassphrase) };
  return { own, deed, chosen, name, files, pem, passphrase, swap, read, setRead, replaces, set, check, put };
}

function UploadBody({ replaces: given, onDone, onCancel, suggested, sizeMax }: UploadProps & { suggested: string; sizeMax: number }) {
  const { own, deed, chosen, name, files, pem, passphrase, swap, read, setRead, replaces, set, check, put } = useUpload({ replaces: given, onDone, suggested });
  const review = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (swap) void review.current?.scrollIntoView({ block: 'nearest', behavior: 'smooth' });
  }, [swap]);
  const isBroken = swap?.verdicts.some((each) => each.severity === 'error') ?? false;
  const isReady = swap !== null && mayBePut(swap, replaces !== null, read);
  const submit = () => {
    if (swap === null || isBroken) void check();
    else if (isReady) void put();
  };
  const take = (next: readonly ChosenFile[]) => {
    set.files(next);
    // Nobody wants to press a button to hear what a file is worth.
    if (next.length > 0) void check(next);
  };
  return (
    <form
      ref={deed.form}
      noValidate
      className="flex flex-col gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {given ? null : (
        <div className="grid items-start gap-4 sm:grid-cols-2">
          <SelectField label={words.target} hint={replaces ? words.targetHint : undefined} value={replaces ? chosen : ''} onValue={set.chosen} options={[['', words.targetNew], ...own.map((each) => [each.id, words.targetReplaces(each.name)] as const)]} />
          {replaces ? null : <NameField value={name} onValue={set.name} deed={deed} />}
        </div>
      )}
      <div className="flex flex-col gap-3">
        <FileDrop files={files} sizeMax={sizeMax} error={deed.at('files')} onFiles={take} />
        {pem === null ? <div><Button tone="quiet" size="sm" onClick={() => set.pem('')}>{words.paste}</Button></div> : <TextArea label={words.pem} error={deed.at('pem')} value={pem} onValue={set.pem} rows={6} placeholder="-----BEGIN CERTIFICATE-----" />}
      </div>
      <TextField label={`${words.passphrase} (${text.common.optional})`} hint={words.passphraseHint} type="password" value={passphrase} onValue={set.passphrase} error={deed.at('passphrase')} autoComplete="off" maxLength={1024} wide="sm:max-w-sm" />
      <div ref={review} className="scroll-mt-4 empty:hidden">{swap ? <SwapReview swap={swap} replaces={replaces !== null} read={read} onRead={setRead} /> : null}</div>
      <ProblemNote problem={deed.problem} />
      <div className="flex flex-wrap items-center justify-end gap-x-3 gap-y-2">
        <p className={`mr-auto text-sm ${isBroken ? 'text-bad-ink' : 'text-ink-2'}`}>{isBroken ? words.broken : swap ? '' : words.done}</p>
        {onCancel ? <Button onClick={onCancel}>{text.common.cancel}</Button> : null}
        {swap === null || isBroken ? (
          <Button type="submit" tone="primary" busy={deed.busy}>{words.check}</Button>
        ) : (
          <Button type="submit" tone="primary" busy={deed.busy} disabled={!isReady}>{replaces && replaces.fingerprint !== null ? words.swap : words.put}</Button>
        )}
      </div>
    </form>
  );
}
