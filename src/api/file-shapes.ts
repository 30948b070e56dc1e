// What the API shows of files that devices brought.
import { z } from 'zod';
import { id, page, pageQuery, time } from './shapes.ts';

export const fileView = z.object({
  id,
  deviceId: id,
  device: z.string().meta({ description: 'its name; empty when there is no such device any more' }),
  serial: z.string().nullable(),
  name: z.string().meta({ description: 'as the device named it' }),
  bytes: z.int().min(0),
  sha256: z.string(),
  type: z.string().meta({ description: 'as the device said; not to be believed' }),
  from: z.string().meta({ description: 'the address that it came from' }),
  createdAt: time,
  replacedAt: time.nullable().meta({ description: 'when a newer version came; null: this is the newest' }),
});
export type FileView = z.infer<typeof fileView>;

export const fileRoutes = {
  listFiles: {
    summary: 'Files that devices brought, the newest first',
    query: z.strictObject({
      ...pageQuery,
      device: z.string().min(1).max(200).optional().meta({ description: 'label, id, or customer/name' }),
      name: z.string().min(1).max(255).optional(),
      versions: z.enum(['newest', 'all']).default('newest'),
    }),
    answer: page(fileView),
  },
  getFile: { summary: 'One file', answer: fileView },
  downloadFile: { summary: 'The bytes of a file, always as an attachment: what a device brought is not to be trusted', answer: z.string() },
  removeFile: { summary: 'Remove a file, or one version of it', answer: z.object({}) },
} as const;
