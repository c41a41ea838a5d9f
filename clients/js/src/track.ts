import { type Position, reaches } from "./position.js";

/**
 * What became of the messages since a subscription was last in force.
 * - `new`: it wasn't before, and no place was given
 * - `recovered`: nothing is missing, all of it has arrived or follows
 * - `unknown`: anything may be missing, for there is no history
 * - `lost`: something is missing that can't be had any more; the event `lost` says so, too
 */
export type Outcome = "new" | "recovered" | "unknown" | "lost";

/** The place up to which the user has everything, as far as it is known. */
export class Track {
  #established: boolean;

  constructor(public place: Position | undefined) {
    this.#established = place !== undefined;
  }

  /** Goes to `offset`, unless the user has it; tells whether it went. */
  see(offset: number): boolean {
    if (!this.place || offset <= this.place.offset) return !this.place;
    this.place = { epoch: this.place.epoch, offset };
    return true;
  }

  /** What follows comes behind `granted`, if there is a history, and the node may have said if all is `recovered`. */
  begin(granted: Position | undefined, recovered: boolean | undefined): Outcome {
    const outcome = this.#judge(granted, recovered);
    if (outcome !== "recovered") this.place = granted;
    this.#established = true;
    return outcome;
  }

  #judge(granted: Position | undefined, recovered: boolean | undefined): Outcome {
    if (!this.place) return this.#established ? "unknown" : "new";
    // Without a word of the node: nothing was missed if nothing has happened.
    return granted && (recovered ?? reaches(this.place, granted)) ? "recovered" : "lost";
  }

  /** The node can't give what is up to `place`, and goes on behind it; tells whether the user misses any of that. */
  lost(place: Position): boolean {
    if (this.place && reaches(this.place, place)) return false;
    this.place = place;
    return true;
  }
}
