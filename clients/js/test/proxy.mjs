// A TCP proxy that cuts and holds what goes through it.
import { connect, createServer } from "node:net";

export class Proxy {
  #pairs = new Set();
  /** How many bytes of a node's a connection gets before it is cut; a function, asked for each connection. */
  budget = () => Infinity;
  /** Whether what nodes send gets lost. */
  mute = false;
  cuts = 0;
  held = false;

  static start(t, port) {
    const proxy = new Proxy();
    const server = createServer((client) => proxy.#join(client, connect(port, "127.0.0.1")));
    t.after(() => {
      server.close();
      proxy.cut();
    });
    return new Promise((resolve) => {
      server.listen(0, "127.0.0.1", () => {
        proxy.url = `ws://127.0.0.1:${server.address().port}/`;
        resolve(proxy);
      });
    });
  }

  #join(client, node) {
    let left = this.budget();
    const pair = { client, node };
    this.#pairs.add(pair);
    client.pipe(node);
    node.on("data", (data) => {
      if (this.mute) return;
      client.write(data.subarray(0, Math.min(data.length, left)));
      left -= data.length;
      if (left <= 0) this.#end(pair);
    });
    for (const socket of [client, node]) {
      socket.on("error", () => {});
      socket.on("close", () => this.#end(pair, false));
    }
    if (this.held) this.#pause(pair, true);
  }

  /** Ends it behind what was written to the client, without a Close frame. */
  #end(pair, counts = true) {
    if (!this.#pairs.delete(pair)) return;
    if (counts) this.cuts++;
    pair.node.destroy();
    pair.client.destroySoon();
  }

  /** Cuts all connections. */
  cut() {
    for (const pair of [...this.#pairs]) this.#end(pair);
  }

  #pause({ client, node }, held) {
    for (const socket of [client, node]) held ? socket.pause() : socket.resume();
  }

  /** Lets nothing through, with all sockets open, until `held` is false. */
  hold(held) {
    this.held = held;
    for (const pair of this.#pairs) this.#pause(pair, held);
  }
}
