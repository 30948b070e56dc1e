// The agents and their links: those that are away come first, with why.
import type { AgentView } from '#api/shapes.ts';
import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { rtt, version } from '../format.ts';
import { agentsQuery, itemsOf } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, Dot, Empty, Time, Traffic } from '../ui/bits.tsx';
import { Loaded, More } from '../ui/list.tsx';

export function AgentsCard() {
  const agents = useInfiniteQuery(agentsQuery);
  const items = (itemsOf(agents.data) ?? []).toSorted((a, b) => Number(a.online) - Number(b.online) || a.name.localeCompare(b.name));
  return (
    <Card title={text.status.agents} about={text.status.agentsAbout} flush>
      <Loaded query={agents} lines={2}>
        {items.length === 0 ? <Empty icon="unplug" title={text.devices.empty}>{text.devices.emptyAbout}</Empty> : null}
        <ul className="divide-y divide-line border-t border-line text-sm">
          {items.map((agent) => <AgentRow key={agent.id} agent={agent} />)}
        </ul>
        <More query={agents} />
      </Loaded>
    </Card>
  );
}

function AgentRow({ agent }: { agent: AgentView }) {
  const [first, ...others] = agent.devices;
  return (
    <li className="flex items-start gap-3 px-4 py-2.5 sm:px-5">
      <span className="mt-1.5">
        <Dot mood={agent.online ? 'ok' : 'neutral'} label={agent.online ? text.devices.online : text.devices.offline} />
      </span>
      <div className="min-w-0 flex-1">
        <p className="flex flex-wrap items-center gap-x-2 gap-y-0.5 font-medium">
          {first ? (
            <Link to="/devices/$device" params={{ device: first.label }} className="truncate hover:text-accent-ink hover:underline">
              {agent.name}
            </Link>
          ) : (
            <span className="truncate">{agent.name}</span>
          )}
          {others.length > 0 ? <span className="text-xs font-normal text-ink-3">{text.status.alsoBehind(others.length)}</span> : null}
          {agent.state === 'active' ? null : <Badge mood={agent.state === 'revoked' ? 'bad' : 'warn'}>{agent.state === 'revoked' ? text.device.agentRevoked : text.device.agentLocked}</Badge>}
        </p>
        {agent.link ? (
          <p className="flex flex-wrap gap-x-3 text-xs text-ink-3 num">
            <span className="font-mono">{agent.link.from}</span>
            <span>{rtt(agent.link.rttMs)}</span>
            <span title={agent.link.version}>{version(agent.link.version)}</span>
            <span>
              {text.status.linkOpened} <Time at={agent.link.since} />
            </span>
          </p>
        ) : (
          <p className="text-xs break-words text-ink-3">
            {text.device.facts.lastSeen.toLowerCase()} <Time at={agent.lastSeenAt} never={text.common.never} />
            {agent.lastLeftWhy ? ` · ${agent.lastLeftWhy}` : ''}
          </p>
        )}
      </div>
      {agent.link ? (
        <span className="hidden text-xs text-ink-2 sm:inline">
          <Traffic to={agent.link.bytesOut} from={agent.link.bytesIn} />
        </span>
      ) : null}
    </li>
  );
}
