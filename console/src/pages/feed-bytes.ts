// A feed's bytes as they came, page by page, up to what a browser can hold.
import { fetchAnswer } from '../api.ts';

const BYTES_MAX = 256 * 1024 * 1024;

export async function readAllBytes(feed: string, epoch: string, onProgress: (size: number) => void): Promise<{ readonly bytes: Blob; readonly size: number; readonly whole: boolean }> {
  const pieces: Blob[] = [];
  let size = 0;
  let from: number | null = null;
  let whole = false;
  while (size < BYTES_MAX) {
    const answer: Response = await fetchAnswer('readFeedBytes', { params: { feed }, query: { epoch, ...(from === null ? {} : { from }) } });
    const piece = await answer.blob();
    pieces.push(piece);
    size += piece.size;
    onProgress(size);
    const next = Number(answer.headers.get('postern-next'));
    whole = answer.headers.get('postern-end') === '1';
    // Nothing more, and not the end: somebody else's answer. Asking on would never stop.
    if (whole || !(next > (from ?? -1)) || (piece.size === 0 && next === from)) break;
    from = next;
  }
  return { bytes: new Blob(pieces), size, whole };
}
