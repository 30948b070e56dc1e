// The icons, 20 × 20, one stroke, drawn for this console.
import type { ReactNode } from 'react';

const shapes = {
  devices: <><rect x="2.5" y="3.5" width="15" height="5" rx="1.5" /><rect x="2.5" y="11.5" width="15" height="5" rx="1.5" /><path d="M5.5 6h.01M5.5 14h.01M8.5 6h3M8.5 14h3" /></>,
  people: <><circle cx="7.5" cy="6.5" r="3" /><path d="M2 16.5c.4-3 2.6-4.5 5.5-4.5s5.1 1.5 5.5 4.5" /><path d="M13 3.800a3 3 0 0 1 0 5.400M15 12.400c1.7.6 2.7 2 3 4.1" /></>,
  audit: <><path d="M5 2.500h7l3.5 3.500v11.500h-10.500z" /><path d="M11.5 2.500v4h4M7.5 10h5.500M7.5 13.500h5.5" /></>,
  status: <path d="M1.5 10.500h3.500l2.5-6 4.5 11 2.5-5h4" />,
  account: <><circle cx="10" cy="10" r="7.5" /><circle cx="10" cy="8" r="2.5" /><path d="M5 15.500c1-2 2.7-3 5-3s4 1 5 3" /></>,
  search: <><circle cx="8.5" cy="8.5" r="5.5" /><path d="m12.7 12.7 4.3 4.3" /></>,
  plus: <path d="M10 4v12M4 10h12" />,
  close: <path d="m5 5 10 10M15 5 5 15" />,
  check: <path d="m4 10.5 4 4 8-9" />,
  copy: <><rect x="7" y="7" width="10" height="10" rx="2" /><path d="M13 4.500v-.0a1.5 1.5 0 0 0-1.5-1.500h-7a1.5 1.5 0 0 0-1.5 1.500v7a1.5 1.5 0 0 0 1.5 1.5" /></>,
  download: <path d="M10 3v9.500M5.500 8.500l4.500 4.500 4.500-4.500M3.500 16.500h13" />,
  upload: <path d="M10 13.500v-10M5.500 7.500l4.500-4.500 4.500 4.500M3.500 16.500h13" />,
  open: <><path d="M11.5 3h5.500v5.500M17 3l-7.5 7.5" /><path d="M14 11.500v4a1.5 1.5 0 0 1-1.5 1.500h-8a1.5 1.5 0 0 1-1.5-1.500v-8a1.5 1.5 0 0 1 1.5-1.500h4" /></>,
  site: <><path d="M3.500 17.500v-9.500l6.500-5 6.500 5v9.500zM1.500 17.500h17" /><path d="M8 17.500v-5h4v5" /></>,
  pool: <><circle cx="10" cy="10" r="7.500" /><path d="M2.500 10h15M10 2.500c2.200 2 3.300 4.500 3.300 7.500s-1.100 5.500-3.300 7.500c-2.200-2-3.300-4.500-3.300-7.500s1.100-5.500 3.300-7.500z" /></>,
  lock: <><rect x="4" y="9" width="12" height="8" rx="2" /><path d="M6.5 9v-2.500a3.5 3.5 0 0 1 7 0v2.5" /></>,
  unlock: <><rect x="4" y="9" width="12" height="8" rx="2" /><path d="M6.5 9v-2.500a3.5 3.5 0 0 1 6.8-1.2" /></>,
  trash: <path d="M3.5 5.500h13M8 5.500v-2h4v2M5 5.500l.8 11.500h8.400l.8-11.500M8.5 8.500v5.500M11.5 8.500v5.5" />,
  edit: <path d="M3 17l.8-3.8 9.7-9.700a1.5 1.5 0 0 1 2.1 0l.9.900a1.5 1.5 0 0 1 0 2.100l-9.7 9.700zM12 5l3 3" />,
  chevron: <path d="m7.5 4.5 5.5 5.5-5.5 5.5" />,
  down: <path d="m4.5 7.5 5.5 5.5 5.5-5.5" />,
  left: <path d="m12.5 4.5-5.5 5.5 5.5 5.5" />,
  sun: <><circle cx="10" cy="10" r="3.5" /><path d="M10 1.500v2M10 16.500v2M1.5 10h2M16.5 10h2M4 4l1.4 1.400M14.6 14.6 16 16M4 16l1.4-1.400M14.6 5.4 16 4" /></>,
  moon: <path d="M16.5 12.300a7 7 0 0 1-8.8-8.8 7 7 0 1 0 8.8 8.800z" />,
  system: <><rect x="2.5" y="3.5" width="15" height="10" rx="1.5" /><path d="M7 17h6M10 13.500v3.5" /></>,
  signOut: <path d="M8 3h-3.500a1.5 1.5 0 0 0-1.5 1.500v11a1.5 1.5 0 0 0 1.5 1.500h3.500M12.5 6l4 4-4 4M16.5 10h-9" />,
  warning: <><path d="M10 3 1.8 16.500h16.400z" /><path d="M10 8v4M10 14.300h.01" /></>,
  info: <><circle cx="10" cy="10" r="7.5" /><path d="M10 9.200v4.600M10 6.300h.01" /></>,
  ok: <><circle cx="10" cy="10" r="7.5" /><path d="m6.5 10.3 2.4 2.4 4.6-5" /></>,
  bad: <><circle cx="10" cy="10" r="7.5" /><path d="m7.3 7.3 5.4 5.400M12.7 7.300l-5.4 5.4" /></>,
  key: <><circle cx="6.5" cy="13.5" r="3.5" /><path d="m9 11 7.5-7.500M13.5 6.500l2.5 2.500M11.5 8.500l1.5 1.5" /></>,
  shield: <path d="M10 2.5 3.5 5v4.500c0 4 2.7 6.7 6.5 8 3.8-1.3 6.5-4 6.5-8v-4.500z" />,
  more: <path d="M4.5 10h.01M10 10h.01M15.5 10h.01" strokeWidth="2.6" />,
  menu: <path d="M3 5.500h14M3 10h14M3 14.500h14" />,
  terminal: <><rect x="2" y="3.5" width="16" height="13" rx="2" /><path d="m5 8 2.5 2-2.5 2M9.5 12.500h4" /></>,
  browser: <><rect x="2" y="3.5" width="16" height="13" rx="2" /><path d="M2 7.500h16M4.7 5.500h.01M7 5.500h.01" /></>,
  refresh: <path d="M16.5 8a7 7 0 0 0-12.7-1.500M3.5 3v4h4M3.5 12a7 7 0 0 0 12.7 1.500M16.5 17v-4h-4" />,
  door: <><path d="M5 17.500v-11a5 5 0 0 1 10 0v11M2.5 17.500h15" /><path d="M12 11.500h.01" strokeWidth="2.4" /></>,
  config: <><path d="M3 6h8M15 6h2M3 14h2M9 14h8" /><circle cx="13" cy="6" r="2" /><circle cx="7" cy="14" r="2" /></>,
  history: <><path d="M3.500 4v4h4M3.700 8a7 7 0 1 1-.5 4" /><path d="M10 6.500v4l2.800 1.700" /></>,
  data: <><ellipse cx="10" cy="4.800" rx="6.500" ry="2.300" /><path d="M3.500 4.800v10.400c0 1.300 2.900 2.300 6.500 2.300s6.500-1 6.500-2.300v-10.400M3.500 10c0 1.300 2.900 2.300 6.500 2.300s6.500-1 6.500-2.300" /></>,
  printer: <><path d="M5.5 7v-4.500h9v4.500M5.500 14.500h-1.500a1.500 1.500 0 0 1-1.500-1.500v-4.500a1.500 1.500 0 0 1 1.500-1.500h12a1.500 1.500 0 0 1 1.500 1.500v4.500a1.500 1.500 0 0 1-1.500 1.500h-1.500" /><path d="M5.500 11.500h9v6h-9zM14.500 9.500h.01" /></>,
  apps: <><rect x="3" y="3" width="6" height="6" rx="1.500" /><rect x="11" y="3" width="6" height="6" rx="1.500" /><rect x="3" y="11" width="6" height="6" rx="1.500" /><path d="M14 11.500v5M11.500 14h5" /></>,
  probe: <><circle cx="10" cy="10" r="1.500" /><path d="M6.800 13.200a4.500 4.500 0 0 1 0-6.400M13.200 6.800a4.500 4.500 0 0 1 0 6.400M4.300 15.700a8 8 0 0 1 0-11.400M15.700 4.300a8 8 0 0 1 0 11.400" /></>,
  server: <><rect x="3" y="3" width="14" height="14" rx="2" /><path d="M6.500 7h7M6.500 10h7M6.500 13h4" /></>,
  pause: <path d="M7 4.500v11M13 4.500v11" strokeWidth="2.400" />,
  play: <path d="M6.500 4v12l9.500-6z" />,
  bell: <><path d="M4.500 14h11c-1.200-1.200-1.500-2.500-1.500-5.500a4 4 0 0 0-8 0c0 3-.3 4.300-1.500 5.500zM8.500 17h3" /></>,
  unplug: <path d="m3 17 3-3M14 6l3-3M5.5 9.500l5 5-1.5 1.500a3.5 3.5 0 0 1-5-5zM9.5 5.500l5 5 1.5-1.500a3.5 3.5 0 0 0-5-5zM8.5 9.5 7 11M10.5 11.5 9 13" />,
} as const satisfies Record<string, ReactNode>;

export type IconName = keyof typeof shapes;

export function Icon({ name, size = 18, className = '' }: { name: IconName; size?: number; className?: string }) {
  return (
    <svg aria-hidden="true" width={size} height={size} viewBox="0 0 20 20" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round" className={`shrink-0 ${className}`}>
      {shapes[name]}
    </svg>
  );
}

/** A postern gate: the arch, and in it the small door. */
export function Logo({ size = 28 }: { size?: number }) {
  return (
    <svg aria-hidden="true" width={size} height={size} viewBox="0 0 32 32" fill="none" className="shrink-0">
      <rect width="32" height="32" rx="8" className="fill-accent" />
      <path d="M8 25V14.500a8 8 0 0 1 16 0V25" stroke="#fff" strokeWidth="2.4" strokeLinecap="round" />
      <path d="M12.2 25V15a3.8 3.8 0 0 1 7.6 0v10" fill="#fff" fillOpacity=".28" stroke="#fff" strokeWidth="1.6" strokeLinecap="round" />
      <circle cx="17.6" cy="20" r="1.1" fill="#fff" />
      <path d="M5.5 25h21" stroke="#fff" strokeWidth="2.4" strokeLinecap="round" />
    </svg>
  );
}
