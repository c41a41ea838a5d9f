import type { Codec } from "./codec.js";
import type { SocketClass } from "./connection.js";

/** Options of `connect`; times in milliseconds. */
export interface Options {
  /**
   * A token (JWT), or a function that gets one. The function is asked before each connection and before the token ends;
   * with it a connection goes on past the end of its token, and one that ended with it is made again.
   */
  readonly token?: string | (() => string | Promise<string>);
  /** How messages are spelt: JSON unless set; `msgpack` of `fanwire/msgpack`. */
  readonly codec?: Codec;
  /** The class of WebSockets where there is none of the platform's, as `WebSocket` of the package `ws` on Node.js 20. */
  readonly webSocket?: SocketClass;
  /** Time of one attempt up to the node's welcome, and for `token`; 15,000 unless set. */
  readonly connectTimeout?: number;
  /** Time for the answer to a command, including the wait for a connection; 10,000 unless set. */
  readonly answerTimeout?: number;
  /** Time for the node's agreement to a close; 5,000 unless set. */
  readonly closeTimeout?: number;
  /** Time for a sign of life after a pause (the page slept, the network changed); 5,000 unless set. */
  readonly probeTimeout?: number;
  /** The bound of the first wait before another attempt; 500 unless set, at least 10. Waits are random below it. */
  readonly firstWait?: number;
  /** The greatest bound, up to which it doubles with each failure; 10,000 unless set, at least 10. */
  readonly longestWait?: number;
  /** How long after the last connection's end no further attempt is made; never unless set. */
  readonly giveUpAfter?: number;
  /** Events that may wait in each stream without a listener; 1,024 unless set, at least 1. */
  readonly queue?: number;
  /** Commands that may wait for their answers; 1,024 unless set, at least 1. */
  readonly commands?: number;
}

/** What options are unless set. */
export const DEFAULTS = {
  connectTimeout: 15_000,
  answerTimeout: 10_000,
  closeTimeout: 5_000,
  probeTimeout: 5_000,
  firstWait: 500,
  longestWait: 10_000,
  giveUpAfter: Infinity,
  queue: 1024,
  commands: 1024,
};

/** Options with everything that has a default. */
export type Settings = typeof DEFAULTS & Options & { readonly webSocket: SocketClass; readonly codec: Codec };
