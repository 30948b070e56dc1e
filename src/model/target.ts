// Where bytes go.
import type { Id } from '#base/ids.ts';

export type ServiceName = 'console' | 'join' | 'link' | 'stream';

export type Target =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'device'; readonly deviceId: Id; readonly port: number }
  | { readonly kind: 'service'; readonly name: ServiceName }
  | { readonly kind: 'redirect'; readonly to: string; readonly status: 301 | 302 | 303 | 307 | 308 }
  | { readonly kind: 'respond'; readonly status: number; readonly body: string; readonly contentType: string };
