/** Codes with which a node refuses a command, and will refuse it again. */
const FINAL = [
  "bad_request", "unknown_command", "unauthorized", "forbidden", "unknown_namespace", "no_history", "no_presence",
  "channel_limit", "message_too_large",
] as const;

/** Codes, of nodes and of this client, for what certainly hasn't been carried out either. */
const NOT_DONE = [
  "rate_limited", "user_limit", "user_limit_everywhere", "not_subscribed", "already_subscribed",
  "broker_unavailable",
  "not_connected", "closed", "too_many_commands", "bad_options", "token",
] as const;

/**
 * What a program branches on: a node's code of the protocol or this client's own.
 * - `not_connected`: there was no connection in time, nothing was sent
 * - `timed_out`: sent, and not answered in time
 * - `disconnected`: the connection ended before the answer came; `closeCode` says how
 * - `closed`: this client is closed
 * - `too_many_commands`: more commands wait for their answers than `commands` allows
 * - `not_understood`: the node sent what is not of the protocol
 * - `token`: the function `token` failed
 * - `bad_options`: what was given to `connect` can't work
 */
export type ErrorCode =
  | (typeof FINAL)[number]
  | (typeof NOT_DONE)[number]
  | "broker_timeout" | "internal" | "timed_out" | "disconnected" | "not_understood"
  | (string & {});

/** Why something did not happen. */
export class FanwireError extends Error {
  override readonly name = "FanwireError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** The WebSocket's close code, where a connection has ended; 1006 without a Close frame. */
    readonly closeCode?: number,
  ) {
    super(message);
  }

  /** Whether the command may have been carried out all the same. Codes that are not known count as `internal`. */
  get maybeDone(): boolean {
    return !isFinal(this) && !NOT_DONE.includes(this.code as never);
  }
}

/** Whether the node will refuse it again. */
export const isFinal = ({ code }: FanwireError): boolean => FINAL.includes(code as never);
