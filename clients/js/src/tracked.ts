import type { FanwireError } from "./error.js";
import type { Position } from "./position.js";
import { type Dropped, type Ended, Stream } from "./stream.js";
import { type Outcome, Track } from "./track.js";
import type { Answer } from "./wire.js";

/** What is told of a place in a history. */
export type TrackedEvent =
  /** In force, for the first time or again: whatever is published from now on arrives. */
  | {
      readonly type: "subscribed";
      readonly outcome: Outcome;
      /** Behind which what follows comes, where there is a history. */
      readonly position?: Position;
      /** With `recovered`: the offset of the newest publication at that moment. */
      readonly newest?: number;
    }
  /** Publications are missing that can't be had any more; what follows comes behind `position`. */
  | { readonly type: "lost"; readonly position?: Position }
  /** The node's link to its broker was away for `seconds`: messages of that time may be missing. */
  | { readonly type: "gap"; readonly seconds: number }
  | Dropped;

/** Asks the node for something, if there is a connection; the next one begins with all that is wanted. */
export type Ask = (
  command: Record<string, unknown>,
  done?: (answer: Answer) => void,
  failed?: (error: FanwireError) => void,
) => void;

/** A stream that knows where the user stands in a history. */
export abstract class Tracked<E extends { readonly type: string }> extends Stream<E | TrackedEvent> {
  protected track: Track;

  constructor(
    listener: ((event: E | TrackedEvent | Ended) => void) | undefined,
    limit: number,
    since: Position | undefined,
    protected readonly ask: Ask,
    private readonly forget: () => void,
    /** Whether it is left while the queue is full, so that what it tells of its place always has room. */
    private readonly pauses: boolean,
  ) {
    super(listener, limit);
    this.track = new Track(since);
  }

  /** The place up to which events were told or wait in the queue, where there is a history. */
  get position(): Position | undefined {
    return this.track.place;
  }

  protected begin(granted: Position | undefined, recovered?: boolean, newest?: number): void {
    const outcome = this.track.begin(granted, recovered);
    if (outcome === "lost") this.tellLost();
    this.#tellPlace({ type: "subscribed", outcome, ...this.where(), ...(newest !== undefined && { newest }) });
  }

  protected tellLost(): void {
    this.#tellPlace({ type: "lost", ...this.where() });
  }

  #tellPlace(event: TrackedEvent): void {
    this.tell(event, this.pauses && !!this.track.place);
  }

  protected where(): { position?: Position } {
    return this.track.place ? { position: this.track.place } : {};
  }

  /** Ends it. */
  unsubscribe(): void {
    this.finish();
  }

  protected override left(): void {
    this.unsubscribe();
  }

  /** @internal Nothing follows any more. */
  finish(error?: FanwireError): void {
    if (this.isOver) return;
    this.forget();
    this.end(error);
  }

  /** @internal Something concerns all that has no history. */
  general(event: TrackedEvent): void {
    if (!this.track.place) this.tell(event);
  }
}
