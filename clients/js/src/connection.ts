import { FanwireError } from "./error.js";
import type { Settings } from "./options.js";
import type { Incoming, Welcome } from "./wire.js";

/** As much of the interface of browsers' `WebSocket` as is needed; the class of the npm package `ws` has it, too. */
export interface Socket {
  binaryType: string;
  onopen: ((event: any) => any) | null;
  onmessage: ((event: any) => any) | null;
  onerror: ((event: any) => any) | null;
  onclose: ((event: any) => any) | null;
  send(data: any): void;
  close(code?: number): void;
}

export type SocketClass = new (url: string, protocols: string[]) => Socket;

/** Who hears of a connection. */
export interface Handlers {
  /** First of all. */
  welcome(welcome: Welcome): void;
  /** Commands can be sent from now on. */
  ready(): void;
  event(event: Incoming): void;
  /** Last of all, once. */
  ended(error: FanwireError): void;
}

/** The id of the command that brings the token; all others are numbers from 1. */
const AUTH = 0;
/** Half heartbeats of silence after which a ping is sent, and after which the connection is taken for dead. */
const PING_AFTER = 2;
const DEAD_AFTER = 4;

/** One WebSocket to a node, from its making to its end. */
export class Connection {
  /** Whether the upgrade succeeded. */
  opened = false;
  #socket: Socket | undefined;
  #awaits: Set<"welcome" | "auth">;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #probe: ReturnType<typeof setTimeout> | undefined;
  /** Half heartbeats since something was heard. Counted, not measured: a page that sleeps hears nothing. */
  #silence = 0;
  #over = false;

  constructor(
    url: string,
    private readonly settings: Settings,
    private readonly token: string | undefined,
    /** Whether the token goes with the first command, not the upgrade, of which a page can't see why it is refused. */
    asCommand: boolean,
    private readonly to: Handlers,
  ) {
    const { webSocket: WebSocket, codec, connectTimeout } = settings;
    this.#awaits = new Set(token && asCommand ? ["welcome", "auth"] : ["welcome"]);
    const protocols = token && !asCommand ? [codec.protocol, `bearer.${token}`] : [codec.protocol];
    this.#timer = setTimeout(() => this.#end("no welcome in time"), connectTimeout);
    try {
      this.#attach(new WebSocket(url, protocols));
    } catch (error) {
      // Browsers name the subprotocol that is wrong.
      const why = `${error}`.replace(`.${token}`, ".***");
      queueMicrotask(() => this.#fail(new FanwireError("bad_options", `no WebSocket can be made: ${why}`)));
    }
  }

  #attach(socket: Socket): void {
    let why = "without a Close frame";
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#open();
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onerror = ({ message }) => (why = message || why);
    socket.onclose = ({ code, reason }) => this.#end(reason || (code === 1006 ? why : ""), code);
    this.#socket = socket;
  }

  #open(): void {
    this.opened = true;
    if (this.#awaits.has("auth")) this.#say({ type: "auth", id: AUTH, token: this.token });
  }

  #receive(data: string | ArrayBuffer): void {
    if (this.#over) return;
    this.#silence = 0;
    clearTimeout(this.#probe);
    this.#probe = undefined;
    try {
      this.#take(this.settings.codec.decode(data) as Incoming);
    } catch (error) {
      this.#fail(new FanwireError("not_understood", `not understood: ${error}`));
    }
  }

  #take(event: Incoming): void {
    if (event.type === "welcome") this.#welcomed(event as unknown as Welcome);
    else if (event.id === AUTH) this.#authenticated(event);
    else this.to.event(event);
  }

  #welcomed(welcome: Welcome): void {
    this.to.welcome(welcome);
    clearTimeout(this.#timer);
    this.#timer = setInterval(() => this.#listen(), Math.max(welcome.heartbeat, 1) * 500);
    this.#came("welcome");
  }

  #authenticated({ type, code, message }: Incoming): void {
    if (type === "ok") this.#came("auth");
    else if (type === "error") this.#fail(new FanwireError(code!, message!));
  }

  #came(what: "welcome" | "auth"): void {
    if (this.#awaits.delete(what) && !this.#awaits.size) this.to.ready();
  }

  #listen(): void {
    if (++this.#silence >= DEAD_AFTER) this.#end("no sign of life for two heartbeats");
    else if (this.#silence >= PING_AFTER) this.#say({ type: "ping" });
  }

  /** Finds out soon whether the connection is still alive: the page has slept, or the network has changed. */
  probe(): void {
    if (this.#probe || this.#awaits.size) return;
    this.#probe = setTimeout(() => this.#end("no sign of life after a pause"), this.settings.probeTimeout);
    this.#say({ type: "ping" });
  }

  /** Sends a message that the codec has made. */
  send(message: string | Uint8Array): void {
    // A socket that is closing discards it; its end follows.
    if (!this.#over) this.#socket?.send(message);
  }

  #say(command: Record<string, unknown>): void {
    this.send(this.settings.codec.encode(command));
  }

  /** Closes it in an orderly way; `ended` follows when the node has agreed, or after a while. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end("no answer to the close"), this.settings.closeTimeout);
    this.#socket?.close(1000);
  }

  #end(reason: string, code = 1006): void {
    this.#fail(new FanwireError("disconnected", `the connection ended with ${code}${reason && `: ${reason}`}`, code));
  }

  #fail(error: FanwireError): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#probe);
    this.#socket?.close();
    this.to.ended(error);
  }
}
