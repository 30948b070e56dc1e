// The built console as static files. One page for every address of its own; names with a hash in them never change.
import { readFile, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { createHash } from 'node:crypto';

const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  png: 'image/png',
  ico: 'image/x-icon',
  json: 'application/json',
  webmanifest: 'application/manifest+json',
  woff2: 'font/woff2',
  txt: 'text/plain; charset=utf-8',
  wasm: 'application/wasm',
};

const fileBytesMax = 16 * 1024 * 1024;
const keptMax = 200;

const security = {
  'content-security-policy': "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=(), payment=(), usb=()',
  'referrer-policy': 'no-referrer', // addresses hold one-time codes
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

interface Kept {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly etag: string;
  readonly changedMs: number;
}

/** The path inside the folder, or undefined for what is no plain name in it. */
export function assetPath(pathname: string): string | undefined {
  let path: string;
  try {
    path = decodeURIComponent(pathname);
  } catch {
    return undefined;
  }
  const parts = path.split('/').filter((part) => part !== '');
  const plain = parts.every((part) => /^[A-Za-z0-9_@~+-][A-Za-z0-9._@~+-]*$/.test(part));
  return plain && parts.length <= 8 ? parts.join('/') : undefined;
}

const notBuilt = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Postern</title><meta name="viewport" content="width=device-width"><body style="font:16px/1.5 system-ui;max-width:38rem;margin:15vh auto;padding:0 1rem">
<h1>The console is not built yet</h1><p>The gateway runs, and devices, programs and the command line work. Its pages are built by <code>npm start</code>, or alone by <code>npm run console</code>; then load this page again.</p>`;

export interface Assets {
  /** For GET and HEAD. */
  serve(request: Request): Promise<Response>;
}

export function buildAssets(dir: string): Assets {
  const kept = new Map<string, Kept>();
  const load = async (path: string): Promise<Kept | undefined> => {
    // Links are followed before it is judged where the file stands.
    const [root, file] = await Promise.all([realpath(dir), realpath(join(dir, ...path.split('/')))]).catch(() => ['', '']);
    if (!file || !file.startsWith(root + sep)) return undefined;
    const about = await stat(file).catch(() => undefined);
    if (!about?.isFile() || about.size > fileBytesMax) return undefined;
    const known = kept.get(path);
    if (known && known.changedMs === about.mtimeMs) return known;
    const bytes = new Uint8Array(await readFile(file));
    const fresh: Kept = { bytes, etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 27)}"`, changedMs: about.mtimeMs };
    if (kept.size >= keptMax) kept.delete(kept.keys().next().value!);
    kept.set(path, fresh);
    return fresh;
  };
  return {
    async serve(request) {
      const { pathname } = new URL(request.url);
      const path = assetPath(pathname);
      const name = path?.split('/').at(-1) ?? '';
      const isFile = name.includes('.');
      let asset = path ? await load(path) : undefined;
      if (!asset && (path === undefined || isFile)) return new Response('There is no such file.\n', { status: 404, headers: { ...security, 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' } });
      const isPage = !asset || path === 'index.html';
      asset ??= await load('index.html');
      if (!asset) return new Response(notBuilt, { status: 503, headers: { ...security, 'content-type': types['html']!, 'cache-control': 'no-store', 'retry-after': '10' } });
      const headers = {
        ...security,
        'content-type': isPage ? types['html']! : (types[name.split('.').at(-1)!.toLowerCase()] ?? 'application/octet-stream'),
        // The bundler puts a hash into every name under assets/.
        'cache-control': path?.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
        etag: asset.etag,
      };
      const matches = request.headers.get('if-none-match')?.split(',').some((tag) => tag.trim().replace(/^W\//, '') === asset.etag);
      if (matches) return new Response(null, { status: 304, headers });
      return new Response(asset.bytes, { headers: { ...headers, 'content-length': String(asset.bytes.length) } });
    },
  };
}
