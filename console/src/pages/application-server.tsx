// The server of one application: what to write into its configuration, and whether it hears the address that it is told.
import type { SnippetView } from '#api/telling-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useDeferredValue, useState } from 'react';
import type { Route } from '../config-document.ts';
import { applicationsQuery, configQuery, snippetQuery } from '../queries.ts';
import { SNIPPET_SERVERS } from '../router.tsx';
import { text } from '../text.ts';
import { Card, CodeBlock, Empty, PageHead, Skeleton } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { TextField } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { ForAdministrators } from './application-servers.tsx';
import { ProveCard } from './prove.tsx';
import { EditRoute } from './route-form.tsx';

const page = getRouteApi('/inside/applications/servers/$route');
const words = text.places.servers;

export function ApplicationServerPage() {
  return (
    <ForAdministrators>
      <ServerBody />
    </ForAdministrators>
  );
}

function BackLink() {
  return (
    <Link to="/applications/servers" className="mb-1.5 -ml-1 inline-flex items-center gap-1 rounded-md px-1 text-sm text-ink-2 hover:text-ink">
      <Icon name="left" size={14} />
      {words.back}
    </Link>
  );
}

function ServerBody() {
  const { route: name } = page.useParams();
  const applications = useQuery(applicationsQuery);
  const document = useQuery(configQuery);
  const [editing, setEditing] = useState<Route | null>(null);
  const application = applications.data?.items.find((each) => each.name === name);
  const route = document.data?.config.routes.find((each) => each.name === name);
  if (applications.isPending) return <Skeleton lines={8} />;
  if (application === undefined) {
    return (
      <div className="flex flex-col gap-4">
        <BackLink />
        {applications.data ? <Card><Empty icon="server" title={words.gone(name)}>{words.goneAbout}</Empty></Card> : <ProblemNote problem={applications.error} again={() => void applications.refetch()} />}
      </div>
    );
  }
  return (
    <>
      <PageHead
        name={name}
        before={<BackLink />}
        title={<span className="min-w-0 [overflow-wrap:anywhere]">{name}</span>}
        about={
          <>
            <span className="block font-mono [overflow-wrap:anywhere]">{application.host ?? words.anyHost}</span>
            <span className="block">{words.tells[application.tell]}: {words.addresses[application.tell === 'virtual' ? 'virtual' : application.address]} · {words.requires[application.require]}{application.assigned ? `, ${words.assigned}` : ''}</span>
          </>
        }
        actions={route ? <Button icon="edit" onClick={() => setEditing(route)}>{words.editRoute}</Button> : null}
      />
      <div className="flex flex-col gap-5">
        <ProveCard route={name} isHttp={application.protocol === 'http'} />
        <SnippetCard route={name} tell={application.tell} />
      </div>
      <EditRoute route={editing} onClose={() => setEditing(null)} />
    </>
  );
}

function SnippetCard({ route, tell }: { route: string; tell: SnippetView['tell'] }) {
  const { server = 'nginx' } = page.useSearch();
  const navigate = useNavigate({ from: '/applications/servers/$route' });
  const [gateway, setGateway] = useState('');
  const snippet = useQuery(snippetQuery(route, server, useDeferredValue(gateway.trim())));
  const found = useQuery(snippetQuery(route, server, '')).data?.gateways ?? [];
  return (
    <Card title={words.snippet} about={words.snippetAbout[tell]}>
      <div className="flex flex-col gap-4">
        <div className="grid items-start gap-4 lg:grid-cols-2">
          <fieldset className="min-w-0">
            <legend className="mb-1.5 text-sm font-medium">{words.server}</legend>
            <div className="flex flex-wrap gap-1.5">
              {SNIPPET_SERVERS.map((each) => (
                <label key={each} className="inline-flex h-8 cursor-pointer items-center rounded-lg border border-line-strong bg-surface px-3 text-sm shadow-1 select-none hover:bg-sunken has-checked:border-accent has-checked:bg-accent-soft has-checked:text-accent-ink has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent">
                  <input type="radio" name="server" checked={each === server} onChange={() => void navigate({ search: (before) => ({ ...before, server: each }), replace: true })} className="sr-only" />
                  {words.names[each]}
                </label>
              ))}
            </div>
          </fieldset>
          <TextField label={`${words.gateways} (${text.common.optional})`} hint={found.length > 0 ? words.gatewaysHint(found.join(', ')) : words.gatewaysNone} value={gateway} onValue={setGateway} maxLength={500} className="font-mono" autoComplete="off" spellCheck={false} placeholder={found.join(', ')} />
        </div>
        {snippet.isError ? <ProblemNote problem={snippet.error} /> : snippet.data ? <Snippet snippet={snippet.data} isOld={snippet.isPlaceholderData} /> : <Skeleton lines={3} />}
      </div>
    </Card>
  );
}

function Snippet({ snippet, isOld }: { snippet: SnippetView; isOld: boolean }) {
  return (
    <div className={`flex flex-col gap-4 transition-opacity ${isOld ? 'opacity-50' : ''}`}>
      {snippet.parts.map((part) => <CodeBlock key={part.where} value={part.text.trimEnd()} label={part.where} />)}
      {snippet.notes.length > 0 ? (
        <section>
          <h3 className="mb-1 text-sm font-medium">{words.notes}</h3>
          <ul className="flex list-disc flex-col gap-1 pl-4 text-sm text-ink-2 marker:text-ink-3">
            {snippet.notes.map((note) => <li key={note} className="break-words">{note}</li>)}
          </ul>
        </section>
      ) : null}
    </div>
  );
}
