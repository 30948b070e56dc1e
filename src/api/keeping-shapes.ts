// What the API shows of backups, of what grows and how long it is kept, and of the disk.
import { z } from 'zod';
import { keptKinds } from '#model/keeping.ts';
import { time } from './shapes.ts';

const bytes = z.int().min(0);

const backupState = z.object({
  running: z
    .object({ phase: z.enum(['copying', 'sending']).meta({ description: 'copying: the database into one file · sending: that file and the others' }), done: bytes, total: bytes.meta({ description: 'bytes, before they are compressed' }), startedAt: time })
    .nullable(),
  last: z.object({ at: time, bytes }).nullable().meta({ description: 'the last that was made whole' }),
  failed: z.object({ at: time, why: z.string() }).nullable().meta({ description: 'the last that was not; null once one was made since' }),
});
export type BackupStateView = z.infer<typeof backupState>;

const restored = z.object({ backupAt: time, version: z.string(), restoredAt: time, notedAt: time.nullable() });

export const keepingView = z.object({
  now: time,
  kinds: z.array(
    z.object({
      kind: z.enum(keptKinds),
      count: z.int(),
      oldestAt: time.nullable(),
      bytes: bytes.nullable().meta({ description: 'about' }),
      keep: z.object({ days: z.number().nullable(), count: z.int().nullable(), bytes: bytes.nullable() }).meta({ description: 'null: without this bound' }),
      dropped: z.int().meta({ description: 'by retention, since the gateway started' }),
    }),
  ),
  disk: z.object({
    level: z.enum(['ok', 'warn', 'low', 'full']).meta({ description: 'low: the journal is cut and retention runs at once · full: new visits and pushes are refused' }),
    freeBytes: bytes.nullable(),
    usedBytes: bytes.nullable(),
    reusableBytes: bytes.meta({ description: "room inside the store's file" }),
    since: time,
    why: z.string().nullable(),
  }),
  retention: z.object({ running: z.boolean(), lastAt: time.nullable(), failed: z.string().nullable() }),
  backup: backupState,
  restored: restored.nullable().meta({ description: 'restored from a backup, and nobody has taken note yet' }),
});
export type KeepingView = z.infer<typeof keepingView>;

export const keepingRoutes = {
  getKeeping: { summary: 'What is kept: counts, ages and sizes by kind, the disk, backups', answer: keepingView },
  runRetention: { summary: 'Drop now what is past its retention', answer: keepingView },
  acknowledgeRestore: { summary: 'Take note that the data folder was restored from a backup: status and doctor say it no more', answer: z.object({}) },
  getBackup: { summary: 'A backup that is being made, and the last one', answer: backupState },
  makeBackup: { summary: 'Make a backup: a gzip-compressed tar of the store, the CA, keys and files, as it is made. It holds the secrets of the gateway', answer: z.string() },
} as const;
