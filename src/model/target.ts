// Where bytes go.
import type { Id } from '#base/ids.ts';

export type ServiceName = 'console' | 'join' | 'link' | 'stream' | 'device';

/** How the certificate of a TLS upstream is judged. */
export type Verify =
  | { readonly by: 'name'; readonly name?: string | undefined; readonly ca?: string | undefined }
  | { readonly by: 'ca'; readonly ca: string }
  | { readonly by: 'fingerprint'; readonly sha256: string };

export interface TcpTarget {
  readonly kind: 'tcp';
  readonly host: string;
  readonly port: number;
  /** Tell the server whom we serve, in front of everything else. */
  readonly proxyProtocol?: 'v1' | 'v2' | undefined;
}

export interface TlsTarget {
  readonly kind: 'tls';
  readonly host: string;
  readonly port: number;
  readonly verify: Verify;
  readonly serverName?: string | undefined;
  /** The name of a certificate of ours that we show. */
  readonly certificate?: string | undefined;
  readonly proxyProtocol?: 'v1' | 'v2' | undefined;
  readonly checkCertificate?: { readonly otherwise: 'refuse' | number } | undefined;
}

export type Target =
  | TcpTarget
  | TlsTarget
  | { readonly kind: 'device'; readonly deviceId: Id; readonly port: number }
  | { readonly kind: 'service'; readonly name: ServiceName }
  | { readonly kind: 'redirect'; readonly to: string; readonly status: 301 | 302 | 303 | 307 | 308 }
  | { readonly kind: 'respond'; readonly status: number; readonly body: string; readonly contentType: string };
