import { type FanwireError, isFinal } from "./error.js";
import type { Position } from "./position.js";
import type { Ended } from "./stream.js";
import { Track } from "./track.js";
import { type Ask, Tracked, type TrackedEvent } from "./tracked.js";
import { type Answer, type Incoming, type Member, placeOf } from "./wire.js";

/** What a subscription tells. */
export type ChannelEvent =
  | TrackedEvent
  /** A publication; with its place where the channel has a history. */
  | { readonly type: "message"; readonly content: unknown; readonly position?: Position }
  /** Another connection has come; `first` if its user had no other one there. */
  | { readonly type: "join"; readonly member: Member; readonly first: boolean }
  /** Another connection has gone; `last` if its user has none any more. */
  | { readonly type: "leave"; readonly member: Member; readonly last: boolean };

export interface SubscribeOptions {
  /** Where the user stands: what was published since comes first. */
  readonly since?: Position;
  /** What others see of this connection on a channel with presence. */
  readonly info?: unknown;
}

const PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/** A channel that the user wants, whatever becomes of connections. */
export class Subscription extends Tracked<ChannelEvent> {
  /** Whether it is in force on this connection. */
  #inForce = false;
  /** Left because the queue is full, until half of it is free. */
  #paused = false;
  /** The newest attempt to subscribe; the answers to others matter no longer. */
  #asked = 0;
  #failures = 0;
  #again: ReturnType<typeof setTimeout> | undefined;

  /** @internal */
  constructor(
    readonly channel: string,
    listener: ((event: ChannelEvent | Ended) => void) | undefined,
    limit: number,
    private readonly options: SubscribeOptions,
    ask: Ask,
    forget: () => void,
  ) {
    super(listener, limit, options.since, ask, forget, true);
  }

  override unsubscribe(): void {
    if (this.isOver) return;
    this.#leave();
    this.finish();
  }

  /** Leaves the channel on this connection; whatever it was asked for before is of no matter. */
  #leave(): void {
    this.disconnected();
    this.ask({ type: "unsubscribe", channel: this.channel });
  }

  /** @internal There is a connection. */
  connected(): void {
    clearTimeout(this.#again);
    // A full queue has no room for what recovering brings.
    this.#paused ||= this.isFull && !!this.track.place;
    if (this.isOver || this.#paused) return;
    const asked = ++this.#asked;
    const command = { type: "subscribe", channel: this.channel, recover: this.track.place, info: this.options.info };
    this.ask(
      command,
      (answer) => asked === this.#asked && this.#granted(answer),
      (error) => asked === this.#asked && this.#refused(error),
    );
  }

  /** @internal There is none any more. */
  disconnected(): void {
    clearTimeout(this.#again);
    this.#asked++;
    this.#inForce = false;
  }

  #granted(answer: Answer): void {
    this.#failures = 0;
    this.#inForce = true;
    this.begin(placeOf(answer), answer.recovered, answer.newest);
  }

  #refused(error: FanwireError): void {
    if (error.code === "no_history" && this.track.place) {
      // It keeps none any more: the node has to be asked without a place.
      this.track = new Track(undefined);
      this.tellLost();
      this.connected();
    } else if (isFinal(error)) this.finish(error);
    else {
      // An answer that was too late: what came behind it is not known.
      if (error.code === "already_subscribed") this.#leave();
      const bound = Math.min(PAUSE * 2 ** this.#failures++, LONGEST_PAUSE);
      this.#again = setTimeout(() => this.connected(), bound * Math.random());
    }
  }

  /** @internal The node sent an event of the channel. */
  event(event: Incoming): void {
    const { type, offset, content } = event;
    if (type === "lost") {
      if (this.#takes() && this.track.lost(placeOf(event)!)) this.tellLost();
    } else if (type === "message") {
      const isNew = offset === undefined || (this.#takes() && this.track.see(offset));
      if (isNew) this.tell({ type, content, ...this.where() });
    } else if (type === "join") this.tell({ type, member: member(event), first: event["first"] === true });
    else if (type === "leave") this.tell({ type, member: member(event), last: event["last"] === true });
  }

  /** Whether what has a place is to be told. With a full queue the channel is left, and resumed when there is room. */
  #takes(): boolean {
    if (this.#inForce && this.isFull) {
      this.#paused = true;
      this.#leave();
    }
    return this.#inForce;
  }

  protected override drained(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.connected();
  }

  /** @internal Nothing follows any more. */
  override finish(error?: FanwireError): void {
    this.disconnected();
    super.finish(error);
  }
}

const member = ({ connection, user, info }: Incoming): Member =>
  ({ connection, ...(user !== undefined && { user }), ...(info !== undefined && { info }) }) as Member;
