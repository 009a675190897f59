// BullMQ as a peer: `node bullmq_peer.mjs REDIS_PORT JOBS` prints {"enqueue": …, "process": …} of jobs of
// 1 KiB that do nothing, added in bulk and processed by a worker of concurrency 50.
import { Queue, Worker } from "bullmq";
import IORedis from "ioredis";

const [port, jobs] = process.argv.slice(2).map(Number);
const connect = () => new IORedis({ port, host: "127.0.0.1", maxRetriesPerRequest: null });
const BULK = 100;

const queue = new Queue("peer", { connection: connect() });
await queue.obliterate({ force: true });
const payload = { payload: "x".repeat(1024) };
const bulk = (n) => Array.from({ length: n }, () => ({ name: "noop", data: payload }));

let start = performance.now();
for (let left = jobs; left > 0; left -= BULK) await queue.addBulk(bulk(Math.min(BULK, left)));
const enqueue = (jobs * 1000) / (performance.now() - start);

let done = 0;
const processed = new Promise((resolve, reject) => {
  const worker = new Worker("peer", async () => {}, {
    connection: connect(),
    concurrency: 50,
    removeOnComplete: { count: 0 },
  });
  worker.on("completed", () => {
    if (done === 0) start = performance.now();
    done += 1;
    if (done === jobs) resolve(((jobs - 1) * 1000) / (performance.now() - start));
  });
  worker.on("error", reject);
  setTimeout(() => reject(new Error(`${done} of ${jobs} jobs within 120 s`)), 120_000).unref();
});
console.log(JSON.stringify({ enqueue, process: await processed }));
process.exit(0);
