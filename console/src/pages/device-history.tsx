// Supplies and counters over time. What the lines say stands below as a table, too.
import type { ProfileView, SupplyView } from '#api/probe-shapes.ts';
import type { DeviceView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState, type ReactNode } from 'react';
import { count } from '../format.ts';
import { samplesQuery, seriesQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Card } from '../ui/bits.tsx';
import { Select } from '../ui/field.tsx';
import { counterName } from './device-profile.tsx';
import { SeriesChart, type Line } from './series-chart.tsx';
import { inkOf } from './supplies.tsx';

const words = text.profile.history;
const LINES_MAX = 12;
type Profile = NonNullable<ProfileView['profile']>;

interface Named {
  readonly series: string;
  readonly name: string;
  readonly colour: string;
}

function namesOf(all: readonly { readonly series: string }[], profile: Profile): { readonly levels: readonly Named[]; readonly counters: readonly Named[] } {
  const known = new Map<string, SupplyView>([...profile.supplies.map((each) => [`supply ${each.key}`, each] as const), ...profile.trays.map((each) => [`tray ${each.key}`, each] as const)]);
  // A black line is as dark as the ground at night.
  const plain = (colour: string) => (colour.startsWith('linear') ? 'var(--accent)' : colour === 'var(--supply-black)' ? 'var(--ink)' : colour);
  const levels = all.filter(({ series }) => !series.startsWith('counter ')).map(({ series }) => {
    const supply = known.get(series);
    return { series, name: supply?.name ?? series.replace(/^\w+ /, ''), colour: supply && series.startsWith('supply ') ? plain(inkOf(supply)) : 'var(--ink-3)' };
  });
  const counters = all.filter(({ series }) => series.startsWith('counter ')).map(({ series }) => ({ series, name: counterName(series.slice('counter '.length)), colour: 'var(--accent)' }));
  return { levels: levels.slice(0, LINES_MAX), counters: counters.slice(0, LINES_MAX) };
}

export function DeviceHistory({ device, profile }: { device: DeviceView; profile: Profile }) {
  const series = useQuery(seriesQuery(device.id));
  const [range, setRange] = useState('30');
  const [counter, setCounter] = useState('');
  const { levels, counters } = useMemo(() => namesOf(series.data?.items ?? [], profile), [series.data, profile]);
  const chosen = counters.find((each) => each.series === counter) ?? counters.find((each) => each.series === 'counter pages') ?? counters[0];
  return (
    <Card title={words.title} about={words.about} actions={<Select aria-label={words.range} value={range} onValue={setRange} options={words.ranges} className="w-28" />}>
      {series.data && levels.length + counters.length === 0 ? <p className="text-sm text-ink-2">{words.empty}</p> : (
        <div className="flex flex-col gap-6">
          {levels.length > 0 ? <History key="levels" deviceId={device.id} title={words.levels} named={levels} days={Number(range)} percent /> : null}
          {chosen ? (
            <div className="flex flex-col gap-2">
              <History key={chosen.series} deviceId={device.id} title={counters.length > 1 ? '' : `${words.counters}: ${chosen.name}`} named={[chosen]} days={Number(range)} before={counters.length > 1 ? <Select aria-label={words.counters} value={chosen.series} onValue={setCounter} options={counters.map((each) => [each.series, each.name])} className="w-48" /> : null} />
            </div>
          ) : null}
        </div>
      )}
    </Card>
  );
}

function History({ deviceId, title, named, days, percent = false, before }: { deviceId: string; title: string; named: readonly Named[]; days: number; percent?: boolean; before?: ReactNode }) {
  const found = useQuery(samplesQuery(deviceId, named.map(({ series }) => series), days));
  const points = new Map(found.data?.map((each) => [each.series, each.points]));
  const lines: Line[] = named.map((each) => ({ ...each, points: points.get(each.series) ?? [] }));
  const show = (value: number) => (percent ? `${Math.round(value)} %` : count(Math.round(value)));
  const there = lines.filter(({ points }) => points.length > 0);
  return (
    <section aria-label={title || named[0]?.name}>
      <div className="mb-2 flex flex-wrap items-center justify-between gap-2">{title ? <h3 className="text-sm font-medium">{title}</h3> : null}{before}</div>
      {found.data && there.length === 0 ? <p className="flex h-24 items-center justify-center rounded-xl bg-sunken text-sm text-ink-3">{words.none}</p> : <SeriesChart lines={lines} days={days} percent={percent} label={words.chart(title || (named[0]?.name ?? ''))} />}
      {there.length > 0 ? (
        <details className="mt-2">
          <summary className="rounded-sm text-xs text-ink-3 hover:text-ink">{words.table}</summary>
          <table className="mt-1 w-full text-xs num">
            <thead><tr className="text-left text-ink-3"><th scope="col" className="py-1 font-medium">{words.columns.series}</th><th scope="col" className="py-1 text-right font-medium">{words.columns.first}</th><th scope="col" className="py-1 text-right font-medium">{words.columns.last}</th><th scope="col" className="py-1 text-right font-medium">{words.columns.change}</th></tr></thead>
            <tbody className="divide-y divide-line">
              {there.map(({ series, name, points }) => {
                const [from, to] = [points[0]?.value ?? 0, points.at(-1)?.value ?? 0];
                return <tr key={series} data-series={series}><td className="py-1 break-words">{name}</td><td className="py-1 text-right">{show(from)}</td><td className="py-1 text-right">{show(to)}</td><td className="py-1 text-right">{to > from ? '+' : ''}{show(to - from)}</td></tr>;
              })}
            </tbody>
          </table>
        </details>
      ) : null}
    </section>
  );
}
