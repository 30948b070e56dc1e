// Readings over time as lines; each has a dash of its own, for those who do not tell the colours apart.
import { useEffect, useRef, useState } from 'react';
import uPlot from 'uplot';
import { count, shortAbsolute } from '../format.ts';
import { text } from '../text.ts';
import { useTheme } from '../theme.ts';

const HEIGHT = 200;
const SHORTEST_S = 3_600;
/** Counters are whole. */
const WHOLE = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();
const DASHES: readonly number[][] = [[], [8, 4], [2, 4], [10, 4, 2, 4], [5, 3], [14, 5]];

export interface Line {
  readonly series: string;
  readonly name: string;
  /** A colour, or `var(--name)`. */
  readonly colour: string;
  readonly points: readonly { readonly at: number; readonly value: number }[];
}

/** A canvas knows no variables. */
function resolved(colour: string): string {
  const name = /^var\((--[\w-]+)\)$/.exec(colour)?.[1];
  return name === undefined ? colour : getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function dataOf(lines: readonly Line[]): uPlot.AlignedData {
  const tables = lines.filter(({ points }) => points.length > 0).map(({ points }): uPlot.AlignedData => [points.map(({ at }) => at / 1_000), points.map(({ value }) => value)]);
  return tables.length === 0 ? [[]] : uPlot.join(tables);
}

function optionsFor(width: number, lines: readonly Line[], days: number, percent: boolean): uPlot.Options {
  const axis = { stroke: resolved('var(--ink-3)'), font: '11px system-ui, sans-serif', grid: { stroke: resolved('var(--line)'), width: 1 }, ticks: { show: false } };
  const date = (seconds: number) => (isShort ? new Date(seconds * 1_000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' }) : new Date(seconds * 1_000).toLocaleDateString('en-GB', { day: '2-digit', month: 'short', ...(days > 200 ? { year: '2-digit' } : {}) }));
  const now = Date.now() / 1_000;
  // A short history fills the drawing instead of clinging to its edge.
  const first = Math.min(now, ...lines.flatMap(({ points }) => (points[0] ? [points[0].at / 1_000] : [])));
  const from = Math.max(now - days * 86_400, Math.min(now - SHORTEST_S, first - (now - first) * 0.04));
  const isShort = now - from < 2 * 86_400;
  return {
    width, height: HEIGHT, legend: { show: false }, cursor: { y: false, points: { size: 6 } }, padding: [10, 12, 0, 0],
    scales: { x: { time: true, range: () => [from, now + (now - from) * 0.01] }, y: { range: (_, min, max) => (percent ? [0, 105] : min === max ? [Math.max(0, min - 1), max + 1] : [Math.max(0, min - (max - min) * 0.1), max + (max - min) * 0.1]) } },
    axes: [
      { ...axis, grid: { show: false }, size: 26, space: 70, values: (_, ticks) => ticks.map(date) },
      { ...axis, size: percent ? 44 : 66, space: 36, ...(percent ? {} : { incrs: WHOLE }), values: (_, ticks) => ticks.map((tick) => (percent ? (tick > 100 ? '' : `${tick} %`) : count(tick))) },
    ],
    series: [
      {},
      ...lines.filter(({ points }) => points.length > 0).map(({ name, colour, points }, at): uPlot.Series => ({ label: name, stroke: resolved(colour), width: 2, dash: DASHES[at % DASHES.length] ?? [], spanGaps: true, points: { show: points.length < 40, size: 5 } })),
    ],
  };
}

export function SeriesChart({ lines, days, percent, label }: { lines: readonly Line[]; days: number; percent: boolean; label: string }) {
  const theme = useTheme();
  const box = useRef<HTMLDivElement>(null);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [at, setAt] = useState<number | null>(null);
  const there = lines.filter(({ points }) => points.length > 0);
  const shown = there.filter(({ series }) => !hidden.has(series));
  // Drawn anew when what is drawn differs; what is below it only looks at it.
  const key = shown.map(({ series, points }) => `${series} ${points.length} ${points.at(-1)?.at} ${points.at(-1)?.value}`).join();
  useEffect(() => {
    const host = box.current;
    if (!host) return;
    const data = dataOf(shown);
    const drawn = new uPlot({ ...optionsFor(host.clientWidth, shown, days, percent), hooks: { setCursor: [({ cursor }) => setAt(cursor.idx === null || cursor.idx === undefined ? null : ((data[0][cursor.idx] ?? 0) * 1_000 || null))] } }, data, host);
    const sized = new ResizeObserver(() => host.clientWidth > 0 && drawn.setSize({ width: host.clientWidth, height: HEIGHT }));
    sized.observe(host);
    return () => {
      sized.disconnect();
      drawn.destroy();
      setAt(null);
    };
    // `shown` is another list at each rendering; `key` says whether it says something else.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key, theme, days, percent]);
  const valueAt = ({ points }: Line) => (at === null ? points.at(-1) : points.findLast((point) => point.at <= at + 500))?.value;
  const show = (value: number | undefined) => (value === undefined ? '–' : percent ? `${Math.round(value)} %` : count(Math.round(value)));
  return (
    <figure aria-label={label} className="min-w-0">
      <div ref={box} aria-hidden="true" className="h-[200px] overflow-hidden" />
      <figcaption className="mt-1 flex flex-wrap gap-x-4 gap-y-1 text-xs text-ink-2 num">
        {there.map((line) => {
          const dash = DASHES[shown.indexOf(line) % DASHES.length]?.join(' ');
          const isHidden = hidden.has(line.series);
          return (
            <button key={line.series} type="button" aria-pressed={!isHidden} title={text.profile.history.show(line.name)} disabled={there.length === 1} onClick={() => setHidden(new Set(isHidden ? [...hidden].filter((each) => each !== line.series) : [...hidden, line.series]))} className={`flex max-w-full items-center gap-1.5 rounded-md px-0.5 enabled:hover:text-ink ${isHidden ? 'opacity-50' : ''}`}>
              <svg aria-hidden="true" width="22" height="6" className="shrink-0"><path d="M1 3h20" stroke={line.colour} strokeWidth="2.500" strokeDasharray={dash || undefined} /></svg>
              <span className={`min-w-0 truncate ${isHidden ? 'line-through' : ''}`}>{line.name}</span>
              <strong className="font-medium text-ink">{show(valueAt(line))}</strong>
            </button>
          );
        })}
        {at === null ? null : <span className="ml-auto text-ink-3">{shortAbsolute(at)}</span>}
      </figcaption>
    </figure>
  );
}
