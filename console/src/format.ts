// Numbers and times as people read them.

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** Decimal units, three significant digits at most: 1234567 → "1.23 MB". */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  if (unit === 0) return `${Math.round(value)} B`;
  return `${value >= 99.5 ? value.toFixed(0) : value >= 9.95 ? value.toFixed(1) : value.toFixed(2)} ${BYTE_UNITS[unit]}`;
}

export function rate(bytesPerSecond: number): string {
  return `${bytes(bytesPerSecond)}/s`;
}

export function count(value: number): string {
  return value.toLocaleString('en');
}

export function rtt(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '–';
  if (ms < 1) return '< 1 ms';
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

const STEPS: readonly (readonly [number, string])[] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
];

/** "2 h 5 min", "41 s", "380 ms": the two largest units that are not zero. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const parts: string[] = [];
  let rest = ms;
  for (const [size, unit] of STEPS) {
    const whole = Math.floor(rest / size);
    if (whole > 0) {
      parts.push(`${whole} ${unit}`);
      rest -= whole * size;
    } else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(' ');
}

/** "just now", "4 min ago", "in 3 d". */
export function relative(at: number, now: number): string {
  const distance = Math.abs(now - at);
  if (distance < 5_000) return 'just now';
  const [size, unit] = STEPS.find(([step]) => distance >= step) ?? [1_000, 's'];
  const amount = `${Math.floor(distance / size)} ${unit}`;
  return at > now ? `in ${amount}` : `${amount} ago`;
}

const absoluteFormat = new Intl.DateTimeFormat('en-GB', { year: 'numeric', month: 'short', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', timeZoneName: 'short' });
const shortFormat = new Intl.DateTimeFormat('en-GB', { month: 'short', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' });

export function absolute(at: number): string {
  return absoluteFormat.format(at);
}

export function shortAbsolute(at: number): string {
  return shortFormat.format(at);
}

/** `postern/0.1.0 linux-x64` → `0.1.0`; a foreign agent's name stays. */
export function version(given: string): string {
  return /^postern\/(\S+)/.exec(given)?.[1] ?? given;
}

/** A fingerprint in pairs, as every other tool prints it. */
export function fingerprint(hex: string): string {
  return (hex.toUpperCase().match(/.{1,2}/g) ?? []).join(':');
}

/** What a browser says about itself, in two words. */
export function browserOf(userAgent: string): string {
  const system = /iPhone|iPad/.test(userAgent) ? 'iOS' : /Android/.test(userAgent) ? 'Android' : /Windows/.test(userAgent) ? 'Windows' : /Mac OS X/.test(userAgent) ? 'macOS' : /Linux|X11/.test(userAgent) ? 'Linux' : '';
  const name = /Edg\//.test(userAgent) ? 'Edge' : /Firefox\//.test(userAgent) ? 'Firefox' : /Chrome\//.test(userAgent) ? 'Chrome' : /Safari\//.test(userAgent) ? 'Safari' : '';
  if (name) return system ? `${name} on ${system}` : name;
  return userAgent.slice(0, 60) || 'Unknown program';
}
