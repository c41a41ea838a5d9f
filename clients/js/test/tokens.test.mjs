// Who a client is: tokens that are renewed, end, and are refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import WebSocket from "ws";
import { connect } from "../dist/index.js";
import { makeKey, startNode, until } from "./processes.mjs";
import { Proxy } from "./proxy.mjs";

async function guarded(t, config = {}) {
  const key = makeKey(t);
  const node = await startNode(t, { "auth.keys": key.source, "auth.leeway": "0s", "namespaces.chat.history.size": 100, ...config });
  const client = (token, url = node.url) => {
    const made = connect(url, { webSocket: WebSocket, token, firstWait: 20, longestWait: 100 });
    t.after(() => made.close());
    const events = [];
    made.on((event) => events.push(event));
    return Object.assign(made, { events, told: (type) => events.filter((event) => event.type === type) });
  };
  return { key, node, client };
}

test("a token is renewed before it ends, and the connection stays", async (t) => {
  const { key, client } = await guarded(t);
  let given = 0;
  const one = client(async () => (given++, key.token({ lasts: 4 })));
  await one.connected();
  await until(() => given >= 3, "renewals");
  await one.publish("chat:1", 1);
  assert.deepEqual(one.events.map(({ type }) => type), ["connected"]);
});

test("a connection that ended with its token is made again with another", async (t) => {
  const { key, client } = await guarded(t);
  let given = 0;
  // The second one comes too late to renew.
  const one = client(() => (++given === 2 ? new Promise((resolve) => setTimeout(resolve, 3000, "late")) : key.token({ lasts: 1 + given })));
  const chat = one.subscribe("chat:1");
  assert.equal((await chat.next()).value.outcome, "new");
  await until(() => one.told("disconnected").length, "the token's end");
  assert.equal(one.told("disconnected")[0].error.closeCode, 4401);
  assert.equal((await chat.next()).value.outcome, "recovered");
});

test("a fixed token that has ended is the end", async (t) => {
  const { key, client } = await guarded(t);
  const one = client(key.token({ lasts: 1 }));
  await one.connected();
  await until(() => one.told("closed").length, "the end");
  assert.equal(one.told("closed")[0].error.closeCode, 4401);
});

test("a token that nodes refuse is told why", async (t) => {
  const { key, client } = await guarded(t);
  for (const token of [key.token({ lasts: -60 }), () => key.token({ lasts: -60 })]) {
    const one = client(token);
    await until(() => one.told("closed").length, "the end");
    assert.equal(one.told("closed")[0].error.code, "unauthorized");
    assert.match(one.told("closed")[0].error.message, /expired/);
    await assert.rejects(one.connected(), { code: "unauthorized" });
  }
});

test("no token in time is told, too", async (t) => {
  const { client } = await guarded(t, { "auth.timeout": "100ms" });
  const one = client(undefined);
  await until(() => one.told("closed").length, "the end");
  assert.equal(one.told("closed")[0].error.closeCode, 4408);
});

test("after an outage the token goes with a command, and a node without tokens is content", async (t) => {
  const { key, node, client } = await guarded(t, { "auth.anonymous": true });
  const open = await startNode(t);
  for (const { port } of [node, open]) {
    const proxy = await Proxy.start(t, port);
    proxy.budget = () => 0;
    const one = client(key.token(), proxy.url);
    await until(() => one.told("disconnected").length, "a failure");
    proxy.budget = () => Infinity;
    await one.connected();
    await one.publish("news", 1);
  }
});

test("what a token doesn't grant is forbidden", async (t) => {
  const { key, client } = await guarded(t);
  const one = client(key.token({ rights: { subscribe: ["chat:1"] } }));
  await assert.rejects(one.publish("chat:1", 1), { code: "forbidden", maybeDone: false });
  await assert.rejects(one.subscribe("chat:2").next(), { code: "forbidden" });
});

test("a function that gets no token is asked again", async (t) => {
  const { key, client } = await guarded(t);
  let asked = 0;
  const one = client(async () => {
    if (++asked < 3) throw new Error("the service is away");
    return key.token();
  });
  await one.connected();
  assert.deepEqual(one.told("disconnected").map(({ error }) => error.code), ["token", "token"]);
  assert.match(one.told("disconnected")[0].error.message, /the service is away/);
});
