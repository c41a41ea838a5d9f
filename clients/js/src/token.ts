import { FanwireError } from "./error.js";

/** The longest time of a timer, in milliseconds (HTML, timers take 32 bits). */
const LONGEST = 2 ** 31 - 1;
const SHORTEST = 1000;

/** When a token ends (`exp` of RFC 7519), in milliseconds since 1970; `undefined` if that can't be read. */
export function expiry(token: string): number | undefined {
  try {
    const claims = JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/")));
    return typeof claims.exp === "number" ? claims.exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}

/** How long to wait before a token that ends in `left` is renewed; `random` in 0 to 1 keeps many from coming at once. */
export const renewal = (left: number, random: number): number =>
  Math.min(Math.max(left * (0.75 + 0.15 * random), SHORTEST), LONGEST);

/** What `source` gives, in bounded time. */
export async function obtain(source: string | (() => string | Promise<string>), timeout: number): Promise<string> {
  if (typeof source === "string") return source;
  let timer;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`none within ${timeout / 1000} s`)), timeout);
  });
  try {
    return await Promise.race([source(), late]);
  } catch (error) {
    throw new FanwireError("token", `no token could be had: ${error instanceof Error ? error.message : error}`);
  } finally {
    clearTimeout(timer);
  }
}
