// What doctor says of sinks.
import type { Judgement } from './doctor.ts';
import type { SinkStatus } from './sinks.ts';

export function judgeSinks(sinks: readonly SinkStatus[], secretsMissing: readonly string[]): Judgement {
  const evidence = [...secretsMissing, ...sinks.map(({ name, kind, state, lagBytes, lastError }) => `${name} (${kind}): ${state}${lagBytes > 0 ? `, ${lagBytes} bytes behind` : ''}${lastError === null ? '' : `; ${lastError}`}`)];
  if (secretsMissing.length > 0) return { status: 'failure', evidence, verdict: secretsMissing[0]!, remedy: 'Set it; what waits for it is delivered then.' };
  if (sinks.length === 0) return { status: 'ok', verdict: 'no sink is configured' };
  const bad = sinks.filter(({ state }) => state !== 'running' && state !== 'paused');
  if (bad.length === 0) return { status: 'ok', evidence, verdict: `${sinks.length === 1 ? 'the one sink takes' : `all ${sinks.length} sinks take`} what comes` };
  const refused = bad.some(({ state }) => state === 'refused');
  return { status: 'warning', evidence, verdict: `${bad.map(({ name }) => name).join(', ')} ${bad.length === 1 ? 'does' : 'do'} not take records`, remedy: `Nothing is lost: they wait here and are tried again.${refused ? ' One that wanted no more is tried again with: postern sinks retry NAME' : ''}` };
}
