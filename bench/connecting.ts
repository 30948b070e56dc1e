// Sends a ClientHello that names a host, waits for the server's first bytes, ends, and does it again. No handshake is finished: what is
// measured is the relay in between, not the two that speak TLS.
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

const order = JSON.parse(process.argv[2]!) as { port: number; serverName: string; seconds: number };

const hello = await new Promise<Buffer>((resolve) => {
  const trap = createServer((socket) => {
    socket.once('data', (bytes: Buffer) => {
      socket.destroy();
      trap.close();
      resolve(bytes);
    });
  });
  trap.listen(0, '127.0.0.1', () => connectTls({ host: '127.0.0.1', port: (trap.address() as AddressInfo).port, servername: order.serverName, rejectUnauthorized: false }).on('error', () => {}));
});

let count = 0;
let errors = 0;
const end = performance.now() + order.seconds * 1000;
await Promise.all(
  Array.from({ length: 8 }, async () => {
    while (performance.now() < end) {
      await new Promise<void>((done) => {
        let answered = false;
        const socket = connect({ host: '127.0.0.1', port: order.port, noDelay: true }, () => socket.write(hello));
        socket.on('data', () => {
          if (answered) return;
          answered = true;
          count += 1;
          socket.end();
        });
        socket.on('end', () => socket.end());
        socket.on('error', () => {});
        socket.on('close', () => {
          if (!answered) errors += 1;
          done();
        });
      });
    }
  }),
);
process.stdout.write(JSON.stringify({ count, errors }));
