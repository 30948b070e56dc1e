// Passwords: argon2id (RFC 9106) as PHC strings, computed off the main thread, a few at a time so that a flood of sign-ins
// exhausts neither memory nor threads.
import { argon2, timingSafeEqual } from 'node:crypto';
import { Fault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';

const memoryKiB = 19_456; // OWASP's smallest advice with two passes
const passes = 2;
const parallelism = 1;
const saltBytes = 16;
const hashBytes = 32;
const atOnceMax = 2; // of the four threads that files and DNS use as well
const waitingMax = 100;

export interface Passwords {
  /** Resolves a PHC string. Fault `busy` when too many wait. */
  hash(password: string): Promise<string>;
  /** With null (nobody has that login) the same work is done and the answer is false. Fault `busy` as above. */
  verify(password: string, phc: string | null): Promise<boolean>;
}

interface Parts {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly parallelism: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

function parsePhc(phc: string): Parts | undefined {
  const match = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/.exec(phc);
  if (!match) return undefined;
  return { memoryKiB: Number(match[1]), passes: Number(match[2]), parallelism: Number(match[3]), salt: Buffer.from(match[4]!, 'base64'), hash: Buffer.from(match[5]!, 'base64') };
}

function derive(password: string, parts: Omit<Parts, 'hash'>, bytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // NFC: the same password typed on two keyboards is the same bytes (RFC 8265 §4.2.2).
    const message = Buffer.from(password.normalize('NFC'));
    argon2('argon2id', { message, nonce: parts.salt, memory: parts.memoryKiB, passes: parts.passes, parallelism: parts.parallelism, tagLength: bytes }, (error, hash) => (error ? reject(error) : resolve(hash)));
  });
}

const unpadded = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');

export function buildPasswords(random: Random): Passwords {
  const waiting: (() => void)[] = [];
  let running = 0;
  const inTime = async <Result>(run: () => Promise<Result>): Promise<Result> => {
    if (running >= atOnceMax) {
      if (waiting.length >= waitingMax) throw new Fault('busy', 'too many people sign in at this moment', { remedy: 'try again in a few seconds', detail: { retryAfterS: 5 } });
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    try {
      return await run();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
  const ours = { memoryKiB, passes, parallelism };
  const nobody: Parts = { ...ours, salt: random(saltBytes), hash: random(hashBytes) };
  return {
    async hash(password) {
      const salt = random(saltBytes);
      const hash = await inTime(() => derive(password, { ...ours, salt }, hashBytes));
      return `$argon2id$v=19$m=${memoryKiB},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(hash)}`;
    },
    async verify(password, phc) {
      const parts = phc === null ? undefined : parsePhc(phc);
      const { hash, ...rest } = parts ?? nobody;
      const derived = await inTime(() => derive(password, rest, hash.length));
      return timingSafeEqual(derived, hash) && parts !== undefined;
    },
  };
}

/** Fault `bad-input` when the password will not do; the message never repeats it. */
export function checkPassword(password: string, login: string, limits: Pick<Limits, 'passwordCharsMin' | 'passwordCharsMax'>, path = 'password'): void {
  const chars = [...password.normalize('NFC')];
  let message: string | undefined;
  if (chars.length < limits.passwordCharsMin) message = `has fewer than ${limits.passwordCharsMin} characters`;
  else if (chars.length > limits.passwordCharsMax) message = `has more than ${limits.passwordCharsMax} characters`;
  else if (new Set(chars).size < 4) message = 'repeats too few characters';
  else if (password.toLowerCase() === login.toLowerCase()) message = 'is the login';
  if (message) throw new Fault('bad-input', `the password ${message}`, { remedy: 'several words in a row are easy to remember and long enough', detail: { problems: [{ path, message }] } });
}
