// A line between a store and its PostgreSQL server that can be cut where it hurts: just before or just behind a commit, or towards the
// store alone, so that the server believes in a connection that nobody has any more. And what only looks like a server: one of a version that no package has.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface DatabaseLine {
  readonly port: number;
  /** At the next commit: `before` it reaches the server, or `behind` it, when only the answer is lost. Once. null: not any more. */
  cutAtCommit(where: 'before' | 'behind' | null): void;
  /** How often it was cut so. */
  readonly cuts: number;
  /** The store's ends are cut, the server's stay open and silent. */
  cutTowardsUs(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The simple query `commit` as it goes over the wire: type, length, text, NUL. */
const commitMessage = Buffer.from('Q\0\0\0\x0bcommit\0', 'latin1');

export async function startDatabaseLine(serverPort: number): Promise<DatabaseLine> {
  const pairs = new Set<{ client: Socket; server: Socket }>();
  let cut: 'before' | 'behind' | null = null;
  let cuts = 0;
  const listener = createServer({ noDelay: true }, (client) => {
    const server = connect({ port: serverPort, host: '127.0.0.1', noDelay: true });
    const pair = { client, server };
    pairs.add(pair);
    // A store that was killed with an answer unread: its system resets the connection, and so does the line.
    client.on('error', () => server.destroy());
    server.on('error', () => {});
    client.on('data', (piece: Buffer) => {
      if (cut !== null && piece.includes(commitMessage)) {
        const where = cut;
        cut = null;
        cuts += 1;
        if (where === 'before') {
          client.destroy();
          server.destroy();
          return;
        }
        // The server decides; its answer goes nowhere.
        server.removeAllListeners('data');
        server.once('data', () => {
          client.destroy();
          server.destroy();
        });
      }
      server.write(piece);
    });
    server.on('data', (piece: Buffer) => client.write(piece));
    server.on('close', () => client.destroy());
    client.on('end', () => server.end());
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    cutAtCommit: (where) => void (cut = where),
    get cuts() {
      return cuts;
    },
    cutTowardsUs() {
      for (const { client } of pairs) client.destroy();
    },
    async [Symbol.asyncDispose]() {
      for (const { client, server } of pairs) {
        client.destroy();
        server.destroy();
      }
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

/** Lets everybody in, and answers the first statement with the row that tells its version; only as much of the protocol as that takes. */
export async function startOldServer(version: string, number: number): Promise<{ readonly port: number; [Symbol.asyncDispose](): Promise<void> }> {
  const message = (type: string, body: Buffer) => {
    const head = Buffer.alloc(5);
    head.write(type, 'latin1');
    head.writeInt32BE(body.length + 4, 1);
    return Buffer.concat([head, body]);
  };
  const int = (value: number, bytes: 2 | 4) => {
    const made = Buffer.alloc(bytes);
    made.writeIntBE(value, 0, bytes);
    return made;
  };
  const columns: readonly (readonly [name: string, type: number, value: string])[] = [['version', 25, version], ['number', 23, String(number)], ['encoding', 25, 'UTF8'], ['durable', 25, 'on'], ['fsync', 25, 'on'], ['standby', 16, 'f'], ['readOnly', 25, 'off'], ['schema', 25, 'public']];
  const ready = message('Z', Buffer.from('I'));
  const described = message('T', Buffer.concat([int(columns.length, 2), ...columns.flatMap(([name, type]) => [Buffer.from(`${name}\0`), int(0, 4), int(0, 2), int(type, 4), int(-1, 2), int(-1, 4), int(0, 2)])]));
  const row = message('D', Buffer.concat([int(columns.length, 2), ...columns.flatMap(([, , value]) => [int(value.length, 4), Buffer.from(value)])]));
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    let hasStarted = false;
    socket.on('error', () => {});
    socket.on('data', (piece: Buffer) => {
      // Authentication ok; then, to all that comes up to a Sync: parsed, bound, described, one row.
      if (!hasStarted) socket.write(Buffer.concat([message('R', int(0, 4)), ready]));
      else if (piece.includes(Buffer.from('S\0\0\0\x04', 'latin1'))) socket.write(Buffer.concat([message('1', Buffer.alloc(0)), message('2', Buffer.alloc(0)), described, row, message('C', Buffer.from('SELECT 1\0')), ready]));
      hasStarted = true;
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
