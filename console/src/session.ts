// Where one came from, and how one gets back there after signing in. The way back stays behind `#`: it may hold a one-time code.

/** A place in this console: one slash, then neither slash nor backslash, which browsers read as another host. */
export function isOwnPath(path: string): boolean {
  return /^\/(?![/\\])/.test(path) && !path.startsWith('/sign-in');
}

/** What goes behind the `#` of the sign-in page; empty when there is nowhere to go back to. */
export function signInHash(back: string): string {
  return isOwnPath(back) && back !== '/' ? encodeURIComponent(back) : '';
}

export function signInAddress(back: string): string {
  const hash = signInHash(back);
  return hash ? `/sign-in#${hash}` : '/sign-in';
}

export function wayBack(hash: string): string {
  let path: string;
  try {
    path = decodeURIComponent(hash.replace(/^#/, ''));
  } catch {
    return '/devices';
  }
  return isOwnPath(path) ? path : '/devices';
}

export function currentPath(): string {
  return `${location.pathname}${location.search}${location.hash}`;
}

/** The one-time code behind `#`; empty when there is none. */
export function codeBehindHash(): string {
  try {
    return decodeURIComponent(location.hash.slice(1)).trim();
  } catch {
    return '';
  }
}
