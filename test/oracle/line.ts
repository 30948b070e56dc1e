// The way between device and gateway, as bad as ways get: refuses, delays, cuts either direction at any byte, ends early, swallows answers, and brings whole
// requests twice, at once or later. It reads along as far as it takes to know requests from each other.
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Dice } from './dice.ts';

export interface LineCounts {
  connections: number;
  pushes: number;
  refused: number;
  delayed: number;
  cutOnTheWay: number;
  cutOnTheWayBack: number;
  endedEarly: number;
  swallowed: number;
  replayed: number;
  /** Answers that arrived at the device, by status; `200 repeat` beside `200`. */
  readonly answers: Record<string, number>;
  /** The same of what was brought twice. */
  readonly replies: Record<string, number>;
}

/** `body`: in the middle of a batch. `request`: the gateway has it whole. `answer`: some of the answer has gone on. `answered`: all of it. */
export type Moment = 'body' | 'request' | 'answer' | 'answered';

interface Plan {
  readonly kind: 'pass' | 'cut-up' | 'cut-down' | 'end-down' | 'swallow';
  readonly at: number;
  readonly slow: boolean;
}

interface Armed {
  readonly moment: Moment;
  readonly run: () => void;
}

const keptMax = 40;
const wholeMax = 1 << 20;

export class Line {
  readonly counts: LineCounts = { connections: 0, pushes: 0, refused: 0, delayed: 0, cutOnTheWay: 0, cutOnTheWayBack: 0, endedEarly: 0, swallowed: 0, replayed: 0, answers: {}, replies: {} };
  /** Requests that the gateway has and whose answer is not there. */
  underWay = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #farPort: number;
  readonly #dice: Dice;
  readonly #kept: Buffer[] = [];
  readonly #armed = new Set<Armed>();
  #isCalm = false;

  private constructor(farPort: number, dice: Dice) {
    this.#farPort = farPort;
    this.#dice = dice;
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => this.#open(near));
  }

  static async open(farPort: number, dice: Dice): Promise<Line> {
    const line = new Line(farPort, dice);
    await new Promise<void>((done) => line.#server.listen(0, '127.0.0.1', () => done()));
    return line;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** No more faults. */
  calm(): void {
    this.#isCalm = true;
    this.#armed.clear();
  }

  fierce(): void {
    this.#isCalm = false;
  }

  /** Once, at the next such moment of a push; then that connection breaks. Gives back how to take it back. */
  arm(moment: Moment, run: () => void): () => void {
    const armed: Armed = { moment, run };
    this.#armed.add(armed);
    return () => void this.#armed.delete(armed);
  }

  #strike(moment: Moment): boolean {
    const struck = [...this.#armed].find((armed) => armed.moment === moment);
    if (struck === undefined) return false;
    this.#armed.delete(struck);
    struck.run();
    return true;
  }

  #plan(): Plan {
    const dice = this.#dice;
    const slow = !this.#isCalm && dice.chance(0.1);
    if (this.#isCalm || dice.chance(0.6)) return { kind: 'pass', at: 0, slow };
    const kind = dice.pick(['cut-up', 'cut-down', 'cut-down', 'end-down', 'swallow'] as const);
    return { kind, slow, at: kind === 'cut-up' ? dice.below(dice.chance(0.5) ? 1_500 : 60_000) : dice.below(600) };
  }

  #later(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }

  #known(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    return socket;
  }

  #open(near: Socket): void {
    this.#known(near);
    this.counts.connections += 1;
    if (!this.#isCalm && this.#dice.chance(0.04)) {
      this.counts.refused += 1;
      near.destroy();
      return;
    }
    new Passage(this, near, this.#known(connect({ port: this.#farPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })), this.#plan(), {
      dice: this.#dice,
      later: (ms, run) => this.#later(ms, run),
      strike: (moment) => this.#strike(moment),
      whole: (request) => this.#whole(request),
    }).start();
  }

  /** A push that the gateway has whole: now and then it gets it again, or an older one. */
  #whole(request: Buffer): void {
    this.#kept.push(request);
    if (this.#kept.length > keptMax) this.#kept.shift();
    if (this.#isCalm) return;
    if (this.#dice.chance(0.15)) this.#replay(request);
    if (this.#dice.chance(0.1)) {
      const older = this.#dice.pick(this.#kept);
      this.#later(this.#dice.between(20, 2_000), () => this.#replay(older));
    }
  }

  #replay(request: Buffer): void {
    if (this.#isCalm) return;
    this.counts.replayed += 1;
    const socket = this.#known(connect({ port: this.#farPort, host: '127.0.0.1', noDelay: true }));
    let text = '';
    socket.on('data', (piece: Buffer) => {
      if (text.length < 4_000) text += piece.toString('latin1');
    });
    socket.on('close', () => count(this.counts.replies, text));
    socket.write(request);
    this.#later(3_000, () => socket.destroy());
  }

  /** What is under way breaks; the port stays. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.cutAll();
    await new Promise((done) => this.#server.close(done));
  }
}

function count(into: Record<string, number>, text: string): void {
  for (const [, status] of text.matchAll(/HTTP\/1\.[01] (\d{3})/g)) if (status !== '100') into[status!] = (into[status!] ?? 0) + 1;
  const repeats = text.match(/^repeat=1$/gm)?.length ?? 0;
  if (repeats > 0) into['200 repeat'] = (into['200 repeat'] ?? 0) + repeats;
  const errors = text.matchAll(/^error=([a-z-]+)$/gm);
  for (const [, error] of errors) into[error!] = (into[error!] ?? 0) + 1;
}

interface PassageDeps {
  readonly dice: Dice;
  later(ms: number, run: () => void): void;
  strike(moment: Moment): boolean;
  whole(request: Buffer): void;
}

/** One connection of a device, and the gateway's end of it. */
class Passage {
  readonly #line: Line;
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #plan: Plan;
  readonly #deps: PassageDeps;
  /** Of the request that is being sent. */
  #request: Buffer = Buffer.alloc(0);
  #wanted: number | null = null;
  #isPush = false;
  #awaits = false;
  #answer = '';
  #up = 0;
  #down = 0;

  constructor(line: Line, near: Socket, far: Socket, plan: Plan, deps: PassageDeps) {
    this.#line = line;
    this.#near = near;
    this.#far = far;
    this.#plan = plan;
    this.#deps = deps;
  }

  start(): void {
    const [near, far, plan] = [this.#near, this.#far, this.#plan];
    near.on('data', (piece: Buffer) => this.#passUp(piece));
    far.on('data', (piece: Buffer) => this.#passDown(piece));
    near.on('end', () => this.#slowly(() => far.end()));
    far.on('end', () => this.#slowly(() => near.end()));
    near.on('close', () => far.destroy());
    far.on('close', () => {
      this.#settle();
      this.#slowly(() => near.destroySoon());
    });
    if (plan.slow) this.#line.counts.delayed += 1;
  }

  #slowly(run: () => void): void {
    if (this.#plan.slow) this.#deps.later(150, run);
    else run();
  }

  #break(): void {
    this.#near.resetAndDestroy();
    this.#far.resetAndDestroy();
  }

  #passUp(piece: Buffer): void {
    const { kind, at } = this.#plan;
    const left = kind === 'cut-up' ? at - this.#up : Number.POSITIVE_INFINITY;
    this.#up += piece.length;
    const passed = left < piece.length ? piece.subarray(0, Math.max(0, left)) : piece;
    const isStruck = this.#read(passed);
    this.#slowly(() => this.#far.write(isStruck ? passed.subarray(0, this.#deps.dice.below(passed.length)) : passed));
    if (left < piece.length) this.#line.counts.cutOnTheWay += 1;
    if (isStruck || left < piece.length) this.#slowly(() => this.#deps.later(2, () => this.#break()));
  }

  /** True: it is not to go on whole. */
  #read(piece: Buffer): boolean {
    if (this.#request.length === 0) this.#settle();
    if (this.#request.length + piece.length > wholeMax) return false;
    this.#request = Buffer.concat([this.#request, piece]);
    if (this.#wanted === null) {
      const head = this.#request.indexOf('\r\n\r\n');
      if (head < 0) return false;
      const text = this.#request.toString('latin1', 0, head);
      this.#isPush = /^POST \S*\/push\//.test(text);
      this.#wanted = head + 4 + Number(/^content-length: *(\d+)/im.exec(text)?.[1] ?? 0);
    }
    if (this.#isPush && this.#deps.strike('body')) return true;
    if (this.#request.length < this.#wanted) return false;
    const whole = this.#request;
    this.#request = Buffer.alloc(0);
    this.#wanted = null;
    if (!this.#isPush) return false;
    this.#line.counts.pushes += 1;
    this.#line.underWay += 1;
    this.#awaits = true;
    this.#deps.whole(whole);
    if (this.#deps.strike('request')) this.#deps.later(5, () => this.#break());
    return false;
  }

  #passDown(piece: Buffer): void {
    const { kind, at } = this.#plan;
    if (this.#answer.length < 4_000) this.#answer += piece.toString('latin1');
    const left = kind === 'cut-down' || kind === 'end-down' ? at - this.#down : Number.POSITIVE_INFINITY;
    this.#down += piece.length;
    if (kind === 'swallow' && this.#isPush) {
      this.#line.counts.swallowed += 1;
      this.#deps.later(this.#deps.dice.between(1, 300), () => this.#break());
      return;
    }
    const isStruck = this.#isPush && this.#awaits && this.#deps.strike('answer');
    const end = isStruck ? this.#deps.dice.below(piece.length + 1) : Math.max(0, Math.min(piece.length, left));
    this.#slowly(() => this.#near.write(piece.subarray(0, end)));
    if (isStruck) this.#deps.later(2, () => this.#break());
    else if (left < piece.length) {
      this.#line.counts[kind === 'end-down' ? 'endedEarly' : 'cutOnTheWayBack'] += 1;
      if (kind === 'end-down') this.#near.end();
      this.#deps.later(kind === 'end-down' ? 200 : 2, () => this.#break());
    } else if (this.#isPush && this.#awaits && /\r\n\r\n[^]*\n$/.test(this.#answer)) {
      this.#settle();
      this.#deps.strike('answered');
    }
  }

  #settle(): void {
    if (this.#awaits) this.#line.underWay -= 1;
    this.#awaits = false;
    count(this.#line.counts.answers, this.#answer);
    this.#answer = '';
  }
}
