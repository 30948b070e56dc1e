// What the API shows and takes of where records go from here: sinks, alerts, and the secrets that they name.
import { z } from 'zod';
import { limits } from '#base/limits.ts';
import { sinkStates } from '#model/sinks.ts';
import { id, page, pageQuery, time } from './shapes.ts';

const query = z.strictObject;
const body = z.strictObject;
const count = z.int().min(0);
const epochName = z.string().regex(/^[0-9a-f]{16}$/, 'is 16 hex digits');

export const sinkView = z.object({
  name: z.string(),
  kind: z.string(),
  state: z.enum(sinkStates).meta({ description: 'waiting: a try failed, the next one is due · paused: by configuration · refused: the target wants no more · broken: it cannot be opened as it is configured' }),
  lagBytes: count.meta({ description: 'stored, and not taken yet' }),
  lagEpochs: count,
  lagIsMore: z.boolean().meta({ description: 'more epochs lag than were looked at' }),
  lastError: z.string().nullable(),
  nextTryAt: time.nullable(),
  lastAt: time.nullable().meta({ description: 'when it last took something' }),
  records: count.meta({ description: 'taken since the gateway started; so are the others' }),
  batches: count,
  unparsed: count.meta({ description: 'records that the parser did not understand: they went as they came, with an error' }),
  doubles: count.meta({ description: 'records that came before under the same natural key' }),
});
export type SinkView = z.infer<typeof sinkView>;

export const alertView = z.object({
  id,
  alert: z.string().meta({ description: 'its name in the configuration' }),
  customer: z.string(),
  serial: z.string(),
  feed: z.string(),
  epoch: epochName,
  off: count.meta({ description: 'of the record' }),
  record: z.string().meta({ description: 'as much of it as is shown' }),
  at: time,
  state: z.enum(['waiting', 'done', 'failed']),
  tries: count,
  dueAt: time.nullable().meta({ description: 'of the next try' }),
  doneAt: time.nullable(),
  why: z.string().nullable().meta({ description: 'why the last try did not work' }),
});
export type AlertView = z.infer<typeof alertView>;

export const secretView = z.object({ name: z.string(), setAt: time, usedBy: z.array(z.string()) });
export type SecretShown = z.infer<typeof secretView>;

export const sinkRoutes = {
  listSinks: { summary: 'Sinks, and how far they are', answer: z.object({ items: z.array(sinkView) }) },
  replaySink: {
    summary: 'Deliver a feed to a sink once more, from an offset on',
    body: body({ feedId: id, epoch: epochName.optional().meta({ description: 'default: the newest' }), offset: count.meta({ description: 'of a record; before the oldest that is kept: from that one' }) }),
    answer: z.object({ epoch: epochName, offset: count }),
  },
  retrySink: { summary: 'Try at once, also a target that wanted no more', answer: z.object({}) },
  listAlerts: { summary: 'Alerts, the newest first', query: query({ ...pageQuery, customerId: id.optional() }), answer: page(alertView) },
  listSecrets: { summary: 'Secrets that the configuration may name: their names alone', answer: z.object({ items: z.array(secretView), missing: z.array(z.string()) }) },
  setSecret: { summary: 'Set a secret; nothing shows it again', body: body({ value: z.string().min(1).max(limits.secretBytesMax) }), answer: z.object({}) },
  removeSecret: { summary: 'Remove a secret', answer: z.object({}) },
} as const;
