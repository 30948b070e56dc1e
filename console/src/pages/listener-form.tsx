// A listener, filled in.
import { useState } from 'react';
import { compact, editOf, isName, linesOf, numberOf, PROTOCOLS, type FieldProblem, type Listener, type Protocol } from '../config-document.ts';
import { text } from '../text.ts';
import { Check, Checks, FormPart, TextArea } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { useKept } from '../ui/kept.ts';
import { Dialog } from '../ui/overlay.tsx';
import { ConfigEditor } from './config-editor.tsx';

const words = text.frontDoor.listeners;
const FIELDS = ['name', 'address', 'port', 'tls', 'protocols', 'plain', 'proxyProtocolFrom', 'serverFirst', 'silentMs', 'sniffTimeoutMs'];
const named = (list: readonly Protocol[]) => list.map((each) => [each, text.frontDoor.protocols[each]] as const);

export function EditListener({ listener, onClose }: { listener: Listener | 'new' | null; onClose: () => void }) {
  const shown = useKept(listener);
  const before = shown === 'new' ? null : shown;
  return (
    <Dialog open={listener !== null} onClose={onClose} sticky wide title={before ? words.editTitle(before.name) : words.addTitle}>
      {shown === null ? null : <ListenerForm before={before} onClose={onClose} />}
    </Dialog>
  );
}

function ListenerForm({ before, onClose }: { before: Listener | null; onClose: () => void }) {
  const [draft, setDraft] = useState({
    name: before?.name ?? '', address: before?.address ?? '::', port: before ? String(before.port) : '', tls: before?.tls ?? true,
    protocols: [...(before?.protocols ?? ['http'])] as Protocol[], plain: [...(before?.plain ?? [])] as Protocol[], proxy: (before?.proxyProtocolFrom ?? []).join('\n'),
    serverFirst: before?.serverFirst ?? false, silent: before?.silentMs === undefined ? '' : String(before.silentMs), sniff: before?.sniffTimeoutMs === undefined ? '' : String(before.sniffTimeoutMs),
  });
  const set = (part: Partial<typeof draft>) => setDraft({ ...draft, ...part });
  const senders = linesOf(draft.proxy);
  const after = (): Listener =>
    compact({
      ...before, name: draft.name.trim(), address: draft.address.trim(), port: numberOf(draft.port), tls: draft.tls, protocols: draft.protocols,
      plain: draft.tls ? draft.plain : [], proxyProtocolFrom: senders, serverFirst: draft.serverFirst,
      silentMs: draft.silent.trim() ? numberOf(draft.silent) : undefined, sniffTimeoutMs: draft.sniff.trim() ? numberOf(draft.sniff) : undefined,
    }) as Listener;
  const wrong = (): FieldProblem[] => {
    const found: FieldProblem[] = [];
    const port = numberOf(draft.port);
    if (!isName(draft.name.trim())) found.push({ path: 'name', message: text.frontDoor.problems.name });
    if (!(port >= 0 && port <= 65_535)) found.push({ path: 'port', message: text.frontDoor.problems.portOrNone });
    for (const [path, value] of [['silentMs', draft.silent], ['sniffTimeoutMs', draft.sniff]] as const) if (value.trim() && Number.isNaN(numberOf(value))) found.push({ path, message: text.frontDoor.problems.ms });
    return found;
  };
  return (
    <ConfigEditor edit={() => editOf('listeners', before, after())} wrong={wrong} fields={FIELDS} name={before?.name ?? draft.name} onClose={onClose}>
      {({ at }) => (
        <>
          <div className="grid gap-4 sm:grid-cols-[1fr_1fr_7rem]">
            <TextField label={words.name} value={draft.name} onValue={(name) => set({ name: name.toLowerCase() })} error={at('name')} maxLength={64} className="font-mono" autoComplete="off" autoCapitalize="none" spellCheck={false} />
            <TextField label={words.address} hint={words.addressHint} value={draft.address} onValue={(address) => set({ address })} error={at('address')} maxLength={64} className="font-mono" autoComplete="off" spellCheck={false} />
            <TextField label={words.port} value={draft.port} onValue={(port) => set({ port: port.replace(/\D/g, '').slice(0, 5) })} error={at('port')} inputMode="numeric" autoComplete="off" className="num" />
          </div>
          <SelectField label={words.speaks} value={draft.tls ? 'tls' : 'plain'} onValue={(value) => set({ tls: value === 'tls' })} options={[['tls', words.speaksTls], ['plain', words.speaksPlain]]} />
          <Checks label={words.protocols} hint={draft.tls ? words.protocolsTls : words.protocolsPlain} error={at('protocols')} chosen={draft.protocols} onChosen={(protocols) => set({ protocols })} options={named(PROTOCOLS)} />
          {draft.tls ? <Checks label={words.plainToo} hint={words.plainTooHint} error={at('plain')} chosen={draft.plain} onChosen={(plain) => set({ plain })} options={named(PROTOCOLS.filter((each) => each !== 'tls'))} /> : null}
          <Check label={words.first} hint={at('serverFirst') ?? words.firstHint} checked={draft.serverFirst} onChecked={(serverFirst) => set({ serverFirst, ...(serverFirst ? { protocols: ['tcp'] } : {}) })} />
          <TextArea label={`${words.proxy} (${text.common.optional})`} hint={words.proxyHint} error={at('proxyProtocolFrom')} value={draft.proxy} onValue={(proxy) => set({ proxy })} rows={2} placeholder="192.0.2.0/24" />
          <FormPart title={words.timing}>
            <div className="grid gap-4 sm:grid-cols-2">
              <TextField label={`${words.silent} (${text.common.optional})`} hint={words.silentHint} error={at('silentMs')} value={draft.silent} onValue={(silent) => set({ silent })} inputMode="numeric" className="num" />
              <TextField label={`${words.sniff} (${text.common.optional})`} hint={words.sniffHint} error={at('sniffTimeoutMs')} value={draft.sniff} onValue={(sniff) => set({ sniff })} inputMode="numeric" className="num" />
            </div>
          </FormPart>
        </>
      )}
    </ConfigEditor>
  );
}
