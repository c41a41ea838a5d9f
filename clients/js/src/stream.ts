import type { FanwireError } from "./error.js";

/** The last event of a stream: told to listeners; `for await` ends there, with `error` if there is one. */
export interface Ended {
  readonly type: "ended";
  readonly error?: FanwireError;
}

/** Messages were left out before the next event, because they came faster than they were taken. */
export interface Dropped {
  readonly type: "dropped";
  readonly count: number;
}

type Taker<E> = { resolve(result: IteratorResult<E>): void; reject(error: FanwireError): void };

/** Events on their way to the user: each to a listener at once, or through a bounded queue to `for await`. */
export class Stream<E extends { type: string }> implements AsyncIterableIterator<E> {
  #queue: (E | Dropped)[] = [];
  #takers: Taker<E>[] = [];
  #ended: Ended | undefined;
  /** The newest in the queue, where it counts what found no room. */
  #marker: { type: "dropped"; count: number } | undefined;

  constructor(
    private readonly listener: ((event: E | Ended) => void) | undefined,
    private readonly limit: number,
  ) {}

  /** Whether the queue has no room. */
  protected get isFull(): boolean {
    return this.#queue.length >= this.limit;
  }

  /** Whether nothing follows any more. */
  protected get isOver(): boolean {
    return !!this.#ended;
  }

  /** Called when half of the queue is free. */
  protected drained(): void {}

  /** Called when the user wants no more. */
  protected left(): void {}

  /** Tells `event`. When the queue is full it is counted instead, in its place, unless it `must` be told. */
  protected tell(event: E, must = false): void {
    if (this.#ended) return;
    if (this.listener) return call(this.listener, event);
    const taker = this.#takers.shift();
    if (taker) taker.resolve({ value: event, done: false });
    else if (must || !this.isFull) this.#queue.push(event);
    else this.#drop("count" in event ? (event.count as number) : 1);
  }

  #drop(count: number): void {
    if (!this.#marker || this.#queue.at(-1) !== this.#marker) this.#queue.push((this.#marker = { type: "dropped", count: 0 }));
    this.#marker.count += count;
  }

  /** Nothing follows what has been told. */
  protected end(error?: FanwireError): void {
    if (this.#ended) return;
    this.#ended = error ? { type: "ended", error } : { type: "ended" };
    if (this.listener) call(this.listener, this.#ended);
    for (const taker of this.#takers.splice(0)) this.#finish(taker);
  }

  #finish({ resolve, reject }: Taker<E>): void {
    const error = this.#ended?.error;
    if (error) reject(error);
    else resolve({ value: undefined, done: true });
  }

  /** The next event; waits until there is one. */
  next(): Promise<IteratorResult<E>> {
    return new Promise((resolve, reject) => {
      const event = this.#queue.shift();
      if (event) {
        if (this.#queue.length <= this.limit / 2) this.drained();
        resolve({ value: event as unknown as E, done: false });
      } else if (this.#ended) this.#finish({ resolve, reject });
      else this.#takers.push({ resolve, reject });
    });
  }

  /** Ends it, as leaving a `for await` does. */
  async return(): Promise<IteratorResult<E>> {
    this.left();
    this.#queue = [];
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Calls `listener`; what it throws is the program's to see, and stops nothing here. */
export function call<E>(listener: (event: E) => void, event: E): void {
  try {
    listener(event);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
