// What can be done with a certificate, by source and rights; who only sees gets no button but the download.
import type { CertificateDetailView } from '#api/certificate-shapes.ts';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { queryClient, refreshCertificates } from '../queries.ts';
import { text } from '../text.ts';
import { Button } from '../ui/button.tsx';
import { Form } from '../ui/gate.tsx';
import { ActionMenu, Confirm, Dialog, type MenuEntry } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { useDeed } from './certificate-deed.ts';
import { Download } from './certificate-download.tsx';
import { NameField, useOwnCertificates, wrongName } from './certificate-fields.tsx';
import { IssueAgain } from './certificate-issue.tsx';
import { OrderAgain } from './certificate-order.tsx';
import { RequestAgain } from './certificate-request.tsx';
import { GoBack } from './certificate-swap.tsx';
import { ReplaceDialog } from './certificate-upload.tsx';

const words = text.certificates.page;
type Question = 'download' | 'replace' | 'request' | 'issue' | 'order' | 'back' | 'rename' | 'off' | 'remove' | null;

export function CertificateActions({ certificate }: { certificate: CertificateDetailView }) {
  const { id, name, source, enabled, mayChange, mayDownload, requestWaits } = certificate;
  const [question, setQuestion] = useState<Question>(null);
  const [busy, setBusy] = useState(false);
  const params = { certificate: id };
  const close = () => setQuestion(null);
  const enable = async (next: boolean) => {
    await call('changeCertificate', { params, body: { enabled: next } });
    await refreshCertificates();
    say(next ? words.enabledSaid : words.disabledSaid);
  };
  const renew = async () => {
    setBusy(true);
    try {
      queryClient.setQueryData(['certificate', id], await call('renewCertificate', { params }));
      say(source === 'acme' ? words.renewing : words.renewed);
      await refreshCertificates();
    } catch (thrown) {
      sayProblem(thrown);
    }
    setBusy(false);
  };
  const renews = source === 'acme' || source === 'private-ca';
  const entries: (MenuEntry | null)[] = [
    ...(requestWaits ? [] : [{ label: words.replace, icon: 'upload' as const, run: () => setQuestion('replace') }]),
    { label: words.requestAgain, icon: 'key', run: () => setQuestion('request') },
    ...(source === 'private-ca' ? [{ label: words.issueAgain, icon: 'shield' as const, run: () => setQuestion('issue') }] : []),
    ...(source === 'acme' ? [{ label: words.orderAgain, icon: 'config' as const, run: () => setQuestion('order') }] : []),
    ...(certificate.canGoBack ? [{ label: words.goBack, icon: 'history' as const, run: () => setQuestion('back') }] : []),
    null,
    { label: words.rename, icon: 'edit', run: () => setQuestion('rename') },
    enabled ? { label: words.disable, icon: 'unplug', run: () => setQuestion('off') } : { label: words.enable, icon: 'ok', run: () => void enable(true).catch(sayProblem) },
    { label: words.remove, icon: 'trash', danger: true, run: () => setQuestion('remove') },
  ];
  return (
    <>
      {mayDownload ? <Button icon="download" onClick={() => setQuestion('download')}>{words.download}</Button> : null}
      {mayChange && renews ? <Button icon="refresh" tone={requestWaits ? 'plain' : 'primary'} busy={busy} onClick={() => void renew()}>{words.renew}</Button> : null}
      {mayChange && requestWaits ? <Button tone="primary" icon="upload" onClick={() => setQuestion('replace')}>{words.answer}</Button> : null}
      {mayChange && !renews && !requestWaits ? <Button tone="primary" icon="upload" onClick={() => setQuestion('replace')}>{words.replace}</Button> : null}
      {mayChange ? <ActionMenu label={words.actions} entries={renews || requestWaits ? entries : entries.slice(1)} /> : null}
      <Download certificate={certificate} open={question === 'download'} onClose={close} />
      <ReplaceDialog certificate={certificate} open={question === 'replace'} onClose={close} />
      <RequestAgain certificate={certificate} open={question === 'request'} onClose={close} />
      <IssueAgain certificate={certificate} open={question === 'issue'} onClose={close} />
      <OrderAgain certificate={certificate} open={question === 'order'} onClose={close} />
      <GoBack certificate={certificate} open={question === 'back'} onClose={close} />
      <Dialog open={question === 'rename'} onClose={close} title={words.renameTitle(name)} about={words.renameAbout}>
        <Rename certificate={certificate} onClose={close} />
      </Dialog>
      <Confirm open={question === 'off'} onClose={close} title={words.disableTitle(name)} about={words.disableAbout} action={words.disable.replace('…', '')} run={() => enable(false)} />
      <RemoveCertificate certificate={certificate} open={question === 'remove'} onClose={close} />
    </>
  );
}

function RemoveCertificate({ certificate: { id, name }, open, onClose }: { certificate: CertificateDetailView; open: boolean; onClose: () => void }) {
  const navigate = useNavigate();
  const remove = async () => {
    await call('removeCertificate', { params: { certificate: id } });
    say(words.removeSaid(name));
    // Away first: what is shown here is asked for no more.
    await navigate({ to: '/certificates' });
    queryClient.removeQueries({ queryKey: ['certificate', id] });
    await refreshCertificates();
  };
  return <Confirm open={open} onClose={onClose} title={words.removeTitle(name)} about={words.removeAbout} action={text.common.remove} typed={name} run={remove} />;
}

function Rename({ certificate, onClose }: { certificate: CertificateDetailView; onClose: () => void }) {
  const own = useOwnCertificates();
  const deed = useDeed(['name']);
  const [name, setName] = useState(certificate.name);
  const submit = () =>
    deed.run([wrongName(name, own.filter((each) => each.id !== certificate.id))], async () => {
      await call('changeCertificate', { params: { certificate: certificate.id }, body: { name: name.trim() } });
      await refreshCertificates();
      say(words.renamedSaid);
      onClose();
    });
  return (
    <Form onSubmit={() => void submit()}>
      <NameField value={name} onValue={setName} deed={deed} />
      <ProblemNote problem={deed.problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={deed.busy}>{text.common.save}</Button>
      </div>
    </Form>
  );
}
