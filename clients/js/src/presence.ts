import type { Client } from "./client.js";
import { type FanwireError, isFinal } from "./error.js";
import type { ChannelEvent, SubscribeOptions, Subscription } from "./subscription.js";
import type { ConnectionId, Member } from "./wire.js";
import type { Ended } from "./stream.js";

export interface WatchOptions extends SubscribeOptions {
  /** What else the subscription tells, such as messages. */
  readonly listener?: (event: ChannelEvent | Ended) => void;
}

const AGAIN = 1000;

/**
 * Subscribes to `channel`, which has presence with `join_leave`, and tells who is on it whenever that changes. Ends with
 * the subscription that it returns; that one ends by itself if nobody may be seen.
 */
export function watchMembers(
  client: Client,
  channel: string,
  changed: (members: readonly Member[]) => void,
  { listener, ...options }: WatchOptions = {},
): Subscription {
  const list = new MemberList(client, channel, changed, (error) => subscription.finish(error));
  const tell = (event: ChannelEvent | Ended) => {
    if (event.type === "ended") stop();
    list.event(event);
    listener?.(event);
  };
  const subscription = client.subscribe(channel, tell, options);
  // Of both kinds of channels: who comes and goes has no history.
  const stop = client.on(({ type }) => (type === "gap" || type === "dropped") && list.read());
  return subscription;
}

/** Who is on a channel: a list that was read, and all who have come and gone since. */
class MemberList {
  #members = new Map<string, Member>();
  /** What came while the list is read. */
  #since: (() => void)[] | undefined;
  #reading = 0;

  constructor(
    private readonly client: Client,
    private readonly channel: string,
    private readonly changed: (members: readonly Member[]) => void,
    private readonly failed: (error: FanwireError) => void,
  ) {}

  event(event: ChannelEvent | Ended): void {
    if (event.type === "join") this.#change(() => this.#members.set(key(event.member.connection), event.member));
    else if (event.type === "leave") this.#change(() => this.#members.delete(key(event.member.connection)));
    else if (event.type === "ended") this.#reading++;
    else if (event.type === "subscribed") void this.read();
  }

  #change(change: () => void): void {
    if (this.#since) return void this.#since.push(change);
    change();
    this.changed([...this.#members.values()]);
  }

  /** Reads the list anew: what is known may be old. */
  async read(): Promise<void> {
    const reading = ++this.#reading;
    this.#since ??= [];
    try {
      const members = await this.#all();
      if (reading !== this.#reading) return;
      this.#members = new Map(members.map((member) => [key(member.connection), member]));
      for (const change of this.#since.splice(0)) change();
      this.#since = undefined;
      this.changed([...this.#members.values()]);
    } catch (error) {
      if (reading !== this.#reading) return;
      if (isFinal(error as FanwireError)) this.failed(error as FanwireError);
      else setTimeout(() => reading === this.#reading && this.read(), AGAIN * (0.5 + Math.random()));
    }
  }

  async #all(): Promise<Member[]> {
    const all: Member[] = [];
    for (let more = true; more; ) {
      const after = all.at(-1)?.connection;
      const page = await this.client.presence(this.channel, { limit: 1000, ...(after && { after }) });
      all.push(...page.members);
      more = page.more && page.members.length > 0;
    }
    return all;
  }
}

const key = (connection: ConnectionId): string => connection.join(".");
