/**
 * The folder that a run leaves behind, and what it was made with.
 * @module
 */
import { basename, join } from "node:path";
import { isFile, isFolder, readText, shownPath } from "../data/files.ts";
import { InputError } from "../errors.ts";
import { writeFileAtomic } from "../io/atomic_file.ts";

/** What `config.json` says; fit for JSON. */
export interface RunConfig {
  /** Options of the command by name, defaults included. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Architecture, width, upsampling, channels, classes. */
  readonly network: Readonly<Record<string, unknown>>;
  /** Folder, fingerprint, numbers of images, classes. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly versions: Readonly<Record<string, string>>;
  /** The adapter, and which kernels were picked for it. */
  readonly device: Readonly<Record<string, unknown>>;
}

const NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_.,=+ -]*$/u;
const LONGEST_NAME = 100;

/** Whether a run can be called so: its name becomes a folder's, on every system. */
export function isRunName(name: string): boolean {
  return NAME.test(name) && !/[ .]$/.test(name) && name.length <= LONGEST_NAME;
}

/**
 * Makes `<runs>/<time>_<name>` and its config.json.
 * @param now Of the folder's name.
 * @throws {InputError} when the name is none or the folder cannot be made.
 */
export async function makeRunFolder(
  runs: string,
  name: string,
  config: RunConfig,
  now: Date,
): Promise<string> {
  if (!isRunName(name)) {
    throw new InputError(
      `cannot name a run ${JSON.stringify(name)}: it becomes a folder's name; use letters, ` +
        "digits, - and _, a letter first",
    );
  }
  const stamped = join(runs, `${timeStamp(now)}_${name}`);
  let folder = stamped;
  for (let at = 2;; at++) {
    try {
      await Deno.mkdir(runs, { recursive: true });
      await Deno.mkdir(folder);
      break;
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists && await isFolder(folder)) {
        folder = `${stamped}-${at}`;
        continue;
      }
      throw new InputError(
        `cannot make the folder ${shownPath(folder)} for the run's logs: ` +
          `${error instanceof Error ? error.message : error}; choose another with --runs`,
      );
    }
  }
  await writeConfig(folder, { started: now.toISOString(), ...config });
  return folder;
}

/**
 * The folder of a run that goes on, with what it goes on with added to config.json; `undefined` where
 * it is gone.
 */
export async function reopenRunFolder(
  runs: string,
  run: string,
  config: RunConfig,
  { epoch, now }: { epoch: number; now: Date },
): Promise<string | undefined> {
  // From a checkpoint, which may come from anywhere: a name, never a path.
  const folder = join(runs, basename(run));
  const path = join(folder, "config.json");
  if (run === "" || !await isFile(path)) return undefined;
  const before = await readConfig(path);
  const resumed = Array.isArray(before.resumed) ? before.resumed : [];
  const again = { time: now.toISOString(), afterEpoch: epoch, ...config };
  await writeConfig(folder, { ...before, resumed: [...resumed, again] });
  return folder;
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(await readText(path));
    if (typeof value === "object" && value !== null) return { ...value };
  } catch (error) {
    if (error instanceof InputError) throw error;
  }
  throw new InputError(
    `cannot go on with the run of ${shownPath(path)}: the file is no JSON; move it away`,
  );
}

async function writeConfig(folder: string, config: Record<string, unknown>): Promise<void> {
  const text = JSON.stringify(config, null, 2) + "\n";
  await writeFileAtomic(join(folder, "config.json"), new TextEncoder().encode(text));
}

/** Local time, in the order in which names sort: `2026-11-23_10-15-02`. */
export function timeStamp(time: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
  return `${day}_${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join("-")}`;
}
