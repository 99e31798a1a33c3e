// A program with fetch: node client.mjs BASE KEY HOOK FILE
import { writeFile } from "node:fs/promises";

const [base, key, hook, file] = process.argv.slice(2);
const videos = `${base}/v1/ai/video/kling-4k-t2v`;
const headers = { "x-magnific-api-key": key };

async function json(answer) {
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return (await answer.json()).data;
}

let task = await json(
  await fetch(videos, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ prompt: "A paper boat", duration: 5, webhook_url: hook }),
  }),
);
const id = task.task_id;
while (!["COMPLETED", "FAILED"].includes(task.status)) {
  task = await json(await fetch(`${videos}/${id}`, { headers }));
}
const film = await fetch(task.generated[0]);
await writeFile(file, Buffer.from(await film.arrayBuffer()));
console.log(id);
