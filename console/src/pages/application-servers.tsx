// Applications that know devices by their address, and how the server of each hears it.
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { type ReactNode } from 'react';
import { applicationsQuery, meQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, Empty, PageHead } from '../ui/bits.tsx';
import { buttonClass } from '../ui/button.tsx';
import { Icon } from '../ui/icons.tsx';
import { cellClass, headClass, Loaded } from '../ui/list.tsx';

const words = text.places.servers;
const short: Readonly<Record<string, string>> = text.frontDoor.short;

/** Whoever comes by an address without the right is told so. */
export function ForAdministrators({ children }: { children: ReactNode }) {
  const { data: me } = useQuery(meQuery);
  if (me === undefined) return null;
  if (me.may.administerGateway) return children;
  return (
    <Card>
      <Empty icon="lock" title={words.noRight}>{words.noRightAbout}</Empty>
    </Card>
  );
}

export function ApplicationServersPage() {
  return (
    <ForAdministrators>
      <Servers />
    </ForAdministrators>
  );
}

function Servers() {
  const applications = useQuery(applicationsQuery);
  const navigate = useNavigate();
  const items = applications.data?.items ?? [];
  return (
    <>
      <PageHead title={words.title} about={words.about} />
      <Card flush>
        <Loaded query={applications} lines={3}>
          {items.length === 0 ? (
            <Empty icon="server" title={words.empty} action={<Link to="/front-door/routes" className={buttonClass('primary')}>{words.toRoutes}</Link>}>{words.emptyAbout}</Empty>
          ) : (
            <table className="w-full table-fixed text-sm">
              <thead>
                <tr className="border-b border-line">
                  <th scope="col" className={headClass}>{words.columns.route}</th>
                  <th scope="col" className={`${headClass} hidden sm:table-cell`}>{words.columns.tells}</th>
                  <th scope="col" className={`${headClass} hidden md:table-cell`}>{words.columns.needs}</th>
                  <th scope="col" className={`${headClass} w-12`}><span className="sr-only">{words.snippet}</span></th>
                </tr>
              </thead>
              <tbody className="divide-y divide-line">
                {items.map((application) => (
                  <tr
                    key={application.name}
                    data-application={application.name}
                    onClick={(event) => {
                      if ((event.target instanceof HTMLElement && event.target.closest('a')) || getSelection()?.toString()) return;
                      void navigate({ to: '/applications/servers/$route', params: { route: application.name } });
                    }}
                    className="cursor-pointer hover:bg-sunken/60"
                  >
                    <td className={`${cellClass} align-top`}>
                      <p className="flex flex-wrap items-center gap-x-2 gap-y-1">
                        <Link to="/applications/servers/$route" params={{ route: application.name }} className="min-w-0 rounded-sm font-medium [overflow-wrap:anywhere] hover:text-accent-ink hover:underline">{application.name}</Link>
                        {application.protocol === 'http' ? null : <Badge>{short[application.protocol] ?? application.protocol}</Badge>}
                      </p>
                      <p className="truncate font-mono text-xs text-ink-3">{application.host ?? words.anyHost}</p>
                      <p className="mt-1 text-xs text-ink-2 sm:hidden">{words.tells[application.tell]}, {words.addresses[application.tell === 'virtual' ? 'virtual' : application.address]}</p>
                    </td>
                    <td className={`${cellClass} hidden align-top sm:table-cell`}>
                      <p>{words.tells[application.tell]}</p>
                      <p className="text-xs text-ink-3">{words.addresses[application.tell === 'virtual' ? 'virtual' : application.address]}</p>
                    </td>
                    <td className={`${cellClass} hidden align-top md:table-cell`}>
                      <p className="first-letter:uppercase">{words.requires[application.require]}</p>
                      {application.assigned ? <p className="text-xs text-ink-3">{words.assigned}</p> : null}
                    </td>
                    <td className={`${cellClass} text-right text-ink-3`}><Icon name="chevron" size={14} className="inline" /></td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </Loaded>
      </Card>
    </>
  );
}
