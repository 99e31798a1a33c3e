// A careless client: it looks careful, retries and all.  Each fault is marked with the law that it breaks.
//
//     MAGNIFIC_BASE_URL=http://127.0.0.1:8700/magnific MAGNIFIC_API_KEY=... node careless.mjs "A paper boat at dusk"
//
// careful.mjs beside it does the same job and breaks none.  `understudy rehearse -- node careless.mjs` finds them all.
import { mkdtemp, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { MAGNIFIC_BASE_URL, MAGNIFIC_API_KEY, VIDEO_DIR, VIDEO_PATIENCE_S = "900", VIDEO_POLL_S = "5" } = process.env;
const videos = `${MAGNIFIC_BASE_URL}/v1/ai/video/kling-4k-t2v`;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function call(url, options = {}) {
  // BREAKS keeps-secrets: an address is written to every log on the way.
  const address = `${url}?key=${MAGNIFIC_API_KEY}`;
  const headers = { "x-magnific-api-key": MAGNIFIC_API_KEY, "content-type": "application/json" };
  let error;
  for (let attempt = 0; attempt < 5; attempt += 1) {
    // BREAKS backs-off: always the same half second.  BREAKS obeys-retry-after: whatever was said.
    if (attempt) await sleep(500);
    try {
      const answer = await fetch(address, { ...options, headers, signal: AbortSignal.timeout(20_000) });
      const said = await answer.json();
      if (said.data) return said.data;
      error = new Error(`${said.message} (HTTP ${answer.status})`);
      // A wrong key does not get better; a job that is not there yet may.
      if (answer.status >= 400 && answer.status < 500 && answer.status !== 429 && answer.status !== 404) throw error;
    } catch (failed) {
      if (failed === error) throw error;
      // BREAKS one-task-per-wish: the answer was lost, the job was not, and here comes another.
      // BREAKS fetches-before-expiry: the first one's video is paid for as well, and never fetched.
      error = failed;
    }
  }
  throw error;
}

const told = new Map();
const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  // BREAKS checks-signatures: whoever finds the port is believed.
  const task = JSON.parse(Buffer.concat(parts));
  if (!["COMPLETED", "FAILED"].includes(told.get(task.task_id)?.status)) told.set(task.task_id, task);
  response.writeHead(204).end();
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

async function main() {
  const webhook_url = `http://127.0.0.1:${server.address().port}/done`;
  const prompt = process.argv[2] ?? "A paper boat at dusk";
  let task = await call(videos, { method: "POST", body: JSON.stringify({ prompt, duration: 5, webhook_url }) });
  const id = task.task_id;
  const until = Date.now() + Number(VIDEO_PATIENCE_S) * 1000;
  while (!["COMPLETED", "FAILED"].includes(task.status)) {
    if (Date.now() > until) throw new Error(`gave up on ${id}, last seen as ${task.status}`);
    await sleep(Math.max(Number(VIDEO_POLL_S), 1) * 1000);
    const news = told.get(id);
    task = ["COMPLETED", "FAILED"].includes(news?.status) ? news : await call(`${videos}/${id}`);
  }
  if (task.status === "FAILED") throw new Error("the job failed");
  if (!task.generated[0]) throw new Error("the job succeeded without a video");
  const file = join(VIDEO_DIR ?? (await mkdtemp(join(tmpdir(), "videos-"))), `${id}.mp4`);
  // BREAKS notices-broken-results: half a file and an error page are kept like a video.
  const film = await fetch(task.generated[0]);
  const content = await film.arrayBuffer().catch(() => new ArrayBuffer(0));
  await writeFile(file, Buffer.from(content));
  console.log(file);
}

try {
  await main();
  process.exit(0);
} catch (error) {
  console.error(`careless: ${error.message}`);
  process.exit(1);
}
