/**
 * A worker that draws scenes: the entry module of a thread of its own.
 * @module
 */

import { serveJobs } from "../data/worker_pool.ts";
import { runSceneJob } from "./scene_job.ts";

serveJobs(runSceneJob);
