// Programs and telephone systems that connect to us and send: each connection is a stream of its own.
import type { Framing, TcpListenSettings } from '../source-settings.ts';
import { newTally } from './source.ts';
import type { Source, SourceDeps } from './source.ts';
import { takeStream } from './stream.ts';
import { keepTcpServer } from './tcp-server.ts';

export async function openTcpListen(settings: TcpListenSettings, framing: Framing, deps: SourceDeps): Promise<Source> {
  const tally = newTally(deps);
  const end = new AbortController();
  const server = await keepTcpServer(settings, deps, tally, end.signal, (socket, address) =>
    takeStream(socket, { framing, silenceMs: settings.silenceMs, signal: end.signal, ...(settings.sourceAddress ? { prefix: Buffer.from(`${address} `) } : {}) }, deps, tally),
  );
  return {
    status: () => tally.status(`tcp-listen ${server.address()}`),
    async close() {
      end.abort();
      deps.intake.release();
      await server.done;
    },
  };
}
