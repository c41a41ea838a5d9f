// Decisions that need no node.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../dist/backoff.js";
import { json } from "../dist/codec.js";
import { connect, FanwireError } from "../dist/index.js";
import { pace } from "../dist/retry.js";
import { Stream } from "../dist/stream.js";
import { expiry, renewal } from "../dist/token.js";
import { Track } from "../dist/track.js";

const BACKOFF = { least: 0, soon: false };
const SOON = { least: 0, soon: true };
const TOO_SLOW = { least: 1000, soon: false };

const waits = (backoff, paces) => paces.map((pace) => backoff.wait(pace, 1));

test("bounds double up to the most", () => {
  assert.deepEqual(waits(new Backoff(500, 10_000), Array(7).fill(BACKOFF)), [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  assert.deepEqual(waits(new Backoff(3000, 1000), [BACKOFF, BACKOFF]), [1000, 1000]);
  assert.deepEqual(waits(new Backoff(0.1, 0.1), [BACKOFF, BACKOFF]), [10, 10]);
  assert.equal(new Backoff(500, 10_000).wait(BACKOFF, 0), 0);
});

test("a drained node is left soon, but not again and again", () => {
  assert.deepEqual(waits(new Backoff(500, 10_000), [SOON, SOON, BACKOFF]), [200, 1000, 2000]);
  const backoff = new Backoff(500, 10_000);
  for (const lived of [0, 1000, 5000]) {
    backoff.ended(lived);
    assert.equal(backoff.wait(SOON, 1), 200);
  }
  backoff.ended(10_000);
  assert.equal(backoff.wait(BACKOFF, 1), 500);
});

test("who was too slow waits at least a second", () => {
  assert.equal(new Backoff(500, 10_000).wait(TOO_SLOW, 0), 1000);
  assert.equal(new Backoff(500, 10_000).wait(TOO_SLOW, 1), 2000);
});

test("close codes", () => {
  for (const code of [1000, 1002, 1003, 1007, 1008, 1010, 3000, 3003, 4403]) assert.equal(pace(code, true), undefined, code);
  for (const code of [1001, 1005, 1006, 1009, 1011, 1014, 4000, 4429]) assert.deepEqual(pace(code, false), BACKOFF, code);
  for (const code of [4401, 4408]) assert.deepEqual([pace(code, false), pace(code, true)], [undefined, BACKOFF]);
  assert.deepEqual([pace(1012, false), pace(1013, false)], [SOON, TOO_SLOW]);
});

const at = (epoch, offset) => ({ epoch, offset });

test("what an answer to subscribe means", () => {
  const [own, same, later, other] = [at("a", 5), at("a", 5), at("a", 9), at("b", 5)];
  for (const [place, granted, recovered, outcome, after] of [
    [undefined, undefined, undefined, "new", undefined],
    [undefined, later, undefined, "new", later],
    [own, same, true, "recovered", own],
    [own, later, false, "lost", later],
    [own, other, false, "lost", other],
    [later, own, false, "lost", own],
    [own, same, undefined, "recovered", own],
    [later, own, undefined, "recovered", later],
    [own, later, undefined, "lost", later],
    [own, other, undefined, "lost", other],
    [own, undefined, undefined, "lost", undefined],
  ]) {
    const track = new Track(place);
    assert.equal(track.begin(granted, recovered), outcome);
    assert.deepEqual(track.place, after);
  }
  const track = new Track(undefined);
  assert.deepEqual([track.begin(), track.begin()], ["new", "unknown"]);
});

test("offsets are judged", () => {
  for (const [place, offset, isNew] of [[5, 6, true], [5, 5, false], [5, 1, false], [5, 7, true], [0, 1, true]]) {
    const track = new Track(at("a", place));
    assert.equal(track.see(offset), isNew);
    assert.deepEqual(track.place, at("a", Math.max(place, offset)));
  }
  assert.equal(new Track(undefined).see(7), true);
});

test("a loss that is behind is none", () => {
  for (const [place, lost, isLoss] of [
    [at("a", 5), at("a", 5), false],
    [at("a", 6), at("a", 5), false],
    [at("a", 4), at("a", 5), true],
    [at("b", 9), at("a", 5), true],
    [undefined, at("a", 5), true],
  ]) {
    const track = new Track(place);
    assert.equal(track.lost(lost), isLoss);
    assert.deepEqual(track.place, isLoss ? lost : place);
  }
});

test("what finds no room is counted in its place", async () => {
  const stream = new Stream(undefined, 2);
  for (const number of [1, 2, 3, 4]) stream.tell({ type: "message", number });
  assert.deepEqual((await stream.next()).value, { type: "message", number: 1 });
  assert.deepEqual((await stream.next()).value, { type: "message", number: 2 });
  stream.tell({ type: "message", number: 5 });
  assert.deepEqual((await stream.next()).value, { type: "dropped", count: 2 });
  assert.deepEqual((await stream.next()).value, { type: "message", number: 5 });
  stream.end();
  assert.deepEqual(await stream.next(), { value: undefined, done: true });
});

test("a stream ends with its error, and all that wait for it", async () => {
  const stream = new Stream(undefined, 2);
  const waiting = stream.next();
  stream.end(new FanwireError("forbidden", "no"));
  await assert.rejects(waiting, { code: "forbidden" });
  await assert.rejects(stream.next(), { code: "forbidden" });
});

test("binary content is base64 in JSON", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  const text = json.encode({ type: "publish", content: bytes });
  assert.equal(JSON.parse(text).content_base64, Buffer.from(bytes).toString("base64"));
  assert.deepEqual(json.decode(text).content, bytes);
  assert.throws(() => json.decode("null"));
});

test("a token is renewed well before its end", () => {
  const claims = Buffer.from(JSON.stringify({ exp: 100.5, sub: "ÿ~?" })).toString("base64url");
  assert.equal(expiry(`x.${claims}.y`), 100_500);
  for (const wrong of ["", "x", "x.y.z", `x.${Buffer.from("{}").toString("base64url")}.y`]) assert.equal(expiry(wrong), undefined);
  assert.deepEqual([renewal(1000_000, 0), renewal(1000_000, 1)], [750_000, 900_000]);
  assert.deepEqual([renewal(10, 0), renewal(1e15, 0)], [1000, 2 ** 31 - 1]);
});

test("options that can't work are named", () => {
  const webSocket = class {};
  for (const [urls, options, message] of [
    [[], {}, /no URL/],
    ["http://localhost/", {}, /"http:\/\/localhost\/" is no URL/],
    ["ws://me:secret@localhost/", {}, /^"ws:\/\/\*\*\*@localhost\/" is no URL .* without a login/],
    ["ws://localhost/", { queue: 0 }, /queue is 0; expected a number above 0/],
    ["ws://localhost/", { answerTimeout: "1" - "x" }, /answerTimeout is NaN/],
    ["ws://localhost/", { webSocket: undefined }, /option webSocket is needed/],
  ]) {
    assert.throws(() => connect(urls, { webSocket, ...options }), (error) => error.code === "bad_options" && message.test(error.message));
  }
});
