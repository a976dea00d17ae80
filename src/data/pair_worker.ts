/**
 * A worker that does pair jobs: the entry module of a thread of its own.
 * @module
 */

import { runPairJob } from "./pair_job.ts";
import { serveJobs } from "./worker_pool.ts";

serveJobs(runPairJob);
