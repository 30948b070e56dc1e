// "Open": a link where the device lets people in, else the same place with the reason and nothing to press.
import type { ReactNode } from 'react';
import type { DeviceView } from '#api/shapes.ts';
import { whyShut } from '../shut.ts';
import { buttonClass, type Tone } from '../ui/button.tsx';

interface OpenLinkProps {
  device: DeviceView;
  url: string;
  /** When what is shown does not say what is opened. */
  label?: string;
  tone?: Tone;
  size?: 'sm' | 'md';
  className?: string;
  children: ReactNode;
}

export function OpenLink({ device, url, label, tone = 'plain', size = 'md', className = '', children }: OpenLinkProps) {
  const why = whyShut(device);
  if (why !== null) {
    return (
      <span role="link" aria-disabled="true" tabIndex={0} aria-label={label ? `${label}: ${why}` : undefined} title={why} className={`${buttonClass('plain', size)} cursor-not-allowed ${className}`}>
        {children}
      </span>
    );
  }
  return (
    <a href={url} target="_blank" rel="noopener" aria-label={label} title={label} className={`${buttonClass(tone, size)} ${className}`}>
      {children}
    </a>
  );
}
