// A headless Chromium, driven by its DevTools protocol: libraries that do so keep pages visible, and those are never frozen.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { bounded } from "./processes.mjs";

export const PROGRAM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
const QUIET = ["--disable-background-networking", "--disable-component-update", "--no-proxy-server", "--remote-debugging-port=0"];
const PATIENCE = 20_000;

export class Browser {
  #process;
  #directory = mkdtempSync(join(tmpdir(), "fanwire-chromium-"));
  #socket;
  #waiting = new Map();
  #last = 0;

  static async start() {
    const browser = new Browser();
    try {
      const socket = new WebSocket(await browser.#launch());
      browser.#socket = socket;
      socket.on("message", (data) => browser.#take(JSON.parse(data)));
      await bounded(new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject)), PATIENCE);
      return browser;
    } catch (error) {
      await browser.kill();
      throw error;
    }
  }

  /** Gives the address of its DevTools. */
  async #launch() {
    const flags = [...FLAGS, ...QUIET, `--user-data-dir=${this.#directory}`, "about:blank"];
    this.#process = spawn(PROGRAM, flags, { stdio: ["ignore", "ignore", "pipe"] });
    let output = "";
    const address = new Promise((resolve) => {
      this.#process.stderr.on("data", (data) => {
        const found = /listening on (ws:\S+)/.exec((output += data));
        if (found) resolve(found[1]);
      });
    });
    const found = await bounded(address, PATIENCE);
    if (!found) throw new Error(`no DevTools of ${PROGRAM}: ${output}`);
    return found;
  }

  #take({ id, result, error }) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(error.message));
    else waiting?.resolve(result);
  }

  async send(method, params = {}, sessionId = undefined) {
    const id = ++this.#last;
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    const result = await bounded(answer, PATIENCE);
    if (!result) throw new Error(`no answer to ${method}`);
    return result;
  }

  /** A page at `url`, with storage and a cache of its own. */
  async open(url) {
    const { browserContextId } = await this.send("Target.createBrowserContext");
    const { targetId } = await this.send("Target.createTarget", { url, browserContextId });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    return new Page((method, params) => this.send(method, params, sessionId));
  }

  async kill() {
    const ended = new Promise((resolve) => this.#process.once("close", resolve));
    this.#process.kill("SIGKILL");
    await bounded(ended, PATIENCE);
    this.#socket?.terminate();
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Page {
  constructor(send) {
    this.send = send;
  }

  /** What `act` gives in the page. */
  async evaluate(act, ...given) {
    const expression = `(${act})(...${JSON.stringify(given)})`;
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  offline(offline) {
    return this.send("Network.emulateNetworkConditions", { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  }
}
