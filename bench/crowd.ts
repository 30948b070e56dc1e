// Many connections that have asked once and then only stand there. Prints a line when all do; ends with its input.
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

const order = JSON.parse(process.argv[2]!) as { port: number; count: number; tls: boolean; host: string };
const get = `GET / HTTP/1.1\r\nHost: ${order.host}\r\n\r\n`;
let left = order.count;
let begun = 0;
const begin = () => {
  if (begun >= order.count) return;
  const n = begun++;
  const place = { host: '127.0.0.1', port: order.port, localAddress: `127.0.0.${2 + (n % 200)}` };
  const socket = order.tls ? connectTls({ ...place, rejectUnauthorized: false, servername: order.host }) : connect(place);
  socket.on(order.tls ? 'secureConnect' : 'connect', () => socket.write(get));
  socket.once('data', () => {
    left -= 1;
    if (left === 0) process.stdout.write('{"ready":true}\n');
    begin();
  });
  socket.on('error', (error) => {
    process.stderr.write(`crowd: ${error.message}\n`);
    process.exit(1);
  });
};
for (let i = 0; i < 50; i++) begin();
process.stdin.resume().on('end', () => process.exit(0));
