import { Backoff } from "./backoff.js";
import { Connection } from "./connection.js";
import { FanwireError } from "./error.js";
import type { Settings } from "./options.js";
import { pace } from "./retry.js";
import { expiry, obtain, renewal } from "./token.js";
import { onWake } from "./wake.js";
import type { Incoming, Welcome } from "./wire.js";

/** Who hears of the connections. */
export interface User {
  welcome(welcome: Welcome): void;
  ready(send: (message: string | Uint8Array) => void): void;
  event(event: Incoming): void;
  /** There is no connection; another one is tried after `wait` milliseconds, or none if that is `undefined`. */
  away(error: FanwireError, wait: number | undefined): void;
  /** Renews the token of this connection. */
  refresh(token: string): void;
}

/** Tokens that nodes refuse one after the other before that is final. */
const REFUSALS = 2;
/** Within which attempts begin when the page has woken. */
const AWAKE = 500;
/** Codes that another attempt would end with, too. */
const HOPELESS = ["not_understood", "bad_options"];

/** One connection after the other, to one URL after the other. */
export class Link {
  #connection: Connection | undefined;
  #isReady = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #refresh: ReturnType<typeof setTimeout> | undefined;
  #backoff: Backoff;
  #url: number;
  #began = 0;
  #awaySince = performance.now();
  #asCommand = false;
  #refusals = 0;
  #over: (() => void) | undefined;
  #awake = new AbortController();

  constructor(
    private readonly urls: readonly string[],
    private readonly settings: Settings,
    private readonly user: User,
  ) {
    this.#backoff = new Backoff(settings.firstWait, settings.longestWait);
    this.#url = Math.floor(Math.random() * urls.length);
    onWake(() => this.#woken(), this.#awake.signal);
    this.#wait(0);
  }

  #wait(time: number): void {
    this.#timer = setTimeout(() => this.#attempt(), time);
  }

  async #attempt(): Promise<void> {
    this.#timer = undefined;
    const { settings } = this;
    try {
      const token = settings.token && (await obtain(settings.token, settings.connectTimeout));
      if (this.#over) return;
      const url = this.urls[this.#url++ % this.urls.length]!;
      this.#connection = new Connection(url, settings, token, this.#asCommand, {
        welcome: (welcome) => this.user.welcome(welcome),
        ready: () => this.#ready(token),
        event: (event) => this.user.event(event),
        ended: (error) => this.#ended(error),
      });
    } catch (error) {
      if (!this.#over) this.#ended(error as FanwireError);
    }
  }

  #ready(token: string | undefined): void {
    this.#isReady = true;
    this.#began = performance.now();
    this.#refusals = 0;
    this.#asCommand = false;
    if (token) this.#renewBefore(token);
    const connection = this.#connection!;
    this.user.ready((message) => connection.send(message));
  }

  /** The node has taken `token`, and a newer one is sent before it ends; one that can't be had is tried for again. */
  #renewBefore(token: string): void {
    const ends = expiry(token);
    const { token: source, connectTimeout } = this.settings;
    clearTimeout(this.#refresh);
    if (typeof source !== "function" || ends === undefined || ends <= Date.now()) return;
    const renew = async () => {
      const connection = this.#connection;
      const newer = await obtain(source, connectTimeout).catch(() => undefined);
      if (connection !== this.#connection || !this.#isReady) return;
      this.#renewBefore(token);
      if (newer) this.user.refresh(newer);
    };
    this.#refresh = setTimeout(renew, renewal(ends - Date.now(), Math.random()));
  }

  /** The node has taken a newer token. */
  refreshed(token: string): void {
    if (this.#isReady) this.#renewBefore(token);
  }

  #ended(error: FanwireError): void {
    const now = performance.now();
    const lived = this.#isReady ? now - this.#began : 0;
    if (this.#isReady) this.#awaySince = now;
    // A page can't see why an upgrade is refused; the answer to a command it can.
    this.#asCommand = !!this.#connection && !this.#connection.opened && !this.#asCommand && !!this.settings.token;
    if (error.code === "unauthorized") this.#refusals++;
    this.#connection = undefined;
    this.#isReady = false;
    clearTimeout(this.#refresh);
    this.#backoff.ended(lived);
    const wait = this.#over ? undefined : this.#nextWait(error);
    if (wait === undefined) this.#awake.abort();
    else this.#wait(wait);
    this.user.away(this.#over ? new FanwireError("closed", "closed by this client") : error, wait);
    this.#over?.();
  }

  #nextWait(error: FanwireError): number | undefined {
    const { token, giveUpAfter } = this.settings;
    const hopeless = HOPELESS.includes(error.code) || this.#refusals >= REFUSALS;
    const again = hopeless ? undefined : pace(error.closeCode ?? 1006, typeof token === "function");
    const wait = again && this.#backoff.wait(again, Math.random());
    return wait === undefined || performance.now() + wait - this.#awaySince > giveUpAfter ? undefined : wait;
  }

  #woken(): void {
    this.#connection?.probe();
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#wait(Math.random() * AWAKE);
  }

  /** Ends it; `done` when the connection has ended, or at once without one. */
  close(done: () => void): void {
    this.#over = done;
    this.#awake.abort();
    clearTimeout(this.#timer);
    if (this.#connection) this.#connection.close();
    else this.#ended(new FanwireError("closed", ""));
  }
}
