// Talks by the package ws: `node ws.mjs PACKAGE CONVERSATION`, both as in talk.js; prints what was seen as JSON.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [, , module, conversation] = process.argv;
const { default: WebSocket } = await import(pathToFileURL(module));
const talk = (0, eval)(await readFile(new URL("talk.js", import.meta.url), "utf8"));
console.log(JSON.stringify(await talk(WebSocket, JSON.parse(conversation))));
