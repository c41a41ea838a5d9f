import { FanwireError, isFinal } from "./error.js";
import type { Answer, Incoming } from "./wire.js";

/** When a command is sent again: never, on the next connection if this one took the answer along, or until it is done. */
export type Repeat = "never" | "reconnect" | "insist";

const PAUSE = 500;
const MESSAGE_TOO_BIG = 1009;

interface Command {
  readonly message: string | Uint8Array;
  readonly repeat: Repeat;
  readonly timer: ReturnType<typeof setTimeout>;
  readonly done: (answer: Answer) => void;
  readonly failed: (error: FanwireError) => void;
  sent: boolean;
}

/** The commands that wait for an answer or for a connection, in their order. */
export class Commands {
  #waiting = new Map<number, Command>();
  #last = 0;
  #send: ((message: string | Uint8Array) => void) | undefined;

  constructor(
    private readonly encode: (command: Record<string, unknown>) => string | Uint8Array,
    private readonly timeout: number,
    private readonly most: number,
  ) {}

  /** Gives a command; its answer comes to `done` before anything that the node sends after it. */
  give(
    command: Record<string, unknown>,
    repeat: Repeat,
    done: Command["done"],
    failed: Command["failed"],
  ): void {
    if (this.#waiting.size >= this.most) {
      return failed(new FanwireError("too_many_commands", `${this.most} commands wait for their answers`));
    }
    const id = ++this.#last;
    const message = this.encode({ ...command, id });
    const timer = setTimeout(() => this.#late(id), this.timeout);
    const given = { message, repeat, timer, done, failed, sent: false };
    this.#waiting.set(id, given);
    this.#go(given);
  }

  #go(command: Command): void {
    if (!this.#send || command.sent) return;
    command.sent = true;
    this.#send(command.message);
  }

  #late(id: number): void {
    const { sent, failed } = this.#take(id)!;
    const seconds = this.timeout / 1000;
    failed(
      sent
        ? new FanwireError("timed_out", `no answer within ${seconds} s`)
        : new FanwireError("not_connected", `no connection within ${seconds} s`),
    );
  }

  #take(id: number): Command | undefined {
    const command = this.#waiting.get(id);
    if (command) clearTimeout(command.timer);
    this.#waiting.delete(id);
    return command;
  }

  /** Takes in an answer. */
  answered(event: Incoming): void {
    const id = event.id as number;
    const command = this.#waiting.get(id);
    if (!command) return;
    const error = event.type === "error" ? new FanwireError(event.code!, event.message!) : undefined;
    if (error && command.repeat === "insist" && !isFinal(error)) {
      command.sent = false;
      setTimeout(() => this.#waiting.has(id) && this.#go(command), PAUSE * (0.5 + Math.random()));
    } else {
      this.#take(id);
      if (error) command.failed(error);
      else command.done(event as unknown as Answer);
    }
  }

  /** There is a connection. What `first` gives goes out before what has waited. */
  connected(send: (message: string | Uint8Array) => void, first: () => void): void {
    const waiting = [...this.#waiting.values()];
    this.#send = send;
    first();
    for (const command of waiting) this.#go(command);
  }

  /** There is none any more; what may be sent again waits for the next, unless none will come. */
  disconnected(error: FanwireError, forGood: boolean): void {
    this.#send = undefined;
    for (const [id, command] of [...this.#waiting]) {
      if (!forGood && !command.sent) continue;
      const again = !forGood && command.repeat !== "never" && error.closeCode !== MESSAGE_TOO_BIG;
      if (again) command.sent = false;
      else this.#take(id)!.failed(error);
    }
  }
}
