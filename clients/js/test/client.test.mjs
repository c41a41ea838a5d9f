// The client with real nodes, and a proxy between them that fails.
import assert from "node:assert/strict";
import { test } from "node:test";
import WebSocket, { WebSocketServer } from "ws";
import { pages } from "../dist/history.js";
import { connect } from "../dist/index.js";
import { msgpack } from "../dist/msgpack.js";
import { watchMembers } from "../dist/presence.js";
import { freePort, startNode, startRedis, until } from "./processes.mjs";
import { Proxy } from "./proxy.mjs";

const CONFIG = {
  "namespaces.chat.history.size": 1000,
  "namespaces.short.history.size": 5,
  "namespaces.room.presence": true,
  "namespaces.room.join_leave": true,
  "heartbeat.interval": "1s",
  "drain.grace": "0s",
  "drain.window": "0s",
};

function client(t, urls, options = {}) {
  const made = connect(urls, { webSocket: WebSocket, firstWait: 20, longestWait: 100, ...options });
  t.after(() => made.close());
  return made;
}

/** Subscribes and waits until that is in force; gives what comes, and the subscription. */
async function listen(of, channel, options) {
  const events = [];
  const subscription = of.subscribe(channel, (event) => events.push(event), options);
  await until(() => events.some(({ type }) => type === "subscribed"), `a subscription to ${channel}`);
  return { events, subscription, contents: () => events.filter(({ type }) => type === "message").map(({ content }) => content) };
}

const types = (events) => events.map(({ type }) => type);

for (const codec of [undefined, msgpack]) {
  test(`all commands (${codec ? "MessagePack" : "JSON"})`, async (t) => {
    const node = await startNode(t, CONFIG);
    const one = client(t, node.url, codec && { codec });
    const welcome = await one.connected();
    assert.deepEqual(one.welcome, welcome);
    assert.equal(welcome.heartbeat, 1);
    const contents = [{ text: "你好, 😀", list: [1, 1.5, null, true] }, Uint8Array.of(0, 255), "x", 0];
    const chat = await listen(one, "chat:1");
    for (const [index, content] of contents.entries()) {
      assert.deepEqual((await one.publish("chat:1", content)).offset, index + 1);
    }
    await until(() => chat.contents().length === contents.length, "messages");
    assert.deepEqual(chat.contents().map((content) => (content instanceof Uint8Array ? Uint8Array.from(content) : content)), contents);
    assert.deepEqual(chat.subscription.position, chat.events.at(-1).position);
    const page = await one.history("chat:1", { since: { ...chat.subscription.position, offset: 1 }, limit: 2 });
    assert.deepEqual(page.publications.map(({ offset }) => offset), [2, 3]);
    assert.deepEqual(page.position, chat.subscription.position);
    const read = [];
    for await (const { publications } of pages(one, "chat:1", undefined, 3)) read.push(publications.map(({ offset }) => offset));
    assert.deepEqual(read, [[1, 2, 3], [4]]);
    for await (const page of pages(one, "chat:1", chat.subscription.position)) assert.fail(JSON.stringify(page));
    assert.equal(await one.publish("news", 1, { echo: false }), undefined);
    const [first, second] = [await one.publish("chat:1", "k", { once: "key" }), await one.publish("chat:1", "k", { once: "key" })];
    assert.deepEqual(first, second);

    const room = await listen(one, "room:1", { info: { device: "phone" } });
    const other = client(t, node.url, codec && { codec });
    const otherRoom = await listen(other, "room:1");
    await until(() => room.events.some(({ type }) => type === "join"), "a join");
    const { members, more } = await one.presence("room:1");
    assert.deepEqual([members.length, more], [2, false]);
    assert.deepEqual(members.find(({ connection }) => connection[1] === one.welcome.connection[1]).info, { device: "phone" });
    assert.deepEqual(await one.presenceStats("room:1"), { connections: 2, users: 0 });
    otherRoom.subscription.unsubscribe();
    await until(() => room.events.some(({ type }) => type === "leave"), "a leave");

    const heard = [];
    one.broadcasts((event) => heard.push(event));
    await other.broadcast("to all");
    await until(() => heard.some(({ content }) => content === "to all"), "a broadcast");
  });
}

test("refusals are errors with the protocol's codes", async (t) => {
  const node = await startNode(t, CONFIG);
  const one = client(t, node.url);
  await assert.rejects(one.publish("nowhere:1", 1), { code: "unknown_namespace", maybeDone: false });
  await assert.rejects(one.publish("news", 1, { once: true }), { code: "no_history" });
  await assert.rejects(one.publish("news", undefined), { code: "bad_request" });
  await assert.rejects(one.presence("news"), { code: "no_presence" });
  const events = [];
  one.subscribe("nowhere:1", (event) => events.push(event));
  await until(() => events.length, "an end");
  assert.equal(events[0].type, "ended");
  assert.equal(events[0].error.code, "unknown_namespace");
  await assert.rejects(one.subscribe("nowhere:1").next(), { code: "unknown_namespace" });
  one.subscribe("news");
  assert.throws(() => one.subscribe("news"), { code: "already_subscribed" });
  const cycle = {};
  cycle.self = cycle;
  await assert.rejects(one.publish("news", cycle), TypeError);
  assert.throws(() => one.subscribe("room:1", undefined, { info: cycle }), TypeError);
});

test("for await takes events, and leaving it unsubscribes", async (t) => {
  const node = await startNode(t, CONFIG);
  const [one, other] = [client(t, node.url), client(t, node.url)];
  const chat = one.subscribe("chat:1");
  assert.deepEqual(types([(await chat.next()).value]), ["subscribed"]);
  for (let number = 1; number <= 3; number++) await other.publish("chat:1", number);
  for await (const event of chat) if (event.content === 2) break;
  const again = await listen(one, "chat:1", { since: { ...chat.position, offset: 1 } });
  await until(() => again.contents().length === 2, "what came since");
  assert.deepEqual(again.contents(), [2, 3]);
  assert.deepEqual(again.events[0], { type: "subscribed", outcome: "recovered", position: { ...chat.position, offset: 1 }, newest: 3 });
});

test("what is not kept any more is told as lost", async (t) => {
  const node = await startNode(t, CONFIG);
  const proxy = await Proxy.start(t, node.port);
  const [one, other] = [client(t, proxy.url), client(t, node.url)];
  const [kept, short, plain] = [await listen(one, "chat:1"), await listen(one, "short:1"), await listen(one, "news")];
  await other.publish("short:1", 0);
  await until(() => short.contents().length, "a message");
  proxy.hold(true);
  proxy.cut();
  for (let number = 1; number <= 20; number++) {
    for (const channel of ["chat:1", "short:1", "news"]) await other.publish(channel, number);
  }
  proxy.hold(false);
  await until(() => kept.contents().length === 20 && types(plain.events).length > 1, "what was missed");
  assert.deepEqual(kept.events.filter(({ type }) => type === "subscribed").map(({ outcome }) => outcome), ["new", "recovered"]);
  assert.deepEqual(plain.events.map(({ outcome }) => outcome), ["new", "unknown"]);
  await other.publish("short:1", 21);
  await until(() => short.contents().includes(21), "a message behind the loss");
  assert.deepEqual(types(short.events), ["subscribed", "message", "lost", "subscribed", "message"]);
  assert.equal(short.events[3].outcome, "lost");
  assert.equal(short.events[2].position.offset, 21);
});

test("a publication with a key is sent again, one without is not", async (t) => {
  const node = await startNode(t, CONFIG);
  const proxy = await Proxy.start(t, node.port);
  const [one, other] = [client(t, proxy.url), client(t, node.url)];
  const chat = await listen(other, "chat:1");
  await one.connected();
  proxy.mute = true;
  const [bare, once] = [one.publish("chat:1", "bare"), one.publish("chat:1", "once", { once: true })];
  const refused = assert.rejects(bare, { code: "disconnected", maybeDone: true });
  await until(() => chat.contents().includes("once"), "both at the node");
  proxy.mute = false;
  proxy.cut();
  await refused;
  assert.equal((await once).offset, 2);
  await one.publish("chat:1", "last");
  await until(() => chat.contents().includes("last"), "what comes after");
  assert.deepEqual(chat.contents(), ["bare", "once", "last"]);
});

test("a publication with a key is sent until it is taken", async (t) => {
  const node = await startNode(t, { ...CONFIG, "limits.commands.rate": 10, "limits.commands.burst": 5 });
  const one = client(t, node.url);
  await assert.rejects(Promise.all(Array.from({ length: 20 }, () => one.publish("chat:1", 0))), { code: "rate_limited" });
  const places = await Promise.all(Array.from({ length: 12 }, (_, number) => one.publish("chat:2", number, { once: true })));
  assert.deepEqual(places.map(({ offset }) => offset).sort((a, b) => a - b), Array.from({ length: 12 }, (_, index) => index + 1));
});

test("what lost its answer may have been done, what was never sent has not", async (t) => {
  const node = await startNode(t, CONFIG);
  const proxy = await Proxy.start(t, node.port);
  const one = client(t, proxy.url, { answerTimeout: 300 });
  await one.connected();
  proxy.hold(true);
  await assert.rejects(one.publish("news", 1), { code: "timed_out", maybeDone: true });
  const lost = one.publish("news", 2);
  proxy.cut();
  await assert.rejects(lost, { code: "disconnected", closeCode: 1006, maybeDone: true });
  await assert.rejects(one.publish("news", 3), { code: "not_connected", maybeDone: false });
});

test("commands that wait are bounded", async (t) => {
  const one = client(t, `ws://127.0.0.1:${await freePort()}/`, { commands: 2, answerTimeout: 200 });
  const waiting = [one.publish("news", 1), one.publish("news", 2)];
  await assert.rejects(one.publish("news", 3), { code: "too_many_commands" });
  for (const failed of await Promise.allSettled(waiting)) assert.equal(failed.reason.code, "not_connected");
});

test("who takes events slowly gets all of a history, and is told what else was left out", async (t) => {
  const node = await startNode(t, CONFIG);
  const [one, other] = [client(t, node.url, { queue: 8 }), client(t, node.url)];
  const [chat, news] = [one.subscribe("chat:1"), one.subscribe("news")];
  for (const stream of [chat, news]) assert.equal((await stream.next()).value.type, "subscribed");
  for (let number = 1; number <= 100; number++) await Promise.all([other.publish("chat:1", number), other.publish("news", number)]);
  await one.connected();
  const got = [];
  for await (const event of chat) {
    if (event.type === "message") got.push(event.content);
    else assert.equal(event.outcome, "recovered");
    if (got.length === 100) break;
  }
  assert.deepEqual(got, Array.from({ length: 100 }, (_, index) => index + 1));
  const seen = [];
  for (let told = 0; told < 100; ) {
    const { value } = await news.next();
    seen.push(value.content ?? value.count);
    told += value.type === "message" ? 1 : value.count;
  }
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8, 92]);
});

test("who is left and resumed again and again misses nothing", async (t) => {
  const redis = await startRedis(t);
  const node = await startNode(t, { ...CONFIG, "redis.url": redis.url });
  const [one, other] = [client(t, node.url, { queue: 2 }), client(t, node.url)];
  const chat = one.subscribe("chat:1");
  await chat.next();
  const publishing = (async () => {
    for (let number = 1; number <= 300; number += 10) {
      await Promise.all(Array.from({ length: 10 }, (_, index) => other.publish("chat:1", number + index)));
    }
  })();
  const [got, outcomes] = [[], []];
  for await (const event of chat) {
    if (event.type === "message") got.push(event.content);
    else outcomes.push(event.outcome ?? event.type);
    if (got.length === 300) break;
  }
  await publishing;
  assert.deepEqual(got, Array.from({ length: 300 }, (_, index) => index + 1));
  assert.ok(outcomes.length > 10 && outcomes.every((outcome) => outcome === "recovered"), outcomes.join());
});

test("a node that is silent for two heartbeats is dead", async (t) => {
  const node = await startNode(t, CONFIG);
  const proxy = await Proxy.start(t, node.port);
  const one = client(t, proxy.url);
  const events = [];
  one.on((event) => events.push(event));
  await one.connected();
  proxy.hold(true);
  await until(() => events.some(({ type }) => type === "disconnected"), "the end of the connection");
  assert.match(events.find(({ type }) => type === "disconnected").error.message, /no sign of life/);
  proxy.hold(false);
  await one.connected();
});

test("the next URL is taken when a node goes", async (t) => {
  const nodes = [await startNode(t, CONFIG), await startNode(t, CONFIG)];
  const urls = [`ws://127.0.0.1:${await freePort()}/`, ...nodes.map(({ url }) => url)];
  const one = client(t, urls);
  const welcome = await one.connected();
  const events = [];
  one.on((event) => events.push(event));
  for (const node of nodes) {
    if (await serves(node)) node.child.kill("SIGTERM");
  }
  await until(() => events.some(({ type }) => type === "connected"), "another connection");
  assert.equal(events[0].error.closeCode, 1012);
  assert.notEqual(one.welcome.node, welcome.node);
});

async function serves({ internal }) {
  const metrics = await (await fetch(`http://127.0.0.1:${internal}/metrics`)).text();
  return /^fanwire_connections(\{[^}]*\})? [1-9]/m.test(metrics);
}

test("a server that doesn't speak the protocol is left for good", async (t) => {
  for (const [message, reason] of [
    ["garbage", /not understood: SyntaxError/],
    ["null", /not understood: TypeError/],
  ]) {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    t.after(() => server.close());
    server.on("connection", (socket) => socket.send(message));
    await new Promise((resolve) => server.once("listening", resolve));
    const one = client(t, `ws://127.0.0.1:${server.address().port}/`);
    const events = [];
    one.on((event) => events.push(event));
    await until(() => events.length, "the end");
    assert.deepEqual([events[0].type, events[0].error.code], ["closed", "not_understood"]);
    assert.match(events[0].error.message, reason);
  }
});

test("whom the operator wants gone does not come back", async (t) => {
  const node = await startNode(t, CONFIG);
  const one = client(t, node.url);
  const welcome = await one.connected();
  const chat = one.subscribe("chat:1");
  await chat.next();
  const ended = chat.next();
  const body = JSON.stringify({ connection: welcome.connection });
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(`http://127.0.0.1:${node.internal}/api/disconnect`, { method: "POST", headers, body });
  assert.ok(answer.ok, await answer.text());
  await assert.rejects(ended, { code: "disconnected", closeCode: 4403 });
  await assert.rejects(one.publish("news", 1), { closeCode: 4403 });
  assert.throws(() => one.subscribe("news"), { closeCode: 4403 });
});

test("close ends everything", async (t) => {
  const node = await startNode(t, CONFIG);
  const proxy = await Proxy.start(t, node.port);
  const one = client(t, proxy.url);
  const told = [];
  one.on(({ type }) => told.push(type));
  const chat = one.subscribe("chat:1");
  await chat.next();
  const next = chat.next();
  proxy.mute = true;
  const unanswered = assert.rejects(one.publish("chat:1", 1), { code: "closed" });
  const closes = [one.close(), one.close()];
  proxy.cut();
  await Promise.all([...closes, unanswered]);
  assert.deepEqual(await next, { value: undefined, done: true });
  assert.deepEqual(told, ["connected", "closed"]);
  await assert.rejects(one.publish("chat:1", 2), { code: "closed" });
});

test("attempts end when they take too long", async (t) => {
  const one = client(t, `ws://127.0.0.1:${await freePort()}/`, { giveUpAfter: 100 });
  const events = [];
  one.on((event) => events.push(event));
  await until(() => events.at(-1)?.type === "closed", "the end");
  assert.match(events.at(-1).error.message, /ECONNREFUSED/);
  await assert.rejects(one.publish("news", 1), { code: "disconnected" });
});

test("a broker that was away is told as gap, and as lost where it has forgotten", async (t) => {
  const redis = await startRedis(t);
  const node = await startNode(t, { ...CONFIG, "redis.url": redis.url });
  const one = client(t, node.url);
  const [chat, news] = [await listen(one, "chat:1"), await listen(one, "news")];
  await one.publish("chat:1", "before");
  await until(() => chat.contents().length === 1, "a message");
  await redis.kill();
  await assert.rejects(one.publish("news", 1), ({ code }) => ["broker_unavailable", "broker_timeout"].includes(code));
  await startRedis(t, redis.port);
  await one.publish("chat:1", "after", { once: true });
  await until(() => chat.contents().includes("after"), "a message behind the loss");
  assert.deepEqual(types(chat.events), ["subscribed", "message", "lost", "message"]);
  await until(() => types(news.events).includes("gap"), "a gap");
});

test("broadcasts that are not kept any more are told as lost, and those behind them come", async (t) => {
  const node = await startNode(t, { "broadcast.history.size": 3 });
  const proxy = await Proxy.start(t, node.port);
  const [one, other] = [client(t, proxy.url), client(t, node.url)];
  const events = [];
  const broadcasts = one.broadcasts((event) => events.push(event));
  await one.connected();
  await other.broadcast(0);
  await until(() => events.length === 2, "a broadcast");
  for (const missed of [2, 10]) {
    events.length = 0;
    proxy.hold(true);
    proxy.cut();
    for (let number = 1; number <= missed; number++) await other.broadcast(number);
    proxy.hold(false);
    await one.connected();
    await other.broadcast("last");
    await until(() => events.at(-1)?.content === "last", "the last one");
    if (missed === 2) assert.deepEqual(events.map((event) => event.content ?? event.outcome ?? event.type), ["recovered", 1, 2, "last"]);
    else assert.deepEqual(events.map((event) => event.content ?? event.outcome ?? event.type), ["lost", "lost", "last"]);
  }
  assert.equal(broadcasts.position.offset, 15);
});

test("a list of members follows who comes and goes", async (t) => {
  const node = await startNode(t, CONFIG);
  const proxy = await Proxy.start(t, node.port);
  const [one, other] = [client(t, proxy.url), client(t, node.url)];
  let seen = [];
  watchMembers(one, "room:1", (members) => (seen = members.map(({ info }) => info)), { info: "one" });
  await until(() => seen.length === 1, "itself");
  const { subscription } = await listen(other, "room:1", { info: "other" });
  await until(() => seen.includes("other"), "the other");
  proxy.hold(true);
  proxy.cut();
  subscription.unsubscribe();
  await listen(client(t, node.url), "room:1", { info: "third" });
  proxy.hold(false);
  await until(() => seen.includes("third") && !seen.includes("other"), "what happened meanwhile");
  seen = [];
  proxy.hold(true);
  proxy.cut();
  proxy.hold(false);
  await until(() => seen.includes("third"), "the list on another connection");
  let failed;
  watchMembers(one, "news", () => {}, { listener: (event) => (failed = event) });
  await until(() => failed?.type === "ended", "an end");
  assert.equal(failed.error.code, "no_presence");
});
