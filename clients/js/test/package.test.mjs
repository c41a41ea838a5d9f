// What would be published: it is complete, and its types hold for those who use it strictly.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);

const PROGRAM = `
import { type ChannelEvent, type ClientEvent, FanwireError, type Position, connect, json } from "fanwire";
import { pages } from "fanwire/history";
import { msgpack } from "fanwire/msgpack";
import { watchMembers } from "fanwire/presence";

const webSocket = class { binaryType = ""; onopen = null; onmessage = null; onerror = null; onclose = null; send() {} close() {} };
const client = connect(["ws://127.0.0.1:1/"], { webSocket, codec: msgpack, token: async () => "x" });
const stop: () => void = client.on((event: ClientEvent) => event.type === "closed" && event.error.closeCode);
const chat = client.subscribe("chat:1", undefined, { since: { epoch: "a", offset: 1 } });
async function take(): Promise<ChannelEvent | undefined> {
  for await (const event of chat) if (event.type === "message" && event.position) return event;
  return undefined;
}
const place: Promise<Position | undefined> = client.publish("chat:1", json.protocol, { once: true });
async function read(): Promise<number> {
  for await (const { publications } of pages(client, "chat:1")) return publications.length;
  return 0;
}
void [take, read];
void place.catch((error: FanwireError) => error.maybeDone);
watchMembers(client, "room:1", (members) => members[0]?.connection);
stop();
// @ts-expect-error: it is a number
connect("ws://127.0.0.1:1/", { queue: "8" });
// @ts-expect-error: it is for the client alone
chat.connected();
`;

test("the package has what it exports, and types that fit", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "fanwire-package-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const [{ files, filename }] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", directory], { cwd: HERE, encoding: "utf8" }),
  );
  const names = files.map(({ path }) => path);
  for (const name of ["LICENSE", "README.md", "package.json", "dist/index.js", "dist/index.d.ts", "dist/fanwire.min.js"]) {
    assert.ok(names.includes(name), `${name} is not in the package: ${names}`);
  }
  assert.ok(!names.some((name) => /^(src|test)\//.test(name)), names.join());
  const installed = join(directory, "node_modules", "fanwire");
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["xzf", join(directory, filename), "-C", installed, "--strip-components=1"]);
  mkdirSync(join(directory, "node_modules", "@msgpack"));
  cpSync(dirname(require.resolve("@msgpack/msgpack/package.json")), join(directory, "node_modules", "@msgpack", "msgpack"), { recursive: true });
  writeFileSync(join(directory, "package.json"), '{ "type": "module" }');
  writeFileSync(join(directory, "program.ts"), PROGRAM);
  const options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "--types", ""];
  execFileSync(join(HERE, "node_modules", ".bin", "tsc"), [...options, "program.ts"], { cwd: directory, stdio: "inherit" });
  const check = 'for (const name of ["fanwire", "fanwire/history", "fanwire/msgpack", "fanwire/presence"]) await import(name)';
  execFileSync(process.execPath, ["--input-type=module", "--eval", check], { cwd: directory, stdio: "inherit" });
});
