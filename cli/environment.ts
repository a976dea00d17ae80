/**
 * Environment variables, as far as Deno lets the program see and set them.
 * @module
 */

/** A variable that Deno may read and that is set to something. */
export function variable(name: string): string | undefined {
  return (settable(name) ? Deno.env.get(name) : undefined) || undefined;
}

/** Whether Deno may read and set a variable. */
export function settable(name: string): boolean {
  return Deno.permissions.querySync({ name: "env", variable: name }).state === "granted";
}

/** Sets a variable where Deno may and the user has not. */
export function setDefault(name: string, value: string): void {
  if (settable(name) && variable(name) === undefined) Deno.env.set(name, value);
}
