// A gateway with many devices that only push: prints its port, ends with its input.
import { startGateway } from '../test/kit/gateway.ts';

const order = JSON.parse(process.argv[2]!) as { store?: string; devices: number };
const gateway = await startGateway({ config: { strangers: [{ policy: 'refuse', keyless: true }] }, ...(order.store === undefined ? {} : { store: order.store }) });
const { token } = await gateway.owner();
for (let i = 0; i < order.devices; i += 50) {
  const made = await Promise.all(Array.from({ length: Math.min(50, order.devices - i) }, (_, j) => gateway.api('POST', '/devices', { token, body: { name: `device ${i + j}`, serial: `SN${i + j}` } })));
  for (const answer of made) if (answer.status !== 200) throw new Error(answer.text);
}
process.stdout.write(`${JSON.stringify({ http: gateway.ports.http })}\n`);
process.stdin.resume();
process.stdin.on('data', (text) => {
  // How many bytes are stored, and the memory, the most of it too.
  if (!String(text).includes('state')) return;
  void (async () => {
    let stored = 0;
    let after = '';
    for (;;) {
      const answer = await gateway.api('GET', `/feeds?limit=200${after}`, { token });
      if (answer.status !== 200) throw new Error(answer.text);
      const page = answer.json as unknown as { items: { bytes: number }[]; next: string | null };
      for (const feed of page.items) stored += feed.bytes;
      if (page.next === null) break;
      after = `&cursor=${encodeURIComponent(page.next)}`;
    }
    process.stdout.write(`${JSON.stringify({ stored, rss: process.memoryUsage.rss(), most: process.resourceUsage().maxRSS * 1024 })}\n`);
  })();
});
process.stdin.on('end', () => void gateway.close().then(() => process.exit(0)));
