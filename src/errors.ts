/**
 * The errors a user can act on. Their message is one sentence: what was attempted, what was found,
 * what was expected, what to do. The command line prints it without a stack trace.
 * @module
 */

/** The input or the run failed; the command line exits with status 1. */
export class InputError extends Error {
  /** `InputError`, which an uncaught error prints before its message. */
  override name = "InputError";
}

/** The command was called wrongly; the command line exits with status 2. */
export class UsageError extends Error {
  /** `UsageError`; see {@linkcode InputError.name}. */
  override name = "UsageError";
}

/**
 * Shapes or arguments given to an op do not fit together; found while recording a graph. An input
 * error, since a photo that is too small for the network ends here.
 */
export class ShapeError extends InputError {
  /** `ShapeError`; see {@linkcode InputError.name}. */
  override name = "ShapeError";
}

/** No usable GPU adapter, a lost device, a shader that does not compile, or memory that ran out. */
export class DeviceError extends InputError {
  /** `DeviceError`; see {@linkcode InputError.name}. */
  override name = "DeviceError";
}
