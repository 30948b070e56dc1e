// Who can read the data folder is the operator: a token in a file there lets the command line on this machine work without a login.
// It speaks for the oldest owner, is made anew at each start, and is kept nowhere else.
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import { digestOf } from '#base/secret.ts';
import { newTokenText } from '#model/credentials.ts';
import type { Person, Token } from '#model/rows.ts';
import type { Tables } from '#model/tables.ts';
import type { DataFolder } from '#store/data-folder.ts';

export interface OperatorOptions {
  readonly folder: DataFolder;
  readonly tables: Tables;
  readonly random: Random;
  readonly clock: Clock;
  readonly newId: () => Id;
  /** Good on this machine. */
  readonly address: () => string;
  /** What others call the console by. */
  readonly console: () => string;
  readonly caPem: string;
  readonly log: Log;
  /** Called whenever the addresses may have become others: a listener that moves takes the command line with it. */
  readonly watch: (onChange: () => void) => () => void;
}

const FILE = 'operator.json';

export async function keepOperator(options: OperatorOptions): Promise<{ close(): Promise<void> }> {
  const { folder, tables, clock, log } = options;
  const id = options.newId();
  const secret = newTokenText(options.random, id);
  let written = '';
  const write = async () => {
    const text = `${JSON.stringify({ address: options.address(), console: options.console(), token: secret, caPem: options.caPem })}\n`;
    if (text === written) return;
    await folder.write(FILE, Buffer.from(text));
    written = text;
  };
  await write();
  let writing: Promise<void> = Promise.resolve();
  const writeAgain = () => void (writing = writing.then(write).catch((thrown: unknown) => log.error('operator.not-written', { why: reasonOf(thrown) })));
  const owner = (): Person | undefined => {
    let oldest: Person | undefined;
    for (const person of tables.people.values()) {
      if (person.locked || (oldest && oldest.createdAt <= person.createdAt)) continue;
      if (tables.rightsOf('person', person.id).some((right) => right.scopeKind === 'gateway' && right.action === 'administer')) oldest = person;
    }
    return oldest;
  };
  let now: Token | undefined;
  const settle = () => {
    const person = owner();
    if (person?.id === now?.personId) return;
    now = person && { id, customerId: person.customerId, personId: person.id, name: 'operator on this machine', secretDigest: digestOf(secret), createdAt: clock.nowMs(), lastUsedAt: null, expiresAt: null };
    tables.tokens.publish(now ? { put: [now] } : { removed: [id] });
  };
  settle();
  const stops = [tables.people.watch(settle), tables.rights.watch(settle), options.watch(writeAgain)];
  return {
    async close() {
      for (const stop of stops) stop();
      await writing;
      await folder.remove(FILE);
    },
  };
}
