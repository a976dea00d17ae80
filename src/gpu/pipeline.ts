/**
 * WGSL template -> compute pipeline, with errors that quote the line of what was compiled.
 * @module
 */
import { DeviceError } from "../errors.ts";
import { describe, isLlvmpipe } from "./adapter.ts";
import { IMAGE_CONSTANTS, type KernelSpec } from "./kernel_spec.ts";
import { rotateLoops } from "./loop_rotation.ts";
import { expandTemplate } from "./template.ts";

/** Each kernel's code is needed to guess its work, to build it and to dispatch it. */
const codes = new WeakMap<KernelSpec, string>();

/** The WGSL of a kernel. */
export function kernelCode(spec: KernelSpec): string {
  let code = codes.get(spec);
  if (code === undefined) {
    const body = expandTemplate(spec.source, { ...IMAGE_CONSTANTS.f32, ...spec.constants });
    code = /\b(vec4h|f16)\b/.test(body) ? `enable f16;\n${body}` : body;
    codes.set(spec, code);
  }
  return code;
}

/** Whether loops are to be rotated; devices of some browsers do not say what they are. */
function runsOnLlvmpipe({ adapterInfo }: { adapterInfo?: GPUAdapterInfo }): boolean {
  return adapterInfo !== undefined && isLlvmpipe(describe(adapterInfo));
}

/**
 * Compiles one kernel.
 * @throws {DeviceError} with the shader's name, line, column and the offending line of code.
 */
export async function compileKernel(
  device: GPUDevice,
  spec: KernelSpec,
): Promise<GPUComputePipeline> {
  const plain = kernelCode(spec);
  const code = runsOnLlvmpipe(device) ? rotateLoops(plain) : plain;
  // What is wrong with the code is told below; without the scope it would be told again, as the
  // error of whatever runs next.
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label: spec.name, code });
  const scope = device.popErrorScope();
  const info = await module.getCompilationInfo();
  await scope;
  const fault = info.messages.find((m) => m.type === "error");
  if (fault) {
    const line = code.split("\n")[fault.lineNum - 1]?.trim() ?? "";
    throw new DeviceError(
      `Compiling shader ${spec.name} ${JSON.stringify(spec.constants)} failed at line ` +
        `${fault.lineNum}, column ${fault.linePos}: ${fault.message} In: ${line}`,
    );
  }
  try {
    return await device.createComputePipelineAsync({
      label: spec.name,
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
  } catch (error) {
    throw new DeviceError(
      `Building the pipeline of shader ${spec.name} ${JSON.stringify(spec.constants)} failed: ` +
        (error instanceof Error ? error.message : String(error)),
    );
  }
}
