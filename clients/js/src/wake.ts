/** Calls `woken` when the page has slept or the network has changed, until `signal` is aborted. Nothing on Node.js. */
export function onWake(woken: () => void, signal: AbortSignal): void {
  if (typeof addEventListener === "function") {
    for (const name of ["online", "offline", "pageshow"]) addEventListener(name, woken, { signal });
  }
  if (typeof document === "object") {
    document.addEventListener("resume", woken, { signal });
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && woken(), { signal });
  }
}
