// Normalises every channel.
//
// Formula   y = (x - mean) * invstd * weight + bias, then max(y, 0) with RELU
// Layout    x, y: c4; the rest flat [C], read as vec4s, zero past C
// Bindings  0 params, 1 x, 2 weight, 3 bias, 4 mean, 5 invstd (RUNNING: the variance), 6 y
// Constants RELU: 0 | 1; RUNNING: 1 computes invstd = 1 / sqrt(variance + eps) here; ROWS: rows of
//           an invocation; GROUP_ROWS: chunks of rows of a workgroup
// Grid      pitch in x, chunks of rows in y, planes in z
// Source    Ioffe and Szegedy, "Batch Normalization", 2015

struct Params {
  channels: u32,
  blocks: u32,
  height: u32,
  width: u32,
  pitch: u32,
  eps: f32,
  firstPlane: u32, // of the window that is bound
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) x: IMAGE
//@input(2) weight: 'vec4f'
//@input(3) bias: 'vec4f'
//@input(4) mean: 'vec4f'
//@input(5) spread: 'vec4f'
@group(0) @binding(6) var<storage, read_write> y: array<${IMAGE}>;

@compute @workgroup_size(16, ${GROUP_ROWS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let block = (params.firstPlane + group.z) % params.blocks;
//@if RUNNING
  let invstd = 1.0 / sqrt(spread_at(block) + params.eps);
//@else
  let invstd = spread_at(block);
//@end
  let channel = block * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.channels);
  let column = group.x * 16u + local.x;
  let inside = channel & vec4<bool>(column - 1u < params.width);
  // Outside the image x is zero, and so is y with these.
  let scale = select(vec4f(), invstd * weight_at(block), inside);
  let shift = select(vec4f(), bias_at(block), inside);
  let center = mean_at(block);
  let pitch = params.pitch;
  let height = params.height;
  //@if GROUP_ROWS > 1
  let top = (group.y * ${GROUP_ROWS}u + local.y) * ${ROWS}u;
//@else
  let top = group.y * ${ROWS}u;
//@end
  let base = group.z * (height + 2u) * pitch + column;
//@for k in 0..ROWS
  // The last rows are computed again where there are no more: cheaper than a branch.
  let row${k} = min(top + ${k}u, height + 1u);
  let at${k} = base + row${k} * pitch;
  let value${k} = fma(x_at(at${k}) - center, scale, shift);
//@if RELU
  y[at${k}] = ${IMAGE}(select(vec4f(), max(value${k}, vec4f()), row${k} - 1u < height));
//@else
  y[at${k}] = ${IMAGE}(select(vec4f(), value${k}, row${k} - 1u < height));
//@end
//@end
}
