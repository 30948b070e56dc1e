// Which device may use which application: who waits to be told, what contradicts, and the whole as a matrix or a list.
import type { ApplicationView, JobSourceView } from '#api/source-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { applicationsQuery, customersQuery, itemsOf, meQuery, sourceConflictsQuery, sourcesQuery } from '../queries.ts';
import { without } from '../search.ts';
import { text } from '../text.ts';
import { Card, Empty, PageHead, Skeleton } from '../ui/bits.tsx';
import { Button, buttonClass } from '../ui/button.tsx';
import { Icon } from '../ui/icons.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { useAllPages } from './all-pages.ts';
import { saveFile } from './certificate-files.tsx';
import { ImportSources } from './job-source-import.tsx';
import { SourceList } from './job-source-list.tsx';
import { SourceMatrix } from './job-source-matrix.tsx';
import { Said } from './said.tsx';
import { sentence } from './sentence.ts';
import { Unassigned } from './unassigned.tsx';

const words = text.sources.sources;
const route = getRouteApi('/inside/applications/sources');
const CONFLICTS_SHOWN = 4;

export function JobSourcesPage() {
  const search = route.useSearch();
  const navigate = useNavigate({ from: '/applications/sources' });
  const applications = useQuery(applicationsQuery);
  const sources = useInfiniteQuery(sourcesQuery({}));
  const isWhole = useAllPages(sources);
  const [importing, setImporting] = useState(false);
  const { data: me } = useQuery(meQuery);
  const customers = useQuery(customersQuery);
  const items = itemsOf(sources.data) ?? [];
  const names = applications.data?.items ?? [];
  const isList = search.view === 'list';
  const save = async () => {
    try {
      // A file names what belongs to one customer; who has several gets one of each.
      const several = customers.data && customers.data.items.length > 1 ? customers.data.items : [null];
      let many = 0;
      for (const customer of several) {
        const { text: csv, sources: more } = await call('exportJobSources', customer ? { query: { customerId: customer.id } } : {});
        many += more;
        if (more > 0) saveFile(customer ? `job-sources-${customer.key}.csv` : 'job-sources.csv', 'text/csv', csv);
      }
      say(words.exported(many));
    } catch (thrown) {
      sayProblem(thrown);
    }
  };
  const show = (view: 'list' | undefined) => void navigate({ search: (before) => (view ? { ...before, view } : without(before, 'view')), replace: true });
  return (
    <>
      <PageHead
        title={words.title}
        about={words.about}
        actions={
          <>
            {names.length > 0 || items.length > 0 ? <ViewSwitch isList={isList} onShow={show} /> : null}
            {items.length > 0 ? <Button icon="download" onClick={() => void save()}>{words.export}</Button> : null}
            {names.length > 0 ? <Button icon="upload" onClick={() => setImporting(true)}>{words.import}</Button> : null}
          </>
        }
      />
      <Unassigned code={search.code} onCode={(code) => void navigate({ search: (before) => (code === null ? without(before, 'code') : { ...before, code }), replace: true })} />
      <Conflicts />
      {applications.isPending || sources.isPending ? <Skeleton lines={6} /> : names.length === 0 && items.length === 0 ? (
        <Card>
          <Empty icon="apps" title={text.sources.noApplications} action={me?.may.administerGateway ? <Link to="/front-door/routes" className={buttonClass('primary')}>{text.sources.toRoutes}</Link> : null}>{text.sources.noApplicationsAbout}</Empty>
        </Card>
      ) : isList ? <SourceList applications={names} /> : <SourceMatrix applications={withOrphans(names, items)} sources={items} isWhole={isWhole} />}
      <ImportSources open={importing} onClose={() => setImporting(false)} />
    </>
  );
}

/** Rows of applications that are gone still stand, and are taken away here. */
function withOrphans(applications: readonly ApplicationView[], sources: readonly JobSourceView[]): readonly ApplicationView[] {
  const known = new Set(applications.map(({ name }) => name));
  const orphans = [...new Set(sources.map(({ application }) => application))].filter((name) => !known.has(name));
  return [...applications, ...orphans.map((name): ApplicationView => ({ name, host: null, protocol: '', tell: 'headers', address: 'own', require: 'address', assigned: true }))];
}

function ViewSwitch({ isList, onShow }: { isList: boolean; onShow: (view: 'list' | undefined) => void }) {
  return (
    <div role="group" aria-label={words.view} className="inline-flex rounded-lg border border-line-strong bg-surface p-0.5 shadow-1">
      {([[false, words.matrix, 'apps'], [true, words.list, 'menu']] as const).map(([list, label, icon]) => (
        <button key={label} type="button" aria-pressed={isList === list} onClick={() => onShow(list ? 'list' : undefined)} className="inline-flex h-8 items-center gap-1.5 rounded-md px-2.5 text-sm font-medium text-ink-2 hover:text-ink aria-pressed:bg-accent-soft aria-pressed:text-accent-ink">
          <Icon name={icon} size={15} />
          {label}
        </button>
      ))}
    </div>
  );
}

function Conflicts() {
  const conflicts = useQuery(sourceConflictsQuery);
  const [all, setAll] = useState(false);
  const items = conflicts.data?.items ?? [];
  if (items.length === 0) return null;
  const shown = all ? items : items.slice(0, CONFLICTS_SHOWN);
  return (
    <section aria-label={words.conflicts(items.length)} className="mb-5 rounded-2xl border border-warn/40 bg-warn-soft px-4 py-3 sm:px-5">
      <h2 className="flex items-center gap-2.5 text-sm font-semibold text-warn-ink"><Icon name="warning" />{words.conflicts(items.length)}</h2>
      <ul className="mt-2 flex flex-col gap-2 text-sm sm:pl-7">
        {shown.map((each) => (
          <li key={`${each.kind} ${each.application} ${each.sourceIds.join()}`} data-conflict={each.kind} className="[overflow-wrap:anywhere]">
            <p className="flex flex-wrap items-baseline gap-x-2"><span className="font-medium">{each.application}:</span><span className="min-w-0">{sentence(each.message)}</span></p>
            <p className="text-ink-2"><Said text={sentence(each.remedy)} /></p>
          </li>
        ))}
      </ul>
      {items.length > shown.length ? <Button size="sm" className="mt-2 sm:ml-7" onClick={() => setAll(true)}>{words.conflictsMore(items.length - shown.length)}</Button> : null}
    </section>
  );
}
