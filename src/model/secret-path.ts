// Secrets that stand in paths of an application's host: `/s/SID/…` of a session that lives in its URLs, `/d/TOKEN/…` of a device's own URL. Read where
// requests are decided and where it is explained what would be decided; shown nowhere.

export interface Prefix {
  readonly kind: 'session' | 'token';
  readonly secret: string;
  /** The target as the application knows it; begins with a slash. */
  readonly rest: string;
  /** Nothing stood behind the secret, not even a slash: relative addresses of an answer would lead elsewhere. */
  readonly isBare: boolean;
}

const PREFIX = /^\/(?:s\/([A-Za-z0-9_-]{22})|d\/([A-Za-z0-9_-]{22,64}))(?=[/?#]|$)/;

/** Of a request's target, path and query. null: it has none, and belongs to the application as it is. */
export function parsePrefix(target: string): Prefix | null {
  // Most targets end here.
  if (target.charCodeAt(2) !== 47 || target.charCodeAt(0) !== 47) return null;
  const match = PREFIX.exec(target);
  if (match === null) return null;
  const rest = target.slice(match[0].length);
  return { kind: match[1] === undefined ? 'token' : 'session', secret: match[1] ?? match[2]!, rest: rest.startsWith('/') ? rest : `/${rest}`, isBare: rest[0] !== '/' };
}

/** The target without any prefix. */
export const unprefix = (target: string): string => parsePrefix(target)?.rest ?? target;

/** For journal and people: without query, and without the secret. */
export function pathShown(target: string): string {
  const prefix = parsePrefix(target);
  return prefix === null ? target.split('?', 1)[0]! : `/${prefix.kind === 'token' ? 'd' : 's'}/…${prefix.rest.split('?', 1)[0]!}`;
}
