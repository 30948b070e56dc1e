// A route, filled in: which fields there are follows from its protocol and from what it leads to.
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { editOf, PROTOCOLS, type Protocol, type Route } from '../config-document.ts';
import { configQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Button, IconButton } from '../ui/button.tsx';
import { Check, Checks, FormPart, TextArea } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { useKept } from '../ui/kept.ts';
import { Dialog } from '../ui/overlay.tsx';
import { ConfigEditor } from './config-editor.tsx';
import { APPLICATION_FIELDS, tellsFor } from './application-draft.ts';
import { ApplicationFields } from './application-fields.tsx';
import { mayBeApplication, newClass, routeDraftOf, routeOf, targetKinds, wrongIn, type ClassDraft, type RouteDraft } from './route-draft.ts';
import { TargetFields } from './route-target.tsx';

const words = text.frontDoor.routes.form;
const CLASS_FIELDS_MAX = 100;
const TARGET_FIELDS = ['kind', 'host', 'port', 'proxyProtocol', 'verify', 'verify.name', 'verify.ca', 'verify.sha256', 'serverName', 'certificate', 'checkCertificate', 'checkCertificate.otherwise', 'device', 'to', 'status', 'body', 'contentType'].map((each) => `target.${each}`);
const FIELDS = ['name', 'protocol', 'host', 'path', 'ignoreCase', 'largeHeads', 'alias', 'listeners', 'clientCertificate', 'classes', 'onlyClasses', 'target', ...TARGET_FIELDS, ...APPLICATION_FIELDS, ...Array.from({ length: CLASS_FIELDS_MAX }, (_, i) => ['name', 'paths', 'methods'].map((each) => `classes[${i}].${each}`)).flat()];
const mono = { className: 'font-mono', autoComplete: 'off', autoCapitalize: 'none', spellCheck: false } as const;

export function EditRoute({ route, onClose }: { route: Route | 'new' | null; onClose: () => void }) {
  const shown = useKept(route);
  const before = shown === 'new' ? null : shown;
  return (
    <Dialog open={route !== null} onClose={onClose} sticky wide title={before ? text.frontDoor.routes.editTitle(before.name) : text.frontDoor.routes.addTitle}>
      {shown === null ? null : <RouteForm before={before} onClose={onClose} />}
    </Dialog>
  );
}

const protocolOptions = PROTOCOLS.map((each) => [each, text.frontDoor.protocols[each]] as const);
const isProtocol = (value: string): value is Protocol => PROTOCOLS.some((each) => each === value);

function RouteForm({ before, onClose }: { before: Route | null; onClose: () => void }) {
  const document = useQuery(configQuery);
  const [draft, setDraft] = useState(() => routeDraftOf(before));
  const set = (part: Partial<RouteDraft>) => setDraft((now) => ({ ...now, ...part }));
  const choose = (protocol: string) => {
    if (!isProtocol(protocol)) return;
    const kinds = targetKinds(protocol);
    const { application } = draft;
    const tells = tellsFor(protocol);
    set({ protocol, application: tells.includes(application.tell) ? application : { ...application, tell: tells[0]! }, target: kinds.includes(draft.target.kind) ? draft.target : { ...draft.target, kind: kinds[0]! } });
  };
  const { protocol } = draft;
  const isHttp = protocol === 'http';
  const takes = (document.data?.config.listeners ?? []).filter((each) => (each.protocols ?? ['http']).includes(protocol) || (each.plain ?? []).includes(protocol) || draft.listeners.includes(each.name));
  return (
    <ConfigEditor edit={() => editOf('routes', before, routeOf(draft, before))} wrong={() => wrongIn(draft)} fields={FIELDS} name={before?.name ?? draft.name} onClose={onClose}>
      {({ at }) => (
        <>
          <div className="grid gap-4 sm:grid-cols-2">
            <TextField {...mono} label={words.name} hint={text.frontDoor.nameHint} value={draft.name} onValue={(name) => set({ name: name.toLowerCase() })} error={at('name')} maxLength={64} />
            <SelectField label={words.protocol} value={protocol} onValue={choose} options={protocolOptions} hint={at('protocol')} />
          </div>
          <FormPart title={words.what}>
            <div className="grid gap-4 sm:grid-cols-2">
              <TextField {...mono} label={`${words.host} (${text.common.optional})`} hint={`${words.hosts[protocol]} ${words.hostHint}`} value={draft.host} onValue={(host) => set({ host })} error={at('host')} maxLength={255} placeholder={isHttp ? 'shop.example.test' : ''} />
              {isHttp ? <TextArea label={words.paths} hint={words.pathsHint} error={at('path')} value={draft.paths} onValue={(paths) => set({ paths })} rows={2} /> : null}
              {isHttp || protocol === 'tls' ? null : <TextField {...mono} label={`${words.alias} (${text.common.optional})`} hint={words.aliasHint} value={draft.alias} onValue={(alias) => set({ alias })} error={at('alias')} maxLength={200} />}
            </div>
            <Checks label={words.listeners} hint={words.listenersHint} error={at('listeners')} chosen={draft.listeners} onChosen={(listeners) => set({ listeners })} options={takes.map(({ name }) => [name, name] as const)} />
            {isHttp ? (
              <div className="grid gap-3 sm:grid-cols-2">
                <Check label={words.ignoreCase} checked={draft.ignoreCase} onChecked={(ignoreCase) => set({ ignoreCase })} />
                <Check label={words.largeHeads} checked={draft.largeHeads} onChecked={(largeHeads) => set({ largeHeads })} />
              </div>
            ) : null}
            {protocol === 'tls' ? null : (
              <div className="grid items-start gap-4 sm:grid-cols-2">
                <Check label={words.needsCertificate} hint={at('clientCertificate') ? <span className="text-bad-ink" role="alert">{at('clientCertificate')}</span> : undefined} checked={draft.needsCertificate} onChecked={(needsCertificate) => set({ needsCertificate })} />
                {draft.needsCertificate ? <TextField label={`${words.subject} (${text.common.optional})`} hint={words.subjectHint} value={draft.subject} onValue={(subject) => set({ subject })} maxLength={200} autoComplete="off" /> : null}
              </div>
            )}
          </FormPart>
          <FormPart title={words.target}>
            <TargetFields draft={draft.target} protocol={protocol} onDraft={(target) => set({ target })} at={at} isTold={draft.application.is && mayBeApplication(draft.target.kind)} />
          </FormPart>
          {mayBeApplication(draft.target.kind) ? <ApplicationFields draft={draft.application} protocol={protocol} onDraft={(application) => set({ application })} at={at} /> : null}
          {isHttp ? <Classes classes={draft.classes} only={draft.onlyClasses} onClasses={(classes) => set({ classes })} onOnly={(onlyClasses) => set({ onlyClasses })} at={at} /> : null}
        </>
      )}
    </ConfigEditor>
  );
}

function Classes({ classes, only, onClasses, onOnly, at }: { classes: readonly ClassDraft[]; only: boolean; onClasses: (classes: readonly ClassDraft[]) => void; onOnly: (only: boolean) => void; at: (field: string) => string | undefined }) {
  const change = (key: number, part: Partial<ClassDraft>) => onClasses(classes.map((each) => (each.key === key ? { ...each, ...part } : each)));
  return (
    <FormPart title={words.classes} about={at('classes') ?? words.classesAbout}>
      {classes.map((each, i) => (
        <div key={each.key} className="grid grid-cols-[1fr_auto] gap-3 rounded-xl bg-sunken p-3 sm:grid-cols-[9rem_1fr_9rem_auto]">
          <TextField {...mono} label={words.className} value={each.name} onValue={(name) => change(each.key, { name: name.toLowerCase() })} error={at(`classes[${i}].name`)} maxLength={64} />
          <IconButton icon="trash" size="sm" label={words.removeClass(each.name)} onClick={() => onClasses(classes.filter((other) => other.key !== each.key))} className="mt-7 sm:order-last" />
          <TextArea label={words.classPaths} error={at(`classes[${i}].paths`)} value={each.paths} onValue={(paths) => change(each.key, { paths })} rows={2} placeholder="/api" wide="col-span-2 sm:col-span-1" />
          <TextField {...mono} label={words.methods} hint={words.methodsHint} value={each.methods} onValue={(methods) => change(each.key, { methods })} error={at(`classes[${i}].methods`)} wide="col-span-2 sm:col-span-1" />
        </div>
      ))}
      <div className="flex flex-wrap items-center gap-x-5 gap-y-3">
        <Button size="sm" icon="plus" onClick={() => onClasses([...classes, newClass()])}>{words.addClass}</Button>
        {classes.length > 0 ? <Check label={words.onlyClasses} checked={only} onChecked={onOnly} /> : null}
      </div>
    </FormPart>
  );
}
