// TLS policies with their lanes for old clients, who uses those lanes, and whose forwarding headers are kept.
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { editOf, type Edit, type TlsPolicy, type TrustedProxy } from '../config-document.ts';
import { count } from '../format.ts';
import { configQuery, itemsOf, legacyClientsQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, Empty, PageHead, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { useNow } from '../ui/now.ts';
import { useKept } from '../ui/kept.ts';
import { ActionMenu } from '../ui/overlay.tsx';
import { RemoveDialog } from './config-editor.tsx';
import { EditPolicy } from './tls-policy-form.tsx';
import { EditProxy } from './trusted-proxy-form.tsx';

const words = text.frontDoor.tls;
const DAY_MS = 86_400_000;

interface Removal {
  readonly edit: Edit;
  readonly title: string;
  readonly about: string;
}

export function TlsPage() {
  const document = useQuery(configQuery);
  const [policy, setPolicy] = useState<TlsPolicy | 'new' | null>(null);
  const [proxy, setProxy] = useState<TrustedProxy | 'new' | null>(null);
  const [removal, setRemoval] = useState<Removal | null>(null);
  const leaving = useKept(removal);
  const config = document.data?.config;
  return (
    <>
      <PageHead title={text.frontDoor.tabs.tls} />
      <div className="flex flex-col gap-5">
        <Card title={words.policies} about={words.policiesAbout} flush actions={<Button icon="plus" disabled={!config} onClick={() => setPolicy('new')}>{words.addPolicy}</Button>}>
          <Loaded query={document} lines={2}>
            {config?.tlsPolicies.length === 0 ? <Empty icon="shield" title={words.noPolicies}>{words.noPoliciesAbout}</Empty> : null}
            <ul className="divide-y divide-line border-t border-line empty:hidden">
              {config?.tlsPolicies.map((each) => (
                <PolicyRow key={each.name} policy={each} onEdit={() => setPolicy(each)} onRemove={() => setRemoval({ edit: editOf('tlsPolicies', each, null), title: words.removeTitle(each.name), about: words.removeAbout })} />
              ))}
            </ul>
          </Loaded>
        </Card>
        <LegacyClients />
        <Card title={words.proxies} about={words.proxiesAbout} flush actions={<Button icon="plus" disabled={!config} onClick={() => setProxy('new')}>{words.addProxy}</Button>}>
          <Loaded query={document} lines={2}>
            {config?.trustedProxies.length === 0 ? <Empty icon="unplug" title={words.noProxies}>{words.noProxiesAbout}</Empty> : null}
            <ul className="divide-y divide-line border-t border-line empty:hidden">
              {config?.trustedProxies.map((each) => (
                <li key={`${each.from} ${each.subject ?? ''}`} className="flex items-center gap-3 px-4 py-2.5 sm:px-5">
                  <div className="min-w-0 flex-1">
                    <button type="button" onClick={() => setProxy(each)} className="rounded-sm text-left font-mono text-sm break-all hover:text-accent-ink hover:underline">{each.from}</button>
                    <div className="text-xs text-ink-3">{each.subject === undefined ? words.anySubject : text.frontDoor.routes.certificateOf(each.subject)}</div>
                  </div>
                  <ActionMenu label={text.frontDoor.actions(each.from)} entries={[{ label: text.frontDoor.edit, icon: 'edit', run: () => setProxy(each) }, null, { label: text.frontDoor.removeMenu, icon: 'trash', danger: true, run: () => setRemoval({ edit: editOf('trustedProxies', each, null), title: words.removeProxyTitle(each.from), about: words.removeProxyAbout }) }]} />
                </li>
              ))}
            </ul>
          </Loaded>
        </Card>
      </div>
      <EditPolicy policy={policy} onClose={() => setPolicy(null)} />
      <EditProxy proxy={proxy} onClose={() => setProxy(null)} />
      <RemoveDialog open={removal !== null} edit={leaving?.edit ?? null} title={leaving?.title ?? ''} about={leaving?.about ?? ''} onClose={() => setRemoval(null)} />
    </>
  );
}

function PolicyRow({ policy, onEdit, onRemove }: { policy: TlsPolicy; onEdit: () => void; onRemove: () => void }) {
  const now = useNow(60_000);
  const { name, hosts, listeners, level = 'intermediate', clientCertificates, legacyLane } = policy;
  const isOver = legacyLane !== undefined && now >= Date.parse(`${legacyLane.until}T00:00:00Z`) + DAY_MS;
  return (
    <li className="flex items-start gap-3 px-4 py-3 sm:px-5" data-policy={name}>
      <div className="min-w-0 flex-1">
        <button type="button" onClick={onEdit} className="rounded-sm text-left font-medium break-words hover:text-accent-ink hover:underline">{name}</button>
        <p className="text-sm break-words text-ink-2">
          {hosts ? <span className="font-mono text-xs">{hosts.join(', ')}</span> : words.everyName}
          {listeners ? ` · ${text.frontDoor.routes.on(listeners.join(', '))}` : ''}
        </p>
        <div className="mt-1.5 flex flex-wrap gap-1.5">
          <Badge mood={level === 'modern' ? 'ok' : 'neutral'} icon="lock">{words.levels[level]}</Badge>
          {clientCertificates ? <Badge mood="accent" icon="key">{(clientCertificates.required ?? true) ? words.needed : words.asked}</Badge> : null}
          {legacyLane ? <Badge mood={isOver ? 'neutral' : 'warn'}>{isOver ? words.laneOver(legacyLane.until) : `${words.lane(legacyLane.until)}, ${words.laneSources(legacyLane.from.length)}`}</Badge> : null}
        </div>
      </div>
      <ActionMenu label={text.frontDoor.actions(name)} entries={[{ label: text.frontDoor.edit, icon: 'edit', run: onEdit }, null, { label: text.frontDoor.removeMenu, icon: 'trash', danger: true, run: onRemove }]} />
    </li>
  );
}

function LegacyClients() {
  const clients = useInfiniteQuery(legacyClientsQuery);
  const rows = itemsOf(clients.data) ?? [];
  const columns = words.legacyColumns;
  return (
    <Card title={words.legacy} about={words.legacyAbout} flush>
      <Loaded query={clients} lines={2}>
        {rows.length === 0 ? (
          <Empty icon="ok" title={words.legacyNone}>{words.legacyNoneAbout}</Empty>
        ) : (
          <table className="w-full text-sm num">
            <thead>
              <tr className="border-y border-line">
                <th scope="col" className={headClass}>{columns.from}</th>
                <th scope="col" className={headClass}>{columns.best}</th>
                <th scope="col" className={`${headClass} hidden sm:table-cell`}>{columns.policy}</th>
                <th scope="col" className={headClass}>{columns.last}</th>
                <th scope="col" className={`${headClass} text-right`}>{columns.times}</th>
              </tr>
            </thead>
            <tbody className="divide-y divide-line">
              {rows.map((row) => (
                <tr key={`${row.from} ${row.serverName} ${row.ja4}`}>
                  <td className={cellClass}>
                    <div className="font-mono break-all">{row.from}</div>
                    <div className="max-w-64 truncate text-xs text-ink-3" title={row.ja4}>{row.serverName ?? row.ja4}</div>
                  </td>
                  <td className={cellClass}>{row.bestVersion ?? text.common.unknown}</td>
                  <td className={`${cellClass} hidden sm:table-cell`}>{row.policy}</td>
                  <td className={cellClass}><Time at={row.lastAt} /></td>
                  <td className={`${cellClass} text-right`}>{count(row.count)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        <More query={clients} />
      </Loaded>
    </Card>
  );
}
