// A parser out of its configuration: from a record's text to named fields.
import { reasonOf } from '#base/fault.ts';
import type { ConfigParser } from '../config.ts';
import { compilePattern, type Pattern } from '../pattern.ts';
import { splitCsv } from './csv.ts';
import type { FieldValue, ParsedRecord, RecordParser } from './fields.ts';
import { presetOf, type Preset } from './presets.ts';
import { readValue, type ColumnSpec } from './values.ts';
import { attributesOf } from './xml-attributes.ts';

/** The texts of the columns, in their order (null: not there), or what is wrong with the record. */
type Split = (text: string) => readonly (string | null)[] | { readonly wrong: string };
type GivenColumn = Extract<ConfigParser, { readonly kind: 'csv' }>['columns'][number];

const specOf = (column: GivenColumn): ColumnSpec =>
  typeof column === 'string' ? { name: column, type: 'text', format: null, zone: null } : { name: column.name, type: column.type ?? 'text', format: column.format ?? null, zone: column.zone ?? null };

/** Fault `bad-input`: a pattern is none, a key names no column, or two columns have one name. */
export function compileParser(config: ConfigParser): RecordParser {
  const preset: Preset = config.kind === 'preset' ? presetOf(config.preset, config.zone) : config;
  const skip = preset.kind !== 'xml' && preset.skip !== undefined ? compilePattern(preset.skip) : null;
  const key = preset.key ?? null;
  if (preset.kind === 'json' && preset.columns === undefined) return { columns: null, parse: (text) => (skip?.test(text) ? null : freeJson(text, key)) };
  const { columns, split } = splitterOf(preset);
  const names = new Set(columns.map(({ name }) => name));
  if (names.size < columns.length) throw new Error('two columns have one name');
  const stranger = key?.find((name) => !names.has(name));
  if (stranger !== undefined) throw new Error(`the key names the column "${stranger}", which is not there`);
  return {
    columns: columns.map(({ name, type }) => ({ name, type })),
    parse(text) {
      if (skip?.test(text)) return null;
      const parts = split(text);
      if ('wrong' in parts) return { fields: null, key: null, error: parts.wrong };
      return recordOf(columns, parts, key);
    },
  };
}

function recordOf(columns: readonly ColumnSpec[], parts: readonly (string | null)[], key: readonly string[] | null): ParsedRecord {
  const fields: Record<string, FieldValue> = {};
  const wrongs: string[] = [];
  for (const [index, column] of columns.entries()) {
    const text = parts[index];
    const { value, wrong } = text === null || text === undefined ? { value: null, wrong: null } : readValue(column, text);
    // Not by assignment: a column may be called __proto__.
    Object.defineProperty(fields, column.name, { value, enumerable: true, configurable: true, writable: true });
    if (wrong !== null && wrongs.length < 5) wrongs.push(wrong);
  }
  return { fields, key: keyOf(fields, key), error: wrongs.length === 0 ? null : wrongs.join('; ') };
}

/** null: nothing of it is there. */
function keyOf(fields: Readonly<Record<string, FieldValue>>, key: readonly string[] | null): string | null {
  if (!key) return null;
  const values = key.map((name) => fields[name] ?? null);
  return values.every((value) => value === null || value === '') ? null : JSON.stringify(values).slice(0, 1_000);
}

function splitterOf(preset: Preset): { readonly columns: readonly ColumnSpec[]; readonly split: Split } {
  switch (preset.kind) {
    case 'csv': {
      const columns = preset.columns.map(specOf);
      return { columns, split: (text) => splitCsv(text, preset.delimiter, preset.quote) ?? { wrong: 'a quote is not closed, or something stands behind a closing one' } };
    }
    case 'columns': {
      const places = preset.columns.map(({ start, length }) => [start - 1, start - 1 + length] as const);
      const first = Math.min(...places.map(([from]) => from));
      return { columns: preset.columns.map(specOf), split: (text) => (text.length <= first ? { wrong: `it ends before column ${first + 1}` } : places.map(([from, to]) => (from >= text.length ? null : text.slice(from, to).trim()))) };
    }
    case 'regex':
      return regexOf(compilePattern(preset.pattern), preset.columns);
    case 'json': {
      const columns = preset.columns!;
      const paths = columns.map((column) => (typeof column === 'string' ? column : (column.path ?? column.name)).split('.'));
      return {
        columns: columns.map(specOf),
        split(text) {
          const document = jsonOf(text);
          return 'wrong' in document ? document : paths.map((path) => textOfJson(path.reduce<unknown>((at, name) => (isObject(at) || Array.isArray(at)) && Object.hasOwn(at, name) ? (at as Record<string, unknown>)[name] : undefined, document.value)));
        },
      };
    }
    case 'xml': {
      const columns = preset.columns.map(specOf);
      return {
        columns,
        split(text) {
          const found = attributesOf(text, preset.element);
          return found ? columns.map(({ name }) => found[name] ?? null) : { wrong: `it does not begin with an element <${preset.element} …>` };
        },
      };
    }
  }
}

function regexOf(pattern: Pattern, given: readonly GivenColumn[] | undefined): { readonly columns: readonly ColumnSpec[]; readonly split: Split } {
  const named = [...pattern.text.matchAll(/\(\?P?<([A-Za-z_]\w*)>/g)].map((found) => found[1]!);
  const typed = new Map((given ?? []).map((column) => [specOf(column).name, specOf(column)]));
  const stranger = [...typed.keys()].find((name) => !named.includes(name));
  if (stranger !== undefined) throw new Error(`the pattern has no group "${stranger}"`);
  if (named.length === 0) throw new Error('the pattern names no group: (?P<name>…) makes a column');
  const columns = named.map((name) => typed.get(name) ?? specOf(name));
  return {
    columns,
    split(text) {
      const found = pattern.groups(text);
      return found ? named.map((name) => found.named[name] ?? null) : { wrong: 'the pattern does not find anything in it' };
    },
  };
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

function jsonOf(text: string): { readonly value: Record<string, unknown> } | { readonly wrong: string } {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? { value } : { wrong: 'it is JSON, but no object' };
  } catch (thrown) {
    return { wrong: `it is no JSON: ${reasonOf(thrown).slice(0, 100)}` };
  }
}

function textOfJson(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** All that is at the top of a JSON object; what is no text and no number, as JSON. */
function freeJson(text: string, key: readonly string[] | null): ParsedRecord {
  const document = jsonOf(text);
  if ('wrong' in document) return { fields: null, key: null, error: document.wrong };
  const fields = Object.fromEntries(Object.entries(document.value).map(([name, value]) => [name, typeof value === 'number' || typeof value === 'string' ? value : textOfJson(value)]));
  return { fields, key: keyOf(fields, key), error: null };
}
