// Flat facts of audit and journal lines, with units read from their names: `bytesOut`, `openMs`, `expiresAt`.
import { absolute, bytes, count, duration } from '../format.ts';
import { factName, text } from '../text.ts';

type Fact = string | number | boolean | null;

export function factText(key: string, value: Fact): string {
  if (value === null) return '–';
  if (typeof value === 'boolean') return value ? text.common.yes : text.common.no;
  if (typeof value === 'string') return value;
  if (/^bytes|Bytes$/.test(key)) return bytes(value);
  if (key.endsWith('Ms')) return duration(value);
  if (/(At|Until|^until)$/.test(key) && value > 1e11) return absolute(value);
  return Number.isInteger(value) && value < 100_000 ? String(value) : count(value);
}

/** Ids and digests say nothing to the eye: their end is enough to tell two apart. */
function FactValue({ shown }: { shown: string }) {
  if (!/^[0-9a-f-]{32,}$/.test(shown)) return shown;
  return (
    <code title={shown} className="font-mono">
      …{shown.slice(-8)}
    </code>
  );
}

export function FlatFacts({ facts, max = Infinity }: { facts: Readonly<Record<string, Fact>>; max?: number }) {
  const entries = Object.entries(facts).filter(([, value]) => value !== null && value !== '');
  return (
    <span className="flex flex-wrap gap-x-3 gap-y-0.5">
      {entries.slice(0, max).map(([key, value]) => (
        <span key={key} className="min-w-0 break-words">
          <span className="text-ink-3">{factName(key)}</span> <FactValue shown={factText(key, value)} />
        </span>
      ))}
      {entries.length > max ? <span className="text-ink-3">+{entries.length - max}</span> : null}
    </span>
  );
}
