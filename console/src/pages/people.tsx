// People and invites: who may come in, and what they may do.
import type { InviteView, PersonView } from '#api/shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { useDeferredValue, useState } from 'react';
import { call } from '../api.ts';
import { invitesQuery, itemsOf, meQuery, peopleQuery, queryClient, sitesQuery } from '../queries.ts';
import { without } from '../search.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card, CopyBlock, Empty, PageHead, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SearchBox, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { Loaded, More } from '../ui/list.tsx';
import { ActionMenu, Confirm, Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { grantsOf, RightChips, rightDraft, RightsEditor, rightsProblem, type RightDraft } from './rights-editor.tsx';
import { SignInList, TokenList } from './sign-in-lists.tsx';

const route = getRouteApi('/inside/people');

const refresh = () => Promise.all(['people', 'invites', 'me'].map((key) => queryClient.invalidateQueries({ queryKey: [key] })));

export function PeoplePage() {
  const search = route.useSearch();
  const navigate = useNavigate({ from: '/people' });
  const [typed, setTyped] = useState(search.q ?? '');
  const people = useInfiniteQuery(peopleQuery(useDeferredValue(typed.trim())));
  const items = itemsOf(people.data) ?? [];
  const setInviting = (inviting: boolean) => void navigate({ search: (before) => (inviting ? { ...before, invite: true } : without(before, 'invite')), replace: true });
  const alone = items.length === 1 && !typed && items[0]?.isMe;
  return (
    <>
      <PageHead title={text.people.title} about={text.people.about} actions={<Button tone="primary" icon="plus" onClick={() => setInviting(true)}>{text.people.invite}</Button>} />
      <div className="flex flex-col gap-5">
        <Card flush>
          {items.length > 5 || typed ? (
            <div className="border-b border-line p-3 sm:px-5">
              <SearchBox
                value={typed}
                onValue={(value) => {
                  setTyped(value);
                  void navigate({ search: (before) => (value ? { ...before, q: value } : without(before, 'q')), replace: true });
                }}
                label={text.people.search}
                placeholder={text.people.search}
              />
            </div>
          ) : null}
          <Loaded query={people}>
            {items.length === 0 ? <Empty icon="search" title={text.people.nothing} /> : null}
            <ul className="divide-y divide-line">
              {items.map((person) => <PersonRow key={person.id} person={person} />)}
            </ul>
            {alone ? <div className="border-t border-line"><Empty icon="people" title={text.people.onlyYou} action={<Button icon="plus" onClick={() => setInviting(true)}>{text.people.invite}</Button>}>{text.people.onlyYouAbout}</Empty></div> : null}
            <More query={people} />
          </Loaded>
        </Card>
        <InvitesCard />
      </div>
      <Invite open={search.invite === true} onClose={() => setInviting(false)} />
    </>
  );
}

type Question = 'rights' | 'access' | 'lock' | 'remove' | null;

function PersonRow({ person }: { person: PersonView }) {
  const [question, setQuestion] = useState<Question>(null);
  const close = () => setQuestion(null);
  const params = { id: person.id };
  const unlock = async () => {
    try {
      await call('unlockPerson', { params });
      say(text.people.unlockedSaid(person.name));
    } catch (thrown) {
      sayProblem(thrown);
    }
    await refresh();
  };
  return (
    <li className="flex items-start gap-3.5 px-4 py-3.5 sm:px-5">
      <span aria-hidden="true" className={`flex size-9 shrink-0 items-center justify-center rounded-full text-sm font-semibold ${person.locked ? 'bg-sunken text-ink-3' : 'bg-accent-soft text-accent-ink'}`}>
        {initials(person.name)}
      </span>
      <div className="min-w-0 flex-1">
        <p className="flex flex-wrap items-center gap-2 font-medium">
          <span className="break-words">{person.name}</span>
          <span className="font-mono text-xs font-normal text-ink-3">{person.login}</span>
          {person.isMe ? <Badge>{text.people.you}</Badge> : null}
          {person.locked ? <Badge mood="warn" icon="lock">{text.people.locked}</Badge> : null}
        </p>
        <div className="mt-1.5">{person.rights.length > 0 ? <RightChips rights={person.rights} /> : <span className="text-sm text-warn-ink">{text.people.noRights}</span>}</div>
        <p className="mt-1.5 flex flex-wrap gap-x-3 text-xs text-ink-3 num">
          <span>{person.lastUsedAt === null ? text.people.neverUsed : <>{text.people.lastUsed} <Time at={person.lastUsedAt} /></>}</span>
          <span>{text.people.signIns(person.signIns)}</span>
          <span>{text.people.tokens(person.tokens)}</span>
        </p>
      </div>
      <ActionMenu
        label={text.people.actions(person.name)}
        entries={[
          { label: text.people.rights, icon: 'shield', run: () => setQuestion('rights') },
          { label: text.people.access, icon: 'key', run: () => setQuestion('access') },
          ...(person.isMe ? [] : [null, person.locked ? { label: text.people.unlock, icon: 'unlock' as const, run: () => void unlock() } : { label: text.people.lock, icon: 'lock' as const, run: () => setQuestion('lock') }, { label: text.people.remove, icon: 'trash' as const, danger: true, run: () => setQuestion('remove') }]),
        ]}
      />
      <Dialog open={question === 'rights'} onClose={close} wide sticky title={text.people.rightsTitle(person.name)} about={text.people.rightsAbout}>
        <EditRights person={person} onClose={close} />
      </Dialog>
      <Dialog open={question === 'access'} onClose={close} wide title={person.name} about={text.people.access}>
        <div className="-mx-5 flex flex-col gap-2 sm:-mx-6">
          <SignInList personId={person.id} />
          <div className="border-t border-line" />
          <TokenList personId={person.id} />
        </div>
      </Dialog>
      <Confirm open={question === 'lock'} onClose={close} title={text.people.lockTitle(person.name)} about={text.people.lockAbout} action={text.people.lock} run={() => call('lockPerson', { params }).then(() => (say(text.people.lockedSaid(person.name)), refresh()))} />
      <Confirm open={question === 'remove'} onClose={close} title={text.people.removeTitle(person.name)} about={text.people.removeAbout} action={text.common.remove} typed={person.login} run={() => call('removePerson', { params }).then(() => (say(text.people.removedSaid(person.name)), refresh()))} />
    </li>
  );
}

function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  return `${[...(words[0] ?? '')][0] ?? ''}${words.length > 1 ? ([...(words.at(-1) ?? '')][0] ?? '') : ''}`.toUpperCase();
}

function EditRights({ person, onClose }: { person: PersonView; onClose: () => void }) {
  const [rights, setRights] = useState<readonly RightDraft[]>(() => person.rights.map(rightDraft));
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const wrong = rightsProblem(rights, false);
  const send = async () => {
    setTried(true);
    if (wrong) return;
    setBusy(true);
    setProblem(null);
    try {
      await call('setRights', { params: { id: person.id }, body: { rights: grantsOf(rights) } });
      say(text.people.rightsSaved);
      await refresh();
      onClose();
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  return (
    <Form onSubmit={() => void send()}>
      <RightsEditor rights={rights} onRights={setRights} problem={tried ? wrong : null} />
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy}>{text.common.save}</Button>
      </div>
    </Form>
  );
}

function InvitesCard() {
  const invites = useQuery(invitesQuery);
  const open = (invites.data?.items ?? []).filter((invite) => invite.state !== 'used');
  if (open.length === 0 && !invites.isError) return null;
  return (
    <Card title={text.people.invites} about={text.people.invitesAbout} flush>
      <Loaded query={invites}>
        <ul className="divide-y divide-line border-t border-line">
          {open.map((invite) => <InviteRow key={invite.id} invite={invite} />)}
        </ul>
      </Loaded>
    </Card>
  );
}

function InviteRow({ invite }: { invite: InviteView }) {
  const takeBack = async () => {
    try {
      await call('removeInvite', { params: { id: invite.id } });
      say(text.people.takenBack);
    } catch (thrown) {
      sayProblem(thrown);
    }
    await refresh();
  };
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3 sm:px-5">
      <div className="min-w-0 flex-1 basis-52">
        <p className="flex items-center gap-2 font-medium">
          {invite.name}
          {invite.state === 'expired' ? <Badge mood="warn">{text.people.expired}</Badge> : null}
        </p>
        <p className="mt-0.5 text-xs text-ink-3">
          {text.people.invitedBy(invite.createdBy, '')}
          <Time at={invite.createdAt} />
          {invite.state === 'waiting' ? <> · {text.people.until} <Time at={invite.expiresAt} /></> : null}
        </p>
      </div>
      <RightChips rights={invite.rights} />
      <Button size="sm" tone="quiet" onClick={() => void takeBack()}>{invite.state === 'expired' ? text.common.remove : text.people.takeBack}</Button>
    </li>
  );
}

function Invite({ open, onClose }: { open: boolean; onClose: () => void }) {
  const [made, setMade] = useState<{ name: string; address: string } | null>(null);
  return (
    <Dialog open={open} onClose={onClose} onClosed={() => setMade(null)} wide sticky title={made ? text.people.inviteReady(made.name) : text.people.inviteTitle} about={made ? undefined : text.people.inviteAbout}>
      {made ? (
        <div className="flex flex-col gap-4">
          <Callout mood="accent" icon="key">{text.people.inviteReadyAbout}</Callout>
          <CopyBlock value={made.address} label={text.people.inviteAddress} secret />
          <div className="flex justify-end">
            <Button tone="primary" onClick={onClose}>{text.common.done}</Button>
          </div>
        </div>
      ) : (
        <InviteForm onMade={setMade} onClose={onClose} />
      )}
    </Dialog>
  );
}

function InviteForm({ onMade, onClose }: { onMade: (made: { name: string; address: string }) => void; onClose: () => void }) {
  const { data: me } = useQuery(meQuery);
  const sites = useQuery(sitesQuery).data?.items;
  const [name, setName] = useState('');
  const [rights, setRights] = useState<readonly RightDraft[]>(() => {
    const everything = me?.may.administerGateway;
    return [everything ? { ...rightDraft(), scopeKind: 'gateway' } : { ...rightDraft(), scopeKind: 'site', scopeId: sites?.[0]?.id ?? null, scopeName: sites?.[0]?.name ?? '' }];
  });
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const wrong = rightsProblem(rights, true);
  const send = async () => {
    setTried(true);
    if (!name.trim() || wrong) return;
    setBusy(true);
    setProblem(null);
    try {
      const made = await call('createInvite', { body: { name: name.trim(), rights: grantsOf(rights) } });
      onMade({ name: made.invite.name, address: made.address });
      await refresh();
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  return (
    <Form onSubmit={() => void send()}>
      <TextField label={text.people.inviteName} value={name} onValue={setName} error={tried && !name.trim() ? text.add.problems.name : undefined} maxLength={100} autoComplete="off" autoFocus />
      <div>
        <p className="mb-1 text-sm font-medium">{text.people.inviteRights}</p>
        <p className="mb-2 text-sm text-ink-2">{text.people.rightsAbout}</p>
        <RightsEditor rights={rights} onRights={setRights} problem={tried ? wrong : null} />
      </div>
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy}>{text.people.inviteSubmit}</Button>
      </div>
    </Form>
  );
}
