// What differs between two configurations: a block a thing, a line a field. Signs say what the colours say.
import type { ConfigDiffView } from '#api/shapes.ts';
import { text } from '../text.ts';
import { Badge, type Mood } from '../ui/bits.tsx';

type Difference = ConfigDiffView['differences'][number];

const moods: Record<Difference['kind'], Mood> = { added: 'ok', removed: 'bad', changed: 'accent' };
const sections: Readonly<Record<string, string>> = text.config.sections;
const VALUE_CHARS = 600;

function valueText(value: unknown): string {
  const whole = JSON.stringify(value) ?? '';
  return whole.length > VALUE_CHARS ? `${whole.slice(0, VALUE_CHARS)}…` : whole;
}

const sides = {
  before: { look: 'bg-bad-soft text-bad-ink', sign: '−', label: text.config.before },
  after: { look: 'bg-ok-soft text-ok-ink', sign: '+', label: text.config.after },
} as const;

function Value({ side, value }: { side: keyof typeof sides; value: unknown }) {
  const { look, sign, label } = sides[side];
  return (
    <span className={`flex min-w-0 gap-2 rounded-md px-2 py-0.5 font-mono text-xs ${look}`}>
      <span aria-hidden="true" className="select-none">{sign}</span>
      <span className="sr-only">{label}</span>
      <span className="min-w-0 [overflow-wrap:anywhere]">{value === undefined ? <em>{text.config.absent}</em> : valueText(value)}</span>
    </span>
  );
}

export function DiffView({ diff }: { diff: ConfigDiffView }) {
  if (diff.differences.length === 0) return <p className="py-4 text-center text-sm text-ink-2">{text.config.same}</p>;
  return (
    <ul className="flex flex-col gap-3">
      {diff.differences.map(({ section, name, kind, fields }) => (
        <li key={`${section} ${name ?? ''} ${kind} ${fields[0]?.path ?? ''}`} className="overflow-hidden rounded-xl border border-line" data-kind={kind}>
          <div className="flex flex-wrap items-center gap-x-2 gap-y-1 bg-sunken px-3 py-2 text-sm">
            <Badge mood={moods[kind]}>{text.config.kinds[kind]}</Badge>
            <span className="text-ink-2">{sections[section] ?? section}</span>
            {name === null ? null : <span className="min-w-0 font-semibold break-words">{name}</span>}
          </div>
          {fields.length === 0 ? null : (
            <dl className="flex flex-col divide-y divide-line">
              {fields.map(({ path, before, after }) => (
                <div key={path} className="grid gap-x-4 gap-y-1 px-3 py-1.5 sm:grid-cols-[10rem_minmax(0,1fr)]">
                  <dt className="min-w-0 font-mono text-xs/6 break-words text-ink-2">{path}</dt>
                  <dd className="flex min-w-0 flex-col gap-1">
                    {kind === 'added' ? null : <Value side="before" value={before} />}
                    {kind === 'removed' ? null : <Value side="after" value={after} />}
                  </dd>
                </div>
              ))}
            </dl>
          )}
        </li>
      ))}
      {diff.omitted > 0 ? <li className="text-center text-sm text-ink-2">{text.config.omitted(diff.omitted)}</li> : null}
    </ul>
  );
}
