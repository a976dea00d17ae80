/** A worker whose jobs fail in the way they ask for. @module */

import { serveJobs } from "../../src/data/worker_pool.ts";
import { fail } from "./fail.ts";

serveJobs(fail);
