// How the gateway is, what doctor finds, and why something was refused.
import type { StatusView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { bytes, count, duration } from '../format.ts';
import { meQuery, statusQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card, Empty, Facts, PageHead } from '../ui/bits.tsx';
import { Loaded } from '../ui/list.tsx';
import { useNow } from '../ui/now.ts';
import { AgentsCard } from './agents.tsx';
import { DoctorCard } from './doctor.tsx';
import { ExplainCard } from './explain.tsx';
import { JournalCard } from './journal.tsx';

/** Two clocks this far apart make certificates and codes fail. */
const CLOCK_OFF_MS = 30_000;

export function StatusPage() {
  const { data: me } = useQuery(meQuery);
  const status = useQuery({ ...statusQuery, enabled: me?.may.administerGateway ?? false });
  if (me && !me.may.administerGateway) {
    return (
      <Card>
        <Empty icon="status" title={text.status.noRight}>{text.status.noRightAbout}</Empty>
      </Card>
    );
  }
  return (
    <>
      <PageHead title={text.status.title} about={status.data ? <span className="num">{text.product} {status.data.version}</span> : ' '} />
      <Loaded query={status} lines={6}>{status.data ? <Tiles status={status.data} /> : null}</Loaded>
      <div className="mt-5 grid gap-5 xl:grid-cols-[minmax(0,1.5fr)_minmax(0,1fr)]">
        <div className="flex min-w-0 flex-col gap-5">
          <DoctorCard />
          <AgentsCard />
          <JournalCard dropped={status.data?.journalDropped ?? 0} />
        </div>
        <div className="flex min-w-0 flex-col gap-5">
          {status.data && status.data.remarks.length > 0 ? (
            <Callout mood="warn" icon="info" title={text.status.remarks}>
              <ul className="flex flex-col gap-1.5">{status.data.remarks.map((remark) => <li key={remark} className="break-words first-letter:uppercase">{remark}</li>)}</ul>
            </Callout>
          ) : null}
          {status.data ? <GatewayCard status={status.data} readAt={status.dataUpdatedAt} /> : null}
          <ExplainCard />
        </div>
      </div>
    </>
  );
}

function Tiles({ status }: { status: StatusView }) {
  const tiles: readonly (readonly [label: string, value: number, note?: string])[] = [
    [text.status.tiles.devices, status.devicesOnline, text.status.of(status.devices)],
    [text.status.tiles.links, status.links],
    [text.status.tiles.visits, status.visitsLive],
    [text.status.tiles.streams, status.streams],
    [text.status.tiles.conns, status.conns],
  ];
  return (
    <dl className="grid grid-cols-2 gap-3 sm:grid-cols-3 lg:grid-cols-5">
      {tiles.map(([label, value, note]) => (
        <div key={label} className="rounded-2xl border border-line bg-surface px-4 py-3 shadow-1 first:col-span-2 sm:first:col-span-1">
          <dt className="text-xs text-ink-2">{label}</dt>
          <dd className="mt-0.5 text-xl font-semibold num">
            {count(value)} {note ? <span className="text-sm font-normal text-ink-3">{note}</span> : null}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function GatewayCard({ status, readAt }: { status: StatusView; readAt: number }) {
  const now = useNow(10_000);
  const facts = text.status.facts;
  const off = Math.abs(status.now - readAt);
  const held = status.memory.budgetBytes > 0 ? status.memory.heldBytes / status.memory.budgetBytes : 0;
  return (
    <Card title={text.status.gateway}>
      <Facts
        rows={[
          [facts.version, status.version],
          [facts.runtime, status.runtime],
          [facts.up, duration(Math.max(1_000, now - readAt + status.now - status.startedAt))],
          [
            facts.listeners,
            <span key="listeners" className="flex flex-col items-end gap-1">
              {status.listeners.map((listener) => (
                <span key={`${listener.address} ${listener.port}`} className="flex items-center gap-2">
                  <span className="font-mono">{listener.address.includes(':') ? `[${listener.address}]` : listener.address}:{listener.port}</span>
                  <Badge mood={listener.secure ? 'ok' : 'neutral'}>{listener.secure ? text.status.secure : text.status.plain}</Badge>
                </span>
              ))}
            </span>,
          ],
          [facts.revision, text.status.revision(status.revision)],
          [facts.memory, bytes(status.memory.rssBytes)],
          [facts.held, <span key="held" className={held > 0.5 ? 'text-warn-ink' : ''}>{text.status.heldOf(bytes(status.memory.heldBytes), bytes(status.memory.budgetBytes))}</span>],
          [facts.store, bytes(status.storeBytes)],
          [facts.clock, off > CLOCK_OFF_MS ? <span key="clock" className="text-bad-ink">{text.status.clockOff(duration(off))}</span> : text.status.clockOk],
        ]}
      />
    </Card>
  );
}
