// Which authority, and what it wants to know of whoever asks for the first time.
import type { CertificateFormView } from '#api/certificate-shapes.ts';
import type { Body } from '#api/contract.ts';
import type { FieldProblem } from '../config-document.ts';
import { text } from '../text.ts';
import { Check, FormPart, TextArea } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import type { Deed } from './certificate-deed.ts';

const words = text.certificates.order;
const OTHER = 'other';

export interface AccountDraft {
  /** Key of a known one, address of one with an account, or `other`. */
  readonly directory: string;
  readonly url: string;
  readonly contact: string;
  readonly terms: boolean;
  readonly eab: boolean;
  readonly keyId: string;
  readonly hmacKey: string;
  readonly ownRoot: boolean;
  readonly rootPem: string;
}

export const emptyAccount: AccountDraft = { directory: 'lets-encrypt', url: '', contact: '', terms: false, eab: false, keyId: '', hmacKey: '', ownRoot: false, rootPem: '' };
export const accountFields = ['directory', 'contact', 'termsAgreed', 'externalAccount.keyId', 'externalAccount.hmacKey', 'externalAccount', 'rootPem'];

export const directoryOf = ({ directory, url }: AccountDraft) => (directory === OTHER ? url.trim() : directory);

export function accountOf(draft: AccountDraft): Body<'setAcmeAccount'> {
  return {
    directory: directoryOf(draft), contact: draft.contact.trim() || null, termsAgreed: draft.terms,
    externalAccount: draft.eab ? { keyId: draft.keyId.trim(), hmacKey: draft.hmacKey.trim() } : null, rootPem: draft.ownRoot ? draft.rootPem : null,
  };
}

/** What is wrong without asking the gateway. */
export function wrongAccount({ directory, url, eab, keyId, hmacKey, ownRoot, rootPem }: AccountDraft): (FieldProblem | false)[] {
  const missing = (isAsked: boolean, value: string, path: string) => isAsked && value.trim() === '' && { path, message: words.missing };
  return [
    directory === OTHER && !/^https:\/\/[^/]/.test(url.trim()) && { path: 'directory', message: words.urlWrong }, missing(eab, keyId, 'externalAccount.keyId'), missing(eab, hmacKey, 'externalAccount.hmacKey'), missing(ownRoot, rootPem, 'rootPem'),
  ];
}

export function directoryName(key: string): string {
  return (words.directories as Readonly<Record<string, string>>)[key] ?? key;
}

/** The draft that names this address. */
export function accountAt(form: CertificateFormView, url: string): AccountDraft {
  const known = form.directories.find((each) => each.url === url);
  return known ? { ...emptyAccount, directory: known.key } : { ...emptyAccount, directory: OTHER, url };
}

interface AccountProps {
  form: CertificateFormView;
  value: AccountDraft;
  onValue: (value: AccountDraft) => void;
  deed: Deed;
  /** Also where there is an account: it is to be changed. */
  always?: boolean;
}

export function DirectoryField({ form, value, onValue, deed }: AccountProps) {
  const options = form.directories.map(({ key, hasAccount }) => [key, hasAccount ? words.withAccount(directoryName(key)) : directoryName(key)] as const);
  return (
    <>
      <SelectField label={words.directory} value={value.directory} onValue={(directory) => onValue({ ...value, directory })} options={[...options, [OTHER, words.otherDirectory]]} />
      {value.directory === OTHER ? <TextField label={words.url} hint={words.urlHint} value={value.url} onValue={(url) => onValue({ ...value, url })} error={deed.at('directory')} maxLength={500} className="font-mono" autoComplete="off" autoCapitalize="none" spellCheck={false} placeholder="https://ca.example.test/acme/directory" /> : null}
    </>
  );
}

export function AccountFields({ form, value, onValue, deed, always = false }: AccountProps) {
  const set = (part: Partial<AccountDraft>) => onValue({ ...value, ...part });
  const isThere = form.directories.some(({ key, url, hasAccount }) => hasAccount && (key === value.directory || url === value.url.trim()));
  const plain = { autoComplete: 'off', autoCapitalize: 'none', spellCheck: false, maxLength: 500 } as const;
  return (
    <FormPart title={words.account} about={always ? undefined : isThere ? words.accountThere : words.accountAbout}>
      {isThere && !always ? null : (
        <>
          <TextField label={`${words.contact} (${text.common.optional})`} hint={words.contactHint} type="email" value={value.contact} onValue={(contact) => set({ contact })} error={deed.at('contact')} maxLength={254} autoComplete="email" placeholder="admin@example.test" />
          <Check label={words.terms} hint={deed.at('termsAgreed') ?? words.termsHint} checked={value.terms} onChecked={(terms) => set({ terms })} />
          <Check label={words.eab} hint={value.eab ? words.eabHint : undefined} checked={value.eab} onChecked={(eab) => set({ eab })} />
          {value.eab ? (
            <div className="grid items-start gap-4 sm:grid-cols-2">
              <TextField {...plain} label={words.eabId} value={value.keyId} onValue={(keyId) => set({ keyId })} error={deed.at('externalAccount.keyId')} className="font-mono" />
              <TextField {...plain} label={words.eabKey} type="password" value={value.hmacKey} onValue={(hmacKey) => set({ hmacKey })} error={deed.at('externalAccount.hmacKey')} className="font-mono" />
            </div>
          ) : null}
          <Check label={words.ownRoot} hint={words.rootHint} checked={value.ownRoot} onChecked={(ownRoot) => set({ ownRoot })} />
          {value.ownRoot ? <TextArea label={words.rootPem} error={deed.at('rootPem')} value={value.rootPem} onValue={(rootPem) => set({ rootPem })} rows={5} placeholder="-----BEGIN CERTIFICATE-----" /> : null}
        </>
      )}
    </FormPart>
  );
}

/** A known authority's name, else its host. */
export function directoryNameOf(url: string): string {
  const known: Readonly<Record<string, keyof typeof words.directories>> = { 'acme-v02.api.letsencrypt.org': 'lets-encrypt', 'acme-staging-v02.api.letsencrypt.org': 'lets-encrypt-staging', 'acme.zerossl.com': 'zerossl', 'dv.acme-v02.api.pki.goog': 'google' };
  const { host } = new URL(url);
  const key = known[host];
  return key ? words.directories[key] : host;
}
