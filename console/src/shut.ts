// Why a device cannot be opened just now, whoever asks: what the gateway would answer, said before the click.
import type { DeviceView } from '#api/shapes.ts';
import { text } from './text.ts';

/** null: it can be, by those who may. */
export function whyShut(device: Pick<DeviceView, 'locked' | 'agentState'>): string | null {
  if (device.agentState === 'revoked') return text.device.revokedTitle;
  if (device.agentState === 'locked') return text.device.agentLockedTitle;
  if (device.locked) return text.device.lockedTitle;
  return device.agentState === 'none' ? text.device.pushesTitle : null;
}

/** Where it is opened; null when there is no such place, or no right, or it is shut. */
export function openAddress(device: Pick<DeviceView, 'locked' | 'agentState' | 'url' | 'may'>): string | null {
  return device.may.includes('open') && whyShut(device) === null ? device.url : null;
}
