// The attributes of an XML document's first element: call records carry what counts there. No more of XML is read.

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** null: it does not begin with that element, or the element's tag is not well formed. */
export function attributesOf(text: string, element: string): Record<string, string> | null {
  const start = /^\s*(?:<\?[^>]{0,200}\?>\s*)?<([A-Za-z_][\w.-]{0,60})/.exec(text);
  if (!start || start[1] !== element) return null;
  const found: Record<string, string> = Object.create(null) as Record<string, string>;
  let at = start[0].length;
  for (;;) {
    const blank = at;
    while (/\s/.test(text[at] ?? '')) at += 1;
    if (text[at] === '>' || (text[at] === '/' && text[at + 1] === '>')) return found;
    const name = /^[A-Za-z_:][\w:.-]{0,60}/.exec(text.slice(at, at + 64))?.[0];
    if (name === undefined || at === blank) return null;
    at += name.length;
    const mark = text[at + 1];
    if (text[at] !== '=' || (mark !== '"' && mark !== "'")) return null;
    const end = text.indexOf(mark, at + 2);
    if (end < 0) return null;
    found[name] = text.slice(at + 2, end).replace(/&(#\d{1,7}|#x[0-9a-fA-F]{1,6}|\w{2,4});/g, (whole, what: string) => entities[what] ?? characterOf(what) ?? whole);
    at = end + 1;
  }
}

function characterOf(what: string): string | null {
  if (what[0] !== '#') return null;
  const code = what[1] === 'x' ? Number.parseInt(what.slice(2), 16) : Number(what.slice(1));
  return code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : null;
}
