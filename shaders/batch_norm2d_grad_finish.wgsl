// Adds the partial sums of batch_norm2d_grad_reduce: the gradients of bias and weight, and what
// batch_norm2d_grad_input needs of them.
//
// Formula   dbias = sum of dy; dweight = invstd * sum of dy * (x - mean); coefficients (batch
//           statistics only): weight * invstd, dbias / count, invstd * dweight / count
// Layout    partials: see batch_norm2d_grad_reduce; coefficients: three vec4s a block of four
//           channels; the rest flat [C] as vec4s, zero past C
// Bindings  0 params, 1 partials, 2 invstd (RUNNING: the variance), 3 dbias, 4 dweight;
//           not RUNNING: 5 weight, 6 coefficients
// Constants LANES: invocations that share a block of four channels, a power of two; GROUP_BLOCKS of
//           a workgroup; RUNNING: 1 computes invstd = 1 / sqrt(variance + eps) here
// Grid      GROUP_BLOCKS blocks a workgroup, in x

struct Params {
  images: u32,
  channels: u32,
  blocks: u32,
  length: u32, // partials of a plane
  eps: f32,
  inverseCount: f32, // 1 / values of a channel
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read> spread: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> dbias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> dweight: array<vec4f>;
//@if !RUNNING
@group(0) @binding(5) var<storage, read> weight: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> coefficients: array<vec4f>;
//@end
//@if LANES > 1
var<workgroup> shared_sums: array<vec4f, ${LANES * GROUP_BLOCKS}>;
var<workgroup> shared_products: array<vec4f, ${LANES * GROUP_BLOCKS}>;
//@end

@compute @workgroup_size(${LANES}, ${GROUP_BLOCKS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  // Read once: inside a branch llvmpipe reads lane by lane.
  let params = params;
  let block = group.x * ${GROUP_BLOCKS}u + local.y;
  var sum = vec4f();
  var products = vec4f();
  if (block < params.blocks) {
    for (var image = 0u; image < params.images; image++) {
      let base = (image * params.blocks + block) * params.length;
      for (var i = local.x; i < params.length; i += ${LANES}u) {
        let at = (base + i) * 2u;
        sum += partials[at];
        products += partials[at + 1u];
      }
    }
  }
//@if LANES > 1
  let slot = local.y * ${LANES}u + local.x;
  shared_sums[slot] = sum;
  shared_products[slot] = products;
  workgroupBarrier();
  for (var half = ${LANES / 2}u; half > 0u; half /= 2u) {
    if (local.x < half) {
      sum += shared_sums[slot + half];
      products += shared_products[slot + half];
      shared_sums[slot] = sum;
      shared_products[slot] = products;
    }
    workgroupBarrier();
  }
//@end
  if (local.x > 0u || block >= params.blocks) {
    return;
  }
//@if RUNNING
  let invstd = 1.0 / sqrt(spread[block] + params.eps);
//@else
  let invstd = spread[block];
//@end
  let channel = block * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.channels);
  sum = select(vec4f(), sum, channel);
  products = select(vec4f(), products * invstd, channel);
  dbias[block] = sum;
  dweight[block] = products;
//@if !RUNNING
  coefficients[block * 3u] = select(vec4f(), invstd * weight[block], channel);
  coefficients[block * 3u + 1u] = sum * params.inverseCount;
  coefficients[block * 3u + 2u] = products * invstd * params.inverseCount;
//@end
}
