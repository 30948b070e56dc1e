// Supplies and paper, drawn. What each state looks like differs in form as well as in colour: a full bar, a bar with a mark, an empty dashed one, hatched for
// "some left", dotted for "not known"; waste fills from the other side.
import type { SupplyView } from '#api/probe-shapes.ts';
import type { CSSProperties } from 'react';
import { text } from '../text.ts';
import { Icon } from '../ui/icons.tsx';

const words = text.profile;

/** Printers' colours, light enough and dark enough to be seen on both grounds. */
const INKS: Readonly<Record<string, string>> = {
  black: 'var(--supply-black)', 'photo-black': 'var(--supply-black)', 'matte-black': 'var(--supply-black)', cyan: 'oklch(0.72 0.13 225)', 'light-cyan': 'oklch(0.84 0.08 215)', magenta: 'oklch(0.6 0.23 350)', 'light-magenta': 'oklch(0.78 0.13 350)', yellow: 'oklch(0.87 0.17 98)',
  red: 'oklch(0.6 0.21 27)', green: 'oklch(0.62 0.16 150)', blue: 'oklch(0.5 0.18 262)', orange: 'oklch(0.73 0.17 60)', violet: 'oklch(0.52 0.2 300)', gray: 'oklch(0.66 0.01 240)', grey: 'oklch(0.66 0.01 240)', 'light-gray': 'oklch(0.78 0.01 240)', white: 'oklch(0.97 0 0)',
};
const TRICOLOUR = 'linear-gradient(90deg, oklch(0.72 0.13 225) 0 33%, oklch(0.6 0.23 350) 33% 66%, oklch(0.87 0.17 98) 66%)';

export function inkOf({ colour, fills }: Pick<SupplyView, 'colour' | 'fills'>): string {
  if (colour === null || colour === '') return fills ? 'var(--ink-3)' : 'var(--accent)';
  const key = colour.toLowerCase().replaceAll(' ', '-');
  return INKS[key] ?? (/tri|multi|,|\//.test(key) ? TRICOLOUR : 'var(--accent)');
}

export const stateWord = ({ state, fills }: Pick<SupplyView, 'state' | 'fills'>): string => (fills ? words.fillStates : words.states)[state];
const unitOf = ({ unit }: SupplyView) => (unit === null || unit === 'percent' ? '' : unit.replaceAll('-', ' '));

/** `43 %`, `2,795 of 6,500 impressions`; empty where nothing is known. */
export function amountOf(supply: SupplyView): string {
  const { percent, level, max, unit, fills } = supply;
  const share = percent === null ? '' : fills ? words.full(percent) : words.percent(percent);
  const counted = level === null || max === null || unit === 'percent' || unit === null ? (percent === null && max !== null && unit !== 'percent' && max > 0 ? words.upTo(max, unitOf(supply)) : '') : words.level(level, max, unitOf(supply));
  return [share, counted].filter(Boolean).join(' · ');
}

/** Worth a person's walk. */
export const needsCare = ({ state }: Pick<SupplyView, 'state'>) => state === 'low' || state === 'empty';

export function LevelBar({ supply, className = 'h-4' }: { supply: SupplyView; className?: string }) {
  const { percent, state, fills } = supply;
  const ink = inkOf(supply);
  const label = words.drawn(supply.name, stateWord(supply), amountOf(supply));
  const drained = state === 'empty' && !fills;
  const frame = drained ? 'border-dashed border-bad bg-bad-soft' : state === 'unknown' ? 'border-dotted border-line-strong bg-surface' : needsCare(supply) ? 'border-warn bg-track' : 'border-line-strong bg-track';
  return (
    <span role="img" aria-label={label} title={label} data-level={state} className={`relative block w-full overflow-hidden rounded-md border ${frame} ${className}`}>
      {percent !== null && percent > 0 ? <span className={`absolute inset-y-0 ${fills ? 'right-0 border-l' : 'left-0 border-r'} border-ink/40`} style={{ width: `${Math.min(100, Math.max(3, percent))}%`, background: fills ? `repeating-linear-gradient(45deg, ${ink} 0 3px, transparent 3px 7px)` : ink }} /> : null}
      {percent === null && state !== 'unknown' && !drained ? <span className={`absolute inset-y-0 w-2/3 ${fills ? 'right-0' : 'left-0'}`} style={hatched(ink, fills)} /> : null}
      {state === 'unknown' ? <span aria-hidden="true" className="absolute inset-0 flex items-center justify-center text-[0.6875rem] leading-none font-semibold text-ink-3">?</span> : null}
    </span>
  );
}

/** It fades: how far it reaches is not known. */
function hatched(ink: string, fills: boolean): CSSProperties {
  const fade = `linear-gradient(${fills ? 270 : 90}deg, #000 40%, transparent)`;
  return { backgroundImage: ink.startsWith('linear') ? ink : `repeating-linear-gradient(-45deg, ${ink} 0 4px, transparent 4px 8px)`, maskImage: fade, WebkitMaskImage: fade };
}

const tints = { ok: 'text-ink-2', low: 'text-warn-ink', empty: 'text-bad-ink', some: 'text-ink-2', unknown: 'text-ink-3' } as const;

export function Supplies({ supplies }: { supplies: readonly SupplyView[] }) {
  // What fills stands behind what empties.
  const ordered = [...supplies.filter(({ fills }) => !fills), ...supplies.filter(({ fills }) => fills)];
  return (
    <ul className="grid gap-x-8 gap-y-4 sm:grid-cols-2">
      {ordered.map((supply) => (
        <li key={supply.key} data-supply={supply.key} className="min-w-0">
          <p className="mb-1 flex items-baseline justify-between gap-3 text-sm">
            <span className="min-w-0 truncate font-medium" title={supply.name}>{supply.name}</span>
            <span className={`flex shrink-0 items-center gap-1 text-xs font-medium ${tints[supply.state]}`}>
              {needsCare(supply) ? <Icon name={supply.state === 'empty' ? 'bad' : 'warning'} size={13} /> : null}
              {stateWord(supply)}
            </span>
          </p>
          <LevelBar supply={supply} />
          <p className="mt-1 truncate text-xs text-ink-3 num" title={amountOf(supply)}>{amountOf(supply) || words.types[supply.type] || supply.type}</p>
        </li>
      ))}
    </ul>
  );
}

const SHEETS = 10;

function TrayPicture({ tray }: { tray: SupplyView }) {
  const { percent, state } = tray;
  const full = percent === null ? (state === 'some' ? 4 : state === 'low' ? 1 : 0) : state === 'empty' ? 0 : Math.max(1, Math.round((percent / 100) * SHEETS));
  const y = (sheet: number) => 41 - sheet * 3.4;
  const label = words.drawn(tray.name, stateWord(tray), amountOf(tray));
  return (
    <svg role="img" aria-label={label} data-level={state} width="64" height="50" viewBox="0 0 64 50" className="shrink-0" fill="none" strokeLinecap="round" strokeLinejoin="round">
      <title>{label}</title>
      {Array.from({ length: full }, (_, sheet) => <path key={sheet} d={`M11 ${y(sheet)}h42`} strokeWidth="2.200" className={percent === null ? 'stroke-ink-3' : state === 'low' ? 'stroke-warn' : 'stroke-accent'} strokeDasharray={percent === null ? '3 4' : undefined} />)}
      <path d="M5 8v32.500a4 4 0 0 0 4 4h46a4 4 0 0 0 4-4v-32.500" strokeWidth="2" className={state === 'empty' ? 'stroke-bad' : 'stroke-line-strong'} strokeDasharray={state === 'empty' ? '4 4' : undefined} />
      {state === 'empty' ? <path d="m27 20 10 10M37 20 27 30" strokeWidth="2" className="stroke-bad" /> : null}
      {state === 'unknown' ? <text x="32" y="33" textAnchor="middle" className="fill-ink-3 text-[18px] font-semibold" stroke="none">?</text> : null}
    </svg>
  );
}

export function Trays({ trays }: { trays: readonly SupplyView[] }) {
  return (
    <ul className="grid gap-x-6 gap-y-3 sm:grid-cols-2 lg:grid-cols-3 xl:grid-cols-2 2xl:grid-cols-3">
      {trays.map((tray) => (
        <li key={tray.key} data-tray={tray.key} className="flex min-w-0 items-center gap-3">
          <TrayPicture tray={tray} />
          <div className="min-w-0 text-sm">
            <p className="truncate font-medium" title={tray.name}>{tray.name}</p>
            <p className={`text-xs font-medium ${tints[tray.state]}`}>{stateWord(tray)}</p>
            <p className="text-xs text-ink-3 num">{amountOf(tray)}</p>
          </div>
        </li>
      ))}
    </ul>
  );
}
