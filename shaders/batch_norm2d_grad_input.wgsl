// Gradient of batch normalisation with respect to its input.
//
// Formula   batch statistics: dx = weight * invstd * (dy - dbias / count
//                                  - (x - mean) * invstd * dweight / count)
//           running statistics: dx = weight * invstd * dy
//           with MASK dy counts only where the normalised value is positive: the gradient of a
//           ReLU that follows, without reading its output
// Layout    dy, x, dx: c4; the rest flat [C], read as vec4s, zero past C
// Bindings  0 params, 1 dy, 2 dx; batch statistics: 3 coefficients, 4 x, 5 mean, MASK: 6 bias;
//           running statistics: 3 variance, 4 weight, MASK: 5 x, 6 mean, 7 bias; with IN_PLACE dx
//           holds dy and everything moves up by one
// Constants MASK: 0 | 1; RUNNING: 1 for running statistics; IN_PLACE: 1 writes dx over dy;
//           WALK, LANES, ROWS, GROUP_ROWS: see MapGrid in src/ops/channel_chunks.ts
// Grid      see there

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
//@if !IN_PLACE
//@input(1) dy: IMAGE
//@end
@group(0) @binding(${2 - IN_PLACE}) var<storage, read_write> dx: array<${IMAGE}>;
//@if RUNNING
//@input(3 - IN_PLACE) variance: 'vec4f'
//@input(4 - IN_PLACE) weight: 'vec4f'
//@else
//@input(3 - IN_PLACE) coefficients: 'vec4f'
//@end
//@if MASK || !RUNNING
//@input((RUNNING ? 5 : 4) - IN_PLACE) x: IMAGE
//@input((RUNNING ? 6 : 5) - IN_PLACE) mean: 'vec4f'
//@end
//@if MASK
//@input((RUNNING ? 7 : 6) - IN_PLACE) bias: 'vec4f'
//@end

struct Channels {
  scale: vec4f,
//@if !RUNNING
  offset: vec4f,
  slope: vec4f,
//@end
//@if MASK || !RUNNING
  center: vec4f,
//@end
//@if MASK
  shift: vec4f,
//@end
}

fn gradientAt(at: u32, c: Channels) -> vec4f {
  let g = ${IN_PLACE ? 'vec4f(dx[' : 'dy_at('}at${IN_PLACE ? '])' : ')'};
//@if MASK || !RUNNING
  let d = x_at(at) - c.center;
//@end
//@if MASK
  let masked = select(vec4f(), g, fma(d, c.scale, c.shift) > vec4f());
//@else
  let masked = g;
//@end
//@if RUNNING
  return c.scale * masked;
//@else
  return c.scale * (masked - c.offset - d * c.slope);
//@end
}

@compute @workgroup_size(${LANES}, ${GROUP_ROWS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let block = (params.firstPlane + group.z) % params.blocks;
  var channels: Channels;
//@if RUNNING
  channels.scale = 1.0 / sqrt(variance_at(block) + params.eps) * weight_at(block);
//@else
  channels.scale = coefficients_at(block * 3u);
  channels.offset = coefficients_at(block * 3u + 1u);
  channels.slope = coefficients_at(block * 3u + 2u);
//@end
//@if MASK || !RUNNING
  channels.center = mean_at(block);
//@end
//@if MASK
  channels.shift = bias_at(block);
//@end
  let channel = block * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.channels);
  let pitch = params.pitch;
  let width = params.width;
  let height = params.height;
  let plane = group.z * (height + 2u) * pitch;
  // Outside the image dy is zero but its mean is not: there everything counts nothing.
//@if WALK
  let top = group.y * params.rows;
  let end = min(top + params.rows, height + 2u);
  for (var row = top; row < end; row++) {
    let isInside = row - 1u < height;
    for (var column = local.x; column < pitch; column += ${LANES}u) {
      let at = plane + row * pitch + column;
      let inside = channel & vec4<bool>(isInside && column - 1u < width);
      dx[at] = ${IMAGE}(select(vec4f(), gradientAt(at, channels), inside));
    }
  }
//@else
  let column = group.x * ${LANES}u + local.x;
  let inside = channel & vec4<bool>(column - 1u < width);
  let top = (group.y * ${GROUP_ROWS}u + local.y) * ${ROWS}u;
//@for k in 0..ROWS
  // The last row, border, is computed again where there are no more: cheaper than a branch.
  let row${k} = min(top + ${k}u, height + 1u);
  let at${k} = plane + row${k} * pitch + column;
  let value${k} = select(vec4f(), gradientAt(at${k}, channels), inside);
  dx[at${k}] = ${IMAGE}(select(vec4f(), value${k}, row${k} - 1u < height));
//@end
//@end
}
