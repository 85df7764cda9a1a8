// Work that is repeated while the page is visible.

/** Runs `work` every `pause` ms, never twice at once, and at once when the page becomes visible again.
 * Returns a function that stops it. */
export function every(pause, work) {
  let timer = null;
  let running = false;
  let stopped = false;
  const plan = () => {
    clearTimeout(timer);
    if (!stopped && document.visibilityState === "visible") timer = setTimeout(run, pause);
  };
  async function run() {
    if (running || stopped) return;
    running = true;
    try {
      await work();
    } finally {
      running = false;
      plan();
    }
  }
  const seen = () => (document.visibilityState === "visible" ? run() : clearTimeout(timer));
  document.addEventListener("visibilitychange", seen);
  plan();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}
