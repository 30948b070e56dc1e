// HTTP/1.1 heads (RFC 9112): placeholder shapes, the parser follows in this file.

/** Header fields in the order of arrival. */
export interface Fields {
  /** Lower-case. */
  readonly names: readonly string[];
  /** Optional white space removed; latin1. */
  readonly values: readonly string[];
}

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  readonly minorVersion: 0 | 1;
  readonly fields: Fields;
}

/** The field's value; several lines of it joined by ", ". `name` in lower case. */
export function fieldOf(fields: Fields, name: string): string | undefined {
  let value: string | undefined;
  for (let i = 0; i < fields.names.length; i++) {
    if (fields.names[i] === name) value = value === undefined ? fields.values[i] : `${value}, ${fields.values[i]}`;
  }
  return value;
}
