// Credentials of agents for asking devices: names are shown, secrets are written and never read.
import type { Body } from '#api/contract.ts';
import type { CredentialsView } from '#api/probe-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { linesOf } from '../config-document.ts';
import { agentsQuery, credentialsQuery, itemsOf, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card } from '../ui/bits.tsx';
import { Button, IconButton } from '../ui/button.tsx';
import { TextArea } from '../ui/choices.tsx';
import { Select, SelectField, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { useKept } from '../ui/kept.ts';
import { Loaded } from '../ui/list.tsx';
import { Confirm, Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';

const words = text.profile.probes;
type Sent = NonNullable<Body<'setProbeCredentials'>['put']>[number];
type Version = Sent['version'];

export function CredentialsCard() {
  const agents = useInfiniteQuery(agentsQuery);
  const mine = (itemsOf(agents.data) ?? []).filter((agent) => agent.state === 'active' && agent.may.includes('administer'));
  const [chosen, setChosen] = useState('');
  const agent = mine.find(({ id }) => id === chosen) ?? mine.find(({ online }) => online) ?? mine[0];
  return (
    <Card title={words.credentials} about={words.credentialsAbout} flush>
      <div className="border-t border-line">
        <Loaded query={agents} lines={2}>
          {agent === undefined ? <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{words.noAgents}</p> : (
            <>
              {mine.length > 1 ? <div className="border-b border-line px-4 py-3 sm:px-5"><Select aria-label={words.agent} value={agent.id} onValue={setChosen} options={mine.map((each) => [each.id, each.name])} className="w-full" /></div> : null}
              {agent.online ? <OfAgent key={agent.id} agent={agent} alone={mine.length === 1} /> : <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{words.agentOffline}</p>}
            </>
          )}
        </Loaded>
      </div>
    </Card>
  );
}

function OfAgent({ agent, alone }: { agent: { readonly id: string; readonly name: string }; alone: boolean }) {
  const credentials = useQuery(credentialsQuery(agent.id));
  const [setting, setSetting] = useState(false);
  const [removing, setRemoving] = useState<CredentialsView | null>(null);
  const leaving = useKept(removing);
  const items = credentials.data?.items ?? [];
  return (
    <>
      <Loaded query={credentials} lines={2}>
        {alone ? <p className="px-4 pt-3 text-xs text-ink-3 sm:px-5">{words.agent}: {agent.name}</p> : null}
        {credentials.data?.isDefault ? <p className="px-4 py-3 text-sm text-ink-2 sm:px-5">{words.isDefault}</p> : null}
        <ul className="divide-y divide-line">
          {items.map((each) => (
            <li key={each.name} data-credentials={each.name} className="flex items-center gap-3 px-4 py-2.5 text-sm sm:px-5">
              <div className="min-w-0 flex-1">
                <p className="flex flex-wrap items-center gap-x-2 gap-y-0.5"><span className="font-medium break-all">{each.name}</span><Badge>{words.versions[each.version]}</Badge>{each.user ? <span className="text-xs text-ink-2">{words.user(each.user)}</span> : null}{each.authProtocol ? <span className="text-xs text-ink-3">{[each.authProtocol, each.privProtocol].filter(Boolean).join(' + ').toUpperCase()}</span> : null}</p>
                <p className="truncate text-xs text-ink-3" title={each.networks.join(', ')}>{each.networks.length > 0 ? <span className="font-mono">{each.networks.join(', ')}</span> : words.everywhere}</p>
              </div>
              <IconButton icon="trash" size="sm" label={words.removeCredentials(each.name)} onClick={() => setRemoving(each)} />
            </li>
          ))}
        </ul>
        <div className="border-t border-line px-4 py-3 sm:px-5"><Button size="sm" icon="key" onClick={() => setSetting(true)}>{words.addCredentials}</Button></div>
      </Loaded>
      <Dialog open={setting} onClose={() => setSetting(false)} sticky title={words.setTitle(agent.name)} about={words.setAbout}>
        {setting ? <SetBody agentId={agent.id} onClose={() => setSetting(false)} /> : null}
      </Dialog>
      <Confirm
        open={removing !== null}
        onClose={() => setRemoving(null)}
        title={words.removeCredentialsTitle(leaving?.name ?? '')}
        about={words.removeCredentialsAbout}
        action={text.common.remove}
        run={async () => {
          if (!leaving) return;
          await call('setProbeCredentials', { params: { id: agent.id }, body: { put: [], remove: [leaving.name] } });
          say(words.removedCredentials(leaving.name));
          await refresh('probe-credentials');
        }}
      />
    </>
  );
}

const AUTH = ['sha256', 'sha512', 'sha384', 'sha224', 'sha', 'md5'] as const;
const PRIV = ['aes', 'aes256b', 'aes256r', 'des'] as const;
const PRIV_NAMES: Record<(typeof PRIV)[number], string> = { aes: 'AES-128', aes256b: 'AES-256 (Blumenthal)', aes256r: 'AES-256 (Reeder)', des: 'DES' };

function SetBody({ agentId, onClose }: { agentId: string; onClose: () => void }) {
  const [draft, setDraft] = useState({ name: '', version: 'v2c' as Version, community: '', user: '', auth: 'sha256' as string, authKey: '', priv: 'aes' as string, privKey: '', networks: '' });
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const set = (part: Partial<typeof draft>) => setDraft({ ...draft, ...part });
  const isV3 = draft.version === 'v3';
  const sent = (): Sent => ({
    name: draft.name.trim(), version: draft.version, networks: linesOf(draft.networks),
    ...(isV3
      ? {
          user: draft.user.trim(),
          ...(draft.auth ? { authProtocol: draft.auth as (typeof AUTH)[number], authKey: draft.authKey } : {}),
          ...(draft.auth && draft.priv ? { privProtocol: draft.priv as (typeof PRIV)[number], privKey: draft.privKey } : {}),
        }
      : { community: draft.community }),
  });
  const submit = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await call('setProbeCredentials', { params: { id: agentId }, body: { put: [sent()], remove: [] } });
      say(words.setSaid(draft.name.trim()));
      onClose();
      await refresh('probe-credentials');
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  // `new-password`: a browser offers to fill in nothing of its own, and to keep nothing.
  const secret = { type: 'password', autoComplete: 'new-password', maxLength: 128, className: 'font-mono' } as const;
  return (
    <Form label={words.addCredentials} onSubmit={() => void submit()}>
      <div className="grid gap-4 sm:grid-cols-2">
        <TextField label={words.name} hint={words.nameHint} value={draft.name} onValue={(name) => set({ name: name.toLowerCase() })} maxLength={40} autoComplete="off" autoCapitalize="none" spellCheck={false} className="font-mono" />
        <SelectField label={words.version} value={draft.version} onValue={(version) => set({ version: version as Version })} options={(['v2c', 'v3', 'v1'] as const).map((each) => [each, words.versions[each]])} />
      </div>
      {isV3 ? (
        <>
          <TextField label={words.userField} value={draft.user} onValue={(user) => set({ user })} maxLength={32} autoComplete="off" autoCapitalize="none" spellCheck={false} className="font-mono" />
          <div className="grid gap-4 sm:grid-cols-2">
            <SelectField label={words.auth} value={draft.auth} onValue={(auth) => set({ auth })} options={[...AUTH.map((each) => [each, each.toUpperCase().replace('SHA', 'SHA-').replace(/-$/, '')] as const), ['', words.noneChosen]]} />
            {draft.auth ? <TextField {...secret} label={words.authKey} hint={words.keyLength} value={draft.authKey} onValue={(authKey) => set({ authKey })} /> : null}
            {draft.auth ? <SelectField label={words.priv} value={draft.priv} onValue={(priv) => set({ priv })} options={[...PRIV.map((each) => [each, PRIV_NAMES[each]] as const), ['', words.noneChosen]]} /> : null}
            {draft.auth && draft.priv ? <TextField {...secret} label={words.privKey} hint={words.keyLength} value={draft.privKey} onValue={(privKey) => set({ privKey })} /> : null}
          </div>
        </>
      ) : <TextField {...secret} label={words.community} value={draft.community} onValue={(community) => set({ community })} />}
      <TextArea label={`${words.networks} (${text.common.optional})`} hint={words.networksHint} value={draft.networks} onValue={(networks) => set({ networks })} rows={2} placeholder="192.0.2.0/24" />
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy} disabled={draft.name.trim() === '' || (isV3 ? draft.user.trim() === '' : draft.community === '')}>{words.setAction}</Button>
      </div>
    </Form>
  );
}
