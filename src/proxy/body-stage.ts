// A stage that changes a body on its way through, piece by piece. Without one, bytes go through untouched.

export interface BodyStage {
  /** What may go on now; empty while it waits for more. Holds back a bounded amount. Never throws. */
  push(piece: Buffer): Buffer;
  /** What it still has, at the body's end. */
  end(): Buffer;
}
