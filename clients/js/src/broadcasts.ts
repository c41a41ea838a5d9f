import { type FanwireError, isFinal } from "./error.js";
import { type Position, reaches } from "./position.js";
import type { Ended } from "./stream.js";
import { type Ask, Tracked, type TrackedEvent } from "./tracked.js";
import { type Answer, type Incoming, placeOf } from "./wire.js";

/** What the stream of broadcasts tells. */
export type BroadcastEvent =
  | TrackedEvent
  /** A broadcast; with its place where broadcasts have a history. */
  | { readonly type: "broadcast"; readonly content: unknown; readonly position?: Position };

/** Live broadcasts that are held back at most while missed ones come. */
const HELD = 1024;
const PAUSE = 1000;

/** The time from a welcome until all that was missed before it has come. */
interface Hold {
  /** The welcome's place. */
  readonly until: Position;
  readonly live: Incoming[];
}

/** The broadcasts as the user sees them, whatever becomes of connections. */
export class Broadcasts extends Tracked<BroadcastEvent> {
  #hold: Hold | undefined;

  /** @internal */
  constructor(
    listener: ((event: BroadcastEvent | Ended) => void) | undefined,
    limit: number,
    since: Position | undefined,
    ask: Ask,
    forget: () => void,
  ) {
    super(listener, limit, since, ask, forget, false);
  }

  /** @internal A connection begins at `place`. */
  welcomed(place: Position | undefined): void {
    const own = this.track.place;
    // What an earlier connection held comes again.
    this.#hold = own && place && !reaches(own, place) ? { until: place, live: [] } : undefined;
    if (!this.#hold) this.begin(place);
  }

  /** @internal Commands can be sent. */
  connected(): void {
    const hold = this.#hold;
    if (!hold) return;
    this.ask(
      { type: "recover_broadcast", ...this.track.place },
      (answer) => hold === this.#hold && this.#answered(answer, hold.until),
      (error) => hold === this.#hold && this.#refused(error, hold),
    );
  }

  #answered(answer: Answer, until: Position): void {
    if (answer.recovered) this.begin(placeOf(answer), true, until.offset);
    else this.#giveUp(placeOf(answer));
  }

  #refused(error: FanwireError, hold: Hold): void {
    if (isFinal(error)) this.#giveUp(hold.until);
    else setTimeout(() => hold === this.#hold && this.connected(), PAUSE * Math.random());
  }

  /** What was missed up to `place` can't be had. */
  #giveUp(place: Position | undefined): void {
    this.begin(place, false);
    this.#release();
  }

  /** @internal The node sent a broadcast, or lost some. */
  event(event: Incoming): void {
    const { offset, content } = event;
    const hold = this.#hold;
    if (event.type === "lost") {
      if (this.track.lost(placeOf(event)!)) this.tellLost();
      this.#catchUp();
    } else if (hold && offset! > hold.until.offset) {
      hold.live.push(event);
      if (hold.live.length > HELD) this.#giveUp(hold.until);
    } else {
      if (offset === undefined || this.track.see(offset)) this.tell({ type: "broadcast", content, ...this.where() });
      this.#catchUp();
    }
  }

  /** Goes on with the live ones once everything before them has come. */
  #catchUp(): void {
    const { place } = this.track;
    const until = this.#hold?.until;
    if (until && place && (reaches(place, until) || place.epoch !== until.epoch)) this.#release();
  }

  #release(): void {
    const live = this.#hold?.live ?? [];
    this.#hold = undefined;
    for (const event of live) this.event(event);
  }

  /** @internal Nothing follows any more. */
  override finish(error?: FanwireError): void {
    this.#hold = undefined;
    super.finish(error);
  }
}
