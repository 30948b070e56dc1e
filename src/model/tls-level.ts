// How strict TLS is towards clients. What each level means is in net/tls-levels.

/** modern: TLS 1.3 · intermediate: 1.2 and 1.3 · legacy: from 1.0 on, for listed sources only. */
export type TlsLevel = 'modern' | 'intermediate' | 'legacy';
