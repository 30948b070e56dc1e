// What a record becomes when it is parsed: named fields, each of a type. Whatever the parser, the record's own text is kept beside it.

export const fieldTypes = ['text', 'integer', 'decimal', 'time', 'duration'] as const;
export type FieldType = (typeof fieldTypes)[number];

/**
 * integer: a number, as text beyond 2^53 · decimal: text, so that no digit changes · time: `2026-11-20T15:04:05.000Z` · duration: seconds.
 */
export type FieldValue = string | number | null;

export interface FieldColumn {
  readonly name: string;
  readonly type: FieldType;
}

export interface ParsedRecord {
  /** null: the record could not be understood. */
  readonly fields: Readonly<Record<string, FieldValue>> | null;
  /** What names the same thing in the words of its source; null: it has no such name. */
  readonly key: string | null;
  /** What is wrong with it; null: nothing. */
  readonly error: string | null;
}

export interface RecordParser {
  /** null: whatever fields a record has. */
  readonly columns: readonly FieldColumn[] | null;
  /** null: a line that is none of the records, as configured (`skip`). Never throws. */
  parse(text: string): ParsedRecord | null;
}
