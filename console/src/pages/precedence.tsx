// The order in which routes are looked at for a name, drawn: a ladder from the most specific name down to the refusal. The gateway says the
// order, and which rung a request would stop at; nothing is decided here.
import type { RouteView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { PROTOCOLS, type Protocol } from '../config-document.ts';
import { routesInOrderQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { Icon } from '../ui/icons.tsx';
import { Loaded } from '../ui/list.tsx';

const words = text.frontDoor.routes.precedence;
const schemes: Record<Protocol, string> = { http: 'https', tls: 'tls', ldap: 'ldaps', sip: 'sips', h323: 'h323s', ssh: 'ssh', rdp: 'rdp', tcp: 'tcp' };

interface Asked {
  readonly of?: string | undefined;
  readonly host?: string | undefined;
  readonly path?: string | undefined;
}

export function Precedence({ protocol: given, host: givenHost, path: givenPath, onLook }: { protocol: string | undefined; host: string; path: string; onLook: (asked: Asked) => void }) {
  const asked = PROTOCOLS.find((each) => each === given) ?? 'http';
  const [protocol, setProtocol] = useState<Protocol>(asked);
  const [host, setHost] = useState(givenHost);
  const [path, setPath] = useState(givenPath);
  const look = () => onLook({ of: protocol === 'http' ? undefined : protocol, host: host.trim() || undefined, path: path.trim() && path.trim() !== '/' ? path.trim() : undefined });
  return (
    <Card title={words.title} about={words.about}>
      <Form onSubmit={look} label={words.title}>
        <div className="grid grid-cols-[minmax(0,1fr)_minmax(0,1fr)] gap-3">
          <SelectField label={text.frontDoor.routes.form.protocol} value={protocol} onValue={(value) => setProtocol(PROTOCOLS.find((each) => each === value) ?? 'http')} options={PROTOCOLS.map((each) => [each, text.frontDoor.short[each]] as const)} />
          {protocol === 'http' ? <TextField label={words.path} value={path} onValue={setPath} className="font-mono" autoComplete="off" autoCapitalize="none" spellCheck={false} /> : null}
        </div>
        <div className="flex items-end gap-2">
          <TextField wide="flex-1" label={words.host} value={host} onValue={setHost} placeholder="shop.example.test" className="font-mono" autoComplete="off" autoCapitalize="none" spellCheck={false} maxLength={253} />
          <Button type="submit">{words.look}</Button>
        </div>
      </Form>
      <div className="mt-4">{givenHost ? <Ladder protocol={asked} host={givenHost} path={givenPath} /> : <p className="rounded-xl bg-sunken px-4 py-6 text-center text-sm text-ink-2">{words.nothing}</p>}</div>
    </Card>
  );
}

/** Asked as a client on a TLS port would ask; where no listener fits, the ladder stands without a winner. */
function useWinner(protocol: Protocol, host: string, path: string) {
  const url = `${schemes[protocol]}://${host}${protocol === 'http' ? (path.startsWith('/') ? path : `/${path}`) : ''}`;
  return useQuery({ queryKey: ['routes-in-order', 'winner', url], queryFn: ({ signal }) => call('explain', { body: { url }, signal }), enabled: protocol !== 'tcp', retry: false });
}

function Ladder({ protocol, host, path }: { protocol: Protocol; host: string; path: string }) {
  const order = useQuery(routesInOrderQuery(protocol, host));
  const winner = useWinner(protocol, host, path);
  const items = order.data?.items ?? [];
  const told = winner.data;
  const through = told?.tls?.passedThrough && protocol !== 'tls' ? told.route : null;
  // A route with several paths stands there once for each: the first that holds is the one.
  const won = through ? -1 : items.findIndex((each) => each.name === told?.route && (each.protocol !== 'http' || path.startsWith(each.path)));
  const tierStarts = (i: number) => items[i - 1]?.tier !== items[i]!.tier || items[i - 1]?.host !== items[i]!.host;
  return (
    <Loaded query={order} lines={3}>
      {through ? <div className="mb-3"><Callout mood="accent" icon="lock">{words.through} <strong>{through}</strong></Callout></div> : null}
      {items.length === 0 ? <p className="mb-3 text-sm text-ink-2">{words.none}</p> : null}
      <ol className="relative flex flex-col">
        {items.map((each, i) => (
          <li key={`${each.name} ${each.path}`} className="flex flex-col" data-rung={each.name} data-won={i === won || undefined}>
            {tierStarts(i) ? <p className={`pb-1.5 text-xs font-medium text-ink-3 ${i === 0 ? '' : 'pt-3'}`}>{words.tiers[each.tier]}{each.host === null ? '' : <span className="ml-1.5 font-mono text-ink-2">{each.host}</span>}</p> : null}
            <Rung number={i + 1} route={each} won={i === won} passed={won >= 0 && i < won} skipped={won >= 0 && i > won} />
          </li>
        ))}
        {order.data && order.data.matching > items.length ? <li className="py-2 text-center text-xs text-ink-3">{words.more(order.data.matching - items.length)}</li> : null}
        <li className={`mt-3 flex items-center gap-2.5 rounded-xl border border-dashed px-3 py-2 text-sm ${told?.verdict === 'refuse' ? 'border-bad bg-bad-soft text-bad-ink' : 'border-line-strong text-ink-3'}`}>
          <Icon name="bad" size={16} />
          <span className="min-w-0 break-words">{told?.verdict === 'refuse' ? `${words.endWins}: ${told.lines.at(-1)?.replace(/^refused(?: with \d+)?: /, '') ?? ''}` : words.end}</span>
        </li>
      </ol>
    </Loaded>
  );
}

function Rung({ number, route, won, passed, skipped }: { number: number; route: RouteView; won: boolean; passed: boolean; skipped: boolean }) {
  const facts = [route.protocol === 'http' && route.path !== '/' ? route.path : '', route.alias === null ? '' : text.frontDoor.routes.alias(route.alias), route.certificate ? text.frontDoor.routes.certificate : '', route.listeners ? text.frontDoor.routes.on(route.listeners.join(', ')) : ''].filter(Boolean);
  return (
    <div className="grid grid-cols-[1.75rem_minmax(0,1fr)] gap-x-2.5">
      <span aria-hidden="true" className="relative flex justify-center">
        <span className={`absolute inset-y-0 w-px ${skipped ? 'border-l border-dashed border-line-strong' : 'bg-line-strong'}`} />
        <span className={`relative z-1 mt-2 flex size-6 items-center justify-center rounded-full text-xs font-semibold num ${won ? 'bg-accent text-on-accent' : 'border border-line-strong bg-surface text-ink-2'}`}>{number}</span>
      </span>
      <div className={`my-1 min-w-0 rounded-xl border px-3 py-1.5 text-sm ${won ? 'border-accent bg-accent-soft' : 'border-line'} ${passed || skipped ? 'text-ink-2' : ''}`}>
        <div className="flex flex-wrap items-center gap-x-2 gap-y-0.5">
          <span className="font-medium break-words">{route.name}</span>
          {route.builtIn ? <Badge>{words.builtIn}</Badge> : null}
          {won ? <Badge mood="accent" icon="check">{words.wins}</Badge> : null}
        </div>
        {facts.length > 0 ? <div className="text-xs break-words text-ink-2">{facts.join(' · ')}</div> : null}
        <div className="font-mono text-xs [overflow-wrap:anywhere] text-ink-3">→ {route.target}</div>
      </div>
    </div>
  );
}
