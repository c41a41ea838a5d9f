import type { Position } from "./position.js";

/** A connection in the cluster: its node, and a sequence number there. */
export type ConnectionId = readonly [node: number, sequence: number];

/** What a node says of itself and of the connection, first of all. */
export interface Welcome {
  readonly connection: ConnectionId;
  readonly node: number;
  readonly version: string;
  /** Seconds between two of the node's WebSocket pings. */
  readonly heartbeat: number;
  /** Where broadcasts stand, if they have a history. */
  readonly broadcast?: Position;
}

/** A connection that is seen on a channel. */
export interface Member {
  readonly connection: ConnectionId;
  readonly user?: string;
  /** What its token or itself says of it; a `Uint8Array` if that is binary. */
  readonly info?: unknown;
}

/** A publication in a channel's history. */
export interface Publication {
  readonly offset: number;
  /** Any JSON value, or a `Uint8Array`. */
  readonly content: unknown;
}

/** What a node answers to a command. */
export interface Answer {
  readonly type: "ok" | "error" | "pong";
  readonly code: string;
  readonly message: string;
  readonly epoch?: string;
  readonly offset?: number;
  readonly recovered?: boolean;
  readonly newest?: number;
  readonly publications: readonly Publication[];
  readonly members: readonly Member[];
  readonly more: boolean;
  readonly connections: number;
  readonly users: number;
}

/** What a node sends: an answer, which has an `id`, or an event. */
export interface Incoming extends Partial<Omit<Answer, "type">> {
  readonly type: string;
  readonly id?: number | string;
  readonly channel?: string;
  readonly content?: unknown;
  readonly [key: string]: unknown;
}

/** The place in an answer or an event, if it has one. */
export const placeOf = ({ epoch, offset }: { epoch?: string; offset?: number }): Position | undefined =>
  epoch === undefined || offset === undefined ? undefined : { epoch, offset };
