/**
 * Run by warm_up_test.ts in a process of its own, since the driver reads its environment once:
 * prepares the kernels of a train step and says what was found. With the folder of the driver's cache
 * it does so again, then runs that step and one of another size, and counts the cache's files.
 *
 *   warm_up_try.ts [FOLDER]
 * @module
 */
import { recordStep } from "../../src/bench/step.ts";
import { type Gpu, requestGpu } from "../../src/gpu/device.ts";
import { compileKernel } from "../../src/gpu/pipeline.ts";
import { type WarmUp, warmUp } from "../../src/gpu/warm_up.ts";
import { compile } from "../../src/graph/program.ts";
import { lowerTarget, planProgram } from "../../src/graph/program_plan.ts";

/** What is printed as a line of JSON. */
export interface WarmUpTry {
  found: WarmUp[];
  /** After everything in `found`, after a step, after a step of another size. */
  files: number[];
}

/** As on processors where buffers are slow: those have most kernels. */
const open = () => requestGpu({ textureReadBytes: 2 ** 18 });

const record = (height: number, width: number) =>
  recordStep({ batch: 1, height, width, mode: "train", firstLevel: 8 });

async function prepare(): Promise<WarmUp> {
  using gpu = await open();
  const { graph, outputs } = record(64, 96);
  const { steps } = planProgram(graph, outputs, lowerTarget(gpu));
  const kernels = new Map(
    steps.flatMap((step) => step.kind === "dispatch" ? step.spec.kernel : [])
      .map((kernel) => [`${JSON.stringify(kernel.constants)} ${kernel.source}`, kernel]),
  );
  return await warmUp([...kernels.values()], {
    device: gpu.device,
    build: (kernel) => compileKernel(gpu.device, kernel),
    buildFor: compileKernel,
    openHelper: async () => (await open()).device,
    mostHelpers: 2,
  });
}

async function run(gpu: Gpu, height: number, width: number): Promise<void> {
  const { graph, outputs, net } = record(height, width);
  using program = await compile(gpu, graph, { outputs, stores: [net.store] });
  program.run();
  await gpu.idle();
}

/** Files of the cache once there are no more from one look to the next: they are written later. */
async function countFiles(folder: string): Promise<number> {
  let before = -1;
  for (let count = 0; count !== before;) {
    before = count;
    await new Promise((resolve) => setTimeout(resolve, 500));
    count = filesIn(folder);
  }
  return before;
}

function filesIn(folder: string): number {
  return [...Deno.readDirSync(folder)].reduce(
    (sum, { name, isDirectory }) => sum + (isDirectory ? filesIn(`${folder}/${name}`) : 1),
    0,
  );
}

const [folder] = Deno.args;
const result: WarmUpTry = { found: [await prepare()], files: [] };
if (folder !== undefined) {
  result.found.push(await prepare());
  result.files.push(await countFiles(folder));
  using gpu = await open();
  for (const [height, width] of [[64, 96], [96, 64]] as const) {
    await run(gpu, height, width);
    result.files.push(await countFiles(folder));
  }
}
console.log(JSON.stringify(result));
