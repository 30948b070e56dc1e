// A device of the old kind behind our agent: it connects and sends lines, and hears nothing back. What it sent shortly before the agent died may be lost with
// it, which no protocol can mend; nothing else may be, and nothing may be there twice.
import { connect, type Socket } from 'node:net';
import { recordText } from './records.ts';

/** Past that, what was sent is on the agent's disk or still in our own socket, which then says so. */
const riskMs = 10_000;

export class TcpSender {
  readonly feed = 'tcp';
  readonly port: number;
  readonly #seed: string;
  readonly #sentAt: number[] = [];
  readonly #atRisk = new Set<number>();
  #socket: Socket | null = null;
  #isOpen = false;
  made = 0;

  constructor(port: number, seed: string) {
    this.port = port;
    this.#seed = seed;
  }

  /** Nothing while nobody listens. */
  send(count: number): void {
    if (this.#socket === null) return this.#connect();
    if (!this.#isOpen || this.#socket.writableLength > 0) return;
    let text = '';
    for (let i = 0; i < count; i++) {
      text += `${recordText(this.#seed, this.feed, (this.made += 1))}\n`;
      this.#sentAt[this.made] = performance.now();
    }
    this.#socket.write(text);
  }

  #connect(): void {
    const socket = connect({ port: this.port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    socket.on('connect', () => (this.#isOpen = true));
    socket.on('error', () => {});
    socket.resume();
    socket.on('close', () => {
      this.#socket = null;
      this.#isOpen = false;
      const since = performance.now() - riskMs;
      for (let number = this.made; number > 0 && this.#sentAt[number]! > since; number--) this.#atRisk.add(number);
    });
  }

  mayMiss(number: number): boolean {
    return this.#atRisk.has(number);
  }

  /** Behind the last whole line; the agent has to be there. */
  async end(): Promise<void> {
    const socket = this.#socket;
    if (socket === null) return;
    await new Promise<void>((done) => {
      socket.once('close', () => done());
      socket.end();
    });
  }
}
