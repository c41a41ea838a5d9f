import type { Client, Page } from "./client.js";
import type { Position } from "./position.js";

/**
 * Reads the history of `channel` page by page, behind `since` or from the oldest one kept, up to the newest; `limit` is how
 * many publications a page has at most, 1 to 1000. If a page's epoch is another than that of `since`, `since` counted for
 * nothing; if its first offset is beyond the one after `since`, what lies between is not kept any more.
 */
export async function* pages(client: Client, channel: string, since?: Position, limit = 100): AsyncGenerator<Page, void> {
  for (;;) {
    const page = await client.history(channel, { limit, ...(since && { since }) });
    const last = page.publications.at(-1);
    if (!last) return;
    yield page;
    if (last.offset >= page.position.offset) return;
    since = { epoch: page.position.epoch, offset: last.offset };
  }
}
