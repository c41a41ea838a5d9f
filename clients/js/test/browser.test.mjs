// The client in a headless Chromium: pages that sleep, and networks that come and go.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { connect } from "../dist/index.js";
import { Browser, PROGRAM } from "./chromium.mjs";
import { makeKey, startNode, until } from "./processes.mjs";
import { Proxy } from "./proxy.mjs";

const skip = PROGRAM ? false : "no Chromium is installed";
/** Less than the history. */
const MOST = 900;

let browser, server, origin;

before(async () => {
  if (skip) return;
  server = createServer((request, response) => {
    const isModule = request.url === "/fanwire.min.js";
    response.setHeader("Content-Type", isModule ? "text/javascript" : "text/html");
    response.end(isModule ? readFileSync(new URL("../dist/fanwire.min.js", import.meta.url)) : "<!doctype html><title>page</title>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  browser = await Browser.start();
});

after(async () => {
  await browser?.kill();
  server?.closeAllConnections();
  server?.close();
});

/** A page with a client that is subscribed to chat:1, and what else is there. */
async function open(t, { config = {}, options = {}, proxied = false }) {
  const node = await startNode(t, { "server.origins": origin, "namespaces.chat.history.size": 1000, ...config });
  const proxy = await Proxy.start(t, node.port);
  const page = await browser.open(origin);
  await until(() => page.evaluate(() => document.title === "page"), "the page");
  await page.evaluate(
    async (url, options) => {
      const { connect } = await import("/fanwire.min.js");
      const client = connect(url, options);
      Object.assign(window, { client, got: [], told: [], events: [], slept: [] });
      for (const name of ["freeze", "resume"]) document.addEventListener(name, () => slept.push(name));
      client.on((event) => events.push(event.type));
      client.subscribe("chat:1", (event) => (event.type === "message" ? got.push(event.content) : told.push(event.outcome ?? event.type)));
    },
    proxied ? proxy.url : node.url,
    options,
  );
  t.after(() => page.send("Page.close"));
  await until(() => page.evaluate(() => told.length), "a subscription");
  const token = options.token;
  const writer = connect(node.url, { webSocket: WebSocket, ...(token && { token }) });
  t.after(() => writer.close());
  await writer.publish("chat:1", 0);
  await until(() => page.evaluate(() => got.length), "a message");
  return { node, proxy, page, writer };
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
  const config = { "outbox.limit": "256KiB", "outbox.kernel": "4KiB", "close.timeout": "100ms" };
  const { page, writer, node } = await open(t, { config });
  await page.send("Page.setWebLifecycleState", { state: "frozen" });
  await until(() => page.evaluate(() => slept.join() === "freeze"), "sleep");
  const padding = "x".repeat(60_000);
  // What Chromium and the kernel take in meanwhile is theirs to say.
  let missed = 0;
  while (!(await disconnects(node)) && missed < MOST) {
    await writer.publish("chat:1", { number: ++missed, padding }, { once: true });
  }
  assert.deepEqual(await page.evaluate(() => [events, got]), [["connected"], [0]]);
  await page.send("Page.setWebLifecycleState", { state: "active" });
  await page.send("Page.bringToFront");
  await check(page, missed);
  assert.deepEqual(await page.evaluate(() => [events, slept]), [["connected", "disconnected", "connected"], ["freeze", "resume"]]);
  t.diagnostic(`${missed} messages missed`);
});

test("a page that was offline notices soon, and gets what it missed when it is online", { skip, timeout: 120_000 }, async (t) => {
  // The heartbeat alone would notice in 40 s, the backoff alone come back in a minute.
  const options = { probeTimeout: 500, firstWait: 60_000, longestWait: 60_000 };
  const { page, writer, proxy } = await open(t, { options, proxied: true });
  await page.send("Network.enable");
  for (let round = 1; round <= 3; round++) {
    // Chromium's emulation leaves a WebSocket that is open alone.
    proxy.hold(true);
    await page.offline(true);
    await until(() => page.evaluate((round) => events.length === 2 * round, round), "the end of the connection");
    await publish(writer, 10, (number) => (round - 1) * 10 + number);
    proxy.hold(false);
    await page.offline(false);
    await check(page, round * 10);
  }
  assert.deepEqual(await page.evaluate(() => events), ["connected", ...Array(3).fill(["disconnected", "connected"]).flat()]);
});

test("a page is told why its token is refused, though it can't see the upgrade's answer", { skip, timeout: 60_000 }, async (t) => {
  const key = makeKey(t);
  const { page, node } = await open(t, { config: { "auth.keys": key.source, "auth.leeway": "0s" }, options: { token: key.token() } });
  const why = await page.evaluate(
    async (url, token) => {
      const { connect } = await import("/fanwire.min.js");
      const refused = connect(url, { token, firstWait: 20 });
      return await new Promise((resolve) => refused.on(({ type, error }) => type === "closed" && resolve(`${error.code}: ${error.message}`)));
    },
    node.url,
    key.token({ lasts: -60 }),
  );
  assert.match(why, /unauthorized: .*expired/);
});
