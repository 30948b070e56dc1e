// The ports of a device as rows that are filled in; used when it is added and when it is changed.
import type { PortInput } from '#api/shapes.ts';
import { text } from '../text.ts';
import { Button, IconButton } from '../ui/button.tsx';
import { inputClass, Select } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';

export interface PortDraft {
  /** Only for React: rows keep their focus when one above is removed. */
  readonly key: number;
  readonly number: string;
  readonly name: string;
  readonly kind: PortInput['kind'];
}

const PRESETS: readonly (readonly [label: string, number: string, name: string, kind: PortInput['kind']])[] = [
  [text.add.presetHttp, '80', '', 'http'],
  [text.add.presetHttps, '443', '', 'https'],
  [text.add.presetSsh, '22', 'SSH', 'tcp'],
  [text.add.presetVnc, '5900', 'VNC', 'tcp'],
  [text.add.presetSnmp, '161', 'SNMP', 'udp'],
];

let lastKey = 0;
export function draftOf(port: Pick<PortInput, 'number' | 'name' | 'kind'>): PortDraft {
  lastKey += 1;
  return { key: lastKey, number: String(port.number), name: port.name, kind: port.kind };
}

/** What is wrong, or null. */
export function portsProblem(ports: readonly PortDraft[]): string | null {
  if (ports.length === 0) return text.add.problems.none;
  const numbers = ports.map((port) => Number(port.number));
  // TCP and UDP have their numbers each for themselves.
  const places = ports.map((port) => `${Number(port.number)}${port.kind === 'udp' ? '/udp' : ''}`);
  if (!ports.every((port) => /^\d{1,5}$/.test(port.number.trim())) || !numbers.every((number) => number >= 1 && number <= 65_535)) return text.add.problems.number;
  return new Set(places).size === places.length ? null : text.add.problems.twice;
}

export function portsOf(ports: readonly PortDraft[]): { number: number; name: string; kind: PortInput['kind'] }[] {
  return ports.map((port) => ({ number: Number(port.number), name: port.name.trim(), kind: port.kind }));
}

const isKind = (kind: string): kind is PortInput['kind'] => kind in text.add.kinds;

export function PortsEditor({ ports, onPorts, problem }: { ports: readonly PortDraft[]; onPorts: (ports: readonly PortDraft[]) => void; problem: string | null }) {
  const change = (key: number, part: Partial<PortDraft>) => onPorts(ports.map((port) => (port.key === key ? { ...port, ...part } : port)));
  const add = (number: string, name: string, kind: PortInput['kind']) => onPorts([...ports, { ...draftOf({ number: 0, name, kind }), number }]);
  const offered = PRESETS.filter(([, number]) => !ports.some((port) => port.number.trim() === number));
  return (
    <fieldset className="flex flex-col gap-2">
      <legend className="mb-1.5 text-sm font-medium">{text.add.ports}</legend>
      {ports.map((port) => (
        <div key={port.key} className="grid grid-cols-[5rem_1fr_2.25rem] items-center gap-2 sm:grid-cols-[5rem_10.5rem_1fr_2.25rem]">
          <input aria-label={text.add.number} inputMode="numeric" value={port.number} onChange={(event) => change(port.key, { number: event.target.value.replace(/\D/g, '').slice(0, 5) })} placeholder={text.add.number} className={`${inputClass} num`} />
          <Select aria-label={text.add.kind} value={port.kind} onValue={(kind) => isKind(kind) && change(port.key, { kind })} options={Object.entries(text.add.kinds)} />
          <input aria-label={text.add.portName} value={port.name} onChange={(event) => change(port.key, { name: event.target.value.slice(0, 50) })} placeholder={`${text.add.portName} (${text.common.optional})`} className={`${inputClass} order-last col-span-2 sm:order-none sm:col-span-1`} />
          <IconButton icon="trash" size="sm" label={text.add.removePort(port.number)} onClick={() => onPorts(ports.filter((each) => each.key !== port.key))} />
        </div>
      ))}
      {problem ? (
        <p role="alert" className="flex items-center gap-1.5 text-sm text-bad-ink">
          <Icon name="warning" size={15} />
          {problem}
        </p>
      ) : null}
      <div className="flex flex-wrap items-center gap-1.5">
        {offered.map(([label, number, name, kind]) => (
          <Button key={label} size="sm" icon="plus" onClick={() => add(number, name, kind)}>
            {label}
          </Button>
        ))}
        <Button size="sm" tone="quiet" icon="plus" onClick={() => add('', '', 'tcp')}>
          {text.add.addPort}
        </Button>
      </div>
      <p className="text-sm text-ink-2">{text.add.portsHint}</p>
    </fieldset>
  );
}
