// The promise for channels with a history: every publication once and in order, whatever cuts the connection.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";
import { connect } from "../dist/index.js";
import { msgpack } from "../dist/msgpack.js";
import { FULL, startNode, startRedis, until } from "./processes.mjs";
import { Proxy } from "./proxy.mjs";

const CUTS = FULL ? 1000 : 50;
const HISTORY = { "namespaces.chat.history.size": 20_000, "broadcast.history.size": 20_000 };
const QUICK = { webSocket: WebSocket, firstWait: 20, longestWait: 50 };

for (const codec of [undefined, msgpack]) {
  test(`${CUTS} reconnects lose nothing and double nothing (${codec ? "MessagePack" : "JSON"})`, { timeout: 600_000 }, async (t) => {
    const redis = await startRedis(t);
    const nodes = [await startNode(t, { "redis.url": redis.url, ...HISTORY }), await startNode(t, { "redis.url": redis.url, ...HISTORY })];
    const proxies = await Promise.all(nodes.map(({ port }) => Proxy.start(t, port)));
    // Cut within frames, within handshakes, and while what was missed is sent.
    for (const proxy of proxies) proxy.budget = () => 50 + Math.floor(Math.random() * 2000);
    const cuts = () => proxies.reduce((sum, { cuts }) => sum + cuts, 0);

    const options = { ...QUICK, ...(codec && { codec }) };
    const reader = connect(proxies.map(({ url }) => url), options);
    const writer = connect(nodes.map(({ url }) => url), { webSocket: WebSocket });
    t.after(() => Promise.all([reader.close(), writer.close()]));

    const got = [];
    const heard = [];
    const losses = [];
    reader.subscribe("chat:1", (event) => {
      if (event.type === "message") got.push(event);
      else if (event.type !== "subscribed") losses.push(event);
    });
    reader.broadcasts((event) => {
      if (event.type === "broadcast") heard.push(event.content);
      else if (event.type !== "subscribed") losses.push(event);
    });
    const reconnects = { count: 0 };
    reader.on(({ type }) => type === "connected" && reconnects.count++);
    // Both have a place from which on nothing may be missing.
    await writer.connected();
    await until(() => writer.publish("chat:1", 0).then(() => got.length), "a first message");
    await until(() => writer.broadcast(0).then(() => heard.length), "a first broadcast");
    await sleep(100);
    const first = got.at(-1).position.offset;
    const heardFirst = heard.length;
    got.length = 0;

    let sent = 0;
    while (reconnects.count <= CUTS) {
      sent++;
      await Promise.all([writer.publish("chat:1", sent), writer.broadcast(sent)]);
      await sleep(1);
    }
    for (const proxy of proxies) proxy.budget = () => Infinity;
    for (const proxy of proxies) proxy.cut();
    await until(() => got.length >= sent && heard.length >= sent + heardFirst, `${sent} messages`, 30_000).catch(() => {});
    const expected = Array.from({ length: sent }, (_, index) => index + 1);
    assert.deepEqual(got.map(({ content }) => content), expected);
    assert.deepEqual(got.map(({ position }) => position.offset), expected.map((number) => first + number));
    assert.deepEqual(heard.slice(heardFirst), expected);
    assert.deepEqual(losses, []);
    t.diagnostic(`${cuts()} cuts, ${reconnects.count} connections, ${sent} messages: 0 lost, 0 doubled`);
  });
}
