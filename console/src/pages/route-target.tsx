// Where a route leads, filled in.
import type { Protocol } from '../config-document.ts';
import { text } from '../text.ts';
import { TextArea } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { checksCertificates, targetKinds, type TargetDraft, type TargetKind, type VerifyBy } from './route-draft.ts';

const words = text.frontDoor.routes.form;
const mono = { className: 'font-mono', autoComplete: 'off', autoCapitalize: 'none', spellCheck: false } as const;
const portOnly = (value: string) => value.replace(/\D/g, '').slice(0, 5);

interface Props {
  draft: TargetDraft;
  protocol: Protocol;
  onDraft: (draft: TargetDraft) => void;
  /** Problems by path in the route. */
  at: (field: string) => string | undefined;
  /** The route's application says how the server hears addresses. */
  isTold: boolean;
}

export function TargetFields({ draft, protocol, onDraft, at, isTold }: Props) {
  const set = (part: Partial<TargetDraft>) => onDraft({ ...draft, ...part });
  const isServer = draft.kind === 'tcp' || draft.kind === 'tls';
  return (
    <>
      <SelectField label={words.kind} hint={at('target') ? <span className="text-bad-ink" role="alert">{at('target')}</span> : at('target.kind')} value={draft.kind} onValue={(kind) => set({ kind: kind as TargetKind, status: '' })} options={targetKinds(protocol).map((kind) => [kind, words.kinds[kind]] as const)} />
      {isServer || draft.kind === 'device' ? (
        <div className="grid gap-4 sm:grid-cols-[1fr_7rem]">
          {isServer ? (
            <TextField {...mono} label={words.serverHost} value={draft.host} onValue={(host) => set({ host })} error={at('target.host')} maxLength={253} placeholder="192.0.2.20" />
          ) : (
            <TextField {...mono} label={words.device} hint={words.deviceHint} value={draft.device} onValue={(device) => set({ device })} error={at('target.device')} maxLength={200} />
          )}
          <TextField label={words.port} value={draft.port} onValue={(port) => set({ port: portOnly(port) })} error={at('target.port')} inputMode="numeric" autoComplete="off" className="num" />
        </div>
      ) : null}
      {draft.kind === 'tls' ? <TlsFields draft={draft} protocol={protocol} set={set} at={at} /> : null}
      {isServer && !isTold ? <SelectField label={words.tell} hint={at('target.proxyProtocol')} value={draft.proxyProtocol} onValue={(value) => set({ proxyProtocol: value as TargetDraft['proxyProtocol'] })} options={Object.entries(words.tells)} /> : null}
      {draft.kind === 'redirect' ? (
        <div className="grid gap-4 sm:grid-cols-[1fr_7rem]">
          <TextField {...mono} label={words.to} hint={words.toHint} value={draft.to} onValue={(to) => set({ to })} error={at('target.to')} placeholder="https://www.example.test/" />
          <SelectField label={words.status} value={draft.status || '308'} onValue={(status) => set({ status })} options={['301', '302', '303', '307', '308'].map((each) => [each, each] as const)} />
        </div>
      ) : null}
      {draft.kind === 'respond' ? (
        <>
          <div className="grid gap-4 sm:grid-cols-[7rem_1fr]">
            <TextField label={words.status} value={draft.status || ''} placeholder="200" onValue={(status) => set({ status: status.replace(/\D/g, '').slice(0, 3) })} error={at('target.status')} inputMode="numeric" className="num" />
            <TextField {...mono} label={words.contentType} value={draft.contentType} onValue={(contentType) => set({ contentType })} error={at('target.contentType')} maxLength={200} />
          </div>
          <TextArea label={words.body} error={at('target.body')} value={draft.body} onValue={(body) => set({ body })} rows={4} />
        </>
      ) : null}
    </>
  );
}

function TlsFields({ draft, protocol, set, at }: Pick<Props, 'draft' | 'protocol' | 'at'> & { set: (part: Partial<TargetDraft>) => void }) {
  return (
    <>
      <div className="grid gap-4 sm:grid-cols-2">
        <SelectField label={words.verify} hint={at('target.verify')} value={draft.verifyBy} onValue={(by) => set({ verifyBy: by as VerifyBy })} options={Object.entries(words.verifies)} />
        {draft.verifyBy === 'name' ? <TextField {...mono} label={`${words.verifyName} (${text.common.optional})`} hint={words.verifyNameHint} value={draft.verifyName} onValue={(verifyName) => set({ verifyName })} error={at('target.verify.name')} maxLength={253} /> : null}
        {draft.verifyBy === 'fingerprint' ? <TextField {...mono} label={words.sha256} value={draft.sha256} onValue={(sha256) => set({ sha256 })} error={at('target.verify.sha256')} maxLength={95} /> : null}
      </div>
      {draft.verifyBy === 'fingerprint' ? null : (
        <TextArea label={draft.verifyBy === 'name' ? `${words.ca} (${text.common.optional})` : words.ca} hint={draft.verifyBy === 'name' ? words.caOptional : undefined} error={at('target.verify.ca')} value={draft.ca} onValue={(ca) => set({ ca })} rows={3} placeholder="-----BEGIN CERTIFICATE-----" />
      )}
      <div className="grid gap-4 sm:grid-cols-2">
        <TextField {...mono} label={`${words.serverName} (${text.common.optional})`} hint={words.serverNameHint} value={draft.serverName} onValue={(serverName) => set({ serverName })} error={at('target.serverName')} maxLength={253} />
        <TextField label={`${words.certificate} (${text.common.optional})`} hint={words.certificateHint} value={draft.certificate} onValue={(certificate) => set({ certificate })} error={at('target.certificate')} maxLength={100} autoComplete="off" />
      </div>
      {checksCertificates(protocol) ? (
        <div className="grid gap-4 sm:grid-cols-[1fr_9rem]">
          <SelectField label={words.check} hint={at('target.checkCertificate') ? <span className="text-bad-ink" role="alert">{at('target.checkCertificate')}</span> : words.checkHint} value={draft.check} onValue={(check) => set({ check: check as TargetDraft['check'] })} options={Object.entries(words.checks)} />
          {draft.check === 'port' ? <TextField label={words.otherPort} value={draft.checkPort} onValue={(checkPort) => set({ checkPort: portOnly(checkPort) })} error={at('target.checkCertificate.otherwise')} inputMode="numeric" className="num" /> : null}
        </div>
      ) : null}
    </>
  );
}
