// The gateway's words, with what it puts between backticks as something to be typed.

export function Said({ text }: { text: string }) {
  return text.split('`').map((part, at) => (at % 2 === 1 ? <code key={at} className="rounded bg-ink/7 px-1 font-mono text-[0.9em] [overflow-wrap:anywhere]">{part}</code> : part));
}
