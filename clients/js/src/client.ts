import { type BroadcastEvent, Broadcasts } from "./broadcasts.js";
import { json } from "./codec.js";
import { Commands, type Repeat } from "./commands.js";
import type { SocketClass } from "./connection.js";
import { FanwireError } from "./error.js";
import { Link } from "./link.js";
import { DEFAULTS, type Options, type Settings } from "./options.js";
import type { Position } from "./position.js";
import { type Dropped, type Ended, call } from "./stream.js";
import { type ChannelEvent, type SubscribeOptions, Subscription } from "./subscription.js";
import type { Ask } from "./tracked.js";
import { type Answer, type ConnectionId, type Incoming, type Member, type Publication, type Welcome, placeOf } from "./wire.js";

/** What concerns the client as a whole. */
export type ClientEvent =
  | { readonly type: "connected"; readonly welcome: Welcome }
  /** The connection ended, or an attempt failed; the next begins after `wait` milliseconds. */
  | { readonly type: "disconnected"; readonly error: FanwireError; readonly wait: number }
  /** For good: by `close`, or because another attempt would be useless. */
  | { readonly type: "closed"; readonly error: FanwireError }
  /** The node refused something that belongs to no call, such as a newer token. */
  | { readonly type: "refused"; readonly error: FanwireError }
  | { readonly type: "gap"; readonly seconds: number }
  /** This client read too slowly, and the node left out messages. */
  | Dropped;

export interface PublishOptions {
  /** Whether this connection gets it, too; by default `true` for `publish` and `false` for `broadcast`. */
  readonly echo?: boolean;
  /**
   * Publish at most once, however often it has to be sent: with a random key, or the one given (1 to 64 bytes). It is
   * then sent again until it is answered or `answerTimeout` is over. Only where there is a history.
   */
  readonly once?: boolean | string;
}

export interface HistoryOptions {
  /** Those behind this place, with `reverse` those before it. */
  readonly since?: Position;
  /** 1 to 1000, 100 unless set. */
  readonly limit?: number;
  /** Newest first. */
  readonly reverse?: boolean;
}

/** A part of a history. */
export interface Page {
  /** The newest place, whose epoch is that of all publications. */
  readonly position: Position;
  readonly publications: readonly Publication[];
}

export interface MembersOptions {
  /** 1 to 1000, 100 unless set. */
  readonly limit?: number;
  /** Those behind this connection. */
  readonly after?: ConnectionId;
}

/** Makes a client, which connects by itself and stays connected until `close`. Several URLs are taken in turn. */
export function connect(urls: string | readonly string[], options: Options = {}): Client {
  return new Client(typeof urls === "string" ? [urls] : [...urls], options);
}

/** A client of a cluster. */
export class Client {
  #link: Link;
  #commands: Commands;
  #wanted = new Map<string, Subscription>();
  #broadcasts: Broadcasts | undefined;
  #place: Position | undefined;
  #listeners = new Set<(event: ClientEvent) => void>();
  #welcome: Welcome | undefined;
  #isReady = false;
  #closed: FanwireError | undefined;
  #closing: Promise<void> | undefined;
  #settings: Settings;

  /** @internal Use `connect`. */
  constructor(urls: string[], options: Options) {
    const settings = { ...DEFAULTS, codec: json, webSocket: (globalThis as { WebSocket?: SocketClass }).WebSocket, ...options };
    check(urls, settings);
    this.#settings = settings as Settings;
    this.#commands = new Commands(settings.codec.encode, settings.answerTimeout, settings.commands);
    this.#link = new Link(urls, this.#settings, {
      welcome: (welcome) => this.#welcomed(welcome),
      ready: (send) => this.#ready(send),
      event: (event) => this.#event(event),
      away: (error, wait) => this.#away(error, wait),
      refresh: (token) => this.#refresh(token),
    });
  }

  /** Listens to what concerns the client as a whole; returns what ends that. */
  on(listener: (event: ClientEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** What the node said of itself, while there is a connection. */
  get welcome(): Welcome | undefined {
    return this.#isReady ? this.#welcome : undefined;
  }

  /** Waits for a connection and an answer of its node, `answerTimeout` at most. */
  async connected(): Promise<Welcome> {
    await this.#request({ type: "ping" }, "reconnect");
    return this.#welcome!;
  }

  /**
   * Subscribes to `channel`, now and on every connection to come, until `unsubscribe`. What it tells goes to `listener`
   * as it comes; without one, take it with `for await`.
   */
  subscribe(
    channel: string,
    listener?: ((event: ChannelEvent | Ended) => void) | undefined,
    options: SubscribeOptions = {},
  ): Subscription {
    if (this.#closed) throw this.#closed;
    if (this.#wanted.has(channel)) throw new FanwireError("already_subscribed", `already subscribed to ${channel}`);
    this.#settings.codec.encode({ channel, ...options });
    const forget = () => this.#wanted.delete(channel);
    const subscription = new Subscription(channel, listener, this.#settings.queue, options, this.#ask, forget);
    this.#wanted.set(channel, subscription);
    if (this.#isReady) subscription.connected();
    return subscription;
  }

  /** The broadcasts, from now on or from `since` on, which has to be given before there is a connection. */
  broadcasts(
    listener?: ((event: BroadcastEvent | Ended) => void) | undefined,
    { since }: { readonly since?: Position } = {},
  ): Broadcasts {
    if (this.#closed) throw this.#closed;
    if (this.#broadcasts) throw new FanwireError("already_subscribed", "already subscribed to broadcasts");
    if (since && this.#welcome) throw new FanwireError("bad_options", "since has to be given before there is a connection");
    const forget = () => (this.#broadcasts = undefined);
    this.#broadcasts = new Broadcasts(listener, this.#settings.queue, since, this.#ask, forget);
    if (this.#isReady) this.#broadcasts.welcomed(this.#place);
    return this.#broadcasts;
  }

  /** Publishes `content`, any JSON value or a `Uint8Array`; resolves to its place where the channel has a history. */
  publish(channel: string, content: unknown, options: PublishOptions = {}): Promise<Position | undefined> {
    return this.#send({ type: "publish", channel, content }, options);
  }

  /** The same to every connection of the cluster. */
  broadcast(content: unknown, options: PublishOptions = {}): Promise<Position | undefined> {
    return this.#send({ type: "broadcast", content }, options);
  }

  async #send(command: Record<string, unknown>, { echo, once }: PublishOptions): Promise<Position | undefined> {
    const idempotency_key = once === true ? randomKey() : once || undefined;
    return placeOf(await this.#request({ ...command, echo, idempotency_key }, once ? "insist" : "never"));
  }

  /** Reads a part of the history of `channel`. */
  async history(channel: string, options: HistoryOptions = {}): Promise<Page> {
    const answer = await this.#read("history", channel, options);
    return { position: placeOf(answer)!, publications: answer.publications };
  }

  /** Who is on `channel`, in the order of connections; with `more` there are others behind the last one. */
  async presence(channel: string, options: MembersOptions = {}): Promise<{ members: readonly Member[]; more: boolean }> {
    const { members, more } = await this.#read("presence", channel, options);
    return { members, more };
  }

  /** How many connections are on `channel`, and of how many users. */
  async presenceStats(channel: string): Promise<{ connections: number; users: number }> {
    const { connections, users } = await this.#read("presence_stats", channel);
    return { connections, users };
  }

  /** Closes the connection and everything that was asked for; resolves when it has ended. */
  close(): Promise<void> {
    return (this.#closing ??= new Promise((resolve) => (this.#closed ? resolve() : this.#link.close(resolve))));
  }

  #ask: Ask = (command, done = ignore, failed = ignore) => {
    if (this.#isReady) this.#commands.give(command, "never", done, failed);
  };

  #read(type: string, channel: string, options?: object): Promise<Answer> {
    return this.#request({ type, channel, ...options }, "reconnect");
  }

  #request(command: Record<string, unknown>, repeat: Repeat): Promise<Answer> {
    return new Promise((resolve, reject) =>
      this.#closed ? reject(this.#closed) : this.#commands.give(command, repeat, resolve, reject),
    );
  }

  #welcomed(welcome: Welcome): void {
    this.#welcome = welcome;
    this.#place = welcome.broadcast;
    this.#broadcasts?.welcomed(welcome.broadcast);
  }

  #ready(send: (message: string | Uint8Array) => void): void {
    this.#isReady = true;
    this.#commands.connected(send, () => {
      this.#broadcasts?.connected();
      this.#each((subscription) => subscription.connected());
    });
    this.#tell({ type: "connected", welcome: this.#welcome! });
  }

  #event(event: Incoming): void {
    const { type, channel, id } = event;
    if (id !== undefined) this.#commands.answered(event);
    else if (channel !== undefined) this.#wanted.get(channel)?.event(event);
    else if (type === "broadcast" || type === "lost") this.#broadcast(event);
    else if (type === "gap" || type === "dropped") this.#general(event as unknown as Dropped);
    else if (type === "error") this.#tell({ type: "refused", error: new FanwireError(event.code!, event.message!) });
  }

  #broadcast(event: Incoming): void {
    const { epoch = this.#place?.epoch, offset } = event;
    if (epoch !== undefined && offset !== undefined) this.#place = { epoch, offset };
    this.#broadcasts?.event(event);
  }

  #general(event: Dropped): void {
    this.#each((subscription) => subscription.general(event));
    this.#broadcasts?.general(event);
    this.#tell(event);
  }

  #refresh(token: string): void {
    const refused = (error: FanwireError) => this.#tell({ type: "refused", error });
    this.#commands.give({ type: "refresh", token }, "never", () => this.#link.refreshed(token), refused);
  }

  #away(error: FanwireError, wait: number | undefined): void {
    const forGood = wait === undefined;
    this.#isReady = false;
    if (forGood) this.#closed = error;
    this.#each((subscription) => subscription.disconnected());
    this.#commands.disconnected(error, forGood);
    if (!forGood) return this.#tell({ type: "disconnected", error, wait });
    const reason = error.code === "closed" ? undefined : error;
    this.#each((subscription) => subscription.finish(reason));
    this.#broadcasts?.finish(reason);
    this.#tell({ type: "closed", error });
  }

  #each(act: (subscription: Subscription) => void): void {
    [...this.#wanted.values()].forEach(act);
  }

  #tell(event: ClientEvent): void {
    for (const listener of [...this.#listeners]) call(listener, event);
  }
}

const ignore = () => {};

function check(urls: string[], settings: object): void {
  const wrong = urls.find((url) => !/^wss?:\/\/[^@/?#]+([/?][^#]*)?$/.test(url));
  if (wrong !== undefined || !urls.length) {
    throw new FanwireError("bad_options", `${JSON.stringify(wrong?.replace(/\/\/.*@/, "//***@"))} is no URL of a node, such as wss://example.com/ without a login`);
  }
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined && name !== "token") throw new FanwireError("bad_options", `the option ${name} is needed here`);
    if (name in DEFAULTS && !(value > 0)) throw new FanwireError("bad_options", `${name} is ${value}; expected a number above 0`);
  }
}

/** 128 random bits. */
const randomKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
