// A line of separated values: RFC 4180, with any delimiter and quote.

/** null: a quote is left open, or something stands behind a closing one. */
export function splitCsv(line: string, delimiter: string, quote: string): string[] | null {
  const values: string[] = [];
  let at = 0;
  for (;;) {
    if (line[at] === quote) {
      let value = '';
      for (at += 1; ; ) {
        const end = line.indexOf(quote, at);
        if (end < 0) return null;
        value += line.slice(at, end);
        at = end + 1;
        if (line[at] !== quote) break;
        value += quote;
        at += 1;
      }
      values.push(value);
      if (at === line.length) return values;
      if (line[at] !== delimiter) return null;
    } else {
      const end = line.indexOf(delimiter, at);
      values.push(line.slice(at, end < 0 ? line.length : end));
      if (end < 0) return values;
      at = end;
    }
    at += 1;
  }
}
