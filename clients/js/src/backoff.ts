import type { Pace } from "./retry.js";

const SOON = 200;
/** A connection that was closed so after this time was a good one: in a rolling restart the next node drains, too. */
const LASTED = 1000;
const LEAST = 10;

/** Waits, in milliseconds, whose bound doubles with each failure, each drawn from the whole range below its bound. */
export class Backoff {
  #failures = 0;
  #lasted = false;

  constructor(readonly first: number, readonly most: number) {}

  /** A connection has ended that lasted for `lived`. One that ends soon counts as a failure. */
  ended(lived: number): void {
    this.#lasted = lived >= LASTED;
    if (lived >= this.most) this.#failures = 0;
  }

  /** How long to wait now; `random` is in 0 to 1. Counts a failure for the next time. */
  wait({ least, soon }: Pace, random: number): number {
    let bound = Math.min(Math.max(this.first, LEAST) * 2 ** this.#failures, Math.max(this.most, LEAST));
    if (soon && (!this.#failures || this.#lasted)) bound = Math.min(bound, SOON);
    this.#failures = Math.min(this.#failures + 1, 32);
    this.#lasted = false;
    return least + Math.max(bound, least) * random;
  }
}
