/**
 * What tests share: which permissions this run has and where real test data lies. Plain `deno test`
 * grants nothing, so whatever needs files or processes is reported as ignored there.
 * @module
 */
import { fileURLToPath } from "node:url";

/** Whether this run may read files without being asked. */
export const canRead: boolean =
  Deno.permissions.querySync({ name: "read", path: "." }).state === "granted";

/** Whether this run may write files without being asked. */
export const canWrite: boolean = Deno.permissions.querySync({ name: "write" }).state === "granted";

/** Whether this run may start processes without being asked. */
export const canRun: boolean = Deno.permissions.querySync({ name: "run" }).state === "granted";

/** Whether this run may serve and fetch on this machine without being asked. */
export const canListen: boolean =
  Deno.permissions.querySync({ name: "net", host: "127.0.0.1" }).state === "granted";

/** Whether native image codecs may be loaded without being asked. */
export const canDecode: boolean = Deno.permissions.querySync({ name: "ffi" }).state === "granted" &&
  Deno.permissions.querySync({ name: "env" }).state === "granted";

/**
 * The folder of a real test data set (`nuclei`, `camvid`, `oddities`), or `undefined` where it is
 * missing or unreadable: then the test is to be ignored. Set `UNET_TEST_DATA` to say where it lies.
 */
export function testData(name: string): string | undefined {
  if (!canRead) return undefined;
  const env = Deno.permissions.querySync({ name: "env", variable: "UNET_TEST_DATA" }).state;
  const root = (env === "granted" ? Deno.env.get("UNET_TEST_DATA") : undefined) ??
    fileURLToPath(new URL("../../shared/data", import.meta.url));
  try {
    return Deno.statSync(`${root}/${name}`).isDirectory ? `${root}/${name}` : undefined;
  } catch {
    return undefined;
  }
}
