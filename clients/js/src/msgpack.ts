import { decode, encode } from "@msgpack/msgpack";
import type { Codec } from "./codec.js";

/** `fanwire.v1.msgpack`, by the package `@msgpack/msgpack`: `connect(url, { codec: msgpack })`. */
export const msgpack: Codec = {
  protocol: "fanwire.v1.msgpack",
  encode: (command) => encode(command, { ignoreUndefined: true }),
  decode: (message) => decode(message as ArrayBuffer),
};
