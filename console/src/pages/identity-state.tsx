// How sure it is who a device is, as a badge: the word, and a form of its own for each, not colour alone.
import type { IdentityView } from '#api/source-shapes.ts';
import { text } from '../text.ts';
import { Badge, type Mood } from '../ui/bits.tsx';
import { Icon, type IconName } from '../ui/icons.tsx';

export type IdentityState = IdentityView['now']['state'];

export const stateMoods: Record<IdentityState, Mood> = { verified: 'ok', 'address-only': 'accent', ambiguous: 'warn', unknown: 'neutral' };
export const stateIcons: Record<IdentityState, IconName> = { verified: 'ok', 'address-only': 'info', ambiguous: 'warning', unknown: 'bad' };

export function StateBadge({ state, why }: { state: IdentityState; why?: string }) {
  return (
    <span title={why ?? text.sources.stateTitles[state]} data-identity={state}>
      <Badge mood={stateMoods[state]} icon={stateIcons[state]}>{text.sources.states[state]}</Badge>
    </span>
  );
}

const tints: Record<IdentityState, string> = { verified: 'text-ok-ink', 'address-only': 'text-accent-ink', ambiguous: 'text-warn-ink', unknown: 'text-ink-3' };

/** Where there is room for a sign only. */
export function StateIcon({ state, why }: { state: IdentityState; why: string }) {
  const label = `${text.sources.states[state]}: ${why}`;
  return (
    <span role="img" aria-label={label} title={label} data-identity={state} className={`inline-flex shrink-0 ${tints[state]}`}>
      <Icon name={stateIcons[state]} size={15} />
    </span>
  );
}
