// Where secrets stay between starts: the data folder, handed out as functions.

/** Readable by the gateway alone. Names are at most 100 characters of `[a-z0-9._-]`, the first a letter or digit. */
export interface SecretFiles {
  /** Null when there is none. */
  read(name: string): Promise<Buffer | null>;
  /** Whole or not at all, and durable when it resolves. */
  write(name: string, bytes: Buffer): Promise<void>;
  /** One that is gone already is no failure. */
  remove(name: string): Promise<void>;
}
