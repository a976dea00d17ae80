// Partial sums of the gradients of batch normalisation, first of two levels.
//
// Formula   sum of dy and sum of dy * (x - mean) over a chunk of memory, at lane,
//           lane + CHUNK_LANES, ...; with MASK dy counts only where the normalised value is
//           positive: the gradient of a ReLU that follows, without reading its output
// Layout    dy, x: c4 (dy is zero in the padding, so the padding may be summed along); the rest
//           flat [C], read as vec4s, zero past C; partials: [plane][chunk][lane], two vec4s
// Bindings  0 params, 1 dy, 2 x, 3 mean, 4 partials; with MASK 5 weight, 6 bias, 7 invstd
//           (RUNNING: the variance)
// Constants MASK: 0 | 1; RUNNING: 1 computes invstd = 1 / sqrt(variance + eps) here; CHUNK_LANES:
//           invocations of a chunk; GROUP_CHUNKS: chunks of a workgroup; UNROLL: reads of one pass through the loop
// Grid      chunks in y, planes in z

struct Params {
  blocks: u32,
  count: u32,     // vec4s of a plane
  chunkSize: u32, // vec4s of a chunk, a multiple of CHUNK_LANES
  chunks: u32,
  eps: f32,
  firstPlane: u32, // of the window that is bound
}

@group(0) @binding(0) var<storage, read> params: Params;
//@input(1) dy: IMAGE
//@input(2) x: IMAGE
//@input(3) mean: 'vec4f'
@group(0) @binding(4) var<storage, read_write> partials: array<vec4f>;
//@if MASK
//@input(5) weight: 'vec4f'
//@input(6) bias: 'vec4f'
//@input(7) spread: 'vec4f'
//@end

@compute @workgroup_size(${CHUNK_LANES}, ${GROUP_CHUNKS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let chunk = group.y * ${GROUP_CHUNKS}u + local.y;
  if (chunk >= params.chunks) {
    return;
  }
  let plane = params.firstPlane + group.z;
  let block = plane % params.blocks;
  let center = mean_at(block);
//@if MASK
//@if RUNNING
  let invstd = 1.0 / sqrt(spread_at(block) + params.eps);
//@else
  let invstd = spread_at(block);
//@end
  let scale = invstd * weight_at(block);
  let shift = bias_at(block);
//@end
  let base = group.z * params.count;
  let first = chunk * params.chunkSize;
  let end = base + min(first + params.chunkSize, params.count);
  var sum = vec4f();
  var products = vec4f();
  var i = base + first + local.x;
  for (; i + ${CHUNK_LANES * (UNROLL - 1)}u < end; i += ${CHUNK_LANES * UNROLL}u) {
//@for u in 0..UNROLL
    let d${u} = x_at(i + ${CHUNK_LANES * u}u) - center;
//@if MASK
    let g${u} = select(vec4f(), dy_at(i + ${CHUNK_LANES * u}u), fma(d${u}, scale, shift) > vec4f());
//@else
    let g${u} = dy_at(i + ${CHUNK_LANES * u}u);
//@end
//@end
    sum += $sum(u in 0..UNROLL){g${u}};
    products += $sum(u in 0..UNROLL){g${u} * d${u}};
  }
  for (; i < end; i += ${CHUNK_LANES}u) {
    let d = x_at(i) - center;
//@if MASK
    let g = select(vec4f(), dy_at(i), fma(d, scale, shift) > vec4f());
//@else
    let g = dy_at(i);
//@end
    sum += g;
    products = fma(g, d, products);
  }
  let at = ((plane * params.chunks + chunk) * ${CHUNK_LANES}u + local.x) * 2u;
  partials[at] = sum;
  partials[at + 1u] = products;
}
