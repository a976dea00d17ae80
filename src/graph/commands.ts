/**
 * The commands of a compiled program: what every run encodes anew.
 * @module
 */

/** A dispatch with everything it binds. */
export interface DispatchCommand {
  kind: "dispatch";
  pipeline: GPUComputePipeline;
  group: GPUBindGroup;
  grid: readonly number[];
}

/** A copy of rows of vec4s into a texture. */
export interface CopyCommand {
  kind: "copy-to-texture";
  source: GPUTexelCopyBufferInfo;
  target: GPUTexelCopyTextureInfo;
  size: [number, number, number];
}

/** A command of a program, in execution order. */
export type Command = DispatchCommand | CopyCommand;

/** Encodes a dispatch into a compute pass. */
export function encodeDispatch(pass: GPUComputePassEncoder, command: DispatchCommand): void {
  pass.setPipeline(command.pipeline);
  pass.setBindGroup(0, command.group);
  const [x = 1, y = 1, z = 1] = command.grid;
  pass.dispatchWorkgroups(x, y, z);
}

/** Encodes a copy, outside of passes. */
export function encodeCopy(encoder: GPUCommandEncoder, command: CopyCommand): void {
  encoder.copyBufferToTexture(command.source, command.target, command.size);
}

/** Encodes commands in order, dispatches that follow each other in one pass. */
export function encodeCommands(encoder: GPUCommandEncoder, commands: readonly Command[]): void {
  let pass: GPUComputePassEncoder | undefined;
  for (const command of commands) {
    if (command.kind === "dispatch") {
      pass ??= encoder.beginComputePass();
      encodeDispatch(pass, command);
    } else {
      pass?.end();
      pass = undefined;
      encodeCopy(encoder, command);
    }
  }
  pass?.end();
}
