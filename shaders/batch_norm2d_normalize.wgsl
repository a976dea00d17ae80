// Normalises every channel.
//
// Formula   y = (x - mean) * invstd * weight + bias, then max(y, 0) with RELU
// Layout    x, y: c4; the rest flat [C], read as vec4s, zero past C
// Bindings  0 params, 1 x, 2 weight, 3 bias, 4 mean, 5 invstd (RUNNING: the variance), 6 y
// Constants RELU: 0 | 1; RUNNING: 1 computes invstd = 1 / sqrt(variance + eps) here; WALK, LANES,
//           ROWS, GROUP_ROWS: see MapGrid in src/ops/channel_chunks.ts
// Grid      see there
// Source    Ioffe and Szegedy, "Batch Normalization", 2015

struct Params {
  channels: u32,
  blocks: u32,
  height: u32,
  width: u32,
  pitch: u32,
  eps: f32,
  firstPlane: u32, // of the window that is bound
  rows: u32,       // of a workgroup that walks
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) x: IMAGE
//@input(2) weight: 'vec4f'
//@input(3) bias: 'vec4f'
//@input(4) mean: 'vec4f'
//@input(5) spread: 'vec4f'
@group(0) @binding(6) var<storage, read_write> y: array<${IMAGE}>;

struct Channels {
  center: vec4f,
  scale: vec4f,
  shift: vec4f,
}

fn normalized(at: u32, c: Channels) -> vec4f {
  let value = fma(x_at(at) - c.center, c.scale, c.shift);
//@if RELU
  return max(value, vec4f());
//@else
  return value;
//@end
}

@compute @workgroup_size(${LANES}, ${GROUP_ROWS})
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
  let channels = Channels(mean_at(block), invstd * weight_at(block), bias_at(block));
  let pitch = params.pitch;
  let width = params.width;
  let height = params.height;
  let plane = group.z * (height + 2u) * pitch;
//@if WALK
  let top = group.y * params.rows;
  let end = min(top + params.rows, height + 2u);
  for (var row = top; row < end; row++) {
    let isInside = row - 1u < height;
    for (var column = local.x; column < pitch; column += ${LANES}u) {
      let at = plane + row * pitch + column;
      let inside = channel & vec4<bool>(isInside && column - 1u < width);
      y[at] = ${IMAGE}(select(vec4f(), normalized(at, channels), inside));
    }
  }
//@else
  let column = group.x * ${LANES}u + local.x;
  let inside = channel & vec4<bool>(column - 1u < width);
  let top = (group.y * ${GROUP_ROWS}u + local.y) * ${ROWS}u;
//@for k in 0..ROWS
  // The last rows are computed again where there are no more: cheaper than a branch.
  let row${k} = min(top + ${k}u, height + 1u);
  let at${k} = plane + row${k} * pitch + column;
  let value${k} = select(vec4f(), normalized(at${k}, channels), inside);
  y[at${k}] = ${IMAGE}(select(vec4f(), value${k}, row${k} - 1u < height));
//@end
//@end
}
