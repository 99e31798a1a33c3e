// A careful client: one video from one text, whatever happens on the way.  Node 18 or later, no packages.
//
//     MAGNIFIC_BASE_URL=http://127.0.0.1:8700/magnific MAGNIFIC_API_KEY=... node careful.mjs "A paper boat at dusk"
//
// It prints the path of the video and ends with 0.  It ends with 1 when the job failed, with 2 when the request was
// refused, with 3 when it gave up, and says why on standard error.
//
//     MAGNIFIC_WEBHOOK_SECRET   what callbacks are signed with; without it none are asked for
//     VIDEO_PATIENCE_S          seconds that a video may take, 900 unless said otherwise
//     VIDEO_POLL_S              seconds between two looks at the job, 5
//     VIDEO_DIR                 where videos go, a new temporary directory
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { mkdtemp, rename, writeFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

const PAUSES_S = [1, 2, 4]; // before the second, third and fourth attempt: growing
const TIMEOUT_S = 20;
const FRESH_S = 300;

class JobFailed extends Error {} // the job was taken and failed
class Refused extends Error {} // the same request would be refused again
class Gone extends Error {} // what became of the job cannot be said, or not in time
class Trouble extends Error {
  // Something that may pass.  isUndone: the service said that it did nothing, so that asking again is safe.
  constructor(message, { isUndone = false, afterS = 0 } = {}) {
    super(message);
    Object.assign(this, { isUndone, afterS });
  }
}

const now = () => performance.now() / 1000;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

// --- requests

// An answer that arrived whole.  By node:http and not by fetch, which takes longer to load than all the rest here.
function whole(url, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const lost = (error) => reject(new Trouble(`no whole answer: ${error.code ?? error.name}`));
    const options = { method, headers, agent: false, signal: AbortSignal.timeout(TIMEOUT_S * 1000) };
    const call = (url.startsWith("https:") ? https : http).request(url, options, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("error", lost); // an answer that ends in the middle, too
      answer.on("end", () => {
        try {
          const isPacked = answer.headers["content-encoding"] === "gzip"; // which nobody asked for
          const content = isPacked ? gunzipSync(Buffer.concat(parts)) : Buffer.concat(parts);
          resolve({ status: answer.statusCode, headers: answer.headers, content });
        } catch (error) {
          lost(error);
        }
      });
    });
    call.on("error", lost).end(body);
  });
}

// What a Retry-After says, in seconds from now; 0 for none, and for what cannot be understood.
function seconds(text) {
  if (/^\s*\d+\s*$/.test(text ?? "")) return Number(text);
  return Math.max((Date.parse(text) - Date.now()) / 1000, 0) || 0;
}

function api(baseUrl, key) {
  const videos = `${baseUrl.replace(/\/+$/, "")}/v1/ai/video/kling-4k-t2v`;
  // In a header and nowhere else: addresses are written to logs on the way.
  const headers = { "x-magnific-api-key": key, "content-type": "application/json" };

  async function call(method, url, body) {
    const { status, headers: told, content } = await whole(url, { method, headers, body });
    const afterS = seconds(told["retry-after"]);
    let said = null;
    try {
      said = JSON.parse(content.toString());
    } catch {
      // A gateway's page, half of an answer, nothing: not the provider's word, whatever its status.
    }
    if (status === 429) throw new Trouble(`${said?.message ?? "too fast"} (HTTP 429)`, { isUndone: true, afterS });
    if (said?.data && status === 200) return said.data;
    if (status >= 400 && status < 500 && status !== 408) {
      throw Object.assign(new Refused(`${said?.message ?? "no reason"} (HTTP ${status})`), { status });
    }
    throw new Trouble(`${said?.message ?? "nothing that could be read"} (HTTP ${status})`, { afterS });
  }

  return {
    create: (body) => call("POST", videos, JSON.stringify(body)),
    read: (id) => call("GET", `${videos}/${id}`),
  };
}

// --- callbacks: each once, and only those that are the provider's

async function inbox(secret) {
  const seen = new Set();
  const waiting = new Set();
  const kept = [];

  function isGenuine(headers, body) {
    const [id, at, given] = ["id", "timestamp", "signature"].map((one) => headers[`webhook-${one}`] ?? "");
    if (!/^\d+$/.test(at) || Math.abs(Date.now() / 1000 - Number(at)) > FRESH_S) return false;
    // This provider signs with the text of the secret as it stands.
    const mac = createHmac("sha256", secret).update(`${id}.${at}.`).update(body).digest("base64");
    const expected = Buffer.from(`v1,${mac}`);
    return given.split(" ").some((one) => {
      const found = Buffer.from(one);
      return found.length === expected.length && timingSafeEqual(found, expected);
    });
  }

  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const isTaken = isGenuine(request.headers, body);
    response.writeHead(isTaken ? 204 : 401, { "content-length": 0 }).end();
    // At least once is what senders promise: a second copy is taken, and does nothing.
    if (!isTaken || seen.has(request.headers["webhook-id"])) return;
    seen.add(request.headers["webhook-id"]);
    kept.push(JSON.parse(body));
    for (const wake of waiting) wake();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();

  return {
    url: `http://127.0.0.1:${server.address().port}/done`,
    // Wait so long for the end of a job; they may come in any order, and before we know its id.
    async ending(id, seconds) {
      const until = now() + seconds;
      for (;;) {
        const found = kept.find((one) => one.task_id === id && ["COMPLETED", "FAILED"].includes(one.status));
        if (found || now() >= until) return found;
        let wake;
        await Promise.race([new Promise((resolve) => waiting.add((wake = resolve))), sleep(until - now())]);
        waiting.delete(wake);
      }
    },
  };
}

// --- one job

async function submit(calls, body, hasTime) {
  for (const pause of [...PAUSES_S, null]) {
    try {
      return await calls.create(body);
    } catch (trouble) {
      if (!(trouble instanceof Trouble)) throw trouble;
      if (!trouble.isUndone) {
        // This provider takes no name of ours for a job, so nobody can say whether there is one, and a second one
        // would be paid as well.  A person who looks at the list of jobs can.
        throw new Gone(`whether a job was made is not known, and it was not asked for again: ${trouble.message}`);
      }
      const wait = Math.max(pause ?? 0, trouble.afterS);
      if (pause === null || !hasTime(wait)) throw new Gone(`no job could be made: ${trouble.message}`);
      await sleep(wait);
    }
  }
}

function result(task) {
  if (task.status === "FAILED") throw new JobFailed("the job failed; this provider gives no reasons");
  if (task.status !== "COMPLETED") return undefined;
  if (!task.generated?.[0]) throw new JobFailed("the job succeeded, it says, and there is no video");
  return task.generated[0];
}

async function video(calls, box, prompt, { patienceS, pollS }) {
  const until = now() + patienceS;
  const hasTime = (seconds) => now() + seconds < until;
  const body = { prompt, duration: 5, ...(box && { webhook_url: box.url }) };
  let task = await submit(calls, body, hasTime);
  const id = task.task_id;
  let failures = 0;
  let pause = pollS;
  for (;;) {
    const url = result(task);
    if (url) return url;
    if (!hasTime(pause)) throw new Gone(`job ${id} did not end in time; its last status was ${task.status}`);
    const news = box ? await box.ending(id, pause) : await sleep(pause);
    if (news) {
      task = news;
      continue;
    }
    try {
      task = await calls.read(id);
      [failures, pause] = [0, pollS];
    } catch (error) {
      const isAbsent = error instanceof Refused && error.status === 404;
      if (error instanceof Refused && !isAbsent) {
        throw new Refused(`${error.message}; job ${id} may be running all the same`);
      }
      if (!isAbsent && !(error instanceof Trouble)) throw error;
      if (failures === PAUSES_S.length) throw new Gone(`job ${id} cannot be looked at: ${error.message}`);
      pause = Math.max(pollS, PAUSES_S[failures], error.afterS ?? 0);
      failures += 1;
    }
  }
}

async function download(url, file) {
  let answer;
  for (const pause of [...PAUSES_S.slice(0, 2), null]) {
    try {
      // The key is not sent along: this address is another host's.
      answer = await whole(url, {});
      if (answer.status === 429 || answer.status >= 500) throw new Trouble(`HTTP ${answer.status}`);
      break;
    } catch (trouble) {
      if (pause === null) throw new Gone(`the video is there and cannot be fetched: ${trouble.message}`);
      await sleep(pause);
    }
  }
  if (answer.status !== 200) {
    throw new JobFailed(`the job is done, and its video is not there any more: HTTP ${answer.status}`);
  }
  if (answer.content.subarray(4, 8).toString() !== "ftyp") {
    // What it says of itself may be wrong either way; how an MP4 begins is not.
    throw new JobFailed("the job is done, and what came is no video");
  }
  await writeFile(`${file}.part`, answer.content);
  await rename(`${file}.part`, file);
}

async function main() {
  const { MAGNIFIC_BASE_URL, MAGNIFIC_API_KEY, MAGNIFIC_WEBHOOK_SECRET, VIDEO_DIR } = process.env;
  if (!MAGNIFIC_BASE_URL || !MAGNIFIC_API_KEY) {
    console.error("careful: set MAGNIFIC_BASE_URL and MAGNIFIC_API_KEY");
    return 2;
  }
  const box = MAGNIFIC_WEBHOOK_SECRET ? await inbox(MAGNIFIC_WEBHOOK_SECRET) : null;
  try {
    const url = await video(api(MAGNIFIC_BASE_URL, MAGNIFIC_API_KEY), box, process.argv[2] ?? "A paper boat at dusk", {
      patienceS: Number(process.env.VIDEO_PATIENCE_S ?? 900),
      pollS: Math.max(Number(process.env.VIDEO_POLL_S ?? 5), 1),
    });
    const file = join(VIDEO_DIR ?? (await mkdtemp(join(tmpdir(), "videos-"))), `${randomUUID()}.mp4`);
    await download(url, file);
    console.log(file);
    return 0;
  } catch (error) {
    const kinds = [
      [JobFailed, 1, ""],
      [Refused, 2, "the request was refused: "],
      [Gone, 3, "gave up: "],
    ];
    const [, code, words] = kinds.find(([kind]) => error instanceof kind) ?? [null, 70, "a fault of this program: "];
    console.error(`careful: ${words}${error.message}`);
    return code;
  }
}

process.exitCode = await main();
// What is still open, a connection that is kept for later among it, is not waited for.
process.exit();
