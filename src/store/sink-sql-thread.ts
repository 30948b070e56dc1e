// The thread of one SQL sink: its connection, which comes back by itself where it is lost, and one batch after the other.
import { workerData } from 'node:worker_threads';
import type { SinkBatch, SinkSource } from '#model/sink-batch.ts';
import { openConnection } from './keep.ts';
import { answered, failed, keepAnswering, type Room } from './loop.ts';
import { prepareTables, readPosition, takeBatch, type SqlSinkData, type SqlTable } from './sink-sql.ts';

async function openRoom(data: SqlSinkData): Promise<Room> {
  let table: SqlTable | undefined;
  const connection = await openConnection(data.location, data.location.kind === 'sqlite' ? 'write' : 'read', {
    // The store's advisory lock is for gateways; here a row of the target says who may go on.
    opened: async (session) => {
      const prepared = await prepareTables(session, data);
      return () => (table = prepared);
    },
    tell: () => {},
  });
  const rows: SqlTable = { ...table!, connection };
  return {
    ready: connection.describes,
    async work(waiting) {
      const call = waiting.shift()!;
      try {
        const value = await connection.turn<unknown>(() => (call.name === 'take' ? takeBatch(rows, call.args[0] as SinkBatch) : readPosition(rows, call.args[0] as SinkSource)));
        return [answered(call, value)];
      } catch (thrown) {
        return [failed(call, thrown)];
      }
    },
    close: () => connection.close(),
  };
}

await keepAnswering(() => openRoom(workerData as SqlSinkData));
