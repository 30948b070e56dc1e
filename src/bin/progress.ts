// One line on a terminal that says how far something is; nothing where nobody looks.
import type { CommandIo } from './io.ts';
import { formatBytes } from './output.ts';

export interface Progress {
  show(what: string, done: number, total: number): void;
  /** Takes the line away. */
  end(): void;
}

const barWidth = 24;
const everyMs = 100;

export function openProgress(io: CommandIo): Progress {
  let shownAt = Number.NEGATIVE_INFINITY;
  return {
    show(what, done, total) {
      if (!io.isTerminal || performance.now() - shownAt < everyMs) return;
      shownAt = performance.now();
      const part = total > 0 ? Math.min(1, done / total) : 0;
      const filled = Math.round(part * barWidth);
      io.stderr.write(`\r\u001b[K${what} [${'#'.repeat(filled)}${' '.repeat(barWidth - filled)}] ${Math.floor(part * 100)} %  ${formatBytes(done)}${total > 0 ? ` of ${formatBytes(total)}` : ''}`);
    },
    end() {
      if (io.isTerminal && shownAt > 0) io.stderr.write('\r\u001b[K');
    },
  };
}
