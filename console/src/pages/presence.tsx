// Whether a device is there, as a dot.
import type { DeviceView } from '#api/shapes.ts';
import { text } from '../text.ts';
import { Dot } from '../ui/bits.tsx';

/** Two days are two missed check-ins of a device that checks in daily. */
const SILENT_AFTER_MS = 2 * 86_400_000;

/** One that pushes is neither online nor offline: it was heard from, or not for too long. */
export function Presence({ device }: { device: DeviceView }) {
  if (device.agentState !== 'none') return <Dot mood={device.online ? 'ok' : 'neutral'} label={device.online ? text.devices.online : text.devices.offline} live={device.online} />;
  const heard = device.lastSeenAt !== null && Date.now() - device.lastSeenAt < SILENT_AFTER_MS;
  return <Dot mood={heard ? 'accent' : device.lastSeenAt === null ? 'neutral' : 'warn'} label={heard || device.lastSeenAt === null ? text.devices.pushLabel : text.devices.pushSilent} />;
}
