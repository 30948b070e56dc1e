// A TLS policy, filled in: for which names, how strict, whose certificates, and the lane for old clients.
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { compact, editOf, isName, linesOf, type FieldProblem, type TlsPolicy } from '../config-document.ts';
import { configQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Check, Checks, FormPart, TextArea } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { useKept } from '../ui/kept.ts';
import { Dialog } from '../ui/overlay.tsx';
import { ConfigEditor } from './config-editor.tsx';

const words = text.frontDoor.tls.form;
const FIELDS = ['name', 'hosts', 'listeners', 'level', 'clientCertificates', 'legacyLane', 'legacyLane.from', 'legacyLane.until'];
type Asks = 'none' | 'asked' | 'needed';

export function EditPolicy({ policy, onClose }: { policy: TlsPolicy | 'new' | null; onClose: () => void }) {
  const shown = useKept(policy);
  const before = shown === 'new' ? null : shown;
  return (
    <Dialog open={policy !== null} onClose={onClose} sticky wide title={before ? text.frontDoor.tls.editTitle(before.name) : text.frontDoor.tls.addTitle}>
      {shown === null ? null : <PolicyForm before={before} onClose={onClose} />}
    </Dialog>
  );
}

function PolicyForm({ before, onClose }: { before: TlsPolicy | null; onClose: () => void }) {
  const document = useQuery(configQuery);
  const given = before?.clientCertificates;
  const [draft, setDraft] = useState({
    name: before?.name ?? '', hosts: (before?.hosts ?? []).join('\n'), listeners: before?.listeners ?? [], level: before?.level ?? ('intermediate' as const),
    asks: (given === undefined ? 'none' : (given.required ?? true) ? 'needed' : 'asked') as Asks, ownCa: given !== undefined && given.ca !== 'private', ca: given !== undefined && given.ca !== 'private' ? given.ca : '',
    lane: before?.legacyLane !== undefined, sources: (before?.legacyLane?.from ?? []).join('\n'), until: before?.legacyLane?.until ?? '',
  });
  const set = (part: Partial<typeof draft>) => setDraft({ ...draft, ...part });
  const after = (): TlsPolicy => {
    const hosts = linesOf(draft.hosts).map((each) => each.toLowerCase());
    return compact({
      ...before, name: draft.name.trim(), hosts: hosts.length > 0 ? hosts : undefined, listeners: draft.listeners.length > 0 ? draft.listeners : undefined, level: draft.level,
      clientCertificates: draft.asks === 'none' ? undefined : { ca: draft.ownCa ? draft.ca.trim() : ('private' as const), required: draft.asks === 'needed' },
      legacyLane: draft.lane ? { from: linesOf(draft.sources), until: draft.until } : undefined,
    }) as TlsPolicy;
  };
  const wrong = (): FieldProblem[] => (isName(draft.name.trim()) ? [] : [{ path: 'name', message: text.frontDoor.problems.name }]);
  const listeners = (document.data?.config.listeners ?? []).filter((each) => each.tls || draft.listeners.includes(each.name));
  return (
    <ConfigEditor edit={() => editOf('tlsPolicies', before, after())} wrong={wrong} fields={FIELDS} name={before?.name ?? draft.name} onClose={onClose}>
      {({ at }) => (
        <>
          <div className="grid items-start gap-4 sm:grid-cols-2">
            <TextField label={text.frontDoor.routes.form.name} hint={text.frontDoor.nameHint} value={draft.name} onValue={(name) => set({ name: name.toLowerCase() })} error={at('name')} maxLength={64} className="font-mono" autoComplete="off" autoCapitalize="none" spellCheck={false} />
            <SelectField label={words.level} hint={at('level')} value={draft.level} onValue={(level) => set({ level: level === 'modern' ? 'modern' : 'intermediate' })} options={Object.entries(text.frontDoor.tls.levelsLong)} />
          </div>
          <TextArea label={`${words.hosts} (${text.common.optional})`} hint={words.hostsHint} error={at('hosts')} value={draft.hosts} onValue={(hosts) => set({ hosts })} placeholder="*.example.test" />
          <Checks label={words.listeners} hint={words.listenersHint} error={at('listeners')} chosen={draft.listeners} onChosen={(chosen) => set({ listeners: chosen })} options={listeners.map(({ name }) => [name, name] as const)} />
          <FormPart title={words.certificates} about={at('clientCertificates') && draft.asks !== 'none' && !draft.ownCa ? at('clientCertificates') : undefined}>
            <div className="grid gap-4 sm:grid-cols-2">
              <SelectField label={words.certificates} value={draft.asks} onValue={(asks) => set({ asks: asks as Asks })} options={[['none', words.certificatesNone], ['asked', words.certificatesAsked], ['needed', words.certificatesNeeded]]} />
              {draft.asks === 'none' ? null : <SelectField label={words.ca} value={draft.ownCa ? 'own' : 'private'} onValue={(value) => set({ ownCa: value === 'own' })} options={[['private', words.caPrivate], ['own', words.caOwn]]} />}
            </div>
            {draft.asks !== 'none' && draft.ownCa ? <TextArea label={words.caPem} error={at('clientCertificates')} value={draft.ca} onValue={(ca) => set({ ca })} rows={4} placeholder="-----BEGIN CERTIFICATE-----" /> : null}
          </FormPart>
          <FormPart title={words.lane} about={words.laneAbout}>
            <Check label={words.laneOn} checked={draft.lane} onChecked={(lane) => set({ lane })} />
            {draft.lane ? (
              <div className="grid items-start gap-4 sm:grid-cols-[1fr_11rem]">
                <TextArea label={words.sources} hint={words.sourcesHint} error={at('legacyLane.from') ?? at('legacyLane')} value={draft.sources} onValue={(sources) => set({ sources })} placeholder="203.0.113.0/24" />
                <TextField label={words.until} type="date" value={draft.until} onValue={(until) => set({ until })} error={at('legacyLane.until')} />
              </div>
            ) : null}
          </FormPart>
        </>
      )}
    </ConfigEditor>
  );
}
