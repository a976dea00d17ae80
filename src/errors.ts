/**
 * The errors a user can act on. Their message is one sentence: what was attempted, what was found,
 * what was expected, what to do. The command line prints it without a stack trace.
 * @module
 */

/** The input or the run failed; the command line exits with status 1. */
export class InputError extends Error {
  override name = "InputError";
}

/** The command was called wrongly; the command line exits with status 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** Shapes or arguments given to an op do not fit together; found while recording a graph. */
export class ShapeError extends Error {
  override name = "ShapeError";
}

/** No usable GPU adapter, a lost device, a shader that does not compile, or memory that ran out. */
export class DeviceError extends InputError {
  override name = "DeviceError";
}
