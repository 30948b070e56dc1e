// Fields that several forms of certificates have: name, host names, kind of key with its cost, subject.
import type { CertificateFormView } from '#api/certificate-shapes.ts';
import { useInfiniteQuery } from '@tanstack/react-query';
import { useId } from 'react';
import { linesOf, type FieldProblem } from '../config-document.ts';
import { certificatesQuery, itemsOf } from '../queries.ts';
import { text } from '../text.ts';
import { FormPart, TextArea } from '../ui/choices.tsx';
import { TextField } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import type { Deed } from './certificate-deed.ts';

const words = text.certificates;
export type KeyKind = CertificateFormView['keyKinds'][number]['kind'];

/** Certificates of people; with more than a page of them, the first ones. */
export function useOwnCertificates() {
  const certificates = useInfiniteQuery(certificatesQuery({}));
  return (itemsOf(certificates.data) ?? []).filter((each) => each.source !== 'leaf' && each.source !== 'ca');
}

const NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$/;

/** What is wrong with a name, without asking. */
export function wrongName(name: string, taken: readonly { readonly name: string }[] = []): FieldProblem | false {
  const given = name.trim();
  if (!NAME.test(given) || given.toLowerCase() === 'ca') return { path: 'name', message: words.upload.nameWrong };
  return taken.some((each) => each.name.toLowerCase() === given.toLowerCase()) && { path: 'name', message: words.upload.nameTaken };
}

export function NameField({ value, onValue, deed, hint = words.upload.nameHint }: { value: string; onValue: (value: string) => void; deed: Deed; hint?: string }) {
  return <TextField label={words.upload.name} hint={hint} value={value} onValue={onValue} error={deed.at('name')} maxLength={100} className="font-mono" autoComplete="off" autoCapitalize="none" spellCheck={false} />;
}

interface NamesFieldProps {
  value: string;
  onValue: (value: string) => void;
  /** Names of the gateway, offered where they are not there yet. */
  wanted?: readonly string[];
  error?: string | undefined;
  optional?: boolean;
  label?: string;
  hint?: string;
}

const OFFERED_MAX = 8;

export function NamesField({ value, onValue, wanted = [], error, optional = false, label = words.names.label, hint = words.names.hint }: NamesFieldProps) {
  const there = new Set(linesOf(value).map((each) => each.toLowerCase()));
  const offered = wanted.filter((each) => !there.has(each)).slice(0, OFFERED_MAX);
  return (
    <div className="flex flex-col gap-2">
      <TextArea label={optional ? `${label} (${text.common.optional})` : label} hint={hint} error={error} value={value} onValue={onValue} rows={Math.min(6, Math.max(3, there.size + 1))} placeholder="www.example.test" />
      {offered.length > 0 ? (
        <div className="flex flex-wrap items-center gap-1.5 text-sm text-ink-2">
          {words.names.wanted}
          {offered.map((each) => (
            <button key={each} type="button" aria-label={words.names.addName(each)} onClick={() => onValue([...linesOf(value), each].join('\n'))} className="inline-flex max-w-full items-center gap-1 rounded-md border border-line-strong bg-surface px-2 py-0.5 font-mono text-xs text-ink shadow-1 hover:bg-sunken">
              <Icon name="plus" size={12} />
              <span className="min-w-0 break-all">{each}</span>
            </button>
          ))}
        </div>
      ) : null}
    </div>
  );
}

/** A table that is chosen from: the cost stands beside each kind. */
export function KeyKinds({ form, value, onValue }: { form: CertificateFormView; value: KeyKind; onValue: (kind: KeyKind) => void }) {
  const id = useId();
  const columns = words.keys.columns;
  const dearest = Math.max(...form.keyKinds.map((each) => each.relative));
  const cell = 'px-3 py-2 align-middle';
  const head = 'px-3 py-1.5 text-left text-xs font-medium whitespace-nowrap text-ink-3';
  return (
    <fieldset className="min-w-0" aria-describedby={`${id}-note`}>
      <legend className="mb-1.5 text-sm font-medium">{words.keys.label}</legend>
      <div className="overflow-hidden rounded-xl border border-line">
        <table className="w-full text-sm num">
          <thead>
            <tr className="border-b border-line bg-sunken/60">
              <th scope="col" className={head}>{columns.kind}</th>
              <th scope="col" className={head}>{columns.time}</th>
              <th scope="col" className={`${head} hidden text-right sm:table-cell`}>{columns.signs}</th>
              <th scope="col" className={`${head} hidden sm:table-cell`}>{columns.about}</th>
            </tr>
          </thead>
          <tbody className="divide-y divide-line">
            {form.keyKinds.map((each) => (
              <tr key={each.kind} className="cursor-pointer hover:bg-sunken/60 has-checked:bg-accent-soft" onClick={() => onValue(each.kind)}>
                <td className={cell}>
                  <label className="flex items-center gap-2 font-medium whitespace-nowrap">
                    <input type="radio" name={id} value={each.kind} checked={value === each.kind} onChange={() => onValue(each.kind)} className="size-4 shrink-0 accent-accent" />
                    {words.keyKinds[each.kind]}
                  </label>
                </td>
                <td className={cell}>
                  <div className="flex items-center gap-2">
                    <div aria-hidden="true" className="hidden h-1.5 w-16 overflow-hidden rounded-full bg-line sm:block"><div className="h-full rounded-full bg-accent" style={{ width: `${Math.max(4, (each.relative / dearest) * 100)}%` }} /></div>
                    <span className="whitespace-nowrap">{words.keys.times(each.relative)}</span>
                  </div>
                  <div className="text-xs text-ink-2 sm:hidden">{each.text}</div>
                </td>
                <td className={`${cell} hidden text-right sm:table-cell`}>{words.keys.signs(each.signsPerSecond)}</td>
                <td className={`${cell} hidden text-ink-2 sm:table-cell`}>{each.text}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p id={`${id}-note`} className="mt-1.5 text-sm text-ink-2">{words.keys.hint}</p>
    </fieldset>
  );
}

export interface SubjectDraft {
  readonly commonName: string;
  readonly organization: string;
  readonly organizationalUnit: string;
  readonly locality: string;
  readonly state: string;
  readonly country: string;
}

export function subjectOf({ suggestion }: CertificateFormView): SubjectDraft {
  const { commonName, organization, organizationalUnit, locality, state, country } = suggestion;
  return { commonName, organization, organizationalUnit, locality, state, country };
}

export function SubjectFields({ value, onValue, deed }: { value: SubjectDraft; onValue: (value: SubjectDraft) => void; deed: Deed }) {
  const field = (name: keyof SubjectDraft, max: number, hint?: string) => (
    <TextField label={words.subject[name]} hint={hint} value={value[name]} onValue={(next) => onValue({ ...value, [name]: next })} error={deed.at(`subject.${name}`)} maxLength={max} autoComplete="off" spellCheck={false} />
  );
  return (
    <FormPart title={words.subject.title} about={words.subject.about}>
      {field('commonName', 64, words.subject.commonNameHint)}
      <div className="grid items-start gap-4 sm:grid-cols-2">
        {field('organization', 64)}
        {field('organizationalUnit', 64)}
      </div>
      <div className="grid items-start gap-4 sm:grid-cols-[1fr_1fr_8rem]">
        {field('locality', 128)}
        {field('state', 128)}
        {field('country', 2, words.subject.countryHint)}
      </div>
    </FormPart>
  );
}
