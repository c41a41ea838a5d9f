// The client in a headless Chromium: pages that sleep, and networks that come and go.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { before, after, test } from "node:test";
import { chromium } from "playwright-core";
import WebSocket from "ws";
import { connect } from "../dist/index.js";
import { bounded, makeKey, startNode, until } from "./processes.mjs";
import { Proxy } from "./proxy.mjs";

const PROGRAM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const skip = PROGRAM ? false : "no Chromium is installed";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
const QUIET = ["--disable-background-networking", "--disable-component-update", "--no-proxy-server"];
/** Less than the history. */
const MOST = 900;

/** How long a page that doesn't answer is waited for. */
const PATIENCE = 10_000;

let program, browser, server, origin;

before(async () => {
  if (skip) return;
  server = createServer((request, response) => {
    const isModule = request.url === "/fanwire.min.js";
    response.setHeader("Content-Type", isModule ? "text/javascript" : "text/html");
    response.end(isModule ? readFileSync(new URL("../dist/fanwire.min.js", import.meta.url)) : "<!doctype html><title>page</title>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  program = await chromium.launchServer({ executablePath: PROGRAM, args: [...FLAGS, ...QUIET] });
  browser = await chromium.connect(program.wsEndpoint());
});

after(async () => {
  // A page that is frozen would keep it from an orderly end.
  await program?.kill();
  server?.close();
});

/** A page with a client that is subscribed to chat:1, and what else is there. */
async function open(t, { config = {}, options = {}, proxied = false }) {
  const node = await startNode(t, { "server.origins": origin, "namespaces.chat.history.size": 1000, ...config });
  const proxy = await Proxy.start(t, node.port);
  const context = await browser.newContext();
  t.after(() => bounded(context.close(), PATIENCE));
  const page = await context.newPage();
  await page.goto(origin);
  await page.evaluate(
    async ([url, options]) => {
      const { connect } = await import("/fanwire.min.js");
      const client = connect(url, options);
      Object.assign(window, { client, got: [], told: [], events: [] });
      client.on((event) => events.push(event.type));
      client.subscribe("chat:1", (event) => (event.type === "message" ? got.push(event.content) : told.push(event.outcome ?? event.type)));
    },
    [proxied ? proxy.url : node.url, options],
  );
  await until(() => page.evaluate(() => told.length), "a subscription");
  const token = options.token;
  const writer = connect(node.url, { webSocket: WebSocket, ...(token && { token }) });
  t.after(() => writer.close());
  await writer.publish("chat:1", 0);
  await until(() => page.evaluate(() => got.length), "a message");
  return { node, proxy, context, page, writer };
}

async function publish(writer, count, content = (number) => number) {
  for (let number = 1; number <= count; number++) await writer.publish("chat:1", content(number), { once: true });
}

/** How many connections the node has closed as too slow. */
async function disconnects({ internal }) {
  const metrics = await (await fetch(`http://127.0.0.1:${internal}/metrics`)).text();
  return Number(/^fanwire_disconnects_total\{reason="slow_consumer"\} (\d+)/m.exec(metrics)[1]);
}

/** Each number came once, in order, over one or more returns. */
async function check(page, count) {
  await until(() => page.evaluate((count) => got.length >= count, count + 1), `${count} messages`, 30_000);
  const numbers = await page.evaluate(() => got.map((content) => content.number ?? content));
  assert.deepEqual(numbers, Array.from({ length: count + 1 }, (_, index) => index));
  const told = await page.evaluate(() => told);
  assert.deepEqual(told, ["new", ...Array(told.length - 1).fill("recovered")]);
}

test("a page that slept gets what it missed", { skip, timeout: 120_000 }, async (t) => {
  // So small that the node gives a sleeping page up.
  const { context, page, writer, node } = await open(t, { config: { "outbox.limit": "256KiB", "outbox.kernel": "4KiB", "close.timeout": "100ms" } });
  const devtools = await context.newCDPSession(page);
  await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
  const padding = "x".repeat(60_000);
  // What Chromium and the kernel take in meanwhile is theirs to say.
  let missed = 0;
  while (!(await disconnects(node)) && missed < MOST) {
    await writer.publish("chat:1", { number: ++missed, padding }, { once: true });
  }
  await until(async () => {
    await devtools.send("Page.setWebLifecycleState", { state: "active" });
    return bounded(page.evaluate(() => document.visibilityState), 1000);
  }, "the page's waking");
  await check(page, missed);
  const events = await page.evaluate(() => events);
  assert.deepEqual(events.slice(0, 3), ["connected", "disconnected", "connected"]);
});

test("a page that was offline notices soon, and gets what it missed when it is online", { skip, timeout: 120_000 }, async (t) => {
  // The heartbeat alone would notice in 40 s, the backoff alone come back in a minute.
  const options = { probeTimeout: 500, firstWait: 60_000, longestWait: 60_000 };
  const { context, page, writer, proxy } = await open(t, { options, proxied: true });
  for (let round = 1; round <= 3; round++) {
    // Chromium's emulation leaves a WebSocket that is open alone.
    proxy.hold(true);
    await context.setOffline(true);
    await until(() => page.evaluate((round) => events.length === 2 * round, round), "the end of the connection");
    await publish(writer, 10, (number) => (round - 1) * 10 + number);
    proxy.hold(false);
    await context.setOffline(false);
    await check(page, round * 10);
  }
  assert.deepEqual(await page.evaluate(() => events), ["connected", ...Array(3).fill(["disconnected", "connected"]).flat()]);
});

test("a page is told why its token is refused, though it can't see the upgrade's answer", { skip, timeout: 60_000 }, async (t) => {
  const key = makeKey(t);
  const { page, node } = await open(t, { config: { "auth.keys": key.source, "auth.leeway": "0s" }, options: { token: key.token() } });
  const code = await page.evaluate(
    async ([url, token]) => {
      const { connect } = await import("/fanwire.min.js");
      const refused = connect(url, { token, firstWait: 20 });
      return await new Promise((resolve) => refused.on(({ type, error }) => type === "closed" && resolve(`${error.code}: ${error.message}`)));
    },
    [node.url, key.token({ lasts: -60 })],
  );
  assert.match(code, /unauthorized: .*expired/);
});
