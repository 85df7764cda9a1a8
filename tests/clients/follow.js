// Follows a feed with the client of the Durable Streams project, unpatched, and prints each entry as
// a line of JSON: node follow.js URL TOKEN LIVE COUNT. LIVE is catch-up, long-poll or sse. It ends
// after COUNT entries, in catch-up at the end of what is there.
import { stream } from "@durable-streams/client";

const [url, token, live, count] = process.argv.slice(2);
const done = new AbortController();
const response = await stream({
  url,
  headers: { Authorization: `Bearer ${token}` },
  live: live === "catch-up" ? true : live, // json() ends at the end of what is there
  signal: done.signal,
});
let left = Number(count);
if (live === "catch-up") {
  for (const entry of await response.json()) console.log(JSON.stringify(entry));
} else {
  await new Promise((resolve) => {
    response.subscribeJson(async (batch) => {
      for (const entry of batch.items) {
        if (left-- > 0) console.log(JSON.stringify(entry));
      }
      if (left <= 0) resolve();
    });
  });
  done.abort();
}
process.exit(0);
