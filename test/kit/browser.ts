// A real Chromium for tests: its own profile, names of gw.example.test on 127.0.0.1, and the gateway's private CA trusted by its key, so
// that https, Secure cookies and service workers are what they are for people.
import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import { isCi, root } from './gateway.ts';

export const program = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
/** The built console; another folder for whoever works on it at the same time. */
export const consoleDir = process.env['CONSOLE_DIR'] ?? join(root, 'console', 'dist');

function missing(): string | false {
  try {
    accessSync(program, constants.X_OK);
  } catch {
    return 'chromium is not installed (apt install chromium)';
  }
  return existsSync(join(consoleDir, 'index.html')) ? false : 'the console is not built (npm run console)';
}

const why = missing();
if (why && isCi) throw new Error(`CI=true, and ${why}`);
/** For a test's options: false, or why it is skipped. */
export const skip: string | false = why;

export interface OpenBrowser {
  /** Somebody's browser: cookies and storage of its own. */
  person(options?: { readonly colorScheme?: 'dark' | 'light'; readonly width?: number }): Promise<Person>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Person {
  readonly context: BrowserContext;
  /** A new tab; what goes wrong in it is told in `complaints`. */
  tab(): Promise<Page>;
  /** Errors on the browser's console, where it also tells what a content security policy refused, and uncaught exceptions. */
  readonly complaints: string[];
}

/** `caFingerprint`: SHA-256 of the CA's public key, hex. `domains`: they and the names below them are on this machine. */
export async function openBrowser(options: { readonly caFingerprint: string; readonly domains?: readonly string[] }): Promise<OpenBrowser> {
  const domains = options.domains ?? ['gw.example.test'];
  const browser = await chromium.launch({
    executablePath: program,
    headless: true,
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      `--host-resolver-rules=${domains.flatMap((domain) => [`MAP ${domain} 127.0.0.1`, `MAP *.${domain} 127.0.0.1`]).join(', ')}`,
      `--ignore-certificate-errors-spki-list=${Buffer.from(options.caFingerprint, 'hex').toString('base64')}`,
    ],
  });
  return {
    async person({ colorScheme = 'light', width = 1280 } = {}) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 }, acceptDownloads: true, locale: 'en-GB' });
      context.setDefaultTimeout(10_000);
      const complaints: string[] = [];
      const listen = (page: Page) => {
        page.on('console', (message) => {
          // A refused request is said where it was made; the browser repeats each as an error of its own.
          if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(`${new URL(page.url()).host}: ${message.text()}`);
        });
        page.on('pageerror', (thrown) => complaints.push(`${new URL(page.url()).host}: ${thrown.message}`));
      };
      context.on('page', listen);
      return { context, complaints, tab: () => context.newPage() };
    },
    [Symbol.asyncDispose]: () => browser.close(),
  };
}
