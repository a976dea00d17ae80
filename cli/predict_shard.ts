/**
 * Sharing photos out among processes that know nothing of each other: process i of n takes every
 * n-th photo of the list that all of them make.
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { variable } from "./environment.ts";

/** Which part of the work is this process's. */
export interface Shard {
  /** From 1 to `count`. */
  readonly index: number;
  readonly count: number;
  /** Where it comes from, for the log. */
  readonly source: string;
}

/** Reads a variable of the environment; tests replace it. */
export type Environment = (name: string) => string | undefined;

/**
 * The part of this process: `--shard i/n`, else the task of a Slurm array, else the index of a
 * Kubernetes Indexed Job, else everything.
 * @throws {UsageError} for a shard that does not exist, or variables that do not say which.
 */
export function shardOf(
  typed: string | undefined,
  env: Environment = variable,
): Shard | undefined {
  if (typed !== undefined) return typedShard(typed);
  return slurmShard(env) ?? kubernetesShard(env);
}

/** The jobs of a shard. */
export function shareOf<T>(jobs: readonly T[], { index, count }: Shard): T[] {
  return jobs.filter((_, at) => at % count === index - 1);
}

function typedShard(typed: string): Shard {
  const [, index = NaN, count = NaN] = /^(\d+)\/(\d+)$/.exec(typed)?.map(Number) ?? [];
  if (!(index >= 1 && index <= count)) {
    throw new UsageError(`--shard takes i/n with i from 1 to n, such as 1/8, got '${typed}'`);
  }
  return { index, count, source: "--shard" };
}

function slurmShard(env: Environment): Shard | undefined {
  const id = whole(env, "SLURM_ARRAY_TASK_ID");
  const count = whole(env, "SLURM_ARRAY_TASK_COUNT");
  if (id === undefined || count === undefined) return undefined;
  const first = whole(env, "SLURM_ARRAY_TASK_MIN") ?? 0;
  const step = whole(env, "SLURM_ARRAY_TASK_STEP") ?? 1;
  const last = whole(env, "SLURM_ARRAY_TASK_MAX") ?? first + (count - 1) * step;
  const index = (id - first) / step + 1;
  if (last !== first + (count - 1) * step || !Number.isInteger(index) || index > count) {
    throw new UsageError(
      `the Slurm array has ${count} tasks from ${first} to ${last}, unevenly spaced, so that task ` +
        `${id} cannot tell its share; use an array like 0-${count - 1}, or --shard i/n`,
    );
  }
  return { index, count, source: "SLURM_ARRAY_TASK_ID" };
}

function kubernetesShard(env: Environment): Shard | undefined {
  const at = whole(env, "JOB_COMPLETION_INDEX");
  if (at === undefined) return undefined;
  const count = whole(env, "JOB_COMPLETIONS");
  if (count === undefined || at >= count) {
    throw new UsageError(
      `JOB_COMPLETION_INDEX is ${at}, but JOB_COMPLETIONS is ${
        count ?? "not set"
      }; set it to the ` +
        "Job's number of completions, or give --shard i/n",
    );
  }
  return { index: at + 1, count, source: "JOB_COMPLETION_INDEX" };
}

function whole(env: Environment, name: string): number | undefined {
  const text = env(name);
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
