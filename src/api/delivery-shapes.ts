// What the API shows and takes of certificates that agents put in place beside application servers.
import { z } from 'zod';
import { id, page, pageQuery, time } from './shapes.ts';

const asName = z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$/, 'is 1–100 letters, digits, dots, hyphens and underscores, letters or digits at both ends');

export const deliveryView = z.object({
  id,
  certificateId: id,
  certificate: z.string().meta({ description: 'its name' }),
  agentId: id,
  agent: z.string().meta({ description: 'its name' }),
  online: z.boolean(),
  as: z.string().meta({ description: "as the agent's local policy calls it" }),
  state: z.enum(['pending', 'delivered', 'failed', 'refused', 'unsupported']).meta({
    description: "pending: to be put in place as soon as there is a certificate and a link · delivered: in place, and its command succeeded · failed: tried again by itself · refused: by the agent's local policy · unsupported: the agent does not know how",
  }),
  waitsFor: z.string().nullable().meta({ description: 'what has to come first' }),
  why: z.string().nullable().meta({ description: 'why it is not in place; for refused with the line to add to the policy' }),
  exitCode: z.int().nullable().meta({ description: 'of the command that failed; null also when it was ended by a signal or took too long' }),
  output: z.string().nullable().meta({ description: 'the last lines that the command said' }),
  digest: z.string().nullable().meta({ description: 'of the pair that was put in place last' }),
  deliveredAt: time.nullable(),
  triedAt: time.nullable(),
  nextTryAt: time.nullable(),
  createdAt: time,
});
export type DeliveryView = z.infer<typeof deliveryView>;

const query = z.strictObject;

export const deliveryRoutes = {
  listDeliveries: { summary: 'Certificates that agents put in place', query: query({ ...pageQuery, agentId: id.optional() }), answer: page(deliveryView) },
  listCertificateDeliveries: { summary: 'Where a certificate is put in place', query: query({ ...pageQuery }), answer: page(deliveryView) },
  addDelivery: {
    summary: "Let an agent put a certificate in place, now and after each change; the agent's local policy says where",
    body: z.strictObject({ agentId: id, as: asName.optional().meta({ description: "as the agent's local policy calls it; default: the certificate's name" }) }),
    answer: deliveryView,
  },
  removeDelivery: { summary: 'Put it in place there no more; what is in place stays', answer: z.object({}) },
  retryDelivery: { summary: 'Try it again now', answer: deliveryView },
} as const;
