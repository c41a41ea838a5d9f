// Real nodes and a real Redis, on free ports of 127.0.0.1, that end with the test.
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
const BINARY = process.env.TESTS_BIN ?? join(TARGET, "release", "fanwire");

export const FULL = Boolean(process.env.TESTS_FULL);

/** Waits until `condition` gives something, and gives that. */
export async function until(condition, what, within = 15_000) {
  for (const deadline = Date.now() + within; Date.now() < deadline; await sleep(20)) {
    const value = await bounded(condition(), within);
    if (value) return value;
  }
  throw new Error(`not within ${within} ms: ${what}`);
}

/** What `promise` gives, or nothing after `within` milliseconds. */
export async function bounded(promise, within) {
  const over = new AbortController();
  try {
    return await Promise.race([promise, sleep(within, undefined, { signal: over.signal })]);
  } finally {
    over.abort();
  }
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

class Process {
  constructor(t, program, args, env = {}) {
    this.output = "";
    this.hasEnded = false;
    this.child = spawn(program, args, { env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (data) => (this.output += data));
    this.child.once("error", (error) => (this.output += `${error}: build it, or set TESTS_BIN`));
    this.ended = new Promise((resolve) => {
      for (const end of ["close", "error"]) this.child.once(end, resolve);
    }).then(() => (this.hasEnded = true));
    t.after(() => this.kill());
  }

  async kill() {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  async up(answers, what) {
    await until(() => {
      if (this.hasEnded) throw new Error(`${what} ended: ${this.output}`);
      return answers().catch(() => false);
    }, what);
  }
}

/** A Redis that keeps nothing. */
export async function startRedis(t, port = undefined) {
  port ??= await freePort();
  const directory = mkdtempSync(join(tmpdir(), "fanwire-redis-"));
  const redis = new Process(t, "redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]);
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  await redis.up(async () => redis.output.includes("eady to accept connections"), "Redis");
  return Object.assign(redis, { port, url: `redis://127.0.0.1:${port}` });
}

/** A node that is ready; `{ "limits.commands.rate": 5 }` configures it. */
export async function startNode(t, config = {}) {
  const port = await freePort();
  const internal = await freePort();
  const all = { "server.listen": `127.0.0.1:${port}`, "internal.listen": `127.0.0.1:${internal}`, ...config };
  const env = Object.entries(all).map(([key, value]) => [`FANWIRE_${key.toUpperCase().replaceAll(".", "__")}`, value]);
  const node = new Process(t, BINARY, ["serve"], Object.fromEntries(env));
  await node.up(async () => (await fetch(`http://127.0.0.1:${internal}/health/ready`)).ok, "a node");
  return Object.assign(node, { port, internal, url: `ws://127.0.0.1:${port}/` });
}

/** A file with a secret, as `auth.keys` names it, and what makes tokens with it. */
export function makeKey(t) {
  const directory = mkdtempSync(join(tmpdir(), "fanwire-key-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const secret = "a secret of the tests that is long enough";
  const file = join(directory, "key");
  writeFileSync(file, secret);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = ({ lasts = 600, ...claims } = {}) => {
    const rights = { subscribe: ["*"], publish: ["*"], presence: ["*"], history: ["*"], broadcast: true };
    const exp = Math.floor(Date.now() / 1000) + lasts;
    const text = `${part({ alg: "HS256", kid: "main" })}.${part({ sub: "zoe", exp, rights, ...claims })}`;
    return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
  };
  return { source: `main:HS256:${file}`, token };
}
