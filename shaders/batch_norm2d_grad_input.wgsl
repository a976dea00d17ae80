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
// Constants MASK: 0 | 1; RUNNING: 1 for running statistics; IN_PLACE: 1 writes dx over dy; ROWS:
//           rows of an invocation; GROUP_ROWS: chunks of rows of a workgroup
// Grid      pitch in x, chunks of rows in y, planes in z

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

@compute @workgroup_size(16, ${GROUP_ROWS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let block = (params.firstPlane + group.z) % params.blocks;
//@if RUNNING
  let scale = 1.0 / sqrt(variance_at(block) + params.eps) * weight_at(block);
//@else
  let scale = coefficients_at(block * 3u);
  let offset = coefficients_at(block * 3u + 1u);
  let slope = coefficients_at(block * 3u + 2u);
//@end
  let column = group.x * 16u + local.x;
  let channel = block * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.channels);
  // Outside the image dy is zero but its mean is not: there everything counts nothing.
  let factor = select(vec4f(), scale, channel & vec4<bool>(column - 1u < params.width));
//@if MASK || !RUNNING
  let center = mean_at(block);
//@end
//@if MASK
  let shift = bias_at(block);
//@end
  let pitch = params.pitch;
  let height = params.height;
//@if GROUP_ROWS > 1
  let top = (group.y * ${GROUP_ROWS}u + local.y) * ${ROWS}u;
//@else
  let top = group.y * ${ROWS}u;
//@end
  let base = group.z * (height + 2u) * pitch + column;
//@for k in 0..ROWS
  // The last row, border, is computed again where there are no more: cheaper than a branch.
  let row${k} = min(top + ${k}u, height + 1u);
  let at${k} = base + row${k} * pitch;
//@if MASK || !RUNNING
  let d${k} = x_at(at${k}) - center;
//@end
//@if MASK
  let g${k} = select(vec4f(), ${IN_PLACE ? 'vec4f(dx[' : 'dy_at('}at${k}${IN_PLACE ? '])' : ')'}, fma(d${k}, scale, shift) > vec4f());
//@else
  let g${k} = ${IN_PLACE ? 'vec4f(dx[' : 'dy_at('}at${k}${IN_PLACE ? '])' : ')'};
//@end
//@if RUNNING
  let value${k} = factor * g${k};
//@else
  let value${k} = factor * (g${k} - offset - d${k} * slope);
//@end
  dx[at${k}] = ${IMAGE}(select(vec4f(), value${k}, row${k} - 1u < height));
//@end
}
