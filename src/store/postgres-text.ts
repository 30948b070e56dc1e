// PostgreSQL's texts cannot hold the character U+0000; SQLite's can, and names that peers send may have it. It is written as two others,
// of which the first is a noncharacter, which no text of people has; one that has it all the same is written as two, too. So every text
// comes back as it was, and two texts are equal exactly when they were.

const mark = '\ufdd0';
// eslint-disable-next-line no-control-regex
const special = /[\u0000\ufdd0]/g;

/** A parameter as the server takes it; what is no text stays as it is. */
export function storeText(value: unknown): unknown {
  if (typeof value === 'string') return value.includes('\0') || value.includes(mark) ? value.replace(special, (found) => (found === mark ? `${mark}1` : `${mark}0`)) : value;
  if (Array.isArray(value)) return value.map(storeText);
  return value;
}

export function loadText(text: string): string {
  return text.includes(mark) ? text.replace(/\ufdd0([01])/g, (_, which: string) => (which === '0' ? '\0' : mark)) : text;
}
