// Prints what a page has to load; fails if that is more than 6 KiB.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT = 6 * 1024;
const bytes = readFileSync(new URL("dist/fanwire.min.js", import.meta.url));
const size = gzipSync(bytes, { level: 9 }).length;
console.log(`fanwire.min.js: ${bytes.length} bytes, ${size} with gzip (at most ${LIMIT})`);
process.exitCode = size > LIMIT ? 1 : 0;
